//! One thing that is told of messages: a service and a node of it, the client that has enabled it, and how far that has got.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use core::time::Duration;

use balcony_jid::Jid;
use balcony_machine::{Instant, RecordReader, RecordWriter};
use balcony_stanza::{Payload, Stanza};
use balcony_xep::push::Enable;

/// How many messages are remembered of which a service was told.
const REMEMBERED: usize = 64;

/// A service that is told, of one client.
#[derive(Clone, PartialEq, Eq)]
pub struct Registration {
    /// Later ones have higher numbers.
    pub(super) number: u64,
    /// The resource of the client that has enabled it.
    pub(super) resource: Box<str>,
    pub(super) service: Jid,
    pub(super) node: Option<Box<str>>,
    /// The form of publish options, if there is one.
    pub(super) options: Payload,
    pub(super) progress: Progress,
}

/// All registrations of an account, by service and node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registrations {
    by_key: BTreeMap<Box<str>, Registration>,
    /// The number of the next one. None is used twice, so that the answer to what was sent for one that is gone is not taken for the
    /// answer to another at the same service and node.
    next: u64,
}

impl Registrations {
    /// Those that were kept.
    pub(super) fn new(by_key: BTreeMap<Box<str>, Registration>) -> Registrations {
        let last = by_key.values().map(|registration| registration.number).max();
        Registrations { by_key, next: last.map_or(0, |last| last.saturating_add(1)) }
    }

    /// The number for another one, by how long the server has run: if the account was loaded again those that are gone have left no trace
    /// of theirs here, and what was sent for them may still be on its way.
    pub(super) fn next(&self, uptime: Duration) -> u64 {
        self.next.max(u64::try_from(uptime.as_nanos()).unwrap_or(0))
    }

    /// Adds one, or puts it in the place of that with the same key.
    pub(super) fn insert(&mut self, key: Box<str>, registration: Registration) {
        self.next = self.next.max(registration.number.saturating_add(1));
        self.by_key.insert(key, registration);
    }

    pub(super) fn remove(&mut self, key: &str) -> Option<Registration> {
        self.by_key.remove(key)
    }

    pub(super) fn get_mut(&mut self, key: &str) -> Option<&mut Registration> {
        self.by_key.get_mut(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Box<str>, &Registration)> {
        self.by_key.iter()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &Registration> {
        self.by_key.values()
    }
}

/// How far a registration has got. It is in memory only.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// A notification is on its way to the service.
    pub(super) is_under_way: bool,
    /// When the latest was sent.
    pub(super) sent: Option<Instant>,
    /// When the next one is.
    pub(super) due: Option<Instant>,
    /// How many could not be sent since one was.
    pub(super) errors: u32,
    /// How many messages have come since the client was last seen.
    pub(super) count: u32,
    /// How many of them the service was told of.
    pub(super) told: u32,
    /// Who has sent the latest, and what it says, as far as that is told.
    pub(super) sender: Option<Jid>,
    pub(super) body: Option<Box<str>>,
    /// The [marks](mark) of the latest of them, the oldest first.
    remembered: VecDeque<u64>,
}

impl Progress {
    /// Whether a message with this mark is among the latest.
    pub(super) fn remembers(&self, mark: u64) -> bool {
        self.remembered.contains(&mark)
    }

    pub(super) fn remember(&mut self, mark: u64) {
        if self.remembered.len() == REMEMBERED {
            self.remembered.pop_front();
        }
        self.remembered.push_back(mark);
    }

    /// The client has been there: what had come before is nothing new, and what waits once more is.
    pub(super) fn begin_anew(&mut self) {
        (self.count, self.told) = (0, 0);
        self.remembered.clear();
    }
}

impl Registration {
    /// What a client of this resource has enabled.
    pub(super) fn new(number: u64, resource: &str, enable: &Enable<'_>) -> Registration {
        Registration {
            number,
            resource: resource.into(),
            service: enable.jid.clone(),
            node: enable.node.as_deref().map(Into::into),
            options: enable.options.as_ref().map(|options| options.to_element().into()).unwrap_or_default(),
            progress: Progress::default(),
        }
    }

    /// By what it is found: an address has no line breaks.
    pub(super) fn key(service: &Jid, node: Option<&str>) -> String {
        match node {
            Some(node) => format!("{service}\n{node}"),
            None => service.as_str().into(),
        }
    }

    /// As it is kept under its key.
    pub(super) fn write(&self) -> Vec<u8> {
        let mut record = RecordWriter::default();
        record.number(self.number).bytes(&*self.resource).bytes(self.options.as_bytes());
        record.into_bytes()
    }

    /// What was kept so, if it is not damaged.
    pub(super) fn read(key: &str, bytes: &[u8]) -> Option<Registration> {
        let (service, node) = match key.split_once('\n') {
            Some((service, node)) => (service, Some(node)),
            None => (key, None),
        };
        let mut record = RecordReader::new(bytes);
        let registration = Registration {
            number: record.number()?,
            resource: record.text()?.into(),
            service: Jid::parse(service).ok()?,
            node: node.map(Into::into),
            options: Payload::from_bytes(record.bytes()?).ok()?,
            progress: Progress::default(),
        };
        record.is_at_end().then_some(registration)
    }
}

/// What the service wants back may be a secret, and a node may name a device.
impl fmt::Debug for Registration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registration")
            .field("resource", &self.resource)
            .field("service", &self.service)
            .field("count", &self.progress.count)
            .finish_non_exhaustive()
    }
}

/// By what a message is known again that has waited for one client, and then for whoever comes: its sender, its id and what it says, but
/// not since when it waits.
pub(super) fn mark(message: &Stanza, body: Option<&str>) -> u64 {
    // FNV-1a. Nothing but a second notification depends on it.
    let head = &message.head;
    let from = head.from.as_ref().map_or("", Jid::as_str);
    let texts = [from, head.id.as_deref().unwrap_or(""), body.unwrap_or("")];
    let bytes = texts.into_iter().flat_map(|text| text.bytes().chain([0xff]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
    use balcony_xep::push::PUBLISH_OPTIONS;

    use super::*;

    // XEP-0357 0.4.1 §5 [PN4]: what is kept is what was enabled, and names it.
    #[test]
    fn what_is_kept_is_read() {
        let jid: Jid = "push.example/\u{e9} x".parse().unwrap();
        let form = DataForm::new(FormKind::Submit).with(Field::hidden("FORM_TYPE", PUBLISH_OPTIONS));
        let options = form.with(Field::new(FieldKind::TextSingle, "secret").valued("s3cret"));
        for node in [None, Some(""), Some("a\nb")] {
            let node_text = node.map(Into::into);
            let enable = Enable { jid: jid.clone(), node: node_text, options: Some(options.clone()) };
            let registration = Registration::new(7, "phone", &enable);
            let key = Registration::key(&jid, node);
            let kept = registration.write();
            assert_eq!(Registration::read(&key, &kept), Some(registration.clone()));
            assert!(!std::format!("{registration:?}").contains("s3cret"));
            for end in 0..kept.len() {
                assert_eq!(Registration::read(&key, &kept[..end]), None);
            }
        }
    }
}
