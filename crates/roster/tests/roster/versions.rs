//! Roster versions (RFC 6121 section 2.6), with a client that keeps a cache.

use std::collections::BTreeMap;

use balcony_jid::BareJid;
use balcony_roster::{Answer, Change, Decision, Item, Push, Roster, RosterConfig, Set, Version};
use balcony_stanza::{PresenceType, ns};
use proptest::prelude::*;

use crate::world::{TYPES, bare, empty, incoming, outgoing, pushes};

fn set(roster: &mut Roster, jid: &str, name: &str) -> Vec<Decision> {
    let mut decisions = Vec::new();
    roster.set(Set { jid: bare(jid), name: Some(name.into()), groups: vec![] }, &mut decisions).unwrap();
    decisions
}

fn missed(roster: &Roster, since: Version) -> Vec<Push> {
    match roster.get(Some(&since.to_string())) {
        Answer::Since(pushes) => pushes,
        Answer::Whole(_) => panic!("the whole roster"),
    }
}

fn is_whole(answer: &Answer) -> bool {
    matches!(answer, Answer::Whole(_))
}

// RFC 6121 §2.6.3 [RV6, RV7]: one push for each item, as it is now, in the order of the changes, each with its own version
#[test]
fn what_was_missed_comes_once_and_in_order() {
    let mut roster = empty(RosterConfig::default());
    for jid in ["a@example.net", "b@example.net", "c@example.net", "d@example.net"] {
        set(&mut roster, jid, "old");
    }
    let seen = roster.version();
    set(&mut roster, "a@example.net", "newer");
    let b = set(&mut roster, "b@example.net", "new");
    let mut c = Vec::new();
    roster.remove(&bare("c@example.net"), &mut c).unwrap();
    let a = set(&mut roster, "a@example.net", "newest");
    let expected: Vec<Push> =
        [&b, &c, &a].into_iter().map(|decisions| pushes(decisions)[0].clone()).collect();
    assert_eq!(missed(&roster, seen), expected);
    assert_eq!(expected[2].version, roster.version());
}

// RFC 6121 §2.6.2 [RV3], §2.6.3 [RV4, RV5, RV10]
#[test]
fn when_the_whole_roster_is_sent() {
    let config = RosterConfig { changes: 3, ..RosterConfig::default() };
    let mut roster = empty(config);
    // Valid, and empty: not the same as an empty roster.
    assert_eq!(missed(&roster, roster.version()), []);
    let mut versions = vec![roster.version()];
    for number in 0..5 {
        set(&mut roster, &format!("{number}@example.net"), "x");
        versions.push(roster.version());
    }
    for (age, version) in versions.iter().rev().enumerate() {
        let answer = roster.get(Some(&version.to_string()));
        assert_eq!(is_whole(&answer), age > 3, "{age} changes ago");
    }
    // Not asked for, a first time, and versions that never were.
    let future = roster.version().0 + 1;
    for ver in [None, Some(""), Some("abc"), Some("-1"), Some(&*future.to_string())] {
        assert!(is_whole(&roster.get(ver)), "{ver:?}");
    }
    // More to tell than there is.
    for number in 1..5 {
        roster.remove(&bare(&format!("{number}@example.net")), &mut Vec::new()).unwrap();
    }
    let two_ago = Version(roster.version().0 - 2);
    assert!(is_whole(&roster.get(Some(&two_ago.to_string()))));
}

// RFC 6121 §2.6.3 [RV7]: a version is an arbitrary name; running out of numbers is nothing special
#[test]
fn versions_wrap() {
    let mut roster = Roster::new(bare("juliet@example.com"), Version(u64::MAX), RosterConfig::default());
    let seen = roster.version();
    set(&mut roster, "a@example.net", "x");
    set(&mut roster, "b@example.net", "x");
    assert_eq!(missed(&roster, seen).iter().map(|push| push.version.0).collect::<Vec<_>>(), [0, 1]);
}

/// A client with a cache: what it knows, and the last version that it has seen.
#[derive(Default)]
struct Client {
    items: BTreeMap<BareJid, Item>,
    ver: String,
}

impl Client {
    fn push(&mut self, push: Push) {
        match push.change {
            Change::Item(item) => self.items.insert(item.jid.clone(), item),
            Change::Removed(jid) => self.items.remove(&jid),
        };
        self.ver = push.version.to_string();
    }

    fn sync(&mut self, roster: &Roster) {
        match roster.get(Some(&self.ver)) {
            Answer::Since(pushes) => pushes.into_iter().for_each(|push| self.push(push)),
            Answer::Whole(query) => {
                assert_eq!(query.root().children().count(), roster.items().len());
                self.items = roster.items().map(|item| (item.jid.clone(), item.clone())).collect();
                self.ver = query.root().attr("ver").unwrap().to_owned();
                assert!(query.root().is("query", ns::ROSTER));
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Set(u8, u8),
    Remove(u8),
    Outbound(PresenceType, u8),
    Inbound(PresenceType, u8),
    /// The second client looks; the first sees all pushes as they come.
    Sync,
}

fn step() -> impl Strategy<Value = Step> {
    let kind = || prop::sample::select(&TYPES[..]);
    prop_oneof![
        3 => (0..5_u8, 0..3_u8).prop_map(|(jid, name)| Step::Set(jid, name)),
        2 => (0..5_u8).prop_map(Step::Remove),
        3 => (kind(), 0..5_u8).prop_map(|(kind, jid)| Step::Outbound(kind, jid)),
        3 => (kind(), 0..5_u8).prop_map(|(kind, jid)| Step::Inbound(kind, jid)),
        1 => Just(Step::Sync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // RFC 6121 §2.6.3 [RV4, RV6, RV7, RV9, RV11]: a client that was away ends with what one that was there has; the versions
    // of pushes are all different
    #[test]
    fn a_cache_becomes_the_roster(steps in prop::collection::vec(step(), 1..60), changes in 0..8_usize) {
        let mut roster = empty(RosterConfig { changes, items: 4, requests: 3, ..RosterConfig::default() });
        let (mut present, mut away) = (Client::default(), Client::default());
        let mut versions = vec![roster.version()];
        for step in steps {
            let jid = |n: u8| format!("{n}@example.net");
            let (before, mut decisions) = (roster.clone(), Vec::new());
            match step {
                Step::Set(n, name) => {
                    let set = Set { jid: bare(&jid(n)), name: Some(name.to_string().into()), groups: vec![] };
                    let _ = roster.set(set, &mut decisions);
                }
                Step::Remove(n) => { let _ = roster.remove(&bare(&jid(n)), &mut decisions); }
                Step::Outbound(kind, n) => { let _ = roster.outbound(outgoing(kind, &jid(n)), &mut decisions); }
                Step::Inbound(kind, n) => roster.inbound(incoming(kind, &jid(n)), &mut decisions),
                Step::Sync => away.sync(&roster),
            }
            // What is not kept has not changed, and what has changed is kept first.
            prop_assert_eq!(roster != before, matches!(decisions.first(), Some(Decision::Save(_))));
            for push in pushes(&decisions) {
                prop_assert!(!versions.contains(&push.version));
                versions.push(push.version);
                present.push(push.clone());
            }
            prop_assert_eq!(roster.version(), *versions.last().unwrap());
            prop_assert!(roster.items().eq(present.items.values()));
            prop_assert!(roster.items().len() <= 4 && roster.requests().len() <= 3);
            prop_assert!(roster.to_parts().changes.len() <= changes);
            let kept = Roster::from_parts(roster.owner().clone(), roster.to_parts(), RosterConfig { changes, items: 4, requests: 3, ..RosterConfig::default() });
            prop_assert_eq!(&kept, &roster);
        }
        away.sync(&roster);
        prop_assert_eq!(&away.items, &present.items);
        prop_assert_eq!(away.ver, roster.version().to_string());
    }
}
