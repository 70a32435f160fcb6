//! Client state indication: a client tells its server whether somebody looks at it (XEP-0352).

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also that of the stream feature and of what can be wanted with Bind 2.
pub const NS: &str = "urn:xmpp:csi:0";
/// The name of the stream feature (section 4.1).
pub const FEATURE: &str = "csi";

/// What a client says of itself, between stanzas (section 4.2). A stream begins as active, also one that goes on with an earlier
/// session (section 5.2). Nothing is answered, and nobody else is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientState {
    /// Somebody uses it.
    Active,
    /// Nobody looks: what is not urgent may wait.
    Inactive,
}

impl ClientState {
    /// The name of the element.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            ClientState::Active => "active",
            ClientState::Inactive => "inactive",
        }
    }

    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<ClientState> {
        let both = [ClientState::Active, ClientState::Inactive];
        both.into_iter().find(|state| element.is(state.name(), NS))
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new(Name::from_static(self.name()), NS)
    }
}

/// The feature of a server, as it stands among those of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Feature;

impl Feature {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Feature> {
        element.is(FEATURE, NS).then_some(Feature)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new(Name::from_static(FEATURE), NS)
    }
}
