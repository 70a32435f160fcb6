//! All transitions of a stream, for all roles, in one table.
//!
//! RFC 6120 sections 4.3, 5, 6 and 7 describe them from two sides; they are one machine. Servers among themselves and
//! components leave out some phases of it. What differs between the roles is who writes what, and that stands in the
//! modules of the roles.

/// Where a stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// The TLS handshake is going on below us; no byte of it reaches this machine (section 5.4.3).
    Tls,
    /// The stream headers are due (section 4.7).
    Header,
    /// The initiating entity chooses among the features (section 4.3.2).
    Negotiate,
    /// STARTTLS has been asked for (section 5.4.2).
    Proceed,
    /// SASL messages go back and forth (section 6.4).
    Sasl,
    /// A resource has been asked for (section 7).
    Bind,
    /// A component has shown that it knows the secret, and waits to be let in (XEP-0114).
    Handshake,
    /// Stanzas flow (section 8).
    Open,
    /// Our closing tag is out, the peer's is due (section 4.4).
    Closing,
    /// Nothing more is read or written.
    Closed,
}

/// What moves a stream on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// The TLS handshake is over.
    Secured,
    /// Both headers, and the features, have been exchanged.
    Headers,
    /// The initiating entity asked for STARTTLS.
    StartTls,
    /// The receiving entity granted STARTTLS.
    Proceed,
    /// The receiving entity refused STARTTLS.
    Refused,
    /// A SASL exchange has begun.
    Auth,
    /// The SASL exchange failed; another one may begin.
    AuthFailed,
    /// The SASL exchange succeeded; the stream restarts (section 6.4.6).
    Authenticated,
    /// The SASL exchange succeeded, and the stream goes on as it is (XEP-0388).
    AuthenticatedInPlace,
    /// The initiating entity asked for a resource.
    Bind,
    /// The resource was refused; another one may be asked for.
    BindRefused,
    /// The resource is bound; there is no restart (section 7.3.2).
    Bound,
    /// Between servers: nothing is left to negotiate (section 4.3.5).
    Complete,
    /// Between servers: the first pair of domains is authorised by dialback (XEP-0220). Others may follow.
    Verified,
    /// The component has sent its handshake (XEP-0114).
    Handshake,
    /// The server has accepted the component.
    Accepted,
    /// We sent our closing tag first.
    Close,
    /// Both closing tags are exchanged, the transport has ended, or a stream error has ended the stream.
    End,
}

/// Every transition there is.
pub const TRANSITIONS: &[(Phase, Step, Phase)] = &[
    (Phase::Tls, Step::Secured, Phase::Header),
    (Phase::Tls, Step::End, Phase::Closed),
    (Phase::Header, Step::Headers, Phase::Negotiate),
    (Phase::Header, Step::Close, Phase::Closing),
    (Phase::Header, Step::End, Phase::Closed),
    (Phase::Negotiate, Step::StartTls, Phase::Proceed),
    (Phase::Negotiate, Step::Auth, Phase::Sasl),
    (Phase::Negotiate, Step::Bind, Phase::Bind),
    (Phase::Negotiate, Step::Complete, Phase::Open),
    (Phase::Negotiate, Step::Verified, Phase::Open),
    (Phase::Negotiate, Step::Handshake, Phase::Handshake),
    (Phase::Negotiate, Step::Close, Phase::Closing),
    (Phase::Negotiate, Step::End, Phase::Closed),
    (Phase::Proceed, Step::Proceed, Phase::Tls),
    (Phase::Proceed, Step::Refused, Phase::Closing),
    (Phase::Proceed, Step::Close, Phase::Closing),
    (Phase::Proceed, Step::End, Phase::Closed),
    (Phase::Sasl, Step::Auth, Phase::Sasl),
    (Phase::Sasl, Step::AuthFailed, Phase::Negotiate),
    (Phase::Sasl, Step::Authenticated, Phase::Header),
    (Phase::Sasl, Step::AuthenticatedInPlace, Phase::Negotiate),
    (Phase::Sasl, Step::Close, Phase::Closing),
    (Phase::Sasl, Step::End, Phase::Closed),
    (Phase::Bind, Step::BindRefused, Phase::Negotiate),
    (Phase::Bind, Step::Bound, Phase::Open),
    (Phase::Bind, Step::Close, Phase::Closing),
    (Phase::Bind, Step::End, Phase::Closed),
    (Phase::Handshake, Step::Accepted, Phase::Open),
    (Phase::Handshake, Step::Close, Phase::Closing),
    (Phase::Handshake, Step::End, Phase::Closed),
    (Phase::Open, Step::Close, Phase::Closing),
    (Phase::Open, Step::End, Phase::Closed),
    (Phase::Closing, Step::End, Phase::Closed),
];

impl Phase {
    /// The phase that `step` leads to; `None` if the table has no such transition.
    #[must_use]
    pub fn after(self, step: Step) -> Option<Phase> {
        TRANSITIONS.iter().find(|(from, by, _)| *from == self && *by == step).map(|(_, _, to)| *to)
    }
}
