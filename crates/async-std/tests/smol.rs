//! The same on smol, with sockets and tasks of smol.
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "tests, with sockets of their own")]

#[path = "../../tokio/tests/world/mod.rs"]
mod world;

mod runtime {
    use core::time::Duration;

    use balcony_async_std::{ConnectError, Endpoint, Server, TlsPolicy};
    use balcony_server::{Ask, Config, Reply};
    use smol::net::{TcpListener, TcpStream};
    use smol::stream::unfold;

    pub(crate) use balcony_async_std::ServerHandle;
    pub(crate) use smol::block_on;

    pub(crate) type Client = balcony_async_std::Client<TcpStream>;

    pub(crate) async fn connect(
        config: balcony_client::Config,
        endpoint: Endpoint,
    ) -> Result<Client, ConnectError> {
        let target = endpoint.target(&config.stream.account).unwrap();
        let refused = |_| {
            let reason = "connection refused - is a server running there?".into();
            let (host, port) = (target.host.clone(), target.port);
            ConnectError::Unreachable(vec![balcony_async_std::Attempt { host, port, reason }])
        };
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await.map_err(refused)?;
        Client::over(stream, config.for_endpoint(&endpoint, &target)).await
    }

    pub(crate) async fn serve(
        config: Config,
        ask: impl Fn(Ask, Reply) + Send + Sync + 'static,
        most: usize,
    ) -> (ServerHandle, [u16; 2]) {
        let mut server = Server::builder(config, ask).max_connections(most);
        let mut ports = [0; 2];
        for (port, tls) in ports.iter_mut().zip([TlsPolicy::Required, TlsPolicy::Direct]) {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            *port = listener.local_addr().unwrap().port();
            let sockets = unfold(listener, |listener| async {
                let accepted = listener.accept().await;
                Some((accepted.map(|(stream, from)| (stream, from.to_string())), listener))
            });
            server = server.incoming(sockets, tls);
        }
        (server.start_on(|task| smol::spawn(task).detach()), ports)
    }

    pub(crate) async fn sleep(length: Duration) {
        smol::Timer::after(length).await;
    }

    pub(crate) async fn timeout<T>(most: Duration, future: impl Future<Output = T>) -> Option<T> {
        smol::future::or(async { Some(future.await) }, async {
            sleep(most).await;
            None
        })
        .await
    }

    pub(crate) async fn both(a: impl Future, b: impl Future) {
        smol::future::zip(a, b).await;
    }
}

world::all_on!(runtime::block_on);
