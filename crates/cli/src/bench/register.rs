//! `--register`: accounts are created from outside, in-band (XEP-0077 section 3.1), where the server lets strangers do that.

use core::time::Duration;
use std::rc::Rc;

use balcony_jid::BareJid;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, StanzaError};
use balcony_tls::{Session, Status};
use balcony_xep::register::{Field, Fields, Request};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::world::{World, progress};
use crate::failure::{Failure, reason};

/// How long the server may take for one account.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than a server says before the answer.
const MOST: usize = 65_536;

type Result<T> = core::result::Result<T, String>;

/// Creates so many accounts; those that exist stay as they are. `None`: it is to stop.
pub(crate) async fn all(world: &Rc<World>, count: u32) -> core::result::Result<Option<()>, Failure> {
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

/// A stream in the clear or in TLS, on which what comes is looked for in the text.
struct Raw {
    socket: TcpStream,
    tls: Option<Session>,
    text: Vec<u8>,
}

async fn register(world: &World, number: u32, account: &BareJid) -> Result<()> {
    let config = world.config(number, "register").map_err(|failure| failure.to_string())?;
    let socket = TcpStream::connect(world.address).await.map_err(|error| reason(&error))?;
    let mut raw = Raw { socket, tls: None, text: Vec::new() };
    let domain = account.domainpart();
    let session = || match &config.tls {
        Some(trust) => Session::client(trust, domain).map_err(|error| error.to_string()),
        None => Err("no TLS".into()),
    };
    if world.tls == "direct" {
        raw.secure(session()?).await?;
    }
    let header = format!(
        "<?xml version='1.0'?><stream:stream to='{domain}' version='1.0' xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams'>"
    );
    raw.say(header.as_bytes()).await?;
    raw.until(&["</stream:features>"]).await?;
    if world.tls == "starttls" {
        raw.say(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>").await?;
        raw.until(&["<proceed", "<failure"]).await?;
        raw.until(&[">"]).await?;
        raw.secure(session()?).await?;
        raw.say(header.as_bytes()).await?;
        raw.until(&["</stream:features>"]).await?;
    }
    let fields = Fields::new()
        .with(Field::Username, account.localpart().unwrap_or_default())
        .with(Field::Password, config.stream.password.expose());
    let query = Request::Register(fields).to_element();
    let mut bytes = Vec::new();
    Stanza::iq(IqType::Set).id("register").child(query).write(&mut bytes);
    raw.text.clear();
    raw.say(&bytes).await?;
    loop {
        let Some(answer) = Stanza::parse(raw.text.trim_ascii()) else {
            raw.more().await?;
            continue;
        };
        if answer.head.kind == Kind::Iq(IqType::Result) {
            break;
        }
        let content = answer.payload.parse().map_err(|error| error.to_string())?;
        match StanzaError::from_payload(content.root()) {
            // It exists: whether its password is the right one is seen when it logs in.
            Some(error) if error.condition == ErrorCondition::Conflict => break,
            Some(error) => return Err(format!("the server says {error}")),
            None => return Err("the server answers something else".into()),
        }
    }
    // The account is there, whether the stream ends in good order or not.
    let _ = raw.say(b"</stream:stream>").await;
    Ok(())
}

impl Raw {
    async fn secure(&mut self, mut session: Session) -> Result<()> {
        let (mut out, mut plain) = (Vec::new(), Vec::new());
        let mut input: Vec<u8> = Vec::new();
        while session.read(&mut input.as_slice(), &mut plain, &mut out).map_err(|error| error.to_string())?
            == Status::Handshaking
        {
            self.write(&out).await?;
            out.clear();
            input = self.read().await?;
        }
        self.write(&out).await?;
        (self.tls, self.text) = (Some(session), plain);
        Ok(())
    }

    async fn say(&mut self, bytes: &[u8]) -> Result<()> {
        let mut out = Vec::new();
        match &mut self.tls {
            Some(session) => session.write(bytes, &mut out).map_err(|error| error.to_string())?,
            None => out.extend_from_slice(bytes),
        }
        self.write(&out).await
    }

    /// Reads until one of these has come, and forgets all up to its end.
    async fn until(&mut self, ends: &[&str]) -> Result<()> {
        loop {
            let found = ends.iter().find_map(|end| {
                let place = self.text.windows(end.len()).position(|window| window == end.as_bytes())?;
                Some(place + end.len())
            });
            if let Some(end) = found {
                self.text.drain(..end);
                return Ok(());
            }
            self.more().await?;
        }
    }

    /// Reads something more.
    async fn more(&mut self) -> Result<()> {
        if self.text.len() > MOST {
            return Err("the server says too much".into());
        }
        let input = self.read().await?;
        match &mut self.tls {
            Some(session) => {
                let mut out = Vec::new();
                session
                    .read(&mut input.as_slice(), &mut self.text, &mut out)
                    .map_err(|error| error.to_string())?;
                self.write(&out).await?;
            }
            None => self.text.extend_from_slice(&input),
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<Vec<u8>> {
        let mut chunk = vec![0; 16_384];
        match self.socket.read(&mut chunk).await {
            Ok(0) => Err("the server has closed the connection; it may not let strangers register".into()),
            Ok(count) => {
                chunk.truncate(count);
                Ok(chunk)
            }
            Err(error) => Err(reason(&error)),
        }
    }

    async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.socket.write_all(bytes).await.map_err(|error| reason(&error))
    }
}
