//! What a client knows of the people around its user, from the stanzas that it is shown (RFC 6121 sections 2 to 4).
//!
//! It sends nothing and approves nobody. What it keeps is bounded, since most of it comes from strangers.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Change, Item, Request};
use balcony_stanza::{IqType, Kind, Payload, PresenceType, Stanza, ns};
use balcony_stream::client::ServerFeatures;

use crate::Presence;
use crate::present::Present;

/// Contacts that are kept; a server has fewer.
const ITEMS: usize = 100_000;
/// Bytes of their addresses, names and groups.
const ITEM_BYTES: usize = 16 << 20;
/// Requests that are kept until they are answered. An address has at most 2,047 bytes.
const REQUESTS: usize = 1_000;

/// What a client knows of the people around its user: the roster, who of them is there, and who asks to be let in (RFC 6121
/// sections 2 to 4).
///
/// It is a value that reads along. When the client is online, send the request that [`get`](Contacts::get) makes, give its
/// result to [`load`](Contacts::load), and send initial presence after that (section 2.2). Then give every stanza that comes
/// to [`take`](Contacts::take), which says what is new. After a lost connection call [`offline`](Contacts::offline) and begin
/// again: where the server has versions only the changes are sent.
///
/// It keeps at most 100,000 contacts and 16 MiB of their names and groups, and of each contact 256 resources; of what these say of themselves
/// 64 KiB of each contact and 4 MiB altogether: without room for a status it is left out. Of requests it keeps 1,000.
///
/// Approving a request, or asking somebody, is presence of the types `subscribed`, `unsubscribed`, `subscribe` and
/// `unsubscribe` to a bare address; what comes of it arrives here as a push of the roster. Nothing is approved unasked.
///
/// ```
/// use balcony_client::{Contacts, News};
/// use balcony_stanza::Stanza;
///
/// let mut contacts = Contacts::new("juliet@example.com".parse()?);
/// let stanza = |xml: &str| Stanza::parse(xml.as_bytes()).unwrap();
/// contacts.load(&stanza(
///     "<iq type='result' id='1'><query xmlns='jabber:iq:roster' ver='1'>\
///      <item jid='romeo@example.net' subscription='both'/></query></iq>",
/// ));
///
/// let news = contacts.take(&stanza("<presence from='romeo@example.net/garden'><show>away</show></presence>"));
/// assert_eq!(news, Some(News::Available("romeo@example.net/garden".parse()?)));
///
/// // Whoever asks to be let in waits until the user says so.
/// let news = contacts.take(&stanza("<presence type='subscribe' from='paris@example.com'/>"));
/// assert_eq!(news, Some(News::Request("paris@example.com".parse()?)));
/// # Ok::<(), balcony_jid::JidError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Contacts {
    account: BareJid,
    /// The version of the roster; only the server knows what it means.
    ver: Box<str>,
    /// The roster has come in this session, so that each push leads from the version before it to its own.
    is_loaded: bool,
    items: BTreeMap<BareJid, Item>,
    /// Bytes of these.
    item_bytes: usize,
    present: Present,
    requests: BTreeSet<BareJid>,
}

/// What a contact costs, in bytes.
fn bytes(item: &Item) -> usize {
    let Item { jid, name, groups, .. } = item;
    jid.as_str().len()
        + name.as_ref().map_or(0, |name| name.len())
        + groups.iter().map(|group| group.len()).sum::<usize>()
}

/// Something new about somebody.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// The roster has changed.
    Roster(Change),
    /// A resource of a contact, or of the own account, has come or says something else now.
    Available(Jid),
    /// A resource has gone. A bare address: all that the contact had.
    Unavailable(Jid),
    /// Somebody asks to see the user's presence, and waits for an answer.
    Request(BareJid),
    /// The contact has let the user see its presence.
    Approved(BareJid),
    /// The contact has refused that, or has ended it.
    Refused(BareJid),
    /// The contact does not want to see the user's presence any longer.
    Left(BareJid),
}

impl Contacts {
    /// Nothing is known yet of the contacts of this account.
    #[must_use]
    pub fn new(account: BareJid) -> Self {
        Contacts {
            account,
            ver: Box::default(),
            is_loaded: false,
            items: BTreeMap::new(),
            item_bytes: 0,
            present: Present::default(),
            requests: BTreeSet::new(),
        }
    }

    /// What was kept of [`version`](Contacts::version) and [`items`](Contacts::items).
    #[must_use]
    pub fn cached(account: BareJid, ver: &str, items: impl IntoIterator<Item = Item>) -> Self {
        let mut contacts = Contacts { ver: ver.into(), ..Contacts::new(account) };
        items.into_iter().for_each(|item| {
            contacts.keep(item);
        });
        contacts
    }

    /// Keeps a contact, in the place of the one with its address. Whether there was room.
    fn keep(&mut self, item: Item) -> bool {
        let known = self.items.get(&item.jid);
        let after = self.item_bytes - known.map_or(0, bytes) + bytes(&item);
        let has_room = after <= ITEM_BYTES && (known.is_some() || self.items.len() < ITEMS);
        if has_room {
            self.item_bytes = after;
            self.items.insert(item.jid.clone(), item);
        }
        has_room
    }

    /// The content of the iq get that asks the own server for the roster (section 2.2): for all of it, or, if the server
    /// has announced versions, for what is new (section 2.6.2).
    #[must_use]
    pub fn get(&self, features: ServerFeatures) -> Payload {
        let ver = features.roster_versions.then(|| self.ver.clone());
        Request::Get { ver }.to_element().into()
    }

    /// Takes the result of that request. One without `<query/>` says that what is known is right, or will be when the
    /// pushes that follow are here (section 2.6.3).
    pub fn load(&mut self, result: &Stanza) {
        let Ok(content) = result.payload.parse() else { return };
        self.is_loaded = true;
        let Some(query) = content.root().child("query", ns::ROSTER) else { return };
        self.ver = query.attr("ver").unwrap_or_default().into();
        (self.items, self.item_bytes) = (BTreeMap::new(), 0);
        query.children().filter_map(Item::read).for_each(|item| {
            self.keep(item);
        });
        let (items, account) = (&self.items, &self.account);
        self.present.retain(|contact| contact == account || items.contains_key(contact));
        for item in self.items.values().filter(|item| item.subscription.has_from()) {
            self.requests.remove(&item.jid);
        }
    }

    /// Reads a stanza; `None` if it says nothing new about anybody.
    ///
    /// A push of the roster counts if the own server has sent it, in the name of the account or in none (section 2.1.6).
    /// Presence counts if it is that of a contact or of the own account.
    pub fn take(&mut self, stanza: &Stanza) -> Option<News> {
        match stanza.head.kind {
            Kind::Iq(IqType::Set) => self.push(stanza).map(News::Roster),
            Kind::Presence(kind) => self.presence(kind, stanza),
            _ => None,
        }
    }

    fn push(&mut self, stanza: &Stanza) -> Option<Change> {
        if stanza.head.from.as_ref().is_some_and(|from| from.as_str() != self.account.as_str()) {
            return None;
        }
        let content = stanza.payload.parse().ok()?;
        let query = content.root().child("query", ns::ROSTER)?;
        let mut items = query.children();
        let (Some(item), None) = (items.next(), items.next()) else { return None };
        let change = Change::read(item)?;
        match &change {
            Change::Item(item) => {
                if !self.keep(item.clone()) {
                    return None;
                }
                if item.subscription.has_from() {
                    self.requests.remove(&item.jid);
                }
                if !item.subscription.has_to() {
                    self.present.remove_all(&item.jid);
                }
            }
            Change::Removed(contact) => {
                self.item_bytes -= self.items.remove(contact).as_ref().map_or(0, bytes);
                self.present.remove_all(contact);
                self.requests.remove(contact);
            }
        }
        // Without what came before it the roster is not yet of this version: with that the server would say of it next time that it is right.
        if self.is_loaded
            && let Some(ver) = query.attr("ver")
        {
            self.ver = ver.into();
        }
        Some(change)
    }

    fn presence(&mut self, kind: PresenceType, stanza: &Stanza) -> Option<News> {
        let from = stanza.head.from.as_ref()?;
        let contact = from.to_bare();
        match kind {
            PresenceType::Available => self.available(from, contact, stanza),
            PresenceType::Unavailable => self.unavailable(from, &contact),
            PresenceType::Subscribe => {
                let is_new = self.requests.len() < REQUESTS && self.requests.insert(contact.clone());
                is_new.then_some(News::Request(contact))
            }
            PresenceType::Subscribed => Some(News::Approved(contact)),
            PresenceType::Unsubscribed => {
                self.present.remove_all(&contact);
                Some(News::Refused(contact))
            }
            PresenceType::Unsubscribe => {
                self.requests.remove(&contact);
                Some(News::Left(contact))
            }
            PresenceType::Probe | PresenceType::Error => None,
        }
    }

    fn available(&mut self, from: &Jid, contact: BareJid, stanza: &Stanza) -> Option<News> {
        if contact != self.account && !self.items.contains_key(&contact) {
            return None;
        }
        let resource = from.resourcepart().unwrap_or_default();
        let is_new = self.present.insert(contact, resource, Presence::read(stanza));
        is_new.then(|| News::Available(from.clone()))
    }

    /// From a bare address it is the end of all resources (section 4.5.4). Of somebody who was not there it says nothing: a
    /// server may answer a request like that (section 3.1.3).
    fn unavailable(&mut self, from: &Jid, contact: &BareJid) -> Option<News> {
        let was_there = match from.resourcepart() {
            Some(resource) => self.present.remove(contact, resource),
            None => self.present.remove_all(contact),
        };
        was_there.then(|| News::Unavailable(from.clone()))
    }

    /// The user has answered the request of this contact, or does not want to be reminded of it.
    pub fn answered(&mut self, contact: &BareJid) {
        self.requests.remove(contact);
    }

    /// The connection is over: nobody is there any more as far as anybody knows, and requests will be asked again. The
    /// roster stays.
    pub fn offline(&mut self) {
        self.present = Present::default();
        self.requests.clear();
        self.is_loaded = false;
    }

    /// The version of the roster, to be kept with its [`items`](Contacts::items); empty if there is none.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.ver
    }

    /// The roster, in the order of the addresses.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &Item> {
        self.items.values()
    }

    /// The contact of this address.
    #[must_use]
    pub fn item(&self, contact: &BareJid) -> Option<&Item> {
        self.items.get(contact)
    }

    /// What a resource says of itself; `None` if it is not there.
    #[must_use]
    pub fn presence_of(&self, resource: &Jid) -> Option<&Presence> {
        let resources = self.present.get(resource.bare_str())?;
        resources.get(resource.resourcepart().unwrap_or_default())
    }

    /// The resources of a contact, or of the own account, that are there. The name is empty for a contact that has none.
    pub fn resources(&self, contact: &BareJid) -> impl Iterator<Item = (&str, &Presence)> {
        self.present
            .get(contact.as_str())
            .into_iter()
            .flatten()
            .map(|(resource, presence)| (&**resource, presence))
    }

    /// Who asks to see the user's presence and has no answer yet.
    pub fn requests(&self) -> impl ExactSizeIterator<Item = &BareJid> {
        self.requests.iter()
    }
}
