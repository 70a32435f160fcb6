//! What a server and its streams to other servers say to each other.

use alloc::borrow::ToOwned as _;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, Stanza};

use crate::action::{Action, ConnectionId};
use crate::federation::{FederationEvent, StreamId, Unreachable};
use crate::hub::Hub;
use crate::transport::Transport;

/// What the names of these streams have in common, as those of connections.
const ABROAD: u64 = 1 << 63;
const COMPONENT: u64 = 1 << 62;

/// Whose stream a connection is, if it is not a client's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Another server's.
    Abroad(StreamId),
    /// A component's.
    Component(StreamId),
}

/// What has happened to such a connection.
pub(crate) enum What<'a> {
    Received(&'a [u8]),
    Eof,
    Broken,
    Written,
}

impl Place {
    pub(crate) fn of(id: ConnectionId) -> Option<Place> {
        match (id.0 & ABROAD != 0, id.0 & COMPONENT != 0) {
            (true, _) => Some(Place::Abroad(StreamId(id.0 & !ABROAD))),
            (false, true) => Some(Place::Component(StreamId(id.0 & !COMPONENT))),
            (false, false) => None,
        }
    }

    /// Its name as a connection.
    pub(crate) fn name(self) -> ConnectionId {
        match self {
            Place::Abroad(id) => ConnectionId(id.0 | ABROAD),
            Place::Component(id) => ConnectionId(id.0 | COMPONENT),
        }
    }
}

impl Hub {
    /// Something has happened to a connection of another server, or of a component.
    pub(crate) fn elsewhere(&mut self, now: Instant, place: Place, what: What<'_>) {
        match (place, &mut self.federation, &mut self.components) {
            (Place::Abroad(id), Some(federation), _) => match what {
                What::Received(bytes) => federation.receive(now, id, bytes),
                What::Eof => federation.eof(now, id),
                What::Broken => federation.broken(now, id),
                What::Written => federation.written(now, id),
            },
            (Place::Component(id), _, Some(components)) => match what {
                What::Received(bytes) => components.receive(now, id, bytes),
                What::Eof => components.eof(now, id),
                What::Broken => components.broken(now, id),
                What::Written => components.written(now, id),
            },
            _ => {}
        }
    }

    /// Takes in a new connection of another server, or of a component. `None` if there are none of this kind.
    pub(crate) fn accept(
        &mut self,
        now: Instant,
        transport: Transport,
        address: String,
    ) -> Option<ConnectionId> {
        let place = match (transport, &mut self.federation, &mut self.components) {
            (Transport::Component, _, Some(components)) => Place::Component(components.accept(now, address)),
            (Transport::Server | Transport::ServerDirectTls, Some(federation), _) => {
                let direct_tls = transport == Transport::ServerDirectTls;
                Place::Abroad(federation.accept(now, direct_tls, address))
            }
            _ => return None,
        };
        Some(place.name())
    }

    /// Swaps the bytes to be written into `buffer`, which must be empty.
    pub(crate) fn take_output(&mut self, place: Place, buffer: &mut Vec<u8>) {
        match (place, &mut self.federation, &mut self.components) {
            (Place::Abroad(id), Some(federation), _) => federation.take_output(id, buffer),
            (Place::Component(id), _, Some(components)) => components.take_output(id, buffer),
            _ => {}
        }
    }

    /// A connection was made; see [`Server::connected`](crate::Server::connected).
    pub(crate) fn connected(&mut self, now: Instant, id: ConnectionId, target: usize) -> bool {
        let (Some(federation), Some(Place::Abroad(stream))) = (&mut self.federation, Place::of(id)) else {
            return false;
        };
        let is_wanted = federation.is_connecting(stream);
        if is_wanted {
            federation.connected(now, stream, target);
        }
        is_wanted
    }

    /// None could be made; see [`Server::unreachable`](crate::Server::unreachable).
    pub(crate) fn unreachable(&mut self, now: Instant, id: ConnectionId, unreachable: &Unreachable) {
        if let (Some(federation), Some(Place::Abroad(stream))) = (&mut self.federation, Place::of(id)) {
            federation.unreachable(now, stream, unreachable);
        }
    }

    /// Sends a stanza to a component, or to another server.
    pub(crate) fn send_abroad(&mut self, now: Instant, stanza: Stanza, is_told: bool, is_answer: bool) {
        let to = stanza.head.to.as_ref().map_or("", Jid::domainpart);
        if let Some(components) = self.components.as_mut().filter(|components| components.has(to)) {
            let from = stanza.head.from.as_ref().map_or("", Jid::domainpart);
            let is_local = self.router.is_local(from) || components.has(from);
            return components.send(now, stanza, is_told, is_local);
        }
        match &mut self.federation {
            Some(federation) if is_answer => federation.answer(now, stanza),
            Some(federation) => federation.send(now, stanza, is_told),
            None => {
                let condition = ErrorCondition::RemoteServerNotFound;
                self.router.undeliverable(&stanza, condition, is_told, &mut self.effects);
            }
        }
    }

    /// No more is read of another server, or of a component, as long as what its users have sent to contacts here has no room.
    pub(crate) fn hold_domain(&mut self, now: Instant, domain: &BareJid, is_held: bool) {
        if let Some(components) = self.components.as_mut().filter(|all| all.has(domain.as_str())) {
            components.hold(now, domain, is_held);
        } else if let Some(federation) = &mut self.federation {
            federation.hold(now, domain, is_held);
        }
    }

    /// Does what the streams of other servers, or of components, want.
    pub(crate) fn act_abroad(
        &mut self,
        now: Instant,
        event: FederationEvent,
        place: fn(StreamId) -> Place,
        actions: &mut Vec<Action>,
    ) {
        let name = |id| place(id).name();
        match event {
            FederationEvent::Resolve(domain, dane) => actions.push(Action::Resolve(domain, dane)),
            FederationEvent::Connect(id, targets, reach) => {
                actions.push(Action::Connect(name(id), targets, reach));
            }
            FederationEvent::Write(id) => actions.push(Action::Write(name(id))),
            FederationEvent::Read(id) => actions.push(Action::Read(name(id))),
            FederationEvent::Close(id) => actions.push(Action::Close(name(id))),
            FederationEvent::Deliver(stanza) => self.come_from_abroad(now, *stanza),
            FederationEvent::Return { stanza, condition, is_told } => {
                self.router.undeliverable(&stanza, condition, is_told, &mut self.effects);
            }
            FederationEvent::Heard { from, to, kind } => self.router.heard(now, &from, &to, kind),
            FederationEvent::Reached(domain) => self.router.domain_lives(now, &domain),
            FederationEvent::Log(level, line) => actions.push(Action::Log(level, line)),
        }
    }

    /// Whether another server speaks for a component of ours. Its domain is ours, also where the certificate does not have it.
    pub(crate) fn is_impostor(&self, event: &FederationEvent) -> bool {
        let FederationEvent::Deliver(stanza) = event else { return false };
        let from = stanza.head.from.as_ref().map_or("", Jid::domainpart);
        self.components.as_ref().is_some_and(|all| all.has(from))
    }

    /// A stanza has come, from a domain that its stream was proven for: to one of our accounts, or to a component; or from a component
    /// to another server.
    fn come_from_abroad(&mut self, now: Instant, stanza: Stanza) {
        let domain = |jid: &Option<Jid>| jid.as_ref().map_or("", Jid::domainpart).to_owned();
        let (from, to) = (domain(&stanza.head.from), domain(&stanza.head.to));
        if self.router.is_local(&to) {
            return self.router.receive(now, stanza, &mut self.effects);
        }
        let is_component = |domain: &str| self.components.as_ref().is_some_and(|all| all.has(domain));
        // Nobody else's stanzas go through this server.
        if is_component(&to) || is_component(&from) {
            self.send_abroad(now, stanza, true, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::boxed::Box;
    use alloc::string::String;
    use alloc::vec::Vec;

    use balcony_machine::{Secret, Seed};
    use balcony_stanza::MessageType;

    use super::*;
    use crate::{ComponentsConfig, ServerConfig};

    // XEP-0114 §2: a component's domain is its own, whatever another server has proven.
    #[test]
    fn nobody_else_speaks_for_a_component() {
        let name = |text| BareJid::parse(text).unwrap();
        let mut config = ServerConfig::new(Vec::from([name("example.com")]), Secret::new([7; 32]));
        let secret = Secret::new(String::from("pencil"));
        config.components =
            Some(ComponentsConfig::new(name("example.com"), Vec::from([(name("chat.example.com"), secret)])));
        let hub = Hub::new(&config, &Seed::from_u64(1), 1);
        let from = |from: &str| {
            let stanza = Stanza::message(MessageType::Chat).with_from(from.parse().unwrap());
            FederationEvent::Deliver(Box::new(stanza.with_to("romeo@example.com".parse().unwrap())))
        };
        assert!(hub.is_impostor(&from("room@chat.example.com/nick")));
        assert!(!hub.is_impostor(&from("juliet@other.example.com")));
    }
}
