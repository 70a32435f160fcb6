use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;

use balcony_store::{Store, Worker};

use crate::control::{self, Pending, Request, Response};
use crate::database::Database;
use crate::failure::{Failure, io};

/// The accounts in a data folder, changed by the server that runs on it, or directly if none does.
///
/// Responses come in the order of the requests. No more than [`WINDOW`](control::WINDOW) may be open.
pub(crate) enum Accounts {
    Running { requests: BufWriter<UnixStream>, responses: BufReader<UnixStream> },
    Stopped { worker: Worker, open: VecDeque<Pending> },
}

impl Accounts {
    /// `open` opens them if no server runs.
    pub(crate) fn open(
        data: &Path,
        database: Option<&Database>,
        open: fn(&Path, Option<&Database>) -> Result<Store, Failure>,
    ) -> Result<Accounts, Failure> {
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
                let worker = Worker::start(open(data, database)?);
                Ok(Accounts::Stopped { worker, open: VecDeque::new() })
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
            Accounts::Stopped { worker, open } => {
                open.push_back(control::perform(worker, &[], request));
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

const LOST: &str = "lost the running server; what was not reported may or may not be done";
