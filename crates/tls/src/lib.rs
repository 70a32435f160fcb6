//! TLS for XMPP streams (RFC 6120 section 5, RFC 7590, XEP-0368) as bytes to bytes.
//!
//! A [`Session`] is one TLS connection, of either side. Ciphertext goes in and plaintext comes out, plaintext goes in
//! and ciphertext comes out; sockets are the caller's. The TLS itself is rustls: versions 1.2 and 1.3, with
//! forward secrecy and authenticated encryption only. The extended master secret is required of TLS 1.2, so that
//! every session can be bound to SASL (RFC 9266).
//!
//! Unlike the other protocol crates this one needs `std`, and rustls asks the operating system for randomness and,
//! to check certificates, for the time.
//!
//! ```
//! use balcony_tls::{TlsTrust, TlsIdentity, Session, Status};
//!
//! # fn main() -> Result<(), balcony_tls::Error> {
//! # #[cfg(feature = "rcgen")] {
//! let (certificate, key) = balcony_tls::self_signed(&["example.org"])?;
//! let server = TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes())?;
//! let client = TlsTrust::builder().roots_pem(certificate.as_bytes())?.build()?;
//!
//! let mut server = Session::server(&server)?;
//! let mut client = Session::client(&client, "example.org")?;
//!
//! // Two buffers stand for the network. The client speaks first.
//! let (mut up, mut down, mut plain) = (Vec::new(), Vec::new(), Vec::new());
//! client.read(&mut &[][..], &mut plain, &mut up)?;
//! while server.established().is_none() {
//!     server.read(&mut &std::mem::take(&mut up)[..], &mut plain, &mut down)?;
//!     client.read(&mut &std::mem::take(&mut down)[..], &mut plain, &mut up)?;
//! }
//!
//! client.write(b"<presence/>", &mut up)?;
//! assert_eq!(server.read(&mut &up[..], &mut plain, &mut down)?, Status::Established);
//! assert_eq!(plain, b"<presence/>");
//! # }
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `native-roots` | the certificate authorities that the operating system trusts |
//! | `rcgen` | certificates for development |
#![forbid(unsafe_code)]

extern crate alloc;

#[cfg(feature = "rcgen")]
mod authority;
mod certificates;
mod client;
mod clock;
mod connection;
mod details;
mod end_point;
mod error;
mod established;
mod identity;
mod name;
mod pem;
mod records;
#[cfg(feature = "rcgen")]
mod self_signed;
mod server;
mod session;
mod verify;
mod vouchers;
mod witness;

#[cfg(feature = "rcgen")]
pub use authority::Authority;
pub use client::{TlsTrust, TlsTrustBuilder};
pub use details::CertificateDetails;
pub use error::{ConfigError, Error, Refusal};
pub use established::Established;
pub use name::ascii as domain_to_ascii;
#[cfg(feature = "rcgen")]
pub use self_signed::self_signed;
pub use server::TlsIdentity;
pub use session::{Session, Status};
pub use vouchers::Vouchers;

/// What clients and servers call the protocol of a client-to-server stream in ALPN (XEP-0368).
pub const ALPN_CLIENT: &[u8] = b"xmpp-client";

/// What servers call the protocol of a stream among them in ALPN (XEP-0368).
pub const ALPN_SERVER: &[u8] = b"xmpp-server";
