//! Keys for other hashes, before the client is let in (XEP-0480): after it has proven its password, and in one task for each.
//!
//! What the client says the salted password is cannot be checked. So only who has proven to know the password may give one, and only
//! for a hash that the account has no keys for.

use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_machine::Instant;
use balcony_sasl::{Failure, Hash, SaslCondition, ScramKeys};
use balcony_stanza::{StreamCondition, StreamError, ns};
use balcony_xml::ElementRef;

use super::{Server, ServerAnswer, ServerAsk, ServerEvent};
use crate::common::Common;
use crate::error::Error;
use crate::feature::sasl::Profile;
use crate::feature::upgrade;
use crate::state::Step;

/// The tasks of a login.
pub(super) struct Upgrade {
    /// Those that are left, the next one last.
    tasks: Vec<Hash>,
    /// What ends the mechanism's exchange, until it is sent.
    data: Option<Vec<u8>>,
    /// What the account's keys are salted with; the new ones are as well, for accounts that don't exist show one salt for all hashes.
    salt: Box<[u8]>,
    iterations: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// The owner is asked which keys the account lacks.
    Lookup,
    /// `<continue/>` is out.
    Offered,
    /// The salt is out.
    Salted,
    /// The owner keeps the new keys.
    Keeping,
}

impl Upgrade {
    /// The tasks that a client asks for, of those that are offered.
    pub(super) fn read(profile: Profile, authenticate: ElementRef<'_>, offered: &[Hash]) -> Option<Upgrade> {
        if profile != Profile::Extensible || offered.is_empty() {
            return None;
        }
        let mut tasks = upgrade::tasks(authenticate);
        tasks.retain(|task| offered.contains(task));
        // The first one that was asked for comes first.
        tasks.reverse();
        let is_wanted = !tasks.is_empty();
        let (salt, iterations) = (Box::default(), 0);
        is_wanted.then_some(Upgrade { tasks, data: None, salt, iterations, state: State::Lookup })
    }
}

impl Server {
    /// The client has proven its password. Asks which keys its account lacks, if it wants to give some.
    pub(super) fn look_for_upgrades(
        &mut self,
        common: &mut Common,
        now: Instant,
        data: Option<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let login = &mut *self.login;
        let (Some(upgrade), Some(account)) = (&mut login.upgrade, &login.candidate) else {
            return self.keep_tokens(common, now, data, out);
        };
        upgrade.data = data;
        let ask = ServerAsk::KeysLacking { account: account.clone() };
        Ok(Some(ServerEvent::Ask(common.ask(now), Box::new(ask))))
    }

    /// The owner's answer, while there are tasks.
    pub(super) fn upgrade_answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ServerAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let login = &mut *self.login;
        if let (Some(upgrade), ServerAnswer::KeysLacking { hashes, salt, iterations }) =
            (&mut login.upgrade, answer)
        {
            upgrade.tasks.retain(|task| hashes.contains(task));
            if let Some(fast) = &mut login.fast {
                fast.proven_by(&salt);
            }
            (upgrade.salt, upgrade.iterations) = (salt, iterations);
        } else if let Some(upgrade) = login.upgrade.as_mut().filter(|upgrade| upgrade.state == State::Lookup)
        {
            // Nobody is kept out because it can't be found out now.
            upgrade.tasks.clear();
        }
        self.next_task(common, now, out)
    }

    /// Offers the next task, or lets the client in.
    fn next_task(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let Some(upgrade) = &mut self.login.upgrade else { return Ok(None) };
        let data = upgrade.data.take();
        match upgrade.tasks.last() {
            Some(task) => {
                upgrade.state = State::Offered;
                upgrade::write_continue(common.framing, data.as_deref(), *task, out);
                common.step(Step::Continue).map(|()| None)
            }
            None => {
                self.login.upgrade = None;
                self.keep_tokens(common, now, data, out)
            }
        }
    }

    /// An element of the client's while there are tasks.
    pub(super) fn task(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let element = common.reader.element();
        match (element.namespace(), element.name()) {
            // XEP-0388 section 4.8.
            (ns::SASL2, "authenticate") => return Err(self.refuse_second_login()),
            (ns::SASL2, _) => {}
            _ => return Err(StreamError::new(StreamCondition::NotAuthorized, "do the task first").into()),
        }
        let login = &mut *self.login;
        let (Some(upgrade), Some(account)) = (&mut login.upgrade, &login.candidate) else { return Ok(None) };
        let Some(task) = upgrade.tasks.last().copied() else { return Ok(None) };
        let malformed = |reason| Failure::new(SaslCondition::MalformedRequest, reason);
        match (upgrade.state, element.name()) {
            (State::Offered, "next") if upgrade::next(element) == Some(task) => {
                upgrade.state = State::Salted;
                upgrade::write_salt(common.framing, &upgrade.salt, upgrade.iterations, out);
                Ok(None)
            }
            (State::Offered, "next") => {
                self.sasl_failure(common, malformed("a task that was not offered"), out)
            }
            (State::Salted, "task-data") => {
                let keys = upgrade::hash(element).and_then(|salted| {
                    ScramKeys::from_salted(task, &salted, upgrade.salt.clone(), upgrade.iterations).ok()
                });
                let Some(keys) = keys else {
                    return self.sasl_failure(common, malformed("no salted password for this hash"), out);
                };
                upgrade.tasks.pop();
                upgrade.state = State::Keeping;
                let ask = ServerAsk::AddKeys { account: account.clone(), keys };
                Ok(Some(ServerEvent::Ask(common.ask(now), Box::new(ask))))
            }
            (_, "abort") => {
                let failure = Failure::new(SaslCondition::Aborted, "aborted by the client");
                self.sasl_failure(common, failure, out)
            }
            _ => self.sasl_failure(common, malformed("an element that is no part of the task"), out),
        }
    }
}
