//! What others cause takes nothing away from our accounts, nor one of them from the others.

use core::time::Duration;

use balcony_connection::srv::{Record, Signed, Target};
use balcony_machine::{Instant, Seed};
use balcony_server::federation::{Federation, FederationConfig, FederationEvent, Reach, StreamId};
use balcony_stanza::{ErrorCondition, IqType, Stanza};
use balcony_stream::TlsPolicy;
use balcony_stream::s2s::dialback_key;

use crate::world::{Trust, World, config, jid, message};

const NOW: Instant = Instant::ZERO;

fn header(from: &str) -> String {
    format!(
        "<stream:stream from='{from}' to='a.example' version='1.0' xmlns='jabber:server' \
         xmlns:db='jabber:server:dialback' xmlns:stream='http://etherx.jabber.org/streams'>"
    )
}

/// A server by itself, with what it wants of its owner.
struct Alone {
    federation: Federation,
    resolves: Vec<String>,
    returned: Vec<(String, ErrorCondition)>,
}

impl Alone {
    fn new(config: FederationConfig) -> Alone {
        let federation = Federation::new(config, &Seed::from_u64(1));
        Alone { federation, resolves: Vec::new(), returned: Vec::new() }
    }

    /// Whatever it says is done; what is said on streams comes back.
    fn settle(&mut self) -> String {
        let mut said = Vec::new();
        while let Some(event) = self.federation.next() {
            match event {
                FederationEvent::Write(id) => {
                    let mut bytes = Vec::new();
                    self.federation.take_output(id, &mut bytes);
                    said.extend(bytes);
                    self.federation.written(NOW, id);
                }
                FederationEvent::Resolve(domain, _) => self.resolves.push(domain.as_str().into()),
                FederationEvent::Return { stanza, condition, .. } => {
                    self.returned.push((stanza.head.id.as_deref().unwrap().into(), condition));
                }
                _ => {}
            }
        }
        String::from_utf8(said).unwrap()
    }

    fn accept(&mut self, address: &str) -> StreamId {
        let id = self.federation.accept(NOW, false, address.into());
        self.say(id, &header("x.example"));
        id
    }

    fn say(&mut self, id: StreamId, what: &str) -> String {
        self.federation.receive(NOW, id, what.as_bytes());
        self.settle()
    }

    /// A key in the name of `domain`.
    fn show_key(&mut self, id: StreamId, domain: &str) -> String {
        self.say(id, &format!("<db:result from='{domain}' to='a.example'>00ff</db:result>"))
    }

    /// The domains that have been looked up since the last time.
    fn looked_up(&mut self) -> Vec<String> {
        core::mem::take(&mut self.resolves)
    }
}

// What a domain is answered with is paid for by that domain, be it said by the server or by a client: the accounts that it has
// addressed send to others as before.
#[test]
fn answers_are_paid_for_by_who_is_answered() {
    for by_clients in [true, false] {
        let mut ours = config(&["a.example"], Trust::Certificates);
        ours.limits.waiting_bytes = 4_000;
        ours.limits.sender_bytes = 2_000;
        ours.limits.answers_bytes = 3_000;
        ours.limits.answer_bytes = 2_000;
        let others = ["b.example", "c.example", "d.example"].map(|name| config(&[name], Trust::Certificates));
        let mut world = World::new(1, [vec![ours], others.into()].concat());
        // They are there, and read nothing.
        (world.servers[1].is_mute, world.servers[2].is_mute) = (true, true);
        for to in ["b.example", "c.example"] {
            for n in 0..50 {
                let from = format!("u{}@a.example", n % 3).parse().unwrap();
                let answer = Stanza::iq(IqType::Result)
                    .with_from(from)
                    .with_to(format!("x@{to}").parse().unwrap())
                    .with_id("answer");
                match by_clients {
                    true => world.servers[0].federation.send(world.now, answer, true),
                    false => world.servers[0].federation.answer(world.now, answer),
                }
            }
        }
        assert!(world.servers[0].federation.waiting_bytes() <= 3_000);
        assert!(world.servers[0].federation.waiting_bytes() > 2_000, "one domain does not take all");
        for n in 0..3 {
            world.send(0, &format!("u{n}@a.example/x"), "juliet@d.example", &n.to_string());
        }
        world.servers[0].returned_answers_are_dropped();
        world.settle();
        assert_eq!(world.ids(3), ["0", "1", "2"], "{by_clients}");
        world.servers[0].returned_answers_are_dropped();
        assert_eq!(world.returned(0), []);
        world.pass(Duration::from_secs(700));
        assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
    }
}

// Keys from one address have so many domains looked for at a time, those from all addresses no more than half of what there is
// room for, and our own accounts always find room.
#[test]
fn keys_leave_room_for_others() {
    let mut ours = config(&["a.example"], Trust::Plain);
    (ours.limits.attempts, ours.limits.attempts_per_address) = (8, 2);
    let mut alone = Alone::new(ours);
    for stream in 0..4 {
        let id = alone.accept(&format!("192.0.2.1:{stream}"));
        for key in 0..4 {
            alone.show_key(id, &format!("k{key}.s{stream}.example"));
        }
    }
    assert_eq!(alone.looked_up(), ["k0.s0.example", "k1.s0.example"]);
    // Others are asked about as if these were not there.
    let id = alone.accept("192.0.2.2:1");
    alone.show_key(id, "honest.example");
    assert_eq!(alone.looked_up(), ["honest.example"]);
    for host in 3..9 {
        let id = alone.accept(&format!("192.0.2.{host}:1"));
        alone.show_key(id, &format!("host{host}.example"));
    }
    assert_eq!(alone.looked_up(), ["host3.example"]);
    for n in 0..4 {
        let stanza =
            message(&format!("u{n}@a.example"), &format!("juliet@wanted{n}.example"), &n.to_string());
        alone.federation.send(NOW, stanza, true);
        alone.settle();
    }
    assert_eq!(
        alone.looked_up(),
        ["wanted0.example", "wanted1.example", "wanted2.example", "wanted3.example"]
    );
    // When one of theirs is over it is another address's turn.
    alone.federation.resolved(NOW, &jid("k0.s0.example"), Err("SERVFAIL".into()));
    alone.federation.resolved(NOW, &jid("k1.s0.example"), Err("SERVFAIL".into()));
    alone.settle();
    assert_eq!(alone.looked_up(), ["k2.s0.example", "host4.example"]);
}

// A domain is asked about so many keys from one address, and about those from others all the same: nobody keeps it from being
// believed by showing keys in its name.
#[test]
fn keys_in_the_name_of_another_do_not_shut_it_out() {
    let mut alone = Alone::new(config(&["a.example"], Trust::Plain));
    let streams: Vec<StreamId> = (0..20).map(|stream| alone.accept(&format!("192.0.2.1:{stream}"))).collect();
    let said: Vec<String> = streams.iter().map(|id| alone.show_key(*id, "b.example")).collect();
    assert_eq!(said.iter().filter(|said| said.contains("resource-constraint")).count(), 4, "{said:?}");
    let honest = alone.accept("192.0.2.2:1");
    assert_eq!(alone.show_key(honest, "b.example"), "");
    assert_eq!(alone.looked_up(), ["b.example"]);
    alone.federation.resolved(NOW, &jid("b.example"), Ok(Vec::new()));
    let events: Vec<FederationEvent> = core::iter::from_fn(|| alone.federation.next()).collect();
    assert!(matches!(&events[..], [FederationEvent::Connect(_, _, Reach::Public)]), "{events:?}");
}

// Keys from one address are so many altogether.
#[test]
fn keys_of_one_address_are_bounded() {
    let mut ours = config(&["a.example"], Trust::Plain);
    ours.limits.keys_per_address = 6;
    let mut alone = Alone::new(ours);
    let mut refused = 0;
    for stream in 0..4 {
        let id = alone.accept(&format!("[2001:db8::{stream}]:1"));
        for key in 0..3 {
            refused += usize::from(
                alone.show_key(id, &format!("k{key}.s{stream}.example")).contains("resource-constraint"),
            );
        }
    }
    assert_eq!(refused, 6);
    // What has been answered counts no more.
    for _ in 0..4 {
        for domain in alone.looked_up() {
            alone.federation.resolved(NOW, &jid(&domain), Err("SERVFAIL".into()));
            alone.settle();
        }
    }
    let id = alone.accept("[2001:db8::9]:1");
    assert_eq!(alone.show_key(id, "fresh.example"), "");
}

// XEP-0220 1.1.1 §2.5 [DB32]: whoever has a domain has any number below it, and they prove so many of them from one address. What is refused for
// that is tried again on other streams for a while, and given up.
#[test]
fn domains_of_one_address_are_bounded() {
    let mut ours = config(&["a.example"], Trust::Plain);
    ours.limits.domains_per_address = 3;
    let names: Vec<String> = (0..8).map(|n| format!("n{n}.evil.example")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut world =
        World::new(1, vec![ours, config(&names, Trust::Plain), config(&["c.example"], Trust::Plain)]);
    for (n, name) in names.iter().enumerate() {
        world.send(1, &format!("x@{name}/y"), "romeo@a.example", &n.to_string());
        world.settle();
    }
    // The others are tried again for a while.
    world.pass(Duration::from_secs(70));
    assert_eq!(world.ids(0).len(), 3, "{:?}", world.ids(0));
    assert_eq!(world.servers[1].returned.len(), 5);
    // One key too many ends no stream, on which others have been proven.
    assert!(!world.has_logged(1, "can't talk to so many domains"), "{:?}", world.servers[1].log);
    world.send(2, "juliet@c.example/y", "romeo@a.example", "c");
    world.settle();
    assert_eq!(world.ids(0).len(), 4);
}

// When the table of domains is full those go that were idle for longest, and nobody who is not idle.
#[test]
fn idle_domains_make_room() {
    for trust in [Trust::Plain, Trust::Certificates] {
        let mut ours = config(&["a.example"], trust);
        ours.limits.domains = 3;
        let names = ["b.example", "c.example", "d.example", "e.example", "f.example"];
        let others = names.map(|name| {
            let mut other = config(&[name], trust);
            // Whoever is refused does not try again.
            other.limits.patience = Duration::from_secs(2);
            other
        });
        let mut world = World::new(1, [vec![ours], others.into()].concat());
        for n in 1..4 {
            world.send(n, &format!("x@{}", names[n - 1]), "romeo@a.example", &n.to_string());
            world.pass(Duration::from_secs(10));
        }
        // Everybody is new, so nobody goes.
        world.send(4, "x@e.example", "romeo@a.example", "early");
        world.settle();
        assert_eq!(world.ids(0), ["1", "2", "3"], "{trust:?}");
        world.pass(Duration::from_secs(60));
        // The first is in use again, so it is the second that goes.
        world.send(1, "x@b.example", "romeo@a.example", "used");
        world.pass(Duration::from_secs(5));
        world.send(5, "x@f.example", "romeo@a.example", "late");
        world.pass(Duration::from_secs(10));
        assert_eq!(world.ids(0), ["1", "2", "3", "used", "late"], "{trust:?} {:?}", world.servers[5].log);
        let has_ended = |server: usize| world.has_logged(server, "resource-constraint");
        assert_eq!([has_ended(1), has_ended(2)], [false, true], "{trust:?}");
        // Who has gone comes back like anybody else.
        world.pass(Duration::from_secs(70));
        world.send(2, "x@c.example", "romeo@a.example", "again");
        world.pass(Duration::from_secs(10));
        assert_eq!(world.ids(0).last(), Some(&"again"), "{trust:?}");
    }
}

// There are so many streams to others; for one more the one ends that was not used for longest, and nothing is lost.
#[test]
fn streams_to_others_are_bounded() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.limits.outgoing_streams = 2;
    let names = ["b.example", "c.example", "d.example", "e.example"];
    let others = names.map(|name| config(&[name], Trust::Certificates));
    let mut world = World::new(1, [vec![ours], others.into()].concat());
    for round in 0..3 {
        for name in names {
            world.send(0, "romeo@a.example/x", &format!("juliet@{name}"), &round.to_string());
            world.settle();
            assert!(world.connections() <= 2, "{}", world.connections());
        }
    }
    for server in 1..5 {
        assert_eq!(world.ids(server), ["0", "1", "2"]);
    }
    assert_eq!(world.servers[0].returned, []);
}

// Where TLS is not demanded, it still is of a place that the DNS has named; a route is the operator's word.
#[test]
fn only_routes_lead_to_plaintext() {
    for has_route in [true, false] {
        let mut ours = config(&["a.example"], Trust::Dialback);
        ours.tls = TlsPolicy::Optional;
        if has_route {
            let target = Target::new("b.example".into(), 5269, false);
            ours.routes.insert(jid("b.example"), target);
        }
        let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Plain)]);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.pass(Duration::from_secs(70));
        assert_eq!(world.ids(1).len(), usize::from(has_route), "{:?}", world.servers[0].log);
        assert_eq!(world.servers[0].returned.len(), usize::from(!has_route));
    }
}

// What the DNS names may be anywhere only if the operator says so.
#[test]
fn the_dns_leads_to_public_addresses() {
    for is_private in [true, false] {
        let mut ours = config(&["a.example"], Trust::Plain);
        ours.private_addresses = is_private;
        let target = Target::new("10.0.0.5".into(), 5269, false);
        ours.routes.insert(jid("c.example"), target);
        let mut federation = Federation::new(ours, &Seed::from_u64(1));
        let reach = |federation: &mut Federation| {
            core::iter::from_fn(|| federation.next()).find_map(|event| match event {
                FederationEvent::Connect(_, _, reach) => Some(reach),
                _ => None,
            })
        };
        federation.send(NOW, message("romeo@a.example", "juliet@b.example", "1"), true);
        let record = Record {
            priority: 0,
            weight: 0,
            port: 1,
            target: "c.example".into(),
            direct_tls: false,
            signed: Signed::No,
        };
        federation.resolved(NOW, &jid("b.example"), Ok(vec![record]));
        let expected = if is_private { Reach::Anywhere } else { Reach::Public };
        assert_eq!(reach(&mut federation), Some(expected));
        federation.send(NOW, message("romeo@a.example", "juliet@c.example", "2"), true);
        assert_eq!(reach(&mut federation), Some(Reach::Route));
        // Also an address that somebody takes for a domain.
        federation.send(NOW, message("romeo@a.example", "juliet@10.0.0.6", "3"), true);
        federation.resolved(NOW, &jid("10.0.0.6"), Ok(Vec::new()));
        assert_eq!(reach(&mut federation), Some(expected));
    }
}

// A key that is right still opens a stream with all of this.
#[test]
fn a_right_key_is_believed() {
    let mut world =
        World::new(1, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)]);
    let id = world.accept(0);
    let answer = world.exchange(0, id, &header("b.example"));
    let stream = answer.split("id='").nth(1).unwrap().split('\'').next().unwrap().to_owned();
    let key = dialback_key("secret of b.example", "a.example", "b.example", &stream);
    let said =
        world.exchange(0, id, &format!("<db:result from='b.example' to='a.example'>{key}</db:result>"));
    assert!(said.contains("type='valid'"), "{said}");
}

// A server that comes back shows its key at once. Who could not reach it a moment before asks it a second later, and it is believed: else it
// would take us for a server that does not answer.
#[test]
fn a_key_after_a_failure_waits() {
    let mut world =
        World::new(1, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)]);
    world.servers[1].is_up = false;
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    assert!(world.has_logged(0, "b.example cannot be reached (remote-server-timeout)"));
    world.servers[1].is_up = true;
    world.send(1, "juliet@b.example/y", "romeo@a.example", "2");
    world.settle();
    assert_eq!((world.ids(0), world.returned(1)), (Vec::new(), Vec::new()), "it waits");
    world.pass(Duration::from_secs(1));
    // And now it lives for us, too: what has waited does not wait for longer.
    assert_eq!((world.ids(0), world.ids(1)), (vec!["2"], vec!["1"]));
    world.send(0, "romeo@a.example/x", "juliet@b.example", "3");
    world.settle();
    assert_eq!((world.ids(1), world.returned(0)), (vec!["1", "3"], vec![]));
}

// RFC 6120 §13.12, XEP-0220 §2.2: whoever shows keys in the name of a domain that is away has it tried at once, and does not keep what waits
// for it from being tried again in time.
#[test]
fn keys_in_the_name_of_another_put_nothing_off() {
    let mut world =
        World::new(1, vec![config(&["a.example"], Trust::Plain), config(&["b.example"], Trust::Plain)]);
    world.servers[1].is_up = false;
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    for second in 1..5 {
        world.pass(Duration::from_secs(1));
        let id = world.accept(0);
        world.exchange(0, id, &header("b.example"));
        let key = "<db:result from='b.example' to='a.example'>00ff</db:result>";
        let said = world.exchange(0, id, key);
        assert!(
            said.contains("remote-server-timeout") || said.contains("remote-connection-failed"),
            "{said}"
        );
        assert_eq!(world.servers[0].resolved, 1 + second, "it is tried");
    }
    world.pass(Duration::from_secs(7));
    world.servers[1].is_up = true;
    // As without the keys it is tried after 5 and 15 s.
    world.pass(Duration::from_secs(4));
    assert_eq!((world.ids(1), world.returned(0)), (vec!["1"], vec![]));
}

// FederationLimits::attempts_per_sender: answers to domains that can't be reached, and have no stream to us any more, don't keep those to
// others from being sent: no account is behind them that could look for fewer.
#[test]
fn answers_that_wait_keep_no_others_back() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.limits.attempts_per_sender = 3;
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Certificates)]);
    let answer = |to: &str| {
        let answer = Stanza::iq(IqType::Result).with_from("romeo@a.example/x".parse().unwrap());
        answer.with_to(to.parse().unwrap()).with_id("answer")
    };
    for n in 0..10 {
        world.dns.insert(format!("n{n}.example"), None);
        let now = world.now;
        world.servers[0].federation.answer(now, answer(&format!("x@n{n}.example")));
        world.settle();
    }
    assert_eq!((world.servers[0].resolved, world.servers[0].dropped.len()), (10, 0), "each is looked for");
    let now = world.now;
    world.servers[0].federation.answer(now, answer("juliet@b.example/y"));
    world.settle();
    assert_eq!(world.ids(1), ["answer"]);
    world.pass(Duration::from_secs(61));
    assert_eq!((world.servers[0].dropped.len(), world.servers[0].federation.waiting_bytes()), (10, 0));
}
