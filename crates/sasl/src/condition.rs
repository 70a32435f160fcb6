//! Why a login failed: what the client is told (RFC 6120 section 6.5), and what is for the server's log only.

use core::fmt;

/// Why a SASL exchange failed, as the element that goes into `<failure/>` (RFC 6120 section 6.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SaslCondition {
    /// The client aborted the exchange (section 6.5.1).
    Aborted,
    /// The account is temporarily disabled (section 6.5.2).
    AccountDisabled,
    /// The credentials have expired (section 6.5.3).
    CredentialsExpired,
    /// The mechanism needs an encrypted stream (section 6.5.4).
    EncryptionRequired,
    /// The data is not proper base64 (section 6.5.5).
    IncorrectEncoding,
    /// The authorization identity is malformed, or this user may not act for it (section 6.5.6).
    InvalidAuthzid,
    /// No mechanism was named, or none that is supported (section 6.5.7).
    InvalidMechanism,
    /// A message breaks the syntax of the mechanism (section 6.5.8).
    MalformedRequest,
    /// Policy wants a stronger mechanism for this user (section 6.5.9).
    MechanismTooWeak,
    /// Bad credentials, an unknown user, or no reason given (section 6.5.10).
    NotAuthorized,
    /// The server has trouble; the same credentials may work later (section 6.5.11).
    TemporaryAuthFailure,
}

impl SaslCondition {
    const ALL: [SaslCondition; 11] = [
        SaslCondition::Aborted,
        SaslCondition::AccountDisabled,
        SaslCondition::CredentialsExpired,
        SaslCondition::EncryptionRequired,
        SaslCondition::IncorrectEncoding,
        SaslCondition::InvalidAuthzid,
        SaslCondition::InvalidMechanism,
        SaslCondition::MalformedRequest,
        SaslCondition::MechanismTooWeak,
        SaslCondition::NotAuthorized,
        SaslCondition::TemporaryAuthFailure,
    ];

    /// Every condition, in the order of the RFC.
    #[must_use]
    pub const fn all() -> &'static [SaslCondition] {
        &Self::ALL
    }

    /// The name of its element.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            SaslCondition::Aborted => "aborted",
            SaslCondition::AccountDisabled => "account-disabled",
            SaslCondition::CredentialsExpired => "credentials-expired",
            SaslCondition::EncryptionRequired => "encryption-required",
            SaslCondition::IncorrectEncoding => "incorrect-encoding",
            SaslCondition::InvalidAuthzid => "invalid-authzid",
            SaslCondition::InvalidMechanism => "invalid-mechanism",
            SaslCondition::MalformedRequest => "malformed-request",
            SaslCondition::MechanismTooWeak => "mechanism-too-weak",
            SaslCondition::NotAuthorized => "not-authorized",
            SaslCondition::TemporaryAuthFailure => "temporary-auth-failure",
        }
    }

    /// The condition of this element name. An unknown one counts as [`NotAuthorized`](SaslCondition::NotAuthorized)
    /// (RFC 6120 section 6.5).
    #[must_use]
    pub fn from_name(name: &str) -> SaslCondition {
        Self::ALL
            .into_iter()
            .find(|condition| condition.name() == name)
            .unwrap_or(SaslCondition::NotAuthorized)
    }
}

impl fmt::Display for SaslCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How a server's exchange failed: the condition for the client, and a reason for the server's log.
///
/// Don't send the reason, unless it is [one of the channel binding](Failure::is_of_binding): it may tell an attacker more than the
/// condition does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What the client is told.
    pub condition: SaslCondition,
    /// What the log is told. Never holds anything that the peer sent.
    pub reason: &'static str,
    /// It was the channel binding that did not fit (RFC 5802 section 6): the password was not looked at. This reason is for the client
    /// as well.
    pub is_of_binding: bool,
}

impl Failure {
    /// A failure with this condition and reason.
    #[must_use]
    pub const fn new(condition: SaslCondition, reason: &'static str) -> Self {
        Failure { condition, reason, is_of_binding: false }
    }

    /// A failure of the channel binding.
    #[must_use]
    pub const fn of_binding(reason: &'static str) -> Self {
        Failure { condition: SaslCondition::NotAuthorized, reason, is_of_binding: true }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.condition, self.reason)
    }
}

impl core::error::Error for Failure {}
