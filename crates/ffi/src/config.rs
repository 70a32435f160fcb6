//! Who a client is, and whom it trusts.

use core::ffi::{CStr, c_char};

use balcony_client::ClientConfig;
use balcony_jid::Jid;
use balcony_machine::{Secret, Seed};
use balcony_stream::TlsPolicy;
use balcony_tls::TlsTrust;

use crate::BalconyResult;

/// How a connection is protected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub enum BalconyTls {
    /// STARTTLS, and nothing else before it (RFC 6120 section 5.3.1): port 5222.
    Required = 0,
    /// TLS from the first byte (XEP-0368): port 5223, or what the DNS says of `_xmpps-client`.
    Direct = 1,
    /// None. For tests on this machine, and where something else protects the bytes.
    None = 2,
}

/// What a client is told before it begins. It is copied.
#[allow(missing_debug_implementations, reason = "it has a password in it")]
#[repr(C)]
pub struct BalconyConfig {
    /// The address: `romeo@example.net`, with a resource if it is to be a certain one: `romeo@example.net/orchard`.
    pub jid: *const c_char,
    /// The password.
    pub password: *const c_char,
    /// The certificates of the authorities to trust, as PEM; null: those that the system trusts.
    pub trust: *const c_char,
    /// A `balcony_tls`.
    pub tls: u32,
    /// Other than 0: requests of others come as `BALCONY_STEP_STANZA`, and each has to be answered, by a stanza of type `result` or `error` with its
    /// `id` (RFC 6120 section 8.2.3); what the server pushes, and what asks who this is, are answered all the same. With 0 the client refuses
    /// them.
    pub takes_requests: u32,
    /// Thirty-two bytes that nobody can guess, other ones for each client. They are not all 0.
    pub seed: [u8; 32],
}

/// A text that C has handed in.
///
/// # Safety
///
/// Null, or the start of bytes that end with a zero, and stay as they are as long as the result is used.
pub(crate) unsafe fn text<'a>(text: *const c_char) -> Result<Option<&'a str>, BalconyResult> {
    if text.is_null() {
        return Ok(None);
    }
    // SAFETY: not null, and ends with a zero, as the caller says.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map(Some).map_err(|_| BalconyResult::BadText)
}

impl BalconyConfig {
    /// # Safety
    ///
    /// The texts are as [`text`] wants them.
    pub(crate) unsafe fn read(&self) -> Result<(ClientConfig, Seed), BalconyResult> {
        // SAFETY: as the caller says.
        let (jid, password, trust) = unsafe { (text(self.jid)?, text(self.password)?, text(self.trust)?) };
        let (Some(jid), Some(password)) = (jid, password) else { return Err(BalconyResult::Misuse) };
        if self.seed == [0; 32] {
            return Err(BalconyResult::Misuse);
        }
        let jid: Jid = jid.parse().map_err(|_| BalconyResult::BadText)?;
        let policy = match self.tls {
            0 => TlsPolicy::Required,
            1 => TlsPolicy::Direct,
            2 => TlsPolicy::None,
            _ => return Err(BalconyResult::BadText),
        };
        let mut config = ClientConfig::new(jid.to_bare(), Secret::new(password.to_owned()));
        config.stream.resource = jid.resourcepart().map(String::from);
        config.stream.tls = policy;
        config.take_requests = self.takes_requests != 0;
        if policy != TlsPolicy::None {
            let builder = TlsTrust::builder();
            let trusted = match trust {
                Some(pem) => builder.roots_pem(pem.as_bytes()),
                None => builder.native_roots(),
            };
            let built = trusted.and_then(balcony_tls::TlsTrustBuilder::build);
            let trust = built.map_err(|_| BalconyResult::BadTrust)?;
            config = config.with_tls(trust.with_alpn(policy == TlsPolicy::Direct));
        }
        Ok((config, Seed::new(self.seed)))
    }
}
