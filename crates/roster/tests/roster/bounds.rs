//! What a store hands back, whatever has become of it.

use std::sync::Arc;

use balcony_roster::{Parts, Roster, RosterConfig, State, Subscription, Version};
use balcony_stanza::{PresenceType as P, Stanza};

use crate::world::{CONTACT, USER, bare, contact, incoming, item};

fn parts() -> Parts {
    Parts { version: Version(9), items: vec![], requests: vec![], changes: vec![] }
}

// RFC 6121 §A.1 [6.1]: From+PI, Both+PO, Both+PI and To+PO do not exist, and approvals are for what is still to come
#[test]
fn only_states_that_exist_come_back() {
    for subscription in [Subscription::None, Subscription::To, Subscription::From, Subscription::Both] {
        for ask in [false, true] {
            for request in [false, true] {
                let mut kept = item(State::None);
                (kept.subscription, kept.ask, kept.approved) = (subscription, ask, true);
                let mut parts = parts();
                parts.items.push(kept);
                if request {
                    parts.requests.push(Arc::new(incoming(P::Subscribe, CONTACT)));
                }
                let roster = Roster::from_parts(bare(USER), parts, RosterConfig::default());
                let state = State::new(subscription, ask, request);
                let now = roster.item(&contact()).unwrap();
                assert_eq!(roster.state(&contact()), state);
                assert_eq!((now.subscription, now.ask), (state.subscription(), state.is_pending_out()));
                assert_eq!(roster.request(&contact()).is_some(), state.is_pending_in());
                let approvable = matches!(state, State::None | State::NonePendingOut | State::To);
                assert_eq!(now.approved, approvable && !request);
            }
        }
    }
}

// The architecture's rule 4: what is too much by now is kept, but the list of changes is shortened
#[test]
fn a_roster_may_be_over_its_bounds() {
    let mut parts = parts();
    parts.items = ["a@example.net", "b@example.net", "c@example.net"]
        .map(|jid| balcony_roster::Item::new(bare(jid)))
        .to_vec();
    parts.changes = parts.items.iter().map(|item| item.jid.clone()).collect();
    parts.requests.push(Arc::new(Stanza::presence(P::Subscribe)));
    let config = RosterConfig { items: 1, changes: 2, ..RosterConfig::default() };
    let roster = Roster::from_parts(bare(USER), parts, config);
    assert_eq!(roster.items().len(), 3);
    assert_eq!(roster.to_parts().changes, [bare("b@example.net"), bare("c@example.net")]);
    // A request that nobody has sent is none.
    assert_eq!(roster.requests().len(), 0);
}
