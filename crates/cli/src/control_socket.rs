//! The server's end of [`control`]: a socket in the data folder, for the user who runs the server and for root.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_stanza::{StreamCondition, StreamError};
use balcony_store::Worker;
use balcony_tokio::ServerHandle;
use tokio::io::{
    AsyncBufRead, AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader, BufWriter,
};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::control::{self, Order, Pending, Request, Response, Session, WINDOW};
use crate::failure::reason;

/// Bytes of a request, which has an address and a password at most, or a text for somebody whose session ends.
const REQUEST: usize = 65_536;

/// The socket in the data folder; it disappears with this value.
pub(crate) struct ControlSocket {
    listener: UnixListener,
    path: PathBuf,
    /// The file at the path: its device, and its number there.
    file: (u64, u64),
    /// The user who runs the server.
    owner: u32,
}

/// What requests are about.
#[derive(Clone)]
pub(crate) struct Controlled {
    pub(crate) worker: Arc<Worker>,
    pub(crate) server: ServerHandle,
    pub(crate) domains: Arc<[BareJid]>,
}

impl ControlSocket {
    /// Opens the socket in `data`. The caller has the store open, so a socket that is there is left from a dead server.
    pub(crate) fn open(data: &Path) -> std::io::Result<ControlSocket> {
        let path = control::socket(data);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let listener = UnixListener::bind(&path)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
        let found = std::fs::symlink_metadata(&path)?;
        Ok(ControlSocket { listener, path, file: (found.dev(), found.ino()), owner: found.uid() })
    }

    /// Serves everybody who connects, for ever.
    pub(crate) async fn serve(self, controlled: Controlled) {
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) if self.may_control(&stream) => {
                    let controlled = controlled.clone();
                    tokio::spawn(async move {
                        if let Err(error) = converse(stream, controlled).await {
                            tracing::debug!(target: "balcony", "a control connection broke: {}", reason(&error));
                        }
                    });
                }
                Ok(_) => {
                    tracing::warn!(target: "balcony", "another user of this machine was refused control")
                }
                Err(error) => {
                    tracing::warn!(target: "balcony", "no control connection can be accepted: {}", reason(&error));
                    tokio::time::sleep(core::time::Duration::from_millis(100)).await;
                }
            }
        }
    }

    /// Whether it is the user who runs the server, or root. The permissions of the socket say so already, but not in the
    /// moment before they are set, nor on every system.
    fn may_control(&self, stream: &UnixStream) -> bool {
        stream.peer_cred().is_ok_and(|peer| peer.uid() == self.owner || peer.uid() == 0)
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        // Accounts in a database may have been taken over by another server, whose socket is there now.
        let is_own = |found: std::fs::Metadata| (found.dev(), found.ino()) == self.file;
        if std::fs::symlink_metadata(&self.path).is_ok_and(is_own) {
            // The next server removes what is left.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Answers the requests of one client in their order, while more of them are being worked on.
async fn converse(stream: UnixStream, controlled: Controlled) -> std::io::Result<()> {
    let (requests, responses) = stream.into_split();
    let (sender, receiver) = mpsc::channel(WINDOW);
    let writing = tokio::spawn(write(BufWriter::new(responses), receiver));
    let mut requests = BufReader::new(requests);
    let mut line = Vec::new();
    while read_line(&mut requests, &mut line).await? {
        let is_too_long = line.len() > REQUEST;
        let response = match serde_json::from_slice(&line) {
            _ if is_too_long => {
                Pending::known(Response::Failed(format!("a request has more than {REQUEST} bytes")))
            }
            Ok(request) => begin(&controlled, request),
            Err(error) => Pending::known(Response::Failed(format!(
                "the running server is of another version than this command: {error}"
            ))),
        };
        // Of a line that is too long the rest is not read.
        if sender.send(response).await.is_err() || is_too_long {
            break;
        }
    }
    drop(sender);
    writing.await?
}

/// Reads a line in the place of the one before, with its line feed if it has one, but no more than a byte beyond [`REQUEST`]. `false` at the
/// end.
async fn read_line(requests: &mut (impl AsyncBufRead + Unpin), line: &mut Vec<u8>) -> std::io::Result<bool> {
    line.clear();
    line.shrink_to(4096);
    Ok(requests.take(REQUEST as u64 + 1).read_until(b'\n', line).await? > 0)
}

fn begin(controlled: &Controlled, request: Request) -> Pending {
    let (changed, line) = (request.password_of(), request.line());
    let pending = perform(controlled, request);
    if changed.is_none() && line.is_none() {
        return pending;
    }
    let (respond, changing) = Pending::later();
    let server = controlled.server.clone();
    tokio::spawn(async move {
        let response = pending.response().await;
        // Before anybody hears that it is done; and if it is said to have failed it may be done all the same.
        if let Some(account) = changed.filter(|_| !matches!(response, Response::Done(false))) {
            server.credentials_changed(account).await;
        }
        if let (Some(line), Response::Done(true)) = (line, &response) {
            tracing::info!(target: "balcony", "{line}");
        }
        // Who asked may have gone.
        drop(respond.send(response));
    });
    changing
}

fn perform(controlled: &Controlled, request: Request) -> Pending {
    control::perform(&controlled.worker, &controlled.domains, request, |order, respond| {
        let server = controlled.server.clone();
        // Who asked may have gone.
        tokio::spawn(async move { drop(respond.send(carry_out(&server, order).await)) });
    })
}

async fn carry_out(server: &ServerHandle, order: Order) -> Response {
    match order {
        Order::Remove(account) => server.remove_account(account).await.into(),
        Order::Sessions(account) => {
            let sessions = match account {
                Some(account) => server.sessions_of(account).await,
                None => server.sessions().await,
            };
            Response::Sessions(sessions.iter().map(Session::from).collect())
        }
        Order::Disconnect(session, text) => {
            let error = StreamError::new(StreamCondition::PolicyViolation, text);
            Response::Done(server.disconnect(session, error).await)
        }
    }
}

async fn write(
    mut out: BufWriter<tokio::net::unix::OwnedWriteHalf>,
    mut responses: mpsc::Receiver<Pending>,
) -> std::io::Result<()> {
    while let Some(pending) = responses.recv().await {
        let mut line = serde_json::to_vec(&pending.response().await)?;
        line.push(b'\n');
        out.write_all(&line).await?;
        // The client waits for a response, not for all of them.
        out.flush().await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    // A server whose accounts another one has taken over, in a database, ends when that one has its socket.
    #[test]
    fn only_the_own_socket_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let old = ControlSocket::open(folder.path()).unwrap();
            let new = ControlSocket::open(folder.path()).unwrap();
            drop(old);
            let path = control::socket(folder.path());
            assert!(UnixStream::connect(&path).await.is_ok());
            drop(new);
            assert!(!path.exists());
        });
    }

    #[test]
    fn a_line_has_a_bound() {
        let lines = async |bytes: Vec<u8>| {
            let (mut requests, mut line, mut lengths) = (bytes.as_slice(), Vec::new(), Vec::new());
            while read_line(&mut requests, &mut line).await.unwrap() {
                lengths.push(line.len());
                if line.len() > REQUEST {
                    break;
                }
            }
            (lengths, requests.len())
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            assert_eq!(lines(b"one\n\nthree".to_vec()).await, (vec![4, 1, 5], 0));
            let fits = [vec![b'x'; REQUEST - 1], b"\n\n".to_vec()].concat();
            assert_eq!(lines(fits).await, (vec![REQUEST, 1], 0));
            // Nothing beyond it is read, whether a line feed comes or not.
            assert_eq!(lines(vec![b'x'; 10 * REQUEST]).await, (vec![REQUEST + 1], 9 * REQUEST - 1));
        });
    }
}
