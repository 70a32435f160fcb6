//! A router with named sessions, and a short way to write what it decides.

use std::collections::BTreeMap;

use balcony_jid::{BareJid, Jid};
use balcony_machine::{Instant, Seed, Ticket};
use balcony_router::{Answer, Ask, Config, Effect, Router, SessionId};
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

/// `<presence/>` with a priority.
pub(crate) fn available(priority: i8) -> Stanza {
    const PRIORITY: Name = Name::from_static("priority");
    Stanza::presence(PresenceType::Available)
        .child(Element::new(PRIORITY, "jabber:client").text(&priority.to_string()))
}

pub(crate) fn unavailable() -> Stanza {
    Stanza::presence(PresenceType::Unavailable)
}

/// An iq with an empty child.
pub(crate) fn iq(kind: IqType, name: &'static str, namespace: &str) -> Stanza {
    Stanza::iq(kind).id("q").child(Element::new(Name::from_static(name), namespace))
}

pub(crate) fn wire(stanza: &Stanza) -> String {
    let mut out = Vec::new();
    stanza.write(&mut out);
    String::from_utf8(out).unwrap()
}

pub(crate) struct World {
    pub(crate) router: Router,
    pub(crate) now: Instant,
    names: BTreeMap<SessionId, String>,
}

impl World {
    pub(crate) fn new() -> Self {
        World::with(config())
    }

    pub(crate) fn with(config: Config) -> Self {
        World { router: Router::new(config, &Seed::from_u64(7)), now: Instant::ZERO, names: BTreeMap::new() }
    }

    /// Binds the resource of a full JID. Effects, of a conflict, are dropped.
    pub(crate) fn connect(&mut self, full: &str) -> SessionId {
        let session = SessionId(100 + self.names.len() as u64);
        let full = jid(full).to_full().unwrap();
        let account = full.to_bare();
        self.router.bind(self.now, session, &account, Some(full.resourcepart()), &mut Vec::new()).unwrap();
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
        let mut effects = Vec::new();
        let stanza = match self.router.jid(from) {
            Some(own) => stanza.from(own.to_jid()),
            None => stanza,
        };
        self.router.route(self.now, from, stanza, &mut effects).unwrap();
        effects
    }

    /// Sends, and says what came of it.
    pub(crate) fn says(&mut self, from: SessionId, stanza: Stanza) -> Vec<String> {
        let effects = self.send(from, stanza);
        self.tell(&effects)
    }

    pub(crate) fn unbind(&mut self, session: SessionId) -> Vec<String> {
        let mut effects = Vec::new();
        self.router.unbind(self.now, session, &mut effects);
        self.tell(&effects)
    }

    pub(crate) fn answer(&mut self, ticket: Ticket, answer: Answer) -> Vec<String> {
        let mut effects = Vec::new();
        self.router.answer(self.now, ticket, answer, &mut effects);
        self.tell(&effects)
    }

    pub(crate) fn tick(&mut self) -> Vec<String> {
        let mut effects = Vec::new();
        self.router.tick(self.now, &mut effects);
        self.tell(&effects)
    }

    pub(crate) fn name(&self, session: SessionId) -> &str {
        &self.names[&session]
    }

    /// One line for each effect: `balcony: presence unavailable from romeo@example.com/garden`.
    pub(crate) fn tell(&self, effects: &[Effect]) -> Vec<String> {
        effects
            .iter()
            .map(|effect| match effect {
                Effect::Deliver { session, stanza } => format!("{}: {}", self.name(*session), brief(stanza)),
                Effect::Close { session, error } => format!("{}: closed with {error}", self.name(*session)),
                Effect::Ask { ask: Ask::PutOffline { account, stanza }, .. } => {
                    format!("store for {account}: {}", brief(stanza))
                }
                Effect::Remote { stanza } => {
                    format!("remote {}: {}", stanza.head.to.as_ref().unwrap(), brief(stanza))
                }
            })
            .collect()
    }
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
    Stanza::new(kind).id("x").to(jid(to))
}
