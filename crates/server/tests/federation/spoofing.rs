//! A server that is not who it says.

use core::time::Duration;

use balcony_machine::Instant;
use balcony_server::Level;

use crate::world::{AUTHORITY, STRANGER, Trust, World, config, config_of};

const HEADER: &str = "<stream:stream from='b.example' to='a.example' version='1.0' xmlns='jabber:server' \
                      xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>";

fn message(from: &str) -> String {
    format!("<message from='{from}' to='romeo@a.example' id='evil'/>")
}

// XEP-0220 §3.1 [DB8] [DB13] [DB33]: a key that the server of the domain does not know opens nothing
#[test]
fn a_key_of_somebody_else() {
    let mut world =
        World::new(1, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)]);
    let id = world.accept(0);
    world.exchange(0, id, HEADER);
    let said =
        world.exchange(0, id, "<db:result from='b.example' to='a.example'>0123456789abcdef</db:result>");
    assert!(said.contains("<db:result from='a.example' to='b.example' type='invalid'/>"), "{said}");
    world.exchange(0, id, &message("juliet@b.example"));
    assert_eq!(world.ids(0), [""; 0]);
}

// Nobody but us speaks for our own domain, whatever key or certificate they show.
#[test]
fn nobody_speaks_for_our_own_domain() {
    let mut world =
        World::new(1, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)]);
    let id = world.accept(0);
    world.exchange(0, id, &HEADER.replace("from='b.example'", "from='a.example'"));
    let said =
        world.exchange(0, id, "<db:result from='a.example' to='a.example'>0123456789abcdef</db:result>");
    assert!(said.contains("type='invalid'"), "{said}");
    assert_eq!(world.servers[0].resolved, 0, "nobody is asked");

    // The other server's certificate is for our domain, too.
    let thief = config_of(&["b.example"], &["a.example"], Trust::Certificates, &AUTHORITY);
    let mut world = World::new(1, vec![config(&["a.example"], Trust::Certificates), thief]);
    world.send(1, "juliet@b.example/y", "romeo@a.example", "1");
    world.settle();
    assert_eq!(world.ids(0), [""; 0]);
}

// Who shows a certificate for a domain of ours says that the stream is ours, and it is not: it ends, and the log says so.
#[test]
fn a_stream_that_proves_our_own_domain_ends() {
    let mut thief = config_of(&["a.example"], &["a.example"], Trust::Certificates, &AUTHORITY);
    thief.domains = vec![crate::world::jid("a.example"), crate::world::jid("b.example")];
    let victim = config(&["a.example", "c.example"], Trust::Certificates);
    let mut world = World::new(1, vec![victim, thief]);
    world.hosts.insert(("c.example".into(), 5269), 0);
    let record = world.record("c.example", 5269, false);
    world.dns.insert("c.example".into(), Some(vec![record]));
    world.send(1, "juliet@a.example/y", "romeo@c.example", "1");
    world.settle();
    assert_eq!((world.ids(0), world.connections()), (vec![], 0), "{:?}", world.servers[0].log);
    assert!(
        world.has_logged(0, "somebody else has a certificate for a.example"),
        "{:?}",
        world.servers[0].log
    );
    assert!(world.has_logged(1, "invalid-from"), "{:?}", world.servers[1].log);
}

// RFC 6120 §8.1.2.2, XEP-0220 [DB33]: a stream that is proven for one domain carries no stanzas of another
#[test]
fn a_proven_stream_speaks_for_its_domain_only() {
    for from in ["juliet@c.example", "romeo@a.example", "juliet@b.example.evil"] {
        let mut world =
            World::new(1, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)]);
        // A key that b.example really has made for this stream.
        let id = world.accept(0);
        let answer = world.exchange(0, id, HEADER);
        let stream = answer.split("id='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
        let key = balcony_stream::s2s::dialback_key("secret of b.example", "a.example", "b.example", &stream);
        let said =
            world.exchange(0, id, &format!("<db:result from='b.example' to='a.example'>{key}</db:result>"));
        assert!(said.contains("type='valid'"), "{said} {:?}", world.servers[0].log);
        world.exchange(0, id, &message("juliet@b.example/balcony"));
        assert_eq!(world.ids(0), ["evil"]);
        let said = world.exchange(0, id, &message(from));
        assert!(said.contains("<invalid-from"), "{said}");
        assert_eq!(world.ids(0), ["evil"], "{from}");
        assert_eq!(world.now, Instant::ZERO);
    }
}

// A certificate that nobody vouches for proves nothing, and with dialback the real server is asked.
#[test]
fn a_certificate_of_ones_own_does_not_help() {
    let mut thief = config_of(&["b.example"], &["b.example"], Trust::Dialback, &STRANGER);
    // Its secret is another than that of the server that it wants to be.
    thief.dialback = Some(balcony_machine::Secret::new("another secret".into()));
    let mut world = World::new(
        2,
        vec![config(&["a.example"], Trust::Dialback), config(&["b.example"], Trust::Dialback), thief],
    );
    // The DNS has the real one.
    world.hosts.insert(("b.example".into(), 5269), 1);
    let record = world.record("b.example", 5269, false);
    world.dns.insert("b.example".into(), Some(vec![record]));
    world.send(2, "juliet@b.example/y", "romeo@a.example", "fake");
    world.settle();
    assert_eq!(world.ids(0), [""; 0]);
    assert_eq!(world.servers[2].returned.len(), 1, "{:?}", world.servers[2].log);
    world.send(1, "juliet@b.example/y", "romeo@a.example", "true");
    world.settle();
    assert_eq!(world.ids(0), ["true"]);
}

// XEP-0288 §2.3: whoever we have connected to speaks on that stream for their own domain only, and only if we have asked for it.
#[test]
fn whom_we_connect_to_speaks_for_their_domain_only() {
    for (from, is_bidi) in [
        ("juliet@b.example", true),
        ("juliet@b.example", false),
        ("juliet@c.example", true),
        ("romeo@a.example", true),
    ] {
        let mut ours = config(&["a.example"], Trust::Plain);
        ours.bidi = is_bidi;
        let mut federation =
            balcony_server::federation::Federation::new(ours, &balcony_machine::Seed::from_u64(1));
        let now = Instant::ZERO;
        federation.send(now, crate::world::message("romeo@a.example", "juliet@b.example", "1"), true);
        let (mut id, mut delivered) = (None, 0);
        let script = [
            HEADER.replace("from='b", "id='x' from='b").as_str(),
            "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
             <bidi xmlns='urn:xmpp:features:bidi'/></stream:features>",
            "<db:result from='b.example' to='a.example' type='valid'/>",
            &message(from),
        ]
        .concat();
        let mut settle = |federation: &mut balcony_server::federation::Federation| {
            use balcony_server::federation::FederationEvent;
            while let Some(event) = federation.next() {
                match event {
                    FederationEvent::Resolve(domain, _) => federation.resolved(now, &domain, Ok(Vec::new())),
                    FederationEvent::Connect(stream, ..) => {
                        id = Some(stream);
                        federation.connected(now, stream, 0);
                    }
                    FederationEvent::Write(stream) => {
                        federation.take_output(stream, &mut Vec::new());
                        federation.written(now, stream);
                    }
                    FederationEvent::Deliver(_) => delivered += 1,
                    _ => {}
                }
            }
            id
        };
        let id = settle(&mut federation).unwrap();
        federation.receive(now, id, script.as_bytes());
        settle(&mut federation);
        assert_eq!(delivered, usize::from(from == "juliet@b.example" && is_bidi), "{from} {is_bidi}");
    }
}

// RFC 6120 §13.7.1.2, XEP-0178: whoever runs the server reads in its log which name is missing from which certificate.
#[test]
fn the_log_says_which_name_is_missing() {
    for (issuer, names, expected) in [
        (&AUTHORITY, ["c.example", "d.example"], "its certificate is for c.example, d.example"),
        (
            &STRANGER,
            ["b.example", "d.example"],
            "its certificate proves nothing to us: it is for b.example, d.example",
        ),
    ] {
        let other = config_of(&["b.example"], &names, Trust::Certificates, issuer);
        let mut world = World::new(1, vec![config(&["a.example"], Trust::Certificates), other]);
        world.send(1, "juliet@b.example/y", "romeo@a.example", "1");
        world.settle();
        let expected = format!(
            "a certificate that proves your domain is needed; it says that it is b.example, and {expected}"
        );
        assert_eq!(world.ids(0), [""; 0]);
        let said = world.servers[0]
            .log
            .iter()
            .filter(|(level, line)| *level == Level::Info && line.contains(&expected));
        assert_eq!(said.count(), 1, "{:?}", world.servers[0].log);
    }
}

// RFC 6120 §13.12: whoever shows keys in the name of a domain that knows no dialback achieves nothing, neither for the domain nor against it:
// what goes there goes, and it is not asked for each of the keys.
#[test]
fn keys_in_the_name_of_a_domain_without_dialback() {
    let thief = config_of(&["b.example"], &["b.example"], Trust::Dialback, &STRANGER);
    let ours = config_of(&["a.example"], &["a.example"], Trust::Dialback, &AUTHORITY);
    let mut world = World::new(2, vec![ours, config(&["b.example"], Trust::Certificates), thief]);
    world.hosts.insert(("b.example".into(), 5269), 1);
    for round in 0..10 {
        world.send(2, "juliet@b.example/y", "romeo@a.example", "fake");
        world.settle();
        world.send(0, "romeo@a.example/x", "juliet@b.example", "true");
        world.settle();
        assert_eq!(world.ids(1), vec!["true"; round + 1], "{:?}", world.servers[0].log);
        assert!(world.has_logged(0, "b.example could not be asked about a key"));
        world.cut_all();
        world.pass(Duration::from_millis(100));
    }
    assert_eq!((world.ids(0), world.returned(0)), (vec![], vec![]));
    assert!(world.servers[0].connects <= 10 + 2, "{}", world.servers[0].connects);
}
