//! Client state indication: while nobody uses a client, what is not urgent is held, and goes together with what is (XEP-0352).
//!
//! Urgent is what a person would want to see, or a program has asked for: messages that say something, calls, invitations, requests and
//! answers, errors. Of presence and of what somebody is writing the latest is enough, and whoever has gone does not need it. Other
//! messages say nothing by themselves, such as receipts and what others publish; all of these come in the end.

use alloc::boxed::Box;
use alloc::format;

use balcony_jid::Jid;
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};
use balcony_xep::carbons::{Carbon, Direction};
use balcony_xep::chat_states::is_only_state;
use balcony_xep::csi::{ClientState, FEATURE, NS};
use balcony_xep::muc::is_of_recipient;
use balcony_xml::ElementRef;

use super::matters::{has_text, says_something};
use super::{Context, Delivery, Extension, Registry};
use crate::outbox::is_copy;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Csi {
    /// Whether presence is held, and only the latest of each entity.
    pub presence: bool,
    /// Whether messages are that say only what somebody is doing (XEP-0085), and only the latest of each.
    pub chat_states: bool,
    /// Whether other messages are that say nothing to a person: receipts, markers, what others publish.
    pub other: bool,
}

impl Default for Csi {
    /// All of it.
    fn default() -> Self {
        Csi { presence: true, chat_states: true, other: true }
    }
}

impl Extension for Csi {
    const NAME: &'static str = "csi";
    type Account = ();
    /// Whether nobody uses it.
    type Client = bool;

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.stream_feature(FEATURE, NS);
        for state in [ClientState::Active, ClientState::Inactive] {
            registry.element(state.name(), NS, |_, context, element| said(context, element));
            registry.bind_inline(state.name(), NS, |_, context, element| said(context, element));
        }
        registry.hold(|csi, is_inactive, stanza| match is_inactive {
            true => csi.delivery(stanza),
            false => Delivery::Pass,
        });
        registry.inactive(|_, is_inactive| *is_inactive);
        // Section 5.2.
        registry.resumed(|_, is_inactive| *is_inactive = false);
    }
}

fn said(context: &mut Context<'_, '_, Csi>, element: ElementRef<'_>) {
    if let (Some(is_inactive), Some(state)) = (context.client_mut(), ClientState::read(element)) {
        *is_inactive = state == ClientState::Inactive;
    }
}

impl Csi {
    /// What becomes of a stanza for a client that nobody uses.
    fn delivery(&self, stanza: &Stanza) -> Delivery {
        match (stanza.head.kind, &stanza.head.from) {
            (Kind::Presence(PresenceType::Available | PresenceType::Unavailable), Some(from))
                if self.presence
                    && !stanza.payload.parse().is_ok_and(|content| is_of_recipient(content.root())) =>
            {
                Delivery::Latest(format!("presence {from}").into())
            }
            // This is on the way of every message to somebody who is away.
            (Kind::Message(_), _) if has_text(stanza) => Delivery::Flush,
            (Kind::Message(_), Some(_)) if is_copy(stanza) => self.copy(stanza),
            (Kind::Message(_), _) => self.message(stanza),
            // Requests and answers, subscriptions, errors.
            _ => Delivery::Flush,
        }
    }

    /// A copy (XEP-0280) is as urgent as its message. What the user has said elsewhere may take a notice back.
    fn copy(&self, stanza: &Stanza) -> Delivery {
        let carbon = stanza.payload.parse().ok().and_then(|content| Carbon::read(content.root()));
        match carbon {
            Some(Carbon { direction, message }) => match self.message(&message) {
                Delivery::Hold if direction == Direction::Sent => Delivery::Flush,
                delivery => delivery,
            },
            None => self.message(stanza),
        }
    }

    fn message(&self, stanza: &Stanza) -> Delivery {
        let Ok(content) = stanza.payload.parse() else { return Delivery::Flush };
        let root = content.root();
        if stanza.head.kind == Kind::Message(MessageType::Error) || says_something(root) {
            return Delivery::Flush;
        }
        match (is_only_state(root), &stanza.head.from) {
            (true, Some(from)) if self.chat_states => {
                Delivery::Latest(state_of(from, stanza.head.to.as_ref()))
            }
            (false, _) if self.other => Delivery::Hold,
            _ => Delivery::Flush,
        }
    }
}

/// What somebody is doing in a conversation.
fn state_of(from: &Jid, to: Option<&Jid>) -> Box<str> {
    format!("state {from} {}", to.map_or("", Jid::as_str)).into()
}
