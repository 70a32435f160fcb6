//! One TLS connection, of either side, as bytes to bytes. TLS itself is rustls; here its buffers are emptied at once, its first
//! error stays, and a connection that was cut is told from one that was closed.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::ApiMisuse;
use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::UnbufferedServerConnection;

use crate::certificates::Certificates;
use crate::connection::{Buffers, Connection, Say};
use crate::identity::{Identity, Service};
use crate::records::{Fault, Records};
use crate::verify::{Proven, Trust};
use crate::vouchers::{Basis, Shown};
use crate::witness::Witness;
use crate::{Error, Established, TlsIdentity, TlsTrust, Vouchers, name};

/// An incomplete record or handshake message may have so many bytes.
const MOST: usize = 0xffff;
/// An encrypted record has at most so many (RFC 5246 section 6.2.3, with its header).
const RECORD: usize = 5 + 16_384 + 2_048;

/// One TLS connection, of either side.
///
/// ```text
///                  read                          read                  close_notify
/// Handshaking ────────────▶ Established ────────────────────▶ PeerClosed
///      │                         │ ▲ write (also after PeerClosed, until close)
///      └───────── Err, for good ─┘
/// ```
///
/// 1. **What has happened goes in**: what the peer has sent, by [`read`](Session::read), and its end, [`eof`](Session::eof). A client begins with a `read` of nothing. No time is told: certificates are
///    checked by the clock of the operating system.
/// 2. **What the owner wants**: [`write`](Session::write) when there is no handshake any more, and [`close`](Session::close).
/// 3. **What comes of it** is appended to the buffers that the owner brings: plaintext, and ciphertext that is to be sent, also after an error, for the
///    alert is in it. [`Status`] says how far it is.
/// 4. **Looking**: [`established`](Session::established), which has what was agreed on.
///
/// The docs of [this package](crate) have the whole loop.
///
/// Memory is bounded: it holds at most one incomplete record (about 18 KiB) or handshake message (64 KiB), and
/// nothing that has been decrypted or encrypted stays inside. While no record is incomplete there is no buffer.
pub struct Session {
    connection: Connection,
    /// Where the records begin that come.
    records: Records,
    /// What has come and is not complete yet.
    incomplete: Vec<u8>,
    /// Until it is over.
    handshake: Option<Box<Handshake>>,
    /// The reference identity, on a client.
    domain: Option<Box<str>>,
    /// What was agreed on, as long as somebody may want to know.
    established: Option<Box<Established>>,
    is_established: bool,
    peer_closed: bool,
    closed: bool,
    error: Option<Box<Error>>,
}

/// What there is for as long as the handshake goes on.
struct Handshake {
    witness: Arc<Witness>,
    ours: Ours,
}

/// What the handshake is judged by.
pub(crate) struct Ours {
    /// Whom to believe about the peer.
    pub(crate) trust: Option<Arc<Trust>>,
    pub(crate) service: Service,
    /// A server's own certificates.
    pub(crate) certificates: Option<Arc<Certificates>>,
    /// Who the peer has to be, with who else says so.
    pub(crate) wanted: Option<(ServerName<'static>, Arc<Vouchers>)>,
}

impl Ours {
    /// What a peer that has shown these certificates has proven, by authorities or since others say so.
    pub(crate) fn proven(&self, trust: &Trust, chain: &[CertificateDer<'_>], now: UnixTime) -> Proven {
        let mut proven = trust.proven(chain, self.service, now);
        let (Some((name, vouchers)), Some((own, others))) = (&self.wanted, chain.split_first()) else {
            return proven;
        };
        let Ok(basis) = vouchers.judge(trust, &Shown { own, others, name, service: self.service, now })
        else {
            return proven;
        };
        let domain = name.to_str().into_owned();
        if !proven.domains.contains(&domain) {
            proven.domains.push(domain);
        }
        if basis == Basis::Authority && proven.valid_for.is_none() {
            proven.valid_for = Identity::read(own, self.service).map(|identity| identity.valid_for(now));
        }
        proven
    }
}

/// Where a [`Session`] stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The handshake goes on; nothing can be written yet.
    Handshaking,
    /// Data flow both ways.
    Established,
    /// The peer has said that it sends no more (`close_notify`); what follows is ignored. Close the session, too.
    PeerClosed,
}

impl Session {
    /// The client's side of a session with the server of the XMPP domain `domain`: the certificate must be for it, whatever
    /// host the connection goes to (RFC 6120 section 13.7.2.1), and the server is told it (SNI, XEP-0368).
    ///
    /// Call [`read`](Session::read) with no input to get the first bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Domain`] if no certificate can be for `domain`.
    pub fn client(config: &TlsTrust, domain: &str) -> Result<Session, Error> {
        let reference = name::reference(domain)?;
        let alpn = if config.alpn { [config.service.alpn().into()].into() } else { Vec::new() };
        let (tls, witness) = Witness::of_client(&config.of_connection());
        let connection = UnbufferedClientConnection::new_with_alpn(tls, reference.clone(), alpn)
            .map_err(|error| Error::from_rustls(error, Some(domain)))?;
        let wanted = config.vouchers.clone().map(|vouchers| (reference, vouchers));
        let ours = Ours { trust: config.trust.clone(), service: config.service, certificates: None, wanted };
        Ok(Session::new(Connection::Client(connection), witness, Some(domain.into()), ours))
    }

    /// The server's side of a session.
    ///
    /// # Errors
    ///
    /// [`Error::Protocol`] if the operating system gives no randomness.
    pub fn server(config: &TlsIdentity) -> Result<Session, Error> {
        let (tls, witness) = Witness::of_server(&config.tls);
        let connection =
            UnbufferedServerConnection::new(tls).map_err(|error| Error::from_rustls(error, None))?;
        let ours = Ours {
            trust: config.peers.clone(),
            service: Service::Server,
            certificates: Some(Arc::clone(&config.certificates)),
            wanted: None,
        };
        Ok(Session::new(Connection::Server(connection), witness, None, ours))
    }

    fn new(connection: Connection, witness: Arc<Witness>, domain: Option<Box<str>>, ours: Ours) -> Session {
        Session {
            connection,
            records: Records::default(),
            incomplete: Vec::new(),
            handshake: Some(Box::new(Handshake { witness, ours })),
            domain,
            established: None,
            is_established: false,
            peer_closed: false,
            closed: false,
            error: None,
        }
    }

    /// Takes ciphertext from the peer, all of it: appends what it says to `plain`, and what TLS itself answers
    /// (handshake, alerts) to `out`. Once with no input, it starts a client.
    ///
    /// `plain` grows by at most the length of `input` and one record.
    ///
    /// # Errors
    ///
    /// What is wrong with the peer or its certificate, for good; unless the peer has ended the session itself ([`Error::Alert`]), the alert
    /// that tells it is in `out` (RFC 8446 section 6.2), and what came before the fault in `plain`.
    pub fn read(
        &mut self,
        input: &mut &[u8],
        plain: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<Status, Error> {
        if let Some(error) = self.error.as_deref() {
            return Err(error.clone());
        }
        let mut wrong = None;
        if !self.peer_closed {
            let sound = match self.records.read(input) {
                Ok(()) => *input,
                Err((fault, before)) => {
                    wrong = Some(fault);
                    before
                }
            };
            self.incomplete.extend_from_slice(sound);
            if let (Some(handshake), Connection::Client(_)) = (&self.handshake, &self.connection) {
                handshake.witness.sees(input);
            }
        }
        *input = &[];
        let result = self.go_on(plain, out, None);
        // The handshake may have come to its end before a fault.
        self.establish();
        result?;
        let wrong = wrong.filter(|_| !self.peer_closed);
        if wrong.is_some() || self.incomplete.len() > MOST {
            let rest = core::mem::take(&mut self.incomplete);
            let mut buffers = Buffers { plain, out, say: None, peer_closed: false };
            match wrong {
                Some(fault) => self.connection.tell_of_record(fault, rest, &mut buffers),
                None => self.connection.tell(rest, &mut buffers),
            }
            return Err(self.fail(match wrong {
                Some(Fault::Type) => Error::NotTls,
                Some(Fault::Length) => Error::Protocol("a TLS record is too long".into()),
                None => Error::Protocol("a TLS message is too long".into()),
            }));
        }
        Ok(self.status())
    }

    /// Takes what has come as far as it is complete, says this if it can be said, and writes what there is to be sent.
    fn go_on(&mut self, plain: &mut Vec<u8>, out: &mut Vec<u8>, say: Option<Say<'_>>) -> Result<(), Error> {
        let (start, mut taken) = (out.len(), 0);
        let mut buffers = Buffers { plain, out, say, peer_closed: self.peer_closed };
        let result = loop {
            let (more, result) = self.connection.step(&mut self.incomplete[taken..], &mut buffers);
            taken += more;
            match result {
                Ok(true) => {}
                Ok(false) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        if let Err(error) = &result {
            let mut rest = self.incomplete.split_off(taken);
            match self.connection.common().wants_write() {
                false if is_of_the_peer(error) => self.connection.tell(rest, &mut buffers),
                _ => self.connection.flush(&mut rest, &mut buffers),
            }
        }
        let unsaid = buffers.say.is_some();
        self.peer_closed = buffers.peer_closed;
        if self.peer_closed || result.is_err() || taken == self.incomplete.len() {
            // An idle connection has no buffer.
            self.incomplete = Vec::new();
        } else {
            self.incomplete.drain(..taken);
            // Nor is there more than it needs for the rest of a record.
            self.incomplete.shrink_to(RECORD);
        }
        if let (Some(handshake), Connection::Server(_)) = (&self.handshake, &self.connection) {
            handshake.witness.sees(&out[start..]);
        }
        match result {
            Err(error) => {
                let error = Error::from_rustls(error, self.domain.as_deref());
                Err(self.fail(error))
            }
            Ok(()) if unsaid => Err(self.fail(Error::Protocol("the TLS session takes no more data".into()))),
            Ok(()) => Ok(()),
        }
    }

    /// Remembers what was agreed on, if the handshake is over.
    fn establish(&mut self) {
        if !self.connection.common().is_handshaking()
            && let Some(handshake) = self.handshake.take()
        {
            let Handshake { witness, ours } = *handshake;
            let established = Established::of(self.connection.common(), &witness, &ours);
            self.established = Some(Box::new(established));
            self.is_established = true;
        }
    }

    /// The transport has ended: there will be no more input.
    ///
    /// # Errors
    ///
    /// [`Error::Truncated`] if the peer had not announced it with a `close_notify`: somebody else may have cut the
    /// connection. It does no harm when the XMPP stream was closed before.
    pub fn eof(&mut self) -> Result<Status, Error> {
        match self.error.as_deref() {
            Some(error) => Err(error.clone()),
            None if self.peer_closed => Ok(Status::PeerClosed),
            None => Err(self.fail(Error::Truncated)),
        }
    }

    /// Encrypts `plain` and appends it to `out`.
    ///
    /// # Errors
    ///
    /// [`Error::Misuse`] before the handshake is over and after [`close`](Session::close); the session is unchanged. Any
    /// other error is the one that ended the session.
    pub fn write(&mut self, plain: &[u8], out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(error) = self.error.as_deref() {
            return Err(error.clone());
        }
        if !self.is_established {
            return Err(ApiMisuse::BeforeHandshake.into());
        }
        if self.closed {
            return Err(ApiMisuse::AfterTlsClosed.into());
        }
        if plain.is_empty() {
            return Ok(());
        }
        self.go_on(&mut Vec::new(), out, Some(Say::Text(plain)))
    }

    /// Says that no more will be written, with a `close_notify` in `out`, if the handshake is over; the second time nothing. Then write `out`, and
    /// read on until [`Status::PeerClosed`] or a deadline before ending the transport (RFC 6120 section 4.4).
    pub fn close(&mut self, out: &mut Vec<u8>) {
        if self.error.is_none() && !self.closed {
            self.closed = true;
            if self.is_established {
                // Nothing is left to be said after it, whatever comes of it.
                let _ = self.go_on(&mut Vec::new(), out, Some(Say::Goodbye));
            }
        }
    }

    /// What was agreed on, once the handshake is over, and until that is [forgotten](Session::forget).
    #[must_use]
    pub fn established(&self) -> Option<&Established> {
        self.established.as_deref()
    }

    /// Gives back the memory of what was [agreed on](Session::established), which nobody wants to know any more. The session goes on.
    pub fn forget(&mut self) {
        self.established = None;
    }

    fn status(&self) -> Status {
        match (self.peer_closed, self.is_established) {
            (true, _) => Status::PeerClosed,
            (false, true) => Status::Established,
            (false, false) => Status::Handshaking,
        }
    }

    fn fail(&mut self, error: Error) -> Error {
        self.error = Some(Box::new(error.clone()));
        error
    }
}

/// Whether an error is one that the peer has made, and has to be told of.
const fn is_of_the_peer(error: &rustls::Error) -> bool {
    use rustls::Error as Tls;
    matches!(error, Tls::InvalidMessage(_) | Tls::PeerMisbehaved(_) | Tls::PeerIncompatible(_))
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("domain", &self.domain)
            .field("established", &self.established)
            .field("peer_closed", &self.peer_closed)
            .field("closed", &self.closed)
            .field("error", &self.error)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "rcgen"))]
mod tests {
    #![allow(clippy::unwrap_used, reason = "these are tests")]

    use rustls::HandshakeKind;

    use super::*;

    /// How the handshake of a new session went.
    fn handshake(identity: &TlsIdentity, trust: &TlsTrust) -> Option<HandshakeKind> {
        sessions(identity, trust).0.connection.common().handshake_kind()
    }

    /// A server and its client, up to the first words of both.
    fn sessions(identity: &TlsIdentity, trust: &TlsTrust) -> (Session, Session) {
        let mut server = Session::server(identity).unwrap();
        let mut client = Session::client(trust, "localhost").unwrap();
        let (mut plain, mut to_server, mut to_client) = (Vec::new(), Vec::new(), Vec::new());
        client.read(&mut &[][..], &mut plain, &mut to_server).unwrap();
        while !to_server.is_empty() {
            server.read(&mut &*to_server, &mut plain, &mut to_client).unwrap();
            to_server.clear();
            client.read(&mut &*to_client, &mut plain, &mut to_server).unwrap();
            to_client.clear();
        }
        assert!(server.established().is_some() && client.established().is_some());
        (server, client)
    }

    // The rest of a record that comes late, or never, keeps no more memory than a record.
    #[test]
    fn an_incomplete_record_keeps_no_large_buffer() {
        let (certificate, key) = crate::self_signed(&["localhost"]).unwrap();
        let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let trust = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
        let (mut server, mut client) = sessions(&identity, &trust);
        let (mut plain, mut out, mut to_server) = (Vec::new(), Vec::new(), Vec::new());
        client.write(&[7; 65_000], &mut to_server).unwrap();
        let (first, last) = to_server.split_at(to_server.len() - 1);
        server.read(&mut &*first, &mut plain, &mut out).unwrap();
        assert!(server.incomplete.capacity() <= RECORD, "{}", server.incomplete.capacity());
        server.read(&mut &*last, &mut plain, &mut out).unwrap();
        assert_eq!((plain.len(), server.incomplete.capacity()), (65_000, 0));
    }

    #[test]
    fn a_session_goes_on_when_what_was_agreed_on_is_forgotten() {
        let (certificate, key) = crate::self_signed(&["localhost"]).unwrap();
        let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let trust = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
        let (mut server, mut client) = sessions(&identity, &trust);
        server.forget();
        assert!(server.established().is_none());
        let (mut plain, mut out) = (Vec::new(), Vec::new());
        server.write(b"hello", &mut out).unwrap();
        server.close(&mut out);
        assert_eq!(client.read(&mut &*out, &mut plain, &mut Vec::new()), Ok(Status::PeerClosed));
        assert_eq!(plain, b"hello");
        assert_eq!(server.read(&mut &[][..], &mut plain, &mut out), Ok(Status::Established));
    }

    // By a ticket: no certificate is shown or proven again. It is so only for those who share what they trust.
    #[test]
    fn a_client_that_comes_again_goes_on_with_its_session() {
        let (certificate, key) = crate::self_signed(&["localhost"]).unwrap();
        let identity = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        let trust = || TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
        let known = trust();
        let kinds = [&known, &known, &known.clone(), &trust()].map(|trust| handshake(&identity, trust));
        let [full, resumed] = [HandshakeKind::Full, HandshakeKind::Resumed].map(Some);
        assert_eq!(kinds, [full, resumed, resumed, full]);
        // Another server has other keys, and its tickets are of no use here.
        let other = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap();
        assert_eq!(handshake(&other, &known), full);
    }
}
