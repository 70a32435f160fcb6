use std::os::unix::fs::PermissionsExt as _;

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
        server.greeting.iter().any(|line| line.ends_with("cert.pem, made just now")),
        "{:#?}",
        server.greeting
    );
    let key = std::fs::metadata(world.path("balcony-data/key.pem")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    world.account("romeo");
    send(&world, &["--connect", &server.address]).succeeded();
    send(&world, &["--connect", &server.address_tls, "--direct-tls"]).succeeded();

    // From elsewhere, one has to say so.
    let elsewhere = World::new();
    let refused = send(&elsewhere, &["--connect", &server.address]);
    assert_eq!(refused.status, Some(1), "{refused:?}");
    let certificate = world.path("balcony-data/cert.pem");
    let certificate = certificate.to_str().unwrap();
    send(&elsewhere, &["--connect", &server.address, "--ca", certificate]).succeeded();
    let careless = send(&elsewhere, &["--connect", &server.address, "--insecure"]);
    careless.succeeded();
    assert!(
        careless.stderr.starts_with("balcony: warning: --insecure accepts every certificate"),
        "{careless:?}"
    );

    let other = World::new();
    other.serve(&[]).stop();
    let other = other.path("balcony-data/cert.pem");
    let refused = send(&elsewhere, &["--connect", &server.address, "--ca", other.to_str().unwrap()]);
    refused.failed(1, &["certificate of localhost is not signed by a trusted authority", "--ca"]);

    // The second start keeps it.
    let before = std::fs::read(certificate).unwrap();
    server.stop();
    let server = world.serve(&[]);
    assert!(!server.greeting.iter().any(|line| line.contains("made just now")));
    assert_eq!(std::fs::read(certificate).unwrap(), before);
}

#[test]
fn channel_binding_is_a_choice() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    for (options, mechanism) in [
        (&[][..], "(SCRAM-SHA-256-PLUS)"),
        (&["--channel-binding", "off"], "(SCRAM-SHA-256)"),
        (&["--channel-binding", "required"], "(SCRAM-SHA-256-PLUS)"),
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
    let server = world.serve(&["--domain", "example.org"]);
    let line = server.process.stderr_with("is not for example.org");
    assert!(line.contains("remove it and key.pem beside it"), "{line}");
}

#[test]
fn hangup_reads_the_certificate_again() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    let (certificate, old) = (world.path("balcony-data/cert.pem"), world.path("old.pem"));
    std::fs::copy(&certificate, &old).unwrap();
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
fn a_certificate_of_ones_own() {
    let world = World::new();
    world.serve(&[]).stop();
    std::fs::rename(world.path("balcony-data/cert.pem"), world.path("c.pem")).unwrap();
    std::fs::rename(world.path("balcony-data/key.pem"), world.path("k.pem")).unwrap();
    let server = world.serve(&["--cert", "c.pem", "--key", "k.pem"]);
    world.account("romeo");
    send(&world, &["--connect", &server.address, "--ca", "c.pem"]).succeeded();
    assert!(!world.path("balcony-data/cert.pem").exists());
    assert!(!server.greeting.iter().any(|line| line.contains("development")), "{:#?}", server.greeting);
}
