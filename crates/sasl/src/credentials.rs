//! What a server keeps of a password, how that is made and checked, and what it shows of accounts that do not exist (RFC 5802
//! section 3, RFC 6120 section 6.5.10).
//!
//! Where credentials lie is up to a store. What hashes a password is slow on purpose and says so.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use balcony_machine::Secret;
use subtle::ConstantTimeEq as _;

use crate::hash::Digest;
use crate::{Hash, PasswordForm, PasswordForms, prepare_password};

/// Bytes of random salt that a new account should get, and that [`fake_keys`] pretends.
pub const SALT_LENGTH: usize = 16;

/// The lowest iteration count (RFC 5802 section 5.1, RFC 7677 section 4): servers announce no less, clients refuse less.
pub const MIN_ITERATIONS: u32 = 4096;

/// What a server stores of a password for one hash (RFC 5802 section 3).
///
/// The password can't be read back, but who steals the keys can guess at it offline, and can pose as the server: keep
/// them as secret as the password. `Debug` hides them.
#[derive(Clone)]
pub struct ScramKeys {
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: Digest,
    server_key: Digest,
}

impl ScramKeys {
    /// Derives the keys of a password. **Slow** (PBKDF2): never call it where a machine is advanced.
    ///
    /// `salt` should be [`SALT_LENGTH`] random bytes. `iterations`: 10,000 take a fast machine about a millisecond, and a thief as long for
    /// each guess.
    ///
    /// # Errors
    ///
    /// Those of [`prepare_password`], by which the password is prepared, and those of [`salt_password`].
    pub fn derive(
        hash: Hash,
        password: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramKeys, CredentialsError> {
        let prepared = Secret::new(prepare_password(password)?.into_owned());
        ScramKeys::of_prepared(hash, prepared.expose(), salt, iterations)
    }

    fn of_prepared(
        hash: Hash,
        prepared: &str,
        salt: &[u8],
        iterations: u32,
    ) -> Result<ScramKeys, CredentialsError> {
        let salted = salt_password(hash, prepared, salt, iterations)?;
        Ok(ScramKeys {
            iterations,
            salt: salt.into(),
            stored_key: hash.digest(salted.client_key().as_slice()),
            server_key: salted.server_key(),
        })
    }

    /// The keys that belong to a [`SaltedPassword`], given as [its bytes](SaltedPassword::as_bytes), which is all that is needed of the
    /// password. Whether it is that of some password can't be seen.
    ///
    /// # Errors
    ///
    /// Those of [`from_parts`](ScramKeys::from_parts).
    pub fn from_salted(
        hash: Hash,
        salted: &[u8],
        salt: Box<[u8]>,
        iterations: u32,
    ) -> Result<ScramKeys, CredentialsError> {
        check(&salt, iterations)?;
        let salted = SaltedPassword(Digest::from_slice(hash, salted).ok_or(CredentialsError::KeyLength)?);
        let stored_key = hash.digest(salted.client_key().as_slice());
        Ok(ScramKeys { iterations, salt, stored_key, server_key: salted.server_key() })
    }

    /// Puts keys together again from what a store kept.
    ///
    /// # Errors
    ///
    /// [`EmptySalt`](CredentialsError::EmptySalt), [`TooFewIterations`](CredentialsError::TooFewIterations), and
    /// [`KeyLength`](CredentialsError::KeyLength) for a key that is not as long as the output of `hash`.
    pub fn from_parts(
        hash: Hash,
        iterations: u32,
        salt: Box<[u8]>,
        stored_key: &[u8],
        server_key: &[u8],
    ) -> Result<ScramKeys, CredentialsError> {
        check(&salt, iterations)?;
        let key = |bytes| Digest::from_slice(hash, bytes).ok_or(CredentialsError::KeyLength);
        Ok(ScramKeys { iterations, salt, stored_key: key(stored_key)?, server_key: key(server_key)? })
    }

    /// Whether these are the keys of `password`, in one of its [forms](PasswordForms). **Slow** (PBKDF2, twice for a password that has
    /// two forms); a wrong password takes the same time whatever the keys are.
    #[must_use]
    pub fn verify_password(&self, password: &str) -> bool {
        self.form_of(password).is_some()
    }

    /// The form of `password` that these keys were made of, if they are its keys. **Slow**, as
    /// [`verify_password`](ScramKeys::verify_password) is.
    #[must_use]
    pub fn form_of(&self, password: &str) -> Option<PasswordForm> {
        let forms = PasswordForms::of(password).ok()?;
        let fits = |form: &Secret<String>| {
            ScramKeys::of_prepared(self.hash(), form.expose(), &self.salt, self.iterations)
                .is_ok_and(|right| right.stored_key.ct_eq(&self.stored_key).into())
        };
        if fits(forms.first()) {
            return Some(PasswordForm::First);
        }
        forms.other().is_some_and(fits).then_some(PasswordForm::Other)
    }

    /// The hash that they are for.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.stored_key.hash()
    }

    /// The iteration count of PBKDF2.
    #[must_use]
    pub fn iterations(&self) -> u32 {
        self.iterations
    }

    /// The salt; not a secret.
    #[must_use]
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// `StoredKey`, for a store. A secret.
    #[must_use]
    pub fn stored_key(&self) -> &[u8] {
        self.stored_key.as_slice()
    }

    /// `ServerKey`, for a store. A secret.
    #[must_use]
    pub fn server_key(&self) -> &[u8] {
        self.server_key.as_slice()
    }

    /// Whether `proof` was made from the password of these keys, for this `AuthMessage` (RFC 5802 section 3).
    pub(crate) fn verify_proof(&self, proof: Digest, auth_message: &str) -> bool {
        let hash = self.hash();
        let client_key = proof.xor(&hash.hmac(self.stored_key(), &[auth_message.as_bytes()]));
        hash.digest(client_key.as_slice()).ct_eq(&self.stored_key).into()
    }

    /// `ServerSignature` for this `AuthMessage` (RFC 5802 section 3).
    pub(crate) fn server_signature(&self, auth_message: &str) -> Digest {
        self.hash().hmac(self.server_key(), &[auth_message.as_bytes()])
    }
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("hash", &self.hash())
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

/// What a server stores for one account: keys for each hash that it may log in with.
///
/// Accounts of earlier versions have no keys for SHA-512. A server that cannot know before a login whose it will be offers only
/// mechanisms for which every account has keys: an attempt with another would lock out the client that prefers it.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Credentials {
    /// For SCRAM-SHA-1 and its `-PLUS` form.
    #[cfg(feature = "sha1")]
    pub sha1: Option<ScramKeys>,
    /// For SCRAM-SHA-256 and its `-PLUS` form.
    pub sha256: Option<ScramKeys>,
    /// For SCRAM-SHA-512 and its `-PLUS` form.
    #[cfg(feature = "sha512")]
    pub sha512: Option<ScramKeys>,
}

impl Credentials {
    /// Derives the keys for every hash, with one salt. **Slow** (PBKDF2 for each hash): see [`ScramKeys::derive`].
    ///
    /// # Errors
    ///
    /// Those of [`ScramKeys::derive`].
    pub fn derive(password: &str, salt: &[u8], iterations: u32) -> Result<Credentials, CredentialsError> {
        let mut credentials = Credentials::default();
        for hash in Hash::all() {
            credentials.set(ScramKeys::derive(*hash, password, salt, iterations)?);
        }
        Ok(credentials)
    }

    /// The keys for a hash. If there are none, hand [`fake_keys`] to the exchange: the answer must not tell
    /// (RFC 6120 section 6.5.10).
    #[must_use]
    pub fn get(&self, hash: Hash) -> Option<&ScramKeys> {
        match hash {
            #[cfg(feature = "sha1")]
            Hash::Sha1 => self.sha1.as_ref(),
            Hash::Sha256 => self.sha256.as_ref(),
            #[cfg(feature = "sha512")]
            Hash::Sha512 => self.sha512.as_ref(),
        }
    }

    /// The keys for a hash; if there are none for it, keys with the account's own salt and iteration count that no password fits. With
    /// those of [`fake_keys`] a stranger who asks for two hashes would see two salts, which no unknown user has. `None` if there are
    /// no keys at all: then hand [`fake_keys`] to the exchange.
    #[must_use]
    pub fn get_or_impossible(&self, hash: Hash) -> Option<ScramKeys> {
        if let Some(keys) = self.get(hash) {
            return Some(keys.clone());
        }
        let known = self.to_verify()?;
        // Nobody knows of what this is the hash.
        let draw = |what: &[u8]| hash.hmac(known.server_key(), &[what]);
        Some(ScramKeys {
            iterations: known.iterations,
            salt: known.salt.clone(),
            stored_key: draw(b"no stored key"),
            server_key: draw(b"no server key"),
        })
    }

    /// Puts these keys in the place of those for the same hash.
    pub fn set(&mut self, keys: ScramKeys) {
        let place = match keys.hash() {
            #[cfg(feature = "sha1")]
            Hash::Sha1 => &mut self.sha1,
            Hash::Sha256 => &mut self.sha256,
            #[cfg(feature = "sha512")]
            Hash::Sha512 => &mut self.sha512,
        };
        *place = Some(keys);
    }

    /// Whether these keys may be added, which a client has given that has logged in with its password (XEP-0480): there are none for
    /// their hash, and those that there are have the same salt and iteration count. If not, the password may be another one by now.
    #[must_use]
    pub fn may_add(&self, keys: &ScramKeys) -> bool {
        let same = |other: &ScramKeys| other.salt == keys.salt && other.iterations == keys.iterations;
        self.get(keys.hash()).is_none() && self.to_verify().is_some_and(same)
    }

    /// The keys that a password is verified against: those for SHA-256 if there are any, which nearly every account has, since the
    /// time that it takes must be the same for all. To verify a password, ask those or else [`fake_keys`] for SHA-256, so that the
    /// time doesn't tell which users exist.
    #[must_use]
    pub fn to_verify(&self) -> Option<&ScramKeys> {
        let keys = self.sha256.as_ref();
        #[cfg(feature = "sha1")]
        let keys = keys.or(self.sha1.as_ref());
        #[cfg(feature = "sha512")]
        let keys = keys.or(self.sha512.as_ref());
        keys
    }

    /// Whether `password` is the account's. **Slow** (PBKDF2). Without any keys it is false at once: see
    /// [`to_verify`](Credentials::to_verify).
    #[must_use]
    pub fn verify_password(&self, password: &str) -> bool {
        self.to_verify().is_some_and(|keys| keys.verify_password(password))
    }
}

/// Keys for a user that doesn't exist: the same ones each time, and shaped like those that [`Credentials::derive`]
/// makes with a salt of [`SALT_LENGTH`]. No password fits them, so an exchange fails just where it fails for a wrong
/// password, and doesn't tell which users exist (RFC 6120 section 6.5.10).
///
/// `secret` must be random, and stay the same as long as the accounts; `iterations` should be what real accounts have.
/// Pass the user's name in the form in which accounts are looked up, so that all its spellings get one salt, as those of
/// a real account do. Cheap: no PBKDF2.
#[must_use]
pub fn fake_keys(secret: &[u8; 32], username: &str, hash: Hash, iterations: u32) -> ScramKeys {
    let draw = |hash: Hash, what: &[u8]| hash.hmac(secret, &[what, username.as_bytes()]);
    ScramKeys {
        iterations: iterations.max(MIN_ITERATIONS),
        // The same for all hashes, as real accounts have it.
        salt: draw(Hash::Sha256, b"salt:").as_slice()[..SALT_LENGTH].into(),
        stored_key: draw(hash, b"stored key:"),
        server_key: draw(hash, b"server key:"),
    }
}

/// `SaltedPassword` of RFC 5802 section 3: all that a client needs of the password. As secret as that.
///
/// It holds for one hash, salt and iteration count. A client that keeps it with them can reconnect without doing the slow
/// work again.
#[derive(Clone, Debug)]
pub struct SaltedPassword(Digest);

impl SaltedPassword {
    /// What it consists of. As secret as the password.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The hash that it is for.
    #[must_use]
    pub fn hash(&self) -> Hash {
        self.0.hash()
    }

    pub(crate) fn client_key(&self) -> Digest {
        self.hash().hmac(self.0.as_slice(), &[b"Client Key"])
    }

    pub(crate) fn server_key(&self) -> Digest {
        self.hash().hmac(self.0.as_slice(), &[b"Server Key"])
    }
}

/// Hashes a password with PBKDF2. It has to be prepared, as that of [`AskSalted`](crate::ClientStep::AskSalted) is. **Slow**, that is
/// its purpose: about a millisecond for 10,000 iterations. Never call it where a machine is advanced.
///
/// # Errors
///
/// [`EmptyPassword`](CredentialsError::EmptyPassword), [`EmptySalt`](CredentialsError::EmptySalt) and
/// [`TooFewIterations`](CredentialsError::TooFewIterations).
pub fn salt_password(
    hash: Hash,
    prepared: &str,
    salt: &[u8],
    iterations: u32,
) -> Result<SaltedPassword, CredentialsError> {
    check(salt, iterations)?;
    match prepared {
        "" => Err(CredentialsError::EmptyPassword),
        _ => Ok(SaltedPassword(hash.pbkdf2(prepared.as_bytes(), salt, iterations))),
    }
}

fn check(salt: &[u8], iterations: u32) -> Result<(), CredentialsError> {
    match (salt, iterations) {
        ([], _) => Err(CredentialsError::EmptySalt),
        (_, ..MIN_ITERATIONS) => Err(CredentialsError::TooFewIterations),
        _ => Ok(()),
    }
}

/// Why no credentials could be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CredentialsError {
    /// The password is empty, or would be when it is prepared.
    EmptyPassword,
    /// The password holds a character that `SASLprep` forbids: a control character, one of private use, or one that is no character
    /// (RFC 4013 section 2.3).
    ForbiddenCharacter,
    /// The password has letters that are written from right to left beside others, or not at both of its ends (RFC 3454 section 6).
    MixedDirections,
    /// The password has a character that is younger than Unicode 3.2, such as an emoji. Programs prepare those in different ways, so no
    /// account is made with them (RFC 3454 section 7).
    UnassignedCharacter,
    /// The password is not ASCII, and what prepares others is not built in: the feature `unicode`.
    NotAscii,
    /// The salt is empty.
    EmptySalt,
    /// The iteration count is below [`MIN_ITERATIONS`].
    TooFewIterations,
    /// A stored key is not as long as the output of its hash.
    KeyLength,
}

impl fmt::Display for CredentialsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CredentialsError::EmptyPassword => "the password is empty",
            CredentialsError::ForbiddenCharacter => {
                "the password holds a character that is not allowed in one"
            }
            CredentialsError::MixedDirections => {
                "the password mixes letters that are written from left to right and from right to left"
            }
            CredentialsError::UnassignedCharacter => {
                "the password holds a character that not all programs know, such as an emoji"
            }
            CredentialsError::NotAscii => {
                "the password holds characters outside ASCII, which are not supported by this program"
            }
            CredentialsError::EmptySalt => "the salt is empty",
            CredentialsError::TooFewIterations => "the iteration count is too low",
            CredentialsError::KeyLength => "a stored key has the wrong length",
        })
    }
}

impl core::error::Error for CredentialsError {}
