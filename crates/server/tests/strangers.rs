//! What strangers can see of others by time: until the answer to what came with it is written, nothing is done for whomever a stanza is for.
#![allow(clippy::unwrap_used)]

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_router::extension::blocking::BLOCKED;
use balcony_router::extension::offline::OFFLINE;
use balcony_router::{Ask as Lookup, Content, DocumentEdit, Memory};
use balcony_sasl::ScramKeys;
use balcony_server::{Answer, Ask, ConnectionId, Input, ServerConfig, Shard, Todo, Transport};
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk};
use balcony_stream::{ClientStream, TlsPolicy};

const NOW: Instant = Instant::ZERO;
const ROMEO: &str = "romeo@example.com";
const JULIET: &str = "juliet@example.com";
const PING: &str = "<iq type='get' id='ping'><ping xmlns='urn:xmpp:ping'/></iq>";
const MOST: usize = 60;

/// A server with its sockets, and a store that answers at once.
struct World {
    shard: Shard<usize>,
    store: Memory,
    clients: Vec<(ConnectionId, ClientStream)>,
    /// What was written to each.
    written: Vec<String>,
}

/// How it is with Juliet.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Juliet {
    Missing,
    Away,
    Connected,
    Negative,
    Online,
    Blocking,
}

const ALL: [Juliet; 6] =
    [Juliet::Missing, Juliet::Away, Juliet::Connected, Juliet::Negative, Juliet::Online, Juliet::Blocking];

impl World {
    /// Romeo, who is the first, is online; and Juliet, if she is.
    fn new(juliet: Juliet) -> World {
        let mut config = ServerConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        (config.tls, config.stream_management) = (TlsPolicy::None, false);
        let shard = Shard::new(config, Seed::from_u64(1));
        let mut world = World { shard, store: Memory::default(), clients: Vec::new(), written: Vec::new() };
        world.login(ROMEO, "street");
        if juliet == Juliet::Missing {
            return world;
        }
        world.store.create(JULIET.parse().unwrap());
        if juliet == Juliet::Blocking {
            world.block();
        }
        if juliet != Juliet::Away {
            world.login(JULIET, "balcony");
        }
        match juliet {
            Juliet::Online | Juliet::Blocking => world.says(1, "<presence/>"),
            Juliet::Negative => world.says(1, "<presence><priority>-1</priority></presence>"),
            _ => {}
        }
        world
    }

    /// Juliet has blocked Romeo.
    fn block(&mut self) {
        let account: BareJid = JULIET.parse().unwrap();
        let creation = self.store.kept(&account).unwrap().creation;
        let content = Some(Content { version: 1, bytes: b"".as_slice().into() });
        let edit = DocumentEdit { collection: BLOCKED.into(), key: ROMEO.into(), content };
        let changes = vec![balcony_router::Change::Document { creation, edit }];
        self.store.answer(0, Lookup::Save { account, changes, by_others: false });
    }

    fn login(&mut self, account: &str, resource: &str) {
        let account: BareJid = account.parse().unwrap();
        self.store.create(account.clone());
        let mut config = ClientStreamConfig::new(account, Secret::new(String::from("pencil")));
        config.tls = TlsPolicy::None;
        config.resource = Some(resource.into());
        let place = self.clients.len();
        let id = self.shard.accept(NOW, Transport::Stream, String::new(), None, place);
        let client = ClientStream::new(config.into(), Seed::from_u64(place as u64), NOW);
        self.clients.push((id, client));
        self.written.push(String::new());
        self.hear(place, b"");
        self.settle();
        assert!(self.clients[place].1.is_open());
    }

    /// A client hears this, and answers.
    fn hear(&mut self, place: usize, mut bytes: &[u8]) {
        let (id, client) = &mut self.clients[place];
        let mut said = Vec::new();
        loop {
            let Ok(progress) = client.advance(NOW, &mut bytes, &mut said) else { break };
            match progress {
                Progress::Event(ClientEvent::Ask(
                    ticket,
                    ClientAsk::SaltPassword { hash, password, salt, iterations },
                )) => {
                    let salted =
                        balcony_sasl::salt_password(hash, password.expose(), &salt, iterations).unwrap();
                    client.answer(ticket, ClientAnswer::Salted(salted)).unwrap();
                }
                Progress::Event(_) => {}
                _ => break,
            }
        }
        if !said.is_empty() {
            self.shard.handle(NOW, Input::Received(*id, &said));
        }
    }

    fn brings(&mut self, place: usize, text: &str) {
        self.shard.handle(NOW, Input::Received(self.clients[place].0, text.as_bytes()));
    }

    fn says(&mut self, place: usize, text: &str) {
        self.brings(place, text);
        self.settle();
    }

    /// Does the next thing that is to be done, and says what it was.
    fn step(&mut self) -> Option<String> {
        Some(match self.shard.next()? {
            Todo::Write(place, bytes) => {
                let place = *place;
                self.written[place].push_str(&String::from_utf8_lossy(&bytes));
                self.hear(place, &bytes);
                self.shard.handle(NOW, Input::Written(self.clients[place].0));
                format!("{place} hears {}", String::from_utf8_lossy(&bytes))
            }
            Todo::Ask(ticket, Ask::Stream(ServerAsk::Credentials { hash, .. })) => {
                let keys = ScramKeys::derive(hash, "pencil", b"salt", 4096).unwrap();
                let answer = Answer::Stream(ServerAnswer::Credentials(Some(keys)));
                self.shard.handle(NOW, Input::Answer(ticket, answer));
                "credentials".to_owned()
            }
            Todo::Ask(ticket, Ask::Router(ask)) => {
                let asked = format!("{ask:?}");
                let answer = Answer::Router(self.store.answer(0, ask));
                self.shard.handle(NOW, Input::Answer(ticket, answer));
                asked
            }
            Todo::Ask(ticket, Ask::Holders { .. }) => {
                self.shard.handle(NOW, Input::Answer(ticket, Answer::Holders(Some(Vec::new()))));
                "holders".to_owned()
            }
            other => format!("{other:?}"),
        })
    }

    /// Until there is nothing to do.
    fn settle(&mut self) {
        loop {
            while self.step().is_some() {}
            if !self.shard.has_more() {
                return;
            }
        }
    }

    /// What is done until the ping is answered.
    fn until_answered(&mut self) -> Vec<String> {
        let mut done = Vec::new();
        while !done.last().is_some_and(|last: &String| last.contains("id='ping'")) {
            done.push(self.step().expect("an answer"));
        }
        done
    }

    fn stored(&self) -> usize {
        self.store.entries(&JULIET.parse().unwrap(), OFFLINE).count()
    }
}

fn burst(stanza: &str) -> String {
    format!("{}{PING}", stanza.repeat(MOST))
}

// RFC 6120 §13.10.2 [Q12], RFC 6121 §8.1: whatever a stranger sends, the answer to a ping behind it leaves before anything is done for whomever it
// is for, and that comes after it.
#[test]
fn the_answer_leaves_first() {
    for stanza in [
        format!("<message to='{JULIET}' id='i'><body>a</body></message>"),
        format!("<message to='{JULIET}/balcony' type='chat' id='i'><body>a</body></message>"),
        format!("<message to='{JULIET}' type='headline' id='i'><body>a</body></message>"),
        format!("<presence to='{JULIET}'/><presence to='{JULIET}' type='unavailable'/>"),
        format!("<presence to='{JULIET}' type='subscribed'/>"),
        format!("<presence to='{JULIET}' type='unsubscribe'/>"),
        format!("<iq to='{JULIET}/balcony' type='result' id='i'/>"),
        format!(
            "<message to='{JULIET}' id='i'><body>a</body></message><presence/><presence type='unavailable'/>"
        ),
    ] {
        let mut dones = Vec::new();
        for juliet in ALL {
            let mut world = World::new(juliet);
            world.brings(0, &burst(&stanza));
            let done = world.until_answered();
            let is_hers =
                |done: &String| done.contains("account: BareJid(\"juliet") || done.starts_with("1 hears");
            assert!(!done.iter().any(is_hers), "{juliet:?}: {done:?}");
            dones.push(done);
            world.settle();
            let is_kept = stanza.contains("<body>") && !stanza.contains("headline");
            let is_away = matches!(juliet, Juliet::Away | Juliet::Connected | Juliet::Negative);
            let is_reached = stanza.contains("/balcony") && juliet != Juliet::Away;
            assert_eq!(
                world.stored(),
                if is_kept && is_away && !is_reached { MOST } else { 0 },
                "{juliet:?}"
            );
            if juliet == Juliet::Online && is_kept {
                assert_eq!(world.written[1].matches("<body>").count(), MOST);
            }
        }
        assert!(dones.iter().all(|done| *done == dones[0]), "{stanza}: {dones:?}");
    }
}

// RFC 6120 §10.1: what was accepted is not lost when the server ends before it is taken in.
#[test]
fn nothing_is_lost_at_the_end() {
    for juliet in [Juliet::Away, Juliet::Online] {
        let mut world = World::new(juliet);
        world.brings(0, &burst(&format!("<message to='{JULIET}' id='i'><body>a</body></message>")));
        world.until_answered();
        assert!(world.shard.has_more());
        world.shard.shutdown(NOW);
        while world.step().is_some() {}
        assert!(!world.shard.has_more());
        let heard = world.written.get(1).map_or(0, |heard| heard.matches("<body>").count());
        assert_eq!(world.stored() + heard, MOST, "{juliet:?}");
    }
}

// RFC 6120 §10.1: nor when the session ends that has sent it, and an owner who does not ask for it gets it by the clock.
#[test]
fn nothing_is_lost_with_its_sender() {
    let mut world = World::new(Juliet::Away);
    // What it does when it begins.
    world.shard.tick(NOW);
    world.settle();
    world.brings(0, &burst(&format!("<message to='{JULIET}' id='i'><body>a</body></message>")));
    world.shard.handle(NOW, Input::Broken(world.clients[0].0));
    let mut now = NOW;
    while let Some(deadline) = world.shard.deadline().filter(|_| world.shard.has_more()) {
        assert!(deadline > now);
        now = deadline;
        world.shard.tick(now);
    }
    world.settle();
    assert_eq!(world.stored(), MOST);
}
