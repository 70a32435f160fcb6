//! The scenarios on tokio.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests, with sockets and clocks of their own"
)]

mod world;

mod kind {
    use balcony_runtime::Options;
    pub(crate) use balcony_tokio::Tokio as Kind;

    /// Of a server.
    pub(crate) const THREADS: u8 = 1;

    pub(crate) fn with(options: Options) -> Kind {
        Kind::new(options)
    }

    pub(crate) fn block_on(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(2).enable_all().build().unwrap().block_on(test);
    }
}

world::all_on!(kind::block_on);

#[test]
fn a_panic_ends_the_server() {
    kind::block_on(world::a_panic_ends_the_server());
}

// One thread for everything: the server's task must let the clients' run.
#[test]
fn messages_on_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(Box::pin(world::a_burst_arrives_whole()));
}
