//! What a router keeps of accounts, on disk, beside the model of the contract that the router's own crate has.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[macro_use]
mod common;

use std::sync::Arc;

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Item, Version};
use balcony_router::extension::blocking::BLOCKED;
use balcony_router::extension::offline::OFFLINE;
use balcony_router::{Answer, Ask, Change, Collections, Kept, Memory};
use balcony_stanza::{MessageType, PresenceType, Stanza};
use balcony_store::StoreConfig;
use common::history::{
    Message, account, block, blocked, change, comparable, contact, drop_up_to, messages, number, of, put,
    save,
};
use common::{Place, credentials};
use proptest::prelude::*;

/// Who changes what; how many of the waiting messages are then dropped; and whether the store is opened again, if zero.
type Step = (u8, Vec<Change>, usize, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let dropped = prop_oneof![2 => Just(0), 1 => 1..5_usize];
    prop::collection::vec((0..3_u8, prop::collection::vec(change(), 1..4), dropped, 0..8_u8), 1..40)
}

fn texts(messages: &[Message]) -> Vec<Arc<Stanza>> {
    assert!(messages.is_sorted_by(|a, b| a.number < b.number), "later messages have higher numbers");
    messages.iter().map(|message| Arc::clone(&message.stanza)).collect()
}

/// To drop as many of the waiting messages, or all there are; each store has numbers of its own.
fn drop_oldest(numbers: impl Iterator<Item = u64>, count: usize) -> Option<Change> {
    numbers.take(count).last().map(drop_up_to)
}

// RFC 6121 §2 and XEP-0160, XEP-0191 on disk: after any history, and after the store has been opened again, it holds what
// the model holds.
fn the_store_keeps_what_the_model_keeps(place: &Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut store = place.open();
    let mut model = Memory::default();
    // The third account never exists.
    for number in 0..2 {
        prop_assert!(store.create(&account(number), credentials("pencil")).unwrap());
        model.create(account(number));
    }
    let mut versions = [0; 3];
    for (who, mut changes, dropped, reopen) in steps {
        let mut version = versions[usize::from(who)];
        number(&mut changes, &mut version);
        let (index, who) = (usize::from(who), account(who));
        let (mut ours, mut theirs) = (changes.clone(), changes);
        let waiting = messages(&store, &who, usize::MAX).0;
        ours.extend(drop_oldest(waiting.iter().map(|message| message.number), dropped));
        theirs.extend(drop_oldest(model.entries(&who, OFFLINE).map(|entry| entry.number), dropped));
        let saved = save(&store, &who, ours);
        let changes = of(model.kept(&who).map_or(7, |kept| kept.creation), theirs);
        let expected = model.answer(0, Ask::Save { account: who, changes, by_others: false });
        prop_assert_eq!(saved, expected == Answer::Saved);
        if saved {
            versions[index] = version;
        }
        if reopen == 0 {
            drop(store);
            store = place.open();
        }
    }
    for number in 0..3 {
        let who = account(number);
        let collections: Collections = [BLOCKED.into()].into();
        let kept = store.kept(&who, &collections).unwrap().map(comparable);
        let Answer::Loaded(expected) = model.answer(0, Ask::Load { account: who.clone(), collections })
        else {
            unreachable!()
        };
        prop_assert_eq!(kept, expected.map(|kept| comparable(*kept)));
        let (messages, more) = messages(&store, &who, usize::MAX);
        prop_assert!(!more);
        let expected = model.entries(&who, OFFLINE);
        let expected = expected.map(|entry| Arc::new(Stanza::parse(&entry.content.bytes).unwrap()));
        prop_assert_eq!(texts(&messages), expected.collect::<Vec<_>>());
    }
    let mut problems = Vec::new();
    prop_assert_eq!(store.check(&mut |problem| problems.push(problem)), Ok(2));
    prop_assert_eq!(problems, Vec::<String>::new());
    // An account that is removed takes everything with it.
    prop_assert!(store.remove(&account(0)).unwrap());
    store.check(&mut |problem| panic!("{problem}")).unwrap();
    prop_assert!(store.create(&account(0), credentials("pencil")).unwrap());
    prop_assert_eq!(store.kept(&account(0), &[]).unwrap().map(comparable), Some(Kept::default()));
    prop_assert!(messages(&store, &account(0), usize::MAX).0.is_empty());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn histories_in_a_file(steps in steps()) {
        the_store_keeps_what_the_model_keeps(&Place::file(), steps)?;
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn histories_in_tables(steps in steps()) {
        if let Some(place) = Place::tables() {
            the_store_keeps_what_the_model_keeps(&place, steps)?;
        }
    }
}

in_every_place!(
    one_sided_subscriptions_are_told,
    the_longest_addresses_are_kept,
    changes_that_are_long_ago_are_forgotten
);

// RFC 7622 §3: no address is too long for an index, be it as hard to compress as it may. A domain of 251 octets in DNS has 675 in
// UTF-8.
fn the_longest_addresses_are_kept(place: &Place) {
    let mut state = 7_u32;
    let mut letters = |count| -> String {
        let letter = |_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            char::from(b'a' + (state >> 24) as u8 % 26)
        };
        (0..count).map(letter).collect()
    };
    let longest = common::history::longest_address();
    let domain = ["\u{4E2D}".repeat(56).as_str(); 4].join(".");
    let address: Jid = format!("{}@{domain}/{}", letters(1_023), letters(1_023)).parse().unwrap();
    assert_eq!(address.as_str().len(), 1_023 + 1 + 675 + 1 + 1_023);
    let store = place.open();
    // The account's own is as long.
    let who = format!("{}@{domain}", letters(1_023)).parse().unwrap();
    assert!(store.create(&who, credentials("pencil")).unwrap());
    let contact = address.to_bare();
    let roster = Change::Roster {
        contact: contact.clone(),
        item: Some(Item::new(contact.clone())),
        request: Some(Arc::new(Stanza::presence(PresenceType::Subscribe).with_from(contact.to_jid()))),
        version: Version(1),
        pushed: true,
    };
    let put = put(Arc::new(Stanza::message(MessageType::Chat).with_from(address.clone())));
    assert!(save(&store, &who, vec![block(&address, true), roster, put]));
    store.check(&mut |problem| panic!("{problem}")).unwrap();
    let kept = store.kept(&who, &[]).unwrap().unwrap();
    assert_eq!(blocked(&store, &who), core::slice::from_ref(&address));
    assert_eq!(kept.roster.unwrap().items[0].jid, contact);
    assert_eq!(messages(&store, &who, 9).0[0].stanza.head.from.as_ref(), Some(&address));
    assert!(save(&store, &who, vec![block(&address, false), block(&longest, true)]));
    assert_eq!(blocked(&store, &who), core::slice::from_ref(&longest));
    assert!(save(&store, &who, vec![block(&longest, false)]));
    assert!(blocked(&store, &who).is_empty());
}

// RFC 6121 §2.6 on disk: what a client has missed is known as far back as the roster is configured to remember.
fn changes_that_are_long_ago_are_forgotten(place: &Place) {
    let config = StoreConfig { roster_changes: 3, ..StoreConfig::default() };
    let store = place.open_with(config.clone());
    let who = account(0);
    store.create(&who, credentials("pencil")).unwrap();
    let last = u64::MAX - 2;
    for step in 0..5_u8 {
        let change = Change::Roster {
            contact: contact(step),
            item: None,
            request: None,
            // They may pass the highest number.
            version: balcony_roster::Version(last.wrapping_add(step.into())),
            pushed: true,
        };
        assert!(store.save(&who, vec![change]).unwrap());
    }
    drop(store);
    let roster = place.open_with(config).kept(&who, &[]).unwrap().unwrap().roster.unwrap();
    assert_eq!(roster.version.0, last.wrapping_add(4));
    assert_eq!(roster.changes, [contact(2), contact(3), contact(4)]);
}

// RFC 6121 §3 between two accounts of one store: what only one of them knows is told where it does harm.
fn one_sided_subscriptions_are_told(place: &Place) {
    use balcony_roster::Subscription::{Both, From, None, To};
    let store = place.open();
    let names =
        ["a@example.org", "b@example.org", "c@example.net"].map(|name| name.parse::<BareJid>().unwrap());
    for account in &names {
        store.create(account, credentials("pencil")).unwrap();
    }
    let [a, b, c] = &names;
    let stand = |account: &BareJid, contact: &str, subscription, ask| {
        let contact: BareJid = contact.parse().unwrap();
        let mut item = Item::new(contact.clone());
        (item.subscription, item.ask) = (subscription, ask);
        let version = Version(1);
        let change =
            Change::Roster { contact, item: Some(item), request: Option::None, version, pushed: false };
        assert!(store.save(account, vec![change]).unwrap());
    };
    let told = || {
        let mut told = Vec::new();
        store.check_subscriptions(&mut |problem| told.push(problem)).unwrap();
        told.iter().map(|line| line.split_once(" when").unwrap().0.to_owned()).collect::<Vec<_>>()
    };
    stand(a, b.as_str(), Both, false);
    stand(b, a.as_str(), Both, false);
    // On its way: the request that was granted is still open, and will be made again.
    stand(a, c.as_str(), From, false);
    stand(c, a.as_str(), None, true);
    // Others' affair.
    stand(a, "friar@example.com", Both, false);
    assert!(told().is_empty());

    stand(c, a.as_str(), None, false);
    stand(c, b.as_str(), To, false);
    stand(b, "nobody@example.net", From, false);
    assert_eq!(told(), ["a@example.org shows c@example.net", "b@example.org shows nobody@example.net"]);
    assert!(store.remove(b).unwrap());
    assert_eq!(told()[..1], ["a@example.org shows b@example.org"]);
    // Who has the name next, and no roster, is somebody else.
    assert!(store.remove(c).unwrap() && store.create(c, credentials("pencil")).unwrap());
    assert_eq!(told()[1..], ["a@example.org shows c@example.net"]);
}
