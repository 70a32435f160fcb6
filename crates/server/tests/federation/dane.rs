//! What signed DNS says about the servers of a domain (RFC 7673, RFC 7712 sections 5.1 and 6): who is believed for it, who is refused, and
//! what the log says.

use core::time::Duration;

use balcony_connection::srv::{Record, Signed};
use balcony_machine::Tlsa;
use balcony_server::Level;
use balcony_server::federation::FederationConfig;
use balcony_stanza::ErrorCondition::{self, InternalServerError, RemoteServerTimeout};
use balcony_tls::CertificateDetails;

use crate::world::{AUTHORITY, STRANGER, Trust, World, config, config_of, jid, show, today};

/// Who has signed the certificate of the other server, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theirs {
    Right,
    Unknown,
    ForItsHost,
    UnknownForItsHost,
}

/// Our server, and another one at `host.example`, with what the DNS says of that.
fn world(trust: Trust, theirs: Theirs, signed: impl Fn(Tlsa) -> Signed) -> World {
    let (issuer, name) = match theirs {
        Theirs::Right => (&AUTHORITY, "b.example"),
        Theirs::Unknown => (&STRANGER, "b.example"),
        Theirs::ForItsHost => (&AUTHORITY, "host.example"),
        Theirs::UnknownForItsHost => (&STRANGER, "host.example"),
    };
    let mut other: FederationConfig = config(&["b.example"], trust);
    let (certificate, key) = issuer.issue(&[name], None, today()).unwrap();
    show(&mut other, certificate.as_bytes(), key.expose().as_bytes());
    let mut ours = config(&["a.example"], trust);
    ours.dane = true;
    let mut world = World::new(1, vec![ours, other]);
    world.hosts.insert(("host.example".into(), 5269), 1);
    let fits = CertificateDetails::read_pem(certificate.as_bytes()).unwrap().tlsa;
    let record = Record { signed: signed(fits), ..world.record("host.example", 5269, false) };
    world.dns.insert("b.example".into(), Some(vec![record]));
    world
}

fn misfit() -> Tlsa {
    Tlsa { usage: 3, selector: 1, matching: 1, data: vec![7; 32] }
}

/// Sends a message, and says with what error it has come back.
fn sends(world: &mut World) -> Option<ErrorCondition> {
    world.send(0, "romeo@a.example/x", "juliet@b.example", "1");
    world.pass(Duration::from_secs(70));
    let has_arrived = world.ids(1) == ["1"];
    let returned = world.returned(0).first().map(|(_, condition)| *condition);
    assert_ne!(has_arrived, returned.is_some());
    returned
}

// RFC 7673 §4, RFC 7712 §5.1, §6: what counts where only certificates do
#[test]
fn who_is_believed_where_certificates_are_demanded() {
    type Dns = fn(Tlsa) -> Signed;
    let unsigned: Dns = |_| Signed::No;
    let none: Dns = |_| Signed::Yes(Vec::new());
    let fits: Dns = |fits| Signed::Yes(vec![misfit(), fits]);
    let unusable: Dns = |_| Signed::Yes(vec![Tlsa { usage: 9, ..misfit() }]);
    let other: Dns = |_| Signed::Yes(vec![misfit()]);
    let table = [
        (Theirs::Right, [true, true, true, true, false]),
        (Theirs::Unknown, [false, false, true, false, false]),
        (Theirs::ForItsHost, [false, true, true, true, false]),
        (Theirs::UnknownForItsHost, [false, false, true, false, false]),
    ];
    for (theirs, expected) in table {
        for (says, is_believed) in [unsigned, none, fits, unusable, other].into_iter().zip(expected) {
            let mut world = world(Trust::Certificates, theirs, says);
            let returned = sends(&mut world);
            assert_eq!(
                returned.is_none(),
                is_believed,
                "{theirs:?}: {returned:?} {:?}",
                world.servers[0].log
            );
            assert!(matches!(returned, None | Some(InternalServerError)), "{returned:?}");
        }
    }
}

// RFC 7673 §4: who has TLSA records and shows another certificate is not talked to, not even with dialback; and whoever runs the server
// finds in the log what would have to change
#[test]
fn a_certificate_that_does_not_fit_is_refused() {
    for (trust, theirs) in [(Trust::Certificates, Theirs::Right), (Trust::Dialback, Theirs::Unknown)] {
        let mut world = world(trust, theirs, |_| Signed::Yes(vec![misfit()]));
        assert_eq!(sends(&mut world), Some(InternalServerError));
        let lines: Vec<&str> = world.servers[0]
            .log
            .iter()
            .filter(|(level, line)| *level == Level::Info && line.contains("TLSA"))
            .map(|(_, line)| line.as_str())
            .collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with("b.example cannot be reached"), "{lines:?}");
        assert!(lines[0].contains("`_5269._tcp.host.example. TLSA 3 1 1 "), "{lines:?}");
    }
}

// Where dialback is enough the DNS adds nothing but what it refuses: records that fit, and hosts, are as good as none
#[test]
fn dialback_goes_on_where_nothing_contradicts() {
    type Dns = fn(Tlsa) -> Signed;
    let all: [Dns; 3] = [|_| Signed::No, |_| Signed::Yes(Vec::new()), |fits| Signed::Yes(vec![fits])];
    for says in all {
        let mut world = world(Trust::Dialback, Theirs::Unknown, says);
        assert_eq!(sends(&mut world), None);
    }
}

// RFC 7673 §3.4: a place whose TLSA records can't be had is not connected to; another one is
#[test]
fn places_of_which_nothing_is_known_are_passed_over() {
    let unknown = Signed::Unknown("SERVFAIL".into());
    let mut world = world(Trust::Certificates, Theirs::Right, |_| Signed::Unknown("SERVFAIL".into()));
    assert_eq!(sends(&mut world), Some(RemoteServerTimeout));
    assert_eq!(world.servers[0].connects, 0);
    assert!(world.has_logged(0, "b.example is not looked for at host.example:5269"));

    let mut world = self::world(Trust::Certificates, Theirs::Right, |_| Signed::No);
    let first = Record { priority: 0, signed: unknown, ..world.record("host.example", 5269, false) };
    let second = world.record("b.example", 5269, false);
    world.dns.insert("b.example".into(), Some(vec![first, second]));
    assert_eq!(sends(&mut world), None);
}

// A place whose certificate does not fit does not keep one from the next
#[test]
fn the_next_place_is_tried() {
    let mut world = world(Trust::Certificates, Theirs::Right, |_| Signed::No);
    let first = Record {
        priority: 0,
        signed: Signed::Yes(vec![misfit()]),
        ..world.record("host.example", 5269, false)
    };
    let second = world.record("b.example", 5269, false);
    world.dns.insert("b.example".into(), Some(vec![first, second]));
    assert_eq!(sends(&mut world), None);
}

/// Has the other server send a message to ours, and says whether it has arrived.
fn receives(world: &mut World) -> bool {
    world.send(1, "juliet@b.example/y", "romeo@a.example", "1");
    world.pass(Duration::from_secs(70));
    let has_arrived = world.ids(0) == ["1"];
    assert_ne!(has_arrived, world.returned(1).len() == 1);
    has_arrived
}

// RFC 7712 §4.1, §5.1, §6: the server of a domain that comes to us is believed since its signed DNS vouches for the certificate that it
// shows, where nothing but certificates counts
#[test]
fn who_comes_is_believed_since_the_dns_says_so() {
    type Dns = fn(Tlsa) -> Signed;
    let unsigned: Dns = |_| Signed::No;
    let none: Dns = |_| Signed::Yes(Vec::new());
    let fits: Dns = |fits| Signed::Yes(vec![misfit(), fits]);
    let other: Dns = |_| Signed::Yes(vec![misfit()]);
    let table = [
        // Whose certificate proves the domain by itself is not asked about.
        (Theirs::Right, [true, true, true, true]),
        (Theirs::Unknown, [false, false, true, false]),
        (Theirs::ForItsHost, [false, true, true, false]),
        (Theirs::UnknownForItsHost, [false, false, true, false]),
    ];
    for (theirs, expected) in table {
        for (says, is_believed) in [unsigned, none, fits, other].into_iter().zip(expected) {
            let mut world = world(Trust::Certificates, theirs, says);
            assert_eq!(receives(&mut world), is_believed, "{theirs:?}: {:?}", world.servers[0].log);
            assert_eq!(world.servers[0].resolved > 0, theirs != Theirs::Right);
            if is_believed && theirs != Theirs::Right {
                assert!(world.has_logged(0, "its signed DNS vouches for its certificate"));
            }
        }
    }
}

// Without DANE nobody is asked, nor where dialback does; and a domain that may not talk to us leads to no question
#[test]
fn nobody_is_asked_in_vain() {
    for (trust, dane, deny) in [
        (Trust::Certificates, false, false),
        (Trust::Dialback, true, false),
        (Trust::Certificates, true, true),
    ] {
        let mut world = world(trust, Theirs::Unknown, |fits| Signed::Yes(vec![fits]));
        let mut ours = world.servers[0].federation.config().clone();
        ours.dane = dane;
        if deny {
            ours.deny.insert(jid("b.example"));
        }
        world.servers[0].federation.configure(ours);
        let has_arrived = receives(&mut world);
        assert_eq!(has_arrived, trust == Trust::Dialback);
        // For dialback the domain is looked for, and its certificate judged by what is signed.
        assert_eq!(world.servers[0].resolved, usize::from(trust == Trust::Dialback));
    }
}

// A DNS that does not answer holds up nobody for longer than its time; and one that answers too late makes no difference
#[test]
fn the_dns_has_only_so_much_time() {
    let mut world = world(Trust::Certificates, Theirs::Unknown, |fits| Signed::Yes(vec![fits]));
    world.silent.insert("b.example".into());
    assert!(!receives(&mut world));
    assert!(world.has_logged(0, "a certificate that proves your domain is needed"));
    assert_eq!(world.connections(), 0);
}

// Only so many domains are asked about at the same time, whoever connects
#[test]
fn questions_are_bounded() {
    let mut ours = config(&["a.example"], Trust::Certificates);
    (ours.dane, ours.limits.attempts) = (true, 6);
    let names: Vec<String> = (0..8).map(|number| format!("c{number}.example")).collect();
    let theirs = names.iter().map(|name| config_of(&[name], &[name], Trust::Certificates, &STRANGER));
    let mut world = World::new(1, core::iter::once(ours).chain(theirs).collect());
    for (number, name) in names.iter().enumerate() {
        world.silent.insert(name.clone());
        world.send(number + 1, &format!("x@{name}/y"), "romeo@a.example", "1");
    }
    world.settle();
    assert_eq!(world.servers[0].resolved, 3);
    // Questions that nobody has answered in time make room for others.
    world.pass(Duration::from_secs(70));
    world.servers[1].returned.clear();
    world.send(1, "x@c0.example/y", "romeo@a.example", "2");
    world.pass(Duration::from_secs(70));
    assert!(world.servers[0].resolved > 3);
}
