//! How a client proves who it is, and makes sure of its server: SASL, in either profile.

use alloc::borrow::Cow;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_sasl::{ClientExchange, ClientStep, Mechanism, SaslCondition, SaslError};
use balcony_stanza::{StreamCondition, StreamError, ns};
use balcony_xml::{ElementRef, escape_attr, escape_text};

use super::binding::Announced;
use super::{Client, ClientAsk, ClientEvent, no_bound_jid};
use crate::common::Common;
use crate::error::Error;
use crate::feature::sasl::{self, Profile};
use crate::security::ChannelBinding;
use crate::state::Step;

/// The part of the server's features that authentication needs.
#[derive(Default)]
pub(super) struct Offer {
    mechanisms: Vec<Mechanism>,
    /// Whether there is any -PLUS mechanism, known here or not.
    pub(super) plus: bool,
    /// The types of channel binding (XEP-0440), if the server says which it has.
    pub(super) announced: Option<Announced>,
    /// Whether Bind 2 is offered with SASL2 (XEP-0386).
    bind2: bool,
}

impl Client {
    /// Starts the best mechanism that both sides have, with channel binding before all others.
    pub(super) fn authenticate(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let required = self.config.channel_binding == ChannelBinding::Required;
        let usable = |mechanism: &Mechanism| {
            self.offer.mechanisms.contains(mechanism)
                && match mechanism {
                    // A refusal, which may be anybody's, never brings out the password itself.
                    Mechanism::Plain => common.security.is_some() && !required && !self.channel.is_refused(),
                    plus if plus.is_plus() => self.channel.is_left(),
                    _ => !required,
                }
        };
        let ours = || self.config.mechanisms.iter().copied().filter(usable);
        let Some(mechanism) = ours().find(|mechanism| mechanism.is_plus()).or_else(|| ours().next()) else {
            return Err(match required || self.channel.is_refused() {
                true => Error::ChannelBinding,
                false => Error::NoMechanism,
            });
        };
        let binding = self.channel.state(mechanism);
        let username = self.config.account.localpart().unwrap_or_default();
        let nonce = common.random.token(24);
        let mut exchange =
            ClientExchange::new(mechanism, username, self.config.password.clone(), None, binding, nonce)
                .map_err(|error| self.sasl_error(&error))?;
        if self.refusal.is_some() {
            exchange = exchange.with_other_form();
        }
        let initial = exchange.initial();
        match self.profile {
            Profile::Classic => {
                sasl::write_auth(common.framing, mechanism.name(), initial.as_deref(), out);
            }
            Profile::Extensible => self.write_authenticate(common, mechanism, initial.as_deref(), out),
        }
        self.exchange = Some(exchange);
        self.challenged = false;
        common.step(Step::Auth)
    }

    /// Begins an exchange of SASL2. If the choice of the resource is the server's, it is bound on the way.
    fn write_authenticate(
        &self,
        common: &Common,
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        out: &mut Vec<u8>,
    ) {
        common.framing.element(out, |out| {
            for part in ["<authenticate xmlns='", ns::SASL2, "' mechanism='", mechanism.name(), "'>"] {
                out.extend_from_slice(part.as_bytes());
            }
            if let Some(initial) = initial {
                out.extend_from_slice(b"<initial-response>");
                Profile::Extensible.encode(initial, out);
                out.extend_from_slice(b"</initial-response>");
            }
            if let Some(agent) = &self.config.agent {
                out.extend_from_slice(b"<user-agent id='");
                escape_attr(agent, out);
                out.extend_from_slice(b"'/>");
            }
            if self.offer.bind2 && self.config.resource.is_none() {
                out.extend_from_slice(b"<bind xmlns='urn:xmpp:bind:0'><tag>");
                escape_text(&self.config.tag, out);
                out.extend_from_slice(b"</tag></bind>");
            }
            out.extend_from_slice(b"</authenticate>");
        });
    }

    pub(super) fn challenge(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        let data = (self.profile.decode(common.reader.element()))
            .map_err(|condition| Error::Authentication(condition, None))?
            .unwrap_or_default();
        let Some(exchange) = &mut self.exchange else { return Err(unexpected()) };
        self.challenged = true;
        let step = exchange.challenge(&data);
        self.client_step(common, now, step, out)
    }

    pub(super) fn client_step(
        &mut self,
        common: &mut Common,
        now: Instant,
        step: Result<ClientStep, SaslError>,
        out: &mut Vec<u8>,
    ) -> Result<Option<ClientEvent>, Error> {
        match step {
            Ok(ClientStep::Send(data)) => {
                self.profile.write(common.framing, "response", Some(&data), out);
                Ok(None)
            }
            Ok(ClientStep::AskSalted { hash, password, salt, iterations }) => {
                let ask = ClientAsk::SaltPassword { hash, password, salt, iterations };
                Ok(Some(ClientEvent::Ask(common.ask(now), ask)))
            }
            Err(error) => {
                self.profile.write(common.framing, "abort", None, out);
                Err(self.sasl_error(&error))
            }
        }
    }

    pub(super) fn success(&mut self, common: &mut Common) -> Result<ClientEvent, Error> {
        let element = common.reader.element();
        let data = match self.profile {
            Profile::Classic => self.profile.decode(element),
            Profile::Extensible => match element.child("additional-data", ns::SASL2) {
                Some(data) => self.profile.decode(data),
                None => Ok(None),
            },
        };
        let data = data.map_err(|condition| Error::Authentication(condition, None))?;
        let Some(mut exchange) = self.exchange.take() else { return Err(unexpected()) };
        // A server that can't prove itself is not our server, whatever it says (RFC 5802 section 5).
        exchange.success(data.as_deref()).map_err(|_| Error::ServerNotAuthentic)?;
        self.authenticated = true;
        self.refusal = None;
        match self.profile {
            Profile::Classic => {
                common.step(Step::Authenticated)?;
                common.restart(true);
            }
            Profile::Extensible => {
                self.bound_inline = read_bound(element)?;
                common.step(Step::AuthenticatedInPlace)?;
                common.reader.set_limits(common.limits.after_auth);
            }
        }
        Ok(ClientEvent::Authenticated {
            account: self.config.account.clone(),
            mechanism: exchange.mechanism(),
        })
    }

    pub(super) fn failure(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let element = common.reader.element();
        let condition = element
            .children()
            .find(|child| child.name() != "text")
            .map_or(SaslCondition::NotAuthorized, |child| SaslCondition::from_name(child.name()));
        let text = element
            .child("text", self.profile.namespace())
            .map(|text| Cow::Owned(String::from(&*text.text())));
        let Some(exchange) = self.exchange.take() else { return Err(unexpected()) };
        common.step(Step::AuthFailed)?;
        // The first reason to try again: a server that announces no channel binding may not have ours, and says so at once.
        // Every later refusal is about the password.
        let at_once = !self.challenged
            && matches!(condition, SaslCondition::NotAuthorized | SaslCondition::MalformedRequest);
        if at_once && exchange.mechanism().is_plus() && self.offer.announced.is_none() {
            self.channel.refuse();
            return self.authenticate(common, out);
        }
        if at_once && self.channel.is_refused() {
            return Err(Error::ChannelBinding);
        }
        let refusal = Error::Authentication(condition, text);
        // The second one: the account may be from before SASLprep. One more guess is no more than a person's second look at
        // the keyboard; any other would only lock the account.
        let is_of_password = condition == SaslCondition::NotAuthorized
            && (self.challenged || exchange.mechanism() == Mechanism::Plain);
        if is_of_password && exchange.has_other_form() && self.refusal.is_none() {
            self.refusal = Some(refusal);
            return self.authenticate(common, out);
        }
        Err(refusal)
    }

    fn sasl_error(&self, error: &SaslError) -> Error {
        match error {
            SaslError::NotProven => Error::ServerNotAuthentic,
            SaslError::Password(error) => {
                Error::Authentication(SaslCondition::MalformedRequest, Some(Cow::Owned(error.to_string())))
            }
            SaslError::Refused(_) => Error::Authentication(SaslCondition::NotAuthorized, None),
            _ => Error::Authentication(
                SaslCondition::MalformedRequest,
                Some(Cow::Borrowed("the server's side of the exchange breaks the rules of the mechanism")),
            ),
        }
    }
}

impl Offer {
    /// What is offered for SASL2, if that is to be used, or else for the classic profile: the lists may differ.
    pub(super) fn read(features: ElementRef<'_>, sasl2: Option<ElementRef<'_>>) -> Offer {
        let list = sasl2.or_else(|| features.child("mechanisms", ns::SASL));
        let names = || {
            let children = list.into_iter().flat_map(|list| list.children());
            children.filter(|child| child.name() == "mechanism").map(|child| child.text())
        };
        let mechanisms = names().filter_map(|name| Mechanism::from_name(&name)).collect();
        let plus = names().any(|name| name.ends_with("-PLUS"));
        let announced = features.child("sasl-channel-binding", ns::SASL_CHANNEL_BINDING).map(|list| {
            let has = |kind| list.children().any(|binding| binding.attr("type") == Some(kind));
            Announced { exporter: has("tls-exporter"), end_point: has("tls-server-end-point") }
        });
        let bind2 = sasl2
            .and_then(|sasl2| sasl2.child("inline", ns::SASL2))
            .is_some_and(|inline| inline.child("bind", ns::BIND2).is_some());
        Offer { mechanisms, plus, announced, bind2 }
    }
}

/// The full JID in a success that has bound a resource as well (XEP-0386).
fn read_bound(success: ElementRef<'_>) -> Result<Option<FullJid>, Error> {
    if success.child("bound", ns::BIND2).is_none() {
        return Ok(None);
    }
    // The name of the element has changed between versions of the specification.
    ["authorization-identifier", "authorization-identity"]
        .into_iter()
        .find_map(|name| success.child(name, ns::SASL2))
        .and_then(|identity| FullJid::parse(&identity.text()).ok())
        .map(Some)
        .ok_or_else(no_bound_jid)
}

pub(super) fn unexpected() -> Error {
    StreamError::new(StreamCondition::UndefinedCondition, "a SASL element outside an exchange").into()
}
