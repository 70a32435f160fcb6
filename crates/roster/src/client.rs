//! The client's side of the roster protocol: what it writes, and what it reads of its server (RFC 6121 sections 2.1.3 to
//! 2.1.6).

use alloc::boxed::Box;

use balcony_jid::BareJid;
use balcony_stanza::ns;
use balcony_xml::{Element, ElementRef};

use crate::xml::{QUERY, VER, element, set};
use crate::{Change, Item, Request, Subscription};

impl Request {
    /// The `<query/>` of the iq get or set that asks for this.
    ///
    /// A [`Get`](Request::Get) has a version only if the server has announced versions (section 2.6.2); it is empty for a
    /// client that has no roster yet.
    #[must_use]
    pub fn to_element(&self) -> Element {
        let query = Element::new(QUERY, ns::ROSTER);
        match self {
            Request::Get { ver: Some(ver) } => query.attr(VER, ver),
            Request::Get { ver: None } => query,
            Request::Set(changed) => query.child(set(changed)),
            Request::Remove(contact) => query.child(element(contact, "remove")),
        }
    }
}

impl Item {
    /// Reads one `<item/>` of the result of a roster get; `None` if it has no valid bare address or a subscription that
    /// there is none of (section 2.1.2.5).
    #[must_use]
    pub fn read(item: ElementRef<'_>) -> Option<Item> {
        match Change::read(item)? {
            Change::Item(item) => Some(item),
            Change::Removed(_) => None,
        }
    }
}

impl Change {
    /// Reads the `<item/>` of a push; `None` as for [`Item::read`].
    #[must_use]
    pub fn read(item: ElementRef<'_>) -> Option<Change> {
        if !item.is("item", ns::ROSTER) {
            return None;
        }
        let jid = BareJid::parse(item.attr("jid")?).ok()?;
        let subscription = match item.attr("subscription") {
            None | Some("none") => Subscription::None,
            Some("to") => Subscription::To,
            Some("from") => Subscription::From,
            Some("both") => Subscription::Both,
            Some("remove") => return Some(Change::Removed(jid)),
            Some(_) => return None,
        };
        let groups = item.children().filter(|child| child.is("group", ns::ROSTER));
        let groups = groups.map(|group| group.text()).filter(|group| !group.is_empty());
        Some(Change::Item(Item {
            name: item.attr("name").filter(|name| !name.is_empty()).map(Box::from),
            groups: groups.map(Box::from).collect(),
            subscription,
            ask: item.attr("ask") == Some("subscribe"),
            approved: matches!(item.attr("approved"), Some("true" | "1")),
            jid,
        }))
    }
}
