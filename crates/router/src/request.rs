//! Requests that extensions answer, and how they go on when something had to be done first.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{ErrorCondition, IqType, Kind, Payload, Stanza, StanzaError};
use balcony_xml::ElementRef;

use crate::account::{Account, is_to_itself};
use crate::asks::{Charge, cost};
use crate::commit::{self, Commit, Scope};
use crate::complaints::Complaint;
use crate::extension::{self, Call, Found, Hold, Later, Reply, Request, Server, Todo};
use crate::facts::SenderFacts;
use crate::line::Origin;
use crate::lookup::{About, Looked};
use crate::router::Router;
use crate::waits::Place;
use crate::{Answer, Ask, Change, Effect, SessionId};

/// Whom the answer to a request of somebody else is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// It is made of documents that anybody may read.
    Anybody,
    /// Those may know it who see the user's presence.
    Subscribers,
    /// A resource, or nobody: what is said to it depends on nothing that the account knows.
    Others,
}

/// Who sees an account's user, before that may change.
#[derive(Debug)]
pub(crate) struct Seen {
    by: Watchers,
    /// Who has been shown presence otherwise.
    directed: Vec<Jid>,
    /// Whose presence the user is subscribed to, and gets.
    asked: BTreeSet<BareJid>,
    /// Who is told otherwise.
    left_out: BTreeSet<BareJid>,
}

/// Who is shown the user's presence.
#[derive(Debug)]
struct Watchers {
    /// When it is broadcast: the [audience](Account::audience).
    audience: BTreeSet<BareJid>,
    /// Not any more, but what they have seen has an end: the [losers](Account::losers).
    losers: BTreeSet<BareJid>,
}

impl Router {
    /// What is a request, and what it asks.
    pub(crate) fn read<'a>(stanza: &'a Stanza, content: ElementRef<'a>) -> Option<Request<'a>> {
        let Kind::Iq(kind @ (IqType::Get | IqType::Set)) = stanza.head.kind else { return None };
        Some(Request { stanza, kind, element: content.children().next()? })
    }

    /// What all accounts share, for an extension.
    pub(crate) fn server(&self) -> Server<'_> {
        Server { shared: &self.shared, now: self.asks.now() }
    }

    /// Whom a request to an account is for. Looking costs a parse, so it is done once on the way to the account.
    pub(crate) fn audience_of(&self, stanza: &Stanza) -> For {
        let is_get = stanza.head.kind == Kind::Iq(IqType::Get);
        if !is_get || !stanza.head.to.as_ref().is_some_and(Jid::is_bare) {
            return For::Others;
        }
        let Ok(content) = stanza.payload.parse() else { return For::Others };
        let request = Router::read(stanza, content.root());
        let tables = self.shared.tables();
        match request.and_then(|request| tables.at_account(request.kind, request.element)) {
            Some(Found::Public(_)) => For::Anybody,
            Some(Found::Own(request)) if request.is_for_subscribers() => For::Subscribers,
            _ => For::Others,
        }
    }

    /// A client asks its own account for something that no part of the router itself answers.
    pub(crate) fn own_extension_request(
        &mut self,
        from: SessionId,
        stanza: Stanza,
        content: ElementRef<'_>,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(name) = stanza.head.from.as_ref().map(Jid::to_bare) else { return };
        self.account_request(&name, Some(from), &stanza, content, origin, effects);
    }

    /// Has an extension answer a request to an account. What it may not answer is refused as if there were nobody.
    pub(crate) fn account_request(
        &mut self,
        name: &BareJid,
        session: Option<SessionId>,
        stanza: &Stanza,
        content: ElementRef<'_>,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(request) = Router::read(stanza, content) else {
            return self.refuse(stanza, ErrorCondition::BadRequest, effects);
        };
        let found = self.shared.tables().at_account(request.kind, request.element);
        let reply = match found {
            Some(Found::Every(every)) => Reply::from(every.answer(self.server(), &request)),
            Some(Found::Public(_)) => return self.read_public(name, stanza.clone(), origin, effects),
            Some(Found::Own(own))
                if session.is_some() || own.is_for_subscribers() && self.is_shown_account(stanza) =>
            {
                let Some(account) = self.accounts.get_mut(name) else { return };
                let seen = Seen::before(&self.shared, name, account, own.index());
                let mut call = Call {
                    shared: &self.shared,
                    owner: name,
                    account,
                    session,
                    now: self.asks.now(),
                    random: &mut self.random,
                    orders: &mut self.orders.orders,
                    effects,
                };
                let reply = own.run(&mut call, &request);
                self.called(name, seen, origin.number(), effects);
                reply
            }
            _ => ErrorCondition::ServiceUnavailable.into(),
        };
        self.give_reply(name, session, stanza, reply, Some(origin), effects);
    }

    /// An extension goes on. The number is that of the charge for the request.
    pub(crate) fn go_on_with(
        &mut self,
        name: &BareJid,
        session: Option<SessionId>,
        then: extension::Then,
        answer: Answer,
        (request, number): (&Stanza, u64),
        effects: &mut Vec<Effect>,
    ) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        let seen = Seen::before(&self.shared, name, account, then.index);
        let mut call = Call {
            shared: &self.shared,
            owner: name,
            account,
            session,
            now: self.asks.now(),
            random: &mut self.random,
            orders: &mut self.orders.orders,
            effects,
        };
        let reply = (then.run)(&mut call, answer);
        self.called(name, seen, number, effects);
        self.give_reply(name, session, request, reply, None, effects);
    }

    /// An extension was called: those whom its decisions concern see the user come or go, before what the account has sent behind the request
    /// with this number.
    fn called(&mut self, name: &BareJid, seen: Option<Seen>, number: u64, effects: &mut Vec<Effect>) {
        self.refresh(name);
        if let Some(seen) = seen {
            self.show_difference(name, seen, number, effects);
        }
    }

    /// Those see the user come or go for whom that has changed, and the user is shown those whom the user did not get to see until now: what
    /// they have said in the meantime has not come.
    pub(crate) fn show_difference(
        &mut self,
        name: &BareJid,
        seen: Seen,
        number: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Seen { by: before, directed, asked, left_out } = seen;
        let Some(account) = self.accounts.get(name) else { return };
        let now = Watchers::of(account, &self.shared);
        let lost: BTreeSet<Jid> =
            directed.into_iter().filter(|entity| !self.shared.allows(name, account, entity)).collect();
        let gone: Vec<BareJid> = before.all().filter(|contact| !now.has(contact)).cloned().collect();
        let is_new = |contact: &BareJid| !asked.contains(contact) && !left_out.contains(contact);
        let unseen: Vec<BareJid> =
            account.probed(&self.shared).into_iter().filter(|contact| is_new(contact)).collect();
        self.withdraw(name, &gone, &|entity| lost.contains(entity), number, effects);
        for contact in now.audience.difference(&before.audience) {
            if !left_out.contains(contact) {
                self.reveal(name, contact, number, effects);
            }
        }
        self.probe_again(name, unseen, number, effects);
    }

    fn give_reply(
        &mut self,
        name: &BareJid,
        session: Option<SessionId>,
        request: &Stanza,
        reply: Reply,
        origin: Option<&mut Origin>,
        effects: &mut Vec<Effect>,
    ) {
        match reply {
            Reply::Result(payload) => self.give_result(request, payload, effects),
            Reply::Error(error) => self.refuse(request, error, effects),
            Reply::Later(later) => {
                let charge = match origin {
                    Some(origin) if session.is_some() => self.charge_own(request, origin, effects),
                    Some(origin) => self.charge(request, origin, effects),
                    // It has been admitted.
                    None => self.charge_again(request),
                };
                let Some(charge) = charge else { return };
                self.do_later(name, session, request.clone(), later, charge, effects);
            }
        }
    }

    fn charge_again(&mut self, request: &Stanza) -> Option<Charge> {
        let payer = self.payer(request.head.from.as_ref()?);
        Some(self.asks.charge(payer, cost(request), Place::Own, None, SenderFacts::STRANGER))
    }

    fn do_later(
        &mut self,
        name: &BareJid,
        session: Option<SessionId>,
        request: Stanza,
        later: Later,
        charge: Charge,
        effects: &mut Vec<Effect>,
    ) {
        let Later { todo, hold, then } = later;
        let tables = self.shared.tables();
        let is_own = match &todo {
            Todo::Save(edits) => edits.iter().all(|edit| tables.may_change(then.index, edit)),
            Todo::Read { collection, .. } => {
                tables.collection(then.index, collection, extension::Kind::Documents).is_some()
            }
            Todo::SetPassword(_) | Todo::Remove | Todo::External(_) => true,
        };
        if !is_own {
            self.complain(Complaint::NotRegistered, then.index, effects);
        }
        let known = self.accounts.get(name).and_then(|account| account.known());
        let Some(known) = known.filter(|_| is_own) else {
            self.refuse(&request, ErrorCondition::InternalServerError, effects);
            return self.release(charge, effects);
        };
        if matches!(&todo, Todo::Save(edits) if edits.is_empty()) {
            let request = (&request, charge.number());
            self.go_on_with(name, session, then, Answer::Saved, request, effects);
            return self.release(charge, effects);
        }
        let account = name.clone();
        let by_others = session.is_none();
        let scope = match (hold, session) {
            _ if matches!(todo, Todo::External(_)) => Scope::Nothing,
            (_, None) => request.head.from.as_ref().map_or(Scope::Own, |from| Scope::Contact(from.to_bare())),
            (Hold::Requests, Some(_)) => Scope::Own,
            (Hold::Everything, Some(_)) => Scope::Sent,
        };
        let ask = match todo {
            Todo::Remove => {
                let commit = Commit {
                    request: Some(request),
                    scope: Scope::All,
                    then: commit::Then::Removal,
                    may_change: true,
                    asked_by: None,
                    waits_for_contact: false,
                    number: 0,
                };
                return self.commit(Ask::Remove { account }, commit, Some(charge), effects);
            }
            Todo::Save(edits) => {
                let changes = edits.into_iter().map(|edit| Change::of(known.creation, edit)).collect();
                Ask::Save { account, changes, by_others }
            }
            Todo::Read { collection, key } => Ask::Document { account, collection: collection.into(), key },
            Todo::SetPassword(password) => Ask::SetPassword { account, password },
            Todo::External(question) => {
                let extension = self.shared.config.extensions.name(then.index);
                Ask::External { account, extension, question }
            }
        };
        let then = commit::Then::Extension(session, then);
        let may_change = matches!(ask, Ask::Save { .. } | Ask::SetPassword { .. });
        self.commit(
            ask,
            Commit {
                request: Some(request),
                scope,
                then,
                may_change,
                asked_by: None,
                waits_for_contact: false,
                number: 0,
            },
            Some(charge),
            effects,
        );
    }

    pub(crate) fn give_result(&self, request: &Stanza, payload: Payload, effects: &mut Vec<Effect>) {
        if let Some(result) = request.result() {
            self.reply(result.with_payload(payload), effects);
        }
    }

    /// Answers a request for documents that anybody may read when the store has answered a question of its own about the account: how
    /// soon that is must not show whether there is such an account, who is online, or whom the user has blocked.
    pub(crate) fn read_public(
        &mut self,
        name: &BareJid,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Ok(content) = stanza.payload.parse() else { return };
        let is_own = stanza.head.from.as_ref().is_some_and(|from| from.bare_str() == name.as_str());
        let request = Router::read(&stanza, content.root());
        let found =
            request.and_then(|request| self.shared.tables().at_account(request.kind, request.element));
        let Some(Found::Public(public)) = found else { return };
        let about = About::Documents(public.collection());
        let charge = match is_own {
            true => self.charge_own(&stanza, origin, effects),
            false => self.charge_at(Place::Probe, &stanza, origin, effects),
        };
        let Some(charge) = charge else { return };
        self.look_up(name.clone(), about, stanza, charge, effects);
    }

    /// Another server's user asks for what subscribers may know. Whether the user is one the account alone can say, and has to be asked
    /// whether or not there is one, and whether or not it is in memory: how soon the answer comes must not show that. Of a user of ours
    /// the own roster says it.
    pub(crate) fn ask_who_sees(
        &mut self,
        name: &BareJid,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(charge) = self.charge_at(Place::Probe, &stanza, origin, effects) else { return };
        self.look_up(name.clone(), About::Presence, stanza, charge, effects);
    }

    /// The store has answered. In the meantime the account may have become known, or forgotten.
    pub(crate) fn answer_subscriber(
        &mut self,
        stanza: Stanza,
        origin: &mut Origin,
        looked: Option<&Looked>,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(looked), Some(to)) = (looked, &stanza.head.to) else {
            return self.refuse(&stanza, ErrorCondition::InternalServerError, effects);
        };
        let name = to.to_bare();
        let as_kept = looked.as_ref().map(|(account, _)| account);
        let account = self.accounts.get(&name).filter(|account| account.known().is_some()).or(as_kept);
        if !account.is_some_and(|account| account.is_shown_to(&self.shared, &stanza)) {
            return self.refuse_iq(&stanza, effects);
        }
        self.wait(stanza, origin, effects);
        self.settle(&name, effects);
    }

    /// The store has answered.
    pub(crate) fn answer_public(
        &mut self,
        stanza: &Stanza,
        looked: Option<&Looked>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(looked) = looked else {
            return self.refuse(stanza, ErrorCondition::InternalServerError, effects);
        };
        let Ok(content) = stanza.payload.parse() else { return };
        let Some(request) = Router::read(stanza, content.root()) else { return };
        let Some(Found::Public(public)) = self.shared.tables().at_account(request.kind, request.element)
        else {
            return;
        };
        let is_shown = |account: &Account| is_to_itself(stanza) || !account.shuts_out(&self.shared, stanza);
        let documents = looked.as_ref().filter(|(account, _)| is_shown(account));
        match public.answer(&request, documents.map_or(&[][..], |(_, documents)| documents)) {
            Ok(payload) => self.give_result(stanza, payload, effects),
            Err(error) => self.refuse(stanza, error, effects),
        }
    }

    /// Does what a client wants at once when it binds its resource (XEP-0386): the elements inside of its request. What no extension
    /// knows is passed over.
    pub fn bind_inline(&mut self, session: SessionId, elements: ElementRef<'_>, effects: &mut Vec<Effect>) {
        let Some(name) = self.sessions.get(&session).map(|own| own.jid.to_bare()) else { return };
        let start = effects.len();
        for element in elements.children() {
            let Some(account) = self.accounts.get_mut(&name) else { return };
            let mut call = Call {
                shared: &self.shared,
                owner: &name,
                account,
                session: Some(session),
                now: self.asks.now(),
                random: &mut self.random,
                orders: &mut self.orders.orders,
                effects,
            };
            let _ = self.shared.tables().bind_inline(&mut call, element);
        }
        self.refresh(&name);
        self.dispatch(start, effects);
    }

    /// Tells a user of ours why nothing passes to whom this is addressed to; `false` if it does.
    pub(crate) fn is_refused(
        &self,
        stanza: &Stanza,
        as_sent: Option<SessionId>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return false };
        let Some(account) = self.accounts.get(from.bare_str()) else { return false };
        let Some(known) = account.known() else { return false };
        let refusal: Option<StanzaError> = self.shared.tables().refusal(known.roster.owner(), account, to);
        let Some(error) = refusal else { return false };
        match as_sent {
            Some(session) => self.refuse(&self.as_sent(session, stanza.clone()), error, effects),
            None => self.refuse(stanza, error, effects),
        }
        true
    }
}

impl Seen {
    /// What is so far, if the extension can change it.
    fn before(shared: &crate::shared::Shared, name: &BareJid, account: &Account, index: u8) -> Option<Seen> {
        shared.tables().decides(index).then(|| Seen::now(shared, name, account))
    }

    /// What is so.
    pub(crate) fn now(shared: &crate::shared::Shared, name: &BareJid, account: &Account) -> Seen {
        Seen {
            by: Watchers::of(account, shared),
            directed: account
                .resources()
                .iter()
                .flat_map(|resource| resource.directed.iter())
                .filter(|entity| shared.allows(name, account, entity))
                .cloned()
                .collect(),
            asked: account.probed(shared).into_iter().collect(),
            left_out: BTreeSet::new(),
        }
    }

    /// These are told otherwise.
    pub(crate) fn leave_out<'a>(&mut self, contacts: impl Iterator<Item = &'a BareJid>) {
        self.left_out.extend(contacts.cloned());
        self.by.audience.retain(|contact| !self.left_out.contains(contact));
        self.by.losers.retain(|contact| !self.left_out.contains(contact));
    }
}

impl Watchers {
    fn of(account: &Account, shared: &crate::shared::Shared) -> Watchers {
        let audience = account.audience(shared).into_iter().collect();
        Watchers { audience, losers: account.losers(shared).into_iter().collect() }
    }

    /// All who have to learn of the end of what they have seen.
    fn all(&self) -> impl Iterator<Item = &BareJid> {
        self.audience.iter().chain(&self.losers)
    }

    fn has(&self, contact: &BareJid) -> bool {
        self.audience.contains(contact) || self.losers.contains(contact)
    }
}
