//! Logins by a token, both ends (XEP-0484).
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::{Hash, Mechanism, SaslCondition};
use balcony_sim::Accounts;
use balcony_stream::client::{ClientEvent, ClientStreamConfig, Token};
use balcony_stream::server::{ServerAsk, ServerEvent, ServerStreamConfig};
use balcony_stream::{ChannelBinding, ClientStream, Error, Security, ServerStream, TlsPolicy};
use common::{Client, HEADER, features};
use proptest::prelude::*;

const AGENT: &str = "d4565fa7-4d72-4749-b3d3-740edbf87770";

fn juliet() -> BareJid {
    "juliet@example.com".parse().unwrap()
}

/// What both ends have to bind to.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Channel {
    exporter: Option<[u8; 32]>,
    end_point: bool,
}

const FULL: Channel = Channel { exporter: Some([5; 32]), end_point: true };

/// A login, and what came of it.
#[derive(Debug, Default)]
struct Login {
    up: String,
    down: String,
    token: Option<Token>,
    refused: Option<SaslCondition>,
    by: Option<Mechanism>,
    /// How the server was logged in to, and why not.
    failures: Vec<&'static str>,
    asked_passwords: usize,
    end: Option<Error>,
}

fn log_in(
    accounts: &mut Accounts,
    channels: [Channel; 2],
    configure: impl FnOnce(&mut ClientStreamConfig),
) -> Login {
    let mut client = ClientStreamConfig::new(juliet(), Secret::new("pencil".into()));
    (client.tls, client.resource, client.agent) = (TlsPolicy::Direct, None, Some(AGENT.into()));
    client.request_token = true;
    configure(&mut client);
    let mut server = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
    (server.tls, server.tokens) = (TlsPolicy::Direct, Mechanism::for_tokens().to_vec());
    let mut client = ClientStream::new(Arc::new(client), Seed::from_u64(1), Instant::ZERO);
    let mut server = ServerStream::new(Arc::new(server), Seed::from_u64(2), Instant::ZERO);
    let [ours, theirs] = channels.map(|channel| {
        Security::new(channel.exporter).with_end_point(channel.end_point.then(|| vec![6; 48]))
    });
    client.secured(ours).unwrap();
    server.secured(theirs).unwrap();
    let mut login = Login::default();
    let (mut up, mut down) = (Vec::new(), Vec::new());
    for _ in 0..50 {
        let bytes = core::mem::take(&mut down);
        login.down += str::from_utf8(&bytes).unwrap();
        let mut input = bytes.as_slice();
        loop {
            match client.advance(Instant::ZERO, &mut input, &mut up) {
                Ok(Progress::Event(event)) => match event {
                    ClientEvent::Ask(ticket, ask) => client.answer(ticket, accounts.answer(ask)).unwrap(),
                    ClientEvent::Token(token) => login.token = Some(*token),
                    ClientEvent::TokenRefused(condition) => login.refused = Some(condition),
                    ClientEvent::Authenticated { mechanism, .. } => login.by = Some(mechanism),
                    _ => {}
                },
                Ok(_) => break,
                Err(error) => {
                    login.end = Some(error);
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
        while let Ok(Progress::Event(event)) = server.advance(Instant::ZERO, &mut input, &mut down) {
            match event {
                ServerEvent::Ask(ticket, ask) => {
                    let is_of_password =
                        matches!(*ask, ServerAsk::Credentials { .. } | ServerAsk::Verify { .. });
                    login.asked_passwords += usize::from(is_of_password);
                    // Whose password was proven says by which keys, in case there are others by now.
                    if let ServerAsk::KeepToken { used, salt, .. } = &*ask {
                        assert_eq!(used.is_none(), salt.is_some());
                    }
                    server.answer(ticket, accounts.answer(*ask)).unwrap();
                }
                ServerEvent::AuthenticationFailed { reason, .. } => login.failures.push(reason),
                _ => {}
            }
        }
    }
    panic!("they came to no end: {login:?}");
}

fn accounts() -> Accounts {
    let mut accounts = Accounts::new().with("juliet@example.com", "pencil");
    accounts.now = 1_700_000_000;
    accounts
}

fn with(token: &Token) -> impl FnOnce(&mut ClientStreamConfig) {
    let token = token.clone();
    move |config| config.token = Some(token)
}

/// An account whose client has a token.
fn given() -> (Accounts, Token) {
    let mut accounts = accounts();
    let login = log_in(&mut accounts, [FULL; 2], |_| {});
    (accounts, login.token.unwrap())
}

// XEP-0484 §3.1, §3.2, §3.3, §3.4 [FA29] [FA1] [FA2] [FA4] [FA5] [FA7] [FA9] [FA25] [FA26] [FA27]
#[test]
fn a_password_brings_a_token_and_a_token_a_session() {
    let mut accounts = accounts();
    let first = log_in(&mut accounts, [FULL; 2], |_| {});
    assert_eq!((first.by, &first.end), (Some(Mechanism::ScramSha256Plus), &None));
    let offer = "<fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism><mechanism>HT-SHA-256-ENDP</mechanism>\
                 <mechanism>HT-SHA-256-NONE</mechanism></fast></inline>";
    assert!(first.down.contains(offer), "{}", first.down);
    assert!(first.up.contains("<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-EXPR'/>"));
    assert!(first.down.contains("<authorization-identifier>juliet@example.com/"), "{}", first.down);
    let token = first.token.unwrap();
    assert_eq!(token.mechanism(), Mechanism::HtSha256Expr);
    assert_eq!((token.account(), token.agent(), token.expires()), (&juliet(), AGENT, 1_701_000_000));
    assert!(first.down.contains("expiry='2023-11-26T12:00:00.000Z'/></success>"), "{}", first.down);
    for _ in 0..3 {
        let next = log_in(&mut accounts, [FULL; 2], with(&token));
        assert_eq!((next.by, next.end), (Some(Mechanism::HtSha256Expr), None));
        assert!(next.token.is_none() && next.refused.is_none() && next.asked_passwords == 0);
        assert!(next.up.contains("<fast xmlns='urn:xmpp:fast:0'/>") && !next.down.contains("<token"));
    }
}

// XEP-0484 §3.2, §4.1: who does not want one, or can't be told from others, gets none
#[test]
fn tokens_are_given_to_who_wants_one() {
    let cases: [fn(&mut ClientStreamConfig); 4] = [
        |config| config.request_token = false,
        |config| config.agent = None,
        |config| config.sasl2 = false,
        |config| config.agent = Some("a".repeat(200)),
    ];
    for configure in cases {
        let mut accounts = accounts();
        let login = log_in(&mut accounts, [FULL; 2], configure);
        assert!(login.token.is_none() && login.end.is_none());
        assert!(accounts.tokens(&juliet()).all().is_empty());
    }
}

fn channel() -> impl Strategy<Value = Channel> {
    (any::<bool>(), any::<bool>())
        .prop_map(|(exporter, end_point)| Channel { exporter: exporter.then_some([5; 32]), end_point })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    // XEP-0484 §3.4, §6 [FA10] [FA20] [FA25]: a token is used by its mechanism only; if that is not possible, the password is
    #[test]
    fn a_token_is_bound_to_its_mechanism(first in channel(), second in channel(), policy in 0..3_u8) {
        let policy = [ChannelBinding::Preferred, ChannelBinding::Off, ChannelBinding::Required][usize::from(policy)];
        let mut accounts = accounts();
        let login = log_in(&mut accounts, [first; 2], |config| config.channel_binding = policy);
        let can_bind = |channel: Channel| channel.exporter.is_some() || channel.end_point;
        if policy == ChannelBinding::Required && !can_bind(first) {
            prop_assert_eq!(login.end, Some(Error::ChannelBinding));
            return Ok(());
        }
        let token = login.token.unwrap();
        let expected = match (policy, first) {
            (ChannelBinding::Off, _) => Mechanism::HtSha256None,
            (_, Channel { exporter: Some(_), .. }) => Mechanism::HtSha256Expr,
            (_, Channel { end_point: true, .. }) => Mechanism::HtSha256Endp,
            _ => Mechanism::HtSha256None,
        };
        prop_assert_eq!(token.mechanism(), expected);
        let next = log_in(&mut accounts, [second; 2], with(&token));
        let is_possible = match expected {
            Mechanism::HtSha256Expr => second.exporter.is_some(),
            Mechanism::HtSha256Endp => second.end_point,
            _ => true,
        };
        prop_assert_eq!(&next.end, &None);
        prop_assert_eq!(next.by.unwrap().is_for_tokens(), is_possible);
        prop_assert_eq!(next.asked_passwords == 0, is_possible);
        // The second login would bind. Another one for what is possible now, also where that is better; or the same, with what the server
        // offers now (XEP-0509).
        let best = match second {
            Channel { exporter: Some(_), .. } => Mechanism::HtSha256Expr,
            Channel { end_point: true, .. } => Mechanism::HtSha256Endp,
            _ => Mechanism::HtSha256None,
        };
        let is_better = best < expected;
        let awaits = is_better && first == second;
        prop_assert_eq!(next.token.is_some(), !is_possible || is_better || first != second);
        prop_assert_eq!(next.down.contains("<token"), !is_possible || is_better && !awaits);
        // One that went ahead of the offer is followed by one that does not.
        let mut token = next.token.clone().unwrap_or(token);
        if awaits {
            prop_assert_eq!(token.mechanism(), expected);
            token = log_in(&mut accounts, [second; 2], with(&token)).token.unwrap();
        }
        prop_assert_eq!(token.mechanism(), if is_better || !is_possible { best } else { expected });
        let last = log_in(&mut accounts, [second; 2], with(&token));
        prop_assert!(last.by == Some(token.mechanism()) && last.token.is_none(), "{next:?} {last:?}");
    }
}

// XEP-0484 §6, RFC 5056: a token that was sent on another channel is worth nothing on this one
#[test]
fn somebody_in_between_cannot_use_a_token() {
    let (mut accounts, token) = given();
    let theirs = Channel { exporter: Some([9; 32]), end_point: true };
    let login = log_in(&mut accounts, [FULL, theirs], |config| {
        (config.token, config.password) = (Some(token), Secret::new(String::new()));
    });
    assert_eq!(
        login.end,
        Some(Error::Authentication(
            SaslCondition::NotAuthorized,
            Some("The user name or the password is wrong.".into())
        ))
    );
    assert_eq!(login.failures.len(), 1);
}

// XEP-0484 §3.5 [FA13] [FA14] [FA15]
#[test]
fn a_token_that_is_due_is_replaced_and_stays_until_the_next_one_is_used() {
    let (mut accounts, old) = given();
    accounts.now += 90_000;
    let login = log_in(&mut accounts, [FULL; 2], with(&old));
    let lost = login.token.unwrap();
    assert!(login.by == Some(Mechanism::HtSha256Expr) && lost.expires() == old.expires() + 90_000);
    // It did not arrive: the old one is still good, and brings yet another.
    let new = log_in(&mut accounts, [FULL; 2], with(&old)).token.unwrap();
    assert_ne!(new, lost);
    assert_eq!(log_in(&mut accounts, [FULL; 2], with(&lost)).refused, Some(SaslCondition::NotAuthorized));
    // Once the new one is used, the old one is not good any more.
    let (mut later, new_only) = {
        let (mut accounts, old) = given();
        accounts.now += 90_000;
        let new = log_in(&mut accounts, [FULL; 2], with(&old)).token.unwrap();
        let used = log_in(&mut accounts, [FULL; 2], with(&new));
        assert!(used.refused.is_none() && used.token.is_none());
        let refused = log_in(&mut accounts, [FULL; 2], with(&old));
        assert_eq!(refused.refused, Some(SaslCondition::NotAuthorized));
        assert_eq!(refused.by, Some(Mechanism::ScramSha256Plus));
        (accounts, new)
    };
    assert!(log_in(&mut later, [FULL; 2], with(&new_only)).refused.is_none());
}

// XEP-0484 §4.2 [FA22] [FA24]: who has had the token is told that it has expired; the password is still good
#[test]
fn a_token_expires() {
    let (mut accounts, token) = given();
    accounts.now = token.expires();
    let login = log_in(&mut accounts, [FULL; 2], with(&token));
    assert_eq!(login.refused, Some(SaslCondition::CredentialsExpired));
    assert_eq!(login.by, Some(Mechanism::ScramSha256Plus));
    assert!(login.token.is_some());
}

// [FA28]: with the account's end, a new password, and by the user's own hand
#[test]
fn a_token_ends_with_what_it_stands_for() {
    let ends: [fn(Accounts) -> Accounts; 2] = [
        |mut accounts| {
            accounts.tokens(&juliet()).revoke(None);
            accounts
        },
        |accounts| accounts.with("juliet@example.com", "pencil"),
    ];
    for end in ends {
        let (accounts, token) = given();
        let mut accounts = end(accounts);
        let login = log_in(&mut accounts, [FULL; 2], with(&token));
        assert_eq!(login.refused, Some(SaslCondition::NotAuthorized));
        assert_eq!(login.by, Some(Mechanism::ScramSha256Plus));
    }
    // An account that is not there, and a client without a token, are refused alike (RFC 6120 section 6.5.10) [S16].
    let (mut accounts, token) = given();
    accounts.tokens(&juliet()).revoke(None);
    let no_token = log_in(&mut accounts, [FULL; 2], |config| {
        (config.token, config.password) = (Some(token.clone()), Secret::new(String::new()));
    });
    accounts.remove(&juliet());
    let no_account = log_in(&mut accounts, [FULL; 2], |config| {
        (config.token, config.password) = (Some(token), Secret::new(String::new()));
    });
    assert_eq!((no_token.down, no_token.failures), (no_account.down, no_account.failures));
}

/// A server that takes tokens, and what a client writes by hand.
fn feed(accounts: &mut Accounts, authenticate: &str) -> String {
    let mut config = ServerStreamConfig::new(vec!["example.com".parse().unwrap()], Secret::new([7; 32]));
    (config.tls, config.tokens) = (TlsPolicy::Direct, Mechanism::for_tokens().to_vec());
    config.upgrades = vec![Hash::Sha512];
    let mut stream = ServerStream::new(Arc::new(config), Seed::from_u64(2), Instant::ZERO);
    stream.secured(Security::new(None)).unwrap();
    let bytes = format!(
        "<stream:stream to='example.com' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>{authenticate}"
    );
    let (mut input, mut out) = (bytes.as_bytes(), Vec::new());
    while let Ok(Progress::Event(event)) = stream.advance(Instant::ZERO, &mut input, &mut out) {
        if let ServerEvent::Ask(ticket, ask) = event {
            stream.answer(ticket, accounts.answer(*ask)).unwrap();
        }
    }
    let out = String::from_utf8(out).unwrap();
    out.split_once("</stream:features>").unwrap().1.into()
}

fn by_token(token: &str, attributes: &str, agent: &str, rest: &str) -> String {
    use base64::Engine as _;
    let (_, initial) =
        balcony_sasl::TokenLogin::begin(Mechanism::HtSha256None, "juliet", token, &[]).unwrap();
    let initial = base64::engine::general_purpose::STANDARD.encode(initial);
    format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='HT-SHA-256-NONE'><initial-response>{initial}</initial-response>\
         <user-agent id='{agent}'/><fast xmlns='urn:xmpp:fast:0'{attributes}/>{rest}</authenticate>"
    )
}

/// An account with a token that is bound to nothing, and its text.
fn plain_token() -> (Accounts, String) {
    plain_token_of(Accounts::new().with("juliet@example.com", "pencil"))
}

fn plain_token_of(mut accounts: Accounts) -> (Accounts, String) {
    accounts.now = 1_700_000_000;
    let bare = Channel { exporter: None, end_point: false };
    let login = log_in(&mut accounts, [bare; 2], |_| {});
    let text = login.down.split_once(" token='").unwrap().1.split('\'').next().unwrap().to_owned();
    (accounts, text)
}

// XEP-0484 §4.2 [FA21]: a login by a token is over after one message each way, whatever else there would be to do.
#[test]
fn a_token_is_asked_for_nothing_more() {
    const TASK: &str = "<upgrade xmlns='urn:xmpp:sasl:upgrade:0'>UPGR-SCRAM-SHA-512</upgrade>";
    let all = balcony_sasl::Credentials::derive("pencil", b"salt of this one", 4096).unwrap();
    let mut lacking = balcony_sasl::Credentials::default();
    lacking.set(all.get(Hash::Sha256).unwrap().clone());
    let (mut accounts, token) = plain_token_of(Accounts::new().with_credentials(&juliet(), lacking));
    // Who proves the password is asked for keys.
    let login = format!(
        "<authenticate xmlns='urn:xmpp:sasl:2' mechanism='PLAIN'><initial-response>AGp1bGlldABwZW5jaWw=</initial-response>{TASK}</authenticate>"
    );
    assert!(feed(&mut accounts, &login).starts_with("<continue "));
    let answer = feed(&mut accounts, &by_token(&token, "", AGENT, TASK));
    assert!(answer.starts_with("<success ") && !answer.contains("<task"), "{answer}");
}

// XEP-0484 §3.6 [FA17] [FA18]
#[test]
fn a_client_ends_its_token() {
    for (rest, renewed) in
        [("", false), ("<request-token xmlns='urn:xmpp:fast:0' mechanism='HT-SHA-256-NONE'/>", true)]
    {
        let (mut accounts, token) = plain_token();
        // It is due, and is not replaced unless that is wished.
        accounts.now += 90_000;
        let answer = feed(&mut accounts, &by_token(&token, " invalidate='true'", AGENT, rest));
        assert!(answer.starts_with("<success") && answer.contains("<token") == renewed, "{answer}");
        let answer = feed(&mut accounts, &by_token(&token, "", AGENT, ""));
        assert!(answer.contains("<not-authorized "), "{answer}");
    }
}

// XEP-0484 §3.6 [FA17]: a client that logs out for good ends its token, and the one that it was given in its place
#[test]
fn a_client_ends_all_that_it_was_given() {
    let (mut accounts, old) = given();
    accounts.now += 90_000;
    let new = log_in(&mut accounts, [FULL; 2], with(&old)).token.unwrap();
    assert_eq!(accounts.tokens(&juliet()).all().len(), 2);
    let last = log_in(&mut accounts, [FULL; 2], |config| {
        (config.token, config.end_token) = (Some(old), true);
    });
    assert!(last.up.contains("<fast xmlns='urn:xmpp:fast:0' invalidate='true'/>"), "{}", last.up);
    assert!(last.by == Some(Mechanism::HtSha256Expr) && last.end.is_none() && last.token.is_none());
    assert!(!last.up.contains("<request-token") && accounts.tokens(&juliet()).all().is_empty());
    assert_eq!(log_in(&mut accounts, [FULL; 2], with(&new)).refused, Some(SaslCondition::NotAuthorized));
    // Without a token there is nothing to end, and nothing is asked for.
    accounts.tokens(&juliet()).revoke(None);
    let none = log_in(&mut accounts, [FULL; 2], |config| config.end_token = true);
    assert!(none.token.is_none() && none.end.is_none() && accounts.tokens(&juliet()).all().is_empty());
}

// A password that is sent as it is proves itself against keys with a salt as any other, in case there are others by now.
#[test]
fn a_password_that_is_sent_says_by_which_keys_it_is_right() {
    for channel in [FULL, Channel { exporter: None, end_point: false }] {
        // `log_in` looks at the salt.
        let login = log_in(&mut accounts(), [channel; 2], |config| {
            (config.mechanisms, config.channel_binding) = (vec![Mechanism::Plain], ChannelBinding::Off);
        });
        assert!(login.by == Some(Mechanism::Plain) && login.token.is_some());
    }
}

// XEP-0484 §3.4, §4.1 [FA9] [FA11] [FA28]: of another client, without its name, or without saying that it is a token
#[test]
fn a_token_is_its_clients_own() {
    let (mut accounts, token) = plain_token();
    for (authenticate, condition) in [
        (by_token(&token, "", "another", ""), "<not-authorized "),
        (by_token(&token, "", "", ""), "<not-authorized "),
        (by_token("another", "", AGENT, ""), "<not-authorized "),
        (
            by_token(&token, "", AGENT, "").replace("<fast xmlns='urn:xmpp:fast:0'/>", ""),
            "<invalid-mechanism ",
        ),
        (by_token(&token, "", AGENT, "").replace("SHA-256-NONE", "SHA-256-EXPR"), "<invalid-mechanism "),
        (
            by_token(&token, "", AGENT, "").replace("<initial-response>", "<initial-response>?"),
            "<incorrect-encoding ",
        ),
        (by_token(&token, "", AGENT, "").replace("initial-response>", "none>"), "<malformed-request "),
    ] {
        let answer = feed(&mut accounts, &authenticate);
        assert!(answer.starts_with("<failure") && answer.contains(condition), "{authenticate} {answer}");
    }
    // The count is for early data, which is not accepted [FA3].
    let answer = feed(&mut accounts, &by_token(&token, " count='7'", AGENT, ""));
    assert!(answer.starts_with("<success"), "{answer}");
}

// [FA27]: a server that does not know the token is not the one that has given it
#[test]
fn the_server_proves_itself() {
    let (_, token) = given();
    // One that waits for the offer.
    let text = token.to_text();
    let token = Token::from_text(text.expose().rsplit_once('\n').unwrap().0).unwrap();
    for data in ["", "<additional-data/>", "<additional-data>AAAA</additional-data>"] {
        let mut client = Client::secured(Some([5; 32]), |config| {
            (config.token, config.agent) = (Some(token.clone()), Some(AGENT.into()));
            config.account = juliet();
        });
        client.feed(HEADER);
        let offer = "<authentication xmlns='urn:xmpp:sasl:2'><mechanism>SCRAM-SHA-1-PLUS</mechanism><inline>\
                     <fast xmlns='urn:xmpp:fast:0'><mechanism>HT-SHA-256-EXPR</mechanism></fast></inline></authentication>\
                     <sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>";
        let sent = client.feed(&features(offer));
        assert!(sent.contains("mechanism='HT-SHA-256-EXPR'"), "{sent}");
        client.feed(&format!("<success xmlns='urn:xmpp:sasl:2'>{data}</success>"));
        assert_eq!(client.failure(), Error::ServerNotAuthentic);
    }
}

// XEP-0509 §2.3.1 [IA8]: whatever its server has called the offer, a client says it as it was.
#[test]
fn the_version_of_an_offer_has_no_meaning() {
    let (_, token) = given();
    let text = token.to_text();
    let (short, _) = text.expose().rsplit_once('\n').unwrap();
    for value in ["x", "+ber opaque", "0", "%20 'quoted' & <b/>", "\u{fc}\u{1f468}"] {
        let mut client = Client::secured(Some([5; 32]), |config| {
            config.token = Some(Token::from_text(&format!("{short}\n+b some-scheme {value}")).unwrap());
            (config.agent, config.account) = (Some(AGENT.into()), juliet());
        });
        let sent = client.feed("");
        let escaped =
            value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('\'', "&apos;");
        let version =
            format!("<config-version xmlns='urn:xmpp:iap:0' scheme='some-scheme' value='{escaped}'/>");
        assert!(sent.contains("<authenticate ") && sent.contains(&version), "{value}: {sent}");
    }
}

// XEP-0484 §4.1 [FA19]
#[test]
fn a_token_is_kept_as_text_and_not_shown() {
    let (mut accounts, token) = given();
    let text = token.to_text();
    assert_eq!(Token::from_text(text.expose()).as_ref(), Some(&token));
    let secret = text.expose().split('\n').nth(5).unwrap();
    assert!(secret.len() == 43 && !format!("{token:?}").contains(secret));
    let length = text.expose().rfind("\n+").unwrap();
    for end in 0..length - 43 {
        assert!(Token::from_text(&text.expose()[..end]).is_none());
    }
    assert!(Token::from_text(&format!("{}\nmore", text.expose())).is_none());
    // One of another account or installation is not used.
    for other in [text.expose().replace("juliet", "romeo"), text.expose().replace(AGENT, "another")] {
        let login = log_in(&mut accounts, [FULL; 2], with(&Token::from_text(&other).unwrap()));
        assert!(login.by == Some(Mechanism::ScramSha256Plus) && login.refused.is_none());
    }
}
