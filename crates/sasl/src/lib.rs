//! SASL for XMPP, both sides: SCRAM-SHA-1, SCRAM-SHA-256, SCRAM-SHA-512, their `-PLUS` forms and PLAIN (RFC 6120 section 6,
//! RFC 5802, RFC 7677, draft-melnikov-scram-sha-512, RFC 4616).
//!
//! An *exchange* is one try of one mechanism: [`ClientExchange`] or [`ServerExchange`]. Raw SASL messages go in and come
//! out as bytes; XML and base64 belong to the stream. Nothing here draws random numbers, looks up accounts or computes
//! PBKDF2 on its own: an exchange that needs one of these says so, and is resumed with the answer.
//!
//! A server keeps [`Credentials`], from which the password cannot be read back. All messages are bounded (16 KiB), keys
//! and proofs are compared in constant time, and secrets are erased when dropped and never printed.
//!
//! ```
//! use balcony_machine::Secret;
//! use balcony_sasl::{
//!     BindingState, ClientExchange, ClientStep, Credentials, Hash, Mechanism, ServerExchange, ServerStep, salt_password,
//! };
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let stored = Credentials::derive("pencil", b"sixteen bytes ok", 4096)?;
//! let mut server = ServerExchange::new(Mechanism::ScramSha256, None, false, "server's");
//! let mut client = ClientExchange::new(
//!     Mechanism::ScramSha256,
//!     "juliet",
//!     Secret::new("pencil".into()),
//!     None,
//!     BindingState::Unsupported,
//!     "client's",
//! )?;
//!
//! let first = client.initial().ok_or("taken")?;
//! let ServerStep::AskCredentials { username, .. } = server.initial(Some(&first))? else { unreachable!() };
//! assert_eq!(username, "juliet");
//! let keys = stored.get(Hash::Sha256).cloned().ok_or("no keys")?;
//! let ServerStep::Challenge(challenge) = server.credentials(keys)? else { unreachable!() };
//!
//! let ClientStep::AskSalted { hash, password, salt, iterations } = client.challenge(&challenge)? else {
//!     unreachable!()
//! };
//! let salted = salt_password(hash, password.expose(), &salt, iterations)?; // slow: not where a stream is advanced
//! let ClientStep::Send(proof) = client.salted(salted)? else { unreachable!() };
//!
//! let ServerStep::Success { username, data, .. } = server.response(&proof)? else { unreachable!() };
//! assert_eq!(username, "juliet");
//! client.success(data.as_deref())?; // the server has proven itself too
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `sha1` (on) | SCRAM-SHA-1, which RFC 6120 section 13.8 wants everybody to have. A device that knows its server's mechanisms leaves it out |
//! | `sha512` (on) | SCRAM-SHA-512 |
//! | `unicode` (on) | passwords outside ASCII, prepared by SASLprep (RFC 4013). Without it they are refused |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod base64;
mod binding;
mod client;
mod condition;
mod credentials;
mod downgrade;
mod hash;
mod mechanism;
mod message;
mod password;
#[cfg(feature = "unicode")]
mod saslprep;
mod scram;
mod server;
mod token;
mod tokens;

pub use base64::{from_base64, to_base64, to_base64_url};
pub use binding::{Binding, BindingState};
pub use client::{ClientExchange, ClientStep, DEFAULT_MAX_ITERATIONS, SaslError};
pub use condition::{Failure, SaslCondition};
pub use credentials::{
    Credentials, CredentialsError, MIN_ITERATIONS, SALT_LENGTH, SaltedPassword, ScramKeys, fake_keys,
    salt_password,
};
pub use downgrade::Offered;
pub use mechanism::{Hash, Mechanism};
pub use password::{PasswordForm, PasswordForms, prepare_password};
pub use server::{ServerExchange, ServerStep};
pub use token::{TokenLogin, TokenProof, derive_token, may_use_token};
pub use tokens::{KeptToken, LONGEST_AGENT, LONGEST_NAME, MOST_CLIENTS, TokenUse, Tokens};
