//! A server in several shards with all its clients in memory, until they are online; then who writes to whom.

use core::mem;
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed, Ticket};
use balcony_roster::{Item, Parts as Roster, Subscription, Version};
use balcony_router::{Kept, Memory};
use balcony_sasl::{Credentials, Hash, MIN_ITERATIONS, Mechanism, SALT_LENGTH, SaltedPassword};
use balcony_server::{Answer, Ask, ConnectionId, Hub, Input, ServerConfig, Shard, Todo, Transport};
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_stream::{ClientStream, TlsPolicy};

use crate::common::{Common, Parts};
use crate::{CHUNK, SIZE};

pub(crate) const NOW: Instant = Instant::ZERO;
const PASSWORD: &str = "r0m30myr0m30";

/// What a shard knows a socket as: its place in the list of all.
pub(crate) type Machine = Shard<usize, Common>;

/// Everybody online: who is at an even place writes to whoever is at the next one.
pub(crate) struct World {
    pub(crate) parts: Arc<Parts>,
    pub(crate) shards: Vec<Machine>,
    pub(crate) clients: Vec<Client>,
    store: Memory,
    credentials: Credentials,
    /// What all clients make of their password, which takes long.
    salted: SaltedPassword,
    asks: Vec<(Ticket, Ask)>,
}

pub(crate) struct Client {
    pub(crate) shard: usize,
    pub(crate) id: ConnectionId,
    stream: Option<ClientStream>,
    /// What the server has said, and the client has not heard.
    heard: Vec<u8>,
}

/// One who writes, and what: these bytes again and again.
pub(crate) struct Said {
    pub(crate) bytes: Vec<u8>,
    /// What comes of it at whom it is for.
    pub(crate) heard: Vec<u8>,
}

fn account(place: usize) -> BareJid {
    format!("user{place}@example.com").parse().expect("an address")
}

impl World {
    /// So many pairs, whose connections are spread over the shards: of each other pair both are on the same one.
    pub(crate) fn new(shards: usize, pairs: usize) -> World {
        let mut config =
            ServerConfig::new(vec!["example.com".parse().expect("a domain")], Secret::new([7; 32]));
        (config.tls, config.bytes_per_second) = (TlsPolicy::None, None);
        config.stream_management = false;
        let mut random = Seed::from_u64(1).random();
        let count = u8::try_from(shards).expect("few shards");
        let parts = Parts::new(Hub::new(&config, &random.seed(), count.into()), shards);
        let shard =
            |number| Shard::of_part(config.clone(), random.seed(), number, Common(Arc::clone(&parts)));
        let shards = (0..count).map(shard).collect();
        let credentials =
            Credentials::derive(PASSWORD, &[7; SALT_LENGTH], MIN_ITERATIONS).expect("a password");
        let salted = balcony_sasl::salt_password(Hash::Sha256, PASSWORD, &[7; SALT_LENGTH], MIN_ITERATIONS);
        let salted = salted.expect("a password");
        let (clients, store, asks) = (Vec::new(), Memory::default(), Vec::new());
        let mut world = World { parts, shards, clients, store, credentials, salted, asks };
        for pair in 0..pairs {
            world.befriend(2 * pair, 2 * pair + 1);
            let shards = world.shards.len();
            let (one, other) = (pair % shards, (pair + pair / shards) % shards);
            world.online(one);
            world.online(other);
        }
        world
    }

    /// They see each other's presence.
    fn befriend(&mut self, one: usize, other: usize) {
        for (own, contact) in [(one, other), (other, one)] {
            let mut item = Item::new(account(contact));
            item.subscription = Subscription::Both;
            let roster = Roster { version: Version(1), items: vec![item], requests: vec![], changes: vec![] };
            self.store.keep(account(own), Kept { roster: Some(roster), ..Kept::default() });
        }
    }

    /// One more client comes online on this shard.
    fn online(&mut self, shard: usize) {
        let place = self.clients.len();
        let mut config = ClientStreamConfig::new(account(place), Secret::new(PASSWORD.into()));
        (config.tls, config.resource) = (TlsPolicy::None, Some("desk".into()));
        config.mechanisms = vec![Mechanism::ScramSha256];
        let id = self.shards[shard].accept(NOW, Transport::Stream, String::new(), None, place);
        let stream = Some(ClientStream::new(config.into(), Seed::from_u64(place as u64), NOW));
        self.clients.push(Client { shard, id, stream, heard: Vec::new() });
        self.hear(place);
        self.run();
        assert!(self.clients[place].stream.as_ref().is_some_and(ClientStream::is_open), "it is not online");
        self.clients[place].stream = None;
        self.send(place, b"<presence/>");
        self.run();
    }

    fn send(&mut self, place: usize, bytes: &[u8]) {
        let Client { shard, id, .. } = self.clients[place];
        self.shards[shard].handle(NOW, Input::Received(id, bytes));
    }

    /// A client that logs in hears what has come, and answers.
    fn hear(&mut self, place: usize) {
        let client = &mut self.clients[place];
        let Some(stream) = &mut client.stream else { return };
        let (heard, mut said) = (mem::take(&mut client.heard), Vec::new());
        let mut bytes = heard.as_slice();
        while let Progress::Event(event) = stream.advance(NOW, &mut bytes, &mut said).expect("a good server")
        {
            if let ClientEvent::Ask(ticket, ClientAsk::SaltPassword { .. }) = event {
                let salted = ClientAnswer::Salted(self.salted.clone());
                stream.answer(ticket, salted).expect("an open ask");
            }
        }
        if !said.is_empty() {
            self.send(place, &said);
        }
    }

    /// All shards do all that there is to do.
    fn run(&mut self) {
        let mut quiet = 0;
        while quiet <= self.shards.len() {
            quiet += 1;
            for number in 0..self.shards.len() {
                if self.parts.take_call(number) {
                    self.shards[number].called();
                }
                while self.carry_out(number) {
                    quiet = 0;
                }
            }
        }
    }

    /// A shard does the next thing. Whether there was any.
    fn carry_out(&mut self, number: usize) -> bool {
        let shard = &mut self.shards[number];
        match shard.next() {
            Some(Todo::Write(place, bytes)) => {
                let place = *place;
                self.clients[place].heard.extend(bytes);
                shard.handle(NOW, Input::Written(self.clients[place].id));
                self.hear(place);
            }
            Some(Todo::Ask(ticket, ask)) => self.asks.push((ticket, ask)),
            Some(_) => {}
            None => {
                let answered = !self.asks.is_empty();
                for (ticket, ask) in mem::take(&mut self.asks) {
                    let answer = self.answer(ask);
                    self.shards[0].handle(NOW, Input::Answer(ticket, answer));
                }
                return answered || self.shards[number].has_more();
            }
        }
        true
    }

    fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Stream(ServerAsk::Credentials { hash, .. }) => {
                Answer::Stream(ServerAnswer::Credentials(self.credentials.get(hash).cloned()))
            }
            Ask::Router(ask) => Answer::Router(self.store.answer(0, ask)),
            Ask::Holders { .. } => Answer::Holders(Some(Vec::new())),
            ask => panic!("nobody asks {ask:?} here"),
        }
    }

    /// What each pair's first says, and what its second hears of that, which is found out by saying it.
    pub(crate) fn chat(&mut self) -> Vec<Said> {
        (0..self.clients.len() / 2)
            .map(|pair| {
                let (from, to) = (2 * pair, 2 * pair + 1);
                let message = |number| {
                    let (to, text) = (account(to), "x".repeat(SIZE));
                    format!(
                        "<message to='{to}/desk' type='chat' id='m{number:02}'><body>{text}</body></message>"
                    )
                };
                let bytes = (0..CHUNK).map(message).collect::<String>().into_bytes();
                self.clients[to].heard.clear();
                self.send(from, &bytes);
                self.run();
                let heard = mem::take(&mut self.clients[to].heard);
                let text = String::from_utf8(heard.clone()).expect("text");
                let ids: Vec<&str> = text.split("id='m").skip(1).map(|rest| &rest[..2]).collect();
                let sent: Vec<String> = (0..CHUNK).map(|number| format!("{number:02}")).collect();
                assert_eq!(ids, sent, "each arrives once, in order: {text}");
                assert_eq!(heard.len() % CHUNK, 0, "all are as long");
                Said { bytes, heard }
            })
            .collect()
    }
}
