//! What a stream between servers tells and asks.

use alloc::boxed::Box;

use balcony_jid::BareJid;
use balcony_machine::Ticket;
use balcony_stanza::Stanza;

use super::{Proof, Verdict, Verification};

/// What a stream between servers tells its owner.
#[derive(Debug)]
pub enum S2sEvent {
    /// The next byte of input is the first of TLS. Run the handshake, then call
    /// [`Stream::secured`](crate::Stream::secured). Output up to here goes out in the clear.
    StartTls,
    /// Something slow is needed. The stream goes on meanwhile.
    Ask(Ticket, S2sAsk),
    /// An attempt to authenticate failed (receiving end only; for the log).
    AuthenticationFailed {
        /// The SASL error and why, in words for the log. The peer is told less.
        reason: &'static str,
    },
    /// Stanzas may go from one domain to the other on this stream. The first such event opens it.
    Authorized {
        /// The domain that they come from: the initiating entity's.
        from: BareJid,
        /// The domain that they go to: the receiving entity's.
        to: BareJid,
        /// How it was proven.
        proof: Proof,
    },
    /// The other server does not authorise this pair of domains. The stream goes on for others (initiating end only).
    Refused {
        /// The domain of ours that stanzas would have come from.
        from: BareJid,
        /// The domain that they would have gone to.
        to: BareJid,
        /// Why; [`Verdict::bounce`] says what the senders of waiting stanzas are told.
        verdict: Verdict,
    },
    /// The authoritative server has answered, or has not in time, what [`Stream::verify`](crate::Stream::verify) asked.
    KeyVerified(Verification, Verdict),
    /// The peer sent a stanza that breaks the rules of stanzas, and this is what its sender is to be told. It can't go
    /// back on this stream, which carries stanzas one way only (RFC 6120 section 4.5): route it.
    Reply(Box<Stanza>),
    /// The peer sent a stanza. Its domains are authorised.
    Stanza(Box<Stanza>),
}

/// What a stream between servers asks, as it may take long.
#[derive(Debug)]
pub enum S2sAsk {
    /// Is this the key of the domain that it is said to come from? Open a stream to that domain, or take one, and let it
    /// [verify](crate::Stream::verify) the key; answer with [`S2sAnswer::Verdict`].
    VerifyDialback(Verification),
}

/// The answer to an [`S2sAsk`].
#[derive(Debug)]
pub enum S2sAnswer {
    /// What the authoritative server says about a key, or why it could not be asked.
    Verdict(Verdict),
    /// The question can't be answered now.
    Unavailable,
}
