//! The initiating entity: a component on its stream to a server.

use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_machine::{ApiMisuse, Instant};
use balcony_stanza::{Stanza, StreamCondition, StreamError, ns};

use super::{Initiating, handshake};
use crate::addressed::{Incoming, outgoing};
use crate::common::Common;
use crate::error::Error;
use crate::event::Event;
use crate::header::{Header, check_namespaces};
use crate::side::{Side, Silence};
use crate::state::{Phase, Step};

pub(crate) struct Initiator {
    config: Arc<Initiating>,
    attached: bool,
}

impl Initiator {
    pub(crate) fn new(config: Arc<Initiating>) -> Self {
        Initiator { config, attached: false }
    }
}

impl Side for Initiator {
    fn open(&mut self, common: &mut Common, out: &mut Vec<u8>) {
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

    fn header(
        &mut self,
        common: &mut Common,
        _now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
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
        common.step(Step::Handshake).map(|()| None)
    }

    fn element(
        &mut self,
        common: &mut Common,
        _now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Event>, Error> {
        match common.phase() {
            Phase::Handshake if common.reader.element().is("handshake", ns::COMPONENT) => {
                common.step(Step::Accepted)?;
                self.attached = true;
                common.stop_timer();
                common.reader.set_limits(common.limits.after_auth);
                Ok(Some(Event::Attached(self.config.domain.clone())))
            }
            Phase::Open => match Incoming::read(common)? {
                Incoming::Stanza(stanza) => Ok(Some(Event::Stanza(stanza))),
                Incoming::Refused(reply) => {
                    common.framing.stanza(&reply, out);
                    Ok(None)
                }
                Incoming::Ignored => Ok(None),
            },
            // What was sent before our closing tag was read still counts.
            Phase::Closing if !self.attached => Ok(None),
            Phase::Closing => match Incoming::read(common)? {
                Incoming::Stanza(stanza) => Ok(Some(Event::Stanza(stanza))),
                _ => Ok(None),
            },
            _ => {
                Err(StreamError::new(StreamCondition::UnsupportedStanzaType, "not expected at this point")
                    .into())
            }
        }
    }

    /// The server sees to it that the stream lives; nobody here has an address of the server to ask.
    fn silence(&self) -> Silence {
        Silence::Keep
    }

    fn may_send(&self, stanza: &Stanza) -> Result<(), ApiMisuse> {
        match outgoing(stanza)?.0 == self.config.domain.as_str() {
            true => Ok(()),
            false => Err(ApiMisuse("a component's stanzas come from its own domain")),
        }
    }
}
