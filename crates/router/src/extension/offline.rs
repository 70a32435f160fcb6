//! Messages for accounts that are not there (XEP-0160): kept, and delivered to the first available client that takes messages, in
//! order.

use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::Stanza;
use balcony_xep::delay;
use balcony_xep::offline::{FEATURE, Keep};

use super::{Absent, AccountRef, Addressee, Extension, Registry};
use crate::{Append, Content, Entry, Room};

/// The log of messages that wait for a user, as XML.
pub const OFFLINE: &str = "offline";
/// The version in which a message is kept: as XML.
const PLAIN: u8 = 1;
/// The same, and the server has said in it when it came, if that is not when it was kept.
const STAMPED: u8 = 2;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Offline {
    /// How many messages may wait for an account. Those of people who are not in its roster get no more than half of it, so that no
    /// stranger keeps contacts out.
    pub messages: usize,
    /// How long they may be together, in bytes of XML; half of it for strangers.
    pub bytes: usize,
}

impl Default for Offline {
    fn default() -> Self {
        Offline { messages: 200, bytes: 4 << 20 }
    }
}

impl Extension for Offline {
    const NAME: &'static str = "offline";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, FEATURE);
        registry.log(OFFLINE, STAMPED);
        registry.absent(absent);
        registry.replay(OFFLINE, |_, server, entry| restore(server, entry));
    }
}

fn absent(offline: &Offline, account: AccountRef<'_, Offline>, stanza: &Stanza, is_stamped: bool) -> Absent {
    let keep = stanza.payload.parse().map_or(Keep::Unwanted, |content| Keep::read(content.root()));
    match keep {
        Keep::Unwanted => return Absent::Return,
        Keep::Needless => return Absent::Drop,
        Keep::Yes => {}
    }
    let from = stanza.head.from.as_ref();
    let is_contact = from.is_some_and(|from| account.is_contact(from));
    let share = |all: usize| if is_contact { all } else { all.div_ceil(2) };
    let mut bytes = Vec::new();
    stanza.write(&mut bytes);
    Absent::Keep(Append {
        log: Cow::Borrowed(OFFLINE),
        tag: Arc::from(from.map_or("", Jid::bare_str)),
        content: Content { version: if is_stamped { STAMPED } else { PLAIN }, bytes: bytes.into() },
        room: Room { entries: share(offline.messages), bytes: share(offline.bytes) },
    })
}

/// The message with the time at which it came (XEP-0203). In a plain one, whatever speaks for the server is somebody else's.
fn restore(server: &str, entry: &Entry) -> Option<Stanza> {
    let stanza = Stanza::parse(&entry.content.bytes)?;
    if entry.content.version == STAMPED {
        return Some(stanza);
    }
    let payload = delay::stamp(&stanza.payload, server, entry.at);
    Some(stanza.with_payload(payload))
}
