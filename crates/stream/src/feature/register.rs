//! In-band registration before authentication (XEP-0077 section 3.1).

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_machine::Secret;
use balcony_stanza::{
    ErrorCondition, IqType, Kind, Payload, Stanza, StanzaError, StreamCondition, StreamError,
};
use balcony_xep::register::{Field, Fields, Form, Request};
use balcony_xml::{Element, ElementRef};

use crate::error::Error;
use crate::framing::Framing;
use crate::server::ServerAsk;

/// The registrations that a stream carries out, one after the other. How many there may be is for the owner to say, who knows where
/// the stream comes from.
#[derive(Default)]
pub(crate) struct Registration {
    /// The request that waits for its answer.
    pending: Option<Pending>,
    /// Tries that the owner has refused for what they are.
    failures: u8,
}

struct Pending {
    id: Option<Arc<str>>,
    /// The domain, if the request has named it.
    to: Option<Jid>,
}

pub(crate) enum Outcome {
    Answered,
    Ask(ServerAsk),
}

impl Registration {
    /// None has been asked for.
    pub(crate) const NONE: Registration = Registration { pending: None, failures: 0 };

    pub(crate) fn is_pending(&self) -> bool {
        self.pending.is_some()
    }

    pub(crate) fn request(
        &mut self,
        framing: Framing,
        stanza: &Stanza,
        query: ElementRef<'_>,
        domain: &BareJid,
        out: &mut Vec<u8>,
    ) -> Outcome {
        let result = match stanza.head.kind {
            Kind::Iq(IqType::Get) => {
                if let Some(reply) = stanza.result() {
                    framing.stanza(&reply.with_payload(Payload::from(form())), out);
                }
                return Outcome::Answered;
            }
            Kind::Iq(IqType::Set) => read(query, domain),
            _ => return Outcome::Answered,
        };
        match result {
            Ok(ask) => {
                self.pending = Some(Pending { id: stanza.head.id.clone(), to: stanza.head.to.clone() });
                Outcome::Ask(ask)
            }
            Err(error) => {
                if let Some(reply) = stanza.error(&error) {
                    framing.stanza(&reply, out);
                }
                Outcome::Answered
            }
        }
    }

    /// Answers the request. The last of `most` tries that fail ends the stream, as failed logins do; that there is no room for more
    /// accounts just now, or that they can't be stored, is not their fault.
    pub(crate) fn finish(
        &mut self,
        framing: Framing,
        result: Result<(), StanzaError>,
        most: u8,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Some(pending) = self.pending.take() else { return Ok(()) };
        let mut request = Stanza::iq(IqType::Set);
        (request.head.id, request.head.to) = (pending.id, pending.to);
        let is_ours = |error: &StanzaError| {
            matches!(
                error.condition,
                ErrorCondition::ResourceConstraint | ErrorCondition::InternalServerError
            )
        };
        let has_failed = result.as_ref().is_err_and(|error| !is_ours(error));
        let reply = match result {
            Ok(()) => request.result(),
            Err(error) => request.error(&error),
        };
        if let Some(reply) = reply {
            framing.stanza(&reply, out);
        }
        self.failures = self.failures.saturating_add(has_failed.into());
        if has_failed && self.failures >= most {
            let says = "too many failed registrations";
            return Err(StreamError::new(StreamCondition::PolicyViolation, says).into());
        }
        Ok(())
    }
}

fn read(query: ElementRef<'_>, domain: &BareJid) -> Result<ServerAsk, StanzaError> {
    let fields = match Request::read(query)? {
        Request::Register(fields) => fields,
        // Section 3.2: only who has an account can end it.
        Request::Remove => {
            return Err(StanzaError::new(ErrorCondition::UnexpectedRequest, "log in to end an account"));
        }
    };
    let field = |field| fields.get(field).filter(|text| !text.is_empty());
    let (Some(username), Some(password)) = (field(Field::Username), field(Field::Password)) else {
        return Err(StanzaError::new(ErrorCondition::NotAcceptable, "a user name and a password are needed"));
    };
    let account = BareJid::from_parts(Some(username), domain.domainpart()).map_err(|_| {
        StanzaError::new(ErrorCondition::JidMalformed, "this user name has characters that are not allowed")
    })?;
    Ok(ServerAsk::Register { account, password: Secret::new(String::from(password)) })
}

fn form() -> Element {
    let form = Form {
        instructions: Some("Choose a user name and a password for this server.".into()),
        fields: Fields::new().with(Field::Username, "").with(Field::Password, ""),
        ..Form::default()
    };
    form.to_element()
}
