//! What connections say to the router.

use alloc::boxed::Box;
use alloc::string::String;

use balcony_jid::BareJid;
use balcony_machine::Ticket;
use balcony_router::SessionId;
use balcony_stanza::Stanza;
use balcony_stream::Counts;
use balcony_stream::server::ServerAsk;
use balcony_xep::sm::Enable;
use balcony_xml::Element;

use crate::ConnectionId;
#[cfg(doc)]
use crate::Connections;

/// What connections say to the router.
#[derive(Debug)]
pub enum Up {
    /// A client that has authenticated wants to bind a resource. Answer with [`Connections::bound`].
    Bind {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question.
        ticket: Ticket,
        /// Whose resource.
        account: BareJid,
        /// What the client asked for; `None` leaves the choice to the server.
        resource: Option<String>,
        /// What else it wants done on the way (XEP-0386 section 3.2).
        inline: Option<Element>,
        /// Whether it wants to acknowledge what it gets, and to be acknowledged (XEP-0198).
        enable: Option<Enable>,
    },
    /// A session wants to acknowledge what it gets, and to be acknowledged (XEP-0198). Answer with [`Connections::enabled`].
    Enable {
        /// Which session.
        session: SessionId,
        /// Its connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// What it wants.
        enable: Enable,
    },
    /// A client that has authenticated wants its session back (XEP-0198 section 5). Answer with [`Connections::resumed`] or
    /// [`Connections::not_resumed`].
    Resume {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question.
        ticket: Ticket,
        /// Whose session.
        account: BareJid,
        /// What the server has called it.
        previd: String,
        /// How many stanzas the client has got in it, modulo 2^32.
        h: u32,
    },
    /// The session has got so many more of the stanzas that it was sent since it acknowledges.
    Acknowledged {
        /// Which session.
        session: SessionId,
        /// How many.
        count: u32,
    },
    /// A session has sent a stanza. Until it is [handled](Connections::handled) it counts against how much is read ahead.
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
        element: Element,
    },
    /// The network has the first so many stanzas that were [delivered](Connections::deliver) to the session.
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
        counts: Counts,
    },
    /// Nothing more can be written to the session: its connection is forgotten.
    Gone {
        /// Which session.
        session: SessionId,
    },
    /// A stream asks about credentials or registration. Answer with [`Connections::answer`].
    Ask {
        /// Which connection.
        connection: ConnectionId,
        /// Names the question there.
        ticket: Ticket,
        /// The question.
        ask: ServerAsk,
    },
}
