//! What a server and its owner say to each other: what is to be done, questions and their answers, and what has happened on a
//! connection.
//!
//! The owner writes, reads, closes, and looks things up. It decides nothing about the protocol.

use alloc::string::String;
use alloc::vec::Vec;

use balcony_connection::srv::Target;
use balcony_jid::{BareJid, FullJid};
use balcony_machine::Ticket;
use balcony_router::Removal;
use balcony_sasl::Mechanism;
use balcony_stanza::StanzaError;

use crate::federation::Reach;
use crate::journal::Level;
use crate::slots::Number;

/// Names one connection of a [`Server`](crate::Server). A name is not used again for a long time after its connection
/// has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub(crate) u64);

impl Number for ConnectionId {
    fn from_u64(number: u64) -> Self {
        ConnectionId(number)
    }

    fn to_u64(self) -> u64 {
        self.0
    }
}

impl ConnectionId {
    /// The name as a number, for logs and tables.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// Which [part](crate::Connections::of_part) of the server's connections it is one of.
    #[must_use]
    pub fn part(self) -> usize {
        crate::slots::part(self)
    }
}

/// What the owner of a [`Server`](crate::Server) has to do. Actions take place in the order in which they came.
#[derive(Debug)]
pub enum Action {
    /// There is output: take it, write it, then say that it is written.
    Write(ConnectionId),
    /// Everything received has been used; read on.
    Read(ConnectionId),
    /// As `Read`, and urgent: another connection of the account is about to have this one's resource, and waits until what has come here is read. Hand in
    /// what has come by now ([`receive`](crate::Server::receive), [`eof`](crate::Server::eof)); if there is nothing, neither bytes nor the end, say
    /// [`nothing_yet`](crate::Server::nothing_yet), and read on. It comes instead of `Read`, also while the owner reads on already, and again until there
    /// is nothing; then the connection ends with `conflict`. An owner that can't tell says `nothing_yet` at once: what it has not read by then is lost.
    /// Who never answers keeps the other connection waiting for [`Limits::closing`](balcony_machine::Limits::closing).
    ReadNow(ConnectionId),
    /// Everything has been written; close the socket. The server has forgotten the connection.
    Close(ConnectionId),
    /// Find this out, or do it, and bring the answer. It may take long.
    Ask(Ticket, Ask),
    /// Something that a log or a metric may want to know.
    Notice(ConnectionId, Notice),
    /// What [`Server::remove_account`](crate::Server::remove_account) has come to.
    Removed(BareJid, Removal),
    /// A session without a connection has ended; its client has not come back in time, or has begun another.
    Abandoned(FullJid),
    /// Look up where this domain's service for other servers is, and say [`resolved`](crate::Server::resolved). Whether also what
    /// DNSSEC says about it ([`FederationConfig::dane`](crate::federation::FederationConfig::dane)).
    Resolve(BareJid, bool),
    /// Connect to one of these, the first that answers in their order (RFC 8305), at an address that
    /// [may be connected to](Reach::admits), then say [`connected`](crate::Server::connected) or
    /// [`unreachable`](crate::Server::unreachable). [`Close`](Action::Close) gives it up.
    Connect(ConnectionId, Vec<Target>, Reach),
    /// A line for the log. It holds nothing secret, and is one line.
    Log(Level, String),
}

/// Two actions are equal if they say the same of the same connection, or ask under the same ticket.
impl PartialEq for Action {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Action::Write(a), Action::Write(b))
            | (Action::Read(a), Action::Read(b))
            | (Action::ReadNow(a), Action::ReadNow(b))
            | (Action::Close(a), Action::Close(b)) => a == b,
            (Action::Ask(a, _), Action::Ask(b, _)) => a == b,
            (Action::Notice(a, what), Action::Notice(b, other)) => a == b && what == other,
            (Action::Removed(a, what), Action::Removed(b, other)) => a == b && what == other,
            (Action::Abandoned(a), Action::Abandoned(b)) => a == b,
            (Action::Resolve(a, dane), Action::Resolve(b, other)) => (a, dane) == (b, other),
            (Action::Connect(a, places, reach), Action::Connect(b, others, other)) => {
                a == b && places == others && reach == other
            }
            (Action::Log(a, line), Action::Log(b, other)) => a == b && line == other,
            _ => false,
        }
    }
}

/// A question of the server.
#[derive(Debug)]
pub enum Ask {
    /// A stream's: about credentials or registration, never about binding, which the router decides.
    Stream(balcony_stream::server::ServerAsk),
    /// The router's: about what is stored.
    Router(balcony_router::Ask),
    /// Keep these sessions of a domain until the next start, for [`Server::restore`](crate::Server::restore), as documents of the
    /// collection [`SESSIONS`](balcony_router::collections::SESSIONS): the server is shutting down. It is asked only if
    /// [`ServerConfig::keep_sessions`](crate::ServerConfig::keep_sessions) says so; the same ones once more, each second for a quarter of a
    /// minute, if they could not be kept.
    Sessions {
        /// The domain.
        domain: BareJid,
        /// The sessions.
        sessions: Vec<crate::SavedSession>,
    },
    /// Which accounts have documents in this collection: up to `limit` of them, by domain and then localpart. It is asked when the
    /// server starts, until there are no more.
    Holders {
        /// The name of the collection.
        collection: &'static str,
        /// The last of those before; `None` at first.
        after: Option<BareJid>,
        /// How many at most.
        limit: usize,
    },
}

/// The answer to an [`Ask`], of the same kind.
#[derive(Debug)]
pub enum Answer {
    /// To a stream's.
    Stream(balcony_stream::server::ServerAnswer),
    /// To the router's.
    Router(balcony_router::Answer),
    /// To [`Ask::Sessions`]: whether they are kept, durably. Otherwise they are over, if they can't be kept when that is tried again.
    Sessions(bool),
    /// To [`Ask::Holders`]: none if there are no more; `None` if it can't be told now.
    Holders(Option<Vec<BareJid>>),
}

/// What has happened on a connection. None of it holds anything secret, nor what people write to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// A client has proven who it is.
    Authenticated {
        /// The account.
        account: BareJid,
        /// How.
        mechanism: Mechanism,
    },
    /// An attempt to authenticate failed.
    AuthenticationFailed {
        /// Why, in words for the log.
        reason: &'static str,
        /// Of which account, if it is known that there is one of that name.
        account: Option<BareJid>,
    },
    /// A client has proven who it is, and gets no resource.
    BindRefused {
        /// The account.
        account: BareJid,
        /// Why.
        error: StanzaError,
    },
    /// A resource is bound; stanzas flow.
    Bound(FullJid),
    /// A session of before goes on here (XEP-0198 section 5).
    Resumed(FullJid),
    /// The connection is lost, and its session waits for its client.
    Lost(Ended),
    /// The connection has ended.
    Ended(Ended),
}

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Closed by the peer, in good order.
    Closed,
    /// For this reason.
    Failed(balcony_connection::Error),
}

/// Takes the answer to one [`Ask`] back to whoever drives the server. Answer every ask; where that can't be done,
/// say so with [`Unavailable`](balcony_stream::server::ServerAnswer::Unavailable) or [`Refused`](balcony_router::Answer::Refused).
pub type Reply = alloc::boxed::Box<dyn FnOnce(Answer) + Send>;
