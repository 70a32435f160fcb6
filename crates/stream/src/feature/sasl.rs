//! SASL as XMPP writes it: base64 in elements, in the profile of RFC 6120 section 6.4 or in that of XEP-0388.

use alloc::vec::Vec;

use balcony_sasl::SaslCondition;
use balcony_stanza::ns;
use balcony_xml::{ElementRef, escape_text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::framing::Framing;

/// One of the two ways to carry SASL over XMPP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Profile {
    /// RFC 6120 section 6: the stream restarts after success.
    #[default]
    Classic,
    /// XEP-0388 (SASL2): no restart, and other things can be done on the way.
    Extensible,
}

impl Profile {
    pub(crate) fn namespace(self) -> &'static str {
        match self {
            Profile::Classic => ns::SASL,
            Profile::Extensible => ns::SASL2,
        }
    }

    /// The profile that an element belongs to.
    pub(crate) fn of(element: ElementRef<'_>) -> Option<Profile> {
        [Profile::Classic, Profile::Extensible]
            .into_iter()
            .find(|profile| profile.namespace() == element.namespace())
    }

    /// The data in a SASL element: `None` if there is none. In the classic profile a single `=` is zero-length data; in
    /// the other one an empty element is.
    ///
    /// Other characters, misplaced `=` and padding bits that are not zero are refused (RFC 6120 section 13.9.1).
    pub(crate) fn decode(self, element: ElementRef<'_>) -> Result<Option<Vec<u8>>, SaslCondition> {
        match (self, &*element.text()) {
            (Profile::Classic, "") => Ok(None),
            (Profile::Classic, "=") | (Profile::Extensible, "") => Ok(Some(Vec::new())),
            (_, text) => STANDARD.decode(text).map(Some).map_err(|_| SaslCondition::IncorrectEncoding),
        }
    }

    /// Appends data as [`decode`](Profile::decode) reads it.
    pub(crate) fn encode(self, data: &[u8], out: &mut Vec<u8>) {
        if data.is_empty() && self == Profile::Classic {
            out.push(b'=');
        } else {
            out.extend_from_slice(STANDARD.encode(data).as_bytes());
        }
    }

    /// Writes `<name xmlns='…'>data</name>`; without data an empty element.
    ///
    /// A challenge or response always has data: only in other elements is no data something else than data of no length
    /// (RFC 6120 sections 6.4.2 and 6.4.6), and gets a `=` where it has to.
    pub(crate) fn write(self, framing: Framing, name: &str, data: Option<&[u8]>, out: &mut Vec<u8>) {
        let data = data.filter(|data| !data.is_empty() || !matches!(name, "challenge" | "response"));
        framing.element(out, |out| {
            for part in ["<", name, " xmlns='", self.namespace(), "'"] {
                out.extend_from_slice(part.as_bytes());
            }
            let Some(data) = data else {
                out.extend_from_slice(b"/>");
                return;
            };
            out.push(b'>');
            self.encode(data, out);
            for part in ["</", name, ">"] {
                out.extend_from_slice(part.as_bytes());
            }
        });
    }

    /// Writes `<failure/>` with a text for people (RFC 6120 section 6.5). The conditions have one namespace in both
    /// profiles.
    pub(crate) fn write_failure(
        self,
        framing: Framing,
        condition: SaslCondition,
        text: Option<&str>,
        out: &mut Vec<u8>,
    ) {
        framing.element(out, |out| {
            for part in ["<failure xmlns='", self.namespace(), "'><", condition.name()] {
                out.extend_from_slice(part.as_bytes());
            }
            if self == Profile::Extensible {
                out.extend_from_slice(b" xmlns='urn:ietf:params:xml:ns:xmpp-sasl'");
            }
            out.extend_from_slice(b"/>");
            if let Some(text) = text {
                out.extend_from_slice(b"<text xml:lang='en'>");
                escape_text(text, out);
                out.extend_from_slice(b"</text>");
            }
            out.extend_from_slice(b"</failure>");
        });
    }
}

/// Writes `<auth mechanism='…'>data</auth>`, the begin of an exchange in the classic profile. The name of a mechanism
/// needs no escaping.
pub(crate) fn write_auth(framing: Framing, mechanism: &str, data: Option<&[u8]>, out: &mut Vec<u8>) {
    framing.element(out, |out| {
        for part in ["<auth xmlns='", ns::SASL, "' mechanism='", mechanism, "'"] {
            out.extend_from_slice(part.as_bytes());
        }
        match data {
            None => out.extend_from_slice(b"/>"),
            Some(data) => {
                out.push(b'>');
                Profile::Classic.encode(data, out);
                out.extend_from_slice(b"</auth>");
            }
        }
    });
}
