//! The link with TLS, on a socket, at Balcony's own server.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it has its own clock and sockets")]

use core::future::{pending, poll_fn};
use core::net::SocketAddr;
use core::task::Poll;
use core::time::Duration;
use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};

use balcony::prelude::*;
use balcony::server::{MemoryAccounts, test_certificate};
use balcony_client::{AgentConfig, AgentEvent, ClientConfig, Device, Disconnected};
use balcony_embedded::{Clock, Link};
use balcony_example_tls::{Generator, Pinned, Secured};
use balcony_machine::{Instant, Secret, Seed};
use balcony_stream::{Security, TlsPolicy};
use base64::Engine as _;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};

struct Time(std::time::Instant);

impl Clock for Time {
    fn now(&self) -> Instant {
        Instant::from_elapsed(self.0.elapsed())
    }

    // The test looks again and again by itself.
    async fn wait_until(&self, at: Instant) {
        if self.now() < at {
            pending::<()>().await;
        }
    }
}

/// A socket that does not block.
struct Socket(SocketAddr, Option<TcpStream>);

struct Half<'a>(&'a TcpStream);

impl ErrorType for Half<'_> {
    type Error = ErrorKind;
}

/// What it comes to, unless it would block.
async fn done(mut io: impl FnMut() -> io::Result<usize>) -> Result<usize, ErrorKind> {
    poll_fn(|_| match io() {
        Ok(count) => Poll::Ready(Ok(count)),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        Err(_) => Poll::Ready(Err(ErrorKind::ConnectionReset)),
    })
    .await
}

impl Read for Half<'_> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        done(|| self.0.read(buffer)).await
    }
}

impl Write for Half<'_> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        done(|| self.0.write(bytes)).await
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

impl Link for Socket {
    type Error = io::Error;

    async fn open(&mut self) -> io::Result<Option<Security>> {
        let socket = TcpStream::connect(self.0)?;
        socket.set_nonblocking(true)?;
        self.1 = Some(socket);
        Ok(None)
    }

    fn split(&mut self) -> (impl Read, impl Write) {
        let socket = self.1.as_ref().expect("it is open");
        (Half(socket), Half(socket))
    }

    fn close(&mut self) {
        self.1 = None;
    }
}

type Secure = Secured<Socket, Box<dyn FnMut(Generator) -> Pinned>>;
type DeviceClient = balcony_embedded::Client<(), Secure, Time>;

/// A device that trusts the certificate, and the server's other end of the socket.
fn device(at: SocketAddr, name: &'static str, authority: &[u8], is_patient: bool) -> DeviceClient {
    let authority: &'static [u8] = authority.to_vec().leak();
    let mut config =
        ClientConfig::new("romeo@localhost".parse().expect("an address"), Secret::new("r".into()));
    config.stream.tls = TlsPolicy::Direct;
    let mut agent = AgentConfig::default();
    agent.is_patient = is_patient;
    let provider: Box<dyn FnMut(Generator) -> Pinned> =
        Box::new(move |random| Pinned::new(random, authority));
    let link = Secured::new(Socket(at, None), name, &Seed::from_u64(1), provider);
    let device = Device::new(config, agent, (), &Seed::from_u64(2));
    balcony_embedded::Client::new(device, link, Time(std::time::Instant::now()))
}

/// The next event. It is asked for again and again, so that futures are dropped everywhere.
async fn next(client: &mut DeviceClient) -> AgentEvent {
    for _ in 0..10_000 {
        match tokio::time::timeout(Duration::from_millis(2), client.next()).await {
            Ok(Ok(balcony_embedded::Event::Agent(event))) => return event,
            Ok(Ok(other)) => panic!("{other:?}"),
            Ok(Err(why)) => panic!("{why}"),
            Err(_) => {}
        }
    }
    panic!("nothing happens: {client:?}");
}

fn der(pem: &str) -> Vec<u8> {
    let text: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    base64::engine::general_purpose::STANDARD.decode(text).expect("base64")
}

// The device logs in over TLS, is written to and answers, and goes on with its session when its line was cut; it lets nobody else be the server.
#[test]
fn a_device_is_on_tls_and_lets_nobody_else_be_its_server() {
    let (certificate, key) = test_certificate("localhost").unwrap();
    let (other, _) = test_certificate("localhost").unwrap();
    let accounts = MemoryAccounts::new().with("romeo@localhost", "r").unwrap();
    block_on(async {
        let server = Server::builder("localhost")
            .accounts(accounts.with("juliet@localhost", "j").unwrap())
            .certificate_pem(certificate.as_bytes(), key.expose().as_bytes())
            .listen_tls("127.0.0.1:0".parse().unwrap())
            .listen("127.0.0.1:0".parse().unwrap())
            .start()
            .unwrap();
        let (first, second) = (server.local_addrs()[0], server.local_addrs()[1]);
        // Which of them is that with TLS is seen by whom it answers in the clear.
        let (at, plain) = if speaks_first(first) { (second, first) } else { (first, second) };
        let mut romeo = device(at, "localhost", &der(&certificate), true);
        let AgentEvent::Online(jid) = next(&mut romeo).await else { panic!("something else") };
        let juliet = Client::builder("juliet@localhost").password("j").connect(plain.to_string());
        let mut juliet = juliet.trust_pem(certificate.as_bytes()).start().await.unwrap();
        let long = "But soft! ".repeat(2_000);
        for is_cut in [false, true] {
            if is_cut {
                let AgentEvent::Offline { .. } = cut(&mut romeo).await else { panic!("something else") };
            }
            juliet.send(Message::chat(jid.clone().into()).body(&long)).await.unwrap();
            let message = loop {
                if let AgentEvent::Message(message) = next(&mut romeo).await {
                    break message;
                }
            };
            assert_eq!(message.body(), Some(long.as_str()));
            romeo.agent().send(message.reply().body(&long).to_stanza()).unwrap();
            let answer = async {
                loop {
                    if let Event::Message(message) = juliet.next().await.unwrap().unwrap() {
                        return message.body().map(String::from);
                    }
                }
            };
            let going_on = async {
                loop {
                    let _ = tokio::time::timeout(Duration::from_millis(2), romeo.next()).await;
                }
            };
            let heard = tokio::select! { heard = answer => heard, () = going_on => None };
            assert_eq!(heard.as_deref(), Some(long.as_str()));
        }

        for (name, authority) in [("localhost", &other), ("example.com", &certificate)] {
            let mut stranger = device(at, name, &der(authority), true);
            let AgentEvent::Offline { why, .. } = next(&mut stranger).await else { panic!("it is online") };
            assert!(matches!(&*why, Disconnected::Failed(_)) && why.to_string().contains("TLS"), "{why}");
        }
        server.shutdown().await;
    });
}

/// The socket breaks below TLS.
async fn cut(client: &mut DeviceClient) -> AgentEvent {
    client.link().inner().1.as_ref().expect("a socket").shutdown(Shutdown::Both).expect("a shutdown");
    next(client).await
}

fn speaks_first(at: SocketAddr) -> bool {
    let mut socket = TcpStream::connect(at).expect("a socket");
    socket.set_read_timeout(Some(Duration::from_secs(5))).expect("a time");
    socket
        .write_all(b"<?xml version='1.0'?><stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
        .expect("room");
    let mut first = [0];
    matches!(socket.read(&mut first), Ok(1)) && first == [b'<']
}
