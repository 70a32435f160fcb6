//! Calls, as far as messages speak of them: that somebody calls (XEP-0353), or invites into a call (XEP-0482), and what became of that.

use balcony_xml::ElementRef;

/// What their namespaces begin with, in any version.
const NAMESPACES: [&str; 2] = ["urn:xmpp:jingle-message:", "urn:xmpp:call-invites:"];

/// Whether a message with this in it is about a call.
#[must_use]
pub fn is_about_call(child: ElementRef<'_>) -> bool {
    NAMESPACES.iter().any(|namespace| child.namespace().starts_with(namespace))
}
