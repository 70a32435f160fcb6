//! A router before a worker whose disk is slow: of a burst of messages to somebody who is away none is refused.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests of threads")]

extern crate alloc;

#[macro_use]
mod common;

use core::time::Duration;
use std::sync::mpsc::{Receiver, Sender, channel};

use balcony_machine::{Instant, Limits, Seed, Ticket};
use balcony_router::extension::Extensions;
use balcony_router::extension::offline::{OFFLINE, Offline};
use balcony_router::{Answer, Config, Effect, Router, SessionId};
use balcony_server::{Answer as ServerAnswer, Ask as ServerAsk};
use balcony_stanza::{MessageType, Stanza};
use balcony_store::{Owner, Request, Store, Worker, WorkerConfig};
use common::gate::Gate;
use common::history::{account, block, of, put};
use common::{Place, credentials};

const LONG: Duration = Duration::from_secs(60);

type Answers<T> = (Sender<T>, Receiver<T>);

/// A router whose asks a worker answers.
struct Server {
    router: Router,
    worker: Worker,
    answers: Answers<(Ticket, Answer)>,
    open: usize,
    refused: usize,
}

impl Server {
    fn new(worker: Worker) -> Self {
        let mut config = Config::new(vec![account(0).domainpart().parse().unwrap()]);
        let much = Offline { messages: 100_000, bytes: 1 << 30 };
        config.extensions = Extensions::standard().with(much).build().unwrap();
        let router = Router::new(config, &Seed::from_u64(1));
        Server { router, worker, answers: channel(), open: 0, refused: 0 }
    }

    fn carry_out(&mut self, effects: &mut Vec<Effect>) {
        while self.router.take_in(Instant::ZERO, effects) {}
        for effect in effects.drain(..) {
            if let Effect::Ask { ticket, ask } = effect {
                self.open += 1;
                let answers = self.answers.0.clone();
                let reply = move |answer| {
                    let ServerAnswer::Router(answer) = answer else { return };
                    // The test may have failed.
                    let _ = answers.send((ticket, answer));
                };
                self.worker.handle(ServerAsk::Router(ask), Box::new(reply));
            }
        }
    }

    /// Tells the router of the next answers, so many.
    fn hear(&mut self, answers: usize) {
        for _ in 0..answers {
            let (ticket, answer) = self.answers.1.recv_timeout(LONG).unwrap();
            self.open -= 1;
            self.refused += usize::from(answer == Answer::Refused);
            let mut effects = Vec::new();
            self.router.answer(Instant::ZERO, ticket, answer, &mut effects);
            self.carry_out(&mut effects);
        }
    }

    fn bind(&mut self, number: u8) -> SessionId {
        let (session, mut effects) = (SessionId(u64::from(number)), Vec::new());
        self.router.bind(Instant::ZERO, session, &account(number), None, &mut effects).unwrap();
        self.carry_out(&mut effects);
        self.hear(self.open);
        session
    }

    fn send(&mut self, from: SessionId, stanza: Stanza) {
        let full = self.router.jid(from).unwrap().clone();
        let mut effects = Vec::new();
        self.router.route(Instant::ZERO, from, stanza.with_from(full.into()), &mut effects);
        self.carry_out(&mut effects);
    }
}

in_every_place!(a_burst_is_stored);

// Whatever the account itself has to change meanwhile.
fn a_burst_is_stored(place: &Place) {
    let store = place.open();
    store.create_many((0..2).map(|number| (account(number), credentials("old")))).unwrap();
    for (count, size, blocks) in [(120, 11_000, 0), (600, 10, 0), (4, 500_000, 0), (120, 11_000, 10_000)] {
        let before = messages(&store).len();
        let gate = Gate::default();
        let worker = Worker::start_with(gate.before(store.clone()), WorkerConfig::default());
        let mut server = Server::new(worker);
        let sender = server.bind(0);
        let body = format!("<message><body>{}</body></message>", "x".repeat(size));
        let body = Stanza::parse(body.as_bytes()).unwrap().with_to(account(1).to_jid());
        server.send(sender, body.clone().with_id("0"));
        // The account is loaded; then this message is at the disk.
        server.hear(1);
        gate.wait(1);
        if blocks > 0 {
            let address = |number| account(0).with_resource(&format!("{number}")).unwrap().into();
            let changes = of(2, (0..blocks).map(|number| block(&address(number), true)).collect());
            let own = Request::Save { account: account(1), changes, by_others: false };
            server.worker.submit(own, Box::new(|_| {})).unwrap();
        }
        for number in 1..count {
            server.send(sender, body.clone().with_id(number.to_string()));
        }
        gate.open();
        while server.open > 0 {
            server.hear(1);
        }
        assert_eq!(server.refused, 0, "{count} of {size}");
        assert_eq!(messages(&store)[before..], (0..count).collect::<Vec<_>>(), "{count} of {size}");
        server.worker.shutdown();
    }
}

/// The ids of the messages that wait for the reader.
fn messages(store: &Store) -> Vec<usize> {
    let owner = Owner::Account(account(1));
    let entries = store.entries(&owner, OFFLINE, 0, usize::MAX).unwrap().entries;
    let id = |bytes: &[u8]| Stanza::parse(bytes).unwrap().head.id.unwrap().parse().unwrap();
    entries.iter().map(|entry| id(&entry.content.bytes)).collect()
}

// docs/limits.md: what a router has on its way to the store of one account, and others cause, has room twice over, beside what a message
// costs in the queue.
#[test]
fn the_router_asks_for_no_more_than_there_is_room_for() {
    let (limits, worker) = (Limits::default(), WorkerConfig::default());
    assert!(limits.storing * 2 <= worker.account_queue / 2);
    assert!(limits.storing_bytes * 2 <= worker.account_bytes / 2);
    // As much as it may be.
    let place = Place::file();
    let store = place.open();
    store.create_many([(account(1), credentials("old"))]).unwrap();
    let gate = Gate::default();
    let worker = Worker::start_with(gate.before(store), worker);
    let text = Stanza::message(MessageType::Chat).with_id("x".repeat(limits.storing_bytes / limits.storing));
    for number in 0..limits.storing * 3 / 2 {
        let changes = of(2, vec![put(text.clone().into())]);
        let ask = Request::Save { account: account(1), changes, by_others: true };
        assert!(worker.submit(ask, Box::new(|_| {})).is_ok(), "{number}");
    }
    gate.open();
}
