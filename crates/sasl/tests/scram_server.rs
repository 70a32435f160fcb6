//! The server's side of SCRAM, row by row.
#![allow(clippy::unwrap_used)]

mod common;

use balcony_sasl::{
    Binding, Credentials, Failure, Hash, Mechanism, SaslCondition, ScramKeys, ServerExchange, ServerStep,
    fake_keys,
};
use common::{Account, SALT, channel, client, run, server};

fn first(mechanism: Mechanism, message: &str) -> Result<(String, Option<String>), Failure> {
    first_at(&mut server(mechanism), message)
}

fn first_at(server: &mut ServerExchange, message: &str) -> Result<(String, Option<String>), Failure> {
    server.initial(Some(message.as_bytes())).map(|step| match step {
        ServerStep::AskCredentials { username, authzid } => (username, authzid),
        step => panic!("{step:?}"),
    })
}

#[track_caller]
fn malformed(message: &str) {
    let failure = first(Mechanism::ScramSha256, message).expect_err(message);
    assert_eq!(failure.condition, SaslCondition::MalformedRequest, "{message:?}");
}

fn keys(hash: Hash) -> ScramKeys {
    ScramKeys::derive(hash, "pencil", SALT, 4096).unwrap()
}

/// A server without channel binding that has sent its challenge, with nonce `clientserver`.
fn challenged() -> ServerExchange {
    let mut server = ServerExchange::new(Mechanism::ScramSha256, None, false, "server");
    first_at(&mut server, "n,,n=user,r=client").unwrap();
    assert!(matches!(server.credentials(keys(Hash::Sha256)), Ok(ServerStep::Challenge(_))));
    server
}

// RFC 5802 §7, rfc6120.md [SC1]
#[test]
fn first_message_is_read() {
    for (message, username, authzid) in [
        ("n,,n=user,r=x", "user", None),
        ("n,a=boss,n=user,r=x", "user", Some("boss")),
        ("n,a=boss@example.com/a,n=user,r=!#~", "user", Some("boss@example.com/a")),
        ("n,,n=é☃ ,r=x", "é☃ ", None),
    ] {
        let expected = (username.to_owned(), authzid.map(str::to_owned));
        assert_eq!(first(Mechanism::ScramSha256, message), Ok(expected), "{message:?}");
    }
}

// RFC 5802 §7, rfc6120.md [SC1]
#[test]
fn anything_else_is_malformed() {
    for message in [
        "",
        ",",
        ",,",
        "n",
        "n,",
        "n,,",
        "n=user,r=x",
        "n,n=user,r=x",
        "x,,n=user,r=x",
        "N,,n=user,r=x",
        "nn,,n=user,r=x",
        " n,,n=user,r=x",
        "p,,n=user,r=x",
        "p=,,n=user,r=x",
        "p=a_b,,n=user,r=x",
        "p=é,,n=user,r=x",
        "n,a=,n=user,r=x",
        "n,b=x,n=user,r=x",
        "n,boss,n=user,r=x",
        "n,,r=x,n=user",
        "n,,n=user",
        "n,,r=x",
        "n,,n=,r=x",
        "n,,n=user,r=",
        "n,,n=user,,r=x",
        "n,,N=user,r=x",
        "n,,n=user,r=x y",
        "n,,n=user,r=é",
        "n,,n=user,r=\u{7f}",
        "n,,n=user,r=x,",
        "n,,n=user,r=x,x",
        "n,,n=user,r=x,x=",
        "n,,n=user,r=x,1=y",
        "n,,n=user,r=x,xy=z",
        "n,,n=user,r=x,r=y",
        "n,,n=user,r=x,n=other",
        "n,,n=us\0er,r=x",
        "n,a=\0,n=user,r=x",
    ] {
        malformed(message);
    }
    for message in ["p=,,n=user,r=x", "p=a_b,,n=user,r=x", "p=é,,n=user,r=x"] {
        let failure = first(Mechanism::ScramSha256Plus, message).unwrap_err();
        assert_eq!(failure.condition, SaslCondition::MalformedRequest, "{message:?}");
    }
    malformed("n,,n=user,r=x,x=\0");
    let failure = server(Mechanism::ScramSha1).initial(Some(b"n,,n=\xFF,r=x")).unwrap_err();
    assert_eq!(failure.condition, SaslCondition::MalformedRequest);
}

// RFC 5802 §5.1, rfc6120.md [SC2]
#[test]
fn names_are_unescaped() {
    for (written, name) in
        [("=2C", ","), ("=3D", "="), ("=3D2C", "=2C"), ("a=2Cb=3Dc", "a,b=c"), ("=2C=3D", ",=")]
    {
        let message = format!("n,a={written},n={written},r=x");
        let expected = (name.to_owned(), Some(name.to_owned()));
        assert_eq!(first(Mechanism::ScramSha1, &message), Ok(expected), "{written}");
    }
    for written in ["=", "a=", "=2", "=2c", "=3d", "==", "=41", "=2C=", "=é"] {
        malformed(&format!("n,,n={written},r=x"));
        malformed(&format!("n,a={written},n=user,r=x"));
    }
}

// RFC 7622 §3.3 and §3.1: names and messages are bounded
#[test]
fn lengths_are_bounded() {
    let name = |count: usize| "é".repeat(count / 2) + &"x".repeat(count % 2);
    assert!(first(Mechanism::ScramSha1, &format!("n,a={},n={},r=x", name(3071), name(1023))).is_ok());
    // The bound is that of the name, not of how it is written.
    assert!(first(Mechanism::ScramSha1, &format!("n,a={0},n={0},r=x", "=2C".repeat(1023))).is_ok());
    malformed(&format!("n,,n={},r=x", name(1024)));
    malformed(&format!("n,a={},n=user,r=x", name(3072)));
    assert!(first(Mechanism::ScramSha1, &format!("n,,n=user,r={}", "x".repeat(16_000))).is_ok());
    malformed(&format!("n,,n=user,r={}", "x".repeat(17_000)));
    let long = "x".repeat(17_000);
    assert_eq!(challenged().response(long.as_bytes()).unwrap_err().reason, "the message is too long");
}

// RFC 5802 §5.1 and §7, rfc6120.md [SC3]: everywhere in messages to the server
#[test]
fn mandatory_extensions_fail() {
    for message in ["n,,m=x,n=user,r=x", "n,,n=user,m=x,r=x", "n,,n=user,r=x,m=x", "n,,n=user,r=x,a=b,m="] {
        malformed(message);
    }
    for message in ["n,,m=x,n=user,r=x", "n,,n=user,r=x,m=x"] {
        assert_eq!(first(Mechanism::ScramSha1, message).unwrap_err().reason, "mandatory extension");
    }
    for message in ["m=x,c=biws,r=clientserver,p=AAAA", "c=biws,r=clientserver,m=x,p=AAAA"] {
        assert_eq!(challenged().response(message.as_bytes()).unwrap_err().reason, "mandatory extension");
    }
}

// RFC 5802 §5.1, rfc6120.md [SC3] [SC7]: ignored, but part of what is signed
#[test]
fn optional_extensions_are_ignored() {
    let mut server = ServerExchange::new(Mechanism::ScramSha256, None, false, "server");
    first_at(&mut server, "n,,n=user,r=client,x=1,Y==,z=é").unwrap();
    let ServerStep::Challenge(challenge) = server.credentials(keys(Hash::Sha256)).unwrap() else { panic!() };
    assert_eq!(challenge, b"r=clientserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096");
    let step = server
        .response(b"c=biws,r=clientserver,q=later,p=1FRS5kNA19flCOIHdKNIXObZowFEw7IjDCoyZc7yscY=")
        .unwrap();
    let ServerStep::Success { data, .. } = step else { panic!("{step:?}") };
    assert_eq!(data.unwrap(), b"v=nlVRzFfGXCNliTFIiZpTAYHlCv/XDMX30uJJjm2zkpg=");
}

// RFC 5802 §5.1, rfc6120.md [SC4] [SC10]
#[test]
fn final_message_must_repeat_binding_and_nonce() {
    const MISMATCH: &str = "the channel bindings of the two ends do not match: somebody may stand in between";
    let proof = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for (message, reason) in [
        // `eSws` is `y,,`; `biwsAA==` has data where there is none; `biwt` is `n,-`.
        ("c=eSws,r=clientserver", MISMATCH),
        ("c=biwsAA==,r=clientserver", MISMATCH),
        ("c=biwt,r=clientserver", MISMATCH),
        ("c=biws,r=client", "another nonce"),
        ("c=biws,r=clientserverx", "another nonce"),
        ("c=biws,r=clientServer", "another nonce"),
        ("c=biws,r=clientserver", "wrong password or unknown user"),
    ] {
        let failure = challenged().response(format!("{message},p={proof}").as_bytes()).unwrap_err();
        let expected = match reason.contains("binding") {
            true => Failure::of_binding(reason),
            false => Failure::new(SaslCondition::NotAuthorized, reason),
        };
        assert_eq!(failure, expected, "{message}");
    }
}

// RFC 5802 §7
#[test]
fn final_message_in_any_other_form_is_malformed() {
    for message in [
        "",
        "c=biws,r=clientserver",
        "r=clientserver,c=biws,p=AAAA",
        "c=biws,p=AAAA",
        "r=clientserver,p=AAAA",
        "c=biws,r=clientserver,p=",
        "c=biws,r=clientserver,p=AAAA",
        "c=biws,r=clientserver,p=AAA",
        "c=biws,r=clientserver,p=A!==",
        "c=biws,r=clientserver,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=",
        "c=,r=clientserver,p=AAAA",
        "c=biws,r=,p=AAAA",
        "c=biws,r=clientserver,p=AAAA,x=y",
        "c=biws,r=clientserver,c=biws,p=AAAA",
    ] {
        let failure = challenged().response(message.as_bytes()).unwrap_err();
        assert_eq!(failure.condition, SaslCondition::MalformedRequest, "{message:?}");
    }
}

// RFC 5802 §6, rfc6120.md [SC11] [SC12] [SC13]: all flags, mechanisms and offers
#[test]
fn binding_flag_must_fit() {
    use SaslCondition::{MalformedRequest, NotAuthorized};
    for (flag, is_plus, offered, verdict) in [
        ("n", false, false, None),
        ("n", false, true, None),
        ("y", false, false, None),
        ("y", false, true, Some(NotAuthorized)),
        ("p=tls-exporter", false, false, Some(MalformedRequest)),
        ("p=tls-exporter", false, true, Some(MalformedRequest)),
        ("n", true, true, Some(MalformedRequest)),
        ("y", true, true, Some(MalformedRequest)),
        ("p=tls-exporter", true, true, None),
        ("p=tls-server-end-point", true, true, Some(NotAuthorized)),
        ("p=tls-unique", true, true, Some(NotAuthorized)),
        ("p=TLS-EXPORTER", true, true, Some(NotAuthorized)),
    ] {
        for &mechanism in Mechanism::all().iter().filter(|m| m.hash().is_some() && m.is_plus() == is_plus) {
            let mut server = ServerExchange::new(mechanism, Some(channel()), offered, "server");
            let failure = first_at(&mut server, &format!("{flag},,n=user,r=x")).err();
            let condition = failure.as_ref().map(|failure| failure.condition);
            assert_eq!(condition, verdict, "{mechanism} {flag} offered: {offered}");
            // Whoever could not bind has not said a wrong password.
            let is_of_binding = failure.is_some_and(|failure| failure.is_of_binding);
            assert_eq!(
                is_of_binding,
                verdict == Some(NotAuthorized),
                "{mechanism} {flag} offered: {offered}"
            );
        }
    }
    let mut without = ServerExchange::new(Mechanism::ScramSha1Plus, None, true, "server");
    let failure = first_at(&mut without, "p=tls-exporter,,n=user,r=x").unwrap_err();
    assert_eq!(failure.condition, NotAuthorized);
    let both = ServerExchange::new(Mechanism::ScramSha1Plus, Some(channel()), true, "server");
    let mut both = both.with_binding(Binding::TlsServerEndPoint([1; 32].into()));
    assert!(first_at(&mut both, "p=tls-server-end-point,,n=user,r=x").is_ok());
}

// RFC 6120 §6.4.2, rfc6120.md [S5] [S6]: without an initial response the server asks for it
#[test]
fn initial_response_may_come_later() {
    for &mechanism in Mechanism::all() {
        let (mut client, mut server) = (client(mechanism, "user", "pencil"), server(mechanism));
        let ServerStep::Challenge(challenge) = server.initial(None).unwrap() else { panic!() };
        assert_eq!(challenge, b"");
        let message = client.initial().unwrap();
        assert!(matches!(
            (mechanism, server.response(&message).unwrap()),
            (Mechanism::Plain, ServerStep::AskVerify { .. }) | (_, ServerStep::AskCredentials { .. })
        ));
    }
    // Zero bytes are not the same as none.
    let failure = server(Mechanism::ScramSha1).initial(Some(b"")).unwrap_err();
    assert_eq!(failure.condition, SaslCondition::MalformedRequest);
}

// RFC 6120 §6.5.10, rfc6120.md [S16]
#[test]
fn fake_keys_are_stable_and_look_real() {
    for hash in Hash::all().iter().copied() {
        let (fake, real) = (fake_keys(&[1; 32], "nobody", hash, 10_000), keys(hash));
        let again = fake_keys(&[1; 32], "nobody", hash, 10_000);
        assert_eq!((fake.hash(), fake.iterations()), (hash, 10_000));
        assert_eq!(fake.salt().len(), real.salt().len());
        assert_eq!(fake.stored_key().len(), real.stored_key().len());
        assert_eq!(
            (fake.salt(), fake.stored_key(), fake.server_key()),
            (again.salt(), again.stored_key(), again.server_key())
        );
        assert_ne!(fake.stored_key(), fake.server_key());
        for other in
            [fake_keys(&[2; 32], "nobody", hash, 10_000), fake_keys(&[1; 32], "nobodz", hash, 10_000)]
        {
            assert_ne!(fake.salt(), other.salt());
            assert_ne!(fake.stored_key(), other.stored_key());
            assert_ne!(fake.server_key(), other.server_key());
        }
        for password in ["", "nobody", "pencil"] {
            assert!(!fake.verify_password(password));
        }
    }
    // rfc6120.md [SC5]
    assert_eq!(fake_keys(&[1; 32], "nobody", Hash::Sha1, 1).iterations(), 4096);
    // As with real accounts, which have one salt for both hashes.
    let both = Credentials::derive("pencil", SALT, 4096).unwrap();
    assert_eq!(both.sha1.unwrap().salt(), both.sha256.unwrap().salt());
    let fake = |hash| fake_keys(&[1; 32], "nobody", hash, 4096);
    assert_eq!(fake(Hash::Sha1).salt(), fake(Hash::Sha256).salt());
}

// RFC 6120 §6.4.3: one message at a time, and nothing after the end
#[test]
fn calls_out_of_order_fail() {
    use SaslCondition::{MalformedRequest, TemporaryAuthFailure};
    let condition = |end: Result<ServerStep, Failure>| end.unwrap_err().condition;
    assert_eq!(condition(server(Mechanism::ScramSha1).response(b"n,,n=user,r=x")), MalformedRequest);
    assert_eq!(condition(server(Mechanism::ScramSha1).credentials(keys(Hash::Sha1))), TemporaryAuthFailure);
    assert_eq!(condition(server(Mechanism::Plain).verified(true)), TemporaryAuthFailure);

    let mut asking = server(Mechanism::ScramSha1);
    first_at(&mut asking, "n,,n=user,r=x").unwrap();
    assert_eq!(condition(asking.response(b"c=biws,r=x,p=AAAA")), MalformedRequest);
    assert_eq!(condition(asking.credentials(keys(Hash::Sha1))), TemporaryAuthFailure);

    let mut asking = server(Mechanism::ScramSha1);
    first_at(&mut asking, "n,,n=user,r=x").unwrap();
    assert_eq!(condition(asking.credentials(keys(Hash::Sha256))), TemporaryAuthFailure);
    assert_eq!(condition(asking.credentials(keys(Hash::Sha1))), TemporaryAuthFailure);

    let mut asking = server(Mechanism::ScramSha1);
    first_at(&mut asking, "n,,n=user,r=x").unwrap();
    assert_eq!(condition(asking.verified(true)), TemporaryAuthFailure);

    let account = Account::new("user", "pencil");
    for &mechanism in Mechanism::all() {
        let (mut client, mut server) = (client(mechanism, "user", "pencil"), server(mechanism));
        run(&mut client, &mut server, &account, |_, m| m).unwrap();
        assert_eq!(condition(server.response(b"")), MalformedRequest);
        assert_eq!(condition(server.verified(true)), TemporaryAuthFailure);
        assert_eq!(condition(server.initial(None)), TemporaryAuthFailure);
    }
    let mut bad_nonce = ServerExchange::new(Mechanism::ScramSha1, None, false, "a,b");
    assert_eq!(first_at(&mut bad_nonce, "n,,n=user,r=x").unwrap_err().condition, TemporaryAuthFailure);
}
