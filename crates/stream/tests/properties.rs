//! The invariants of habits.md for both ends of a stream, whatever the peer sends and the owner does.

#![allow(clippy::unwrap_used)]

mod common;

use core::time::Duration;
use std::sync::{Arc, LazyLock};

use balcony_jid::FullJid;
use balcony_machine::{Instant, On, Progress, Secret, Seed, Ticket};
use balcony_sasl::{Credentials, Hash, Mechanism};
use balcony_sim::{Accounts, Simulated};
use balcony_stanza::{MessageType, Stanza, StreamCondition};
use balcony_stream::client::{Client, ClientAnswer, Resumption, Token};
use balcony_stream::server::{Server, ServerAnswer, ServerStreamConfig};
use balcony_stream::{
    ClientStream, Counts, Error, Framing, Security, ServerStream, Sorted, Stream, TlsPolicy,
};
use common::{BIND, BOUND, CLOSE, EXPORTER, HEADER, PROCEED, STARTTLS, SUCCESS};
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// Small, so that it is reached.
const OUTPUT: usize = 2_000;
/// The most that one element can make a stream write: a reply whose id is as long as an attribute may be, escaped.
const REPLY: usize = 128 * 1024;

const PLAIN: &str =
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGp1bGlldABwZW5jaWw=</auth>";
const SASL2: &str = "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=\
                     </initial-response><bind xmlns='urn:xmpp:bind:0'><tag>t</tag></bind></authenticate>";
const BIND_REQUEST: &str =
    "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>";
const OFFER: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
                     <mechanism>PLAIN</mechanism></mechanisms></stream:features>";
const OFFER_TLS: &str =
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>";
const OFFER2: &str = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline>\
                      <bind xmlns='urn:xmpp:bind:0'/></inline></authentication></stream:features>";
const SUCCESS2: &str = "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@example.com/t/1\
                        </authorization-identifier><bound xmlns='urn:xmpp:bind:0'/></success>";
const BIND_SM: &str = "<stream:features><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>\
                       <sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const OFFER2_SM: &str = "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline>\
                         <bind xmlns='urn:xmpp:bind:0'><inline><feature var='urn:xmpp:sm:3'/></inline></bind>\
                         <sm xmlns='urn:xmpp:sm:3'/></inline></authentication></stream:features>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const CLIENT_HEADER: &str = "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
                             xmlns:stream='http://etherx.jabber.org/streams'>";

/// What a server sends in a login, in two ways, and beside it.
const SERVER: &[&str] =
    &[HEADER, OFFER_TLS, PROCEED, HEADER, OFFER, SUCCESS, HEADER, BIND_SM, BOUND, ENABLED];
const SERVER2: &[&str] = &[
    HEADER,
    OFFER_TLS,
    PROCEED,
    HEADER,
    OFFER2,
    SUCCESS2,
    "<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>",
    ENABLED,
];
const SERVER_OTHERS: &[&str] = &[
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj14</challenge>",
    "<challenge xmlns='urn:xmpp:sasl:2'/>",
    "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>=</success>",
    "<iq type='error' id='bind'><error type='cancel'/></iq>",
    BIND,
    OFFER2_SM,
    "<success xmlns='urn:xmpp:sasl:2'><resumed xmlns='urn:xmpp:sm:3' previd='s' h='1'/></success>",
    "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@example.com/t/1</authorization-identifier>\
     <failed xmlns='urn:xmpp:sm:3'/><bound xmlns='urn:xmpp:bind:0'><enabled xmlns='urn:xmpp:sm:3'/></bound></success>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='s' h='1'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='s' h='9'/>",
    "<failed xmlns='urn:xmpp:sm:3' h='1'/>",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism>\
     <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade></authentication></stream:features>",
    "<stream:features><authentication xmlns='urn:xmpp:sasl:2'><mechanism>PLAIN</mechanism><inline>\
     <fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-NONE</mechanism></fast></inline></authentication></stream:features>",
    "<success xmlns='urn:xmpp:sasl:2'><token xmlns='urn:xmpp:fast:0' token='t' expiry='2026-03-12T14:36:15Z'/></success>",
    "<failure xmlns='urn:xmpp:sasl:2'><aborted xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>\
     <config-version-mismatch xmlns='urn:xmpp:iap:0'/></failure>",
    "<failure xmlns='urn:xmpp:sasl:2'><credentials-expired xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>",
    "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>",
    "<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>c2FsdA==</salt></task-data>",
];
/// What a client sends in a login, and beside it.
const CLIENT: &[&str] = &[CLIENT_HEADER, STARTTLS, CLIENT_HEADER, PLAIN, CLIENT_HEADER, BIND_REQUEST, ENABLE];
const CLIENT2: &[&str] = &[CLIENT_HEADER, STARTTLS, CLIENT_HEADER, SASL2, ENABLE];
const CLIENT_OTHERS: &[&str] = &[
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>bixuPWp1bGlldCxyPXg=</auth>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='X'>=</auth>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdzLHI9eCxwPWI=</response>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='SCRAM-SHA-256'><bind xmlns='urn:xmpp:bind:0'/></authenticate>",
    "<iq type='set' id='r'><query xmlns='jabber:iq:register'><username>n</username><password>p</password></query></iq>",
    "<message from='romeo@example.com'/>",
    "<message to='@' id='4'/>",
    "<resume xmlns='urn:xmpp:sm:3' previd='s' h='0'/>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=</initial-response>\
     <resume xmlns='urn:xmpp:sm:3' previd='s' h='0'/><bind xmlns='urn:xmpp:bind:0'>\
     <enable xmlns='urn:xmpp:sm:3' resume='true'/></bind></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=</initial-response>\
     <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>anVsaWV0ANJNlUgvDW4DXFbnh9rE7YMr3YTuPqJCqq3ZgicMMwAG</initial-response>\
     <user-agent id='a'/><fast xmlns='urn:xmpp:fast:0'/></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=</initial-response>\
     <user-agent id='a'/><request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/></authenticate>",
    "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=</initial-response>\
     <config-version xmlns='urn:xmpp:iap:0' value='v'/></authenticate>",
    "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>",
    "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>\
     AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=</hash></task-data>",
];
/// What either may send.
const BOTH: &[&str] = &[
    "<message to='romeo@example.com' id='1'><body>Hi</body></message>",
    "<presence xml:lang='it'/>",
    R,
    "<a xmlns='urn:xmpp:sm:3' h='0'/>",
    "<a xmlns='urn:xmpp:sm:3' h='1'/>",
    "<a xmlns='urn:xmpp:sm:3'/>",
    "<iq type='get' id='&lt;2&gt;'/>",
    "<iq type='result' id='3'/>",
    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "<stream:made-up/>",
    "<order xmlns='urn:example'/>",
    CLOSE,
    " ",
    "\r\n",
    "<",
    ">",
    "'",
    "text",
    "<!-- -->",
    "&amp;",
    "<?xml version='1.0'?>",
    "\0",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Client,
    Server,
}

/// What happens to a stream.
#[derive(Clone, Debug)]
enum Op {
    /// Bytes of the peer.
    Feed(Vec<u8>),
    /// The owner answers what is asked from now on, or does not.
    Answer(bool),
    Send,
    /// The owner has handled so many of the stanzas that have come.
    Handle(u32),
    /// It asks what has arrived.
    Ask,
    Close,
    Abort,
    /// Time passes.
    Wait(u64),
    /// It passes until something is due.
    Deadline,
    Eof,
}

/// An element on a transport of this kind.
fn framed(element: &str, framing: Framing) -> Vec<u8> {
    if framing == Framing::Document {
        return element.into();
    }
    let declared = match element {
        HEADER => {
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' from='example.com' id='1' version='1.0'/>"
                .into()
        }
        CLIENT_HEADER => {
            "<open xmlns='urn:ietf:params:xml:ns:xmpp-framing' to='example.com' version='1.0'/>".into()
        }
        CLOSE => "<close xmlns='urn:ietf:params:xml:ns:xmpp-framing'/>".into(),
        other => {
            let end = other.find(['/', '>', ' ']).unwrap_or(0);
            match other.starts_with("<stream:") {
                true => {
                    let (name, rest) = other.split_at(end);
                    format!("{name} xmlns:stream='http://etherx.jabber.org/streams'{rest}")
                }
                false => String::from(other),
            }
        }
    };
    [declared.as_bytes(), b"\0"].concat()
}

fn script(role: Role, sasl2: bool) -> &'static [&'static str] {
    match (role, sasl2) {
        (Role::Client, false) => SERVER,
        (Role::Client, true) => SERVER2,
        (Role::Server, false) => CLIENT,
        (Role::Server, true) => CLIENT2,
    }
}

fn bytes(role: Role, framing: Framing) -> impl Strategy<Value = Vec<u8>> {
    let (own, others): (&[&[&str]], _) = match role {
        Role::Client => (&[SERVER, SERVER2], SERVER_OTHERS),
        Role::Server => (&[CLIENT, CLIENT2], CLIENT_OTHERS),
    };
    let known = own.concat().into_iter().chain(others.iter().copied()).chain(BOTH.iter().copied());
    let whole = select(known.collect::<Vec<_>>()).prop_map(move |element| framed(element, framing));
    let damaged = (whole.clone(), any::<Index>(), any::<u8>()).prop_map(|(mut bytes, at, byte)| {
        let at = at.index(bytes.len());
        bytes[at] = byte;
        bytes
    });
    let cut = (whole.clone(), any::<Index>()).prop_map(|(mut bytes, at)| {
        bytes.truncate(at.index(bytes.len()));
        bytes
    });
    prop_oneof![12 => whole, 2 => damaged, 1 => cut, 1 => prop::collection::vec(any::<u8>(), 0..40)]
}

fn op(role: Role, framing: Framing) -> impl Strategy<Value = Op> {
    let feed = prop::collection::vec(bytes(role, framing), 1..5).prop_map(|parts| Op::Feed(parts.concat()));
    prop_oneof![
        12 => feed,
        2 => any::<bool>().prop_map(Op::Answer),
        2 => Just(Op::Send),
        2 => (1..4_u32).prop_map(Op::Handle),
        1 => Just(Op::Ask),
        1 => Just(Op::Close),
        1 => Just(Op::Abort),
        1 => (0..100_000_u64).prop_map(Op::Wait),
        1 => Just(Op::Deadline),
        1 => Just(Op::Eof),
    ]
}

/// A stream at some point of its script, and what happens from there.
#[derive(Clone, Debug)]
struct Story {
    role: Role,
    framing: Framing,
    sasl2: bool,
    /// Whether a client has a session to go on with.
    resumes: bool,
    /// How many parts of the script come first.
    begin: usize,
    ops: Vec<Op>,
    seed: u64,
}

fn story() -> impl Strategy<Value = Story> {
    let role = select(vec![Role::Client, Role::Server]);
    let framing = select(vec![Framing::Document, Framing::Document, Framing::Messages]);
    (role, framing, any::<[bool; 2]>(), any::<Index>(), any::<u64>()).prop_flat_map(
        |(role, framing, [sasl2, resumes], begin, seed)| {
            let begin = begin.index(script(role, sasl2).len() + 1);
            prop::collection::vec(op(role, framing), 1..8).prop_map(move |ops| Story {
                role,
                framing,
                sasl2,
                resumes,
                begin,
                ops,
                seed,
            })
        },
    )
}

/// All that can be seen of a stream.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    sent: String,
    events: Vec<String>,
    stanzas: usize,
    asked: Vec<u64>,
    answered: Vec<u64>,
    ended: Option<Result<(), Error>>,
    /// Whether the machine takes input, at the end of each operation.
    open: Vec<bool>,
}

/// One end of a client's stream.
trait Bound: Simulated {
    fn nothing() -> Self::Answer;
    fn bound(stream: &Stream<Self>) -> Option<&FullJid>;
    fn handled(stream: &mut Stream<Self>, count: u32, out: &mut Vec<u8>);
    fn ask(stream: &mut Stream<Self>, now: Instant, out: &mut Vec<u8>) -> bool;
    fn counts(stream: &Stream<Self>) -> Option<Counts>;
}

impl Bound for Client {
    fn nothing() -> ClientAnswer {
        ClientAnswer::Unavailable
    }

    fn bound(stream: &ClientStream) -> Option<&FullJid> {
        stream.jid()
    }

    fn handled(stream: &mut ClientStream, count: u32, out: &mut Vec<u8>) {
        stream.handled(count, out);
    }

    fn ask(stream: &mut ClientStream, now: Instant, out: &mut Vec<u8>) -> bool {
        stream.request_ack(now, out)
    }

    fn counts(stream: &ClientStream) -> Option<Counts> {
        let resumption = stream.resumption().filter(|_| stream.jid().is_some());
        resumption.map(|resumption| resumption.counts().clone())
    }
}

impl Bound for Server {
    fn nothing() -> ServerAnswer {
        ServerAnswer::Unavailable
    }

    fn bound(stream: &ServerStream) -> Option<&FullJid> {
        stream.jid()
    }

    fn handled(stream: &mut ServerStream, count: u32, out: &mut Vec<u8>) {
        stream.handled(count, out);
    }

    fn ask(stream: &mut ServerStream, now: Instant, out: &mut Vec<u8>) -> bool {
        stream.request_ack(now, out)
    }

    fn counts(stream: &ServerStream) -> Option<Counts> {
        stream.counts().cloned()
    }
}

/// A stream with an adapter around it that holds what the machine has not taken.
struct Run<S: Bound> {
    stream: Stream<S>,
    now: Instant,
    accounts: Accounts,
    answers: bool,
    asked: Option<(Ticket, S::Ask)>,
    pending: Vec<u8>,
    seen: Seen,
}

/// On a WebSocket TLS is there from the start (RFC 7395 section 3.9).
fn tls(framing: Framing) -> TlsPolicy {
    if framing == Framing::Messages { TlsPolicy::Direct } else { TlsPolicy::Required }
}

impl Run<Client> {
    fn client(story: &Story) -> Self {
        let mut config = common::config();
        (config.tls, config.framing, config.limits.output) = (tls(story.framing), story.framing, OUTPUT);
        config.sasl2 = story.sasl2;
        config.resource = (!story.sasl2).then(|| "r".into());
        (config.agent, config.request_token) = (Some("a".into()), true);
        // It begins ahead, or waits for the features.
        let known = ["", "\n+ber opaque v"][usize::from(story.seed.is_multiple_of(2))];
        let token = format!("balcony-token-1\njuliet@example.com\na\nHT-SHA-256-NONE\n1\nt{known}");
        config.token = Token::from_text(&token);
        let mut stream = ClientStream::new(Arc::new(config), Seed::from_u64(story.seed), Instant::ZERO);
        if story.resumes {
            stream.resume(suspended()).unwrap();
        }
        Run::new(stream, story)
    }
}

impl Run<Server> {
    fn server(story: &Story) -> Self {
        let domains = vec!["example.com".parse().unwrap()];
        let mut config = ServerStreamConfig::new(domains, Secret::new([9; 32]));
        (config.tls, config.framing, config.limits.output) = (tls(story.framing), story.framing, OUTPUT);
        config.registration = true;
        config.management = true;
        config.upgrades = Hash::all().to_vec();
        config.tokens = Mechanism::for_tokens().to_vec();
        Run::new(ServerStream::new(Arc::new(config), Seed::from_u64(story.seed), Instant::ZERO), story)
    }
}

/// Juliet, who has no keys for SHA-256.
fn accounts() -> Accounts {
    static KEYS: LazyLock<Credentials> = LazyLock::new(|| {
        let mut keys = Credentials::derive("pencil", b"salt of the tests", 4096).unwrap();
        keys.sha256 = None;
        keys
    });
    Accounts::new().with_credentials(&"juliet@example.com".parse().unwrap(), KEYS.clone())
}

/// A session in which one message was sent, and none has come.
fn suspended() -> Resumption {
    let mut client = common::Client::secured(None, |_| {});
    client.feed(&[HEADER, OFFER, SUCCESS, HEADER, BIND_SM, BOUND, ENABLED].concat());
    client.stream.send(&Stanza::message(MessageType::Chat), &mut client.out).unwrap();
    client.stream.resumption().unwrap()
}

impl<S: Bound> Run<S> {
    fn new(mut stream: Stream<S>, story: &Story) -> Self {
        if tls(story.framing) == TlsPolicy::Direct {
            stream.secured(Security::new(Some(EXPORTER))).unwrap();
        }
        Run {
            stream,
            now: Instant::ZERO,
            accounts: accounts(),
            answers: true,
            asked: None,
            pending: Vec::new(),
            seen: Seen::default(),
        }
    }

    /// Does what can be done.
    fn pump(&mut self) {
        let mut out = Vec::new();
        // Whatever the input, it ends: each turn takes input, or makes an event out of what was taken.
        for _ in 0..10_000 {
            if self.answers
                && let Some((ticket, ask)) = self.asked.take()
            {
                let answer = self.accounts.answer(ask);
                if self.stream.answer(ticket, answer).is_ok() {
                    self.seen.answered.push(ticket.0);
                }
            }
            let mut input = self.pending.as_slice();
            let result = self.stream.advance(self.now, &mut input, &mut out);
            let taken = self.pending.len() - input.len();
            self.pending.drain(..taken);
            assert!(out.len() < OUTPUT + REPLY, "{} bytes of output", out.len());
            match result {
                Ok(Progress::Event(event)) => self.event(event),
                Ok(Progress::Blocked(On::OutputFull)) => {
                    assert!(out.len() >= OUTPUT);
                    self.sent(core::mem::take(&mut out));
                }
                Ok(Progress::Blocked(On::Answer)) if self.answers && self.asked.is_some() => {}
                Ok(Progress::NeedInput) => {
                    assert!(self.pending.is_empty());
                    return self.sent(out);
                }
                Ok(Progress::Blocked(_)) => return self.sent(out),
                Ok(Progress::Closed) => return self.end(out, Ok(())),
                Err(error) => return self.end(out, Err(error)),
            }
        }
        panic!("this never ends: {:?}", self.seen);
    }

    fn event(&mut self, event: S::Event) {
        self.seen.events.push(format!("{event:?}"));
        match S::sort(event) {
            Sorted::StartTls => self.stream.secured(Security::new(Some(EXPORTER))).unwrap(),
            Sorted::Ask(ticket, ask) => {
                assert!(self.seen.asked.iter().all(|asked| *asked != ticket.0), "a ticket is used twice");
                self.seen.asked.push(ticket.0);
                self.asked = Some((ticket, ask));
            }
            Sorted::Stanza(stanza) => {
                let mut wire = Vec::new();
                stanza.write(&mut wire);
                self.seen.events.push(String::from_utf8(wire).unwrap());
                self.seen.stanzas += 1;
                assert!(S::bound(&self.stream).is_some(), "a stanza before a resource was bound");
            }
            Sorted::Other(event) => {
                let told = format!("{event:?}");
                let jid = S::bound(&self.stream).map(|jid| format!("Bound({jid:?})"));
                assert!(!told.starts_with("Bound(") || Some(told) == jid, "{jid:?}");
            }
        }
    }

    fn sent(&mut self, out: Vec<u8>) {
        self.seen.sent.push_str(&String::from_utf8(out).unwrap());
    }

    /// The end: from here on nothing changes any more, whatever is done.
    fn end(&mut self, out: Vec<u8>, how: Result<(), Error>) {
        self.sent(out);
        if let Some(before) = &self.seen.ended {
            assert_eq!(before, &how);
        }
        self.seen.ended = Some(how.clone());
        // Whatever peers and owners do, it is no fault of ours.
        let fault = StreamCondition::InternalServerError;
        assert!(!matches!(&how, Err(Error::Local(error)) if error.condition == fault), "{:?}", self.seen);
        let mut out = Vec::new();
        for text in ["", "<message/>", HEADER, "\u{1}"] {
            match (self.stream.advance(self.now, &mut text.as_bytes(), &mut out), &how) {
                (Ok(Progress::Closed), Ok(())) => {}
                (Err(again), Err(error)) => assert_eq!(again, *error),
                other => panic!("{other:?}"),
            }
        }
        self.stream.close(self.now, &mut out);
        self.stream.abort(StreamCondition::Reset.into(), &mut out);
        assert!(self.stream.send(&Stanza::message(MessageType::Chat), &mut out).is_err());
        assert!(self.stream.secured(Security::default()).is_err());
        for ticket in &self.seen.asked {
            assert!(self.stream.answer(Ticket(*ticket), S::nothing()).is_err());
        }
        assert_eq!(self.stream.eof(self.now, &mut out).err(), how.err());
        assert_eq!((self.stream.deadline(), self.stream.is_open()), (None, false));
        assert!(out.is_empty(), "{}", String::from_utf8_lossy(&out));
    }

    fn feed(&mut self, bytes: &[u8], cut: &mut impl FnMut() -> usize) {
        let mut rest = bytes;
        while !rest.is_empty() && self.seen.ended.is_none() {
            let (now, later) = rest.split_at(cut().clamp(1, rest.len()));
            self.pending.extend_from_slice(now);
            rest = later;
            self.pump();
        }
    }

    fn apply(&mut self, op: &Op, cut: &mut impl FnMut() -> usize) {
        let mut out = Vec::new();
        match op {
            Op::Feed(bytes) => self.feed(bytes, cut),
            Op::Answer(answers) => self.answers = *answers,
            Op::Send => {
                let open = self.stream.is_open();
                let sent = self.stream.send(&Stanza::message(MessageType::Chat), &mut out);
                assert_eq!((sent.is_ok(), out.is_empty()), (open, !open));
            }
            Op::Handle(count) => {
                S::handled(&mut self.stream, *count, &mut out);
                // XEP-0198 §4 [SM7, SM11]
                let h = S::counts(&self.stream).map_or(0, |counts| counts.h());
                assert!(h as usize <= self.seen.stanzas + self.seen.sent.matches("type='error'").count());
            }
            Op::Ask => {
                let is_counted = S::counts(&self.stream).is_some();
                let asked = S::ask(&mut self.stream, self.now, &mut out);
                assert_eq!((asked, out.is_empty()), (!out.is_empty(), !asked));
                assert!(!asked || self.stream.is_open());
                assert!(asked || !is_counted || !self.stream.is_open());
            }
            Op::Close => self.stream.close(self.now, &mut out),
            Op::Abort => self.stream.abort(StreamCondition::Reset.into(), &mut out),
            Op::Wait(millis) => self.now = self.now + Duration::from_millis(*millis),
            Op::Deadline => {
                self.now = self.stream.deadline().map_or(self.now, |deadline| deadline.at.max(self.now))
            }
            Op::Eof => {
                self.pump();
                if self.seen.ended.is_none() {
                    match self.stream.eof(self.now, &mut out) {
                        Ok(Progress::Closed) => return self.end(out, Ok(())),
                        Ok(other) => panic!("{other:?}"),
                        Err(error) => return self.end(out, Err(error)),
                    }
                }
            }
        }
        self.sent(out);
        if self.seen.ended.is_none() {
            self.pump();
            // What was due is done, whatever the stream waits for.
            let next = self.stream.deadline();
            assert!(next.is_none_or(|next| next.at > self.now), "{next:?}");
        }
        self.seen.open.push(self.stream.is_open());
    }
}

fn run(story: &Story, cut: impl FnMut() -> usize) -> Seen {
    match story.role {
        Role::Client => play(Run::client(story), story, cut),
        Role::Server => play(Run::server(story), story, cut),
    }
}

fn play<S: Bound>(mut run: Run<S>, story: &Story, mut cut: impl FnMut() -> usize) -> Seen {
    run.pump();
    // On a WebSocket there is neither STARTTLS nor what comes before it.
    let skip = match (story.framing, story.role) {
        (Framing::Document, _) => 0,
        (Framing::Messages, Role::Client) => 3,
        (Framing::Messages, Role::Server) => 2,
    };
    for element in script(story.role, story.sasl2)[..story.begin].iter().skip(skip) {
        run.feed(&framed(element, story.framing), &mut cut);
    }
    for op in &story.ops {
        run.apply(op, &mut cut);
        if run.seen.ended.is_some() {
            break;
        }
    }
    // Nothing waits for ever: as long as there is a deadline it comes, and at last there is none but the peer's silence.
    run.answers = false;
    for _ in 0..4 {
        if run.seen.ended.is_none() {
            run.apply(&Op::Deadline, &mut cut);
        }
    }
    assert!(run.seen.ended.is_some(), "{:?}", run.seen);
    // RFC 6120 §4.4: after the closing tag nothing is sent.
    let close = String::from_utf8(framed(CLOSE, story.framing)).unwrap();
    assert!(run.seen.sent.split_once(&close).is_none_or(|(_, rest)| rest.is_empty()), "{:?}", run.seen);
    run.seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    // habits.md invariants 1, 3, 5 and 6.
    #[test]
    fn a_stream_keeps_its_promises(story in story()) {
        let whole = run(&story, || usize::MAX);
        prop_assert_eq!(&whole, &run(&story, || 1));
        let mut random = Seed::from_u64(story.seed).random();
        prop_assert_eq!(&whole, &run(&story, || usize::try_from(random.next_u64() % 64).unwrap()));
        prop_assert_eq!(&whole, &run(&story, || usize::MAX));
    }
}

/// The scripts lead where they should, or the property would be about nothing.
#[test]
fn the_scripts_bind_a_resource() {
    for role in [Role::Client, Role::Server] {
        for framing in [Framing::Document, Framing::Messages] {
            for sasl2 in [false, true] {
                let mut story =
                    Story { role, framing, sasl2, resumes: false, begin: 0, ops: Vec::new(), seed: 1 };
                story.begin = script(role, sasl2).len();
                let seen = run(&story, || usize::MAX);
                let bound = seen.events.iter().filter(|event| event.starts_with("Bound(")).count();
                assert_eq!(bound, 1, "{story:?}: {seen:?}");
                assert!(seen.events.iter().any(|event| event.starts_with("Enabled")), "{seen:?}");
            }
        }
    }
}
