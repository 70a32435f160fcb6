//! Exchanges with known bytes: the examples of the RFCs, and others computed from the RFC's formulas by an independent
//! script.
#![allow(clippy::unwrap_used)]

use balcony_machine::Secret;
use balcony_sasl::{
    Binding, BindingState, ClientExchange, ClientStep, Mechanism, ScramKeys, ServerExchange, ServerStep,
    salt_password,
};

struct Vector {
    mechanism: Mechanism,
    username: &'static str,
    password: &'static str,
    authzid: Option<&'static str>,
    binding: BindingState,
    salt: &'static [u8],
    iterations: u32,
    nonces: (&'static str, &'static str),
    client_first: &'static str,
    server_first: &'static str,
    client_final: &'static str,
    server_final: &'static str,
}

/// Runs both sides separately, each against the bytes of the vector.
fn check(v: &Vector) {
    let hash = v.mechanism.hash().unwrap();
    let password = Secret::new(v.password.to_owned());
    let authzid = v.authzid.map(str::to_owned);
    let mut client = ClientExchange::new(
        v.mechanism,
        v.username,
        password,
        authzid.clone(),
        v.binding.clone(),
        v.nonces.0,
    )
    .unwrap();
    assert_eq!(client.initial().unwrap(), v.client_first.as_bytes());
    let ClientStep::AskSalted { hash: asked, password, salt, iterations } =
        client.challenge(v.server_first.as_bytes()).unwrap()
    else {
        panic!("no ask");
    };
    assert_eq!((asked, &*salt, iterations), (hash, v.salt, v.iterations));
    let salted = salt_password(hash, password.expose(), &salt, iterations).unwrap();
    let ClientStep::Send(proof) = client.salted(salted).unwrap() else { panic!("no proof") };
    assert_eq!(String::from_utf8(proof).unwrap(), v.client_final);
    assert_eq!(client.success(Some(v.server_final.as_bytes())), Ok(()));

    let (binding, plus) = match &v.binding {
        BindingState::Use(binding) => (Some(binding.clone()), true),
        _ => (None, false),
    };
    let mut server = ServerExchange::new(v.mechanism, binding, plus, v.nonces.1);
    let ServerStep::AskCredentials { username, authzid: asked } =
        server.initial(Some(v.client_first.as_bytes())).unwrap()
    else {
        panic!("no ask");
    };
    assert_eq!((username.as_str(), &asked), (v.username, &authzid));
    let keys = ScramKeys::derive(hash, v.password, v.salt, v.iterations).unwrap();
    let ServerStep::Challenge(challenge) = server.credentials(keys).unwrap() else { panic!("no challenge") };
    assert_eq!(String::from_utf8(challenge).unwrap(), v.server_first);
    let ServerStep::Success { username, authzid: granted, data } =
        server.response(v.client_final.as_bytes()).unwrap()
    else {
        panic!("no success");
    };
    assert_eq!((username.as_str(), granted), (v.username, authzid));
    assert_eq!(data.as_deref(), Some(v.server_final.as_bytes()));
}

// RFC 5802 §5, rfc6120.md [SC6] [SC7] [SC17]
#[test]
fn scram_sha_1() {
    check(&Vector {
        mechanism: Mechanism::ScramSha1,
        username: "user",
        password: "pencil",
        authzid: None,
        binding: BindingState::Unsupported,
        salt: b"\x41\x25\xc2\x47\xe4\x3a\xb1\xe9\x3c\x6d\xff\x76",
        iterations: 4096,
        nonces: ("fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j"),
        client_first: "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
        server_first: "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        client_final: "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        server_final: "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    });
}

// RFC 7677 §3, rfc6120.md [SC17]
#[test]
fn scram_sha_256() {
    check(&Vector {
        mechanism: Mechanism::ScramSha256,
        username: "user",
        password: "pencil",
        authzid: None,
        binding: BindingState::Unsupported,
        salt: b"\x5b\x6d\x99\x68\x9d\x12\x35\x8e\xec\xa0\x4b\x14\x12\x36\xfa\x81",
        iterations: 4096,
        nonces: ("rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"),
        client_first: "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
        server_first: "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        client_final: "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        server_final: "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    });
}

// rfc6120.md [SC2] [SC6] [SC7] [SC10] [SC14]: escapes, authzid, binding and a password outside ASCII together
#[cfg(feature = "unicode")]
#[test]
fn scram_sha_256_plus() {
    check(&Vector {
        mechanism: Mechanism::ScramSha256Plus,
        username: "r=o,m",
        password: "cafe\u{301}\u{A0}1",
        authzid: Some("romeo@example.com"),
        binding: BindingState::Use(Binding::TlsExporter(core::array::from_fn(|i| i as u8))),
        salt: b"sixteen bytes ok",
        iterations: 10_000,
        nonces: ("clientnonce", "servernonce"),
        client_first: "p=tls-exporter,a=romeo@example.com,n=r=3Do=2Cm,r=clientnonce",
        server_first: "r=clientnonceservernonce,s=c2l4dGVlbiBieXRlcyBvaw==,i=10000",
        client_final: "c=cD10bHMtZXhwb3J0ZXIsYT1yb21lb0BleGFtcGxlLmNvbSwAAQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHw==,r=clientnonceservernonce,p=sbm5h/Fe+/3Ruo2TB9gJJPjUe9d9DVtWJUtahMkUV34=",
        server_final: "v=P9h3y+tk0Dz9U3EIz1p4YL7Rd+9zvZmhVqj5BNvaKa4=",
    });
}

// rfc6120.md [SC6] [SC15]
#[test]
fn scram_sha_1_plus() {
    check(&Vector {
        mechanism: Mechanism::ScramSha1Plus,
        username: "\u{131}user",
        password: "pencil",
        authzid: None,
        binding: BindingState::Use(Binding::TlsServerEndPoint((100..132).collect())),
        salt: b"0123456789abcdef",
        iterations: 4096,
        nonces: ("abc", "def"),
        client_first: "p=tls-server-end-point,,n=\u{131}user,r=abc",
        server_first: "r=abcdef,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096",
        client_final: "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsZGVmZ2hpamtsbW5vcHFyc3R1dnd4eXp7fH1+f4CBgoM=,r=abcdef,p=AcDjy45gdzji1h98lkL9tF7/v0Q=",
        server_final: "v=J98ZtgRtTxL+6g/jBSHZbRmMwDg=",
    });
}

// rfc6120.md [SC12]: a password longer than the hash's block
#[test]
fn supported_but_not_offered() {
    check(&Vector {
        mechanism: Mechanism::ScramSha256,
        username: "user",
        password: "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        authzid: None,
        binding: BindingState::SupportedNotOffered,
        salt: b"0123456789abcdef",
        iterations: 4096,
        nonces: ("abc", "def"),
        client_first: "y,,n=user,r=abc",
        server_first: "r=abcdef,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096",
        client_final: "c=eSws,r=abcdef,p=tOXlp6sOTy9vyBcIXIwmLoma6yqgWPXlM1GLyJamwsk=",
        server_final: "v=2eIXxKCIb5k8gXCkECUWTBvW9fWlehB6BQVKf2jGTEc=",
    });
}

// draft-melnikov-scram-sha-512 §4: RFC 5802 §3 with SHA-512
#[cfg(feature = "sha512")]
#[test]
fn scram_sha_512() {
    check(&Vector {
        mechanism: Mechanism::ScramSha512,
        username: "user",
        password: "pencil",
        authzid: None,
        binding: BindingState::Unsupported,
        salt: b"sixteen bytes ok",
        iterations: 10_000,
        nonces: ("clientnonce", "servernonce"),
        client_first: "n,,n=user,r=clientnonce",
        server_first: "r=clientnonceservernonce,s=c2l4dGVlbiBieXRlcyBvaw==,i=10000",
        client_final: "c=biws,r=clientnonceservernonce,p=M73RR7GClDl5ITycd4EUnwhrq0+hFGXR2ooIs+5CA0Zzx99lgNmQt0q7E9xpyO3/pqbunrftylGVEzE/JUIcmA==",
        server_final: "v=q+L5wYBK7TKvey8/oFScKhZbGtK/6WH3gMwpUw0E6zRBbXqJ/TmOc0ql5dBAZ3v3LM9je+je1NJ3s4ft3bym8g==",
    });
}

// draft-melnikov-scram-sha-512 §4: RFC 5802 §3 with SHA-512
#[cfg(feature = "sha512")]
#[test]
fn scram_sha_512_plus() {
    check(&Vector {
        mechanism: Mechanism::ScramSha512Plus,
        username: "user",
        password: "pencil",
        authzid: None,
        binding: BindingState::Use(Binding::TlsExporter([7; 32])),
        salt: b"sixteen bytes ok",
        iterations: 10_000,
        nonces: ("clientnonce", "servernonce"),
        client_first: "p=tls-exporter,,n=user,r=clientnonce",
        server_first: "r=clientnonceservernonce,s=c2l4dGVlbiBieXRlcyBvaw==,i=10000",
        client_final: "c=cD10bHMtZXhwb3J0ZXIsLAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH,r=clientnonceservernonce,p=OFBxCjk5ic3CSDn4JEF/oyrfcCbr4vbaWhszKFuToTZ+H1Uqmwyetx+JOor+PIxWExqtGblpupxZFwe4bIw38g==",
        server_final: "v=29U3Q3DD27Kow2IVTV3NBPsRgtKa5sROPOqJvIlfGArMgHYs6cLQk7YUnbzNkax3c/8iXin2V1qodnfTXXSqEw==",
    });
}
