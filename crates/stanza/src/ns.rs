//! The namespaces of the core protocol.

/// Stanzas between a client and a server (RFC 6120 section 4.8.3).
pub const CLIENT: &str = "jabber:client";
/// Stanzas between two servers (RFC 6120 section 4.8.3).
pub const SERVER: &str = "jabber:server";
/// The stream root, its features and its errors (RFC 6120 section 4.8.1).
pub const STREAM: &str = "http://etherx.jabber.org/streams";
/// Stream error conditions (RFC 6120 section 4.9.2).
pub const STREAM_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-streams";
/// Stanza error conditions (RFC 6120 section 8.3.2).
pub const STANZA_ERRORS: &str = "urn:ietf:params:xml:ns:xmpp-stanzas";
/// STARTTLS (RFC 6120 section 5).
pub const TLS: &str = "urn:ietf:params:xml:ns:xmpp-tls";
/// SASL (RFC 6120 section 6).
pub const SASL: &str = "urn:ietf:params:xml:ns:xmpp-sasl";
/// Resource binding (RFC 6120 section 7).
pub const BIND: &str = "urn:ietf:params:xml:ns:xmpp-bind";
/// Session establishment, a leftover of RFC 3921 that old clients still ask for.
pub const SESSION: &str = "urn:ietf:params:xml:ns:xmpp-session";
/// Ping (XEP-0199).
pub const PING: &str = "urn:xmpp:ping";
/// Service discovery of identities and features (XEP-0030).
pub const DISCO_INFO: &str = "http://jabber.org/protocol/disco#info";
/// Service discovery of items (XEP-0030).
pub const DISCO_ITEMS: &str = "http://jabber.org/protocol/disco#items";
/// Software version (XEP-0092).
pub const VERSION: &str = "jabber:iq:version";
/// The roster (RFC 6121 section 2).
pub const ROSTER: &str = "jabber:iq:roster";
/// Framing of streams on WebSockets (RFC 7395 section 3.3.2).
pub const FRAMING: &str = "urn:ietf:params:xml:ns:xmpp-framing";
/// Extensible SASL profile (XEP-0388).
pub const SASL2: &str = "urn:xmpp:sasl:2";
/// Resource binding within SASL2 (XEP-0386).
pub const BIND2: &str = "urn:xmpp:bind:0";
/// Announced channel binding types (XEP-0440).
pub const SASL_CHANNEL_BINDING: &str = "urn:xmpp:sasl-cb:0";
/// Stanzas between a component and its server (XEP-0114).
pub const COMPONENT: &str = "jabber:component:accept";
/// Server dialback (XEP-0220).
pub const DIALBACK: &str = "jabber:server:dialback";
/// The stream feature of server dialback (XEP-0220).
pub const DIALBACK_FEATURE: &str = "urn:xmpp:features:dialback";
/// Streams between servers that carry stanzas both ways (XEP-0288).
pub const BIDI: &str = "urn:xmpp:bidi";
/// The stream feature that offers them.
pub const BIDI_FEATURE: &str = "urn:xmpp:features:bidi";

/// Whether `namespace` is one that stanzas live in.
#[must_use]
pub fn is_content(namespace: &str) -> bool {
    namespace == CLIENT || namespace == SERVER || namespace == COMPONENT
}
