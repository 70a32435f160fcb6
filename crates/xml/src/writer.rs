//! XML written tag by tag, for the small elements of a negotiation. What comes out is well-formed whatever is called.

use alloc::vec::Vec;
use core::fmt;

use smallvec::SmallVec;

use crate::write::write_attr;
use crate::{Name, XML_NS, XMLNS_NS, escape_text};

/// Writes XML by hand, tag by tag: for nonzas, where building an [`Element`](crate::Element) would be a detour.
///
/// What comes out is well-formed whatever is called: names are checked, text is escaped, and what is still open when the
/// writer is dropped is closed. Calls that make no sense (an attribute after the content began, or a second one of the
/// same name; text or a closing tag when nothing is open) do nothing.
///
/// ```
/// use balcony_xml::{Name, Writer};
///
/// const AUTH: Name = Name::from_static("auth");
/// const MECHANISM: Name = Name::from_static("mechanism");
///
/// let mut out = Vec::new();
/// Writer::new(&mut out)
///     .open(AUTH)
///     .xmlns("urn:ietf:params:xml:ns:xmpp-sasl")
///     .attr(MECHANISM, "SCRAM-SHA-256")
///     .text("biws")
///     .close();
/// assert_eq!(out, b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biws</auth>");
/// ```
pub struct Writer<'o> {
    out: &'o mut Vec<u8>,
    open: SmallVec<[Name; 4]>,
    /// The attributes of the start tag that has not got its `>` yet.
    tag: Option<SmallVec<[Name; 4]>>,
}

const XMLNS: &str = "xmlns";
const XML_LANG: &str = "xml:lang";

impl<'o> Writer<'o> {
    /// Appends to `out`.
    pub fn new(out: &'o mut Vec<u8>) -> Self {
        Writer { out, open: SmallVec::new(), tag: None }
    }

    /// Opens an element.
    pub fn open(&mut self, name: Name) -> &mut Self {
        self.end_tag();
        self.out.push(b'<');
        self.out.extend_from_slice(name.as_str().as_bytes());
        self.open.push(name);
        self.tag = Some(SmallVec::new());
        self
    }

    /// Declares the default namespace of the element just opened and of those in it. The two reserved namespaces, which
    /// can't be it, are left out.
    pub fn xmlns(&mut self, ns: &str) -> &mut Self {
        if matches!(ns, XML_NS | XMLNS_NS) {
            return self;
        }
        self.attribute(Name::unchecked(XMLNS), ns)
    }

    /// Adds an attribute to the element just opened.
    pub fn attr(&mut self, name: Name, value: &str) -> &mut Self {
        self.attribute(name, value)
    }

    /// Adds `xml:lang` to the element just opened.
    pub fn lang(&mut self, lang: &str) -> &mut Self {
        self.attribute(Name::unchecked(XML_LANG), lang)
    }

    fn attribute(&mut self, name: Name, value: &str) -> &mut Self {
        if let Some(attributes) = &mut self.tag
            && !attributes.contains(&name)
        {
            write_attr(self.out, &[name.as_str()], value);
            attributes.push(name);
        }
        self
    }

    /// Adds text to the innermost open element.
    pub fn text(&mut self, text: &str) -> &mut Self {
        if !self.open.is_empty() && !text.is_empty() {
            self.end_tag();
            escape_text(text, self.out);
        }
        self
    }

    /// Closes the innermost open element.
    pub fn close(&mut self) -> &mut Self {
        let Some(name) = self.open.pop() else { return self };
        if self.tag.take().is_some() {
            self.out.extend_from_slice(b"/>");
        } else {
            self.out.extend_from_slice(b"</");
            self.out.extend_from_slice(name.as_str().as_bytes());
            self.out.push(b'>');
        }
        self
    }

    fn end_tag(&mut self) {
        if self.tag.take().is_some() {
            self.out.push(b'>');
        }
    }
}

impl Drop for Writer<'_> {
    fn drop(&mut self) {
        while !self.open.is_empty() {
            self.close();
        }
    }
}

impl fmt::Debug for Writer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What has been written may be a credential.
        f.debug_struct("Writer").field("open", &self.open).finish_non_exhaustive()
    }
}
