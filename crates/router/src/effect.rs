//! What a router decides, for its owner to carry out, in order: what is written to which session, what is asked of the store, and
//! what goes to other servers.

use alloc::string::String;
use alloc::sync::Arc;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::Ticket;
use balcony_stanza::{Stanza, StreamCondition};

use crate::{Ask, Level};

/// Names a session: a resource that is bound. The owner chooses the number, and uses it for one session only. It is not that of a
/// connection.
///
/// With many sessions those are found fastest whose numbers have small lower halves (the lower 32 bits), no two of them the same at a time: an owner may
/// have those that are over use theirs again, and count in the upper half. Others are found by a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// What the owner has to do. Effects take place in the order in which they were appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Write the stanza to the session, as it is: `to` is not rewritten (RFC 6121 section 8.5.2.1.1). When the network has it call
    /// [`Router::drained`](crate::Router::drained): a session gets no more at once than its
    /// [credit](balcony_machine::Limits::credit).
    Deliver {
        /// Who gets it.
        session: SessionId,
        /// What; shared by all who get it.
        stanza: Arc<Stanza>,
    },
    /// End the session's stream with this error. The router has forgotten the session already.
    Close {
        /// Whose stream.
        session: SessionId,
        /// Why.
        error: StreamCondition,
    },
    /// End the session's connection with this error, as if it were lost, and call [`Router::detach`](crate::Router::detach): the session takes
    /// nothing there, and waits for its client to come back (XEP-0198).
    Disconnect {
        /// Whose connection.
        session: SessionId,
        /// Why.
        error: StreamCondition,
    },
    /// Find something out or do something that may take long, then call [`Router::answer`](crate::Router::answer).
    Ask {
        /// Names the question.
        ticket: Ticket,
        /// The question.
        ask: Ask,
    },
    /// Send the stanza to the server of its `to`; if that fails call [`Router::undeliverable`](crate::Router::undeliverable).
    Remote {
        /// What to send.
        stanza: Stanza,
        /// Whether its sender is to hear if that fails; not of what the server says in a client's name, such as presence to all
        /// contacts, nor of answers.
        is_told: bool,
        /// Whether the server itself says it, to answer what that server has sent: that is whose fault it is if too much of it waits, not
        /// that of the account in whose name it is said.
        is_answer: bool,
    },
    /// A stanza of the session, which waited, is handled: see [`Router::route`](crate::Router::route). The session may have ended.
    Handled {
        /// Whose stanza it was.
        session: SessionId,
        /// Which: how many stanzas the session had sent before.
        number: u64,
    },
    /// The session has asked for more than it takes: read no more of it as long as this is so.
    Hold {
        /// Which session. It may have ended.
        session: SessionId,
        /// Whether that is so from now on.
        is_held: bool,
    },
    /// Users of another server, or of a component, have sent more to contacts here than these can take now: read no more from its streams as
    /// long as this is so. What is read all the same has room for a while, and is refused then.
    HoldDomain {
        /// The domain.
        domain: BareJid,
        /// Whether that is so from now on.
        is_held: bool,
    },
    /// The session is [resumed](crate::Router::resume): its client is told so on its new connection, before anything else.
    Resumed {
        /// Which session.
        session: SessionId,
        /// Its address.
        jid: FullJid,
        /// How many stanzas it has sent so far, all of which are handled: the number of the next.
        received: u64,
    },
    /// A line for the log, of an extension. It holds nothing secret, but may hold line breaks that somebody else has chosen.
    Log(Level, String),
    /// An account has been removed, by its user (XEP-0077 section 3.2) or by the owner; or what
    /// [`Router::remove_account`](crate::Router::remove_account) has come to, once however often it was called meanwhile.
    Removed {
        /// The account.
        account: BareJid,
        /// What has become of it.
        removal: Removal,
    },
}

/// What has become of an account that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removal {
    /// It is no more, and that is durable.
    Removed,
    /// There is no such account.
    Missing,
    /// The store could not do it, or not say so in time.
    Failed,
}
