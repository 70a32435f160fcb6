//! Changes that become visible once they are durable: what a client is told is on disk.

use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_roster::Decision;
use balcony_stanza::{ErrorCondition, IqType, Kind, PresenceType, Stanza};

use crate::asks::{Charge, Purpose};
use crate::complaints::Complaint;
use crate::extension;
use crate::reload::Doubt;
use crate::router::Router;
use crate::{Answer, Ask, Effect, Removal, SessionId};

/// A change on its way to the store.
#[derive(Debug)]
pub(crate) struct Commit {
    /// Who hears of its end.
    pub(crate) request: Option<Stanza>,
    pub(crate) scope: Scope,
    pub(crate) then: Then,
    /// Whether what the store has may be another thing afterwards.
    pub(crate) may_change: bool,
    /// Whose request it is. [`Router::commit`] sees to it.
    pub(crate) asked_by: Option<SessionId>,
    /// Whether its answer comes behind what the contact, whose presence the account sees, has made of it.
    pub(crate) waits_for_contact: bool,
    /// The number of the charge for what has asked for it: what comes of it goes before what the account has sent later. [`Router::commit`]
    /// sees to it.
    pub(crate) number: u64,
}

/// What waits for a change, beside the account's later requests to itself and its server.
#[derive(Debug)]
pub(crate) enum Scope {
    /// Not even these.
    Nothing,
    /// Nothing.
    Own,
    /// What passes between the account and this contact.
    Contact(BareJid),
    /// What the account sends to anybody.
    Sent,
    /// Everything: nothing may come of it any more.
    All,
}

/// What happens once it is durable.
#[derive(Debug)]
pub(crate) enum Then {
    /// What the account's roster has decided, and if a contact has caused it, who has said what.
    Roster(Vec<Decision>, Option<(BareJid, PresenceType)>),
    /// An extension, which this session has asked, goes on.
    Extension(Option<SessionId>, extension::Then),
    Removal,
}

impl Router {
    /// Has a change made. The account goes on meanwhile, but for what is in its [`Scope`].
    pub(crate) fn commit(
        &mut self,
        ask: Ask,
        mut commit: Commit,
        charge: Option<Charge>,
        effects: &mut Vec<Effect>,
    ) {
        let name = ask.account().clone();
        commit.asked_by = match commit.then {
            Then::Extension(session, _) => session,
            Then::Roster(..) | Then::Removal => charge.as_ref().and_then(|charge| Some(charge.sent?.session)),
        };
        commit.number = charge.as_ref().map_or(u64::MAX, Charge::number);
        let Some(account) = self.accounts.get_mut(&name) else { return };
        if let Scope::Nothing = commit.scope {
            account.asks += 1;
        } else {
            account.commits += 1;
        }
        match &commit.scope {
            Scope::Nothing | Scope::Own => {}
            Scope::Contact(peer) => account.line_mut(peer).commits += 1,
            Scope::Sent => account.gates += 1,
            Scope::All => account.phase.remove(),
        }
        self.ask(ask, Purpose::Commit(Box::new(commit)), charge, effects);
        self.refresh(&name);
    }

    /// It is durable, or was not made.
    pub(crate) fn committed(
        &mut self,
        name: &BareJid,
        mut commit: Commit,
        answer: Option<Answer>,
        effects: &mut Vec<Effect>,
    ) {
        if let (Some(session), Some(request)) = (commit.asked_by, &mut commit.request) {
            self.disown(session, request);
        }
        let Some(account) = self.accounts.get_mut(name) else { return };
        if let Scope::Nothing = commit.scope {
            account.asks -= 1;
        } else {
            account.commits -= 1;
        }
        match &commit.scope {
            Scope::Nothing | Scope::Own | Scope::All => {}
            Scope::Contact(peer) => account.line_mut(peer).commits -= 1,
            Scope::Sent => account.gates -= 1,
        }
        let saved = answer == Some(Answer::Saved);
        let request = commit.request.as_ref();
        let (may_change, number) = (commit.may_change, commit.number);
        let waits = commit.asked_by.filter(|_| commit.waits_for_contact);
        match commit.then {
            Then::Roster(decisions, heard) if saved => {
                if let Scope::Contact(contact) = &commit.scope {
                    account.end_change(contact);
                }
                self.owe(name, &decisions, heard.as_ref());
                if let Some((contact, kind)) = heard {
                    self.note_heard(&Stanza::presence(kind).with_from(contact.into()).with_to(name.to_jid()));
                }
                self.act(name, |router| router.carry_out(name, decisions, request, waits, number, effects));
            }
            Then::Extension(session, then) => match (answer.clone(), request) {
                (Some(answer), Some(request)) if answer != Answer::Refused => {
                    let request = (request, number);
                    self.act(name, |router| router.go_on_with(name, session, then, answer, request, effects));
                }
                (answer, request) => {
                    if answer.is_some() && matches!(commit.scope, Scope::Nothing) {
                        self.complain(Complaint::NoAnswer, then.index, effects);
                    }
                    self.apologise(request, effects);
                }
            },
            Then::Removal if saved => return self.end_account(name, Removal::Removed, request, effects),
            // The roster in memory has changed already.
            Then::Roster(decisions, _) => {
                let doubt = match (&commit.scope, account.known()) {
                    (Scope::Contact(peer), Some(known)) => {
                        Some(Doubt::new(&known.roster, peer.clone(), decisions, number))
                    }
                    _ => None,
                };
                self.apologise(request, effects);
                self.reload(name, doubt, effects);
            }
            Then::Removal => {
                self.apologise(request, effects);
                if self.accounts.get_mut(name).is_some_and(|account| account.phase.keep()) {
                    self.load_again(name, effects);
                }
                self.refresh(name);
                self.say_again_after_all(name);
                if let Some(account) = self.accounts.get_mut(name).filter(|account| account.removing) {
                    account.removing = false;
                    effects.push(Effect::Removed { account: name.clone(), removal: Removal::Failed });
                }
            }
        }
        if answer.is_none() && may_change {
            // It may still be done.
            self.reload(name, None, effects);
        }
        match &commit.scope {
            Scope::Nothing | Scope::Own => {}
            Scope::Contact(peer) => self.drain(name, peer, effects),
            Scope::Sent | Scope::All => self.drain_all(name, effects),
        }
        self.drain(name, name, effects);
        if self.accounts.get(name).is_some_and(|account| account.commits == 0) {
            // What others would change has waited for that.
            self.drain_all(name, effects);
        }
    }

    /// Lets an account do what it has decided. What arrives for it meanwhile comes behind.
    pub(crate) fn act(&mut self, name: &BareJid, what: impl FnOnce(&mut Self)) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        let begins = account.phase.begin_acting();
        what(self);
        if let Some(account) = self.accounts.get_mut(name).filter(|_| begins) {
            account.phase.end_acting();
        }
    }

    /// If the session is over, nobody gets the answer to its request: another session may have the same address by now (RFC 6120
    /// section 8.2.3).
    pub(crate) fn disown(&self, session: SessionId, request: &mut Stanza) {
        if matches!(request.head.kind, Kind::Iq(IqType::Get | IqType::Set))
            && !self.sessions.contains_key(&session)
        {
            request.head.from = request.head.from.take().map(|from| from.to_bare().into());
        }
    }

    fn apologise(&self, request: Option<&Stanza>, effects: &mut Vec<Effect>) {
        if let Some(request) = request {
            self.refuse(request, ErrorCondition::InternalServerError, effects);
        }
    }
}
