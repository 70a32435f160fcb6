//! What a server and its streams to other servers say to each other.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_connection::srv::Record;
use balcony_jid::BareJid;
use balcony_machine::Instant;
use balcony_router::Effect;
use balcony_stanza::{ErrorCondition, Stanza};

use crate::action::{Action, ConnectionId};
use crate::federation::{Federation, FederationEvent, StreamId, Unreachable};
use crate::server::Server;

/// What the names of these streams have in common, as those of connections.
const ABROAD: u64 = 1 << 63;

/// The stream that a connection is, if it is one to or from another server.
pub(crate) fn stream(id: ConnectionId) -> Option<StreamId> {
    (id.0 & ABROAD != 0).then_some(StreamId(id.0 & !ABROAD))
}

pub(crate) fn connection(id: StreamId) -> ConnectionId {
    ConnectionId(id.0 | ABROAD)
}

impl Server {
    /// The DNS has answered [`Action::Resolve`]: these records, none if there are none, or why it does not answer, in words.
    pub fn resolved(
        &mut self,
        now: Instant,
        domain: &BareJid,
        records: Result<Vec<Record>, String>,
        actions: &mut Vec<Action>,
    ) {
        self.abroad(now, actions, |federation| federation.resolved(now, domain, records));
    }

    /// The owner has connected to the target at this place in the list of [`Action::Connect`]. Read from it. Whether the server
    /// still wants the connection; if not, close it.
    pub fn connected(
        &mut self,
        now: Instant,
        id: ConnectionId,
        target: usize,
        actions: &mut Vec<Action>,
    ) -> bool {
        let Some((federation, stream)) = self.federation.as_ref().zip(stream(id)) else { return false };
        if !federation.is_connecting(stream) {
            return false;
        }
        self.abroad(now, actions, |federation| federation.connected(now, stream, target));
        true
    }

    /// None of the targets of [`Action::Connect`] could be connected to.
    pub fn unreachable(
        &mut self,
        now: Instant,
        id: ConnectionId,
        unreachable: &Unreachable,
        actions: &mut Vec<Action>,
    ) {
        let Some(stream) = stream(id) else { return };
        self.abroad(now, actions, |federation| federation.unreachable(now, stream, unreachable));
    }

    /// Tells the streams to other servers something, and does what comes of it.
    pub(crate) fn abroad(
        &mut self,
        now: Instant,
        actions: &mut Vec<Action>,
        tell: impl FnOnce(&mut Federation),
    ) {
        if let Some(federation) = &mut self.federation {
            tell(federation);
        }
        self.converse(now, actions);
        self.go_on(now, actions);
    }

    /// Sends a stanza to another server.
    pub(crate) fn send_abroad(&mut self, now: Instant, stanza: Stanza, is_told: bool) {
        match &mut self.federation {
            Some(federation) => federation.send(now, stanza, is_told),
            None => {
                let condition = ErrorCondition::RemoteServerNotFound;
                self.router.undeliverable(&stanza, condition, is_told, &mut self.effects);
            }
        }
    }

    /// Does what the streams to other servers want.
    pub(crate) fn act_abroad(&mut self, now: Instant, event: FederationEvent, actions: &mut Vec<Action>) {
        let effects: &mut Vec<Effect> = &mut self.effects;
        match event {
            FederationEvent::Resolve(domain) => actions.push(Action::Resolve(domain)),
            FederationEvent::Connect(id, targets) => actions.push(Action::Connect(connection(id), targets)),
            FederationEvent::Write(id) => actions.push(Action::Write(connection(id))),
            FederationEvent::Read(id) => actions.push(Action::Read(connection(id))),
            FederationEvent::Close(id) => actions.push(Action::Close(connection(id))),
            FederationEvent::Deliver(stanza) => self.router.receive(now, *stanza, effects),
            FederationEvent::Return { stanza, condition, is_told } => {
                self.router.undeliverable(&stanza, condition, is_told, effects);
            }
            FederationEvent::Log(level, line) => actions.push(Action::Log(level, line)),
        }
    }
}
