//! Logins by a token, at the client (XEP-0484).

use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_sasl::{Binding, Mechanism, SaslCondition, TokenLogin, may_use_token};
use balcony_xml::ElementRef;

use super::token::Known;
use super::{Client, ClientEvent, Token};
use crate::common::Common;
use crate::error::Error;
use crate::feature::sasl::Profile;
use crate::feature::{fast, iap};
use crate::security::ChannelBinding;

/// What a client has of tokens on a stream.
#[derive(Default)]
pub(super) struct Fast {
    /// The mechanisms that the server takes tokens by.
    offered: Vec<Mechanism>,
    /// The login by a token that is going on.
    login: Option<TokenLogin>,
    /// Whether the token has been tried.
    is_spent: bool,
    /// The mechanism by which the login that has succeeded used the token.
    used: Option<Mechanism>,
    /// The mechanism that a token was asked for.
    wanted: Option<Mechanism>,
    /// The version of what the server offers (XEP-0509).
    known: Option<Known>,
    /// Whether the login has begun with the stream, and the server's offer has not come yet.
    is_ahead: bool,
    /// Whether the login that is going on has begun so.
    is_guess: bool,
    /// Whether the offer shows that a token could be had that is bound better, too late for this login to ask for it.
    comes_late: bool,
    /// What is to be told.
    told: Option<ClientEvent>,
}

impl Client {
    /// What the server offers along with SASL2, and the version of all that it offers.
    pub(super) fn read_fast(&mut self, features: ElementRef<'_>, inline: Option<ElementRef<'_>>) {
        self.fast.offered = inline.map(fast::offered).unwrap_or_default();
        let version = iap::value(features);
        self.fast.known =
            version.and_then(|value| Known::new(iap::scheme(features), value, self.offer.inline));
    }

    /// Begins the login with the stream, by a token, if the server has offered that when the client was there last (XEP-0509). If it
    /// offers something else now, it says so.
    pub(super) fn begin_ahead(&mut self, common: &Common, out: &mut Vec<u8>) {
        let token = self.config.token.as_ref().filter(|_| self.config.sasl2 && !self.authenticated);
        let Some((known, mechanism)) = token.and_then(|token| Some((token.known.clone()?, token.mechanism)))
        else {
            return;
        };
        self.fast.offered = Vec::from([mechanism]);
        let Some((mechanism, initial)) = self.begin_with_token(common) else { return };
        self.offer.inline = known.inline;
        self.fast.known = Some(known);
        (self.fast.is_ahead, self.fast.is_guess) = (true, true);
        self.profile = Profile::Extensible;
        self.write_authenticate(common, mechanism, Some(&initial), &[], out);
    }

    /// Whether the login has begun before this offer came.
    pub(super) fn was_ahead(&mut self, common: &Common) -> bool {
        let was_ahead = core::mem::take(&mut self.fast.is_ahead);
        let is_possible = self.fast.known.is_some() && self.token_mechanism_is_offered();
        self.fast.comes_late = was_ahead && self.better(common).is_some();
        if was_ahead && !is_possible {
            // The server knows nothing of it any more, and will say so in some way. The next login does not begin like that.
            self.fast.told = Some(ClientEvent::TokenRefused(SaslCondition::InvalidMechanism));
        }
        was_ahead
    }

    fn token_mechanism_is_offered(&self) -> bool {
        self.config.token.as_ref().is_some_and(|token| self.fast.offered.contains(&token.mechanism))
    }

    /// The token to log in by, if there is one that may do, and the server knows its mechanism.
    fn token(&self, common: &Common) -> Option<&Token> {
        let token = self.config.token.as_ref().filter(|_| !self.fast.is_spent)?;
        let is_ours =
            token.account == self.config.account && self.config.agent.as_ref() == Some(&token.agent);
        let is_usable = self.fast.offered.contains(&token.mechanism) && self.may_use(token.mechanism, common);
        (is_ours && is_usable).then_some(token)
    }

    /// Whether a mechanism for tokens is one for this stream, and for what its owner wants of channel binding.
    fn may_use(&self, mechanism: Mechanism, common: &Common) -> bool {
        let wish = self.config.channel_binding;
        let fits_wish = match mechanism {
            // Nothing that a token says shows what the server has offered.
            Mechanism::HtSha256None => wish != ChannelBinding::Required && !self.channel.has_to_be_told(),
            _ => wish != ChannelBinding::Off,
        };
        fits_wish && common.is_secured && may_use_token(mechanism, &bindings(common))
    }

    /// Begins a login by a token, if there is one. The mechanism, and what comes with it.
    pub(super) fn begin_with_token(&mut self, common: &Common) -> Option<(Mechanism, Vec<u8>)> {
        let token = self.token(common)?;
        let username = self.config.account.localpart().unwrap_or_default();
        let (login, initial) =
            TokenLogin::begin(token.mechanism, username, token.token.expose(), &bindings(common))?;
        self.fast.is_spent = true;
        let mechanism = login.mechanism();
        self.fast.login = Some(login);
        Some((mechanism, initial))
    }

    /// The mechanism to ask for a token for: the best of those that can be used here, if it is better than that of the token by which
    /// this login is made. A token that is bound to no channel does not stay so where another can be.
    fn better(&self, common: &Common) -> Option<Mechanism> {
        let is_wanted = self.config.request_token && self.config.agent.is_some() && !self.config.end_token;
        let best = self.fast.offered.iter().copied().filter(|one| self.may_use(*one, common)).min();
        let used = self.fast.login.as_ref().map(TokenLogin::mechanism);
        best.filter(|best| is_wanted && used.is_none_or(|used| *best < used))
    }

    /// What goes along with a login: that it is one by a token, or that a token is wanted for the next one.
    pub(super) fn write_fast(&mut self, common: &Common) -> Vec<u8> {
        let is_used = self.fast.login.is_some();
        self.fast.wanted = self.better(common);
        let mut out = Vec::new();
        fast::write_request(is_used, self.config.end_token, self.fast.wanted, &mut out);
        if let Some(known) = self.fast.known.as_ref().filter(|_| self.fast.is_ahead) {
            iap::write_version(known.scheme.as_deref(), &known.value, &mut out);
        }
        out
    }

    /// Whether a login by a token is going on.
    pub(super) fn is_by_token(&self) -> bool {
        self.fast.login.is_some()
    }

    /// The login by a token has succeeded, if the server proves that it knows it.
    pub(super) fn end_with_token(&mut self, data: Option<&[u8]>) -> Option<Result<Mechanism, Error>> {
        let login = self.fast.login.take()?;
        let mechanism = login.mechanism();
        self.fast.used = Some(mechanism);
        Some(if login.is_proven(data) { Ok(mechanism) } else { Err(Error::ServerNotAuthentic) })
    }

    /// The token that a success has brought, if one was asked for or takes the place of another.
    pub(super) fn read_token(&mut self, success: ElementRef<'_>) {
        let used = self.fast.used;
        let (Some(mechanism), Some(agent)) = (self.fast.wanted.or(used), &self.config.agent) else { return };
        // The next login awaits the offer if it can ask for a token that is bound better.
        let known = self.fast.known.clone().filter(|_| !self.fast.comes_late);
        if let Some((token, expires)) = fast::token(success) {
            let (account, agent) = (self.config.account.clone(), agent.clone());
            let is_text = !agent.contains('\n') && !token.expose().contains('\n');
            let token = Token { account, agent, mechanism, token, expires, known };
            self.fast.told = is_text.then(|| ClientEvent::Token(Box::new(token)));
        } else if let Some(token) = self.config.token.as_ref().filter(|token| {
            // The same one, and the server offers something else than before.
            Some(token.mechanism) == used && !self.config.end_token && token.known != known
        }) {
            self.fast.told = Some(ClientEvent::Token(Box::new(Token { known, ..token.clone() })));
        }
    }

    /// The token was refused. Only trouble of the server's says nothing of the token itself.
    pub(super) fn token_refused(&mut self, condition: SaslCondition, is_mismatch: bool) {
        self.fast.login = None;
        let was_guess = core::mem::take(&mut self.fast.is_guess);
        if is_mismatch && was_guess {
            // It has not been looked at.
            (self.fast.is_spent, self.fast.comes_late) = (false, false);
            return;
        }
        if condition != SaslCondition::TemporaryAuthFailure {
            self.fast.told = Some(ClientEvent::TokenRefused(condition));
        }
    }

    /// What is to be told of tokens.
    pub(super) fn tell_token(&mut self) -> Option<ClientEvent> {
        self.fast.told.take()
    }
}

/// What TLS has to bind to.
fn bindings(common: &Common) -> Vec<Binding> {
    let security = common.security.as_deref();
    let exporter = security.and_then(|security| security.exporter).map(Binding::TlsExporter);
    let end_point = security.and_then(|security| security.end_point.as_deref());
    exporter.into_iter().chain(end_point.map(|digest| Binding::TlsServerEndPoint(digest.into()))).collect()
}
