//! Logins that have begun before their account was removed, or got another password: they do not get in.

use balcony_machine::Secret;
use balcony_sasl::{
    BindingState, ClientExchange, ClientStep, Mechanism, from_base64, salt_password, to_base64,
};

use crate::hostile::{HEADER, Raw};
use crate::world::{Server, World};

const BIND: &str = "<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>";
const RIGHT: &str = "pencil";
const OTHER: &str = "another";

/// A client that has logged in, and has not bound a resource.
pub fn logged_in(server: &Server, password: &str) -> Raw {
    let (client, proof) = begun(server, password);
    proven(client, &proof)
}

/// Ends a login that has begun.
fn proven(mut client: Raw, proof: &str) -> Raw {
    client.write(proof.as_bytes());
    client.until("</success>");
    client.write(HEADER.as_bytes());
    client.until("</stream:features>");
    client
}

/// What comes of binding.
fn binds(mut client: Raw) -> String {
    client.write(BIND.as_bytes());
    client.write(b"</stream:stream>");
    client.rest()
}

fn is_refused(answer: &str) -> bool {
    answer.contains("<not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-streams'/>")
        && !answer.contains("<jid>")
}

/// Begins a login by SCRAM, and gives what ends it.
fn begun(server: &Server, password: &str) -> (Raw, String) {
    let mut client = Raw::connect(server);
    client.write(HEADER.as_bytes());
    client.until("</stream:features>");
    let (mechanism, secret) = (Mechanism::ScramSha1, Secret::new(password.to_owned()));
    let mut exchange =
        ClientExchange::new(mechanism, "juliet", secret, None, BindingState::Unsupported, "fyko+d2lbbFgONRv")
            .unwrap();
    let first = to_base64(&exchange.initial().unwrap());
    let auth =
        format!("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>{first}</auth>");
    client.write(auth.as_bytes());
    let challenge = client.until("</challenge>");
    let (_, challenge) = challenge.trim_end_matches("</challenge>").rsplit_once('>').unwrap();
    let step = exchange.challenge(&from_base64(challenge).unwrap()).unwrap();
    let ClientStep::AskSalted { hash, password, salt, iterations } = step else { panic!("{step:?}") };
    let salted = salt_password(hash, password.expose(), &salt, iterations).unwrap();
    let ClientStep::Send(proof) = exchange.salted(salted).unwrap() else { panic!("no proof") };
    (client, format!("<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>{}</response>", to_base64(&proof)))
}

// RFC 6120 §6.3.2, §7; XEP-0077 §3.2: an account with the name of one that was removed is another one, and a password that was changed
// is one no more, also for who has shown it a moment ago and has not bound a resource, or is about to show that it has it.
#[test]
fn who_has_begun_before_does_not_get_in() {
    let world = World::new();
    let server = world.serve(&["--allow-plaintext"]);
    let add = |password| world.run_as(password, &["user", "add", "juliet@localhost"]).succeeded();
    add(RIGHT);
    for is_removed in [false, true] {
        let password = if is_removed { OTHER } else { RIGHT };
        let (shown, (showing, proof)) = (logged_in(&server, password), begun(&server, password));
        let other = if is_removed { RIGHT } else { OTHER };
        if is_removed {
            world.run(&["user", "remove", "juliet@localhost"]).succeeded();
            add(other);
        } else {
            world.run_as(other, &["user", "passwd", "juliet@localhost"]).succeeded();
        }
        let answer = binds(shown);
        assert!(is_refused(&answer), "{answer}");
        // The keys were read before.
        let answer = binds(proven(showing, &proof));
        assert!(is_refused(&answer), "{answer}");
        // Whoever begins now has the account.
        let answer = binds(logged_in(&server, other));
        assert!(answer.contains("<jid>juliet@localhost/"), "{answer}");
    }
    server.stop();
}

// XEP-0077 §3.3: the same if the user does it.
#[test]
fn a_password_that_its_user_changes_is_one_no_more() {
    let world = World::new();
    let server = world.serve(&["--allow-plaintext", "--allow-registration"]);
    world.run_as(RIGHT, &["user", "add", "juliet@localhost"]).succeeded();
    let shown = logged_in(&server, RIGHT);
    let mut user = logged_in(&server, RIGHT);
    user.write(BIND.as_bytes());
    user.until("</iq>");
    let change = "<iq type='set' id='c'><query xmlns='jabber:iq:register'><username>juliet</username>\
                  <password>another</password></query></iq>";
    user.write(change.as_bytes());
    assert!(user.until("/>").contains("type='result'"));
    let answer = binds(shown);
    assert!(is_refused(&answer), "{answer}");
    let answer = binds(logged_in(&server, OTHER));
    assert!(answer.contains("<jid>"), "{answer}");
    server.stop();
}
