//! Probes: who may know gets the presence of an account, everybody else the same nothing (RFC 6121 section 4.3.2).

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::{PresenceType, Stanza};

use crate::account::Account;
use crate::router::{Router, Target};
use crate::{Effect, SessionId};

impl Router {
    pub(crate) fn probe(&self, from: SessionId, to: &Jid, stanza: Stanza, effects: &mut Vec<Effect>) {
        let account = match self.locate(to) {
            Target::Remote => return effects.push(Effect::Remote { stanza }),
            Target::Server => return,
            Target::Resource(account, _) => Some(account),
            Target::Account(account) => account,
        };
        let Some(prober) = &stanza.head.from else { return };
        let mut answer = |kind, of: Jid| {
            let mut answer = Stanza::presence(kind).from(of).to(prober.clone());
            answer.head.id.clone_from(&stanza.head.id);
            self.reply(answer, effects);
        };
        let mut probed = account
            .map(Account::resources)
            .unwrap_or_default()
            .iter()
            .filter(|resource| to.resourcepart().is_none_or(|name| name == resource.jid.resourcepart()));
        if !prober.same_bare(to) {
            // Directed presence shows one resource, and of it no more than that it is there.
            let mut showing = probed.filter(|resource| resource.has_directed_to(prober)).peekable();
            if showing.peek().is_none() {
                answer(PresenceType::Unsubscribed, to.to_bare().into());
            }
            return showing.for_each(|resource| answer(PresenceType::Available, resource.jid.to_jid()));
        }
        if to.is_full() {
            let there = probed.any(|resource| resource.presence().is_some());
            return answer(
                if there { PresenceType::Available } else { PresenceType::Unavailable },
                to.clone(),
            );
        }
        let mut available = probed.filter_map(|resource| resource.presence()).peekable();
        if available.peek().is_none() {
            return answer(PresenceType::Unavailable, to.clone());
        }
        effects.extend(
            available.map(|presence| Effect::Deliver { session: from, stanza: Arc::clone(&presence.stanza) }),
        );
    }
}
