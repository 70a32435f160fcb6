//! What a server stores, and what nobody may see.
#![allow(clippy::unwrap_used)]

mod common;

use balcony_sasl::{
    BindingState, Credentials, CredentialsError, Hash, Mechanism, SaslCondition, ScramKeys, ServerStep,
    salt_password,
};
use common::{SALT, channel, client, server};

// RFC 5802 §3, rfc6120.md [SC8]
#[test]
fn keys_survive_a_store() {
    for hash in Hash::all().iter().copied() {
        let keys = ScramKeys::derive(hash, "pencil", SALT, 4097).unwrap();
        let (stored, server) = (keys.stored_key(), keys.server_key());
        assert_eq!((stored.len(), server.len()), (hash.length(), hash.length()));
        let again = ScramKeys::from_parts(hash, 4097, keys.salt().into(), stored, server).unwrap();
        assert_eq!((again.hash(), again.iterations(), again.salt()), (hash, 4097, &SALT[..]));
        assert_eq!((again.stored_key(), again.server_key()), (stored, server));
        assert!(again.verify_password("pencil") && !again.verify_password("pencils"));

        let other = if hash == Hash::Sha1 { Hash::Sha256 } else { Hash::Sha1 };
        for (hash, stored, server) in
            [(other, stored, server), (hash, &stored[1..], server), (hash, stored, &[])]
        {
            let end = ScramKeys::from_parts(hash, 4097, SALT[..].into(), stored, server);
            assert_eq!(end.err(), Some(CredentialsError::KeyLength));
        }
        let end = ScramKeys::from_parts(hash, 4097, [].into(), stored, server);
        assert_eq!(end.err(), Some(CredentialsError::EmptySalt));
        let end = ScramKeys::from_parts(hash, 4095, SALT[..].into(), stored, server);
        assert_eq!(end.err(), Some(CredentialsError::TooFewIterations));
    }
}

// rfc6120.md [SC5] [PL4]
#[test]
fn nothing_is_derived_from_bad_arguments() {
    for (password, salt, iterations, error) in [
        ("", &SALT[..], 4096, CredentialsError::EmptyPassword),
        ("a\u{7f}", SALT, 4096, CredentialsError::ForbiddenCharacter),
        ("pencil", &[], 4096, CredentialsError::EmptySalt),
        ("pencil", SALT, 4095, CredentialsError::TooFewIterations),
        ("pencil", SALT, 0, CredentialsError::TooFewIterations),
    ] {
        // Only what is prepared already is salted.
        if error != CredentialsError::ForbiddenCharacter {
            assert_eq!(salt_password(Hash::Sha1, password, salt, iterations).err(), Some(error));
        }
        assert_eq!(ScramKeys::derive(Hash::Sha256, password, salt, iterations).err(), Some(error));
        assert_eq!(Credentials::derive(password, salt, iterations).err(), Some(error));
    }
}

// RFC 6120 §6.5.10: an account that lacks keys for a hash shows one salt for all, as an unknown user does, and no password fits.
#[test]
fn what_an_account_lacks_does_not_show() {
    let all = Credentials::derive("pencil", SALT, 4096).unwrap();
    for hash in Hash::all() {
        let mut one = Credentials::default();
        one.set(all.get(*hash).unwrap().clone());
        for other in Hash::all() {
            let keys = one.get_or_impossible(*other).unwrap();
            assert_eq!((keys.hash(), keys.salt(), keys.iterations()), (*other, &SALT[..], 4096));
            assert_eq!(keys.verify_password("pencil"), other == hash);
        }
    }
    assert!(Credentials::default().get_or_impossible(Hash::Sha256).is_none());
}

// RFC 5802 §3: keys for each hash, and a password check with whatever there is
#[test]
fn credentials_verify_a_password() {
    let all = Credentials::derive("pencil", SALT, 4096).unwrap();
    let mut each = Vec::from([all.clone()]);
    for hash in Hash::all() {
        assert_eq!(all.get(*hash).unwrap().hash(), *hash);
        let mut one = Credentials::default();
        one.set(all.get(*hash).unwrap().clone());
        assert!(Hash::all().iter().all(|other| one.get(*other).is_some() == (other == hash)));
        each.push(one);
    }
    for credentials in &each {
        assert!(credentials.verify_password("pencil"));
        assert!(!credentials.verify_password("Pencil") && !credentials.verify_password(""));
    }
    assert!(!Credentials::default().verify_password("pencil"));
    // The keys that nearly every account has count, so that the time is the same for all.
    let mut mixed = Credentials::derive("other", SALT, 4096).unwrap();
    mixed.set(all.get(Hash::Sha256).unwrap().clone());
    assert_eq!(mixed.to_verify().unwrap().hash(), Hash::Sha256);
    assert!(mixed.verify_password("pencil") && !mixed.verify_password("other"));
}

// RFC 6120 §13.8.3: nothing that prints tells a secret
#[test]
fn debug_hides_secrets() {
    let password = "hunter2";
    // A secret must not show as text, nor as a list of its bytes.
    let list = |bytes: &[u8]| format!("{:?}", &bytes[..4]).trim_matches(['[', ']']).to_owned();
    let mut hidden = vec![password.to_owned(), list(password.as_bytes()), list(channel().data())];
    let mut shown = String::new();
    let mut show = |what: &dyn core::fmt::Debug| shown += &format!("{what:?}\n");
    for &mechanism in Mechanism::all() {
        let (mut client, mut server) = (client(mechanism, "user", password), server(mechanism));
        show(&client);
        show(&client.challenge(b"").unwrap());
        show(&client);
        let first = common::client(mechanism, "user", password).initial().unwrap();
        show(&server.initial(Some(&first)).unwrap());
        show(&server);
        let Some(hash) = mechanism.hash() else { continue };
        let keys = ScramKeys::derive(hash, password, SALT, 4096).unwrap();
        hidden.extend([list(keys.stored_key()), list(keys.server_key())]);
        show(&keys);
        let ServerStep::Challenge(challenge) = server.credentials(keys).unwrap() else { panic!() };
        show(&server);
        show(&client.challenge(&challenge).unwrap());
        show(&client);
        let salted = salt_password(hash, password, SALT, 4096).unwrap();
        show(&salted);
        show(&client.salted(salted).unwrap());
        show(&client);
    }
    show(&Credentials::derive(password, SALT, 4096).unwrap());
    show(&channel());
    show(&BindingState::Use(channel()));
    assert!(
        shown.contains("AskSalted")
            && shown.contains("AskVerify")
            && hidden.len() == 3 + 2 * (Mechanism::all().len() - 1)
    );
    for secret in hidden {
        assert!(!shown.contains(&secret), "{secret} in {shown}");
    }
}

// RFC 6120 §6.5, §6.5.*, rfc6120.md [S15]
#[test]
fn conditions() {
    let names: Vec<_> = SaslCondition::all().iter().map(|condition| condition.name()).collect();
    assert_eq!(
        names,
        [
            "aborted",
            "account-disabled",
            "credentials-expired",
            "encryption-required",
            "incorrect-encoding",
            "invalid-authzid",
            "invalid-mechanism",
            "malformed-request",
            "mechanism-too-weak",
            "not-authorized",
            "temporary-auth-failure"
        ]
    );
    for &condition in SaslCondition::all() {
        assert_eq!(SaslCondition::from_name(condition.name()), condition);
    }
    for unknown in ["", "Aborted", "bad-protocol", "aborted "] {
        assert_eq!(SaslCondition::from_name(unknown), SaslCondition::NotAuthorized);
    }
}
