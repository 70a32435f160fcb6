//! Servers: accounts, and who may connect to them.
//!
//! ```no_run
//! use balcony::prelude::*;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let accounts = MemoryAccounts::new().with("juliet@example.com", "r0m30")?;
//! let server = Server::builder("example.com")
//!     .certificate_pem(&std::fs::read("cert.pem")?, &std::fs::read("key.pem")?)
//!     .accounts(accounts)
//!     .listen("[::]:5222".parse()?)
//!     .listen_tls("[::]:5223".parse()?)
//!     .start()?;
//! println!("listening at {:?}", server.local_addrs());
//! server.ended().await;
//! # Ok(())
//! # }
//! ```
//!
//! Accounts that outlive the program are in the package `balcony-store`: give [`answers`](ServerBuilder::answers) a closure that hands
//! what it gets to a `balcony_store::Worker`, and [`sessions`](ServerBuilder::sessions) what that has kept of them.
//!
//! What a server does beyond the core are [extensions](extension), which [`configure`](ServerBuilder::configure) puts into its
//! configuration: [the manual](crate::manual::server_extension) shows how to write one. What an extension asks of the program
//! ([`Context::external`](extension::Context::external)) is answered by [`external`](ServerBuilder::external).

mod external;
mod memory;

use core::fmt;
use core::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_runtime::{Runtime, Socket, seed};
use balcony_stream::TlsPolicy;

pub use balcony_router::{
    Answer as RouterAnswer, Ask as RouterAsk, Change, Collections, ConflictPolicy, Document, Kept, LastSeen,
    RosterConfig, Software,
};
pub use balcony_runtime::{
    Answer, Ask, GivenUp, Removal, Reply, SavedSession, SendError, ServerConfig, ServerHandle,
    SessionConnection, SessionInfo, StartError, Stats, Transport,
};
pub use balcony_sasl::{Hash, Mechanism};
pub use balcony_server::ComponentsConfig;
pub use balcony_server::federation::FederationConfig;
pub use balcony_stanza::{StreamCondition, StreamError};
pub use balcony_stream::server::{ServerAnswer as StreamAnswer, ServerAsk as StreamAsk};
pub use external::ExternalReply;
pub use memory::MemoryAccounts;

use crate::Error;
use crate::rt::DefaultRuntime;

pub mod extension {
    //! Extensions: what a server does beyond RFC 6120 and 6121, a value each. All that a module with one names is here, but for elements
    //! and errors, which are in the root of the crate. [The manual](crate::manual::server_extension) has a whole one.
    //!
    //! A program names few of them itself; so one `use` of all, in a module of the extension's own, does not meet the names that
    //! clients have for their extensions.
    pub use balcony_router::extension::*;
    pub use balcony_router::{Append, Content, DocumentEdit, Entry, Level, LogEdit, Room, SessionId};
}

/// A server. There is a [builder](Server::builder), and, while it runs, a [handle](ServerHandle).
#[derive(Clone, Copy, Debug)]
pub enum Server {}

#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
impl Server {
    /// Begins a server of this domain. What is wrong with this or with anything else that the builder is told comes out when it is
    /// started.
    pub fn builder(domain: &str) -> ServerBuilder {
        ServerBuilder::on(crate::rt::usual(), domain)
    }
}

type AskFn = Box<dyn Fn(Ask, Reply) + Send + Sync>;

/// Collects what a server is made of.
#[must_use = "nothing is started yet"]
pub struct ServerBuilder<R = DefaultRuntime> {
    runtime: R,
    config: ServerConfig,
    answers: AskFn,
    externals: external::Externals,
    listen: Vec<(SocketAddr, Transport)>,
    most: usize,
    threads: u8,
    /// Those of the server before.
    sessions: Vec<SavedSession>,
    /// The first thing that is wrong.
    wrong: Option<Error>,
}

impl<R: Runtime> ServerBuilder<R> {
    /// As [`Server::builder`], on a runtime that is named.
    pub fn on(runtime: R, domain: &str) -> Self {
        let mut secret = [0; 32];
        seed().random().fill(&mut secret);
        let builder = ServerBuilder {
            runtime,
            config: ServerConfig::new(Vec::new(), Secret::new(secret)),
            answers: Box::new(MemoryAccounts::new().into_answers()),
            externals: external::Externals::new(),
            listen: Vec::new(),
            most: 10_000,
            threads: 1,
            sessions: Vec::new(),
            wrong: None,
        };
        builder.domain(domain)
    }

    fn complain(&mut self, error: Error) {
        self.wrong.get_or_insert(error);
    }

    /// Serves this domain, too.
    pub fn domain(mut self, domain: &str) -> Self {
        match BareJid::parse(domain) {
            Ok(domain) => self.config.domains.push(domain),
            Err(error) => self.complain(Error::Address(domain.into(), error)),
        }
        self
    }

    /// The server's certificate, followed by the authorities that have signed it, and its key, all in PEM.
    pub fn certificate_pem(mut self, chain: &[u8], key: &[u8]) -> Self {
        match balcony_tls::TlsIdentity::from_pem(chain, key) {
            Ok(certificate) => self.config.certificate = Some(certificate),
            Err(error) => self.complain(error.into()),
        }
        self
    }

    /// Does without TLS: everybody on the way can read and change everything. For tests on one machine, and for pipes.
    pub fn dangerous_without_tls(mut self) -> Self {
        self.config.tls = TlsPolicy::None;
        self
    }

    /// The accounts, which live as long as the server.
    pub fn accounts(self, accounts: MemoryAccounts) -> Self {
        self.answers(accounts.into_answers())
    }

    /// Who answers what the server has to know, such as a store. It must not wait, but pass the question on, and see to it that the
    /// reply is called. A reply that is dropped counts as one that never comes.
    pub fn answers(mut self, answers: impl Fn(Ask, Reply) + Send + Sync + 'static) -> Self {
        self.answers = Box::new(answers);
        self
    }

    /// Who answers what an extension asks of the program ([`Context::external`](extension::Context::external)): the extension of this
    /// name, for this account, with these bytes. It must not wait, but pass the question on, to a thread or a task that calls
    /// [`ExternalReply::answer`] when it knows. Nobody's stanzas wait for that; the request fails if it takes longer than
    /// [`Limits::answer`](crate::machine::Limits::answer). Any other asks go to [`answers`](Self::answers).
    pub fn external(
        mut self,
        extension: &'static str,
        answer: impl Fn(BareJid, Arc<[u8]>, ExternalReply) + Send + Sync + 'static,
    ) -> Self {
        self.externals.insert(extension, Box::new(answer));
        self
    }

    /// Changes anything else of the configuration: what TLS must do, registration, extensions, limits.
    pub fn configure(mut self, change: impl FnOnce(&mut ServerConfig)) -> Self {
        change(&mut self.config);
        self
    }

    /// Keeps the sessions of clients over a restart of the program (XEP-0198). When the server shuts down it asks
    /// [its owner](Self::answers) to keep them ([`Ask::Sessions`]), as `balcony_store::Worker` does; `sessions` are those that were kept so, and that are
    /// kept no more, as from `balcony_store::Store::take_sessions`: none at the first start. Without this they end with the server.
    ///
    /// Their clients have as much time to come back as they had left, by the clock of this machine, or a minute.
    pub fn sessions(mut self, sessions: Vec<SavedSession>) -> Self {
        self.config.keep_sessions = true;
        self.sessions = sessions;
        self
    }

    /// Takes connections at this address, which begin in the clear and go on with TLS.
    pub fn listen(self, to: SocketAddr) -> Self {
        self.listen_for(to, Transport::Stream)
    }

    /// Takes connections at this address, where TLS begins with the first byte.
    pub fn listen_tls(self, to: SocketAddr) -> Self {
        self.listen_for(to, Transport::DirectTls)
    }

    /// Takes connections at this address, which begin in that way.
    pub fn listen_for(mut self, to: SocketAddr, transport: Transport) -> Self {
        self.listen.push((to, transport));
        self
    }

    /// Connections above this number are told so and closed. 10,000 unless said otherwise.
    pub fn max_connections(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Spreads the connections of clients over so many threads of the runtime, 1 to 255, if it has several. 1 unless said otherwise.
    pub fn threads(mut self, threads: u8) -> Self {
        self.threads = threads;
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// What is wrong with the configuration; that nobody could log in; that somebody else listens there.
    ///
    /// # Panics
    ///
    /// With some runtimes, such as tokio, if it is called outside of them.
    pub fn start(self) -> Result<ServerHandle, Error> {
        if let Some(error) = self.wrong {
            return Err(error);
        }
        external::check(&self.externals, self.config.extensions.names())?;
        let answers = external::apart(self.externals, self.answers);
        let mut server = balcony_runtime::Server::builder_on(self.runtime, self.config, answers)
            .max_connections(self.most)
            .threads(self.threads)
            .sessions(now(), self.sessions);
        for (to, transport) in self.listen {
            server = server
                .listen(to, transport)
                .map_err(|error| Error::Listen(to, balcony_runtime::reason(&error)))?;
        }
        Ok(server.start()?)
    }
}

/// Milliseconds since the start of 1970 (UTC).
#[allow(clippy::disallowed_methods, reason = "how long a server was down no monotonic clock knows")]
fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

impl<R> fmt::Debug for ServerBuilder<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerBuilder").field("listen", &self.listen).finish_non_exhaustive()
    }
}

/// A certificate of `localhost` or any other name, for tests and development, and its key, both in PEM. Clients trust it as they trust
/// an authority.
///
/// # Errors
///
/// [`Error::Tls`]
pub fn test_certificate(domain: &str) -> Result<(String, Secret<String>), Error> {
    Ok(balcony_tls::self_signed(&[domain])?)
}

/// Two ends of a pipe in memory: one for [`ServerHandle::connect`], the other for
/// [`ClientBuilder::over`](crate::ClientBuilder::over).
#[must_use]
pub fn pipe() -> (impl Socket, impl Socket) {
    balcony_runtime::Pipe::pair(65_536)
}
