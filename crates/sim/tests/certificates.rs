//! Servers whose certificates lie: for somebody else, expired, or signed by an authority that nobody knows. The seed decides whose does, who
//! is content with dialback, where the DNS leads to for a domain that two servers say to have, and what signed DNS says of their
//! certificates: that they are the right ones, or that others are.
//!
//! What must be true whatever happens: no stanza goes to a domain, or comes from one, that was not proven to the other server. And what may
//! go arrives, and comes back otherwise.
//!
//! A history follows from its seed but for the keys and certificates, which are made anew, and where in them a link breaks.
//! `BALCONY_CERTIFICATES=0..1000` goes through many more of them.

#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::SystemTime;

use balcony_client::srv::Signed;
use balcony_machine::{Random, Secret, Seed, Tlsa};
use balcony_server::federation::{FederationConfig, FederationTls};
use balcony_sim::{Network, for_each_seed};
use balcony_stanza::{Kind, MessageType, Stanza};
use balcony_stream::TlsPolicy;
use balcony_tls::{Authority, CertificateDetails, TlsIdentity, TlsTrust};

static AUTHORITY: LazyLock<Authority> = LazyLock::new(|| Authority::new(today()).unwrap());
static STRANGER: LazyLock<Authority> = LazyLock::new(|| Authority::new(today()).unwrap());

#[expect(clippy::disallowed_methods, reason = "certificates are checked against the clock of this machine")]
fn today() -> SystemTime {
    SystemTime::now()
}

/// What is the matter with a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    None,
    WrongName,
    Expired,
    Stranger,
}

const LIES: [Lie; 4] = [Lie::None, Lie::WrongName, Lie::Expired, Lie::Stranger];

/// A server, and how it shows who it is.
struct Server {
    domains: &'static [&'static str],
    /// The names that its certificate has.
    names: Vec<&'static str>,
    lie: Lie,
    /// Whether dialback is enough for it.
    has_dialback: bool,
    /// Its certificate, and the key.
    shown: (String, Secret<String>),
    /// Whether it asks what is signed.
    has_dane: bool,
}

/// What signed DNS says about the certificate of the server to which it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Nothing,
    Right,
    Wrong,
}

/// Everybody, and their servers by the first of their domains. There are two who say to be Juliet.
const PEOPLE: [(&str, &str); 6] = [
    ("one.example", "romeo@one.example/phone"),
    ("two.example", "juliet@two.example/phone"),
    ("three.example", "friar@three.example/phone"),
    ("three.example", "prince@four.example/phone"),
    ("evil.example", "tybalt@evil.example/phone"),
    ("evil.example", "juliet@two.example/phone"),
];

fn domain(person: usize) -> &'static str {
    PEOPLE[person].1.split(['@', '/']).nth(1).unwrap()
}

fn bare(person: usize) -> &'static str {
    PEOPLE[person].1.split('/').next().unwrap()
}

/// The servers of a seed, in the order in which the DNS knows them.
fn servers(random: &mut Random) -> Vec<Server> {
    let mut pick = |most: usize| usize::try_from(random.next_u64() % most as u64).unwrap();
    let all: [&'static [&'static str]; 4] = [
        &["one.example"],
        &["two.example"],
        &["three.example", "four.example"],
        &["evil.example", "two.example"],
    ];
    let mut servers: Vec<Server> = all
        .into_iter()
        .map(|domains| {
            let is_evil = domains[0] == "evil.example";
            // Most tell the truth; the last never about its second domain.
            let lie = if is_evil || pick(2) == 0 { LIES[pick(4)] } else { Lie::None };
            let names = match lie {
                Lie::WrongName => vec!["other.example"],
                Lie::None if is_evil => vec!["evil.example"],
                _ => domains.to_vec(),
            };
            let (issuer, made) = match lie {
                Lie::None | Lie::WrongName => (&AUTHORITY, today()),
                Lie::Expired => (&AUTHORITY, today() - Duration::from_secs(86_400 * 500)),
                Lie::Stranger => (&STRANGER, today()),
            };
            let shown = issuer.issue(&names, None, made).unwrap();
            Server { domains, names, lie, has_dialback: pick(2) == 0, shown, has_dane: pick(4) != 0 }
        })
        .collect();
    if pick(3) == 0 {
        // The DNS is in the hands of whoever lies.
        servers.rotate_right(1);
    }
    servers
}

impl Server {
    /// Whether its certificate shows everybody that it is this domain.
    fn proves(&self, domain: &str) -> bool {
        matches!(self.lie, Lie::None | Lie::WrongName) && self.names.contains(&domain)
    }

    fn configure(&self, config: &mut FederationConfig) {
        let (certificate, key) = (self.shown.0.as_bytes(), self.shown.1.expose().as_bytes());
        let connects = TlsTrust::builder().roots_pem(AUTHORITY.certificate_pem().as_bytes()).unwrap();
        let mut connects = connects.federation(certificate, key).unwrap();
        if self.has_dialback {
            connects = connects.accept_unproven();
        }
        let connects = connects.build().unwrap();
        let accepts = TlsIdentity::from_pem(certificate, key).unwrap().federation(&connects).unwrap();
        config.tls = TlsPolicy::Required;
        config.certificate = Some(FederationTls { accepts, connects });
        config.dane = self.has_dane;
        config.dialback = self.has_dialback.then(|| Secret::new(format!("of {}", self.domains[0])));
    }
}

struct Sent {
    from: usize,
    to: usize,
    /// Whom it has reached.
    arrived_at: Option<usize>,
    has_come_back: bool,
}

struct History {
    network: Network,
    random: Random,
    servers: Vec<Server>,
    says: BTreeMap<&'static str, Says>,
    sent: Vec<Sent>,
    /// Whether links break.
    breaks: bool,
}

impl History {
    fn new(seed: u64) -> History {
        let mut random = Seed::from_u64(seed ^ 0xce27).random();
        let servers = servers(&mut random);
        let domains: Vec<&[&str]> = servers.iter().map(|server| server.domains).collect();
        let of: BTreeMap<&str, &Server> = servers.iter().map(|server| (server.domains[0], server)).collect();
        let network = Network::new(&domains, seed, |config| {
            let federation = config.federation.as_mut().unwrap();
            federation.bidi = !seed.is_multiple_of(4);
            of[federation.domains[0].as_str()].configure(federation);
        });
        let mut history = History {
            network,
            random,
            servers,
            says: BTreeMap::new(),
            sent: Vec::new(),
            breaks: seed % 3 == 2,
        };
        for domain in ["one.example", "two.example", "three.example", "four.example", "evil.example"] {
            let says = [Says::Nothing, Says::Nothing, Says::Right, Says::Wrong][history.below(4)];
            let certificate = &history.servers[history.found(domain)].shown.0;
            let right = CertificateDetails::read_pem(certificate.as_bytes()).unwrap().tlsa;
            let tlsa = match says {
                Says::Nothing => continue,
                Says::Right => right,
                Says::Wrong => Tlsa { data: vec![1; 32], ..right },
            };
            history.says.insert(domain, says);
            history.network.signed.insert(domain.into(), Signed::Yes(vec![tlsa]));
        }
        for (place, (_, jid)) in PEOPLE.into_iter().enumerate() {
            let server = history.server(place);
            assert_eq!(history.network.person(server, jid), place);
            history.network.come(place);
        }
        history.network.run();
        history
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.random.next_u64() % end as u64).unwrap()
    }

    /// The number of the server of a person.
    fn server(&self, person: usize) -> usize {
        self.servers.iter().position(|server| server.domains[0] == PEOPLE[person].0).unwrap()
    }

    /// The server to which the DNS leads for a domain.
    fn found(&self, domain: &str) -> usize {
        self.servers.iter().position(|server| server.domains.contains(&domain)).unwrap()
    }

    /// What signed DNS says about a domain to a server.
    fn says(&self, server: usize, domain: &str) -> Says {
        let says = self.says.get(domain).copied().unwrap_or(Says::Nothing);
        if self.servers[server].has_dane { says } else { Says::Nothing }
    }

    /// Whether a server may take the other, which has connected to it, for this domain: by certificate, or else, since the DNS leads there:
    /// if dialback is enough for it and the DNS does not say that another certificate is the right one, or if the DNS says that this is.
    fn believes_who_comes(&self, server: usize, other: usize, domain: &str) -> bool {
        let is_vouched_for = match self.servers[server].has_dialback {
            true => self.says(server, domain) != Says::Wrong,
            false => self.says(server, domain) == Says::Right,
        };
        self.servers[other].proves(domain) || (self.found(domain) == other && is_vouched_for)
    }

    /// Whether it may take the other, to which it has connected, for this domain: what signed DNS says about the certificate counts before
    /// all else (RFC 7673 section 4).
    fn believes_whom_it_finds(&self, server: usize, domain: &str) -> bool {
        match self.says(server, domain) {
            Says::Wrong => false,
            Says::Right => true,
            Says::Nothing => {
                self.servers[server].has_dialback || self.servers[self.found(domain)].proves(domain)
            }
        }
    }

    /// Whether a server may talk to the other as this domain, whoever has connected.
    fn believes(&self, server: usize, other: usize, domain: &str) -> bool {
        self.believes_who_comes(server, other, domain)
            || (self.found(domain) == other && self.believes_whom_it_finds(server, domain))
    }

    /// Whether a stream comes about from this person's server to that of the other one's domain.
    fn is_reached(&self, from: usize, to: usize) -> bool {
        let (ours, theirs) = (self.server(from), self.found(domain(to)));
        let is_shown = self.servers[ours].proves(domain(from))
            || ((self.servers[ours].has_dialback || !self.servers[theirs].has_dialback)
                && self.believes_who_comes(theirs, ours, domain(from)));
        // Nobody takes stanzas of a domain that it says to have itself.
        let is_own = self.servers[theirs].domains.contains(&domain(from));
        self.believes_whom_it_finds(ours, domain(to)) && is_shown && !is_own
    }

    fn happen(&mut self) {
        let from = self.below(PEOPLE.len());
        let to = self.below(PEOPLE.len());
        // Whoever has both domains at home does not need to be believed.
        if !self.servers[self.server(from)].domains.contains(&domain(to)) {
            let number = self.sent.len();
            let message = Stanza::message(MessageType::Chat).with_to(bare(to).parse().unwrap());
            self.network.send(from, &message.with_id(number.to_string()));
            self.sent.push(Sent { from, to, arrived_at: None, has_come_back: false });
        }
        match self.below(10) {
            0 => self.network.run(),
            1 => self.network.wait(Duration::from_secs(7)),
            2 => self.network.wait(Duration::from_secs(70)),
            _ => {}
        }
        let steps = self.below(400);
        self.network.run_some(steps);
        self.look();
    }

    fn look(&mut self) {
        for person in 0..PEOPLE.len() {
            for stanza in self.network.take(person) {
                let number = stanza.head.id.as_deref().and_then(|id| id.parse::<usize>().ok());
                match (stanza.head.kind, number) {
                    (Kind::Message(MessageType::Chat), Some(number)) => self.arrives(person, number),
                    (Kind::Message(MessageType::Error), Some(number)) => {
                        assert_eq!(self.sent[number].from, person);
                        self.sent[number].has_come_back = true;
                    }
                    _ => {}
                }
            }
        }
    }

    /// Both of their servers have to be sure of each other.
    fn arrives(&mut self, person: usize, number: usize) {
        let Sent { from, to, .. } = self.sent[number];
        let (there, here) = (self.server(from), self.server(person));
        assert_eq!(bare(to), bare(person), "message {number}");
        assert!(
            self.believes(here, there, domain(from)),
            "message {number} to {} comes from a server that has not proven to be {}",
            bare(person),
            domain(from)
        );
        assert!(
            self.believes(there, here, domain(to)),
            "message {number} of {} goes to a server that has not proven to be {}",
            bare(from),
            domain(to)
        );
        // Where two servers are believed to be a domain, one may get what was lost on its way to the other one.
        let before = self.sent[number].arrived_at.replace(person);
        let is_twin = |before| self.breaks && self.server(before) != here;
        assert!(before.is_none_or(is_twin), "message {number} arrives twice");
    }

    /// Where nothing breaks it is certain what arrives.
    fn rest(&mut self) {
        let has_broken = self.breaks;
        self.network.wait(Duration::from_secs(1_300));
        self.look();
        for (number, sent) in self.sent.iter().enumerate() {
            let Sent { from, to, arrived_at, has_come_back } = *sent;
            let has_arrived = arrived_at.is_some();
            let what = format!("message {number} of {} to {}", bare(from), bare(to));
            assert!(has_arrived || has_come_back, "{what} is lost");
            assert!(has_broken || !(has_arrived && has_come_back), "{what} arrives and comes back");
            assert!(has_broken || has_arrived || !self.is_reached(from, to), "{what} comes back");
        }
    }
}

// RFC 6120 §13.7.2, XEP-0178 1.2 §3 [EX12, EX13, EX21], XEP-0220 1.1.1 §3, RFC 7673 §4
#[test]
fn nobody_is_believed_without_proof() {
    for_each_seed("BALCONY_CERTIFICATES", &[3_911], 12, |seed| {
        let mut history = History::new(seed);
        for step in 0..40 {
            if history.breaks && step % 5 == 0 {
                history.network.cut_after = Some(history.below(6_000) + 1);
            }
            history.happen();
        }
        history.network.cut_after = None;
        history.rest();
    });
}
