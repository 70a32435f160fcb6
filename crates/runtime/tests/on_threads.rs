//! The scenarios with a server on several threads of tokio, and what may go wrong between threads.
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
    pub(crate) const THREADS: u8 = 3;

    pub(crate) fn with(options: Options) -> Kind {
        Kind::new(options)
    }

    pub(crate) fn block_on(test: impl Future<Output = ()>) {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(3).enable_all().build().unwrap().block_on(test);
    }
}

world::all_on!(kind::block_on);

world::all_on!(kind::block_on:
    a_panic_ends_the_server,
    a_panic_on_another_thread_ends_the_server,
    a_session_goes_on_on_another_thread,
    a_session_is_replaced_from_another_thread,
    many_talk_to_many,
);
