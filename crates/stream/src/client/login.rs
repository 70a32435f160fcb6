//! How a client proves who it is, and makes sure of its server: SASL, in either profile.

use alloc::borrow::Cow;
use alloc::string::ToString as _;
use alloc::vec::Vec;

use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_sasl::{ClientExchange, ClientStep, Mechanism, SaslCondition, SaslError};
use balcony_stanza::{StreamCondition, StreamError};
use balcony_xep::csi::ClientState;
use balcony_xml::ElementRef;

use super::managed::{Asked, Resumption};
use super::{Client, ClientAsk, ClientEvent, no_bound_jid};
use crate::common::Common;
use crate::error::Error;
use crate::feature::bind2;
#[cfg(feature = "downgrade")]
use crate::feature::channel_binding;
use crate::feature::channel_binding::Announced;
use crate::feature::sasl::{self, Profile};
use crate::feature::sasl2::{self, Authenticate, InlineOffer, UserAgent};
use crate::security::ChannelBinding;
use crate::state::{Phase, Step};

/// The part of the server's features that authentication needs.
#[derive(Default)]
pub(super) struct Offer {
    pub(super) mechanisms: Vec<Mechanism>,
    /// Whether there is any -PLUS mechanism, known here or not.
    pub(super) plus: bool,
    /// The types of channel binding (XEP-0440), if the server says which it has.
    pub(super) announced: Option<Announced>,
    /// What can go along with SASL2.
    pub(super) inline: InlineOffer,
    /// The keys that it may lack (XEP-0480).
    #[cfg(feature = "upgrade")]
    pub(super) upgrades: Vec<balcony_sasl::Hash>,
    /// All of it, to be compared with what the server says of it (XEP-0474).
    #[cfg(feature = "downgrade")]
    offered: Option<balcony_sasl::Offered>,
}

impl Client {
    /// Starts the best mechanism that both sides have, with channel binding before all others.
    pub(super) fn authenticate(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        #[cfg(feature = "fast")]
        if self.profile == Profile::Extensible
            && let Some((mechanism, initial)) = self.begin_with_token(common)
        {
            self.write_authenticate(common, mechanism, Some(&initial), &[], out);
            self.challenged = false;
            return common.step(Step::Auth);
        }
        let required = self.config.channel_binding == ChannelBinding::Required;
        let usable = |mechanism: &Mechanism| {
            self.offer.mechanisms.contains(mechanism)
                && match mechanism {
                    // A refusal, which may be anybody's, never brings out the password itself.
                    Mechanism::Plain => {
                        common.is_secured
                            && !(required || self.channel.is_refused() || self.channel.has_to_be_told())
                    }
                    plus if plus.is_plus() => self.channel.is_left(),
                    _ => !required,
                }
        };
        let ours = || self.config.mechanisms.iter().copied().filter(usable);
        let Some(mechanism) = ours().find(|mechanism| mechanism.is_plus()).or_else(|| ours().next()) else {
            return Err(match required || self.channel.is_refused() || self.channel.has_to_be_told() {
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
        #[cfg(feature = "downgrade")]
        if let Some(offered) = &self.offer.offered {
            let version = common.security.as_deref().and_then(|security| security.version);
            let offered = offered.clone().with_tls_version(version);
            exchange = match self.channel.has_to_be_told() {
                true => exchange.with_offer_that_has_to_be_told(offered),
                false => exchange.with_offer(offered),
            };
        }
        if self.refusal.is_some() {
            exchange = exchange.with_other_form();
        }
        let initial = exchange.initial();
        #[cfg(feature = "upgrade")]
        let upgrades = self.ask_to_upgrade(mechanism);
        #[cfg(not(feature = "upgrade"))]
        let upgrades = Vec::new();
        match self.profile {
            Profile::Classic => {
                sasl::write_auth(common.framing, mechanism.name(), initial.as_deref(), out);
            }
            Profile::Extensible => {
                self.write_authenticate(common, mechanism, initial.as_deref(), &upgrades, out);
            }
        }
        self.exchange = Some(exchange);
        self.challenged = false;
        common.step(Step::Auth)
    }

    /// Begins a login by SASL2, with all that can go along with it.
    pub(super) fn write_authenticate(
        &mut self,
        common: &Common,
        mechanism: Mechanism,
        initial: Option<&[u8]>,
        upgrades: &[balcony_sasl::Hash],
        out: &mut Vec<u8>,
    ) {
        #[cfg(feature = "fast")]
        let extra = self.write_fast(common);
        #[cfg(not(feature = "fast"))]
        let extra = Vec::new();
        // If the choice of the resource is the server's, it is bound on the way.
        let inline = self.offer.inline.bind && self.config.resource.is_none();
        let enable = self.config.management.request().filter(|_| inline && self.offer.inline.enable);
        let earlier = self.managed.earlier.as_ref().filter(|_| self.offer.inline.resume);
        let resume = earlier.map(Resumption::request);
        let inactive = self.activity.is_inactive && inline && self.offer.inline.client_state;
        self.managed.asked_inline = Asked { resume: resume.is_some(), enable: enable.is_some(), inactive };
        let authenticate = Authenticate {
            upgrades,
            mechanism,
            initial,
            agent: self.config.agent.as_deref().map(|id| UserAgent {
                id,
                software: self.config.software.as_deref(),
                device: self.config.device.as_deref(),
            }),
            extra: &extra,
            resume: resume.as_ref(),
            bind: inline.then_some(&*self.config.tag),
            enable,
            state: inactive.then_some(ClientState::Inactive),
        };
        authenticate.write(common.framing, out);
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
            Profile::Extensible => sasl2::additional_data(element),
        };
        let data = data.map_err(|condition| Error::Authentication(condition, None))?;
        #[cfg(feature = "fast")]
        let by_token = self.end_with_token(data.as_deref());
        #[cfg(not(feature = "fast"))]
        let by_token: Option<Result<Mechanism, Error>> = None;
        let mechanism = match by_token {
            Some(mechanism) => mechanism?,
            None => {
                let Some(mut exchange) = self.exchange.take() else { return Err(unexpected()) };
                // A server that can't prove itself is not our server, whatever it says (RFC 5802 section 5). It has had to before tasks.
                if common.phase() != Phase::Tasks {
                    exchange.success(data.as_deref()).map_err(|_| Error::ServerNotAuthentic)?;
                }
                exchange.mechanism()
            }
        };
        self.authenticated = true;
        self.refusal = None;
        match self.profile {
            Profile::Classic => {
                common.step(Step::Authenticated)?;
                common.restart(true);
            }
            Profile::Extensible => {
                self.bound_inline = read_bound(element)?;
                self.read_inline(element, bind2::bound(element));
                #[cfg(feature = "fast")]
                self.read_token(element);
                common.step(Step::AuthenticatedInPlace)?;
                common.reader.set_limits(common.limits().after_auth);
            }
        }
        Ok(ClientEvent::Authenticated { account: self.config.account.clone(), mechanism })
    }

    pub(super) fn failure(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let (condition, text) = self.profile.read_failure(common.reader.element());
        #[cfg(feature = "fast")]
        if self.is_by_token() {
            let is_mismatch = crate::feature::iap::is_mismatch(common.reader.element());
            self.token_refused(condition, is_mismatch);
            common.step(Step::AuthFailed)?;
            if self.config.password.expose().is_empty() && !is_mismatch {
                return Err(Error::Authentication(condition, text));
            }
            return self.authenticate(common, out);
        }
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

    pub(super) fn sasl_error(&self, error: &SaslError) -> Error {
        match error {
            SaslError::NotProven => Error::ServerNotAuthentic,
            SaslError::Downgraded => Error::Downgraded,
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
    pub(super) fn read(features: ElementRef<'_>, extensible: Option<ElementRef<'_>>) -> Offer {
        let list = extensible.or_else(|| sasl::offer(features));
        let names = || list.into_iter().flat_map(sasl::mechanisms);
        Offer {
            mechanisms: names().filter_map(|name| Mechanism::from_name(&name)).collect(),
            plus: names().any(|name| name.ends_with("-PLUS")),
            announced: Announced::read(features),
            inline: extensible.map(InlineOffer::read).unwrap_or_default(),
            #[cfg(feature = "upgrade")]
            upgrades: extensible.map(crate::feature::upgrade::tasks).unwrap_or_default(),
            #[cfg(feature = "downgrade")]
            offered: Some(balcony_sasl::Offered::new(names(), channel_binding::names(features))),
        }
    }
}

/// The full JID in a success that has bound a resource as well (XEP-0386).
fn read_bound(success: ElementRef<'_>) -> Result<Option<FullJid>, Error> {
    if bind2::bound(success).is_none() {
        return Ok(None);
    }
    sasl2::full_jid(success).map(Some).ok_or_else(no_bound_jid)
}

pub(super) fn unexpected() -> Error {
    StreamError::new(StreamCondition::UndefinedCondition, "a SASL element outside an exchange").into()
}
