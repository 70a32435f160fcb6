//! TLS on a device: `embedded-tls` from the first byte of a link (XEP-0368), below `balcony-embedded`.
//!
//! What it can and can't, which is why it is an example and no part of a crate:
//!
//! - TLS 1.3 alone, with AES-128-GCM and a key exchange on P-256. No channel binding: `embedded-tls` exports no keying material. The policy of the
//!   stream is `TlsPolicy::Direct`.
//! - **It panics on input**: on a KeyUpdate of the server, and on a record that is encrypted and empty, which whoever stands in between can
//!   send before they have proven anything. A device that restarts on a panic lives with that.
//! - Certificates are checked by [`Pinned`] without `std`: signatures on P-256 up to one authority that the device knows, and the name. Not whether
//!   a certificate in between may sign others, and dates only where the device has a clock for them. Without a verifier
//!   (`UnsecureProvider`) anybody can be the server, and SCRAM does not notice who passes it on.
//! - 21 KiB of heap for a connection: a record of the server may have 16 KiB, since `rustls` and OpenSSL do not agree on less.
//!
//! `embedded-tls` loses bytes when its futures are dropped, which the halves of a link must not. So its session is one future that stands in the link
//! and is never dropped while the connection lives; it works on buffers in memory, and the halves bring bytes from there to the link below.
#![no_std]
#![forbid(unsafe_code)]
#![allow(missing_debug_implementations, reason = "what they hold is secret")]

extern crate alloc;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::RefCell;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll};

use balcony_embedded::Link;
use balcony_machine::{Random, Seed};
use balcony_stream::Security;
use embedded_io_async::{ErrorKind, ErrorType, Read, Write};
use embedded_tls::pki::CertVerifier;
use embedded_tls::{
    Aes128GcmSha256, Certificate, CryptoProvider, CryptoRngCore, NoClock, TlsConfig, TlsConnection,
    TlsContext, TlsError, TlsVerifier,
};

/// The longest record that a server may send (RFC 8446 section 5.2), and room for one of ours.
const INPUT: usize = 16_640;
const OUTPUT: usize = 4_096;
/// Bytes that wait to be encrypted.
const PLAIN: usize = 2_048;

/// The buffers between the session and the halves.
#[derive(Default)]
struct Buffers {
    /// From the server, encrypted and then plain.
    sealed_in: VecDeque<u8>,
    plain_in: VecDeque<u8>,
    /// To the server.
    plain_out: VecDeque<u8>,
    sealed_out: VecDeque<u8>,
    is_up: bool,
    /// Nothing more comes from below.
    is_over: bool,
}

type Shared = Rc<RefCell<Buffers>>;

/// Takes what there is, and waits if that is nothing. Whoever puts something there polls it again.
async fn take(from: impl Fn(&mut [u8]) -> Option<usize>, buffer: &mut [u8]) -> usize {
    poll_fn(|_| from(buffer).map_or(Poll::Pending, Poll::Ready)).await
}

fn pop(queue: &mut VecDeque<u8>, buffer: &mut [u8]) -> usize {
    let count = queue.len().min(buffer.len());
    buffer.iter_mut().zip(queue.drain(..count)).for_each(|(place, byte)| *place = byte);
    count
}

/// What the session takes for its socket.
#[derive(Clone)]
struct Socket(Shared);

impl ErrorType for Socket {
    type Error = ErrorKind;
}

impl Read for Socket {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ErrorKind> {
        let from = |buffer: &mut [u8]| {
            let mut shared = self.0.borrow_mut();
            let count = pop(&mut shared.sealed_in, buffer);
            (count > 0 || shared.is_over).then_some(count)
        };
        Ok(take(from, buffer).await)
    }
}

impl Write for Socket {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, ErrorKind> {
        self.0.borrow_mut().sealed_out.extend(bytes);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), ErrorKind> {
        Ok(())
    }
}

/// A connection from the handshake to its end.
async fn session<P: CryptoProvider>(name: &'static str, provider: P, shared: Shared) -> TlsError
where
    P::CipherSuite: 'static,
{
    let (mut input, mut output) = (vec![0; INPUT], vec![0; OUTPUT]);
    let config = TlsConfig::new().with_server_name(name);
    let mut tls: TlsConnection<'_, _, P::CipherSuite> =
        TlsConnection::new(Socket(shared.clone()), &mut input, &mut output);
    if let Err(error) = tls.open(TlsContext::new(&config, provider)).await {
        return error;
    }
    shared.borrow_mut().is_up = true;
    let (mut reader, mut writer) = tls.split();
    let mut reads = pin!(async {
        let mut buffer = [0; 256];
        loop {
            match reader.read(&mut buffer).await {
                Ok(count) => shared.borrow_mut().plain_in.extend(buffer.iter().take(count)),
                Err(error) => return error,
            }
        }
    });
    let mut writes = pin!(async {
        let mut buffer = [0; 256];
        loop {
            let from = |buffer: &mut [u8]| {
                Some(pop(&mut shared.borrow_mut().plain_out, buffer)).filter(|count| *count > 0)
            };
            let count = take(from, &mut buffer).await;
            let wrote = writer.write_all(buffer.get(..count).unwrap_or_default()).await;
            if let Err(error) = match wrote {
                Ok(()) => writer.flush().await,
                error => error,
            } {
                return error;
            }
        }
    });
    poll_fn(|context| match writes.as_mut().poll(context) {
        Poll::Pending => reads.as_mut().poll(context),
        ended => ended,
    })
    .await
}

/// A link with TLS on top of another one.
pub struct Secured<L, F> {
    link: L,
    name: &'static str,
    provider: F,
    random: Random,
    is_open: bool,
    session: Option<RefCell<Session>>,
}

struct Session {
    run: Pin<Box<dyn Future<Output = TlsError>>>,
    shared: Shared,
    error: Option<TlsError>,
}

impl Session {
    /// Has the session go on with what is in its buffers.
    fn go_on(&mut self, context: &mut Context<'_>) -> Result<(), TlsError> {
        if self.error.is_none()
            && let Poll::Ready(error) = self.run.as_mut().poll(context)
        {
            self.error = Some(error);
        }
        self.error.map_or(Ok(()), Err)
    }
}

impl<L: Link, P: CryptoProvider + 'static, F: FnMut(Generator) -> P> Secured<L, F> {
    /// TLS with the server of this name, on that link. `provider` checks its certificate, once a connection, such as [`Pinned`]; it gets the randomness.
    pub fn new(link: L, name: &'static str, seed: &Seed, provider: F) -> Self {
        Secured { link, name, provider, random: seed.random(), is_open: false, session: None }
    }

    /// The link below.
    pub fn inner(&mut self) -> &mut L {
        &mut self.link
    }
}

/// Why there is no TLS.
#[derive(Debug)]
pub enum Failure {
    /// The link below could not be opened, or has ended.
    Link,
    /// The handshake has failed, or the server has ended the session.
    Tls(TlsError),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Link => f.write_str("the link below TLS is broken"),
            Failure::Tls(error) => write!(f, "TLS: {error}"),
        }
    }
}

impl core::error::Error for Failure {}

impl embedded_io_async::Error for Failure {
    fn kind(&self) -> ErrorKind {
        match self {
            Failure::Link => ErrorKind::BrokenPipe,
            Failure::Tls(_) => ErrorKind::Other,
        }
    }
}

/// Has the session go on.
async fn go_on(session: &RefCell<Session>) -> Result<(), Failure> {
    poll_fn(|context| Poll::Ready(session.borrow_mut().go_on(context))).await.map_err(Failure::Tls)
}

/// The half that reads.
struct Receiver<'a, R>(R, &'a RefCell<Session>);

impl<R> ErrorType for Receiver<'_, R> {
    type Error = Failure;
}

impl<R: Read> Receiver<'_, R> {
    /// Takes in what comes from below.
    async fn receive(&mut self) -> Result<(), Failure> {
        let mut bytes = [0; 256];
        let count = self.0.read(&mut bytes).await.map_err(|_| Failure::Link)?;
        let shared = Rc::clone(&self.1.borrow().shared);
        let mut shared = shared.borrow_mut();
        shared.sealed_in.extend(bytes.iter().take(count));
        shared.is_over = count == 0;
        Ok(())
    }
}

impl<R: Read> Read for Receiver<'_, R> {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Failure> {
        loop {
            let ended = go_on(self.1).await;
            let count = pop(&mut self.1.borrow().shared.borrow_mut().plain_in, buffer);
            match ended {
                _ if count > 0 || buffer.is_empty() => return Ok(count),
                Err(Failure::Tls(TlsError::ConnectionClosed)) => return Ok(0),
                Err(error) => return Err(error),
                Ok(()) => self.receive().await?,
            }
        }
    }
}

/// The half that writes.
struct Sender<'a, W>(W, &'a RefCell<Session>);

impl<W> ErrorType for Sender<'_, W> {
    type Error = Failure;
}

impl<W: Write> Sender<'_, W> {
    /// Writes what is encrypted, until none is left.
    async fn send(&mut self) -> Result<(), Failure> {
        loop {
            let mut bytes = [0; 256];
            let shared = Rc::clone(&self.1.borrow().shared);
            let waiting =
                shared.borrow().sealed_out.iter().zip(&mut bytes).map(|(byte, place)| *place = *byte).count();
            if waiting == 0 {
                return Ok(());
            }
            let count =
                self.0.write(bytes.get(..waiting).unwrap_or_default()).await.map_err(|_| Failure::Link)?;
            shared.borrow_mut().sealed_out.drain(..count.min(waiting));
        }
    }
}

impl<W: Write> Write for Sender<'_, W> {
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Failure> {
        go_on(self.1).await?;
        self.send().await?;
        let shared = Rc::clone(&self.1.borrow().shared);
        let count = bytes.len().min(PLAIN);
        shared.borrow_mut().plain_out.extend(bytes.iter().take(count));
        Ok(count)
    }

    async fn flush(&mut self) -> Result<(), Failure> {
        go_on(self.1).await?;
        self.send().await?;
        self.0.flush().await.map_err(|_| Failure::Link)
    }
}

impl<L: Link, P: CryptoProvider + 'static, F: FnMut(Generator) -> P> Link for Secured<L, F>
where
    P::CipherSuite: 'static,
{
    type Error = Failure;

    async fn open(&mut self) -> Result<Option<Security>, Failure> {
        if !self.is_open {
            self.link.open().await.map_err(|_| Failure::Link)?;
            self.is_open = true;
            let shared = Shared::default();
            let provider = (self.provider)(Generator(self.random.seed().random()));
            let run = Box::pin(session(self.name, provider, Rc::clone(&shared)));
            self.session = Some(RefCell::new(Session { run, shared, error: None }));
        }
        let Some(session) = &self.session else { return Err(Failure::Link) };
        let (reader, writer) = self.link.split();
        let (mut receiver, mut sender) = (Receiver(reader, session), Sender(writer, session));
        loop {
            let ended = go_on(session).await;
            // Also what says why it has ended.
            sender.send().await?;
            ended?;
            if session.borrow().shared.borrow().is_up {
                return Ok(Some(Security::default().with_version(Some(0x0304))));
            }
            receiver.receive().await?;
        }
    }

    fn split(&mut self) -> (impl Read, impl Write) {
        let (reader, writer) = self.link.split();
        // It is open, so that there is one.
        let session = self.session.get_or_insert_with(|| {
            RefCell::new(Session {
                run: Box::pin(core::future::ready(TlsError::ConnectionClosed)),
                shared: Shared::default(),
                error: None,
            })
        });
        (Receiver(reader, session), Sender(writer, session))
    }

    fn close(&mut self) {
        (self.session, self.is_open) = (None, false);
        self.link.close();
    }
}

/// Randomness as `embedded-tls` takes it.
pub struct Generator(Random);

impl rand_core::RngCore for Generator {
    fn next_u32(&mut self) -> u32 {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        u32::from_le_bytes(bytes)
    }

    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill(bytes);
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), rand_core::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rand_core::CryptoRng for Generator {}

/// The server has to have a certificate for its name that this authority has signed, on P-256.
pub struct Pinned {
    random: Generator,
    verifier: CertVerifier<'static, Aes128GcmSha256, NoClock, 4096>,
}

impl Pinned {
    /// With the authority's certificate (DER).
    pub fn new(random: Generator, authority: &'static [u8]) -> Self {
        Pinned { random, verifier: CertVerifier::new(Certificate::X509(authority)) }
    }
}

impl CryptoProvider for Pinned {
    type CipherSuite = Aes128GcmSha256;
    type Signature = &'static [u8];

    fn rng(&mut self) -> impl CryptoRngCore {
        &mut self.random
    }

    fn verifier(&mut self) -> Result<&mut impl TlsVerifier<Aes128GcmSha256>, TlsError> {
        Ok(&mut self.verifier)
    }
}
