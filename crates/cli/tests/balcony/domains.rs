//! Several domains on one server, each with a certificate of its own, and when federation is on by itself.

use std::time::SystemTime;

use balcony_tls::Authority;

use crate::world::{PASSWORD, Server, World, free_port};

/// Writes a certificate for these domains, with its key beside it.
fn certificate(world: &World, authority: &Authority, name: &str, domains: &[&str]) {
    let (certificate, key) = authority.issue(domains, None, SystemTime::now()).unwrap();
    world.write(&format!("{name}.pem"), &certificate);
    world.write(&format!("{name}-key.pem"), key.expose());
}

fn authority(world: &World, name: &str) -> Authority {
    let authority = Authority::new(SystemTime::now()).unwrap();
    world.write(name, authority.certificate_pem());
    authority
}

const TWO: &str = "domain = ['a.example', 'b.example']\nlisten = '127.0.0.1:0'\nlisten-tls = '127.0.0.1:0'\n\
                   cert = 'a.pem'\nkey = 'a-key.pem'\n[domains.'b.example']\ncertificate = 'b.pem'\nkey = 'b-key.pem'\n";

// RFC 6066 §3: by STARTTLS and by direct TLS alike, and again after a hangup
#[test]
fn each_domain_has_its_own_certificate() {
    let world = World::new();
    let [of_a, of_b] = ["ca-a.pem", "ca-b.pem"].map(|name| authority(&world, name));
    certificate(&world, &of_a, "a", &["a.example"]);
    certificate(&world, &of_b, "b", &["b.example"]);
    world.write("balcony.toml", TWO);
    let server = Server::start(world.start(&["serve", "--config", "balcony.toml"]));
    // Whoever starts it sees which there are, and until when; and which root clients have to be told of.
    let greeting = server.greeting.join("\n");
    for part in
        ["\n  certificate a.pem, valid until 20", "\n  certificate of b.example: b.pem, valid until 20"]
    {
        assert!(greeting.contains(part), "{greeting}");
    }
    assert!(greeting.contains(" listen --as romeo@a.example --connect "), "{greeting}");
    assert!(greeting.lines().any(|line| line.ends_with(" --ca FILE")), "{greeting}");
    let to_self = |domain: &str, ca: &str, more: &[&str]| {
        let user = format!("romeo@{domain}");
        let args = ["send", "--as", &user, "--type", "headline", &user, "hello", "--ca", ca];
        world.run_as(PASSWORD, &[&args[..], more].concat())
    };
    for domain in ["a.example", "b.example"] {
        world.account(&format!("romeo@{domain}"));
    }
    let (starttls, direct) =
        (["--connect", &server.address], ["--connect", &server.address_tls, "--direct-tls"]);
    for there in [&starttls[..], &direct[..]] {
        to_self("a.example", "ca-a.pem", there).succeeded();
        to_self("b.example", "ca-b.pem", there).succeeded();
        to_self("a.example", "ca-b.pem", there).failed(1, &["not signed by a trusted authority"]);
        to_self("b.example", "ca-a.pem", there).failed(1, &["not signed by a trusted authority"]);
    }
    // Another one comes for the second domain. One that is not for it changes nothing.
    certificate(&world, &of_a, "b", &["c.example"]);
    server.process.signal("HUP");
    let line = server.process.stderr_with("everything stays as it was");
    assert!(line.contains("b.pem of [domains] is not for b.example"), "{line}");
    to_self("b.example", "ca-b.pem", &starttls).succeeded();
    certificate(&world, &of_a, "b", &["b.example"]);
    server.process.signal("HUP");
    server.process.stderr_with("read balcony.toml and the certificate");
    server.process.stderr_with("certificate of b.example: b.pem, valid until 20");
    to_self("b.example", "ca-a.pem", &starttls).succeeded();
    to_self("b.example", "ca-b.pem", &direct).failed(1, &["not signed by a trusted authority"]);
}

// Without one for all, that of the first domain is shown to who asks for none; the server makes none of its own.
#[test]
fn the_certificate_of_the_first_domain_serves_for_unknown_names() {
    let world = World::new();
    let authority = authority(&world, "ca.pem");
    certificate(&world, &authority, "a", &["a.example", "localhost"]);
    certificate(&world, &authority, "b", &["b.example"]);
    world.write(
        "balcony.toml",
        "domain = ['a.example', 'b.example', 'localhost']\nlisten = '127.0.0.1:0'\n\
         [domains]\n'a.example' = { certificate = 'a.pem', key = 'a-key.pem' }\n\
         'b.example' = { certificate = 'b.pem', key = 'b-key.pem' }\n",
    );
    let server = Server::start(world.start(&["serve", "--config", "balcony.toml"]));
    assert!(!world.path("balcony-data/cert.pem").exists());
    world.account("romeo@localhost");
    world
        .send(
            &server,
            "romeo@localhost",
            "romeo@localhost",
            "hello",
            &["--type", "headline", "--ca", "ca.pem"],
        )
        .succeeded();
}

#[test]
fn what_is_wrong_with_certificates_of_domains() {
    let world = World::new();
    let authority = authority(&world, "ca.pem");
    certificate(&world, &authority, "a", &["a.example"]);
    certificate(&world, &authority, "b", &["c.example"]);
    world.write("balcony.toml", TWO);
    let serve = ["serve", "--config", "balcony.toml"];
    world.run(&serve).failed(1, &["b.pem of [domains] is not for b.example"]);
    world.write("balcony.toml", &TWO.replace("[domains.'b.", "[domains.'d."));
    world.run(&serve).failed(1, &["[domains]: `d.example` is not a domain of this server"]);
    world.write("balcony.toml", &TWO.replace("certificate = ", "cert = "));
    world.run(&serve).failed(1, &["balcony.toml:7: unknown field `cert`"]);
}

// XEP-0178 §3: to other servers each domain is proven by its own certificate, and asked for it is shown that
#[test]
fn streams_between_servers_take_the_certificate_of_their_domain() {
    let (ours, theirs) = (World::new(), World::new());
    let authority = authority(&ours, "ca.pem");
    certificate(&ours, &authority, "a", &["a.example"]);
    certificate(&ours, &authority, "b", &["b.example"]);
    theirs.write("ca.pem", authority.certificate_pem());
    certificate(&theirs, &authority, "c", &["c.example"]);
    let [port, other] = [free_port(), free_port()];
    let federation = "[federation]\nca = 'ca.pem'\nrequire-certificate = true\n";
    ours.write(
        "balcony.toml",
        &format!(
            "{TWO}{federation}listen = '127.0.0.1:{port}'\nroutes = {{ 'c.example' = '127.0.0.1:{other}' }}\n"
        ),
    );
    theirs.write(
        "balcony.toml",
        &format!(
            "domain = 'c.example'\nlisten = '127.0.0.1:0'\ncert = 'c.pem'\nkey = 'c-key.pem'\n{federation}\
             listen = '127.0.0.1:{other}'\n[federation.routes]\n'a.example' = '127.0.0.1:{port}'\n'b.example' = '127.0.0.1:{port}'\n"
        ),
    );
    let [here, there] =
        [&ours, &theirs].map(|world| Server::start(world.start(&["serve", "--config", "balcony.toml"])));
    theirs.account("juliet@c.example");
    let phone = theirs.listen(&there, "juliet@c.example/phone", &["--ca", "ca.pem"]);
    for domain in ["a.example", "b.example"] {
        let romeo = format!("romeo@{domain}");
        ours.account(&romeo);
        ours.send(&here, &romeo, "juliet@c.example", "But soft, what light?", &["--ca", "ca.pem"])
            .succeeded();
        assert!(phone.stdout().ends_with(": But soft, what light?"));
        there.process.stderr_with(&format!("proven by certificate; its certificate is for {domain}"));
        // And the other way round, where the certificate of who is connected to counts.
        let garden = ours.listen(&here, &format!("{romeo}/garden"), &["--ca", "ca.pem"]);
        theirs.send(&there, "juliet@c.example", &romeo, "Ay me!", &["--ca", "ca.pem"]).succeeded();
        assert!(garden.stdout().ends_with(": Ay me!"));
    }
}

// What others can check is what the authorities of the system vouch for, for each domain; the log says what is missing.
#[test]
fn federation_is_on_where_others_can_check_the_certificates() {
    let world = World::new();
    let (public, private) = (authority(&world, "public.pem"), authority(&world, "private.pem"));
    certificate(&world, &public, "a", &["a.example"]);
    let two = TWO.replace("listen = '127.0.0.1:0'\nlisten-tls", "listen = '0.0.0.0:0'\nlisten-tls");
    let port = free_port();
    // The port of servers is one for all who run these tests.
    let line = |expected: &str, more: &str| {
        world.write("balcony.toml", &format!("{two}{more}"));
        let process = world.shell("SSL_CERT_FILE=public.pem balcony serve --config balcony.toml");
        process.stderr_with(expected)
    };
    certificate(&world, &private, "b", &["b.example"]);
    let off = line("federation is off", "");
    assert!(
        off.contains("b.pem") && off.contains("no public authority vouches for it to be that of b.example"),
        "{off}"
    );
    // Whom we trust has nothing to do with who trusts us.
    line("no public authority", "[federation]\nca = 'private.pem'\n");
    certificate(&world, &public, "b", &["b.example"]);
    let off = line("federation is off", "[federation]\nenabled = false\n");
    assert!(off.contains("the configuration says so"), "{off}");
    let on = line("federation is on", &format!("[federation]\nlisten = '127.0.0.1:{port}'\n"));
    assert!(on.contains("the configuration says so"), "{on}");
    // By itself it takes the port that others are used to, which somebody else may have here.
    world.write("balcony.toml", &two);
    let process = world.shell("SSL_CERT_FILE=public.pem balcony serve --config balcony.toml");
    let on = process.stderr_with("");
    assert!(
        on.contains(
            "federation is on, since the certificate of each domain is one that other servers can check"
        ) || on.contains("cannot listen on 0.0.0.0:5269"),
        "{on}"
    );
}
