//! Logging in by a token in one message each way: the HT mechanisms (draft-schmaus-kitten-sasl-ht-09), as FAST uses them (XEP-0484).

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::Secret;
use subtle::ConstantTimeEq as _;

use crate::base64::to_base64_url;
use crate::hash::Digest;
use crate::message::{bounded, check_username};
use crate::{Binding, Failure, Hash, Mechanism, SaslCondition};

/// What the initiator signs, before the data of the channel.
const INITIATOR: &[u8] = b"Initiator";
/// What the responder signs.
const RESPONDER: &[u8] = b"Responder";

/// The data of the channel that this mechanism binds to, if `binding` is of its type; none for the one that binds to nothing.
fn channel(mechanism: Mechanism, bindings: &[Binding]) -> Option<&[u8]> {
    let kind = match mechanism {
        Mechanism::HtSha256Expr => "tls-exporter",
        Mechanism::HtSha256Endp => "tls-server-end-point",
        Mechanism::HtSha256None => return Some(&[]),
        _ => return None,
    };
    bindings.iter().find(|binding| binding.name() == kind).map(Binding::data)
}

/// Whether this is a mechanism for tokens that can be used on a channel with these bindings.
#[must_use]
pub fn may_use_token(mechanism: Mechanism, bindings: &[Binding]) -> bool {
    channel(mechanism, bindings).is_some()
}

fn sign(token: &str, who: &[u8], channel: &[u8]) -> Digest {
    Hash::Sha256.hmac(token.as_bytes(), &[who, channel])
}

/// A client's login by a token.
pub struct TokenLogin {
    mechanism: Mechanism,
    expected: Digest,
}

impl TokenLogin {
    /// The login, and the initial response that begins it. `None` if the mechanism is not one for tokens, or there is nothing for it to
    /// bind to among `bindings`.
    #[must_use]
    pub fn begin(
        mechanism: Mechanism,
        username: &str,
        token: &str,
        bindings: &[Binding],
    ) -> Option<(TokenLogin, Vec<u8>)> {
        let channel = channel(mechanism, bindings)?;
        check_username(username).ok()?;
        let mut initial = Vec::from(username.as_bytes());
        initial.push(0);
        initial.extend_from_slice(sign(token, INITIATOR, channel).as_slice());
        Some((TokenLogin { mechanism, expected: sign(token, RESPONDER, channel) }, initial))
    }

    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether what the server has sent with its success shows that it knows the token. If not, it is not the server that it claims to
    /// be.
    #[must_use]
    pub fn is_proven(&self, data: Option<&[u8]>) -> bool {
        data.is_some_and(|data| self.expected.as_slice().ct_eq(data).into())
    }
}

impl fmt::Debug for TokenLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenLogin").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// What a server has got of a client that logs in by a token.
pub struct TokenProof {
    mechanism: Mechanism,
    username: String,
    proof: Digest,
    channel: Vec<u8>,
}

impl TokenProof {
    /// Reads an initial response.
    ///
    /// # Errors
    ///
    /// `malformed-request` if it breaks the syntax, or there is nothing for the mechanism to bind to.
    pub fn read(mechanism: Mechanism, data: &[u8], bindings: &[Binding]) -> Result<TokenProof, Failure> {
        let malformed = |reason| Failure::new(SaslCondition::MalformedRequest, reason);
        let channel = channel(mechanism, bindings).ok_or(malformed("there is no such channel binding"))?;
        let data = bounded(data).map_err(malformed)?;
        let end = data.iter().position(|byte| *byte == 0).ok_or(malformed("no end of the username"))?;
        let (username, proof) = (&data[..end], &data[end + 1..]);
        let username = core::str::from_utf8(username).map_err(|_| malformed("not UTF-8"))?;
        check_username(username).map_err(malformed)?;
        let proof = Digest::from_slice(Hash::Sha256, proof).ok_or(malformed("bad length of proof"))?;
        Ok(TokenProof { mechanism, username: username.into(), proof, channel: channel.to_vec() })
    }

    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The user, as written by the client: not yet a valid localpart.
    #[must_use]
    pub fn username(&self) -> &str {
        &self.username
    }

    /// Whether it was made from this token. Takes the same time whether or not.
    #[must_use]
    pub fn fits(&self, token: &str) -> bool {
        sign(token, INITIATOR, &self.channel).ct_eq(&self.proof).into()
    }

    /// What shows the client that the server knows the token; it goes into `<success/>`.
    #[must_use]
    pub fn answer(&self, token: &str) -> Vec<u8> {
        sign(token, RESPONDER, &self.channel).as_slice().to_vec()
    }
}

impl fmt::Debug for TokenProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenProof").field("mechanism", &self.mechanism).finish_non_exhaustive()
    }
}

/// The token that belongs to random bytes which a server keeps, and to whom it gave it: 43 letters, digits, `-` and `_`. Without the
/// server's secret nobody makes it of what is kept.
///
/// A server that kept the tokens themselves, or a hash of them by which it could check a login, would have lying there all that a
/// login takes: with these mechanisms both ends need the same key.
#[must_use]
pub fn derive_token(
    secret: &[u8; 32],
    account: &str,
    agent: &str,
    mechanism: Mechanism,
    random: &[u8; 16],
) -> Secret<String> {
    // None of the parts has a zero in it but the last one, which has one length.
    let parts = ["token\0", account, "\0", agent, "\0", mechanism.name(), "\0"].map(str::as_bytes);
    let [a, b, c, d, e, f, g] = parts;
    let digest = Hash::Sha256.hmac(secret, &[a, b, c, d, e, f, g, random]);
    Secret::new(to_base64_url(digest.as_slice()))
}
