//! What dialback says on the wire (XEP-0220), and its keys (XEP-0185).

use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{ErrorCondition, StanzaError, StreamCondition, StreamError, ns};
use balcony_xml::{ElementRef, escape_attr, escape_text};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::addressed::domain;
use crate::hex::hex;

/// Bytes of a key. Those that XEP-0185 recommends have 64.
const LONGEST_KEY: usize = 1_024;

/// The key by which the server of `originating` recognises, to whoever asks, a stream that it has opened to `receiving`, which
/// gave it the id `stream_id` (XEP-0185 section 3). 64 hexadecimal digits.
#[must_use]
pub fn dialback_key(secret: &str, receiving: &str, originating: &str, stream_id: &str) -> String {
    // The key of the HMAC is the text of the digest, not the digest.
    let secret = hex(&Sha256::digest(secret));
    // HMAC takes keys of any length: the error exists for other MACs.
    let Ok(mut mac) = <Hmac<Sha256>>::new_from_slice(secret.as_bytes()) else { return String::new() };
    for part in [receiving, " ", originating, " ", stream_id] {
        mac.update(part.as_bytes());
    }
    hex(&mac.finalize().into_bytes())
}

/// How a pair of domains was proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// By the certificate of the initiating server.
    Certificate,
    /// By dialback.
    Dialback,
}

/// What comes out of a dialback (XEP-0220 section 2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// The key is right.
    Valid,
    /// The key is wrong: somebody is not who they say they are.
    Invalid,
    /// It could not be found out.
    Error(ErrorCondition),
}

impl Verdict {
    /// The error that stanzas come back with to their senders when this came in place of an authorisation (XEP-0220 section
    /// 2.1.1).
    #[must_use]
    pub const fn bounce(self) -> ErrorCondition {
        match self {
            Verdict::Valid | Verdict::Invalid => ErrorCondition::InternalServerError,
            Verdict::Error(_) => ErrorCondition::RemoteServerTimeout,
        }
    }
}

/// A key to be verified by the server that is said to have made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verification {
    /// The domain that the initiating server says it is: the one to ask.
    pub from: BareJid,
    /// The domain of ours that it wants to send stanzas to.
    pub to: BareJid,
    /// The id of the stream on which the key came.
    pub id: String,
    /// The key.
    pub key: String,
}

/// An element of dialback that the peer has sent.
pub(crate) struct Received {
    /// The id, if it is `<db:verify/>`; `None` for `<db:result/>`.
    pub(crate) verify: Option<String>,
    pub(crate) from: BareJid,
    pub(crate) to: BareJid,
    pub(crate) content: Content,
}

pub(crate) enum Content {
    /// A request has no type.
    Key(String),
    Verdict(Verdict),
}

impl Received {
    pub(crate) fn read(element: ElementRef<'_>) -> Result<Received, StreamError> {
        let verify = match element.name() {
            "result" => None,
            "verify" => Some(element.attr("id").map(String::from).ok_or_else(|| {
                StreamError::new(StreamCondition::BadFormat, "<db:verify/> needs the id of a stream")
            })?),
            _ => {
                return Err(StreamError::new(
                    StreamCondition::UnsupportedStanzaType,
                    "dialback has <db:result/> and <db:verify/> only",
                ));
            }
        };
        let address = |name| element.attr(name).and_then(|text| domain(&Jid::parse(text).ok()?));
        let (Some(from), Some(to)) = (address("from"), address("to")) else {
            return Err(StreamError::new(
                StreamCondition::ImproperAddressing,
                "dialback needs a domain in `to` and in `from`",
            ));
        };
        let content = match element.attr("type") {
            None => {
                let key = element.text();
                if key.len() > LONGEST_KEY {
                    return Err(StreamError::new(
                        StreamCondition::PolicyViolation,
                        "a dialback key of more than 1,024 bytes",
                    ));
                }
                Content::Key(String::from(key.trim()))
            }
            Some("valid") => Content::Verdict(Verdict::Valid),
            Some("invalid") => Content::Verdict(Verdict::Invalid),
            Some(_) => Content::Verdict(Verdict::Error(
                StanzaError::from_payload(element)
                    .map_or(ErrorCondition::UndefinedCondition, |error| error.condition),
            )),
        };
        Ok(Received { verify, from, to, content })
    }
}

/// Writes `<db:result/>`, or with an id `<db:verify/>`, that asks about a key.
pub(crate) fn write_key(from: &BareJid, to: &BareJid, id: Option<&str>, key: &str, out: &mut Vec<u8>) {
    let name = write_start(from, to, id, out);
    out.push(b'>');
    escape_text(key, out);
    write_end(name, out);
}

/// Writes the answer to such an element: the addresses are the answer's, so the other way round.
pub(crate) fn write_verdict(
    from: &BareJid,
    to: &BareJid,
    id: Option<&str>,
    verdict: Verdict,
    out: &mut Vec<u8>,
) {
    let name = write_start(from, to, id, out);
    match verdict {
        Verdict::Valid => out.extend_from_slice(b" type='valid'/>"),
        Verdict::Invalid => out.extend_from_slice(b" type='invalid'/>"),
        Verdict::Error(condition) => {
            out.extend_from_slice(b" type='error'>");
            // As in a stanza, in the content namespace.
            StanzaError::from(condition).to_element().root().write(out, ns::CLIENT);
            write_end(name, out);
        }
    }
}

fn write_start(from: &BareJid, to: &BareJid, id: Option<&str>, out: &mut Vec<u8>) -> &'static str {
    // The header of every stream between servers declares the prefix.
    let name = if id.is_some() { "db:verify" } else { "db:result" };
    out.push(b'<');
    out.extend_from_slice(name.as_bytes());
    for (attribute, value) in [(" from='", Some(from.as_str())), (" to='", Some(to.as_str())), (" id='", id)]
    {
        if let Some(value) = value {
            out.extend_from_slice(attribute.as_bytes());
            escape_attr(value, out);
            out.push(b'\'');
        }
    }
    name
}

fn write_end(name: &str, out: &mut Vec<u8>) {
    for part in ["</", name, ">"] {
        out.extend_from_slice(part.as_bytes());
    }
}
