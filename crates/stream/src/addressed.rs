//! Stanzas on streams where each of them has both addresses: between servers, and of components (RFC 6120 sections
//! 8.1.1.2 and 8.1.2.2, XEP-0114).

use alloc::boxed::Box;

use balcony_jid::{BareJid, Jid};
use balcony_machine::ApiMisuse;
use balcony_stanza::{ErrorCondition, Stanza, StreamCondition, StreamError};

use crate::common::Common;

/// A first-level element of an open stream.
pub(crate) enum Incoming {
    /// A stanza with both addresses.
    Stanza(Box<Stanza>),
    /// It breaks the rules of stanzas; its sender is to be told this. The addresses are those of the stanza, swapped.
    Refused(Box<Stanza>),
    /// The same of one that must not be answered.
    Ignored,
}

impl Incoming {
    pub(crate) fn read(common: &Common) -> Result<Incoming, StreamError> {
        let improper = || {
            StreamError::new(
                StreamCondition::ImproperAddressing,
                "a stanza here needs a valid `to` and `from`",
            )
        };
        let (mut stanza, refused) = match Stanza::from_reader(&common.reader) {
            None => {
                return Err(StreamError::new(
                    StreamCondition::UnsupportedStanzaType,
                    "only message, presence and iq are understood here",
                ));
            }
            Some(Ok(stanza)) => (stanza, false),
            Some(Err(invalid)) if invalid.error.condition == ErrorCondition::JidMalformed => {
                return Err(improper());
            }
            Some(Err(invalid)) => match invalid.reply {
                Some(reply) => (reply, true),
                None => return Ok(Incoming::Ignored),
            },
        };
        if stanza.head.from.is_none() || stanza.head.to.is_none() {
            return Err(improper());
        }
        if refused {
            return Ok(Incoming::Refused(stanza.into()));
        }
        if stanza.head.lang.is_none() {
            stanza.head.lang = common.peer_lang.clone();
        }
        Ok(Incoming::Stanza(stanza.into()))
    }

    /// The domains that it came from and goes to.
    pub(crate) fn domains(&self) -> Option<(&str, &str)> {
        match self {
            Incoming::Stanza(stanza) => domains(stanza),
            Incoming::Refused(reply) => domains(reply).map(|(from, to)| (to, from)),
            Incoming::Ignored => None,
        }
    }
}

fn domains(stanza: &Stanza) -> Option<(&str, &str)> {
    let (from, to) = (stanza.head.from.as_ref()?, stanza.head.to.as_ref()?);
    Some((from.domainpart(), to.domainpart()))
}

/// The domains of a stanza of ours.
pub(crate) fn outgoing(stanza: &Stanza) -> Result<(&str, &str), ApiMisuse> {
    domains(stanza).ok_or(ApiMisuse::Unaddressed)
}

/// The domain that an address is, if it is no more than that.
pub(crate) fn domain(address: &Jid) -> Option<BareJid> {
    (address.is_bare() && address.localpart().is_none()).then(|| address.to_bare())
}
