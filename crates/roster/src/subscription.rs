//! The subscriptions between an account and one contact, as a state and eight tables (RFC 6121 appendix A).

use balcony_stanza::PresenceType;

/// Who sees whose presence, as the roster shows it (RFC 6121 section 2.1.2.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subscription {
    /// Neither sees the other's.
    #[default]
    None,
    /// The user sees the contact's.
    To,
    /// The contact sees the user's.
    From,
    /// Both see the other's.
    Both,
}

impl Subscription {
    /// The value of the attribute `subscription`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Subscription::None => "none",
            Subscription::To => "to",
            Subscription::From => "from",
            Subscription::Both => "both",
        }
    }

    /// Whether the user sees the contact's presence.
    #[must_use]
    pub const fn has_to(self) -> bool {
        matches!(self, Subscription::To | Subscription::Both)
    }

    /// Whether the contact sees the user's presence.
    #[must_use]
    pub const fn has_from(self) -> bool {
        matches!(self, Subscription::From | Subscription::Both)
    }
}

/// How an account stands with one contact (RFC 6121 section A.1).
///
/// *Pending out* means that the user has asked for a subscription and the contact has not answered, *pending in* the reverse.
///
/// ```
/// use balcony_roster::State;
/// use balcony_stanza::PresenceType::{Subscribe, Subscribed, Unsubscribe};
///
/// // The user asks, and is let in.
/// let asked = State::None.outbound(Subscribe);
/// assert_eq!(asked, Some(State::NonePendingOut));
/// assert_eq!(State::NonePendingOut.inbound(Subscribed), Some(State::To));
/// // An approval that nobody has asked for goes nowhere.
/// assert_eq!(State::None.inbound(Subscribed), None);
/// // A contact that leaves is told that it has left.
/// assert_eq!(State::Both.reply(Unsubscribe), Some(balcony_stanza::PresenceType::Unsubscribed));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing between them.
    #[default]
    None,
    /// None, and the user has asked.
    NonePendingOut,
    /// None, and the contact has asked.
    NonePendingIn,
    /// None, and both have asked.
    NonePendingOutIn,
    /// The user sees the contact's presence.
    To,
    /// To, and the contact has asked.
    ToPendingIn,
    /// The contact sees the user's presence.
    From,
    /// From, and the user has asked.
    FromPendingOut,
    /// Both see the other's presence.
    Both,
}

impl State {
    /// All nine, in the order of the RFC.
    pub const ALL: [State; 9] = [
        State::None,
        State::NonePendingOut,
        State::NonePendingIn,
        State::NonePendingOutIn,
        State::To,
        State::ToPendingIn,
        State::From,
        State::FromPendingOut,
        State::Both,
    ];

    /// The state of which these are the parts. A request for what is granted already does not count, so every
    /// combination has a state.
    #[must_use]
    pub const fn new(subscription: Subscription, pending_out: bool, pending_in: bool) -> Self {
        match (subscription, pending_out, pending_in) {
            (Subscription::None, false, false) => State::None,
            (Subscription::None, true, false) => State::NonePendingOut,
            (Subscription::None, false, true) => State::NonePendingIn,
            (Subscription::None, true, true) => State::NonePendingOutIn,
            (Subscription::To, _, false) => State::To,
            (Subscription::To, _, true) => State::ToPendingIn,
            (Subscription::From, false, _) => State::From,
            (Subscription::From, true, _) => State::FromPendingOut,
            (Subscription::Both, _, _) => State::Both,
        }
    }

    /// What the roster shows of it; with [`is_pending_out`](State::is_pending_out) that is all that it shows.
    #[must_use]
    pub const fn subscription(self) -> Subscription {
        match self {
            State::None | State::NonePendingOut | State::NonePendingIn | State::NonePendingOutIn => {
                Subscription::None
            }
            State::To | State::ToPendingIn => Subscription::To,
            State::From | State::FromPendingOut => Subscription::From,
            State::Both => Subscription::Both,
        }
    }

    /// Whether the user has asked and waits: `ask='subscribe'` in the roster (section 2.1.2.2).
    #[must_use]
    pub const fn is_pending_out(self) -> bool {
        matches!(self, State::NonePendingOut | State::NonePendingOutIn | State::FromPendingOut)
    }

    /// Whether the contact has asked and waits. The roster does not show it.
    #[must_use]
    pub const fn is_pending_in(self) -> bool {
        matches!(self, State::NonePendingIn | State::NonePendingOutIn | State::ToPendingIn)
    }

    /// The user sends presence of this type to the contact: the new state, if the stanza is routed (section A.2).
    ///
    /// `None` means that it is not routed and that the state stays, and is all that other types than the four get.
    #[must_use]
    pub const fn outbound(self, kind: PresenceType) -> Option<State> {
        OUTBOUND[row(kind)][self as usize]
    }

    /// The contact sends presence of this type to the user: the new state, if the stanza is delivered (section A.3).
    ///
    /// `None` means that it is not delivered and that the state stays, and is all that other types than the four get.
    #[must_use]
    pub const fn inbound(self, kind: PresenceType) -> Option<State> {
        INBOUND[row(kind)][self as usize]
    }

    /// What the user's server itself answers if presence of this type arrives from the contact in this state (notes of
    /// section A.3; sections 3.1.3 and 3.3.3).
    ///
    /// Only subscribers get answers. Whoever takes back a request that the user has not approved gets none: it would show to
    /// any stranger that there is such an account (section 8.5.1).
    #[must_use]
    pub const fn reply(self, kind: PresenceType) -> Option<PresenceType> {
        match kind {
            PresenceType::Subscribe if self.subscription().has_from() => Some(PresenceType::Subscribed),
            PresenceType::Unsubscribe if self.subscription().has_from() => Some(PresenceType::Unsubscribed),
            _ => None,
        }
    }
}

/// A row for each type, a column for each state.
type Table = [[Option<State>; 9]; 5];

const fn row(kind: PresenceType) -> usize {
    match kind {
        PresenceType::Subscribe => 0,
        PresenceType::Unsubscribe => 1,
        PresenceType::Subscribed => 2,
        PresenceType::Unsubscribed => 3,
        PresenceType::Available | PresenceType::Error | PresenceType::Probe | PresenceType::Unavailable => 4,
    }
}

use State::{
    Both as B, From as F, FromPendingOut as Fo, None as N, NonePendingIn as Ni, NonePendingOut as No,
    NonePendingOutIn as Noi, To as T, ToPendingIn as Ti,
};

const fn to(next: State) -> Option<State> {
    Some(next)
}

/// The stanza goes no further, and nothing changes: in the RFC's tables the one always comes with the other.
const X: Option<State> = None;

/// Sections A.2.1 to A.2.4.
#[rustfmt::skip]
const OUTBOUND: Table = [
    // None  None+PO  None+PI  None+POI  To       To+PI    From     From+PO  Both
    [to(No), to(No),  to(Noi), to(Noi),  to(T),   to(Ti),  to(Fo),  to(Fo),  to(B)], // subscribe
    [to(N),  to(N),   to(Ni),  to(Ni),   to(N),   to(Ni),  to(F),   to(F),   to(F)], // unsubscribe
    [X,      X,       to(F),   to(Fo),   X,       to(B),   X,       X,       X],     // subscribed
    [X,      X,       to(N),   to(No),   X,       to(T),   to(N),   to(No),  to(T)], // unsubscribed
    [X; 9],
];

/// Sections A.3.1 to A.3.4.
#[rustfmt::skip]
const INBOUND: Table = [
    // None  None+PO  None+PI  None+POI  To       To+PI    From     From+PO  Both
    [to(Ni), to(Noi), X,       X,        to(Ti),  X,       X,       X,       X],     // subscribe
    [X,      X,       to(N),   to(No),   X,       to(T),   to(N),   to(No),  to(T)], // unsubscribe
    [X,      to(T),   X,       to(Ti),   X,       X,       X,       to(B),   X],     // subscribed
    [X,      to(N),   X,       to(Ni),   to(N),   to(Ni),  X,       to(F),   to(F)], // unsubscribed
    [X; 9],
];
