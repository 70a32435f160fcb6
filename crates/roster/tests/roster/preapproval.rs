//! Approving a request before it comes (RFC 6121 section 3.4).

use balcony_roster::{Change, RosterConfig, State};
use balcony_stanza::PresenceType as P;

use crate::world::{
    CONTACT, assert_addresses, contact, empty, incoming, item, may_lack_item, outgoing, pushes, roster, words,
};

/// Without `from` and without a request of the contact.
const APPROVABLE: [State; 3] = [State::None, State::NonePendingOut, State::To];

fn pushed_approval(decisions: &[balcony_roster::Decision]) -> bool {
    match pushes(decisions)[..] {
        [push] => match &push.change {
            Change::Item(item) => item.approved,
            Change::Removed(_) => panic!("nothing was removed"),
        },
        _ => panic!("not one push"),
    }
}

// RFC 6121 §3.4.2 r3, r4 [PA5, PA6], §A.2.3 [A.2.3-1, A.2.3-2, A.2.3-5]
#[test]
fn what_nobody_has_asked_for_is_approved_here_only() {
    for state in APPROVABLE {
        for with_item in [true, false] {
            if !with_item && !may_lack_item(state) {
                continue;
            }
            let mut roster = roster(state, with_item.then(|| item(state)), RosterConfig::default());
            let mut decisions = Vec::new();
            roster.outbound(outgoing(P::Subscribed, CONTACT), &mut decisions).unwrap();
            assert_eq!(words(&decisions), "save push");
            assert!(pushed_approval(&decisions));
            assert_addresses(&decisions);
            assert_eq!(roster.state(&contact()), state);

            // Once more: nothing changes, so nobody is told.
            decisions.clear();
            roster.outbound(outgoing(P::Subscribed, CONTACT), &mut decisions).unwrap();
            assert_eq!(decisions, []);
        }
    }
}

// RFC 6121 §3.4.2 r1 [PA3], r2 [PA4]
#[test]
fn elsewhere_nothing_is_pre_approved() {
    for state in State::ALL.into_iter().filter(|state| !APPROVABLE.contains(state)) {
        let mut roster = roster(state, Some(item(state)), RosterConfig::default());
        let mut decisions = Vec::new();
        roster.outbound(outgoing(P::Subscribed, CONTACT), &mut decisions).unwrap();
        assert!(!roster.item(&contact()).unwrap().approved);
        let expected = if state.is_pending_in() { "save send push available" } else { "" };
        assert_eq!(words(&decisions), expected);
    }
}

// RFC 6121 §3.4.2 [PA7, PA9], §A.3.1 note 1 [PA8]
#[test]
fn an_approved_request_is_answered_and_not_shown() {
    let after = [State::From, State::FromPendingOut, State::Both];
    for (before, after) in APPROVABLE.into_iter().zip(after) {
        let mut roster = roster(before, Some(item(before)), RosterConfig::default());
        let mut decisions = Vec::new();
        roster.outbound(outgoing(P::Subscribed, CONTACT), &mut decisions).unwrap();
        decisions.clear();
        roster.inbound(incoming(P::Subscribe, CONTACT), &mut decisions);
        assert_eq!(words(&decisions), "save send:subscribed push available");
        assert_addresses(&decisions);
        assert_eq!(roster.state(&contact()), after);
        // Our choice of PA9: an approval is for one request.
        assert!(!pushed_approval(&decisions));
        assert_eq!(roster.requests().len(), 0);
    }
}

// RFC 6121 §3.2.2 r2 [PA10], §A.2.4 [A.2.4-1, A.2.4-2, A.2.4-5]
#[test]
fn an_approval_can_be_taken_back() {
    for state in APPROVABLE {
        let mut approved = item(state);
        approved.approved = true;
        let mut roster = roster(state, Some(approved), RosterConfig::default());
        let mut decisions = Vec::new();
        roster.outbound(outgoing(P::Unsubscribed, CONTACT), &mut decisions).unwrap();
        assert_eq!(words(&decisions), "save push");
        assert!(!pushed_approval(&decisions));
        assert_eq!(roster.state(&contact()), state);

        decisions.clear();
        roster.inbound(incoming(P::Subscribe, CONTACT), &mut decisions);
        assert_eq!(words(&decisions), "save deliver:available");
    }
}

// RFC 6121 §3.4.2 [PA11]
#[test]
fn an_approval_goes_with_its_item() {
    let mut roster = empty(RosterConfig::default());
    let mut decisions = Vec::new();
    roster.outbound(outgoing(P::Subscribed, CONTACT), &mut decisions).unwrap();
    roster.remove(&contact(), &mut decisions).unwrap();
    decisions.clear();
    roster.inbound(incoming(P::Subscribe, CONTACT), &mut decisions);
    assert_eq!(words(&decisions), "save deliver:available");
}

// RFC 6121 §3.4.2, §2.1.2.1: nothing else that user and contact say takes an approval away
#[test]
fn an_approval_stays() {
    for state in APPROVABLE {
        let mut approved = item(state);
        approved.approved = true;
        let start = roster(state, Some(approved), RosterConfig::default());
        for kind in [P::Subscribe, P::Unsubscribe] {
            let mut roster = start.clone();
            roster.outbound(outgoing(kind, CONTACT), &mut Vec::new()).unwrap();
            assert!(roster.item(&contact()).unwrap().approved);
        }
        for kind in [P::Unsubscribe, P::Subscribed, P::Unsubscribed] {
            let mut roster = start.clone();
            roster.inbound(incoming(kind, CONTACT), &mut Vec::new());
            assert!(roster.item(&contact()).unwrap().approved);
        }
    }
}

// RFC 6121 §4.3.2 [PA12]: refusing a probe is a question to the roster and changes nothing in it
#[test]
fn an_approval_outlives_a_probe() {
    let mut roster = empty(RosterConfig::default());
    roster.outbound(outgoing(P::Subscribed, CONTACT), &mut Vec::new()).unwrap();
    assert!(!roster.is_subscriber(&contact()));
    let mut decisions = Vec::new();
    roster.inbound(incoming(P::Subscribe, CONTACT), &mut decisions);
    assert_eq!(words(&decisions), "save send:subscribed push available");
}

// RFC 6121 §3.4.1 [PA1, PA2]: what is not announced is not there
#[test]
fn without_the_feature_it_is_ignored() {
    for state in APPROVABLE {
        let config = RosterConfig { pre_approval: false, ..RosterConfig::default() };
        let mut roster = roster(state, Some(item(state)), config);
        let (before, mut decisions) = (roster.clone(), Vec::new());
        roster.outbound(outgoing(P::Subscribed, CONTACT), &mut decisions).unwrap();
        assert_eq!((&roster, decisions), (&before, vec![]));
    }
}
