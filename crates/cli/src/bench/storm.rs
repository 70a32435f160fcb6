//! `storm`: what good clients feel while bad ones do their worst.

use core::cell::Cell;
use core::time::Duration;
use std::rc::Rc;

use balcony_client::Presence;
use balcony_jid::Jid;
use balcony_machine::Secret;
use balcony_stanza::{Content, MessageType, Stanza};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::group::Pace;
use super::link::Link;
use super::loads::{online, pairs, resource};
use super::report::{Figures, Latency, Told};
use super::world::World;
use crate::failure::Failure;

/// Bytes of what good clients say.
const SIZE: u32 = 100;
/// Of a message to somebody who never reads.
const HEAVY: usize = 8000;
/// How long one that is half open, or garbage, stays before it comes again.
const STAY: Duration = Duration::from_secs(5);
/// How long a bad client waits where the server refuses connections.
const PAUSE: Duration = Duration::from_millis(20);

/// What the bad ones have done.
#[derive(Default)]
struct Done {
    wrong_passwords: Cell<u64>,
    let_in: Cell<u64>,
    garbage: Cell<u64>,
    half_open: Cell<u64>,
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
    let Some(groups) = pairs(world, good, pace, SIZE).await? else { return Ok(told) };
    let mut tasks = JoinSet::new();
    for group in groups {
        tasks.spawn_local(group.run());
    }
    let third = world.seconds() / 3;
    let quiet = world.measure(third, &mut tasks).await?;
    let before = (world.meter.count.take(), world.meter.times.take());

    let done = Rc::new(Done::default());
    let mut storm = JoinSet::new();
    for number in 0..bad {
        storm.spawn_local(wrong_password(world.clone(), done.clone(), number % (good * 2)));
        storm.spawn_local(garbage(world.clone(), done.clone()));
        storm.spawn_local(half_open(world.clone(), done.clone()));
        storm.spawn_local(never_reads(world.clone(), done.clone(), good * 2, number));
    }
    let loud = world.measure(world.seconds() - third, &mut tasks).await?;
    // The bad ones are not waited for.
    storm.abort_all();
    world.finish(&mut tasks).await;
    while storm.join_next().await.is_some() {}

    told.seconds = (quiet.wall + loud.wall).as_secs_f64();
    let during = (world.meter.count.get(), world.meter.times.borrow());
    if before.0 > 0 {
        told.figures.add("messages_while_quiet", before.0 as f64);
    }
    if during.0 > 0 {
        told.figures.rates("messages_in_the_storm", during.0, &loud);
    }
    let figures = &mut told.figures;
    figures.add("wrong_passwords_refused", done.wrong_passwords.get() as f64);
    figures.add("garbage_connections", done.garbage.get() as f64);
    figures.add("half_open_connections", done.half_open.get() as f64);
    figures.add("messages_to_those_who_never_read", done.unread.get() as f64);
    if done.let_in.get() > 0 {
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
    loop {
        match Link::open_with(&world, config.clone()).await {
            Ok(_) => count(&done.let_in),
            Err(reason) => {
                count(&done.wrong_passwords);
                if reason.starts_with("cannot connect") {
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// Says what is no XMPP.
async fn garbage(world: Rc<World>, done: Rc<Done>) {
    let mut number = 0_u64;
    loop {
        number += 1;
        let Ok(mut socket) = TcpStream::connect(world.address).await else {
            sleep(PAUSE).await;
            continue;
        };
        count(&done.garbage);
        let bytes = match number % 4 {
            0 => world.token(4000).into_bytes(),
            1 => (0..=255).cycle().take(4000).collect(),
            // An XML bomb, a stanza before its stream.
            2 => b"<?xml version='1.0'?><!DOCTYPE x [<!ENTITY a 'aaaaaaaa'>]><stream>&a;</stream>".to_vec(),
            _ => b"<message to='a@b'><body>x</body></message>".to_vec(),
        };
        // Whether it takes that is the server's business.
        let _ = socket.write_all(&bytes).await;
        let mut answer = [0; 4096];
        let _ = timeout(STAY, async { while matches!(socket.read(&mut answer).await, Ok(1..)) {} }).await;
    }
}

/// Begins a stream, and says no more.
async fn half_open(world: Rc<World>, done: Rc<Done>) {
    loop {
        let Ok(mut socket) = TcpStream::connect(world.address).await else {
            sleep(PAUSE).await;
            continue;
        };
        count(&done.half_open);
        let _ = socket.write_all(b"<?xml version='1.0'?><stream:stream xmlns='jabber:cl").await;
        sleep(STAY).await;
    }
}

/// Is online and reads nothing, while another one writes to it.
async fn never_reads(world: Rc<World>, done: Rc<Done>, account: u32, number: u32) {
    loop {
        // What it fails by is what the server does against it.
        let _ = send_to_deaf(&world, &done, account, number).await;
        sleep(PAUSE).await;
    }
}

async fn send_to_deaf(world: &Rc<World>, done: &Done, account: u32, number: u32) -> super::link::Result<()> {
    let mut deaf = Link::open(world, account, &resource(world, number)).await?;
    online(&mut deaf, &Presence::available().to_stanza()).await?;
    let to: Jid = deaf.jid.to_jid();
    let _socket = deaf.into_socket();
    let mut sender = Link::open(world, account + 1, &resource(world, number)).await?;
    let heavy = Content::body(&"x".repeat(HEAVY)).to_payload();
    let message: Stanza = Stanza::message(MessageType::Chat).to(to).payload(heavy);
    loop {
        while sender.send(&message)? {
            count(&done.unread);
            sender.flush().await?;
            while sender.step()?.is_some() {}
        }
        sender.exchange().await?;
    }
}
