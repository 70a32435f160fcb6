//! The invariants of habits.md for streams between servers and of components, whatever the peer sends and the owner does.

#![allow(clippy::unwrap_used)]

mod scripted;

use core::time::Duration;
use std::sync::Arc;

use balcony_machine::{Instant, Limits, Progress, Secret, Seed};
use balcony_stanza::{MessageType, Stanza, StreamCondition};
use balcony_stream::component::{
    Component, ComponentAnswer, ComponentInitiatingConfig, ComponentReceivingConfig,
};
use balcony_stream::s2s::{S2s, S2sAnswer, S2sInitiatingConfig, S2sReceivingConfig, Verdict, Verification};
use balcony_stream::{ComponentStream, Counts, S2sStream, Side, Stream, TlsPolicy};
use proptest::prelude::*;
use proptest::sample::select;
use scripted::{End, STREAM, proving};

/// The most pairs of a stream: few, so that there are too many soon.
const PAIRS: usize = 3;

const HEADER: &str = "<stream:stream from='a.example' to='b.example' id='i' version='1.0' {}>";
const AUTH: &str = "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>YS5leGFtcGxl</auth>";
const RESULT: &str = "<db:result from='a.example' to='b.example'>k</db:result>";
const VALID: &str = "<db:result from='b.example' to='a.example' type='valid'/>";
const FEATURES: &str =
    "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback></stream:features>";
const EXTERNAL: &str = "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
     <mechanism>EXTERNAL</mechanism></mechanisms></stream:features>";
const SUCCESS: &str = "<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>";
const MANAGED: &str = "<stream:features><sm xmlns='urn:xmpp:sm:3'/></stream:features>";
const BIDI: &str = "<bidi xmlns='urn:xmpp:bidi'/>";
const ENABLE: &str = "<enable xmlns='urn:xmpp:sm:3' resume='true'/>";
const ENABLED: &str = "<enabled xmlns='urn:xmpp:sm:3' id='s' resume='true'/>";
const RESUME: &str = "<resume xmlns='urn:xmpp:sm:3' previd='s' h='0'/>";
const R: &str = "<r xmlns='urn:xmpp:sm:3'/>";
const A0: &str = "<a xmlns='urn:xmpp:sm:3' h='0'/>";
const A1: &str = "<a xmlns='urn:xmpp:sm:3' h='1'/>";

/// What servers send that open a stream, and the stream mostly goes on; `{}` are the namespaces of the header.
const FROM_SERVER: &[&str] = &[
    RESULT,
    "<db:result from='c.example' to='b.example'>k</db:result>",
    "<db:result from='d.example' to='chat.b.example'>k</db:result>",
    "<db:result from='e.example' to='x.example'>k</db:result>",
    "<db:verify from='a.example' to='b.example' id='x'>k</db:verify>",
    VALID,
    "<message from='x@a.example/r' to='y@b.example'><body>Hi</body></message>",
    "<iq type='get' id='&lt;2&gt;' from='a.example' to='b.example'/>",
    ENABLE,
    RESUME,
    R,
    A0,
    A1,
    " ",
];
/// What those send that accept one.
const TO_SERVER: &[&str] = &[
    VALID,
    "<db:result from='b.example' to='a.example' type='invalid'/>",
    "<db:result from='b.example' to='0.example' type='valid'/>",
    "<db:result from='b.example' to='1.example' type='error'/>",
    "<db:verify from='b.example' to='a.example' id='0' type='valid'/>",
    "<db:verify from='b.example' to='a.example' id='1' type='error'/>",
    RESULT,
    ENABLED,
    "<failed xmlns='urn:xmpp:sm:3' h='1'/>",
    "<resumed xmlns='urn:xmpp:sm:3' previd='s' h='0'/>",
    R,
    A0,
    A1,
    "<message from='y@b.example' to='x@a.example/r'/>",
    " ",
];
/// What components and their servers send.
const COMPONENT: &[&str] = &[
    "<message from='x@b.example/r' to='b.example'><body>Hi</body></message>",
    "<presence from='b.example' to='b.example' xml:lang='it'/>",
    "<iq type='get' id='&lt;2&gt;' from='b.example' to='b.example'/>",
    "<iq type='error' id='3' from='b.example' to='b.example'/>",
    " ",
];
/// What has no place in most streams, or at most times.
const OTHERS: &[&str] = &[
    HEADER,
    "<stream:stream to='c.example' {}>",
    "<stream:features/>",
    "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>",
    EXTERNAL,
    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
    AUTH,
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'/>",
    "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='EXTERNAL'>Yg==</auth>",
    "<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    "<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>",
    SUCCESS,
    "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
    "<db:result/>",
    "<handshake/>",
    "<handshake>0</handshake>",
    "<message from='x@c.example' to='b.example'/>",
    "<presence/>",
    "<order xmlns='urn:example'/>",
    "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
    "</stream:stream>",
    "text",
    "<",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    ToServer,
    FromServer,
    ToHost,
    FromComponent,
}

/// What happens to a stream.
#[derive(Clone, Debug)]
enum Op {
    Feed(&'static str),
    /// A component that knows the secret.
    Shake,
    Answer(bool),
    Authorize(u8),
    Verify(u8),
    Send,
    AskAck,
    Unread,
    AskAbout,
    Close,
    Abort,
    Wait(u64),
    Deadline,
}

/// How a stream in this role begins well, in three ways, and what it then mostly hears.
fn usual(role: Role) -> ([Vec<Op>; 3], &'static [&'static str]) {
    use Op::{Answer, Feed, Shake};
    match role {
        Role::ToServer => (
            [
                vec![Feed(HEADER), Feed(FEATURES), Feed(VALID)],
                vec![Feed(HEADER), Feed(EXTERNAL), Feed(SUCCESS), Feed(HEADER), Feed(FEATURES)],
                vec![Feed(HEADER), Feed(EXTERNAL), Feed(SUCCESS), Feed(HEADER), Feed(MANAGED), Feed(ENABLED)],
            ],
            TO_SERVER,
        ),
        Role::FromServer => (
            [
                vec![Feed(HEADER), Feed(RESULT), Answer(true)],
                vec![Feed(HEADER), Feed(AUTH), Feed(HEADER)],
                vec![Feed(HEADER), Feed(BIDI), Feed(AUTH), Feed(HEADER), Feed(ENABLE)],
            ],
            FROM_SERVER,
        ),
        Role::ToHost => ([vec![], vec![Feed(HEADER)], vec![Feed(HEADER), Feed("<handshake/>")]], COMPONENT),
        Role::FromComponent => {
            ([vec![], vec![Feed(HEADER)], vec![Feed(HEADER), Shake, Answer(true)]], COMPONENT)
        }
    }
}

/// A good begin, as far as it goes, and then anything.
fn ops(role: Role) -> impl Strategy<Value = Vec<Op>> {
    let (begins, pieces) = usual(role);
    let op = prop_oneof![
        12 => select(pieces).prop_map(Op::Feed),
        1 => select(OTHERS).prop_map(Op::Feed),
        3 => any::<bool>().prop_map(Op::Answer),
        2 => (0..4_u8).prop_map(Op::Authorize),
        2 => (0..4_u8).prop_map(Op::Verify),
        2 => Just(Op::Send),
        2 => prop_oneof![Just(Op::AskAck), Just(Op::Unread), Just(Op::AskAbout)],
        2 => (0..40_u64).prop_map(Op::Wait),
        1 => prop_oneof![Just(Op::Close), Just(Op::Abort), Just(Op::Shake)],
        2 => Just(Op::Deadline),
    ];
    let length = prop_oneof![3 => Just(usize::MAX), 1 => 0..5_usize];
    (select(begins.to_vec()), length, proptest::collection::vec(op, 1..40)).prop_map(
        |(mut begin, length, ops)| {
            begin.truncate(length);
            begin.extend(ops);
            begin
        },
    )
}

/// What only some of these roles can do.
trait Play: Side {
    fn answer(good: bool) -> Self::Answer;
    fn authorize(_: &mut Stream<Self>, _from: &str, _to: &str) {}
    fn verify(_: &mut Stream<Self>, _now: Instant, _: Verification) {}
    fn goes_both_ways(_: &Stream<Self>) -> bool {
        false
    }
    fn ask_ack(_: &mut End<Self>) {}
    fn unread(_: &mut End<Self>) {}
    fn ask_about(_: &mut Stream<Self>) {}
}

impl Play for S2s {
    fn answer(good: bool) -> S2sAnswer {
        S2sAnswer::Verdict(if good { Verdict::Valid } else { Verdict::Invalid })
    }

    fn authorize(stream: &mut S2sStream, from: &str, to: &str) {
        let _ = stream.authorize(from.parse().unwrap(), to.parse().unwrap());
    }

    fn verify(stream: &mut S2sStream, now: Instant, verification: Verification) {
        let _ = stream.verify(now, verification);
    }

    fn goes_both_ways(stream: &S2sStream) -> bool {
        stream.is_bidirectional()
    }

    fn ask_ack(end: &mut End<S2s>) {
        let is_counted = end.stream.counts().is_some() && end.stream.is_open();
        assert_eq!(end.stream.request_ack(end.now, &mut end.out), is_counted);
    }

    fn unread(end: &mut End<S2s>) {
        end.stream.unread(end.now, &mut end.out);
    }

    fn ask_about(stream: &mut S2sStream) {
        let _ = stream.ask_about("s".into(), Counts::default());
    }
}

impl Play for Component {
    fn answer(good: bool) -> ComponentAnswer {
        ComponentAnswer::Attached(good)
    }
}

fn domain(text: &str) -> balcony_jid::BareJid {
    text.parse().unwrap()
}

fn secret() -> Secret<String> {
    Secret::new(String::from("secret"))
}

fn server(role: Role, tls: TlsPolicy, proven: bool, dialback: bool) -> End<S2s> {
    let seed = Seed::from_u64(1);
    let mut limits = Limits::default();
    limits.domain_pairs = PAIRS;
    let mut end = End::new(if role == Role::ToServer {
        let mut config = S2sInitiatingConfig::new(domain("a.example"), domain("b.example"));
        (config.tls, config.dialback, config.limits) = (tls, Some(secret()), limits);
        (config.management, config.bidi) = (true, true);
        S2sStream::initiating(Arc::new(config), seed, Instant::ZERO)
    } else {
        let mut config = S2sReceivingConfig::new(vec![domain("b.example"), domain("chat.b.example")]);
        (config.tls, config.dialback, config.limits) = (tls, dialback.then(secret), limits);
        (config.management, config.bidi, config.vouching) = (true, true, true);
        S2sStream::receiving(Arc::new(config), seed, Instant::ZERO)
    });
    end.security = proving(if proven { &["a.example"] } else { &[] });
    if tls == TlsPolicy::Direct {
        end.stream.secured(end.security.clone()).unwrap();
    }
    end
}

fn component(role: Role) -> End<Component> {
    let seed = Seed::from_u64(1);
    End::new(if role == Role::ToHost {
        let config = ComponentInitiatingConfig::new(domain("b.example"), secret());
        ComponentStream::initiating(Arc::new(config), seed, Instant::ZERO)
    } else {
        let components = vec![(domain("b.example"), secret())];
        let config = ComponentReceivingConfig::new(domain("example.com"), components);
        ComponentStream::receiving(Arc::new(config), seed, Instant::ZERO)
    })
}

fn namespaces(role: Role) -> String {
    let content = match role {
        Role::ToServer | Role::FromServer => "jabber:server' xmlns:db='jabber:server:dialback",
        Role::ToHost | Role::FromComponent => "jabber:component:accept",
    };
    format!("xmlns:stream='{STREAM}' xmlns='{content}'")
}

/// Does it all, feeding pieces of `size` bytes, and checks at each step what must always hold.
fn play<S: Play>(mut end: End<S>, role: Role, ops: &[Op], size: usize) -> (Vec<u8>, String, usize) {
    let feed = |end: &mut End<S>, text: &str| {
        for piece in text.as_bytes().chunks(size) {
            // All texts of a peer here are ASCII.
            end.feed(core::str::from_utf8(piece).unwrap());
        }
        end.feed("");
    };
    for op in ops {
        let sent = end.out.len();
        match op {
            Op::Feed(text) => feed(&mut end, &text.replace("{}", &namespaces(role))),
            Op::Shake => {
                use sha1::{Digest as _, Sha1};
                let output = end.output();
                let id = output.rsplit_once(" id='").map_or("", |(_, id)| id.split('\'').next().unwrap());
                let digest = Sha1::digest([id, "secret"].concat());
                let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
                feed(&mut end, &format!("<handshake>{digest}</handshake>"));
            }
            Op::Answer(good) => {
                if let Some((ticket, _)) = (!end.asks.is_empty()).then(|| end.asks.remove(0)) {
                    // It may have expired, or the stream has.
                    let _ = end.stream.answer(ticket, S::answer(*good));
                    // Once at most.
                    assert!(end.stream.answer(ticket, S::answer(true)).is_err());
                    feed(&mut end, "");
                }
            }
            Op::Authorize(n) => {
                S::authorize(&mut end.stream, &format!("{n}.example"), "b.example");
                feed(&mut end, "");
            }
            Op::Verify(n) => {
                let (from, to) = ("b.example".parse().unwrap(), "a.example".parse().unwrap());
                let verification = Verification { from, to, id: n.to_string(), key: "k".into() };
                S::verify(&mut end.stream, end.now, verification);
                feed(&mut end, "");
            }
            Op::Send => {
                let (from, to) = match role {
                    Role::FromServer => ("y@b.example", "x@a.example"),
                    _ => ("x@a.example", "y@b.example"),
                };
                let stanza = Stanza::message(MessageType::Chat)
                    .with_from(from.parse().unwrap())
                    .with_to(to.parse().unwrap());
                let is_open = end.stream.is_open();
                let sent = end.stream.send(&stanza, &mut end.out).is_ok();
                assert!(is_open || !sent);
                let goes_on = role != Role::FromServer || S::goes_both_ways(&end.stream);
                assert!(!sent || goes_on, "stanzas go one way");
            }
            Op::AskAck => S::ask_ack(&mut end),
            Op::Unread => S::unread(&mut end),
            Op::AskAbout => S::ask_about(&mut end.stream),
            Op::Close => end.stream.close(end.now, &mut end.out),
            Op::Abort => end.stream.abort(StreamCondition::Reset.into(), &mut end.out),
            Op::Wait(seconds) => {
                end.now = end.now + Duration::from_secs(*seconds);
                feed(&mut end, "");
            }
            Op::Deadline => {
                if let Some(deadline) = end.stream.deadline() {
                    end.now = end.now.max(deadline.at);
                    feed(&mut end, "");
                }
            }
        }
        // What was due is done, whatever the stream waits for.
        feed(&mut end, "");
        assert!(end.stream.deadline().is_none_or(|next| next.at > end.now), "{:?}", end.stream.deadline());
        // Nothing follows our closing tag.
        let before = &end.out[..sent];
        if before.ends_with(b"</stream:stream>") {
            assert_eq!(before.len(), end.out.len(), "{}", end.output());
        }
        // Between servers only what is authorised arrives.
        let happened = |what| end.told().lines().any(|event| event.starts_with(what));
        let (authorised, attached) = (happened("Authorized {"), happened("Attached("));
        assert!(end.stanzas.is_empty() || authorised || attached, "{:?}", end.events);
        assert!(end.stanzas.is_empty() || role != Role::ToServer || S::goes_both_ways(&end.stream));
        if let Some(Err(error)) = &end.ended {
            let again = end.stream.advance(end.now, &mut &b"<a/>"[..], &mut end.out);
            assert_eq!(again.as_ref().err(), Some(error), "errors stick");
            return (end.out.clone(), told(&end), end.asks.len());
        }
        if end.ended == Some(Ok(())) {
            let again = end.stream.advance(end.now, &mut &b""[..], &mut end.out);
            assert!(matches!(again, Ok(Progress::Closed)));
        }
        assert!(end.asks.len() <= PAIRS * ops.len());
    }
    (end.out.clone(), told(&end), end.asks.len())
}

fn told<S: Side>(end: &End<S>) -> String {
    format!("{:?} {:?}", end.stanzas, end.events)
}

fn scenario() -> impl Strategy<Value = (Role, Vec<Op>)> {
    select(vec![Role::ToServer, Role::FromServer, Role::ToHost, Role::FromComponent])
        .prop_flat_map(|role| (Just(role), ops(role)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    // habits.md invariants 1, 3, 5 and 6
    #[test]
    fn whatever_happens(
        (role, ops) in scenario(),
        tls in select(vec![TlsPolicy::Direct, TlsPolicy::Optional, TlsPolicy::None]),
        proven: bool,
        dialback: bool,
        size in 2..50_usize,
    ) {
        let run = |size| match role {
            Role::ToServer | Role::FromServer => play(server(role, tls, proven, dialback), role, &ops, size),
            Role::ToHost | Role::FromComponent => play(component(role), role, &ops, size),
        };
        let whole = run(usize::MAX);
        prop_assert_eq!(&whole, &run(1));
        prop_assert_eq!(&whole, &run(size));
    }
}
