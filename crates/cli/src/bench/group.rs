//! One who sends, and those who get it: the engine of `chat`, `fan-out`, `presence` and the good clients of `storm`.

use core::future::poll_fn;
use core::task::Poll;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use balcony_client::{MachineEvent, Presence, RequestOutcome};
use balcony_jid::Jid;
use balcony_stanza::{Content, Kind, MessageType, PresenceType, Stanza};
use tokio::time::{Instant, sleep_until};

use super::lane::{Lane, Texts, Verdict, Wrong};
use super::link::{Link, Result};
use super::world::World;

/// How long what is on its way may take when nothing more is sent. What has not come by then is missing.
const DRAIN: Duration = Duration::from_secs(10);
/// The same where somebody waits for the end.
const DRAIN_SOON: Duration = Duration::from_secs(3);
/// How long closing all of the streams may take.
const CLOSING: Duration = Duration::from_secs(1);

/// How something is said.
#[derive(Clone, Debug)]
pub(crate) enum Words {
    /// A message of this type to this address.
    Message(MessageType, Jid),
    /// Presence to all who see it.
    Presence,
}

impl Words {
    fn stanza(&self, text: &str) -> Stanza {
        match self {
            Words::Message(kind, to) => {
                Stanza::message(*kind).with_to(to.clone()).with_payload(Content::body(text).to_payload())
            }
            Words::Presence => Presence::available().status(text).to_stanza(),
        }
    }

    /// What a stanza says, if it is of this kind.
    fn read(&self, stanza: &Stanza) -> Option<String> {
        match (self, stanza.head.kind) {
            (Words::Message(..), Kind::Message(kind)) if kind != MessageType::Error => {
                Content::read(stanza).bodies.best("").map(Into::into)
            }
            (Words::Presence, Kind::Presence(PresenceType::Available)) => {
                Presence::read(stanza).statuses.best("").map(Into::into)
            }
            _ => None,
        }
    }
}

/// How much is sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// So many may be on their way.
    pub(crate) window: u32,
    /// So long from one to the next; `None`: as soon as the window lets it.
    pub(crate) interval: Option<Duration>,
}

/// All of them.
pub(crate) struct Group {
    world: Rc<World>,
    number: u32,
    words: Words,
    texts: Texts,
    pace: Pace,
    /// The sender is the first; then come those who get it; the rest get nothing.
    links: Vec<Link>,
    lanes: Vec<Lane>,
    sent: u64,
    /// When what is on its way was sent, the oldest first.
    times: VecDeque<Instant>,
    next: Instant,
}

impl Group {
    /// With `number`, by which its lanes are known; of the links behind the sender so many get what is sent.
    pub(crate) fn new(
        world: &Rc<World>,
        number: u32,
        (words, size): (Words, u32),
        pace: Pace,
        links: Vec<Link>,
        receivers: usize,
    ) -> Group {
        let texts = Texts::new(&world.run, size);
        let lanes = (0..receivers).map(|_| Lane::new(texts.clone(), number)).collect();
        let (world, next) = (world.clone(), Instant::now());
        Group { world, number, words, texts, pace, links, lanes, sent: 0, times: VecDeque::new(), next }
    }

    /// Sends and checks until it is to stop; then waits for what is on its way, and makes sure that nothing more comes.
    pub(crate) async fn run(mut self) {
        let ended = self.talk().await;
        let ended = match ended {
            Ok(()) => self.settle().await,
            Err(error) => Err(error),
        };
        if let Err(error) = ended {
            self.world.meter.failed(&error);
        }
        for (lane, link) in self.lanes.iter().zip(&self.links[1..]) {
            let lacks = lane.lacks(self.sent);
            let (from, sent) = (&self.links[0].jid, self.sent);
            let example = || format!("{lacks} of the {sent} from {from} to {}", link.jid);
            self.world.meter.wrong(Wrong::Missing, lacks, example);
        }
        let end = Instant::now() + CLOSING;
        for link in self.links {
            // Nothing depends on how it ends.
            let _ = tokio::time::timeout_at(end, link.close()).await;
        }
    }

    /// The number that all receivers have reached.
    fn reached(&self) -> u64 {
        self.lanes.iter().map(Lane::reached).min().unwrap_or(self.sent)
    }

    async fn talk(&mut self) -> Result<()> {
        let mut end = None;
        loop {
            self.take_all()?;
            if self.world.is_stopped() {
                let end = *end.get_or_insert_with(|| Instant::now() + self.drain());
                if self.reached() == self.sent || Instant::now() >= end {
                    return Ok(());
                }
            } else {
                // What is sent now leaves in one piece.
                self.fill()?;
            }
            let due = match (end, self.pace.interval) {
                (Some(end), _) => Some(end),
                (None, Some(_)) if self.has_room() => Some(self.next),
                _ => None,
            };
            self.exchange(due).await?;
        }
    }

    /// How long what is on its way may take.
    fn drain(&self) -> Duration {
        if self.world.is_interrupted() { DRAIN_SOON } else { DRAIN }
    }

    fn has_room(&self) -> bool {
        self.sent - self.reached() < u64::from(self.pace.window)
    }

    /// Sends what there is room for.
    fn fill(&mut self) -> Result<()> {
        let now = Instant::now();
        while self.has_room() && self.pace.interval.is_none_or(|_| self.next <= now) {
            let stanza = self.words.stanza(&self.texts.text(self.number, self.sent));
            if !self.links[0].send(&stanza)? {
                break;
            }
            self.sent += 1;
            self.times.push_back(now);
            if let Some(interval) = self.pace.interval {
                // What is late is not made up for.
                self.next = (self.next + interval).max(now);
            }
        }
        Ok(())
    }

    /// Looks at all that has come.
    fn take_all(&mut self) -> Result<()> {
        for place in 0..self.links.len() {
            while let Some(event) = self.links[place].step()? {
                if let MachineEvent::Stanza(stanza) = event {
                    self.take(place, &stanza);
                }
            }
        }
        let oldest = self.sent - self.times.len() as u64;
        let arrived = self.reached().saturating_sub(oldest);
        self.times.drain(..usize::try_from(arrived).unwrap_or(usize::MAX).min(self.times.len()));
        Ok(())
    }

    fn take(&mut self, place: usize, stanza: &Stanza) {
        let Group { world, words, links, lanes, sent, times, .. } = self;
        let own = &links[place].jid;
        if stanza.head.kind == Kind::Message(MessageType::Error) {
            world.meter.wrong(Wrong::Returned, 1, || format!("to {own}: {}", stanza.to_xml()));
            return;
        }
        let Some(text) = words.read(stanza) else { return };
        let from = stanza.head.from.as_ref();
        let wrong = |what| world.meter.wrong(what, 1, || format!("at {own}: {}", stanza.to_xml()));
        let Some(lane) = place.checked_sub(1).and_then(|place| lanes.get_mut(place)) else {
            // A sender sees its own presence; nobody else here is to get anything of this run.
            let is_own = place == 0 && from.is_some_and(|from| from.as_str() == own.as_str());
            if text.starts_with(&world.run) && !is_own {
                wrong(Wrong::Recipient);
            }
            return;
        };
        match lane.take(&text, *sent) {
            Verdict::Stranger => {}
            Verdict::Bad(what) => wrong(what),
            Verdict::Good(_) if from.is_none_or(|from| from.as_str() != links[0].jid.as_str()) => {
                wrong(Wrong::Sender);
            }
            Verdict::Good(_) if stanza.head.to.as_ref().is_some_and(|to| to.bare_str() != own.bare_str()) => {
                wrong(Wrong::Recipient);
            }
            Verdict::Good(number) => {
                world.meter.good();
                let oldest = *sent - times.len() as u64;
                let at = number.checked_sub(oldest).and_then(|place| times.get(usize::try_from(place).ok()?));
                // What is behind one that is missing may have been sent before all that is remembered.
                if let Some(at) = at {
                    world.meter.done(at.elapsed());
                }
            }
        }
    }

    /// Makes sure that nothing more comes: what a server delivers before it answers a ping has come then.
    async fn settle(&mut self) -> Result<()> {
        let end = Instant::now() + self.drain();
        for place in 0..self.links.len() {
            let ping = self.links[place].ping()?;
            loop {
                match self.links[place].step()? {
                    Some(MachineEvent::Response(id, outcome)) if id == ping => match outcome {
                        // Some servers don't know pings, which is an answer.
                        RequestOutcome::Result(_) | RequestOutcome::Error(_) => break,
                        _ => return Err("the server does not answer a ping".into()),
                    },
                    Some(MachineEvent::Stanza(stanza)) => self.take(place, &stanza),
                    Some(_) => {}
                    None => {
                        let exchange = self.links[place].exchange();
                        tokio::time::timeout_at(end, exchange)
                            .await
                            .unwrap_or_else(|_| Err("the server does not answer a ping".into()))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Waits until something can be done with one of the connections, it is to stop, or this time.
    async fn exchange(&mut self, due: Option<Instant>) -> Result<()> {
        let links = &mut self.links;
        let any = poll_fn(|cx| {
            let mut is_ready = false;
            for link in links.iter_mut() {
                if let Poll::Ready(result) = link.poll_exchange(cx) {
                    result?;
                    is_ready = true;
                }
            }
            if is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
        });
        let is_stopped = self.world.is_stopped();
        let (world, time) = (&self.world, due.unwrap_or_else(Instant::now));
        tokio::select! {
            biased;
            result = any => result,
            () = world.stopped(), if !is_stopped => Ok(()),
            () = sleep_until(time), if due.is_some() => Ok(()),
        }
    }
}
