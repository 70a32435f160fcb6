//! Several servers with their people, while links break at any byte, the DNS does not answer, servers are away, one lies about who it
//! is, and now and then one begins anew.
//!
//! What must be true whatever happens: nobody sees a message twice or out of order, nor one of somebody who is not who they say;
//! nobody sees the presence of somebody who has not let them; each message arrives or comes back, whatever a link has lost
//! (XEP-0198), and both only if a link has broken that may have taken it and nobody could be asked. And when the network rests, both
//! sides of a subscription agree on it.
//!
//! A history follows from its seed. `BALCONY_NETWORKS=0..10000` goes through many more of them, `BALCONY_LINKS=0..10000` through more of
//! those in which links break and nothing else does.

#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use balcony_machine::{Random, Seed};
use balcony_roster::{Roster, State};
use balcony_server::federation::FederationConfig;
use balcony_sim::{Network, for_each_seed};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza};

/// The servers and their domains. The last one has the domain of another as well.
const SERVERS: [&[&str]; 4] = [
    &["one.example"],
    &["two.example"],
    &["three.example", "four.example"],
    &["evil.example", "two.example"],
];
const PEOPLE: [(usize, &str); 6] = [
    (0, "romeo@one.example/phone"),
    (0, "mercutio@one.example/phone"),
    (1, "juliet@two.example/phone"),
    (2, "friar@three.example/phone"),
    (2, "prince@four.example/phone"),
    (3, "tybalt@evil.example/phone"),
];
/// Who says that they are somebody at the second server, and are at the last.
const IMPOSTOR: (usize, &str) = (3, "juliet@two.example/phone");
const STEPS: usize = 60;

/// A message that somebody has sent.
struct Sent {
    from: usize,
    to: usize,
    /// Whether its sender has been online since.
    is_followed: bool,
    /// The server of its recipient was killed, and may have had it stored.
    may_repeat: bool,
    /// A link has broken since, which may have taken it or what says that it has arrived.
    is_in_doubt: bool,
    has_arrived: bool,
    has_come_back: bool,
}

struct History {
    network: Network,
    random: Random,
    sent: Vec<Sent>,
    /// The last message that has arrived from one to the other.
    last: BTreeMap<(usize, usize), usize>,
    /// Who may see whom.
    shown: BTreeSet<(usize, usize)>,
    /// Who has refused whom, and who has let them see oneself after that.
    refused: BTreeSet<(usize, usize)>,
    relented: BTreeSet<(usize, usize)>,
    impostor: usize,
    cuts: usize,
}

fn bare(person: usize) -> &'static str {
    PEOPLE[person].1.split('/').next().unwrap()
}

fn person(bare_jid: &str) -> Option<usize> {
    (0..PEOPLE.len()).find(|person| bare(*person) == bare_jid)
}

impl History {
    fn new(seed: u64) -> History {
        History::with(seed, |_| {})
    }

    /// With servers that are changed so.
    fn with(seed: u64, change: impl Fn(&mut FederationConfig)) -> History {
        let mut network = Network::new(&SERVERS, seed, |config| {
            // Streams that go both ways (XEP-0288), or only some of them.
            let federation = config.federation.as_mut().unwrap();
            federation.bidi =
                !(seed % 3 == 1 && federation.domains[0].as_str() == "one.example") && seed % 5 != 4;
            change(federation);
        });
        for (server, jid) in PEOPLE {
            network.person(server, jid);
        }
        let impostor = network.person(IMPOSTOR.0, IMPOSTOR.1);
        let mut history = History {
            network,
            random: Seed::from_u64(seed ^ 0x5eed).random(),
            sent: Vec::new(),
            last: BTreeMap::new(),
            shown: BTreeSet::new(),
            refused: BTreeSet::new(),
            relented: BTreeSet::new(),
            impostor,
            cuts: 0,
        };
        for person in 0..PEOPLE.len() {
            history.network.come(person);
        }
        history.network.come(impostor);
        history.network.run();
        history
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.next_u64() % end as u64).unwrap()
    }

    /// Somebody who is online.
    fn somebody(&mut self) -> usize {
        let person = self.below(PEOPLE.len());
        if !self.network.is_online(person) {
            self.network.come(person);
        }
        person
    }

    fn other(&mut self, person: usize) -> usize {
        (person + 1 + self.below(PEOPLE.len() - 1)) % PEOPLE.len()
    }

    /// Somebody who is online writes to somebody.
    fn write(&mut self, from: usize, to: usize) {
        let number = self.sent.len();
        let message = Stanza::message(MessageType::Chat).with_to(bare(to).parse().unwrap());
        self.network.send(from, &message.with_id(number.to_string()).with_payload(body(number)));
        let (is_followed, may_repeat, is_in_doubt) = (true, false, false);
        let (has_arrived, has_come_back) = (false, false);
        self.sent.push(Sent { from, to, is_followed, may_repeat, is_in_doubt, has_arrived, has_come_back });
    }

    fn subscription(&mut self, from: usize, kind: PresenceType, to: usize) {
        match kind {
            PresenceType::Subscribed => {
                self.shown.insert((from, to));
                if self.refused.contains(&(from, to)) {
                    self.relented.insert((from, to));
                }
            }
            PresenceType::Unsubscribed => drop(self.refused.insert((from, to))),
            _ => {}
        }
        self.network.send(from, &Stanza::presence(kind).with_to(bare(to).parse().unwrap()));
    }

    fn happen(&mut self) {
        match self.below(20) {
            0..6 => {
                let from = self.somebody();
                let to = self.other(from);
                self.write(from, to);
            }
            6 | 7 => {
                let from = self.somebody();
                let to = self.other(from);
                self.subscription(from, PresenceType::Subscribe, to);
            }
            8 | 9 => {
                let from = self.somebody();
                let to = self.other(from);
                self.subscription(from, PresenceType::Subscribed, to);
            }
            10 => {
                let from = self.somebody();
                let to = self.other(from);
                self.subscription(from, PresenceType::Unsubscribed, to);
            }
            11 => {
                let from = self.somebody();
                let to = self.other(from);
                self.subscription(from, PresenceType::Unsubscribe, to);
            }
            12 => {
                let person = self.somebody();
                self.leave(person);
            }
            13 => {
                let person = self.somebody();
                self.network
                    .send(person, &Stanza::presence(PresenceType::Available).with_payload(priority()));
            }
            14 => {
                let bytes = self.below(2_000) + 1;
                self.network.cut_after = Some(bytes);
            }
            15 => {
                let server = self.below(SERVERS.len());
                match self.below(3) {
                    0 => drop(self.network.silent.insert(SERVERS[server][0].into())),
                    1 => drop(self.network.unreachable.insert(server)),
                    _ => self.heal(),
                }
            }
            16 => self.lie(),
            17 => {
                let seconds = [1, 7, 70, 700][self.below(4)];
                self.network.wait(Duration::from_secs(seconds));
            }
            18 if self.below(4) == 0 => {
                let server = self.below(SERVERS.len());
                self.kill(server);
            }
            _ => self.network.run(),
        }
        let steps = self.below(60);
        self.network.run_some(steps);
        self.look();
    }

    /// Two people at two servers write to each other much at once, and a link breaks at some byte of that, or what comes of it.
    fn write_and_break(&mut self) {
        let people = [self.below(2), 2];
        let bytes = self.below(8_000) + 1;
        self.network.cut_after = Some(bytes);
        for _ in 0..self.below(30) + 1 {
            let from = self.below(2);
            self.write(people[from], people[1 - from]);
            let steps = self.below(20);
            self.network.run_some(steps);
        }
        let steps = self.below(2_000);
        self.network.run_some(steps);
        if self.below(4) == 0 {
            self.network.cut_all();
        }
        let seconds = [0, 0, 1, 7][self.below(4)];
        self.network.wait(Duration::from_secs(seconds));
        self.look();
    }

    /// A server dies, whatever is under way, and begins anew with what is on its disk. What it had in memory is gone, and what it was about
    /// to delete comes again.
    fn kill(&mut self, server: usize) {
        self.network.restart(server);
        for sent in &mut self.sent {
            if PEOPLE[sent.from].0 == server || PEOPLE[sent.to].0 == server {
                sent.is_followed = false;
                sent.may_repeat |= PEOPLE[sent.to].0 == server;
            }
        }
    }

    /// Who is not who they say tries to talk to everybody.
    fn lie(&mut self) {
        let impostor = self.impostor;
        if !self.network.is_online(impostor) {
            self.network.come(impostor);
        }
        for to in 0..PEOPLE.len() {
            let to = bare(to).parse().unwrap();
            let message = Stanza::message(MessageType::Chat)
                .with_to(to)
                .with_id("forged")
                .with_payload(body(usize::MAX));
            self.network.send(impostor, &message);
        }
    }

    fn leave(&mut self, person: usize) {
        self.network.go(person);
        for sent in self.sent.iter_mut().filter(|sent| sent.from == person) {
            // An error would not find them.
            sent.is_followed = false;
        }
    }

    fn heal(&mut self) {
        self.network.silent.clear();
        self.network.unreachable.clear();
        self.network.cut_after = None;
    }

    /// Nothing breaks any more, everybody comes, and there is time enough for all that was to happen. Then all agree.
    fn rest(&mut self) {
        self.heal();
        // Those who wait for a domain that could not be reached have had their error by then, and it is tried again.
        self.network.wait(Duration::from_secs(1_300));
        self.look();
        self.check_messages();
        for round in 0..2 {
            for person in 0..PEOPLE.len() {
                if self.network.is_online(person) {
                    self.leave(person);
                }
                self.network.run();
                self.network.come(person);
                self.network.run();
            }
            self.network.wait(Duration::from_secs(60 + round));
            self.look();
        }
        self.check_rosters();
    }

    /// What everybody has got.
    fn look(&mut self) {
        if self.cuts != self.network.cuts {
            self.cuts = self.network.cuts;
            self.sent.iter_mut().for_each(|sent| sent.is_in_doubt = true);
        }
        for to in 0..PEOPLE.len() {
            for stanza in self.network.take(to) {
                self.see(to, &stanza);
            }
        }
        // The impostor hears nothing but that it does not get through; whoever answers juliet answers the real one.
        for stanza in self.network.take(self.impostor) {
            let is_own =
                |from: &balcony_jid::Jid| matches!(from.domainpart(), "evil.example" | "two.example");
            let is_error = matches!(
                stanza.head.kind,
                Kind::Message(MessageType::Error) | Kind::Presence(PresenceType::Error)
            );
            assert!(is_error || stanza.head.from.as_ref().is_none_or(is_own), "{stanza:?}");
        }
    }

    fn see(&mut self, to: usize, stanza: &Stanza) {
        let sender = stanza.head.from.as_ref().and_then(|from| person(from.bare_str()));
        let id = stanza.head.id.as_deref();
        let is_at_home = |person: usize| PEOPLE[person].0 == 3;
        match (stanza.head.kind, sender) {
            // The lie stays where it was told.
            (Kind::Message(MessageType::Chat), _) if id == Some("forged") => {
                assert!(is_at_home(to), "{} believes a lie: {stanza:?}", bare(to));
            }
            (Kind::Message(MessageType::Chat), Some(from)) => {
                let number: usize = id.unwrap().parse().unwrap();
                let sent = &mut self.sent[number];
                assert_eq!((sent.from, sent.to), (from, to), "message {number}");
                if sent.may_repeat && sent.has_arrived {
                    return;
                }
                assert!(!sent.has_arrived, "message {number} arrives twice");
                assert!(
                    !sent.has_come_back || sent.is_in_doubt,
                    "message {number} has come back, and arrives"
                );
                sent.has_arrived = true;
                let last = self.last.insert((from, to), number);
                assert!(last.is_none_or(|last| last < number), "{last:?} before {number}");
            }
            (Kind::Message(MessageType::Error), Some(_)) => {
                let number: usize = id.unwrap().parse().unwrap();
                let sent = &mut self.sent[number];
                assert_eq!(sent.from, to);
                assert!(!sent.has_come_back, "message {number} comes back twice");
                let payload = String::from_utf8_lossy(stanza.payload.as_bytes());
                assert!(
                    !sent.has_arrived || (sent.is_in_doubt && payload.contains("remote-server-timeout")),
                    "message {number} has arrived, and comes back: {payload}"
                );
                sent.has_come_back = true;
            }
            (Kind::Presence(PresenceType::Available), Some(from)) => {
                assert!(
                    from == to || self.shown.contains(&(from, to)),
                    "{} sees {}, who has not let them",
                    bare(to),
                    bare(from)
                );
            }
            _ => {}
        }
    }

    fn check_messages(&self) {
        for (number, sent) in self.sent.iter().enumerate() {
            // Whoever lies about a domain does not get to it, and whoever answers at that domain does not get to the liar.
            let is_astray = PEOPLE[sent.from].0 == 3 && bare(sent.to).ends_with("two.example");
            let is_over = sent.has_arrived || sent.has_come_back || is_astray || !sent.is_followed;
            let is_away = !self.network.is_online(sent.to);
            assert!(
                is_over || is_away,
                "message {number} from {} to {} is lost",
                bare(sent.from),
                bare(sent.to)
            );
        }
    }

    /// How one stands with the other, and whether the other may see them as soon as they ask (RFC 6121 section 3.4).
    fn state(&self, user: usize, contact: usize) -> (State, bool) {
        let account = bare(user).parse().unwrap();
        let kept = self.network.accounts(PEOPLE[user].0).kept.kept(&account).unwrap();
        kept.roster.clone().map_or((State::None, false), |parts| {
            let roster = Roster::from_parts(account, parts, balcony_roster::RosterConfig::default());
            let contact = bare(contact).parse().unwrap();
            (roster.state(&contact), roster.item(&contact).is_some_and(|item| item.approved))
        })
    }

    /// Who sees whom, as both of their servers say. Everything that was lost has been said again.
    fn check_rosters(&mut self) {
        self.shown.clear();
        for user in 0..PEOPLE.len() {
            for contact in (0..PEOPLE.len()).filter(|contact| *contact != user) {
                // At the liar's server another juliet is asked.
                if [user, contact].iter().any(|one| PEOPLE[*one].0 == 3)
                    && [user, contact].iter().any(|one| bare(*one).ends_with("two.example"))
                {
                    continue;
                }
                let ((state, _), (back, is_approved)) =
                    (self.state(user, contact), self.state(contact, user));
                let (sees, shows) = (state.subscription().has_to(), back.subscription().has_from());
                // A request crosses a refusal, and meets one who has approved it since (RFC 6121 section 3.4). Whoever has been refused
                // has to ignore that answer (section 3.1.6).
                let has_crossed = shows && self.relented.contains(&(contact, user));
                assert!(
                    sees == shows || has_crossed,
                    "{} sees {}: {state:?} {back:?}",
                    bare(user),
                    bare(contact)
                );
                let (asks, is_asked) = (state.is_pending_out(), back.is_pending_in());
                assert!(!asks || is_asked, "{} asks {}: {state:?} {back:?}", bare(user), bare(contact));
                if shows || is_approved {
                    self.shown.insert((contact, user));
                }
            }
        }
    }

    fn end(&mut self) {
        self.rest();
        // Nobody says anything any more, and what nobody needs is closed.
        for person in 0..PEOPLE.len() {
            self.leave(person);
        }
        self.network.go(self.impostor);
        self.network.wait(Duration::from_secs(3_000));
        for server in 0..SERVERS.len() {
            assert_eq!(self.network.connections(server), 0, "of server {server}");
        }
    }
}

fn body(number: usize) -> balcony_stanza::Payload {
    const BODY: balcony_xml::Name = balcony_xml::Name::from_static("body");
    balcony_xml::Element::new(BODY, "jabber:client").text(number.to_string()).into()
}

fn priority() -> balcony_stanza::Payload {
    const PRIORITY: balcony_xml::Name = balcony_xml::Name::from_static("priority");
    balcony_xml::Element::new(PRIORITY, "jabber:client").text("1").into()
}

#[test]
fn networks() {
    let seeds = [916, 1_079, 1_493, 24_957, 25_709, 30_581, 381_909_301, 4_151_905_233];
    for_each_seed("BALCONY_NETWORKS", &seeds, 24, |seed| {
        let mut history = History::new(seed);
        // What breaks loses nothing in most of them.
        history.network.is_lossy = seed % 4 == 3;
        for _ in 0..STEPS {
            history.happen();
        }
        history.end();
    });
}

/// Two servers write to each other over links that break, and nothing else goes wrong. How many messages there were, and those that have not
/// arrived, or have come back. None arrives twice, or out of order.
fn lost_over_links(seed: u64, is_managed: bool) -> (usize, Vec<usize>) {
    let mut history = History::with(seed, |federation| federation.management = is_managed);
    history.network.is_lossy = true;
    for _ in 0..12 {
        // A stanza comes back after five lost streams, or after a minute in which no stream comes about.
        for _ in 0..3 {
            history.write_and_break();
        }
        history.network.cut_after = None;
        history.network.wait(Duration::from_secs(100));
        history.look();
    }
    assert!(history.network.cuts > 12, "only {} links broke", history.network.cuts);
    let sent = history.sent.iter().enumerate();
    let lost = sent.filter(|(_, sent)| !sent.has_arrived || sent.has_come_back).map(|(number, _)| number);
    (history.sent.len(), lost.collect())
}

// XEP-0198 §5 [SM24]: two servers that count, and can be asked, lose nothing over links that break, and return nothing while they can
// reach each other again: every message arrives, once, and in order.
#[test]
fn links_that_break_lose_nothing() {
    for_each_seed("BALCONY_LINKS", &[29], 12, |seed| {
        let (sent, lost) = lost_over_links(seed, true);
        assert!(lost.is_empty(), "of {sent} messages {lost:?} are lost, or came back");
    });
}

// Where they don't count the same links lose something: what is demanded above is worth something.
#[test]
fn links_that_break_lose_what_is_not_counted() {
    assert!((0..2).all(|seed| !lost_over_links(seed, false).1.is_empty()));
}

// RFC 6120 §4.9.3.20: a server that is told to shut down while its store has something to do ends its streams to other servers when that is
// done, also if it is told so again meanwhile.
#[test]
fn a_server_that_is_told_twice_ends_its_streams() {
    for times in [1, 2] {
        let mut history = History::new(0);
        history.write(0, 2);
        history.network.run();
        assert!(
            history.network.connections(0) > 2,
            "a stream to the other server, beside those of two people"
        );
        history.leave(1);
        history.write(0, 1);
        // The server has the message, and its store has not.
        while !history.network.is_asking(0) {
            history.network.run_some(1);
        }
        (0..times).for_each(|_| history.network.shutdown(0));
        history.network.run();
        assert_eq!(history.network.connections(0), 0, "told {times} times");
    }
}

// RFC 6120 §4.9.3.20, XEP-0288: another server that goes on sending on a stream that goes both ways does not keep a server from shutting
// down, however slow its store is.
#[test]
fn a_server_that_goes_on_sending_does_not_hold_up_the_end() {
    for asks in [false, true] {
        goes_on(asks);
    }
}

/// It goes on sending messages, or requests that have to be answered.
fn goes_on(asks: bool) {
    let mut history = History::new(0);
    for (from, to) in [(0, 2), (2, 0)] {
        history.write(from, to);
        history.network.run();
    }
    history.leave(0);
    let goes_on_sending = |history: &mut History| {
        history.network.now = history.network.now + Duration::from_secs(1);
        for _ in 0..20 {
            if asks {
                let get = Stanza::parse(b"<iq type='get' id='q'><vCard xmlns='vcard-temp'/></iq>").unwrap();
                history.network.send(2, &get.with_to(bare(0).parse().unwrap()));
            } else {
                history.write(2, 0);
            }
        }
        history.network.run_some(60);
        history.network.tick();
    };
    for _ in 0..10 {
        goes_on_sending(&mut history);
    }
    history.network.shutdown(0);
    let mut seconds = 0;
    while history.network.connections(0) > 0 && seconds < 600 {
        goes_on_sending(&mut history);
        seconds += 1;
    }
    assert!(seconds < 35, "after {seconds} s");
    assert!(asks || seconds > 20 && history.network.is_asking(0), "its store was busy all the time");
}
