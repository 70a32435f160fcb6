//! The scenarios on async-std.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests, with sockets and clocks of their own"
)]

mod world;

mod kind {
    pub(crate) use async_std::task::block_on;
    pub(crate) use balcony_async_io::AsyncIo as Kind;
    use balcony_runtime::Options;

    /// Of a server.
    pub(crate) const THREADS: u8 = 1;

    pub(crate) fn with(options: Options) -> Kind {
        Kind::async_std().with(options)
    }
}

world::all_on!(kind::block_on);
