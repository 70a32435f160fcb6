//! What holds when nothing is under way.

use std::collections::BTreeSet;

use balcony_client::{RequestKind, RequestOutcome};
use balcony_stanza::{Kind, Stanza};

use super::World;
use crate::Chunks;

/// What a client asks for that wants to know all that is kept of its account: roster, block list (XEP-0191) and card (XEP-0054), and the
/// documents (XEP-0049) that it names.
const KEPT: [&str; 3] = [
    "<query xmlns='jabber:iq:roster'/>",
    "<blocklist xmlns='urn:xmpp:blocking'/>",
    "<vCard xmlns='vcard-temp'/>",
];

impl World {
    /// What the server knows of these accounts, each with its password, is what its store has: a new client sees of each what it would see
    /// if the server began anew with that store, and is sent the messages that wait there, all of which are gone then. `documents` are
    /// elements as in a request for private storage.
    ///
    /// A world is at rest for this: nothing is under way, and the store is not slow any more. It is the last that is done with a world, since
    /// the clients take what waits.
    ///
    /// # Panics
    ///
    /// If memory and store differ, or a client can't log in.
    pub fn check_at_rest(&mut self, people: &[(&str, &str)], documents: &[&str]) {
        assert!(self.asks.is_empty(), "the store has something to do");
        let mut anew = World::new(self.accounts.clone(), Chunks::Whole, 0, |_| {});
        anew.config = self.config.clone();
        (anew.now, anew.external) = (self.now, self.external);
        anew.begin_again();
        for (account, password) in people {
            let knows = self.shown(account, password, documents);
            let has = anew.shown(account, password, documents);
            assert_eq!(knows, has, "of {account} the server knows something else than its store has");
        }
        // Presence has others say again what was lost, so it comes last.
        for (account, password) in people {
            let waiting = self.accounts.waiting(account);
            let got = self.waiting_for(account, password);
            for id in waiting.iter().filter_map(|message| message.head.id.as_ref().map(ToString::to_string)) {
                assert!(got.contains(&id), "{account} does not get {id}, which waits: {got:?}");
            }
            let left = self.accounts.waiting(account);
            assert!(left.is_empty(), "{} messages wait for {account}, who is there", left.len());
        }
    }

    /// What a new client of this account is told of what is kept.
    fn shown(&mut self, account: &str, password: &str, documents: &[&str]) -> Vec<String> {
        let peer = self.client(&format!("{account}/at-rest"), password);
        let private = |name: &&str| format!("<query xmlns='jabber:iq:private'>{name}</query>");
        let all = KEPT.iter().map(|request| String::from(*request)).chain(documents.iter().map(private));
        let mut told = Vec::new();
        for request in all {
            self.request(peer, RequestKind::Get, None, &request);
            self.run();
            let outcomes = self.take_outcomes(peer);
            let outcome = outcomes.first().unwrap_or_else(|| panic!("{account} has no answer to {request}"));
            told.push(match outcome {
                RequestOutcome::Result(stanza) => without_version(stanza),
                outcome => format!("{request}: {outcome:?}"),
            });
        }
        self.close(peer);
        self.run();
        told
    }

    /// The ids of the messages that a new client of this account gets when it says that it is there.
    fn waiting_for(&mut self, account: &str, password: &str) -> BTreeSet<String> {
        let peer = self.client(&format!("{account}/at-rest"), password);
        self.available(peer, 127);
        let ids = self.take_stanzas(peer).into_iter().filter_map(|stanza| {
            matches!(stanza.head.kind, Kind::Message(_)).then_some(stanza.head.id?.to_string())
        });
        let ids = ids.collect();
        self.close(peer);
        self.run();
        ids
    }
}

/// What an answer says. The version of a roster that was never changed is another one with each server.
fn without_version(answer: &Stanza) -> String {
    let content = String::from_utf8_lossy(answer.payload.as_bytes()).into_owned();
    let Some((before, after)) = content.split_once(" ver='") else { return content };
    let rest = after.split_once('\'').map_or("", |(_, rest)| rest);
    format!("{before}{rest}")
}
