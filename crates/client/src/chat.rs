//! Where the messages of a conversation between two people go: to the account, or to the resource that has replied (RFC 6121
//! section 5.1).
//!
//! It sends nothing and keeps no texts: its owner gives it what comes, and sends what it makes.

use balcony_jid::{BareJid, FullJid, Jid};
use balcony_stanza::{Content, Kind, MessageType, PresenceType, Stanza, Thread};

use crate::{Contacts, Presence};

/// A chat session with one other person (RFC 6121 section 5.1): where the next message goes.
///
/// The first message goes to the account of the peer. Once a resource has replied, messages go to that one, until another
/// resource is heard of or that one changes its presence.
///
/// ```
/// use balcony_client::Chat;
/// use balcony_stanza::{Content, Stanza, Thread};
///
/// let mut chat = Chat::new("romeo@example.net".parse()?, Thread::new("e0ffe42b").unwrap());
/// let first = chat.message(Content::body("Art thou not Romeo?"));
/// assert_eq!(first.head.to.unwrap().as_str(), "romeo@example.net");
///
/// let reply = "<message type='chat' from='romeo@example.net/orchard'><body>Neither.</body></message>";
/// chat.take(&Stanza::parse(reply.as_bytes()).unwrap());
/// let second = chat.message(Content::body("How cam'st thou hither?"));
/// assert_eq!(second.head.to.unwrap().as_str(), "romeo@example.net/orchard");
/// # Ok::<(), balcony_jid::JidError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Chat {
    /// Whether a peer that does not see the user's presence may see it while the chat lasts.
    pub shows_presence: bool,
    peer: BareJid,
    thread: Thread,
    /// Who has replied.
    locked: Option<FullJid>,
    /// The peer has been told that the user is here, and must be told when that ends.
    is_shown: bool,
}

impl Chat {
    /// A chat that the user begins.
    #[must_use]
    pub fn new(peer: BareJid, thread: Thread) -> Chat {
        Chat { shows_presence: true, peer, thread, locked: None, is_shown: false }
    }

    /// The person at the other end.
    #[must_use]
    pub fn peer(&self) -> &BareJid {
        &self.peer
    }

    /// The thread that all messages of the chat are in.
    #[must_use]
    pub fn thread(&self) -> &Thread {
        &self.thread
    }

    /// Where the next message goes: to a resource that has replied, or to all of the account.
    #[must_use]
    pub fn to(&self) -> Jid {
        self.locked.as_ref().map_or_else(|| self.peer.to_jid(), FullJid::to_jid)
    }

    /// The next message, which still wants an id. Its thread is that of the chat.
    #[must_use]
    pub fn message(&self, content: Content) -> Stanza {
        let content = Content { thread: Some(self.thread.clone()), ..content };
        Stanza::message(MessageType::Chat).with_to(self.to()).with_payload(content.to_payload())
    }

    /// Reads a stanza that has come; only messages and presence of the peer say something.
    pub fn take(&mut self, stanza: &Stanza) {
        let Some(from) = stanza.head.from.as_ref().filter(|from| from.bare_str() == self.peer.as_str())
        else {
            return;
        };
        self.locked = match (stanza.head.kind, self.locked.take()) {
            (Kind::Iq(_), locked) => locked,
            (Kind::Message(MessageType::Chat | MessageType::Normal), None) => from.to_full(),
            (Kind::Message(kind), Some(locked))
                if locked.as_str() == from.as_str() && kind != MessageType::Error =>
            {
                Some(locked)
            }
            _ => None,
        };
    }

    /// Presence for the peer, to be sent when the chat begins; `None` if the peer sees it by subscription, has got it
    /// before, or [must not](Chat::shows_presence).
    pub fn begin(&mut self, contacts: &Contacts, presence: &Presence) -> Option<Stanza> {
        let is_seen = contacts.item(&self.peer).is_some_and(|item| item.subscription.has_from());
        if is_seen || self.is_shown || !self.shows_presence {
            return None;
        }
        self.is_shown = true;
        Some(presence.to_stanza().with_to(self.peer.to_jid()))
    }

    /// The chat is over: the presence that takes back what [`begin`](Chat::begin) has made.
    #[must_use]
    pub fn end(self) -> Option<Stanza> {
        let unavailable = || Stanza::presence(PresenceType::Unavailable).with_to(self.peer.to_jid());
        self.is_shown.then(unavailable)
    }
}
