//! Subscription requests that wait for the user (RFC 6121 section 3.1.3).

use balcony_roster::{Audience, Decision, RosterConfig, State};
use balcony_stanza::{PresenceType as P, Stanza};
use balcony_xml::{Element, Name};

use crate::world::{CONTACT, bare, contact, empty, incoming, outgoing, words};

fn with_nick(text: &str) -> Stanza {
    const NICK: Name = Name::from_static("nick");
    incoming(P::Subscribe, CONTACT)
        .with_child(Element::new(NICK, "http://jabber.org/protocol/nick").text(text))
}

// RFC 6121 §3.1.3 [SB8], §3.1.3 [PR6]: the complete stanza, until it is answered; one for each contact
#[test]
fn a_request_is_kept_whole_until_it_is_answered() {
    for answer in [P::Subscribed, P::Unsubscribed] {
        let mut roster = empty(RosterConfig::default());
        let mut decisions = Vec::new();
        roster.inbound(with_nick("Romeo"), &mut decisions);
        let [Decision::Save(_), Decision::Deliver { to: Audience::Available, stanza }] = &decisions[..]
        else {
            panic!("{decisions:?}")
        };
        assert_eq!(**stanza, with_nick("Romeo"));

        // Asking again in other words changes nothing.
        let mut again = Vec::new();
        roster.inbound(with_nick("Tybalt"), &mut again);
        assert_eq!(again, []);
        let waiting: Vec<_> = roster.requests().cloned().collect();
        assert_eq!(waiting, core::slice::from_ref(stanza));
        assert_eq!(roster.items().len(), 0);

        roster.outbound(outgoing(answer, CONTACT), &mut again).unwrap();
        assert_eq!(roster.requests().len(), 0);
    }
}

// RFC 6121 §A.3.2 [A.3.2-3]: who takes a request back is not shown any more
#[test]
fn a_request_can_be_taken_back() {
    let mut roster = empty(RosterConfig::default());
    roster.inbound(with_nick("Romeo"), &mut Vec::new());
    roster.inbound(incoming(P::Unsubscribe, CONTACT), &mut Vec::new());
    assert_eq!(roster.requests().len(), 0);
}

// RFC 6121 §3.1.3 [SB8]: their number and size are limited
#[test]
fn requests_are_bounded() {
    let config = RosterConfig { requests: 2, request: 200, ..RosterConfig::default() };
    let mut roster = empty(config);
    let mut decisions = Vec::new();
    roster.inbound(with_nick(&"x".repeat(200)), &mut decisions);
    let mut long_id = incoming(P::Subscribe, CONTACT);
    long_id.head.id = Some("x".repeat(201).into());
    roster.inbound(long_id, &mut decisions);
    assert_eq!((decisions.len(), roster.state(&contact())), (0, State::None));

    for (sender, expected) in [
        ("a@example.net", "save deliver:available"),
        ("b@example.net", "save deliver:available"),
        ("c@example.net", ""),
    ] {
        decisions.clear();
        roster.inbound(incoming(P::Subscribe, sender), &mut decisions);
        assert_eq!(words(&decisions), expected);
    }
    assert_eq!(roster.state(&bare("c@example.net")), State::None);

    // The bound is for requests that wait. One that needs no user passes.
    decisions.clear();
    roster.outbound(outgoing(P::Subscribed, "c@example.net"), &mut decisions).unwrap();
    decisions.clear();
    roster.inbound(incoming(P::Subscribe, "c@example.net"), &mut decisions);
    assert_eq!(words(&decisions), "save send:subscribed push available");
}
