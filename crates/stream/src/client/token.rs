//! What a client keeps of a token (XEP-0484).

use alloc::string::{String, ToString as _};
use core::fmt;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::Mechanism;

/// A token that a server has given a client, for its next logins (XEP-0484). As secret as a password.
///
/// It is one account's and one installation's: [`ClientStreamConfig::agent`](super::ClientStreamConfig::agent) has to be the one that it
/// was given to. A program may keep it, as [text](Token::to_text), where it would keep a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Token {
    pub(super) account: BareJid,
    pub(super) agent: String,
    pub(super) mechanism: Mechanism,
    pub(super) token: Secret<String>,
    pub(super) expires: u64,
}

/// What the text of a token begins with.
const FORMAT: &str = "balcony-token-1";

impl Token {
    /// Whose it is.
    #[must_use]
    pub fn account(&self) -> &BareJid {
        &self.account
    }

    /// What the client called its installation.
    #[must_use]
    pub fn agent(&self) -> &str {
        &self.agent
    }

    /// By which mechanism it is used.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// When it ends, in seconds since the start of 1970 (UTC), unless it is used before and replaced by another.
    #[must_use]
    pub fn expires(&self) -> u64 {
        self.expires
    }

    /// The token as text, to be kept where nobody else reads it.
    #[must_use]
    pub fn to_text(&self) -> Secret<String> {
        let expires = self.expires.to_string();
        let parts = [
            FORMAT,
            self.account.as_str(),
            &self.agent,
            self.mechanism.name(),
            &expires,
            self.token.expose(),
        ];
        Secret::new(parts.join("\n"))
    }

    /// The token in such a text; `None` if it is none.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Token> {
        let mut parts = text.split('\n');
        let mut next = || parts.next().filter(|part| !part.is_empty());
        (next()? == FORMAT).then_some(())?;
        let account = BareJid::parse(next()?).ok()?;
        let agent = next()?.into();
        let mechanism = Mechanism::for_token_from_name(next()?)?;
        let expires = next()?.parse().ok()?;
        let token = Secret::new(next()?.into());
        parts.next().is_none().then_some(Token { account, agent, mechanism, token, expires })
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token")
            .field("account", &self.account)
            .field("mechanism", &self.mechanism)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}
