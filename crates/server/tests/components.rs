//! Components attach to a whole server (XEP-0114), and what is for them and from them goes where it has to.
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Arc;

use balcony_connection::ComponentConnection;
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_server::federation::FederationEvent;
use balcony_server::{
    Action, Components, ComponentsConfig, ConnectionId, Level, Server, ServerConfig, Transport,
};
use balcony_stanza::{ErrorCondition, MessageType, Stanza, StanzaError, StreamCondition};
use balcony_stream::component::{ComponentEvent, ComponentInitiatingConfig};
use proptest::prelude::*;

const NOW: Instant = Instant::ZERO;

fn jid(text: &str) -> BareJid {
    text.parse().unwrap()
}

fn secret(text: &str) -> Secret<String> {
    Secret::new(text.into())
}

/// A component's end, with what it has got.
struct Component {
    connection: ComponentConnection,
    id: ConnectionId,
    got: Vec<Stanza>,
    ended: Option<Option<StreamCondition>>,
    /// It takes nothing more.
    is_deaf: bool,
    is_cut: bool,
}

struct World {
    server: Server,
    components: Vec<Component>,
    actions: VecDeque<Action>,
    log: Vec<(Level, String)>,
}

impl World {
    fn new() -> World {
        let mut config = ServerConfig::new(vec![jid("example.com")], Secret::new([7; 32]));
        let names =
            vec![(jid("chat.example.com"), secret("pencil")), (jid("news.example.com"), secret("paper"))];
        config.components = Some(ComponentsConfig::new(jid("example.com"), names));
        let server = Server::new(config, Seed::from_u64(1));
        World { server, components: Vec::new(), actions: VecDeque::new(), log: Vec::new() }
    }

    /// A component connects, and shakes hands with this secret. Its number.
    fn attach(&mut self, domain: &str, with: &str) -> usize {
        let mut actions = Vec::new();
        let id = self.server.accept_server(NOW, Transport::Component, "127.0.0.1:1".into(), &mut actions);
        self.actions.extend(actions);
        let config = Arc::new(ComponentInitiatingConfig::new(jid(domain), secret(with)));
        let seed = Seed::from_u64(self.components.len() as u64 + 2);
        let connection = ComponentConnection::initiating(config, seed, NOW);
        let (got, ended) = (Vec::new(), None);
        self.components.push(Component { connection, id, got, ended, is_deaf: false, is_cut: false });
        self.settle();
        self.components.len() - 1
    }

    fn send(&mut self, from: usize, stanza: &Stanza) {
        self.components[from].connection.send(stanza).unwrap();
        self.settle();
    }

    /// What no honest component would say.
    fn write(&mut self, from: usize, bytes: &str) {
        let id = self.components[from].id;
        self.tell(|server, actions| server.receive(NOW, id, bytes.as_bytes(), actions));
        self.settle();
    }

    /// The server sees the connection of a component break, with what is being written.
    fn cut(&mut self, component: usize) {
        self.components[component].is_cut = true;
        let mut actions = Vec::new();
        self.server.broken(NOW, self.components[component].id, &mut actions);
        self.actions.extend(actions);
        self.settle();
    }

    fn settle(&mut self) {
        loop {
            for index in 0..self.components.len() {
                self.hear(index, &[]);
            }
            if self.actions.is_empty() {
                self.tell(|server, actions| _ = server.take_in(NOW, actions));
            }
            let Some(action) = self.actions.pop_front() else { return };
            let find = |id| self.components.iter().position(|component| component.id == id);
            match action {
                Action::Write(id) => {
                    let mut bytes = Vec::new();
                    self.server.take_output(id, &mut bytes);
                    match find(id).filter(|index| !self.components[*index].is_cut) {
                        Some(index) if self.components[index].is_deaf => {}
                        Some(index) => {
                            self.hear(index, &bytes);
                            self.tell(|server, actions| server.written(NOW, id, actions));
                        }
                        None => self.tell(|server, actions| server.written(NOW, id, actions)),
                    }
                }
                Action::Log(level, line) => self.log.push((level, line)),
                Action::Read(_) | Action::Close(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    fn tell(&mut self, what: impl FnOnce(&mut Server, &mut Vec<Action>)) {
        let mut actions = Vec::new();
        what(&mut self.server, &mut actions);
        self.actions.extend(actions);
    }

    /// A component reads, and answers.
    fn hear(&mut self, index: usize, mut bytes: &[u8]) {
        let component = &mut self.components[index];
        let mut out = Vec::new();
        while component.ended.is_none() {
            match component.connection.advance(NOW, &mut bytes, &mut out) {
                Ok(Progress::Event(ComponentEvent::Stanza(stanza))) => component.got.push(*stanza),
                Ok(Progress::Event(_)) => {}
                Ok(Progress::Closed) => component.ended = Some(None),
                Ok(_) => break,
                Err(balcony_connection::Error::Stream(balcony_stream::Error::Remote(error))) => {
                    component.ended = Some(Some(error.condition));
                }
                Err(error) => panic!("{error}"),
            }
        }
        let _ = component.connection.flush(&mut out);
        let id = component.id;
        if !out.is_empty() && !component.is_cut {
            self.tell(|server, actions| server.receive(NOW, id, &out, actions));
        }
    }

    fn ids(&self, component: usize) -> Vec<&str> {
        self.components[component].got.iter().map(|stanza| stanza.head.id.as_deref().unwrap()).collect()
    }
}

fn message(from: &str, to: &str, id: &str) -> Stanza {
    Stanza::message(MessageType::Chat)
        .with_from(from.parse().unwrap())
        .with_to(to.parse().unwrap())
        .with_id(id)
}

fn condition(stanza: &Stanza) -> ErrorCondition {
    let payload = stanza.payload.parse().unwrap();
    StanzaError::from_payload(payload.root()).unwrap().condition
}

// XEP-0114 §3: both ways, and with an error for whom nobody stands in
#[test]
fn components_talk_to_each_other_and_to_accounts() {
    let mut world = World::new();
    let chat = world.attach("chat.example.com", "pencil");
    world.send(chat, &message("room@chat.example.com", "desk@news.example.com", "1"));
    assert_eq!(world.ids(chat), ["1"]);
    assert_eq!(condition(&world.components[chat].got[0]), ErrorCondition::RemoteServerTimeout);

    let news = world.attach("news.example.com", "paper");
    world.send(chat, &message("room@chat.example.com", "desk@news.example.com", "2"));
    world.send(news, &message("desk@news.example.com", "room@chat.example.com/nick", "3"));
    assert_eq!((world.ids(chat), world.ids(news)), (vec!["1", "3"], vec!["2"]));
    // Without federation there is nobody else.
    world.send(chat, &message("room@chat.example.com", "x@elsewhere.example", "4"));
    assert_eq!(condition(&world.components[chat].got[2]), ErrorCondition::RemoteServerNotFound);
    assert!(
        world.log.iter().any(|(_, line)| line == "component chat.example.com is attached from 127.0.0.1:1")
    );
}

// XEP-0114 §3: who does not know the secret, or is not known, does not attach; who attached before stays
#[test]
fn a_wrong_secret_attaches_nobody() {
    let mut world = World::new();
    let chat = world.attach("chat.example.com", "pencil");
    let thief = world.attach("chat.example.com", "guess");
    let unknown = world.attach("other.example.com", "pencil");
    assert_eq!(world.components[thief].ended, Some(Some(StreamCondition::NotAuthorized)));
    assert_eq!(world.components[unknown].ended, Some(Some(StreamCondition::HostUnknown)));
    assert_eq!(world.components[chat].ended, None);
    // As a client that fails to log in.
    let warnings: Vec<_> = world.log.iter().filter(|(level, _)| *level == Level::Warn).collect();
    assert!(warnings.len() == 1 && warnings[0].1.contains("not-authorized"), "{:?}", world.log);
}

// A component speaks for its own domain only.
#[test]
fn a_component_speaks_for_itself() {
    for from in ["romeo@example.com", "desk@news.example.com", "x@elsewhere.example"] {
        let mut world = World::new();
        let chat = world.attach("chat.example.com", "pencil");
        let news = world.attach("news.example.com", "paper");
        world.write(chat, &format!("<message from='{from}' to='desk@news.example.com' id='1'/>"));
        assert_eq!(world.components[chat].ended, Some(Some(StreamCondition::InvalidFrom)), "{from}");
        assert_eq!(world.ids(news), [""; 0]);
    }
}

// Who attaches again replaces the one before; what that was not wholly given comes to the new one, in order and once.
#[test]
fn attaching_again_replaces() {
    let mut world = World::new();
    let chat = world.attach("chat.example.com", "pencil");
    let first = world.attach("news.example.com", "paper");
    world.send(chat, &message("room@chat.example.com", "desk@news.example.com", "0"));
    world.components[first].is_deaf = true;
    for n in 1..5 {
        world.send(chat, &message("room@chat.example.com", "desk@news.example.com", &n.to_string()));
    }
    let second = world.attach("news.example.com", "paper");
    assert_eq!(world.ids(second), [""; 0], "it is not certain what the first has got");
    world.cut(first);
    assert_eq!((world.ids(first), world.ids(second)), (vec!["0"], vec!["1", "2", "3", "4"]));
    world.send(chat, &message("room@chat.example.com", "desk@news.example.com", "5"));
    assert_eq!(world.ids(second).len(), 5);
    assert_eq!(world.ids(chat), [""; 0]);

    // And when it is gone, what waited comes back.
    world.components[second].is_deaf = true;
    for n in 6..9 {
        world.send(chat, &message("room@chat.example.com", "desk@news.example.com", &n.to_string()));
    }
    world.cut(second);
    assert_eq!(world.ids(chat), ["6", "7", "8"]);
    assert!(
        world.components[chat]
            .got
            .iter()
            .all(|stanza| condition(stanza) == ErrorCondition::RemoteServerTimeout)
    );
}

// RFC 6120 §13.12: other servers take neither the room nor the turns of our own users, however many users they have; nor does one of ours take the room
// of the others.
#[test]
fn others_leave_room_for_our_users() {
    let mut config =
        ComponentsConfig::new(jid("example.com"), vec![(jid("chat.example.com"), secret("pencil"))]);
    config.waiting_bytes = 16_000;
    let mut components = Components::new(config, &Seed::from_u64(1));
    let id = components.accept(NOW, "127.0.0.1:1".into());
    let theirs = Arc::new(ComponentInitiatingConfig::new(jid("chat.example.com"), secret("pencil")));
    let mut theirs = ComponentConnection::initiating(theirs, Seed::from_u64(2), NOW);
    let (mut up, mut down, mut got) = (Vec::new(), Vec::new(), Vec::new());
    let mut exchange = |components: &mut Components, got: &mut Vec<String>| {
        for _ in 0..100 {
            let mut input = down.as_slice();
            while let Ok(Progress::Event(event)) = theirs.advance(NOW, &mut input, &mut up) {
                if let ComponentEvent::Stanza(stanza) = event {
                    got.push(stanza.head.from.as_ref().unwrap().domainpart().into());
                }
            }
            down.clear();
            let _ = theirs.flush(&mut up);
            if !up.is_empty() {
                components.receive(NOW, id, &core::mem::take(&mut up));
            }
            while components.next().is_some() {}
            components.take_output(id, &mut down);
            components.written(NOW, id);
        }
    };
    exchange(&mut components, &mut got);
    let mut send = |from: &str, is_local| {
        components.send(NOW, message(from, "room@chat.example.com", "1"), true, is_local);
        core::iter::from_fn(|| components.next()).any(|event| match event {
            FederationEvent::Return { condition, .. } => {
                assert_eq!(condition, ErrorCondition::ResourceConstraint);
                true
            }
            _ => false,
        })
    };
    let refused = |domain: &str, send: &mut dyn FnMut(&str, bool) -> bool| {
        (0..200).filter(|n| send(&format!("u{n}@{domain}"), domain == "example.com")).count()
    };
    let of_one = 200 - refused("evil.example", &mut send);
    let of_others: usize = (0..8).map(|n| 200 - refused(&format!("n{n}.evil.example"), &mut send)).sum();
    assert!(of_one > 2 && (3 * of_one - 3..=3 * of_one + 3).contains(&of_others), "{of_one} {of_others}");
    let of_one_of_ours = (0..200).filter(|_| !send("tybalt@example.com", true)).count();
    let of_ours = 200 - refused("example.com", &mut send);
    assert!(of_one_of_ours > of_one && of_ours >= 3 * of_one_of_ours - 3, "{of_one_of_ours} {of_ours}");
    assert!(of_one_of_ours + of_ours >= 2 * (of_one + of_others) - 8, "{of_one_of_ours} {of_ours}");
    exchange(&mut components, &mut got);
    // Each of ours has a turn for one of a whole domain's.
    let first_evil = got.iter().take(20).filter(|domain| *domain == "evil.example").count();
    assert!(first_evil <= 2, "{got:?}");
}

// A component that is not read from, since what it has sent has no room, is not silent, and is read from again when there is.
#[test]
fn who_is_not_read_from_stays() {
    let config = ComponentsConfig::new(jid("example.com"), vec![(jid("chat.example.com"), secret("pencil"))]);
    let (mut components, mut now) = (Components::new(config, &Seed::from_u64(1)), NOW);
    let id = components.accept(now, "127.0.0.1:1".into());
    let theirs = Arc::new(ComponentInitiatingConfig::new(jid("chat.example.com"), secret("pencil")));
    let mut theirs = ComponentConnection::initiating(theirs, Seed::from_u64(2), now);
    let (mut up, mut down, mut attached) = (Vec::new(), Vec::new(), false);
    while !attached {
        let mut input = down.as_slice();
        while let Ok(Progress::Event(event)) = theirs.advance(now, &mut input, &mut up) {
            attached |= matches!(event, ComponentEvent::Attached(_));
        }
        down.clear();
        let _ = theirs.flush(&mut up);
        components.receive(now, id, &core::mem::take(&mut up));
        while components.next().is_some() {}
        components.take_output(id, &mut down);
        components.written(now, id);
    }
    let delivered = |components: &mut Components| {
        core::iter::from_fn(|| components.next()).fold((0, false), |(count, reads), event| match event {
            FederationEvent::Deliver(_) => (count + 1, reads),
            FederationEvent::Read(_) => (count, true),
            FederationEvent::Close(_) => panic!("the stream was given up"),
            _ => (count, reads),
        })
    };
    components.hold(now, &jid("chat.example.com"), true);
    let bytes = "<message from='room@chat.example.com' to='romeo@example.com'/>";
    components.receive(now, id, bytes.as_bytes());
    assert_eq!(delivered(&mut components), (1, false));
    let end = now + Duration::from_secs(7_200);
    while let Some(at) = components.deadline().filter(|at| *at <= end) {
        now = at;
        components.tick(now);
        assert_eq!(delivered(&mut components), (0, false));
    }
    components.hold(now, &jid("chat.example.com"), false);
    assert_eq!(delivered(&mut components), (0, true));
}

/// What may happen to the streams of components.
#[derive(Clone, Debug)]
enum Step {
    Accept,
    /// One of them sends this.
    Receive(usize, &'static str),
    Eof(usize),
    Broken(usize),
    /// What is written to one of them, and whether all of it is.
    Write(usize, bool),
    Pass(u64),
    Shutdown,
}

fn step() -> impl Strategy<Value = Step> {
    const SAID: &[&str] = &[
        "<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='chat.example.com'>",
        "<handshake>0000000000000000000000000000000000000000</handshake>",
        "</stream:stream>",
        "no XML <",
        " ",
    ];
    prop_oneof![
        3 => Just(Step::Accept),
        6 => (any::<usize>(), prop::sample::select(SAID)).prop_map(|(stream, said)| Step::Receive(stream, said)),
        1 => any::<usize>().prop_map(Step::Eof),
        1 => any::<usize>().prop_map(Step::Broken),
        4 => (any::<usize>(), any::<bool>()).prop_map(|(stream, is_written)| Step::Write(stream, is_written)),
        6 => (0..40_000_u64).prop_map(Step::Pass),
        1 => Just(Step::Shutdown),
    ]
}

proptest! {
    // The architecture's rule 8: after each `tick` nothing is due any more, and everything ends by itself.
    #[test]
    fn nothing_stays_due(steps in prop::collection::vec(step(), 1..60)) {
        let config = ComponentsConfig::new(jid("example.com"), vec![(jid("chat.example.com"), secret("pencil"))]);
        let (mut components, mut now) = (Components::new(config, &Seed::from_u64(1)), NOW);
        let mut streams = Vec::new();
        for step in steps.into_iter().chain([Step::Pass(100_000), Step::Pass(100_000)]) {
            let named = |place: usize| streams.get(place % streams.len().max(1)).copied();
            match step {
                Step::Accept => streams.push(components.accept(now, "127.0.0.1:1".into())),
                Step::Receive(place, said) => {
                    named(place).into_iter().for_each(|id| components.receive(now, id, said.as_bytes()));
                }
                Step::Eof(place) => named(place).into_iter().for_each(|id| components.eof(now, id)),
                Step::Broken(place) => named(place).into_iter().for_each(|id| components.broken(now, id)),
                Step::Write(place, is_written) => {
                    if let Some(id) = named(place) {
                        components.take_output(id, &mut Vec::new());
                        if is_written {
                            components.written(now, id);
                        }
                    }
                }
                Step::Pass(millis) => {
                    let end = now + Duration::from_millis(millis);
                    while let Some(at) = components.deadline().filter(|at| *at <= end) {
                        now = now.max(at);
                        components.tick(now);
                        prop_assert!(components.deadline().is_none_or(|left| left > now));
                    }
                    now = end;
                }
                Step::Shutdown => components.shutdown(now),
            }
            while components.next().is_some() {}
        }
        prop_assert_eq!(components.streams(), 0, "nobody has the right secret");
    }
}
