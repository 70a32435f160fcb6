//! What follows from a change of a roster, for the user's server to do. The roster itself sends and stores nothing.

use alloc::sync::Arc;

use balcony_jid::BareJid;
use balcony_stanza::Stanza;

use crate::Push;

/// What the user's server has to do, in the order in which the decisions were appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Keep what the roster now knows about this contact: its [item](crate::Roster::item), its
    /// [request](crate::Roster::request), and the [version](crate::Roster::version). It comes first; what follows waits
    /// until it is durable.
    Save(BareJid),
    /// Answer the request with an empty result.
    Result,
    /// Send this to each interested resource, as an iq set of its own (RFC 6121 section 2.1.6).
    Push(Push),
    /// Pass the stanza on to these resources. Its `to` is not rewritten.
    Deliver {
        /// Who gets it.
        to: Audience,
        /// What the contact has sent; its `from` is the contact's bare JID.
        stanza: Arc<Stanza>,
    },
    /// Send the stanza to the contact that it is addressed to: through its roster if it is local, otherwise to its server.
    /// Both addresses are bare (section 3).
    Send(Stanza),
    /// Send the contact the current presence of each available resource (section 3.1.5).
    Available(BareJid),
    /// Send the contact unavailable presence from each available resource (sections 3.2.2 and 3.3.3), and forget whatever
    /// presence they have directed to it (section 4.6.1).
    Unavailable(BareJid),
}

/// Which of the user's resources get a stanza (RFC 6121 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Audience {
    /// Those that have sent initial presence.
    Available,
    /// Those that have asked for the roster.
    Interested,
}
