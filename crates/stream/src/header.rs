//! Stream headers: writing ours, checking the peer's (RFC 6120 section 4.7).

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{StreamCondition, StreamError, ns};
use balcony_xml::{ElementRef, escape_attr};

use crate::common::Common;
use crate::framing::Framing;
use crate::state::Role;

/// The attributes of a header that we write.
#[derive(Default)]
pub(crate) struct Header<'a> {
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) id: Option<&'a str>,
    /// Left out in answer to a peer that left it out (section 4.7.5).
    pub(crate) version: bool,
    pub(crate) lang: &'a str,
}

impl Header<'_> {
    pub(crate) fn write_attributes(&self, out: &mut Vec<u8>) {
        let mut attribute = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                out.extend_from_slice(name.as_bytes());
                escape_attr(value, out);
                out.push(b'\'');
            }
        };
        attribute(" from='", self.from);
        attribute(" to='", self.to);
        attribute(" id='", self.id);
        attribute(" version='", self.version.then_some("1.0"));
        attribute(" xml:lang='", Some(self.lang));
    }
}

/// What the peer's header says.
pub(crate) struct PeerHeader {
    pub(crate) from: Option<Result<Jid, ()>>,
    /// `from` as it was sent, if it is valid.
    sent_from: Option<String>,
    pub(crate) to: Option<Result<Jid, ()>>,
    pub(crate) version: Version,
    pub(crate) lang: Option<Arc<str>>,
}

/// The version in a header; a missing one is 0.9 (section 4.7.5).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    pub(crate) major: u32,
    pub(crate) minor: u32,
}

impl Version {
    pub(crate) const OURS: Version = Version { major: 1, minor: 0 };
    const NONE: Version = Version { major: 0, minor: 9 };

    /// Numbers are compared as integers, leading zeros and all (section 4.7.5).
    fn parse(text: &str) -> Option<Version> {
        let number = |text: &str| {
            let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
            digits.then(|| text.parse().unwrap_or(u32::MAX))
        };
        let (major, minor) = text.split_once('.')?;
        Some(Version { major: number(major)?, minor: number(minor)? })
    }
}

/// Whether this has the shape of a language tag (RFC 5646 section 2.1). What a header says goes onto every stanza that says
/// nothing, so it is to be no longer than any tag in use.
fn is_language(tag: &str) -> bool {
    let is_subtag = |subtag: &str| {
        (1..=8).contains(&subtag.len()) && subtag.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    tag.len() <= 64 && tag.split('-').all(is_subtag)
}

impl PeerHeader {
    /// Reads a header. The namespaces are checked by [`check_namespaces`].
    pub(crate) fn read(header: ElementRef<'_>) -> Self {
        let address = |name| header.attr(name).map(|text| Jid::parse(text).map_err(|_| ()));
        let from = address("from");
        PeerHeader {
            sent_from: header.attr("from").filter(|_| matches!(from, Some(Ok(_)))).map(String::from),
            from,
            to: address("to"),
            version: match header.attr("version") {
                Some(text) => Version::parse(text).unwrap_or(Version { major: 0, minor: 0 }),
                None => Version::NONE,
            },
            lang: header.language().filter(|lang| is_language(lang)).map(Arc::from),
        }
    }

    /// Whether this is version 1.0 or later, the one with features.
    pub(crate) fn has_features(&self) -> bool {
        self.version >= Version::OURS
    }

    /// Which of these domains `to` names. A header without `to` is from before RFC 6120, and means the first (section
    /// 4.7.2).
    pub(crate) fn served<'a>(&self, domains: &'a [BareJid]) -> Option<&'a BareJid> {
        match &self.to {
            None => domains.first(),
            Some(Ok(to)) => domains.iter().find(|domain| domain.as_str() == to.as_str()),
            Some(Err(())) => None,
        }
    }

    /// What our header says in `to`: the peer's own `from`, exactly as it was sent. Section 4.7.2 wants the bare JID in it, and has
    /// clients send no more; but one that sends its full JID looks for that in the answer, and leaves without.
    pub(crate) fn echo(&self) -> Option<&str> {
        self.sent_from.as_deref()
    }

    /// The bare JID of `from`, if it is there and valid.
    pub(crate) fn claimed(&self) -> Option<BareJid> {
        match &self.from {
            Some(Ok(jid)) => Some(jid.to_bare()),
            _ => None,
        }
    }
}

/// The root is `stream` in the stream namespace, and the content namespace is that of the role, or none is declared, and then each
/// first-level element declares its own (section 4.8); on a WebSocket it is `open` (RFC 7395 section 3.4).
pub(crate) fn check_namespaces(common: &mut Common) -> Result<(), StreamError> {
    let reader = &mut common.reader;
    let wrong = |text| Err(StreamError::new(StreamCondition::InvalidNamespace, text));
    match common.framing {
        Framing::Messages if !reader.element().is("open", ns::FRAMING) => {
            wrong("the stream must begin with <open/> in the namespace urn:ietf:params:xml:ns:xmpp-framing")
        }
        Framing::Messages => Ok(()),
        Framing::Document if !reader.header().is("stream", ns::STREAM) => {
            wrong("the stream must begin with <stream/> in the namespace http://etherx.jabber.org/streams")
        }
        Framing::Document if ["", ns::STREAM].contains(&reader.content_namespace()) => {
            reader.set_content_namespace(common.role.content());
            Ok(())
        }
        Framing::Document if reader.content_namespace() != common.role.content() => {
            wrong(match common.role {
                Role::Client | Role::Server => "the default namespace of this stream must be jabber:client",
                Role::S2s => "the default namespace of this stream must be jabber:server",
                Role::Component => "the default namespace of this stream must be jabber:component:accept",
            })
        }
        Framing::Document => Ok(()),
    }
}

/// The error for a header that names a domain which is not served: not any more, if it is one of `gone` (section
/// 4.9.3.5).
pub(crate) fn not_served(gone: &[BareJid], header: &PeerHeader) -> StreamError {
    let is_gone = matches!(&header.to, Some(Ok(to)) if gone.iter().any(|gone| gone.as_str() == to.as_str()));
    match is_gone {
        true => {
            StreamError::new(StreamCondition::HostGone, "this server does not serve that domain any more")
        }
        false => StreamError::new(StreamCondition::HostUnknown, "this server does not serve that domain"),
    }
}
