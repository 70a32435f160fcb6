//! The hash functions of SCRAM and what is made of them (RFC 5802 section 2.2). Results are erased when dropped, and compared in
//! constant time.

use core::fmt;

use hmac::{Hmac, KeyInit, Mac};
#[cfg(feature = "sha1")]
use sha1::Sha1;
#[cfg(feature = "sha512")]
use sha2::Sha512;
use sha2::{Digest as _, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::Zeroize;

use crate::Hash;

/// The longest output.
const MAX: usize = if cfg!(feature = "sha512") { 64 } else { 32 };

/// The output of one of the hashes: a key, a proof or a signature. Erased when dropped, compared in constant time.
#[derive(Clone)]
pub(crate) struct Digest {
    hash: Hash,
    bytes: [u8; MAX],
}

impl Digest {
    /// Takes `bytes` for an output of `hash`, if they have its length.
    pub(crate) fn from_slice(hash: Hash, bytes: &[u8]) -> Option<Digest> {
        let mut digest = Digest { hash, bytes: [0; MAX] };
        (bytes.len() == hash.length()).then(|| digest.as_mut().copy_from_slice(bytes))?;
        Some(digest)
    }

    pub(crate) fn hash(&self) -> Hash {
        self.hash
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.hash.length()]
    }

    fn as_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.hash.length()]
    }

    /// Both, bit by bit. The result has the hash of the left one.
    pub(crate) fn xor(mut self, other: &Digest) -> Digest {
        for (a, b) in self.bytes.iter_mut().zip(&other.bytes) {
            *a ^= b;
        }
        self
    }
}

impl ConstantTimeEq for Digest {
    fn ct_eq(&self, other: &Digest) -> Choice {
        self.as_slice().ct_eq(other.as_slice())
    }
}

impl Drop for Digest {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}(..)", self.hash)
    }
}

impl Hash {
    /// `H(data)` of RFC 5802 section 2.2.
    pub(crate) fn digest(self, data: &[u8]) -> Digest {
        let mut digest = Digest { hash: self, bytes: [0; MAX] };
        match self {
            #[cfg(feature = "sha1")]
            Hash::Sha1 => digest.as_mut().copy_from_slice(&Sha1::digest(data)),
            Hash::Sha256 => digest.as_mut().copy_from_slice(&Sha256::digest(data)),
            #[cfg(feature = "sha512")]
            Hash::Sha512 => digest.as_mut().copy_from_slice(&Sha512::digest(data)),
        }
        digest
    }

    /// `HMAC(key, parts)` of RFC 5802 section 2.2, over the parts one after the other.
    pub(crate) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Digest {
        let mut digest = Digest { hash: self, bytes: [0; MAX] };
        match self {
            #[cfg(feature = "sha1")]
            Hash::Sha1 => mac::<Hmac<Sha1>>(key, parts, digest.as_mut()),
            Hash::Sha256 => mac::<Hmac<Sha256>>(key, parts, digest.as_mut()),
            #[cfg(feature = "sha512")]
            Hash::Sha512 => mac::<Hmac<Sha512>>(key, parts, digest.as_mut()),
        }
        digest
    }

    /// `Hi(password, salt, iterations)` of RFC 5802 section 2.2, which is PBKDF2. Slow on purpose.
    pub(crate) fn pbkdf2(self, password: &[u8], salt: &[u8], iterations: u32) -> Digest {
        let mut digest = Digest { hash: self, bytes: [0; MAX] };
        match self {
            #[cfg(feature = "sha1")]
            Hash::Sha1 => pbkdf2::pbkdf2_hmac::<Sha1>(password, salt, iterations, digest.as_mut()),
            Hash::Sha256 => pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, iterations, digest.as_mut()),
            #[cfg(feature = "sha512")]
            Hash::Sha512 => pbkdf2::pbkdf2_hmac::<Sha512>(password, salt, iterations, digest.as_mut()),
        }
        digest
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]], out: &mut [u8]) {
    // HMAC takes keys of any length: the error exists for other MACs.
    let Ok(mut mac) = <M as KeyInit>::new_from_slice(key) else { return };
    for part in parts {
        mac.update(part);
    }
    out.copy_from_slice(&mac.finalize().into_bytes());
}
