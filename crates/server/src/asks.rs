//! Which machine waits for which answer. All of them number their own questions; the owner sees one numbering.

use alloc::collections::BTreeMap;
use core::net::IpAddr;

use balcony_jid::BareJid;
use balcony_machine::Ticket;

use crate::ConnectionId;

/// Whoever asked, and the name that the question has there.
pub(crate) enum Asker {
    Stream(ConnectionId, Ticket),
    /// A stream that registers this account, from this address.
    Registration(ConnectionId, Ticket, BareJid, Option<IpAddr>),
    Router(Ticket),
    /// The router has the account get another password.
    Password(Ticket, BareJid),
    /// The router has the account end.
    Removal(Ticket, BareJid),
    /// The server itself, which shuts down.
    Saving,
    /// The server itself, which has started.
    Owing,
}

/// The open asks of all machines under one numbering.
///
/// The machines let their asks expire themselves. What is left here then goes when the late answer comes: every ask has to be
/// answered, even if its connection is gone.
#[derive(Default)]
pub(crate) struct Asks {
    open: BTreeMap<Ticket, Asker>,
    next: u64,
}

impl Asks {
    pub(crate) fn open(&mut self, asker: Asker) -> Ticket {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.open.insert(ticket, asker);
        ticket
    }

    /// The name that the next question will have.
    pub(crate) const fn next(&self) -> Ticket {
        Ticket(self.next)
    }

    pub(crate) fn close(&mut self, ticket: Ticket) -> Option<Asker> {
        self.open.remove(&ticket)
    }
}
