//! The two tasks of a socket of the server.

use core::pin::Pin;
use core::task::Poll;
use core::time::Duration;
use std::io;

use async_channel::{Receiver, Sender, bounded};
use balcony_server::{ConnectionId, Input};
use futures_io::{AsyncRead, AsyncWrite};
use futures_lite::future::{or, poll_fn};
use futures_lite::{AsyncWriteExt as _, io as split_io};

use crate::clock::timeout;
use crate::server::{Message, Task};

/// Bytes read at once.
pub(crate) const CHUNK: usize = 16_384;
/// How long what a peer still sends is thrown away after the end. Closing a socket with unread input resets the
/// connection, and the peer may lose the last words that were sent to it.
const LINGER: Duration = Duration::from_secs(1);

/// A socket, or anything else that carries bytes both ways. Closing it must let the peer see the end of its input.
pub trait Transport: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Transport for T {}

/// Tells the tasks of a socket what to do. When it is dropped they close it.
#[derive(Debug)]
pub(crate) struct Socket {
    reads: Sender<()>,
    writes: Sender<Vec<u8>>,
}

impl Socket {
    /// The socket and its tasks. They hold `alive` while they run.
    pub(crate) fn new(
        stream: Box<dyn Transport>,
        id: ConnectionId,
        mailbox: Sender<Message>,
        alive: Sender<()>,
    ) -> (Self, [Task; 2]) {
        let (input, output) = split_io::split(stream);
        let (reads, read) = bounded(1);
        let (writes, write) = bounded(1);
        let socket = Socket { reads, writes };
        socket.read();
        let report = Report { id, mailbox, _alive: alive };
        let writer = Box::pin(run_writer(output, write, report.clone()));
        (socket, [writer, Box::pin(run_reader(input, read, report))])
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

#[derive(Clone)]
struct Report {
    id: ConnectionId,
    mailbox: Sender<Message>,
    _alive: Sender<()>,
}

impl Report {
    fn say(&self, input: Input) {
        let _ = self.mailbox.try_send(Message::Input(input));
    }
}

async fn run_reader(mut input: impl AsyncRead + Unpin, orders: Receiver<()>, report: Report) {
    while orders.recv().await.is_ok() {
        // No order comes while this one is being carried out, but the end may.
        match or(async { Some(chunk(&mut input).await) }, ended(&orders)).await {
            Some(Ok(bytes)) if bytes.is_empty() => return report.say(Input::Eof(report.id)),
            Some(Ok(bytes)) => report.say(Input::Received(report.id, bytes)),
            Some(Err(_)) => return report.say(Input::Broken(report.id)),
            None => break,
        }
    }
    let rest = async { while chunk(&mut input).await.is_ok_and(|bytes| !bytes.is_empty()) {} };
    let _: Option<()> = timeout(LINGER, rest).await;
}

/// The next bytes. The buffer is there only while the operating system is asked, so an idle connection has none.
async fn chunk(input: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    poll_fn(|context| {
        let mut buffer = [0; CHUNK];
        match Pin::new(&mut *input).poll_read(context, &mut buffer) {
            Poll::Ready(Ok(count)) => Poll::Ready(Ok(buffer[..count].to_vec())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn run_writer(mut output: impl AsyncWrite + Unpin, orders: Receiver<Vec<u8>>, report: Report) {
    while let Ok(bytes) = orders.recv().await {
        let write = async {
            output.write_all(&bytes).await?;
            output.flush().await
        };
        match or(async { Some(write.await) }, ended(&orders)).await {
            Some(Ok(())) => report.say(Input::Written(report.id)),
            Some(Err(_)) => return report.say(Input::Broken(report.id)),
            // The server has given up a peer that does not read.
            None => return,
        }
    }
    let _ = output.close().await;
}

/// Waits until the server has dropped its side.
async fn ended<T, R>(orders: &Receiver<T>) -> Option<R> {
    let _ = orders.recv().await;
    None
}
