//! The receiving entity: a server on the stream of a component.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::BareJid;
use balcony_machine::{ApiMisuse, Instant, Secret};
use balcony_stanza::{Stanza, StreamCondition, StreamError, ns};

use super::{ComponentAnswer, ComponentAsk, ComponentEvent, ComponentReceivingConfig, handshake};
use crate::addressed::{Incoming, outgoing};
use crate::common::Common;
use crate::error::Error;
use crate::header::{Header, check_namespaces};
use crate::hex::same;
use crate::side::Silence;
use crate::state::{Phase, Step};

pub(super) struct Receiver {
    config: Arc<ComponentReceivingConfig>,
    /// Whom the peer wants to be, if we know such a one; its place in the configuration.
    component: Option<usize>,
    attached: bool,
    /// The id of the stream, part of the handshake.
    id: String,
}

impl Receiver {
    pub(super) fn new(config: Arc<ComponentReceivingConfig>) -> Self {
        Receiver { config, component: None, attached: false, id: String::new() }
    }

    fn component(&self) -> Option<&(BareJid, Secret<String>)> {
        self.component.and_then(|index| self.config.components.get(index))
    }

    fn handshake(&self, common: &mut Common, now: Instant) -> Result<ComponentEvent, Error> {
        let digest = common.reader.element().text();
        let Some((component, secret)) = self.component() else {
            return Err(StreamError::from(StreamCondition::InternalServerError).into());
        };
        if !same(&handshake(&self.id, secret), digest.trim()) {
            return Err(
                StreamError::new(StreamCondition::NotAuthorized, "that is not the right handshake").into()
            );
        }
        common.step(Step::Handshake)?;
        let ask = ComponentAsk::Attach { component: component.clone() };
        Ok(ComponentEvent::Ask(common.ask(now), ask))
    }

    /// A first-level element of the open stream.
    fn stanza(&self, common: &Common, out: &mut Vec<u8>) -> Result<Option<ComponentEvent>, Error> {
        let incoming = Incoming::read(common)?;
        let domain = self.component().map(|(domain, _)| domain.as_str());
        if incoming.domains().is_some_and(|(from, _)| Some(from) != domain) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "`from` is not in the domain of the component",
            )
            .into());
        }
        match incoming {
            Incoming::Stanza(stanza) => Ok(Some(ComponentEvent::Stanza(stanza))),
            Incoming::Refused(reply) if common.phase() == Phase::Open => {
                common.framing.stanza(&reply, out);
                Ok(None)
            }
            _ => Ok(None),
        }
    }
}

impl Receiver {
    pub(super) fn force_header(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        self.id = common.random.token(26);
        let header = Header {
            from: Some(self.component().map_or(&self.config.domain, |(domain, _)| domain).as_str()),
            id: Some(&self.id),
            lang: "en",
            ..Header::default()
        };
        common.open(&header, out);
    }

    pub(super) fn header(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let header = common.peer_header();
        if let Some(Ok(to)) = &header.to {
            let mut components = self.config.components.iter();
            self.component = components.position(|(domain, _)| domain.as_str() == to.as_str());
        }
        self.force_header(common, out);
        check_namespaces(common)?;
        if self.component.is_none() {
            return Err(StreamError::new(
                StreamCondition::HostUnknown,
                "no component of that name may attach here",
            )
            .into());
        }
        common.peer_lang = header.lang;
        common.step(Step::Headers)
    }

    pub(super) fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ComponentEvent>, Error> {
        match common.phase() {
            Phase::Negotiate if common.reader.element().is("handshake", ns::COMPONENT) => {
                self.handshake(common, now).map(Some)
            }
            Phase::Open => self.stanza(common, out),
            // What was sent before our closing tag was read still counts, if the component was attached by then.
            Phase::Closing if self.attached => self.stanza(common, out),
            Phase::Closing => Ok(None),
            _ => Err(StreamError::new(StreamCondition::NotAuthorized, "shake hands first").into()),
        }
    }

    pub(super) fn answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: &ComponentAnswer,
        out: &mut Vec<u8>,
    ) -> Result<ComponentEvent, Error> {
        let component = self.component().map(|(domain, _)| domain.clone());
        let (ComponentAnswer::Attached(attached), Some(component)) = (answer, component) else {
            return Err(StreamError::from(StreamCondition::InternalServerError).into());
        };
        if !*attached {
            return Err(
                StreamError::new(StreamCondition::Conflict, "this component is attached already").into()
            );
        }
        out.extend_from_slice(b"<handshake/>");
        common.step(Step::Accepted)?;
        self.attached = true;
        common.reader.set_limits(common.limits().after_auth);
        common.heard(now);
        Ok(ComponentEvent::Attached(component))
    }

    pub(super) fn silence(&self) -> Silence {
        match self.component() {
            Some((component, _)) => Silence::PingFrom(self.config.domain.clone(), component.clone()),
            None => Silence::Keep,
        }
    }

    pub(super) fn may_send(&self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        outgoing(stanza).map(|_| ())
    }
}
