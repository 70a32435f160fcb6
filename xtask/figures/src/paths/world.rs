//! A server, those who log in to it, and a store that answers at once.

use balcony_client::{ClientMachine, MachineEvent};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_router::{Change, Kept, LogEdit, Memory};
use balcony_sasl::{Credentials, Mechanism, salt_password};
use balcony_server::{Action, Answer, Ask, ConnectionId, Notice, Server, Transport};
use balcony_stream::TlsPolicy;
use balcony_stream::client::{ClientAnswer, ClientAsk, Management};
use balcony_stream::server::{ServerAnswer, ServerAsk};

const NOW: Instant = Instant::ZERO;
/// Of the passwords' hashes.
const ITERATIONS: u32 = 4096;

pub(crate) struct World {
    server: Server,
    actions: Vec<Action>,
    credentials: Credentials,
    kept: Memory,
    connections: Vec<ConnectionId>,
    /// A client that logs in, on which connection, and what it says.
    client: Option<(usize, ClientMachine)>,
    said: Vec<Vec<u8>>,
    /// Whether each connection takes nothing more.
    stalled: Vec<bool>,
    /// Whether the store answers nothing more.
    hangs: bool,
    /// Whether clients log in with stream management (XEP-0198).
    is_managed: bool,
    /// Bytes that were sent to each connection.
    pub(crate) written: Vec<usize>,
    /// Messages that wait.
    pub(crate) stored: usize,
    /// Resources that were bound.
    pub(crate) bound: usize,
    output: Vec<u8>,
    /// Whether connections get the buffer of what was written before. A server brings an empty one each time, which costs an allocation
    /// that is not the machine's.
    lends_output: bool,
}

impl World {
    pub(crate) fn new() -> Self {
        let credentials = Credentials::derive("pencil", b"sixteen bytes ok", ITERATIONS);
        World::with(credentials.expect("a password"), Memory::default())
    }

    fn with(credentials: Credentials, kept: Memory) -> Self {
        let domain = BareJid::parse("example.com").expect("an address");
        let mut config = balcony_server::ServerConfig::new(vec![domain], Secret::new([7; 32]));
        config.tls = TlsPolicy::None;
        World {
            server: Server::new(config, Seed::from_u64(0)),
            actions: Vec::new(),
            credentials,
            kept,
            connections: Vec::new(),
            client: None,
            said: Vec::new(),
            stalled: Vec::new(),
            hangs: false,
            is_managed: false,
            written: Vec::new(),
            stored: 0,
            bound: 0,
            output: Vec::new(),
            lends_output: true,
        }
    }

    /// The same with the same accounts, from the beginning.
    pub(crate) fn anew(&self) -> Self {
        let anew = World::with(self.credentials.clone(), self.kept.clone());
        World { is_managed: self.is_managed, ..anew }
    }

    /// The clients that log in from now on have stanzas counted (XEP-0198), and never acknowledge any.
    pub(crate) fn manage(&mut self) {
        self.is_managed = true;
    }

    pub(crate) fn account(&mut self, account: &str) {
        self.kept.create(BareJid::parse(account).expect("an address"));
    }

    /// The first sees the other's presence.
    pub(crate) fn befriend(&mut self, one: &str, other: &str) {
        befriend(&mut self.kept, one, other);
    }

    /// These are the account's contacts, and each of both sees the other's presence.
    pub(crate) fn know(&mut self, account: &str, contacts: &[&str]) {
        let items = contacts.iter().enumerate().map(|(number, contact)| {
            let mut item = Item::new(BareJid::parse(contact).expect("an address"));
            item.subscription = Subscription::Both;
            item.name = Some(format!("Contact {number}").into());
            item.groups = vec!["Friends".into()];
            item
        });
        let parts = Parts { version: Version(1), items: items.collect(), requests: vec![], changes: vec![] };
        let account = BareJid::parse(account).expect("an address");
        self.kept.keep(account, Kept { roster: Some(parts), ..Kept::default() });
    }

    /// Makes room for what this world itself keeps of so many connections.
    pub(crate) fn expect(&mut self, connections: usize) {
        self.connections.reserve_exact(connections);
        self.written.reserve_exact(connections);
        self.stalled.reserve_exact(connections);
    }

    /// Connections keep no buffer for what they say, as in a server.
    pub(crate) fn lend_nothing(&mut self) {
        self.lends_output = false;
    }

    /// A connection on which nothing is said yet.
    pub(crate) fn accept(&mut self) -> usize {
        let id = self.server.accept(NOW, Transport::Stream, &mut self.actions);
        self.connections.push(id);
        self.written.push(0);
        self.stalled.push(false);
        self.connections.len() - 1
    }

    /// It takes nothing more from now on.
    pub(crate) fn stall(&mut self, place: usize) {
        self.stalled[place] = true;
    }

    /// The store answers nothing more from now on.
    pub(crate) fn hang(&mut self) {
        self.hangs = true;
    }

    /// When something is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.server.deadline().map(|deadline| deadline.at)
    }

    /// A client logs in.
    pub(crate) fn login(&mut self, account: &str, resource: &str) -> usize {
        self.account(account);
        let account = BareJid::parse(account).expect("an address");
        let mut config = balcony_client::ClientConfig::new(account, Secret::new("pencil".into()));
        config.stream.tls = TlsPolicy::None;
        config.stream.mechanisms = vec![Mechanism::ScramSha256];
        config.stream.resource = Some(resource.into());
        if !self.is_managed {
            config.stream.management = Management::Off;
        }
        let place = self.accept();
        let client = ClientMachine::new(config, &Seed::from_u64(1 + place as u64), NOW);
        self.client = Some((place, client));
        let before = self.bound;
        self.feed(&[]);
        self.settle();
        assert_eq!(self.bound, before + 1, "it is not bound");
        self.client = None;
        place
    }

    /// A client logs in, and says that it is there.
    pub(crate) fn online(&mut self, account: &str, resource: &str) -> usize {
        let place = self.login(account, resource);
        self.said.clear();
        self.send(place, b"<presence/>");
        place
    }

    /// What the clients have said.
    pub(crate) fn take_said(&mut self) -> Vec<Vec<u8>> {
        core::mem::take(&mut self.said)
    }

    /// Gives back whatever was only needed to log in.
    pub(crate) fn forget_clients(&mut self) {
        self.said = Vec::new();
        self.actions = Vec::new();
        self.output = Vec::new();
    }

    /// A client's bytes come to the server, and the server's go out.
    pub(crate) fn send(&mut self, place: usize, bytes: &[u8]) {
        self.server.receive(NOW, self.connections[place], bytes, &mut self.actions);
        self.settle();
    }

    /// The client that logs in takes bytes, and says something.
    fn feed(&mut self, mut input: &[u8]) {
        let Some((place, client)) = &mut self.client else { return };
        let mut out = Vec::new();
        while let Progress::Event(event) = client.advance(NOW, &mut input, &mut out).expect("a good server") {
            if let MachineEvent::Ask(ticket, ClientAsk::SaltPassword { hash, password, salt, iterations }) =
                event
            {
                let salted = salt_password(hash, password.expose(), &salt, iterations).expect("a password");
                client.answer(ticket, ClientAnswer::Salted(salted)).expect("an open ask");
            }
        }
        if !out.is_empty() {
            self.server.receive(NOW, self.connections[*place], &out, &mut self.actions);
            self.said.push(out);
        }
    }

    /// Does what the server says until it says nothing more.
    fn settle(&mut self) {
        let mut actions = Vec::new();
        while !self.actions.is_empty() || self.server.router().has_parked() {
            if self.actions.is_empty() {
                self.server.take_in(NOW, &mut self.actions);
            }
            core::mem::swap(&mut actions, &mut self.actions);
            for action in actions.drain(..) {
                self.act(action);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Write(id) => {
                // Those who are written to most came last.
                let place = self.connections.iter().rposition(|other| *other == id);
                if place.is_some_and(|place| self.stalled[place]) {
                    return;
                }
                let mut output = core::mem::take(&mut self.output);
                self.server.take_output(id, &mut output);
                self.server.written(NOW, id, &mut self.actions);
                if let Some(place) = place {
                    self.written[place] += output.len();
                    if self.client.as_ref().is_some_and(|(client, _)| *client == place) {
                        self.feed(&output);
                    }
                }
                if self.lends_output {
                    output.clear();
                    self.output = output;
                }
            }
            Action::Ask(ticket, Ask::Stream(ServerAsk::Credentials { hash, .. })) => {
                let keys = self.credentials.get(hash).cloned();
                let answer = Answer::Stream(ServerAnswer::Credentials(keys));
                self.server.answer(NOW, ticket, answer, &mut self.actions);
            }
            Action::Ask(_, Ask::Router(ask)) if self.hangs && ask.account().as_str().starts_with("slow") => {}
            Action::Ask(ticket, Ask::Router(ask)) => {
                let answer = match &ask {
                    balcony_router::Ask::Save { changes, .. } if changes.iter().all(is_message) => {
                        self.stored += changes.len();
                        balcony_router::Answer::Saved
                    }
                    _ => self.kept.answer(0, ask),
                };
                self.server.answer(NOW, ticket, Answer::Router(answer), &mut self.actions);
            }
            Action::Notice(_, Notice::Bound(_)) => self.bound += 1,
            _ => {}
        }
    }
}

/// In the store the first sees the other's presence.
pub(crate) fn befriend(store: &mut Memory, one: &str, other: &str) {
    for (own, contact, subscription) in [(one, other, Subscription::To), (other, one, Subscription::From)] {
        let [own, contact] = [own, contact].map(|account| BareJid::parse(account).expect("an address"));
        let mut item = Item::new(contact);
        item.subscription = subscription;
        let parts = Parts { version: Version(1), items: vec![item], requests: vec![], changes: vec![] };
        store.keep(own, Kept { roster: Some(parts), ..Kept::default() });
    }
}

/// Whether a message is to wait: a real store has much to do for that, and this one nothing.
fn is_message(change: &Change) -> bool {
    matches!(change, Change::Log { edit: LogEdit::Append(_), .. })
}
