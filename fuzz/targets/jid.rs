//! Any text as an address: an answer for all of it, and a normal form that is one.
#![no_main]

use balcony_jid::{BareJid, FullJid, Jid, JidRef};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let parsed = Jid::parse(text);
    let strict = Jid::parse_strict(text);
    let borrowed = JidRef::parse(text);
    let Ok(jid) = &parsed else {
        assert_eq!(strict.err(), parsed.clone().err(), "strict is not more liberal");
        assert_eq!(borrowed.err(), parsed.err(), "borrowed is not more liberal");
        return;
    };
    let normal = jid.as_str() == text;
    assert_eq!(strict.is_ok(), normal);
    assert_eq!(
        borrowed.expect("the same verdict").map(|borrowed| borrowed.to_owned()),
        normal.then(|| jid.clone())
    );

    // The normal form is its own normal form, and so are its parts.
    let display = jid.to_string();
    assert_eq!(Jid::parse_strict(&display).as_ref(), Ok(jid), "{text:?}");
    let (local, domain, resource) = (jid.localpart(), jid.domainpart(), jid.resourcepart());
    assert_eq!(Jid::from_parts(local, domain, resource).as_ref(), Ok(jid), "{text:?}");

    // RFC 7622 §3.1: at most 1023 octets each, at least one.
    for part in [local, Some(domain), resource].into_iter().flatten() {
        assert!((1..=1023).contains(&part.len()), "{} octets", part.len());
    }
    assert!(!domain.contains(['@', '/']) && !local.unwrap_or_default().contains(['@', '/']));

    // Bare and full.
    assert_ne!(jid.is_bare(), jid.is_full());
    let bare = jid.to_bare();
    assert_eq!((bare.as_str(), jid.bare_str()), (jid.bare_str(), &*bare.to_string()));
    assert_eq!(BareJid::parse(&display).is_ok(), jid.is_bare());
    assert_eq!(FullJid::parse(&display).is_ok(), jid.is_full());
    if let Some(resource) = resource {
        assert_eq!(bare.with_resource(resource).map(|full| full.to_jid()).as_ref(), Ok(jid));
        assert!(bare.to_jid() < *jid, "a bare address stands before its resources");
    }
});
