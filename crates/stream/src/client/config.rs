//! How a client behaves on its stream.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{Limits, Secret};
use balcony_sasl::Mechanism;

use super::Management;
use crate::framing::Framing;
use crate::security::{ChannelBinding, TlsPolicy};

/// How a client behaves on its stream.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientStreamConfig {
    /// The account to log in to.
    pub account: BareJid,
    /// Its password.
    pub password: Secret<String>,
    /// The resource to ask for; `None` lets the server choose.
    pub resource: Option<String>,
    /// What TLS does.
    pub tls: TlsPolicy,
    /// How the stream lies on its transport.
    pub framing: Framing,
    /// The mechanisms we may use, most wanted first; those with channel binding come before all others, and without them the
    /// client can't bind. PLAIN is used under TLS only, whatever stands here, but a server that offers nothing else is sent
    /// the password, and so is whoever has a certificate for it. Take PLAIN out where SCRAM is known to work, as after an
    /// [`Authenticated`](super::ClientEvent::Authenticated) that says so.
    pub mechanisms: Vec<Mechanism>,
    /// Whether SASL2 is used where it is offered (XEP-0388), which saves round trips. Otherwise the profile of RFC 6120 is.
    pub sasl2: bool,
    /// What the resource begins with if the server makes it up (XEP-0386); others can see it.
    pub tag: String,
    /// What this installation of the client calls itself with SASL2: a UUID of version 4 that it keeps (XEP-0388). The server may
    /// then give it the same resource each time, in place of an old session of its own. Others are not shown it.
    pub agent: Option<String>,
    /// The program, with its version, and the device that it runs on, as the account's owner would know them again in a list of
    /// clients (XEP-0388). The server is told of them together with an [`agent`](Self::agent); others are not.
    pub software: Option<String>,
    /// See [`software`](Self::software).
    pub device: Option<String>,
    /// Whether a server that lacks keys of this account for a stronger hash is given them (XEP-0480), which takes the password hashed in
    /// another way once.
    #[cfg(feature = "upgrade")]
    pub upgrade: bool,
    /// A token that the server gave at an earlier login, to log in by instead of the password (XEP-0484). If it is refused, the
    /// password is used, unless that is empty.
    #[cfg(feature = "fast")]
    pub token: Option<super::Token>,
    /// Whether a server that gives tokens is asked for one, which comes as [`ClientEvent::Token`](super::ClientEvent::Token): for clients
    /// that come back, since servers keep few for an account. It needs an [`agent`](Self::agent).
    #[cfg(feature = "fast")]
    pub request_token: bool,
    /// Whether this is the last login by the [`token`](Self::token): the server is told that it ends, with all that this installation was
    /// given (XEP-0484 section 3.6), and is not asked for another one.
    #[cfg(feature = "fast")]
    pub end_token: bool,
    /// What is done with stream management, where it is offered (XEP-0198). Unless that is [`Management::Off`] the owner says
    /// [`handled`](crate::Stream::handled) of each stanza: the server keeps what it hears nothing of, and sends no more when that is too much.
    pub management: Management,
    /// Whether somebody uses the client as it begins; see [`set_active`](crate::Stream::set_active) (XEP-0352).
    pub active: bool,
    /// How much channel binding matters.
    pub channel_binding: ChannelBinding,
    /// Whether the stream only looks: it gets as far as the features under what [`tls`](Self::tls) demands, keeps them for
    /// [`Stream::offered`](crate::Stream::offered), and does nothing more until it is closed, but for
    /// [requests](crate::Stream::request_before_login) of its owner.
    #[cfg(feature = "look")]
    pub look: bool,
    /// The language of the texts that this client sends (RFC 5646).
    pub lang: Arc<str>,
    /// The bounds.
    pub limits: Limits,
}

impl ClientStreamConfig {
    /// A client of this account with the defaults that suit an open network.
    #[must_use]
    pub fn new(account: BareJid, password: Secret<String>) -> Self {
        ClientStreamConfig {
            account,
            password,
            resource: None,
            tls: TlsPolicy::Required,
            framing: Framing::default(),
            mechanisms: Mechanism::all().to_vec(),
            sasl2: true,
            tag: String::from("balcony"),
            agent: None,
            software: None,
            device: None,
            #[cfg(feature = "upgrade")]
            upgrade: true,
            #[cfg(feature = "fast")]
            token: None,
            #[cfg(feature = "fast")]
            request_token: false,
            #[cfg(feature = "fast")]
            end_token: false,
            management: Management::Resume { max: None },
            active: true,
            channel_binding: ChannelBinding::default(),
            #[cfg(feature = "look")]
            look: false,
            lang: Arc::from("en"),
            limits: Limits::initiating(),
        }
    }
}
