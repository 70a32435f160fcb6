//! The 72 rows of the appendix, on the tables and on a roster.

use balcony_roster::{Change, Roster, RosterConfig, State, Subscription};
use balcony_stanza::PresenceType;

use crate::world::{
    CONTACT, TYPES, assert_addresses, contact, incoming, item, may_lack_item, outgoing, pushes, roster,
    type_name, words,
};

struct Row<'a> {
    id: &'a str,
    outbound: bool,
    kind: PresenceType,
    before: State,
    after: State,
    decisions: String,
}

fn state(name: &str) -> State {
    match name {
        "None" => State::None,
        "None+PO" => State::NonePendingOut,
        "None+PI" => State::NonePendingIn,
        "None+POI" => State::NonePendingOutIn,
        "To" => State::To,
        "To+PI" => State::ToPendingIn,
        "From" => State::From,
        "From+PO" => State::FromPendingOut,
        "Both" => State::Both,
        other => panic!("no state is called {other}"),
    }
}

fn rows() -> Vec<Row<'static>> {
    let row = |line: &'static str| {
        let mut words = line.split_whitespace();
        let (id, before, after) = (words.next().unwrap(), words.next().unwrap(), words.next().unwrap());
        let before = state(before);
        let table: usize = id[4..5].parse().unwrap();
        Row {
            id,
            outbound: id.starts_with("A.2."),
            kind: TYPES[table - 1],
            before,
            after: if after == "same" { before } else { state(after) },
            decisions: words.collect::<Vec<_>>().join(" "),
        }
    };
    let rows: Vec<_> =
        include_str!("appendix_a.txt").lines().filter(|line| !line.starts_with('#')).map(row).collect();
    assert_eq!(rows.len(), 72);
    rows
}

impl Row<'_> {
    fn has(&self, word: &str) -> bool {
        self.decisions.split(' ').any(|w| w == word)
    }
}

/// In the order of the appendix, approval comes third and denial fourth; the tests must not mix that up.
#[test]
fn the_rows_are_complete() {
    for (index, row) in rows().iter().enumerate() {
        let (table, number) = (index / 9, index % 9);
        assert_eq!(row.id, format!("A.{}.{}-{}", 2 + table / 4, 1 + table % 4, 1 + number));
        assert_eq!(row.before, State::ALL[number], "{}", row.id);
    }
}

// RFC 6121 §A.2, §A.3 [A.2.1-1 to A.3.4-9]; §3.1.3 r2, §6.5 of the rows: an inbound subscribe is answered in From and Both
#[test]
fn the_tables() {
    for row in rows() {
        let passes = row.has("send") || row.has("deliver:available") || row.has("deliver:interested");
        let next = if row.outbound { row.before.outbound(row.kind) } else { row.before.inbound(row.kind) };
        assert_eq!(next, passes.then_some(row.after), "{}", row.id);
        if !row.outbound {
            let reply = TYPES.into_iter().find(|&kind| row.has(&format!("send:{}", type_name(kind))));
            assert_eq!(row.before.reply(row.kind), reply, "{}", row.id);
        }
    }
}

fn check(row: &Row<'_>, mut roster: Roster) {
    let (before, had_item) = (roster.version(), roster.item(&contact()).is_some());
    let mut decisions = Vec::new();
    // A full address is treated as bare, in either direction.
    let address = format!("{CONTACT}/orchard");
    if row.outbound {
        roster.outbound(outgoing(row.kind, &address), &mut decisions).unwrap();
    } else {
        roster.inbound(incoming(row.kind, &address), &mut decisions);
    }
    assert_eq!(words(&decisions), row.decisions, "{}", row.id);
    assert_eq!(roster.state(&contact()), row.after, "{}", row.id);
    assert_addresses(&decisions);

    let now = roster.item(&contact());
    match pushes(&decisions)[..] {
        [] => {
            assert_eq!(roster.version(), before, "{}", row.id);
            assert_eq!(now.is_some(), had_item, "{}", row.id);
        }
        [push] => {
            assert_ne!(roster.version(), before, "{}", row.id);
            assert_eq!(push.version, roster.version(), "{}", row.id);
            assert_eq!(push.change, Change::Item(now.unwrap().clone()), "{}", row.id);
        }
        _ => panic!("{}: more than one push", row.id),
    }
    if let Some(now) = now {
        let mut expected = item(row.after);
        if !had_item {
            (expected.name, expected.groups) = (None, vec![]);
        }
        assert_eq!(now, &expected, "{}", row.id);
    }
}

// RFC 6121 §A.2, §A.3 [A.2.1-1 to A.3.4-9]; §3.2.2 [SB13], §3.1.5 [SB10], §3.1.6 [SB11]: the order of what is done;
// RFC 6121 §3 [SB1], §3.1.2 [SB2]: addresses; §2.6.1 [RV11]: versions; §3.1.4 [SB4]: no answer of the server mirrors an id
#[test]
fn a_roster_follows_the_tables() {
    let config = RosterConfig { pre_approval: false, ..RosterConfig::default() };
    for row in rows() {
        check(&row, roster(row.before, Some(item(row.before)), config));
        if may_lack_item(row.before) {
            check(&row, roster(row.before, None, config));
        }
    }
}

// RFC 6121 §A.1 [6.1]: what the roster shows of each state, and that the parts name the state
#[test]
fn the_nine_states() {
    use Subscription as S;
    let shown = [
        (S::None, false, false),
        (S::None, true, false),
        (S::None, false, true),
        (S::None, true, true),
        (S::To, false, false),
        (S::To, false, true),
        (S::From, false, false),
        (S::From, true, false),
        (S::Both, false, false),
    ];
    for (state, (subscription, out, inward)) in State::ALL.into_iter().zip(shown) {
        assert_eq!(
            (state.subscription(), state.is_pending_out(), state.is_pending_in()),
            (subscription, out, inward)
        );
        assert_eq!(State::new(subscription, out, inward), state);
    }
    // From+PI, Both+PO, Both+PI and To+PO do not exist.
    assert_eq!(State::new(S::From, false, true), State::From);
    assert_eq!(State::new(S::From, true, true), State::FromPendingOut);
    assert_eq!(State::new(S::Both, true, true), State::Both);
    assert_eq!(State::new(S::To, true, false), State::To);
}

// RFC 6121 §3: only four types manage subscriptions; [SB16]: nobody subscribes to themselves
#[test]
fn other_stanzas_change_nothing() {
    use PresenceType as P;
    for state in State::ALL {
        for kind in [P::Available, P::Unavailable, P::Probe, P::Error] {
            assert_eq!((state.outbound(kind), state.inbound(kind), state.reply(kind)), (None, None, None));
            let mut roster = roster(state, Some(item(state)), RosterConfig::default());
            let (before, mut decisions) = (roster.clone(), Vec::new());
            roster.outbound(outgoing(kind, CONTACT), &mut decisions).unwrap();
            roster.inbound(incoming(kind, CONTACT), &mut decisions);
            assert_eq!((&roster, decisions), (&before, vec![]));
        }
    }
    for kind in TYPES {
        let mut roster = crate::world::empty(RosterConfig::default());
        let (before, mut decisions) = (roster.clone(), Vec::new());
        roster.outbound(outgoing(kind, crate::world::USER), &mut decisions).unwrap();
        roster.inbound(incoming(kind, &format!("{}/attic", crate::world::USER)), &mut decisions);
        assert_eq!((&roster, decisions), (&before, vec![]));
    }
}

// RFC 6121 §4.2.2, §4.4.2, §4.5.2 [PR2, PR15, PR18]: subscribers; [PR4]: probed; §4.3.2 [PR9]: who may know;
// §3.1.2 [SB6]: asked
#[test]
fn who_is_told() {
    for state in State::ALL {
        let roster = roster(state, Some(item(state)), RosterConfig::default());
        let one = |yes: bool| if yes { vec![contact()] } else { vec![] };
        let (from, to) = (
            matches!(state, State::From | State::FromPendingOut | State::Both),
            matches!(state, State::To | State::ToPendingIn | State::Both),
        );
        assert_eq!(roster.subscribers().cloned().collect::<Vec<_>>(), one(from));
        assert_eq!(roster.is_subscriber(&contact()), from);
        assert_eq!(roster.probed().cloned().collect::<Vec<_>>(), one(to));
        let out = matches!(state, State::NonePendingOut | State::NonePendingOutIn | State::FromPendingOut);
        assert_eq!(roster.asked().cloned().collect::<Vec<_>>(), one(out));
    }
}
