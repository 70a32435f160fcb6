//! Servers and components on real TLS: what certificates prove gets to the streams, and ends with them.

#![cfg(feature = "tls")]
#![allow(clippy::unwrap_used)]

#[path = "../../tls/tests/issuer/mod.rs"]
mod issuer;

use core::time::Duration;
use std::sync::Arc;

use balcony_connection::{ComponentConnection, Connection, Error, S2sConnection};
use balcony_jid::BareJid;
use balcony_machine::{Instant, Limits, Progress, Reason, Secret, Seed};
use balcony_stanza::{MessageType, Stanza, StreamCondition};
use balcony_stream::component::{
    ComponentAnswer, ComponentAsk, ComponentEvent, ComponentInitiatingConfig, ComponentReceivingConfig,
};
use balcony_stream::s2s::{
    Proof, S2s, S2sAnswer, S2sAsk, S2sEvent, S2sInitiatingConfig, S2sReceivingConfig, Verdict,
};
use balcony_stream::{Side, TlsPolicy};
use balcony_tls::{TlsIdentity, TlsTrust};
use issuer::Name::{Dns, Srv, XmppAddr};
use issuer::{Issuer, Pem, server};

fn jid(text: &str) -> BareJid {
    text.parse().unwrap()
}

/// One end, with what came out of it.
struct Peer<S: Side> {
    connection: Connection<S>,
    now: Instant,
    out: Vec<u8>,
    events: Vec<S::Event>,
    ended: Option<Result<(), Error>>,
}

impl<S: Side> Peer<S> {
    fn of(connection: Connection<S>) -> Self {
        Peer { connection, now: Instant::ZERO, out: Vec::new(), events: Vec::new(), ended: None }
    }

    fn receive(&mut self, mut input: &[u8]) {
        if self.ended.is_some() {
            return;
        }
        loop {
            match self.connection.advance(self.now, &mut input, &mut self.out) {
                Ok(Progress::Event(event)) => self.events.push(event),
                Ok(Progress::Closed) => break self.ended = Some(Ok(())),
                Ok(_) => break,
                Err(error) => break self.ended = Some(Err(error)),
            }
        }
        let _ = self.connection.flush(&mut self.out);
    }

    fn condition(&self) -> Option<StreamCondition> {
        match &self.ended {
            Some(Err(Error::Stream(
                balcony_stream::Error::Local(error) | balcony_stream::Error::Remote(error),
            ))) => Some(error.condition),
            _ => None,
        }
    }
}

impl Peer<S2s> {
    fn authorized(&self) -> Option<Proof> {
        self.events.iter().find_map(|event| match event {
            S2sEvent::Authorized { from, to, proof } => {
                assert_eq!((from.as_str(), to.as_str()), ("a.example", "b.example"));
                Some(*proof)
            }
            _ => None,
        })
    }
}

/// Carries bytes until nobody has anything to say.
fn settle<S: Side>(one: &mut Peer<S>, other: &mut Peer<S>) {
    one.receive(&[]);
    other.receive(&[]);
    while !one.out.is_empty() || !other.out.is_empty() {
        let (up, down) = (core::mem::take(&mut one.out), core::mem::take(&mut other.out));
        other.receive(&up);
        one.receive(&down);
    }
}

/// A server: its certificate, and whom it believes.
struct Server {
    domain: &'static str,
    identity: Pem,
    roots: String,
    tls: TlsPolicy,
    dialback: bool,
}

impl Server {
    fn limits() -> Limits {
        let mut limits = Limits::default();
        limits.idle = None;
        limits
    }

    fn dialback(&self) -> Option<Secret<String>> {
        self.dialback.then(|| Secret::new(format!("secret of {}", self.domain)))
    }

    fn to(&self, to: &Server, authorize: bool) -> Peer<S2s> {
        let mut config = S2sInitiatingConfig::new(jid(self.domain), jid(to.domain));
        (config.tls, config.dialback, config.authorize) = (self.tls, self.dialback(), authorize);
        config.limits = Server::limits();
        let tls = TlsTrust::builder().roots_pem(self.roots.as_bytes()).unwrap();
        let tls = tls.federation(self.identity.0.as_bytes(), self.identity.1.as_bytes()).unwrap();
        let tls = if self.dialback { tls.accept_unproven() } else { tls };
        let tls = tls.alpn(self.tls == TlsPolicy::Direct).build().unwrap();
        let connection = S2sConnection::initiating(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
        Peer::of(connection.with_client_tls(tls, to.domain))
    }

    fn accept(&self) -> Peer<S2s> {
        let mut config = S2sReceivingConfig::new(vec![jid(self.domain)]);
        (config.tls, config.dialback) = (self.tls, self.dialback());
        config.limits = Server::limits();
        let connection = S2sConnection::receiving(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
        Peer::of(connection.with_server_tls(server(&self.identity, &self.roots).1))
    }
}

/// The server `a.example` with such names in its certificate, which `b.example` believes or not, and that.
fn servers(names: &[issuer::Name<'_>], believed: bool, tls: TlsPolicy, dialback: bool) -> (Server, Server) {
    let (of_a, of_b) = (Issuer::new(), Issuer::new());
    let until_2100 = |params: &mut rcgen::CertificateParams| {
        params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    };
    let identity = of_a.certify(names, until_2100);
    let a = Server { domain: "a.example", identity, roots: of_b.pem(), tls, dialback };
    let roots = if believed { of_a.pem() } else { of_b.pem() };
    let identity = of_b.certify(&[Dns("b.example")], until_2100);
    (a, Server { domain: "b.example", identity, roots, tls, dialback })
}

fn message() -> Stanza {
    let mut message = Stanza::message(MessageType::Chat).with_to("juliet@b.example".parse().unwrap());
    message.head.from = Some("romeo@a.example".parse().unwrap());
    message
}

// RFC 6120 §13.7.1.4 [T6], §13.8 security-mti-both-external, XEP-0178 1.2 §3: whatever kind of name proves it
#[test]
fn a_certificate_authorises_a_server() {
    for name in [Dns("a.example"), Dns("*.example"), Srv("_xmpp-server.a.example"), XmppAddr("a.example")] {
        for tls in [TlsPolicy::Required, TlsPolicy::Direct] {
            let (a, b) = servers(&[name], true, tls, false);
            let (mut ours, mut theirs) = (a.to(&b, true), b.accept());
            settle(&mut ours, &mut theirs);
            assert_eq!(ours.authorized(), Some(Proof::Certificate), "{name:?} {:?}", theirs.ended);
            assert_eq!(theirs.authorized(), Some(Proof::Certificate));
            ours.connection.send(&message()).unwrap();
            settle(&mut ours, &mut theirs);
            assert!(matches!(theirs.events.last(), Some(S2sEvent::Stanza(_))));
        }
    }
}

// RFC 6120 §13.7.1.2 [T5], XEP-0178 1.2 §3 [EX21]: a name of another, or the right one that nobody vouches for, proves nothing
#[test]
fn another_certificate_does_not() {
    for (name, believed) in [
        (Dns("c.example"), true),
        (Srv("_xmpp-client.a.example"), true),
        (XmppAddr("admin@a.example"), true),
        (XmppAddr("a.example"), false),
    ] {
        let (a, b) = servers(&[name], believed, TlsPolicy::Required, false);
        let (mut ours, mut theirs) = (a.to(&b, true), b.accept());
        settle(&mut ours, &mut theirs);
        assert_eq!(theirs.condition(), Some(StreamCondition::PolicyViolation), "{name:?}");
        assert_eq!(ours.condition(), Some(StreamCondition::PolicyViolation));
    }
}

// XEP-0220 1.1.1 §2, RFC 7590 §3.4: without such a certificate there is dialback, on a stream that is protected all the same
#[test]
fn dialback_serves_where_no_certificate_does() {
    let (a, b) = servers(&[Dns("a.example")], false, TlsPolicy::Required, true);
    let (mut ours, mut theirs) = (a.to(&b, true), b.accept());
    settle(&mut ours, &mut theirs);
    let Some(S2sEvent::Ask(ticket, S2sAsk::VerifyDialback(verification))) = theirs.events.pop() else {
        panic!("{:?}", theirs.events)
    };
    assert_eq!(ours.authorized(), None);

    let (mut asking, mut answering) = (b.to(&a, false), a.accept());
    asking.connection.verify(Instant::ZERO, verification).unwrap();
    settle(&mut asking, &mut answering);
    let Some(S2sEvent::KeyVerified(_, verdict)) = asking.events.pop() else { panic!("{:?}", asking.ended) };
    assert_eq!(verdict, Verdict::Valid);
    theirs.connection.answer(ticket, S2sAnswer::Verdict(verdict)).unwrap();
    settle(&mut ours, &mut theirs);
    assert_eq!((ours.authorized(), theirs.authorized()), (Some(Proof::Dialback), Some(Proof::Dialback)));
    for peer in [&ours, &theirs, &asking, &answering] {
        assert!(peer.connection.tls().unwrap().exporter.is_some(), "protected");
    }
}

// RFC 6120 §13.7.2.3 [T7]: what a certificate has proven holds no longer than the certificate
#[test]
fn a_stream_ends_with_the_certificate_of_the_peer() {
    let (a, b) = servers(&[XmppAddr("a.example")], true, TlsPolicy::Required, false);
    let (mut ours, mut theirs) = (a.to(&b, true), b.accept());
    settle(&mut ours, &mut theirs);
    let deadline = theirs.connection.deadline().unwrap();
    assert_eq!(deadline.reason, Reason::Certificate);
    let valid_for = theirs.connection.tls().unwrap().peer_valid_for.unwrap();
    assert_eq!(deadline.at, Instant::ZERO + valid_for);
    assert!(
        valid_for > Duration::from_secs(86_400 * 365 * 20)
            && valid_for < Duration::from_secs(86_400 * 366 * 100)
    );

    theirs.now = Instant::ZERO + (valid_for - Duration::from_millis(1));
    settle(&mut ours, &mut theirs);
    assert!(theirs.ended.is_none() && theirs.connection.is_open());
    theirs.now = deadline.at;
    settle(&mut ours, &mut theirs);
    assert_eq!(theirs.condition(), Some(StreamCondition::Reset));
    assert_eq!(ours.condition(), Some(StreamCondition::Reset));
    assert_eq!(theirs.connection.deadline(), None);
}

// XEP-0114 1.6 §3: a component on TLS from the first byte
#[test]
fn a_component_on_tls() {
    let issuer = Issuer::new();
    let identity = issuer.certify(&[Dns("b.example")], |_| {});
    let (certificate, key) = (identity.0.as_bytes(), identity.1.as_bytes());
    let roots = TlsTrust::builder().roots_pem(issuer.pem().as_bytes()).unwrap().build().unwrap();
    let secret = || Secret::new(String::from("pencil"));

    let mut config = ComponentInitiatingConfig::new(jid("chat.b.example"), secret());
    config.direct_tls = true;
    let ours = ComponentConnection::initiating(Arc::new(config), Seed::from_u64(1), Instant::ZERO);
    let mut ours = Peer::of(ours.with_client_tls(roots, "b.example"));
    let mut config = ComponentReceivingConfig::new(jid("b.example"), vec![(jid("chat.b.example"), secret())]);
    config.direct_tls = true;
    let theirs = ComponentConnection::receiving(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
    let mut theirs = Peer::of(theirs.with_server_tls(TlsIdentity::from_pem(certificate, key).unwrap()));

    settle(&mut ours, &mut theirs);
    let Some(ComponentEvent::Ask(ticket, ComponentAsk::Attach { component })) = theirs.events.pop() else {
        panic!("{:?}", theirs.ended)
    };
    assert_eq!(component, jid("chat.b.example"));
    theirs.connection.answer(ticket, ComponentAnswer::Attached(true)).unwrap();
    settle(&mut ours, &mut theirs);
    for peer in [&ours, &theirs] {
        assert!(matches!(peer.events.last(), Some(ComponentEvent::Attached(_))), "{:?}", peer.events);
        assert!(peer.connection.is_open() && peer.connection.tls().is_some());
    }
}
