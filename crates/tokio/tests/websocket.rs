//! WebSockets over loopback, as bytes (RFC 7395).
#![allow(clippy::unwrap_used, clippy::disallowed_types, reason = "tests, with sockets of their own")]

use balcony_machine::Secret;
use balcony_tokio::{Server, ServerConfig, TlsPolicy, Transport};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const REQUEST: &[u8] = b"GET /xmpp-websocket HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: xmpp\r\n\r\n";
const OPEN: &[u8] = b"<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='localhost' version='1.0'/>";

async fn until(socket: &mut TcpStream, wanted: &str) -> String {
    let mut heard = Vec::new();
    while !String::from_utf8_lossy(&heard).contains(wanted) {
        assert!(socket.read_buf(&mut heard).await.unwrap() > 0, "{}", String::from_utf8_lossy(&heard));
    }
    String::from_utf8_lossy(&heard).into_owned()
}

// RFC 7395 §3.1 [V1], §3.4 [V7]: each listener speaks its own language
#[tokio::test]
async fn a_listener_for_websockets_beside_one_for_streams() {
    let mut config = ServerConfig::new(vec!["localhost".parse().unwrap()], Secret::new([7; 32]));
    config.tls = TlsPolicy::None;
    let (plain, web) = (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
    let server = Server::builder(config, |_, _| {})
        .listen(plain.unwrap(), TlsPolicy::None)
        .listen(web.unwrap(), Transport::WebSocket)
        .start();
    let &[plain, web] = server.local_addrs() else { panic!() };

    let mut socket = TcpStream::connect(web).await.unwrap();
    socket.write_all(REQUEST).await.unwrap();
    until(&mut socket, "HTTP/1.1 101 ").await;
    // A text frame with a mask of zeros.
    let frame = [&[0x81, 0x80 | u8::try_from(OPEN.len()).unwrap(), 0, 0, 0, 0][..], OPEN].concat();
    socket.write_all(&frame).await.unwrap();
    until(&mut socket, "<stream:features xmlns:stream=").await;

    let mut socket = TcpStream::connect(plain).await.unwrap();
    socket.write_all(REQUEST).await.unwrap();
    until(&mut socket, "not-well-formed").await;
    let mut socket = TcpStream::connect(web).await.unwrap();
    socket.write_all(OPEN).await.unwrap();
    until(&mut socket, "HTTP/1.1 400 ").await;
    server.shutdown().await;
}
