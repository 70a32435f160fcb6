//! Stanzas on streams where each of them has both addresses: between servers, and of components (RFC 6120 sections
//! 8.1.1.2 and 8.1.2.2, XEP-0114).

use alloc::boxed::Box;
use alloc::string::String;

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
    /// One of its addresses is none, and there is nobody who could be told. These are the domains that it came from and goes to.
    Dropped {
        /// The domain of the sender.
        from: String,
        /// That of the recipient.
        to: String,
    },
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
            Some(Err(invalid)) => match invalid.reply {
                Some(reply) if reply.head.from.is_some() && reply.head.to.is_some() => (reply, true),
                None if invalid.error.condition != ErrorCondition::JidMalformed => {
                    return Ok(Incoming::Ignored);
                }
                // Whatever else is wrong with it.
                reply => return Incoming::malformed(common, reply).ok_or_else(improper),
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

    /// The same for a component, to which its server hands on what comes from everywhere: neither is to blame for a domain that is none.
    pub(crate) fn read_relayed(common: &Common) -> Result<Incoming, StreamError> {
        Incoming::read(common).or_else(|error| {
            let is_there = |name| common.reader.element().attr(name).is_some();
            match error.condition == StreamCondition::ImproperAddressing && is_there("from") && is_there("to")
            {
                true => Ok(Incoming::Ignored),
                false => Err(error),
            }
        })
    }

    /// A stanza with an address that is none by RFC 7622. Many servers prepare addresses by the older rules of RFC 6122, under which more of them
    /// are, so it is the matter of the one user who has it, and no reason to end a stream of many (as RFC 6120 section 4.9.3.7 would have it).
    /// `None` if an address is missing, or its domain is none.
    fn malformed(common: &Common, reply: Option<Stanza>) -> Option<Incoming> {
        let element = common.reader.element();
        let domain = |name| {
            let address = element.attr(name)?;
            let bare = address.split_once('/').map_or(address, |(bare, _)| bare);
            let domain = bare.split_once('@').map_or(bare, |(_, domain)| domain);
            BareJid::from_parts(None, domain).ok()
        };
        let (from, to) = (domain("from")?, domain("to")?);
        // Whoever has an address is told by our domain, if what they have written to is no address of it.
        let reply = reply.filter(|reply| reply.head.to.is_some()).map(|mut reply| {
            reply.head.from.get_or_insert_with(|| to.to_jid());
            Incoming::Refused(reply.into())
        });
        let drop = || Incoming::Dropped { from: from.as_str().into(), to: to.as_str().into() };
        Some(reply.unwrap_or_else(drop))
    }

    /// The domains that it came from and goes to.
    pub(crate) fn domains(&self) -> Option<(&str, &str)> {
        match self {
            Incoming::Stanza(stanza) => domains(stanza),
            Incoming::Refused(reply) => domains(reply).map(|(from, to)| (to, from)),
            Incoming::Dropped { from, to } => Some((from, to)),
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
