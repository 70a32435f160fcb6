//! Server and client of this crate over loopback.
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "tests, with sockets of their own")]

mod world;

mod runtime {
    use core::time::Duration;

    use balcony_server::{Ask, Config, Reply};
    use balcony_tokio::{ConnectError, Endpoint, Server, TlsPolicy};
    use tokio::net::TcpListener;

    pub(crate) use balcony_tokio::{Client, ServerHandle};
    pub(crate) use tokio::time::sleep;

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
        tokio::time::timeout(most, future).await.ok()
    }

    pub(crate) async fn both(a: impl Future, b: impl Future) {
        tokio::join!(a, b);
    }
}

fn block_on(test: impl Future<Output = ()>) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.worker_threads(2).enable_all().build().unwrap().block_on(test);
}

world::all_on!(block_on);

#[test]
fn a_panic_ends_the_server() {
    block_on(world::a_panic_ends_the_server());
}
