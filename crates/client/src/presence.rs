//! What a resource says of itself, read from presence and written into it, and the presence that ends a session or manages
//! subscriptions (RFC 6121 sections 3 and 4.7).

use alloc::string::ToString as _;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_stanza::{Payload, PresenceType, Stanza, Texts, ns};
use balcony_xml::{Element, Name};

/// What an available resource says of itself (RFC 6121 section 4.7.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Presence {
    /// How available somebody is there.
    pub show: Show,
    /// The same in words of the user's own, in one language or several (RFC 6121 section 4.7.2.2).
    pub statuses: Texts,
    /// From -128 to 127; with a negative one the resource gets no messages that are addressed to its account.
    pub priority: i8,
}

/// How available somebody is (RFC 6121 section 4.7.2.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Show {
    /// There.
    #[default]
    Online,
    /// Keen on a chat.
    Chat,
    /// Away for a short while.
    Away,
    /// Away for longer.
    Xa,
    /// Not to be disturbed.
    Dnd,
}

impl Show {
    /// The text of the element `<show/>`; [`Online`](Show::Online) has none.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Show::Online => None,
            Show::Chat => Some("chat"),
            Show::Away => Some("away"),
            Show::Xa => Some("xa"),
            Show::Dnd => Some("dnd"),
        }
    }

    fn read(name: &str) -> Show {
        let known = [Show::Chat, Show::Away, Show::Xa, Show::Dnd];
        known.into_iter().find(|show| show.name() == Some(name)).unwrap_or_default()
    }
}

impl Presence {
    /// Available, with nothing else to say.
    #[must_use]
    pub fn available() -> Presence {
        Presence::default()
    }

    /// The same, this available.
    #[must_use]
    pub fn show(mut self, show: Show) -> Presence {
        self.show = show;
        self
    }

    /// The same, with this to say, in the language of the stream.
    #[must_use]
    pub fn status(self, status: impl AsRef<str>) -> Presence {
        self.status_in("", status)
    }

    /// The same, with this to say in another language (RFC 5646).
    ///
    /// ```
    /// use balcony_client::Presence;
    ///
    /// let presence = Presence::available().status("at lunch").status_in("cs", "na obědě");
    /// assert_eq!(presence.statuses.best("cs-CZ"), Some("na obědě"));
    /// ```
    #[must_use]
    pub fn status_in(mut self, lang: &str, status: impl AsRef<str>) -> Presence {
        self.statuses.set(lang, status);
        self
    }

    /// The same, with this priority.
    #[must_use]
    pub fn priority(mut self, priority: i8) -> Presence {
        self.priority = priority;
        self
    }

    /// Reads the content of available presence. What breaks the rules, or is empty, counts as not said.
    #[must_use]
    pub fn read(stanza: &Stanza) -> Presence {
        let Ok(content) = stanza.payload.parse() else { return Presence::default() };
        let text = |name| content.root().child(name, ns::CLIENT).map(|child| child.text());
        let inherited = stanza.head.lang.as_deref().unwrap_or_default();
        Presence {
            show: text("show").map(|show| Show::read(show.trim())).unwrap_or_default(),
            statuses: Texts::read(content.root(), "status", inherited),
            priority: text("priority").and_then(|text| text.trim().parse().ok()).unwrap_or_default(),
        }
    }

    /// Presence for everybody who may see it: without `to` and `type` (RFC 6121 section 4.2.1). As a stanza it can have elements of any kind beside, and an
    /// address of its own, such as that of a room.
    ///
    /// ```
    /// use balcony_client::Presence;
    /// use balcony_xml::{Element, Name};
    ///
    /// let enter = Element::new(Name::from_static("x"), "http://jabber.org/protocol/muc");
    /// let presence = Presence::available().to_stanza().with_child(enter).with_to("garden@rooms.example.com/romeo".parse()?);
    /// assert_eq!(
    ///     presence.to_xml(),
    ///     "<presence to='garden@rooms.example.com/romeo'><x xmlns='http://jabber.org/protocol/muc'/></presence>"
    /// );
    /// # Ok::<(), balcony_jid::JidError>(())
    /// ```
    #[must_use]
    pub fn to_stanza(&self) -> Stanza {
        const SHOW: Name = Name::from_static("show");
        const STATUS: Name = Name::from_static("status");
        const PRIORITY: Name = Name::from_static("priority");
        let element = |name, text: &str| Element::new(name, ns::CLIENT).text(text);
        let mut content = Vec::new();
        content.extend(self.show.name().map(|show| element(SHOW, show)));
        content.extend(self.statuses.to_elements(STATUS));
        if self.priority != 0 {
            content.push(element(PRIORITY, &self.priority.to_string()));
        }
        Stanza::presence(PresenceType::Available).with_payload(content.iter().collect::<Payload>())
    }

    /// That nobody is here any more, to be sent before the stream is closed (RFC 6121 section 4.5.1). It has neither
    /// `<show/>` nor `<priority/>`.
    #[must_use]
    pub fn unavailable(status: Option<&str>) -> Stanza {
        let gone = status.map_or_else(Presence::default, |status| Presence::default().status(status));
        Stanza::presence(PresenceType::Unavailable).with_payload(gone.to_stanza().payload)
    }

    /// Asks a contact to see their presence (RFC 6121 section 3.1.1). That is between accounts, not resources. As every stanza it gets an id when an
    /// [`Agent`](crate::Agent) sends it; whoever sends it in another way gives it one, which is new each time.
    ///
    /// ```
    /// use balcony_client::Presence;
    ///
    /// assert_eq!(
    ///     Presence::subscribe(&"juliet@example.com".parse()?).to_xml(),
    ///     "<presence to='juliet@example.com' type='subscribe'/>"
    /// );
    /// # Ok::<(), balcony_jid::JidError>(())
    /// ```
    #[must_use]
    pub fn subscribe(contact: &BareJid) -> Stanza {
        Presence::subscription(PresenceType::Subscribe, contact)
    }

    /// Lets a contact see the own presence, also one who has not asked yet (RFC 6121 sections 3.1.4 and 3.4).
    #[must_use]
    pub fn approve(contact: &BareJid) -> Stanza {
        Presence::subscription(PresenceType::Subscribed, contact)
    }

    /// Ends one's own seeing of a contact's presence (RFC 6121 section 3.3).
    #[must_use]
    pub fn unsubscribe(contact: &BareJid) -> Stanza {
        Presence::subscription(PresenceType::Unsubscribe, contact)
    }

    /// Does not let a contact see the own presence, or no longer (RFC 6121 section 3.2).
    #[must_use]
    pub fn refuse(contact: &BareJid) -> Stanza {
        Presence::subscription(PresenceType::Unsubscribed, contact)
    }

    /// Presence of one of the four types that manage subscriptions (RFC 6121 section 3).
    fn subscription(kind: PresenceType, contact: &BareJid) -> Stanza {
        Stanza::presence(kind).with_to(contact.to_jid())
    }
}

impl From<Presence> for Stanza {
    fn from(presence: Presence) -> Stanza {
        presence.to_stanza()
    }
}
