//! How a task that always has more to do shares a thread of tokio.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests of an adapter"
)]

use core::future::poll_fn;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use balcony_tokio::{Runtime as _, Tokio};
use tokio::runtime::{Builder, Runtime};

/// How often a task that always has more to do has its turn until another one learns that its socket has become ready.
fn turns_until_noticed(runtime: &Runtime) -> usize {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (ours, _) = listener.accept().unwrap();
    ours.set_nonblocking(true).unwrap();
    let noticed = Arc::new(AtomicBool::new(false));
    let notice = Arc::clone(&noticed);
    runtime.block_on(async move {
        let ours = tokio::net::TcpStream::from_std(ours).unwrap();
        let waiting = tokio::spawn(async move {
            ours.readable().await.unwrap();
            notice.store(true, Ordering::SeqCst);
        });
        // It waits, and has been told of nothing.
        tokio::task::yield_now().await;
        let mut turns = 0;
        let busy = tokio::spawn(poll_fn(move |cx| {
            if turns == 0 {
                theirs.write_all(b"now").unwrap();
            }
            if noticed.load(Ordering::SeqCst) {
                return Poll::Ready(turns);
            }
            turns += 1;
            Tokio::default().yield_now(cx);
            Poll::Pending
        }));
        waiting.await.unwrap();
        busy.await.unwrap()
    })
}

// A scheduler of tokio looks at the sockets each 61st time that it has run a task. A server that is busy has turns of a millisecond.
#[test]
fn sockets_are_looked_at_after_each_turn_of_a_busy_task() {
    let one = Builder::new_current_thread().enable_all().build().unwrap();
    let turns = turns_until_noticed(&one);
    assert!(turns <= 3, "{turns}");
    let several = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let turns = turns_until_noticed(&several);
    assert!(turns <= 3, "{turns}");
}
