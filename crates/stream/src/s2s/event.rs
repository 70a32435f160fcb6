//! What a stream between servers tells and asks.

use alloc::boxed::Box;
use alloc::string::String;

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
    /// Whether stanzas are counted on this stream is settled (XEP-0198): [`Stream::counts_sent`](crate::Stream::counts_sent) says it. Not
    /// if the other server has no stream management.
    Managed,
    /// What the other server says of the stream that it was [asked about](crate::Stream::ask_about).
    Earlier {
        /// How many stanzas had come to it there, as it counts them; `None` if it does not know.
        h: Option<u32>,
    },
    /// So many more of the stanzas that were given to [`Stream::send`](crate::Stream::send) and count are in the hands of the other
    /// server; none if it has no more than before.
    Acked(u32),
    /// The peer sent a stanza. Its domains are authorised.
    Stanza(Box<Stanza>),
}

/// What a stream between servers asks, as it may take long.
#[derive(Debug)]
pub enum S2sAsk {
    /// Is this the key of the domain that it is said to come from? Open a stream to that domain, or take one, and let it
    /// [verify](crate::Stream::verify) the key; answer with [`S2sAnswer::Verdict`].
    VerifyDialback(Verification),
    /// How many stanzas have come on an earlier stream with the same server (XEP-0198 section 5)? Answer with [`S2sAnswer::Earlier`],
    /// and only if that stream was between domains of which this one has proven one.
    Earlier {
        /// The name of that stream.
        id: String,
        /// How many of ours have come on it, as the other server counts them.
        h: u32,
    },
    /// Does anybody say that the certificate which the peer has shown is that of this domain, which it says to be: signed DNS (RFC 7712
    /// section 5.1)? Answer with [`S2sAnswer::Vouched`]. Only at the receiving end of streams that are
    /// [to be asked about](super::S2sReceivingConfig::vouching); the peer waits meanwhile.
    Vouch(BareJid),
}

/// The answer to an [`S2sAsk`].
#[derive(Debug)]
pub enum S2sAnswer {
    /// What the authoritative server says about a key, or why it could not be asked.
    Verdict(Verdict),
    /// So many stanzas had come; `None` if nobody knows.
    Earlier(Option<u32>),
    /// Whether somebody who can be believed says so.
    Vouched(bool),
    /// The question can't be answered now.
    Unavailable,
}
