//! The components that are attached to a server (XEP-0114): services of their own, each with a domain, over a stream that carries
//! stanzas both ways.
//!
//! As with streams to other servers there is one queue for each, whose senders take turns, and a stream is given one stanza at a time,
//! so that what was not wholly written when it broke goes to the next one, and nothing twice. What is for a component that is not there
//! comes back with `remote-server-timeout`. Who attaches again replaces the stream before.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;

use balcony_connection::{ComponentConnection, Error};
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Limits, Progress, Random, Secret, Seed};
use balcony_stanza::{ErrorCondition, Stanza, StreamCondition, StreamError};
use balcony_stream::component::{
    Component as Role, ComponentAnswer, ComponentAsk, ComponentEvent, ComponentReceivingConfig,
};

use crate::action::Ended;
use crate::deadlines::{Armed, Deadlines};
use crate::federation::{Bounds, FederationEvent, Item, Payer, Queue, Room, StreamId};
use crate::journal::{Level, one_line};
use crate::link::{Link, Next};
use crate::slots::Slots;

/// Which components may attach.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ComponentsConfig {
    /// The domain of the server, which it has at its end of a component's stream.
    pub domain: BareJid,
    /// The domains of the components, and the secret of each.
    pub components: Vec<(BareJid, Secret<String>)>,
    /// The bounds of one stream.
    pub stream: Limits,
    /// What may wait for one component from the users of this server, in bytes as [`cost`](balcony_router::cost) counts them, and from one
    /// of them a quarter of it. From other servers there may be half as much beside it, and from one of them an eighth.
    pub waiting_bytes: usize,
}

impl ComponentsConfig {
    /// These components of a server of this domain. 16 MiB may wait for each.
    #[must_use]
    pub fn new(domain: BareJid, components: Vec<(BareJid, Secret<String>)>) -> Self {
        ComponentsConfig { domain, components, stream: Limits::federated(), waiting_bytes: 16 << 20 }
    }
}

/// All components, and their streams. It wants of its owner what [`Federation`](crate::federation::Federation) wants, but for
/// looking anything up, and connecting.
pub struct Components {
    config: ComponentsConfig,
    receiving: Arc<ComponentReceivingConfig>,
    components: BTreeMap<BareJid, Component>,
    streams: Slots<StreamId, Stream>,
    deadlines: Deadlines<StreamId>,
    random: Random,
    ready: Vec<StreamId>,
    events: VecDeque<FederationEvent>,
}

/// One component.
#[derive(Default)]
struct Component {
    /// Its stream.
    stream: Option<StreamId>,
    /// The streams that it had before, until it is certain what they have written.
    leaving: Vec<StreamId>,
    queue: Queue,
    bounds: Bounds,
    /// No more is read of it: what it has sent has no room.
    is_held: bool,
}

/// One stream.
struct Stream {
    address: String,
    link: Link<Role>,
    /// The component that it is, when it is attached.
    component: Option<BareJid>,
    /// What the owner is writing.
    batch: Option<Item>,
    /// Its entry among the deadlines.
    armed: Armed,
}

impl Components {
    /// Without streams.
    #[must_use]
    pub fn new(config: ComponentsConfig, seed: &Seed) -> Self {
        let mut receiving = ComponentReceivingConfig::new(config.domain.clone(), config.components.clone());
        receiving.limits = config.stream;
        let components = config.components.iter().map(|(domain, _)| (domain.clone(), Component::default()));
        Components {
            receiving: Arc::new(receiving),
            components: components.collect(),
            config,
            streams: Slots::new(),
            deadlines: Deadlines::new(),
            random: seed.random(),
            ready: Vec::new(),
            events: VecDeque::new(),
        }
    }

    /// Whether this is the domain of a component, attached or not.
    #[must_use]
    pub fn has(&self, domain: &str) -> bool {
        self.components.contains_key(domain)
    }

    /// The next thing to do. Call it until there is none, after every other call.
    #[expect(clippy::should_implement_trait, reason = "there is more after each call")]
    pub fn next(&mut self) -> Option<FederationEvent> {
        self.events.pop_front()
    }

    /// How many streams there are.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Takes a stanza to a component. `is_local` is whether it comes from this server.
    pub fn send(&mut self, now: Instant, stanza: Stanza, is_told: bool, is_local: bool) {
        let from = stanza.head.from.as_ref().map(Jid::to_bare);
        let domain =
            || stanza.head.from.as_ref().and_then(|from| BareJid::from_parts(None, from.domainpart()).ok());
        let Some(payer) = (if is_local { from.map(Payer::Sender) } else { domain().map(Payer::Domain) })
        else {
            return;
        };
        let item = Item::new(stanza, is_told, payer);
        let to = item.stanza.head.to.as_ref().map(Jid::domainpart);
        let most = self.config.waiting_bytes;
        let Some(component) = to.and_then(|to| self.components.get_mut(to)) else { return };
        let Some(sender) = item.sender() else { return };
        let Some(id) = component.stream else {
            return self.give_back(item, ErrorCondition::RemoteServerTimeout);
        };
        let room = Room { of_senders: most, of_sender: most / 4, of_domains: most / 2, of_domain: most / 8 };
        if !component.queue.is_empty() && !component.bounds.has_room(&item.payer, item.bytes, room) {
            return self.give_back(item, ErrorCondition::ResourceConstraint);
        }
        component.bounds.add(&item.payer, item.bytes);
        component.queue.push(sender, item);
        self.wants_to_write(id);
        self.finish(now);
    }

    /// Takes in a new connection from `address`, as the log is to name it.
    pub fn accept(&mut self, now: Instant, address: String) -> StreamId {
        let connection = ComponentConnection::receiving(Arc::clone(&self.receiving), self.random.seed(), now);
        let link = Link::new(connection);
        let armed = Armed::default();
        let id = self.streams.insert(|_| Stream { address, link, component: None, batch: None, armed });
        self.ready.push(id);
        self.finish(now);
        id
    }

    /// Bytes have come. Hand in no more before [`FederationEvent::Read`].
    pub fn receive(&mut self, now: Instant, id: StreamId, bytes: &[u8]) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.link.received();
        self.advance(now, id, bytes);
        self.finish(now);
    }

    /// The peer has closed its side of the transport.
    pub fn eof(&mut self, now: Instant, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.link.eof();
        self.ready.push(id);
        self.finish(now);
    }

    /// The transport is broken, and what was taken last is not wholly written. The stream is forgotten without `Close`.
    pub fn broken(&mut self, now: Instant, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        stream.link.broken();
        self.ready.push(id);
        self.finish(now);
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty.
    pub fn take_output(&mut self, id: StreamId, buffer: &mut Vec<u8>) {
        self.fill(id);
        if let Some(stream) = self.streams.get_mut(id) {
            stream.link.take_output(buffer);
        }
    }

    /// What [`take_output`](Components::take_output) gave has been written, all of it.
    pub fn written(&mut self, now: Instant, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.link.is_broken()) else { return };
        stream.link.written();
        // A component is a process of the operator's.
        let word = stream.batch.take().and_then(|item| item.word());
        self.events.extend(word.map(|(from, to, kind)| FederationEvent::Heard { from, to, kind }));
        self.wants_to_write(id);
        self.ready.push(id);
        self.finish(now);
    }

    /// What a component has sent has no room: no more is read from its stream as long as that is so.
    pub fn hold(&mut self, now: Instant, name: &BareJid, is_held: bool) {
        let Some(component) = self.components.get_mut(name) else { return };
        component.is_held = is_held;
        self.ready.extend(component.stream);
        self.finish(now);
    }

    /// When to call [`tick`](Components::tick).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first()
    }

    /// Does what has become due. After that no [`deadline`](Components::deadline) is `now` or earlier.
    pub fn tick(&mut self, now: Instant) {
        for id in self.deadlines.due(now) {
            match self.streams.get(id).is_some_and(|stream| stream.link.has_lingered(now)) {
                true => {
                    self.forget(id);
                    self.events.push_back(FederationEvent::Close(id));
                }
                false => self.ready.push(id),
            }
        }
        self.finish(now);
    }

    /// Ends all streams with `system-shutdown`.
    pub fn shutdown(&mut self, now: Instant) {
        let ids: Vec<StreamId> = self.streams.iter().map(|(id, _)| id).collect();
        for id in ids {
            let error = StreamError::new(StreamCondition::SystemShutdown, "the server is shutting down");
            self.abort(now, id, error);
        }
        self.finish(now);
    }

    fn give_back(&mut self, item: Item, condition: ErrorCondition) {
        let Item { stanza, is_told, .. } = item;
        self.events.push_back(FederationEvent::Return { stanza, condition, is_told });
    }

    fn finish(&mut self, now: Instant) {
        while !self.ready.is_empty() {
            for id in mem::take(&mut self.ready) {
                self.advance(now, id, &[]);
            }
        }
    }

    /// Has a stream take what waits for it, as soon as the owner has written what there is, if it may.
    fn wants_to_write(&mut self, id: StreamId) {
        if self.next_for(id).is_some()
            && let Some(stream) = self.streams.get_mut(id)
            && stream.link.begin_writing()
        {
            self.events.push_back(FederationEvent::Write(id));
        }
    }

    /// The component for which something waits that this stream may take now.
    fn next_for(&mut self, id: StreamId) -> Option<&mut Component> {
        let stream = self.streams.get(id).filter(|stream| stream.link.is_open() && stream.batch.is_none())?;
        let name = stream.component.clone()?;
        let component = self.components.get_mut(&name)?;
        let may = component.stream == Some(id) && component.leaving.is_empty() && !component.queue.is_empty();
        may.then_some(component)
    }

    /// Gives a stream the next stanza, when the owner is about to write.
    fn fill(&mut self, id: StreamId) {
        let Some(component) = self.next_for(id) else { return };
        let Some(item) = component.queue.pop() else { return };
        component.bounds.release(&item.payer, item.bytes);
        let Some(stream) = self.streams.get_mut(id) else { return };
        match stream.link.connection.send(&item.stanza) {
            Ok(()) => stream.batch = Some(item),
            // It is open, and a component takes whatever is for its domain.
            Err(_) => self.give_back(item, ErrorCondition::InternalServerError),
        }
    }

    /// Whether no more is read of this stream.
    fn is_held(&self, id: StreamId) -> bool {
        let name = self.streams.get(id).and_then(|stream| stream.component.as_ref());
        name.and_then(|name| self.components.get(name)).is_some_and(|component| component.is_held)
    }

    fn advance(&mut self, now: Instant, id: StreamId, mut fresh: &[u8]) {
        let is_held = self.is_held(id);
        if let Some(stream) = self.streams.get_mut(id).filter(|stream| is_held && stream.link.is_unread()) {
            stream.link.connection.unread(now);
        }
        while let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.link.has_ended()) {
            match stream.link.step(now, &mut fresh) {
                Ok(Progress::Event(event)) => self.event(now, id, event),
                Ok(Progress::NeedInput | Progress::Blocked(_)) => break,
                Ok(Progress::Closed) => self.end(now, id, Ended::Closed),
                Err(error) => self.end(now, id, Ended::Failed(error)),
            }
        }
        self.settle(id);
    }

    fn event(&mut self, now: Instant, id: StreamId, event: ComponentEvent) {
        match event {
            ComponentEvent::Ask(ticket, ComponentAsk::Attach { component }) => {
                self.replace(now, id, &component);
                if let Some(stream) = self.streams.get_mut(id) {
                    // The ask was opened just now, and nobody else answers it.
                    let _ = stream.link.connection.answer(ticket, ComponentAnswer::Attached(true));
                }
            }
            ComponentEvent::Attached(component) => {
                let Some(stream) = self.streams.get_mut(id) else { return };
                stream.component = Some(component.clone());
                let line = format!("component {component} is attached from {}", stream.address);
                self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
                self.events.push_back(FederationEvent::Reached(component));
                self.wants_to_write(id);
            }
            ComponentEvent::Stanza(stanza) => self.events.push_back(FederationEvent::Deliver(stanza)),
        }
    }

    /// A stream is about to become a component's: the one before goes.
    fn replace(&mut self, now: Instant, id: StreamId, name: &BareJid) {
        let Some(component) = self.components.get_mut(name) else { return };
        if let Some(old) = component.stream.replace(id) {
            component.leaving.push(old);
            let text = "the component has attached again";
            self.abort(now, old, StreamError::new(StreamCondition::Conflict, text));
        }
    }

    fn abort(&mut self, now: Instant, id: StreamId, error: StreamError) {
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.link.has_ended()) else { return };
        let why = stream.link.abort(now, error);
        self.end(now, id, why);
        self.ready.push(id);
    }

    fn end(&mut self, now: Instant, id: StreamId, why: Ended) {
        let closing = self.config.stream.closing;
        let reason = match &why {
            Ended::Closed => "it has closed the stream".into(),
            Ended::Failed(error) => format!("{error}"),
        };
        let Some(stream) = self.streams.get_mut(id).filter(|stream| !stream.link.has_ended()) else { return };
        // As of a client that fails to log in.
        let is_refused = matches!(&why, Ended::Failed(Error::Stream(balcony_stream::Error::Local(error)))
            if error.condition == StreamCondition::NotAuthorized);
        let level = if is_refused { Level::Warn } else { Level::Info };
        stream.link.end(now, why, closing);
        let line = match &stream.component {
            Some(component) => format!("component {component} is gone: {reason}"),
            None => format!("the stream of a component at {} has ended: {reason}", stream.address),
        };
        self.events.push_back(FederationEvent::Log(level, one_line(line)));
    }

    /// Brings the owner and the deadlines up to date about one stream.
    fn settle(&mut self, id: StreamId) {
        let is_held = self.is_held(id);
        let Some(stream) = self.streams.get_mut(id) else { return };
        match stream.link.settle(!is_held) {
            Next::Forget => return self.forget(id),
            Next::Close => {
                self.forget(id);
                return self.events.push_back(FederationEvent::Close(id));
            }
            Next::Go { write, read } => {
                self.events.extend(write.then_some(FederationEvent::Write(id)));
                self.events.extend(read.then_some(FederationEvent::Read(id)));
            }
        }
        let deadline = || stream.link.connection.deadline().map(|deadline| deadline.at);
        let due = stream.link.closes_at().or_else(deadline);
        self.deadlines.arm(&mut stream.armed, due, || id);
    }

    /// Forgets a stream. What it has not written goes to the next one, or back if there is none.
    fn forget(&mut self, id: StreamId) {
        let Some(mut stream) = self.streams.remove(id) else { return };
        self.deadlines.arm(&mut stream.armed, None, || id);
        let is_its = |component: &Component| component.stream == Some(id) || component.leaving.contains(&id);
        let Some(component) = self.components.values_mut().find(|component| is_its(component)) else {
            return;
        };
        stream.batch.iter().for_each(|item| component.bounds.add(&item.payer, item.bytes));
        component.queue.put_back(stream.batch.into_iter().collect());
        component.leaving.retain(|leaving| *leaving != id);
        if component.stream == Some(id) {
            component.stream = None;
        }
        match component.stream {
            Some(next) => self.wants_to_write(next),
            None if component.leaving.is_empty() => {
                let items = component.queue.drain();
                component.bounds = Bounds::default();
                for item in items {
                    self.give_back(item, ErrorCondition::RemoteServerTimeout);
                }
            }
            None => {}
        }
    }
}

impl fmt::Debug for Components {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Components").field("streams", &self.streams.len()).finish_non_exhaustive()
    }
}
