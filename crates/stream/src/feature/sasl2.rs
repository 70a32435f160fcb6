//! SASL2 (XEP-0388): a login without a restart of the stream, in which other things can be done on the way. What is between its
//! begin and its end is SASL of the [extensible profile](super::sasl::Profile::Extensible).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::FullJid;
use balcony_sasl::{Hash, LONGEST_NAME, Mechanism, SaslCondition};
use balcony_stanza::{is_unprintable, ns};
use balcony_xep::csi::ClientState;
use balcony_xep::sm::{Enable, Resume};
use balcony_xml::{Element, ElementRef, escape_attr, escape_text};

use super::sasl::{Profile, write_mechanisms};
use super::{bind2, fast, sm, upgrade};
use crate::framing::Framing;

/// The server's offer.
pub(crate) fn write_feature(
    mechanisms: impl Iterator<Item = Mechanism>,
    bind_inline: &[Cow<'static, str>],
    management: bool,
    upgrades: &[Hash],
    tokens: &[Mechanism],
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"<authentication xmlns='urn:xmpp:sasl:2'>");
    write_mechanisms(mechanisms, out);
    out.extend_from_slice(b"<inline>");
    bind2::write_feature(bind_inline, management, out);
    if management {
        sm::write_feature(out);
    }
    fast::write_feature(tokens.iter().copied(), out);
    out.extend_from_slice(b"</inline>");
    upgrade::write_tasks(upgrades, out);
    out.extend_from_slice(b"</authentication>");
}

/// The offer among these features, a list of mechanisms.
pub(crate) fn offer(features: ElementRef<'_>) -> Option<ElementRef<'_>> {
    features.child("authentication", ns::SASL2)
}

/// What an offer has inside, to go along with the login.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct InlineOffer {
    /// A resource (XEP-0386).
    pub(crate) bind: bool,
    /// A resource whose stanzas are counted (XEP-0198).
    pub(crate) enable: bool,
    /// The session of an earlier stream (XEP-0198).
    pub(crate) resume: bool,
    /// A resource that nobody uses for now (XEP-0352).
    pub(crate) client_state: bool,
}

impl InlineOffer {
    pub(crate) fn read(offer: ElementRef<'_>) -> InlineOffer {
        let Some(inline) = offer.child("inline", ns::SASL2) else { return InlineOffer::default() };
        InlineOffer {
            bind: bind2::is_offered(inline),
            enable: bind2::offers(inline, balcony_xep::sm::NS),
            resume: sm::is_offered(inline),
            client_state: bind2::offers(inline, balcony_xep::csi::NS),
        }
    }
}

/// What a client says of itself to its server (section 4.2).
#[derive(Clone, Copy)]
pub(crate) struct UserAgent<'a> {
    /// What it calls its installation.
    pub(crate) id: &'a str,
    pub(crate) software: Option<&'a str>,
    pub(crate) device: Option<&'a str>,
}

impl UserAgent<'_> {
    fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"<user-agent id='");
        escape_attr(self.id, out);
        let parts = [("software", self.software), ("device", self.device)];
        if parts.iter().all(|(_, text)| text.is_none()) {
            out.extend_from_slice(b"'/>");
            return;
        }
        out.extend_from_slice(b"'>");
        for (name, text) in parts {
            let Some(text) = text else { continue };
            for part in ["<", name, ">"] {
                out.extend_from_slice(part.as_bytes());
            }
            escape_text(text, out);
            for part in ["</", name, ">"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
        out.extend_from_slice(b"</user-agent>");
    }
}

/// How a client begins.
pub(crate) struct Authenticate<'a> {
    pub(crate) mechanism: Mechanism,
    pub(crate) initial: Option<&'a [u8]>,
    /// The tasks that it is ready for (XEP-0480).
    pub(crate) upgrades: &'a [Hash],
    /// What the client calls its installation (section 4.2).
    pub(crate) agent: Option<UserAgent<'a>>,
    /// What else goes along, written out.
    pub(crate) extra: &'a [u8],
    /// The session to go on with, if there is one (XEP-0198).
    pub(crate) resume: Option<&'a Resume<'a>>,
    /// The tag of the resource that is to be bound on the way, if one is, unless the session goes on.
    pub(crate) bind: Option<&'a str>,
    /// Whether its stanzas are to be counted (XEP-0198).
    pub(crate) enable: Option<Enable>,
    /// Whether somebody uses it, if that is said (XEP-0352).
    pub(crate) state: Option<ClientState>,
}

impl Authenticate<'_> {
    pub(crate) fn write(&self, framing: Framing, out: &mut Vec<u8>) {
        framing.element(out, |out| {
            for part in ["<authenticate xmlns='", ns::SASL2, "' mechanism='", self.mechanism.name(), "'>"] {
                out.extend_from_slice(part.as_bytes());
            }
            if let Some(initial) = self.initial {
                out.extend_from_slice(b"<initial-response>");
                Profile::Extensible.encode(initial, out);
                out.extend_from_slice(b"</initial-response>");
            }
            upgrade::write_tasks(self.upgrades, out);
            if let Some(agent) = self.agent {
                agent.write(out);
            }
            out.extend_from_slice(self.extra);
            if let Some(resume) = self.resume {
                resume.to_element().root().write(out, ns::SASL2);
            }
            if let Some(tag) = self.bind {
                bind2::write_request(tag, self.enable, self.state, out);
            }
            out.extend_from_slice(b"</authenticate>");
        });
    }
}

/// The initial response inside of `<authenticate/>`.
pub(crate) fn initial_response(authenticate: ElementRef<'_>) -> Result<Option<Vec<u8>>, SaslCondition> {
    match authenticate.child("initial-response", ns::SASL2) {
        Some(initial) => Profile::Extensible.decode(initial),
        None => Ok(None),
    }
}

/// Whether the client says that it logs in by a token (XEP-0484).
pub(crate) fn uses_token(authenticate: ElementRef<'_>) -> bool {
    fast::Request::read(authenticate).is_used
}

/// What the client calls its installation, inside of `<authenticate/>`.
pub(crate) fn agent(authenticate: ElementRef<'_>) -> Option<String> {
    let id = authenticate.child("user-agent", ns::SASL2)?.attr("id")?;
    (!id.is_empty()).then(|| id.into())
}

/// What the client calls itself and its device, for people; in the length in which it is kept.
pub(crate) fn agent_name(authenticate: ElementRef<'_>) -> String {
    let Some(agent) = authenticate.child("user-agent", ns::SASL2) else { return String::new() };
    let mut name = String::new();
    for part in ["software", "device"].into_iter().filter_map(|part| agent.child(part, ns::SASL2)) {
        if !name.is_empty() {
            name.push_str(", ");
        }
        name.extend(part.text().chars().filter(|c| !is_unprintable(*c)));
    }
    while name.len() > LONGEST_NAME {
        name.pop();
    }
    name
}

/// The server's end of an exchange that has succeeded.
pub(crate) struct Success<'a> {
    /// What the mechanism says.
    pub(crate) data: Option<&'a [u8]>,
    /// Who the client is, with a resource if it has one.
    pub(crate) identity: &'a str,
    /// What has become of the session that was to go on (XEP-0198).
    pub(crate) management: Option<&'a Element>,
    /// Whether a resource is bound, and what is said of stream management then (XEP-0386).
    pub(crate) bound: Option<Option<&'a Element>>,
    /// A token for the next login, written out (XEP-0484).
    pub(crate) token: &'a [u8],
}

impl Success<'_> {
    pub(crate) fn write(&self, framing: Framing, out: &mut Vec<u8>) {
        framing.element(out, |out| {
            out.extend_from_slice(b"<success xmlns='urn:xmpp:sasl:2'>");
            if let Some(data) = self.data {
                out.extend_from_slice(b"<additional-data>");
                Profile::Extensible.encode(data, out);
                out.extend_from_slice(b"</additional-data>");
            }
            out.extend_from_slice(b"<authorization-identifier>");
            escape_text(self.identity, out);
            out.extend_from_slice(b"</authorization-identifier>");
            if let Some(management) = self.management {
                management.root().write(out, ns::SASL2);
            }
            if let Some(enabled) = self.bound {
                bind2::write_bound(enabled, out);
            }
            out.extend_from_slice(self.token);
            out.extend_from_slice(b"</success>");
        });
    }
}

/// What the mechanism says in a success.
pub(crate) fn additional_data(success: ElementRef<'_>) -> Result<Option<Vec<u8>>, SaslCondition> {
    match success.child("additional-data", ns::SASL2) {
        Some(data) => Profile::Extensible.decode(data),
        None => Ok(None),
    }
}

/// The full JID that a success names; `None` if there is no valid one.
pub(crate) fn full_jid(success: ElementRef<'_>) -> Option<FullJid> {
    // The name of the element has changed between versions of the specification.
    let identity = ["authorization-identifier", "authorization-identity"]
        .into_iter()
        .find_map(|name| success.child(name, ns::SASL2))?;
    FullJid::parse(&identity.text()).ok()
}
