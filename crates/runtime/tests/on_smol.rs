//! The scenarios on smol.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests, with sockets and clocks of their own"
)]

mod world;

mod kind {
    pub(crate) use balcony_async_io::AsyncIo as Kind;
    use balcony_runtime::Options;
    pub(crate) use smol::block_on;

    /// Of a server.
    pub(crate) const THREADS: u8 = 2;

    pub(crate) fn with(options: Options) -> Kind {
        Kind::smol().with(options)
    }
}

world::all_on!(kind::block_on);

// What is polled becomes a socket.
#[cfg(unix)]
#[test]
fn unix_sockets_through_the_shim() {
    use std::os::unix::net::UnixStream;

    use balcony_async_io::FuturesIo;

    let (ours, theirs) = smol::Async::<UnixStream>::pair().unwrap();
    kind::block_on(world::other_transports(FuturesIo::new(ours), FuturesIo::new(theirs)));
}
