//! The accounts of a data folder for the commands that read or change them: through the server that runs there, or in the store
//! itself if none does.
//!
//! The commands see no difference between the two. Whoever has the store open and takes no orders, because it starts or ends, is
//! waited for. What is asked and answered over the socket is in `control.rs`.

use core::time::Duration;
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use balcony_store::{Store, Worker};

use crate::control::{self, Order, Pending, Request, Respond, Response};
use crate::database::{self, Database};
use crate::failure::{Failure, io, reason};
use crate::removal;

/// The accounts in a data folder, changed by the server that runs on it, or directly if none does.
///
/// Responses come in the order of the requests. No more than [`WINDOW`](control::WINDOW) may be open.
pub(crate) enum Accounts {
    Running(Running),
    Stopped { store: Store, worker: Arc<Worker>, open: VecDeque<Pending> },
}

/// The way to the server that runs on a data folder.
pub(crate) struct Running {
    data: PathBuf,
    requests: BufWriter<UnixStream>,
    responses: BufReader<UnixStream>,
}

/// How long a running server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one may wait for whoever has the accounts open, and can't be asked.
const WAIT: Duration = Duration::from_secs(10);
const STEP: Duration = Duration::from_millis(50);

impl Accounts {
    /// `open` opens them if no server runs. Who has them open and can't be asked is a server that is about to start, or to end,
    /// or another command: that is waited for a while.
    pub(crate) fn open(
        data: &Path,
        database: Option<&Database>,
        open: fn(&Path, Option<&Database>) -> Result<Store, Failure>,
    ) -> Result<Accounts, Failure> {
        let begin = Instant::now();
        loop {
            if let Some(server) = Running::find(data)? {
                return Ok(Accounts::Running(server));
            }
            match open(data, database) {
                Ok(store) => {
                    let worker = Arc::new(Worker::start(store.clone()));
                    return Ok(Accounts::Stopped { store, worker, open: VecDeque::new() });
                }
                Err(failure) if failure.is_locked() && begin.elapsed() < WAIT => std::thread::sleep(STEP),
                Err(failure) if failure.is_locked() => {
                    return Err(Failure::new(format!(
                        "the accounts are in use by another program, and no server on {} takes orders: it may be starting or \
                         ending; try again",
                        data.display()
                    )));
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Hands over a request.
    pub(crate) fn submit(&mut self, request: Request) -> Result<(), Failure> {
        match self {
            Accounts::Running(server) => server.submit(&request).map_err(|error| server.lost(&error)),
            Accounts::Stopped { store, worker, open } => {
                let carry_out = |order, respond: Respond| {
                    drop(respond.send(match order {
                        Order::Remove(account) => removal::remove(store, worker, account),
                        Order::Sessions(_) | Order::Disconnect(..) => Response::Failed(
                            "no server runs on this data folder, so nobody is connected".into(),
                        ),
                    }));
                };
                open.push_back(control::perform(worker, &[], request, carry_out));
                Ok(())
            }
        }
    }

    /// Waits for the response to the oldest request that has none yet.
    pub(crate) fn receive(&mut self) -> Result<Response, Failure> {
        match self {
            Accounts::Running(server) => {
                let line = server.receive().map_err(|error| server.lost(&error))?;
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

    /// Fails if there is no such account. Whoever runs a server may know, and has often mistyped.
    pub(crate) fn has(&mut self, account: &str) -> Result<(), Failure> {
        match self.ask(Request::Exists { account: account.into() })? {
            Response::Done(true) => Ok(()),
            Response::Done(false) => Err(Failure::new(format!("{account} {}", crate::user::MISSING))),
            other => Err(unexpected(other)),
        }
    }
}

impl Running {
    /// The server that runs on this data folder, if one does.
    fn find(data: &Path) -> Result<Option<Running>, Failure> {
        let gone = || format!("cannot reach the server that runs on {}", data.display());
        match UnixStream::connect(control::socket(data)) {
            Ok(stream) => Running::new(data, stream, PATIENCE).map(Some).map_err(io(gone())),
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
                Ok(None)
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Err(database::hidden(data)
                .unwrap_or_else(|| {
                    Failure::new(format!(
                        "only the user that runs the server on {}, and root, may manage its accounts",
                        data.display()
                    ))
                })),
            Err(error) => Err(io(gone())(error)),
        }
    }

    /// A server that says nothing for so long is given up.
    fn new(data: &Path, stream: UnixStream, patience: Duration) -> std::io::Result<Running> {
        stream.set_read_timeout(Some(patience))?;
        stream.set_write_timeout(Some(patience))?;
        let responses = BufReader::new(stream.try_clone()?);
        Ok(Running { data: data.into(), requests: BufWriter::new(stream), responses })
    }

    fn submit(&mut self, request: &Request) -> std::io::Result<()> {
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        self.requests.write_all(&line)
    }

    fn receive(&mut self) -> std::io::Result<String> {
        self.requests.flush()?;
        let mut line = String::new();
        match self.responses.read_line(&mut line)? {
            0 => Err(std::io::Error::other("it has closed the connection")),
            _ => Ok(line),
        }
    }

    fn lost(&self, error: &std::io::Error) -> Failure {
        // Or what is still to be written would be waited for once more.
        let _ = self.requests.get_ref().shutdown(Shutdown::Both);
        let data = self.data.display();
        let unknown = "what was not reported may or may not be done";
        Failure::new(match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => format!(
                "the server that runs on {data} does not answer; {unknown}. If it stays like this, end that server and \
                 start it again"
            ),
            _ => format!("lost the server that runs on {data}; {unknown}: {}", reason(error)),
        })
    }
}

/// What was answered is not what was asked for: why it could not be done, or a mistake.
pub(crate) fn unexpected(response: Response) -> Failure {
    match response {
        Response::Failed(reason) => Failure::new(reason),
        _ => Failure::new("the running server is of another version than this command"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> (Accounts, UnixStream) {
        let (stream, server) = UnixStream::pair().unwrap();
        let running = Running::new(Path::new("var/balcony"), stream, Duration::from_millis(10)).unwrap();
        (Accounts::Running(running), server)
    }

    // While a server starts, it has the store open and takes no orders yet.
    #[test]
    fn a_server_that_starts_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let socket = control::socket(folder.path());
        std::thread::scope(|scope| {
            let server = scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                std::os::unix::net::UnixListener::bind(&socket).unwrap()
            });
            let accounts = Accounts::open(folder.path(), None, database::open);
            assert!(matches!(accounts, Ok(Accounts::Running(_))));
            drop(server.join().unwrap());
        });
        // And one that ends. Programs that other tests start may have its socket open for a moment.
        std::fs::remove_file(&socket).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                drop(store);
            });
            let accounts = Accounts::open(folder.path(), None, database::open);
            assert!(matches!(accounts, Ok(Accounts::Stopped { .. })), "{:?}", accounts.err());
        });
    }

    #[test]
    fn a_server_that_does_not_answer_is_named() {
        let (mut accounts, server) = accounts();
        let silent = accounts.ask(Request::Domains).unwrap_err();
        assert!(silent.message().contains("the server that runs on var/balcony does not answer"), "{silent}");
        drop(server);
        let gone = accounts.receive().unwrap_err();
        assert!(gone.message().starts_with("lost the server that runs on var/balcony; what was"), "{gone}");
    }

    #[test]
    fn nor_does_one_hang_that_reads_nothing() {
        let (mut accounts, _server) = accounts();
        let full = (0..100_000).find_map(|_| accounts.submit(Request::Domains).err()).unwrap();
        assert!(full.message().contains("the server that runs on var/balcony does not answer"), "{full}");
    }
}
