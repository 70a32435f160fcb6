//! Blocking: nothing passes between a user and those whom the user has blocked (XEP-0191).

use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::{ErrorCondition, ErrorType, IqType, StanzaError};
use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "urn:xmpp:blocking";
/// The namespace of the error of a stanza to somebody whom its sender has blocked (section 3.5).
pub const ERRORS: &str = "urn:xmpp:blocking:errors";

const BLOCKLIST: Name = Name::from_static("blocklist");
const BLOCK: Name = Name::from_static("block");
const UNBLOCK: Name = Name::from_static("unblock");

/// What a client asks of its account, or, but for the first, what the account tells its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Who is blocked (section 3.2).
    List,
    /// These are blocked, too; at least one (section 3.3).
    Block(Vec<Jid>),
    /// These are not any more; at least one (section 3.4).
    Unblock(Vec<Jid>),
    /// Nobody is any more (section 3.4).
    UnblockAll,
}

impl Request {
    /// Reads the child of an iq get or set in the namespace [`NS`].
    ///
    /// # Errors
    ///
    /// `bad-request` if it is no such request, names nobody to block, or has an item without address; `jid-malformed` if an
    /// address breaks RFC 7622.
    pub fn read(kind: IqType, element: ElementRef<'_>) -> Result<Request, StanzaError> {
        if element.namespace() != NS {
            return Err(ErrorCondition::BadRequest.into());
        }
        match (element.name(), kind) {
            ("blocklist", IqType::Get) => Ok(Request::List),
            ("block", IqType::Set) => match addresses(element)? {
                jids if jids.is_empty() => Err(ErrorCondition::BadRequest.into()),
                jids => Ok(Request::Block(jids)),
            },
            ("unblock", IqType::Set) => match addresses(element)? {
                jids if jids.is_empty() => Ok(Request::UnblockAll),
                jids => Ok(Request::Unblock(jids)),
            },
            _ => Err(ErrorCondition::BadRequest.into()),
        }
    }

    /// The type of the iq.
    #[must_use]
    pub const fn kind(&self) -> IqType {
        match self {
            Request::List => IqType::Get,
            _ => IqType::Set,
        }
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        match self {
            Request::List => list([]),
            Request::Block(jids) => block(jids.iter().map(Jid::as_str)),
            Request::Unblock(jids) => unblock(jids.iter().map(Jid::as_str)),
            Request::UnblockAll => unblock([]),
        }
    }
}

/// The content of the result: who is blocked (section 3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlockList {
    /// The addresses; each stands for itself and all that it includes.
    pub jids: Vec<Jid>,
}

impl BlockList {
    /// Reads it; `None` if the element is something else, or names something that is no address.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<BlockList> {
        if !element.is("blocklist", NS) {
            return None;
        }
        Some(BlockList { jids: addresses(element).ok()? })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        list(self.jids.iter().map(Jid::as_str))
    }
}

/// Writes `<blocklist/>` with these addresses: empty it is a request, otherwise the content of a result.
pub fn list<'j>(jids: impl IntoIterator<Item = &'j str>) -> Element {
    with_items(BLOCKLIST, jids)
}

/// Writes `<block/>` with these addresses.
pub fn block<'j>(jids: impl IntoIterator<Item = &'j str>) -> Element {
    with_items(BLOCK, jids)
}

/// Writes `<unblock/>` with these addresses; without one it means all.
pub fn unblock<'j>(jids: impl IntoIterator<Item = &'j str>) -> Element {
    with_items(UNBLOCK, jids)
}

/// The error for a user whose stanza goes to somebody whom that user has blocked (section 3.5).
#[must_use]
pub fn error() -> StanzaError {
    const BLOCKED: Name = Name::from_static("blocked");
    let mut error = StanzaError::new(ErrorCondition::NotAcceptable, "you have blocked this address");
    // Section 3.5 gives this condition another type than RFC 6120 section 8.3.3.9.
    error.kind = ErrorType::Cancel;
    error.application = Some(Box::new(Element::new(BLOCKED, ERRORS)));
    error
}

/// Whether an error is that one.
#[must_use]
pub fn is_error(error: &StanzaError) -> bool {
    error.application.as_ref().is_some_and(|application| application.root().is("blocked", ERRORS))
}

/// The addresses of the items. Other elements in between are passed over.
fn addresses(list: ElementRef<'_>) -> Result<Vec<Jid>, StanzaError> {
    let items = list.children().filter(|child| child.is("item", NS));
    items
        .map(|item| {
            let jid = item.attr("jid").ok_or(ErrorCondition::BadRequest)?;
            Jid::parse(jid).map_err(|_| ErrorCondition::JidMalformed)
        })
        .collect::<Result<_, ErrorCondition>>()
        .map_err(StanzaError::from)
}

fn with_items<'j>(name: Name, jids: impl IntoIterator<Item = &'j str>) -> Element {
    const ITEM: Name = Name::from_static("item");
    const JID: Name = Name::from_static("jid");
    let mut list = Element::new(name, NS);
    for jid in jids {
        list.push_child(Element::new(ITEM, NS).attr(JID, jid).root());
    }
    list
}
