//! `balcony check` at real servers, of which some are as they should be, and others wrong in each of the ways that there are.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};

use balcony_tls::Authority;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};

use crate::world::{Ended, Server, World, free_port};

const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);

fn check(world: &World, args: &[&str]) -> Ended {
    world.run(&[&["check"], args].concat())
}

/// Asserts that it has ended with this status, and that a line begins with `level` and has all of these texts.
#[track_caller]
fn says(ended: &Ended, status: i32, level: &str, texts: &[&str]) {
    assert_eq!(ended.status, Some(status), "{ended:#?}");
    let is_it = |line: &str| line.starts_with(level) && texts.iter().all(|text| line.contains(text));
    assert!(ended.stdout.lines().any(is_it), "{level} {texts:?} is missing: {}", ended.stdout);
}

/// A server with federation, and where it listens.
struct Checked {
    world: World,
    server: Server,
    port: String,
    port_tls: String,
}

impl Checked {
    /// With the development certificate, for localhost.
    fn new(more: &str) -> Checked {
        let world = World::new();
        let [port, port_tls] = [0; 2].map(|_| format!("127.0.0.1:{}", free_port()));
        world.write(
            "balcony.toml",
            &format!(
                "{more}listen = '127.0.0.1:0'\nlisten-tls = '127.0.0.1:0'\n[federation]\nlisten = '{port}'\nlisten-tls = '{port_tls}'\n"
            ),
        );
        let server = Server::start(world.start(&["serve", "--config", "balcony.toml"]));
        Checked { world, server, port, port_tls }
    }

    /// Looks at all of its ports.
    fn check(&self, domain: &str, ca: &str, more: &[&str]) -> Ended {
        let Server { address, address_tls, .. } = &self.server;
        let places = [
            "--client",
            address,
            "--client-tls",
            address_tls,
            "--server",
            &self.port,
            "--server-tls",
            &self.port_tls,
        ];
        check(&self.world, &[&[domain, "--ca", ca], &places[..], more].concat())
    }
}

// All four ports of a server that is as it should be; and a person learns how.
#[test]
fn a_server_as_it_should_be() {
    let checked = Checked::new("");
    let ended = checked.check("localhost", "balcony-data/ca.pem", &[]);
    for port in [&checked.server.address, &checked.port] {
        says(&ended, 0, "ok", &[port, "STARTTLS, TLSv1.3"]);
    }
    for port in [&checked.server.address_tls, &checked.port_tls] {
        says(&ended, 0, "ok", &[port, "direct TLS, TLSv1.3"]);
        says(&ended, 0, "ok", &[port, "the certificate is for localhost, until 20"]);
        says(&ended, 0, "ok", &[port, "TLS 1.2 is taken as well"]);
    }
    says(&ended, 0, "ok", &[&checked.server.address, "logins by SCRAM-SHA-512-PLUS", "also by SASL2"]);
    says(&ended, 0, "ok", &[&checked.port, "dialback"]);
    says(&ended, 0, "all is well", &[]);
    assert_eq!(ended.stderr, "");

    // Who takes the port of servers for that of clients is told so.
    let send = ["send", "--as", "romeo@localhost", "--connect", &checked.port, "romeo@localhost", "hello"];
    checked
        .world
        .run_as("x", &send)
        .failed(1, &["that port is for other servers or services, not for clients"]);

    // For programs the same, in one line.
    let ended = checked.check("localhost", "balcony-data/ca.pem", &["--json"]);
    assert_eq!((ended.status, ended.stdout.lines().count()), (Some(0), 1));
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((json["domain"].as_str(), json["status"].as_u64()), (Some("localhost"), Some(0)));
    assert!(json["findings"].as_array().unwrap().iter().all(|finding| finding["level"] == "ok"), "{json}");
}

/// A certificate and its key, in PEM.
type Pem = (String, String);

/// The certificates that others make, and an authority between.
struct Certificates {
    root: CertifiedIssuer<'static, KeyPair>,
    between: CertifiedIssuer<'static, KeyPair>,
}

impl Certificates {
    fn new() -> Certificates {
        let authority = |name: &str| {
            let mut params = CertificateParams::new([]).unwrap();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params
        };
        let key = || KeyPair::generate().unwrap();
        let root = CertifiedIssuer::self_signed(authority("the root"), key()).unwrap();
        let between = CertifiedIssuer::signed_by(authority("one between"), key(), &root).unwrap();
        Certificates { root, between }
    }

    fn certify(&self, domain: &str, change: impl FnOnce(&mut CertificateParams)) -> Pem {
        let mut params = CertificateParams::new([domain.to_owned()]).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.root).unwrap().pem(), key.serialize_pem())
    }

    fn below_between(&self, domain: &str) -> Pem {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new([domain.to_owned()]).unwrap();
        (params.signed_by(&key, &self.between).unwrap().pem(), key.serialize_pem())
    }
}

// RFC 6120 §13.7.2, RFC 9525: each kind of wrong certificate is called by its name, on all ports, and by the server that is given it; the
// right ones are none of them.
#[test]
fn wrong_certificates_of_many_kinds() {
    let certificates = Certificates::new();
    let good = certificates.certify("a.example", |_| {});
    let files = |world: &World, (certificate, key): &Pem| {
        world.write("cert.pem", certificate);
        world.write("key.pem", key);
    };
    let soon = std::time::SystemTime::now() + 3 * DAY + DAY / 2;
    let (alone, alone_key) = certificates.below_between("a.example");
    let whole = (format!("{alone}{}", certificates.between.pem()), alone_key.clone());
    let own = balcony_tls::self_signed(&["a.example"]).map(|(own, key)| (own, key.expose().clone())).unwrap();
    let stranger = Authority::new(std::time::SystemTime::now()).unwrap();
    let (strange, key) = stranger.issue(&["a.example"], None, std::time::SystemTime::now()).unwrap();
    let strange = (format!("{strange}{}", stranger.certificate_pem()), key.expose().clone());
    let certify =
        |change: &dyn Fn(&mut CertificateParams)| certificates.certify("a.example", |params| change(params));

    // The server begins with a good one, and is given the others. One that is not valid now it takes only when it begins.
    let world = World::new();
    files(&world, &good);
    world.write("ca.pem", &certificates.root.pem());
    let [port, port_tls] = [0; 2].map(|_| format!("127.0.0.1:{}", free_port()));
    world.write(
        "balcony.toml",
        &format!(
            "domain = 'a.example'\ncert = 'cert.pem'\nkey = 'key.pem'\nlisten = '127.0.0.1:0'\nlisten-tls = '127.0.0.1:0'\n\
             [federation]\nlisten = '{port}'\nlisten-tls = '{port_tls}'\nca = 'ca.pem'\n"
        ),
    );
    let start = |world: &World| Server::start(world.start(&["serve", "--config", "balcony.toml"]));
    let server = start(&world);
    let mut checked = Checked { world, server, port, port_tls };
    for (pem, level, texts, warning) in [
        (good.clone(), "ok", &["the certificate is for a.example"][..], None),
        (whole, "ok", &["the certificate is for a.example", "one between"], None),
        (
            certificates.certify("b.example", |_| {}),
            "WRONG",
            &["is for b.example, and a.example is missing in it"],
            Some("is not for a.example, so clients will refuse it"),
        ),
        (
            certify(&|params| {
                params.subject_alt_names.clear();
                params.distinguished_name.push(rcgen::DnType::CommonName, "a.example");
            }),
            "WRONG",
            &["names nobody in subjectAltName"],
            Some("clients will refuse it: it has no subjectAltName"),
        ),
        (
            certify(&|params| params.not_after = date_time_ymd(2020, 1, 2)),
            "WRONG",
            &["has ended on 2020-01-02"],
            Some("has ended, or does so today: clients refuse it"),
        ),
        (
            certify(&|params| params.not_before = date_time_ymd(2090, 5, 6)),
            "WRONG",
            &["not valid before 2090-05-06"],
            Some(
                "WARN clients refuse cert.pem: the certificate is not valid before 2090-05-06; look at the clock",
            ),
        ),
        (
            certify(&|params| params.not_after = soon.into()),
            "WRONG",
            &["the certificate ends on", "in 3 days"],
            Some("ends in 3 days: clients refuse it from 20"),
        ),
        (
            own,
            "WRONG",
            &["signed by nobody but itself"],
            Some(
                "INFO clients refuse cert.pem unless they are told to trust it: the certificate is signed by nobody but itself; get",
            ),
        ),
        (
            strange,
            "WRONG",
            &["no authority that is trusted here vouches for", "Balcony development authority"],
            Some(
                "INFO clients refuse cert.pem unless they are told to trust it: no authority that is trusted here vouches for",
            ),
        ),
        (
            (alone, alone_key),
            "WRONG",
            &["comes alone", "CN=one between"],
            Some("the certificate cert.pem comes alone"),
        ),
        (
            certify(&|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
            "WRONG",
            &["is made for an authority, not for a server"],
            Some(
                "WARN clients refuse cert.pem: the certificate is made for an authority, not for a server; get one",
            ),
        ),
        (
            certify(&|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth]),
            "WRONG",
            &["the certificate cannot be accepted"],
            Some("WARN clients refuse cert.pem: the certificate cannot be accepted: "),
        ),
    ] {
        files(&checked.world, &pem);
        if ["has ended on", "not valid before"].iter().any(|date| texts[0].starts_with(date)) {
            let Checked { world, server, port, port_tls } = checked;
            server.stop();
            let server = start(&world);
            checked = Checked { world, server, port, port_tls };
        } else {
            checked.server.process.signal("HUP");
            checked.server.process.stderr_with("read balcony.toml and the certificate");
        }
        let ports = [&checked.server.address, &checked.server.address_tls, &checked.port, &checked.port_tls];
        let ended = checked.check("a.example", "ca.pem", &[]);
        let status = i32::from(level != "ok");
        for port in ports {
            says(&ended, status, level, &[&[port.as_str()][..], texts].concat());
        }
        match warning {
            Some(warning) => drop(checked.server.process.stderr_with(warning)),
            None => {
                let said = checked.server.process.stderr_so_far();
                assert!(!said.iter().any(|line| line.contains("clients")), "{said:#?}");
            }
        }
        // Nothing else is.
        let wrong = ended.stdout.lines().filter(|line| line.starts_with("WRONG")).count();
        assert_eq!(wrong, if status == 0 { 0 } else { ports.len() }, "{}", ended.stdout);
        if status == 1 {
            says(&ended, 1, "        for", &["clients, which refuse it"]);
            says(&ended, 1, "        for", &["servers that demand certificates; others go on with dialback"]);
            says(&ended, 1, "        to do", &[]);
        }
        // An authority may be one's own.
        let is_of_unknown =
            ["no authority that is", "comes alone"].iter().any(|text| texts[0].starts_with(text));
        let advice = "; if it is an authority of your own: --ca FILE";
        assert_eq!(ended.stdout.contains(advice), is_of_unknown, "{}", ended.stdout);
    }
    // How soon is too soon is a choice.
    files(&checked.world, &certify(&|params| params.not_after = soon.into()));
    checked.server.process.signal("HUP");
    checked.server.process.stderr_with("read balcony.toml and the certificate");
    let soon = checked.check("a.example", "ca.pem", &[]);
    says(&soon, 1, "        for", &["clients, which refuse it from 20", " on"]);
    says(&checked.check("a.example", "ca.pem", &["--days", "1"]), 0, "ok", &["(3 days)"]);

    // Whom this server believes of others says nothing of whom clients believe.
    let places = ["--client", &checked.server.address, "--server", &checked.port, "--days", "1"];
    let ended = check(&checked.world, &[&["a.example", "--config", "balcony.toml"], &places[..]].concat());
    says(&ended, 1, "WRONG", &[&checked.server.address, "the root, is not known"]);
    says(&ended, 1, "ok", &[&checked.port, "the certificate is for a.example"]);
}

// XEP-0178 §3: whether another server believes ours is seen by showing ours
#[test]
fn as_the_server_of_another_domain() {
    let certificates = Certificates::new();
    let theirs = Checked::new("");
    let world = &theirs.world;
    world.write("ca.pem", &certificates.root.pem());
    let (certificate, key) = certificates.certify("a.example", |_| {});
    world.write("a.pem", &certificate);
    world.write("a-key.pem", &key);
    let config = |route: &str| {
        world.write(
            "own.toml",
            &format!("domain = 'a.example'\ncert = 'a.pem'\nkey = 'a-key.pem'\n[federation]\nca = 'balcony-data/ca.pem'\n\
                 [federation.routes]\nlocalhost = '{route}'\n"),
        );
    };
    config(&theirs.port);
    let look = |more: &[&str]| {
        let args = ["localhost", "--config", "own.toml", "--client", &theirs.server.address];
        check(world, &[&args[..], more].concat())
    };
    // The place is that of the route.
    says(
        &look(&[]),
        1,
        "WRONG",
        &[&theirs.port, "it does not believe the certificate of a.example (EXTERNAL)"],
    );
    let path = world.path("balcony.toml");
    let more = std::fs::read_to_string(&path).unwrap() + "ca = 'ca.pem'\nrequire-certificate = true\n";
    std::fs::write(&path, more).unwrap();
    theirs.server.process.signal("HUP");
    theirs.server.process.stderr_with("read balcony.toml and the certificate");
    let ended = look(&[]);
    says(&ended, 0, "ok", &[&theirs.port, "it believes the certificate of a.example (EXTERNAL)"]);
    says(&ended, 0, "note", &["it does not say that it takes dialback"]);
    // Who shows none learns no more.
    let without = ["localhost", "--server", &theirs.port, "--ca", "balcony-data/ca.pem"];
    says(&check(world, &without), 0, "note", &["it demands a certificate, and none was shown"]);
    let args =
        ["localhost", "--as", "a.example", "--cert", "a.pem", "--key", "a-key.pem", "--server", &theirs.port];
    let ended = check(world, &[&args[..], &["--ca", "balcony-data/ca.pem"]].concat());
    says(&ended, 0, "ok", &["it believes the certificate of a.example (EXTERNAL)"]);
}

/// Answers whatever is said first on each connection with this, and ends it; with nothing it keeps it.
fn serve_badly(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // What is said first comes in one piece.
            let _ = (&stream).read(&mut [0; 4096]);
            let _ = (&stream).write_all(answer);
            if answer.is_empty() {
                // Whoever connected waits.
                std::mem::forget(stream);
            }
        }
    });
    address
}

// What a port may be that is none: each has its own words, and nothing is waited for longer than it was said.
#[test]
fn ports_that_are_none() {
    let checked = Checked::new("");
    let (world, nobody) = (&checked.world, format!("127.0.0.1:{}", free_port()));
    let one = |option: &str, place: &str| {
        check(world, &["localhost", option, place, "--ca", "balcony-data/ca.pem", "--timeout", "2"])
    };
    for option in ["--client", "--client-tls", "--server", "--server-tls"] {
        let ended = one(option, &nobody);
        says(&ended, 1, "WRONG", &[&nobody, "connection refused"]);
        // This place was typed, and no record is to be changed for it.
        says(
            &ended,
            1,
            "        to do: start the server",
            &["open the port; if an SRV record leads here by mistake"],
        );
    }
    let silent = serve_badly(b"");
    for option in ["--client", "--server-tls"] {
        says(&one(option, &silent), 1, "WRONG", &["did not get as far as a login within 2 s"]);
    }
    let web = serve_badly(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    says(&one("--server", &web), 1, "WRONG", &["not-well-formed"]);
    says(&one("--client-tls", &web), 1, "WRONG", &["no TLS"]);
    // One for the other.
    says(&one("--client-tls", &checked.server.address), 1, "WRONG", &["no TLS, though it should begin"]);
    let ended = one("--client", &checked.server.address_tls);
    says(&ended, 1, "WRONG", &["TLS came where a stream begins in the clear"]);
    says(&ended, 1, "        to do", &["_xmpps-client"]);

    const FEATURES: &[u8] = b"<stream:stream from='localhost' id='1' version='1.0' xmlns='jabber:client' \
        xmlns:stream='http://etherx.jabber.org/streams'><stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>\
        <mechanism>PLAIN</mechanism></mechanisms></stream:features><failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>";
    let ended = one("--client", &serve_badly(FEATURES));
    says(&ended, 1, "WRONG", &["STARTTLS is not offered"]);
    says(&ended, 1, "note", &["a login without TLS is offered (PLAIN), on this machine only"]);
    // Of a domain that others come to it is another matter.
    let ended = check(
        world,
        &["example.org", "--client", &serve_badly(FEATURES), "--timeout", "2", "--ca", "balcony-data/ca.pem"],
    );
    says(&ended, 1, "WRONG", &["a login without TLS is offered (PLAIN)"]);
}

// Where it cannot look at all the status is another one.
#[test]
fn what_cannot_be_checked() {
    let world = World::new();
    // A port of UDP where nobody answers.
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let dns = silent.local_addr().unwrap().to_string();
    let ended = check(&world, &["a.example", "--dns", &dns, "--timeout", "1"]);
    says(&ended, 2, "?", &["SRV records for clients", "the DNS does not answer"]);
    // Nothing is said to be missing where nobody could be asked.
    let lines = |level: &str| ended.stdout.lines().filter(|line| line.starts_with(level)).count();
    assert_eq!([lines("WRONG"), lines("note"), lines("ok"), lines("?")], [0, 0, 0, 4], "{}", ended.stdout);
    for what in ["host-meta:", "host-meta.json:"] {
        says(&ended, 2, "?", &[what, "was not found out: the DNS does not answer for a.example"]);
    }
    let ended = check(&world, &["a.example", "--ca", "nowhere.pem"]);
    ended.failed(2, &["cannot read nowhere.pem"]);
    check(&world, &["a.example", "--dns", "nowhere"]).failed(2, &["an IP address is wanted"]);
    check(&world, &["romeo@a.example"]).failed(2, &["without an account"]);
}

/// What a DNS server knows: names with their SRV records and addresses.
#[derive(Clone, Default)]
struct Zone {
    srv: BTreeMap<&'static str, Vec<(u16, String)>>,
    here: Vec<&'static str>,
}

impl Zone {
    /// Serves it for as long as the process runs.
    fn serve(self) -> SocketAddr {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        std::thread::spawn(move || {
            let mut query = [0; 4096];
            while let Ok((length, from)) = socket.recv_from(&mut query) {
                // Whoever asked may have gone.
                let _ = socket.send_to(&self.answer(&query[..length]), from);
            }
        });
        address
    }

    /// RFC 1035 section 4, RFC 2782.
    fn answer(&self, query: &[u8]) -> Vec<u8> {
        let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 1;
        let (mut name, mut rest) = (Vec::new(), &query[12..end]);
        while let [length, more @ ..] = rest
            && *length > 0
        {
            let (label, others) = more.split_at(usize::from(*length));
            name.push(String::from_utf8_lossy(label).to_ascii_lowercase());
            rest = others;
        }
        let name = name.join(".");
        let kind = u16::from_be_bytes([query[end], query[end + 1]]);
        let data: Vec<Vec<u8>> = match kind {
            33 => self
                .srv
                .get(&*name)
                .into_iter()
                .flatten()
                .map(|(port, target)| {
                    let mut data = vec![0, 5, 0, 1];
                    data.extend(port.to_be_bytes());
                    for label in target.split('.').filter(|label| !label.is_empty()) {
                        data.push(u8::try_from(label.len()).unwrap());
                        data.extend(label.as_bytes());
                    }
                    data.push(0);
                    data
                })
                .collect(),
            1 if self.here.contains(&&*name) => vec![vec![127, 0, 0, 1]],
            _ => Vec::new(),
        };
        let is_known = self.srv.contains_key(&*name) || self.here.contains(&&*name);
        let flags = if is_known { [0x81, 0x80] } else { [0x81, 0x83] };
        let count = u8::try_from(data.len()).unwrap();
        let mut out = [&query[..2], &flags, &[0, 1, 0, count, 0, 0, 0, 0], &query[12..end + 4]].concat();
        for data in data {
            out.extend([0xc0, 12]);
            out.extend(kind.to_be_bytes());
            out.extend([0, 1, 0, 0, 0, 60]);
            out.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
            out.extend(data);
        }
        out
    }
}

// RFC 6120 §3.2, XEP-0368 §2.1: the DNS says where to look, and is itself looked at
#[test]
fn records_and_addresses() {
    let checked = Checked::new("domain = 'a.example'\n");
    let port = |address: &str| address.rsplit_once(':').unwrap().1.parse::<u16>().unwrap();
    let here = |address: &str| vec![(port(address), "xmpp.a.example".to_owned())];
    let server = &checked.server;
    let good = Zone {
        srv: BTreeMap::from([
            ("_xmpp-client._tcp.a.example", here(&server.address)),
            ("_xmpps-client._tcp.a.example", here(&server.address_tls)),
            ("_xmpp-server._tcp.a.example", here(&checked.port)),
            ("_xmpps-server._tcp.a.example", here(&checked.port_tls)),
        ]),
        here: vec!["xmpp.a.example"],
    };
    let look = |zone: &Zone| {
        let dns = zone.clone().serve().to_string();
        check(&checked.world, &["a.example", "--dns", &dns, "--ca", "balcony-data/ca.pem", "--timeout", "5"])
    };
    let ended = look(&good);
    for (label, address) in [("_xmpp-client", &server.address), ("_xmpps-server", &checked.port_tls)] {
        let record = format!("{label}._tcp.a.example 5 1 {} xmpp.a.example", port(address));
        says(&ended, 0, "ok", &["SRV records", &record]);
        says(&ended, 0, "ok", &[&format!("xmpp.a.example:{} (127.0.0.1)", port(address)), "TLS, TLSv1.3"]);
    }
    // There is no web server, and there need not be one.
    says(&ended, 0, "note", &["host-meta", "clients get none: a.example has no address"]);

    let changed = |label: &'static str, records: Vec<(u16, String)>| {
        let mut zone = good.clone();
        zone.srv.insert(label, records);
        look(&zone)
    };
    let none = changed("_xmpp-server._tcp.a.example", vec![(0, String::new())]);
    says(&none, 0, "note", &["_xmpp-server._tcp.a.example is `.`: there is no such service"]);
    let both = [here(&server.address), vec![(0, String::new())]].concat();
    let both = changed("_xmpp-client._tcp.a.example", both);
    says(&both, 1, "WRONG", &["_xmpp-client._tcp.a.example is `.`", "there are records beside it"]);
    let lost = changed("_xmpp-client._tcp.a.example", vec![(5222, "lost.a.example".into())]);
    says(&lost, 1, "WRONG", &["lost.a.example has no address"]);
    let dead = free_port();
    let refused = [here(&server.address), vec![(dead, "xmpp.a.example".into())]].concat();
    let refused = changed("_xmpp-client._tcp.a.example", refused);
    says(&refused, 1, "WRONG", &[&format!("xmpp.a.example:{dead} (127.0.0.1): connection refused")]);
    // Nothing at all: the domain itself is tried.
    let ended = look(&Zone::default());
    says(&ended, 1, "note", &["there are none, so clients try a.example:5222 itself"]);
    says(&ended, 1, "WRONG", &["a.example:5269", "a.example has no address"]);
}

// XEP-0156 §3: what browsers are told
#[test]
fn what_the_web_server_says() {
    let world = World::new();
    let server = world.serve(&["--listen-wss", "127.0.0.1:0"]);
    let find = |line: &String| {
        Some(line.trim().strip_prefix("listening on ")?.split_once(" (WebSocket on TLS")?.0.to_owned())
    };
    let place = server.greeting.iter().find_map(find).unwrap();
    let ended = check(&world, &["localhost", "--web", &place, "--ca", "balcony-data/ca.pem"]);
    for what in ["host-meta:", "host-meta.json:"] {
        says(&ended, 0, "ok", &[what, "clients in browsers are sent to wss://localhost"]);
    }
    let ended = check(&world, &["localhost", "--web", &server.address, "--timeout", "2"]);
    says(&ended, 0, "note", &["host-meta", "clients get none: what the peer sent is not TLS"]);
}

// Whoever checks a server on their own machine needs to name neither its authority nor what it does not want.
#[test]
fn a_server_for_localhost() {
    let world = World::new();
    let server = world.serve(&[]);
    // Nothing is said of other servers, for whom nobody listens.
    if TcpStream::connect("127.0.0.1:5269").is_err() {
        let all = check(&world, &["localhost", "--timeout", "2"]);
        let line = all.stdout.lines().find(|line| line.contains("port of other servers at localhost:5269"));
        assert!(line.is_some_and(|line| line.starts_with("note") && line.contains("in order")), "{all:?}");
    }
    let there = ["--client", &server.address];
    says(
        &check(&world, &[&["localhost"], &there[..]].concat()),
        0,
        "ok",
        &["the certificate is for localhost"],
    );
    // Its data may be elsewhere; and it talks to no other servers.
    let address = format!("127.0.0.1:{}", free_port());
    world.write(
        "own.toml",
        &format!("data = 'elsewhere'\nlisten = '{address}'\n[federation]\nenabled = false\n"),
    );
    let _other = Server::start(world.start(&["serve", "--config", "own.toml"]));
    let there = ["localhost", "--config", "own.toml", "--client", &address];
    says(&check(&world, &there), 0, "ok", &[&address, "the certificate is for localhost"]);
    let all = check(&world, &["localhost", "--config", "own.toml", "--timeout", "2"]);
    assert!(
        all.stdout.contains(
            "other servers: the server with this configuration talks to none: the configuration says so"
        ),
        "{all:?}"
    );
    assert!(!all.stdout.contains("5269"), "{all:?}");
    // Of a domain of somebody else that says nothing.
    let other = check(&world, &["other.localhost", "--config", "own.toml", "--timeout", "2"]);
    assert!(!other.stdout.contains("talks to none"), "{other:?}");
}
