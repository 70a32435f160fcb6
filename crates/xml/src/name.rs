//! Names of elements and attributes. They are checked where they are made, so that what is written with them is well-formed.

use alloc::borrow::Cow;
use alloc::string::String;
use core::fmt;

use crate::chars::is_ncname;

/// The name of an element or attribute: an NCName (Namespaces in XML section 3), that is without prefix, and not
/// `xmlns`, which is no name but a declaration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Name(Cow<'static, str>);

impl Name {
    /// Checks and copies a name.
    ///
    /// # Errors
    ///
    /// [`InvalidName`] if it is not an NCName, or is `xmlns`.
    pub fn new(name: &str) -> Result<Name, InvalidName> {
        if is_ncname(name) && name != "xmlns" {
            Ok(Name(Cow::Owned(String::from(name))))
        } else {
            Err(InvalidName)
        }
    }

    /// A name known at compile time: ASCII letters, digits, `_`, `-` and `.`, beginning with a letter or `_`.
    ///
    /// # Panics
    ///
    /// If it is not such a name. Make it a `const` and the compiler tells you.
    ///
    /// ```compile_fail
    /// # use balcony_xml::Name;
    /// const NAME: Name = Name::from_static("stream:stream");
    /// # let _ = NAME;
    /// ```
    #[must_use]
    pub const fn from_static(name: &'static str) -> Name {
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            let later = matches!(bytes[at], b'0'..=b'9' | b'-' | b'.') && at > 0;
            assert!(later || matches!(bytes[at], b'a'..=b'z' | b'A'..=b'Z' | b'_'), "not an XML name");
            at += 1;
        }
        assert!(!bytes.is_empty() && !matches!(bytes, b"xmlns"), "not an XML name");
        Name(Cow::Borrowed(name))
    }

    /// For what is no `Name` to others: `xmlns`, `xml:lang`.
    pub(crate) const fn unchecked(name: &'static str) -> Name {
        Name(Cow::Borrowed(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The text is not the name of an element or attribute.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct InvalidName;

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for InvalidName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an XML name without prefix")
    }
}

impl core::error::Error for InvalidName {}
