//! Messages and requests that the harness sends itself, numbered, so that order and loss show whatever else an input does.
//!
//! Between one sender and one address order is kept (RFC 6120 section 10.1), but for what has come to a session that ends and has not
//! acknowledged it: that comes again to another. Nothing arrives twice on one connection. What the
//! server has taken arrives, or waits in the store, or comes back to its sender.

use std::collections::{BTreeMap, BTreeSet};

use balcony_machine::XmlLimits;
use balcony_stanza::{Kind, MessageType, Stanza};
use balcony_xml::{Reader, Token};
use memchr::memmem;

/// Ids begin with it. An input in which it stands could make ids of its own, and nothing is counted.
const PREFIX: &str = "fuzz-nr-";
const HEADER: &[u8] = b"<s:stream xmlns='jabber:client' xmlns:s='http://etherx.jabber.org/streams'>";

/// Everything that was sent with a number.
#[derive(Debug)]
pub struct Numbered {
    counts: bool,
    sent: Vec<Sent>,
    /// Which have been in a store.
    stored: BTreeSet<usize>,
    /// Which were under way when a connection ended: those that were for that come behind later ones.
    late: BTreeSet<usize>,
    /// The highest number that has come from a sender, to an address, on a connection, in one of these ways.
    highest: BTreeMap<(String, String, u64, Way), usize>,
    /// Which have come on which connections.
    come: BTreeSet<(usize, u64)>,
    /// The connections that have ended.
    ended: BTreeSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sent {
    /// It must be found when nothing is under way any more, unless this sender ends.
    Open(u64),
    /// It has been on the wire.
    Seen,
    /// What became of it can't be known: a connection ended meanwhile, or its own was no longer in order, or whoever it waits for
    /// has blocked somebody.
    Lost,
}

/// How it came. What comes in one way may overtake what comes in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// It did not have to wait.
    Straight,
    /// It has waited for a session that has ended: it comes when that is known.
    Late,
    /// It was in a store: it comes with presence.
    Stored,
}

impl Numbered {
    /// Nothing yet, of an input.
    #[must_use]
    pub fn new(input: &[u8]) -> Self {
        let forged = contains(input, PREFIX.as_bytes());
        Numbered {
            counts: !forged,
            sent: Vec::new(),
            stored: BTreeSet::new(),
            late: BTreeSet::new(),
            highest: BTreeMap::new(),
            come: BTreeSet::new(),
            ended: BTreeSet::new(),
        }
    }

    /// The next one, to an address. `before` is what its sender has sent on this connection: when that isn't whole elements, or
    /// when the stream isn't `open`, this is no stanza.
    pub fn next(&mut self, is_request: bool, to: &str, sender: u64, before: &[u8], open: bool) -> Vec<u8> {
        let id = id(self.sent.len());
        let stanza = if is_request {
            format!("<iq type='get' to='{to}' id='{id}'><query xmlns='urn:example:fuzz'/></iq>")
        } else {
            format!("<message type='chat' to='{to}' id='{id}'><body>{id}</body></message>")
        };
        let counted = self.counts && open && is_between_elements(before);
        self.sent.push(if counted { Sent::Open(sender) } else { Sent::Lost });
        stanza.into_bytes()
    }

    /// A stanza has come to somebody on a connection.
    ///
    /// # Panics
    ///
    /// If it has been overtaken, or has come before; but what has come to somebody who is gone, and was not acknowledged (XEP-0198), may
    /// come to somebody else.
    pub fn arrived(&mut self, stanza: &Stanza, connection: u64) {
        let head = &stanza.head;
        let is_first_hand = match head.kind {
            Kind::Message(kind) => kind != MessageType::Error,
            Kind::Iq(_) => stanza.result().is_some(),
            Kind::Presence(_) => false,
        };
        let number = head.id.as_deref().and_then(|id| id.strip_prefix(PREFIX)?.parse::<usize>().ok());
        let (Some(number), Some(from), Some(to)) = (number, &head.from, &head.to) else { return };
        if !is_first_hand || !self.counts {
            return;
        }
        assert!(self.come.insert((number, connection)), "number {number} came twice");
        let has_come_to = self.come.range((number, 0)..=(number, u64::MAX));
        if has_come_to.map(|(_, connection)| connection).any(|connection| self.ended.contains(connection)) {
            return;
        }
        if self.late.contains(&number) {
            return;
        }
        let has_waited = contains(stanza.payload.as_bytes(), b"urn:xmpp:delay");
        let way = match (self.stored.contains(&number), has_waited) {
            (true, _) => Way::Stored,
            (false, true) => Way::Late,
            (false, false) => Way::Straight,
        };
        let pair = (from.to_string(), to.to_string(), connection, way);
        if let Some(highest) = self.highest.get(&pair) {
            assert!(number > *highest, "number {number} came after {highest}, from {from} to {to}");
        }
        self.highest.insert(pair, number);
    }

    /// A sender has ended, or all have: nobody can tell it what became of what it sent.
    pub fn forgive(&mut self, ended: Option<u64>) {
        self.ended.extend(ended);
        let has_come = |number: &usize| self.come.range((*number, 0)..=(*number, u64::MAX)).next().is_some();
        self.late.extend((0..self.sent.len()).filter(|number| !has_come(number)));
        for sent in &mut self.sent {
            if matches!(*sent, Sent::Open(sender) if ended.is_none_or(|ended| ended == sender)) {
                *sent = Sent::Lost;
            }
        }
    }

    /// These wait in a store.
    pub fn are_stored<'a>(&mut self, stored: impl Iterator<Item = &'a [u8]>) {
        if !self.sent.is_empty() {
            self.stored.extend(stored.flat_map(quoted_numbers));
        }
    }

    /// Those that wait in a store may be dropped from now on, without a word to their senders.
    pub fn forgive_stored<'a>(&mut self, stored: impl Iterator<Item = &'a [u8]>) {
        for number in stored.flat_map(quoted_numbers) {
            if let Some(sent @ Sent::Open(_)) = self.sent.get_mut(number) {
                *sent = Sent::Lost;
            }
        }
    }

    /// Nothing is under way, but for what waits for clients to do something, if any are `awaited`. `outputs` is all that was ever
    /// sent to anybody, and `stored` what waits in the store.
    ///
    /// # Panics
    ///
    /// If something is gone without a trace.
    pub fn check<'a>(
        &mut self,
        outputs: impl Iterator<Item = &'a [u8]> + Clone,
        awaited: impl FnOnce() -> bool,
        stored: impl Iterator<Item = &'a [u8]>,
    ) {
        if !self.sent.iter().any(|sent| matches!(sent, Sent::Open(_))) {
            return;
        }
        let seen: BTreeSet<usize> = outputs.clone().flat_map(quoted_numbers).collect();
        let stored: BTreeSet<usize> = stored.flat_map(quoted_numbers).collect();
        let awaited = awaited();
        for (number, sent) in self.sent.iter_mut().enumerate() {
            if !matches!(sent, Sent::Open(_)) {
                continue;
            }
            if seen.contains(&number) {
                *sent = Sent::Seen;
            } else if !awaited {
                let all = || {
                    outputs
                        .clone()
                        .map(|output| String::from_utf8_lossy(output).into_owned())
                        .collect::<Vec<_>>()
                };
                assert!(stored.contains(&number), "number {number} is gone without a trace: {:?}", all());
            }
        }
    }
}

/// Whether something that is stored has been sent to somebody as well: he has not acknowledged it.
pub fn is_unacknowledged<'a>(output: &[u8], mut stored: impl Iterator<Item = &'a [u8]>) -> bool {
    let seen: BTreeSet<usize> = quoted_numbers(output).collect();
    stored.any(|entry| quoted_numbers(entry).any(|number| seen.contains(&number)))
}

fn id(number: usize) -> String {
    format!("{PREFIX}{number}")
}

/// The search is a package of others: the fuzzer looks at each comparison of ours, and that takes longer than the comparison.
fn contains(text: &[u8], word: &[u8]) -> bool {
    memmem::find(text, word).is_some()
}

/// The numbers whose ids stand between quotes.
fn quoted_numbers(text: &[u8]) -> impl Iterator<Item = usize> {
    memmem::find_iter(text, PREFIX.as_bytes()).filter_map(|at| {
        let digits = text[at + PREFIX.len()..].split(|byte| !byte.is_ascii_digit()).next()?;
        let end = at + PREFIX.len() + digits.len();
        let is_quoted = at.checked_sub(1).and_then(|before| text.get(before)) == Some(&b'\'')
            && text.get(end) == Some(&b'\'');
        is_quoted.then(|| str::from_utf8(digits).ok()?.parse().ok()).flatten()
    })
}

/// Whether a stanza may follow these bytes.
fn is_between_elements(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(XmlLimits::STANZA);
    let whole = [HEADER, bytes, b"<probe xmlns='urn:example:fuzz'/>"].concat();
    let (mut input, mut is_probe) = (whole.as_slice(), false);
    while let Ok(Some(token)) = reader.read(&mut input) {
        is_probe = token == Token::Element && reader.element().is("probe", "urn:example:fuzz");
        if token == Token::End {
            return false;
        }
    }
    is_probe && input.is_empty()
}
