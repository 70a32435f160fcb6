//! A client in front of a server that may send it anything: requests and their answers, and what it answers itself.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)]

use core::time::Duration;
use std::sync::Arc;

use balcony_client::{ClientConfig, ClientMachine, MachineEvent, RequestId, RequestKind, RequestOutcome};
use balcony_jid::Jid;
use balcony_machine::{Instant, Progress, Reason, Secret, Seed};
use balcony_sasl::ScramKeys;
use balcony_stanza::{ErrorCondition, ErrorType, IqType, Kind, MessageType, Payload, Stanza};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{ServerStream, TlsPolicy};

const OWN: &str = "juliet@example.com/balcony";
const ROMEO: &str = "romeo@example.com/garden";
const TIMEOUT: Duration = Duration::from_secs(30);
const ITEMS: &str = "<query xmlns='http://jabber.org/protocol/disco#items'/>";
const PING: &str = "<ping xmlns='urn:xmpp:ping'/>";

/// A client that is online, and the bytes of its server.
struct Duo {
    client: ClientMachine,
    server: ServerStream,
    now: Instant,
    /// What the client has sent since it was last asked.
    sent: Vec<Stanza>,
    stanzas: Vec<Stanza>,
    responses: Vec<(RequestId, RequestOutcome)>,
    closed: bool,
}

fn client(seed: u64, change: impl FnOnce(&mut ClientConfig)) -> ClientMachine {
    let trust = balcony_tls::TlsTrust::builder().dangerous_accept_any().build().unwrap();
    let mut config = ClientConfig::new("juliet@example.com".parse().unwrap(), Secret::new("pencil".into()))
        .with_tls(trust);
    config.stream.tls = TlsPolicy::None;
    change(&mut config);
    ClientMachine::new(config, &Seed::from_u64(seed), Instant::ZERO)
}

impl Duo {
    fn online(change: impl FnOnce(&mut ClientConfig)) -> Duo {
        Duo::online_with(client(1, change))
    }

    fn online_with(client: ClientMachine) -> Duo {
        let mut receiving =
            ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        receiving.tls = TlsPolicy::None;
        let mut duo = Duo {
            client,
            server: ServerStream::new(Arc::new(receiving), Seed::from_u64(2), Instant::ZERO),
            now: Instant::ZERO,
            sent: Vec::new(),
            stanzas: Vec::new(),
            responses: Vec::new(),
            closed: false,
        };
        duo.receive(&[]);
        assert_eq!(duo.client.jid().unwrap().as_str(), OWN);
        duo
    }

    /// The client takes these bytes, and the server takes what it says to them, and so on.
    fn receive(&mut self, bytes: &[u8]) {
        let mut down = bytes.to_vec();
        loop {
            let (mut input, mut up) = (down.as_slice(), Vec::new());
            loop {
                match self.client.advance(self.now, &mut input, &mut up).unwrap() {
                    Progress::Event(MachineEvent::Ask(ticket, ask)) => {
                        self.client.answer(ticket, balcony_client::answer(ask)).unwrap();
                    }
                    Progress::Event(MachineEvent::Stanza(stanza)) => self.stanzas.push(*stanza),
                    Progress::Event(MachineEvent::Response(request, outcome)) => {
                        self.responses.push((request, outcome))
                    }
                    Progress::Event(_) => {}
                    Progress::Closed => {
                        self.closed = true;
                        break;
                    }
                    Progress::NeedInput | Progress::Blocked(_) => break,
                }
            }
            down = self.serve(&up);
            if down.is_empty() {
                return;
            }
        }
    }

    /// What the server says to the bytes of the client.
    fn serve(&mut self, mut input: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        while let Progress::Event(event) = self.server.advance(self.now, &mut input, &mut out).unwrap() {
            match event {
                ServerEvent::Ask(ticket, ask) => match *ask {
                    ServerAsk::Credentials { hash, .. } => {
                        let keys = ScramKeys::derive(hash, "pencil", b"salt", 4096).unwrap();
                        self.server.answer(ticket, ServerAnswer::Credentials(Some(keys))).unwrap();
                    }
                    ServerAsk::Bind { account, .. } => {
                        let jid = account.with_resource("balcony").unwrap();
                        self.server.answer(ticket, ServerAnswer::Bound(Ok(jid))).unwrap();
                    }
                    _ => {}
                },
                ServerEvent::Stanza(stanza) => self.sent.push(*stanza),
                _ => {}
            }
        }
        out
    }

    /// The server delivers this.
    fn deliver(&mut self, xml: &str) {
        self.receive(xml.as_bytes());
    }

    /// Sends a ping; returns its name and its id on the wire.
    fn ping(&mut self, to: Option<&str>) -> (RequestId, String) {
        let mut out = Vec::new();
        let to = to.map(|to| to.parse::<Jid>().unwrap());
        let request =
            self.client.request(self.now, RequestKind::Get, to.clone(), ping(), TIMEOUT, &mut out).unwrap();
        assert!(self.serve(&out).is_empty());
        let stanza = self.sent.pop().unwrap();
        assert_eq!((stanza.head.kind, stanza.head.to), (Kind::Iq(IqType::Get), to));
        (request, stanza.head.id.unwrap().to_string())
    }

    /// The one thing that the client has said.
    fn reply(&mut self) -> Stanza {
        assert_eq!(self.sent.len(), 1, "{:?}", self.sent);
        self.sent.remove(0)
    }
}

fn ping() -> Payload {
    Payload::from(balcony_xep::ping::Ping.to_element())
}

fn text(stanza: &Stanza) -> &str {
    core::str::from_utf8(stanza.payload.as_bytes()).unwrap()
}

// RFC 6120 §8.1.2.1, §8.2.3: response spoofing (CWE-346). Ids can be guessed or seen; in several clients and libraries
// whoever knew one could answer in somebody else's place, since the sender or the kind of the stanza was not looked at.
#[test]
fn an_answer_belongs_to_its_request_by_peer_id_and_kind() {
    for to in [ROMEO, "example.com", "pubsub.example.com", "romeo@example.com"] {
        let mut duo = Duo::online(|_| {});
        let (request, id) = duo.ping(Some(to));
        let mut forged = 0;
        for from in [
            "from='mallory@example.com/x'",
            "from='romeo@example.com/other'",
            "from='romeo@example.com.mallory.example/garden'",
            "from='mallory.example'",
            &format!("from='{OWN}'"),
            "from='juliet@example.com'",
            "",
        ] {
            for kind in ["result", "error"] {
                duo.deliver(&format!("<iq type='{kind}' id='{id}' {from}/>"));
                forged += 1;
            }
        }
        // The right sender, and the wrong kind or id.
        for xml in [
            format!("<message from='{to}' id='{id}'/>"),
            format!("<presence from='{to}' id='{id}'/>"),
            format!("<iq type='result' from='{to}' id='{id}0'/>"),
            format!("<iq type='result' from='{to}' id='{}'/>", id.replace('-', "-+")),
            format!("<iq type='result' from='{to}' id='{}'/>", id.replace('-', "-0")),
            format!("<iq type='result' from='{to}' id='0'/>"),
            format!("<iq type='result' from='{to}' id='{}'/>", id.to_uppercase()),
        ] {
            duo.deliver(&xml);
            forged += 1;
        }
        duo.deliver(&format!("<iq type='get' from='{to}' id='{id}'>{PING}</iq>"));
        assert_eq!(duo.reply().head.kind, Kind::Iq(IqType::Result));
        // They come to the owner as what they are: stanzas that answer nothing.
        assert_eq!((duo.responses.len(), duo.stanzas.len()), (0, forged), "{to}");
        duo.deliver(&format!("<iq type='result' id='{id}' from='{to}'/>"));
        assert!(
            matches!(&duo.responses[..], [(answered, RequestOutcome::Result(_))] if *answered == request),
            "{to}: {:?}",
            duo.responses
        );
        // Once.
        duo.deliver(&format!("<iq type='result' id='{id}' from='{to}'/>"));
        assert_eq!((duo.responses.len(), duo.stanzas.len()), (1, forged + 1));
        assert!(duo.sent.is_empty(), "an answer is never answered: {:?}", duo.sent);
    }
}

// RFC 6120 §8.1.2.1 [ST6] [ST7], §10.3.3: our account is answered for by our server, in several ways.
#[test]
fn requests_to_our_own_account() {
    let (domain, bare, full) = ("example.com", "juliet@example.com", OWN);
    for (to, from, answers) in [
        (None, None, true),
        (None, Some(bare), true),
        (None, Some(full), true),
        (None, Some(domain), true),
        (Some(bare), None, true),
        (Some(bare), Some(bare), true),
        (Some(domain), Some(domain), true),
        (None, Some("juliet@example.com/other"), false),
        (None, Some("example.com/x"), false),
        (None, Some("mallory@example.com"), false),
        (None, Some("mallory.example"), false),
        (Some(bare), Some("juliet@example.com/other"), false),
        (Some(bare), Some("mallory@example.com"), false),
        (Some(domain), Some(bare), false),
        (Some("juliet@example.com/other"), None, false),
        (Some("juliet@example.com/other"), Some(bare), false),
    ] {
        let mut duo = Duo::online(|_| {});
        let (_, id) = duo.ping(to);
        let from = from.map(|from| format!(" from='{from}'")).unwrap_or_default();
        duo.deliver(&format!("<iq type='result' id='{id}'{from}/>"));
        assert_eq!(duo.responses.len(), usize::from(answers), "{to:?} {from}");
    }
}

// RFC 6120 §8.2.3 stanza-iq-reply
#[test]
fn outcomes() {
    let mut duo = Duo::online(|_| {});
    let requests: Vec<_> = (0..4).map(|_| duo.ping(Some(ROMEO))).collect();
    let answer = |kind: &str, id: &str, content: &str| {
        format!("<iq type='{kind}' id='{id}' from='{ROMEO}'>{content}</iq>")
    };
    // In any order.
    duo.deliver(&answer("error", &requests[3].1, PING));
    duo.deliver(&answer(
        "error",
        &requests[2].1,
        "<ping xmlns='urn:xmpp:ping'/><error type='wait'><policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>\
         <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>Slowly</text></error>",
    ));
    duo.deliver(&answer("result", &requests[1].1, "<a xmlns='urn:a'/>"));
    duo.deliver(&answer("result", &requests[0].1, ""));
    let outcomes: Vec<_> = duo.responses.iter().map(|(_, outcome)| outcome).collect();
    let [
        RequestOutcome::Error(bare),
        RequestOutcome::Error(error),
        RequestOutcome::Result(full),
        RequestOutcome::Result(empty),
    ] = outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert_eq!(bare.condition, ErrorCondition::UndefinedCondition);
    assert_eq!((error.condition, error.kind), (ErrorCondition::PolicyViolation, ErrorType::Wait));
    assert_eq!(error.text.as_deref(), Some("Slowly"));
    assert_eq!(text(full), "<a xmlns='urn:a'/>");
    assert!(empty.payload.is_empty());
    let names: Vec<_> = duo.responses.iter().map(|(request, _)| *request).collect();
    assert_eq!(names, [requests[3].0, requests[2].0, requests[1].0, requests[0].0]);
}

// habits.md invariant 5: every request is answered once or expires.
#[test]
fn requests_expire() {
    let mut duo = Duo::online(|_| {});
    let (first, first_id) = duo.ping(Some(ROMEO));
    duo.now = duo.now + Duration::from_secs(10);
    let (second, _) = duo.ping(None);
    let deadline = duo.client.deadline().unwrap();
    assert_eq!((deadline.reason, deadline.at), (Reason::Request, Instant::ZERO + TIMEOUT));
    duo.now = Instant::from_nanos(deadline.at.as_nanos() - 1);
    duo.receive(&[]);
    assert!(duo.responses.is_empty());
    duo.now = deadline.at;
    duo.receive(&[]);
    assert_eq!(duo.responses, [(first, RequestOutcome::TimedOut)]);
    // What comes too late answers nothing any more.
    duo.deliver(&format!("<iq type='result' id='{first_id}' from='{ROMEO}'/>"));
    assert_eq!((duo.responses.len(), duo.stanzas.len()), (1, 1));
    duo.now = duo.client.deadline().unwrap().at;
    duo.receive(&[]);
    assert_eq!(duo.responses[1], (second, RequestOutcome::TimedOut));
    assert_ne!(duo.client.deadline().unwrap().reason, Reason::Request);
}

/// Nobody can know the id of a request from that of another stream.
#[test]
fn ids_differ() {
    let ids = |seed| {
        let mut duo = Duo::online_with(client(seed, |_| {}));
        [duo.ping(None).1, duo.ping(None).1, duo.ping(Some(ROMEO)).1]
    };
    let (first, second) = (ids(1), ids(2));
    for (index, id) in first.iter().enumerate() {
        assert!(
            id.len() >= 8 && !first[..index].contains(id) && !second.contains(id),
            "{first:?} {second:?}"
        );
    }
}

// XEP-0199 2.0 §4, XEP-0092 1.1 §2, XEP-0030 2.5 §3
#[test]
fn what_a_client_answers() {
    let mut duo = Duo::online(|config| {
        config.discovery =
            Some(balcony_client::Discovery::new("Bal<c>ony", "7").identity("client", "console"));
    });
    for from in [Some(ROMEO), Some("example.com"), None] {
        let from_attribute = from.map(|from| format!(" from='{from}'")).unwrap_or_default();
        let get = |content: &str| format!("<iq type='get' id='7' to='{OWN}'{from_attribute}>{content}</iq>");
        for (request, answer) in [
            (PING, ""),
            (
                "<query xmlns='jabber:iq:version'/>",
                "<query xmlns='jabber:iq:version'><name>Bal&lt;c&gt;ony</name><version>7</version></query>",
            ),
            (
                "<query xmlns='http://jabber.org/protocol/disco#info'/>",
                "<query xmlns='http://jabber.org/protocol/disco#info'>\
                 <identity category='client' type='console' name='Bal&lt;c&gt;ony'/>\
                 <feature var='http://jabber.org/protocol/disco#info'/><feature var='jabber:iq:version'/>\
                 <feature var='urn:xmpp:ping'/></query>",
            ),
            // Nothing belongs to it (XEP-0030 §4.1).
            (ITEMS, ITEMS),
        ] {
            duo.deliver(&get(request));
            let reply = duo.reply();
            assert_eq!((reply.head.kind, reply.head.id.as_deref()), (Kind::Iq(IqType::Result), Some("7")));
            assert_eq!(reply.head.to.as_ref().map(Jid::as_str), from);
            assert_eq!(reply.head.from.as_ref().map(Jid::as_str), Some(OWN));
            assert_eq!(text(&reply), answer);
        }
    }
    assert!(duo.stanzas.is_empty() && duo.responses.is_empty());
}

// XEP-0030 2.5 §3.3: what is asked about a node is not answered about the client.
#[test]
fn a_client_has_no_nodes() {
    let mut duo = Duo::online(|_| {});
    let query = "<query xmlns='http://jabber.org/protocol/disco#info' node='x'/>";
    duo.deliver(&format!("<iq type='get' id='7' from='{ROMEO}' to='{OWN}'>{query}</iq>"));
    let reply = duo.reply();
    assert_eq!(reply.head.kind, Kind::Iq(IqType::Error));
    assert!(text(&reply).contains("<item-not-found "), "{}", text(&reply));
}

// RFC 6120 §8.4 stanza-extension [ST13]
#[test]
fn unknown_requests_are_refused() {
    let mut duo = Duo::online(|_| {});
    for (kind, content) in [
        ("get", "<query xmlns='urn:example'/>"),
        ("set", "<query xmlns='urn:example'/>"),
        ("set", PING),
        ("set", "<query xmlns='jabber:iq:version'/>"),
        ("get", "<query xmlns='urn:xmpp:ping'/>"),
        ("get", "<ping/>"),
        ("set", "<query xmlns='http://jabber.org/protocol/disco#info'/>"),
        ("get", "<x xmlns='http://jabber.org/protocol/disco#info'/>"),
        ("set", ITEMS),
    ] {
        duo.deliver(&format!("<iq type='{kind}' id='7' from='{ROMEO}' to='{OWN}'>{content}</iq>"));
        let reply = duo.reply();
        assert_eq!((reply.head.kind, reply.head.id.as_deref()), (Kind::Iq(IqType::Error), Some("7")));
        assert_eq!(reply.head.to.as_ref().map(Jid::as_str), Some(ROMEO));
        assert!(text(&reply).contains("<service-unavailable "), "{content}: {}", text(&reply));
    }
    // Messages and presence are not: what is unknown in them is ignored.
    duo.deliver(&format!(
        "<message from='{ROMEO}'><a xmlns='urn:a'/></message><presence from='{ROMEO}' type='probe'/>"
    ));
    assert_eq!((duo.stanzas.len(), duo.sent.len()), (2, 0));
}

#[test]
fn the_owner_can_take_requests() {
    let mut duo = Duo::online(|config| config.take_requests = true);
    let disco = "<query xmlns='http://jabber.org/protocol/disco#info'/>";
    for (kind, content) in
        [("get", "<query xmlns='urn:example'/>"), ("set", "<query xmlns='urn:example'/>"), ("set", disco)]
    {
        duo.deliver(&format!("<iq type='{kind}' id='7' from='{ROMEO}'>{content}</iq>"));
        let stanza = duo.stanzas.pop().unwrap();
        assert_eq!((text(&stanza), duo.sent.len()), (content, 0));
    }
    // Who it is it still says by itself, unless that is taken out.
    duo.deliver(&format!("<iq type='get' id='7' from='{ROMEO}'>{disco}</iq>"));
    assert!(text(&duo.reply()).contains("<identity "));
    let mut quiet = Duo::online(|config| (config.take_requests, config.discovery) = (true, None));
    quiet.deliver(&format!("<iq type='get' id='7' from='{ROMEO}'>{PING}</iq>"));
    assert_eq!((text(&quiet.stanzas.pop().unwrap()), quiet.sent.len()), (PING, 0));
    // What is no request is refused.
    duo.deliver(&format!("<iq type='get' id='7' from='{ROMEO}'>{PING}</iq>"));
    assert_eq!(duo.reply().head.kind, Kind::Iq(IqType::Result));
    duo.deliver(&format!("<iq type='get' id='7' from='{ROMEO}'/>"));
    assert!(text(&duo.reply()).contains("<bad-request "));
    assert!(duo.stanzas.is_empty());
}

// RFC 6120 §4.4 [W5]
#[test]
fn closing() {
    let mut duo = Duo::online(|_| {});
    let (request, id) = duo.ping(Some(ROMEO));
    let mut out = Vec::new();
    duo.client.close(duo.now, &mut out);
    assert_eq!(out, b"</stream:stream>");
    assert!(duo.client.request(duo.now, RequestKind::Get, None, ping(), TIMEOUT, &mut out).is_err());
    assert!(duo.client.send(Instant::ZERO, &Stanza::message(MessageType::Chat), &mut out).is_err());
    assert_eq!(out, b"</stream:stream>");
    // What was on its way still arrives; nothing is answered.
    let mut up = Vec::new();
    let bytes = format!(
        "<message from='{ROMEO}'/><iq type='get' id='7' from='{ROMEO}'>{PING}</iq>\
         <iq type='result' id='{id}' from='{ROMEO}'/></stream:stream>"
    );
    let mut input = bytes.as_bytes();
    let mut happened = Vec::new();
    loop {
        match duo.client.advance(duo.now, &mut input, &mut up).unwrap() {
            Progress::Event(event) => happened.push(event),
            Progress::Closed => break,
            other => panic!("{other:?}"),
        }
    }
    assert!(
        matches!(&happened[..], [MachineEvent::Stanza(_), MachineEvent::Response(answered, RequestOutcome::Result(_))] if *answered == request),
        "{happened:?}"
    );
    assert!(up.is_empty(), "{}", String::from_utf8_lossy(&up));
    assert!(matches!(duo.client.advance(duo.now, &mut &b"<message/>"[..], &mut up), Ok(Progress::Closed)));

    // Or the server closes.
    let mut duo = Duo::online(|_| {});
    duo.deliver("</stream:stream>");
    assert!(duo.closed);
}

/// The caller is told, and nothing happens.
#[test]
fn nothing_is_sent_before_the_client_is_online() {
    let mut client = client(1, |_| {});
    let mut out = Vec::new();
    assert!(matches!(client.advance(Instant::ZERO, &mut &[][..], &mut out), Ok(Progress::NeedInput)));
    out.clear();
    assert!(client.request(Instant::ZERO, RequestKind::Set, None, ping(), TIMEOUT, &mut out).is_err());
    assert!(client.send(Instant::ZERO, &Stanza::message(MessageType::Chat), &mut out).is_err());
    assert!(out.is_empty() && client.jid().is_none());
    assert_ne!(client.deadline().unwrap().reason, Reason::Request);
}

// RFC 6121 §2.1.6 [R19, R20] roster-push; XEP-0191 1.3 §3.3
#[test]
fn pushes_of_the_own_server_are_answered_and_come_up_and_others_are_refused() {
    for content in [
        "<query xmlns='jabber:iq:roster'><item jid='a@b'/></query>",
        "<block xmlns='urn:xmpp:blocking'><item jid='a@b'/></block>",
    ] {
        for from in ["", "from='juliet@example.com'"] {
            let mut duo = Duo::online(|_| {});
            duo.deliver(&format!("<iq type='set' id='p' {from} to='{OWN}'>{content}</iq>"));
            let reply = duo.reply();
            assert_eq!((reply.head.kind, reply.head.id.as_deref()), (Kind::Iq(IqType::Result), Some("p")));
            assert!(reply.payload.is_empty());
            assert_eq!(duo.stanzas.len(), 1);
        }
        // Whether the owner takes requests or not: a push is none.
        for take_requests in [false, true] {
            for from in [ROMEO, "example.com", "juliet@example.com/other", "romeo@example.com"] {
                let mut duo = Duo::online(|config| config.take_requests = take_requests);
                duo.deliver(&format!("<iq type='set' id='p' from='{from}' to='{OWN}'>{content}</iq>"));
                let reply = duo.reply();
                assert_eq!(reply.head.kind, Kind::Iq(IqType::Error), "{from}");
                assert!(text(&reply).contains("<service-unavailable "), "{from}");
                assert!(duo.stanzas.is_empty(), "{from}");
            }
        }
    }
}

// RFC 6121 §2.6.1 [RV1], §3.4.1 [PA1]
#[test]
fn what_the_server_announces_is_known() {
    let duo = Duo::online(|_| {});
    let features = duo.client.features();
    assert!(features.roster_versions && features.pre_approval);
    assert_eq!(client(1, |_| {}).features(), balcony_stream::client::ServerFeatures::default());
}

// XEP-0199 §4: the machine's own ping, after a long silence or when the device wakes up, is of nobody's concern, nor is its answer.
#[test]
fn the_answer_to_an_own_ping_is_told_to_nobody() {
    for answer in ["result", "error"] {
        let mut duo = Duo::online(|_| {});
        let mut out = Vec::new();
        duo.client.wake(Instant::ZERO, &mut out);
        let ping = Stanza::parse(&out).unwrap();
        let id = ping.head.id.unwrap();
        duo.deliver(&format!("<iq type='{answer}' id='{id}'/>"));
        assert!(duo.stanzas.is_empty() && duo.responses.is_empty());
        duo.deliver(&format!("<iq type='{answer}' id='x{id}'/>"));
        assert_eq!(duo.stanzas.len(), 1, "what answers nothing is told");
    }
}
