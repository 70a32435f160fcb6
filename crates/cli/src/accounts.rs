use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use balcony_jid::{BareJid, Jid};
use balcony_store::{Store, StoreConfig, StoreError, Worker};
use balcony_tokio::{Removal, Server, ServerConfig};

use crate::control::{self, Pending, Request, Respond, Response};
use crate::database::{self, Database};
use crate::failure::{Failure, io};

/// The accounts in a data folder, changed by the server that runs on it, or directly if none does.
///
/// Responses come in the order of the requests. No more than [`WINDOW`](control::WINDOW) may be open.
pub(crate) enum Accounts {
    Running { requests: BufWriter<UnixStream>, responses: BufReader<UnixStream> },
    Stopped { store: Store, worker: Arc<Worker>, open: VecDeque<Pending> },
}

impl Accounts {
    pub(crate) fn open(data: &Path, database: Option<&Database>) -> Result<Accounts, Failure> {
        let path = control::socket(data);
        let gone = || format!("cannot reach the server that runs on {}", data.display());
        match UnixStream::connect(&path) {
            Ok(stream) => {
                let responses = BufReader::new(stream.try_clone().map_err(io(gone()))?);
                Ok(Accounts::Running { requests: BufWriter::new(stream), responses })
            }
            // A server that was killed leaves its socket behind. A path that is too long for a socket has none.
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::NotFound
                        | ErrorKind::NotADirectory
                        | ErrorKind::ConnectionRefused
                        | ErrorKind::InvalidInput
                ) =>
            {
                let store = database::open(data, database, StoreConfig::default())?;
                let worker = Arc::new(Worker::start(store.clone()));
                Ok(Accounts::Stopped { store, worker, open: VecDeque::new() })
            }
            Err(error) => Err(io(gone())(error)),
        }
    }

    /// Hands over a request.
    pub(crate) fn submit(&mut self, request: Request) -> Result<(), Failure> {
        match self {
            Accounts::Running { requests, .. } => {
                let mut line =
                    serde_json::to_vec(&request).map_err(std::io::Error::from).map_err(io(LOST))?;
                line.push(b'\n');
                requests.write_all(&line).map_err(io(LOST))
            }
            Accounts::Stopped { store, worker, open } => {
                let remove = |account, respond: Respond| drop(respond.send(remove(store, worker, account)));
                open.push_back(control::perform(worker, &[], request, remove));
                Ok(())
            }
        }
    }

    /// Waits for the response to the oldest request that has none yet.
    pub(crate) fn receive(&mut self) -> Result<Response, Failure> {
        match self {
            Accounts::Running { requests, responses } => {
                requests.flush().map_err(io(LOST))?;
                let mut line = String::new();
                if responses.read_line(&mut line).map_err(io(LOST))? == 0 {
                    return Err(Failure::new(format!("{LOST}: it has closed the connection")));
                }
                serde_json::from_str(&line).map_err(|error| {
                    Failure::new(format!(
                        "the running server is of another version than this command: {error}"
                    ))
                })
            }
            Accounts::Stopped { open, .. } => {
                open.pop_front().map(Pending::wait).ok_or_else(|| Failure::new("nothing was asked"))
            }
        }
    }

    /// One request and its response.
    pub(crate) fn ask(&mut self, request: Request) -> Result<Response, Failure> {
        self.submit(request)?;
        self.receive()
    }
}

/// Removes an account as a running server does: others' rosters have to change, too. For that there is a server for a moment,
/// to which nobody can connect.
fn remove(store: &Store, worker: &Arc<Worker>, account: BareJid) -> Response {
    let removal = || -> Result<Removal, Failure> {
        let domains = domains_around(store, &account)?;
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io("cannot start"))?;
        let answers = Arc::clone(worker);
        Ok(runtime.block_on(async {
            let config = ServerConfig::new(domains, store.secret());
            let server = Server::builder(config, move |ask, reply| answers.handle(ask, reply)).start();
            let removal = server.remove_account(account).await;
            // It waits for all that it has asked of the store.
            server.shutdown().await;
            removal
        }))
    };
    removal().map_or_else(|failure| Response::Failed(failure.message().to_owned()), Response::from)
}

/// The domains of an account and of its contacts. Those that are others' have no account here, so nothing comes of them.
fn domains_around(store: &Store, account: &BareJid) -> Result<Vec<BareJid>, StoreError> {
    let roster = store.kept(account)?.and_then(|kept| kept.roster);
    let (items, requests) = roster.map(|roster| (roster.items, roster.requests)).unwrap_or_default();
    let asking = requests.iter().filter_map(|request| request.head.from.as_ref()).map(Jid::domainpart);
    let mut domains: Vec<&str> = items.iter().map(|item| item.jid.domainpart()).chain(asking).collect();
    domains.push(account.domainpart());
    domains.sort_unstable();
    domains.dedup();
    Ok(domains.into_iter().filter_map(|domain| BareJid::parse(domain).ok()).collect())
}

const LOST: &str = "lost the running server; what was not reported may or may not be done";
