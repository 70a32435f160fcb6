//! The words between `balcony user` and a server that runs on the same data folder, which alone may open the store.
//!
//! They go through a Unix socket in that folder, a line of JSON for each request and each response, in the same order.
//! A client may send many requests before it reads the first response. Whoever may open the socket may do everything.

use core::net::IpAddr;
use std::path::{Path, PathBuf};

use balcony_jid::{BareJid, FullJid};
use balcony_machine::Secret;
use balcony_sasl::KeptToken;
use balcony_store::{Busy, Reply, Request as StoreRequest, Worker};
use balcony_tokio::{Removal, SessionConnection, SessionInfo};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

/// Requests that a client sends before it reads a response; the server holds as many responses.
pub(crate) const WINDOW: usize = 256;

/// Accounts in one response.
const PAGE: usize = 1000;

/// The socket in the data folder `data`.
pub(crate) fn socket(data: &Path) -> PathBuf {
    data.join("control.sock")
}

/// What can be asked for. Accounts and domains are addresses in text.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Request {
    /// The domains that are served.
    Domains,
    /// Create an account, or, with `replace`, give one that exists another password.
    Add {
        account: String,
        #[serde(with = "secret")]
        password: Secret<String>,
        replace: bool,
    },
    /// Give an account another password.
    SetPassword {
        account: String,
        #[serde(with = "secret")]
        password: Secret<String>,
    },
    /// Remove an account.
    Remove { account: String },
    /// Some accounts of a domain, or of all, those after the account `after`.
    List { domain: Option<String>, after: Option<String> },
    /// Who is connected, of one account or of all.
    Sessions { account: Option<String> },
    /// End a session, named by its full address, with this text.
    Disconnect { session: String, text: String },
    /// Whether there is such an account.
    Exists { account: String },
    /// The tokens of an account.
    Tokens { account: String },
    /// End a token of an account, or all.
    Revoke { account: String, token: Option<u64> },
}

/// A token of an account, for people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) struct Token {
    pub(crate) id: u64,
    /// What the client calls itself.
    pub(crate) name: String,
    pub(crate) mechanism: String,
    /// In seconds since the start of 1970.
    pub(crate) expires: u64,
    pub(crate) is_used: bool,
}

/// What comes back.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Response {
    Domains(Vec<String>),
    /// Whether it was done: `false` if the account existed already, or did not. To [`Exists`](Request::Exists) whether it does.
    Done(bool),
    /// A page of accounts; an empty one is the last.
    Accounts(Vec<String>),
    /// Who is connected.
    Sessions(Vec<Session>),
    /// The tokens of an account.
    Tokens(Vec<Token>),
    /// Why it could not be done.
    Failed(String),
}

/// A session, as it is printed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Session {
    pub(crate) session: String,
    /// Missing if it is not available.
    pub(crate) priority: Option<i8>,
    /// Seconds for which it has been there.
    pub(crate) age: u64,
    /// `secured`, `clear`, or `lost`.
    pub(crate) connection: String,
    /// Where its client is; of IPv6 the network. Missing for clients on the server's machine, and for those that are not connected.
    pub(crate) address: Option<String>,
    /// Whether nobody uses it, as its client says.
    pub(crate) inactive: bool,
    /// Seconds for which it still waits for its client, if that is not connected.
    pub(crate) waits: Option<u64>,
}

impl From<&SessionInfo> for Session {
    fn from(session: &SessionInfo) -> Self {
        let connection = match session.connection {
            SessionConnection::Secured => "secured",
            SessionConnection::Clear => "clear",
            _ => "lost",
        };
        Session {
            session: session.jid.to_string(),
            priority: session.priority,
            age: session.age.as_secs(),
            connection: connection.into(),
            address: session.address.map(|address| match address {
                IpAddr::V4(address) => address.to_string(),
                IpAddr::V6(network) => format!("{network}/64"),
            }),
            inactive: session.is_inactive,
            waits: session.waits.map(|left| left.as_secs()),
        }
    }
}

/// What only a server that runs does.
pub(crate) enum Order {
    /// Ends an account with all that others have of it.
    Remove(BareJid),
    /// Lists the sessions of an account, or of all.
    Sessions(Option<BareJid>),
    /// Ends a session.
    Disconnect(FullJid, String),
}

impl Request {
    /// The account that has another password when this is done.
    pub(crate) fn password_of(&self) -> Option<BareJid> {
        match self {
            Request::SetPassword { account, .. } | Request::Add { account, replace: true, .. } => {
                BareJid::parse(account).ok()
            }
            _ => None,
        }
    }
}

impl Request {
    /// What the log of the server says when it is done, unless the server does so by itself.
    pub(crate) fn line(&self) -> Option<String> {
        let (account, what) = match self {
            Request::Add { account, replace: false, .. } => (account, "has been created"),
            Request::Add { account, replace: true, .. } => {
                (account, "has been created, or has another password")
            }
            Request::SetPassword { account, .. } => (account, "has another password"),
            Request::Disconnect { session, .. } => {
                let session = FullJid::parse(session).ok()?;
                return Some(format!("{session} has been disconnected, by `balcony user`"));
            }
            _ => return None,
        };
        let account = BareJid::parse(account).ok()?;
        Some(format!("{account} {what}, by `balcony user`"))
    }
}

/// Does what is asked for. Without `domains` an account may be of any. The store does most of it, `order` the rest.
pub(crate) fn perform(
    worker: &Worker,
    domains: &[BareJid],
    request: Request,
    order: impl FnOnce(Order, Respond),
) -> Pending {
    let (respond, pending) = Pending::later();
    match translate(domains, request) {
        Ok(Task::Store(request)) => {
            // A receiver that has gone away wants no response; and a sender that goes away is one, see `Pending`.
            let _ = worker.submit(request, Box::new(|reply| drop(respond.send(Response::from(reply)))));
        }
        Ok(Task::Order(wanted)) => order(wanted, respond),
        Err(response) => drop(respond.send(response)),
    }
    pending
}

/// Where a response goes.
pub(crate) type Respond = oneshot::Sender<Response>;

/// Who does it.
enum Task {
    Store(StoreRequest),
    Order(Order),
}

/// A response that is under way.
pub(crate) struct Pending(oneshot::Receiver<Response>);

impl Pending {
    pub(crate) fn known(response: Response) -> Pending {
        let (respond, pending) = Pending::later();
        let _ = respond.send(response);
        pending
    }

    /// One that somebody gives later.
    pub(crate) fn later() -> (Respond, Pending) {
        let (respond, receiver) = oneshot::channel();
        (respond, Pending(receiver))
    }

    pub(crate) async fn response(self) -> Response {
        self.0.await.unwrap_or_else(|_| Response::Failed(Busy.to_string()))
    }

    /// The same, for threads that may wait.
    pub(crate) fn wait(self) -> Response {
        self.0.blocking_recv().unwrap_or_else(|_| Response::Failed(Busy.to_string()))
    }
}

impl From<&KeptToken> for Token {
    fn from(token: &KeptToken) -> Self {
        Token {
            id: token.id,
            name: token.name.clone(),
            mechanism: token.mechanism.name().into(),
            expires: token.expires,
            is_used: token.is_used,
        }
    }
}

impl From<Reply> for Response {
    fn from(reply: Reply) -> Self {
        match reply {
            Reply::Changed(done) | Reply::Exists(done) => Response::Done(done),
            Reply::Accounts(page) => Response::Accounts(page.iter().map(ToString::to_string).collect()),
            Reply::Tokens(tokens) => Response::Tokens(tokens.all().iter().map(Token::from).collect()),
            Reply::Failed(error) => Response::Failed(error.to_string()),
            _ => Response::Failed("the store has answered another question".into()),
        }
    }
}

impl From<Removal> for Response {
    fn from(removal: Removal) -> Self {
        match removal {
            Removal::Removed => Response::Done(true),
            Removal::Missing => Response::Done(false),
            Removal::Failed => Response::Failed(
                "the account could not be removed: the database cannot be read or written now".into(),
            ),
        }
    }
}

/// What there is to do, or the response where that is nothing.
fn translate(domains: &[BareJid], request: Request) -> Result<Task, Response> {
    let account = |text: &str| {
        let account = BareJid::parse(text).map_err(|error| Response::Failed(error.to_string()))?;
        let domain = account.domainpart();
        if domains.is_empty() || domains.iter().any(|served| served.domainpart() == domain) {
            return Ok(account);
        }
        let served = domains.iter().map(BareJid::as_str).collect::<Vec<_>>().join(", ");
        Err(Response::Failed(format!("{text}: the running server does not serve {domain}, but {served}")))
    };
    Ok(Task::Store(match request {
        Request::Domains => {
            return Err(Response::Domains(domains.iter().map(ToString::to_string).collect()));
        }
        Request::Add { account: text, password, replace } => {
            StoreRequest::Create { account: account(&text)?, password, replace }
        }
        Request::SetPassword { account: text, password } => {
            StoreRequest::SetPassword { account: account(&text)?, password }
        }
        Request::Remove { account: text } => return Ok(Task::Order(Order::Remove(account(&text)?))),
        Request::Sessions { account: text } => {
            return Ok(Task::Order(Order::Sessions(text.as_deref().map(account).transpose()?)));
        }
        Request::Disconnect { session, text } => {
            let session: FullJid =
                session.parse().map_err(|error| Response::Failed(format!("{session}: {error}")))?;
            account(session.bare_str())?;
            return Ok(Task::Order(Order::Disconnect(session, text)));
        }
        Request::Exists { account: text } => StoreRequest::Exists { account: account(&text)? },
        Request::Tokens { account: text } => StoreRequest::Tokens { account: account(&text)? },
        Request::Revoke { account: text, token } => {
            StoreRequest::RevokeToken { account: account(&text)?, id: token }
        }
        Request::List { domain, after } => {
            let after = after.map(|after| BareJid::parse(&after)).transpose();
            let after = after.map_err(|error| Response::Failed(error.to_string()))?;
            StoreRequest::List { domain, after, limit: PAGE }
        }
    }))
}

/// Passwords stand in requests as they are, and are erased when both sides are done.
mod secret {
    use balcony_machine::Secret;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(
        secret: &Secret<String>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(secret.expose())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Secret<String>, D::Error> {
        String::deserialize(deserializer).map(Secret::new)
    }
}
