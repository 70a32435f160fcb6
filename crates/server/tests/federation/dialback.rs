//! Dialback between servers (XEP-0220): what becomes of stanzas and keys when somebody says no, or is gone.

use core::time::Duration;
use std::collections::BTreeMap;

use balcony_machine::{Instant, Secret, Seed};
use balcony_server::federation::{Federation, FederationEvent, StreamId};
use balcony_stanza::ErrorCondition::InternalServerError;
use balcony_stream::s2s::dialback_key;

use crate::world::{AUTHORITY, STRANGER, Trust, World, config, config_of};

const HEADER: &str = "<stream:stream from='b.example' to='a.example' version='1.0' xmlns='jabber:server' \
                      xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>";
const KEY: &str = "<db:result from='b.example' to='a.example'>0123456789abcdef</db:result>";

fn two() -> World {
    World::new(1, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)])
}

// XEP-0220 1.1.1 §2.1.1, §2.2.1 [DB11, DB21]: what waited comes back, the stream ends, and there is another one for other pairs.
#[test]
fn a_key_that_is_called_invalid() {
    // The DNS has another server for a.example, with another secret.
    let mut real = config(&["a.example"], Trust::Plain);
    real.dialback = Some(Secret::new("another secret".into()));
    let ours = config(&["a.example", "c.example"], Trust::Plain);
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Plain), real]);
    let record = world.record("c.example", 5269, false);
    world.dns.insert("c.example".into(), Some(vec![record]));
    world.hosts.insert(("c.example".into(), 5269), 0);
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    assert_eq!(world.returned(0), [("1", InternalServerError)]);
    assert_eq!(world.connections(), 0, "{:?}", world.servers[0].log);
    // That says nothing of another domain of ours.
    world.send(0, "nurse@c.example/x", "juliet@b.example", "2");
    world.settle();
    assert_eq!(world.ids(1), ["2"], "{:?}", world.servers[0].log);
    // The pair is tried less and less.
    let connects = world.servers[0].connects;
    for second in 0..3_600 {
        world.send(0, "romeo@a.example/x", "juliet@b.example", &second.to_string());
        world.send(0, "nurse@c.example/x", "juliet@b.example", &format!("c{second}"));
        world.pass(Duration::from_secs(1));
    }
    assert_eq!((world.ids(1).len(), world.returned(0).len()), (3_601, 3_601));
    let tried =
        world.servers[0].log.iter().filter(|(_, line)| line.contains("does not take stanzas of a.example"));
    let tried = tried.count();
    assert!((8..16).contains(&tried) && world.servers[0].connects - connects < 16, "{tried}");
}

// XEP-0220 1.1.1 §2.1.2 [DB18]: nobody is there any more to be told what the domain has said of the key.
#[test]
fn a_stream_that_is_gone_is_told_nothing() {
    for is_right in [true, false] {
        let mut world = two();
        world.servers[1].is_mute = true;
        let id = world.accept(0);
        let said = world.exchange(0, id, HEADER);
        let stream = said.split(" id='").nth(1).unwrap().split('\'').next().unwrap();
        let right = dialback_key("secret of b.example", "a.example", "b.example", stream);
        let key = if is_right { KEY.replace("0123456789abcdef", &right) } else { KEY.into() };
        assert_eq!(world.exchange(0, id, &key), "");
        let now = world.now;
        world.servers[0].federation.broken(now, id);
        world.servers[1].is_mute = false;
        world.settle();
        assert_eq!((world.servers[0].federation.streams(), world.servers[0].reached.len()), (0, 0));
        assert!(!world.has_logged(0, "b.example sends to a.example"), "{:?}", world.servers[0].log);
    }
}

// XEP-0220 1.1.1 §2.1.2 [DB19]: a connection that is lost while it is asked about a key is an error, and the stream with the key goes on.
#[test]
fn a_domain_that_is_lost_while_it_is_asked() {
    let mut world = two();
    world.servers[1].is_mute = true;
    let id = world.accept(0);
    world.exchange(0, id, HEADER);
    assert_eq!(world.exchange(0, id, KEY), "");
    assert_eq!(world.connections(), 1);
    world.cut_all();
    let said = world.exchange(0, id, " ");
    assert!(
        said.contains("to='b.example' type='error'><error type='wait'><remote-server-timeout "),
        "{said}"
    );
    assert!(world.servers[0].federation.knows(id));
}

// XEP-0220 1.1.1 §2.5 [DB22]: the server that the DNS has for a domain does not know it, or says so of the key.
#[test]
fn a_server_that_knows_nothing_of_the_domain() {
    let item_not_found = "<db:verify from='b.example' to='a.example' id='ID' type='error'><error type='cancel'>\
                          <item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></db:verify>";
    let host_unknown =
        "<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>";
    let features = "<stream:features><dialback xmlns='urn:xmpp:features:dialback'><errors/></dialback>\
                    </stream:features>";
    for says in [format!("{features}{item_not_found}"), host_unknown.into()] {
        let mut federation = Federation::new(config(&["a.example"], Trust::Plain), &Seed::from_u64(1));
        let now = Instant::ZERO;
        let id = federation.accept(now, false, "192.0.2.1:1".into());
        federation.receive(now, id, HEADER.as_bytes());
        let (mut said, mut asked) = (BTreeMap::<StreamId, String>::new(), None);
        let mut settle = |federation: &mut Federation| {
            while let Some(event) = federation.next() {
                match event {
                    FederationEvent::Resolve(domain, _) => federation.resolved(now, &domain, Ok(Vec::new())),
                    FederationEvent::Connect(stream, ..) => {
                        asked = Some(stream);
                        federation.connected(now, stream, 0);
                    }
                    FederationEvent::Write(stream) => {
                        let mut bytes = Vec::new();
                        federation.take_output(stream, &mut bytes);
                        said.entry(stream).or_default().push_str(&String::from_utf8(bytes).unwrap());
                        federation.written(now, stream);
                    }
                    _ => {}
                }
            }
            (said.get(&id).cloned().unwrap_or_default(), asked)
        };
        let (header, _) = settle(&mut federation);
        let stream = header.split(" id='").nth(1).unwrap().split('\'').next().unwrap();
        federation.receive(now, id, KEY.as_bytes());
        let asked = settle(&mut federation).1.unwrap();
        let answer = HEADER.replace("from='b", "id='x' from='b") + &says.replace("ID", stream);
        federation.receive(now, asked, answer.as_bytes());
        let (said, _) = settle(&mut federation);
        assert!(
            said.contains(" type='error'><error type='cancel'><remote-server-not-found "),
            "{says}: {said}"
        );
        assert!(federation.knows(id));
    }
}

// XEP-0344 0.4 §2.4, §2.5, §3.3 [DW2, DW3]: a key in the name of a domain that the certificate of the stream proves is valid without asking
// that domain, looked at when the key comes: the stream was opened for another one, which had to be asked about
#[test]
fn a_certificate_that_proves_the_domain_of_a_key_is_enough() {
    for (names, asked) in [(&["c.example"][..], 1), (&["d.example"], 2), (&["b.example", "c.example"], 0)] {
        let theirs = config_of(&["b.example", "c.example"], names, Trust::Dialback, &AUTHORITY);
        let mut world = World::new(1, vec![config(&["a.example"], Trust::Dialback), theirs]);
        world.send(1, "juliet@b.example/x", "romeo@a.example", "1");
        world.settle();
        world.send(1, "nurse@c.example/x", "romeo@a.example", "2");
        world.settle();
        assert_eq!(world.ids(0), ["1", "2"], "{:?}", world.servers[0].log);
        assert_eq!(world.servers[0].resolved, asked, "{names:?}: {:?}", world.servers[0].log);
    }
}

// XEP-0344 0.4 §2.3, §3 [DW1, DW5]: a certificate that nobody vouches for proves nothing, so the key on its stream is asked about at the
// server that the DNS has for the domain; and whoever has opened the stream is believed only if that says so
#[test]
fn a_certificate_that_proves_nothing_is_no_answer() {
    for is_found in [true, false] {
        // Who says to be b.example, with a certificate for it, and who is it by the DNS.
        let [says, other] = ["secret", "another secret"].map(|secret| {
            let mut config = config_of(&["b.example"], &["b.example"], Trust::Dialback, &STRANGER);
            config.dialback = Some(Secret::new(secret.into()));
            config
        });
        let mut world = World::new(1, vec![config(&["a.example"], Trust::Dialback), says, other]);
        world.hosts.insert(("b.example".into(), 5269), if is_found { 1 } else { 2 });
        world.send(1, "juliet@b.example/x", "romeo@a.example", "1");
        world.pass(Duration::from_secs(70));
        assert_eq!(world.ids(0).len(), usize::from(is_found), "{:?}", world.servers[0].log);
        assert_eq!(world.servers[0].resolved, 1);
    }
}
