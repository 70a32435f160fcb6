//! `storm`: what good clients feel while bad ones do their worst.

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::BTreeMap;
use std::rc::Rc;

use balcony_client::{MachineEvent, Presence};
use balcony_jid::Jid;
use balcony_machine::Secret;
use balcony_stanza::{Content, MessageType, Stanza, StanzaError};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::group::Pace;
use super::link::{Link, PATIENCE, open_all};
use super::loads::{online, pairs, resource};
use super::report::{Bad, Figures, Latency, Told};
use super::world::{World, tell};
use crate::failure::{Failure, reason};

/// Bytes of what good clients say.
const SIZE: u32 = 100;
/// Of a message to somebody who never reads.
const HEAVY: usize = 8000;
/// How long one that is half open, or garbage, stays before it comes again.
const STAY: Duration = Duration::from_secs(5);
/// How long a bad client waits where the server refuses connections.
const PAUSE: Duration = Duration::from_millis(20);

/// What has become of the bad ones of one kind.
#[derive(Default)]
struct Tally {
    tried: Cell<u64>,
    /// Not accepted, by reason.
    refused: RefCell<BTreeMap<String, u64>>,
    /// Ended, by reason.
    ended: RefCell<BTreeMap<String, u64>>,
}

impl Tally {
    /// One more tries to connect.
    async fn connect(&self, world: &World) -> Option<TcpStream> {
        self.tried.set(self.tried.get() + 1);
        match world.connect().await {
            Ok(socket) => Some(socket),
            Err(error) => {
                tell(&mut self.refused.borrow_mut(), &error.to_string());
                sleep(PAUSE).await;
                None
            }
        }
    }

    /// One is over.
    fn ended(&self, reason: &str) {
        tell(&mut self.ended.borrow_mut(), reason);
    }

    fn told(&self, kind: &'static str) -> Bad {
        Bad::new(kind, self.tried.get(), self.refused.take(), self.ended.take())
    }
}

/// What the bad ones have done.
#[derive(Default)]
struct Done {
    wrong_passwords: Tally,
    let_in: Cell<u64>,
    garbage: Tally,
    half_open: Tally,
    deaf: Tally,
    unread: Cell<u64>,
}

fn count(cell: &Cell<u64>) {
    cell.set(cell.get() + 1);
}

/// Good pairs for as long as was said; the bad ones come after a third of that.
pub(crate) async fn storm(world: &Rc<World>, good: u32, rate: u32, bad: u32) -> Result<Told, Failure> {
    let settings = Figures::default().with("pairs", good).with("rate", rate).with("bad_of_each_kind", bad);
    let mut told = Told { settings, ..Told::default() };
    let pace = Pace { window: 1000, interval: Some(Duration::from_secs(1) / rate) };
    // Those who never read, and those who write to them, have to be let in.
    let deaf: Vec<_> = (0..2).map(|account| (good * 2 + account, resource(world, 0))).collect();
    let Some(links) = open_all(world, &deaf).await.map_err(Failure::new)? else { return Ok(told) };
    for link in links {
        let Some(closed) = world.unless_stopped(link.close()).await else { return Ok(told) };
        closed.map_err(Failure::new)?;
    }
    let Some(groups) = pairs(world, good, pace, SIZE).await? else { return Ok(told) };
    let mut tasks = JoinSet::new();
    for group in groups {
        tasks.spawn_local(group.run());
    }
    let third = world.seconds() / 3;
    let quiet = world.measure(third, &mut tasks).await;
    let before = (world.meter.count.take(), world.meter.times.take());

    let done = Rc::new(Done::default());
    let mut storm = JoinSet::new();
    for number in 0..bad {
        storm.spawn_local(wrong_password(world.clone(), done.clone(), number % (good * 2)));
        storm.spawn_local(garbage(world.clone(), done.clone()));
        storm.spawn_local(half_open(world.clone(), done.clone()));
        storm.spawn_local(never_reads(world.clone(), done.clone(), good * 2, number));
    }
    let loud = world.measure(world.seconds() - third, &mut tasks).await;
    // The bad ones are not waited for.
    storm.shutdown().await;
    world.finish(&mut tasks).await;

    told.seconds = (quiet.wall + loud.wall).as_secs_f64();
    let during = (world.meter.count.get(), world.meter.times.borrow());
    if before.0 > 0 {
        told.figures.add("messages_while_quiet", before.0);
    }
    if during.0 > 0 {
        told.figures.rates("messages_in_the_storm", during.0, &loud);
    }
    told.figures.add("messages_to_those_who_never_read", done.unread.get());
    told.bad = vec![
        done.wrong_passwords.told("wrong passwords"),
        done.garbage.told("garbage"),
        done.half_open.told("half-open"),
        done.deaf.told("never reading"),
    ];
    for _ in 0..done.let_in.get() {
        world.meter.failed("a wrong password was accepted");
    }
    let rows = [("while it is quiet", before.1.percentiles()), ("in the storm", during.1.percentiles())];
    told.latency.extend(rows.into_iter().filter_map(|(of, millis)| Some(Latency { of, millis: millis? })));
    Ok(told)
}

/// Logs in with a password that is wrong, again and again.
async fn wrong_password(world: Rc<World>, done: Rc<Done>, account: u32) {
    let Ok(mut config) = world.config(account, "wrong") else { return };
    config.stream.password = Secret::new(format!("not {}", world.run));
    let tally = &done.wrong_passwords;
    loop {
        let Some(socket) = tally.connect(&world).await else { continue };
        match timeout(PATIENCE, Link::login(&world, socket, config.clone())).await {
            Ok(Ok(_)) => {
                count(&done.let_in);
                tally.ended("it was accepted");
            }
            Ok(Err(error)) => tally.ended(&error.to_string()),
            Err(_) => tally.ended("no answer within a minute"),
        }
    }
}

/// Says what is no XMPP.
async fn garbage(world: Rc<World>, done: Rc<Done>) {
    let mut number = 0_u64;
    loop {
        number += 1;
        let Some(mut socket) = done.garbage.connect(&world).await else { continue };
        let bytes = match number % 4 {
            0 => world.token(4000).into_bytes(),
            1 => (0..=255).cycle().take(4000).collect(),
            // An XML bomb, a stanza before its stream.
            2 => b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaaaaaa'>]><stream>&a;</stream>".to_vec(),
            _ => b"<message to='a@b'><body>x</body></message>".to_vec(),
        };
        // Whether it takes that is the server's business.
        let _ = socket.write_all(&bytes).await;
        done.garbage.ended(&end(&mut socket).await);
    }
}

/// Begins a stream, and says no more.
async fn half_open(world: Rc<World>, done: Rc<Done>) {
    loop {
        let Some(mut socket) = done.half_open.connect(&world).await else { continue };
        let _ = socket.write_all(b"<?xml version='1.0'?><stream:stream xmlns='jabber:cl").await;
        done.half_open.ended(&end(&mut socket).await);
    }
}

/// How the server ends a connection; it is given up after a while if it does not.
async fn end(socket: &mut TcpStream) -> String {
    let (mut said, mut chunk) = (Vec::new(), [0; 4096]);
    let until = async {
        loop {
            match socket.read(&mut chunk).await {
                Ok(0) => return None,
                Ok(count) => {
                    said.extend_from_slice(&chunk[..count]);
                    // The end of it says why.
                    said.drain(..said.len().saturating_sub(chunk.len()));
                }
                Err(error) => return Some(reason(&error)),
            }
        }
    };
    match timeout(STAY, until).await {
        Err(_) => format!("left by the client after {} s", STAY.as_secs()),
        Ok(how) => match (condition(&said), how) {
            (Some(condition), _) => format!("by the server: {condition}"),
            (None, None) => "by the server, without a word".into(),
            (None, Some(reason)) => reason,
        },
    }
}

/// The condition of the stream error that was said (RFC 6120 section 4.9.3), if one was.
fn condition(said: &[u8]) -> Option<String> {
    let said = String::from_utf8_lossy(said);
    let before = said.split_once("urn:ietf:params:xml:ns:xmpp-streams")?.0;
    let name = before.rsplit_once('<')?.1;
    Some(name.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect())
}

/// Is online and reads nothing, while another one writes to it.
async fn never_reads(world: Rc<World>, done: Rc<Done>, account: u32, number: u32) {
    loop {
        let Some(socket) = done.deaf.connect(&world).await else { continue };
        // What it fails by is what the server does against it.
        if let Err(reason) = send_to_deaf(&world, &done, socket, account, number).await {
            done.deaf.ended(&reason);
        }
        sleep(PAUSE).await;
    }
}

async fn send_to_deaf(
    world: &Rc<World>,
    done: &Done,
    socket: TcpStream,
    account: u32,
    number: u32,
) -> super::link::Result<()> {
    let config = world.config(account, &resource(world, number)).map_err(|failure| failure.to_string())?;
    let login = timeout(PATIENCE, Link::login(world, socket, config)).await;
    let mut deaf = login.map_err(|_| "no answer within a minute")?.map_err(|error| error.to_string())?;
    online(&mut deaf, &Presence::available().to_stanza()).await?;
    let to: Jid = deaf.jid.to_jid();
    let _socket = deaf.into_socket();
    let sender = Link::open(world, account + 1, &resource(world, number)).await;
    let mut sender = sender.map_err(|reason| format!("who was to write to it: {reason}"))?;
    let heavy = Content::body("x".repeat(HEAVY)).to_payload();
    let message: Stanza = Stanza::message(MessageType::Chat).with_to(to).with_payload(heavy);
    loop {
        while sender.send(&message)? {
            count(&done.unread);
            sender.flush().await?;
            while let Some(event) = sender.step()? {
                if let MachineEvent::Stanza(stanza) = event
                    && stanza.head.kind.is_error()
                {
                    let error = stanza
                        .payload
                        .parse()
                        .ok()
                        .and_then(|content| StanzaError::from_payload(content.root()));
                    let error = error
                        .map_or_else(|| "for no reason given".into(), |error| error.condition.to_string());
                    return Err(format!("what is sent to it comes back: {error}"));
                }
            }
        }
        sender.exchange().await?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_condition_of_a_stream_error_is_found() {
        let error = "<stream:error><not-well-formed xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>";
        assert_eq!(condition(error.as_bytes()), Some("not-well-formed".into()));
        assert_eq!(condition(b"<stream:features/></stream:stream>"), None);
        assert_eq!(condition(&[0xff, b'<']), None);
    }
}
