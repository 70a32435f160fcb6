//! What a router keeps of accounts, on disk, beside the model of the contract that the router's own crate has.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests")]

#[macro_use]
mod common;

use std::sync::Arc;

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Item, Version};
use balcony_router::{Answer, Ask, Change, Collections, Kept, Memory, Offline};
use balcony_stanza::Stanza;
use balcony_store::{Messages, StoreConfig};
use common::history::{account, change, comparable, contact, longest_address, message, number, put};
use common::{Place, credentials};
use proptest::prelude::*;

/// Who changes what; how many of the waiting messages are then dropped; and whether the store is opened again, if zero.
type Step = (u8, Vec<Change>, usize, u8);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let dropped = prop_oneof![2 => Just(0), 1 => 1..5_usize];
    prop::collection::vec((0..3_u8, prop::collection::vec(change(), 1..4), dropped, 0..8_u8), 1..40)
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

// RFC 6121 §2 and XEP-0160, XEP-0191 on disk: after any history, and after the store has been opened again, it holds what
// the model holds.
fn the_store_keeps_what_the_model_keeps(place: &Place, steps: Vec<Step>) -> Result<(), TestCaseError> {
    let few = StoreConfig { offline: 5, ..StoreConfig::default() };
    let mut store = place.open_with(few);
    let mut model = Memory::new(5);
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
        ours.extend(drop_oldest(&store.offline(&who, usize::MAX).unwrap().messages, dropped));
        theirs.extend(drop_oldest(model.offline(&who), dropped));
        let saved = store.save(&who, ours).unwrap();
        let expected = model.answer(0, Ask::Save { account: who, changes: theirs, by_others: false });
        prop_assert_eq!(saved, expected == Answer::Saved);
        if saved {
            versions[index] = version;
        }
        if reopen == 0 {
            drop(store);
            store = place.open_with(few);
        }
    }
    for number in 0..3 {
        let who = account(number);
        let kept = store.kept(&who).unwrap().map(comparable);
        let Answer::Loaded(expected) =
            model.answer(0, Ask::Load { account: who.clone(), collections: Collections::default() })
        else {
            unreachable!()
        };
        prop_assert_eq!(kept, expected.map(|kept| comparable(*kept)));
        let Messages { messages, more } = store.offline(&who, usize::MAX).unwrap();
        prop_assert!(!more);
        prop_assert_eq!(texts(&messages), texts(model.offline(&who)));
    }
    let mut problems = Vec::new();
    prop_assert_eq!(store.check(&mut |problem| problems.push(problem)), Ok(2));
    prop_assert_eq!(problems, Vec::<String>::new());
    // An account that is removed takes everything with it.
    prop_assert!(store.remove(&account(0)).unwrap());
    store.check(&mut |problem| panic!("{problem}")).unwrap();
    prop_assert!(store.create(&account(0), credentials("pencil")).unwrap());
    prop_assert_eq!(store.kept(&account(0)).unwrap().map(comparable), Some(Kept::default()));
    prop_assert!(store.offline(&account(0), usize::MAX).unwrap().messages.is_empty());
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
    every_address_can_be_blocked,
    a_full_queue_refuses_the_next_message,
    changes_that_are_long_ago_are_forgotten,
    messages_come_in_pieces,
    strangers_leave_room,
    what_waits_is_bounded_in_bytes
);

// XEP-0191 §3.2, §3.4: however long it is, and with letters that mean something to a database
fn every_address_can_be_blocked(place: &Place) {
    let store = place.open();
    let who = account(0);
    store.create(&who, credentials("pencil")).unwrap();
    let addresses =
        [longest_address(), Jid::parse(r"d\27artagnan@musketeers.lit/\").unwrap(), contact(1).to_jid()];
    for _ in 0..2 {
        assert!(store.save(&who, vec![Change::Block(addresses.to_vec())]).unwrap());
        let blocked = store.kept(&who).unwrap().unwrap().blocked;
        assert_eq!(blocked.len(), 3, "each of them once");
        assert!(addresses.iter().all(|address| blocked.contains(address)));
    }
    assert!(store.save(&who, vec![Change::Unblock(addresses[..2].to_vec())]).unwrap());
    assert_eq!(store.kept(&who).unwrap().unwrap().blocked, [contact(1).to_jid()]);
}

// XEP-0160 §2: bounded, and what is refused is refused whole.
fn a_full_queue_refuses_the_next_message(place: &Place) {
    let store = place.open_with(StoreConfig { offline: 3, ..StoreConfig::default() });
    let who = account(0);
    store.create(&who, credentials("pencil")).unwrap();
    let put = || put(message("hi"));
    for _ in 0..3 {
        assert!(store.save(&who, vec![put()]).unwrap());
    }
    assert!(!store.save(&who, vec![put()]).unwrap());
    assert!(!store.save(&who, vec![Change::Block(vec![contact(1).to_jid()]), put()]).unwrap());
    assert!(store.kept(&who).unwrap().unwrap().blocked.is_empty());
    // What makes room may come with what needs it.
    let first = store.offline(&who, 1).unwrap().messages[0].number;
    assert!(store.save(&who, vec![Change::DropOffline { up_to: first }, put()]).unwrap());
    assert!(!store.save(&who, vec![put()]).unwrap());
}

// XEP-0160 §2: whatever strangers send, there is room for what contacts do.
fn strangers_leave_room(place: &Place) {
    let store = place.open_with(StoreConfig { offline: 5, ..StoreConfig::default() });
    let who = account(0);
    store.create(&who, credentials("pencil")).unwrap();
    let mut put = |from_contact| {
        store.save(&who, vec![Change::PutOffline { message: message("hi"), from_contact }]).unwrap()
    };
    let taken: Vec<bool> = [false, false, true, false, true, false, true].map(&mut put).into();
    assert_eq!(taken, [true, true, true, false, true, false, true]);
    assert!(!put(true));
}

fn messages_come_in_pieces(place: &Place) {
    let store = place.open();
    let who = account(0);
    store.create(&who, credentials("pencil")).unwrap();
    let all = [message("one"), message("two"), message("six")];
    store.save(&who, all.iter().cloned().map(put).collect()).unwrap();
    let mut size = Vec::new();
    all[0].write(&mut size);
    let size = size.len();
    for (bytes, count) in [(0, 1), (1, 1), (size, 1), (2 * size - 1, 1), (2 * size, 2), (3 * size - 1, 2)] {
        let Messages { messages, more } = store.offline(&who, bytes).unwrap();
        assert_eq!((texts(&messages), more), (all[..count].to_vec(), true), "{bytes} bytes");
    }
    for bytes in [3 * size, usize::MAX] {
        let Messages { messages, more } = store.offline(&who, bytes).unwrap();
        assert_eq!((texts(&messages), more), (all.to_vec(), false), "{bytes} bytes");
    }
}

// RFC 6121 §2.6 on disk: what a client has missed is known as far back as the roster is configured to remember.
fn changes_that_are_long_ago_are_forgotten(place: &Place) {
    let config = StoreConfig { roster_changes: 3, ..StoreConfig::default() };
    let store = place.open_with(config);
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
    let roster = place.open_with(config).kept(&who).unwrap().unwrap().roster.unwrap();
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

// XEP-0160 §2: what waits is bounded in bytes, too, and of these strangers get half.
fn what_waits_is_bounded_in_bytes(place: &Place) {
    let text = "x".repeat(1_000);
    let mut size = Vec::new();
    message(&text).write(&mut size);
    let store = place.open_with(StoreConfig { offline_bytes: 4 * size.len(), ..StoreConfig::default() });
    let who = account(0);
    store.create(&who, credentials("pencil")).unwrap();
    let put = |text: &str, from_contact| {
        store.save(&who, vec![Change::PutOffline { message: message(text), from_contact }]).unwrap()
    };
    let taken = [false, false, false, true, false, true, true].map(|from_contact| put(&text, from_contact));
    assert_eq!(taken, [true, true, false, true, false, true, false]);
    assert!(!put("", true) && !put("", false), "not a byte is left");
    // What makes room may come with what needs it, and what is refused is refused whole.
    let first = store.offline(&who, 1).unwrap().messages[0].number;
    let one_for_one = || vec![Change::DropOffline { up_to: first }, common::history::put(message(&text))];
    let mut more = one_for_one();
    more.push(common::history::put(message("")));
    assert!(!store.save(&who, more).unwrap());
    assert_eq!(store.kept(&who).unwrap().unwrap().offline, 4);
    assert!(store.save(&who, one_for_one()).unwrap());
    // One that is larger than all of it has no room at all.
    store.save(&who, vec![Change::DropOffline { up_to: u64::MAX }]).unwrap();
    assert!(!put(&"x".repeat(5_000), true) && put(&"x".repeat(3_000), true));
}
