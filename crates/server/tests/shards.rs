//! A server whose connections are in several shards, on one hub, as threads would have them: whose turn it is is decided by a seed.
#![allow(clippy::unwrap_used)]

use core::cell::{Cell, RefCell};
use core::mem;
use core::time::Duration;
use std::rc::Rc;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Random, Secret, Seed, Ticket};
use balcony_router::Memory;
use balcony_sasl::ScramKeys;
use balcony_server::{
    Answer, Ask, AtHub, ConnectionId, Hub, Input, ServerConfig, Shard, Stats, Todo, Transport,
};
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_stream::{ClientStream, TlsPolicy};

const NOW: Instant = Instant::ZERO;
const SHARDS: u8 = 3;
const CLIENTS: usize = 7;

struct Common {
    hub: Rc<RefCell<Hub>>,
    others: Others,
    number: usize,
    called: Rc<RefCell<Vec<bool>>>,
    had: Rc<Had>,
}

/// Whether somebody else has the hub when a shard only wants it if nobody has: so many times of four, and which is decided by a seed.
struct Had {
    times: Cell<u64>,
    random: RefCell<Random>,
    /// How often one has met it.
    meetings: Cell<usize>,
}

/// What others do before somebody has the hub.
type Others = Rc<RefCell<Option<Box<dyn FnMut()>>>>;

impl AtHub for Common {
    fn with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> T {
        // While they do it nobody else does.
        let others = self.others.borrow_mut().take();
        if let Some(mut others) = others {
            others();
            *self.others.borrow_mut() = Some(others);
        }
        self.had.meetings.set(self.had.meetings.get() + 1);
        act(&mut self.hub.borrow_mut())
    }

    fn try_with_hub<T>(&mut self, act: impl FnOnce(&mut Hub) -> T) -> Option<T> {
        let luck = self.had.random.borrow_mut().next_u64() % 4;
        (luck >= self.had.times.get()).then(|| self.with_hub(act))
    }

    fn call(&mut self, shard: usize) {
        assert!(self.hub.try_borrow_mut().is_ok(), "the hub is held meanwhile");
        assert_ne!(shard, self.number, "it calls itself");
        self.called.borrow_mut()[shard] = true;
    }
}

struct World {
    shards: Vec<Shard<usize, Common>>,
    others: Others,
    /// Those that have been called.
    called: Rc<RefCell<Vec<bool>>>,
    had: Rc<Had>,
    /// What the store has not answered.
    asks: Vec<(Ticket, Ask)>,
    store: Memory,
    /// The store saves nothing.
    hangs: bool,
    clients: Vec<Client>,
    /// So much is read at a time, at most.
    piece: usize,
    random: Random,
    log: String,
}

/// Its place is what its shard knows it as.
struct Client {
    shard: usize,
    id: ConnectionId,
    stream: ClientStream,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    /// What the server writes, and is not written.
    writing: Option<Vec<u8>>,
    /// The server wants more.
    reads: bool,
    /// It wants to know if there is nothing.
    asks: bool,
    closed: bool,
    heard: String,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Seed::from_u64(seed).random();
        let mut config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        (config.tls, config.stream_management) = (TlsPolicy::None, false);
        let hub = Rc::new(RefCell::new(Hub::new(&config, &random.seed(), SHARDS.into())));
        let (others, called) = (Others::default(), Rc::new(RefCell::new(vec![false; SHARDS.into()])));
        let luck = random.seed().random();
        let had = Rc::new(Had { times: Cell::new(0), random: RefCell::new(luck), meetings: Cell::new(0) });
        let mut shard = |number: u8| {
            let (hub, others, called) = (Rc::clone(&hub), Rc::clone(&others), Rc::clone(&called));
            let common = Common { hub, others, number: number.into(), called, had: Rc::clone(&had) };
            Shard::of_part(config.clone(), random.seed(), number, common)
        };
        let shards = (0..SHARDS).map(&mut shard).collect();
        let (asks, clients) = (Vec::new(), Vec::new());
        World {
            shards,
            others,
            called,
            had,
            asks,
            store: Memory::default(),
            hangs: false,
            clients,
            piece: usize::MAX,
            random,
            log: String::new(),
        }
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.next_u64() % end as u64).unwrap()
    }

    fn connect(&mut self, account: &str, resource: &str) {
        let account: BareJid = account.parse().unwrap();
        self.store.create(account.clone());
        let mut config = ClientStreamConfig::new(account, Secret::new(String::from("pencil")));
        config.tls = TlsPolicy::None;
        config.resource = Some(resource.into());
        let place = self.clients.len();
        let shard = place % self.shards.len();
        let id = self.shards[shard].accept(NOW, Transport::Stream, String::new(), None, place);
        let stream = ClientStream::new(config.into(), Seed::from_u64(place as u64), NOW);
        let [to_server, to_client] = [Vec::new(), Vec::new()];
        self.clients.push(Client {
            shard,
            id,
            stream,
            to_server,
            to_client,
            writing: None,
            reads: true,
            asks: false,
            closed: false,
            heard: String::new(),
        });
        self.hear(place);
    }

    /// A client hears what has come, and answers.
    fn hear(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let come = mem::take(&mut client.to_client);
        client.heard.push_str(&String::from_utf8_lossy(&come));
        let mut bytes = come.as_slice();
        while let Ok(Progress::Event(event)) = client.stream.advance(NOW, &mut bytes, &mut client.to_server) {
            if let ClientEvent::Ask(ticket, ClientAsk::SaltPassword { hash, password, salt, iterations }) =
                event
            {
                let salted = balcony_sasl::salt_password(hash, password.expose(), &salt, iterations).unwrap();
                client.stream.answer(ticket, ClientAnswer::Salted(salted)).unwrap();
            }
        }
    }

    /// The sockets of a shard, and the store if it is the first, bring some of what there is; then it does all that it has to. Whether
    /// there was anything.
    fn turn(&mut self, number: usize) -> bool {
        let mut is_busy = mem::take(&mut self.called.borrow_mut()[number]);
        if is_busy {
            self.shards[number].called();
        }
        for place in 0..self.clients.len() {
            let luck = self.below(4);
            let (client, shard) = (&mut self.clients[place], &mut self.shards[number]);
            if client.shard != number || client.closed || luck == 0 {
                continue;
            }
            if let Some(bytes) = client.writing.take() {
                client.to_client.extend(bytes);
                shard.handle(NOW, Input::Written(client.id));
                is_busy = true;
            }
            if client.reads && !client.to_server.is_empty() {
                let count = (client.to_server.len() / luck).clamp(1, self.piece);
                let bytes: Vec<u8> = client.to_server.drain(..count).collect();
                client.reads = false;
                shard.handle(NOW, Input::Received(client.id, &bytes));
                is_busy = true;
            } else if mem::take(&mut client.asks) {
                shard.handle(NOW, Input::NothingYet(client.id));
                is_busy = true;
            }
        }
        let saves = |ask: &Ask| matches!(ask, Ask::Router(balcony_router::Ask::Save { .. }));
        let next = self.asks.iter().position(|(_, ask)| !(self.hangs && saves(ask)));
        if number == 0
            && let Some(next) = next
        {
            let (ticket, ask) = self.asks.remove(next);
            let answer = match ask {
                Ask::Stream(ServerAsk::Credentials { hash, .. }) => {
                    let keys = ScramKeys::derive(hash, "pencil", b"salt", 4096).unwrap();
                    Answer::Stream(ServerAnswer::Credentials(Some(keys)))
                }
                Ask::Router(ask) => Answer::Router(self.store.answer(0, ask)),
                Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
                ask => panic!("nobody asks {ask:?} here"),
            };
            self.shards[0].handle(NOW, Input::Answer(ticket, answer));
            is_busy = true;
        }
        self.carry_out(number);
        is_busy || self.shards[number].has_more()
    }

    fn carry_out(&mut self, number: usize) {
        while let Some(todo) = self.shards[number].next() {
            match todo {
                Todo::Write(place, bytes) => {
                    let before = self.clients[*place].writing.replace(bytes);
                    assert!(before.is_none(), "it is still writing");
                }
                Todo::Read(place) => self.clients[*place].reads = true,
                Todo::ReadNow(id, place) => {
                    let client = &mut self.clients[*place];
                    assert_eq!(client.id, id);
                    (client.reads, client.asks) = (true, true);
                }
                Todo::Close(place) => self.clients[place].closed = true,
                Todo::Ask(ticket, ask) => {
                    assert_eq!(number, 0, "another shard asks {ask:?}");
                    self.asks.push((ticket, ask));
                }
                Todo::Log(_, line) => self.log.push_str(&line),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Until nothing is under way.
    fn run(&mut self) {
        let mut quiet = 0;
        while quiet < 60 {
            let number = self.below(SHARDS.into());
            let mut is_busy = self.turn(number);
            for place in 0..self.clients.len() {
                if !self.clients[place].to_client.is_empty() && self.below(2) == 0 {
                    self.hear(place);
                    is_busy = true;
                }
            }
            quiet = if is_busy { 0 } else { quiet + 1 };
        }
        assert!(!self.shards.iter().any(Shard::has_more), "something is left");
    }

    fn stats(&mut self) -> Stats {
        self.shards[0].stats()
    }
}

fn address(client: usize) -> String {
    format!("{}@example.com/{client}", ["juliet", "romeo"][client % 2])
}

/// The numbers that one client has heard from another.
fn heard(text: &str, from: usize) -> Vec<usize> {
    let bodies =
        text.split("<body>").skip(1).filter_map(|rest| rest.split_once("</body>")).map(|(body, _)| body);
    bodies.filter_map(|body| body.strip_prefix(&format!("{from}:"))?.parse().ok()).collect()
}

// RFC 6120 §10.1: whoever has his turn when, what clients of all shards say to each other arrives once, and in order; then the server ends, and
// each client hears of it.
#[test]
fn what_is_said_across_shards_arrives() {
    for seed in 0..40 {
        let mut world = World::new(seed);
        world.had.times.set(seed % 5);
        for number in 0..SHARDS {
            // What it does when it begins.
            world.shards[usize::from(number)].tick(NOW);
        }
        for client in 0..CLIENTS {
            let address = address(client);
            let (account, resource) = address.split_once('/').unwrap();
            world.connect(account, resource);
        }
        world.run();
        assert!(world.clients.iter().all(|client| client.stream.is_open()), "seed {seed}");
        assert_eq!(world.stats().sessions, CLIENTS);
        let mut said = [[0; CLIENTS]; CLIENTS];
        for _ in 0..20 {
            for _ in 0..30 {
                let (from, to) = (world.below(CLIENTS), world.below(CLIENTS));
                let number = said[from][to];
                let message = format!("<message to='{}'><body>{from}:{number}</body></message>", address(to));
                world.clients[from].to_server.extend(message.into_bytes());
                said[from][to] += 1;
            }
            for _ in 0..world.below(10) {
                let number = world.below(SHARDS.into());
                world.turn(number);
            }
        }
        world.run();
        for (from, said) in said.iter().enumerate() {
            for (to, count) in said.iter().enumerate() {
                let heard = heard(&world.clients[to].heard, from);
                assert_eq!(heard, (0..*count).collect::<Vec<_>>(), "seed {seed}: from {from} to {to}");
            }
        }
        world.shards[0].shutdown(NOW);
        world.run();
        for (place, client) in world.clients.iter().enumerate() {
            assert!(client.closed && client.heard.contains("<system-shutdown"), "seed {seed}: {place}");
        }
        assert!(world.shards.iter().all(Shard::is_closed), "seed {seed}");
        assert_eq!(world.stats(), Stats::default());
    }
}

// Whoever drives a shard comes round to its sockets and its clock, whatever others say to its connections meanwhile: here they have said more
// whenever it meets the hub, and its sockets take all bytes at once.
#[test]
fn what_others_say_does_not_keep_a_shard_from_its_sockets() {
    let mut world = World::new(1);
    for number in 0..2 {
        let address = address(number);
        let (account, resource) = address.split_once('/').unwrap();
        world.connect(account, resource);
    }
    world.run();
    // The first speaks, and the second hears.
    let (from, to) = (world.clients[0].id, world.clients[1].id);
    let mut speaking = world.shards.swap_remove(0);
    let said = Rc::new(RefCell::new(0));
    let count = Rc::clone(&said);
    let speak = move || {
        let number = count.replace_with(|number| *number + 1);
        let message = format!("<message to='{}'><body>0:{number}</body></message>", address(1));
        speaking.handle(NOW, Input::Received(from, message.as_bytes()));
        while speaking.next().is_some() {}
    };
    *world.others.borrow_mut() = Some(Box::new(speak));
    let hearing = &mut world.shards[1];
    let mut text = String::new();
    let mut round = |hearing: &mut Shard<usize, Common>| {
        hearing.called();
        let mut writes = 0;
        loop {
            let bytes = match hearing.next() {
                Some(Todo::Write(_, bytes)) => bytes,
                Some(_) => continue,
                None => return,
            };
            writes += 1;
            assert!(writes < 100, "it goes on for as long as others speak");
            text.push_str(&String::from_utf8_lossy(&bytes));
            hearing.handle(NOW, Input::Written(to));
        }
    };
    for _ in 0..10 {
        round(hearing);
        assert!(hearing.has_more());
    }
    // Nothing is lost by that.
    *world.others.borrow_mut() = None;
    while hearing.has_more() {
        round(hearing);
    }
    assert!(*said.borrow() > 20);
    assert_eq!(heard(&text, 0), (0..*said.borrow()).collect::<Vec<_>>());
}

// Who finds the hub taken reads on instead of waiting, as far as there is a bound; then it waits, and says all of that at once.
#[test]
fn a_shard_does_not_wait_while_it_may_gather_more() {
    let mut world = World::new(1);
    // Many of them on each shard, since one of them alone is not listened to after some stanzas.
    for number in 0..10 * usize::from(SHARDS) {
        let address = address(number);
        let (account, resource) = address.split_once('/').unwrap();
        world.connect(account, resource);
    }
    world.run();
    world.had.times.set(4);
    let senders: Vec<usize> = (0..10).map(|number| number * usize::from(SHARDS)).collect();
    let before = world.had.meetings.get();
    let mut met = Vec::new();
    for number in 0..300 {
        let (from, number) = (senders[number % senders.len()], number / senders.len());
        let message = format!("<message to='{}'><body>{from}:{number}</body></message>", address(1));
        world.shards[0].handle(NOW, Input::Received(world.clients[from].id, message.as_bytes()));
        met.push(world.had.meetings.get() - before);
    }
    assert_eq!((met[254], met[255], met[299]), (0, 1, 1));
    // Whoever drives it has it do something else once, and no more.
    let mut next = || {
        while world.shards[0].next().is_some() {}
        world.had.meetings.get() - before
    };
    assert_eq!(next(), 1);
    assert!(next() > 1);
    world.run();
    for from in senders {
        assert_eq!(heard(&world.clients[1].heard, from), (0..30).collect::<Vec<_>>());
    }
}

/// Clients of whom the first, the fourth and the seventh are the first shard's.
fn seven() -> World {
    let mut world = World::new(1);
    for number in 0..CLIENTS {
        let address = address(number);
        let (account, resource) = address.split_once('/').unwrap();
        world.connect(account, resource);
    }
    world.run();
    world
}

fn messages(from: usize, to: usize, numbers: core::ops::Range<usize>) -> Vec<u8> {
    let message =
        |number| format!("<message to='{}'><body>{from}:{number}</body></message>", address(to)).into_bytes();
    numbers.flat_map(message).collect()
}

// However much a client sends at once, and however small its stanzas are: others have their turn after some of them. All of it arrives, in
// order.
#[test]
fn who_has_sent_much_has_turns() {
    let mut world = seven();
    // All to one client of their account.
    let received = |world: &mut World, from: usize, count| {
        world.clients[from].reads = false;
        world.shards[0].handle(NOW, Input::Received(world.clients[from].id, &messages(from, 6, 0..count)));
    };
    received(&mut world, 0, 1_000);
    received(&mut world, 6, 1);
    world.carry_out(0);
    world.run();
    let text = &world.clients[6].heard;
    assert_eq!(heard(text, 0), (0..1_000).collect::<Vec<_>>());
    let place = |body: &str| text.find(&format!("<body>{body}</body>")).unwrap();
    assert!(place("6:0") < place("0:200"), "the other one waits until all of that is said");
    assert!(world.clients[0].reads);
}

// Clients that never stop sending do not keep the server from shutting down.
#[test]
fn who_goes_on_sending_is_cut_off_by_a_shutdown() {
    let mut world = seven();
    world.shards[0].shutdown(NOW);
    let mut rounds = 0;
    while !world.shards.iter().all(Shard::is_closed) {
        rounds += 1;
        assert!(rounds < 20, "they are listened to for ever");
        for from in [0, 3, 6] {
            let client = &mut world.clients[from];
            if mem::take(&mut client.reads) {
                // As much as is read at once.
                let much = messages(from, from, 0..1_000);
                world.shards[0].handle(NOW, Input::Received(client.id, &much));
            }
        }
        for number in 0..usize::from(SHARDS) {
            world.turn(number);
        }
    }
}

// What was read of a client before its connection ended has come, however many turns it takes, and also where its messages have to wait for
// the store: then no more of it is taken for a time.
#[test]
fn what_was_read_before_the_end_is_taken_in() {
    let ends: [fn(ConnectionId) -> Input<'static>; 2] = [Input::Eof, Input::Broken];
    for (seed, end) in (0..6).flat_map(|seed| ends.map(|end| (seed, end))) {
        let mut world = seven();
        world.had.times.set(seed % 5);
        let nurse: BareJid = "nurse@example.com".parse().unwrap();
        world.store.create(nurse.clone());
        let to_nurse = |number: usize| {
            format!("<message to='nurse@example.com' type='chat'><body>0:{number}</body></message>")
        };
        let mut much = Vec::new();
        for number in 0..90 {
            much.extend(messages(0, 6, 10 * number..10 * (number + 1)));
            much.extend(to_nurse(number).into_bytes());
        }
        let id = world.clients[0].id;
        world.clients[0].reads = false;
        world.shards[0].handle(NOW, Input::Received(id, &much));
        if seed % 2 == 0 {
            // Some of it has had its turn.
            world.carry_out(0);
        }
        world.shards[0].handle(NOW, end(id));
        world.run();
        assert!(world.clients[0].closed);
        assert_eq!(heard(&world.clients[6].heard, 0), (0..900).collect::<Vec<_>>(), "seed {seed}");
        let stored = world.store.entries(&nurse, "offline").count();
        assert_eq!(stored, 90, "seed {seed}");
        assert_eq!(world.stats().sessions, CLIENTS - 1);
    }
}

// Of a connection that breaks what had come before is taken in by turns as well, so that nobody waits for all of it; nothing of it is lost, nor
// what the log says in the end.
#[test]
fn what_a_broken_connection_has_left_has_turns() {
    let mut world = seven();
    let client = &mut world.clients[0];
    client.reads = false;
    let (id, much) = (client.id, messages(0, 6, 0..2_000));
    world.shards[0].handle(NOW, Input::Received(id, &much));
    world.carry_out(0);
    let before = world.had.meetings.get();
    world.shards[0].handle(NOW, Input::Broken(id));
    assert!(world.had.meetings.get() - before <= 2, "all of it is taken in at once");
    world.carry_out(0);
    assert!(world.clients[0].closed && !world.log.contains("is offline"));
    world.run();
    assert_eq!(heard(&world.clients[6].heard, 0), (0..2_000).collect::<Vec<_>>());
    assert!(world.log.contains(&format!("{} from  is offline", address(0))), "{}", world.log);
    let sessions = CLIENTS - 1;
    assert_eq!((world.stats().sessions, world.stats().connections), (sessions, 2));
}

/// Has two shards go on, and not the other one, which is busy elsewhere.
fn run_without(world: &mut World, busy: usize) {
    for _ in 0..400 {
        for number in (0..usize::from(SHARDS)).filter(|number| *number != busy) {
            world.turn(number);
        }
        (0..world.clients.len()).for_each(|place| world.hear(place));
    }
}

/// How a connection ends.
type End = fn(ConnectionId) -> Input<'static>;

/// A client of the second shard has sent much, of which some is taken; then it comes anew.
fn comes_anew(seed: u64, end: Option<End>) -> (World, usize) {
    let mut world = seven();
    world.had.times.set(seed % 5);
    let client = &mut world.clients[1];
    client.reads = false;
    let (id, much) = (client.id, messages(1, 6, 0..1_000));
    world.shards[1].handle(NOW, Input::Received(id, &much));
    if let Some(end) = end {
        world.shards[1].handle(NOW, end(id));
    }
    // It comes to the third shard, or to the same.
    if seed.is_multiple_of(2) {
        world.connect("romeo@example.com", "elsewhere");
    }
    let place = world.clients.len();
    world.connect("romeo@example.com", "1");
    (world, place)
}

// RFC 6120 §10.1: what a client had sent and the server had read comes before what its next session sends, however that begins while the first has
// not had its turns. So the resource is not bound before.
#[test]
fn what_was_read_is_taken_before_its_resource_is_bound_anew() {
    let ends: [Option<End>; 3] = [None, Some(Input::Eof), Some(Input::Broken)];
    for (seed, end) in (0..6).flat_map(|seed| ends.map(|end| (seed, end))) {
        let (mut world, anew) = comes_anew(seed, end);
        let shard = world.clients[anew].shard;
        if shard != 1 {
            run_without(&mut world, 1);
            assert!(
                !world.clients[anew].stream.is_open(),
                "seed {seed}: it has taken the place of the first"
            );
        }
        world.run();
        assert!(world.clients[anew].stream.is_open() && world.clients[1].closed, "seed {seed}");
        assert_eq!(world.clients[1].heard.contains("<conflict "), end.is_none());
        let more = messages(1, 6, 1_000..1_010);
        world.clients[anew].to_server.extend(more);
        world.run();
        assert_eq!(heard(&world.clients[6].heard, 1), (0..1_010).collect::<Vec<_>>(), "seed {seed}");
    }
}

/// What is due so much later is done.
fn pass(world: &mut World, time: Duration) {
    (0..usize::from(SHARDS)).for_each(|number| world.shards[number].tick(NOW + time));
}

// The same of what has come of it, and nobody had read when its resource was to be bound: it is read up to its end. That takes a moment in which
// nothing comes, unless the end is known.
#[test]
fn what_has_come_is_read_before_its_resource_is_bound_anew() {
    for (seed, closes) in (0..6).flat_map(|seed| [(seed, false), (seed, true)]) {
        let mut world = seven();
        world.had.times.set(seed % 5);
        world.piece = 500;
        let end = if closes { "</stream:stream>" } else { "" };
        world.clients[1].to_server = [messages(1, 6, 0..1_000), end.into()].concat();
        if seed.is_multiple_of(2) {
            world.connect("romeo@example.com", "elsewhere");
        }
        let anew = world.clients.len();
        world.connect("romeo@example.com", "1");
        world.run();
        if !closes {
            assert!(!world.clients[anew].stream.is_open() && !world.clients[1].closed, "seed {seed}");
            pass(&mut world, Duration::from_millis(20));
            world.run();
        }
        assert!(world.clients[anew].stream.is_open() && world.clients[1].closed, "seed {seed}");
        assert_eq!(world.clients[1].heard.contains("<conflict "), !closes);
        world.clients[anew].to_server.extend(messages(1, 6, 1_000..1_010));
        world.run();
        assert_eq!(heard(&world.clients[6].heard, 1), (0..1_010).collect::<Vec<_>>(), "seed {seed}");
    }
}

// Of whom nothing has come ends at once.
#[test]
fn who_has_sent_nothing_makes_way_at_once() {
    let mut world = seven();
    world.connect("romeo@example.com", "1");
    world.run();
    assert!(world.clients[7].stream.is_open() && world.clients[1].closed);
    assert!(world.clients[1].heard.contains("<conflict "));
}

// Who goes on sending keeps nobody from its resource for more than some seconds; the log says that not all of it was taken.
#[test]
fn who_goes_on_sending_makes_way_in_time() {
    let mut world = seven();
    world.piece = 500;
    world.clients[1].to_server = messages(1, 6, 0..100_000);
    world.connect("romeo@example.com", "1");
    run_without(&mut world, SHARDS.into());
    assert!(!world.clients[7].stream.is_open() && !world.clients[1].closed);
    let limits = ServerConfig::new(Vec::new(), Secret::new([7; 32])).limits;
    pass(&mut world, limits.closing - Duration::from_millis(1));
    run_without(&mut world, SHARDS.into());
    assert!(!world.clients[7].stream.is_open() && !world.log.contains("no time"));
    pass(&mut world, limits.closing);
    world.run();
    assert!(world.clients[7].stream.is_open() && world.clients[1].closed);
    assert!(world.log.contains("romeo@example.com/1: there was no time for all"), "{}", world.log);
    let heard = heard(&world.clients[6].heard, 1);
    assert!(!heard.is_empty() && heard.iter().copied().eq(0..heard.len()));
}

/// The numbers that are stored for an account.
fn stored(world: &World, account: &str, from: usize) -> Vec<usize> {
    let account: BareJid = account.parse().unwrap();
    let text = |entry: &balcony_router::Entry| String::from_utf8_lossy(&entry.content.bytes).into_owned();
    heard(&world.store.entries(&account, "offline").map(text).collect::<String>(), from)
}

/// The first client has sent messages that have to wait for the store, more than may wait at a time.
fn more_than_may_wait() -> World {
    let mut world = seven();
    world.hangs = true;
    // Nobody of the account is available.
    let to_own = |number: usize| {
        format!("<message to='juliet@example.com' type='chat'><body>0:{number}</body></message>").into_bytes()
    };
    let much: Vec<u8> = (0..200).flat_map(to_own).collect();
    let client = &mut world.clients[0];
    client.reads = false;
    world.shards[0].handle(NOW, Input::Received(client.id, &much));
    world.run();
    world
}

// A store that is slow keeps nobody from coming back for more than some seconds.
#[test]
fn a_slow_store_keeps_no_resource_from_being_bound_anew() {
    let mut world = more_than_may_wait();
    world.connect("juliet@example.com", "0");
    world.run();
    assert!(!world.clients[7].stream.is_open() && !world.clients[0].closed);
    let later = NOW + ServerConfig::new(Vec::new(), Secret::new([7; 32])).limits.closing;
    (0..usize::from(SHARDS)).for_each(|number| world.shards[number].tick(later));
    world.run();
    assert!(world.clients[7].stream.is_open() && world.clients[0].heard.contains("<conflict "));
    world.hangs = false;
    world.run();
    let stored = stored(&world, "juliet@example.com", 0);
    assert!(stored.len() >= 64 && stored.iter().copied().eq(0..stored.len()), "{stored:?}");
}

// docs/guarantees.md: what was read of a client is taken before its stream ends with the server, be it much.
#[test]
fn what_was_read_is_taken_before_the_end() {
    let mut world = seven();
    // Each request is said to the hub by itself.
    let ping = "<iq type='get' id='p' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>";
    let much: Vec<u8> =
        (0..200).flat_map(|number| [ping.into(), messages(0, 6, number..number + 1)].concat()).collect();
    world.clients[0].reads = false;
    world.shards[0].handle(NOW, Input::Received(world.clients[0].id, &much));
    world.shards[0].shutdown(NOW);
    world.run();
    assert!(world.shards.iter().all(Shard::is_closed));
    // The other one has gone by then, of which the first hears for each of those that come later.
    let heard = heard(&world.clients[6].heard, 0);
    let returned = world.clients[0].heard.matches("<service-unavailable ").count();
    assert!(heard.iter().copied().eq(0..heard.len()), "{heard:?}");
    // What comes of the last one comes too late for its stream.
    assert_eq!(heard.len() + returned, 199);
    assert!(returned > 0, "nothing is left when the streams end");
}

// The same where it has to wait for the store, as long as that is waited for at all.
#[test]
fn what_was_read_waits_for_the_store_at_the_end() {
    for hangs in [false, true] {
        let mut world = more_than_may_wait();
        world.shards[0].shutdown(NOW);
        world.run();
        let closed = |world: &World| world.clients.iter().filter(|client| client.closed).count();
        assert_eq!(closed(&world), CLIENTS - 1);
        if hangs {
            let later = NOW + core::time::Duration::from_secs(20);
            (0..usize::from(SHARDS)).for_each(|number| world.shards[number].tick(later));
            world.run();
            assert_eq!((closed(&world), world.stats().sessions), (CLIENTS, 0));
            // The log and the exit status say so.
            let later = later + core::time::Duration::from_secs(20);
            (0..usize::from(SHARDS)).for_each(|number| world.shards[number].tick(later));
            world.run();
            assert_eq!(world.shards[0].given_up().map(|given_up| given_up.clients), Some(1));
            continue;
        }
        world.hangs = false;
        world.run();
        assert!(world.clients[0].closed && world.clients[0].heard.contains("<system-shutdown"));
        assert!(world.shards.iter().all(Shard::is_closed));
        assert_eq!(stored(&world, "juliet@example.com", 0), (0..200).collect::<Vec<_>>());
    }
}
