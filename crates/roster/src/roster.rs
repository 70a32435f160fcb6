//! The roster of one account: its items, the requests that wait, and which changes a client has missed.
//!
//! What the user's clients ask and set is dealt with here (RFC 6121 sections 2.2 to 2.6). The presence that manages subscriptions
//! is in `presence.rs`, what a stanza does to a state in `subscription.rs`, and the XML in `xml.rs`.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{PresenceType, Stanza};

use crate::{Answer, Change, Decision, Error, Item, Push, RosterConfig, Set, State, Subscription, Version};

/// The roster of one account, and how the account stands with each contact: see the [crate documentation](crate).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Roster {
    pub(crate) owner: BareJid,
    pub(crate) config: RosterConfig,
    pub(crate) items: BTreeMap<BareJid, Item>,
    /// A contact is pending in exactly if its request is here; such a contact may have no item.
    pub(crate) requests: BTreeMap<BareJid, Arc<Stanza>>,
    version: Version,
    /// Who was changed by the latest pushes. The last of them made `version`, each before it the version before.
    changes: VecDeque<BareJid>,
}

/// All that a store has to keep of a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The version.
    pub version: Version,
    /// The items, in any order.
    pub items: Vec<Item>,
    /// The subscription requests that wait for the user, each as it came. The sender is the contact.
    pub requests: Vec<Arc<Stanza>>,
    /// Who was changed by the latest pushes, the latest last. Without it clients have to load the whole roster again.
    pub changes: Vec<BareJid>,
}

impl Roster {
    /// An empty roster. Its first version should be a random number, so that no client takes it for one that the
    /// account had earlier.
    #[must_use]
    pub const fn new(owner: BareJid, version: Version, config: RosterConfig) -> Self {
        Roster {
            owner,
            config,
            items: BTreeMap::new(),
            requests: BTreeMap::new(),
            version,
            changes: VecDeque::new(),
        }
    }

    /// The roster that a store has kept.
    ///
    /// What can't be is left out: the later of two items or requests of one contact wins, and what is granted is not pending,
    /// and what is granted or pending is not pre-approved. Bounds hold for what comes later.
    #[must_use]
    pub fn from_parts(owner: BareJid, parts: Parts, config: RosterConfig) -> Self {
        let mut roster = Roster::new(owner, parts.version, config);
        let items = parts.items.into_iter().map(|mut item| {
            item.ask &= !item.subscription.has_to();
            item.approved &= !item.subscription.has_from();
            (item.jid.clone(), item)
        });
        // All at once, which fills the nodes of the map: one by one, in order, they would be half empty.
        roster.items = items.collect();
        for request in parts.requests {
            let Some(contact) = request.head.from.as_ref().map(Jid::to_bare) else { continue };
            if let Some(item) = roster.items.get_mut(&contact) {
                item.approved = false;
            }
            if !roster.is_subscriber(&contact) {
                roster.requests.insert(contact, request);
            }
        }
        roster.changes = parts.changes.into();
        roster.shorten_changes();
        roster
    }

    /// What a store has to keep.
    #[must_use]
    pub fn to_parts(&self) -> Parts {
        Parts {
            version: self.version,
            items: self.items.values().cloned().collect(),
            requests: self.requests.values().cloned().collect(),
            changes: self.changes.iter().cloned().collect(),
        }
    }

    /// Whose roster it is.
    #[must_use]
    pub const fn owner(&self) -> &BareJid {
        &self.owner
    }

    /// The current version.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// All items, in the order of their addresses.
    pub fn items(&self) -> impl ExactSizeIterator<Item = &Item> {
        self.items.values()
    }

    /// What the roster shows of the contact.
    #[must_use]
    pub fn item(&self, contact: &BareJid) -> Option<&Item> {
        self.items.get(contact)
    }

    /// The subscription requests that wait for the user. Each resource gets all of them when it becomes available
    /// (RFC 6121 section 3.1.3).
    pub fn requests(&self) -> impl ExactSizeIterator<Item = &Arc<Stanza>> {
        self.requests.values()
    }

    /// The contact's subscription request, if it waits for the user.
    #[must_use]
    pub fn request(&self, contact: &BareJid) -> Option<&Arc<Stanza>> {
        self.requests.get(contact)
    }

    /// How the user stands with the contact, who need not be in the roster.
    #[must_use]
    pub fn state(&self, contact: &BareJid) -> State {
        let (subscription, ask) =
            self.item(contact).map_or((Subscription::None, false), |item| (item.subscription, item.ask));
        State::new(subscription, ask, self.requests.contains_key(contact))
    }

    /// Whether the contact may see the user's presence (RFC 6121 sections 4.3.2 and 8.5.3.1). Asking changes nothing: a
    /// probe that is refused takes no pre-approval away.
    #[must_use]
    pub fn is_subscriber(&self, contact: &BareJid) -> bool {
        self.item(contact).is_some_and(|item| item.subscription.has_from())
    }

    /// Who gets the user's presence when it is broadcast (RFC 6121 sections 4.2.2, 4.4.2 and 4.5.2).
    pub fn subscribers(&self) -> impl Iterator<Item = &BareJid> {
        self.items().filter(|item| item.subscription.has_from()).map(|item| &item.jid)
    }

    /// Whom the server probes when the user becomes available (RFC 6121 section 4.2.2).
    pub fn probed(&self) -> impl Iterator<Item = &BareJid> {
        self.items().filter(|item| item.subscription.has_to()).map(|item| &item.jid)
    }

    /// Who has not answered the user's request; it may be sent again from time to time (RFC 6121 section 3.1.2).
    pub fn asked(&self) -> impl Iterator<Item = &BareJid> {
        self.items().filter(|item| item.ask).map(|item| &item.jid)
    }

    /// Answers a roster get (RFC 6121 sections 2.2 and 2.6); `since` is its attribute `ver`. The resource that has asked is
    /// interested from now on.
    #[must_use]
    pub fn get(&self, since: Option<&str>) -> Answer {
        let missed = since.and_then(|version| version.parse().ok()).and_then(|v| self.since(Version(v)));
        match missed {
            Some(pushes) if pushes.len() <= self.items.len() => Answer::Since(pushes),
            // Unknown, or shorter in whole.
            _ => Answer::Whole(self.to_element()),
        }
    }

    /// One push for each contact that has changed since then, as it is now, in the order of the changes.
    fn since(&self, earlier: Version) -> Option<Vec<Push>> {
        let missed = usize::try_from(self.version.since(earlier)).ok()?;
        let start = self.changes.len().checked_sub(missed)?;
        let mut seen = BTreeSet::new();
        let mut pushes = Vec::new();
        let mut version = self.version.0;
        for contact in self.changes.range(start..).rev() {
            if seen.insert(contact) {
                pushes.push(Push { version: Version(version), change: self.change(contact) });
            }
            version = version.wrapping_sub(1);
        }
        pushes.reverse();
        Some(pushes)
    }

    /// Adds an item or replaces what the user has said about it (RFC 6121 sections 2.3 and 2.4).
    ///
    /// # Errors
    ///
    /// [`Error`], and nothing has changed, if the set breaks a rule or the roster is full.
    pub fn set(&mut self, set: Set, decisions: &mut Vec<Decision>) -> Result<(), Error> {
        set.check(&self.config)?;
        if set.jid == self.owner {
            return Err(Error::OwnJid);
        }
        if !self.has_room(&set.jid, set.size()) {
            return Err(Error::Full);
        }
        let item = self.item_mut(&set.jid)?;
        item.name = set.name.filter(|name| !name.is_empty());
        item.groups = set.groups;
        let push = self.push(&set.jid);
        decisions.extend([Decision::Save(set.jid), push, Decision::Result]);
        Ok(())
    }

    /// Removes an item, and with it all subscriptions, requests and approvals (RFC 6121 section 2.5).
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] if there is no such item.
    pub fn remove(&mut self, contact: &BareJid, decisions: &mut Vec<Decision>) -> Result<(), Error> {
        let state = self.state(contact);
        self.items.remove(contact).ok_or(Error::NotFound)?;
        self.requests.remove(contact);
        decisions.extend([Decision::Save(contact.clone()), self.push(contact)]);
        // The RFC names the subscriptions only. Requests end the same way, or the contact's server would keep them.
        if state.subscription().has_to() || state.is_pending_out() {
            decisions.push(self.send(PresenceType::Unsubscribe, contact));
        }
        if state.subscription().has_from() {
            decisions.push(Decision::Unavailable(contact.clone()));
        }
        if state.subscription().has_from() || state.is_pending_in() {
            decisions.push(self.send(PresenceType::Unsubscribed, contact));
        }
        decisions.push(Decision::Result);
        Ok(())
    }

    /// The item, made if need be.
    pub(crate) fn item_mut(&mut self, contact: &BareJid) -> Result<&mut Item, Error> {
        if !self.items.contains_key(contact)
            && (self.items.len() >= self.config.items || !self.has_room(contact, contact.as_str().len()))
        {
            return Err(Error::Full);
        }
        Ok(self.items.entry(contact.clone()).or_insert_with(|| Item::new(contact.clone())))
    }

    /// Whether the item may be of this size. What becomes smaller always may.
    fn has_room(&self, contact: &BareJid, size: usize) -> bool {
        let now = self.item(contact).map_or(0, Item::size);
        size <= now || self.items.values().map(Item::size).sum::<usize>() - now + size <= self.config.bytes
    }

    /// The item has changed, in a way that clients see.
    pub(crate) fn push(&mut self, contact: &BareJid) -> Decision {
        self.version = self.version.next();
        self.changes.push_back(contact.clone());
        self.shorten_changes();
        Decision::Push(Push { version: self.version, change: self.change(contact) })
    }

    /// What the server itself says to the contact, for the user.
    pub(crate) fn send(&self, kind: PresenceType, contact: &BareJid) -> Decision {
        Decision::Send(Stanza::presence(kind).with_from(self.owner.to_jid()).with_to(contact.to_jid()))
    }

    fn change(&self, contact: &BareJid) -> Change {
        self.item(contact).map_or_else(|| Change::Removed(contact.clone()), |item| Change::Item(item.clone()))
    }

    fn shorten_changes(&mut self) {
        let excess = self.changes.len().saturating_sub(self.config.changes);
        self.changes.drain(..excess);
    }
}
