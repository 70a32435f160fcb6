//! Any sequence of stanzas from several sessions through a whole server, with a store in memory: no panic, the same bytes however
//! the network cuts them, XML that clients understand, nobody who is who they are not, and an end.
//!
//! A line of the input is a session, 0 to 3, and what it sends. Alone, `-` cuts its connection, `+` connects it anew, `/` closes it
//! in good order; `>` and `?` have the harness send a numbered message or request, to a session if a digit follows, to juliet,
//! romeo or nobody if `j`, `r` or `n` does. A line that begins with `t` lets time pass until something is due. At `w` the store
//! begins to wait; `a` is its oldest answer, and at `A` it has given all and waits no more. 0 and 1 are juliet's, 2 is romeo's,
//! and 3 is not logged in.
//!
//! Every eighth input runs twice, whole and in pieces. What is the same in every run is done once or not at all: a session that
//! the input does not name is not there, and in the second run the clients say again what they said in the first, at the same
//! places.
#![no_main]

use std::collections::VecDeque;
use std::sync::OnceLock;
use std::time::Duration;

use balcony_fuzz::{
    ACCOUNT, Client, Cuts, Dice, Moment, Numbered, PASSWORD, Said, answer, is_unacknowledged,
};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed, Ticket};
use balcony_router::Memory;
use balcony_router::extension::blocking::BLOCKED;
use balcony_router::extension::offline::OFFLINE;
use balcony_sasl::Mechanism;
use balcony_server::{Action, Answer, Ask, ConnectionId, Notice, Server, ServerConfig, Transport};
use balcony_stanza::Stanza;
use balcony_stream::client::{ClientEvent, ClientStreamConfig};
use balcony_stream::server::ServerAsk;
use balcony_stream::{ClientStream, Error, TlsPolicy};
use libfuzzer_sys::fuzz_target;

const ROMEO: &str = "romeo@example.com";
const SESSIONS: [Option<(&str, &str)>; 4] =
    [Some((ACCOUNT, "balcony")), Some((ACCOUNT, "chamber")), Some((ROMEO, "orchard")), None];
const CLOCK: u64 = 1_031_699_305_000;
/// Lines after this are not looked at: a run is to be short.
const LINES: usize = 64;
/// How often sessions connect anew, all of them together: a login takes as long as a dozen other lines.
const ANEW: usize = 4;

fuzz_target!(|data: &[u8]| {
    let whole = World::run(data, None);
    // Few of the inputs, so that there is time for more of them: how a stream is cut makes a difference to its reader alone, which has
    // targets of its own.
    if Dice::new(data, 1).roll(8) != 0 {
        return;
    }
    let said = whole.iter().map(|session| session.said.clone()).collect();
    let pieces = World::run(data, Some(said));
    for (whole, pieces) in whole.iter().zip(&pieces) {
        assert_eq!(whole.output, pieces.output, "pieces");
        assert!(matches!(&pieces.client, Client::Again(rest) if rest.is_empty()), "a client was not heard");
    }
});

struct World {
    server: Server,
    kept: Memory,
    /// The questions to a store that waits.
    waiting: Option<VecDeque<(Ticket, balcony_router::Ask)>>,
    now: Instant,
    sessions: Vec<Session>,
    numbered: Numbered,
    /// The connections that have been closed.
    closed: Vec<ConnectionId>,
}

struct Session {
    index: usize,
    id: ConnectionId,
    client: Client,
    gone: bool,
    /// Whether the server has something for it, as far as the server has said.
    has_output: bool,
    /// When its client last had its turn.
    turn: Option<Instant>,
    /// Whether its stream has bound a resource, and has not ended.
    is_bound: bool,
    /// How often it has connected anew.
    connection: usize,
    /// What it has sent on this connection, the client's own words left out.
    sent: Vec<u8>,
    /// Everything that the server has sent, over all connections.
    output: Vec<u8>,
    /// What the client has said on its own.
    said: VecDeque<Said>,
}

impl World {
    /// All sessions at the end. With what clients `said` before, the input comes in pieces.
    fn run(data: &[u8], said: Option<Vec<VecDeque<Said>>>) -> Vec<Session> {
        let cut = said.is_some();
        let mut said = said.map(Vec::into_iter);
        let mut world = World {
            server: Server::new(config(data).clone(), Seed::from_u64(1)),
            kept: Memory::default(),
            waiting: None,
            now: Instant::ZERO,
            sessions: Vec::new(),
            numbered: Numbered::new(data),
            closed: Vec::new(),
        };
        for account in accounts() {
            world.kept.create(account.clone());
        }
        for index in (0..SESSIONS.len()).filter(|index| is_named(data, *index)) {
            let client = match said.as_mut().and_then(Iterator::next) {
                Some(said) => Client::Again(said),
                None => world.client(index),
            };
            let id = world.accept();
            world.sessions.push(Session {
                index,
                id,
                client,
                gone: false,
                has_output: true,
                turn: None,
                is_bound: false,
                connection: 0,
                sent: Vec::new(),
                output: Vec::new(),
                said: VecDeque::new(),
            });
            world.settle(world.sessions.len() - 1);
        }
        for line in lines(data) {
            let Some((&first, rest)) = line.split_first() else { continue };
            match first {
                b't' => world.pass(),
                b'w' => drop(world.waiting.get_or_insert_default()),
                b'a' => world.answer_one(),
                b'A' => world.answer_all(),
                _ => {
                    let has = |session: &Session| usize::from(first) == usize::from(b'0') + session.index;
                    if let Some(place) = world.sessions.iter().position(has) {
                        world.line(place, rest, cut);
                    }
                }
            }
            world.check();
        }
        world.end();
        world.sessions
    }

    /// What a session does.
    fn line(&mut self, place: usize, line: &[u8], cut: bool) {
        match line {
            b"-" => self.cut(place),
            b"+" if self.connected_anew() < ANEW => {
                self.cut(place);
                let id = self.accept();
                let client = (!cut).then(|| self.client(self.sessions[place].index));
                let session = &mut self.sessions[place];
                (session.id, session.gone) = (id, false);
                (session.has_output, session.turn) = (true, None);
                session.connection += 1;
                session.sent.clear();
                if let Some(client) = client {
                    session.client = client;
                }
                self.settle(place);
            }
            b"+" => {}
            b"/" => self.say(place, b"</stream:stream>", cut),
            [kind @ (b'>' | b'?'), to] => {
                let Some(to) = address(*to) else { return };
                let session = &self.sessions[place];
                let open = matches!(&session.client, Client::Listens(stream) if stream.is_open());
                let open = open && !session.gone;
                let sender = session.id.as_u64();
                let stanza = self.numbered.next(*kind == b'?', &to, sender, &session.sent, open);
                self.say(place, &stanza, cut);
            }
            bytes => self.say(place, bytes, cut),
        }
    }

    /// Sends bytes, maybe in pieces, and carries what comes of it. The store answers when all of them are there: what else the
    /// server would have read by then makes a difference, as it may.
    fn say(&mut self, place: usize, bytes: &[u8], cut: bool) {
        let session = &mut self.sessions[place];
        if !session.gone {
            session.sent.extend_from_slice(bytes);
            let cuts = if cut { Cuts::Random(Dice::new(bytes, 3)) } else { Cuts::Whole };
            let mut actions = Vec::new();
            for piece in cuts.pieces(bytes) {
                self.server.receive(self.now, session.id, piece, &mut actions);
            }
            self.act(actions);
        }
        self.settle(place);
    }

    fn accept(&mut self) -> ConnectionId {
        let mut actions = Vec::new();
        let id = self.server.accept(self.now, Transport::Stream, &mut actions);
        self.act(actions);
        id
    }

    fn connected_anew(&self) -> usize {
        self.sessions.iter().map(|session| session.connection).sum()
    }

    fn client(&self, index: usize) -> Client {
        let Some((account, resource)) = SESSIONS[index] else { return Client::Nobody };
        let mut config =
            ClientStreamConfig::new(account.parse().expect("an address"), Secret::new(PASSWORD.into()));
        config.tls = TlsPolicy::None;
        // The shortest that there is without TLS.
        config.mechanisms = vec![Mechanism::ScramSha1];
        config.resource = Some(resource.into());
        Client::Listens(Box::new(ClientStream::new(config.into(), Seed::from_u64(index as u64), self.now)))
    }

    fn cut(&mut self, index: usize) {
        let mut actions = Vec::new();
        (self.sessions[index].gone, self.sessions[index].is_bound) = (true, false);
        self.numbered.forgive(Some(self.sessions[index].id.as_u64()));
        self.server.broken(self.now, self.sessions[index].id, &mut actions);
        self.act(actions);
        self.settle(index);
    }

    /// Until the next thing is due.
    fn pass(&mut self) {
        if let Some(deadline) = self.server.deadline() {
            self.now = self.now.max(deadline.at);
            let mut actions = Vec::new();
            self.server.tick(self.now, &mut actions);
            let left = self.server.deadline();
            assert!(left.is_none_or(|left| left.at > self.now), "{left:?} is still due");
            self.act(actions);
            self.settle(0);
        }
    }

    /// Carries everything everywhere, from the session at this place on.
    fn settle(&mut self, first: usize) {
        for _ in 0..1000 {
            let mut busy = false;
            for turn in 0..self.sessions.len() {
                busy |= self.carry((first + turn) % self.sessions.len());
            }
            if !busy {
                return;
            }
        }
        panic!("it never ends");
    }

    /// Carries what there is between the server and a session. Where neither has anything to say, and no time has passed, there is
    /// nothing to do, and that is so nearly always.
    fn carry(&mut self, place: usize) -> bool {
        let (session, now) = (&mut self.sessions[place], self.now);
        if !session.has_output && session.turn == Some(now) {
            return false;
        }
        (session.has_output, session.turn) = (false, Some(now));
        let (mut bytes, mut actions) = (Vec::new(), Vec::new());
        self.server.take_output(session.id, &mut bytes);
        self.server.written(now, session.id, &mut actions);
        session.output.extend_from_slice(&bytes);
        let mut out = Vec::new();
        let moment = Moment { taken: session.output.len(), at: now, connection: session.connection };
        if let Client::Listens(client) = &mut session.client {
            listen(client, now, &bytes, &mut out, |stanza| {
                self.numbered.arrived(stanza, session.id.as_u64())
            });
            if !out.is_empty() {
                session.said.push_back(Said { moment, bytes: out.clone() });
            }
        }
        session.client.again(moment, &mut out);
        let id = session.id;
        if !out.is_empty() && !session.gone {
            self.server.receive(now, id, &out, &mut actions);
        }
        self.act(actions);
        !bytes.is_empty() || !out.is_empty()
    }

    /// Does what the server wants done. Unless the store waits, it answers at once.
    fn act(&mut self, mut actions: Vec<Action>) {
        while !actions.is_empty() || self.server.router().has_parked() {
            let mut next = Vec::new();
            if actions.is_empty() {
                self.server.take_in(self.now, &mut next);
            }
            for action in actions {
                match action {
                    Action::Ask(ticket, Ask::Stream(ask)) => {
                        let answer = Answer::Stream(answer(as_juliet(ask)));
                        self.server.answer(self.now, ticket, answer, &mut next);
                    }
                    Action::Ask(ticket, Ask::Router(ask)) => match &mut self.waiting {
                        Some(waiting) => waiting.push_back((ticket, ask)),
                        None => self.answer(ticket, ask, &mut next),
                    },
                    Action::Ask(ticket, Ask::Sessions { .. }) => {
                        self.server.answer(self.now, ticket, Answer::Sessions(false), &mut next);
                    }
                    Action::Ask(ticket, Ask::Holders { collection, after, limit }) => {
                        let holders = self.kept.holders(collection, after.as_ref(), limit);
                        self.server.answer(self.now, ticket, Answer::Holders(Some(holders)), &mut next);
                    }
                    Action::Close(id) => {
                        assert!(!self.closed.contains(&id), "closed twice");
                        self.closed.push(id);
                    }
                    Action::Notice(id, notice) => self.notice(id, &notice),
                    Action::Write(id) => {
                        if let Some(session) = self.sessions.iter_mut().find(|session| session.id == id) {
                            session.has_output = true;
                        }
                    }
                    // Whatever comes has been handed in by then.
                    Action::ReadNow(id) => self.server.nothing_yet(self.now, id, &mut next),
                    Action::Read(_) | Action::Removed(..) | Action::Abandoned(_) => {}
                    // It has no other servers.
                    Action::Resolve(..) | Action::Connect(..) | Action::Log(..) => {}
                }
            }
            actions = next;
        }
    }

    fn notice(&mut self, id: ConnectionId, notice: &Notice) {
        let session = self.sessions.iter_mut().find(|session| session.id == id);
        let is_over = matches!(notice, Notice::Ended(_) | Notice::Lost(_));
        if is_over {
            // Who has lost its connection does not come back to hear what has become of what it had sent.
            self.numbered.forgive(Some(id.as_u64()));
        }
        if let Some(session) = session.filter(|_| is_over || matches!(notice, Notice::Bound(_))) {
            session.is_bound = !is_over;
        }
    }

    fn answer(&mut self, ticket: Ticket, ask: balcony_router::Ask, actions: &mut Vec<Action>) {
        if let balcony_router::Ask::Remove { .. } = ask {
            // What waits for the account goes with it.
            self.numbered.forgive(None);
        }
        let saved = match &ask {
            balcony_router::Ask::Save { account, .. } => Some(account.clone()),
            _ => None,
        };
        let clock = CLOCK + self.now.as_nanos() / 1_000_000;
        let answer = Answer::Router(self.kept.answer(clock, ask));
        if let Some(account) = saved {
            self.numbered.are_stored(stored(&self.kept, &account));
        }
        // What waits is judged when it is delivered, and a sender who is blocked by then hears nothing (XEP-0191 section 3.1).
        for account in accounts() {
            if self.kept.documents(account, BLOCKED).next().is_some() {
                self.numbered.forgive_stored(stored(&self.kept, account));
            }
        }
        self.server.answer(self.now, ticket, answer, actions);
    }

    /// A store that waits gives its oldest answer.
    fn answer_one(&mut self) {
        if let Some((ticket, ask)) = self.waiting.as_mut().and_then(VecDeque::pop_front) {
            let mut actions = Vec::new();
            self.answer(ticket, ask, &mut actions);
            self.act(actions);
            self.settle(0);
        }
    }

    /// The store waits no more.
    fn answer_all(&mut self) {
        while self.waiting.as_ref().is_some_and(|waiting| !waiting.is_empty()) {
            self.answer_one();
        }
        self.waiting = None;
    }

    /// When the store does not wait, nothing is under way between two lines.
    fn check(&mut self) {
        if self.waiting.is_none() {
            let (numbered, server, sessions, kept) =
                (&mut self.numbered, &self.server, &self.sessions, &self.kept);
            let is_awaited = || awaits_clients(server, sessions) || has_read_mail(sessions, kept);
            let outputs = sessions.iter().map(|session| session.output.as_slice());
            let stored = accounts().iter().flat_map(|account| stored(kept, account));
            numbered.check(outputs, is_awaited, stored);
        }
    }

    /// Every connection ends, and nothing is left.
    fn end(&mut self) {
        self.answer_all();
        for _ in 0..32 {
            self.check();
            if !awaits_clients(&self.server, &self.sessions) {
                break;
            }
            self.pass();
        }
        let mut actions = Vec::new();
        self.server.shutdown(self.now, &mut actions);
        self.act(actions);
        self.settle(0);
        for _ in 0..8 {
            self.pass();
        }
        assert_eq!(self.server.connections(), 0, "connections that never end");
        assert_eq!(self.server.router().counts().sessions, 0, "sessions without connections");
    }
}

/// Whether there are sessions that have lost their connections (XEP-0198): what comes for them waits there.
fn awaits_clients(server: &Server, sessions: &[Session]) -> bool {
    let bound = sessions.iter().filter(|session| session.is_bound).count();
    server.router().counts().sessions > bound
}

/// Whether somebody has got messages from the store, and has not acknowledged them (XEP-0198): the next ones wait for that.
fn has_read_mail(sessions: &[Session], kept: &Memory) -> bool {
    let bound = sessions.iter().filter(|session| session.is_bound);
    let mut accounts = bound.filter_map(|session| Some((session, SESSIONS[session.index]?.0)));
    accounts.any(|(session, account)| {
        let account = account.parse().expect("an address");
        is_unacknowledged(&session.output, stored(kept, &account))
    })
}

/// The messages that wait for an account, as they were written.
fn stored<'a>(kept: &'a Memory, account: &BareJid) -> impl Iterator<Item = &'a [u8]> {
    kept.entries(account, OFFLINE).map(|entry| &*entry.content.bytes)
}

/// Whose passwords are known, parsed once.
fn accounts() -> &'static [BareJid; 2] {
    static ACCOUNTS: OnceLock<[BareJid; 2]> = OnceLock::new();
    ACCOUNTS.get_or_init(|| [ACCOUNT, ROMEO].map(|account| account.parse().expect("an address")))
}

/// Made once: one for what the input alone sends, and one for what has numbers, in which nothing that can't be delivered is left
/// without an answer, as it is for strangers otherwise.
fn config(data: &[u8]) -> &'static ServerConfig {
    static CONFIGS: OnceLock<[ServerConfig; 2]> = OnceLock::new();
    let configs = CONFIGS.get_or_init(|| {
        [false, true].map(|tell_strangers| {
            let domains = vec!["example.com".parse().expect("an address")];
            let mut config = ServerConfig::new(domains, Secret::new([9; 32]));
            config.tls = TlsPolicy::None;
            config.registration = true;
            config.tell_strangers = tell_strangers;
            config.limits.before_auth.bytes = 2_000;
            config.limits.waiting = 16;
            // Not longer than those who have written to such a session stay.
            config.limits.resumption = Duration::from_secs(1);
            config
        })
    });
    let is_numbered = |line: &[u8]| matches!(line, [b'0'..=b'2', b'>' | b'?', _]);
    &configs[usize::from(lines(data).any(is_numbered))]
}

fn lines(data: &[u8]) -> impl Iterator<Item = &[u8]> {
    data.split(|byte| *byte == b'\n').take(LINES)
}

/// Whether an input has to do with a session: it is sent something, or its resource is written somewhere. What is for a bare
/// address goes to sessions with presence only, and these have sent one.
fn is_named(data: &[u8], index: usize) -> bool {
    let digit = b'0' + index as u8;
    let resource = SESSIONS[index].map_or("", |(_, resource)| resource).as_bytes();
    let names =
        |line: &[u8]| line.first() == Some(&digit) || matches!(line, [_, b'>' | b'?', to] if *to == digit);
    lines(data).any(names)
        || !resource.is_empty() && data.windows(resource.len()).any(|window| window == resource)
}

/// Where something numbered goes.
fn address(to: u8) -> Option<String> {
    match to {
        b'0'..=b'2' => {
            let (account, resource) = SESSIONS[usize::from(to - b'0')]?;
            Some(format!("{account}/{resource}"))
        }
        b'j' => Some(ACCOUNT.into()),
        b'r' => Some(ROMEO.into()),
        b'n' => Some("nobody@example.com".into()),
        _ => None,
    }
}

/// romeo has the same password.
fn as_juliet(ask: ServerAsk) -> ServerAsk {
    let juliet = |account: BareJid| {
        if account.as_str() == ROMEO { ACCOUNT.parse().expect("an address") } else { account }
    };
    match ask {
        ServerAsk::Credentials { account, hash } => ServerAsk::Credentials { account: juliet(account), hash },
        ServerAsk::Verify { account, password } => ServerAsk::Verify { account: juliet(account), password },
        other => other,
    }
}

/// What a client makes of what the server sends: there may be a stream error in it, but nothing that is against the rules.
fn listen(
    client: &mut ClientStream,
    now: Instant,
    bytes: &[u8],
    out: &mut Vec<u8>,
    mut arrived: impl FnMut(&Stanza),
) {
    let mut input = bytes;
    loop {
        match client.advance(now, &mut input, out) {
            Ok(Progress::Event(ClientEvent::Ask(ticket, ask))) => {
                client.answer(ticket, answer(ask)).expect("an open ask");
            }
            Ok(Progress::Event(ClientEvent::Stanza(stanza))) => {
                if let Some(from) = &stanza.head.from {
                    // What can't be delivered comes back in the name of whom it was for.
                    let known = from.domainpart() == "example.com" || stanza.head.kind.is_error();
                    assert!(known, "a stanza of {from}: {}", String::from_utf8_lossy(bytes));
                }
                arrived(&stanza);
            }
            Ok(Progress::Event(_)) => {}
            Ok(_) => return,
            Err(Error::Local(error)) => {
                // A client has its own patience.
                let ours = matches!(
                    error.condition,
                    balcony_stanza::StreamCondition::ConnectionTimeout
                        | balcony_stanza::StreamCondition::PolicyViolation
                );
                assert!(ours, "the server broke a rule: {error}: {}", String::from_utf8_lossy(bytes));
                return;
            }
            Err(_) => return,
        }
    }
}
