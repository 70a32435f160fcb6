//! Short texts that lie where their owners do.
//!
//! What another text is compared with would otherwise be one more line of memory that is not in the processor's cache.

use alloc::boxed::Box;
use core::fmt;

/// A text of which up to `N` bytes lie in it, of at most 255; a longer one lies elsewhere. With 22 it takes 24 bytes, with 30 it takes 32.
pub(crate) enum Text<const N: usize> {
    Here { length: u8, bytes: [u8; N] },
    Elsewhere(Box<str>),
}

impl<const N: usize> Text<N> {
    pub(crate) fn new(text: &str) -> Self {
        let mut bytes = [0; N];
        match (u8::try_from(text.len()), bytes.get_mut(..text.len())) {
            (Ok(length), Some(place)) => {
                place.copy_from_slice(text.as_bytes());
                Text::Here { length, bytes }
            }
            _ => Text::Elsewhere(text.into()),
        }
    }

    /// Its bytes, which are UTF-8.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        match self {
            Text::Here { length, bytes } => bytes.get(..usize::from(*length)).unwrap_or_default(),
            Text::Elsewhere(text) => text.as_bytes(),
        }
    }

    /// The text.
    pub(crate) fn as_str(&self) -> &str {
        match self {
            Text::Here { .. } => core::str::from_utf8(self.as_bytes()).unwrap_or_default(),
            Text::Elsewhere(text) => text,
        }
    }

    /// Whether it is this one.
    pub(crate) fn is(&self, text: &str) -> bool {
        self.as_bytes() == text.as_bytes()
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        // Wherever it lies, it is the text that it was made of, and no other one.
        #[test]
        fn it_is_the_same_text(one in ".{0,30}", other in ".{0,30}") {
            let (short, long) = (Text::<22>::new(&one), Text::<300>::new(&one));
            prop_assert_eq!(short.as_str(), &*one);
            prop_assert_eq!(long.as_str(), &*one);
            prop_assert_eq!(short.is(&other), one == other);
            prop_assert!(short.is(&one) && long.is(&one));
            let prefix: std::string::String = one.chars().skip(1).collect();
            prop_assert_eq!(short.is(&prefix), one == prefix);
        }
    }

    #[test]
    fn long_texts_lie_elsewhere() {
        let text = "x".repeat(300);
        assert!(matches!(Text::<22>::new(&text[..22]), Text::Here { length: 22, .. }));
        assert!(matches!(Text::<22>::new(&text[..23]), Text::Elsewhere(_)));
        assert!(matches!(Text::<300>::new(&text), Text::Elsewhere(_)), "a byte can't say how long it is");
        assert_eq!((size_of::<Text<22>>(), size_of::<Text<30>>()), (24, 32));
    }
}
