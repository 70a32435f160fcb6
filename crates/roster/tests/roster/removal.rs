//! Removing an item (RFC 6121 section 2.5).

use balcony_roster::{Change, Error, RosterConfig, State};

use crate::world::{assert_addresses, bare, contact, item, pushes, roster, words};

// RFC 6121 §2.5.2 [R22, R23, R24, R25], [R26]: our reading of the gap, §3.2.2, §4.6.1 [R27]
#[test]
fn what_a_removal_sends() {
    let rows = [
        (State::None, ""),
        (State::NonePendingOut, " send:unsubscribe"),
        (State::NonePendingIn, " send:unsubscribed"),
        (State::NonePendingOutIn, " send:unsubscribe send:unsubscribed"),
        (State::To, " send:unsubscribe"),
        (State::ToPendingIn, " send:unsubscribe send:unsubscribed"),
        (State::From, " unavailable send:unsubscribed"),
        (State::FromPendingOut, " send:unsubscribe unavailable send:unsubscribed"),
        (State::Both, " send:unsubscribe unavailable send:unsubscribed"),
    ];
    for (state, presence) in rows {
        let mut roster = roster(state, Some(item(state)), RosterConfig::default());
        let mut decisions = Vec::new();
        roster.remove(&contact(), &mut decisions).unwrap();
        assert_eq!(words(&decisions), format!("save push{presence} result"), "{state:?}");
        assert_addresses(&decisions);
        assert_eq!(pushes(&decisions)[0].change, Change::Removed(contact()));
        assert_eq!((roster.state(&contact()), roster.items().len()), (State::None, 0));
        assert!(roster.request(&contact()).is_none());
    }
}

// RFC 6121 §2.5.3 [RE7]
#[test]
fn what_is_not_there_is_not_removed() {
    for state in [State::None, State::NonePendingIn] {
        let mut roster = roster(state, None, RosterConfig::default());
        let (before, mut decisions) = (roster.clone(), Vec::new());
        assert_eq!(roster.remove(&contact(), &mut decisions), Err(Error::NotFound));
        assert_eq!(roster.remove(&bare("nobody@example.net"), &mut decisions), Err(Error::NotFound));
        assert_eq!((&roster, decisions), (&before, vec![]));
    }
}
