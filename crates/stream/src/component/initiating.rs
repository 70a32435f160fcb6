//! The initiating entity: a component on its stream to a server.

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_machine::{ApiMisuse, Instant};
use balcony_stanza::{Stanza, StreamCondition, StreamError, ns};

use super::{ComponentEvent, ComponentInitiatingConfig, handshake};
use crate::addressed::{Incoming, outgoing};
use crate::common::Common;
use crate::error::Error;
use crate::header::{Header, check_namespaces};
use crate::state::{Phase, Step};

pub(super) struct Initiator {
    config: Arc<ComponentInitiatingConfig>,
    attached: bool,
}

impl Initiator {
    pub(super) fn new(config: Arc<ComponentInitiatingConfig>) -> Self {
        Initiator { config, attached: false }
    }
}

impl Initiator {
    pub(super) fn open(&mut self, common: &mut Common, out: &mut Vec<u8>) {
        if common.phase() != Phase::Header || common.header_sent {
            return;
        }
        let header = Header {
            // `to` is whom the component wants to be.
            to: Some(self.config.domain.as_str()),
            lang: &self.config.lang,
            ..Header::default()
        };
        common.open(&header, out);
    }

    pub(super) fn header(&mut self, common: &mut Common, out: &mut Vec<u8>) -> Result<(), Error> {
        let header = common.peer_header();
        check_namespaces(common)?;
        common.peer_lang = header.lang;
        common.step(Step::Headers)?;
        let Some(id) = common.reader.header().attr("id") else {
            return Err(
                StreamError::new(StreamCondition::BadFormat, "the header of the stream has no id").into()
            );
        };
        let digest = handshake(id, &self.config.secret);
        for part in ["<handshake>", &digest, "</handshake>"] {
            out.extend_from_slice(part.as_bytes());
        }
        common.step(Step::Handshake)
    }

    pub(super) fn element(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ComponentEvent>, Error> {
        match common.phase() {
            Phase::Handshake if common.reader.element().is("handshake", ns::COMPONENT) => {
                common.step(Step::Accepted)?;
                self.attached = true;
                common.heard(now);
                common.reader.set_limits(common.limits().after_auth);
                Ok(Some(ComponentEvent::Attached(self.config.domain.clone())))
            }
            Phase::Open => match Incoming::read_relayed(common)? {
                Incoming::Stanza(stanza) => Ok(Some(ComponentEvent::Stanza(stanza))),
                Incoming::Refused(reply) => {
                    common.framing.stanza(&reply, out);
                    Ok(None)
                }
                Incoming::Ignored | Incoming::Dropped { .. } => Ok(None),
            },
            // What was sent before our closing tag was read still counts.
            Phase::Closing if !self.attached => Ok(None),
            Phase::Closing => match Incoming::read_relayed(common)? {
                Incoming::Stanza(stanza) => Ok(Some(ComponentEvent::Stanza(stanza))),
                _ => Ok(None),
            },
            _ => {
                Err(StreamError::new(StreamCondition::UnsupportedStanzaType, "not expected at this point")
                    .into())
            }
        }
    }

    pub(super) fn may_send(&self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        match outgoing(stanza)?.0 == self.config.domain.as_str() {
            true => Ok(()),
            false => Err(ApiMisuse::OtherDomain),
        }
    }
}
