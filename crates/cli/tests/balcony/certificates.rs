//! The certificate of a server: the first start makes one that clients on the same machine trust, it is renewed in time and read
//! again at a hangup, and clients elsewhere accept no other than they were told to.

use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, SystemTime};

use crate::world::{PASSWORD, World};

fn send(world: &World, options: &[&str]) -> crate::world::Ended {
    let args = ["send", "--as", "romeo@localhost", "--type", "headline", "romeo@localhost", "hello"];
    world.run_as(PASSWORD, &[&args, options].concat())
}

#[test]
fn the_first_start_makes_a_certificate_that_clients_find() {
    let world = World::new();
    let server = world.serve(&[]);
    assert!(
        server
            .greeting
            .iter()
            .any(|line| line.ends_with("/cert.pem, signed by ./balcony-data/ca.pem, both made just now")),
        "{:#?}",
        server.greeting
    );
    for key in ["balcony-data/key.pem", "balcony-data/ca-key.pem"] {
        let key = std::fs::metadata(world.path(key)).unwrap();
        assert_eq!(key.permissions().mode() & 0o777, 0o600);
    }
    world.account("romeo");
    send(&world, &["--connect", &server.address]).succeeded();
    send(&world, &["--connect", &server.address_tls, "--direct-tls"]).succeeded();

    // From elsewhere, one has to say so.
    let elsewhere = World::new();
    let refused = send(&elsewhere, &["--connect", &server.address]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    let [authority, certificate] = ["ca.pem", "cert.pem"].map(|file| world.path("balcony-data").join(file));
    let [authority, certificate] = [&authority, &certificate].map(|path| path.to_str().unwrap());
    send(&elsewhere, &["--connect", &server.address, "--ca", authority]).succeeded();
    // The server's own is not what is trusted, and what is stands beside it.
    let mixed_up = send(&elsewhere, &["--connect", &server.address, "--ca", certificate]);
    mixed_up.failed(1, &["not signed by a trusted authority", &format!("(--ca {authority} trusts it)")]);
    let careless = send(&elsewhere, &["--connect", &server.address, "--insecure"]);
    careless.succeeded();
    assert!(
        careless.stderr.starts_with("balcony: warning: --insecure accepts every certificate"),
        "{careless:?}"
    );

    let other = World::new();
    other.serve(&[]).stop();
    let other = other.path("balcony-data/ca.pem");
    let refused = send(&elsewhere, &["--connect", &server.address, "--ca", other.to_str().unwrap()]);
    refused.failed(1, &["certificate of localhost is not signed by a trusted authority", "--ca"]);

    // The second start keeps it.
    let before = [authority, certificate].map(|path| std::fs::read(path).unwrap());
    server.stop();
    let server = world.serve(&[]);
    assert!(!server.greeting.iter().any(|line| line.contains("made just now")));
    assert_eq!([authority, certificate].map(|path| std::fs::read(path).unwrap()), before);
}

// A data folder from before there was an authority goes on as it was, and says how it gets one.
#[test]
fn a_self_signed_certificate_is_kept() {
    let world = World::new();
    world.serve(&[]).stop();
    let (certificate, key) = balcony_tls::self_signed(&["localhost"]).unwrap();
    for file in ["ca.pem", "ca-key.pem"] {
        std::fs::remove_file(world.path("balcony-data").join(file)).unwrap();
    }
    let path = world.write("balcony-data/cert.pem", &certificate);
    world.write("balcony-data/key.pem", key.expose());
    let server = world.serve(&[]);
    let line = server.process.stderr_with("is its own authority");
    assert!(line.contains("move it and key.pem beside it away"), "{line}");
    assert!(
        server.greeting.iter().any(|line| line.ends_with("development certificate ./balcony-data/cert.pem"))
    );
    world.account("romeo");
    send(&world, &["--connect", &server.address]).succeeded();
    let elsewhere = World::new();
    send(&elsewhere, &["--connect", &server.address, "--ca", path.to_str().unwrap()]).succeeded();
    server.stop();
    assert_eq!(std::fs::read_to_string(&path).unwrap(), certificate);

    // What was said helps.
    for file in ["cert.pem", "key.pem"] {
        std::fs::rename(world.path("balcony-data").join(file), world.path(file)).unwrap();
    }
    let server = world.serve(&[]);
    send(&world, &["--connect", &server.address]).succeeded();
    assert!(world.path("balcony-data/ca.pem").exists());
}

#[test]
fn a_certificate_that_ends_is_renewed_and_clients_trust_it_still() {
    let world = World::new();
    world.serve(&[]).stop();
    let read = |file: &str| std::fs::read_to_string(world.path("balcony-data").join(file)).unwrap();
    let authority = balcony_tls::Authority::from_pem(&read("ca.pem"), &read("ca-key.pem")).unwrap();
    // Its 397 days are over in a week.
    let key = balcony_machine::Secret::new(read("key.pem"));
    let then = SystemTime::now() - Duration::from_secs(86_400 * 390);
    let (old, _) = authority.issue(&["localhost"], Some(&key), then).unwrap();
    world.write("balcony-data/cert.pem", &old);
    let server = world.serve(&[]);
    assert!(server.greeting.iter().any(|line| line.ends_with("signed by ./balcony-data/ca.pem just now")));
    assert!(read("cert.pem") != old && read("key.pem") == *key.expose());
    assert_eq!(read("ca.pem"), authority.certificate_pem());
    world.account("romeo");
    send(&world, &["--connect", &server.address]).succeeded();
    server.stop();

    // Without the key of the authority nobody can do that, and it is said.
    std::fs::remove_file(world.path("balcony-data/ca-key.pem")).unwrap();
    world.write("balcony-data/cert.pem", &old);
    let server = world.serve(&[]);
    let line = server.process.stderr_with(": clients refuse it from 20");
    assert!(line.contains("ends in 6 days") || line.contains("ends in 7 days"), "{line}");
    send(&world, &["--connect", &server.address]).succeeded();
}

// RFC 5280 §6.1: many clients look at the dates of what they trust, too.
#[test]
fn an_authority_that_has_ended_is_renewed_with_its_key() {
    let world = World::new();
    world.serve(&[]).stop();
    let read = |file: &str| std::fs::read_to_string(world.path("balcony-data").join(file)).unwrap();
    let then = SystemTime::now() - Duration::from_secs(86_400 * 3_700);
    let authority = balcony_tls::Authority::new(then).unwrap();
    let (certificate, key) = authority.issue(&["localhost"], None, then).unwrap();
    let written = |files: &[(&str, &str)]| {
        for (file, content) in files {
            world.write(&format!("balcony-data/{file}"), content);
        }
    };
    let ended = [("ca.pem", authority.certificate_pem()), ("cert.pem", &*certificate)];
    written(&ended);
    written(&[("ca-key.pem", authority.key_pem().expose()), ("key.pem", key.expose())]);
    let former = world.write("former.pem", authority.certificate_pem());

    let server = world.serve(&[]);
    let line = server.process.stderr_with("the development authority ./balcony-data/ca.pem has ended on ");
    assert!(line.contains("WARN") && line.contains("Clients have to be given the new ca.pem"), "{line}");
    assert!(
        server
            .greeting
            .iter()
            .any(|line| line.ends_with("signed by ./balcony-data/ca.pem, both renewed just now"))
    );
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let is_valid = |file: &str| {
        let details = balcony_tls::CertificateDetails::read_pem(read(file).as_bytes()).unwrap();
        details.validity.contains(&now)
    };
    assert!(is_valid("ca.pem") && is_valid("cert.pem"));
    assert_eq!(
        (read("ca-key.pem"), read("key.pem")),
        (authority.key_pem().expose().clone(), key.expose().clone())
    );
    world.account("romeo");
    send(&world, &["--connect", &server.address]).succeeded();

    // And at a hangup, as when the clock was set after the start.
    written(&ended);
    server.process.signal("HUP");
    server.process.stderr_with("renewed the development certificate ./balcony-data/cert.pem");
    server.process.stderr_with("the development authority ./balcony-data/ca.pem has ended on ");
    assert!(is_valid("ca.pem") && is_valid("cert.pem"));
    // Who has the former one, and does not look at its dates, trusts the server still.
    for trusted in [world.path("balcony-data/ca.pem"), former] {
        send(&world, &["--connect", &server.address, "--ca", trusted.to_str().unwrap()]).succeeded();
    }
}

#[test]
fn channel_binding_is_a_choice() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    for (options, mechanism) in [
        (&[][..], "(SCRAM-SHA-512-PLUS)"),
        (&["--channel-binding", "off"], "(SCRAM-SHA-512)"),
        (&["--channel-binding", "required"], "(SCRAM-SHA-512-PLUS)"),
    ] {
        send(&world, &[&["--connect", &server.address], options].concat()).succeeded();
        let line = server.process.stderr_with("is online");
        assert!(line.contains(mechanism), "{options:?}: {line}");
    }
}

#[test]
fn a_certificate_for_other_names_is_warned_about() {
    let world = World::new();
    world.serve(&[]).stop();
    let (certificate, key) = balcony_tls::self_signed(&["localhost"]).unwrap();
    world.write("balcony-data/cert.pem", &certificate);
    world.write("balcony-data/key.pem", key.expose());
    let server = world.serve(&["--domain", "example.org"]);
    let line = server.process.stderr_with("is not for example.org");
    assert!(line.contains("move it and key.pem beside it away"), "{line}");
}

#[test]
fn a_domain_that_has_come_is_in_the_next_certificate() {
    let world = World::new();
    world.serve(&[]).stop();
    let server = world.serve(&["--domain", "localhost", "--domain", "example.org"]);
    assert!(server.greeting.iter().any(|line| line.ends_with("signed by ./balcony-data/ca.pem just now")));
    assert!(world.run_as(PASSWORD, &["user", "add", "romeo@example.org"]).status == Some(0));
    let args = ["send", "--as", "romeo@example.org", "--type", "headline", "romeo@example.org", "hello"];
    let ended = world.run_as(
        PASSWORD,
        &[&args[..], &["--connect", &server.address, "--ca", "balcony-data/ca.pem"]].concat(),
    );
    ended.succeeded();
}

#[test]
fn hangup_reads_the_certificate_again() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    let (certificate, old) = (world.path("balcony-data/cert.pem"), world.path("old.pem"));
    std::fs::copy(world.path("balcony-data/ca.pem"), &old).unwrap();
    let old = old.to_str().unwrap();
    let there = ["--connect", &server.address, "--ca", old];
    send(&world, &there).succeeded();

    // What cannot be read changes nothing.
    let hang_up = |expected: &str| {
        server.process.signal("HUP");
        let line = server.process.stderr_with("everything stays as it was: ");
        assert!(line.contains(expected), "{line}");
        send(&world, &there).succeeded();
    };
    std::fs::rename(world.path("balcony-data/key.pem"), world.path("key.pem")).unwrap();
    hang_up("cannot read the private key ./balcony-data/key.pem: it is missing; put it back, or move ");
    std::fs::remove_file(&certificate).unwrap();
    hang_up("cannot read the certificate ./balcony-data/cert.pem: no such file");
    assert!(!certificate.exists());

    world.renew_certificate();
    server.process.signal("HUP");
    server.process.stderr_with("read the certificate");
    send(&world, &there).failed(1, &["not signed by a trusted authority"]);
    send(&world, &["--connect", &server.address]).succeeded();
}

#[test]
fn hangup_takes_no_certificate_that_has_ended() {
    let world = World::new();
    let key = rcgen::KeyPair::generate().unwrap();
    world.write("key.pem", &key.serialize_pem());
    let show = |from: i32, until: i32| {
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) =
            (rcgen::date_time_ymd(from, 1, 1), rcgen::date_time_ymd(until, 1, 1));
        let pem = params.self_signed(&key).unwrap().pem();
        world.write("cert.pem", &pem);
        pem
    };
    world.write("trusted.pem", &show(2020, 3000));
    let server = world.serve(&["--cert", "cert.pem", "--key", "key.pem"]);
    world.account("romeo");
    let there = ["--connect", &server.address, "--ca", "trusted.pem"];
    for (from, until, expected) in [
        (
            2020,
            2021,
            "cert.pem: the certificate has ended on 2021-01-01; the one for localhost that is used is valid until 3000-01-01",
        ),
        (2990, 3000, "cert.pem: the certificate is not valid before 2990-01-01; "),
    ] {
        show(from, until);
        server.process.signal("HUP");
        let line = server.process.stderr_with("everything stays as it was: ");
        assert!(line.contains(expected), "{line}");
        send(&world, &there).succeeded();
    }
    world.write("trusted.pem", &show(2020, 2999));
    server.process.signal("HUP");
    server.process.stderr_with("read the certificate");
    send(&world, &there).succeeded();
}

#[test]
fn a_certificate_of_ones_own() {
    let world = World::new();
    world.serve(&[]).stop();
    std::fs::rename(world.path("balcony-data/cert.pem"), world.path("c.pem")).unwrap();
    std::fs::rename(world.path("balcony-data/key.pem"), world.path("k.pem")).unwrap();
    let server = world.serve(&["--cert", "c.pem", "--key", "k.pem"]);
    world.account("romeo");
    send(&world, &["--connect", &server.address, "--ca", "balcony-data/ca.pem"]).succeeded();
    assert!(!world.path("balcony-data/cert.pem").exists());
    assert!(!server.greeting.iter().any(|line| line.contains("development")), "{:#?}", server.greeting);
    // Whether clients know who has signed it is theirs to know.
    server
        .process
        .stderr_with("the certificate c.pem comes alone. If a root has signed it, nothing is missing");
    server.stop();

    let read = |file| std::fs::read_to_string(world.path(file)).unwrap();
    world.write("fullchain.pem", &(read("c.pem") + &read("balcony-data/ca.pem")));
    let server = world.serve(&["--cert", "fullchain.pem", "--key", "k.pem"]);
    send(&world, &["--connect", &server.address, "--ca", "balcony-data/ca.pem"]).succeeded();
    let ended = server.stop();
    assert!(!ended.stderr.contains("comes alone"), "{ended:#?}");
}
