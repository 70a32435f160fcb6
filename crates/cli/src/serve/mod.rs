//! `balcony serve`: a server until somebody ends it.

mod http;
mod looks;
mod offer;
mod options;
mod started;
mod warnings;

use core::fmt;
use core::future::pending;
use core::net::{Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::sync::Arc;
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::Mechanism;
use balcony_store::{Store, Worker, WorkerConfig};
use balcony_stream::TlsPolicy;
use balcony_tokio::{GivenUp, SavedSession, Server, ServerConfig, ServerHandle, Transport};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use http::Http;
use looks::Looks;
use offer::Offer;
use options::{Options, domains};
use started::Started;
use warnings::{tell_of_renewal, warn, warn_of_authority, warn_of_end};

use crate::args::ServeArgs;
use crate::certificate::Certificate;
use crate::config::{Settings, twice};
use crate::control_socket::{ControlSocket, Controlled};
use crate::database;
use crate::demo;
use crate::failure::{Failure, io, reason};
use crate::federate::{self, Decision, On};
use crate::given_up::{has_failed, judge};
use crate::hold::Hold;
use crate::log::{self, Log};
use crate::open_files;
use crate::output::say;
use crate::values::{Address, LogLevel};

/// How long the last tasks, and then the store, may take to end.
const CLOSING: Duration = Duration::from_secs(5);
/// Connections at most, unless it is said otherwise.
const MOST_CONNECTIONS: u32 = 10_000;

pub(crate) fn run(args: ServeArgs, log: Option<LogLevel>) -> Result<(), Failure> {
    let options = Options { typed: args.settings, config: args.config, log, demo: args.demo };
    // Where the page is by default is no promise: its address is printed.
    let (settings, may_move) = options.read()?;
    let log = log::to_stderr(settings.log.unwrap_or_default());
    check(&options, &settings)?;
    // It is closed last, when the runtime is gone: a database client cannot be used from within one.
    let store = database::open_for_server(&settings.folder(), settings.database.as_ref())?;
    if settings.database.is_some() {
        database::make_folder(&settings.folder())?;
    }
    // One more would be woken each time that the store answers, only to find nothing to do.
    let threads = settings.threads.map_or(1, usize::from).max(1);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(threads).enable_all().build().map_err(io("cannot start"))?;
    let iterations = ServerConfig::new(Vec::new(), store.secret()).iterations;
    let usual = WorkerConfig::default();
    let token_lifetime = settings.token_lifetime().unwrap_or(usual.token_lifetime);
    let hashing = WorkerConfig { iterations, token_lifetime, ..usual };
    let offer = Offer::of(&store);
    let worker = Arc::new(Worker::start_with(store.clone(), hashing));
    let storage = Storage { worker, store };
    let served = runtime.block_on(serve(&options, settings, &storage, offer, may_move, &log));
    // With the runtime the last tasks end, then the threads of the store, then the store closes its file.
    runtime.shutdown_timeout(CLOSING);
    let closed = storage.close();
    let given_up = served?;
    closed?;
    judge(given_up)
}

/// Whether all addresses are ones to listen at, before anything is done.
fn check(options: &Options, settings: &Settings) -> Result<(), Failure> {
    let listens = options.typed.listens();
    if let Some(twice) = options.typed.twice(|name| format!("--{name}")) {
        return Err(Failure::usage(twice));
    }
    let open = |list: &[Address]| list.iter().map(|Address(to)| *to).find(|to| !to.ip().is_loopback());
    if let Some(open) = open(&settings.listen).filter(|_| settings.allow_plaintext) {
        return Err(options.fault(options.typed.allow_plaintext, |word| {
            format!(
                "{} would let passwords and messages cross the network unprotected at {open}; leave it out, or \
                 listen on a loopback address such as 127.0.0.1:5222",
                word("allow-plaintext")
            )
        }));
    }
    if let Some(open) = open(&settings.listen_ws) {
        return Err(options.fault(listens, |word| {
            format!(
                "{} would let messages cross the network unprotected at {open}; use {}, or listen on a \
                 loopback address such as 127.0.0.1:5280 behind a proxy that adds TLS",
                word("listen-ws"),
                word("listen-wss")
            )
        }));
    }
    if let Some(open) = open(&settings.listen_http) {
        return Err(options.fault(listens, |word| {
            format!(
                "{} would let messages cross the network unprotected at {open}; listen on a loopback address such as \
                 127.0.0.1:5280, behind a proxy that adds TLS if others are to see the page",
                word("listen-http")
            )
        }));
    }
    Ok(())
}

/// The store and the threads before it.
struct Storage {
    worker: Arc<Worker>,
    store: Store,
}

impl Storage {
    /// Waits until all that it was asked for is done, as long as any of it is: a database server may hang.
    fn close(self) -> Result<(), Failure> {
        let progress = self.worker.progress();
        let (done, closed) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            drop(self);
            // Whoever waited may have given up.
            let _ = done.send(());
        });
        let mut answered = progress.answered();
        while closed.recv_timeout(CLOSING).is_err() {
            let before = core::mem::replace(&mut answered, progress.answered());
            if answered == before {
                return Err(Failure::new(
                    "the database does not answer, so it was left as it is: of the last changes, messages that wait for somebody \
                     among them, any may be in it or not",
                ));
            }
        }
        Ok(())
    }
}

async fn serve(
    options: &Options,
    mut settings: Settings,
    storage: &Storage,
    offer: Offer,
    may_move: bool,
    log: &Log,
) -> Result<GivenUp, Failure> {
    let domains = domains(&settings)?;
    // From now on `balcony user` can reach this server; what it asks for is answered when the server has started.
    let control = match ControlSocket::open(&settings.folder()) {
        Ok(socket) => Some(socket),
        Err(error) => {
            tracing::warn!(target: "balcony", "`balcony user` cannot reach this server while it runs: {}", reason(&error));
            None
        }
    };
    // Before the certificate is made, since the clock may be set from now on.
    let mut looks = Looks::new();
    let mut certificate = Certificate::of(&settings, &domains, SystemTime::now())?;
    let mut config = ServerConfig::new(domains.to_vec(), storage.store.secret());
    config.tls = if settings.allow_plaintext { TlsPolicy::Optional } else { TlsPolicy::Required };
    configure(&mut config, &settings, &certificate)?;
    offer.configure(&mut config);
    if settings.token_lifetime().is_some() {
        config.tokens = Mechanism::for_tokens().to_vec();
    }
    let secret = federate::secret()?;
    let decision = federate::decide(&settings, &domains, &certificate, &secret)?;
    let ([of_servers, of_servers_tls], federates) = match decision {
        Decision::On(On { config: federation, addresses, reason }) => {
            config.federation = Some(*federation);
            (addresses, Ok(reason))
        }
        Decision::Off(reason) => (Default::default(), Err(reason)),
    };

    if let Some(both) = settings.components.domains().iter().find(|domain| domains.contains(domain)) {
        return Err(Failure::new(format!(
            "{both} is a domain of the server, and can't be that of a component as well"
        )));
    }
    config.components = domains.first().and_then(|domain| settings.components.config(domain));
    let of_components = settings.components.addresses();
    config.keep_sessions = true;
    let worker = Arc::clone(&storage.worker);
    let answers = Arc::clone(&worker);
    let mut server = Server::builder(config.clone(), move |ask, reply| answers.handle(ask, reply));
    let most = settings.max_connections.unwrap_or(MOST_CONNECTIONS);
    // Of other servers, and to them.
    let of_servers_most = if config.federation.is_some() { 2 * settings.federation.connections() } else { 0 };
    open_files::make_room(u64::from(most) + of_servers_most as u64, "lower max-connections");
    server = server.max_connections(most as usize).threads(settings.threads.unwrap_or(1));
    let said = |name: &str| options.listening(name, may_move);
    let lists = [
        (said("listen"), &settings.listen, Transport::Stream),
        (said("listen-tls"), &settings.listen_tls, Transport::DirectTls),
        (said("listen-wss"), &settings.listen_wss, Transport::SecureWebSocket),
        (said("listen-ws"), &settings.listen_ws, Transport::WebSocket),
        ("[federation] listen".into(), &of_servers, Transport::Server),
        ("[federation] listen-tls".into(), &of_servers_tls, Transport::ServerDirectTls),
        ("[components] listen".into(), &of_components, Transport::Component),
    ];
    let http = (said("listen-http"), &settings.listen_http[..]);
    if let Some(twice) =
        twice(lists.iter().map(|(option, list, _)| (option.clone(), &list[..])).chain([http]))
    {
        return Err(Failure::new(twice));
    }
    for (option, list, transport) in lists {
        for Address(to) in list {
            server = server.listen(*to, transport).map_err(|error| in_use(*to, &option, &error))?;
        }
    }
    let http = Http::listen(settings.listen_http.iter().map(|Address(to)| *to), may_move).await;
    let http = http.map_err(|(to, error)| in_use(to, &said("listen-http"), &error))?;
    let pages = http.addresses()?;
    let accounts = if options.demo { demo::accounts(&worker, &domains).await? } else { Vec::new() };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(io("cannot catch signals"))?;
    let mut terminate = signal(SignalKind::terminate()).map_err(io("cannot catch signals"))?;
    let mut hangup = signal(SignalKind::hangup()).map_err(io("cannot catch signals"))?;
    // A file that may not grow any more (`LimitFSIZE=` of systemd) is like a full disk, and no reason to end: nobody has to hear of the signal.
    let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    drop(signal(too_large).map_err(io("cannot catch signals"))?);

    // Last, since they are kept no more then.
    let server = server.sessions(now(), sessions(&storage.store, &domains).await?);
    let server = server.start().map_err(|error| Failure::new(error.to_string()))?;
    http.serve(&server, &domains);
    let controlled = Controlled { worker, server: server.clone(), domains: domains.clone() };
    let control = control.map(|socket| tokio::spawn(socket.serve(controlled)));
    let started = Started {
        settings: &settings,
        domains: &domains,
        certificate: &certificate,
        of_servers: [&of_servers, &of_servers_tls],
        of_components: &of_components,
        addresses: server.local_addrs(),
        pages: &pages,
    };
    started.lines(&accounts).iter().for_each(|line| say(line));
    match federates {
        Ok(reason) => tracing::info!(
            target: "balcony",
            "federation is on, since {reason}: users of other servers can be talked to"
        ),
        Err(reason) => tracing::info!(
            target: "balcony",
            "federation is off, since {reason}; [federation] in the configuration file can turn it on"
        ),
    }
    warn_of_authority(&certificate);
    warn(&settings, &domains, &certificate);

    let mut hold = Hold::watch(settings.database.is_some().then(|| storage.store.clone()));
    // There while the settings are being read again, which must not keep anything else waiting.
    let mut reading: Option<JoinHandle<Read>> = None;
    let end = loop {
        tokio::select! {
            _ = interrupt.recv() => break Ok(()),
            _ = terminate.recv() => break Ok(()),
            // What clients were told may be wrong, and what they want cannot be kept.
            error = hold.lost() => break Err(error.into()),
            () = server.ended() => {
                return Err(has_failed());
            }
            // Another one meanwhile waits, since the file may have changed.
            _ = hangup.recv(), if reading.is_none() => {
                let (options, before, store) = (options.clone(), settings.clone(), storage.store.clone());
                let domains = Arc::clone(&domains);
                reading = Some(tokio::task::spawn_blocking(move || {
                    let (settings, certificate) = options.read_again(&before, &domains)?;
                    Ok((settings, certificate, Offer::of(&store)))
                }));
            }
            read = finished(&mut reading) => match read.and_then(|read| {
                read.1.may_replace(&certificate, &domains, SystemTime::now())?;
                configured(read, &config)
            }) {
                Ok((new, new_settings, new_certificate)) => {
                    (config, settings, certificate) = (new, new_settings, new_certificate);
                    log.set_level(settings.log.unwrap_or_default());
                    federate(&mut config, &settings, &certificate, &secret);
                    reload(&server, &config).await;
                    tracing::info!(target: "balcony", "read {}the certificate {} again", options.source(), certificate.path.display());
                    for line in certificate.lines() {
                        tracing::info!(target: "balcony", "{line}");
                    }
                    tell_of_renewal(&certificate);
                    warn(&settings, &domains, &certificate);
                }
                Err(failure) => tracing::error!(target: "balcony", "everything stays as it was: {failure}"),
            },
            () = looks.next() => match Certificate::renewed(&settings, &domains, SystemTime::now()) {
                Ok(Some(renewed)) => {
                    certificate = renewed;
                    configure(&mut config, &settings, &certificate)?;
                    federate(&mut config, &settings, &certificate, &secret);
                    reload(&server, &config).await;
                    tell_of_renewal(&certificate);
                }
                Ok(None) => warn_of_end(&certificate),
                Err(failure) => tracing::error!(target: "balcony", "cannot renew the development certificate: {failure}"),
            },
        }
    };
    drop(hold);
    tracing::info!(target: "balcony", "closing all streams; Ctrl-C again exits at once");
    if let Some(control) = control {
        control.abort();
        // It is over when the socket is gone.
        let _ = control.await;
    }
    tokio::select! {
        given_up = server.shutdown() => end.and(given_up.ok_or_else(has_failed)),
        _ = interrupt.recv() => std::process::exit(130),
        _ = terminate.recv() => std::process::exit(143),
    }
}

/// Takes the sessions that were kept when the server shut down out of the store. If that fails the server does not start: those that stay
/// there would go on at another start, when their clients have long had others.
async fn sessions(store: &Store, domains: &Arc<[BareJid]>) -> Result<Vec<SavedSession>, Failure> {
    let (store, domains) = (store.clone(), Arc::clone(domains));
    let taken = tokio::task::spawn_blocking(move || store.take_sessions(&domains)).await;
    let failed = |error: &dyn fmt::Display| {
        Failure::new(format!("cannot take the sessions that are to go on out of the store: {error}"))
    };
    taken.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
}

/// Milliseconds since the start of 1970 (UTC).
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Gives a server another configuration.
async fn reload(server: &ServerHandle, config: &ServerConfig) {
    // Settings are not as small as that.
    if let Err(error) = server.reload(config.clone()).await {
        tracing::error!(target: "balcony", "everything stays as it was: {error}");
    }
}

/// What has come of reading the settings again.
type Read = Result<(Settings, Certificate, Offer), Failure>;

/// Waits until the settings have been read, if they are being read.
async fn finished(reading: &mut Option<JoinHandle<Read>>) -> Read {
    let Some(task) = reading else { return pending().await };
    let read = task.await;
    *reading = None;
    read.unwrap_or_else(|_| {
        Err(Failure::new("reading the settings has ended by a fault of this program, see above"))
    })
}

/// Why a socket can't listen there, and what to do about it.
fn in_use(to: SocketAddr, option: &str, error: &std::io::Error) -> Failure {
    let advice = match error.kind() {
        // Without an address that others find nobody could send to this server, although it was asked for.
        std::io::ErrorKind::AddrInUse if option.starts_with("[federation]") => format!(
            "Stop the other program, choose another address with `{option}` and name it in the SRV records, or leave other servers \
             alone with `enabled = false` in [federation]"
        ),
        std::io::ErrorKind::AddrInUse if to.ip() == Ipv6Addr::UNSPECIFIED => format!(
            "Where [::] stands for IPv4 as well, leave 0.0.0.0 with the same port out; otherwise stop the other program or choose another \
             address with {option}"
        ),
        std::io::ErrorKind::AddrInUse => {
            format!("Stop the other program or choose another address with {option}")
        }
        std::io::ErrorKind::PermissionDenied => {
            format!("Ports below 1024 need privileges; choose another one with {option}")
        }
        _ => format!("Choose another address with {option}"),
    };
    Failure::new(format!("cannot listen on {to}: {}. {advice}", reason(error)))
}

/// What connections get that come from now on.
fn configure(
    config: &mut ServerConfig,
    settings: &Settings,
    certificate: &Certificate,
) -> Result<(), Failure> {
    config.certificate = Some(certificate.config.clone());
    config.registration = settings.allow_registration;
    settings.bound(config)
}

/// The configuration that comes of what has been read again. Settings that do not go together, one of them perhaps new and the other one that
/// cannot change, are found here, when nothing has changed yet.
fn configured(
    (settings, certificate, offer): (Settings, Certificate, Offer),
    before: &ServerConfig,
) -> Result<(ServerConfig, Settings, Certificate), Failure> {
    let mut config = before.clone();
    offer.configure(&mut config);
    configure(&mut config, &settings, &certificate)?;
    Ok((config, settings, certificate))
}

/// What streams to and from other servers get that begin from now on. Whether there are any can't change while the server runs.
fn federate(
    config: &mut ServerConfig,
    settings: &Settings,
    certificate: &Certificate,
    secret: &Secret<String>,
) {
    match federate::decide(settings, &config.domains, certificate, secret) {
        Ok(Decision::On(On { config: federation, .. })) if config.federation.is_some() => {
            config.federation = Some(*federation);
        }
        Ok(Decision::Off(_)) if config.federation.is_none() => {}
        Ok(_) => {
            tracing::warn!(target: "balcony", "whether there is federation changes with a restart: it stays as it was");
        }
        Err(failure) => tracing::error!(target: "balcony", "federation stays as it was: {failure}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Who has asked for other servers hears what to change if their port is taken; there is no server that others can't reach.
    #[test]
    fn a_port_for_servers_that_is_taken() {
        let taken = std::io::Error::from(std::io::ErrorKind::AddrInUse);
        let failure = in_use("0.0.0.0:5269".parse().unwrap(), "[federation] listen", &taken).to_string();
        for part in
            ["0.0.0.0:5269", "`[federation] listen`", "SRV records", "`enabled = false` in [federation]"]
        {
            assert!(failure.contains(part), "{failure}");
        }
        let failure = in_use("0.0.0.0:5222".parse().unwrap(), "--listen", &taken).to_string();
        assert!(failure.contains("choose another address with --listen"), "{failure}");
        let failure = in_use("[::]:5222".parse().unwrap(), "--listen", &taken).to_string();
        assert!(failure.contains("leave 0.0.0.0 with the same port out"), "{failure}");
    }
}
