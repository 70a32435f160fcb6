//! Server and client of this crate over loopback.
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "tests, with sockets of their own")]

mod world;

mod runtime {
    use core::time::Duration;

    use balcony_server::{Ask, Config, Reply};
    use balcony_tokio::{Server, TlsPolicy};
    use tokio::net::TcpListener;

    pub(crate) use balcony_tokio::{Client, ServerHandle};
    pub(crate) use tokio::time::sleep;

    pub(crate) async fn serve(
        config: Config,
        ask: impl Fn(Ask, Reply) + Send + Sync + 'static,
        most: usize,
    ) -> ServerHandle {
        let (clear, direct) =
            (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
        Server::builder(config, ask)
            .listen(clear.unwrap(), TlsPolicy::Required)
            .listen(direct.unwrap(), TlsPolicy::Direct)
            .max_connections(most)
            .start()
    }

    pub(crate) async fn timeout<T>(most: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout(most, future).await.ok()
    }

    pub(crate) async fn both(a: impl Future, b: impl Future) {
        tokio::join!(a, b);
    }
}

/// Runs tests of the world on this runtime.
macro_rules! on_tokio {
    ($($name:ident),+ $(,)?) => { $(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            world::$name().await;
        }
    )+ };
}

on_tokio!(
    messages_reach_the_greatest_priority,
    direct_tls,
    requests_wait_and_keep_the_rest,
    next_can_be_cancelled,
    reload_changes_the_certificate,
    wrong_passwords_are_refused,
    strange_certificates_are_refused,
    shutdown_ends_all_streams,
    slow_readers_stall_nobody,
    removed_accounts_are_offline,
    too_many_connections_are_turned_away,
    garbage_gets_an_error_that_arrives,
);
