//! In-band registration: a new account, its password and its end (XEP-0077).
//!
//! What fields say, passwords among it, stays where it was read from; `Debug` shows no value.

use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::fmt;

use balcony_stanza::{ErrorCondition, StanzaError};
use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature of an entity.
pub const NS: &str = "jabber:iq:register";
/// The namespace of the stream feature (section 8).
pub const FEATURE: &str = "http://jabber.org/features/iq-register";

const QUERY: Name = Name::from_static("query");

/// A field of a registration (section 14.1). The data forms that may stand beside fields are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "their names are all that the extension says of most of them")]
pub enum Field {
    Username,
    Nick,
    Password,
    Name,
    First,
    Last,
    Email,
    Address,
    City,
    State,
    Zip,
    Phone,
    Url,
    Date,
    Misc,
    Text,
    Key,
}

impl Field {
    /// All of them.
    pub const ALL: [Field; 17] = [
        Field::Username,
        Field::Nick,
        Field::Password,
        Field::Name,
        Field::First,
        Field::Last,
        Field::Email,
        Field::Address,
        Field::City,
        Field::State,
        Field::Zip,
        Field::Phone,
        Field::Url,
        Field::Date,
        Field::Misc,
        Field::Text,
        Field::Key,
    ];

    fn of(name: &str) -> Option<Field> {
        Field::ALL.into_iter().find(|field| field.name() == name)
    }

    /// The name of the element.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Field::Username => "username",
            Field::Nick => "nick",
            Field::Password => "password",
            Field::Name => "name",
            Field::First => "first",
            Field::Last => "last",
            Field::Email => "email",
            Field::Address => "address",
            Field::City => "city",
            Field::State => "state",
            Field::Zip => "zip",
            Field::Phone => "phone",
            Field::Url => "url",
            Field::Date => "date",
            Field::Misc => "misc",
            Field::Text => "text",
            Field::Key => "key",
        }
    }
}

/// Fields with their values, each at most once. An empty one is a question for the value, where a server says it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields<'a>(Vec<(Field, Cow<'a, str>)>);

impl<'a> Fields<'a> {
    /// No field.
    #[must_use]
    pub const fn new() -> Fields<'a> {
        Fields(Vec::new())
    }

    /// The same with one more; the value of one that is there already is replaced.
    #[must_use]
    pub fn with(mut self, field: Field, value: &'a str) -> Fields<'a> {
        match self.0.iter_mut().find(|(known, _)| *known == field) {
            Some((_, known)) => *known = Cow::Borrowed(value),
            None => self.0.push((field, Cow::Borrowed(value))),
        }
        self
    }

    /// Reads the fields in a `<query/>`. Of two that are the same the first counts.
    #[must_use]
    pub fn read(query: ElementRef<'a>) -> Fields<'a> {
        let mut fields = Fields::new();
        for child in query.children().filter(|child| child.namespace() == NS) {
            if let Some(field) = Field::of(child.name()).filter(|field| fields.get(*field).is_none()) {
                fields.0.push((field, child.text()));
            }
        }
        fields
    }

    /// What a field says; `None` if it is not there.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&str> {
        self.iter().find(|(known, _)| *known == field).map(|(_, value)| value)
    }

    /// All fields, in the order in which they stand there.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Field, &str)> {
        self.0.iter().map(|(field, value)| (*field, &**value))
    }

    fn write(&self, query: &mut Element) {
        for (field, value) in self.iter() {
            query.push_child(Element::new(Name::from_static(field.name()), NS).text(value).root());
        }
    }
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(field, _)| field)).finish()
    }
}

/// The content of the result of a get: what can be registered, or what is (sections 3.1 and 3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form<'a> {
    /// Whoever asks has an account already.
    pub is_registered: bool,
    /// What to do, for people.
    pub instructions: Option<Cow<'a, str>>,
    /// The fields that are wanted, or what is known. A password is never told.
    pub fields: Fields<'a>,
}

impl<'a> Form<'a> {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(query: ElementRef<'a>) -> Option<Form<'a>> {
        if !query.is("query", NS) {
            return None;
        }
        Some(Form {
            is_registered: query.child("registered", NS).is_some(),
            instructions: query.child("instructions", NS).map(|child| child.text()),
            fields: Fields::read(query),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const REGISTERED: Name = Name::from_static("registered");
        const INSTRUCTIONS: Name = Name::from_static("instructions");
        let mut query = Element::new(QUERY, NS);
        if self.is_registered {
            query.push_child(Element::new(REGISTERED, NS).root());
        }
        if let Some(instructions) = &self.instructions {
            query.push_child(Element::new(INSTRUCTIONS, NS).text(instructions).root());
        }
        self.fields.write(&mut query);
        query
    }
}

/// The content of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// A new account, or a new password for one (sections 3.1 and 3.3). What of it is missing is up to the one who is asked.
    Register(Fields<'a>),
    /// The end of the account (section 3.2).
    Remove,
}

impl<'a> Request<'a> {
    /// Reads the `<query/>` of an iq set.
    ///
    /// # Errors
    ///
    /// `bad-request` if it is something else, a removal with something beside it (section 3.2), or has a field twice.
    pub fn read(query: ElementRef<'a>) -> Result<Request<'a>, StanzaError> {
        if !query.is("query", NS) {
            return Err(ErrorCondition::BadRequest.into());
        }
        let bad = |text| Err(StanzaError::new(ErrorCondition::BadRequest, text));
        if query.child("remove", NS).is_some() {
            return match query.children().take(2).count() {
                1 => Ok(Request::Remove),
                _ => bad("a removal has nothing beside it"),
            };
        }
        let fields = Fields::read(query);
        let is_field = |child: &ElementRef<'_>| child.namespace() == NS && Field::of(child.name()).is_some();
        match query.children().filter(is_field).count() {
            count if count == fields.0.len() => Ok(Request::Register(fields)),
            _ => bad("a field is there twice"),
        }
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const REMOVE: Name = Name::from_static("remove");
        let mut query = Element::new(QUERY, NS);
        match self {
            Request::Register(fields) => fields.write(&mut query),
            Request::Remove => query.push_child(Element::new(REMOVE, NS).root()),
        }
        query
    }
}

/// The question what can be registered, or what is: the content of an iq get.
#[must_use]
pub fn query() -> Element {
    Element::new(QUERY, NS)
}

/// What a stream announces when strangers may register (section 8).
#[must_use]
pub fn feature() -> Element {
    const REGISTER: Name = Name::from_static("register");
    Element::new(REGISTER, FEATURE)
}
