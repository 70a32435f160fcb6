//! The client's side of SCRAM, row by row.
#![allow(clippy::unwrap_used)]

mod common;

use balcony_machine::{ApiMisuse, Secret};
use balcony_sasl::{
    BindingState, ClientExchange, ClientStep, CredentialsError, DEFAULT_MAX_ITERATIONS, Hash, MIN_ITERATIONS,
    Mechanism, SaslError, salt_password,
};
use common::{SALT, channel};

const FIRST: &str = "r=clientserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096";
/// What the right server says last, for user `user` and password `pencil`.
const LAST: &[u8] = b"v=ycDGV1/hazZci4Axc5sXdjHkTX3bVAds7mK4o/U2+2A=";

/// A client with nonce `client` whose first message is out.
fn started() -> ClientExchange {
    let mut client = fresh(Mechanism::ScramSha256, BindingState::Unsupported).unwrap();
    assert_eq!(client.initial().unwrap(), b"n,,n=user,r=client");
    client
}

fn fresh(mechanism: Mechanism, binding: BindingState) -> Result<ClientExchange, SaslError> {
    ClientExchange::new(mechanism, "user", Secret::new("pencil".to_owned()), None, binding, "client")
}

/// A client that has sent its proof.
fn proven() -> ClientExchange {
    let mut client = started();
    assert!(matches!(client.challenge(FIRST.as_bytes()), Ok(ClientStep::AskSalted { .. })));
    let salted = salt_password(Hash::Sha256, "pencil", SALT, 4096).unwrap();
    assert!(matches!(client.salted(salted), Ok(ClientStep::Send(_))));
    client
}

// RFC 5802 §5.1, rfc6120.md [SC4]
#[test]
fn server_nonce_must_continue_ours() {
    for nonce in ["client", "clien", "server", "Clientserver", "xclientserver", "clienserver"] {
        let challenge = format!("r={nonce},s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096");
        assert_eq!(started().challenge(challenge.as_bytes()).unwrap_err(), SaslError::Nonce, "{nonce}");
    }
    assert!(started().challenge(b"r=client+,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096").is_ok());
}

// RFC 5802 §5.1, RFC 7677 §4, rfc6120.md [SC5]
#[test]
fn iterations_are_bounded() {
    let ask = |client: ClientExchange, count: u32| {
        let mut client = client;
        client.challenge(format!("r=clientserver,s=AAAA,i={count}").as_bytes()).map(|step| match step {
            ClientStep::AskSalted { iterations, .. } => iterations,
            ClientStep::Send(_) => panic!("nothing to send yet"),
        })
    };
    for count in [MIN_ITERATIONS, 10_000, DEFAULT_MAX_ITERATIONS] {
        assert_eq!(ask(started(), count), Ok(count));
    }
    for count in [1, MIN_ITERATIONS - 1, DEFAULT_MAX_ITERATIONS + 1, u32::MAX] {
        assert_eq!(ask(started(), count), Err(SaslError::Iterations(count)));
    }
    assert_eq!(ask(started().with_max_iterations(5000), 5000), Ok(5000));
    assert_eq!(ask(started().with_max_iterations(5000), 5001), Err(SaslError::Iterations(5001)));
    // Below the minimum even if the caller would allow it.
    assert_eq!(ask(started().with_max_iterations(10), 10), Err(SaslError::Iterations(10)));
}

// RFC 5802 §7, rfc6120.md [SC3] [SC5]
#[test]
fn malformed_challenges_are_refused() {
    for challenge in [
        "",
        "r=clientserver",
        "r=clientserver,s=AAAA",
        "r=clientserver,i=4096",
        "s=AAAA,i=4096",
        "s=AAAA,r=clientserver,i=4096",
        "r=clientserver,s=,i=4096",
        "r=clientserver,s=AAA,i=4096",
        "r=clientserver,s=A-_A,i=4096",
        "r=clientserver,s=AAB=,i=4096",
        "r=clientserver,s=AAAA,i=",
        "r=clientserver,s=AAAA,i=0",
        "r=clientserver,s=AAAA,i=04096",
        "r=clientserver,s=AAAA,i=+4096",
        "r=clientserver,s=AAAA,i=-1",
        "r=clientserver,s=AAAA,i=4096.0",
        "r=clientserver,s=AAAA,i=99999999999999999999",
        "r=clientserver,s=AAAA,i=4096,",
        "r=client server,s=AAAA,i=4096",
        "r=clientserver,s=AAAA,i=4096,i=4097",
        "v=AAAA",
        "r=clientserver,s=AAAA,i=4096\0",
        "m=x,r=clientserver,s=AAAA,i=4096",
        "r=clientserver,s=AAAA,i=4096,m=x",
        "e=other-error",
    ] {
        let error = started().challenge(challenge.as_bytes()).unwrap_err();
        assert!(matches!(error, SaslError::Malformed(_)), "{challenge:?}: {error:?}");
    }
    let mandatory = started().challenge(b"m=x,r=clientserver,s=AAAA,i=4096").unwrap_err();
    assert_eq!(mandatory, SaslError::Malformed("mandatory extension"));
    assert!(matches!(started().challenge(b"r=clientserver\xFF,s=AAAA,i=4096"), Err(SaslError::Malformed(_))));
    assert!(matches!(
        started().challenge(&[b'x'; 17_000]),
        Err(SaslError::Malformed("the message is too long"))
    ));
}

// RFC 5802 §5.1, rfc6120.md [SC3] [SC7]: ignored, but part of what is signed
#[test]
fn optional_extensions_are_ignored() {
    let mut client = started();
    assert!(client.challenge("r=clientserver,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096,x=1,h=é".as_bytes()).is_ok());
    let salted = salt_password(Hash::Sha256, "pencil", SALT, 4096).unwrap();
    let ClientStep::Send(message) = client.salted(salted).unwrap() else { panic!() };
    assert_eq!(message, b"c=biws,r=clientserver,p=H4sAodnAziOvlA/HQ3QJ3ADPo8bCuHXUXuytRRreGAw=");
    assert_eq!(client.success(Some(b"v=CQMv3Ov+S/1pljHFFz32+zv0ixoWKaxGTeK8hb1T1aM=,x=y")), Ok(()));
}

// RFC 5802 §3, rfc6120.md [SC9]: `<success/>` alone is worth nothing
#[test]
fn success_needs_the_servers_proof() {
    assert_eq!(proven().success(Some(LAST)), Ok(()));
    assert_eq!(proven().success(None), Err(SaslError::NotProven));
    let wrong = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
    for data in [&wrong[..], b"v=AAAA", &[LAST, b"\0"].concat()[..LAST.len() - 4]] {
        assert!(matches!(proven().success(Some(data)), Err(SaslError::NotProven | SaslError::Malformed(_))));
        assert!(matches!(proven().challenge(data), Err(SaslError::NotProven | SaslError::Malformed(_))));
    }
    assert_eq!(proven().success(Some(wrong)), Err(SaslError::NotProven));
    assert_eq!(proven().challenge(wrong).unwrap_err(), SaslError::NotProven);
    for data in [&b""[..], b"v=", b"x=y", b"v=AAA", b"m=x", b"v=AAAA,m=x"] {
        assert!(matches!(proven().success(Some(data)), Err(SaslError::Malformed(_))));
    }
    // Too early: before the proof was sent, before the first message was sent.
    assert_eq!(started().success(Some(LAST)), Err(SaslError::NotProven));
    let mut salting = started();
    assert!(salting.challenge(FIRST.as_bytes()).is_ok());
    assert_eq!(salting.success(Some(LAST)), Err(SaslError::NotProven));
    let mut unused = fresh(Mechanism::ScramSha1, BindingState::Unsupported).unwrap();
    assert_eq!(unused.success(None), Err(SaslError::NotProven));
}

// RFC 6120 §6.4.6, rfc6120.md [S6] [SC9]: the proof may come as a challenge, and success without data after it
#[test]
fn proof_may_come_as_a_challenge() {
    for (data, end) in [
        (None, Ok(())),
        (Some(&b""[..]), Ok(())),
        (Some(LAST), Err(SaslError::Malformed("data with success where none belongs"))),
    ] {
        let mut client = proven();
        assert!(matches!(client.challenge(LAST), Ok(ClientStep::Send(empty)) if empty.is_empty()));
        assert_eq!(client.success(data), end);
    }
    let mut client = proven();
    assert!(client.challenge(LAST).is_ok());
    assert!(matches!(client.challenge(LAST), Err(SaslError::Malformed(_))));
    assert_eq!(client.success(None), Err(SaslError::Misuse(ApiMisuse::ExchangeEnded)));
}

// RFC 5802 §7, rfc6120.md [SC16]
#[test]
fn the_servers_error_is_reported() {
    let refused = SaslError::Refused("invalid-proof".to_owned());
    assert_eq!(proven().challenge(b"e=invalid-proof").unwrap_err(), refused);
    assert_eq!(proven().success(Some(b"e=invalid-proof,x=y")), Err(refused));
    assert!(matches!(proven().success(Some(b"e=")), Err(SaslError::Malformed(_))));
}

// RFC 6120 §6.4.2, rfc6120.md [S6]
#[test]
fn initial_response_may_wait_for_the_empty_challenge() {
    for &mechanism in Mechanism::all() {
        let make = || common::client(mechanism, "user", "pencil");
        let ClientStep::Send(message) = make().challenge(b"").unwrap() else { panic!() };
        let mut other = make();
        assert_eq!(other.initial(), Some(message));
        // Only once.
        assert_eq!(other.initial(), None);
        assert!(matches!(other.challenge(b""), Err(SaslError::Malformed(_))));
        assert!(matches!(make().challenge(b"x"), Err(SaslError::Malformed(_))));
    }
}

// RFC 5802 §6, rfc6120.md [SC12]
#[test]
fn binding_must_go_with_the_mechanism() {
    for &mechanism in Mechanism::all() {
        for state in
            [BindingState::Unsupported, BindingState::SupportedNotOffered, BindingState::Use(channel())]
        {
            let binds = matches!(state, BindingState::Use(_));
            let fits = mechanism == Mechanism::Plain || mechanism.is_plus() == binds;
            let flag: &[u8] = match state {
                BindingState::Unsupported => b"n,,",
                BindingState::SupportedNotOffered => b"y,,",
                _ => b"p=tls-exporter,,",
            };
            match fresh(mechanism, state) {
                Ok(mut client) if mechanism != Mechanism::Plain => {
                    assert!(fits && client.initial().unwrap().starts_with(flag));
                }
                Ok(_) => {}
                Err(error) => assert!(!fits && error == SaslError::Misuse(ApiMisuse::ChannelBinding)),
            }
        }
    }
}

// RFC 5802 §5.1, rfc6120.md [SC2] [PL3] [PL4]
#[test]
fn arguments_are_checked() {
    let new = |username: &str, password: &str, authzid: Option<&str>, nonce: &str, mechanism| {
        let (password, authzid) = (Secret::new(password.to_owned()), authzid.map(str::to_owned));
        ClientExchange::new(mechanism, username, password, authzid, BindingState::Unsupported, nonce).err()
    };
    let misuse = |misuse| Some(SaslError::Misuse(misuse));
    for mechanism in [Mechanism::ScramSha1, Mechanism::Plain] {
        let long = "x".repeat(1023);
        assert_eq!(new(&long, "p", Some("a"), "n", mechanism), None);
        for username in ["", "a\0b", &(long + "x")] {
            assert_eq!(new(username, "p", None, "n", mechanism), misuse(ApiMisuse::Username));
        }
        for authzid in ["", "a\0b", &"x".repeat(3072)] {
            let error = new("u", "p", Some(authzid), "n", mechanism);
            assert_eq!(error, misuse(ApiMisuse::AuthorizationIdentity));
        }
        for nonce in ["", "a,b", "a b", "é"] {
            assert_eq!(new("u", "p", None, nonce, mechanism), misuse(ApiMisuse::Nonce));
        }
        let password = |error| Some(SaslError::Password(error));
        assert_eq!(new("u", "", None, "n", mechanism), password(CredentialsError::EmptyPassword));
        assert_eq!(new("u", "a\0b", None, "n", mechanism), password(CredentialsError::ForbiddenCharacter));
    }
}

// rfc6120.md [SC6]: the answer must be the one asked for, at the time
#[test]
fn salted_password_must_have_been_asked_for() {
    let salted = |hash| salt_password(hash, "pencil", SALT, 4096).unwrap();
    let unasked = Some(SaslError::Misuse(ApiMisuse::SaltedPasswordUnasked));
    assert_eq!(started().salted(salted(Hash::Sha256)).err(), unasked);
    assert_eq!(proven().salted(salted(Hash::Sha256)).err(), unasked);
    let mut salting = started();
    assert!(salting.challenge(FIRST.as_bytes()).is_ok());
    assert_eq!(salting.salted(salted(Hash::Sha1)).err(), unasked);
    assert_eq!(salting.salted(salted(Hash::Sha256)).err(), unasked);
    let mut salting = started();
    assert!(salting.challenge(FIRST.as_bytes()).is_ok());
    let missing = Some(SaslError::Misuse(ApiMisuse::SaltedPasswordMissing));
    assert_eq!(salting.challenge(FIRST.as_bytes()).err(), missing);
}
