//! What routers save, made up.

use std::sync::Arc;

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Item, Subscription, Version};
use balcony_router::extension::blocking::BLOCKED;
use balcony_router::extension::offline::OFFLINE;
use balcony_router::{Append, Change, Content, DocumentEdit, Entry, Kept, LogEdit, Room};
use balcony_stanza::{MessageType, PresenceType, Stanza, ns};
use balcony_store::{Owner, Store};
use balcony_xml::{Element, Name};
use proptest::prelude::*;

pub fn account(number: u8) -> BareJid {
    format!("user{number}@example.com").parse().unwrap()
}

pub fn contact(number: u8) -> BareJid {
    format!("contact{number}@example.net").parse().unwrap()
}

pub fn message(text: &str) -> Arc<Stanza> {
    const BODY: Name = Name::from_static("body");
    let from: Jid = "romeo@example.net/garden".parse().unwrap();
    Arc::new(
        Stanza::message(MessageType::Chat)
            .with_from(from)
            .with_child(Element::new(BODY, ns::CLIENT).text(text)),
    )
}

/// A message comes for an account. Which one is said by [`of`].
pub fn put(message: Arc<Stanza>) -> Change {
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    let edit = LogEdit::Append(Append {
        log: OFFLINE.into(),
        tag: message.head.from.as_ref().map_or("", Jid::bare_str).into(),
        content: Content { version: 1, bytes: bytes.into() },
        room: Room { entries: 200, bytes: 4 << 20 },
    });
    Change::Log { creation: 0, edit }
}

/// Messages up to this number are not needed any more.
pub fn drop_up_to(up_to: u64) -> Change {
    Change::Log { creation: 0, edit: LogEdit::Trim { log: OFFLINE.into(), up_to } }
}

/// An account blocks an address, or does so no more.
pub fn block(address: &Jid, is_blocked: bool) -> Change {
    let content = is_blocked.then(|| Content { version: 1, bytes: [].into() });
    let key = address.as_str().into();
    Change::Document { creation: 0, edit: DocumentEdit { collection: BLOCKED.into(), key, content } }
}

/// The changes, meant for the account that was made with this number.
pub fn of(account: u64, mut changes: Vec<Change>) -> Vec<Change> {
    for change in &mut changes {
        if let Change::Document { creation, .. } | Change::Log { creation, .. } = change {
            *creation = account;
        }
    }
    changes
}

/// Changes what is kept of an account, as a router that knows it does.
pub fn save(store: &Store, account: &BareJid, changes: Vec<Change>) -> bool {
    let creation = store.get(account).unwrap().map_or(7, |account| account.creation);
    store.save(account, of(creation, changes)).unwrap()
}

/// The addresses that an account has blocked.
pub fn blocked(store: &Store, account: &BareJid) -> Vec<Jid> {
    let kept = store.kept(account, &[BLOCKED.into()]).unwrap().unwrap();
    kept.documents.iter().map(|document| document.key.parse().unwrap()).collect()
}

/// How many messages wait for an account, as is told with it.
pub fn waiting(kept: &Kept) -> usize {
    kept.logs.iter().find(|(log, _)| log == OFFLINE).map_or(0, |(_, count)| *count)
}

/// As many bytes as addresses can have, nearly, and none that a database can compress: an A-label of 63 octets may stand for more than
/// 200 in UTF-8.
pub fn longest_address() -> Jid {
    let mut state = 1_u32;
    let mut letter = |_: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        char::from_u32(0x4e00 + (state >> 8) % 0x5000).unwrap()
    };
    let local: String = (0..341).map(&mut letter).collect();
    let resource: String = (0..341).map(&mut letter).collect();
    let label = |number: u32| char::from_u32(0x20000 + number * 100).unwrap().to_string().repeat(52);
    let domain = [0, 1, 2, 3].map(label).join(".");
    let address = Jid::parse(&format!("{local}@{domain}/{resource}")).unwrap();
    assert!(address.as_str().len() > 2_850);
    address
}

pub fn change() -> impl Strategy<Value = Change> {
    let roster = (0..6_u8, any::<Option<(bool, u8, bool)>>(), any::<bool>(), any::<bool>()).prop_map(
        |(number, item, request, pushed)| Change::Roster {
            contact: contact(number),
            item: item.map(|(named, subscription, ask)| {
                let mut item = Item::new(contact(number));
                item.name = named.then(|| "Romeo <&> \u{2665}".into());
                item.groups = if named { vec!["Montagues".into(), "Verona".into()] } else { Vec::new() };
                item.subscription =
                    [Subscription::None, Subscription::To, Subscription::From, Subscription::Both]
                        [usize::from(subscription % 4)];
                (item.ask, item.approved) = (ask, !ask);
                item
            }),
            request: request.then(|| {
                Arc::new(
                    Stanza::presence(PresenceType::Subscribe)
                        .with_from(contact(number).to_jid())
                        .with_id("<1>"),
                )
            }),
            version: Version(0),
            pushed,
        },
    );
    prop_oneof![
        6 => roster,
        3 => (0..4_u8, any::<bool>()).prop_map(|(n, is_blocked)| block(&contact(n).to_jid(), is_blocked)),
        4 => "[a-z<&>]{0,9}".prop_map(|text| put(message(&text))),
        1 => Just(Change::LastSeen(Arc::new(Stanza::presence(PresenceType::Unavailable)))),
    ]
}

/// Gives roster changes their versions: each that is pushed has the next one.
pub fn number(changes: &mut [Change], last: &mut u64) {
    for change in changes {
        if let Change::Roster { version, pushed, .. } = change {
            *last += u64::from(*pushed);
            *version = Version(*last);
        }
    }
}

/// A message that waits for an account.
#[derive(Debug)]
pub struct Message {
    pub number: u64,
    pub stanza: Arc<Stanza>,
}

/// The oldest messages that wait for an account, and whether there are more.
pub fn messages(store: &Store, account: &BareJid, bytes: usize) -> (Vec<Message>, bool) {
    let found = store.entries(&Owner::Account(account.clone()), OFFLINE, 0, bytes).unwrap();
    let message = |entry: &Entry| {
        let stanza = Arc::new(Stanza::parse(&entry.content.bytes).unwrap());
        assert_eq!(stanza.head.from.as_ref().unwrap().bare_str(), &*entry.tag);
        Message { number: entry.number, stanza }
    };
    (found.entries.iter().map(message).collect(), found.more)
}

/// In an order that two stores share, and without the time of day and the number of the account.
pub fn comparable(mut kept: Kept) -> Kept {
    (kept.creation, kept.now) = (0, 0);
    kept.documents.sort_by_key(|document| (document.collection.to_string(), document.key.to_string()));
    if let Some(roster) = &mut kept.roster {
        roster.items.sort_by(|a, b| a.jid.cmp(&b.jid));
        roster.requests.sort_by(|a, b| a.head.from.cmp(&b.head.from));
    }
    if let Some(last) = &mut kept.last {
        last.at = 0;
    }
    kept
}
