//! Presence that manages subscriptions, on its way out and in (RFC 6121 section 3).

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_stanza::{Kind, PresenceType, Stanza};

use crate::{Audience, Decision, Error, Roster, State};

impl Roster {
    /// The user has sent presence of one of the four types that manage subscriptions. Any other stanza, one without `to` and
    /// one to the user's own account are ignored.
    ///
    /// A full JID in `to` is treated as bare (RFC 6121 section 3.1.2).
    ///
    /// # Errors
    ///
    /// [`Error::Full`], and nothing has changed, if the contact would need an item and the roster is full.
    pub fn outbound(&mut self, mut stanza: Stanza, decisions: &mut Vec<Decision>) -> Result<(), Error> {
        let (Kind::Presence(kind), Some(to)) = (stanza.head.kind, stanza.head.to.take()) else {
            return Ok(());
        };
        let contact = to.into_bare();
        if contact == self.owner {
            return Ok(());
        }
        let before = self.state(&contact);
        let Some(after) = before.outbound(kind) else {
            return self.pre_approve(kind, &contact, decisions);
        };
        let push = self.enter(&contact, after)?;
        if before != after {
            decisions.push(Decision::Save(contact.clone()));
        }
        let had = before.subscription().has_from();
        let has = after.subscription().has_from();
        // The contact is told the end while it may still hear it.
        if had && !has {
            decisions.push(Decision::Unavailable(contact.clone()));
        }
        decisions.push(Decision::Send(stanza.with_from(self.owner.to_jid()).with_to(contact.to_jid())));
        decisions.extend(push);
        if has && !had {
            decisions.push(Decision::Available(contact));
        }
        Ok(())
    }

    /// An approval of what nobody has asked for yet, and its revocation (section 3.4.2, section 3.2.2). Neither is routed.
    fn pre_approve(
        &mut self,
        kind: PresenceType,
        contact: &BareJid,
        decisions: &mut Vec<Decision>,
    ) -> Result<(), Error> {
        let approved = match kind {
            PresenceType::Subscribed if self.config.pre_approval && !self.is_subscriber(contact) => true,
            PresenceType::Unsubscribed => false,
            _ => return Ok(()),
        };
        if self.is_approved(contact) != approved {
            self.item_mut(contact)?.approved = approved;
            decisions.extend([Decision::Save(contact.clone()), self.push(contact)]);
        }
        Ok(())
    }

    /// A contact has sent the user presence of one of the four types that manage subscriptions. Any other stanza, one without
    /// `from` and one from the user's own account are ignored, and so is a request past the bounds of [`RosterConfig`].
    ///
    /// [`RosterConfig`]: crate::RosterConfig
    pub fn inbound(&mut self, mut stanza: Stanza, decisions: &mut Vec<Decision>) {
        let (Kind::Presence(kind), Some(from)) = (stanza.head.kind, stanza.head.from.take()) else {
            return;
        };
        let contact = from.into_bare();
        if contact == self.owner {
            return;
        }
        let stanza = Arc::new(stanza.with_from(contact.to_jid()));
        let before = self.state(&contact);
        match before.inbound(kind) {
            Some(after) if kind == PresenceType::Subscribe => {
                if self.is_approved(&contact) {
                    self.approve(&contact, after, decisions);
                } else if self.requests.len() < self.config.requests && length(&stanza) <= self.config.request
                {
                    self.requests.insert(contact.clone(), Arc::clone(&stanza));
                    decisions.extend([
                        Decision::Save(contact),
                        Decision::Deliver { to: Audience::Available, stanza },
                    ]);
                }
                return;
            }
            Some(after) => {
                // No item is made here: who is not in the roster shows nothing that could change.
                let Ok(push) = self.enter(&contact, after) else { return };
                decisions.push(Decision::Save(contact.clone()));
                decisions.push(Decision::Deliver { to: Audience::Interested, stanza });
                decisions.extend(push);
                if before.subscription().has_from() && !after.subscription().has_from() {
                    decisions.push(Decision::Unavailable(contact.clone()));
                }
            }
            None => {}
        }
        if let Some(reply) = before.reply(kind) {
            decisions.push(self.send(reply, &contact));
        }
    }

    /// The user has approved the request before it came: the server answers as the user would (section 3.4.2). That uses the
    /// approval up.
    fn approve(&mut self, contact: &BareJid, asked: State, decisions: &mut Vec<Decision>) {
        let Some(after) = asked.outbound(PresenceType::Subscribed) else { return };
        if let Some(item) = self.items.get_mut(contact) {
            item.approved = false;
        }
        let Ok(push) = self.enter(contact, after) else { return };
        decisions.push(Decision::Save(contact.clone()));
        decisions.push(self.send(PresenceType::Subscribed, contact));
        decisions.extend(push);
        decisions.push(Decision::Available(contact.clone()));
    }

    fn is_approved(&self, contact: &BareJid) -> bool {
        self.item(contact).is_some_and(|item| item.approved)
    }

    /// Puts the contact into the state, and gives the push if that shows in the roster. It may end a request, but not make
    /// one: that takes a stanza.
    fn enter(&mut self, contact: &BareJid, state: State) -> Result<Option<Decision>, Error> {
        let before = self.state(contact);
        let (subscription, ask) = (state.subscription(), state.is_pending_out());
        let shows = (before.subscription(), before.is_pending_out()) != (subscription, ask);
        if shows {
            let item = self.item_mut(contact)?;
            (item.subscription, item.ask) = (subscription, ask);
        }
        if !state.is_pending_in() {
            self.requests.remove(contact);
        }
        Ok(shows.then(|| self.push(contact)))
    }
}

/// What it costs to keep the request, beside its addresses.
fn length(request: &Stanza) -> usize {
    let text = |text: &Option<Arc<str>>| text.as_ref().map_or(0, |text| text.len());
    request.payload.as_bytes().len() + text(&request.head.id) + text(&request.head.lang)
}
