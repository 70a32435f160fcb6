//! Presence of others that has come (RFC 6121 sections 3 and 4).

use balcony_jid::Jid;
use balcony_stanza::{Kind, PresenceType, Stanza, Texts};
use balcony_xml::Element;

use crate::{Presence, Show};

/// Presence that has come: that somebody is there or gone, or wants to see ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedPresence {
    stanza: Stanza,
    kind: PresenceType,
    says: Presence,
}

impl ReceivedPresence {
    /// Reads it; `None` if the stanza is none.
    #[must_use]
    pub fn read(stanza: Stanza) -> Option<ReceivedPresence> {
        let Kind::Presence(kind) = stanza.head.kind else { return None };
        Some(ReceivedPresence { says: Presence::read(&stanza), stanza, kind })
    }

    /// Whose it is; `None`: the own account.
    #[must_use]
    pub fn from(&self) -> Option<&Jid> {
        self.stanza.head.from.as_ref()
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> PresenceType {
        self.kind
    }

    /// Whether a resource is there.
    #[must_use]
    pub fn is_available(&self) -> bool {
        self.kind == PresenceType::Available
    }

    /// Whether somebody asks to see our presence, and waits for [`approve`](ReceivedPresence::approve) or
    /// [`refuse`](ReceivedPresence::refuse) (RFC 6121 section 3.1).
    #[must_use]
    pub fn is_subscription_request(&self) -> bool {
        self.kind == PresenceType::Subscribe
    }

    /// How available the resource is.
    #[must_use]
    pub fn show(&self) -> Show {
        self.says.show
    }

    /// The same in words of its user; of several texts the one in no particular language, or else the first.
    #[must_use]
    pub fn status(&self) -> Option<&str> {
        self.says.statuses.best("")
    }

    /// Those words in all the languages they have come in.
    #[must_use]
    pub fn statuses(&self) -> &Texts {
        &self.says.statuses
    }

    /// The first element that `T` can be made of, such as a type of the package `xmpp-parsers`.
    #[cfg(feature = "minidom")]
    #[must_use]
    pub fn get<T: TryFrom<minidom::Element>>(&self) -> Option<T> {
        self.stanza.payload.get()
    }

    /// The first element of that name in that namespace.
    ///
    /// ```
    /// use balcony_client::ReceivedPresence;
    /// use balcony_stanza::Stanza;
    ///
    /// let xml = "<presence from='juliet@example.com/balcony'><mood xmlns='urn:example:mood'>amorous</mood></presence>";
    /// let presence = ReceivedPresence::read(Stanza::parse(xml.as_bytes()).unwrap()).unwrap();
    /// assert_eq!(presence.element("mood", "urn:example:mood").unwrap().root().text(), "amorous");
    /// ```
    #[must_use]
    pub fn element(&self, name: &str, namespace: &str) -> Option<Element> {
        self.stanza.payload.parse().ok()?.root().child(name, namespace).map(|element| element.to_owned())
    }

    /// With a negative one the resource gets no messages that are addressed to its account.
    #[must_use]
    pub fn priority(&self) -> i8 {
        self.says.priority
    }

    /// The answer that lets whoever asks see our presence; to be sent.
    #[must_use]
    pub fn approve(&self) -> Stanza {
        self.answer(PresenceType::Subscribed)
    }

    /// The answer that does not, or no longer.
    #[must_use]
    pub fn refuse(&self) -> Stanza {
        self.answer(PresenceType::Unsubscribed)
    }

    fn answer(&self, kind: PresenceType) -> Stanza {
        let mut answer = Stanza::presence(kind);
        // Subscriptions are between accounts (RFC 6121 section 3.1.1).
        answer.head.to = self.from().map(|from| from.to_bare().to_jid());
        answer
    }

    /// The stanza.
    #[must_use]
    pub fn stanza(&self) -> &Stanza {
        &self.stanza
    }
}
