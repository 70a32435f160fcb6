//! What a message says to people: its texts in their languages, and the conversation that it belongs to (RFC 6121 sections 5.2.3
//! to 5.2.5). What extensions put into a message is not looked at here. The status of presence is such a text, too (section 4.7.2.2).

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::Random;
use balcony_xml::{Element, ElementRef, Name};

use crate::{Payload, Stanza, ns};

/// Languages that are kept of one text.
const LANGUAGES: usize = 64;

/// What a message says: its bodies, subjects and thread (RFC 6121 sections 5.2.3 to 5.2.5).
///
/// ```
/// use balcony_stanza::{Content, MessageType, Stanza};
///
/// let mut content = Content::body("Wherefore art thou, Romeo?");
/// content.bodies.set("cs", "Proč jsi, Romeo?");
/// let stanza = Stanza::message(MessageType::Chat).with_payload(content.to_payload());
///
/// let read = Content::read(&stanza);
/// assert_eq!(read.bodies.best("cs-CZ"), Some("Proč jsi, Romeo?"));
/// assert_eq!(read.bodies.best("en"), Some("Wherefore art thou, Romeo?"));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// The text for a person to read.
    pub bodies: Texts,
    /// What it is about.
    pub subjects: Texts,
    /// The conversation that it is part of.
    pub thread: Option<Thread>,
}

impl Content {
    /// One body, in the language of the stanza.
    #[must_use]
    pub fn body(text: impl AsRef<str>) -> Content {
        let mut content = Content::default();
        content.bodies.set("", text);
        content
    }

    /// Reads a message. Of what may stand there once the first counts; attributes and elements that have no place in a text
    /// are passed over.
    #[must_use]
    pub fn read(stanza: &Stanza) -> Content {
        let mut content = Content::default();
        let Ok(payload) = stanza.payload.parse() else { return content };
        let inherited = stanza.head.lang.as_deref().unwrap_or_default();
        for child in payload.root().children().filter(|child| child.namespace() == ns::CLIENT) {
            match child.name() {
                "body" => content.bodies.put(child, inherited),
                "subject" => content.subjects.put(child, inherited),
                "thread" if content.thread.is_none() => content.thread = Thread::read(child),
                _ => {}
            }
        }
        content
    }

    /// The same as elements.
    #[must_use]
    pub fn to_payload(&self) -> Payload {
        const BODY: Name = Name::from_static("body");
        const SUBJECT: Name = Name::from_static("subject");
        let texts = self.subjects.to_elements(SUBJECT).chain(self.bodies.to_elements(BODY));
        let elements: Vec<Element> = texts.chain(self.thread.as_ref().map(Thread::to_element)).collect();
        elements.iter().collect()
    }
}

/// The same text in different languages, each of them once. The empty language is that of the stanza, or not known.
///
/// Languages are told apart as in RFC 5646, without regard to case. No more than 64 are kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Texts(Vec<(Box<str>, Box<str>)>);

impl Texts {
    /// Sets the text in that language; one that it has had is replaced.
    pub fn set(&mut self, lang: &str, text: impl AsRef<str>) {
        let text = text.as_ref().into();
        match self.0.iter().position(|(known, _)| known.eq_ignore_ascii_case(lang)) {
            Some(at) => self.0[at].1 = text,
            None if self.0.len() < LANGUAGES => self.0.push((lang.into(), text)),
            None => {}
        }
    }

    /// The text in exactly that language.
    #[must_use]
    pub fn get(&self, lang: &str) -> Option<&str> {
        self.iter().find(|(known, _)| known.eq_ignore_ascii_case(lang)).map(|(_, text)| text)
    }

    /// The text that suits a reader of that language best: in that language, in a more general one (RFC 4647 section 3.4),
    /// in one of its kinds, in none; otherwise the first.
    #[must_use]
    pub fn best(&self, lang: &str) -> Option<&str> {
        let mut ranges =
            core::iter::successors(Some(lang), |range| range.rsplit_once('-').map(|(range, _)| range));
        let kind = || {
            let is_kind = |known: &str| {
                known.get(..lang.len()).is_some_and(|start| start.eq_ignore_ascii_case(lang))
                    && known.as_bytes().get(lang.len()) == Some(&b'-')
            };
            self.iter().find(|(known, _)| is_kind(known)).map(|(_, text)| text)
        };
        ranges
            .find_map(|range| self.get(range))
            .or_else(kind)
            .or_else(|| self.get(""))
            .or_else(|| self.iter().next().map(|(_, text)| text))
    }

    /// Language and text, in the order in which they stand in the message.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.0.iter().map(|(lang, text)| (&**lang, &**text))
    }

    /// Reads the elements of that name among the children of a stanza: `content` is its [parsed](Payload::parse) payload, and `inherited`
    /// the language of the stanza. Of each language the first counts; those that are empty are passed over.
    #[must_use]
    pub fn read(content: ElementRef<'_>, name: &str, inherited: &str) -> Texts {
        let mut texts = Texts::default();
        let is_text = |child: &ElementRef<'_>| child.is(name, ns::CLIENT) && !child.text().is_empty();
        for child in content.children().filter(is_text) {
            texts.put(child, inherited);
        }
        texts
    }

    /// Whether there is no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn put(&mut self, element: ElementRef<'_>, inherited: &str) {
        let lang = element.language().unwrap_or(inherited);
        if self.get(lang).is_none() {
            self.set(lang, element.text());
        }
    }

    /// The same as elements of that name.
    ///
    /// One text alone may take its language from the stanza. Among others it must not: servers give a stanza the language
    /// of the stream (RFC 6120 section 8.1.5), and that may be the language of one of them.
    pub fn to_elements(&self, name: Name) -> impl Iterator<Item = Element> {
        let is_alone = self.0.len() == 1;
        self.iter().map(move |(lang, text)| {
            let element = Element::new(name.clone(), ns::CLIENT).text(text);
            if is_alone && lang.is_empty() { element } else { element.lang(lang) }
        })
    }
}

/// What people write to each other is nobody else's business, logs included.
impl fmt::Debug for Texts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter().map(|(lang, text)| (lang, text.len()))).finish()
    }
}

/// The name of a conversation (RFC 6121 section 5.2.5). It means nothing, and is the same only if each character is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thread {
    id: Box<str>,
    parent: Option<Box<str>>,
}

impl Thread {
    /// A thread of that name; `None` if it is empty.
    #[must_use]
    pub fn new(id: impl AsRef<str>) -> Option<Thread> {
        let id = id.as_ref();
        (!id.is_empty()).then(|| Thread { id: id.into(), parent: None })
    }

    /// A new thread, whose name tells nothing of whoever made it.
    #[must_use]
    pub fn random(random: &mut Random) -> Thread {
        Thread { id: random.token(32).into(), parent: None }
    }

    /// The same as an offshoot of that thread. One that is its own parent has none.
    #[must_use]
    pub fn with_parent(mut self, parent: impl AsRef<str>) -> Thread {
        let parent = parent.as_ref();
        self.parent = (!parent.is_empty() && *parent != *self.id).then(|| parent.into());
        self
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The name of the thread that it has sprung from.
    #[must_use]
    pub fn parent(&self) -> Option<&str> {
        self.parent.as_deref()
    }

    fn read(element: ElementRef<'_>) -> Option<Thread> {
        Some(Thread::new(element.text())?.with_parent(element.attr("parent").unwrap_or_default()))
    }

    fn to_element(&self) -> Element {
        const THREAD: Name = Name::from_static("thread");
        const PARENT: Name = Name::from_static("parent");
        let element = Element::new(THREAD, ns::CLIENT).text(&self.id);
        match &self.parent {
            Some(parent) => element.attr(PARENT, parent),
            None => element,
        }
    }
}
