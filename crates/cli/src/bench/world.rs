//! What all connections of a run share: the server, the accounts, what was measured, and when to stop.

use core::cell::{Cell, RefCell};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::io::IsTerminal as _;
use std::rc::Rc;

use balcony_client::{ClientConfig, Endpoint};
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Random, Seed};
use balcony_sasl::{Hash, SaltedPassword};
use balcony_stream::TlsPolicy;
use balcony_stream::client::{ClientAnswer, ClientAsk, Management};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::args::Common;
use super::histogram::Histogram;
use super::lane::Wrong;
use super::usage::Process;
use crate::args::ConnectArgs;
use crate::connect::Connector;
use crate::failure::{Failure, io};
use crate::random::random;

/// Examples of what was wrong that are kept of each kind.
const EXAMPLES: usize = 3;
/// Salted passwords that are kept.
const MOST_SALTED: usize = 1_000_000;

/// A run.
pub(crate) struct World {
    /// Of every connection, but for the account and the resource.
    config: ClientConfig,
    /// Where the server is.
    pub(crate) address: SocketAddr,
    /// How TLS is used: `none`, `starttls` or `direct`.
    pub(crate) tls: &'static str,
    domain: BareJid,
    prefix: String,
    /// The name of this run, in everything that it sends.
    pub(crate) run: String,
    pub(crate) server: Option<Process>,
    seconds: Duration,
    warm_up: Duration,
    pub(crate) start: Instant,
    random: RefCell<Random>,
    salted: RefCell<HashMap<Salting, SaltedPassword>>,
    stop: watch::Sender<bool>,
    interrupted: Cell<bool>,
    pub(crate) meter: Meter,
}

/// What a salted password is made of.
type Salting = (Hash, String, Box<[u8]>, u32);

/// What was counted so far.
#[derive(Default)]
pub(crate) struct Meter {
    /// Whether what happens now is measured.
    pub(crate) is_on: Cell<bool>,
    /// What was delivered, or done, while it was.
    pub(crate) count: Cell<u64>,
    pub(crate) times: RefCell<Histogram>,
    /// What was checked and found good in all.
    pub(crate) good: Cell<u64>,
    /// What was found wrong: how often, and some examples.
    pub(crate) wrong: RefCell<BTreeMap<Wrong, (u64, Vec<String>)>>,
    /// Connections and logins that failed, by reason.
    pub(crate) failed: RefCell<BTreeMap<String, u64>>,
}

impl Meter {
    /// Something took so long.
    pub(crate) fn done(&self, took: Duration) {
        if self.is_on.get() {
            self.count.set(self.count.get() + 1);
            self.times.borrow_mut().add(took);
        }
    }

    pub(crate) fn good(&self) {
        self.good.set(self.good.get() + 1);
    }

    pub(crate) fn wrong(&self, what: Wrong, count: u64, example: impl FnOnce() -> String) {
        if count > 0 {
            let mut wrong = self.wrong.borrow_mut();
            let (total, examples) = wrong.entry(what).or_default();
            *total += count;
            if examples.len() < EXAMPLES {
                examples.push(example());
            }
        }
    }

    /// Something failed. There are few reasons, and each is told once.
    pub(crate) fn failed(&self, reason: &str) {
        let mut failed = self.failed.borrow_mut();
        if failed.len() < 100 || failed.contains_key(reason) {
            *failed.entry(reason.into()).or_default() += 1;
        }
    }
}

/// What a stretch of time was like.
#[derive(Debug, Default)]
pub(crate) struct Stretch {
    pub(crate) wall: Duration,
    /// CPU time of the server, and of this process.
    pub(crate) server: Option<Duration>,
    pub(crate) own: Option<Duration>,
}

impl World {
    /// Finds the server, and makes sure that it may be loaded.
    pub(crate) async fn new(common: &Common, connect: &ConnectArgs) -> Result<Rc<World>, Failure> {
        let domain = common.domain.0.clone();
        let account = |number: u32| {
            BareJid::from_parts(Some(&format!("{}{number}", common.accounts)), domain.domainpart())
        };
        let first = account(0)
            .map_err(|error| Failure::usage(format!("--accounts: `{}`: {error}", common.accounts)))?;
        let (host, port, direct) = match &connect.connect {
            None => (
                domain.domainpart().to_owned(),
                if connect.direct_tls { 5223 } else { 5222 },
                connect.direct_tls,
            ),
            Some(place) => match place.endpoint(connect.direct_tls) {
                Some(Endpoint::Address { host, port, direct_tls }) => (host, port, direct_tls),
                _ => return Err(Failure::usage("--connect: a host and a port is wanted")),
            },
        };
        let address = tokio::net::lookup_host((&*host, port))
            .await
            .map_err(io(format!("cannot find {host}")))?
            // The test and the figures are of one place.
            .min_by_key(|address| address.is_ipv6())
            .ok_or_else(|| Failure::new(format!("{host} has no address")))?;
        if !is_near(address.ip()) && !common.yes_this_is_mine {
            return Err(Failure::usage(format!(
                "{} is neither on this machine nor in a private network; for a server of yours, add --yes-this-is-mine",
                address.ip()
            )));
        }
        let server = common.pid.map(Process::other).transpose()?;
        let mut config = Connector::new(&Jid::from(first), connect)?.config;
        config.stream.management = Management::Off;
        if direct {
            config.stream.tls = TlsPolicy::Direct;
        }
        if common.plain {
            config.stream.tls = TlsPolicy::None;
        }
        if let Some(mechanism) = common.mechanism {
            config.stream.mechanisms = vec![mechanism];
            config.stream.sasl2 = false;
        }
        let tls = match (common.plain, direct) {
            (true, _) => "none",
            (_, true) => "direct",
            _ => "starttls",
        };
        let mut random = random()?;
        Ok(Rc::new(World {
            config,
            address,
            tls,
            domain,
            prefix: common.accounts.clone(),
            run: random.token(8),
            server,
            seconds: Duration::from_secs(common.seconds),
            warm_up: Duration::from_secs(common.warm_up),
            start: Instant::now(),
            random: RefCell::new(random),
            salted: RefCell::default(),
            stop: watch::Sender::new(false),
            interrupted: Cell::new(false),
            meter: Meter::default(),
        }))
    }

    /// The account with this number.
    pub(crate) fn account(&self, number: u32) -> Result<BareJid, Failure> {
        BareJid::from_parts(Some(&format!("{}{number}", self.prefix)), self.domain.domainpart())
            .map_err(|error| Failure::usage(format!("--accounts: {error}")))
    }

    /// What a client of this account is.
    pub(crate) fn config(&self, number: u32, resource: &str) -> Result<ClientConfig, Failure> {
        let mut config = self.config.clone();
        config.stream.account = self.account(number)?;
        config.stream.resource = Some(resource.into());
        Ok(config)
    }

    pub(crate) fn seed(&self) -> Seed {
        self.random.borrow_mut().seed()
    }

    pub(crate) fn token(&self, length: usize) -> String {
        self.random.borrow_mut().token(length)
    }

    /// Answers what a client asks; what was asked before at once.
    pub(crate) async fn answer(&self, ask: ClientAsk) -> ClientAnswer {
        let ClientAsk::SaltPassword { hash, password, salt, iterations } = &ask;
        let salting = (*hash, password.expose().clone(), salt.clone(), *iterations);
        if let Some(known) = self.salted.borrow().get(&salting) {
            return ClientAnswer::Salted(known.clone());
        }
        let answer = tokio::task::spawn_blocking(move || balcony_client::answer(ask)).await;
        let answer = answer.unwrap_or(ClientAnswer::Unavailable);
        let mut salted = self.salted.borrow_mut();
        if let ClientAnswer::Salted(new) = &answer
            && salted.len() < MOST_SALTED
        {
            salted.insert(salting, new.clone());
        }
        answer
    }

    /// Somebody wants it to end.
    pub(crate) fn interrupt(&self) {
        self.interrupted.set(true);
        self.stop();
    }

    pub(crate) fn is_interrupted(&self) -> bool {
        self.interrupted.get()
    }

    /// All tasks are to come to their end.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    pub(crate) fn is_stopped(&self) -> bool {
        *self.stop.borrow()
    }

    /// Returns when it is to stop.
    pub(crate) async fn stopped(&self) {
        // The sender is in here, so it does not end before.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Does something unless it is to stop.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.stopped() => None,
            result = work => Some(result),
        }
    }

    /// Lets tasks run for as long as was said, then has them stop, and waits for them. What was measured is in the meter.
    pub(crate) async fn run(&self, tasks: &mut JoinSet<()>) -> Result<Stretch, Failure> {
        self.pass(self.warm_up, tasks, None).await;
        let stretch = self.measure(self.seconds, tasks).await?;
        self.finish(tasks).await;
        Ok(stretch)
    }

    /// Measures while tasks run.
    pub(crate) async fn measure(&self, time: Duration, tasks: &mut JoinSet<()>) -> Result<Stretch, Failure> {
        let cpu = || self.server.map(Process::cpu).transpose();
        let (server, own, start) = (cpu()?, Process::OWN.cpu().ok(), Instant::now());
        self.meter.is_on.set(!self.is_stopped());
        self.pass(time, tasks, Some("measuring")).await;
        self.meter.is_on.set(false);
        let wall = start.elapsed();
        let since = |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        let server = since(cpu()?, server);
        Ok(Stretch { wall, server, own: since(Process::OWN.cpu().ok(), own) })
    }

    /// Has tasks stop, and waits for them.
    pub(crate) async fn finish(&self, tasks: &mut JoinSet<()>) {
        self.stop();
        while tasks.join_next().await.is_some() {}
    }

    /// Waits for so long, or until it is to stop or no task is left.
    async fn pass(&self, time: Duration, tasks: &mut JoinSet<()>, what: Option<&'static str>) {
        let end = Instant::now() + time;
        let bar = what.map(|what| progress(time.as_secs(), what));
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if let Some(bar) = &bar {
                bar.set_position(time.saturating_sub(left).as_secs());
            }
            if left.is_zero() || self.is_stopped() {
                break;
            }
            let wait = tokio::time::sleep(left.min(Duration::from_millis(500)));
            tokio::select! {
                () = self.stopped() => {}
                () = wait => {}
                ended = tasks.join_next() => if ended.is_none() { break },
            }
        }
        if let Some(bar) = bar {
            bar.finish_and_clear();
        }
    }

    pub(crate) fn seconds(&self) -> Duration {
        self.seconds
    }
}

/// How far something has come, for whoever sits at the terminal.
pub(crate) fn progress(total: u64, what: &'static str) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_message(what);
    match ProgressStyle::with_template("{msg} {wide_bar} {human_pos} of {human_len}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// Whether an address is on this machine or in a private network (RFC 1918, RFC 4193), or of the link.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_private_networks_are_near() {
        let near = |address: &str| is_near(address.parse().unwrap());
        for address in [
            "127.0.0.1",
            "127.9.9.9",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.1.1",
            "::1",
            "fd00::1",
        ] {
            assert!(near(address), "{address}");
        }
        for address in ["::ffff:192.168.0.1", "fe80::1"] {
            assert!(near(address), "{address}");
        }
        for address in
            ["8.8.8.8", "172.32.0.1", "192.0.2.1", "100.64.0.1", "2001:db8::1", "::ffff:8.8.8.8", "0.0.0.0"]
        {
            assert!(!near(address), "{address}");
        }
    }
}
