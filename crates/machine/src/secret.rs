//! Passwords, keys and the like, which are never printed, and erased where they lie. Copies that others made before are not.

use alloc::string::String;
use core::fmt;

use zeroize::Zeroize;

/// A value that never shows in `Debug` output and is erased from memory when dropped.
///
/// ```
/// use balcony_machine::Secret;
///
/// let password = Secret::new(String::from("pencil"));
/// assert_eq!(format!("{password:?}"), "Secret(..)");
/// assert_eq!(password.expose(), "pencil");
/// ```
#[derive(Clone)]
pub struct Secret<T: Zeroize>(T);

impl<T: Zeroize> Secret<T> {
    /// Wraps `value`.
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value itself. Keep the borrow short, and never print or store what it gives.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> Drop for Secret<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

/// How long it takes does not depend on where texts of the same length differ.
impl PartialEq for Secret<String> {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.0.as_bytes(), other.0.as_bytes());
        let differing = a.iter().zip(b).fold(0, |differing, (a, b)| differing | (a ^ b));
        a.len() == b.len() && core::hint::black_box(differing) == 0
    }
}

impl Eq for Secret<String> {}

impl<T: Zeroize> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl<T: Zeroize> From<T> for Secret<T> {
    fn from(value: T) -> Self {
        Secret(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_equal_if_they_say_the_same() {
        let secret = |text: &str| Secret::new(String::from(text));
        for text in ["", "a", "b", "ab", "aa", "ba"] {
            for other in ["", "a", "b", "ab", "aa", "ba"] {
                assert_eq!(secret(text) == secret(other), text == other, "{text} {other}");
            }
        }
    }
}
