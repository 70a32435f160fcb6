//! How much of what has come a socket of tokio knows.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of an adapter"
)]

use core::time::Duration;
use std::io::{ErrorKind, Write as _};
use std::net::{TcpListener, TcpStream};

use balcony_tokio::{Socket as _, TcpSocket};
use tokio::runtime::Builder;

// What has come to the system can be read before tokio has heard of it, and so can the end; afterwards all is as ever.
#[test]
fn what_has_come_can_be_read_now() {
    Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (ours, _) = listener.accept().unwrap();
        ours.set_nonblocking(true).unwrap();
        let stream = tokio::net::TcpStream::from_std(ours).unwrap();
        let mut ours = TcpSocket::new(stream, Duration::from_secs(60));
        let mut buffer = [0; 64];
        let nothing = |result: std::io::Result<usize>| result.unwrap_err().kind() == ErrorKind::WouldBlock;
        assert!(nothing(ours.try_read_now(&mut buffer)));
        theirs.write_all(b"now").unwrap();
        // Nobody has looked since, as this task has not let anybody.
        assert!(nothing(ours.try_read(&mut buffer)));
        assert_eq!(ours.try_read_now(&mut buffer).unwrap(), 3);
        assert!(nothing(ours.try_read_now(&mut buffer)));
        theirs.write_all(b"later").unwrap();
        core::future::poll_fn(|cx| ours.poll_ready(cx, balcony_tokio::Interest::Read)).await.unwrap();
        while nothing_yet(&mut ours, &mut buffer) {
            tokio::task::yield_now().await;
        }
        drop(theirs);
        assert_eq!(ours.try_read_now(&mut buffer).unwrap(), 0);
    });
}

/// Whether there is nothing; otherwise it was the second word.
fn nothing_yet(ours: &mut TcpSocket, buffer: &mut [u8]) -> bool {
    match ours.try_read(buffer) {
        Ok(count) => {
            assert_eq!(&buffer[..count], b"later");
            false
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock);
            true
        }
    }
}
