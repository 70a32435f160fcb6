//! Blocking: nothing passes between a user and those whom the user has blocked (XEP-0191).
//!
//! Strangers who are blocked get what all strangers get: the answers, or the silence, of an account that does not exist. So the
//! probes of those who are no subscribers are denied even if they are blocked, where section 3.1 would have silence: that silence
//! would show the block, and the account.

use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{ErrorCondition, IqType, Kind, Payload, Stanza, StanzaError, ns};
use balcony_xml::{Element, ElementRef, Name};

use crate::commit::{Commit, Scope, Then};
use crate::known::Blocked;
use crate::line::Origin;
use crate::router::Router;
use crate::{Ask, Change, Effect, SessionId};

impl Router {
    /// A client asks who is blocked, or changes it.
    pub(crate) fn blocking_request(
        &mut self,
        from: SessionId,
        stanza: Stanza,
        child: ElementRef<'_>,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let change = match (child.name(), stanza.head.kind) {
            ("blocklist", Kind::Iq(IqType::Get)) => return self.give_blocklist(from, &stanza, effects),
            ("block", Kind::Iq(IqType::Set)) => items(child).and_then(|jids| match jids[..] {
                [] => Err(ErrorCondition::BadRequest.into()),
                _ => Ok(Change::Block(jids)),
            }),
            ("unblock", Kind::Iq(IqType::Set)) => items(child).map(|jids| match jids[..] {
                [] => Change::UnblockAll,
                _ => Change::Unblock(jids),
            }),
            _ => Err(ErrorCondition::BadRequest.into()),
        };
        let Some(name) = stanza.head.from.as_ref().map(Jid::to_bare) else { return };
        let change = change.and_then(|change| match (&change, self.blocked(&name)) {
            (Change::Block(more), Some(blocked)) if blocked.len_with(more) > self.config.blocked => {
                Err(StanzaError::new(ErrorCondition::ResourceConstraint, "too many are blocked"))
            }
            _ => Ok(change),
        });
        match change {
            Ok(change) => {
                let Some(charge) = self.charge_own(&stanza, origin, effects) else { return };
                let ask = Ask::Save { account: name, changes: Vec::from([change.clone()]), by_others: false };
                let commit =
                    Commit { request: Some(stanza), scope: Scope::Sent, then: Then::Blocking(change) };
                self.commit(ask, commit, Some(charge), effects);
            }
            Err(error) => self.refuse(&stanza, error, effects),
        }
    }

    fn give_blocklist(&mut self, from: SessionId, stanza: &Stanza, effects: &mut Vec<Effect>) {
        const BLOCKLIST: Name = Name::from_static("blocklist");
        let (Some(result), Some(own)) = (stanza.result(), &stanza.head.from) else { return };
        let Some(account) = self.accounts.get_mut(own.bare_str()) else { return };
        let Some(known) = account.known.as_deref() else { return };
        let list = element(BLOCKLIST, known.blocked.iter());
        if let Some(resource) = account.by_session(from) {
            resource.sees_blocks = true;
        }
        self.reply(result.child(list), effects);
    }

    /// A change of the list is durable.
    pub(crate) fn change_blocks(
        &mut self,
        name: &BareJid,
        change: &Change,
        request: Option<&Stanza>,
        effects: &mut Vec<Effect>,
    ) {
        const BLOCK: Name = Name::from_static("block");
        const UNBLOCK: Name = Name::from_static("unblock");
        let push = match change {
            Change::Block(jids) => element(BLOCK, jids.iter().map(Jid::as_str)),
            Change::Unblock(jids) => element(UNBLOCK, jids.iter().map(Jid::as_str)),
            _ => element(UNBLOCK, core::iter::empty()),
        };
        self.push_blocks(name, &push.into(), effects);
        let before = self.audience(name);
        if let Change::Block(jids) = change {
            let mut newly = Blocked::default();
            newly.extend(jids);
            let own = name.as_str();
            let subscribers: Vec<BareJid> =
                before.iter().filter(|contact| newly.holds(&contact.to_jid())).cloned().collect();
            let is_blocked = |entity: &Jid| newly.holds(entity) && entity.bare_str() != own;
            self.withdraw(name, &subscribers, &is_blocked, effects);
        }
        let Some(known) = self.accounts.get_mut(name).and_then(|account| account.known.as_deref_mut()) else {
            return;
        };
        match change {
            Change::Block(jids) => known.blocked.extend(jids),
            Change::Unblock(jids) => known.blocked.remove(jids),
            _ => known.blocked.clear(),
        }
        // Whoever may see the user's presence and could not sees it now.
        for contact in self.audience(name) {
            if !before.contains(&contact) {
                self.reveal(name, &contact, effects);
            }
        }
        self.confirm(request, effects);
    }

    fn push_blocks(&mut self, name: &BareJid, payload: &Payload, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get(name) else { return };
        let seeing = account.resources().iter().filter(|resource| resource.sees_blocks);
        let seeing: Vec<_> = seeing.map(|resource| (resource.session, resource.jid.to_jid())).collect();
        for (session, jid) in seeing {
            self.push(session, jid, payload.clone(), effects);
        }
    }

    fn blocked(&self, name: &BareJid) -> Option<&Blocked> {
        Some(&self.accounts.get(name)?.known.as_deref()?.blocked)
    }

    /// Whether a user of ours sends this to somebody whom the user has blocked.
    pub(crate) fn is_blocked_by_sender(&self, stanza: &Stanza) -> bool {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return false };
        let known = self.accounts.get(from.bare_str()).and_then(|account| account.known.as_deref());
        known.is_some_and(|known| known.blocks(to))
    }

    /// Tells a user of ours so (section 3.5).
    pub(crate) fn refuse_blocked(&self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        const BLOCKED: Name = Name::from_static("blocked");
        let mut error = StanzaError::new(ErrorCondition::NotAcceptable, "you have blocked this address");
        // Section 3.5 gives this condition another type than RFC 6120 section 8.3.3.9.
        error.kind = balcony_stanza::ErrorType::Cancel;
        error.application = Some(alloc::boxed::Box::new(Element::new(BLOCKED, ns::BLOCKING_ERRORS)));
        self.refuse(stanza, error, effects);
    }
}

/// The addresses in a `<block/>` or `<unblock/>`.
fn items(list: ElementRef<'_>) -> Result<Vec<Jid>, StanzaError> {
    let items = list.children().filter(|child| child.is("item", ns::BLOCKING));
    items
        .map(|item| {
            let jid = item.attr("jid").ok_or(ErrorCondition::BadRequest)?;
            Jid::parse(jid).map_err(|_| ErrorCondition::JidMalformed)
        })
        .collect::<Result<_, ErrorCondition>>()
        .map_err(StanzaError::from)
}

fn element<'a>(name: Name, jids: impl Iterator<Item = &'a str>) -> Element {
    const ITEM: Name = Name::from_static("item");
    const JID: Name = Name::from_static("jid");
    let mut list = Element::new(name, ns::BLOCKING);
    for jid in jids {
        list.push_child(Element::new(ITEM, ns::BLOCKING).attr(JID, jid).root());
    }
    list
}
