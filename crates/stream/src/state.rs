//! All transitions of a stream, for all roles, in one table.
//!
//! RFC 6120 sections 4.3, 5, 6 and 7 describe them from two sides; they are one machine, and each role leaves out some phases of
//! it. Which ones stands in the last column. What differs beside that is who writes what, and that stands in the modules of the
//! roles.

/// What a stream is for, which decides what it goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// A client's end of its stream to a server.
    Client,
    /// A server's end of a client's stream.
    Server,
    /// Either end of a stream between servers.
    S2s,
    /// Either end of a component's stream to its server (XEP-0114).
    Component,
}

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
    /// The client is known, and has something to do before it is let in (XEP-0388 section 2.6.3).
    Tasks,
    /// A resource has been asked for (section 7).
    Bind,
    /// The session of an earlier stream has been asked for (XEP-0198 section 5).
    Resume,
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
    /// A SASL exchange has begun; at a receiving entity another one may be given up for it.
    Auth,
    /// The SASL exchange failed; another one may begin.
    AuthFailed,
    /// The SASL exchange succeeded; the stream restarts (section 6.4.6).
    Authenticated,
    /// The SASL exchange succeeded, and the stream goes on as it is (XEP-0388).
    AuthenticatedInPlace,
    /// The SASL exchange succeeded, and there is a task to be done, or another one (XEP-0388 section 2.6.3).
    Continue,
    /// The initiating entity asked for a resource.
    Bind,
    /// The resource was refused; another one may be asked for.
    BindRefused,
    /// The resource is bound; there is no restart (section 7.3.2).
    Bound,
    /// The initiating entity asked for the session of an earlier stream (XEP-0198 section 5).
    Resume,
    /// That session is gone; a resource may be asked for.
    ResumeRefused,
    /// That session goes on, with the resource that it has; there is no restart.
    Resumed,
    /// Nothing is left to negotiate between servers (section 4.3.5).
    Complete,
    /// The first pair of domains is authorised by dialback (XEP-0220). Others may follow.
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

/// A phase, a step, the phase that the step leads to, and the roles that take it.
pub type Transition = (Phase, Step, Phase, &'static [Role]);

/// Every role.
pub const ROLES: &[Role] = &[Role::Client, Role::Server, Role::S2s, Role::Component];
/// The ends of a client's stream.
const C2S: &[Role] = &[Role::Client, Role::Server];
const SERVER: &[Role] = &[Role::Server];
const S2S: &[Role] = &[Role::S2s];
const COMPONENT: &[Role] = &[Role::Component];
/// Those with features (section 4.3.2).
const FEATURES: &[Role] = &[Role::Client, Role::Server, Role::S2s];
/// Those where a peer may give up an exchange for another (section 6.4.2).
const RECEIVES_SASL: &[Role] = &[Role::Server, Role::S2s];

/// Every transition there is.
pub const TRANSITIONS: &[Transition] = &[
    (Phase::Tls, Step::Secured, Phase::Header, ROLES),
    (Phase::Tls, Step::End, Phase::Closed, ROLES),
    (Phase::Header, Step::Headers, Phase::Negotiate, ROLES),
    (Phase::Header, Step::Close, Phase::Closing, ROLES),
    (Phase::Header, Step::End, Phase::Closed, ROLES),
    (Phase::Negotiate, Step::StartTls, Phase::Proceed, FEATURES),
    (Phase::Negotiate, Step::Auth, Phase::Sasl, FEATURES),
    (Phase::Negotiate, Step::Bind, Phase::Bind, C2S),
    (Phase::Negotiate, Step::Resume, Phase::Resume, C2S),
    (Phase::Negotiate, Step::Complete, Phase::Open, S2S),
    (Phase::Negotiate, Step::Verified, Phase::Open, S2S),
    (Phase::Negotiate, Step::Handshake, Phase::Handshake, COMPONENT),
    (Phase::Negotiate, Step::Close, Phase::Closing, ROLES),
    (Phase::Negotiate, Step::End, Phase::Closed, ROLES),
    (Phase::Proceed, Step::Proceed, Phase::Tls, FEATURES),
    (Phase::Proceed, Step::Close, Phase::Closing, FEATURES),
    (Phase::Proceed, Step::End, Phase::Closed, FEATURES),
    (Phase::Sasl, Step::Auth, Phase::Sasl, RECEIVES_SASL),
    (Phase::Sasl, Step::AuthFailed, Phase::Negotiate, FEATURES),
    (Phase::Sasl, Step::Authenticated, Phase::Header, FEATURES),
    (Phase::Sasl, Step::AuthenticatedInPlace, Phase::Negotiate, C2S),
    (Phase::Sasl, Step::Continue, Phase::Tasks, C2S),
    (Phase::Sasl, Step::Close, Phase::Closing, FEATURES),
    (Phase::Sasl, Step::End, Phase::Closed, FEATURES),
    (Phase::Tasks, Step::Continue, Phase::Tasks, C2S),
    (Phase::Tasks, Step::AuthFailed, Phase::Negotiate, C2S),
    (Phase::Tasks, Step::AuthenticatedInPlace, Phase::Negotiate, C2S),
    (Phase::Tasks, Step::Close, Phase::Closing, C2S),
    (Phase::Tasks, Step::End, Phase::Closed, C2S),
    (Phase::Bind, Step::BindRefused, Phase::Negotiate, SERVER),
    (Phase::Bind, Step::Bound, Phase::Open, C2S),
    (Phase::Bind, Step::Close, Phase::Closing, C2S),
    (Phase::Bind, Step::End, Phase::Closed, C2S),
    (Phase::Resume, Step::ResumeRefused, Phase::Negotiate, C2S),
    (Phase::Resume, Step::Resumed, Phase::Open, C2S),
    (Phase::Resume, Step::Close, Phase::Closing, C2S),
    (Phase::Resume, Step::End, Phase::Closed, C2S),
    (Phase::Handshake, Step::Accepted, Phase::Open, COMPONENT),
    (Phase::Handshake, Step::Close, Phase::Closing, COMPONENT),
    (Phase::Handshake, Step::End, Phase::Closed, COMPONENT),
    (Phase::Open, Step::Close, Phase::Closing, ROLES),
    (Phase::Open, Step::End, Phase::Closed, ROLES),
    (Phase::Closing, Step::End, Phase::Closed, ROLES),
];

impl Phase {
    /// The phase that `step` leads a stream of this role to; `None` if the table has no such transition.
    #[must_use]
    pub fn after(self, role: Role, step: Step) -> Option<Phase> {
        let row = TRANSITIONS
            .iter()
            .find(|(from, by, _, roles)| *from == self && *by == step && roles.contains(&role));
        row.map(|(_, _, to, _)| *to)
    }
}
