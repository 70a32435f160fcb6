//! What routers save, made up.

use std::sync::Arc;

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Item, Subscription, Version};
use balcony_router::{Change, Kept};
use balcony_stanza::{MessageType, PresenceType, Stanza, ns};
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
    Arc::new(Stanza::message(MessageType::Chat).from(from).child(Element::new(BODY, ns::CLIENT).text(text)))
}

/// A message comes for an account from a contact.
pub fn put(message: Arc<Stanza>) -> Change {
    Change::PutOffline { message, from_contact: true }
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
                Arc::new(Stanza::presence(PresenceType::Subscribe).from(contact(number).to_jid()).id("<1>"))
            }),
            version: Version(0),
            pushed,
        },
    );
    let jids = proptest::collection::vec((0..4_u8).prop_map(|n| contact(n).to_jid()), 0..3);
    prop_oneof![
        6 => roster,
        1 => jids.clone().prop_map(Change::Block),
        1 => jids.prop_map(Change::Unblock),
        1 => Just(Change::UnblockAll),
        4 => ("[a-z<&>]{0,9}", any::<bool>()).prop_map(|(text, from_contact)| {
            Change::PutOffline { message: message(&text), from_contact }
        }),
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

/// In an order that two stores share, and without the time of day and the number of the account.
pub fn comparable(mut kept: Kept) -> Kept {
    kept.creation = 0;
    kept.blocked.sort();
    if let Some(roster) = &mut kept.roster {
        roster.items.sort_by(|a, b| a.jid.cmp(&b.jid));
        roster.requests.sort_by(|a, b| a.head.from.cmp(&b.head.from));
    }
    if let Some(last) = &mut kept.last {
        last.at = 0;
    }
    kept
}
