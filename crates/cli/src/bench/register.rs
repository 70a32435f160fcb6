//! `--register`: accounts are created from outside, in-band (XEP-0077 section 3.1), where the server lets strangers do that.

use core::time::Duration;
use std::rc::Rc;

use balcony_client::ConnectError;
use balcony_connection::ClientConnection;
use balcony_jid::BareJid;
use balcony_machine::Progress;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, StanzaError};
use balcony_stream::client::ClientEvent;
use balcony_xep::register::{Field, Fields, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::{World, progress};
use crate::failure::{Failure, reason};

/// How long the server may take for one account.
const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes read at once.
const CHUNK: usize = 16_384;
/// The name of the request.
const ID: &str = "register";

/// Creates so many accounts; those that exist stay as they are. `None`: it is to stop.
pub(crate) async fn all(world: &Rc<World>, count: u32) -> Result<Option<()>, Failure> {
    let bar = progress(u64::from(count), "registering");
    for number in 0..count {
        let account = world.account(number)?;
        let one = timeout(PATIENCE, register(world, number, &account));
        let Some(done) = world.unless_stopped(one).await else { return Ok(None) };
        done.unwrap_or_else(|_| Err("the server does not answer".into()))
            .map_err(|reason| Failure::new(format!("--register: {account}: {reason}")))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(Some(()))
}

async fn register(world: &World, number: u32, account: &BareJid) -> Result<(), String> {
    let mut config = world.config(number, "register").map_err(|failure| failure.to_string())?;
    config.stream.look = true;
    let socket = world.connect().await.map_err(|error| world.explain(&error))?;
    let connection = config.connection(&mut world.seed().random(), world.now());
    let mut stranger = Stranger { world, connection, socket, input: Vec::new(), out: Vec::new() };
    while !stranger.connection.has_looked() {
        stranger.go_on().await?;
    }
    let is_offered = stranger.connection.offered().is_some_and(|offered| offered.registration);
    let fields = Fields::new()
        .with(Field::Username, account.localpart().unwrap_or_default())
        .with(Field::Password, config.stream.password.expose());
    let request = Stanza::iq(IqType::Set).with_id(ID).with_child(Request::Register(fields).to_element());
    stranger.connection.request_before_login(&request).map_err(|error| error.to_string())?;
    let answer = loop {
        match stranger.go_on().await {
            Ok(Some(answer)) if answer.head.id.as_deref() == Some(ID) => break answer,
            Ok(_) => {}
            Err(reason) if !is_offered => return Err(format!("{reason}{OFF}")),
            Err(reason) => return Err(reason),
        }
    };
    if answer.head.kind != Kind::Iq(IqType::Result) {
        let content = answer.payload.parse().map_err(|error| error.to_string())?;
        match StanzaError::from_payload(content.root()) {
            // It exists: whether its password is the right one is seen when it logs in.
            Some(error) if error.condition == ErrorCondition::Conflict => {}
            Some(error) if is_offered => return Err(format!("the server refuses: {error}")),
            Some(error) => return Err(format!("the server refuses: {error}{OFF}")),
            None => return Err("the server answers something else".into()),
        }
    }
    stranger.connection.close(world.now());
    // The account is there, whether the stream ends in good order or not.
    let _ = stranger.flush().await;
    Ok(())
}

/// What there is to do about a server that does not say that it registers.
const OFF: &str = " (it does not let strangers register; Balcony does with --allow-registration. Or create the accounts beforehand, as with \
                   `balcony user import`, and leave --register out)";

/// A client without an account, on a connection that only looks at what there is before a login.
struct Stranger<'a> {
    world: &'a World,
    connection: ClientConnection,
    socket: TcpStream,
    input: Vec<u8>,
    out: Vec<u8>,
}

impl Stranger<'_> {
    /// Goes on to what the server says next, or until more has been read.
    async fn go_on(&mut self) -> Result<Option<Stanza>, String> {
        let mut input = &*self.input;
        let progress = self.connection.advance(self.world.now(), &mut input, &mut self.out);
        let taken = self.input.len() - input.len();
        self.input.drain(..taken);
        // Also what it has to say to an end.
        let flushed = self.flush().await;
        let failed = |error| self.world.explain(&ConnectError::Stream { error, proven: false });
        match progress.map_err(failed)? {
            Progress::Event(ClientEvent::Stanza(stanza)) => return Ok(Some(*stanza)),
            Progress::Event(_) => return Ok(None),
            Progress::Closed => return Err("the server has closed the stream".into()),
            _ if taken > 0 => return Ok(None),
            _ => {}
        }
        flushed?;
        let mut chunk = [0; CHUNK];
        match self.socket.read(&mut chunk).await.map_err(|error| broken(&error))? {
            0 => match self.connection.eof(self.world.now(), &mut self.out) {
                Err(error) => Err(failed(error)),
                Ok(_) => Err("the server has closed the connection".into()),
            },
            count => {
                self.input.extend_from_slice(&chunk[..count]);
                Ok(None)
            }
        }
    }

    async fn flush(&mut self) -> Result<(), String> {
        // What can't be said shows when it is read on.
        let _ = self.connection.flush(&mut self.out);
        let written = self.socket.write_all(&self.out).await;
        self.out.clear();
        written.map_err(|error| broken(&error))
    }
}

fn broken(error: &std::io::Error) -> String {
    format!("the connection broke down: {}", reason(error))
}
