//! Passwords that can be written in more than one way (RFC 5802 section 2.2, RFC 4013).
#![cfg(feature = "unicode")]
#![allow(clippy::unwrap_used)]

mod common;

use balcony_machine::Secret;
use balcony_sasl::{
    ClientStep, Credentials, CredentialsError, Mechanism, PasswordForm, SaslCondition, ServerStep,
    salt_password,
};
use common::{Account, Failed, SALT, client, run, server, unprepared};

/// How somebody types a password, and what it is when it is prepared.
const TYPED: [(&str, &str); 9] = [
    ("m\u{B2}", "m2"),
    ("\u{B5}Torrent", "\u{3BC}Torrent"),
    ("\u{BD}life", "1\u{2044}2life"),
    ("\u{B4}", " \u{301}"),
    ("\u{FB01}sh", "fish"),
    ("me\u{2122}", "meTM"),
    ("so\u{AD}ft", "soft"),
    ("a\u{200B}b\u{3000}c", "a b c"),
    ("\u{FF50}\u{FF57}", "pw"),
];

// RFC 5802 §2.2, §3 [PL4]: the keys are those of the prepared password, so whoever prepares it gets in.
#[test]
fn keys_are_made_of_the_prepared_password() {
    for (typed, prepared) in TYPED {
        let keys = Credentials::derive(typed, SALT, 4096).unwrap().sha256.unwrap();
        let salted = salt_password(keys.hash(), prepared, SALT, 4096).unwrap();
        let account = Account::new("user", typed);
        assert_eq!(keys.form_of(prepared), Some(PasswordForm::First), "{typed:?}");
        assert_eq!(keys.form_of(typed), Some(PasswordForm::First), "{typed:?}");
        for mechanism in Mechanism::all() {
            for password in [typed, prepared] {
                let end = run(
                    &mut client(*mechanism, "user", password),
                    &mut server(*mechanism),
                    &account,
                    |_, m| m,
                );
                assert!(end.is_ok(), "{mechanism} {password:?}");
            }
        }
        // A client that has prepared it itself, and knows no other form.
        let mut other = client(Mechanism::ScramSha256, "user", "whatever");
        let mut server = server(Mechanism::ScramSha256);
        let ServerStep::AskCredentials { .. } = server.initial(other.initial().as_deref()).unwrap() else {
            panic!()
        };
        let ServerStep::Challenge(challenge) = server.credentials(keys).unwrap() else { panic!() };
        let ClientStep::AskSalted { .. } = other.challenge(&challenge).unwrap() else { panic!() };
        let ClientStep::Send(proof) = other.salted(salted).unwrap() else { panic!() };
        assert!(matches!(server.response(&proof), Ok(ServerStep::Success { .. })), "{typed:?}");
    }
}

// Keys from before SASLprep: PLAIN gets in at once, SCRAM with the other form.
#[test]
fn keys_of_the_other_form_still_fit() {
    let account = Account { username: "user".to_owned(), credentials: unprepared() };
    for mechanism in Mechanism::all().iter().copied() {
        let attempt = |other: bool, password: &str| {
            let mut client = client(mechanism, "user", password);
            assert_eq!(client.has_other_form(), password != "m2");
            if other {
                client = client.with_other_form();
            }
            run(&mut client, &mut server(mechanism), &account, |_, m| m)
        };
        assert!(attempt(true, "m\u{B2}").is_ok(), "{mechanism}");
        let refused = |end| matches!(end, Err(Failed::Server(failure)) if failure.condition == SaslCondition::NotAuthorized);
        assert!(refused(attempt(false, "m\u{B2}")), "{mechanism}");
        assert!(refused(attempt(true, "m2")) && refused(attempt(true, "m\u{B3}")), "{mechanism}");
    }
    // Whoever sends it unprepared, as most clients do with PLAIN.
    let mut server = server(Mechanism::Plain);
    let Ok(ServerStep::AskVerify { password, .. }) = server.initial(Some("\0user\0m\u{B2}".as_bytes()))
    else {
        panic!()
    };
    assert!(account.credentials.verify_password(password.expose()));
    for keys in [account.credentials.sha1.unwrap(), account.credentials.sha256.unwrap()] {
        assert_eq!(keys.form_of("m\u{B2}"), Some(PasswordForm::Other));
        assert_eq!((keys.form_of("m2"), keys.form_of("m\u{B3}")), (None, None));
    }
}

// RFC 4013 §2.3, §2.4, §2.5: no account gets such a password, and the reason is told.
#[test]
fn no_account_gets_a_password_that_others_cannot_prepare() {
    for (password, error) in [
        ("\u{AD}", CredentialsError::EmptyPassword),
        ("\u{E000}", CredentialsError::ForbiddenCharacter),
        ("a\u{FFFD}", CredentialsError::ForbiddenCharacter),
        ("a\u{5D0}", CredentialsError::MixedDirections),
        ("\u{1F600}", CredentialsError::UnassignedCharacter),
    ] {
        assert_eq!(Credentials::derive(password, SALT, 4096).err(), Some(error), "{password:?}");
        // But those that have one can be logged in to.
        let secret = Secret::new(password.to_owned());
        let binding = balcony_sasl::BindingState::Unsupported;
        let exchange =
            balcony_sasl::ClientExchange::new(Mechanism::Plain, "user", secret, None, binding, "nonce");
        assert!(exchange.is_ok_and(|exchange| !exchange.has_other_form()), "{password:?}");
    }
}
