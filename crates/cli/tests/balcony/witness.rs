//! A server that is a test: it writes down what the program says, and answers as it is told.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::ControlFlow::{self, Break, Continue};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{JoinHandle, spawn};

use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::ScramKeys;
use balcony_stanza::{Content, Kind, MessageType, PresenceType, Stanza};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{ServerStream, TlsPolicy};

use crate::world::PASSWORD;

/// Serves one client, and writes to each of its stanzas what `answer` does, or dies where that breaks off; returns what
/// the client has sent.
pub fn witness<F>(answer: F) -> (String, JoinHandle<Vec<Stanza>>)
where
    F: FnMut(&Stanza, &mut Vec<u8>) -> ControlFlow<()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (address, spawn(move || attend(listener.accept().unwrap().0, answer)))
}

/// Lets everybody in, and dies of the first stanza, again and again; counts its lives.
pub fn moody() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let lives = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lives);
    spawn(move || {
        for socket in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            attend(socket.unwrap(), |_, _| Break(()));
        }
    });
    (address, lives)
}

/// Does whatever is asked, and whoever is there gets a message.
pub fn polite(stanza: &Stanza, out: &mut Vec<u8>) -> ControlFlow<()> {
    stanza.result().iter().for_each(|result| result.write(out));
    if stanza.head.kind == Kind::Presence(PresenceType::Available) {
        hello("hello").write(out);
    }
    Continue(())
}

/// A message of the account to itself.
pub fn hello(text: &str) -> Stanza {
    Stanza::message(MessageType::Chat).with_payload(Content::body(text).to_payload())
}

fn attend(
    mut socket: TcpStream,
    mut answer: impl FnMut(&Stanza, &mut Vec<u8>) -> ControlFlow<()>,
) -> Vec<Stanza> {
    let mut receiving = ServerStreamConfig::new(vec!["localhost".parse().unwrap()], Secret::new([7; 32]));
    receiving.tls = TlsPolicy::None;
    let mut stream = ServerStream::new(Arc::new(receiving), Seed::from_u64(1), Instant::ZERO);
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    loop {
        let length = socket.read(&mut buffer).unwrap();
        let (mut input, mut out, mut ended) = (&buffer[..length], Vec::new(), length == 0);
        loop {
            match stream.advance(Instant::ZERO, &mut input, &mut out).unwrap() {
                Progress::Event(ServerEvent::Ask(ticket, ask)) => match *ask {
                    ServerAsk::Credentials { hash, .. } => {
                        let keys = ScramKeys::derive(hash, PASSWORD, b"salt", 4096).unwrap();
                        stream.answer(ticket, ServerAnswer::Credentials(Some(keys))).unwrap();
                    }
                    ServerAsk::Bind { account, .. } => {
                        let jid = account.with_resource("here").unwrap();
                        stream.answer(ticket, ServerAnswer::Bound(Ok(jid))).unwrap();
                    }
                    _ => {}
                },
                Progress::Event(ServerEvent::Stanza(stanza)) => {
                    let dies = answer(&stanza, &mut out) == Break(());
                    seen.push(*stanza);
                    if dies {
                        ended = true;
                        break;
                    }
                }
                Progress::Event(_) => {}
                Progress::Closed => {
                    ended = true;
                    break;
                }
                Progress::NeedInput | Progress::Blocked(_) => break,
            }
        }
        socket.write_all(&out).unwrap();
        if ended {
            return seen;
        }
    }
}
