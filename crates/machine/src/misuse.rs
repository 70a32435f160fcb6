//! Mistakes of whoever drives a machine, as against those of its peer.

use core::fmt;

macro_rules! misuses {
    ($($(#[$doc:meta])* $name:ident = $words:literal,)+) => {
        /// The caller used a machine in a way that its documentation rules out. The machine is unchanged.
        ///
        /// Each is a mistake in a program, or something that has happened in the very moment, such as the end of a stream: what a peer does
        /// wrong is an error of another type.
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ApiMisuse {
            $($(#[$doc])* $name,)+
        }

        impl ApiMisuse {
            /// All there are.
            #[cfg(test)]
            const ALL: &[ApiMisuse] = &[$(ApiMisuse::$name),+];

            const fn words(self) -> &'static str {
                match self {
                    $(ApiMisuse::$name => $words,)+
                }
            }
        }
    };
}

misuses! {
    /// A stanza was sent before the end of negotiation, or after the stream was closed.
    NotOpen = "stanzas can be sent from the end of negotiation until the stream is closed",
    /// The stream has ended, or is about to.
    StreamEnded = "this stream has ended or is about to",
    /// The connection has failed: nothing can be written any more.
    ConnectionFailed = "the connection has failed",
    /// An ask was answered that is not open: it was answered before, has expired, or was of another machine.
    AskNotOpen = "this ask is not open",
    /// The end of a TLS handshake was reported, and none was due.
    NoHandshakeDue = "no TLS handshake is due on this stream",
    /// Something was to be written before the TLS handshake was over.
    BeforeHandshake = "nothing can be written before the TLS handshake is over",
    /// Something was to be written after the TLS session was closed.
    AfterTlsClosed = "nothing can be written after the TLS session was closed",
    /// An iq has no id (RFC 6120 section 8.2.3).
    IqWithoutId = "an iq needs an id, or nobody can answer it",
    /// A stanza lacks `to` or `from` on a stream that wants both.
    Unaddressed = "a stanza on this stream needs `to` and `from`",
    /// A session was to go on for another account than its own (XEP-0198 section 5).
    OtherAccount = "a session goes on for its own account only",
    /// A component sent a stanza from another domain than its own (XEP-0114).
    OtherDomain = "a component's stanzas come from its own domain",
    /// A stanza was sent between two domains that the stream is not authorised for.
    UnauthorizedPair = "stanzas between these domains are not authorised on this stream",
    /// The receiving end of a stream between servers was to send between domains for which the stream does not go both ways (XEP-0288).
    OnlyReceives = "the receiving end of this stream only receives between these domains",
    /// The receiving end of a stream between servers was to ask something of the other.
    NotInitiator = "only the end that has opened this stream asks the other",
    /// One more pair of domains was to be authorised on a stream without dialback (XEP-0220).
    NoDialback = "more pairs of domains need dialback, which this stream does without",
    /// The peer takes stanzas for one pair of domains only (XEP-0220 section 2.6.2).
    SinglePair = "the peer can take no stanzas for other domains than the first",
    /// As many pairs of domains as the stream's limits allow are authorised already.
    TooManyPairs = "too many pairs of domains on this stream",
    /// As many keys as the stream's limits allow wait to be verified.
    TooManyKeys = "too many keys wait to be verified on this stream",
    /// A username is empty, too long, or holds U+0000.
    Username = "the username is empty, too long or holds U+0000",
    /// An authorization identity is empty, too long, or holds U+0000.
    AuthorizationIdentity = "the authorization identity is empty, too long or holds U+0000",
    /// A nonce is empty, or of characters that SCRAM has no place for (RFC 5802 section 7).
    Nonce = "a nonce is of printable ASCII without commas",
    /// Channel binding with a mechanism that has none, or none with one that is about it (RFC 5802 section 6).
    ChannelBinding = "channel binding goes with a -PLUS mechanism, and only with that",
    /// An exchange by password was to begin with a mechanism for tokens (XEP-0484), which has one of its own.
    TokenMechanism = "a mechanism for tokens has an exchange of its own",
    /// An exchange was to go on that has ended, well or not.
    ExchangeEnded = "the exchange has ended",
    /// An exchange was to go on before it was given the salted password that it had asked for.
    SaltedPasswordMissing = "the salted password is missing",
    /// A salted password was given that was not asked for, or is for another hash.
    SaltedPasswordUnasked = "a salted password that was not asked for",
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for ApiMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for ApiMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "API misuse: {}", self.words())
    }
}

impl core::error::Error for ApiMisuse {}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::string::ToString;

    use super::*;

    #[test]
    fn each_mistake_has_words_of_its_own() {
        let words: BTreeSet<_> = ApiMisuse::ALL.iter().map(ToString::to_string).collect();
        assert_eq!(words.len(), ApiMisuse::ALL.len());
        assert!(words.iter().all(|words| words.len() > "API misuse: ".len() + 10));
    }
}
