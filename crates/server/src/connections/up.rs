//! What connections say to the router.

use alloc::boxed::Box;
use alloc::string::String;
use core::net::IpAddr;

use balcony_jid::BareJid;
use balcony_machine::Ticket;
use balcony_router::SessionId;
use balcony_stanza::Stanza;
use balcony_stream::Counts;
use balcony_stream::server::ServerAsk;
use balcony_xep::sm::Enable;
use balcony_xml::Element;

#[cfg(doc)]
use super::Down;
use crate::ConnectionId;

/// What connections say to the router.
#[derive(Debug)]
pub enum Up {
    /// A client that has authenticated wants to bind a resource. Answer with [`Down::Bound`].
    Bind {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question.
        ticket: Ticket,
        /// What it wants.
        request: Box<BindRequest>,
    },
    /// A session wants to acknowledge what it gets, and to be acknowledged (XEP-0198). Answer with [`Down::Enabled`].
    Enable {
        /// Which session.
        session: SessionId,
        /// Its connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// What it wants.
        enable: Box<Enable>,
    },
    /// A client that has authenticated wants its session back (XEP-0198 section 5). Answer with [`Down::Resumed`],
    /// [`Down::NotResumed`] or [`Down::TooMuch`].
    Resume {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// What it wants.
        request: Box<ResumeRequest>,
    },
    /// The session has got so many more of the stanzas that it was sent since it acknowledges.
    Acknowledged {
        /// Which session.
        session: SessionId,
        /// How many.
        count: u32,
    },
    /// A session has sent a stanza. Until it is [handled](Down::Handled) it counts against how much is read ahead.
    Stanza {
        /// Which session.
        session: SessionId,
        /// Its number among all that the session has sent.
        number: u64,
        /// What.
        stanza: Box<Stanza>,
    },
    /// A session has sent something that is no stanza, and is an extension's.
    Element {
        /// Which session.
        session: SessionId,
        /// What.
        element: Box<Element>,
    },
    /// The network has the first so many stanzas that were [delivered](Down::Deliver) to the session.
    Drained {
        /// Which session.
        session: SessionId,
        /// How many.
        through: u64,
    },
    /// The session's stream is over. What was delivered to it may still be written.
    Ended {
        /// Which session.
        session: SessionId,
    },
    /// The session has lost its connection, and waits for its client. Nothing more is said of it here.
    Lost {
        /// Which session.
        session: SessionId,
        /// What both ends have counted.
        counts: Box<Counts>,
    },
    /// The session can't go on elsewhere: its stream is over in good order, or its client does not acknowledge what it gets.
    Stays {
        /// Which session.
        session: SessionId,
        /// Its connection. If it has another one by now, this is of no account.
        connection: ConnectionId,
    },
    /// Not all was taken that had come of a client which [finishes](super::Down::Finish), though it reads what it is told: there was no more
    /// time, and the rest is dropped.
    Cut {
        /// Which session.
        session: SessionId,
    },
    /// Nothing more can be written to the session: its connection is forgotten.
    Gone {
        /// Which session.
        session: SessionId,
    },
    /// A stream asks about credentials or registration. Answer with [`Down::Answer`].
    Ask {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// The question.
        ask: Box<ServerAsk>,
        /// How it is connected.
        via: Via,
    },
    /// The connections are [closing](super::Connections::close_down): all sessions have ended, or wait for their clients.
    AllEnded,
    /// The connections are closing, and none is left; or there is another one all the same.
    Alone(bool),
}

/// A resource that is to be bound.
#[derive(Debug)]
pub struct BindRequest {
    /// Whose resource.
    pub account: BareJid,
    /// What the client asked for; `None` leaves the choice to the server.
    pub resource: Option<String>,
    /// Its installation, if it has named that: older sessions of it end (XEP-0386 section 3.2).
    pub installation: Option<String>,
    /// What else it wants done on the way (XEP-0386 section 3.2).
    pub inline: Option<Element>,
    /// Whether it wants to acknowledge what it gets, and to be acknowledged (XEP-0198).
    pub enable: Option<Enable>,
    /// By which question it has proven who it is: the number of the [answer](Down::Answer).
    pub proven: u64,
    /// How it is connected.
    pub via: Via,
}

/// A session that is to go on.
#[derive(Debug)]
pub struct ResumeRequest {
    /// Whose session.
    pub account: BareJid,
    /// What the server has called it.
    pub previd: String,
    /// How many stanzas the client has got in it, modulo 2^32.
    pub h: u32,
    /// By which question it has proven who it is: the number of the [answer](Down::Answer).
    pub proven: u64,
    /// How it is connected.
    pub via: Via,
}

/// How a client is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Via {
    /// Through TLS that ends here.
    pub is_secured: bool,
    /// From this address, if that is known and counts.
    pub address: Option<IpAddr>,
}
