//! Messages: Table 1 of RFC 6121 section 8.5.4.
//!
//! Where the table leaves a choice: what cannot be delivered is answered with `service-unavailable`, so that nothing is
//! lost in silence, but for headlines, which expect no reply. Section 8.1 would have strangers get no answer at all;
//! telling strangers from contacts takes rosters. What may be stored is stored, or refused, by the owner, who alone knows
//! whether the account exists; so an account that does not exist answers like one that is offline.

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, MessageType, Stanza};

use crate::account::Account;
use crate::router::{Router, Target, deliver};
use crate::{Ask, Busy, Change, Effect};

impl Router {
    pub(crate) fn message(
        &mut self,
        now: Instant,
        kind: MessageType,
        to: &Jid,
        stanza: Stanza,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Busy> {
        let account = match self.locate(to) {
            Target::Resource(_, resource) => {
                deliver([resource.session], stanza, effects);
                return Ok(());
            }
            Target::Account(account) => account,
            Target::Remote => {
                effects.push(Effect::Remote { stanza });
                return Ok(());
            }
            Target::Server => {
                self.refuse(&stanza, ErrorCondition::ServiceUnavailable, effects);
                return Ok(());
            }
        };
        match (kind, to.is_full()) {
            (MessageType::Error, _) | (MessageType::Headline, true) => {}
            (MessageType::Groupchat, _) | (MessageType::Normal, true) => {
                self.refuse(&stanza, ErrorCondition::ServiceUnavailable, effects);
            }
            (MessageType::Headline, false) => {
                if let Some(account) = account {
                    deliver(account.receptive(), stanza, effects);
                }
            }
            (MessageType::Normal, false) | (MessageType::Chat, _) => {
                match account.map(Account::most_available).unwrap_or_default() {
                    [] => return self.put_offline(now, to, stanza, effects),
                    sessions => deliver(sessions.iter().copied(), stanza, effects),
                }
            }
        }
        Ok(())
    }

    fn put_offline(
        &mut self,
        now: Instant,
        to: &Jid,
        stanza: Stanza,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Busy> {
        let limits = &self.config.limits;
        let Some(from) = &stanza.head.from else { return Ok(()) };
        if self.asks.of(from.bare_str()) >= limits.asks {
            return Err(Busy(stanza));
        }
        let sender = from.to_bare();
        let stanza = Arc::new(stanza);
        let ticket = self.asks.open(now, limits.answer, sender, Arc::clone(&stanza));
        effects.push(Effect::Ask { ticket, ask: Ask::Save { account: to.to_bare(), changes: alloc::vec![Change::PutOffline(stanza)] } });
        Ok(())
    }
}
