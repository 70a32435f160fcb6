//! What a router keeps of accounts, on disk, beside the model of the contract that the router's own crate has.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

use std::sync::Arc;

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Item, Subscription, Version};
use balcony_router::{Answer, Ask, Change, Kept, Memory, Offline};
use balcony_sasl::Credentials;
use balcony_stanza::{MessageType, PresenceType, Stanza, ns};
use balcony_store::{Messages, Store};
use balcony_xml::{Element, Name};
use proptest::prelude::*;

fn account(number: u8) -> BareJid {
    format!("user{number}@example.com").parse().unwrap()
}

fn contact(number: u8) -> BareJid {
    format!("contact{number}@example.net").parse().unwrap()
}

fn message(text: &str) -> Arc<Stanza> {
    const BODY: Name = Name::from_static("body");
    let from: Jid = "romeo@example.net/garden".parse().unwrap();
    Arc::new(Stanza::message(MessageType::Chat).from(from).child(Element::new(BODY, ns::CLIENT).text(text)))
}

fn change() -> impl Strategy<Value = Change> {
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
        4 => "[a-z<&>]{0,9}".prop_map(|text| Change::PutOffline(message(&text))),
        1 => Just(Change::LastSeen(Arc::new(Stanza::presence(PresenceType::Unavailable)))),
    ]
}

/// Gives roster changes their versions: each that is pushed has the next one.
fn number(changes: &mut [Change], last: &mut u64) {
    for change in changes {
        if let Change::Roster { version, pushed, .. } = change {
            *last += u64::from(*pushed);
            *version = Version(*last);
        }
    }
}

/// In an order that two stores share, and without the time of day.
fn comparable(mut kept: Kept) -> Kept {
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

fn texts(messages: &[Offline]) -> Vec<Arc<Stanza>> {
    assert!(messages.is_sorted_by(|a, b| a.number < b.number), "later messages have higher numbers");
    messages.iter().map(|message| Arc::clone(&message.stanza)).collect()
}

/// To drop as many of the waiting messages, or all there are; each store has numbers of its own.
fn drop_oldest(messages: &[Offline], count: usize) -> Option<Change> {
    let last = messages.get(count.min(messages.len()).checked_sub(1)?)?;
    Some(Change::DropOffline { up_to: last.number })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    // RFC 6121 §2 and XEP-0160, XEP-0191 on disk: after any history, and after the store has been opened again, it holds
    // what the model holds.
    #[test]
    fn the_store_keeps_what_the_model_keeps(
        history in proptest::collection::vec(
            (0..3_u8, proptest::collection::vec(change(), 1..4), prop_oneof![2 => Just(0), 1 => 1..5_usize], 0..8_u8),
            1..40,
        ),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).unwrap();
        let mut model = Memory::default();
        // The third account never exists.
        for number in 0..2 {
            let credentials = Credentials::derive("pencil", b"salt", 4096).unwrap();
            prop_assert!(store.create(&account(number), credentials).unwrap());
            model.create(account(number));
        }
        let mut versions = [0; 3];
        for (who, mut changes, dropped, reopen) in history {
            number(&mut changes, &mut versions[usize::from(who)]);
            let who = account(who);
            let (mut ours, mut theirs) = (changes.clone(), changes);
            ours.extend(drop_oldest(&store.offline(&who, usize::MAX).unwrap().messages, dropped));
            theirs.extend(drop_oldest(model.offline(&who), dropped));
            let saved = store.save(&who, ours).unwrap();
            let expected = model.answer(0, Ask::Save { account: who, changes: theirs });
            prop_assert_eq!(saved, expected == Answer::Saved);
            if reopen == 0 {
                drop(store);
                store = Store::open(folder.path()).unwrap();
            }
        }
        for number in 0..3 {
            let who = account(number);
            let kept = store.kept(&who).unwrap().map(comparable);
            let Answer::Loaded(expected) = model.answer(0, Ask::Load { account: who.clone() }) else { unreachable!() };
            prop_assert_eq!(kept, expected.map(|kept| comparable(*kept)));
            let Messages { messages, more } = store.offline(&who, usize::MAX).unwrap();
            prop_assert!(!more);
            prop_assert_eq!(texts(&messages), texts(model.offline(&who)));
        }
        // An account that is removed takes everything with it.
        prop_assert!(store.remove(&account(0)).unwrap());
        let credentials = Credentials::derive("pencil", b"salt", 4096).unwrap();
        prop_assert!(store.create(&account(0), credentials).unwrap());
        prop_assert_eq!(store.kept(&account(0)).unwrap(), Some(Kept::default()));
        prop_assert!(store.offline(&account(0), usize::MAX).unwrap().messages.is_empty());
    }
}

// XEP-0160 §2: bounded, and what is refused is refused whole.
#[test]
fn a_full_queue_refuses_the_next_message() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let who = account(0);
    store.create(&who, Credentials::derive("pencil", b"salt", 4096).unwrap()).unwrap();
    let mut accepted = 0;
    while store.save(&who, vec![Change::PutOffline(message("hi"))]).unwrap() {
        accepted += 1;
        assert!(accepted <= 10_000, "no bound");
    }
    assert!(accepted >= 100);
    let blocked = vec![Change::Block(vec![contact(1).to_jid()]), Change::PutOffline(message("hi"))];
    assert!(!store.save(&who, blocked).unwrap());
    assert!(store.kept(&who).unwrap().unwrap().blocked.is_empty());
    // A bounded piece of them, the oldest first.
    let Messages { messages, more } = store.offline(&who, 1).unwrap();
    assert!(messages.len() == 1 && more);
}
