//! What a client keeps of a token (XEP-0484).

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::Mechanism;

use crate::feature::sasl2::InlineOffer;

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
    /// What the server has offered when the client was there last.
    pub(super) known: Option<Known>,
}

/// A version of an offer (XEP-0509), and what was in it of what can go along with a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) scheme: Option<String>,
    pub(super) value: String,
    pub(super) inline: InlineOffer,
}

/// A version may be so long; a longer one is not kept.
const LONGEST_VERSION: usize = 256;

impl Known {
    /// What is kept of such a version, if it is one to keep.
    pub(super) fn new(scheme: Option<&str>, value: &str, inline: InlineOffer) -> Option<Known> {
        let is_short = |text: &str| {
            !text.is_empty() && text.len() <= LONGEST_VERSION && !text.contains(char::is_control)
        };
        let fits = is_short(value) && scheme.is_none_or(|scheme| is_short(scheme) && !scheme.contains(' '));
        fits.then(|| Known { scheme: scheme.map(String::from), value: value.into(), inline })
    }

    /// One line: what can go along, the scheme, the value.
    fn to_text(&self) -> String {
        let InlineOffer { bind, enable, resume, client_state } = self.inline;
        let flag = |is_there, flag| if is_there { flag } else { "" };
        let flags = [flag(bind, "b"), flag(enable, "e"), flag(resume, "r"), flag(client_state, "c")].concat();
        alloc::format!("+{flags} {} {}", self.scheme.as_deref().unwrap_or_default(), self.value)
    }

    fn from_text(text: &str) -> Option<Known> {
        let (flags, rest) = text.strip_prefix('+')?.split_once(' ')?;
        let (scheme, value) = rest.split_once(' ')?;
        let has = |flag| flags.contains(flag);
        let inline =
            InlineOffer { bind: has('b'), enable: has('e'), resume: has('r'), client_state: has('c') };
        Known::new(Some(scheme).filter(|scheme| !scheme.is_empty()), value, inline)
    }
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
        let known = self.known.as_ref().map(Known::to_text);
        let parts = [
            FORMAT,
            self.account.as_str(),
            &self.agent,
            self.mechanism.name(),
            &expires,
            self.token.expose(),
        ];
        let parts: Vec<&str> = parts.into_iter().chain(known.as_deref()).collect();
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
        let known = match parts.next() {
            Some(known) => Some(Known::from_text(known)?),
            None => None,
        };
        parts.next().is_none().then_some(Token { account, agent, mechanism, token, expires, known })
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
