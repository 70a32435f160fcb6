//! Chat states: what the other person is doing in a conversation (XEP-0085).

use balcony_xml::{Element, ElementRef, Name};

use crate::{delay, hints};

/// The namespace, which is also the feature.
pub const NS: &str = "http://jabber.org/protocol/chatstates";

/// What somebody is doing (section 5.1). One message says no more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChatState {
    /// Attending to the conversation.
    Active,
    /// Not attending to it for a while.
    Inactive,
    /// No longer part of it.
    Gone,
    /// Writing.
    Composing,
    /// Was writing, and has stopped.
    Paused,
}

impl ChatState {
    /// All five.
    pub const ALL: [ChatState; 5] =
        [ChatState::Active, ChatState::Inactive, ChatState::Gone, ChatState::Composing, ChatState::Paused];

    /// The name of the element.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ChatState::Active => "active",
            ChatState::Inactive => "inactive",
            ChatState::Gone => "gone",
            ChatState::Composing => "composing",
            ChatState::Paused => "paused",
        }
    }

    /// Reads it; `None` if the element is something else, or a state that is not known.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<ChatState> {
        let known = ChatState::ALL.into_iter().find(|state| state.name() == element.name());
        known.filter(|_| element.namespace() == NS)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new(Name::from_static(self.name()), NS)
    }
}

/// Whether a message with this parsed content says nothing but what its sender is doing. A state may come along with the thread
/// that it is about (section 5.3), with hints, and with the time since when it has waited (XEP-0203).
#[must_use]
pub fn is_only_state(content: ElementRef<'_>) -> bool {
    let is_state = |child: ElementRef<'_>| child.namespace() == NS;
    let is_aside = |child: ElementRef<'_>| {
        child.name() == "thread" || [hints::NS, delay::NS].contains(&child.namespace()) || is_state(child)
    };
    content.children().any(is_state) && content.children().all(is_aside)
}
