//! The mechanisms that there are, by their strength, and the hash of each. Which of them are offered or tried is decided by
//! streams.

use alloc::vec::Vec;
use core::fmt;

/// A SASL mechanism that this crate speaks.
///
/// Ordered by strength: the first is the one to prefer. A `-PLUS` form also proves that both ends share one TLS
/// channel, which a stronger hash alone does not, so both of them come before the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// SCRAM-SHA-512-PLUS (draft-melnikov-scram-sha-512). With the feature `sha512`.
    #[cfg(feature = "sha512")]
    ScramSha512Plus,
    /// SCRAM-SHA-256-PLUS (RFC 7677).
    ScramSha256Plus,
    /// SCRAM-SHA-1-PLUS (RFC 5802), mandatory to implement by RFC 6120 section 13.8. With the feature `sha1`.
    #[cfg(feature = "sha1")]
    ScramSha1Plus,
    /// SCRAM-SHA-512 (draft-melnikov-scram-sha-512). With the feature `sha512`.
    #[cfg(feature = "sha512")]
    ScramSha512,
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256,
    /// SCRAM-SHA-1 (RFC 5802), mandatory to implement by RFC 6120 section 13.8. With the feature `sha1`.
    #[cfg(feature = "sha1")]
    ScramSha1,
    /// PLAIN (RFC 4616): the password itself. Only under TLS with a validated certificate, and as the last resort
    /// (RFC 6120 section 13.8.3).
    Plain,
    /// HT-SHA-256-EXPR: a token, bound to the channel by `tls-exporter` (draft-schmaus-kitten-sasl-ht, XEP-0484). Those with a token
    /// are no mechanisms for passwords, and stand in no list of such.
    HtSha256Expr,
    /// HT-SHA-256-ENDP: a token, bound to the server's certificate by `tls-server-end-point`.
    HtSha256Endp,
    /// HT-SHA-256-NONE: a token, bound to nothing.
    HtSha256None,
}

impl Mechanism {
    const TOKENS: &'static [Mechanism] =
        &[Mechanism::HtSha256Expr, Mechanism::HtSha256Endp, Mechanism::HtSha256None];

    const ALL: &'static [Mechanism] = &[
        #[cfg(feature = "sha512")]
        Mechanism::ScramSha512Plus,
        Mechanism::ScramSha256Plus,
        #[cfg(feature = "sha1")]
        Mechanism::ScramSha1Plus,
        #[cfg(feature = "sha512")]
        Mechanism::ScramSha512,
        Mechanism::ScramSha256,
        #[cfg(feature = "sha1")]
        Mechanism::ScramSha1,
        Mechanism::Plain,
    ];

    /// Every mechanism for tokens, strongest first.
    #[must_use]
    pub const fn for_tokens() -> &'static [Mechanism] {
        Self::TOKENS
    }

    /// The mechanism for tokens of this name; `None` if it is not one of ours.
    #[must_use]
    pub fn for_token_from_name(name: &str) -> Option<Mechanism> {
        Self::TOKENS.iter().copied().find(|mechanism| mechanism.name() == name)
    }

    /// Whether it is one for tokens.
    #[must_use]
    pub fn is_for_tokens(self) -> bool {
        Self::TOKENS.contains(&self)
    }

    /// Every mechanism for passwords, strongest first.
    #[must_use]
    pub const fn all() -> &'static [Mechanism] {
        Self::ALL
    }

    /// The mechanisms that every account has keys for, strongest first: not those with SHA-512, which accounts of earlier versions
    /// don't have.
    #[must_use]
    pub fn for_every_account() -> Vec<Mechanism> {
        let is_for_all = |mechanism: &Mechanism| mechanism.hash().is_none_or(|hash| hash <= Hash::Sha256);
        Self::ALL.iter().copied().filter(is_for_all).collect()
    }

    /// The registered name, as in `<mechanism/>`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            #[cfg(feature = "sha512")]
            Mechanism::ScramSha512Plus => "SCRAM-SHA-512-PLUS",
            #[cfg(feature = "sha512")]
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
            Mechanism::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            #[cfg(feature = "sha1")]
            Mechanism::ScramSha1Plus => "SCRAM-SHA-1-PLUS",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            #[cfg(feature = "sha1")]
            Mechanism::ScramSha1 => "SCRAM-SHA-1",
            Mechanism::Plain => "PLAIN",
            Mechanism::HtSha256Expr => "HT-SHA-256-EXPR",
            Mechanism::HtSha256Endp => "HT-SHA-256-ENDP",
            Mechanism::HtSha256None => "HT-SHA-256-NONE",
        }
    }

    /// The mechanism for passwords of this name, in the exact spelling of the registry; `None` if it is not one of ours.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Mechanism> {
        Self::ALL.iter().copied().find(|mechanism| mechanism.name() == name)
    }

    /// Whether it binds to the TLS channel.
    #[must_use]
    pub const fn is_plus(self) -> bool {
        match self {
            #[cfg(feature = "sha512")]
            Mechanism::ScramSha512Plus => true,
            Mechanism::ScramSha256Plus => true,
            #[cfg(feature = "sha1")]
            Mechanism::ScramSha1Plus => true,
            _ => false,
        }
    }

    /// The hash of a SCRAM mechanism; `None` for PLAIN, and for tokens.
    #[must_use]
    pub const fn hash(self) -> Option<Hash> {
        match self {
            #[cfg(feature = "sha512")]
            Mechanism::ScramSha512Plus | Mechanism::ScramSha512 => Some(Hash::Sha512),
            Mechanism::ScramSha256Plus | Mechanism::ScramSha256 => Some(Hash::Sha256),
            #[cfg(feature = "sha1")]
            Mechanism::ScramSha1Plus | Mechanism::ScramSha1 => Some(Hash::Sha1),
            _ => None,
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The hash function of a SCRAM mechanism.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Hash {
    /// SHA-1, 20 bytes. Its known collisions don't touch HMAC, on which SCRAM rests. With the feature `sha1`.
    #[cfg(feature = "sha1")]
    Sha1,
    /// SHA-256, 32 bytes.
    Sha256,
    /// SHA-512, 64 bytes. With the feature `sha512`.
    #[cfg(feature = "sha512")]
    Sha512,
}

impl Hash {
    const ALL: &'static [Hash] = &[
        #[cfg(feature = "sha1")]
        Hash::Sha1,
        Hash::Sha256,
        #[cfg(feature = "sha512")]
        Hash::Sha512,
    ];

    /// Every hash, weakest first.
    #[must_use]
    pub const fn all() -> &'static [Hash] {
        Self::ALL
    }

    /// The SCRAM mechanism with this hash, without channel binding.
    #[must_use]
    pub const fn scram(self) -> Mechanism {
        match self {
            #[cfg(feature = "sha1")]
            Hash::Sha1 => Mechanism::ScramSha1,
            Hash::Sha256 => Mechanism::ScramSha256,
            #[cfg(feature = "sha512")]
            Hash::Sha512 => Mechanism::ScramSha512,
        }
    }

    /// Bytes of output.
    #[must_use]
    pub const fn length(self) -> usize {
        match self {
            #[cfg(feature = "sha1")]
            Hash::Sha1 => 20,
            Hash::Sha256 => 32,
            #[cfg(feature = "sha512")]
            Hash::Sha512 => 64,
        }
    }
}
