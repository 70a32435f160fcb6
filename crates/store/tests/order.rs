//! In which order a worker does what it is asked, and how much it takes, while its disk is slow.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests of threads")]

extern crate alloc;

#[macro_use]
mod common;

use core::num::NonZeroUsize;
use core::time::Duration;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use balcony_jid::BareJid;
use balcony_router::extension::blocking::BLOCKED;
use balcony_router::extension::offline::OFFLINE;
use balcony_router::{Answer, Append, Ask, Change as Save, Collections, Content, DocumentEdit, LogEdit};
use balcony_sasl::MIN_ITERATIONS;
use balcony_server::{Answer as ServerAnswer, Ask as ServerAsk};
use balcony_stanza::{MessageType, PresenceType, Stanza};
use balcony_store::{Busy, Edit, Owner, Reply, Request, Worker, WorkerConfig};
use common::gate::Gate;
use common::history::{account, block, drop_up_to, message, of, put, waiting};
use common::{Place, credentials, jid};

const QUICK: WorkerConfig = WorkerConfig {
    token_lifetime: core::time::Duration::from_secs(1_000),
    iterations: MIN_ITERATIONS,
    hashers: NonZeroUsize::MIN,
    queue: 1_024,
    queue_bytes: 4 << 20,
    account_queue: 256,
    account_bytes: 1 << 20,
};

const LONG: Duration = Duration::from_secs(60);
/// How long it takes until what should not happen would have.
const MOMENT: Duration = Duration::from_millis(100);

/// A worker before a store with accounts, whose changes wait at the gate.
fn slow(place: &Place, config: WorkerConfig) -> (Worker, Gate) {
    let store = place.open();
    store.create_many((0..100).map(|number| (account(number), credentials("old")))).unwrap();
    let gate = Gate::default();
    (Worker::start_with(gate.before(store), config), gate)
}

fn ask(worker: &Worker, request: Request) -> Receiver<Reply> {
    try_ask(worker, request).unwrap()
}

fn try_ask(worker: &Worker, request: Request) -> Result<Receiver<Reply>, Busy> {
    let (send, reply) = channel();
    let reply_to = move |reply| {
        // Some test may want no more of it.
        let _ = send.send(reply);
    };
    worker.submit(request, Box::new(reply_to)).map(|()| reply)
}

fn save(number: u8, change: Save) -> Request {
    save_by(number, change, false)
}

fn save_by(number: u8, change: Save, by_others: bool) -> Request {
    // Each is as old as its place says.
    let changes = of(u64::from(number) + 1, vec![change]);
    Request::Save { account: account(number), changes, by_others }
}

fn note(text: &str) -> Arc<Stanza> {
    Arc::new(Stanza::presence(PresenceType::Unavailable).with_id(text))
}

fn offline(reply: &Receiver<Reply>) -> usize {
    match reply.recv_timeout(LONG).unwrap() {
        Reply::Kept(Some(kept)) => waiting(&kept),
        other => panic!("{other:?}"),
    }
}

fn password(text: &str) -> balcony_machine::Secret<String> {
    String::from(text).into()
}

in_every_place!(
    lookups_wait_for_changes_that_were_asked_before,
    a_load_after_a_time_out_sees_what_came_too_late,
    logins_wait_for_new_passwords_and_nothing_else,
    changes_keep_the_place_of_a_password,
    collections_are_in_the_same_order,
    documents_wait_for_changes_of_documents_and_nothing_else
);

// What is kept is looked up when the changes that were asked before are there, and not before.
fn lookups_wait_for_changes_that_were_asked_before(place: &Place) {
    let (worker, gate) = slow(place, QUICK);
    let kept = |number| {
        ask(&worker, Request::Kept { account: account(number), collections: Collections::default() })
    };
    let before = kept(0);
    let saved = ask(&worker, save(0, put(message("one"))));
    let (owner, log) = (Owner::Account(account(0)), OFFLINE.into());
    let (after, messages) = (kept(0), ask(&worker, Request::Entries { owner, log, after: 0, bytes: 9 }));
    let later = ask(&worker, save(0, put(message("two"))));
    let last = kept(0);
    assert_eq!(offline(&before), 0);
    // Others go on.
    gate.wait(1);
    assert_eq!(offline(&kept(1)), 0);
    assert!(after.recv_timeout(MOMENT).is_err() && messages.try_recv().is_err() && last.try_recv().is_err());
    gate.open();
    assert!(offline(&after) >= 1);
    assert_eq!(offline(&last), 2);
    let Reply::Entries(messages) = messages.recv_timeout(LONG).unwrap() else { panic!() };
    assert_eq!(Stanza::parse(&messages.entries[0].content.bytes).as_ref(), Some(&*message("one")));
    for reply in [saved, later] {
        assert!(matches!(reply.recv_timeout(LONG).unwrap(), Reply::Changed(true)));
    }
}

// The same as a router sees it: it gives up waiting for a save, and loads what is kept.
fn a_load_after_a_time_out_sees_what_came_too_late(place: &Place) {
    let (worker, gate) = slow(place, QUICK);
    let router = |ask| {
        let (send, reply) = channel();
        worker.handle(ServerAsk::Router(ask), Box::new(move |answer| send.send(answer).unwrap()));
        reply
    };
    let changes = of(1, vec![block(&jid("tybalt@example.net").to_jid(), true)]);
    let late = router(Ask::Save { account: account(0), changes, by_others: false });
    gate.wait(1);
    let load = router(Ask::Load { account: account(0), collections: [BLOCKED.into()].into() });
    assert!(late.recv_timeout(MOMENT).is_err() && load.try_recv().is_err());
    gate.open();
    match load.recv_timeout(LONG).unwrap() {
        ServerAnswer::Router(Answer::Loaded(Some(kept))) => {
            assert_eq!(&*kept.documents[0].key, "tybalt@example.net");
            assert!(kept.now > 1_700_000_000_000);
        }
        other => panic!("{other:?}"),
    }
    assert!(matches!(late.recv_timeout(LONG).unwrap(), ServerAnswer::Router(Answer::Saved)));
}

// RFC 6120 §6.5.10: how long a login takes does not tell whether a message is being stored for somebody, but the new password
// holds as soon as it was asked for.
fn logins_wait_for_new_passwords_and_nothing_else(place: &Place) {
    let (worker, gate) = slow(place, QUICK);
    let verify = |text| ask(&worker, Request::Verify { account: account(0), password: password(text) });
    let exists = || ask(&worker, Request::Exists { account: account(0) });
    let put = ask(&worker, save(0, put(message("hi"))));
    gate.wait(1);
    assert!(matches!(verify("new").recv_timeout(LONG).unwrap(), Reply::Verified(None)));
    assert!(matches!(exists().recv_timeout(LONG).unwrap(), Reply::Exists(true)));
    let set = ask(&worker, Request::SetPassword { account: account(0), password: password("new") });
    let removed = ask(&worker, Request::Remove { account: account(0) });
    let (verified, exists) = (verify("new"), exists());
    // Attempts at others' accounts don't wait.
    let other = ask(&worker, Request::Verify { account: account(1), password: password("new") });
    assert!(matches!(other.recv_timeout(LONG).unwrap(), Reply::Verified(None)));
    assert!(verified.recv_timeout(MOMENT).is_err() && exists.try_recv().is_err());
    gate.open();
    for reply in [put, set, removed] {
        assert!(matches!(reply.recv_timeout(LONG).unwrap(), Reply::Changed(true)));
    }
    assert!(matches!(verified.recv_timeout(LONG).unwrap(), Reply::Verified(None)));
    assert!(matches!(exists.recv_timeout(LONG).unwrap(), Reply::Exists(false)));
}

// A password takes its time to be hashed. What was asked after it comes after it.
fn changes_keep_the_place_of_a_password(place: &Place) {
    let (worker, gate) = slow(place, WorkerConfig { iterations: 50_000, ..QUICK });
    gate.open();
    let set = |text| Request::SetPassword { account: account(0), password: password(text) };
    let set = [ask(&worker, set("new")), ask(&worker, set(""))];
    let put = ask(&worker, save(0, put(message("hi"))));
    let removed = ask(&worker, Request::Remove { account: account(0) });
    let kept = ask(&worker, Request::Kept { account: account(0), collections: Collections::default() });
    assert!(matches!(kept.recv_timeout(LONG).unwrap(), Reply::Kept(None)));
    let replies = [put, removed].map(|reply| {
        matches!(reply.try_recv().unwrap_or_else(|_| reply.recv_timeout(LONG).unwrap()), Reply::Changed(true))
    });
    assert_eq!(replies, [true; 2]);
    assert!(matches!(set[0].recv_timeout(LONG).unwrap(), Reply::Changed(true)));
    // A password that cannot be one holds up nobody.
    assert!(matches!(set[1].recv_timeout(LONG).unwrap(), Reply::Failed(_)));
}

// Documents and logs, of accounts and of others.
fn collections_are_in_the_same_order(place: &Place) {
    let (worker, gate) = slow(place, QUICK);
    let room = Owner::Service(jid("balcony@rooms.example.org"));
    let content = Content { version: 1, bytes: b"x".as_slice().into() };
    let entry = Append {
        log: "log".into(),
        tag: "".into(),
        content: content.clone(),
        room: balcony_router::Room::UNBOUNDED,
    };
    let document = DocumentEdit { collection: "notes".into(), key: "a".into(), content: Some(content) };
    let edits = vec![Edit::Document(document), Edit::Log(LogEdit::Append(entry))];
    let documents = |owner: &Owner| {
        let (owner, collection) = (owner.clone(), "notes".into());
        ask(&worker, Request::Documents { owner, collection, after: None, bytes: 9 })
    };
    let owners = [room, Owner::Account(account(0))];
    let replies = owners.each_ref().map(|owner| {
        let edit = Request::Edit { owner: owner.clone(), creation: None, edits: edits.clone() };
        let (edit, documents) = (ask(&worker, edit), documents(owner));
        let entries = Request::Entries { owner: owner.clone(), log: "log".into(), after: 0, bytes: 9 };
        (edit, documents, ask(&worker, entries))
    });
    let other = documents(&Owner::Domain(jid("example.org")));
    assert!(
        matches!(other.recv_timeout(LONG).unwrap(), Reply::Documents(found) if found.documents.is_empty())
    );
    for (_, documents, entries) in &replies {
        assert!(documents.recv_timeout(MOMENT).is_err() && entries.try_recv().is_err());
    }
    gate.open();
    for (edit, documents, entries) in &replies {
        assert!(matches!(edit.recv_timeout(LONG).unwrap(), Reply::Changed(true)));
        assert!(
            matches!(documents.recv_timeout(LONG).unwrap(), Reply::Documents(found) if found.documents.len() == 1)
        );
        assert!(
            matches!(entries.recv_timeout(LONG).unwrap(), Reply::Entries(found) if found.entries.len() == 1)
        );
    }
}

// How long it takes to see a document that everybody may see does not tell whether a message is being stored for somebody.
fn documents_wait_for_changes_of_documents_and_nothing_else(place: &Place) {
    let (worker, gate) = slow(place, QUICK);
    let owner = || Owner::Account(account(0));
    let look =
        || ask(&worker, Request::Document { owner: owner(), collection: "cards".into(), key: "".into() });
    let put = ask(&worker, save(0, put(message("hi"))));
    gate.wait(1);
    let kept = ask(&worker, Request::Kept { account: account(0), collections: Collections::default() });
    assert!(matches!(look().recv_timeout(LONG).unwrap(), Reply::Document(None)));
    let content = Some(Content { version: 1, bytes: b"x".as_slice().into() });
    let edit = DocumentEdit { collection: "cards".into(), key: "".into(), content: content.clone() };
    let edit =
        ask(&worker, Request::Edit { owner: owner(), creation: None, edits: vec![Edit::Document(edit)] });
    let after = look();
    assert!(after.recv_timeout(MOMENT).is_err() && kept.try_recv().is_err());
    gate.open();
    for reply in [put, edit] {
        assert!(matches!(reply.recv_timeout(LONG).unwrap(), Reply::Changed(true)));
    }
    assert!(matches!(after.recv_timeout(LONG).unwrap(), Reply::Document(found) if found == content));
    assert_eq!(offline(&kept), 1);
}

/// Fills the room that an account has.
fn fill(worker: &Worker, number: u8, text: &str, by_others: bool) -> usize {
    let mut count = 0;
    while try_ask(worker, save_by(number, put(message(text)), by_others)).is_ok() {
        count += 1;
    }
    count
}

#[test]
fn sixty_four_accounts_do_not_fill_the_queue_for_others() {
    // As large beside each other as they are by default.
    let usual = WorkerConfig::default();
    let config = WorkerConfig {
        account_queue: QUICK.queue / (usual.queue / usual.account_queue),
        account_bytes: QUICK.queue_bytes / (usual.queue_bytes / usual.account_bytes),
        ..QUICK
    };
    for text in [String::new(), "x".repeat(10_000)] {
        let (worker, gate) = slow(&Place::file(), config);
        // So that the writer has something to do, and nothing more of what is counted.
        let first = ask(&worker, save(99, put(message("hi"))));
        gate.wait(1);
        let taken: Vec<usize> = (0..64).map(|number| fill(&worker, number, &text, false)).collect();
        assert!(taken.iter().all(|taken| *taken >= 1), "{taken:?}");
        assert!(fill(&worker, 0, &text, false) == 0, "an account has a bound");
        // Whoever comes last finds room, for several changes.
        let other: Vec<_> = (0..3).map(|_| ask(&worker, save(64, put(message("hi"))))).collect();
        gate.open();
        for reply in other.iter().chain([&first]) {
            assert!(matches!(reply.recv_timeout(LONG).unwrap(), Reply::Changed(true)));
        }
        // And is served in turn: its first change comes after one of each of the others at most.
        let order: Vec<BareJid> = gate.commits().concat();
        let place = order.iter().position(|who| *who == account(64)).unwrap();
        assert!(place <= 65, "{place}");
        worker.shutdown();
    }
}

#[test]
fn what_waits_is_bounded_in_bytes() {
    let config = WorkerConfig { account_bytes: 200_000, ..QUICK };
    let (worker, gate) = slow(&Place::file(), config);
    let text = "x".repeat(45_000);
    ask(&worker, save(99, put(message("hi"))));
    gate.wait(1);
    // What others cause has half as much beside it, and neither takes the other's.
    assert_eq!((fill(&worker, 0, &text, true), fill(&worker, 0, &text, false)), (2, 4));
    assert_eq!((fill(&worker, 3, &text, false), fill(&worker, 3, &text, true)), (4, 2));
    assert!(fill(&worker, 0, "", false) > 0, "small ones still have room");
    // One that is larger than that has room alone.
    assert!(try_ask(&worker, save(1, put(message(&"x".repeat(250_000))))).is_ok());
    assert!(try_ask(&worker, save(1, put(message("hi")))).is_err());
    // Of addresses, too.
    let many =
        (0..3_000).map(|number| block(&jid(&format!("user{number}@example.net")).to_jid(), true)).collect();
    let many = Request::Save { account: account(2), changes: of(3, many), by_others: false };
    assert!(try_ask(&worker, many).is_ok());
    assert!(try_ask(&worker, save(2, drop_up_to(1))).is_err());
    gate.open();
    worker.shutdown();
}

// What others do to somebody, however much, leaves room for what the user changes: a block, above all.
#[test]
fn others_do_not_fill_the_room_of_an_account() {
    // A change of the roster, say, as a contact's request makes it.
    let other = drop_up_to(1);
    for change in [put(message("hi")), put(message(&"x".repeat(10_000))), other] {
        let (worker, gate) = slow(&Place::file(), QUICK);
        ask(&worker, save(99, put(message("hi"))));
        gate.wait(1);
        let request = || save_by(0, change.clone(), true);
        let taken = (0..QUICK.account_queue).take_while(|_| try_ask(&worker, request()).is_ok()).count();
        assert!(taken <= QUICK.account_queue / 2, "{taken}");
        let block = ask(&worker, save(0, block(&jid("tybalt@example.net").to_jid(), true)));
        gate.open();
        assert!(matches!(block.recv_timeout(LONG).unwrap(), Reply::Changed(true)));
        worker.shutdown();
    }
}

// Documents of an account may be there for anybody to ask for. However many do, its user can log in.
#[test]
fn lookups_of_documents_leave_room_for_the_account() {
    let (worker, gate) = slow(&Place::file(), QUICK);
    let saved = ask(&worker, save(0, put(message("hi"))));
    gate.wait(1);
    let documents = || {
        let (owner, collection) = (Owner::Account(account(0)), "card".into());
        try_ask(&worker, Request::Documents { owner, collection, after: None, bytes: 9 })
    };
    assert!((0..=QUICK.account_queue).any(|_| documents().is_err()));
    let kept = ask(&worker, Request::Kept { account: account(0), collections: Collections::default() });
    gate.open();
    assert_eq!(offline(&kept), 1);
    assert!(matches!(saved.recv_timeout(LONG).unwrap(), Reply::Changed(true)));
}

// What one asks about an account is answered in the order in which it was asked: a router that hears of a lookup has heard of the
// changes before it.
#[test]
fn answers_about_one_account_come_in_order() {
    let (worker, gate) = slow(&Place::file(), QUICK);
    gate.open();
    let (send, replies) = channel();
    for number in 0..50_u8 {
        let submit = |request, name: String, pause| {
            let send = send.clone();
            let reply = move |_| {
                // Whatever the other threads have to say comes meanwhile.
                std::thread::sleep(pause);
                send.send(name).unwrap();
            };
            worker.submit(request, Box::new(reply)).unwrap();
        };
        let kept = Request::Kept { account: account(0), collections: Collections::default() };
        submit(save(0, put(message("hi"))), format!("{number} saved"), Duration::from_millis(2));
        submit(kept, format!("{number} found"), Duration::ZERO);
        for answer in ["saved", "found"] {
            assert_eq!(replies.recv_timeout(LONG).unwrap(), format!("{number} {answer}"));
        }
    }
}

#[test]
fn of_notes_of_last_presence_the_latest_waits() {
    let (worker, gate) = slow(&Place::file(), QUICK);
    let last = |text: &str| ask(&worker, save(0, Save::LastSeen(note(text))));
    let first = last("first");
    gate.wait(1);
    let mut notes: Vec<_> = ["second", "third"].map(last).into();
    let put = ask(&worker, save(0, put(message("hi"))));
    let kept = ask(&worker, Request::Kept { account: account(0), collections: Collections::default() });
    notes.extend((0..1_000).map(|number| last(&number.to_string())));
    // Those that were replaced were not done, and whoever waits for them is told at once.
    for reply in &notes[..notes.len() - 1] {
        assert!(matches!(reply.try_recv().unwrap(), Reply::Changed(false)));
    }
    gate.open();
    for reply in [&first, &put, &notes[notes.len() - 1]] {
        assert!(matches!(reply.recv_timeout(LONG).unwrap(), Reply::Changed(true)));
    }
    let Reply::Kept(Some(kept)) = kept.recv_timeout(LONG).unwrap() else { panic!() };
    assert_eq!(kept.last.unwrap().presence, note("999"));
    worker.shutdown();
    let changes = gate.commits().concat().len();
    assert_eq!(changes, 3, "two notes and a message");
}

// Not a note from before the account was removed: that one is over with it.
#[test]
fn a_note_does_not_pass_the_end_of_its_account() {
    let (worker, gate) = slow(&Place::file(), QUICK);
    let other = ask(&worker, save(1, put(message("hi"))));
    gate.wait(1);
    let last = |text: &str| ask(&worker, save(0, Save::LastSeen(note(text))));
    let first = last("first");
    let removed = ask(&worker, Request::Remove { account: account(0) });
    let second = last("second");
    gate.open();
    let done = |reply: Receiver<Reply>| matches!(reply.recv_timeout(LONG).unwrap(), Reply::Changed(true));
    assert_eq!([other, first, removed, second].map(done), [true, true, true, false]);
}

#[test]
fn what_was_taken_is_answered_when_the_worker_ends() {
    let (worker, gate) = slow(&Place::file(), QUICK);
    let who = || account(0);
    let replies = [
        ask(&worker, save(0, put(message("hi")))),
        ask(&worker, Request::SetPassword { account: who(), password: password("new") }),
        ask(&worker, Request::Kept { account: who(), collections: Collections::default() }),
        ask(&worker, Request::Verify { account: who(), password: password("new") }),
        ask(
            &worker,
            Request::Create { account: jid("new@example.org"), password: password("new"), replace: false },
        ),
        ask(&worker, Request::Credentials { account: who() }),
    ];
    let opener = std::thread::spawn(move || {
        std::thread::sleep(MOMENT);
        gate.open();
    });
    worker.shutdown();
    opener.join().unwrap();
    assert!(matches!(replies[3].try_recv().unwrap(), Reply::Verified(Some(_))));
    for reply in [&replies[0], &replies[1], &replies[2], &replies[4], &replies[5]] {
        assert!(!matches!(reply.try_recv().unwrap(), Reply::Failed(_)));
    }
}

// What a stanza holds is counted, however it is made.
#[test]
fn a_message_weighs_what_it_is() {
    let config = WorkerConfig { account_bytes: 10_000, ..QUICK };
    let (worker, gate) = slow(&Place::file(), config);
    gate.wait(0);
    let large = Stanza::message(MessageType::Chat).with_id("x".repeat(6_000));
    let put = || save(0, put(Arc::new(large.clone())));
    assert!(try_ask(&worker, put()).is_ok());
    gate.wait(1);
    assert!(try_ask(&worker, put()).is_ok());
    assert!(try_ask(&worker, put()).is_err(), "two of them are too many");
    gate.open();
}
