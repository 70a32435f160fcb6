//! Table 1 of RFC 6121 section 8.5.4, whole: condition x address x type.

use std::sync::Arc;

use balcony_roster::Subscription;
use balcony_router::{Ask, Effect, SessionId};
use balcony_stanza::{Kind, MessageType, Stanza};

use crate::world::{World, brief, config, jid, of_kind};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Condition {
    NoAccount,
    NoResource,
    Negative,
    One,
    Several,
    /// One connected resource that has never sent presence.
    Connected,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Address {
    Bare,
    Match,
    NoMatch,
}

use Address::{Bare, Match, NoMatch};
use Condition::{Connected, Negative, NoAccount, NoResource, One, Several};

const TYPES: [MessageType; 5] = [
    MessageType::Normal,
    MessageType::Chat,
    MessageType::Groupchat,
    MessageType::Headline,
    MessageType::Error,
];

/// Row, condition, address, what the router does for each of `TYPES` if the sender is a contact of the user or else a
/// stranger, and what the RFC allows.
type Row = (&'static str, Condition, Address, [&'static str; 5], [&'static str; 5], [&'static str; 5]);

/// Codes of section 8.5.4: S ignore, E error, O store, D the addressed, M most available, A all with priority >= 0.
///
/// An account that does not exist has no contacts; there the first column is that of a server that tells strangers.
const TABLE: &[Row] = &[
    (
        "D0b",
        NoAccount,
        Bare,
        ["E", "E", "E", "S", "S"],
        ["S", "S", "E", "S", "S"],
        ["SE", "SE", "E", "S", "S"],
    ),
    ("D0f", NoAccount, NoMatch, ["E", "E", "E", "S", "S"], ["S"; 5], ["SE", "SE", "SE", "SE", "S"]),
    (
        "D1b",
        NoResource,
        Bare,
        ["O", "O", "E", "S", "S"],
        ["O", "O", "E", "S", "S"],
        ["OE", "OE", "E", "S", "S"],
    ),
    (
        "D1n",
        NoResource,
        NoMatch,
        ["E", "O", "E", "S", "S"],
        ["S", "O", "S", "S", "S"],
        ["SE", "OE", "SE", "SE", "S"],
    ),
    (
        "D2b",
        Negative,
        Bare,
        ["O", "O", "E", "S", "S"],
        ["O", "O", "E", "S", "S"],
        ["OE", "OE", "E", "S", "S"],
    ),
    ("D2f", Negative, Match, ["D"; 5], ["D"; 5], ["D"; 5]),
    (
        "D2n",
        Negative,
        NoMatch,
        ["E", "O", "E", "S", "S"],
        ["S", "O", "S", "S", "S"],
        ["SE", "OE", "SE", "SE", "S"],
    ),
    ("D3b", One, Bare, ["M", "M", "E", "A", "S"], ["M", "M", "E", "A", "S"], ["M", "M", "E", "A", "S"]),
    ("D3f", One, Match, ["D"; 5], ["D"; 5], ["D"; 5]),
    ("D3n", One, NoMatch, ["E", "M", "E", "S", "S"], ["S", "M", "S", "S", "S"], ["SE", "M", "SE", "SE", "S"]),
    ("D4b", Several, Bare, ["M", "M", "E", "A", "S"], ["M", "M", "E", "A", "S"], ["MA", "M", "E", "A", "S"]),
    ("D4f", Several, Match, ["D"; 5], ["D"; 5], ["D"; 5]),
    (
        "D4n",
        Several,
        NoMatch,
        ["E", "M", "E", "S", "S"],
        ["S", "M", "S", "S", "S"],
        ["SE", "M", "SE", "SE", "S"],
    ),
    // The gap of note DN5: for the bare JID, connected counts like no resource.
    (
        "DN5b",
        Connected,
        Bare,
        ["O", "O", "E", "S", "S"],
        ["O", "O", "E", "S", "S"],
        ["OE", "OE", "E", "S", "S"],
    ),
    ("DN5f", Connected, Match, ["D"; 5], ["D"; 5], ["D"; 5]),
    (
        "DN5n",
        Connected,
        NoMatch,
        ["E", "O", "E", "S", "S"],
        ["S", "O", "S", "S", "S"],
        ["SE", "OE", "SE", "SE", "S"],
    ),
];

/// Juliet's resources: `attic` is the one that is addressed, and the least likely to be chosen otherwise.
fn setting(condition: Condition) -> (World, SessionId) {
    meeting(condition, false)
}

/// With the sender as a contact of Juliet, or a server that tells strangers if she has no account.
fn meeting(condition: Condition, is_contact: bool) -> (World, SessionId) {
    let mut config = config();
    config.tell_strangers = is_contact && condition == NoAccount;
    let mut world = World::with(config);
    if is_contact && condition != NoAccount {
        world.befriend("juliet@example.com", "romeo@example.net", Subscription::None);
    }
    let resources: &[(&str, i8)] = match condition {
        NoAccount | NoResource | Connected => &[],
        Negative => &[("attic", -128), ("cellar", -1)],
        One => &[("attic", -1), ("balcony", 0)],
        Several => &[("hall", 1), ("attic", -1), ("balcony", 5), ("gate", 0), ("garden", 5)],
    };
    for (name, priority) in resources {
        world.available(&format!("juliet@example.com/{name}"), *priority);
    }
    if condition == Connected {
        world.connect("juliet@example.com/attic");
    }
    if condition == NoResource {
        let past = world.available("juliet@example.com/past", 1);
        world.unbind(past);
    }
    let romeo = world.available("romeo@example.net/street", 0);
    (world, romeo)
}

fn expected(condition: Condition, code: &str) -> Vec<&'static str> {
    match (code, condition) {
        ("D", _) => vec!["attic"],
        ("M" | "A", One) => vec!["balcony"],
        ("M", Several) => vec!["balcony", "garden"],
        ("A", Several) => vec!["hall", "balcony", "gate", "garden"],
        ("S" | "E" | "O", _) => vec![],
        _ => panic!("there is nobody for {code}"),
    }
}

fn check(row: &Row, kind: MessageType, code: &str, is_contact: bool) {
    let &(name, condition, address, ..) = row;
    let (mut world, romeo) = meeting(condition, is_contact);
    let to = match address {
        Bare => "juliet@example.com",
        Match => "juliet@example.com/attic",
        NoMatch => "juliet@example.com/nowhere",
    };
    let sent = of_kind(Kind::Message(kind), to);
    let mut effects = world.send(romeo, sent.clone());
    effects.retain(|effect| !matches!(effect, Effect::Ask { ask: Ask::Load { .. }, .. }));
    let told = world.tell(&effects);
    match code {
        "E" => assert_eq!(
            told,
            [format!("street: message error service-unavailable/cancel from {to}")],
            "{name} {kind:?}"
        ),
        "O" => {
            assert_eq!(
                told,
                ["store for juliet@example.com: ".to_owned() + &brief_from(&sent)],
                "{name} {kind:?}"
            );
        }
        _ => {
            let names: Vec<_> = effects
                .iter()
                .map(|effect| match effect {
                    Effect::Deliver { session, stanza } => {
                        // RFC 6121 §8.5.2.1.1 [DN2]: as it was sent, `to` included.
                        assert_eq!(
                            **stanza,
                            sent.clone().with_from(jid("romeo@example.net/street")),
                            "{name} {kind:?}"
                        );
                        world.name(*session)
                    }
                    other => panic!("{name} {kind:?}: {other:?}"),
                })
                .collect();
            assert_eq!(names, expected(condition, code), "{name} {kind:?}");
        }
    }
}

fn brief_from(sent: &Stanza) -> String {
    brief(&sent.clone().with_from(jid("romeo@example.net/street")))
}

// RFC 6121 §8.5.4 [D0b-D4n, DN1, DN2, DN3, DN5, DN10, DN12], §12 message-type-deliver. Without an account the table counts, not the
// prose of §8.5.1: RFC 6121 [DN4]. Without a match each type has a rule of its own, and is not treated as bare: RFC 6121 [DN6].
#[test]
fn table_1() {
    for row in TABLE {
        for (kind, code) in TYPES.into_iter().zip(row.3) {
            check(row, kind, code, true);
        }
        for (kind, code) in TYPES.into_iter().zip(row.4) {
            check(row, kind, code, false);
        }
    }
}

// RFC 6121 §8.5.4 [D0b-D4n]: no choice is outside of what the table allows.
#[test]
fn choices_are_allowed() {
    let mut rows: Vec<_> = TABLE.iter().map(|row| row.0).filter(|name| !name.starts_with("DN")).collect();
    rows.dedup();
    assert_eq!(rows.len(), 13);
    for (name, _, _, contact, stranger, allowed) in TABLE {
        for (does, allowed) in contact.iter().zip(allowed).chain(stranger.iter().zip(allowed)) {
            assert!(allowed.contains(does), "{name}: {does} is not among {allowed}");
        }
    }
}

// RFC 6121 §8.5.2.1.1: all who get a message share one value.
#[test]
fn recipients_share_the_stanza() {
    let (mut world, romeo) = setting(Several);
    let effects = world.send(romeo, of_kind(Kind::Message(MessageType::Headline), "juliet@example.com"));
    let [Effect::Deliver { stanza: first, .. }, .., Effect::Deliver { stanza: last, .. }] = &effects[..]
    else {
        panic!("{effects:?}");
    };
    assert!(Arc::ptr_eq(first, last));
}

// RFC 6120 §10.3.1 [Q1], RFC 6121 [DN9]
#[test]
fn without_to_it_is_for_the_own_account() {
    let mut world = World::new();
    let street = world.available("romeo@example.net/street", 1);
    world.available("romeo@example.net/orchard", 1);
    world.available("romeo@example.net/cell", 0);
    let told = world.says(street, Stanza::message(MessageType::Chat).with_id("n"));
    assert_eq!(
        told,
        [
            "street: message chat from romeo@example.net/street",
            "orchard: message chat from romeo@example.net/street"
        ]
    );
    let effects = world.send(street, Stanza::message(MessageType::Chat));
    let Effect::Deliver { stanza, .. } = &effects[0] else { panic!("{effects:?}") };
    assert_eq!(stanza.head.to, Some(jid("romeo@example.net")));
}

// RFC 6120 §10.5.1, §10.5.2 [Q5]
#[test]
fn the_server_takes_no_messages() {
    let (mut world, romeo) = setting(NoAccount);
    for to in ["example.com", "example.com/x", "example.net"] {
        for kind in TYPES {
            let told = world.says(romeo, of_kind(Kind::Message(kind), to));
            match kind {
                MessageType::Error => assert!(told.is_empty()),
                _ => {
                    assert_eq!(told, [format!("street: message error service-unavailable/cancel from {to}")]);
                }
            }
        }
    }
}

// RFC 6120 §10.4 [Q2, Q4]
#[test]
fn other_domains_are_remote() {
    let (mut world, romeo) = setting(NoAccount);
    for to in ["friar@example.org/cell", "friar@example.org", "example.org", "friar@sub.example.com"] {
        let told = world.says(romeo, of_kind(Kind::Message(MessageType::Chat), to));
        assert_eq!(told, [format!("remote {to}: message chat from romeo@example.net/street")]);
    }
    let effects = world.send(romeo, of_kind(Kind::Message(MessageType::Chat), "friar@example.org"));
    let [Effect::Remote { stanza, .. }] = &effects[..] else { panic!("{effects:?}") };
    let mut effects = Vec::new();
    let condition = balcony_stanza::ErrorCondition::RemoteServerNotFound;
    world.router.undeliverable(stanza, condition, true, &mut effects);
    assert_eq!(
        world.tell(&effects),
        ["street: message error remote-server-not-found/cancel from friar@example.org"]
    );
}

// What the server says to answer another server is marked as such, whoever it is said for; what a session sends is not.
#[test]
fn answers_to_other_domains_are_marked() {
    let (mut world, romeo) = setting(NoAccount);
    let marks = |effects: &[Effect]| -> Vec<bool> {
        let mark = |effect: &Effect| match effect {
            Effect::Remote { is_answer, is_told, .. } => {
                assert!(!(*is_answer && *is_told));
                Some(*is_answer)
            }
            _ => None,
        };
        effects.iter().filter_map(mark).collect()
    };
    let sent = world.send(romeo, of_kind(Kind::Message(MessageType::Chat), "friar@example.org"));
    assert_eq!(marks(&sent), [false]);
    for stanza in [
        of_kind(Kind::Iq(balcony_stanza::IqType::Get), "romeo@example.net"),
        of_kind(Kind::Iq(balcony_stanza::IqType::Get), "example.net"),
        of_kind(Kind::Message(MessageType::Chat), "example.net"),
        of_kind(Kind::Presence(balcony_stanza::PresenceType::Probe), "nobody@example.net"),
    ] {
        let answers = world.received("friar@example.org/cell", stanza.with_id("1"));
        assert_eq!(marks(&answers), [true], "{answers:?}");
    }
}

// RFC 6121 §8.5.2.1.1 [D4b]: priorities change, and with them who is most available.
#[test]
fn the_most_available_follow_presence() {
    let mut world = World::new();
    let romeo = world.connect("romeo@example.net/street");
    let balcony = world.available("juliet@example.com/balcony", 1);
    let garden = world.available("juliet@example.com/garden", 1);
    let gets = |world: &mut World, expected: &[&str]| {
        let effects = world.send(romeo, of_kind(Kind::Message(MessageType::Chat), "juliet@example.com"));
        let names: Vec<_> = effects
            .iter()
            .map(|effect| match effect {
                Effect::Deliver { session, .. } => world.name(*session),
                _ => "store".to_owned(),
            })
            .collect();
        assert_eq!(names, expected);
    };
    gets(&mut world, &["balcony", "garden"]);
    world.send(garden, crate::world::available(2));
    gets(&mut world, &["garden"]);
    world.send(garden, crate::world::available(-1));
    gets(&mut world, &["balcony"]);
    world.send(balcony, crate::world::unavailable());
    gets(&mut world, &["store"]);
    world.send(garden, crate::world::available(0));
    gets(&mut world, &["garden"]);
    world.unbind(garden);
    gets(&mut world, &["store"]);
}
