//! Direct invitations to rooms (XEP-0249).

use alloc::borrow::Cow;
use core::fmt;

use balcony_jid::BareJid;
use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "jabber:x:conference";

/// An invitation (section 2).
#[derive(Clone, PartialEq, Eq)]
pub struct Invitation<'a> {
    /// The room.
    pub room: BareJid,
    /// What it takes to get in. `Debug` does not show it.
    pub password: Option<Cow<'a, str>>,
    /// Why, for people.
    pub reason: Option<Cow<'a, str>>,
    /// The room continues a conversation of two.
    pub continues: bool,
    /// The thread of that conversation.
    pub thread: Option<Cow<'a, str>>,
}

impl<'a> Invitation<'a> {
    /// An invitation to that room, and nothing more.
    #[must_use]
    pub const fn new(room: BareJid) -> Invitation<'a> {
        Invitation { room, password: None, reason: None, continues: false, thread: None }
    }

    /// Reads it; `None` if the element is something else, or does not name a room.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Invitation<'a>> {
        if !element.is("x", NS) {
            return None;
        }
        let text = |name| element.attr(name).map(Cow::Borrowed);
        Some(Invitation {
            room: BareJid::parse(element.attr("jid")?).ok()?,
            password: text("password"),
            reason: text("reason"),
            continues: matches!(element.attr("continue"), Some("true" | "1")),
            thread: text("thread"),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const X: Name = Name::from_static("x");
        const JID: Name = Name::from_static("jid");
        const PASSWORD: Name = Name::from_static("password");
        const REASON: Name = Name::from_static("reason");
        const CONTINUE: Name = Name::from_static("continue");
        const THREAD: Name = Name::from_static("thread");
        let mut x = Element::new(X, NS).attr(JID, self.room.as_str());
        if self.continues {
            x.push_attr(CONTINUE, "true");
        }
        for (name, text) in [(PASSWORD, &self.password), (REASON, &self.reason), (THREAD, &self.thread)] {
            if let Some(text) = text {
                x.push_attr(name, text);
            }
        }
        x
    }
}

impl fmt::Debug for Invitation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invitation").field("room", &self.room).finish_non_exhaustive()
    }
}
