//! Keys of passwords, each derived once in a process.
//!
//! That is slow on purpose (PBKDF2), and without optimisation, as in the tests of a program, very slow: half a second for two accounts that log in. A property test
//! has the same accounts in each of its cases. What comes of the same input is the same, so histories don't depend on what is remembered.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use balcony_sasl::{Credentials, CredentialsError, Hash, SaltedPassword, ScramKeys, prepare_password};

/// How many are remembered: a test that makes up passwords does not fill the memory with them.
const MOST: usize = 1_024;

/// The hash, the prepared password, the salt and the number of iterations.
type Input = (Hash, String, Vec<u8>, u32);

static KNOWN: Mutex<Known> = Mutex::new(Known(BTreeMap::new()));

/// What was derived, by what it was derived of.
struct Known(BTreeMap<Input, SaltedPassword>);

impl Known {
    fn keep(&mut self, input: Input, salted: SaltedPassword) {
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(input, salted);
    }
}

/// As [`balcony_sasl::salt_password`].
pub(crate) fn salt_password(
    hash: Hash,
    prepared: &str,
    salt: &[u8],
    iterations: u32,
) -> Result<SaltedPassword, CredentialsError> {
    remembered(&KNOWN, hash, prepared, salt, iterations, balcony_sasl::salt_password)
}

/// As [`Credentials::derive`].
pub(crate) fn credentials(
    password: &str,
    salt: &[u8],
    iterations: u32,
) -> Result<Credentials, CredentialsError> {
    let prepared = prepare_password(password)?;
    let mut credentials = Credentials::default();
    for hash in Hash::all() {
        let salted = salt_password(*hash, &prepared, salt, iterations)?;
        credentials.set(ScramKeys::from_salted(*hash, salted.as_bytes(), salt.into(), iterations)?);
    }
    Ok(credentials)
}

/// Nobody waits while another thread derives something.
fn remembered(
    known: &Mutex<Known>,
    hash: Hash,
    prepared: &str,
    salt: &[u8],
    iterations: u32,
    derive: impl FnOnce(Hash, &str, &[u8], u32) -> Result<SaltedPassword, CredentialsError>,
) -> Result<SaltedPassword, CredentialsError> {
    let input = (hash, String::from(prepared), salt.to_vec(), iterations);
    let before = known.lock().unwrap_or_else(PoisonError::into_inner).0.get(&input).cloned();
    if let Some(salted) = before {
        return Ok(salted);
    }
    let salted = derive(hash, prepared, salt, iterations)?;
    known.lock().unwrap_or_else(PoisonError::into_inner).keep(input, salted.clone());
    Ok(salted)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: &[u8] = b"salt of the sims";

    #[test]
    fn the_keys_are_those_that_a_server_derives() {
        for password in ["r0m30", "\u{1d557}\u{ff1a}x"] {
            let (ours, theirs) =
                (credentials(password, SALT, 4_096), Credentials::derive(password, SALT, 4_096));
            let (ours, theirs) = (ours.unwrap(), theirs.unwrap());
            for hash in Hash::all() {
                let [ours, theirs] = [&ours, &theirs].map(|all| all.get(*hash).unwrap());
                assert_eq!(ours.stored_key(), theirs.stored_key());
                assert_eq!(ours.server_key(), theirs.server_key());
                assert_eq!((ours.salt(), ours.iterations()), (theirs.salt(), theirs.iterations()));
            }
        }
        for (password, salt, iterations) in [("", SALT, 4_096), ("x", &b""[..], 4_096), ("x", SALT, 4_095)] {
            let theirs = Credentials::derive(password, salt, iterations).unwrap_err();
            assert_eq!(credentials(password, salt, iterations).unwrap_err(), theirs);
        }
    }

    #[test]
    fn the_same_is_derived_once_and_anything_else_anew() {
        let known = Mutex::new(Known(BTreeMap::new()));
        let fails = |_: Hash, _: &str, _: &[u8], _: u32| Err(CredentialsError::EmptyPassword);
        let first = remembered(&known, Hash::Sha256, "a", SALT, 4_096, balcony_sasl::salt_password).unwrap();
        let again = remembered(&known, Hash::Sha256, "a", SALT, 4_096, fails).unwrap();
        assert_eq!(first.as_bytes(), again.as_bytes());
        for (hash, password, salt, iterations) in [
            (Hash::Sha1, "a", SALT, 4_096),
            (Hash::Sha256, "b", SALT, 4_096),
            (Hash::Sha256, "a", &b"another"[..], 4_096),
            (Hash::Sha256, "a", SALT, 4_097),
        ] {
            assert!(remembered(&known, hash, password, salt, iterations, fails).is_err());
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let known = Mutex::new(Known(BTreeMap::new()));
        let one = balcony_sasl::salt_password(Hash::Sha256, "a", SALT, 4_096).unwrap();
        for number in 0..3 * MOST {
            let password = number.to_string();
            remembered(&known, Hash::Sha256, &password, SALT, 4_096, |_, _, _, _| Ok(one.clone())).unwrap();
            assert!(known.lock().unwrap().0.len() <= MOST);
        }
    }
}
