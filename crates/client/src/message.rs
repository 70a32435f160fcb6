//! Messages: what one says that has come, and building one (RFC 6121 section 5).

use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::{Content, Kind, MessageType, Payload, Stanza, Texts, Thread};
use balcony_xep::chat_states::ChatState;
use balcony_xep::correction::Correction;
use balcony_xep::data_form::DataForm;
use balcony_xep::delay::Delay;
use balcony_xep::receipts::Receipt;
use balcony_xml::{Element, ElementRef};

use crate::queue::cost;

/// A message that has come.
///
/// What it says is read once. What has no method here is among its [elements](Message::elements), or in the [stanza](Message::stanza).
///
/// ```
/// use balcony_client::Message;
/// use balcony_stanza::Stanza;
///
/// let xml = "<message type='chat' from='juliet@example.com/balcony' id='1'><body>Art thou not Romeo?</body></message>";
/// let message = Message::read(Stanza::parse(xml.as_bytes()).unwrap()).unwrap();
/// assert_eq!(message.body(), Some("Art thou not Romeo?"));
///
/// let mut reply = Vec::new();
/// message.reply().body("Neither, fair saint").to_stanza().write(&mut reply);
/// assert_eq!(
///     String::from_utf8(reply)?,
///     "<message to='juliet@example.com/balcony' type='chat'><body>Neither, fair saint</body></message>"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    stanza: Stanza,
    kind: MessageType,
    texts: Content,
    elements: Element,
}

impl Message {
    /// Reads a message; `None` if the stanza is none.
    #[must_use]
    pub fn read(stanza: Stanza) -> Option<Message> {
        let Kind::Message(kind) = stanza.head.kind else { return None };
        let (texts, elements) = (Content::read(&stanza), stanza.payload.parse().ok()?);
        Some(Message { stanza, kind, texts, elements })
    }

    /// A message of the type `chat` to this address, to be [sent](MessageBuilder).
    pub fn chat(to: Jid) -> MessageBuilder {
        MessageBuilder::new(MessageType::Chat).to(to)
    }

    /// Who has sent it; `None`: the own account or its server.
    #[must_use]
    pub fn from(&self) -> Option<&Jid> {
        self.stanza.head.from.as_ref()
    }

    /// Whom it is addressed to: a resource or the whole account.
    #[must_use]
    pub fn to(&self) -> Option<&Jid> {
        self.stanza.head.to.as_ref()
    }

    /// Its sender's name for it.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        self.stanza.head.id.as_deref()
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> MessageType {
        self.kind
    }

    /// The text for a person to read; of several the one in no particular language, or else the first.
    #[must_use]
    pub fn body(&self) -> Option<&str> {
        self.texts.bodies.best("")
    }

    /// That text in all the languages it has come in.
    #[must_use]
    pub fn bodies(&self) -> &Texts {
        &self.texts.bodies
    }

    /// What it is about, chosen as in [`body`](Message::body).
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.texts.subjects.best("")
    }

    /// The same in all the languages it has come in.
    #[must_use]
    pub fn subjects(&self) -> &Texts {
        &self.texts.subjects
    }

    /// The conversation that it is part of.
    #[must_use]
    pub fn thread(&self) -> Option<&Thread> {
        self.texts.thread.as_ref()
    }

    /// What the sender is doing (XEP-0085).
    #[must_use]
    pub fn chat_state(&self) -> Option<ChatState> {
        self.elements().find_map(ChatState::read)
    }

    /// What it says about receipts (XEP-0184).
    #[must_use]
    pub fn receipt(&self) -> Option<Receipt<'_>> {
        self.elements().find_map(Receipt::read)
    }

    /// The id of the message of the same sender that this one takes the place of (XEP-0308). Anybody can write that: compare who has sent
    /// both, by the bare address, or in a room by the full one.
    #[must_use]
    pub fn corrects(&self) -> Option<&str> {
        self.elements().find_map(|element| element.attr("id").filter(|_| Correction::read(element).is_some()))
    }

    /// The first form in it (XEP-0004).
    #[must_use]
    pub fn form(&self) -> Option<DataForm<'_>> {
        self.elements().find_map(DataForm::read)
    }

    /// That it was held back, as the first who says so (XEP-0203); anybody can write that. [`held_back`](crate::held_back) believes the
    /// own server only.
    #[must_use]
    pub fn delay(&self) -> Option<Delay<'_>> {
        self.elements().find_map(Delay::read)
    }

    /// All that it holds, in its order.
    pub fn elements(&self) -> impl Iterator<Item = ElementRef<'_>> {
        self.elements.root().children()
    }

    /// The first element of that name in that namespace.
    #[must_use]
    pub fn element(&self, name: &str, namespace: &str) -> Option<ElementRef<'_>> {
        self.elements.root().child(name, namespace)
    }

    /// The first element that `T` can be made of, such as a type of the package `xmpp-parsers`.
    #[cfg(feature = "minidom")]
    #[must_use]
    pub fn get<T: TryFrom<minidom::Element>>(&self) -> Option<T> {
        crate::iq::get(self.elements.root())
    }

    /// The stanza.
    #[must_use]
    pub fn stanza(&self) -> &Stanza {
        &self.stanza
    }

    /// The stanza, to keep.
    #[must_use]
    pub fn into_stanza(self) -> Stanza {
        self.stanza
    }

    /// Bytes of memory that it takes: as it came, and twice what was read of it.
    pub(crate) fn memory(&self) -> usize {
        cost(&self.stanza) + self.stanza.payload.as_bytes().len() + self.elements.memory()
    }

    /// A message back to whoever has sent this one: of the same type, in the same thread. What was said in a room is answered to
    /// the room.
    pub fn reply(&self) -> MessageBuilder {
        let mut reply = MessageBuilder::new(self.kind);
        let from = self.from();
        reply.stanza.head.to = match self.kind {
            MessageType::Groupchat => from.map(|from| from.to_bare().to_jid()),
            _ => from.cloned(),
        };
        reply.texts.thread = self.thread().cloned();
        reply
    }
}

/// Builds a message. It goes to the own account unless it is addressed, and gets an id when it is sent, unless it has one.
#[must_use = "it is not sent yet"]
#[derive(Clone, Debug)]
pub struct MessageBuilder {
    stanza: Stanza,
    texts: Content,
    more: Vec<Element>,
}

impl MessageBuilder {
    /// An empty message of that type.
    pub fn new(kind: MessageType) -> MessageBuilder {
        MessageBuilder { stanza: Stanza::message(kind), texts: Content::default(), more: Vec::new() }
    }

    /// Addresses it.
    pub fn to(mut self, to: Jid) -> Self {
        self.stanza.head.to = Some(to);
        self
    }

    /// Says that it is from this address: for components, which speak for all addresses of their domain. A client's server says who has sent
    /// a message.
    pub fn from(mut self, from: Jid) -> Self {
        self.stanza.head.from = Some(from);
        self
    }

    /// Names it, so that what comes back about it can be told apart.
    pub fn id(mut self, id: impl AsRef<str>) -> Self {
        self.stanza = self.stanza.with_id(id);
        self
    }

    /// Says this, in the language of the stream.
    pub fn body(self, text: impl AsRef<str>) -> Self {
        self.body_in("", text)
    }

    /// Says the same in another language (RFC 5646).
    pub fn body_in(mut self, lang: &str, text: impl AsRef<str>) -> Self {
        self.texts.bodies.set(lang, text);
        self
    }

    /// What it is about.
    pub fn subject(self, text: impl AsRef<str>) -> Self {
        self.subject_in("", text)
    }

    /// The same in another language.
    pub fn subject_in(mut self, lang: &str, text: impl AsRef<str>) -> Self {
        self.texts.subjects.set(lang, text);
        self
    }

    /// Which conversation it is part of.
    pub fn thread(mut self, thread: Thread) -> Self {
        self.texts.thread = Some(thread);
        self
    }

    /// What the sender is doing (XEP-0085).
    pub fn chat_state(self, state: ChatState) -> Self {
        self.child(state.to_element())
    }

    /// It takes the place of a message that was sent before to the same, with this id (XEP-0308): the first one, if it was corrected
    /// already. Everything is said again.
    pub fn correct(self, id: impl AsRef<str>) -> Self {
        self.child(Correction { id: id.as_ref().into() }.to_element())
    }

    /// Adds a form, or the answers to one (XEP-0004).
    pub fn form(self, form: &DataForm<'_>) -> Self {
        self.child(form.to_element())
    }

    /// Asks for a receipt (XEP-0184 section 5.1). One that comes is known by the id.
    pub fn request_receipt(self) -> Self {
        self.child(Receipt::Request.to_element())
    }

    /// Adds an element.
    pub fn child(mut self, element: Element) -> Self {
        self.more.push(element);
        self
    }

    /// The stanza.
    #[must_use]
    pub fn to_stanza(&self) -> Stanza {
        let texts = self.texts.to_payload();
        let payload = self.more.iter().fold(texts, |payload: Payload, element| payload.with(element));
        self.stanza.clone().with_payload(payload)
    }
}

impl From<MessageBuilder> for Stanza {
    fn from(message: MessageBuilder) -> Stanza {
        message.to_stanza()
    }
}

impl From<Message> for Stanza {
    fn from(message: Message) -> Stanza {
        message.stanza
    }
}

/// A message or presence of ours that could not be delivered: what came back, of the type `error` (RFC 6120 section 8.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// What came back; its sender is the address that could not be reached, its id that of the stanza which was sent.
    pub stanza: Stanza,
    /// Why.
    pub error: balcony_stanza::StanzaError,
}

impl Undelivered {
    /// Reads it; `None` if the stanza is of another type, or an iq.
    #[must_use]
    pub fn read(stanza: &Stanza) -> Option<Undelivered> {
        if !stanza.head.kind.is_error() || matches!(stanza.head.kind, Kind::Iq(_)) {
            return None;
        }
        Some(Undelivered { error: crate::iq::error_of(stanza), stanza: stanza.clone() })
    }

    /// What could not be reached.
    #[must_use]
    pub fn address(&self) -> Option<&Jid> {
        self.stanza.head.from.as_ref()
    }

    /// The id of the stanza that was sent.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        self.stanza.head.id.as_deref().map(String::from)
    }
}
