//! What the tests share: certificates, and a wire between two sides.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::sync::LazyLock;

use balcony_tls::{Error, Session, Status, TlsIdentity, TlsTrust};

pub const DOMAIN: &str = "example.org";

/// The development certificate of `DOMAIN`.
pub static IDENTITY: LazyLock<(String, String)> = LazyLock::new(|| {
    let (certificate, key) = balcony_tls::self_signed(&[DOMAIN]).unwrap();
    (certificate, key.expose().clone())
});

pub static SERVER: LazyLock<TlsIdentity> =
    LazyLock::new(|| TlsIdentity::from_pem(IDENTITY.0.as_bytes(), IDENTITY.1.as_bytes()).unwrap());

/// A client that trusts this certificate only.
pub fn trusting(pem: &str) -> TlsTrust {
    TlsTrust::builder().roots_pem(pem.as_bytes()).unwrap().build().unwrap()
}

pub static CLIENT: LazyLock<TlsTrust> = LazyLock::new(|| trusting(&IDENTITY.0));

/// One side, and what it has received.
pub struct Side {
    pub session: Session,
    pub plain: Vec<u8>,
    pub out: Vec<u8>,
}

impl Side {
    pub fn new(session: Session) -> Side {
        Side { session, plain: Vec::new(), out: Vec::new() }
    }

    /// Takes `wire` in pieces of the sizes that `chunks` gives in turn.
    pub fn read(&mut self, wire: &[u8], chunks: &mut impl FnMut() -> usize) -> Result<Status, Error> {
        let mut status = self.session.read(&mut &[][..], &mut self.plain, &mut self.out)?;
        let mut rest = wire;
        while !rest.is_empty() {
            let (mut now, later) = rest.split_at(chunks().clamp(1, rest.len()));
            status = self.session.read(&mut now, &mut self.plain, &mut self.out)?;
            assert!(now.is_empty(), "all input is taken");
            rest = later;
        }
        Ok(status)
    }

    pub fn write(&mut self, plain: &[u8]) {
        self.session.write(plain, &mut self.out).unwrap();
    }

    pub fn take(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.out)
    }
}

/// A client and a server.
pub struct Pair {
    pub client: Side,
    pub server: Side,
}

impl Pair {
    pub fn new(client: &TlsTrust, server: &TlsIdentity, domain: &str) -> Pair {
        Pair {
            client: Side::new(Session::client(client, domain).unwrap()),
            server: Side::new(Session::server(server).unwrap()),
        }
    }

    /// A pair that has shaken hands.
    pub fn established() -> Pair {
        let mut pair = Pair::new(&CLIENT, &SERVER, DOMAIN);
        pair.settle(&mut whole).unwrap();
        pair
    }

    /// Carries bytes until nobody has anything to say.
    pub fn settle(&mut self, chunks: &mut impl FnMut() -> usize) -> Result<(Status, Status), Error> {
        let mut status = (self.client.read(&[], chunks)?, Status::Handshaking);
        loop {
            let (up, down) = (self.client.take(), self.server.take());
            if up.is_empty() && down.is_empty() {
                return Ok(status);
            }
            if !up.is_empty() {
                status.1 = self.server.read(&up, chunks)?;
            }
            if !down.is_empty() {
                status.0 = self.client.read(&down, chunks)?;
            }
        }
    }
}

/// All there is, at once.
pub fn whole() -> usize {
    usize::MAX
}
