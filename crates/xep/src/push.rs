//! Push notifications: a server tells a service of a user's client that something waits, so that the service can wake the device
//! (XEP-0357).
//!
//! ```
//! use balcony_xep::push::{Notification, Publish, Summary};
//!
//! let summary = Summary { messages: Some(1), ..Summary::default() };
//! let publish = Publish {
//!     node: Some("yxs32uqsflafdk3iuqo".into()),
//!     notification: Notification { summary: Some(summary) },
//!     options: None,
//! };
//! let element = publish.to_element(); // and at the service:
//! assert_eq!(Publish::read(element.root()), Some(publish));
//! ```

use alloc::borrow::Cow;
use alloc::string::ToString as _;

use balcony_jid::Jid;
use balcony_stanza::{ErrorCondition, StanzaError};
use balcony_xml::{Element, ElementRef, Name};

use crate::data_form::{self, DataForm, Field, FieldKind, FormKind};

/// The namespace, which is also the feature of an account, and of a push service.
pub const NS: &str = "urn:xmpp:push:0";
/// The `FORM_TYPE` of the [`Summary`].
pub const SUMMARY: &str = "urn:xmpp:push:summary";
/// The `FORM_TYPE` of what a service wants to get with each notification (XEP-0060 section 7.1.5).
pub const PUBLISH_OPTIONS: &str = "http://jabber.org/protocol/pubsub#publish-options";
/// The namespace of [`Publish`] (XEP-0060).
pub const PUBSUB: &str = "http://jabber.org/protocol/pubsub";
/// Category and type of the identity of a push service (section 4.2).
pub const IDENTITY: (&str, &str) = ("pubsub", "push");

const JID: Name = Name::from_static("jid");
const NODE: Name = Name::from_static("node");

/// What a client asks of its account: the child of an iq set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Tell this service (section 5).
    Enable(Enable<'a>),
    /// Do so no longer (section 6).
    Disable(Disable<'a>),
}

/// A service that is to be told (section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enable<'a> {
    /// The service.
    pub jid: Jid,
    /// Which of the things that it delivers to; together with the address it names what is enabled.
    pub node: Option<Cow<'a, str>>,
    /// What the service wants back with each notification, such as a secret: a form of the type [`PUBLISH_OPTIONS`].
    pub options: Option<DataForm<'a>>,
}

/// A service that is not to be told any more (section 6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disable<'a> {
    /// The service.
    pub jid: Jid,
    /// This node alone; without one all of the service.
    pub node: Option<Cow<'a, str>>,
}

impl<'a> Request<'a> {
    /// Reads the child of an iq set in the namespace [`NS`].
    ///
    /// # Errors
    ///
    /// `bad-request` if it is neither, or does not name a service; `jid-malformed` if what it names is no address.
    pub fn read(element: ElementRef<'a>) -> Result<Request<'a>, StanzaError> {
        let is_enable = element.is("enable", NS);
        if !is_enable && !element.is("disable", NS) {
            return Err(ErrorCondition::BadRequest.into());
        }
        let jid = element.attr("jid").ok_or(ErrorCondition::BadRequest)?;
        let jid = Jid::parse(jid).map_err(|_| ErrorCondition::JidMalformed)?;
        let node = element.attr("node").map(Cow::Borrowed);
        Ok(match is_enable {
            true => Request::Enable(Enable { jid, node, options: options(element) }),
            false => Request::Disable(Disable { jid, node }),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        match self {
            Request::Enable(enable) => enable.to_element(),
            Request::Disable(disable) => disable.to_element(),
        }
    }
}

impl Enable<'_> {
    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const ENABLE: Name = Name::from_static("enable");
        let enable = named(ENABLE, &self.jid, self.node.as_deref());
        match &self.options {
            Some(options) => enable.child(options.to_element()),
            None => enable,
        }
    }
}

impl Disable<'_> {
    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const DISABLE: Name = Name::from_static("disable");
        named(DISABLE, &self.jid, self.node.as_deref())
    }
}

fn named(name: Name, jid: &Jid, node: Option<&str>) -> Element {
    let mut element = Element::new(name, NS).attr(JID, jid.as_str());
    if let Some(node) = node {
        element.push_attr(NODE, node);
    }
    element
}

/// The form of publish options in an element, if there is one.
fn options(element: ElementRef<'_>) -> Option<DataForm<'_>> {
    let mut forms = element.children().filter_map(DataForm::read);
    forms.find(|form| form.form_type() == Some(PUBLISH_OPTIONS))
}

/// What is told: the child of the item that is published (section 7).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Notification<'a> {
    /// In short what has come, as far as the service is to know.
    pub summary: Option<Summary<'a>>,
}

impl<'a> Notification<'a> {
    /// Reads it; `None` if the element is something else. What else is in it is passed over.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Notification<'a>> {
        let is_notification = element.is("notification", NS);
        is_notification.then(|| Notification { summary: element.children().find_map(Summary::read) })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const NOTIFICATION: Name = Name::from_static("notification");
        let notification = Element::new(NOTIFICATION, NS);
        match &self.summary {
            Some(summary) => notification.child(summary.to_element()),
            None => notification,
        }
    }
}

/// The form of the type [`SUMMARY`] (section 11.3).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Summary<'a> {
    /// How many messages wait.
    pub messages: Option<u32>,
    /// How many people ask to see the user's presence.
    pub subscriptions: Option<u32>,
    /// Who has sent the latest message.
    pub sender: Option<Jid>,
    /// What it says.
    pub body: Option<Cow<'a, str>>,
}

/// What people write to each other is not shown.
impl core::fmt::Debug for Summary<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Summary")
            .field("messages", &self.messages)
            .field("subscriptions", &self.subscriptions)
            .field("sender", &self.sender)
            .field("body", &self.body.as_ref().map(|body| body.len()))
            .finish()
    }
}

const MESSAGES: &str = "message-count";
const SUBSCRIPTIONS: &str = "pending-subscription-count";
const SENDER: &str = "last-message-sender";
const BODY: &str = "last-message-body";

impl<'a> Summary<'a> {
    /// Reads it, also from a form that does not say what kind of form it is, as the examples of the XEP do not; `None` if the element is
    /// something else. A field that holds nothing of its type counts as missing.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Summary<'a>> {
        if !element.is("x", data_form::NS) {
            return None;
        }
        let value = |var: &str| {
            let mut fields = element.children().filter(|child| child.is("field", data_form::NS));
            let field = fields.find(|field| field.attr("var") == Some(var))?;
            Some(field.child("value", data_form::NS)?.text())
        };
        let count = |var: &str| {
            let count = value(var)?;
            count.parse().ok().filter(|_| count.bytes().all(|digit| digit.is_ascii_digit()))
        };
        value("FORM_TYPE").filter(|form_type| form_type == SUMMARY)?;
        Some(Summary {
            messages: count(MESSAGES),
            subscriptions: count(SUBSCRIPTIONS),
            sender: value(SENDER).and_then(|sender| Jid::parse(&sender).ok()),
            body: value(BODY),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let count = |count: Option<u32>| count.map(|count| Cow::Owned(count.to_string()));
        let sender = self.sender.as_ref().map(|sender| Cow::Borrowed(sender.as_str()));
        let body = self.body.as_deref().map(Cow::Borrowed);
        let fields = [
            (FieldKind::TextSingle, MESSAGES, count(self.messages)),
            (FieldKind::TextSingle, SUBSCRIPTIONS, count(self.subscriptions)),
            (FieldKind::JidSingle, SENDER, sender),
            (FieldKind::TextSingle, BODY, body),
        ];
        let form = DataForm::new(FormKind::Submit).with(Field::hidden("FORM_TYPE", SUMMARY));
        let form = fields.into_iter().fold(form, |form, (kind, var, value)| match value {
            Some(value) => form.with(Field::new(kind, var).valued(value)),
            None => form,
        });
        form.to_element()
    }
}

/// A notification on its way to its service: the child of an iq set (section 7, XEP-0060 section 7.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    /// [`Enable::node`].
    pub node: Option<Cow<'a, str>>,
    /// What is told.
    pub notification: Notification<'a>,
    /// [`Enable::options`].
    pub options: Option<DataForm<'a>>,
}

impl<'a> Publish<'a> {
    /// Reads it; `None` if the element is something else, or publishes anything but one notification.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Publish<'a>> {
        if !element.is("pubsub", PUBSUB) {
            return None;
        }
        let publish = element.child("publish", PUBSUB)?;
        let mut items = publish.children().filter(|child| child.is("item", PUBSUB));
        let item = items.next()?;
        if items.next().is_some() {
            return None;
        }
        Some(Publish {
            node: publish.attr("node").map(Cow::Borrowed),
            notification: item.children().find_map(Notification::read)?,
            options: element.child("publish-options", PUBSUB).and_then(options),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const PUBSUB_NAME: Name = Name::from_static("pubsub");
        const PUBLISH: Name = Name::from_static("publish");
        const ITEM: Name = Name::from_static("item");
        const OPTIONS: Name = Name::from_static("publish-options");
        let mut publish = Element::new(PUBLISH, PUBSUB);
        if let Some(node) = &self.node {
            publish.push_attr(NODE, node);
        }
        let item = Element::new(ITEM, PUBSUB).child(self.notification.to_element());
        let pubsub = Element::new(PUBSUB_NAME, PUBSUB).child(publish.child(item));
        match &self.options {
            Some(options) => pubsub.child(Element::new(OPTIONS, PUBSUB).child(options.to_element())),
            None => pubsub,
        }
    }
}
