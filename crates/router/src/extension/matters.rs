//! Whether a message says something to a person: what a client that nobody uses gets at once (XEP-0352), and for which a device is woken
//! (XEP-0357). There is one such judgment.

use alloc::string::String;

use balcony_stanza::{Kind, MessageType, Stanza, ns};
use balcony_xep::carbons::{self, Carbon, Direction};
use balcony_xep::{attention, calls, conference, encryption, muc};
use balcony_xml::ElementRef;

use crate::outbox::is_copy;

/// Whether a message with this content says something to a person.
pub(super) fn says_something(content: ElementRef<'_>) -> bool {
    content.children().any(is_said)
}

/// Whether a message has a body or a subject, or the message of which it is a copy, as far as that is seen without parsing it. Most of those that
/// say something have, and for most of them that is seen at once.
pub(super) fn has_text(message: &Stanza) -> bool {
    let content = message.payload.outline();
    let copied = is_copy(message).then(|| carbons::outline(content.clone())).flatten();
    copied
        .unwrap_or(content)
        .any(|child| is_text_name(child.name()) && child.namespace().is_some_and(ns::is_content))
}

/// Why nobody is woken for a message, in words; `None` if it is worth it. A copy (XEP-0280) is worth what its message is.
pub(super) fn why_not_wake(message: &Stanza, owner: &str) -> Option<&'static str> {
    let copy = is_copy(message).then(|| message.payload.parse().ok()).flatten();
    match copy.as_ref().and_then(|content| Carbon::read(content.root())) {
        Some(Carbon { direction: Direction::Sent, .. }) => Some("it is a copy of what the user has sent"),
        Some(Carbon { message, .. }) => why_not_wake_for(&message, owner),
        None => why_not_wake_for(message, owner),
    }
}

fn why_not_wake_for(message: &Stanza, owner: &str) -> Option<&'static str> {
    if message.head.kind == Kind::Message(MessageType::Error) {
        return Some("it is an error");
    }
    if message.head.from.as_ref().is_some_and(|from| from.bare_str() == owner) {
        return Some("the user has sent it");
    }
    let says_something = message.payload.parse().is_ok_and(|content| says_something(content.root()));
    (!says_something).then_some("it says nothing to a person")
}

/// Whether a message with this in it says something to a person.
fn is_said(child: ElementRef<'_>) -> bool {
    is_text(child)
        || encryption::is_encrypted(child)
        || attention::Attention::read(child).is_some()
        || calls::is_about_call(child)
        || muc::is_invitation(child)
        || child.namespace() == conference::NS
}

/// A body or a subject (RFC 6121 section 5.2.3).
fn is_text(child: ElementRef<'_>) -> bool {
    is_text_name(child.name()) && ns::is_content(child.namespace())
}

fn is_text_name(name: &str) -> bool {
    ["body", "subject"].contains(&name)
}

/// What a message says, or the message of which it is a copy; `None` if it has no body.
pub(super) fn body_of(message: &Stanza) -> Option<String> {
    let content = message.payload.parse().ok()?;
    if let Some(carbon) = is_copy(message).then(|| Carbon::read(content.root())).flatten() {
        let content = carbon.message.payload.parse().ok()?;
        return text_of(content.root());
    }
    text_of(content.root())
}

fn text_of(content: ElementRef<'_>) -> Option<String> {
    let body =
        content.children().find(|child| child.name() == "body" && ns::is_content(child.namespace()))?;
    Some(body.text().into_owned())
}
