//! What a client is made of.

use core::fmt;
use core::time::Duration;

use balcony_client::srv::Target;
use balcony_client::{Agent, AgentConfig, Backoff, ClientConfig, Device, Endpoint, Extension, Presence};
use balcony_jid::Jid;
use balcony_machine::Secret;
use balcony_runtime::{Clock, Runtime, Socket, seed};
use balcony_stream::TlsPolicy;
use balcony_stream::client::Token;

use super::shared::Shared;
use super::task::{Over, Task, Way};
use crate::environment::{Environment, PROCESS};
use crate::rt::DefaultRuntime;
use crate::{Client, Error};

impl Client {
    /// Begins a client of this account, with a resource or without one: the server makes up one then.
    ///
    /// What is wrong with this or with anything else that the builder is told comes out when it is started.
    pub fn builder(jid: impl fmt::Display) -> ClientBuilder {
        ClientBuilder::on(crate::rt::usual(), jid)
    }

    /// The same from the environment: see [`ClientBuilder::from_env_on`].
    pub fn from_env() -> ClientBuilder {
        ClientBuilder::from_env_on(crate::rt::usual())
    }
}

/// Collects what a [`Client`] is made of. Without more than an account and a password the client finds its server by the DNS, trusts
/// the certificates that the operating system trusts, and is available.
#[must_use = "nothing is started yet"]
pub struct ClientBuilder<R = DefaultRuntime> {
    runtime: R,
    jid: Result<Jid, Error>,
    password: Option<Secret<String>>,
    token: Option<Token>,
    endpoint: Endpoint,
    trust: Trust,
    without_tls: bool,
    agent: AgentConfig,
    extensions: BoxedExtensions,
    configure: Vec<Configure>,
    /// The first thing that is wrong.
    wrong: Option<Error>,
}

/// Extensions of any number and type.
pub type BoxedExtensions = Vec<Box<dyn Extension + Send>>;

type Configure = Box<dyn FnOnce(&mut ClientConfig) + Send>;

enum Trust {
    System,
    Given(Box<balcony_tls::TlsTrustBuilder>),
    Config(balcony_tls::TlsTrust),
}

impl<R> ClientBuilder<R> {
    /// As [`Client::builder`], on a runtime that is named.
    pub fn on(runtime: R, jid: impl fmt::Display) -> Self {
        let jid = jid.to_string();
        ClientBuilder {
            runtime,
            jid: Jid::parse(&jid).map_err(|error| Error::Address(jid, error)),
            password: None,
            token: None,
            endpoint: Endpoint::Domain,
            trust: Trust::System,
            without_tls: false,
            agent: AgentConfig::default(),
            extensions: Vec::new(),
            configure: Vec::new(),
            wrong: None,
        }
    }

    /// With what is in the environment: the account in `BALCONY_JID`, its password in `BALCONY_PASSWORD`. Both of these may be there:
    /// `BALCONY_CONNECT`, a place as [`connect`](ClientBuilder::connect) has it, and `BALCONY_CA`, a file with the certificates to
    /// trust, in PEM, instead of those of the operating system. One that is empty counts as one that is not set.
    pub fn from_env_on(runtime: R) -> Self {
        ClientBuilder::from_environment(runtime, PROCESS)
    }

    fn from_environment(runtime: R, environment: Environment) -> Self {
        let (jid, password) = (environment.wanted("BALCONY_JID"), environment.wanted("BALCONY_PASSWORD"));
        let mut builder = ClientBuilder::on(runtime, jid.as_deref().unwrap_or_default());
        builder.wrong = jid.err();
        let wrong = match &builder.jid {
            Ok(jid) => account(jid).err(),
            Err(error) => Some(error.clone()),
        };
        if let Some(error) = wrong {
            builder.complain(Environment::blame("BALCONY_JID", error));
        }
        match password {
            Ok(password) => builder = builder.password(password),
            Err(error) => builder.complain(error),
        }
        match environment.text("BALCONY_CONNECT") {
            Ok(Some(place)) => builder = builder.told("BALCONY_CONNECT", |builder| builder.connect(&place)),
            Ok(None) => {}
            Err(error) => builder.complain(error),
        }
        if let Some(file) = environment.path("BALCONY_CA") {
            let said = format!("BALCONY_CA: `{}`", file.display());
            match std::fs::read(&file) {
                Ok(pem) => builder = builder.told(&said, |builder| builder.trust_pem(&pem)),
                Err(error) => builder.complain(Environment::blame(
                    &said,
                    format_args!("it cannot be read: {}", balcony_runtime::reason(&error)),
                )),
            }
        }
        builder
    }

    /// Is told something by a variable of this name: what is wrong with that names it.
    fn told(mut self, variable: &str, tell: impl FnOnce(Self) -> Self) -> Self {
        let before = self.wrong.take();
        let mut builder = tell(self);
        let wrong = builder.wrong.map(|error| Environment::blame(variable, error));
        builder.wrong = before.or(wrong);
        builder
    }

    fn complain(&mut self, error: Error) {
        self.wrong.get_or_insert(error);
    }

    /// The account's password.
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Secret::new(password.into()));
        self
    }

    /// A token that the server gave in an earlier run of the program ([`Event::Token`](crate::Event::Token)), to log in by at first, with
    /// fewer round trips. The password is for when it is not good any more.
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// The program with its version, and the device that it runs on, as the account's owner would know them again in a list of clients that
    /// can log in by a token. The server alone is told ([`Discovery`](crate::Discovery) tells others).
    pub fn names(self, software: impl Into<String>, device: impl Into<String>) -> Self {
        let (software, device) = (software.into(), device.into());
        self.configure(move |config| {
            (config.stream.software, config.stream.device) = (Some(software), Some(device));
        })
    }

    /// Where the server is, whatever the DNS says: `host`, `host:port`, `[address]:port`, or the URL of a WebSocket (`wss://`).
    pub fn connect(mut self, place: impl AsRef<str>) -> Self {
        let place = place.as_ref();
        match Endpoint::parse(place, false) {
            Some(endpoint) => self.endpoint = endpoint,
            None => self.complain(Error::Config(format!(
                "`{place}` is no place to connect to: `host:port` or the URL of a WebSocket is wanted"
            ))),
        }
        self
    }

    /// The same, where TLS begins with the first byte (XEP-0368).
    pub fn connect_tls(mut self, place: impl AsRef<str>) -> Self {
        let place = place.as_ref();
        match Endpoint::parse(place, true) {
            Some(endpoint @ Endpoint::Address { .. }) => self.endpoint = endpoint,
            _ => self.complain(Error::Config(format!(
                "`{place}` is no place to connect to with TLS: `host:port` is wanted"
            ))),
        }
        self
    }

    /// The server is at a WebSocket, which the web server of the account's domain tells, over HTTPS, in `/.well-known/host-meta`
    /// (XEP-0156): for networks in which nothing but the web gets through.
    pub fn websocket(mut self) -> Self {
        self.endpoint = Endpoint::HostMeta { server: None };
        self
    }

    /// The same, where this is the web server: `host`, or `host:port`. It has to prove to be the domain's all the same.
    pub fn websocket_from(mut self, server: impl AsRef<str>) -> Self {
        let server = server.as_ref();
        let (host, port) = server.rsplit_once(':').unwrap_or((server, "443"));
        match port.parse() {
            Ok(port) if !host.is_empty() => {
                self.endpoint = Endpoint::HostMeta { server: Some((host.into(), port)) };
            }
            _ => self.complain(Error::Config(format!("`{server}` is no web server: `host:port` is wanted"))),
        }
        self
    }

    /// Trusts these certificates, in PEM, or those that they have signed, instead of what the operating system trusts. Called again,
    /// these as well.
    pub fn trust_pem(mut self, pem: &[u8]) -> Self {
        let given = match core::mem::replace(&mut self.trust, Trust::System) {
            Trust::Given(given) => *given,
            _ => balcony_tls::TlsTrust::builder(),
        };
        match given.roots_pem(pem) {
            Ok(given) => self.trust = Trust::Given(Box::new(given)),
            Err(error) => self.complain(error.into()),
        }
        self
    }

    /// Trusts as this configuration of TLS says.
    pub fn trust(mut self, tls: balcony_tls::TlsTrust) -> Self {
        self.trust = Trust::Config(tls);
        self
    }

    /// Believes everybody that they are the server, so that whoever stands in between gets the password. Only for tests.
    pub fn dangerous_trust_anyone(mut self) -> Self {
        self.trust = Trust::Given(Box::new(balcony_tls::TlsTrust::builder().dangerous_accept_any()));
        self
    }

    /// Does without TLS: everybody on the way can read and change everything. For tests on one machine, and for pipes.
    pub fn dangerous_without_tls(mut self) -> Self {
        self.without_tls = true;
        self
    }

    /// Adds an extension: a value of the owner's, which sees what happens before those that are added later. [`ext`](Client::ext)
    /// reaches it. There is none unless it is added.
    pub fn with(mut self, extension: impl Extension + Send) -> Self {
        self.extensions.push(Box::new(extension));
        self
    }

    /// What the client says of itself whenever it comes online, instead of that it is available. [`send`](Client::send) changes it.
    pub fn presence(mut self, presence: Presence) -> Self {
        self.agent.presence = Some(presence);
        self
    }

    /// Says nothing of itself: it gets no messages that are addressed to its account.
    pub fn without_presence(mut self) -> Self {
        self.agent.presence = None;
        self
    }

    /// How long an answer may take, unless a request says otherwise: 30 seconds if this is not called.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.agent.timeout = timeout;
        self
    }

    /// Goes on connecting even if it has never been online; otherwise the first failure is the end. For programs that nobody is there to start
    /// again.
    pub fn patient(mut self) -> Self {
        self.agent.is_patient = true;
        self
    }

    /// Has the client tell of each message that its server has taken over: [`Acknowledged`](crate::AgentEvent::Acknowledged), with the id that
    /// [`send`](crate::Sender::send) has returned. Take its events then, also where it only sends: past a thousand it waits for that.
    pub fn tell_acknowledged(mut self) -> Self {
        self.agent.tells_acknowledged = true;
        self
    }

    /// How long to wait before connecting again: at random within a minute, and growing up to an hour, if this is not called. Where the
    /// session can go on (XEP-0198), the first attempt is made within two seconds, or within twenty if the server has said that it shuts
    /// down, and more of them for some ten minutes, half a minute apart at most.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.agent.backoff = backoff;
        self
    }

    /// Changes anything else of the client's configuration. What it has of the builder's is there already.
    pub fn configure(mut self, change: impl FnOnce(&mut ClientConfig) + Send + 'static) -> Self {
        self.configure.push(Box::new(change));
        self
    }

    /// The same client without a runtime, for a loop of its owner's own, such as a device has: it tells when a transport is to be opened to this
    /// place. Where nothing is said of the place it is the account's domain and port 5222: SRV records (RFC 6120 section 3.2.1) are not asked for, since that
    /// needs a resolver. Where the domain's server is elsewhere, [`connect`](ClientBuilder::connect) says where. [`blocking::connect`](crate::blocking::connect) opens
    /// a socket to it.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration, such as a place that has to be asked for on the way.
    pub fn device(self) -> Result<(Device<BoxedExtensions>, Target), Error> {
        let parts = self.parts()?;
        let place = parts.place()?;
        let config = parts.config.for_endpoint(&parts.endpoint, &place);
        Ok((Device::new(config, parts.agent, parts.extensions, &seed()), place))
    }

    /// What one connection is made of, and where it goes, for whoever drives a [`ClientMachine`](crate::ClientMachine) without an agent:
    /// presence, extensions and when to connect again are left to them.
    ///
    /// # Errors
    ///
    /// As [`device`](ClientBuilder::device).
    pub fn config(self) -> Result<(ClientConfig, Target), Error> {
        let parts = self.parts()?;
        let place = parts.place()?;
        let mut config = parts.config.for_endpoint(&parts.endpoint, &place);
        config.take_requests = false;
        Ok((config, place))
    }

    /// All of it, checked.
    fn parts(self) -> Result<Parts<R>, Error> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        let jid = self.jid?;
        account(&jid)?;
        let no_password =
            || Error::Config("a client needs a password: call `password` of its builder".into());
        let mut config = ClientConfig::new(jid.to_bare(), self.password.ok_or_else(no_password)?).for_agent();
        config.stream.resource = jid.resourcepart().map(String::from);
        config.stream.request_token = true;
        config.stream.token = self.token;
        if self.without_tls {
            config.stream.tls = TlsPolicy::None;
        } else {
            config.tls = Some(match self.trust {
                Trust::System => balcony_tls::TlsTrust::builder().native_roots()?.build()?,
                Trust::Given(given) => given.build()?,
                Trust::Config(tls) => tls,
            });
        }
        for change in self.configure {
            change(&mut config);
        }
        let ClientBuilder { runtime, endpoint, agent, extensions, .. } = self;
        Ok(Parts { runtime, config, endpoint, agent, extensions })
    }
}

/// Whether this is the address of an account, or of a resource of one.
fn account(jid: &Jid) -> Result<(), Error> {
    match jid.localpart() {
        Some(_) => Ok(()),
        None => Err(Error::Config(format!("`{jid}` is no account: a name and an `@` are missing"))),
    }
}

/// What a client is made of, as its builder has checked it.
struct Parts<R> {
    runtime: R,
    config: ClientConfig,
    endpoint: Endpoint,
    agent: AgentConfig,
    extensions: BoxedExtensions,
}

impl<R> Parts<R> {
    /// Where the server is, as far as that is certain without asking anybody.
    fn place(&self) -> Result<Target, Error> {
        let account = &self.config.stream.account;
        let place = match &self.endpoint {
            Endpoint::HostMeta { .. } => {
                let why =
                    "without a runtime no web server is asked for the WebSocket: call `connect` with its URL";
                return Err(Error::Config(why.into()));
            }
            Endpoint::Domain => {
                Endpoint::parse(account.domainpart(), false).and_then(|at| at.target(account))
            }
            certain => certain.target(account),
        };
        place.ok_or_else(|| Error::Config(format!("`{account}` does not say where its server is")))
    }
}

impl<R: Runtime> ClientBuilder<R> {
    /// Connects, and returns when the client is online.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration; why the client could not connect. Whether it makes sense to try that again, somebody has
    /// to decide who knows the network; or the client does, if it is started [in the background](ClientBuilder::start_in_background).
    pub async fn start(self) -> Result<Client, Error> {
        self.begin(Way::To).await
    }

    /// The same on a stream that is there already, such as a pipe to a server in the same program. There is no other one after it.
    ///
    /// # Errors
    ///
    /// As [`start`](ClientBuilder::start).
    pub async fn over(mut self, stream: impl Socket) -> Result<Client, Error> {
        self.agent.reconnects = false;
        self.begin(|_| Way::Over(Some(Box::new(stream)))).await
    }

    /// Returns at once, and goes on connecting until it works, or until it can't. What happens is told by events.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration.
    ///
    /// # Panics
    ///
    /// With some runtimes, such as tokio, if it is called outside of them.
    pub fn start_in_background(mut self) -> Result<Client, Error> {
        self.agent.is_patient = true;
        self.spawn(Way::To)
    }

    async fn begin(self, way: impl FnOnce(Endpoint) -> Way) -> Result<Client, Error> {
        let client = self.spawn(way)?;
        client.sender.shared.started().await?;
        Ok(client)
    }

    fn spawn(self, way: impl FnOnce(Endpoint) -> Way) -> Result<Client, Error> {
        let Parts { runtime, config, endpoint, agent, extensions } = self.parts()?;
        let (clock, on) = (Clock::start(&runtime), runtime.clone());
        let agent = Agent::new(agent, extensions, &seed());
        let shared = Shared::new(agent, config.stream.active, move || clock.now(&on));
        // If anything fails from here on, the client is dropped, and that ends it.
        let client = Client::new(shared.clone());
        let (way, over) = (way(endpoint), Over(shared.clone()));
        let task = Task { shared, over, runtime: runtime.clone(), clock, config, way, connection: None };
        runtime.spawn(Box::pin(task.run()));
        Ok(client)
    }
}

impl<R> fmt::Debug for ClientBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::ffi::OsString;

    use super::*;

    type Variables = fn(&str) -> Option<OsString>;

    fn built(environment: Variables) -> ClientBuilder<()> {
        ClientBuilder::from_environment((), Environment(environment))
    }

    fn complaint(environment: Variables) -> Option<String> {
        built(environment).wrong.map(|error| error.to_string())
    }

    fn account(name: &str) -> Option<OsString> {
        match name {
            "BALCONY_JID" => Some("romeo@localhost".into()),
            "BALCONY_PASSWORD" => Some("pencil".into()),
            _ => None,
        }
    }

    #[test]
    fn an_empty_variable_is_none() {
        let builder = built(|name| account(name).or(Some("".into())));
        assert!(builder.wrong.is_none(), "{:?}", builder.wrong);
        assert_eq!(builder.endpoint, Endpoint::Domain);
        assert!(matches!(builder.trust, Trust::System));
        let missing = |name: &str| Some(format!("the environment variable {name} is not set, or is empty"));
        assert_eq!(complaint(|_| None), missing("BALCONY_JID"));
        assert_eq!(complaint(|_| Some("".into())), missing("BALCONY_JID"));
        let without_password =
            |name: &str| account(name).filter(|_| name == "BALCONY_JID").or(Some("".into()));
        assert_eq!(complaint(without_password), missing("BALCONY_PASSWORD"));
    }

    // Who has set four variables is to know which of them is wrong.
    #[test]
    fn what_is_wrong_names_its_variable() {
        fn with(name: &str, changed: &str, value: &str) -> Option<OsString> {
            if name == changed { Some(value.into()) } else { account(name) }
        }
        let cases: [(Variables, &str); 5] = [
            (|name| with(name, "BALCONY_JID", "romeo@@"), "BALCONY_JID: `romeo@@` is no address of XMPP: "),
            (|name| with(name, "BALCONY_JID", "localhost"), "BALCONY_JID: `localhost` is no account: "),
            (
                |name| with(name, "BALCONY_CONNECT", "a b"),
                "BALCONY_CONNECT: `a b` is no place to connect to: ",
            ),
            (|name| with(name, "BALCONY_CA", "none.pem"), "BALCONY_CA: `none.pem`: it cannot be read: "),
            (
                |name| with(name, "BALCONY_CA", "Cargo.toml"),
                "BALCONY_CA: `Cargo.toml`: no certificate found: ",
            ),
        ];
        for (environment, words) in cases {
            let wrong = complaint(environment).unwrap();
            assert!(wrong.starts_with(&format!("the environment variable {words}")), "{wrong}");
        }
    }

    // What is there and cannot be read is not taken for what is not there: the client would go somewhere else.
    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_no_text_is_wrong() {
        use std::os::unix::ffi::OsStringExt as _;

        let wrong = complaint(|name| match name {
            "BALCONY_CONNECT" => Some(OsString::from_vec(vec![0xff])),
            _ => account(name),
        });
        assert_eq!(wrong.unwrap(), "what the environment variable BALCONY_CONNECT has is not UTF-8");
    }
}
