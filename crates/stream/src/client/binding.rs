//! What a client binds its login to: RFC 5802 section 6, and XEP-0440, by which a server says which types it has.

use alloc::vec::Vec;

use balcony_sasl::{Binding, BindingState, Mechanism};

use super::ClientStreamConfig;
use super::login::Offer;
use crate::error::Error;
use crate::feature::sasl::Profile;
use crate::security::{ChannelBinding, Security};

/// What there is to bind to on a stream.
#[derive(Default)]
pub(super) struct Channel {
    /// Whether this end binds at all. If so it never says `n`: that every server takes from everybody.
    able: bool,
    /// What is left to bind to, the best last.
    left: Vec<Binding>,
    /// Whether the server has refused a type.
    refused: bool,
    /// Both ends bind, but to nothing that both have: the server has to say itself that this is its offer (XEP-0474 section 7).
    has_to_be_told: bool,
}

impl Channel {
    /// What both ends have. An offer that no honest server makes ends the stream (XEP-0440), for somebody may have changed it.
    pub(super) fn new(
        config: &ClientStreamConfig,
        security: Option<&Security>,
        offer: &Offer,
        profile: Profile,
    ) -> Result<Channel, Error> {
        let wanted = config.channel_binding != ChannelBinding::Off
            && config.mechanisms.iter().any(|mechanism| mechanism.is_plus());
        let Some(security) = security.filter(|_| wanted) else { return Ok(Channel::default()) };
        let exporter = security.exporter.map(Binding::TlsExporter);
        let end_point = security.end_point.as_deref().map(|digest| Binding::TlsServerEndPoint(digest.into()));
        if exporter.is_none() && end_point.is_none() {
            return Ok(Channel::default());
        }
        let (exporter, end_point) = match offer.announced {
            None if offer.plus && profile == Profile::Extensible => return Err(Error::ChannelBinding),
            // Any of them may be one that the server has; nothing but trying shows which.
            None => (exporter, end_point),
            Some(_) if !offer.plus => return Err(Error::ChannelBinding),
            // Every server has to have tls-server-end-point. Its absence is as suspect as a certificate without one.
            Some(announced) => {
                (exporter.filter(|_| announced.exporter), end_point.filter(|_| announced.end_point))
            }
        };
        let left: Vec<Binding> = end_point.into_iter().chain(exporter).collect();
        if left.is_empty() {
            let is_enough = cfg!(feature = "downgrade") && config.channel_binding != ChannelBinding::Required;
            let told = Channel { has_to_be_told: true, ..Channel::default() };
            return if is_enough { Ok(told) } else { Err(Error::ChannelBinding) };
        }
        Ok(Channel { able: true, left, ..Channel::default() })
    }

    /// Whether there is something left to bind to.
    pub(super) fn is_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// What an exchange of this mechanism says.
    pub(super) fn state(&self, mechanism: Mechanism) -> BindingState {
        match self.left.last() {
            Some(best) if mechanism.is_plus() => BindingState::Use(best.clone()),
            // This is how a server finds out that somebody in between hid its -PLUS mechanisms, or refused them in its name.
            _ if self.able => BindingState::SupportedNotOffered,
            _ => BindingState::Unsupported,
        }
    }

    /// The server does not take the type that was tried.
    pub(super) fn refuse(&mut self) {
        self.left.pop();
        self.refused = true;
    }

    pub(super) fn is_refused(&self) -> bool {
        self.refused
    }

    /// Whether a login is safe only if the server says in it what it has offered.
    pub(super) fn has_to_be_told(&self) -> bool {
        self.has_to_be_told
    }
}
