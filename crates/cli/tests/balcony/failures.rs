//! What a person reads when something is wrong: one line that names the thing and says what to do, and the right exit status.
//!
//! And what a server does only if it is told to: passwords without TLS, and registration.

use std::fs::Permissions;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;

use crate::world::{PASSWORD, Server, World, free_address};

#[test]
fn a_busy_port() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--listen", "--listen-tls", "--listen-wss", "--listen-ws", "--listen-http"] {
        let advice = format!(
            "cannot listen on {address}: address in use. Stop the other program or choose another address with {option}"
        );
        world.run(&["serve", option, &address]).failed(1, &[&advice]);
    }
    // Only the default may be elsewhere in a demo, not what a file says.
    let file = world.write("demo.toml", &format!("listen-http = [\"{address}\"]\n"));
    let failed = world.run(&["serve", "--demo", "--config", file.to_str().unwrap()]);
    let advice = format!(
        "cannot listen on {address}: address in use. Stop the other program or choose another address with `listen-http` in {}",
        file.display()
    );
    failed.failed(1, &[&advice]);
    // What is typed is not in the file.
    let listens = ["--listen", &address, "--config", file.to_str().unwrap()];
    let failed = world.run(&[&["serve"][..], &listens].concat());
    failed.failed(1, &["choose another address with --listen"]);
    // The other program may be the server itself.
    let own = free_address();
    let file = world.write("own.toml", &format!("listen = '{own}'\n[components]\nlisten = '{own}'\nsecrets = {{ 'a.localhost' = 'secret of it' }}\n"));
    std::fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let failed = world.run(&["serve", "--config", file.to_str().unwrap()]);
    failed.failed(1, &[&format!("{own} is in `listen` in {} and in [components] listen", file.display())]);
}

#[test]
fn an_address_that_is_none_or_elsewhere() {
    let world = World::new();
    for wrong in ["5222", "localhost:5222", "127.0.0.1:70000"] {
        let failed = world.run(&["serve", "--listen", wrong]);
        failed.failed(
            2,
            &[
                "--listen",
                &format!("`{wrong}`"),
                "an IP address and a port is wanted, such as 127.0.0.1:5222",
            ],
        );
    }
    let twice = ["serve", "--listen", "127.0.0.1:5222", "--listen", "127.0.0.1:5222"];
    world.run(&twice).failed(2, &["--listen: 127.0.0.1:5222 is there twice"]);
    let failed = world.run(&["serve", "--listen", "192.0.2.1:5222"]);
    failed.failed(1, &["cannot listen on 192.0.2.1:5222: this machine has no such address. Choose another"]);
}

// RFC 7395 §3.9: protection comes from wss only
#[test]
fn websockets_without_tls_stay_on_this_machine() {
    let world = World::new();
    let failed = world.run(&["serve", "--listen-ws", "0.0.0.0:5280"]);
    failed.failed(2, &["--listen-ws", "unprotected at 0.0.0.0:5280", "--listen-wss", "127.0.0.1:5280"]);
    let failed = world.run(&["serve", "--listen-http", "[::]:5280"]);
    failed.failed(2, &["--listen-http", "unprotected at [::]:5280", "127.0.0.1:5280"]);
}

#[test]
fn a_certificate_that_is_none() {
    let world = World::new();
    world.write("bad.pem", "not a certificate");
    let serve = |cert: &str, key: &str| {
        world.run(&["serve", "--listen", "127.0.0.1:0", "--cert", cert, "--key", key])
    };
    serve("bad.pem", "bad.pem").failed(1, &["cannot use bad.pem with bad.pem: no certificate found: PEM"]);
    serve("none.pem", "bad.pem").failed(1, &["cannot read the certificate none.pem: no such file or folder"]);
    // The key of another certificate.
    let other = World::new();
    for world in [&world, &other] {
        world.serve(&[]).stop();
    }
    let key = other.path("balcony-data/key.pem");
    serve("balcony-data/cert.pem", key.to_str().unwrap())
        .failed(1, &["does not belong to the first certificate"]);
    let alone = world.run(&["serve", "--cert", "bad.pem"]);
    assert_eq!(alone.status, Some(2), "{alone:?}");
    assert!(alone.stderr.contains("--key <FILE>"), "{alone:?}");
}

#[test]
fn a_data_folder_that_is_none() {
    let world = World::new();
    world.write("file", "");
    let serve = world.run(&["serve", "--listen", "127.0.0.1:0", "--data", "file"]);
    serve.failed(1, &["cannot use file: it is a file, and a folder is wanted"]);
    for command in [["user", "list"], ["store", "check"]] {
        let failed = world.run(&[&command[..], &["--data", "file"]].concat());
        failed.failed(1, &["file is no folder; name the data folder with --data"]);
    }
    std::fs::create_dir(world.path("other")).unwrap();
    world.write("other/balcony.redb", "this is something else, and long enough to be looked into");
    let failed = world.run(&["serve", "--listen", "127.0.0.1:0", "--data", "other"]);
    failed.failed(1, &["other/balcony.redb is not a database of this program"]);

    let server = world.serve(&[]);
    let second = world.run(&["serve", "--listen", "127.0.0.1:0"]);
    second.failed(1, &["is another balcony running on this data folder?"]);
    // The first one is not disturbed by the second.
    world.account("romeo");
    world.listen(&server, "romeo@localhost", &[]);
}

#[test]
fn a_data_folder_of_somebody_else() {
    let world = World::new();
    world.account("romeo");
    let folder = world.path("balcony-data");
    let permit = |mode| std::fs::set_permissions(&folder, Permissions::from_mode(mode)).unwrap();
    permit(0);
    // Permissions mean nothing to root.
    if std::fs::read_dir(&folder).is_err() {
        for command in [["user", "list"], ["store", "check"]] {
            world
                .run(&command)
                .failed(1, &["this user may not read ./balcony-data; run this as the user whom"]);
        }
    }
    permit(0o700);
}

#[test]
fn an_address_that_breaks_the_rules() {
    let world = World::new();
    // RFC 7622 §3.5 example 17
    // RFC 7622 §4 [JE4]: a client prepares addresses before it sends them.
    let failed = world.run_as("x", &["send", "--as", "foo bar@example.com", "romeo@localhost", "x"]);
    failed.failed(2, &["--as", "`foo bar@example.com`", "localpart", "U+0020"]);
    for command in ["listen", "roster"] {
        let failed = world.run_as("x", &[command, "--as", ""]);
        failed.failed(2, &["--as <JID>: ``: an account such as romeo@localhost is wanted"]);
    }
    world
        .run_as("x", &["listen", "--as", "localhost"])
        .failed(2, &["an account such as romeo@localhost is wanted"]);
    world
        .run_as("x", &["listen", "--as", "romeo"])
        .failed(2, &["an account such as romeo@example.org is wanted"]);
    world
        .run(&["serve", "--domain", "romeo@localhost"])
        .failed(2, &["--domain", "a domain such as example.org"]);
    world.run(&["serve", "--domain", "a..b"]).failed(2, &["--domain", "`a..b`: not a domain"]);
}

#[test]
fn a_configuration_with_a_mistake() {
    let world = World::new();
    let serve = |text: &str| {
        world.write("balcony.toml", text);
        world.run(&["serve", "--config", "balcony.toml"])
    };
    serve("# a comment\nlissten = '127.0.0.1:0'\n")
        .failed(1, &["balcony.toml:2: unknown field `lissten`: is `listen` meant?"]);
    serve("listen = 5222").failed(1, &["balcony.toml:1: `listen`: a text or a list of texts is wanted"]);
    serve("data = 'd").failed(1, &["balcony.toml:1: "]);
    world
        .run(&["serve", "--config", "none.toml"])
        .failed(1, &["cannot read none.toml: no such file or folder"]);
}

#[test]
fn a_configuration_without_one() {
    let world = World::new();
    std::fs::create_dir(world.path("etc")).unwrap();
    world.write("etc/balcony.toml", "domain = 'example.org'\nlisten = '127.0.0.1:1'\ndata = 'accounts'\nallow-registration = true\nlog = 'debug'");
    let server = world.serve(&["--config", "etc/balcony.toml"]);
    assert!(server.greeting[0].ends_with("serves example.org"), "{:#?}", server.greeting);
    assert!(world.path("etc/accounts/cert.pem").exists() && !world.path("balcony-data").exists());
    assert_ne!(server.address, "127.0.0.1:1");
}

#[test]
fn a_wrong_password() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    let connect = ["--connect", &server.address];
    for account in ["romeo@localhost", "nobody@localhost"] {
        let send = [&["send", "--as", account, "romeo@localhost", "hello"], &connect[..]].concat();
        world.run_as("wrong", &send).failed(1, &["wrong password, or no such account"]);
        let listen = [&["listen", "--as", account], &connect[..]].concat();
        world.run_as("wrong", &listen).failed(1, &["wrong password, or no such account"]);
    }
    let nowhere = ["send", "--as", "romeo@localhost", "--password-file", "none", "romeo@localhost", "x"];
    world.run(&nowhere).failed(1, &["cannot read none: no such file or folder"]);
}

#[test]
fn nobody_there() {
    let world = World::new();
    let free = free_address();
    world.serve(&[]).stop();
    let send = ["send", "--as", "romeo@localhost", "--connect", &free, "romeo@localhost", "hello"];
    let failed = world.run_as(PASSWORD, &send);
    failed.failed(1, &[&format!("could not connect to {free}"), "refused", "is a server running there?"]);
    assert_eq!(failed.stderr.matches("is a server running there?").count(), 1, "{failed:?}");
    let wrong = world.run_as(PASSWORD, &["listen", "--as", "romeo@localhost", "--connect", "localhost:xmpp"]);
    wrong.failed(2, &["--connect", "a host and a port is wanted"]);
}

#[test]
fn the_port_of_another_protocol() {
    let world = World::new();
    let server = world.serve(&[]);
    let send = |address: &str, options: &[&str]| {
        let args = ["send", "--as", "romeo@localhost", "--connect", address, "romeo@localhost", "hello"];
        world.run_as(PASSWORD, &[&args, options].concat())
    };
    let starttls = "(if that port is not for direct TLS, leave --direct-tls out)";
    send(&server.address, &["--direct-tls"]).failed(1, &["not TLS", starttls]);
    let direct = "(if that port is for direct TLS, add --direct-tls)";
    send(&server.address_tls, &[]).failed(1, &["not-well-formed", direct]);
    // Somebody who hangs up without a word.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let hang_up = std::thread::spawn(move || drop(silent.accept().unwrap().0));
    send(&address, &[]).failed(1, &["the connection ", direct]);
    hang_up.join().unwrap();
}

/// What the server offers on a stream without TLS.
pub fn features(address: &str) -> String {
    let mut socket = TcpStream::connect(address).unwrap();
    let header = "<stream:stream to='localhost' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>";
    socket.write_all(header.as_bytes()).unwrap();
    let mut received = String::new();
    let mut buffer = [0; 4096];
    while !received.contains("</stream:features>") {
        let read = socket.read(&mut buffer).unwrap();
        assert_ne!(read, 0, "{received}");
        received.push_str(str::from_utf8(&buffer[..read]).unwrap());
    }
    received
}

// RFC 6120 §5.3.1
#[test]
fn plaintext_is_for_this_machine_only() {
    let world = World::new();
    let failed = world.run(&["serve", "--listen", "0.0.0.0:0", "--allow-plaintext"]);
    failed.failed(2, &["--allow-plaintext", "unprotected at 0.0.0.0:0", "loopback"]);
    // Of a file it is its setting that is named, and the status is that of its other faults.
    for (setting, name) in [
        ("allow-plaintext = true\nlisten = '0.0.0.0:0'", "allow-plaintext"),
        ("listen-ws = '0.0.0.0:0'", "listen-ws"),
        ("listen-http = '0.0.0.0:0'", "listen-http"),
    ] {
        world.write("open.toml", setting);
        let failed = world.run(&["serve", "--config", "open.toml"]);
        failed.failed(1, &[&format!("open.toml: `{name}` would let"), "unprotected at 0.0.0.0:0"]);
    }

    let server = world.serve(&[]);
    let offered = features(&server.address);
    assert!(offered.contains("<required/>") && !offered.contains("<mechanism"), "{offered}");
    server.stop();
    let server = world.serve(&["--allow-plaintext"]);
    server.process.stderr_with("clients may log in without TLS");
    let offered = features(&server.address);
    assert!(offered.contains("<starttls") && offered.contains("SCRAM-SHA-256"), "{offered}");
}

// XEP-0077 §4
#[test]
fn registration_is_offered_if_it_is_allowed() {
    let world = World::new();
    for (options, allowed) in
        [(&["--allow-plaintext"][..], false), (&["--allow-plaintext", "--allow-registration"], true)]
    {
        let server = world.serve(options);
        assert_eq!(features(&server.address).contains("iq-register"), allowed);
        server.stop();
    }
}

// RFC 6120 §13.12: as many connections as it promises; systems start programs with room for few
#[test]
fn it_makes_room_for_connections_as_far_as_it_may() {
    let world = World::new();
    let line = |limits: &str| {
        format!(
            "sh -c '{limits}; exec balcony serve --listen 127.0.0.1:0 --listen-tls 127.0.0.1:0 --max-connections 500'"
        )
    };
    let limited = |limits: &str| Server::start(world.shell(&line(limits)));
    let open_files = |server: &Server| {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.process.id())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        line.split_whitespace().nth(3).unwrap().to_owned()
    };
    let server = limited("ulimit -S -n 256");
    assert_eq!(open_files(&server), "600");
    assert!(!server.stop().stderr.contains("the system lets"));
    let server = limited("ulimit -n 256");
    assert_eq!(open_files(&server), "256");
    assert!(server.stop().stderr.contains("fewer than 500 connections fit: raise the limit"));
}

// Errors of the operating system are sentences, without the numbers that it has for them.
#[test]
fn a_connection_that_is_cut() {
    let world = World::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let cutting = std::thread::spawn(move || {
        let (client, _) = listener.accept().unwrap();
        // What nobody has read makes it a reset.
        client.peek(&mut [0]).unwrap();
    });
    let failed = world.run_as(
        PASSWORD,
        &["send", "--as", "romeo@localhost", "--insecure", "--connect", &address, "juliet@localhost", "x"],
    );
    cutting.join().unwrap();
    assert_eq!(failed.status, Some(1), "{failed:?}");
    assert!(
        failed.stderr.contains("the other end has cut it") && !failed.stderr.contains("os error"),
        "{failed:?}"
    );
}
