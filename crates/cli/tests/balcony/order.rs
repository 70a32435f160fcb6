//! What the program says to a server, and in which order: the roster before presence (RFC 6121 section 2.2), and presence ends
//! before the stream does.

use std::ops::ControlFlow::Continue;

use balcony_stanza::{ErrorCondition, IqType, Kind, PresenceType, Stanza};

use crate::witness::{polite, witness};
use crate::world::{PASSWORD, World};

/// What the program with these arguments says.
fn said(args: &[&str]) -> Vec<Stanza> {
    let (address, server) = witness(polite);
    let there = ["--connect", &address, "--allow-plaintext"];
    World::new().run_as(PASSWORD, &[args, &there].concat()).succeeded();
    server.join().unwrap()
}

fn place(said: &[Stanza], is_it: impl Fn(&Stanza) -> bool) -> usize {
    said.iter().position(is_it).unwrap_or_else(|| panic!("{said:?}"))
}

// RFC 6121 §2.2 [R15], §4.5.1 [PR17]
#[test]
fn the_roster_comes_before_presence_and_its_end_before_that_of_the_stream() {
    let said =
        said(&["listen", "--as", "romeo@localhost", "--count", "1", "--show", "dnd", "--priority", "5"]);
    let asks = |stanza: &Stanza| {
        stanza.head.kind == Kind::Iq(IqType::Get)
            && stanza.payload.as_bytes().starts_with(b"<query xmlns='jabber:iq:roster'")
    };
    let roster = place(&said, asks);
    let here = place(&said, |stanza| stanza.head.kind == Kind::Presence(PresenceType::Available));
    assert!(roster < here, "{said:?}");
    assert!(String::from_utf8_lossy(said[here].payload.as_bytes()).contains("<show>dnd</show>"));
    let last = said.last().unwrap();
    assert_eq!((last.head.kind, &last.head.to), (Kind::Presence(PresenceType::Unavailable), &None));
    assert!(last.payload.is_empty());
}

// RFC 6121 §3.1.1 [SB3]
#[test]
fn requests_are_addressed_to_accounts() {
    let said = said(&["roster", "--as", "romeo@localhost", "add", "juliet@localhost"]);
    let asked = &said[place(&said, |stanza| stanza.head.kind == Kind::Presence(PresenceType::Subscribe))];
    assert_eq!(asked.head.to, Some("juliet@localhost".parse().unwrap()));
    assert!(asked.head.id.is_some());
}

// RFC 6121 §3.1.3: a refusal counts, even if whoever sent it answers nothing else
#[test]
fn a_refused_request_is_a_failure() {
    let (address, _server) = witness(|stanza, out| match stanza.head.kind {
        Kind::Presence(PresenceType::Subscribe) => {
            let refusal = stanza.error(&ErrorCondition::RemoteServerTimeout.into());
            refusal.iter().for_each(|refusal| refusal.write(out));
            Continue(())
        }
        // The ping to the contact.
        _ if stanza.head.to.as_ref().is_some_and(|to| to.as_str() == "juliet@example.org") => Continue(()),
        _ => polite(stanza, out),
    });
    let add = ["roster", "--as", "romeo@localhost", "--connect", &address, "--allow-plaintext", "add"];
    World::new()
        .run_as(PASSWORD, &[&add[..], &["juliet@example.org"]].concat())
        .failed(1, &["juliet@example.org cannot be reached: remote-server-timeout"]);
}
