//! SASL (RFC 6120 section 6): base64 in elements, in the classic profile or in the extensible one of [SASL2](super::sasl2).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_sasl::{Mechanism, SaslCondition, from_base64, to_base64};
use balcony_stanza::ns;
use balcony_xml::{ElementRef, escape_text};

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
            (_, text) => from_base64(text).map(Some).ok_or(SaslCondition::IncorrectEncoding),
        }
    }

    /// Appends data as [`decode`](Profile::decode) reads it.
    pub(crate) fn encode(self, data: &[u8], out: &mut Vec<u8>) {
        if data.is_empty() && self == Profile::Classic {
            out.push(b'=');
        } else {
            out.extend_from_slice(to_base64(data).as_bytes());
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

    /// Reads `<failure/>`: the condition, and the text for people. A failure that names none is one of the password.
    pub(crate) fn read_failure(self, failure: ElementRef<'_>) -> (SaslCondition, Option<Cow<'static, str>>) {
        let condition = failure
            .children()
            .find(|child| child.name() != "text")
            .map_or(SaslCondition::NotAuthorized, |child| SaslCondition::from_name(child.name()));
        let text = failure.child("text", self.namespace());
        (condition, text.map(|text| Cow::Owned(String::from(&*text.text()))))
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

/// The receiving entity's offer of the classic profile (section 6.3.3).
pub(crate) fn write_feature(mechanisms: impl Iterator<Item = Mechanism>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>");
    write_mechanisms(mechanisms, out);
    out.extend_from_slice(b"</mechanisms>");
}

/// The mechanisms of an offer. Their names need no escaping.
pub(crate) fn write_mechanisms(mechanisms: impl Iterator<Item = Mechanism>, out: &mut Vec<u8>) {
    for mechanism in mechanisms {
        for part in ["<mechanism>", mechanism.name(), "</mechanism>"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// The offer of the classic profile among these features, a list of mechanisms.
pub(crate) fn offer(features: ElementRef<'_>) -> Option<ElementRef<'_>> {
    features.child("mechanisms", ns::SASL)
}

/// The names in an offer, of either profile, whether or not they are known here.
pub(crate) fn mechanisms(offer: ElementRef<'_>) -> impl Iterator<Item = Cow<'_, str>> {
    offer.children().filter(|child| child.name() == "mechanism").map(|child| child.text())
}
