//! Server and client on async-std over loopback.
#![cfg(feature = "async-std")]
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "tests, with sockets of their own")]

#[path = "../../tokio/tests/world/mod.rs"]
mod world;

mod runtime {
    use core::time::Duration;

    use async_std::net::TcpListener;
    use balcony_async_std::{ConnectError, Endpoint, Server, TlsPolicy};
    use balcony_server::{Ask, Config, Reply};

    pub(crate) use async_std::task::{block_on, sleep};
    pub(crate) use balcony_async_std::ServerHandle;

    pub(crate) type Client = balcony_async_std::Client<balcony_async_std::Tcp>;

    pub(crate) async fn connect(
        config: balcony_client::Config,
        endpoint: Endpoint,
    ) -> Result<Client, ConnectError> {
        Client::connect(config, endpoint).await
    }

    pub(crate) async fn serve(
        config: Config,
        ask: impl Fn(Ask, Reply) + Send + Sync + 'static,
        most: usize,
    ) -> (ServerHandle, [u16; 2]) {
        let (clear, direct) =
            (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
        let server = Server::builder(config, ask)
            .listen(clear.unwrap(), TlsPolicy::Required)
            .listen(direct.unwrap(), TlsPolicy::Direct)
            .max_connections(most)
            .start();
        let ports = [server.local_addrs()[0].port(), server.local_addrs()[1].port()];
        (server, ports)
    }

    pub(crate) async fn timeout<T>(most: Duration, future: impl Future<Output = T>) -> Option<T> {
        async_std::future::timeout(most, future).await.ok()
    }

    pub(crate) async fn both(a: impl Future, b: impl Future) {
        futures_lite::future::zip(a, b).await;
    }
}

world::all_on!(runtime::block_on);
