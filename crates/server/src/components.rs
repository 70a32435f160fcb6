//! The components that are attached to a server (XEP-0114): services of their own, each with a domain, over a stream that carries
//! stanzas both ways.
//!
//! As with streams to other servers there is one queue for each, whose senders take turns, and a stream is given one stanza at a time,
//! so that what was not wholly written when it broke goes to the next one, and nothing twice. What is for a component that is not there
//! comes back with `remote-server-timeout`. Who attaches again replaces the stream before.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::mem;
use core::time::Duration;

use balcony_connection::ComponentConnection;
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Limits, On, Progress, Random, Secret, Seed};
use balcony_stanza::{ErrorCondition, Stanza, StreamCondition, StreamError};
use balcony_stream::component::{ComponentAnswer, ComponentAsk, ComponentEvent, ComponentReceivingConfig};
use slab::Slab;

use crate::federation::{Bounds, FederationEvent, Item, Payer, Queue, Room, StreamId};
use crate::journal::{Level, one_line};

/// A time that is later than now, and short.
const SOON: Duration = Duration::from_millis(1);

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
    /// What may wait for one component from the users of this server, in bytes as [`cost`](balcony_router::cost) counts them. From
    /// other servers there may be half as much beside it, and from one of them an eighth.
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
    links: Slab<Box<Link>>,
    generation: u32,
    deadlines: BTreeSet<(Instant, StreamId)>,
    random: Random,
    ready: Vec<StreamId>,
    events: VecDeque<FederationEvent>,
}

/// One component.
#[derive(Default)]
struct Component {
    /// Its stream.
    link: Option<StreamId>,
    /// The streams that it had before, until it is certain what they have written.
    leaving: Vec<StreamId>,
    queue: Queue,
    bounds: Bounds,
}

/// One stream.
struct Link {
    id: StreamId,
    address: String,
    connection: ComponentConnection,
    /// The component that it is, when it is attached.
    component: Option<BareJid>,
    input: Vec<u8>,
    out: Vec<u8>,
    writing: bool,
    unread: bool,
    ended: bool,
    eof: bool,
    broken: bool,
    /// What the owner is writing.
    batch: Option<Item>,
    deadline: Option<Instant>,
    until: Option<Instant>,
}

impl Components {
    /// Without streams.
    #[must_use]
    pub fn new(config: ComponentsConfig, seed: &Seed) -> Self {
        let mut receiving = ComponentReceivingConfig::new(config.domain.clone(), config.components.clone());
        receiving.limits = config.stream.clone();
        let components = config.components.iter().map(|(domain, _)| (domain.clone(), Component::default()));
        Components {
            receiving: Arc::new(receiving),
            components: components.collect(),
            config,
            links: Slab::new(),
            generation: 0,
            deadlines: BTreeSet::new(),
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
        self.links.len()
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
        let Some(id) = component.link else {
            return self.give_back(item, ErrorCondition::RemoteServerTimeout);
        };
        let room = Room { of_senders: most, of_sender: most, of_domains: most / 2, of_domain: most / 8 };
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
        self.generation = self.generation.wrapping_add(1) & (u32::MAX >> 2);
        let connection = ComponentConnection::receiving(Arc::clone(&self.receiving), self.random.seed(), now);
        let entry = self.links.vacant_entry();
        let id = StreamId(u64::from(self.generation) << 32 | (entry.key() as u64 & u64::from(u32::MAX)));
        entry.insert(Box::new(Link {
            id,
            address,
            connection,
            component: None,
            input: Vec::new(),
            out: Vec::new(),
            writing: false,
            unread: false,
            ended: false,
            eof: false,
            broken: false,
            batch: None,
            deadline: None,
            until: None,
        }));
        self.ready.push(id);
        self.finish(now);
        id
    }

    /// Bytes have come. Hand in no more before [`FederationEvent::Read`].
    pub fn receive(&mut self, now: Instant, id: StreamId, bytes: &[u8]) {
        let Some(link) = self.link(id) else { return };
        (link.unread, link.input) = (true, [mem::take(&mut link.input).as_slice(), bytes].concat());
        self.ready.push(id);
        self.finish(now);
    }

    /// The peer has closed its side of the transport.
    pub fn eof(&mut self, now: Instant, id: StreamId) {
        let Some(link) = self.link(id) else { return };
        link.eof = true;
        self.ready.push(id);
        self.finish(now);
    }

    /// The transport is broken, and what was taken last is not wholly written. The stream is forgotten without `Close`.
    pub fn broken(&mut self, now: Instant, id: StreamId) {
        let Some(link) = self.link(id) else { return };
        (link.eof, link.broken) = (true, true);
        self.ready.push(id);
        self.finish(now);
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty.
    pub fn take_output(&mut self, id: StreamId, buffer: &mut Vec<u8>) {
        self.fill(id);
        if let Some(link) = self.link(id) {
            // Without TLS it can't fail.
            let _ = link.connection.flush(&mut link.out);
            mem::swap(buffer, &mut link.out);
        }
    }

    /// What [`take_output`](Components::take_output) gave has been written, all of it.
    pub fn written(&mut self, now: Instant, id: StreamId) {
        let Some(link) = self.link(id) else { return };
        (link.writing, link.batch) = (false, None);
        self.wants_to_write(id);
        self.ready.push(id);
        self.finish(now);
    }

    /// When to call [`tick`](Components::tick).
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Does what has become due. After that no [`deadline`](Components::deadline) is `now` or earlier.
    pub fn tick(&mut self, now: Instant) {
        let due = self.deadlines.iter().take_while(|(at, _)| *at <= now).map(|(_, id)| *id);
        let due: Vec<StreamId> = due.collect();
        for id in due {
            match self.link(id).and_then(|link| link.until).is_some_and(|until| now >= until) {
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
        let ids: Vec<StreamId> = self.links.iter().map(|(_, link)| link.id).collect();
        for id in ids {
            let error = StreamError::new(StreamCondition::SystemShutdown, "the server is shutting down");
            self.abort(now, id, error);
        }
        self.finish(now);
    }

    fn link(&mut self, id: StreamId) -> Option<&mut Link> {
        let key = (id.0 & u64::from(u32::MAX)) as usize;
        self.links.get_mut(key).map(Box::as_mut).filter(|link| link.id == id)
    }

    fn give_back(&mut self, item: Item, condition: ErrorCondition) {
        let Item { stanza, is_told, .. } = item;
        self.events.push_back(FederationEvent::Return { stanza, condition, is_told });
    }

    fn finish(&mut self, now: Instant) {
        while !self.ready.is_empty() {
            for id in mem::take(&mut self.ready) {
                self.advance(now, id);
            }
        }
    }

    /// Has a stream take what waits for it, as soon as the owner has written what there is, if it may.
    fn wants_to_write(&mut self, id: StreamId) {
        if self.next_for(id).is_some()
            && let Some(link) = self.link(id).filter(|link| !link.writing)
        {
            link.writing = true;
            self.events.push_back(FederationEvent::Write(id));
        }
    }

    /// The component for which something waits that this stream may take now.
    fn next_for(&mut self, id: StreamId) -> Option<&mut Component> {
        let link = self.link(id).filter(|link| !link.ended && link.batch.is_none())?;
        let name = link.component.clone().filter(|_| link.connection.is_open())?;
        let component = self.components.get_mut(&name)?;
        let may = component.link == Some(id) && component.leaving.is_empty() && !component.queue.is_empty();
        may.then_some(component)
    }

    /// Gives a stream the next stanza, when the owner is about to write.
    fn fill(&mut self, id: StreamId) {
        let Some(component) = self.next_for(id) else { return };
        let Some(item) = component.queue.pop() else { return };
        component.bounds.release(&item.payer, item.bytes);
        let Some(link) = self.link(id) else { return };
        match link.connection.send(&item.stanza) {
            Ok(()) => link.batch = Some(item),
            // It is open, and a component takes whatever is for its domain.
            Err(_) => self.give_back(item, ErrorCondition::InternalServerError),
        }
    }

    fn advance(&mut self, now: Instant, id: StreamId) {
        while let Some(link) = self.link(id).filter(|link| !link.ended) {
            let mut input = link.input.as_slice();
            let result = link.connection.advance(now, &mut input, &mut link.out);
            let taken = link.input.len() - input.len();
            link.input.drain(..taken);
            match result {
                Ok(Progress::Event(event)) => self.event(now, id, event),
                // What is written to nobody takes no room.
                Ok(Progress::Blocked(On::OutputFull)) if link.broken && !link.out.is_empty() => {
                    link.out.clear();
                }
                Ok(progress @ (Progress::NeedInput | Progress::Blocked(_))) => {
                    if link.eof && !matches!(progress, Progress::Blocked(On::OutputFull)) {
                        // How it has ended is in the log already, or not worth it.
                        let _ = link.connection.eof(now, &mut link.out);
                        self.end(now, id, "the connection has ended");
                    }
                    break;
                }
                Ok(Progress::Closed) => self.end(now, id, "it has closed the stream"),
                Err(error) => self.end(now, id, &format!("{error}")),
            }
        }
        self.settle(id);
    }

    fn event(&mut self, now: Instant, id: StreamId, event: ComponentEvent) {
        match event {
            ComponentEvent::Ask(ticket, ComponentAsk::Attach { component }) => {
                self.replace(now, id, &component);
                if let Some(link) = self.link(id) {
                    // The ask was opened just now, and nobody else answers it.
                    let _ = link.connection.answer(ticket, ComponentAnswer::Attached(true));
                }
            }
            ComponentEvent::Attached(component) => {
                let Some(link) = self.link(id) else { return };
                link.component = Some(component.clone());
                let line = format!("component {component} is attached from {}", link.address);
                self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
                self.wants_to_write(id);
            }
            ComponentEvent::Stanza(stanza) => self.events.push_back(FederationEvent::Deliver(stanza)),
        }
    }

    /// A stream is about to become a component's: the one before goes.
    fn replace(&mut self, now: Instant, id: StreamId, name: &BareJid) {
        let Some(component) = self.components.get_mut(name) else { return };
        if let Some(old) = component.link.replace(id) {
            component.leaving.push(old);
            let text = "the component has attached again";
            self.abort(now, old, StreamError::new(StreamCondition::Conflict, text));
        }
    }

    fn abort(&mut self, now: Instant, id: StreamId, error: StreamError) {
        let Some(link) = self.link(id).filter(|link| !link.ended) else { return };
        link.connection.abort(error);
        // It fails with the error that it was just given.
        let _ = link.connection.tick(now, &mut link.out);
        self.end(now, id, "ended by this server");
        self.ready.push(id);
    }

    fn end(&mut self, now: Instant, id: StreamId, why: &str) {
        let until = now + self.config.stream.closing.max(SOON);
        let Some(link) = self.link(id).filter(|link| !link.ended) else { return };
        (link.ended, link.until, link.input) = (true, Some(until), Vec::new());
        let line = match &link.component {
            Some(component) => format!("component {component} is gone: {why}"),
            None => format!("the stream of a component at {} has ended: {why}", link.address),
        };
        self.events.push_back(FederationEvent::Log(Level::Info, one_line(line)));
    }

    /// Brings the owner and the set of deadlines up to date about one stream.
    fn settle(&mut self, id: StreamId) {
        let Some(link) = self.link(id) else { return };
        if link.broken {
            let _ = link.connection.flush(&mut link.out);
            (link.out, link.writing, link.unread) = (Vec::new(), false, false);
            if link.ended {
                return self.forget(id);
            }
        }
        let is_to_write = !link.writing && (!link.out.is_empty() || link.connection.pending() > 0);
        if is_to_write {
            link.writing = true;
        }
        let (has_ended, is_over) = (link.ended, link.ended && !link.writing);
        let reads = link.unread && !has_ended && link.input.is_empty();
        if reads {
            (link.unread, link.input) = (false, Vec::new());
        }
        let due = link.until.or_else(|| link.connection.deadline().map(|deadline| deadline.at));
        let old = mem::replace(&mut link.deadline, due);
        if old != due {
            self.deadlines.extend(due.map(|at| (at, id)));
            if let Some(old) = old {
                self.deadlines.remove(&(old, id));
            }
        }
        if is_to_write {
            self.events.push_back(FederationEvent::Write(id));
        }
        if is_over {
            self.forget(id);
            self.events.push_back(FederationEvent::Close(id));
        } else if reads {
            self.events.push_back(FederationEvent::Read(id));
        }
    }

    /// Forgets a stream. What it has not written goes to the next one, or back if there is none.
    fn forget(&mut self, id: StreamId) {
        if self.link(id).is_none() {
            return;
        }
        let link = self.links.remove((id.0 & u64::from(u32::MAX)) as usize);
        if let Some(at) = link.deadline {
            self.deadlines.remove(&(at, id));
        }
        let is_its = |component: &Component| component.link == Some(id) || component.leaving.contains(&id);
        let Some(component) = self.components.values_mut().find(|component| is_its(component)) else {
            return;
        };
        link.batch.iter().for_each(|item| component.bounds.add(&item.payer, item.bytes));
        component.queue.put_back(link.batch.into_iter().collect());
        component.leaving.retain(|leaving| *leaving != id);
        if component.link == Some(id) {
            component.link = None;
        }
        match component.link {
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
        f.debug_struct("Components").field("streams", &self.links.len()).finish_non_exhaustive()
    }
}
