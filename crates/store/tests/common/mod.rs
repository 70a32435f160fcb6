//! What the tests share.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use balcony_jid::BareJid;
use balcony_sasl::{Credentials, Hash, MIN_ITERATIONS, fake_keys};

pub fn jid(text: &str) -> BareJid {
    BareJid::parse(text).unwrap()
}

/// Quickly made, and different for each `what`; no password fits them.
pub fn credentials(what: &str) -> Credentials {
    let keys = |hash| Some(fake_keys(&[7; 32], what, hash, MIN_ITERATIONS));
    Credentials { sha1: keys(Hash::Sha1), sha256: keys(Hash::Sha256) }
}
