//! A store with one account, which answers at once.

use std::sync::OnceLock;

use balcony_jid::BareJid;
use balcony_sasl::{Credentials, Hash, SaltedPassword, salt_password};
use balcony_stanza::ErrorCondition;
use balcony_stream::federation::Verdict;
use balcony_stream::{Answer, Ask};

/// Who exists.
pub const ACCOUNT: &str = "juliet@example.com";
/// Their password.
pub const PASSWORD: &str = "pencil";
const SALT: &[u8] = b"salt of the fuzz";
const ITERATIONS: u32 = 4096;

/// What the server has stored for the account.
pub fn credentials() -> &'static Credentials {
    static STORED: OnceLock<Credentials> = OnceLock::new();
    STORED.get_or_init(|| Credentials::derive(PASSWORD, SALT, ITERATIONS).expect("a good password"))
}

/// Answers whatever either end of a stream asks. Nothing is hashed twice: that would be all that a run does.
pub fn answer(ask: Ask) -> Answer {
    let exists = |account: &BareJid| account.as_str() == ACCOUNT;
    match ask {
        Ask::Credentials { account, hash } => {
            Answer::Credentials(credentials().get(hash).filter(|_| exists(&account)).cloned())
        }
        Ask::Verify { account, password } => {
            Answer::Verified(exists(&account) && password.expose() == PASSWORD)
        }
        Ask::Bind { account, resource, .. } => Answer::Bound(
            account
                .with_resource(resource.as_deref().unwrap_or("made-by-the-server"))
                .map_err(|_| ErrorCondition::BadRequest.into()),
        ),
        Ask::Register { account, .. } if exists(&account) => {
            Answer::Registered(Err(ErrorCondition::Conflict.into()))
        }
        Ask::Register { .. } => Answer::Registered(Ok(())),
        // The server that is asked knows the keys that look right.
        Ask::VerifyDialback(verification) => Answer::Verdict(match verification.key.get(..4) {
            Some("good") => Verdict::Valid,
            Some("evil") => Verdict::Invalid,
            _ => Verdict::Error(ErrorCondition::RemoteServerNotFound),
        }),
        Ask::Attach { component } => Answer::Attached(component.as_str() != "taken.example.com"),
        // Right for the salt of our own server, and wrong for all others, as if the password were another one.
        Ask::SaltPassword { hash, .. } => Answer::Salted(salted(hash).clone()),
        _ => Answer::Unavailable,
    }
}

fn salted(hash: Hash) -> &'static SaltedPassword {
    static SHA1: OnceLock<SaltedPassword> = OnceLock::new();
    static SHA256: OnceLock<SaltedPassword> = OnceLock::new();
    let slot = if hash == Hash::Sha1 { &SHA1 } else { &SHA256 };
    slot.get_or_init(|| salt_password(hash, PASSWORD, SALT, ITERATIONS).expect("a good password"))
}
