//! The authenticated client: it binds a resource (RFC 6120 section 7), and then its stanzas come.

use alloc::boxed::Box;
use alloc::vec::Vec;

use balcony_jid::FullJid;
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, IqType, Kind, Stanza, StanzaError, StreamCondition, StreamError};

use super::{Server, ServerAsk, ServerEvent, reply_error};
use crate::common::Common;
use crate::error::Error;
use crate::feature::bind;
use crate::feature::sasl::Profile;
use crate::state::Step;

impl Server {
    /// Before a resource is bound the only thing to do is to bind one (section 7.1).
    pub(super) fn bind(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let stanza = match Stanza::from_reader(&common.reader) {
            Some(Ok(stanza)) if matches!(stanza.head.kind, Kind::Iq(IqType::Set | IqType::Get)) => stanza,
            Some(Err(invalid)) => {
                if let Some(reply) = invalid.reply {
                    common.framing.stanza(&reply, out);
                }
                return Ok(None);
            }
            None if Profile::of(common.reader.element()).is_some() => return Err(self.refuse_second_login()),
            _ => return Err(StreamError::new(StreamCondition::NotAuthorized, "bind a resource first").into()),
        };
        let request = bind::Request::read(&stanza, common.reader.element());
        let (Some(request), Some(account)) = (request, &self.account) else {
            reply_error(
                common,
                &stanza,
                &StanzaError::new(ErrorCondition::NotAllowed, "bind a resource first"),
                out,
            );
            return Ok(None);
        };
        self.login.bind_id = stanza.head.id.clone();
        common.step(Step::Bind)?;
        Ok(Some(ServerEvent::Ask(
            common.ask(now),
            Box::new(ServerAsk::Bind {
                account: account.clone(),
                resource: request.resource,
                installation: None,
                inline: None,
                enable: None,
            }),
        )))
    }

    pub(super) fn bound(
        &mut self,
        common: &mut Common,
        now: Instant,
        result: Result<FullJid, StanzaError>,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let id = self.login.bind_id.take();
        match result {
            Ok(jid) => {
                if let Some(id) = &id {
                    bind::write_result(common.framing, id, &jid, out);
                }
                common.step(Step::Bound)?;
                common.heard(now);
                self.is_bound(common, jid.clone());
                Ok(Some(ServerEvent::Bound(jid)))
            }
            Err(error) => {
                let mut request = Stanza::iq(IqType::Set);
                request.head.id = id;
                reply_error(common, &request, &error, out);
                common.step(Step::BindRefused)?;
                // The log hears of the last one as well, before the stream ends.
                self.count_refused_bind();
                Ok(self.account.clone().map(|account| ServerEvent::BindRefused { account, error }))
            }
        }
    }

    /// One more request for a resource or a session that is not granted.
    pub(super) fn refused_bind(&mut self, common: &Common) -> Result<(), Error> {
        self.count_refused_bind();
        self.check_refused_binds(common)
    }

    pub(super) const fn count_refused_bind(&mut self) {
        self.bind_refusals = self.bind_refusals.saturating_add(1);
    }

    /// Whether there may be another such request: too many of them end the stream (RFC 6120 section 7.7.2.3).
    pub(super) fn check_refused_binds(&self, common: &Common) -> Result<(), Error> {
        if self.bind_refusals >= common.limits().bind_attempts {
            return Err(StreamError::new(
                StreamCondition::PolicyViolation,
                "too many refused attempts to bind",
            )
            .into());
        }
        Ok(())
    }

    /// A first-level element of the open stream.
    pub(super) fn stanza(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        match Stanza::from_reader(&common.reader) {
            Some(Err(invalid)) => {
                common.took();
                if let Some(reply) = invalid.reply {
                    common.write_stanza(&reply, out);
                }
                Ok(None)
            }
            // One stream, one resource.
            Some(Ok(stanza)) if bind::Request::read(&stanza, common.reader.element()).is_some() => {
                common.took();
                reply_error(
                    common,
                    &stanza,
                    &StanzaError::new(
                        ErrorCondition::NotAllowed,
                        "a resource is already bound to this stream",
                    ),
                    out,
                );
                self.refused_bind(common).map(|()| None)
            }
            Some(Ok(stanza)) => self.stamp(common, stanza),
            None if self.is_managing(common) => self.manage(common, now, out),
            None => self.own_element(common).map(ServerEvent::Element).map(Some).ok_or_else(unsupported),
        }
    }

    /// A first-level element after our closing tag: what it says still counts, and nothing is answered any more (section 4.4).
    pub(super) fn late(
        &mut self,
        common: &mut Common,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        match Stanza::from_reader(&common.reader) {
            Some(Ok(stanza)) => self.stamp(common, stanza),
            Some(Err(_)) => {
                common.took();
                Ok(None)
            }
            None if self.is_managing(common) => self.manage(common, now, out),
            // Whatever it is to change, nothing more comes after it.
            None => self.own_element(common).map(|_| None).ok_or_else(unsupported),
        }
    }

    /// Makes an event of a stanza, its `from` stamped with what was authenticated (section 8.1.2.1).
    fn stamp(&self, common: &mut Common, mut stanza: Stanza) -> Result<Option<ServerEvent>, Error> {
        let (Some(bare), Some(full)) = (&self.account, &self.jid) else { return Ok(None) };
        let own = [full.as_str(), bare.as_str()];
        if stanza.head.from.as_ref().is_some_and(|from| !own.contains(&from.as_str())) {
            return Err(StreamError::new(
                StreamCondition::InvalidFrom,
                "`from` is not the JID of this stream",
            )
            .into());
        }
        // Subscriptions belong to the account, all else to the resource.
        let subscription = matches!(stanza.head.kind, Kind::Presence(presence) if presence.is_subscription());
        stanza.head.from = Some(if subscription { bare.to_jid() } else { full.to_jid() });
        if stanza.head.lang.is_none() {
            stanza.head.lang = common.peer_lang.clone();
        }
        common.brought();
        Ok(Some(ServerEvent::Stanza(stanza.into())))
    }
}

fn unsupported() -> Error {
    StreamError::new(
        StreamCondition::UnsupportedStanzaType,
        "only message, presence and iq are understood here",
    )
    .into()
}
