//! Roster sets and their errors (RFC 6121 sections 2.3 to 2.5).

use balcony_roster::{Change, Error, Item, Roster, RosterConfig, Set, State};
use balcony_stanza::{ErrorCondition as C, ErrorType as T, PresenceType as P, StanzaError};

use crate::world::{
    CONTACT, USER, assert_addresses, bare, contact, empty, incoming, item, outgoing, pushes, roster, words,
};

fn set(name: Option<&str>, groups: &[&str]) -> Set {
    Set {
        jid: contact(),
        name: name.map(Box::from),
        groups: groups.iter().map(|&group| Box::from(group)).collect(),
    }
}

/// The set is refused with this error, and nothing else has happened.
fn refuse(roster: &mut Roster, set: Set, error: Error) {
    let (before, mut decisions) = (roster.clone(), Vec::new());
    assert_eq!(roster.set(set, &mut decisions), Err(error));
    assert_eq!((&*roster, decisions), (&before, vec![]));
}

// RFC 6121 §2.3.2 [R17, R18]: a result for the setter, one item for all interested resources; a new item has subscription none
#[test]
fn a_set_adds_an_item() {
    let mut roster = empty(RosterConfig::default());
    let mut decisions = Vec::new();
    roster.set(set(Some("Romeo"), &["Friends", "Lovers"]), &mut decisions).unwrap();
    assert_eq!(words(&decisions), "save push result");
    assert_addresses(&decisions);
    let mut expected = Item::new(contact());
    expected.name = Some("Romeo".into());
    expected.groups = vec!["Friends".into(), "Lovers".into()];
    assert_eq!(pushes(&decisions)[0].change, Change::Item(expected.clone()));
    assert_eq!(roster.items().collect::<Vec<_>>(), [&expected]);
}

// RFC 6121 §2.4.1, §2.1.2.6 [R9]: items are atomic; §2.4.1 [R10]: an empty name is none. What presence has made stays.
#[test]
fn a_set_replaces_name_and_groups_and_nothing_else() {
    for state in State::ALL {
        for name in [None, Some("")] {
            let mut before = item(state);
            before.approved = matches!(state, State::None | State::NonePendingOut | State::To);
            let mut roster = roster(state, Some(before.clone()), RosterConfig::default());
            let mut decisions = Vec::new();
            roster.set(set(name, &[]), &mut decisions).unwrap();
            assert_eq!(words(&decisions), "save push result");
            (before.name, before.groups) = (None, vec![]);
            assert_eq!(roster.item(&contact()), Some(&before));
            assert_eq!(roster.state(&contact()), state);
        }
    }
}

// RFC 6121 §3.1.3 [6.1]: a contact that waits can be put into the roster; it still waits
#[test]
fn a_set_leaves_a_request_waiting() {
    let mut roster = roster(State::NonePendingIn, None, RosterConfig::default());
    roster.set(set(Some("Romeo"), &[]), &mut Vec::new()).unwrap();
    assert_eq!(roster.state(&contact()), State::NonePendingIn);
    assert!(roster.request(&contact()).is_some());
}

// RFC 6121 §2.3.3 [RE3]: compared like resourceparts: U+212B maps to U+00C5; case counts
#[test]
fn a_group_stands_once() {
    let mut roster = empty(RosterConfig::default());
    refuse(&mut roster, set(None, &["a", "b", "a"]), Error::DuplicateGroup);
    refuse(&mut roster, set(None, &["\u{212B}", "\u{C5}"]), Error::DuplicateGroup);
    // No resourceparts, and still groups.
    refuse(&mut roster, set(None, &["\u{85}", "\u{85}"]), Error::DuplicateGroup);
    roster.set(set(None, &["a", "A", "\u{85}", "\u{86}"]), &mut Vec::new()).unwrap();
}

// RFC 6121 §2.3.3 [RE4, RE5, RE6]
#[test]
fn names_and_groups_are_bounded() {
    let config = RosterConfig { name: 4, group: 4, groups: 2, ..RosterConfig::default() };
    let mut roster = empty(config);
    refuse(&mut roster, set(Some("abcde"), &[]), Error::NameTooLong);
    refuse(&mut roster, set(None, &["ab", ""]), Error::EmptyGroup);
    refuse(&mut roster, set(None, &["ab", "abcde"]), Error::GroupTooLong);
    refuse(&mut roster, set(None, &["a", "b", "c"]), Error::TooManyGroups);
    roster.set(set(Some("abcd"), &["abcd", "e"]), &mut Vec::new()).unwrap();
}

// RFC 6121 §2.3.3 [RE10]
#[test]
fn nobody_is_their_own_contact() {
    refuse(
        &mut empty(RosterConfig::default()),
        Set { jid: bare(USER), name: None, groups: vec![] },
        Error::OwnJid,
    );
}

// RFC 6120 §8.3.3.18: a roster has a bound, whichever way an item would be made
#[test]
fn a_roster_is_bounded() {
    let mut roster = empty(RosterConfig { items: 1, ..RosterConfig::default() });
    let mut decisions = Vec::new();
    roster.set(Set { jid: bare("nurse@example.com"), name: None, groups: vec![] }, &mut decisions).unwrap();
    roster.inbound(incoming(P::Subscribe, CONTACT), &mut decisions);
    refuse(&mut roster, set(None, &[]), Error::Full);
    for kind in [P::Subscribe, P::Subscribed] {
        let (before, mut decisions) = (roster.clone(), Vec::new());
        assert_eq!(roster.outbound(outgoing(kind, CONTACT), &mut decisions), Err(Error::Full));
        assert_eq!(roster.outbound(outgoing(kind, "tybalt@example.com"), &mut decisions), Err(Error::Full));
        assert_eq!((&roster, decisions), (&before, vec![]));
    }
    // What needs no new item goes on: changing one, denying a request.
    roster.set(Set { jid: bare("nurse@example.com"), name: None, groups: vec![] }, &mut decisions).unwrap();
    roster.outbound(outgoing(P::Unsubscribed, CONTACT), &mut decisions).unwrap();
    assert_eq!(roster.state(&contact()), State::None);
}

// RFC 6120 §8.3.3.18: and so are all its texts together
#[test]
fn the_texts_of_a_roster_are_bounded() {
    // The addresses have 17 and 13 octets, so that 10 are left.
    let mut roster = empty(RosterConfig { bytes: 40, ..RosterConfig::default() });
    let mut decisions = Vec::new();
    let named = |jid: &str, name: &str, group: &str| Set {
        jid: bare(jid),
        name: Some(name.into()),
        groups: vec![group.into()],
    };
    roster.set(named("nurse@example.com", "Angelica", "x"), &mut decisions).unwrap();
    refuse(&mut roster, named("a@example.net", "ab", "c"), Error::Full);
    roster.set(named("a@example.net", "a", "c"), &mut decisions).unwrap_err();
    roster.set(named("nurse@example.com", "Angel", "x"), &mut decisions).unwrap();
    roster.set(named("a@example.net", "ab", "cd"), &mut decisions).unwrap();
    refuse(&mut roster, named("nurse@example.com", "Angelica", ""), Error::EmptyGroup);
    refuse(&mut roster, named("nurse@example.com", "Angelica", "x"), Error::Full);
    for kind in [P::Subscribe, P::Subscribed] {
        assert_eq!(roster.outbound(outgoing(kind, "b@example.net"), &mut decisions), Err(Error::Full));
    }
    // One that is over its bound already may be put in order step by step.
    let less = RosterConfig { bytes: 10, ..RosterConfig::default() };
    let mut roster = balcony_roster::Roster::from_parts(bare(USER), roster.to_parts(), less);
    roster.set(named("nurse@example.com", "Ange", "x"), &mut decisions).unwrap();
    refuse(&mut roster, named("nurse@example.com", "Angel", "x"), Error::Full);
}

// RFC 6121 §2.3.3, §2.5.3 [RE1 to RE7, RE10], RFC 7622 §4 [RE11]: condition and type
#[test]
fn what_the_user_is_told() {
    let malformed = balcony_jid::BareJid::parse("a@b@c").unwrap_err();
    let rows = [
        (Error::Forbidden, C::Forbidden, T::Auth),
        (Error::NotOneItem, C::BadRequest, T::Modify),
        (Error::NoJid, C::BadRequest, T::Modify),
        (Error::Jid(malformed), C::JidMalformed, T::Modify),
        (Error::OwnJid, C::NotAllowed, T::Cancel),
        (Error::DuplicateGroup, C::BadRequest, T::Modify),
        (Error::EmptyGroup, C::NotAcceptable, T::Modify),
        (Error::NameTooLong, C::NotAcceptable, T::Modify),
        (Error::GroupTooLong, C::NotAcceptable, T::Modify),
        (Error::TooManyGroups, C::NotAcceptable, T::Modify),
        (Error::NotFound, C::ItemNotFound, T::Modify),
        (Error::Full, C::ResourceConstraint, T::Wait),
    ];
    for (error, condition, kind) in rows {
        let told = StanzaError::from(error);
        assert_eq!((told.condition, told.kind), (condition, kind), "{error}");
    }
}
