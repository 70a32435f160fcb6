//! `offline`: messages to accounts that are away, which the server has to keep; and whether their users get all of them when they come.
//!
//! A message counts when the server has acknowledged it (XEP-0198): one that acknowledges no sooner than the message is safe
//! is measured with its disk. Those who write see when the others are online: what becomes of a stranger's message a server may keep to itself.

use core::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;

use balcony_client::{MachineEvent, Presence};
use balcony_jid::{BareJid, FullJid, Jid};
use balcony_stanza::{Content, Kind, MessageType, Stanza};
use balcony_stream::client::Management;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant, timeout_at};

use super::lane::{Lane, Texts, Verdict, Wrong};
use super::link::{Link, Result, named};
use super::loads::{online_seeing, resource, subscribe};
use super::report::{Figures, Latency, Told};
use super::world::World;
use crate::failure::Failure;

/// How long the server may take to acknowledge the next message, or to deliver the next one of those it has kept.
const PATIENCE: Duration = Duration::from_secs(60);
/// Readers that come at the same time.
pub(crate) const PARALLEL: usize = 32;

/// How much is written to whom.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) readers: u32,
    /// To each of them.
    pub(crate) messages: u32,
    pub(crate) writers: u32,
    /// Of each writer so many that are not acknowledged.
    pub(crate) window: u32,
    pub(crate) size: u32,
}

/// Messages to accounts that are away, and then these come.
pub(crate) async fn offline(world: &Rc<World>, amount: Amount) -> core::result::Result<Told, Failure> {
    let Amount { readers, messages, writers, window, size } = amount;
    let settings = Figures::default()
        .with("readers", readers)
        .with("messages_to_each", messages)
        .with("writers", writers)
        .with("window", window)
        .with("size_bytes", size);
    let mut told = Told { settings, ..Told::default() };
    let mut links = Vec::new();
    for number in 0..writers {
        let mut config = world.config(number, &resource(world, 0))?;
        config.stream.management = Management::Count;
        let Some(link) = world.unless_stopped(Link::open_with(world, config)).await else { return Ok(told) };
        links.push(link.map_err(|error| Failure::new(named(world, number, error)))?);
    }
    let texts = Texts::new(&world.run, size);
    let froms: Vec<FullJid> = links.iter().map(|link| link.jid.clone()).collect();
    let of = |writer: u32| (0..readers).filter(move |reader| reader % writers == writer);
    let mut befriended = JoinSet::new();
    for (number, link) in (0..writers).zip(links) {
        let (world, readers) = (world.clone(), of(number).map(|reader| writers + reader).collect());
        befriended.spawn_local(async move { (number, befriend(&world, link, readers).await) });
    }
    let mut links = BTreeMap::new();
    loop {
        let Some(next) = world.unless_stopped(befriended.join_next()).await else { return Ok(told) };
        let Some(next) = next else { break };
        let (number, link) = next.map_err(|error| Failure::new(error.to_string()))?;
        links.insert(number, link.map_err(Failure::new)?);
    }
    let returned = Returned::default();
    let mut tasks = JoinSet::new();
    for (number, link) in links {
        let readers = of(number).map(|reader| Ok((reader, world.account(writers + reader)?)));
        let readers = readers.collect::<core::result::Result<Vec<_>, Failure>>()?;
        let (world, texts, returned) = (world.clone(), texts.clone(), returned.clone());
        let unacknowledged = VecDeque::new();
        let writer = Writer { world, link, texts, readers, messages, window, unacknowledged, returned };
        tasks.spawn_local(writer.run());
    }
    let stretch = world.measure_all(&mut tasks).await;
    let count = world.meter.count.get();
    if count > 0 {
        told.figures.rates("messages", count, &stretch);
    }
    told.seconds = stretch.wall.as_secs_f64();
    let times = world.meter.times.borrow().percentiles();
    told.latency.extend(times.map(|millis| Latency { of: "until it is acknowledged", millis }));
    if world.is_stopped() {
        world.finish(&mut tasks).await;
        return Ok(told);
    }
    let places = Rc::new(Semaphore::new(PARALLEL));
    for reader in 0..readers {
        let (world, texts, places) = (world.clone(), texts.clone(), places.clone());
        let (from, account) = (froms[(reader % writers) as usize].clone(), world.account(writers + reader)?);
        let (number, sent) = (writers + reader, u64::from(messages));
        let returned = returned.borrow().get(&account).copied().unwrap_or_default();
        tasks.spawn_local(async move {
            let _place = places.acquire().await;
            let mut waiting =
                Waiting { from, lane: Lane::new(texts, reader), sent, due: sent.saturating_sub(returned) };
            let result = world.unless_stopped(waiting.read(&world, number)).await;
            if let Some(Err(error)) = result {
                world.meter.failed(&error);
            }
            // Of those who had no time to come nobody knows.
            if !world.is_stopped() {
                let missing = waiting.lane.lacks(sent).saturating_sub(returned);
                let example = || format!("{missing} of the {sent} from {} to {account}", waiting.from);
                world.meter.wrong(Wrong::Missing, missing, example);
            }
        });
    }
    let reading = world.measure_all(&mut tasks).await;
    if !world.is_stopped() && !reading.wall.is_zero() {
        let good = world.meter.good.get() as f64;
        told.figures.add("messages_read_per_second", good / reading.wall.as_secs_f64());
    }
    world.finish(&mut tasks).await;
    Ok(told)
}

/// Has a writer see when these accounts are online, which then go.
async fn befriend(world: &Rc<World>, writer: Link, readers: Vec<u32>) -> Result<Link> {
    let mut links = vec![writer];
    for reader in readers {
        let link = Link::open(world, reader, &resource(world, 0)).await;
        links.insert(0, link.map_err(|error| named(world, reader, error))?);
        subscribe(world, &mut links).await?;
        links.remove(0).close().await?;
    }
    links.pop().ok_or_else(|| "there is no writer".into())
}

/// How many messages to an account have come back as errors.
type Returned = Rc<RefCell<HashMap<BareJid, u64>>>;

/// One that writes to those who are away.
struct Writer {
    world: Rc<World>,
    link: Link,
    texts: Texts,
    /// To whom, and with which number.
    readers: Vec<(u32, BareJid)>,
    messages: u32,
    window: u32,
    /// When what is not acknowledged was sent, the oldest first.
    unacknowledged: VecDeque<Instant>,
    returned: Returned,
}

impl Writer {
    async fn run(mut self) {
        match self.write().await {
            Ok(()) => drop(self.link.close().await),
            Err(error) => self.world.meter.failed(&error),
        }
    }

    /// Writes all, a message to each and then the next one, and waits until all are acknowledged.
    async fn write(&mut self) -> Result<()> {
        if !self.link.counts_sent() {
            return Err(
                "the server does not acknowledge stanzas (XEP-0198), so nobody knows what it has kept".into(),
            );
        }
        let readers = self.readers.len() as u64;
        let all = readers * u64::from(self.messages);
        // So many were sent in all, and when the server was last asked what it has got.
        let (mut next, mut asked) = (0, 0);
        let mut end = Instant::now() + PATIENCE;
        while next < all || !self.unacknowledged.is_empty() {
            while let Some(event) = self.link.step()? {
                match event {
                    MachineEvent::Acknowledged(_) => {
                        if let Some(sent) = self.unacknowledged.pop_front() {
                            self.world.meter.done(sent.elapsed());
                        }
                        end = Instant::now() + PATIENCE;
                    }
                    MachineEvent::Stanza(stanza) if stanza.head.kind == Kind::Message(MessageType::Error) => {
                        if let Some(from) = &stanza.head.from {
                            *self.returned.borrow_mut().entry(from.to_bare()).or_default() += 1;
                        }
                        let own = &self.link.jid;
                        self.world
                            .meter
                            .wrong(Wrong::Returned, 1, || format!("to {own}: {}", stanza.to_xml()));
                    }
                    _ => {}
                }
            }
            if self.world.is_stopped() {
                return Ok(());
            }
            while next < all && self.unacknowledged.len() < self.window as usize {
                let (reader, account) = &self.readers[(next % readers) as usize];
                let text = self.texts.text(*reader, next / readers);
                let message = Stanza::message(MessageType::Chat)
                    .with_to(account.to_jid())
                    .with_id(next.to_string())
                    .with_payload(Content::body(&text).to_payload());
                if !self.link.send(&message)? {
                    break;
                }
                self.unacknowledged.push_back(Instant::now());
                next += 1;
            }
            // What was sent since it was asked it may not tell of by itself.
            if asked < next && asked <= next - self.unacknowledged.len() as u64 {
                self.link.request_ack();
                asked = next;
            }
            if self.unacknowledged.is_empty() {
                continue;
            }
            let exchange = timeout_at(end, self.link.exchange());
            match self.world.unless_stopped(exchange).await {
                None => return Ok(()),
                Some(Ok(done)) => done?,
                Some(Err(_)) => return Err("the server has acknowledged nothing for a minute".into()),
            }
        }
        Ok(())
    }
}

/// What waits for an account.
struct Waiting {
    from: FullJid,
    lane: Lane,
    /// So many messages were sent, and so many of them have to come.
    sent: u64,
    due: u64,
}

impl Waiting {
    /// Comes online with the account of this number, and looks at all that has waited.
    async fn read(&mut self, world: &Rc<World>, account: u32) -> Result<()> {
        let mut link = Link::open(world, account, &resource(world, 0)).await?;
        link.send(&Presence::available().to_stanza())?;
        let mut end = Instant::now() + PATIENCE;
        while self.due > 0 {
            match link.step()? {
                Some(MachineEvent::Stanza(stanza)) => {
                    self.take(world, &link, &stanza);
                    end = Instant::now() + PATIENCE;
                }
                Some(_) => {}
                None => match timeout_at(end, link.exchange()).await {
                    Ok(done) => done?,
                    // What has not come is missing, which is told.
                    Err(_) => break,
                },
            }
        }
        // What comes twice comes before this is answered.
        let (mut late, available) = (Vec::new(), Presence::available().to_stanza());
        online_seeing(&mut link, &available, |stanza| late.push(stanza.clone())).await?;
        late.iter().for_each(|stanza| self.take(world, &link, stanza));
        link.close().await
    }

    fn take(&mut self, world: &World, link: &Link, stanza: &Stanza) {
        if !matches!(stanza.head.kind, Kind::Message(_)) {
            return;
        }
        let own = &link.jid;
        let wrong = |what| world.meter.wrong(what, 1, || format!("at {own}: {}", stanza.to_xml()));
        let content = Content::read(stanza);
        let Some(text) = content.bodies.best("") else { return };
        let verdict = self.lane.take(text, self.sent);
        if verdict != Verdict::Stranger {
            self.due = self.due.saturating_sub(1);
        }
        let is_from = |sender: &Jid| sender.as_str() == self.from.as_str();
        match verdict {
            Verdict::Stranger => {}
            Verdict::Bad(what) => wrong(what),
            Verdict::Good(_) if !stanza.head.from.as_ref().is_some_and(is_from) => wrong(Wrong::Sender),
            Verdict::Good(_) => world.meter.good(),
        }
    }
}
