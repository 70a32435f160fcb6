//! Who is there, and what they say of themselves, within bounds: most of it comes from strangers' clients.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;

use balcony_jid::BareJid;
use balcony_stanza::Texts;

use crate::Presence;

/// Resources that are kept of one contact. The name of one has at most 1,023 bytes.
const RESOURCES: usize = 256;
/// Bytes of the statuses of one contact's resources.
const CONTACT_BYTES: usize = 64 << 10;
/// Bytes of all statuses.
const BYTES: usize = 4 << 20;

/// The resources that are there, of each contact.
#[derive(Clone, Debug, Default)]
pub(crate) struct Present {
    contacts: BTreeMap<BareJid, BTreeMap<Box<str>, Presence>>,
    /// Those of all statuses.
    bytes: usize,
}

fn bytes(presence: &Presence) -> usize {
    presence.statuses.iter().map(|(lang, status)| lang.len() + status.len() + size_of::<[&str; 2]>()).sum()
}

impl Present {
    /// Keeps what a resource says of itself, without its status if there is no room for that. Whether it is new.
    pub(crate) fn insert(&mut self, contact: BareJid, resource: &str, mut presence: Presence) -> bool {
        let resources = self.contacts.entry(contact).or_default();
        if resources.len() >= RESOURCES && !resources.contains_key(resource) {
            return false;
        }
        let before = resources.get(resource).map_or(0, bytes);
        let of_contact: usize = resources.values().map(bytes).sum();
        let more = bytes(&presence);
        if of_contact - before + more > CONTACT_BYTES || self.bytes - before + more > BYTES {
            presence.statuses = Texts::default();
        }
        if resources.get(resource) == Some(&presence) {
            return false;
        }
        self.bytes = self.bytes - before + bytes(&presence);
        resources.insert(resource.into(), presence);
        true
    }

    /// One resource has gone. Whether it was there.
    pub(crate) fn remove(&mut self, contact: &BareJid, resource: &str) -> bool {
        let Some(resources) = self.contacts.get_mut(contact) else { return false };
        let gone = resources.remove(resource);
        if resources.is_empty() {
            self.contacts.remove(contact);
        }
        self.bytes -= gone.as_ref().map_or(0, bytes);
        gone.is_some()
    }

    /// All resources of a contact have gone. Whether any was there.
    pub(crate) fn remove_all(&mut self, contact: &BareJid) -> bool {
        let gone = self.contacts.remove(contact).unwrap_or_default();
        self.bytes -= gone.values().map(bytes).sum::<usize>();
        !gone.is_empty()
    }

    /// Keeps these contacts.
    pub(crate) fn retain(&mut self, mut is_kept: impl FnMut(&BareJid) -> bool) {
        self.contacts.retain(|contact, _| is_kept(contact));
        self.bytes = self.contacts.values().flat_map(BTreeMap::values).map(bytes).sum();
    }

    /// Those of a contact.
    pub(crate) fn get(&self, contact: &str) -> Option<&BTreeMap<Box<str>, Presence>> {
        self.contacts.get(contact)
    }
}
