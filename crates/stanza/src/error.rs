//! Stanza errors: their conditions and types, and how they are read and written (RFC 6120 section 8.3).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use balcony_xml::{Element, ElementRef, Name};

use crate::conditions::conditions;
use crate::ns;
use crate::printed::Printed;

conditions! {
    /// A stanza error condition (RFC 6120 section 8.3.3).
    ErrorCondition {
        /// The stanza breaks the syntax.
        BadRequest = "bad-request",
        /// The name or address is already taken.
        Conflict = "conflict",
        /// A known namespace, of which this part is not implemented.
        FeatureNotImplemented = "feature-not-implemented",
        /// The sender lacks permission.
        Forbidden = "forbidden",
        /// The recipient has moved for good; the text names the new address.
        Gone = "gone",
        /// The server has a fault of its own.
        InternalServerError = "internal-server-error",
        /// There is no such address or item.
        ItemNotFound = "item-not-found",
        /// An address breaks RFC 7622.
        JidMalformed = "jid-malformed",
        /// Understood, but it does not meet the criteria.
        NotAcceptable = "not-acceptable",
        /// Nobody may do this.
        NotAllowed = "not-allowed",
        /// Credentials are needed, or those given were wrong.
        NotAuthorized = "not-authorized",
        /// A local policy was violated.
        PolicyViolation = "policy-violation",
        /// The recipient is not there for the moment.
        RecipientUnavailable = "recipient-unavailable",
        /// The recipient is elsewhere for the moment; the text names the address.
        Redirect = "redirect",
        /// Registration is needed first.
        RegistrationRequired = "registration-required",
        /// The remote domain does not exist.
        RemoteServerNotFound = "remote-server-not-found",
        /// The remote domain could not be reached in time.
        RemoteServerTimeout = "remote-server-timeout",
        /// The server is too busy or out of resources.
        ResourceConstraint = "resource-constraint",
        /// The service is not provided.
        ServiceUnavailable = "service-unavailable",
        /// A subscription is needed first.
        SubscriptionRequired = "subscription-required",
        /// A condition outside this list; an application element says more.
        UndefinedCondition = "undefined-condition",
        /// A request out of order.
        UnexpectedRequest = "unexpected-request",
    }
}

impl ErrorCondition {
    /// The error type that RFC 6120 section 8.3.3 gives this condition; the first one where it allows two.
    #[must_use]
    pub const fn default_type(self) -> ErrorType {
        use ErrorCondition as C;
        match self {
            C::BadRequest | C::JidMalformed | C::NotAcceptable | C::PolicyViolation | C::Redirect => {
                ErrorType::Modify
            }
            C::Conflict
            | C::FeatureNotImplemented
            | C::Gone
            | C::InternalServerError
            | C::ItemNotFound
            | C::NotAllowed
            | C::RemoteServerNotFound
            | C::ServiceUnavailable
            | C::UndefinedCondition => ErrorType::Cancel,
            C::Forbidden | C::NotAuthorized | C::RegistrationRequired | C::SubscriptionRequired => {
                ErrorType::Auth
            }
            C::RecipientUnavailable
            | C::RemoteServerTimeout
            | C::ResourceConstraint
            | C::UnexpectedRequest => ErrorType::Wait,
        }
    }
}

conditions! {
    /// What the sender can do about a stanza error (RFC 6120 section 8.3.2).
    ErrorType {
        /// Retry after providing credentials.
        Auth = "auth",
        /// Do not retry.
        Cancel = "cancel",
        /// Proceed; it was only a warning.
        Continue = "continue",
        /// Retry after changing the data.
        Modify = "modify",
        /// Retry after waiting.
        Wait = "wait",
    }
}

impl ErrorCondition {
    /// Whether it may say where else to go.
    const fn has_moved(self) -> bool {
        matches!(self, ErrorCondition::Gone | ErrorCondition::Redirect)
    }
}

/// The `<error/>` of a stanza of type error (RFC 6120 section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StanzaError {
    /// What the sender can do.
    pub kind: ErrorType,
    /// What happened, for machines.
    pub condition: ErrorCondition,
    /// Where else to go, as a URI: what [`Gone`](ErrorCondition::Gone) and [`Redirect`](ErrorCondition::Redirect) say
    /// inside of their condition (sections 8.3.3.5 and 8.3.3.14); other conditions have none, and it is not written there. Ask the user
    /// before following it.
    pub address: Option<Cow<'static, str>>,
    /// What happened, for people; in English when it is ours.
    pub text: Option<Cow<'static, str>>,
    /// An application-specific condition (RFC 6120 section 8.3.4), in a namespace of its own: one in that of the RFC's own conditions is
    /// not written.
    pub application: Option<Box<Element>>,
}

impl StanzaError {
    /// An error with the condition's default type and a text for people.
    #[must_use]
    pub fn new(condition: ErrorCondition, text: impl Into<Cow<'static, str>>) -> Self {
        StanzaError {
            kind: condition.default_type(),
            condition,
            address: None,
            text: Some(text.into()),
            application: None,
        }
    }

    /// The same error with another type.
    #[must_use]
    pub fn with_type(mut self, kind: ErrorType) -> Self {
        self.kind = kind;
        self
    }

    /// Reads the `<error/>` child among `payload`'s children, a stanza's content as [`Payload::parse`] gives it.
    ///
    /// A condition that is not in the list counts as `undefined-condition` (RFC 6120 section 8.3.2), a missing or
    /// unknown type as the condition's default.
    ///
    /// [`Payload::parse`]: crate::Payload::parse
    #[must_use]
    pub fn from_payload(payload: ElementRef<'_>) -> Option<Self> {
        let error =
            payload.children().find(|child| child.name() == "error" && ns::is_content(child.namespace()))?;
        let standard = |child: &ElementRef<'_>| child.namespace() == ns::STANZA_ERRORS;
        let (condition, address) = error
            .children()
            .filter(standard)
            .find_map(|child| Some((ErrorCondition::from_name(child.name())?, child.text())))
            .unwrap_or((ErrorCondition::UndefinedCondition, Cow::Borrowed("")));
        Some(StanzaError {
            kind: error.attr("type").and_then(ErrorType::from_name).unwrap_or(condition.default_type()),
            condition,
            address: (condition.has_moved() && !address.is_empty()).then(|| Cow::Owned(address.into_owned())),
            text: error.child("text", ns::STANZA_ERRORS).map(|text| Cow::Owned(String::from(text.text()))),
            application: error
                .children()
                .find(|child| !standard(child))
                .map(|child| Box::new(child.to_owned())),
        })
    }

    /// The `<error/>` element, in the content namespace.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const ERROR: Name = Name::from_static("error");
        const TYPE: Name = Name::from_static("type");
        const TEXT: Name = Name::from_static("text");
        let mut condition = Element::new(Name::from_static(self.condition.name()), ns::STANZA_ERRORS);
        if let Some(address) = self.address.as_ref().filter(|_| self.condition.has_moved()) {
            condition = condition.text(address);
        }
        let mut error = Element::new(ERROR, ns::CLIENT).attr(TYPE, self.kind.name()).child(condition);
        if let Some(text) = &self.text {
            error = error.child(Element::new(TEXT, ns::STANZA_ERRORS).lang("en").text(text));
        }
        let is_foreign = |application: &&Element| application.root().namespace() != ns::STANZA_ERRORS;
        if let Some(application) = self.application.as_deref().filter(is_foreign) {
            error = error.child(application.clone());
        }
        error
    }
}

impl From<ErrorCondition> for StanzaError {
    fn from(condition: ErrorCondition) -> Self {
        StanzaError {
            kind: condition.default_type(),
            condition,
            address: None,
            text: None,
            application: None,
        }
    }
}

impl fmt::Display for StanzaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.text {
            Some(text) => write!(f, "{}: {}", self.condition, Printed(text)),
            None => write!(f, "{}", self.condition),
        }
    }
}

impl core::error::Error for StanzaError {}
