//! What a client says of itself: identity and features, software, and that it is there.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza};
use balcony_xep::commands;
use balcony_xep::disco::{self, About, Identity, Query};
use balcony_xep::ping::{self, Ping};
use balcony_xep::version::{self, Software};

use super::{Context, Extension};
use crate::sorted;

/// Answers who this is and what it can do (service discovery, XEP-0030), which program it is (XEP-0092), and that it is there (XEP-0199).
///
/// The features are those of all extensions, and what is [added](Discovery::feature). Without an [identity](Discovery::identity)
/// of its own it is a client of the type `bot`.
///
/// An answer shows that the client is online, and whoever may not see its presence should not learn that (a presence leak). Most servers
/// let requests of strangers through to those who have the full address, and most clients answer them, since that address is hard to
/// guess and only known to those who were told. Here, beside a [`Roster`](crate::Roster), it answers those who may see the client: contacts
/// with a subscription, the own account and its server, and whoever was sent presence, such as a room. All others get what the server
/// would say if nobody were there. Without a roster nobody knows who may, and everybody is answered, as by a bot that is there for
/// strangers; so it is if [that is said](Discovery::for_everyone).
///
/// ```
/// use balcony_client::Discovery;
///
/// let discovery = Discovery::new("Echo", "1.0").identity("client", "pc").feature("urn:example:mood");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Discovery {
    name: String,
    version: String,
    os: Option<String>,
    identities: Vec<(String, String)>,
    features: Vec<Cow<'static, str>>,
    answers_strangers: bool,
}

impl Discovery {
    /// A program of that name and version.
    #[must_use]
    pub fn new(name: impl Into<String>, version: impl Into<String>) -> Discovery {
        Discovery {
            name: name.into(),
            version: version.into(),
            os: None,
            identities: Vec::new(),
            features: Vec::new(),
            answers_strangers: false,
        }
    }

    /// Answers those as well who may not see that the client is there, and learn it by that.
    #[must_use]
    pub fn for_everyone(mut self) -> Discovery {
        self.answers_strangers = true;
        self
    }

    /// Adds an identity: a category and a type that the registry of the XSF has, such as `client` and `phone`.
    #[must_use]
    pub fn identity(mut self, category: impl Into<String>, kind: impl Into<String>) -> Discovery {
        self.identities.push((category.into(), kind.into()));
        self
    }

    /// Adds a feature: mostly the namespace of what the owner answers itself.
    #[must_use]
    pub fn feature(mut self, feature: impl Into<Cow<'static, str>>) -> Discovery {
        self.features.push(feature.into());
        self
    }

    /// Says what it runs on, too.
    #[must_use]
    pub fn os(mut self, os: impl Into<String>) -> Discovery {
        self.os = Some(os.into());
        self
    }

    /// The answer to a request; `None` if the stanza is none that is answered here. The features are those of everybody else.
    #[must_use]
    pub fn answer(&self, stanza: &Stanza, features: &[Cow<'_, str>]) -> Option<Stanza> {
        if stanza.head.kind != Kind::Iq(IqType::Get) {
            return None;
        }
        let content = stanza.payload.parse().ok()?;
        let element = content.root().children().next()?;
        if Ping::read(element).is_some() {
            return stanza.result();
        }
        if version::Query::read(element).is_some() {
            return Some(stanza.result()?.with_child(self.software().to_element()));
        }
        let query = Query::read(element)?;
        if query.node.is_some() && features.iter().any(|feature| feature == commands::NS) {
            // Nodes are commands, which answer for themselves, wherever they stand.
            return None;
        }
        if query.node.is_some() {
            // There are no nodes here (XEP-0030 section 3.3).
            return stanza.error(&ErrorCondition::ItemNotFound.into());
        }
        let answer = match query.about {
            About::Info => self.info(features),
            // Nothing belongs to a client, which is no error (XEP-0030 section 4.1).
            About::Items => disco::Items::default().to_element(),
        };
        Some(stanza.result()?.with_child(answer))
    }

    fn software(&self) -> Software<'_> {
        Software {
            name: Cow::Borrowed(&self.name),
            version: Cow::Borrowed(&self.version),
            os: self.os.as_deref().map(Cow::Borrowed),
        }
    }

    fn info(&self, others: &[Cow<'_, str>]) -> balcony_xml::Element {
        let mut identities: Vec<Identity<'_>> = self
            .identities
            .iter()
            .map(|(category, kind)| Identity::new(category, kind).named(&self.name))
            .collect();
        if identities.is_empty() {
            identities.push(Identity::new("client", "bot").named(&self.name));
        }
        let mut features = Vec::new();
        for feature in [disco::INFO, ping::NS, version::NS] {
            sorted::put(&mut features, feature);
        }
        for feature in self.features.iter().chain(others) {
            sorted::put(&mut features, &**feature);
        }
        disco::info(None, &identities, features)
    }
}

impl Extension for Discovery {
    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        let Some(answer) = self.answer(stanza, context.features()) else { return false };
        let answer = if self.answers_strangers || context.sender_sees() != Some(false) {
            Some(answer)
        } else {
            // As if nobody were there (RFC 6121 section 8.5.3.2.3).
            stanza.error(&ErrorCondition::ServiceUnavailable.into())
        };
        // There is room for an answer, or nothing would be shown.
        answer.is_none_or(|answer| context.send(answer).is_ok())
    }
}
