//! A small server on sockets that block, without a runtime: two threads for each connection, and one that owns the server.
//!
//! `cargo run -p balcony-examples --example server_blocking -- 127.0.0.1:5222 romeo:secret juliet:another`
//!
//! The server itself, a `Shard`, has neither sockets nor threads nor a clock. It is told what has happened, and says what is to be done. Its
//! accounts are in memory. There is no TLS, so listen on an address of this machine only; `docs/two-servers.md` shows a real one.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "it has its own clock and sockets")]

use core::time::Duration;
use std::collections::BTreeMap;
use std::io::{Read as _, Result, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::{thread, time::Instant as Clock};

use balcony_examples::Failure;
use balcony_jid::BareJid;
use balcony_machine::{Instant, Secret, Seed};
use balcony_router::Memory;
use balcony_sasl::{Credentials, MIN_ITERATIONS};
use balcony_server::{
    Acceptor, Answer, Ask, ConnectionId, Entry, Input, ServerConfig, Shard, Todo, Transport,
};
use balcony_stream::TlsPolicy;
use balcony_stream::server::{ServerAnswer, ServerAsk};

/// What the threads of sockets tell the one of the server.
enum Happened {
    Connected(Result<TcpStream>),
    /// No bytes: the peer has closed its side.
    Read(ConnectionId, Result<Vec<u8>>),
    Written(ConnectionId, Result<()>),
}

/// What the thread of the server keeps of a socket, to reach its two threads.
struct Peer {
    socket: TcpStream,
    /// A word for each piece that may be read: no more is, so that nobody fills our memory.
    read_on: Sender<()>,
    write: Sender<Vec<u8>>,
    entry: Entry,
}

/// What logins are checked against, and all else that is kept for accounts.
type Accounts = (BTreeMap<BareJid, Credentials>, Memory);
type Tell = SyncSender<Happened>;

fn main() -> core::result::Result<(), Failure> {
    let mut words = std::env::args().skip(1);
    let listener = TcpListener::bind(words.next().ok_or("where to listen is not said")?)?;
    let (mut random, mut accounts) = ([0; 32], Accounts::default());
    getrandom::fill(&mut random)?;
    let mut seed = Seed::new(random).random();
    for word in words {
        let (name, password) = word.split_once(':').ok_or("an account is NAME:PASSWORD")?;
        let (account, mut salt) = (BareJid::parse(&format!("{name}@localhost"))?, [0; 16]);
        seed.fill(&mut salt);
        accounts.0.insert(account.clone(), Credentials::derive(password, &salt, MIN_ITERATIONS)?);
        accounts.1.create(account);
    }
    let mut config = ServerConfig::new(vec!["localhost".parse()?], Secret::new(random));
    config.tls = TlsPolicy::None;
    let shard = Shard::new(config, seed.seed());
    println!("listening on {}", listener.local_addr()?);
    let (tell, happened) = sync_channel(64);
    let accepted = tell.clone();
    // Where no file descriptors are left, say, the next error would come at once.
    let pause = |_: &std::io::Error| thread::sleep(Duration::from_millis(100));
    let accept = move |one: Result<_>| accepted.send(Happened::Connected(one.inspect_err(pause)));
    thread::Builder::new().spawn(move || listener.incoming().try_for_each(accept))?;
    serve(shard, &mut accounts, &tell, &happened)
}

/// Waits for what happens, or until something is due; tells the server; and does what it says.
fn serve(mut shard: Shard<Peer>, accounts: &mut Accounts, tell: &Tell, happened: &Receiver<Happened>) -> ! {
    let (clock, mut acceptor) = (Clock::now(), Acceptor::new(300)); // Of three descriptors each.
    let now = || Instant::from_elapsed(clock.elapsed());
    loop {
        let due = if shard.has_more() { Some(now()) } else { shard.deadline() };
        let wait = due.map_or(Duration::from_secs(3_600), |due| due - now());
        // Nothing may have happened until then. All that has is told before anything is done: that makes one write of many messages.
        for one in happened.recv_timeout(wait).into_iter().chain(happened.try_iter()) {
            match one {
                Happened::Connected(Err(error)) => println!("nobody comes in: {error}"),
                Happened::Connected(Ok(socket)) => connected(&mut shard, &mut acceptor, now(), socket, tell),
                Happened::Read(id, Ok(bytes)) if bytes.is_empty() => shard.handle(now(), Input::Eof(id)),
                Happened::Read(id, Ok(bytes)) => shard.handle(now(), Input::Received(id, &bytes)),
                Happened::Written(id, Ok(())) => shard.handle(now(), Input::Written(id)),
                Happened::Read(id, _) | Happened::Written(id, _) => shard.handle(now(), Input::Broken(id)),
            }
        }
        shard.tick(now());
        while let Some(todo) = shard.next() {
            match todo {
                // A thread that has ended has said that the socket is broken. What one has not read by `ReadNow` may be lost.
                Todo::Write(peer, bytes) => peer.write.send(bytes).unwrap_or_default(),
                Todo::Read(peer) => peer.read_on.send(()).unwrap_or_default(),
                Todo::ReadNow(id, _) => shard.handle(now(), Input::NothingYet(id)),
                Todo::Close(Peer { socket, entry, .. }) => {
                    acceptor.leave(now(), entry);
                    socket.shutdown(Shutdown::Both).unwrap_or_default(); // It may be gone already.
                }
                Todo::Ask(ticket, ask) => shard.handle(now(), Input::Answer(ticket, answer(accounts, ask))),
                Todo::Log(_, line) => println!("{line}"),
                // It talks to no other servers, and is one shard.
                Todo::Resolve(..) | Todo::Connect(..) | Todo::GiveUp(_) => {}
            }
        }
    }
}

/// Takes in a socket, if there is room, with a thread that reads and one that writes.
fn connected(shard: &mut Shard<Peer>, acceptor: &mut Acceptor, now: Instant, socket: TcpStream, tell: &Tell) {
    let from = socket.peer_addr().map_or_else(|_| "somewhere".into(), |from| from.to_string());
    let Ok(entry) = acceptor.enter(now, shard.config(), Transport::Stream, &from) else { return };
    let (Ok(mut reader), Ok(mut writer)) = (socket.try_clone(), socket.try_clone()) else {
        return acceptor.leave(now, entry);
    };
    let ((read_on, may_read), (write, to_write)) = (channel(), channel::<Vec<u8>>());
    let id =
        shard.accept(now, Transport::Stream, from, entry.origin(), Peer { socket, read_on, write, entry });
    let (read, written, mut buffer) = (tell.clone(), tell.clone(), [0; 4_096]);
    let reads = thread::Builder::new().spawn(move || {
        loop {
            let bytes = reader.read(&mut buffer).map(|count| buffer[..count].to_vec());
            let is_over = bytes.as_ref().map_or(true, Vec::is_empty);
            if read.send(Happened::Read(id, bytes)).is_err() || is_over || may_read.recv().is_err() {
                return;
            }
        }
    });
    let write = move |bytes: Vec<u8>| written.send(Happened::Written(id, writer.write_all(&bytes)));
    let writes = thread::Builder::new().spawn(move || to_write.into_iter().try_for_each(write));
    reads.and(writes).map_or_else(|_| shard.handle(now, Input::Broken(id)), drop); // No thread is left for it.
}

fn answer((passwords, kept): &mut Accounts, ask: Ask) -> Answer {
    match ask {
        Ask::Stream(ServerAsk::Credentials { account, hash }) => {
            let known = passwords.get(&account).and_then(|account| account.get(hash));
            Answer::Stream(ServerAnswer::Credentials(known.cloned()))
        }
        // Nobody logs in by a plain password where there is no TLS, and accounts are made above.
        Ask::Stream(_) => Answer::Stream(ServerAnswer::Unavailable),
        Ask::Router(ask) => Answer::Router(kept.answer(0, ask)),
        Ask::Sessions { .. } => Answer::Sessions(false),
        Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
    }
}
