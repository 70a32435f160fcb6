//! What the store is asked about an account for those of whom it must not show what the router knows already: how soon they are
//! answered must not tell who is online.
//!
//! They share their questions, or they could use up what the store takes of one account, and so keep its user from logging in. At
//! most one question of a kind is under way for an account; who comes meanwhile shares the next, whose answer holds all that has
//! happened before. Of documents, which may be large, only so many share one.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::mem;

use balcony_jid::BareJid;
use balcony_roster::Version;
use balcony_stanza::{Kind, Stanza};
use hashbrown::HashMap;

use crate::account::Account;
use crate::asks::{Charge, Purpose};
use crate::known::Known;
use crate::line::Origin;
use crate::router::Router;
use crate::{Answer, Ask, Document, Effect};

/// The questions under way, and who waits. Never iterated.
#[derive(Debug, Default)]
pub(crate) struct Lookups(HashMap<(BareJid, About), Batch>);

/// What is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum About {
    /// Who sees the user's presence: for a probe, or for a request that is answered for those alone.
    Presence,
    /// The documents of this collection, which anybody may read.
    Documents(&'static str),
}

#[derive(Debug)]
struct Batch {
    /// They wait for the answer to the question that is under way.
    asked: Vec<(Stanza, Charge)>,
    /// And they for those after that.
    next: VecDeque<(Stanza, Charge)>,
}

/// So many who want a document are answered by one answer of the store. A card may have 256 KiB, and each of them gets all of it: others have their turn before the
/// next are answered.
const TOGETHER: usize = 16;

/// What the store has said: an account as it is kept, and the documents that were asked for.
pub(crate) type Looked = Option<(Account, Vec<Document>)>;

impl Router {
    /// Has a stanza, which has been admitted, wait for the store to say what is kept of the account.
    pub(crate) fn look_up(
        &mut self,
        account: BareJid,
        about: About,
        stanza: Stanza,
        charge: Charge,
        effects: &mut Vec<Effect>,
    ) {
        if let Some(batch) = self.lookups.0.get_mut(&(account.clone(), about)) {
            return batch.next.push_back((stanza, charge));
        }
        let batch = Batch { asked: Vec::from([(stanza, charge)]), next: VecDeque::new() };
        self.lookups.0.insert((account.clone(), about), batch);
        self.ask_about(account, about, effects);
    }

    fn ask_about(&mut self, account: BareJid, about: About, effects: &mut Vec<Effect>) {
        let mut collections = self.shared.collections.to_vec();
        if let About::Documents(collection) = about {
            collections.push(collection.into());
        }
        let ask = Ask::Load { account, collections: collections.into() };
        self.ask(ask, Purpose::Look(about), None, effects);
    }

    /// The store has answered, or has not in time.
    pub(crate) fn looked_up(
        &mut self,
        account: &BareJid,
        about: About,
        answer: Option<Answer>,
        effects: &mut Vec<Effect>,
    ) {
        let key = (account.clone(), about);
        let Some(batch) = self.lookups.0.get_mut(&key) else { return };
        // If there is none in time the others have waited for it as well.
        let most = match about {
            _ if answer.is_none() => 0,
            About::Presence => usize::MAX,
            About::Documents(_) => TOGETHER,
        };
        let most = most.min(batch.next.len());
        let mut waiting = mem::replace(&mut batch.asked, batch.next.drain(..most).collect());
        if answer.is_none() {
            waiting.extend(batch.next.drain(..));
        }
        if batch.asked.is_empty() {
            self.lookups.0.remove(&key);
        } else {
            self.ask_about(key.0, about, effects);
        }
        let looked: Option<Looked> = match answer {
            Some(Answer::Loaded(None)) => Some(None),
            Some(Answer::Loaded(Some(kept))) => {
                let documents = kept.documents.clone();
                let now = self.asks.now();
                let known = Known::new(account.clone(), *kept, &self.shared, now, Version(0)).ok();
                Some(known.map(|known| (Account::as_kept(known), documents)))
            }
            _ => None,
        };
        for (mut stanza, charge) in waiting {
            if let Some(sent) = charge.sent {
                self.disown(sent.session, &mut stanza);
            }
            let mut origin = Origin::Waited(charge);
            match about {
                About::Presence if matches!(stanza.head.kind, Kind::Iq(_)) => {
                    self.answer_subscriber(stanza, &mut origin, looked.as_ref(), effects);
                }
                About::Presence => self.probed(stanza, &mut origin, looked.as_ref(), effects),
                About::Documents(_) => self.answer_public(&stanza, looked.as_ref(), effects),
            }
            self.finish(origin, effects);
        }
    }
}
