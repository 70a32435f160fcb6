//! Keys for other hashes that a client gives its server (XEP-0480).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::{Credentials, Hash, Mechanism, SaslCondition};
use balcony_sim::Accounts;
use balcony_stanza::StreamCondition;
use balcony_stream::client::{ClientEvent, ClientStreamConfig};
use balcony_stream::server::{ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{ChannelBinding, ClientStream, Error, Security, ServerStream, TlsPolicy};
use common::{Client, HEADER, Scram, data, features};
use proptest::prelude::*;

const SALT: &[u8; 16] = b"salt of this one";

fn juliet() -> BareJid {
    "juliet@example.com".parse().unwrap()
}

/// An account with keys for these hashes.
fn keys(hashes: &[Hash], password: &str) -> Credentials {
    let all = Credentials::derive(password, SALT, 4096).unwrap();
    let mut some = Credentials::default();
    for hash in hashes {
        some.set(all.get(*hash).unwrap().clone());
    }
    some
}

fn same(one: &Credentials, other: &Credentials) -> bool {
    Hash::all().iter().all(|hash| {
        let [one, other] = [one, other].map(|all| {
            let parts = |keys: &balcony_sasl::ScramKeys| {
                (
                    keys.iterations(),
                    keys.salt().to_vec(),
                    keys.stored_key().to_vec(),
                    keys.server_key().to_vec(),
                )
            };
            all.get(*hash).map(parts)
        });
        one == other
    })
}

/// A login of both ends, and what went up and down.
struct Login {
    accounts: Accounts,
    up: String,
    down: String,
    asked: Vec<String>,
    end: Result<(), Error>,
}

fn log_in(
    hashes: &[Hash],
    upgrades: &[Hash],
    exporter: bool,
    configure: impl FnOnce(&mut ClientStreamConfig),
) -> Login {
    let mut client = ClientStreamConfig::new(juliet(), Secret::new("pencil".into()));
    (client.tls, client.resource) = (TlsPolicy::Direct, None);
    configure(&mut client);
    let mut server = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
    (server.tls, server.upgrades) = (TlsPolicy::Direct, upgrades.to_vec());
    // It offers what its accounts have keys for.
    let has_keys = |mechanism: &Mechanism| mechanism.hash().is_none_or(|hash| hashes.contains(&hash));
    server.mechanisms = Mechanism::all().iter().copied().filter(has_keys).collect();
    let mut client = ClientStream::new(Arc::new(client), Seed::from_u64(1), Instant::ZERO);
    let mut server = ServerStream::new(Arc::new(server), Seed::from_u64(2), Instant::ZERO);
    let security = || Security::new(exporter.then_some([5; 32]));
    client.secured(security()).unwrap();
    server.secured(security()).unwrap();
    let accounts = Accounts::new().with_credentials(&juliet(), keys(hashes, "pencil"));
    let mut login =
        Login { accounts, up: String::new(), down: String::new(), asked: Vec::new(), end: Ok(()) };
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let bytes = core::mem::take(&mut down);
        login.down += str::from_utf8(&bytes).unwrap();
        let mut input = bytes.as_slice();
        loop {
            match client.advance(Instant::ZERO, &mut input, &mut up) {
                Ok(Progress::Event(ClientEvent::Ask(ticket, ask))) => {
                    client.answer(ticket, login.accounts.answer(ask)).unwrap();
                }
                Ok(Progress::Event(_)) => {}
                Ok(_) => break,
                Err(error) => {
                    login.end = Err(error);
                    return login;
                }
            }
        }
        if client.is_open() {
            return login;
        }
        let bytes = core::mem::take(&mut up);
        login.up += str::from_utf8(&bytes).unwrap();
        let mut input = bytes.as_slice();
        while let Progress::Event(event) = server.advance(Instant::ZERO, &mut input, &mut down).unwrap() {
            if let ServerEvent::Ask(ticket, ask) = event {
                if let ServerAsk::KeysLacking { .. } | ServerAsk::AddKeys { .. } = &*ask {
                    login.asked.push(format!("{ask:?}"));
                }
                server.answer(ticket, login.accounts.answer(*ask)).unwrap();
            }
        }
    }
    panic!("they came to no end: {} {}", login.up, login.down);
}

fn hashes() -> impl Strategy<Value = Vec<Hash>> {
    proptest::sample::subsequence(Hash::all(), 0..=Hash::all().len())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    // XEP-0480 §2, §3 [SU1] [SU2] [SU3] [SU4] [SU5] [SU6] [SU7] [SU8] [SU10], XEP-0388 §2.6.3 [SL29] [SL30] [SL32]
    #[test]
    fn an_account_gets_the_keys_that_it_lacks(
        has in hashes(), offered in hashes(), mechanism in proptest::sample::select(Mechanism::all()),
        exporter in any::<bool>(),
    ) {
        let has: Vec<Hash> = if has.is_empty() { vec![Hash::Sha1] } else { has };
        prop_assume!(mechanism.hash().is_none_or(|hash| has.contains(&hash)));
        prop_assume!(!mechanism.is_plus() || exporter);
        let binding = if exporter && !mechanism.is_plus() { ChannelBinding::Off } else { ChannelBinding::Preferred };
        let login = log_in(&has, &offered, exporter, |config| {
            (config.mechanisms, config.channel_binding) = (vec![mechanism], binding);
        });
        prop_assert_eq!(&login.end, &Ok(()));
        prop_assert!(login.up.contains(" from='juliet@example.com'"), "{}", login.up);
        // No task has the password itself.
        prop_assert_eq!(login.down.matches("<task>").count(), login.down.matches("<task>UPGR-SCRAM-").count());
        // Who could bind the login and does not gives away nothing (section 5) [SU11].
        let is_safe = mechanism.is_plus() || !exporter;
        // Nor who is asked for keys that the server has, as its mechanisms say, or for weaker ones: these may be made up, for its own
        // word on its offer does not cover them (XEP-0474).
        let is_asked = |hash: &Hash| is_safe && offered.contains(hash) && !has.contains(hash)
            && mechanism.hash().is_none_or(|used| used < *hash);
        let asks = Hash::all().iter().any(is_asked);
        let expected: Vec<Hash> = Hash::all().iter().copied()
            .filter(|hash| has.contains(hash) || is_asked(hash)).collect();
        for hash in &has {
            let task = format!("UPGR-{}<", hash.scram().name());
            prop_assert!(!login.up.contains(&task));
        }
        let kept = login.accounts.credentials(&juliet()).unwrap();
        prop_assert!(same(kept, &keys(&expected, "pencil")), "{expected:?} {kept:?}");
        prop_assert_eq!(login.asked.len(), if asks { 1 + expected.len() - has.len() } else { 0 });
        for name in ["-PLUS</upgrade>", "-PLUS</task>"] {
            prop_assert!(!login.down.contains(name));
        }
        if mechanism != Mechanism::Plain {
            prop_assert!(!login.up.contains("pencil"));
        }
    }
}

// What is asked and kept may be in a log.
#[test]
fn what_is_asked_hides_the_keys() {
    let login = log_in(&[Hash::Sha1, Hash::Sha256], &[Hash::Sha512], false, |_| {});
    assert!(login.asked[1].contains("AddKeys") && login.asked[1].contains("ScramKeys"));
    assert!(!login.asked[1].contains("salt of"), "{:?}", login.asked);
}

#[test]
fn a_client_need_not() {
    let login = log_in(&[Hash::Sha1, Hash::Sha256], &[Hash::Sha512], false, |config| config.upgrade = false);
    assert!(login.end == Ok(()) && login.asked.is_empty() && login.down.contains("UPGR-SCRAM-SHA-512"));
    let login = log_in(&[Hash::Sha1, Hash::Sha256], &[Hash::Sha512], false, |config| config.sasl2 = false);
    assert!(login.end == Ok(()) && login.asked.is_empty());
}

/// A server that has a client's authentication behind it, with tasks before it.
struct AtTask {
    stream: ServerStream,
    accounts: Accounts,
    ended: Option<Error>,
}

impl AtTask {
    fn new() -> AtTask {
        AtTask::with("")
    }

    /// The client asks for this, too.
    fn with(more: &str) -> AtTask {
        let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
        (config.tls, config.upgrades) = (TlsPolicy::Direct, vec![Hash::Sha256, Hash::Sha512]);
        config.tokens = Mechanism::for_tokens().to_vec();
        let mut stream = ServerStream::new(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
        stream.secured(Security::new(None)).unwrap();
        let accounts = Accounts::new().with_credentials(&juliet(), keys(&[Hash::Sha1], "pencil"));
        let mut server = AtTask { stream, accounts, ended: None };
        let sent = server.feed(&format!(
            "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
             xmlns:stream='http://etherx.jabber.org/streams'><authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'>\
             <initial-response>AGp1bGlldABwZW5jaWw=</initial-response>\
             <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>\
             <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256-PLUS</upgrade>\
             <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-BLOOP</upgrade>{more}</authenticate>",
        ));
        let expected =
            "<continue xmlns='urn:xmpp:sasl:2'><tasks><task>UPGR-SCRAM-SHA-256</task></tasks></continue>";
        assert!(sent.ends_with(expected), "{sent}");
        server
    }

    fn feed(&mut self, bytes: &str) -> String {
        let (mut input, mut out) = (bytes.as_bytes(), Vec::new());
        loop {
            match self.stream.advance(Instant::ZERO, &mut input, &mut out) {
                Ok(Progress::Event(ServerEvent::Ask(ticket, ask))) => {
                    self.stream.answer(ticket, self.accounts.answer(*ask)).unwrap();
                }
                Ok(Progress::Event(_)) => {}
                Ok(_) => break,
                Err(error) => {
                    self.ended = Some(error);
                    break;
                }
            }
        }
        String::from_utf8(out).unwrap()
    }
}

const NEXT: &str = "<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-256'/>";

fn hash(data: &str) -> String {
    format!(
        "<task-data xmlns='urn:xmpp:sasl:2'><hash xmlns='urn:xmpp:scram-upgrade:0'>{data}</hash></task-data>"
    )
}

// XEP-0484 §3.3 [FA6], XEP-0388 §2.6.3 [SL33]: a token comes when all tasks are done, and not before; a login that fails in one leaves none.
#[test]
fn a_token_comes_behind_the_tasks() {
    const WANTED: &str = "<user-agent id='d4565fa7-4d72-4749-b3d3-740edbf87770'/>\
                          <request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>";
    // 32 bytes, which nobody can check.
    let salted = hash("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
    for is_done in [true, false] {
        let mut server = AtTask::with(WANTED);
        assert!(!server.feed(NEXT).contains("<token"));
        let end = if is_done { &*salted } else { "<abort xmlns='urn:xmpp:sasl:2'/>" };
        assert!(server.accounts.tokens(&juliet()).all().is_empty());
        let sent = server.feed(end);
        assert_eq!((sent.contains("<success"), sent.contains("<token ")), (is_done, is_done), "{sent}");
        // It is still who it was.
        let identity = "<authorization-identifier>juliet@example.com</authorization-identifier>";
        assert_eq!(sent.contains(identity), is_done, "{sent}");
        assert_eq!(server.accounts.tokens(&juliet()).all().len(), usize::from(is_done));
    }
}

// XEP-0388 §2.6.3 [SL31], XEP-0480 §2, §3 [SU6] [SU8] [SU9]: and then the client may try again
#[test]
fn what_is_no_part_of_the_task_fails_the_login() {
    let short = hash("AAAA");
    for (first, second) in [
        ("<next xmlns='urn:xmpp:sasl:2' task='UPGR-SCRAM-SHA-512'/>", ""),
        ("<next xmlns='urn:xmpp:sasl:2'/>", ""),
        (&*short, ""),
        (NEXT, NEXT),
        (NEXT, &short),
        (NEXT, &hash("")),
        (NEXT, &hash("?")),
        (NEXT, "<task-data xmlns='urn:xmpp:sasl:2'/>"),
        (NEXT, "<response xmlns='urn:xmpp:sasl:2'/>"),
        (NEXT, "<abort xmlns='urn:xmpp:sasl:2'/>"),
    ] {
        let mut server = AtTask::new();
        let sent = [server.feed(first), server.feed(second)].concat();
        let condition = if second.contains("abort") { "<aborted " } else { "<malformed-request " };
        assert!(sent.contains("<failure xmlns='urn:xmpp:sasl:2'>") && sent.contains(condition), "{sent}");
        assert!(server.ended.is_none() && !sent.contains("<success"));
        let kept = server.accounts.credentials(&juliet()).unwrap();
        assert!(same(kept, &keys(&[Hash::Sha1], "pencil")));
        let again = server.feed(
            "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=</initial-response>\
             </authenticate>",
        );
        assert!(again.contains("<success"), "{again}");
    }
}

// XEP-0388 §4.8, §2.4 [SL35] [SL18]
#[test]
fn nothing_else_is_done_before_the_task() {
    for (bytes, condition) in [
        ("<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'/>", StreamCondition::PolicyViolation),
        (
            "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'/>",
            StreamCondition::NotAuthorized,
        ),
        ("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>", StreamCondition::NotAuthorized),
        ("<message/>", StreamCondition::NotAuthorized),
        (
            "<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>",
            StreamCondition::NotAuthorized,
        ),
    ] {
        for salted in [false, true] {
            let mut server = AtTask::new();
            if salted {
                assert!(server.feed(NEXT).contains("iterations='4096'>c2FsdCBvZiB0aGlzIG9uZQ==</salt>"));
            }
            server.feed(bytes);
            assert!(
                matches!(&server.ended, Some(Error::Local(error)) if error.condition == condition),
                "{bytes} {:?}",
                server.ended
            );
        }
    }
}

/// A client that has asked for a task, and a server by the book.
fn asked() -> (Client, Vec<u8>) {
    let mut client = Client::secured(None, |config| config.resource = None);
    client.feed(HEADER);
    let offer = "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1</mechanism>\
                 <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-256</upgrade>\
                 <upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-BLOOP</upgrade></authentication>";
    let authenticate = client.feed(&features(offer));
    assert_eq!(authenticate.matches("<upgrade").count(), 1);
    let mut scram = Scram::new(Mechanism::ScramSha1, None, false);
    let challenge = scram.challenge(&data(&authenticate, "initial-response"));
    let in_profile = |name: &str, data: &[u8]| {
        common::sasl(name, data).replace("urn:ietf:params:xml:ns:xmpp-sasl", "urn:xmpp:sasl:2")
    };
    let response = client.feed(&in_profile("challenge", &challenge));
    let proof = scram.success(&data(&response, "response"));
    (client, proof)
}

fn offered(proof: &[u8], task: &str) -> String {
    use base64::Engine as _;
    let proof = base64::engine::general_purpose::STANDARD.encode(proof);
    format!(
        "<continue xmlns='urn:xmpp:sasl:2'><additional-data>{proof}</additional-data><tasks><task>{task}</task></tasks></continue>"
    )
}

// RFC 5802 §5 [SC9], XEP-0388 §2.6.1 [SL23]: a server that does not know the password gets nothing of it
#[test]
fn the_server_proves_itself_before_it_gets_anything() {
    for proof in [b"v=AAAA".as_slice(), b"", b"e=x"] {
        let (mut client, _) = asked();
        let sent = client.feed(&offered(proof, "UPGR-SCRAM-SHA-256"));
        assert!(!sent.contains("<next"), "{sent}");
        assert_eq!(client.failure(), Error::ServerNotAuthentic);
    }
    let (mut client, proof) = asked();
    assert_eq!(client.feed(&offered(&proof, "UPGR-SCRAM-SHA-256")), NEXT);
    let salt = "<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' iterations='4096'>c2FsdA==</salt></task-data>";
    let sent = client.feed(salt);
    let salted = balcony_sasl::salt_password(Hash::Sha256, "pencil", b"salt", 4096).unwrap();
    assert_eq!(data(&sent, "hash xmlns"), salted.as_bytes());
    client.feed(
        "<success xmlns='urn:xmpp:sasl:2'><authorization-identifier>juliet@example.com</authorization-identifier></success>",
    );
    assert!(client.events.iter().any(|event| event.starts_with("Authenticated")), "{:?}", client.events);
}

// XEP-0480 §2.2 [SU6]: nor does one that wants what was not offered, or too much or too little work
#[test]
fn a_client_does_what_it_has_asked_for() {
    let (mut client, proof) = asked();
    let sent = client.feed(&offered(&proof, "UPGR-SCRAM-SHA-512"));
    assert!(sent.starts_with("<abort xmlns='urn:xmpp:sasl:2'/>"), "{sent}");
    for salt in
        ["iterations='1'>c2FsdA==", "iterations='100000000'>c2FsdA==", ">c2FsdA==", "iterations='4096'>"]
    {
        let (mut client, proof) = asked();
        client.feed(&offered(&proof, "UPGR-SCRAM-SHA-256"));
        let sent = client.feed(&format!(
            "<task-data xmlns='urn:xmpp:sasl:2'><salt xmlns='urn:xmpp:scram-upgrade:0' {salt}</salt></task-data>"
        ));
        assert!(sent.starts_with("<abort xmlns='urn:xmpp:sasl:2'/>"), "{salt}: {sent}");
    }
    let (mut client, proof) = asked();
    client.feed(&offered(&proof, "UPGR-SCRAM-SHA-256"));
    client.feed("<failure xmlns='urn:xmpp:sasl:2'><not-authorized xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></failure>");
    assert!(matches!(client.failure(), Error::Authentication(SaslCondition::NotAuthorized, _)));
    // A success in the middle of a task is none.
    let (mut client, proof) = asked();
    client.feed(&offered(&proof, "UPGR-SCRAM-SHA-256"));
    client.feed("<success xmlns='urn:xmpp:sasl:2'/>");
    assert_eq!(client.error(), StreamCondition::UndefinedCondition);
}
