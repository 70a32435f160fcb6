//! What users do with their own accounts from a client (XEP-0077).

use balcony_stanza::{Payload, Stanza};

use crate::login::Talk;
use crate::world::{PASSWORD, Server, World};

fn query(content: &str) -> Payload {
    let xml = format!("<iq type='set' id='x'><query xmlns='jabber:iq:register'>{content}</query></iq>");
    Stanza::parse(xml.as_bytes()).unwrap().payload
}

fn change(password: &str) -> Payload {
    query(&format!("<username>romeo</username><password>{password}</password>"))
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
    server.process.signal("KILL");
    server.process.wait();
    assert_eq!(world.run(&["user", "list"]).stdout, "juliet@localhost\n");
}
