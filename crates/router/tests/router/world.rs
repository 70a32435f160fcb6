//! A router with named sessions, and a short way to write what it decides.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Seed, Ticket};
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_router::{
    Answer, Ask, Change, Config, Content, DocumentEdit, Effect, LogEdit, Memory, Router, SessionId,
};
use balcony_stanza::{IqType, Kind, PresenceType, Stanza, StanzaError};
use balcony_xml::{Element, Name};

pub(crate) fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}

pub(crate) fn bare(text: &str) -> BareJid {
    text.parse().unwrap()
}

pub(crate) fn config() -> Config {
    Config::new(vec![bare("example.com"), bare("example.net")])
}

/// The usual extensions, with room for so many messages that wait.
pub(crate) fn room_for(messages: usize) -> Extensions {
    Extensions::standard().with(Offline { messages, ..Offline::default() }).build().unwrap()
}

/// Puts a document into the store, behind the router's back.
pub(crate) fn document(world: &mut World, account: &str, collection: &'static str, key: &str, bytes: &[u8]) {
    let creation = world.store.kept(&bare(account)).unwrap().creation;
    let content = Some(Content { version: 1, bytes: Arc::from(bytes) });
    let edit = DocumentEdit { collection: collection.into(), key: key.into(), content };
    let changes = vec![Change::Document { creation, edit }];
    let saved = world.ask(Ask::Save { account: bare(account), changes, by_others: false });
    assert_eq!(saved, Answer::Saved);
}

/// `<presence/>` with a priority.
pub(crate) fn available(priority: i8) -> Stanza {
    const PRIORITY: Name = Name::from_static("priority");
    Stanza::presence(PresenceType::Available)
        .with_child(Element::new(PRIORITY, "jabber:client").text(priority.to_string()))
}

pub(crate) fn unavailable() -> Stanza {
    Stanza::presence(PresenceType::Unavailable)
}

/// An iq with an empty child.
pub(crate) fn iq(kind: IqType, name: &'static str, namespace: &str) -> Stanza {
    Stanza::iq(kind).with_id("q").with_child(Element::new(Name::from_static(name), namespace))
}

pub(crate) fn wire(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).unwrap()
}

/// Milliseconds since 1970 when a world begins: 2002-09-10T23:08:25Z.
pub(crate) const START: u64 = 1_031_699_305_000;

/// A router with its store. Whoever connects has an account.
pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) store: Memory,
    /// Whether the store answers at once. Otherwise the test does.
    pub(crate) at_once: bool,
    /// Whether the store refuses to change anything, and to say what it has in a log.
    pub(crate) refuses: bool,
    /// The store refuses each change of a document in which one of these is, with all that is to be changed with it.
    pub(crate) never_takes: Vec<String>,
    /// When it has refused something.
    pub(crate) refusals: Vec<Instant>,
    /// Whether the test says when the recipients of strangers' stanzas get them. Otherwise they do at once.
    pub(crate) parks: bool,
    pub(crate) now: Instant,
    /// Whose stanzas had to wait, and what they cost, in order.
    pub(crate) waited: Vec<(SessionId, u64)>,
    /// Whose stanzas were handled after they had waited, in order, if the world does not say so in its effects.
    pub(crate) handled: Vec<SessionId>,
    /// What these stanzas cost.
    pub(crate) numbers: Vec<(SessionId, u64)>,
    /// Sessions without a connection: they send nothing.
    pub(crate) away: BTreeSet<SessionId>,
    /// How many stanzas each session has sent.
    sent: BTreeMap<SessionId, u64>,
    names: BTreeMap<SessionId, String>,
}

impl World {
    pub(crate) fn new() -> Self {
        World::with(config())
    }

    pub(crate) fn with(config: Config) -> Self {
        World {
            router: Router::new(config, &Seed::from_u64(7)),
            store: Memory::default(),
            at_once: true,
            refuses: false,
            never_takes: Vec::new(),
            refusals: Vec::new(),
            parks: false,
            now: Instant::ZERO,
            waited: Vec::new(),
            handled: Vec::new(),
            numbers: Vec::new(),
            away: BTreeSet::new(),
            sent: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    /// The messages that wait for an account, the oldest first.
    pub(crate) fn kept(&self, account: &str) -> Vec<Stanza> {
        let account = bare(account);
        let entries = self.store.entries(&account, "offline");
        entries.map(|entry| Stanza::parse(&entry.content.bytes).unwrap()).collect()
    }

    /// Whom an account has blocked, in order.
    pub(crate) fn blocked(&self, account: &str) -> Vec<String> {
        let account = bare(account);
        self.store.documents(&account, "blocked").map(|(jid, _)| jid.to_owned()).collect()
    }

    /// Has an account block somebody, as if it had done so before.
    pub(crate) fn block(&mut self, account: &str, blocked: &str) {
        self.store.create(bare(account));
        document(self, account, "blocked", blocked, b"");
    }

    /// What the store says now.
    pub(crate) fn ask(&mut self, ask: Ask) -> Answer {
        let is_refused = |change: &Change| match change {
            Change::Document { edit: DocumentEdit { content: Some(content), .. }, .. } => {
                let text = String::from_utf8_lossy(&content.bytes);
                self.never_takes.iter().any(|never| text.contains(never))
            }
            _ => false,
        };
        if match &ask {
            Ask::Save { changes, .. } => self.refuses || changes.iter().any(is_refused),
            Ask::Entries { .. } => self.refuses,
            _ => false,
        } {
            self.refusals.push(self.now);
            return Answer::Refused;
        }
        if let Ask::External { .. } = ask {
            return Answer::External(Arc::default());
        }
        self.store.answer(START + self.now.as_nanos() / 1_000_000, ask)
    }

    /// Answers what is asked among the effects, and in what comes of that.
    pub(crate) fn serve(&mut self, effects: &mut Vec<Effect>) {
        let mut next = 0;
        while self.at_once && next < effects.len() {
            match effects[next].clone() {
                Effect::Ask { ticket, ask } => {
                    let answer = self.ask(ask);
                    self.router.answer(self.now, ticket, answer, effects);
                }
                Effect::Deliver { session, .. } => self.router.drained(self.now, session, u64::MAX, effects),
                _ => {}
            }
            next += 1;
            self.take_in(effects);
        }
        effects.retain(|effect| match effect {
            Effect::Handled { session, number } => {
                self.handled.push(*session);
                self.numbers.push((*session, *number));
                false
            }
            _ => true,
        });
    }

    /// Makes the contact an item of the account's roster. The account must not be online.
    pub(crate) fn befriend(&mut self, account: &str, contact: &str, subscription: Subscription) {
        let mut kept = self.store.kept(&bare(account)).cloned().unwrap_or_default();
        let empty = || Parts { version: Version(1), items: vec![], requests: vec![], changes: vec![] };
        let mut item = Item::new(bare(contact));
        item.subscription = subscription;
        kept.roster.get_or_insert_with(empty).items.push(item);
        self.store.keep(bare(account), kept);
    }

    /// Binds the resource of a full JID. What comes of it is dropped.
    pub(crate) fn connect(&mut self, full: &str) -> SessionId {
        let session = SessionId(100 + self.names.len() as u64);
        let full = jid(full).to_full().unwrap();
        let account = full.to_bare();
        self.bind(session, account.as_str(), full.resourcepart());
        self.names.insert(session, full.resourcepart().to_owned());
        session
    }

    /// Binds and sends initial presence.
    pub(crate) fn available(&mut self, full: &str, priority: i8) -> SessionId {
        let session = self.connect(full);
        self.send(session, available(priority));
        session
    }

    pub(crate) fn send(&mut self, from: SessionId, stanza: Stanza) -> Vec<Effect> {
        let mut effects = self.brings(from, stanza);
        self.take_in(&mut effects);
        self.serve(&mut effects);
        effects
    }

    /// A session sends a stanza. What it means for others that are strangers to the sender is still to come.
    pub(crate) fn brings(&mut self, from: SessionId, stanza: Stanza) -> Vec<Effect> {
        let mut effects = Vec::new();
        let stanza = match self.router.jid(from) {
            Some(own) if matches!(stanza.head.kind, Kind::Presence(kind) if kind.is_subscription()) => {
                stanza.with_from(own.to_bare().into())
            }
            Some(own) => stanza.with_from(own.to_jid()),
            None => stanza,
        };
        let sent = self.sent.entry(from).or_default();
        let number = *sent;
        *sent += u64::from(self.router.jid(from).is_some());
        if !self.router.route(self.now, from, stanza, &mut effects) {
            self.waited.push((from, number));
        }
        effects
    }

    /// Has the recipients of strangers' stanzas get them.
    pub(crate) fn take_in(&mut self, effects: &mut Vec<Effect>) {
        while !self.parks && self.router.take_in(self.now, effects) {}
    }

    /// Sends, and says what came of it.
    pub(crate) fn says(&mut self, from: SessionId, stanza: Stanza) -> Vec<String> {
        let effects = self.send(from, stanza);
        self.tell(&effects)
    }

    /// Another server sends this.
    pub(crate) fn received(&mut self, from: &str, stanza: Stanza) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.router.receive(self.now, stanza.with_from(jid(from)), &mut effects);
        self.take_in(&mut effects);
        self.serve(&mut effects);
        effects
    }

    /// The same, and what came of it.
    pub(crate) fn receives(&mut self, from: &str, stanza: Stanza) -> Vec<String> {
        let effects = self.received(from, stanza);
        self.tell(&effects)
    }

    /// Binds a resource, whose session has this number, of an account that is made if need be.
    pub(crate) fn bind(&mut self, session: SessionId, account: &str, resource: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.store.create(bare(account));
        self.router.bind(self.now, session, &bare(account), Some(resource), &mut effects).unwrap();
        self.serve(&mut effects);
        effects
    }

    pub(crate) fn unbound(&mut self, session: SessionId) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.router.unbind(self.now, session, &mut effects);
        if self.at_once {
            self.router.drained(self.now, session, u64::MAX, &mut effects);
            self.router.gone(self.now, session, &mut effects);
        }
        self.take_in(&mut effects);
        self.serve(&mut effects);
        effects
    }

    pub(crate) fn unbind(&mut self, session: SessionId) -> Vec<String> {
        let effects = self.unbound(session);
        self.tell(&effects)
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Answer) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.router.answer(self.now, ticket, answer, &mut effects);
        self.take_in(&mut effects);
        self.serve(&mut effects);
        effects
    }

    pub(crate) fn removed(&mut self, account: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        self.router.remove_account(self.now, &bare(account), &mut effects);
        self.take_in(&mut effects);
        self.serve(&mut effects);
        effects
    }

    pub(crate) fn remove(&mut self, account: &str) -> Vec<String> {
        let effects = self.removed(account);
        self.tell(&effects)
    }

    pub(crate) fn tick(&mut self) -> Vec<String> {
        let mut effects = Vec::new();
        self.router.tick(self.now, &mut effects);
        self.take_in(&mut effects);
        self.serve(&mut effects);
        self.tell(&effects)
    }

    pub(crate) fn name(&self, session: SessionId) -> String {
        self.names.get(&session).cloned().unwrap_or_else(|| session.0.to_string())
    }

    /// One line for each effect: `balcony: presence unavailable from romeo@example.com/garden`. What is asked of the store
    /// shows only if it is to store a message.
    pub(crate) fn tell(&self, effects: &[Effect]) -> Vec<String> {
        effects.iter().filter_map(|effect| tell(effect, &|session| self.name(session))).collect()
    }
}

pub(crate) fn tell(effect: &Effect, name: &dyn Fn(SessionId) -> String) -> Option<String> {
    Some(match effect {
        Effect::Deliver { session, stanza } => format!("{}: {}", name(*session), brief(stanza)),
        Effect::Close { session, error } => format!("{}: closed with {error}", name(*session)),
        Effect::Disconnect { session, error } => format!("{}: disconnected with {error}", name(*session)),
        Effect::Ask { ask: Ask::Save { account, changes, .. }, .. } => match &changes[..] {
            [Change::Log { edit: LogEdit::Append(append), .. }] => {
                format!("store for {account}: {}", brief(&Stanza::parse(&append.content.bytes).unwrap()))
            }
            _ => return None,
        },
        Effect::Remote { stanza, .. } => {
            format!("remote {}: {}", stanza.head.to.as_ref().unwrap(), brief(stanza))
        }
        Effect::Removed { account, removal } => format!("{account}: {removal:?}"),
        Effect::Ask { .. }
        | Effect::Handled { .. }
        | Effect::Hold { .. }
        | Effect::HoldDomain { .. }
        | Effect::Resumed { .. }
        | Effect::Log(..) => return None,
    })
}

/// `message chat from romeo@example.com/garden`, with the condition if it is an error.
pub(crate) fn brief(stanza: &Stanza) -> String {
    let head = &stanza.head;
    let condition = head.kind.is_error().then(|| condition(stanza)).flatten();
    [
        Some(head.kind.name().to_owned()),
        head.kind.type_name().map(str::to_owned),
        condition,
        head.from.as_ref().map(|from| format!("from {from}")),
    ]
    .into_iter()
    .flatten()
    .collect::<Vec<_>>()
    .join(" ")
}

/// The condition of a stanza of type error, with its error type.
pub(crate) fn condition(stanza: &Stanza) -> Option<String> {
    let content = stanza.payload.parse().unwrap();
    StanzaError::from_payload(content.root()).map(|error| format!("{}/{}", error.condition, error.kind))
}

/// The tickets of the asks among the effects.
pub(crate) fn tickets(effects: &[Effect]) -> Vec<Ticket> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ask { ticket, .. } => Some(*ticket),
            _ => None,
        })
        .collect()
}

/// The kinds of presence.
pub(crate) const PRESENCE: [PresenceType; 8] = [
    PresenceType::Available,
    PresenceType::Unavailable,
    PresenceType::Subscribe,
    PresenceType::Subscribed,
    PresenceType::Unsubscribe,
    PresenceType::Unsubscribed,
    PresenceType::Probe,
    PresenceType::Error,
];

pub(crate) fn of_kind(kind: Kind, to: &str) -> Stanza {
    Stanza::new(kind).with_id("x").with_to(jid(to))
}

/// Presence of a client that manages a subscription.
pub(crate) fn subscription(kind: PresenceType, to: &str) -> Stanza {
    Stanza::presence(kind).with_to(jid(to))
}

/// A roster set with an item.
pub(crate) fn roster_set(item: &str) -> Stanza {
    request(IqType::Set, &format!("<query xmlns='jabber:iq:roster'>{item}</query>"))
}

/// A roster get, after which the resource is interested.
pub(crate) fn roster_get() -> Stanza {
    request(IqType::Get, "<query xmlns='jabber:iq:roster'/>")
}

/// An iq with this child.
pub(crate) fn request(kind: IqType, child: &str) -> Stanza {
    let mut stanza = content(child);
    stanza.head.kind = Kind::Iq(kind);
    stanza.with_id("q")
}

/// A message with this content.
pub(crate) fn content(xml: &str) -> Stanza {
    Stanza::parse(format!("<message>{xml}</message>").as_bytes()).unwrap()
}

/// What is delivered to this session, as XML.
pub(crate) fn wires(effects: &[Effect], to: SessionId) -> Vec<String> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Deliver { session, stanza } if *session == to => Some(wire(stanza)),
            _ => None,
        })
        .collect()
}

/// The asks among the effects.
pub(crate) fn asks(effects: &[Effect]) -> Vec<(Ticket, Ask)> {
    effects
        .iter()
        .filter_map(|effect| match effect {
            Effect::Ask { ticket, ask } => Some((*ticket, ask.clone())),
            _ => None,
        })
        .collect()
}
