//! The way of a stanza: from its sender's account to its recipient's, and where it waits.
//!
//! Most of the time there is nothing to wait for, and a stanza goes straight through. What has to wait does so in the line of
//! one pair: an account, and whoever it exchanges stanzas with. Other pairs go on. Only an account that is not known yet has
//! everything wait that concerns it.
//!
//! What strangers are refused does not wait for what the account does: how long that takes would tell them that there is such
//! an account, or that somebody is there. For the same reason what a stranger has sent counts as handled as soon as it waits in
//! somebody else's account, and is dropped, as silently as it would be elsewhere, if too much of the stranger waits.

use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::Ticket;
use balcony_stanza::{ErrorCondition, IqType, Kind, MessageType, PresenceType, Stanza};

use crate::account::{Account, Earlier, is_to_itself};
use crate::asks::{Charge, Purpose, cost};
use crate::charging::sees;
use crate::commit::{Commit, Scope, Then};
use crate::facts::{Said, SenderFacts};
use crate::line::{Origin, Task, Waiting};
use crate::request::For;
use crate::router::Router;
use crate::waits::Place;
use crate::{Ask, Change, Effect, SessionId};

impl Router {
    /// Has a session's account do what the session wants, now or later.
    pub(crate) fn depart(
        &mut self,
        from: SessionId,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(session) = self.sessions.get(&from) else { return };
        let name = session.jid.to_bare();
        if self.accounts.get(&name).is_none_or(|account| account.open().is_none()) {
            let Some(charge) = self.charge_own(&stanza, origin, effects) else { return };
            let waiting = Waiting { task: Task::Sent(from), stanza, charge };
            return self.load(&name, effects).queue_mut().push_back(waiting);
        }
        self.depart_open(&name, from, stanza, origin, effects);
    }

    /// The account is known, and has nothing else to do before.
    fn depart_open(
        &mut self,
        name: &BareJid,
        from: SessionId,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let peer = self.peer(name, &stanza);
        let (earlier, number) = (self.earlier(name), origin.number());
        let account = self.accounts.get(name);
        let holds = |account: &Account| account.holds_sent(&peer, &stanza, peer == *name, earlier, number);
        if !account.is_some_and(holds) {
            return self.sent(from, stanza, origin, effects);
        }
        let Some(mut charge) = self.charge_own(&stanza, origin, effects) else { return };
        if matches!(stanza.head.kind, Kind::Presence(kind) if kind.is_subscription()) {
            // A later request finds the roster as this has left it.
            self.asks.await_fate(&mut charge);
        }
        self.line_up(name, &peer, Waiting { task: Task::Sent(from), stanza, charge });
    }

    /// Between whom and the account a stanza of one of its sessions passes. What concerns the account itself or its server is the
    /// account's own.
    fn peer(&self, name: &BareJid, stanza: &Stanza) -> BareJid {
        match &stanza.head.to {
            Some(to) if to.localpart().is_some() || !self.is_local(to.domainpart()) => to.to_bare(),
            _ => name.clone(),
        }
    }

    /// What the account has sent, and is still to be done or decided.
    fn earlier(&self, name: &BareJid) -> Earlier {
        let request = self.accounts.get(name).and_then(Account::first_request);
        Earlier { undecided: self.asks.undecided(name.as_str()), request }
    }

    fn line_up(&mut self, name: &BareJid, peer: &BareJid, waiting: Waiting) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.line_mut(peer).queue.push_back(waiting);
        self.refresh(name);
    }

    /// The account, which is known and waits for nothing, does what its session wants.
    fn sent(&mut self, from: SessionId, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        match stanza.head.kind {
            Kind::Message(kind) => self.message(from, kind, stanza, origin, effects),
            Kind::Presence(kind) => self.presence(from, kind, stanza, origin, effects),
            Kind::Iq(_) => self.iq(from, stanza, origin, effects),
        }
    }

    /// The server sends presence in an account's name: behind what passes between the account and the recipient already. What comes of a
    /// change goes before what the account has sent to the recipient behind what has asked for it, of which this is the
    /// [number](Charge::number); of other presence that is `u64::MAX`.
    pub(crate) fn leave(
        &mut self,
        name: &BareJid,
        stanza: Stanza,
        said: Said,
        number: u64,
        effects: &mut Vec<Effect>,
    ) {
        let Some(to) = &stanza.head.to else { return };
        let account = self.accounts.get(name).filter(|account| !account.has_no_lines());
        let line = account.and_then(|account| account.line(to.bare_str()));
        let Some(place) = line.and_then(|line| line.place(number)) else {
            return self.say(stanza, &mut Origin::said(said), effects);
        };
        let (peer, bytes) = (to.to_bare(), cost(&stanza));
        if !self.asks.has_room(name, &Place::SaidAtHome, bytes) {
            self.drop_older(name, &peer, &stanza, effects);
            return self.say(stanza, &mut Origin::said(said), effects);
        }
        let facts = SenderFacts { sees_presence: false, said };
        let charge = self.asks.charge(name.clone(), bytes, Place::SaidAtHome, None, facts);
        let waiting = Waiting { task: Task::Leaving, stanza, charge };
        if let Some(account) = self.accounts.get_mut(name) {
            account.line_mut(&peer).queue.insert(place, waiting);
        }
        self.refresh(name);
    }

    /// The same for one that has waited.
    fn say_now(&mut self, name: &BareJid, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get(name) else { return };
        if let Some(stanza) = account.said_now(&self.shared, stanza, origin.facts().said) {
            self.say(stanza, origin, effects);
        }
    }

    /// The server sends presence in an account's name, which waits for nothing there.
    pub(crate) fn say(&mut self, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        match stanza.head.kind {
            Kind::Presence(kind) if kind.is_subscription() => {
                let is_sent = origin.facts().said == Said::ForClient;
                // Presence has no answer that this would have to come before.
                if !(is_sent && self.parks_said(&stanza, effects)) {
                    self.pass_on(stanza, is_sent, origin, effects);
                }
            }
            Kind::Presence(PresenceType::Probe) => self.pass_on(stanza, false, origin, effects),
            _ => self.show(stanza, origin, effects),
        }
    }

    /// Presence for which there is no room to wait goes at once, and overtakes what waits: what is waiting of the same from the same to the
    /// same is [older](Account::take_older), and is dropped.
    fn drop_older(&mut self, name: &BareJid, peer: &BareJid, stanza: &Stanza, effects: &mut Vec<Effect>) {
        let account = self.accounts.get_mut(name);
        let older = account.map(|account| account.take_older(peer, stanza)).unwrap_or_default();
        if !older.is_empty() {
            self.refresh(name);
        }
        older.into_iter().for_each(|waiting| self.release(waiting.charge, effects));
    }

    /// Presence has to wait in the account that it is for, or it would not come in its turn. If it must not be lost, and there is no room to
    /// wait, it [goes at once](Router::drop_older) to those who are there: whoever has seen somebody come sees that one go. Whether it did.
    fn cannot_wait(
        &mut self,
        name: &BareJid,
        stanza: &Stanza,
        origin: &Origin,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let is_lasting = match stanza.head.kind {
            Kind::Presence(PresenceType::Unavailable) => !matches!(origin, Origin::Answer),
            Kind::Presence(PresenceType::Available) => origin.is_said() && !matches!(origin, Origin::Answer),
            _ => false,
        };
        if !is_lasting || !origin.is_new() || self.has_room(stanza, origin) {
            return false;
        }
        if let Some(from) = &stanza.head.from {
            self.drop_older(name, &from.to_bare(), stanza, effects);
        }
        self.take_presence(stanza.clone(), origin.facts().said, effects);
        true
    }

    /// Sends a stanza from its sender's account to another one of ours.
    pub(crate) fn pass_across(&mut self, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        let is_for = self.audience_of(&stanza);
        if is_for == For::Anybody {
            self.say_facts(&stanza, origin);
            return self.read_public(&to.to_bare(), stanza, origin, effects);
        }
        if is_for == For::Subscribers && matches!(origin, Origin::Remote) && !self.is_shown_account(&stanza) {
            return self.ask_who_sees(&to.to_bare(), stanza, origin, effects);
        }
        if self.crosses(&stanza, origin, effects).is_none() {
            return;
        }
        let sees = sees(&stanza, origin);
        let may_wait = sees || !self.is_answered_at_once(&stanza, is_for);
        if may_wait && self.has_to_park(&stanza, sees, origin, effects) {
            return self.park(stanza, origin, effects);
        }
        self.arrive(is_for, stanza, origin, effects);
    }

    /// Whether a stranger is answered before all that it has sent before to the same: it is what strangers are answered whatever the
    /// account does.
    fn is_answered_at_once(&self, stanza: &Stanza, is_for: For) -> bool {
        let Some(to) = &stanza.head.to else { return false };
        let reaches = |account: &Account| {
            self.reached(account, stanza).is_some()
                || is_for == For::Subscribers && self.is_shown_account(stanza)
        };
        match stanza.head.kind {
            Kind::Iq(IqType::Get | IqType::Set) => !self.accounts.get(to.bare_str()).is_some_and(reaches),
            kind => kind == Kind::Presence(PresenceType::Probe),
        }
    }

    /// Has an account take a stanza that is addressed to it, now or later.
    pub(crate) fn arrive(
        &mut self,
        is_for: For,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        let facts = origin.facts();
        match self.accounts.get(to.bare_str()) {
            None if facts.said == Said::WhoIsThere => {}
            Some(_) if facts.said == Said::Again && !self.is_quiet(&from.to_bare(), &to.to_bare()) => {
                self.say_soon(&stanza);
            }
            // A stranger who gets nothing is told so without regard to what the account waits for, or the wait would tell of it.
            Some(account)
                if matches!(stanza.head.kind, Kind::Iq(_))
                    && self.reached(account, &stanza).is_none()
                    && !facts.sees_presence
                    && !(is_for == For::Subscribers && self.is_shown_account(&stanza)) =>
            {
                self.refuse_iq(&stanza, effects);
            }
            Some(account)
                if account.is_probed_by_stranger(&self.shared, &stanza) || account.may_deny(&stanza) =>
            {
                self.probe_later(stanza, origin, effects);
            }
            Some(account) if account.takes(&stanza) => {
                let name = to.to_bare();
                self.arrive_open(&name, stanza, origin, effects);
                self.settle(&name, effects);
            }
            // Whether it is a contact's the account has to say; a stranger does not wait for that.
            None if is_for == For::Subscribers && facts.sees_presence => {
                self.wait(stanza, origin, effects);
            }
            None if is_probe(&stanza) => self.probe_later(stanza, origin, effects),
            None if !needs_account(&stanza) => self.nobody(&stanza, effects),
            _ => self.wait(stanza, origin, effects),
        }
    }

    /// The account is known, and has nothing else to do before.
    fn arrive_open(
        &mut self,
        name: &BareJid,
        stanza: Stanza,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let Some(account) = self.accounts.get(name) else { return };
        let sees = origin.facts().sees_presence;
        if !account.is_held(&stanza, sees, self.asks.undecided(name.as_str()), origin.number()) {
            return self.arrived(stanza, origin, effects);
        }
        let Some(from) = &stanza.head.from else { return };
        let (peer, is_first) = (from.to_bare(), is_to_itself(&stanza));
        if self.cannot_wait(name, &stanza, origin, effects) {
            return;
        }
        let Some(charge) = self.charge(&stanza, origin, effects) else { return };
        let Some(account) = self.accounts.get_mut(name) else { return };
        let line = &mut account.line_mut(&peer).queue;
        let waiting = Waiting { task: Task::Arrived, stanza, charge };
        // What the account sends to itself is in the same line, and was the first there.
        if is_first {
            line.push_front(waiting)
        } else {
            line.push_back(waiting)
        }
        self.refresh(name);
    }

    /// The account, which is known and waits for nothing, takes what is addressed to it.
    fn arrived(&mut self, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        match stanza.head.kind {
            Kind::Message(kind) => self.take_message(kind, stanza, origin, effects),
            Kind::Iq(_) => self.take_iq(&stanza, origin, effects),
            Kind::Presence(PresenceType::Probe) => self.take_probe(&stanza, effects),
            Kind::Presence(kind) if kind.is_subscription() => {
                self.take_subscription(kind, stanza, origin, effects);
            }
            Kind::Presence(_) => self.take_presence(stanza, origin.facts().said, effects),
        }
    }

    /// Leaves a stanza to the account that it is addressed to until that takes it, and loads the account if need be.
    pub(crate) fn wait(&mut self, stanza: Stanza, origin: &mut Origin, effects: &mut Vec<Effect>) {
        let Some(to) = &stanza.head.to else { return };
        let name = to.to_bare();
        if self.cannot_wait(&name, &stanza, origin, effects) {
            return;
        }
        let Some(charge) = self.charge(&stanza, origin, effects) else { return };
        self.load(&name, effects).push_arrived(stanza, charge);
    }

    /// The same for a message that comes back from a session which has not got it: before what has come later, in its sender's line if
    /// it has one to wait in.
    pub(crate) fn wait_returned(
        &mut self,
        stanza: Stanza,
        has_line: bool,
        origin: &mut Origin,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(from), Some(to)) = (&stanza.head.from, &stanza.head.to) else { return };
        let (peer, name) = (from.to_bare(), to.to_bare());
        let Some(charge) = self.charge(&stanza, origin, effects) else { return };
        let account = self.load(&name, effects);
        let queue = if has_line { &mut account.line_mut(&peer).queue } else { account.queue_mut() };
        // They are told from each other by when they came first.
        let order = |charge: &Charge| charge.again.as_ref().map_or(0, |again| again.when.order);
        let place = queue.partition_point(|waiting| {
            matches!(waiting.task, Task::Returned) && order(&waiting.charge) <= order(&charge)
        });
        queue.insert(place, Waiting { task: Task::Returned, stanza, charge });
        self.refresh(&name);
    }

    /// Lets those go on whose requests had to wait for the fate of what they had sent.
    pub(crate) fn go_on(&mut self, effects: &mut Vec<Effect>) {
        self.tell_heard();
        while let Some(name) = self.decided.pop() {
            self.drain(&name, &name, effects);
            self.settle(&name, effects);
        }
    }

    /// The account, which may have to be loaded first.
    pub(crate) fn load(&mut self, name: &BareJid, effects: &mut Vec<Effect>) -> &mut Account {
        if !self.accounts.contains_key(name) {
            self.incarnations += 1;
            self.accounts.insert(name, Account::loading(self.incarnations));
            self.load_behind(self.load_ask(name), effects);
        }
        self.accounts.get_or_insert_with(name, || Account::loading(0))
    }

    /// What asks for what is kept of an account.
    pub(crate) fn load_ask(&self, name: &BareJid) -> Ask {
        Ask::Load { account: name.clone(), collections: self.shared.all_collections.clone() }
    }

    pub(crate) fn ask(
        &mut self,
        ask: Ask,
        purpose: Purpose,
        charge: Option<Charge>,
        effects: &mut Vec<Effect>,
    ) {
        let ticket = self.open_ask(&ask, purpose, charge);
        effects.push(Effect::Ask { ticket, ask });
    }

    /// An ask is under way.
    pub(crate) fn open_ask(&mut self, ask: &Ask, purpose: Purpose, charge: Option<Charge>) -> Ticket {
        let name = ask.account();
        let incarnation = self.accounts.get(name).map_or(0, |account| account.incarnation);
        self.asks.open(self.shared.config.limits.answer, name.clone(), incarnation, purpose, charge)
    }

    /// Saves a change that nothing waits for but what its purpose says; when it is its sender's [turn](crate::turns), if somebody is
    /// charged for it.
    pub(crate) fn save_beside(
        &mut self,
        name: &BareJid,
        change: Change,
        purpose: Purpose,
        charge: Option<Charge>,
        effects: &mut Vec<Effect>,
    ) {
        self.save_all_beside(name, Vec::from([change]), purpose, charge, effects);
    }

    /// The same with several changes, of which all are made or none.
    pub(crate) fn save_all_beside(
        &mut self,
        name: &BareJid,
        changes: Vec<Change>,
        purpose: Purpose,
        charge: Option<Charge>,
        effects: &mut Vec<Effect>,
    ) {
        let Some(account) = self.accounts.get_mut(name) else { return };
        account.asks += 1;
        let by_others = charge.as_ref().is_some_and(|charge| !charge.is_paid_by(name));
        let ask = Ask::Save { account: name.clone(), changes, by_others };
        let limits = &self.shared.config.limits;
        let waits = charge.as_ref().is_some_and(|charge| !self.storing.begins(name, charge.bytes(), limits));
        match charge {
            Some(charge) if waits => self.save_later(ask, purpose, charge),
            charge => self.ask(ask, purpose, charge, effects),
        }
    }

    /// Lets an account take what waits for it, as far as it can, and forgets it when nothing more can come of it.
    pub(crate) fn settle(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        loop {
            self.remove(name, effects);
            self.fetch(name, effects);
            let account = self.accounts.get_mut(name).filter(|account| account.phase.is_open());
            let Some((waiting, is_outdated)) = account.and_then(|account| account.take_first(|_| true))
            else {
                break;
            };
            if is_outdated {
                self.release(waiting.charge, effects);
            } else {
                self.take_up(name, waiting, effects);
            }
        }
        self.forget_obsolete(name, effects);
        if self.accounts.get(name).is_some_and(Account::is_idle) {
            self.accounts.remove(name);
            self.forget_owed(name);
        } else {
            self.refresh(name);
        }
    }

    /// Takes a stanza up again that has waited for the account to be open.
    fn take_up(&mut self, name: &BareJid, waiting: Waiting, effects: &mut Vec<Effect>) {
        let Waiting { task, mut stanza, charge } = waiting;
        let mut origin = Origin::Waited(charge);
        match task {
            Task::Sent(session) => {
                if self.peer(name, &stanza) == *name {
                    self.disown(session, &mut stanza);
                }
                self.depart_open(name, session, stanza, &mut origin, effects);
            }
            Task::Arrived => self.arrive_open(name, stanza, &mut origin, effects),
            Task::Returned => self.come_again(name, stanza, &mut origin, effects),
            Task::Leaving => self.say_now(name, stanza, &mut origin, effects),
        }
        self.finish(origin, effects);
    }

    /// What has come back while the account was not open goes before everything else that waits, but behind what is stored.
    pub(crate) fn resume_returned(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        self.fetch(name, effects);
        let is_returned = |waiting: &mut Waiting| matches!(waiting.task, Task::Returned);
        while let Some(account) = self.accounts.get_mut(name).filter(|account| account.phase.is_open())
            && let Some((waiting, _)) = account.take_first(is_returned)
        {
            self.take_up(name, waiting, effects);
        }
    }

    /// Lets what waits between the account and the peer go on, as far as it can.
    pub(crate) fn drain(&mut self, name: &BareJid, peer: &BareJid, effects: &mut Vec<Effect>) {
        let request = self.earlier(name).request;
        let has_gone = self.drain_line(name, peer, request, effects);
        if has_gone && name == peer {
            // What others would change has waited for the account's own requests.
            self.drain_others(name, effects);
        }
    }

    /// The same, and nothing that waits for that; whether anything has gone on. `request` is the account's first that has not begun.
    fn drain_line(
        &mut self,
        name: &BareJid,
        peer: &BareJid,
        request: Option<u64>,
        effects: &mut Vec<Effect>,
    ) -> bool {
        let mut has_gone = false;
        loop {
            let earlier = Earlier { undecided: self.asks.undecided(name.as_str()), request };
            let Some(account) = self.accounts.get_mut(name) else { return has_gone };
            let line = account.line(peer.as_str()).filter(|_| account.phase.is_open());
            let place = line.and_then(|line| account.next(line, name == peer, earlier));
            let next = place.and_then(|place| account.line_mut(peer).queue.remove(place));
            let Some(Waiting { task, mut stanza, charge }) = next else { break };
            has_gone = true;
            let mut origin = Origin::Waited(charge);
            match task {
                Task::Sent(session) => {
                    if peer == name {
                        self.disown(session, &mut stanza);
                    }
                    self.sent(session, stanza, &mut origin, effects);
                }
                Task::Arrived => self.arrived(stanza, &mut origin, effects),
                Task::Returned => self.take_returned(stanza, &mut origin, effects),
                Task::Leaving => self.say_now(name, stanza, &mut origin, effects),
            }
            self.finish(origin, effects);
            // It may have been the presence of somebody who takes messages: then what is stored goes before what waits here.
            self.fetch(name, effects);
        }
        if let Some(account) = self.accounts.get_mut(name) {
            account.tidy(peer);
        }
        has_gone
    }

    /// The same for everybody.
    pub(crate) fn drain_all(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        self.drain_others(name, effects);
        // What the account asks of its server comes behind what it has sent before.
        self.drain(name, name, effects);
    }

    fn drain_others(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let Some(account) = self.accounts.get(name) else { return };
        let peers: Vec<BareJid> = account.lines().filter(|peer| *peer != name).cloned().collect();
        // Own requests are not in these lines. It is found once, since there may be many lines, and much in the own one.
        let request = account.first_request();
        for peer in peers {
            self.drain_line(name, &peer, request, effects);
        }
    }

    /// If the account is to be removed, and open, that comes before everything that waits.
    fn remove(&mut self, name: &BareJid, effects: &mut Vec<Effect>) {
        let is_next = |account: &Account| account.removing && account.phase.is_open();
        if self.accounts.get(name).is_some_and(is_next) {
            let commit = Commit {
                request: None,
                scope: Scope::All,
                then: Then::Removal,
                may_change: true,
                asked_by: None,
                waits_for_contact: false,
                number: 0,
            };
            self.commit(Ask::Remove { account: name.clone() }, commit, None, effects);
        }
    }

    /// The sessions know whether their messages have to look at the account, and look anew at whom its user sees.
    pub(crate) fn refresh(&mut self, name: &BareJid) {
        let Some(account) = self.accounts.get(name) else { return };
        let is_plain = account.is_plain(&self.shared);
        let is_told = self.shared.is_told_of(account);
        let waits = account.has_older_to_come();
        let is_known = account.known().is_some();
        let (now, limits) = (self.asks.now(), &self.shared.config.limits);
        for resource in account.resources() {
            if let Some(session) = self.sessions.get_mut(&resource.session) {
                session.is_plain = is_plain;
                if let Some(recent) = &mut session.recent {
                    (recent.sees, recent.index) = (None, None);
                }
                let waits = waits == Some(resource.session);
                session.holds = waits || self.shared.tables().may_hold(resource.slots());
                if is_known && !waits && session.outbox.behind() > 0 && !session.is_early(now, limits) {
                    self.caught_up.push(resource.session);
                }
                session.is_told = is_told;
                if session.outbox.held() > 0 && !self.shared.tables().holds(resource.slots()) {
                    self.to_flush.push(resource.session);
                }
            }
        }
    }

    /// What becomes of a stanza to an account that does not exist; or, if it [needs none](needs_account), is not there.
    pub(crate) fn nobody(&mut self, stanza: &Stanza, effects: &mut Vec<Effect>) {
        match stanza.head.kind {
            _ if self.tells_strangers_of(stanza) => {
                self.refuse(stanza, ErrorCondition::ServiceUnavailable, effects);
            }
            Kind::Iq(_) => self.refuse_iq(stanza, effects),
            Kind::Presence(PresenceType::Probe) => self.deny_probe(stanza, effects),
            Kind::Message(_) | Kind::Presence(_) => {}
        }
    }

    /// Whether everybody is told that this was not delivered: a message that expects an answer, where strangers, too, may be told.
    pub(crate) fn tells_strangers_of(&self, stanza: &Stanza) -> bool {
        self.shared.config.tell_strangers && expects_reply(stanza)
    }
}

/// Whether this is a message of a kind whose sender hears when it does not arrive (RFC 6121 section 8.5).
pub(crate) const fn expects_reply(stanza: &Stanza) -> bool {
    use MessageType as M;
    matches!(stanza.head.kind, Kind::Message(M::Normal | M::Chat | M::Groupchat))
}

fn is_probe(stanza: &Stanza) -> bool {
    stanza.head.kind == Kind::Presence(PresenceType::Probe)
}

/// Whether an account that has nobody there has to be known to say what becomes of this stanza.
fn needs_account(stanza: &Stanza) -> bool {
    use {MessageType as M, PresenceType as P};
    let is_bare = stanza.head.to.as_ref().is_some_and(|to| to.is_bare());
    match stanza.head.kind {
        Kind::Message(M::Normal | M::Chat | M::Groupchat) => true,
        Kind::Message(M::Headline | M::Error) => false,
        Kind::Presence(P::Probe | P::Subscribe) => true,
        // Without a match these are ignored (RFC 6121 section 8.5.3.2.2).
        Kind::Presence(kind) => kind.is_subscription() && is_bare,
        Kind::Iq(IqType::Get | IqType::Set | IqType::Result | IqType::Error) => false,
    }
}
