//! A component and a server that is none of ours.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::std_instead_of_core,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use balcony::Error;
use balcony::prelude::*;
use tokio::time::timeout;

/// Reads until this has come.
fn read_until(socket: &mut TcpStream, what: &str) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 1_024]);
    while !seen.windows(what.len()).any(|bytes| bytes == what.as_bytes()) {
        let count = socket.read(&mut buffer).unwrap();
        assert!(count > 0);
        seen.extend_from_slice(&buffer[..count]);
    }
}

/// Lets a component in, reads nothing more, and after a while says that another one has its place.
fn serve(listener: &TcpListener) {
    let (mut socket, _) = listener.accept().unwrap();
    read_until(&mut socket, "<stream:stream");
    let header = "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' \
                  from='echo.localhost' id='1'>";
    socket.write_all(header.as_bytes()).unwrap();
    read_until(&mut socket, "</handshake>");
    socket.write_all(b"<handshake/>").unwrap();
    thread::sleep(Duration::from_secs(1));
    let error = "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
    socket.write_all(error.as_bytes()).unwrap();
}

// RFC 6120 §4.9.3.3: a component in whose place there is another one hears it, though it had something to send when the connection broke.
#[test]
fn what_has_come_is_read_before_a_broken_connection_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let place = listener.local_addr().unwrap().to_string();
    let server = thread::spawn(move || serve(&listener));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let end = runtime.block_on(async {
        let component =
            Component::builder("echo.localhost").secret("s").connect(place).start().await.unwrap();
        let text = " ".repeat(100_000);
        let all = async {
            loop {
                let message = Message::chat("juliet@localhost".parse().unwrap()).body(&*text);
                if let Err(error) = component.send(message.to_stanza()).await {
                    break error;
                }
            }
        };
        timeout(Duration::from_secs(30), all).await.expect("it connects again and again")
    });
    server.join().unwrap();
    assert!(matches!(&end, Error::Detached(why) if why.is_permanent()), "{end}");
}
