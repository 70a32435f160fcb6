//! What all connections of a run share: the server, the accounts, what was measured, and when to stop.

use core::cell::{Cell, RefCell};
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;
use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, IsTerminal as _};
use std::rc::Rc;

use balcony_client::srv::Target;
use balcony_client::{Attempt, ClientConfig, ConnectError, Error};
use balcony_jid::{BareJid, Jid};
use balcony_machine::{Random, Seed};
use balcony_sasl::{Hash, SaltedPassword};
use balcony_stream::TlsPolicy;
use balcony_stream::client::{ClientAnswer, ClientAsk, Management};
use balcony_tls::Established;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use super::args::Common;
use super::histogram::Histogram;
use super::lane::Wrong;
use super::usage::Process;
use crate::connect::{ConnectArgs, Connector};
use crate::failure::{Failure, io, reason};
use crate::random::random;

/// Examples of what was wrong that are kept of each kind.
const EXAMPLES: usize = 3;
/// Salted passwords that are kept.
const MOST_SALTED: usize = 1_000_000;
/// How often it is looked whether the server still lives, and what it has used by then.
const TICK: Duration = Duration::from_millis(100);
/// How long the server may take to accept a connection that shows that it lives.
const KNOCK: Duration = Duration::from_secs(2);
/// How often it may end a connection at once and be knocked at again.
const KNOCKS: usize = 10;
/// How long a connection that nothing is said on has to last for somebody to be there.
const SILENCE: Duration = Duration::from_millis(100);
/// A run is over after so long, whatever is left to do.
const LONGEST: Duration = Duration::from_secs(86_400);
/// How long what has begun may take when nothing more begins, and when somebody waits for the end.
const ENDING: Duration = Duration::from_secs(30);
const ENDING_SOON: Duration = Duration::from_secs(8);

/// A run.
pub(crate) struct World {
    /// Of every connection, but for the account and the resource.
    config: ClientConfig,
    connector: Connector,
    /// Where the server is.
    pub(crate) address: SocketAddr,
    /// The place, as it was named.
    target: Target,
    /// How those that were online were protected, and how many there were.
    pub(crate) protection: RefCell<BTreeMap<Protection, u64>>,
    /// All of them, with a number behind the name.
    accounts: BareJid,
    registers: bool,
    /// Whether it does without TLS where the server has it.
    is_plain: bool,
    /// The name of this run, in everything that it sends.
    pub(crate) run: String,
    /// Where those are who read, if it is another server.
    pub(crate) readers: Option<Rc<World>>,
    /// The processes that are measured.
    servers: Vec<Process>,
    seconds: Duration,
    warm_up: Duration,
    pub(crate) start: Instant,
    random: RefCell<Random>,
    salted: RefCell<HashMap<Salting, SaltedPassword>>,
    stop: watch::Sender<bool>,
    interrupted: Cell<bool>,
    /// How long after the start the server was found to be gone.
    lost: Cell<Option<Duration>>,
    /// CPU time of the server, when it was last known.
    cpu: Cell<Option<Duration>>,
    /// As many failures as there were when it was last looked whether the server lives.
    looked: Cell<u64>,
    pub(crate) meter: Meter,
}

/// How a connection is protected.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Protection {
    /// `none`, `starttls`, `direct` or `wss`.
    pub(crate) how: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) protocol: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) cipher_suite: Option<String>,
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
    /// All of these.
    failures: Cell<u64>,
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
        self.failures.set(self.failures.get() + 1);
        tell(&mut self.failed.borrow_mut(), reason);
    }
}

/// Counts a reason, in bounds: servers may say anything.
pub(crate) fn tell(reasons: &mut BTreeMap<String, u64>, reason: &str) {
    const MOST: usize = 100;
    let reason = shortened(reason);
    let reason =
        if reasons.len() < MOST || reasons.contains_key(&reason) { reason } else { "otherwise".into() };
    *reasons.entry(reason).or_default() += 1;
}

/// An example, or a reason, for a line.
pub(crate) fn shortened(text: &str) -> String {
    const MOST: usize = 300;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
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
    pub(crate) async fn new(common: &Common, connect: &ConnectArgs) -> Result<World, Failure> {
        let connector = Connector::new(&Jid::from(numbered(&common.accounts, 0)?), connect)?;
        let domain = common.accounts.domainpart();
        let target = connector
            .endpoint()
            .target(&common.accounts)
            .unwrap_or_else(|| Target::new(domain.into(), 5222, false));
        let host = &target.host;
        let address = tokio::net::lookup_host((&**host, target.port))
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
        let servers = common.pid.iter().map(|pid| Process::other(*pid)).collect::<Result<Vec<_>, _>>()?;
        let mut config = connector.config.clone();
        config.stream.management = Management::Off;
        if common.plain && target.direct_tls {
            return Err(Failure::usage(
                "--plain: TLS is part of this place; one that begins with ws:// has none",
            ));
        }
        if common.plain {
            config.stream.tls = TlsPolicy::None;
        }
        if let Some(mechanism) = common.mechanism {
            config.stream.mechanisms = vec![mechanism];
            config.stream.sasl2 = false;
        }
        let config = config.for_endpoint(connector.endpoint(), &target);
        let mut random = random()?;
        Ok(World {
            config,
            connector,
            address,
            target,
            protection: RefCell::default(),
            accounts: common.accounts.clone(),
            registers: common.register,
            is_plain: common.plain,
            run: random.token(8),
            readers: None,
            servers,
            seconds: Duration::from_secs(common.seconds),
            warm_up: Duration::from_secs(common.warm_up),
            start: Instant::now(),
            random: RefCell::new(random),
            salted: RefCell::default(),
            stop: watch::Sender::new(false),
            interrupted: Cell::new(false),
            lost: Cell::new(None),
            cpu: Cell::new(None),
            looked: Cell::new(0),
            meter: Meter::default(),
        })
    }

    /// The account with this number.
    pub(crate) fn account(&self, number: u32) -> Result<BareJid, Failure> {
        numbered(&self.accounts, number)
    }

    /// What a client of this account is.
    pub(crate) fn config(&self, number: u32, resource: &str) -> Result<ClientConfig, Failure> {
        let mut config = self.config.clone();
        config.stream.account = self.account(number)?;
        config.stream.resource = Some(resource.into());
        Ok(config)
    }

    /// Opens a socket to the server.
    pub(crate) async fn connect(&self) -> Result<TcpStream, ConnectError> {
        let socket = TcpStream::connect(self.address).await.and_then(|socket| {
            socket.set_nodelay(true)?;
            Ok(socket)
        });
        socket.map_err(|error| {
            let Target { host, port, .. } = self.target.clone();
            ConnectError::Unreachable(vec![Attempt { host, port, reason: reason(&error) }])
        })
    }

    /// A client is online, on a connection that is protected like this.
    pub(crate) fn is_online(&self, tls: Option<&Established>) {
        let how = match (tls, &self.config.websocket, self.config.stream.tls) {
            (None, ..) => "none",
            (_, Some(_), _) => "wss",
            (_, _, TlsPolicy::Direct) => "direct",
            _ => "starttls",
        };
        let protocol = tls.map(|tls| tls.protocol);
        let cipher_suite = tls.map(|tls| tls.cipher_suite.clone());
        *self.protection.borrow_mut().entry(Protection { how, protocol, cipher_suite }).or_default() += 1;
    }

    /// Why a client did not come online, with what to do about it.
    pub(crate) fn explain(&self, error: &ConnectError) -> String {
        let is_refusal = matches!(
            error,
            ConnectError::Stream {
                error: Error::Stream(balcony_stream::Error::Authentication(..))
                    | Error::Tls(balcony_tls::Error::Certificate { .. }),
                ..
            }
        );
        if !is_refusal && !self.protection.borrow().is_empty() {
            // It has worked before: there is nothing to be done about the options.
            return error.to_string();
        }
        let text = self.connector.explain(error).to_string();
        let hint = match error {
            ConnectError::Unreachable(_) => " (start the server, or name its place with --connect HOST:PORT)",
            ConnectError::Stream {
                error: Error::Stream(balcony_stream::Error::Authentication(..)), ..
            } if self.registers => {
                " (an account that exists already keeps its password, which has to be this one)"
            }
            ConnectError::Stream {
                error: Error::Stream(balcony_stream::Error::Authentication(..)), ..
            } => {
                " (all accounts need this password; --register creates those that are missing, and so does `balcony user import`)"
            }
            ConnectError::Stream { error: Error::Stream(balcony_stream::Error::NoMechanism), .. }
                if self.is_plain =>
            {
                " (without TLS; start the server with --allow-plaintext, or leave --plain out)"
            }
            _ => "",
        };
        format!("{text}{hint}")
    }

    /// The time, for what is made of machines.
    pub(crate) fn now(&self) -> balcony_machine::Instant {
        balcony_machine::Instant::from_elapsed(self.start.elapsed())
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
        if let Some(readers) = &self.readers {
            readers.stop();
        }
    }

    /// CPU time so far, and memory in KiB, of all that is measured; `None` if there is nothing, or it has ended.
    fn used(&self) -> Option<Duration> {
        let all = self.servers.iter().map(|server| server.cpu().ok());
        all.sum::<Option<Duration>>().filter(|_| !self.servers.is_empty())
    }

    pub(crate) fn kib(&self) -> Option<u64> {
        let all = self.servers.iter().map(|server| server.kib().ok());
        all.sum::<Option<u64>>().filter(|_| !self.servers.is_empty())
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

    /// How long after the start the server was lost, if it was.
    pub(crate) fn lost(&self) -> Option<Duration> {
        self.lost.get()
    }

    /// How long what has begun may still take.
    pub(crate) fn ending(&self) -> Duration {
        match self.is_interrupted() || self.lost.get().is_some() {
            true => ENDING_SOON,
            false => ENDING,
        }
    }

    /// Looks whether the server is gone: its process has ended, or, after something has failed, nobody listens there any more. Then everything
    /// ends.
    async fn look(&self) {
        self.cpu.set(self.used().or(self.cpu.get()));
        let failures = self.meter.failures.get();
        let has_news = self.looked.replace(failures) != failures;
        if self.lost.get().is_some() {
            return;
        }
        let is_gone = match self.servers.iter().any(|server| server.has_ended()) {
            true => true,
            false => has_news && self.nobody_listens().await,
        };
        if is_gone {
            self.lost.set(Some(self.start.elapsed()));
            self.stop();
        }
    }

    /// Knocks at the server's port. One that dies closes its sockets one after another, so a connection that ends at once says nothing yet.
    async fn nobody_listens(&self) -> bool {
        for _ in 0..KNOCKS {
            let socket = match timeout(KNOCK, TcpStream::connect(self.address)).await {
                Ok(Ok(socket)) => socket,
                Ok(Err(error)) => return is_absence(error.kind()),
                // Of a server that is too busy to accept anything nobody knows.
                Err(_) => return false,
            };
            // A server says nothing before its client does.
            if timeout(SILENCE, socket.peek(&mut [0])).await.is_err() {
                return false;
            }
        }
        false
    }

    /// Lets tasks run for as long as was said, then has them stop, and waits for them. What was measured is in the meter.
    pub(crate) async fn run(&self, tasks: &mut JoinSet<()>) -> Stretch {
        self.pass(self.warm_up, tasks, None).await;
        let stretch = self.measure(self.seconds, tasks).await;
        self.finish(tasks).await;
        stretch
    }

    /// Measures while tasks run.
    pub(crate) async fn measure(&self, time: Duration, tasks: &mut JoinSet<()>) -> Stretch {
        self.measured(time, tasks, Some("measuring")).await
    }

    /// Measures until all tasks are done.
    pub(crate) async fn measure_all(&self, tasks: &mut JoinSet<()>) -> Stretch {
        self.measured(LONGEST, tasks, None).await
    }

    async fn measured(&self, time: Duration, tasks: &mut JoinSet<()>, what: Option<&'static str>) -> Stretch {
        self.look().await;
        let (server, own, start) = (self.cpu.get(), Process::OWN.cpu().ok(), Instant::now());
        self.meter.is_on.set(!self.is_stopped());
        self.pass(time, tasks, what).await;
        self.meter.is_on.set(false);
        let wall = start.elapsed();
        self.look().await;
        let since = |now: Option<Duration>, before: Option<Duration>| Some(now?.saturating_sub(before?));
        let server = since(self.cpu.get(), server);
        Stretch { wall, server, own: since(Process::OWN.cpu().ok(), own) }
    }

    /// Has tasks stop, and waits for them, but not for ever.
    pub(crate) async fn finish(&self, tasks: &mut JoinSet<()>) {
        self.stop();
        let end = Instant::now() + self.ending();
        while let Ok(Some(ended)) = timeout_at(end, tasks.join_next()).await {
            self.fault(&ended);
        }
        for _ in 0..tasks.len() {
            self.meter.failed("it did not come to its end: the server does not answer");
        }
        tasks.shutdown().await;
        self.look().await;
    }

    /// A task has ended: if by a fault of this program, that is told.
    fn fault(&self, ended: &Result<(), JoinError>) {
        if ended.as_ref().is_err_and(JoinError::is_panic) {
            self.meter.failed("this program has a fault, see above");
        }
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
            let wait = tokio::time::sleep(left.min(TICK));
            tokio::select! {
                () = self.stopped() => {}
                () = wait => self.look().await,
                ended = tasks.join_next() => match ended {
                    Some(ended) => self.fault(&ended),
                    None => break,
                },
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

/// One of the accounts: the name, with this number behind it.
fn numbered(accounts: &BareJid, number: u32) -> Result<BareJid, Failure> {
    let name = format!("{}{number}", accounts.localpart().unwrap_or_default());
    BareJid::from_parts(Some(&name), accounts.domainpart())
        .map_err(|error| Failure::usage(format!("--as: `{name}`: {error}")))
}

/// Whether this error says that there is nobody. Others may be the fault of this machine, such as too many open files.
fn is_absence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectionRefused | ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable)
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
