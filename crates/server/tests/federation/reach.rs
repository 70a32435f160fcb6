//! From a stanza to the other server, and what comes back where that is not possible.

use core::time::Duration;

use balcony_connection::srv::Target;
use balcony_machine::Secret;
use balcony_stanza::ErrorCondition::{
    InternalServerError, RemoteServerNotFound, RemoteServerTimeout, ResourceConstraint,
};
use balcony_stanza::{IqType, Stanza};

use crate::world::{AUTHORITY, STRANGER, Trust, World, config, config_of, jid, short};

const ALL: [Trust; 3] = [Trust::Certificates, Trust::Dialback, Trust::Plain];

fn two(trust: Trust) -> World {
    World::new(1, vec![config(&["a.example"], trust), config(&["b.example"], trust)])
}

// RFC 6120 §10.4, XEP-0178 1.2 §3, XEP-0220 1.1.1 §2.1.2 [DB10, DB16]: both ways, by certificate and by dialback
#[test]
fn stanzas_go_both_ways() {
    for (trust, is_bidi) in ALL.into_iter().flat_map(|trust| [(trust, true), (trust, false)]) {
        let mut configs = vec![config(&["a.example"], trust), config(&["b.example"], trust)];
        configs[1].bidi = is_bidi;
        let mut world = World::new(1, configs);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.settle();
        assert_eq!(world.ids(1), ["1"], "{trust:?} {:?}", world.servers[0].log);
        world.send(1, "juliet@b.example/y", "romeo@a.example/x", "2");
        world.send(0, "romeo@a.example/x", "juliet@b.example", "3");
        world.settle();
        assert_eq!((world.ids(0), world.ids(1)), (vec!["2"], vec!["1", "3"]), "{trust:?}");
        let how = if trust == Trust::Certificates { "by certificate" } else { "by dialback" };
        assert!(
            world.has_logged(
                1,
                &format!("a.example sends to b.example from 198.51.100.0:40000, proven {how}")
            )
        );
        // One stream each way, or one for both (XEP-0288): those that only asked about keys are closed.
        assert_eq!(world.connections(), if is_bidi { 1 } else { 2 }, "{trust:?}");
        assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
    }
}

// XEP-0288 1.0.1 §2.2 [BD5], §2.3: what goes to a domain takes the stream that it has opened to us, and when that has ended one of ours.
#[test]
fn a_stream_of_the_other_side_takes_what_goes_there() {
    for trust in ALL {
        let mut world = two(trust);
        world.send(1, "juliet@b.example/y", "romeo@a.example", "1");
        world.settle();
        // To ask about a key takes a stream of its own.
        let connects = world.servers[0].connects;
        assert_eq!(connects, usize::from(trust != Trust::Certificates));
        world.send(0, "romeo@a.example/x", "juliet@b.example", "2");
        world.settle();
        assert_eq!((world.ids(0), world.ids(1)), (vec!["1"], vec!["2"]), "{trust:?}");
        assert_eq!((world.servers[0].connects, world.connections()), (connects, 1), "{trust:?}");
        world.cut_all();
        world.send(0, "romeo@a.example/x", "juliet@b.example", "3");
        world.settle();
        assert_eq!(world.ids(1), ["2", "3"], "{trust:?}");
        assert!(world.servers[0].connects > connects, "{trust:?}");
    }
}

// XEP-0368 1.1 §3 [DT2]: a record of direct TLS is as good as another
#[test]
fn tls_from_the_first_byte() {
    for trust in [Trust::Certificates, Trust::Dialback] {
        let mut world = two(trust);
        for domain in ["a.example", "b.example"] {
            let record = world.record(domain, 5270, true);
            world.dns.insert(domain.into(), Some(vec![record]));
        }
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.settle();
        assert_eq!(world.ids(1), ["1"], "{trust:?}");
    }
}

// RFC 6120 §3.2.1: where the first place answers but no stream comes about, there is the next
#[test]
fn another_place_where_one_comes_to_nothing() {
    let mut world = World::new(
        1,
        vec![
            config(&["a.example"], Trust::Certificates),
            config(&["b.example"], Trust::Certificates),
            config(&["other.example"], Trust::Certificates),
        ],
    );
    let mut first = world.record("other.example", 5269, false);
    first.priority = 0;
    let second = world.record("b.example", 5269, false);
    world.dns.insert("b.example".into(), Some(vec![first, second]));
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    assert_eq!(world.ids(1), ["1"], "{:?}", world.servers[0].log);
    assert_eq!(world.servers[0].returned, []);
}

// RFC 6120 §10.4: `remote-server-not-found` without such a domain, at once; `remote-server-timeout` where nobody answers for as long as
// stanzas wait, and then at once; once each, and without looking until the domain is tried again
#[test]
fn what_cannot_be_sent_comes_back() {
    let mut world = two(Trust::Certificates);
    world.dns.insert("none.example".into(), Some(vec![world.record("", 0, false)]));
    world.dns.insert("broken.example".into(), None);
    world.dns.insert("down.example".into(), Some(vec![world.record("down.example", 5269, false)]));
    world.hosts.insert(("down.example".into(), 5269), 1);
    world.servers[1].is_up = false;
    for (domain, condition) in [
        ("none.example", RemoteServerNotFound),
        ("nowhere.example", RemoteServerNotFound),
        ("broken.example", RemoteServerTimeout),
        ("down.example", RemoteServerTimeout),
    ] {
        let (before, first) = (world.servers[0].returned.len(), world.servers[0].resolved);
        world.send(0, "romeo@a.example/x", &format!("juliet@{domain}"), "1");
        world.settle();
        if condition == RemoteServerTimeout {
            world.pass(Duration::from_secs(59));
            assert_eq!(world.returned(0).len(), before, "{domain}");
            assert_eq!(
                world.servers[0].resolved,
                first + 4,
                "{domain} is tried at once, after 5, 15 and 35 s"
            );
            world.pass(Duration::from_secs(2));
        }
        let resolved = world.servers[0].resolved;
        world.send(0, "romeo@a.example/x", &format!("juliet@{domain}"), "2");
        world.settle();
        let returned = world.returned(0)[before..].to_vec();
        assert_eq!(returned, [("1", condition), ("2", condition)], "{domain}");
        assert_eq!(world.servers[0].resolved, resolved, "it is left alone");
        world.pass(Duration::from_secs(if condition == RemoteServerTimeout { 15 } else { 6 }));
        world.send(0, "romeo@a.example/x", &format!("juliet@{domain}"), "3");
        world.settle();
        assert_eq!(world.servers[0].resolved, resolved + 1, "and tried again");
        assert_eq!(world.returned(0).last(), Some(&("3", condition)), "{domain}");
    }
    assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
}

// A stanza whose domain can't be reached waits, and goes as soon as it can; those behind it, too, in their order.
#[test]
fn what_waits_goes_when_the_domain_is_back() {
    for (trust, is_known) in ALL.into_iter().flat_map(|trust| [(trust, false), (trust, true)]) {
        let mut world = two(trust);
        if is_known {
            world.send(0, "romeo@a.example/x", "juliet@b.example", "0");
            world.settle();
            world.cut_all();
        }
        world.servers[1].is_up = false;
        for second in 1..20 {
            world.send(0, "romeo@a.example/x", "juliet@b.example", &second.to_string());
            world.pass(Duration::from_secs(1));
        }
        world.servers[1].is_up = true;
        // It is tried again after 35 s.
        world.pass(Duration::from_secs(20));
        let first = usize::from(!is_known);
        let expected: Vec<String> = (first..20).map(|n| n.to_string()).collect();
        assert_eq!(
            (world.ids(1), world.returned(0)),
            (expected.iter().map(String::as_str).collect(), vec![])
        );
    }
}

// `Federation::tick`: after it nothing is due, however long a machine was suspended, and what has waited for longer than patience comes back.
#[test]
fn nothing_is_due_after_a_long_sleep() {
    for seconds in [1, 5, 6, 10, 11, 59, 60, 61, 70, 1_000, 100_000] {
        let mut world = two(Trust::Certificates);
        world.dns.insert("b.example".into(), None);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.sleep(Duration::from_secs(seconds));
        let is_late = seconds >= 60;
        assert_eq!(world.returned(0).len(), usize::from(is_late), "{seconds}");
        world.sleep(Duration::from_secs(seconds));
        world.pass(Duration::from_secs(100));
        assert_eq!((world.returned(0).len(), world.servers[0].federation.waiting_bytes()), (1, 0));
    }
}

// Whoever has asked something hears at once that the domain can't be reached now, as with a person who waits for the answer; a message
// that was sent before does not come back for that.
#[test]
fn a_request_does_not_wait_for_another_try() {
    let mut world = two(Trust::Certificates);
    world.servers[1].is_up = false;
    let ask = |id: &str| {
        let ask = Stanza::iq(IqType::Get).with_from("romeo@a.example/x".parse().unwrap());
        ask.with_to("juliet@b.example".parse().unwrap()).with_id(id)
    };
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.send_stanza(0, ask("2"));
    world.send(0, "romeo@a.example/x", "juliet@b.example", "3");
    world.settle();
    assert_eq!(world.returned(0), [("2", RemoteServerTimeout)]);
    world.pass(Duration::from_secs(1));
    world.send_stanza(0, ask("4"));
    world.settle();
    assert_eq!(world.returned(0), [("2", RemoteServerTimeout), ("4", RemoteServerTimeout)]);
    world.servers[1].is_up = true;
    world.pass(Duration::from_secs(5));
    assert_eq!(world.ids(1), ["1", "3"]);
    assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
}

// FederationLimits::attempts_per_sender: domains that are tried again for an account count as those that are looked for.
#[test]
fn domains_that_are_tried_again_are_bounded() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.limits.attempts_per_sender = 3;
    let mut world = World::new(1, vec![ours]);
    for n in 0..10 {
        world.dns.insert(format!("n{n}.example"), None);
        world.send(0, "romeo@a.example/x", &format!("x@n{n}.example"), &n.to_string());
        world.settle();
    }
    assert_eq!(world.returned(0).len(), 7);
    assert!(world.returned(0).iter().all(|(_, condition)| *condition == ResourceConstraint));
    // What waits no more counts no more.
    world.pass(Duration::from_secs(61));
    assert_eq!(world.returned(0).len(), 10);
    world.send(0, "romeo@a.example/x", "x@m.example", "m");
    world.settle();
    assert_eq!(world.returned(0).last(), Some(&("m", RemoteServerNotFound)));
}

// A domain that fails again and again is tried less and less often.
#[test]
fn a_dead_domain_is_tried_less_and_less() {
    let mut world = two(Trust::Certificates);
    world.servers[1].is_up = false;
    for second in 0..3_600 {
        world.send(0, "romeo@a.example/x", "juliet@b.example", &second.to_string());
        world.pass(Duration::from_secs(1));
    }
    let tried = world.servers[0].resolved;
    assert!((8..16).contains(&tried), "{tried}");
    assert_eq!(world.servers[0].returned.len(), 3_600, "each comes back, once");
    // When it connects to us it lives.
    world.servers[1].is_up = true;
    world.send(1, "juliet@b.example/y", "romeo@a.example", "x");
    world.settle();
    world.send(0, "romeo@a.example/x", "juliet@b.example", "y");
    world.settle();
    assert_eq!((world.ids(0), world.ids(1)), (vec!["x"], vec!["y"]));
}

// RFC 6120 §13.7.2, XEP-0178 1.2 §3 [EX21], XEP-0220 §2.1.1: a server that is not who is wanted gets nothing, and the log says what its certificate lacks
#[test]
fn a_wrong_certificate_is_not_talked_to() {
    let wrong = [
        config_of(&["b.example"], &["c.example"], Trust::Certificates, &AUTHORITY),
        config_of(&["b.example"], &["b.example"], Trust::Certificates, &STRANGER),
    ];
    for wrong in wrong {
        let mut world = World::new(1, vec![config(&["a.example"], Trust::Certificates), wrong]);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.send(1, "juliet@b.example/y", "romeo@a.example", "2");
        world.settle();
        assert_eq!((world.ids(0), world.ids(1)), (vec![], vec![]));
        assert_eq!(world.returned(0), [("1", InternalServerError)]);
        assert_eq!(world.returned(1), [("2", InternalServerError)]);
        assert!(world.has_logged(0, "b.example cannot be reached (internal-server-error)"));
        assert!(
            world.has_logged(0, "a certificate that proves your domain is needed"),
            "{:?}",
            world.servers[0].log
        );
    }
}

// RFC 6120 §4.9.3.14, §13.7.2, XEP-0178 1.2 §3: another server that does not take the certificate of one of our domains takes what comes from the
// others, before and after that; and it is tried less and less for the one.
#[test]
fn a_certificate_that_is_not_taken_is_of_one_domain() {
    let ours = || config_of(&["a.example", "c.example"], &["a.example"], Trust::Certificates, &AUTHORITY);
    for (is_together, demands) in [(true, false), (false, false), (true, true), (false, true)] {
        let mut theirs = config(&["b.example"], Trust::Certificates);
        // It offers dialback, too, which we don't use: or there is no way to prove anything, and it ends the stream.
        theirs.dialback = (!demands).then(|| Secret::new("secret of b.example".into()));
        let mut world = World::new(1, vec![ours(), theirs]);
        world.send(0, "nurse@c.example/x", "juliet@b.example", "c");
        if !is_together {
            world.settle();
        }
        world.send(0, "romeo@a.example/x", "juliet@b.example", "a");
        world.settle();
        assert_eq!((world.ids(1), world.returned(0)), (vec!["a"], vec![("c", InternalServerError)]));
        let connects = world.servers[0].connects;
        for second in 0..3_600 {
            world.send(0, "romeo@a.example/x", "juliet@b.example", &second.to_string());
            world.send(0, "nurse@c.example/x", "juliet@b.example", &format!("c{second}"));
            world.pass(Duration::from_secs(1));
        }
        assert_eq!((world.ids(1).len(), world.returned(0).len()), (3_601, 3_601));
        assert!((4..16).contains(&(world.servers[0].connects - connects)), "{}", world.servers[0].connects);
        assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
        assert!(
            world.has_logged(0, "b.example does not take stanzas of c.example (internal-server-error): ")
        );
    }
}

// `Federation::configure`: when a certificate that was not taken is replaced, nobody waits until its domain would be tried again.
#[test]
fn another_certificate_is_shown_at_once() {
    let ours =
        |names: &[&str]| config_of(&["a.example", "c.example"], names, Trust::Certificates, &AUTHORITY);
    let theirs = config(&["b.example"], Trust::Certificates);
    let mut world = World::new(1, vec![ours(&["a.example"]), theirs]);
    for id in ["1", "2"] {
        world.send(0, "nurse@c.example/x", "juliet@b.example", id);
        world.settle();
    }
    assert_eq!((world.servers[0].connects, world.returned(0).len()), (1, 2));
    world.servers[0].federation.configure(ours(&["a.example", "c.example"]));
    world.send(0, "nurse@c.example/x", "juliet@b.example", "3");
    world.settle();
    assert_eq!((world.ids(1), world.returned(0).len()), (vec!["3"], 2));
}

// The table of routes wins over the DNS, which is not asked.
#[test]
fn a_route_needs_no_dns() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    let target = Target::new("b.example".into(), 5270, true);
    ours.routes.insert(jid("b.example"), target);
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Certificates)]);
    world.dns.clear();
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.settle();
    assert_eq!((world.ids(1), world.servers[0].resolved), (vec!["1"], 0));
}

// XEP-0220 1.1.1 §2.6.1 [DB30]: a stream that dialback has opened takes more domains of ours; a certificate's is for one
#[test]
fn several_domains_of_ours() {
    for (trust, streams) in [(Trust::Plain, 1), (Trust::Dialback, 1), (Trust::Certificates, 2)] {
        let ours = config(&["a.example", "c.example"], trust);
        let mut world = World::new(1, vec![ours, config(&["b.example"], trust)]);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.settle();
        world.send(0, "nurse@c.example/x", "juliet@b.example", "2");
        world.send(0, "romeo@a.example/x", "juliet@b.example", "3");
        world.settle();
        let mut ids = world.ids(1);
        ids.sort_unstable();
        assert_eq!(ids, ["1", "2", "3"], "{trust:?} {:?}", world.servers[0].log);
        assert_eq!(world.connections(), streams, "{trust:?}");
    }
}

// A stream that nobody uses goes, and comes back when it is needed.
#[test]
fn idle_streams_are_closed() {
    for trust in ALL {
        let mut world = two(trust);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
        world.pass(Duration::from_secs(1_300));
        assert_eq!(world.connections(), 0, "{trust:?}");
        assert_eq!(world.servers[0].federation.streams(), 0);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "2");
        world.settle();
        assert_eq!(world.ids(1), ["1", "2"]);
        assert_eq!(world.servers[0].returned, []);
    }
}

// Another server that accepts and says nothing costs its senders one error in time, and no more.
#[test]
fn a_server_that_says_nothing() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.stream = short();
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Certificates)]);
    world.servers[1].is_mute = true;
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.pass(Duration::from_secs(59));
    assert_eq!(world.returned(0), []);
    world.pass(Duration::from_secs(1));
    assert_eq!(world.returned(0), [("1", RemoteServerTimeout)]);
    world.pass(Duration::from_secs(20));
    assert_eq!(world.servers[0].federation.streams(), 0);
    assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
}

// One that reads no more is given up, and what waits for it comes back.
#[test]
fn a_server_that_reads_no_more() {
    for is_managed in [false, true] {
        let mut ours = config(&["a.example"], Trust::Certificates);
        ours.management = is_managed;
        let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Certificates)]);
        world.send(0, "romeo@a.example/x", "juliet@b.example", "0");
        world.settle();
        world.servers[1].is_mute = true;
        for n in 1..1_000 {
            world.send(0, "romeo@a.example/x", "juliet@b.example", &n.to_string());
        }
        world.pass(Duration::from_secs(if is_managed { 29 } else { 59 }));
        assert_eq!(world.returned(0), []);
        world.pass(Duration::from_secs(90));
        let why =
            if is_managed { "no answer within the time allowed" } else { "has not been read for too long" };
        assert!(world.has_logged(0, why), "{:?}", world.servers[0].log);
        let returned = world.returned(0);
        // Of what was written and can't be asked for nobody hears.
        assert!(if is_managed { returned.len() == 999 } else { returned.len() > 300 }, "{}", returned.len());
        assert!(returned.iter().all(|(_, condition)| *condition == RemoteServerTimeout));
        assert_eq!(world.servers[0].federation.waiting_bytes(), 0);
    }
}

// What waits is bounded for each sender, and for each domain.
#[test]
fn what_waits_is_bounded() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.limits.sender_bytes = 10_000;
    ours.limits.domain_bytes = 15_000;
    ours.limits.attempts_per_sender = 2;
    let mut world = World::new(1, vec![ours, config(&["b.example"], Trust::Certificates)]);
    for n in 0..100 {
        world.send(0, "romeo@a.example/x", "juliet@b.example", &n.to_string());
    }
    let federation = &mut world.servers[0].federation;
    assert!((9_000..=10_000).contains(&federation.waiting_bytes()), "{}", federation.waiting_bytes());
    for n in 0..100 {
        world.send(0, "nurse@a.example/x", "juliet@b.example", &format!("n{n}"));
    }
    let federation = &mut world.servers[0].federation;
    assert!((14_000..=15_000).contains(&federation.waiting_bytes()), "{}", federation.waiting_bytes());
    // Two domains at a time for each account.
    world.send(0, "paris@a.example/x", "x@c.example", "c");
    world.send(0, "paris@a.example/x", "x@d.example", "d");
    world.send(0, "paris@a.example/x", "x@e.example", "e");
    world.settle();
    let returned = world.returned(0);
    assert!(returned.contains(&("e", ResourceConstraint)) && returned.contains(&("d", RemoteServerNotFound)));
    assert_eq!(world.ids(1).len() + returned.len(), 203);
    assert!(world.ids(1).len() > 30);
}

// Domains that wait for their turn get it.
#[test]
fn domains_take_turns_to_be_found() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    ours.limits.attempts = 1;
    let mut world = World::new(
        1,
        vec![
            ours,
            config(&["b.example"], Trust::Certificates),
            config(&["c.example"], Trust::Certificates),
            config(&["d.example"], Trust::Certificates),
        ],
    );
    for (server, domain) in ["b", "c", "d"].iter().enumerate() {
        world.send(0, "romeo@a.example/x", &format!("x@{domain}.example"), &server.to_string());
        world.send(0, "romeo@a.example/x", "x@nowhere.example", &format!("n{server}"));
    }
    world.settle();
    assert_eq!((world.ids(1), world.ids(2), world.ids(3)), (vec!["0"], vec!["1"], vec!["2"]));
    assert_eq!(world.servers[0].returned.len(), 3);
}

// FederationLimits::attempts: a domain that takes connections and says nothing on them, or closes them, uses up an attempt no longer than
// it is tried; and it is not tried again at once.
#[test]
fn a_domain_that_comes_to_nothing_keeps_no_attempt() {
    for is_mute in [true, false] {
        let mut first = config(&["a.example"], Trust::Plain);
        first.limits.attempts = 1;
        let mut world = World::new(
            1,
            vec![first, config(&["b.example"], Trust::Plain), config(&["c.example"], Trust::Plain)],
        );
        world.servers[1].is_mute = is_mute;
        if !is_mute {
            // It ends each stream as soon as that has begun.
            world.cut_after = Some(1);
        }
        for round in 0..3 {
            world.send(0, "romeo@a.example/x", "juliet@b.example", &format!("lost {round}"));
            world.settle();
            world.pass(Duration::from_secs(400));
        }
        world.cut_after = None;
        world.send(0, "romeo@a.example/x", "nurse@c.example", "there");
        world.settle();
        world.pass(Duration::from_secs(120));
        assert_eq!(world.ids(2), ["there"], "mute: {is_mute} {:?}", world.servers[0].log);
    }
}
