//! When the own server has held a stanza back (XEP-0203).

use balcony_jid::FullJid;
use balcony_stanza::Stanza;
use balcony_xep::delay::{Delay, claims};

/// When the own server stored this stanza, in milliseconds since the start of 1970 (UTC); `None` if it has come at once.
///
/// What others say about delays is ignored. A sender can still pretend to be the server: believe it for display only.
#[must_use]
pub fn held_back(stanza: &Stanza, own: &FullJid) -> Option<u64> {
    let content = stanza.payload.parse().ok()?;
    let is_server = |child| claims(child, own.domainpart()) || claims(child, own.bare_str());
    // The older form is not believed: servers that do not know it do not take it away from what others send.
    let mut delays = content.root().children().filter(|child| is_server(*child));
    delays.find_map(Delay::read).map(|delay| delay.at)
}
