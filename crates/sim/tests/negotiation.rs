//! A client and a server machine negotiate with each other, in every way of cutting the bytes.

#![allow(clippy::unwrap_used)]

use balcony_machine::{Secret, Seed};
use balcony_sasl::Mechanism;
use balcony_sim::{Accounts, Chunks, End, Happened, Pair};
use balcony_stanza::{MessageType, Payload, Stanza};
use balcony_stream::client::ClientStreamConfig;
use balcony_stream::server::ServerStreamConfig;
use balcony_stream::{Error, Framing, TlsPolicy};
use balcony_xml::{Element, Name};
use proptest::prelude::*;

fn accounts() -> Accounts {
    Accounts::new().with("juliet@example.com", "pencil")
}

fn client(password: &str) -> ClientStreamConfig {
    let mut config =
        ClientStreamConfig::new("juliet@example.com".parse().unwrap(), Secret::new(String::from(password)));
    config.resource = Some("balcony".into());
    config
}

fn server() -> ServerStreamConfig {
    ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([9; 32]))
}

const EXPORTER: Option<[u8; 32]> = Some([5; 32]);

/// Everything that can be seen of a run.
type Run = (Vec<u8>, Vec<u8>, Vec<Happened>, Vec<Happened>);

fn negotiate(pair: &mut Pair) -> Run {
    pair.run();
    if pair.client.is_open() {
        const BODY: Name = Name::from_static("body");
        let hello = |text| {
            Stanza::message(MessageType::Chat)
                .with_to("romeo@example.com".parse().unwrap())
                .with_id("hello")
                .with_payload(Payload::from(Element::new(BODY, "jabber:client").text(text)))
        };
        pair.send_stanza(End::Client, &hello("O Romeo, Romeo! wherefore art thou Romeo? <3 & ☾"));
        pair.run();
        pair.send_stanza(End::Server, &hello("By a name I know not how to tell thee who I am"));
        pair.run();
        pair.close(End::Client);
        pair.run();
    }
    (
        pair.sent(End::Client).to_vec(),
        pair.sent(End::Server).to_vec(),
        pair.happened(End::Client).to_vec(),
        pair.happened(End::Server).to_vec(),
    )
}

fn chunks(kind: u8, seed: u64) -> Chunks {
    match kind {
        0 => Chunks::Whole,
        1 => Chunks::Bytes,
        _ => Chunks::Random(Box::new(Seed::from_u64(seed).random())),
    }
}

fn mechanisms() -> impl Strategy<Value = Mechanism> {
    proptest::sample::select(Mechanism::for_every_account())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // habits.md invariants 1 and 6: byte by byte, in random chunks, or whole; the same seed gives the same bytes.
    // RFC 6120 §15 stream-negotiation-restart, tls-restart, sasl-restart, bind-restart
    // RFC 7395 §3: the same on a WebSocket. XEP-0388, XEP-0386: and with SASL2.
    #[test]
    fn chunks_make_no_difference(
        seed: u64,
        mechanism in mechanisms(),
        tls in 0..4_u8,
        right: bool,
        messages: bool,
        sasl2: bool,
        resource: bool,
    ) {
        // On a WebSocket TLS is the transport's.
        let tls = if messages { 2 + tls % 2 } else { tls };
        let framing = if messages { Framing::Messages } else { Framing::Document };
        let policy = [TlsPolicy::Required, TlsPolicy::Optional, TlsPolicy::Direct, TlsPolicy::None][usize::from(tls)];
        let run = |kind| {
            let mut client = client(if right { "pencil" } else { "crayon" });
            client.mechanisms = vec![mechanism];
            client.tls = policy;
            client.framing = framing;
            client.sasl2 = sasl2;
            client.resource = resource.then(|| "balcony".into());
            let mut server = server();
            server.tls = policy;
            server.framing = framing;
            let mut pair = Pair::new(client, server, accounts(), EXPORTER, chunks(kind, seed), seed);
            if policy == TlsPolicy::Direct {
                let security = balcony_stream::Security::new(EXPORTER);
                pair.client.secured(security.clone()).unwrap();
                pair.server.secured(security).unwrap();
            }
            negotiate(&mut pair)
        };
        let whole = run(0);
        prop_assert_eq!(&whole, &run(1));
        prop_assert_eq!(&whole, &run(2));

        // And the result is the right one: PLAIN and -PLUS need TLS, and the password must be right.
        let usable = policy != TlsPolicy::None || !(mechanism == Mechanism::Plain || mechanism.is_plus());
        let expected = match (usable, right) {
            (true, true) => Happened::Closed,
            (true, false) => Happened::Failed(Error::Authentication(
                balcony_sasl::SaslCondition::NotAuthorized,
                Some("The user name or the password is wrong.".into()),
            )),
            (false, _) => Happened::Failed(Error::NoMechanism),
        };
        prop_assert_eq!(whole.2.last(), Some(&expected));
        let delivered = whole.3.iter().any(|event| matches!(event, Happened::Event(text) if text.contains("wherefore")));
        prop_assert_eq!(delivered, usable && right);
        let sent = String::from_utf8(whole.0).unwrap();
        let secured = policy != TlsPolicy::None;
        prop_assert_eq!(sent.contains("<authenticate "), usable && sasl2 && secured);
        prop_assert_eq!(sent.contains("urn:xmpp:bind:0"), usable && sasl2 && secured && !resource);
    }
}

// RFC 5802 §6 [SC11]: whoever hides the -PLUS mechanisms from a client that could use them is found out.
#[test]
fn a_hidden_plus_mechanism_is_a_downgrade() {
    let mut server = server();
    server.tls = TlsPolicy::Direct;
    let mut pair = Pair::new(
        {
            let mut c = client("pencil");
            c.tls = TlsPolicy::Direct;
            c
        },
        server,
        accounts(),
        EXPORTER,
        Chunks::Whole,
        1,
    );
    // Somebody in the middle with a TLS session on each side: the exporters differ.
    pair.client.secured(balcony_stream::Security::new(Some([1; 32]))).unwrap();
    pair.server.secured(balcony_stream::Security::new(Some([2; 32]))).unwrap();
    pair.run();
    assert!(!pair.client.is_open() && !pair.server.is_open());
    assert!(
        matches!(pair.happened(End::Client).last(), Some(Happened::Failed(Error::Authentication(..)))),
        "{:?}",
        pair.happened(End::Client)
    );
}

// RFC 6120 §15 bind-gen
#[test]
fn the_server_makes_a_resource_if_none_is_asked_for() {
    let mut client = client("pencil");
    client.resource = None;
    let mut pair = Pair::new(client, server(), accounts(), EXPORTER, Chunks::Whole, 3);
    pair.run();
    // XEP-0386 §3.2.1: with the tag of the client, if there is SASL2.
    assert!(pair.client.jid().unwrap().as_str().starts_with("juliet@example.com/balcony/"));
    assert_eq!(pair.client.jid(), pair.server.jid());

    let mut client = self::client("pencil");
    (client.resource, client.sasl2) = (None, false);
    let mut pair = Pair::new(client, server(), accounts(), EXPORTER, Chunks::Whole, 3);
    pair.run();
    assert_eq!(pair.client.jid().unwrap().as_str(), "juliet@example.com/made-by-the-server");
    assert_eq!(pair.client.jid(), pair.server.jid());
}

// RFC 6120 §5.3.1: the client's policy demands TLS, and the server has none.
#[test]
fn without_tls_nothing_secret_is_sent() {
    let mut server = server();
    server.tls = TlsPolicy::None;
    let mut pair = Pair::new(client("pencil"), server, accounts(), None, Chunks::Whole, 4);
    pair.run();
    assert_eq!(pair.happened(End::Client).last(), Some(&Happened::Failed(Error::NoTls)));
    let sent = String::from_utf8(pair.sent(End::Client).to_vec()).unwrap();
    assert!(!sent.contains("<auth") && !sent.contains("juliet"), "{sent}");
}
