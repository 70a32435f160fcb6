//! PLAIN (RFC 4616), row by row.
#![allow(clippy::unwrap_used)]

mod common;

use balcony_machine::Secret;
use balcony_sasl::{
    BindingState, ClientExchange, Failure, Mechanism, SaslCondition, SaslError, ServerExchange, ServerStep,
};
use common::{client, server};

/// What the server makes of a message: user, authzid, password.
fn read(data: &[u8]) -> Result<(String, Option<String>, String), Failure> {
    server(Mechanism::Plain).initial(Some(data)).map(|step| match step {
        ServerStep::AskVerify { username, authzid, password } => {
            (username, authzid, password.expose().clone())
        }
        step => panic!("{step:?}"),
    })
}

fn asked() -> ServerExchange {
    let mut server = server(Mechanism::Plain);
    assert!(matches!(server.initial(Some(b"boss\0user\0pencil")), Ok(ServerStep::AskVerify { .. })));
    server
}

// RFC 4616 §4, rfc6120.md [PL3] [PL5]
#[test]
fn message_is_written_and_read() {
    for (authzid, username, password, message) in [
        (None, "tim", "tanstaaftanstaaf", "\0tim\0tanstaaftanstaaf"),
        (Some("Ursel"), "Kurt", "xipj3plmq", "Ursel\0Kurt\0xipj3plmq"),
        (Some("é,="), "=,ü", " ~", "é,=\0=,ü\0 ~"),
        #[cfg(feature = "unicode")]
        (None, "u", " ☃", "\0u\0 ☃"),
    ] {
        let authzid = authzid.map(str::to_owned);
        let secret = Secret::new(password.to_owned());
        let binding = BindingState::Unsupported;
        let mut client =
            ClientExchange::new(Mechanism::Plain, username, secret, authzid.clone(), binding, "n").unwrap();
        assert_eq!(client.initial().unwrap(), message.as_bytes());
        assert_eq!(client.success(None), Ok(()));
        assert_eq!(read(message.as_bytes()), Ok((username.to_owned(), authzid, password.to_owned())));
    }
}

// RFC 4616 §2, rfc6120.md [PL3]
#[test]
fn anything_else_is_malformed() {
    for message in [
        &b""[..],
        b"user",
        b"\0user",
        b"user\0pencil",
        b"\0user\0pencil\0",
        b"\0\0user\0pencil",
        b"a\0user\0pen\0cil",
        b"\0\0pencil",
        b"a\0\0pencil",
        b"\0user\0",
        b"\0\0",
        b"\0us\xFFer\0pencil",
        b"\xC0\x80\0user\0pencil",
    ] {
        assert_eq!(read(message).unwrap_err().condition, SaslCondition::MalformedRequest, "{message:?}");
    }
}

// RFC 4616 §2, rfc6120.md [PL3]: at least 255 octets for each part
#[test]
fn lengths() {
    let message = |authzid, username, password| {
        ["x".repeat(authzid), "x".repeat(username), "x".repeat(password)].join("\0")
    };
    for (authzid, username, password) in [(255, 255, 255), (3071, 1023, 4000)] {
        assert!(read(message(authzid, username, password).as_bytes()).is_ok());
    }
    for (authzid, username, password) in [(3072, 1, 1), (1, 1024, 1), (1, 1, 16_384)] {
        let failure = read(message(authzid, username, password).as_bytes()).unwrap_err();
        assert_eq!(failure.condition, SaslCondition::MalformedRequest);
    }
}

// RFC 4616 §2, rfc6120.md [PL4]: a client prepares the password, a server when it looks at the keys
#[cfg(feature = "unicode")]
#[test]
fn password_is_prepared() {
    assert_eq!(client(Mechanism::Plain, "u", "e\u{301}²\u{A0}").initial().unwrap(), "\0u\0é2 ".as_bytes());
    assert_eq!(read("\0u\0e\u{301}\u{A0}".as_bytes()).unwrap().2, "e\u{301}\u{A0}");
    assert_eq!(read(b"\0u\0a\nb").unwrap_err().condition, SaslCondition::NotAuthorized);
}

// RFC 4013: what prepares passwords is not there, so nothing is prepared in a wrong way.
#[cfg(not(feature = "unicode"))]
#[test]
fn only_ascii_without_unicode() {
    use balcony_sasl::{Credentials, CredentialsError};
    for password in ["m²", "é", "\u{1F600}"] {
        let secret = Secret::new(password.to_owned());
        let binding = BindingState::Unsupported;
        let client = ClientExchange::new(Mechanism::Plain, "u", secret, None, binding, "n");
        assert_eq!(client.err(), Some(SaslError::Password(CredentialsError::NotAscii)));
        assert_eq!(Credentials::derive(password, b"salt", 4096).err(), Some(CredentialsError::NotAscii));
        let failure = read(format!("\0u\0{password}").as_bytes()).unwrap_err();
        assert_eq!(failure.condition, SaslCondition::NotAuthorized);
    }
    assert!(CredentialsError::NotAscii.to_string().contains("outside ASCII"));
}

// RFC 6120 §6.5.10
#[test]
fn verdict_decides() {
    let step = asked().verified(true).unwrap();
    assert!(matches!(
        step,
        ServerStep::Success { username, authzid: Some(authzid), data: None } if username == "user" && authzid == "boss"
    ));
    let mut refused = asked();
    assert_eq!(refused.verified(false).unwrap_err().condition, SaslCondition::NotAuthorized);
    assert_eq!(refused.verified(true).unwrap_err().condition, SaslCondition::TemporaryAuthFailure);
    assert_eq!(asked().response(b"\0user\0pencil").unwrap_err().condition, SaslCondition::MalformedRequest);
}

// RFC 6120 §6.3.10 and §6.4.6: the server has nothing to add
#[test]
fn client_expects_nothing_after_its_message() {
    let mut client = client(Mechanism::Plain, "user", "pencil");
    assert_eq!(client.success(None), Err(SaslError::NotProven));
    for (data, end) in [(None, true), (Some(&b""[..]), true), (Some(&b"v=AAAA"[..]), false)] {
        let mut client = common::client(Mechanism::Plain, "user", "pencil");
        assert!(client.initial().is_some());
        assert_eq!(client.success(data).is_ok(), end);
    }
}

// RFC 6120 §13.8.3, rfc6120.md [PL1]: the last resort; §13.8: what must be there is there
#[test]
fn mechanisms_stand_in_order_of_strength() {
    let names: Vec<_> = Mechanism::all().iter().map(|mechanism| mechanism.name()).collect();
    assert_eq!(
        names,
        [
            "SCRAM-SHA-512-PLUS",
            "SCRAM-SHA-256-PLUS",
            "SCRAM-SHA-1-PLUS",
            "SCRAM-SHA-512",
            "SCRAM-SHA-256",
            "SCRAM-SHA-1",
            "PLAIN"
        ]
    );
    assert!(Mechanism::all().is_sorted());
    for &mechanism in Mechanism::all() {
        assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        assert_eq!(mechanism.is_plus(), mechanism.name().ends_with("-PLUS"));
        assert_eq!(mechanism.hash().is_some(), mechanism.name().starts_with("SCRAM-"));
    }
    for name in ["", "plain", "scram-sha-1", "SCRAM-SHA-384", "EXTERNAL", "PLAIN "] {
        assert_eq!(Mechanism::from_name(name), None);
    }
}
