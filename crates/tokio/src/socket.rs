//! The two tasks of a socket of the server.

use core::time::Duration;
use std::io;

use balcony_server::{ConnectionId, Input};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc::{self, Receiver, Sender, UnboundedSender};
use tokio::time;

use crate::server::Message;

/// Bytes read at once.
const CHUNK: usize = 16_384;
/// How long what a peer still sends is thrown away after the end. Closing a socket with unread input resets the
/// connection, and the peer may lose the last words that were sent to it.
const LINGER: Duration = Duration::from_secs(1);
/// How long a peer's network may leave what was sent to it unacknowledged. After that the connection is broken: its user is no
/// longer there, and what is sent next goes elsewhere (RFC 6120 section 4.6).
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNACKNOWLEDGED: Duration = Duration::from_secs(60);

/// Tells the tasks of a socket what to do. When it is dropped they close it.
#[derive(Debug)]
pub(crate) struct Socket {
    reads: Sender<()>,
    writes: Sender<Vec<u8>>,
}

impl Socket {
    /// Starts the tasks. They hold `alive` while they run.
    pub(crate) fn start(
        stream: TcpStream,
        id: ConnectionId,
        mailbox: UnboundedSender<Message>,
        alive: Sender<()>,
    ) -> Self {
        // What is written together leaves together; there is nothing for Nagle's algorithm to wait for.
        let _ = stream.set_nodelay(true);
        notice_silence(&stream);
        let (input, output) = stream.into_split();
        let (reads, read) = mpsc::channel(1);
        let (writes, write) = mpsc::channel(1);
        let socket = Socket { reads, writes };
        socket.read();
        let report = Report { id, mailbox, _alive: alive };
        tokio::spawn(run_writer(output, write, report.clone()));
        tokio::spawn(run_reader(input, read, report));
        socket
    }

    pub(crate) fn read(&self) {
        // There is room: the server asks once for what it was given.
        let _ = self.reads.try_send(());
    }

    pub(crate) fn write(&self, bytes: Vec<u8>) {
        // There is room: the server waits for the word that the last bytes are written.
        let _ = self.writes.try_send(bytes);
    }
}

/// Has the system break the connection when the peer's network is gone; otherwise it would try for a quarter of an hour.
fn notice_silence(stream: &TcpStream) {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = socket2::SockRef::from(stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED)) {
        tracing::debug!("no time-out for what a peer does not acknowledge: {error}");
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = stream;
}

#[derive(Clone)]
struct Report {
    id: ConnectionId,
    mailbox: UnboundedSender<Message>,
    _alive: Sender<()>,
}

impl Report {
    fn say(&self, input: Input) {
        let _ = self.mailbox.send(Message::Input(input));
    }
}

async fn run_reader(input: OwnedReadHalf, mut orders: Receiver<()>, report: Report) {
    while orders.recv().await.is_some() {
        let received = tokio::select! {
            received = chunk(&input) => received,
            // No order comes while this one is being carried out, but the end may.
            _ = orders.recv() => break,
        };
        match received {
            Ok(bytes) if bytes.is_empty() => return report.say(Input::Eof(report.id)),
            Ok(bytes) => report.say(Input::Received(report.id, bytes)),
            Err(_) => return report.say(Input::Broken(report.id)),
        }
    }
    let rest = async { while chunk(&input).await.is_ok_and(|bytes| !bytes.is_empty()) {} };
    let _ = time::timeout(LINGER, rest).await;
}

/// The next bytes. The buffer is there only while there is something to read, so an idle connection has none.
async fn chunk(input: &OwnedReadHalf) -> io::Result<Vec<u8>> {
    loop {
        input.readable().await?;
        let mut buffer = Vec::with_capacity(CHUNK);
        match input.try_read_buf(&mut buffer) {
            Ok(_) => return Ok(buffer),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

async fn run_writer(mut output: OwnedWriteHalf, mut orders: Receiver<Vec<u8>>, report: Report) {
    while let Some(bytes) = orders.recv().await {
        let written = tokio::select! {
            written = output.write_all(&bytes) => written,
            // The server has given up a peer that does not read.
            _ = orders.recv() => return,
        };
        match written {
            Ok(()) => report.say(Input::Written(report.id)),
            Err(_) => return report.say(Input::Broken(report.id)),
        }
    }
    let _ = output.shutdown().await;
}
