//! Stream errors: why one side has ended a stream, and how that is read and written (RFC 6120 section 4.9).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_xml::{ElementRef, escape_text};

use crate::conditions::conditions;
use crate::ns;
use crate::printed::Printed;

conditions! {
    /// A stream error condition (RFC 6120 section 4.9.3). Each of them ends the stream.
    StreamCondition {
        /// XML that cannot be processed, where no more specific condition fits.
        BadFormat = "bad-format",
        /// A prefix that is not supported, or none where one is needed.
        BadNamespacePrefix = "bad-namespace-prefix",
        /// Another stream displaces this one.
        Conflict = "conflict",
        /// The peer did not respond in time.
        ConnectionTimeout = "connection-timeout",
        /// `to` names a domain that is no longer served.
        HostGone = "host-gone",
        /// `to` names a domain that is not served.
        HostUnknown = "host-unknown",
        /// A stanza between servers without valid addresses.
        ImproperAddressing = "improper-addressing",
        /// The server has a fault of its own.
        InternalServerError = "internal-server-error",
        /// `from` is not what was authenticated.
        InvalidFrom = "invalid-from",
        /// The stream or content namespace is not supported.
        InvalidNamespace = "invalid-namespace",
        /// XML that a validating server finds invalid.
        InvalidXml = "invalid-xml",
        /// Data was sent that needs authentication first.
        NotAuthorized = "not-authorized",
        /// XML that is not well-formed.
        NotWellFormed = "not-well-formed",
        /// A local policy was violated.
        PolicyViolation = "policy-violation",
        /// An entity needed for authentication could not be reached.
        RemoteConnectionFailed = "remote-connection-failed",
        /// The stream must be negotiated anew.
        Reset = "reset",
        /// The server lacks resources for this stream.
        ResourceConstraint = "resource-constraint",
        /// XML features that XMPP forbids (RFC 6120 section 11.1).
        RestrictedXml = "restricted-xml",
        /// The service is at another host; the text names it.
        SeeOtherHost = "see-other-host",
        /// The server is shutting down.
        SystemShutdown = "system-shutdown",
        /// A condition outside this list; an application element says more.
        UndefinedCondition = "undefined-condition",
        /// An encoding other than UTF-8.
        UnsupportedEncoding = "unsupported-encoding",
        /// A mandatory feature that the initiating entity does not support.
        UnsupportedFeature = "unsupported-feature",
        /// A first-level element that is no stanza.
        UnsupportedStanzaType = "unsupported-stanza-type",
        /// A version of XMPP that is not supported.
        UnsupportedVersion = "unsupported-version",
    }
}

/// A stream error: why one side ended the stream (RFC 6120 section 4.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    /// What happened, for machines.
    pub condition: StreamCondition,
    /// What happened, for people; in English when it is ours. With `see-other-host` it is for machines as well: the
    /// host, and the port after a colon, an IPv6 address in brackets (RFC 6120 section 4.9.3.19).
    pub text: Option<Cow<'static, str>>,
}

impl StreamError {
    /// A stream error with a text for people.
    #[must_use]
    pub fn new(condition: StreamCondition, text: impl Into<Cow<'static, str>>) -> Self {
        StreamError { condition, text: Some(text.into()) }
    }

    /// Reads a `<stream:error/>` element. A condition that is not in the list counts as `undefined-condition`.
    #[must_use]
    pub fn from_element(element: ElementRef<'_>) -> Self {
        let condition = element
            .children()
            .filter(|child| child.namespace() == ns::STREAM_ERRORS)
            .find_map(|child| StreamCondition::from_name(child.name()))
            .unwrap_or(StreamCondition::UndefinedCondition);
        // The one condition with a content of its own.
        let name = if condition == StreamCondition::SeeOtherHost { condition.name() } else { "text" };
        let text = element.child(name, ns::STREAM_ERRORS).map(|text| String::from(text.text()));
        let text = text.filter(|text| name == "text" || !text.is_empty()).map(Cow::Owned);
        StreamError { condition, text }
    }

    /// Writes what is inside of `<stream:error>`: the condition and the text.
    pub fn write_content(&self, out: &mut Vec<u8>) {
        out.push(b'<');
        out.extend_from_slice(self.condition.name().as_bytes());
        out.extend_from_slice(b" xmlns='urn:ietf:params:xml:ns:xmpp-streams'");
        if let (StreamCondition::SeeOtherHost, Some(host)) = (self.condition, &self.text) {
            out.push(b'>');
            escape_text(host, out);
            out.extend_from_slice(b"</see-other-host>");
            return;
        }
        out.extend_from_slice(b"/>");
        if let Some(text) = &self.text {
            out.extend_from_slice(b"<text xmlns='urn:ietf:params:xml:ns:xmpp-streams' xml:lang='en'>");
            escape_text(text, out);
            out.extend_from_slice(b"</text>");
        }
    }
}

impl From<StreamCondition> for StreamError {
    fn from(condition: StreamCondition) -> Self {
        StreamError { condition, text: None }
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{}: {}", self.condition, Printed(text)),
            None => write!(f, "{}", self.condition),
        }
    }
}

impl core::error::Error for StreamError {}
