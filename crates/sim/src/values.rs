//! What strategies and `Arbitrary` choose from: the odd cases of each kind.

use balcony_stanza::{IqType, Kind, MessageType, PresenceType};

pub(crate) const LOCALS: &[&str] =
    &["juliet", "romeo", "o\\27brien", "\u{5e9}\u{5dc}\u{5d5}\u{5dd}", "m\u{e9}", "a", "1", "_.-"];
pub(crate) const DOMAINS: &[&str] = &[
    "example.com",
    "example.net",
    "localhost",
    "\u{fc}ber.example",
    "[::1]",
    "192.0.2.1",
    "chat.example.com",
];
pub(crate) const RESOURCES: &[&str] =
    &["balcony", "it's \"quoted\" <&>", "\u{1f600} \u{4f60}\u{597d}", "a/b@c", "]]>", "\u{e9}"];
pub(crate) const NAMES: &[&str] =
    &["body", "a", "error", "_b-1.c", "query", "message", "presence", "iq", "subject", "delay"];
pub(crate) const NAMESPACES: &[&str] = &["jabber:client", "jabber:client", "urn:a", "urn:b?c&d='e'", ""];
/// Characters that XML treats specially, or that programs do.
pub(crate) const SPECIAL: &[char] = &[
    '<',
    '>',
    '&',
    '\'',
    '"',
    ']',
    '\t',
    '\n',
    '\r',
    ' ',
    '\u{7f}',
    '\u{85}',
    '\u{2028}',
    '\u{feff}',
    '\u{202e}',
    '\u{1f600}',
    '\u{e9}',
];
/// All kinds of stanzas.
pub(crate) const KINDS: &[Kind] = &[
    Kind::Message(MessageType::Normal),
    Kind::Message(MessageType::Chat),
    Kind::Message(MessageType::Groupchat),
    Kind::Message(MessageType::Headline),
    Kind::Message(MessageType::Error),
    Kind::Presence(PresenceType::Available),
    Kind::Presence(PresenceType::Unavailable),
    Kind::Presence(PresenceType::Subscribe),
    Kind::Presence(PresenceType::Subscribed),
    Kind::Presence(PresenceType::Unsubscribe),
    Kind::Presence(PresenceType::Unsubscribed),
    Kind::Presence(PresenceType::Probe),
    Kind::Presence(PresenceType::Error),
    Kind::Iq(IqType::Get),
    Kind::Iq(IqType::Set),
    Kind::Iq(IqType::Result),
    Kind::Iq(IqType::Error),
];

/// Whether XML 1.0 can carry it.
pub(crate) const fn is_xml(char: char) -> bool {
    !matches!(char, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}
