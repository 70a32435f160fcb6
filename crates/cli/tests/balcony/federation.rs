//! Two servers on real sockets: what their users see of each other (RFC 6120 section 10.4, RFC 6121 sections 3 and 4).

use std::time::{Duration, Instant, SystemTime};

use balcony_tls::Authority;

use crate::world::{Ended, PASSWORD, Process, Server, World, free_port};

/// A server with one user.
struct Side {
    world: World,
    server: Option<Server>,
    user: String,
}

impl Side {
    fn start(&mut self) {
        self.server = Some(Server::start(self.world.start(&["serve", "--config", "balcony.toml"])));
    }

    fn server(&self) -> &Server {
        self.server.as_ref().unwrap()
    }

    fn run(&self, command: &str, args: &[&str]) -> Ended {
        self.run_as(&self.user, command, args)
    }

    fn run_as(&self, who: &str, command: &str, args: &[&str]) -> Ended {
        let there = [command, "--as", who, "--connect", &self.server().address, "--ca", "ca.pem"];
        self.world.run_as(PASSWORD, &[&there, args].concat())
    }

    fn roster(&self, args: &[&str]) -> String {
        let ended = self.run("roster", args);
        ended.succeeded();
        ended.stdout
    }

    fn listen(&self, resource: &str) -> Process {
        let jid = format!("{}/{resource}", self.user);
        self.world.listen(self.server(), &jid, &["--ca", "ca.pem"])
    }

    fn send(&self, to: &str, text: &str) {
        self.run_as(&format!("{}/quill", self.user), "send", &[to, text]).succeeded();
    }
}

/// What a listener prints next that is not about those who only look.
fn next(listener: &Process) -> String {
    loop {
        let line = listener.stdout();
        let (_, line) = line.split_once("] ").unwrap();
        if !line.contains("/balcony/") {
            return line.to_owned();
        }
    }
}

/// `romeo@a.example` and `juliet@b.example`, who find each other by a table. `more` is what their files say of federation beside that.
fn two(more: [&str; 2]) -> [Side; 2] {
    let authority = Authority::new(SystemTime::now()).unwrap();
    let ports = [free_port(), free_port()];
    let side = |index: usize, user: &str| {
        let (domain, other) = (["a.example", "b.example"][index], ["b.example", "a.example"][index]);
        let world = World::new();
        let (certificate, key) = authority.issue(&[domain], None, SystemTime::now()).unwrap();
        world.write("ca.pem", authority.certificate_pem());
        world.write("cert.pem", &certificate);
        world.write("key.pem", key.expose());
        let (own, theirs, more) = (ports[index], ports[1 - index], more[index]);
        world.write(
            "balcony.toml",
            &format!(
                "domain = '{domain}'\nlisten = '127.0.0.1:0'\ncert = 'cert.pem'\nkey = 'key.pem'\nlog = 'debug'\n[federation]\n\
                 listen = '127.0.0.1:{own}'\nca = 'ca.pem'\n{more}\n[federation.routes]\n'{other}' = '127.0.0.1:{theirs}'\n"
            ),
        );
        let mut side = Side { world, server: None, user: format!("{user}@{domain}") };
        side.start();
        side.world.account(&side.user);
        side
    };
    [side(0, "romeo"), side(1, "juliet")]
}

// `bench chat --readers-as`: those who read are at another server, and what both servers cost is measured.
#[test]
fn bench_writes_from_one_server_to_the_other() {
    let [romeo, juliet] = two(["require-certificate = true"; 2]);
    for (side, account) in
        [(&romeo, "bench0@a.example"), (&romeo, "bench2@a.example"), (&juliet, "bench1@b.example")]
    {
        side.world.account(account);
    }
    let [ours, theirs] = [&romeo, &juliet].map(|side| side.server());
    let pids = [ours, theirs].map(|server| server.process.id().to_string());
    let bench = |pairs: &str| {
        let from = ["bench", "chat", "--as", "bench@a.example", "--connect", &ours.address, "--ca", "ca.pem"];
        let to = ["--readers-as", "bench@b.example", "--readers-connect", &theirs.address, "--pairs", pairs];
        let how = ["--seconds", "1", "--pid", &pids[0], "--pid", &pids[1], "--json"];
        romeo.world.run_as(PASSWORD, &[&from[..], &to, &how].concat())
    };
    let ended = bench("1");
    ended.succeeded();
    let report: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&report["wrong"], &report["failed"]), (&serde_json::json!([]), &serde_json::json!([])));
    assert_eq!(report["server"], format!("{}, to {}", ours.address, theirs.address));
    assert_eq!(report["tls"][0]["connections"], 2, "{report}");
    for figure in ["messages", "messages_per_cpu_second"] {
        assert!(report["figures"][figure].as_f64().unwrap() > 0.0, "{report}");
    }
    ours.process.stderr_with("a.example sends to b.example, proven by our certificate");
    // The second of those who read has no account there.
    bench("2").failed(1, &["bench3@b.example"]);
}

// RFC 6121 §3.1, §3.4, §4.2, §4.3, §8.5: as two people of one server, on two, also after one of them was away for a moment
#[test]
fn two_people_on_two_servers() {
    for (more, how) in [(["require-certificate = true"; 2], "certificate"), ([""; 2], "certificate")] {
        let [romeo, mut juliet] = two(more);
        let phone = juliet.listen("phone");
        romeo.roster(&["add", "juliet@b.example", "--name", "Juliet"]);
        assert!(next(&phone).starts_with("romeo@a.example asks to see when you are online"));
        romeo.server().process.stderr_with(&format!("a.example sends to b.example, proven by our {how}"));
        juliet.server().process.stderr_with("proven by certificate; its certificate is for a.example");
        let garden = romeo.listen("garden");
        juliet.roster(&["add", "romeo@a.example"]);
        assert_eq!(next(&garden), "juliet@b.example lets you see when they are online");
        assert_eq!(next(&garden), "juliet@b.example/phone is online");
        assert_eq!(next(&phone), "romeo@a.example lets you see when they are online");
        assert_eq!(next(&phone), "romeo@a.example/garden is online");
        romeo.send("juliet@b.example", "But soft, what light?");
        assert!(next(&phone).ends_with(": But soft, what light?"));
        juliet.send("romeo@a.example", "Ay me!");
        assert!(next(&garden).ends_with(": Ay me!"));

        // Her server stops, and comes back: her phone's session waits for it (XEP-0198). It begins another one instead.
        juliet.server.take().unwrap().stop();
        drop(phone);
        juliet.start();
        let phone = juliet.listen("phone");
        assert_eq!(next(&garden), "juliet@b.example/phone is offline");
        // What the phone had not acknowledged when the server went comes again (XEP-0198).
        while next(&phone) != "romeo@a.example/garden is online" {}
        assert_eq!(next(&garden), "juliet@b.example/phone is online");
        romeo.send("juliet@b.example", "I take thee at thy word");
        // What the one before had not acknowledged comes to it as well.
        while !next(&phone).ends_with(": I take thee at thy word") {}
        juliet.send("romeo@a.example", "What man art thou?");
        assert!(next(&garden).ends_with(": What man art thou?"));

        // What comes while she is away waits for her at her server.
        phone.signal("INT");
        phone.wait().succeeded();
        assert_eq!(next(&garden), "juliet@b.example/phone is offline");
        romeo.send("juliet@b.example", "Farewell, farewell!");
        let deadline = Instant::now() + Duration::from_secs(30);
        // It may still be on its way when she is back.
        let phone = juliet.listen("phone");
        while !next(&phone).contains("Farewell, farewell!") {
            assert!(Instant::now() < deadline, "the message is lost");
        }
        assert_eq!(romeo.roster(&[]), "juliet@b.example  you see each other  Juliet\n");
    }
}

// XEP-0220 §2: where the certificate is for another domain, the server is asked back
#[test]
fn dialback_where_a_certificate_does_not_fit() {
    let [romeo, juliet] = two([""; 2]);
    // Nobody vouches for his server's new certificate.
    let stranger = Authority::new(SystemTime::now()).unwrap();
    let (certificate, key) = stranger.issue(&["a.example"], None, SystemTime::now()).unwrap();
    romeo.world.write("cert.pem", &certificate);
    romeo.world.write("key.pem", key.expose());
    romeo.server().process.signal("HUP");
    romeo.server().process.stderr_with("read balcony.toml and the certificate");
    std::fs::write(romeo.world.path("ca.pem"), stranger.certificate_pem()).unwrap();
    let phone = juliet.listen("phone");
    romeo.send("juliet@b.example", "But soft, what light?");
    assert!(next(&phone).ends_with(": But soft, what light?"));
    let line =
        juliet.server().process.stderr_with("proven by dialback; its certificate proves nothing to us");
    assert!(
        line.contains("it is for a.example, localhost, signed by CN=Balcony development authority"),
        "{line}"
    );
}

// The same where certificates are demanded: nothing goes, and both logs say why.
#[test]
fn certificates_can_be_demanded() {
    let [romeo, juliet] = two(["", "require-certificate = true"]);
    let stranger = Authority::new(SystemTime::now()).unwrap();
    let (certificate, key) = stranger.issue(&["a.example"], None, SystemTime::now()).unwrap();
    romeo.world.write("cert.pem", &certificate);
    romeo.world.write("key.pem", key.expose());
    romeo.server().process.signal("HUP");
    romeo.server().process.stderr_with("read balcony.toml and the certificate");
    std::fs::write(romeo.world.path("ca.pem"), stranger.certificate_pem()).unwrap();
    let garden = romeo.listen("garden");
    romeo.roster(&["add", "juliet@b.example"]);
    romeo.server().process.stderr_with("a certificate that proves your domain is needed");
    juliet.server().process.stderr_with("a certificate that proves your domain is needed");
    assert!(garden.is_silent());
}

// RFC 6120 §10.4: what can't be sent comes back to the one who has sent it
#[test]
fn a_server_that_is_not_there() {
    let [romeo, mut juliet] = two([""; 2]);
    juliet.server.take().unwrap().stop();
    let ended = romeo.run("roster", &["add", "juliet@b.example"]);
    ended.failed(1, &["juliet@b.example cannot be reached: remote-server-timeout"]);
    let line = romeo.server().process.stderr_with("b.example cannot be reached (remote-server-timeout)");
    assert!(line.contains("connection refused"), "{line}");

    // A message waits for it at his server, and he for what becomes of the message.
    let there =
        ["send", "--as", "romeo@a.example/quill", "--connect", &romeo.server().address, "--ca", "ca.pem"];
    let sending = romeo
        .world
        .start_as(PASSWORD, &[&there[..], &["juliet@b.example", "I would I were thy bird"]].concat());
    sending.stderr_with("b.example does not answer; this account's server keeps the message");
    juliet.start();
    sending.wait().succeeded();
    let phone = juliet.listen("phone");
    while !next(&phone).contains(": I would I were thy bird") {}
}

// RFC 6120 §10.1, RFC 6121 §8.5.2.2: a message for which there is no room at the other server has not arrived, and who sends it is told
#[test]
fn a_message_that_the_other_server_cannot_keep() {
    let [romeo, mut juliet] = two([""; 2]);
    juliet.server.take().unwrap().stop();
    let config = std::fs::read_to_string(juliet.world.path("balcony.toml")).unwrap();
    juliet.world.write("balcony.toml", &format!("max-offline-messages = 2\n{config}"));
    juliet.start();
    romeo.roster(&["add", "juliet@b.example"]);
    juliet.roster(&["add", "romeo@a.example"]);
    for text in ["one", "two"] {
        romeo.send("juliet@b.example", text);
    }
    for text in ["three", "four", "five"] {
        let ended = romeo.run("send", &["juliet@b.example", text]);
        ended.failed(1, &["the message to juliet@b.example came back: service-unavailable"]);
    }
}

// Who has not asked for other servers has none, and is told why.
#[test]
fn federation_is_off_where_it_cannot_work() {
    let world = World::new();
    let server = world.serve(&[]);
    let line = server.process.stderr_with("federation is off");
    assert!(line.contains("no other server knows who has signed the certificate"), "{line}");
}

// XEP-0114: a component attaches with its secret, and a file with secrets is for its owner's eyes only
#[test]
fn a_component_attaches() {
    use std::os::unix::fs::PermissionsExt as _;
    let world = World::new();
    let port = free_port();
    let config = format!(
        "listen = '127.0.0.1:0'\n[components]\nlisten = '127.0.0.1:{port}'\n[components.secrets]\n'rooms.localhost' = 'pencil'\n"
    );
    let path = world.write("balcony.toml", &config);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = world.run(&["serve", "--config", "balcony.toml"]);
    refused
        .failed(1, &["balcony.toml: [components]: there are secrets in this file, and others can read it"]);
    assert!(!refused.stderr.contains("pencil"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let server = Server::start(world.start(&["serve", "--config", "balcony.toml"]));
    let listening = format!("  listening on 127.0.0.1:{port} (components)");
    assert!(server.greeting.contains(&listening), "{:?}", server.greeting);

    let mut raw = crate::hostile::Raw::open(&format!("127.0.0.1:{port}"));
    raw.write(
        b"<stream:stream xmlns='jabber:component:accept' xmlns:stream='http://etherx.jabber.org/streams' to='rooms.localhost'>",
    );
    let header = raw.until(" id='");
    assert!(header.contains("from='rooms.localhost'"), "{header}");
    raw.write(b"<handshake>0000000000000000000000000000000000000000</handshake>");
    assert!(raw.rest().contains("<not-authorized"));
    server.process.stderr_with("the stream of a component at 127.0.0.1");
}
