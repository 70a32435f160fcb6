//! The element `<query xmlns='jabber:iq:roster'/>`: reading what clients ask, writing what they get (RFC 6121 section 2.1).

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_stanza::{Head, IqType, Kind, ns};
use balcony_xml::{Element, ElementRef, Name};

use crate::{Change, Error, Item, Push, Roster, RosterConfig, Set, Version};

pub(crate) const QUERY: Name = Name::from_static("query");
pub(crate) const VER: Name = Name::from_static("ver");
const ITEM: Name = Name::from_static("item");
const JID: Name = Name::from_static("jid");

/// What a client asks of its roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// All of it, or what has changed: for [`Roster::get`].
    Get {
        /// The version that the client has, if it has one.
        ver: Option<Box<str>>,
    },
    /// A new or changed item: for [`Roster::set`].
    Set(Set),
    /// An item less: for [`Roster::remove`].
    Remove(BareJid),
}

impl Request {
    /// Reads the `<query/>` of an iq get or set.
    ///
    /// Of `subscription` only the value `remove` has a meaning here, and `ask` and `approved` have none: they are ignored
    /// (RFC 6121 section 2.1.2).
    ///
    /// # Errors
    ///
    /// [`Error::Forbidden`] if the iq is addressed to another account than the sender's, [`Error::NotOneItem`],
    /// [`Error::NoJid`] or [`Error::Jid`] if a set is not one of one bare address.
    pub fn read(head: &Head, query: ElementRef<'_>) -> Result<Self, Error> {
        if let Some(to) = &head.to
            && head.from.as_ref().is_none_or(|from| !from.same_bare(to))
        {
            return Err(Error::Forbidden);
        }
        if head.kind == Kind::Iq(IqType::Get) {
            return Ok(Request::Get { ver: query.attr("ver").map(Box::from) });
        }
        let mut items = query.children().filter(|child| child.is("item", ns::ROSTER));
        let (Some(item), None) = (items.next(), items.next()) else { return Err(Error::NotOneItem) };
        let jid = BareJid::parse(item.attr("jid").ok_or(Error::NoJid)?).map_err(Error::Jid)?;
        if item.attr("subscription") == Some("remove") {
            return Ok(Request::Remove(jid));
        }
        let groups = item.children().filter(|child| child.is("group", ns::ROSTER));
        Ok(Request::Set(Set {
            jid,
            name: item.attr("name").map(Box::from),
            groups: groups.map(|group| Box::from(group.text())).collect(),
        }))
    }
}

impl Roster {
    /// The whole roster as a `<query/>`.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let mut query = query(self.version());
        for item in self.items() {
            query.push_child(item.to_element().root());
        }
        query
    }
}

impl Push {
    /// The push as a `<query/>`, the child of an iq set.
    #[must_use]
    pub fn to_element(&self) -> Element {
        query(self.version).child(match &self.change {
            Change::Item(item) => item.to_element(),
            Change::Removed(jid) => element(jid, "remove"),
        })
    }
}

impl Item {
    fn to_element(&self) -> Element {
        const ASK: Name = Name::from_static("ask");
        const APPROVED: Name = Name::from_static("approved");
        let mut item = element(&self.jid, self.subscription.name());
        push_name(&mut item, self.name.as_deref());
        if self.ask {
            item.push_attr(ASK, "subscribe");
        }
        if self.approved {
            item.push_attr(APPROVED, "true");
        }
        push_groups(&mut item, &self.groups);
        item
    }
}

impl RosterConfig {
    /// What the server announces among the features of an authenticated stream (RFC 6121 sections 2.6.1 and 3.4.1).
    #[must_use]
    pub fn features(&self) -> Vec<Element> {
        const SUB: Name = Name::from_static("sub");
        let mut features = alloc::vec![Element::new(VER, "urn:xmpp:features:rosterver")];
        if self.pre_approval {
            features.push(Element::new(SUB, "urn:xmpp:features:pre-approval"));
        }
        features
    }
}

fn query(version: Version) -> Element {
    Element::new(QUERY, ns::ROSTER).attr(VER, version.to_string())
}

/// What a client may say of a contact: neither `ask` nor `approved` (RFC 6121 section 2.1.2).
pub(crate) fn set(set: &Set) -> Element {
    let mut item = Element::new(ITEM, ns::ROSTER).attr(JID, set.jid.as_str());
    push_name(&mut item, set.name.as_deref());
    push_groups(&mut item, &set.groups);
    item
}

fn push_name(item: &mut Element, name: Option<&str>) {
    const NAME: Name = Name::from_static("name");
    if let Some(name) = name {
        item.push_attr(NAME, name);
    }
}

fn push_groups(item: &mut Element, groups: &[Box<str>]) {
    const GROUP: Name = Name::from_static("group");
    for group in groups {
        item.push_child(Element::new(GROUP, ns::ROSTER).text(group).root());
    }
}

pub(crate) fn element(jid: &BareJid, subscription: &str) -> Element {
    const SUBSCRIPTION: Name = Name::from_static("subscription");
    Element::new(ITEM, ns::ROSTER).attr(JID, jid.as_str()).attr(SUBSCRIPTION, subscription)
}
