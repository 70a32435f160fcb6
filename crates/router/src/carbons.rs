//! Carbons: copies of a conversation for the user's other resources (XEP-0280).

use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::{Kind, MessageType, Payload, Stanza, ns};
use balcony_xml::{ElementRef, Name};

use crate::account::{Account, Resource};
use crate::router::{Router, deliver};
use crate::{Effect, SessionId};

/// Why there is a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Received,
    Sent,
}

impl Router {
    /// Gives the session copies from now on, as if it had asked for them: it has, when it bound its resource (XEP-0386).
    pub fn enable_carbons(&mut self, session: SessionId) {
        let Some(name) = self.sessions.get(&session).map(|own| own.jid.to_bare()) else { return };
        if let Some(account) = self.accounts.get_mut(&name) {
            account.set_carbons(session, true);
        }
        self.refresh(&name);
    }

    /// Copies of a message that these sessions of the account get.
    pub(crate) fn copy_received(
        &self,
        account: &Account,
        reached: &[SessionId],
        stanza: &Stanza,
        effects: &mut Vec<Effect>,
    ) {
        // Another resource of the same account knows what it has said.
        let is_sender = |resource: &Resource| {
            stanza.head.from.as_ref().is_some_and(|from| from.as_str() == resource.jid.as_str())
        };
        let others = account.copied().filter(|other| !reached.contains(&other.session) && !is_sender(other));
        copy(Way::Received, others, stanza, effects);
    }

    /// Copies of a message that this session of the account sends.
    pub(crate) fn copy_sent(
        &self,
        account: &Account,
        sender: SessionId,
        stanza: &Stanza,
        effects: &mut Vec<Effect>,
    ) {
        copy(Way::Sent, account.copied().filter(|other| other.session != sender), stanza, effects);
    }
}

/// Gives a copy to each of these resources (section 8).
fn copy<'a>(
    way: Way,
    others: impl Iterator<Item = &'a Resource>,
    stanza: &Stanza,
    effects: &mut Vec<Effect>,
) {
    let mut others = others.peekable();
    if others.peek().is_none() || !is_eligible(stanza, way) {
        return;
    }
    let payload = wrap(stanza, way);
    for other in others {
        let copy = Stanza::new(stanza.head.kind).from(other.jid.to_bare().into()).to(other.jid.to_jid());
        deliver([other.session], copy.payload(payload.clone()), effects);
    }
}

/// What a copy says; the same for all resources.
fn wrap(stanza: &Stanza, way: Way) -> Payload {
    const RECEIVED: Name = Name::from_static("received");
    const SENT: Name = Name::from_static("sent");
    const FORWARDED: Name = Name::from_static("forwarded");
    let way = if way == Way::Received { RECEIVED } else { SENT };
    Payload::forward(stanza, &[(way, ns::CARBONS), (FORWARDED, ns::FORWARD)])
}

/// Whether a message is part of a conversation of two (section 6.1), and its sender does not mind (section 9).
fn is_eligible(stanza: &Stanza, way: Way) -> bool {
    let Kind::Message(kind) = stanza.head.kind else { return false };
    let Ok(content) = stanza.payload.parse() else { return false };
    let child = |name, namespace| content.root().child(name, namespace);
    let is_full = stanza.head.to.as_ref().is_some_and(Jid::is_full);
    if child("private", ns::CARBONS).is_some() || is_full && child("no-copy", ns::HINTS).is_some() {
        return false;
    }
    // Rooms speak for their users with this mark. Whoever is invited is not one of them yet.
    let in_room = child("x", ns::MUC_USER).filter(|x| x.child("invite", ns::MUC_USER).is_none());
    if way == Way::Received && in_room.is_some() {
        return false;
    }
    match kind {
        MessageType::Chat => true,
        MessageType::Groupchat | MessageType::Headline => false,
        // An error is judged by the part of the message that it brings back, if any.
        MessageType::Normal | MessageType::Error => content.root().children().any(is_talk),
    }
}

fn is_talk(child: ElementRef<'_>) -> bool {
    child.name() == "body" && ns::is_content(child.namespace())
        || [ns::RECEIPTS, ns::CHAT_STATES, ns::CHAT_MARKERS, ns::CONFERENCE, ns::MUC_USER]
            .contains(&child.namespace())
}
