//! vcard-temp: what a user tells everybody about themselves (XEP-0054).
//!
//! The server keeps a card as bytes and does not look into it: [`Request`]. A client reads and changes a [`Card`]. Setting a card
//! replaces all of it, so a client changes the card that it has got, and keeps what it does not know.

use alloc::borrow::Cow;

use balcony_stanza::{ErrorCondition, IqType, Payload, StanzaError};
use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "vcard-temp";

const VCARD: Name = Name::from_static("vCard");

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// The card of the account that is addressed, or the own one (sections 3.1 and 3.3).
    Get,
    /// This card instead of the own one that there was (section 3.2). It is the content of later results.
    Set(Payload),
}

impl Request {
    /// Reads the child of an iq get or set. The card may not be larger than about so many bytes when it is written.
    ///
    /// # Errors
    ///
    /// `bad-request` if it is no such request, `not-acceptable` for a card that is too large.
    pub fn read(kind: IqType, element: ElementRef<'_>, bytes: usize) -> Result<Request, StanzaError> {
        match kind {
            _ if !element.is("vCard", NS) => Err(ErrorCondition::BadRequest.into()),
            IqType::Get => Ok(Request::Get),
            IqType::Set => match Payload::from_element(element, bytes) {
                Some(card) => Ok(Request::Set(card)),
                None => Err(StanzaError::new(ErrorCondition::NotAcceptable, "this card is too large")),
            },
            IqType::Result | IqType::Error => Err(ErrorCondition::BadRequest.into()),
        }
    }

    /// The type of the iq.
    #[must_use]
    pub const fn kind(&self) -> IqType {
        match self {
            Request::Get => IqType::Get,
            Request::Set(_) => IqType::Set,
        }
    }

    /// The content of the iq.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        match self {
            Request::Get => Payload::from(Element::new(VCARD, NS)),
            Request::Set(card) => card.clone(),
        }
    }
}

/// A card with everything in it, known or not. `Debug` does not show what it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card(Element);

impl Card {
    /// A card that says nothing.
    #[must_use]
    pub fn new() -> Card {
        Card(Element::new(VCARD, NS))
    }

    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Card> {
        element.is("vCard", NS).then(|| Card(Element::from(element)))
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        self.0.clone()
    }

    /// One of its texts.
    #[must_use]
    pub fn text(&self, field: Field) -> Option<Cow<'_, str>> {
        Some(self.0.root().child(field.name(), NS)?.text())
    }

    /// The picture, if it is in the card and not only named there.
    #[must_use]
    pub fn photo(&self) -> Option<Photo<'_>> {
        let photo = self.0.root().child("PHOTO", NS)?;
        Some(Photo {
            media_type: photo.child("TYPE", NS).map(|child| child.text()),
            base64: photo.child("BINVAL", NS)?.text(),
        })
    }

    /// The same card with another text, or without.
    #[must_use]
    pub fn with_text(self, field: Field, text: Option<&str>) -> Card {
        let name = Name::from_static(field.name());
        self.replace(field.name(), text.map(|text| Element::new(name, NS).text(text)))
    }

    /// The same card with another picture, or without.
    #[must_use]
    pub fn with_photo(self, photo: Option<&Photo<'_>>) -> Card {
        const PHOTO: Name = Name::from_static("PHOTO");
        const TYPE: Name = Name::from_static("TYPE");
        const BINVAL: Name = Name::from_static("BINVAL");
        let element = |photo: &Photo<'_>| {
            let mut element = Element::new(PHOTO, NS);
            if let Some(media_type) = &photo.media_type {
                element.push_child(Element::new(TYPE, NS).text(media_type).root());
            }
            element.child(Element::new(BINVAL, NS).text(&photo.base64))
        };
        self.replace("PHOTO", photo.map(element))
    }

    fn replace(self, name: &str, field: Option<Element>) -> Card {
        let mut card = Element::new(VCARD, NS);
        for child in self.0.root().children().filter(|child| !child.is(name, NS)) {
            card.push_child(child);
        }
        if let Some(field) = field {
            card.push_child(field.root());
        }
        Card(card)
    }
}

impl Default for Card {
    fn default() -> Self {
        Card::new()
    }
}

/// A text of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// The name, as it is to be shown.
    FullName,
    /// The nickname.
    Nickname,
    /// A web page.
    Url,
    /// The birthday.
    Birthday,
    /// More about the person.
    Description,
}

impl Field {
    /// All that there are here.
    pub const ALL: [Field; 5] =
        [Field::FullName, Field::Nickname, Field::Url, Field::Birthday, Field::Description];

    /// The name of the element.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Field::FullName => "FN",
            Field::Nickname => "NICKNAME",
            Field::Url => "URL",
            Field::Birthday => "BDAY",
            Field::Description => "DESC",
        }
    }
}

/// A picture in a card.
#[derive(Clone, PartialEq, Eq)]
pub struct Photo<'a> {
    /// What kind of picture, such as `image/png`.
    pub media_type: Option<Cow<'a, str>>,
    /// The picture in Base64, as it stands there: white space and all.
    pub base64: Cow<'a, str>,
}

impl core::fmt::Debug for Photo<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Photo({} bytes)", self.base64.len())
    }
}
