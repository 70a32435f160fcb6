//! What users do with their own accounts from a client (XEP-0077).

use balcony_stanza::{Payload, Stanza};

use crate::hostile::{HEADER, Raw};
use crate::login::Talk;
use crate::world::{PASSWORD, Server, World};

fn query(content: &str) -> Payload {
    let xml = format!("<iq type='set' id='x'><query xmlns='jabber:iq:register'>{content}</query></iq>");
    Stanza::parse(xml.as_bytes()).unwrap().payload
}

fn change(password: &str) -> Payload {
    query(&format!("<username>romeo</username><password>{password}</password>"))
}

// Who makes accounts, and for which of them a password is guessed, is in the log. A name that is no account's may be a password that was
// typed in the wrong place.
#[test]
fn the_log_says_who_makes_accounts_and_who_fails() {
    let world = World::new();
    let server = world.serve(&["--allow-plaintext", "--allow-registration"]);
    let mut raw = Raw::connect(&server);
    raw.write(HEADER.as_bytes());
    raw.until("</stream:features>");
    let wish = "<username>romeo</username><password>pencil</password>";
    raw.write(
        format!("<iq type='set' id='x'><query xmlns='jabber:iq:register'>{wish}</query></iq>").as_bytes(),
    );
    raw.until("result");
    server.process.stderr_with("INFO romeo@localhost has been registered from this machine");
    world.account("juliet");
    server.process.stderr_with("INFO juliet@localhost has been created, by `balcony user`");
    world.run_as("another", &["user", "passwd", "juliet"]).succeeded();
    server.process.stderr_with("INFO juliet@localhost has another password, by `balcony user`");

    world.send(&server, "juliet@localhost", "romeo@localhost", "hello", &[]).failed(1, &["not-authorized"]);
    server.process.stderr_with("failed to authenticate as juliet@localhost: ");
    world.send(&server, "s3cret@localhost", "romeo@localhost", "hello", &[]).failed(1, &["not-authorized"]);
    let line = server.process.stderr_with("failed to authenticate");
    assert!(line.contains("authenticate: ") && !line.contains("s3cret"), "{line}");
}

// XEP-0077 2.4 §3.3, §3.2: also where strangers may not register; and what was confirmed outlives a kill
#[test]
fn a_user_changes_the_password_and_ends_the_account() {
    let world = World::new();
    let server = world.serve(&[]);
    world.account("romeo");
    world.account("juliet");
    let login = |server: &Server, password: &str| Talk::with(&world, server, "romeo@localhost", password);
    let talk = login(&server, PASSWORD).unwrap();
    assert!(talk.set(change("a\tb")).unwrap_err().starts_with("not-acceptable"));
    talk.set(change("another one")).unwrap();
    server.process.stderr_with("INFO romeo@localhost has another password, by its client");
    server.process.signal("KILL");
    server.process.wait();

    let server = world.serve(&[]);
    assert!(login(&server, PASSWORD).is_err());
    let talk = login(&server, "another one").unwrap();
    let other = login(&server, "another one").unwrap();
    talk.set(query("<remove/>")).unwrap();
    for talk in [talk, other] {
        assert!(talk.end().contains("not-authorized"));
    }
    server.process.stderr_with("INFO romeo@localhost has been removed");
    server.process.signal("KILL");
    server.process.wait();
    assert_eq!(world.run(&["user", "list"]).stdout, "juliet@localhost\n");
}
