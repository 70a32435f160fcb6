//! Keys for other hashes, for a server that has none of this account (XEP-0480). It gets the salted password for each, which is all that
//! it needs, and nothing before it has proven to know the password.

use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_machine::Instant;
use balcony_sasl::{DEFAULT_MAX_ITERATIONS, Hash, MIN_ITERATIONS, Mechanism, SaltedPassword};

use super::login::unexpected;
use super::{Client, ClientAsk, ClientEvent};
use crate::common::Common;
use crate::error::Error;
use crate::feature::sasl::Profile;
use crate::feature::{sasl2, upgrade};
use crate::state::{Phase, Step};

/// The tasks of a login.
#[derive(Default)]
pub(super) struct Upgrade {
    /// Those that were asked for and are not done.
    asked: Vec<Hash>,
    /// The one that is being done.
    task: Option<Hash>,
}

impl Client {
    /// The tasks to ask for along with a login by this mechanism: not where the login could be bound to the channel and is not (XEP-0480
    /// section 5). What the server says of its offer (XEP-0474) does not cover them, so somebody in between could make some up; nobody
    /// needs keys for a hash that the server takes logins by, or that is no stronger than the one in use.
    pub(super) fn ask_to_upgrade(&mut self, mechanism: Mechanism) -> Vec<Hash> {
        let is_safe = mechanism.is_plus() || !self.offer.plus;
        let is_better = |task: &Hash| {
            mechanism.hash().is_none_or(|hash| *task > hash)
                && !self.offer.mechanisms.iter().any(|offered| offered.hash() == Some(*task))
        };
        let tasks = self.offer.upgrades.iter().copied();
        let is_wanted = |task: &Hash| is_safe && self.config.upgrade && is_better(task);
        let asked: Vec<Hash> = tasks.filter(is_wanted).collect();
        self.upgrade = Upgrade { asked: asked.clone(), task: None };
        asked
    }

    /// The server wants a task done.
    pub(super) fn task_offered(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let element = common.reader.element();
        let data =
            sasl2::additional_data(element).map_err(|condition| Error::Authentication(condition, None))?;
        let Some(exchange) = &mut self.exchange else { return Err(unexpected()) };
        if common.phase() == Phase::Sasl {
            exchange.success(data.as_deref()).map_err(|_| Error::ServerNotAuthentic)?;
        }
        let task = upgrade::wanted(element).find(|task| self.upgrade.asked.contains(task));
        let Some(task) = task else { return self.abort_task(common, out) };
        self.upgrade.asked.retain(|asked| *asked != task);
        self.upgrade.task = Some(task);
        upgrade::write_next(common.framing, task, out);
        common.step(Step::Continue)
    }

    /// An element of the server's while there are tasks.
    pub(super) fn task(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        match (common.reader.element().name(), self.upgrade.task) {
            ("continue", None) => self.task_offered(common, out).map(|()| None),
            ("success", None) => self.success(common).map(Some),
            ("failure", _) => {
                let (condition, text) = Profile::Extensible.read_failure(common.reader.element());
                Err(Error::Authentication(condition, text))
            }
            ("task-data", Some(hash)) => {
                let salt = upgrade::salt(common.reader.element());
                let is_bearable = |count: &u32| (MIN_ITERATIONS..=DEFAULT_MAX_ITERATIONS).contains(count);
                let salt = salt.filter(|(_, iterations)| is_bearable(iterations));
                let (Some((salt, iterations)), Some(exchange)) = (salt, &self.exchange) else {
                    return self.abort_task(common, out).map(|()| None);
                };
                let (password, salt) = (exchange.password().clone(), Box::from(salt));
                let ask = ClientAsk::SaltPassword { hash, password, salt, iterations };
                Ok(Some(ClientEvent::Ask(common.ask(now), ask)))
            }
            _ => Err(unexpected()),
        }
    }

    /// The password is hashed.
    pub(super) fn task_salted(
        &mut self,
        common: &Common,
        salted: &SaltedPassword,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        if self.upgrade.task.take() != Some(salted.hash()) {
            return Err(unexpected());
        }
        upgrade::write_hash(common.framing, salted.as_bytes(), out);
        Ok(())
    }

    /// What the server wants done is nothing that this end was ready for.
    fn abort_task(&mut self, common: &Common, out: &mut Vec<u8>) -> Result<(), Error> {
        Profile::Extensible.write(common.framing, "abort", None, out);
        Err(unexpected())
    }
}
