//! Properties of a client and a server together.
#![allow(clippy::unwrap_used)]

mod common;

use std::sync::LazyLock;

use balcony_machine::Secret;
use balcony_sasl::{
    Binding, BindingState, ClientExchange, Mechanism, SaslCondition, SaslError, ServerExchange,
    prepare_password,
};
use common::{Account, Failed, channel, run};
use proptest::prelude::*;

fn mechanism() -> impl Strategy<Value = Mechanism> {
    proptest::sample::select(Mechanism::all())
}

fn scram() -> impl Strategy<Value = Mechanism> {
    mechanism().prop_filter("PLAIN", |mechanism| mechanism.hash().is_some())
}

/// Names with the characters that SCRAM escapes, and others outside ASCII.
fn name() -> impl Strategy<Value = String> {
    "[a-z=,é☃\u{10348}]{1,8}"
}

fn password() -> impl Strategy<Value = String> {
    "[ -~]{1,8}|[a\u{308}é\u{A0},=²ﬁ\u{AD}]{1,6}|\\PC{1,2}"
        .prop_filter("no password of an account", |password| prepare_password(password).is_ok())
}

fn nonce() -> impl Strategy<Value = String> {
    "[!-+\\--~]{1,40}"
}

fn binding() -> impl Strategy<Value = Binding> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(Binding::TlsExporter),
        proptest::collection::vec(any::<u8>(), 32..=64)
            .prop_map(|hash| Binding::TlsServerEndPoint(hash.into())),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    // RFC 5802 §3, RFC 4616 §2: the honest path, whatever the names
    #[test]
    fn the_right_password_succeeds(
        mechanism in mechanism(), username in name(), password in password(),
        authzid in proptest::option::of(name()), nonces in (nonce(), nonce()), channel in binding(),
        extra in binding(), knows in any::<bool>(),
    ) {
        let state = match (mechanism.is_plus(), knows) {
            (true, _) => BindingState::Use(channel.clone()),
            (false, true) => BindingState::SupportedNotOffered,
            (false, false) => BindingState::Unsupported,
        };
        let account = Account::new(&username, &password);
        let secret = Secret::new(password);
        let mut client =
            ClientExchange::new(mechanism, &username, secret, authzid.clone(), state, nonces.0).unwrap();
        let mut server = ServerExchange::new(mechanism, Some(channel.clone()), mechanism.is_plus(), nonces.1);
        if extra.name() != channel.name() {
            server = server.with_binding(extra);
        }
        prop_assert_eq!(run(&mut client, &mut server, &account, |_, m| m), Ok((username, authzid)));
    }

    // RFC 6120 §6.5.10, rfc6120.md [S16]: a wrong password and an unknown user fail alike, at the same message
    #[test]
    fn wrong_password_and_unknown_user_fail_alike(
        mechanism in mechanism(), right in password(), wrong in password(), username in name(), other in name(),
    ) {
        prop_assume!(prepare_password(&right).unwrap() != prepare_password(&wrong).unwrap() && username != other);
        let account = Account::new(&username, &right);
        let attempt = |username: &str, password: &str| {
            let mut shapes = Vec::new();
            let (mut client, mut server) =
                (common::client(mechanism, username, password), common::server(mechanism));
            let end = run(&mut client, &mut server, &account, |number, message| {
                // Challenges of both have the same length.
                shapes.push((number, if number == 1 { message.len() } else { 0 }));
                message
            });
            (end, shapes)
        };
        let (end, shapes) = attempt(&username, &wrong);
        let Err(Failed::Server(failure)) = &end else { panic!("{end:?}") };
        prop_assert_eq!(failure.condition, SaslCondition::NotAuthorized);
        prop_assert_eq!(attempt(&other, &right), (end, shapes));
    }

    // rfc6120.md [SC10] [SC13]: somebody in the middle has two TLS channels, which differ
    #[test]
    fn another_channel_fails(plus in scram(), ours in binding(), theirs in binding()) {
        prop_assume!(plus.is_plus() && ours != theirs);
        let account = Account::new("user", "pencil");
        let secret = Secret::new("pencil".to_owned());
        let mut client =
            ClientExchange::new(plus, "user", secret, None, BindingState::Use(ours), "cn").unwrap();
        let mut server = ServerExchange::new(plus, Some(theirs), true, "sn");
        let Err(Failed::Server(failure)) = run(&mut client, &mut server, &account, |_, m| m) else {
            panic!("success over another channel");
        };
        prop_assert_eq!(failure.condition, SaslCondition::NotAuthorized);
    }
}

static ACCOUNT: LazyLock<Account> = LazyLock::new(|| Account::new("us,r", "pencil"));

/// A client with all that a message can hold, and its server.
fn pair(mechanism: Mechanism) -> (ClientExchange, ServerExchange) {
    let state = match mechanism.is_plus() {
        true => BindingState::Use(channel()),
        false => BindingState::SupportedNotOffered,
    };
    // PLAIN doesn't protect the authorization identity.
    let authzid = mechanism.hash().map(|_| "j=liet".to_owned());
    let client =
        ClientExchange::new(mechanism, "us,r", Secret::new("pencil".to_owned()), authzid, state, "client")
            .unwrap();
    let server = ServerExchange::new(mechanism, Some(channel()), mechanism.is_plus(), "server");
    (client, server)
}

// RFC 5802 §3 (AuthMessage), §9; RFC 6120 §13.9: no byte of any message can be altered unnoticed
#[test]
fn any_altered_byte_fails() {
    for &mechanism in Mechanism::all() {
        let mut lengths = Vec::new();
        let (mut client, mut server) = pair(mechanism);
        run(&mut client, &mut server, &ACCOUNT, |_, message| {
            lengths.push(message.len());
            message
        })
        .unwrap();
        assert_eq!(lengths.len(), if mechanism == Mechanism::Plain { 1 } else { 4 });
        for (altered, &length) in lengths.iter().enumerate() {
            for at in 0..length {
                // A different bit for each byte, and the case bit of letters.
                for flip in [1 << (at % 8), 0x20] {
                    let (mut client, mut server) = pair(mechanism);
                    let end = run(&mut client, &mut server, &ACCOUNT, |number, mut message| {
                        if number == altered {
                            message[at] ^= flip;
                        }
                        message
                    });
                    assert!(end.is_err(), "{mechanism}, message {altered}, byte {at}, flip {flip:#x}");
                }
            }
        }
    }
}

// RFC 5802 §3 (AuthMessage): nor can a message be cut short or made longer
#[test]
fn any_cut_or_longer_message_fails() {
    for &mechanism in Mechanism::all() {
        for altered in 0..if mechanism == Mechanism::Plain { 1 } else { 4 } {
            for change in [0, 1, 2, 3] {
                let (mut client, mut server) = pair(mechanism);
                let end = run(&mut client, &mut server, &ACCOUNT, |number, mut message| {
                    match change {
                        _ if number != altered => {}
                        0 => drop(message.pop()),
                        1 => message.clear(),
                        2 => message.push(b'A'),
                        _ => message.extend_from_slice(b",x=y"),
                    }
                    message
                });
                let harmless = altered == 3 && change == 3;
                assert_eq!(end.is_ok(), harmless, "{mechanism}, message {altered}, change {change}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    // RFC 5802 §3 (AuthMessage)
    #[test]
    fn any_altered_message_fails(
        mechanism in scram(), altered in 0..4_usize, at in any::<proptest::sample::Index>(), byte in any::<u8>(),
    ) {
        let (mut client, mut server) = pair(mechanism);
        let mut changed = false;
        let end = run(&mut client, &mut server, &ACCOUNT, |number, mut message| {
            if number == altered {
                let at = at.index(message.len());
                changed = message[at] != byte;
                message[at] = byte;
            }
            message
        });
        prop_assert_eq!(end.is_err(), changed);
    }

    // rfc6120.md [SC3] [SC4]: arbitrary bytes at any point are an error, and the error stays
    #[test]
    fn arbitrary_bytes_never_panic(
        mechanism in mechanism(), at in 0..4_usize,
        noise in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..64),
            "[nyp=,mrsicvea0-9\\-+/]{0,32}".prop_map(String::into_bytes),
            "[ny],(a=a)?,(m=m,)?n=[a=,]{0,4},r=[ -~]{0,4}".prop_map(String::into_bytes),
            "r=client.{0,3},s=[a-zA-Z=]{0,5},i=[0-9]{0,12}(,.=.)?".prop_map(String::into_bytes),
            "c=[a-zA-Z=]{0,8},r=clientserver(,.=.)?,p=[a-zA-Z=]{0,8}".prop_map(String::into_bytes),
            "[ve]=[a-zA-Z=]{0,8}".prop_map(String::into_bytes),
        ],
    ) {
        let (mut client, mut server) = pair(mechanism);
        let mut reached = false;
        let end = run(&mut client, &mut server, &ACCOUNT, |number, message| {
            reached |= number == at;
            if number == at { noise.clone() } else { message }
        });
        prop_assert_eq!(end.is_err(), reached);
        if reached {
            prop_assert!(server.response(&noise).is_err() && server.initial(Some(&noise)).is_err());
            prop_assert!(server.verified(true).is_err());
        }
        if let Err(Failed::Client(_)) = end {
            prop_assert!(client.challenge(&noise).is_err());
            prop_assert!(matches!(client.success(Some(&noise)), Err(SaslError::Misuse(_))));
        }
    }
}
