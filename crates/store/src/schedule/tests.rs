//! The schedule beside the rule that it keeps: no lookup is made before the changes that were asked before it are over, and
//! changes of one account keep their order.

use super::*;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::ToString as _;
use core::num::NonZeroUsize;
use proptest::prelude::*;

const SMALL: WorkerConfig = WorkerConfig {
    token_lifetime: core::time::Duration::from_secs(1_000),
    iterations: 0,
    hashers: NonZeroUsize::MIN,
    queue: 24,
    queue_bytes: 1 << 20,
    account_queue: 12,
    account_bytes: 1 << 20,
};

#[derive(Clone, Copy, Debug)]
enum Step {
    Save(u8),
    /// A change of a document.
    Edit(u8),
    Remove(u8),
    Set(u8),
    Create(u8),
    Kept(u8),
    Document(u8),
    Exists(u8),
    Verify(u8),
    Read,
    Hash,
    /// A password is done, and whether there is a change.
    Hashed(bool),
    Write,
    /// All changes under way are over.
    Over,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    use Step as S;
    let request = (0..9_usize, 0..3_u8).prop_map(|(kind, who)| {
        let kinds: [fn(u8) -> Step; 9] =
            [S::Save, S::Remove, S::Set, S::Create, S::Kept, S::Exists, S::Verify, S::Edit, S::Document];
        kinds[kind](who)
    });
    let work = prop_oneof![
        3 => Just(S::Read), 2 => Just(S::Hash), 2 => any::<bool>().prop_map(S::Hashed),
        1 => Just(S::Write), 1 => Just(S::Over),
    ];
    prop::collection::vec(prop_oneof![request, work], 0..120)
}

fn account(who: u8) -> BareJid {
    ["a@b", "c@b", "d@b"][usize::from(who)].parse().unwrap()
}

fn reply() -> ReplyTo {
    Box::new(|_| {})
}

fn trim() -> Save {
    let edit = balcony_router::LogEdit::Trim { log: "log".into(), up_to: 1 };
    Save::Log { creation: 1, edit }
}

/// The schedule beside the rule that it keeps: what has to be over before each lookup.
#[derive(Default)]
struct Model {
    /// Changes that were asked and are not over, in their order: what they touch.
    open: BTreeMap<(Owner, Ticket), Touches>,
    /// For each lookup that was asked, by its number: the changes before it.
    lookups: BTreeMap<usize, BTreeSet<(Owner, Ticket)>>,
    hashing: Vec<Hashing>,
    writing: Vec<Write>,
    /// The last change of each account that was taken.
    taken: BTreeMap<Owner, Ticket>,
    next: usize,
}

impl Model {
    /// The changes of the account that are under way, as the schedule knows them.
    fn note(&mut self, schedule: &Schedule, account: &BareJid, touches: Touches) {
        let account = &Owner::Account(account.clone());
        if let Some(ticket) = schedule.order.last(account, Touches::Kept) {
            self.open.entry((account.clone(), ticket)).or_insert(touches);
        }
    }

    fn before(&self, account: &BareJid, touches: Touches) -> BTreeSet<(Owner, Ticket)> {
        let account = &Owner::Account(account.clone());
        let matters = |kind: Touches| kind >= touches;
        let own = self.open.iter().filter(|((who, _), kind)| who == account && matters(**kind));
        own.map(|(key, _)| key.clone()).collect()
    }

    fn step(&mut self, schedule: &mut Schedule, step: Step) -> Result<(), TestCaseError> {
        let password = || Secret::new(String::from("x"));
        match step {
            Step::Save(who) | Step::Edit(who) | Step::Remove(who) | Step::Set(who) => {
                let account = account(who);
                let (request, touches) = match step {
                    Step::Save(_) => {
                        let changes = Vec::from([trim()]);
                        (Request::Save { account: account.clone(), changes, by_others: false }, Touches::Kept)
                    }
                    Step::Edit(_) => {
                        let (collection, key) = ("notes".into(), "".into());
                        let edit = balcony_router::DocumentEdit { collection, key, content: None };
                        let changes = Vec::from([trim(), Save::Document { creation: 1, edit }]);
                        (
                            Request::Save { account: account.clone(), changes, by_others: false },
                            Touches::Documents,
                        )
                    }
                    Step::Remove(_) => (Request::Remove { account: account.clone() }, Touches::All),
                    _ => {
                        let (account, password) = (account.clone(), password());
                        (Request::SetPassword { account, password }, Touches::All)
                    }
                };
                if schedule.submit(request, reply()).is_ok() {
                    self.note(schedule, &account, touches);
                }
            }
            Step::Create(who) => {
                let (account, password) = (account(who), password());
                drop(schedule.submit(Request::Create { account, password, replace: true }, reply()));
            }
            Step::Verify(who) => {
                let (account, password) = (account(who), password());
                drop(schedule.submit(Request::Verify { account, password }, reply()));
            }
            Step::Kept(who) | Step::Document(who) | Step::Exists(who) => {
                let account = account(who);
                let (before, number) = match step {
                    Step::Kept(_) => (self.before(&account, Touches::Kept), self.next),
                    Step::Document(_) => (self.before(&account, Touches::Documents), self.next),
                    // It has no number; at any time there is one of an account at most.
                    _ => (self.before(&account, Touches::All), usize::MAX - usize::from(who)),
                };
                let request = match step {
                    Step::Kept(_) => {
                        let owner = Owner::Account(account);
                        Request::Entries { owner, log: "log".into(), after: 0, bytes: number }
                    }
                    Step::Document(_) => {
                        let (collection, key) = ("notes".into(), number.to_string().into());
                        Request::Document { owner: Owner::Account(account), collection, key }
                    }
                    _ if self.lookups.contains_key(&number) => return Ok(()),
                    _ => Request::Exists { account },
                };
                if schedule.submit(request, reply()).is_ok() {
                    self.lookups.insert(number, before);
                    self.next += 1;
                }
            }
            Step::Read => {
                let Some(read) = schedule.next_read() else { return Ok(()) };
                let number = match &read.lookup {
                    Lookup::Entries { bytes: number, .. } => *number,
                    Lookup::Document { key, .. } => key.parse().unwrap(),
                    Lookup::Exists(of) => {
                        usize::MAX - usize::from((0..3).find(|who| account(*who) == *of).unwrap())
                    }
                    other => panic!("{other:?}"),
                };
                let before = self.lookups.remove(&number).unwrap();
                prop_assert!(before.iter().all(|change| !self.open.contains_key(change)));
            }
            Step::Hash => self.hashing.extend(schedule.next_hash()),
            Step::Hashed(has_change) => {
                let Some(Hashing { account, purpose, .. }) = self.hashing.pop() else { return Ok(()) };
                let change = Change::Remove { account: account.clone() };
                let has_change = has_change && !matches!(purpose, Purpose::Verify);
                schedule.hashed(&account, purpose, has_change.then(|| (change, reply())));
                match purpose {
                    Purpose::Set(ticket) if !has_change => {
                        self.open.remove(&(Owner::Account(account), ticket));
                    }
                    Purpose::Create { .. } if has_change => self.note(schedule, &account, Touches::All),
                    _ => {}
                }
            }
            Step::Write => {
                for write in schedule.next_writes() {
                    let before = self.taken.insert(write.owner.clone(), write.ticket);
                    prop_assert!(before < Some(write.ticket) && write.todo.is_some());
                    self.writing.push(write);
                }
            }
            Step::Over => {
                for write in self.writing.drain(..) {
                    self.open.remove(&(write.owner.clone(), write.ticket));
                    schedule.over(&write);
                }
            }
        }
        Ok(())
    }
}

/// A note of last presence with so many bytes.
fn note(by_others: bool, bytes: usize) -> Request {
    let presence = balcony_stanza::Stanza::presence(balcony_stanza::PresenceType::Unavailable);
    let changes = Vec::from([Save::LastSeen(Arc::new(presence.with_id("x".repeat(bytes))))]);
    Request::Save { account: account(0), changes, by_others }
}

// The last note of several is written, and those before it are answered at once, whoever has caused them, also where others have no room left and where
// it is a larger one.
#[test]
fn the_last_note_replaces_any_other() {
    for causes in [[false, false], [false, true], [true, false], [true, true]] {
        let mut schedule = Schedule::new(&SMALL);
        let full = (0..SMALL.account_queue).take_while(|_| {
            let (account, changes) = (account(0), Vec::from([trim()]));
            schedule.submit(Request::Save { account, changes, by_others: true }, reply()).is_ok()
        });
        assert_eq!(full.count(), SMALL.account_queue / 2);
        let [first, second] = causes;
        assert!(matches!(schedule.submit(note(first, 10), reply()), Ok(None)), "{causes:?}");
        assert!(matches!(schedule.submit(note(second, 500), reply()), Ok(Some(_))), "{causes:?}");
        let written: Vec<_> = schedule.next_writes().into_iter().filter(Write::is_note).collect();
        let [Write { todo: Some((change, _)), .. }] = &written[..] else { panic!("{causes:?}") };
        assert!(weight::change(change) > 500, "{causes:?}");
    }
}

proptest! {
    // No lookup is made before the changes that were asked before it are over; changes of one account keep their order; and
    // nothing that was taken stays behind.
    #[test]
    fn nothing_overtakes_a_change(steps in steps()) {
        let mut schedule = Schedule::new(&SMALL);
        let mut model = Model::default();
        for step in steps {
            model.step(&mut schedule, step)?;
        }
        schedule.close();
        for _ in 0..400 {
            for step in [Step::Hash, Step::Hashed(true), Step::Write, Step::Over, Step::Read] {
                model.step(&mut schedule, step)?;
            }
        }
        prop_assert!(schedule.has_read_all() && schedule.has_hashed_all() && schedule.has_written_all());
        prop_assert!(model.lookups.is_empty() && model.open.is_empty() && schedule.order.is_empty());
        let held = [schedule.reads.held(), schedule.writes.held(), schedule.hashes.held(), schedule.sets.held()];
        prop_assert_eq!((held, schedule.creating, schedule.hashing), ([Amount::default(); 4], 0, 0));
    }
}
