//! The tokens of an account that a server keeps (XEP-0484): whose they are, when they end, and which of them end when another one is
//! given or used.
//!
//! Each client has two places, for the token that it uses and for one that it was given and has not used yet. What is kept is no
//! token, but [what it is made of](crate::derive_token).

use alloc::string::String;
use alloc::vec::Vec;

use crate::Mechanism;

/// How many clients of an account have tokens. One more takes the place of the one whose tokens end first, of those that have never used
/// one if there are such.
pub const MOST_CLIENTS: usize = 16;
/// The longest id of a client, in bytes; a UUID has 36.
pub const LONGEST_AGENT: usize = 128;
/// The longest name of a client that is kept, in bytes.
pub const LONGEST_NAME: usize = 64;
/// In seconds.
const DAY: u64 = 86_400;

/// What is kept of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptToken {
    /// Names it, for people and between the server and its store.
    pub id: u64,
    /// What the client calls its installation (XEP-0388).
    pub agent: String,
    /// What the client calls itself and its device, for people; may be empty.
    pub name: String,
    /// By which mechanism alone it can be used.
    pub mechanism: Mechanism,
    /// What it is made of, together with the server's secret.
    pub random: [u8; 16],
    /// When it was given, in seconds since the start of 1970 (UTC).
    pub given: u64,
    /// When it ends.
    pub expires: u64,
    /// Whether the client has used it.
    pub is_used: bool,
}

impl KeptToken {
    /// Whether it has ended.
    #[must_use]
    pub fn has_expired(&self, now: u64) -> bool {
        now >= self.expires
    }

    /// Whether its client should get another one: after a day, or half of its time if that is shorter. One that is given more than a day
    /// from now, by a clock that was ahead, would not end for too long.
    #[must_use]
    pub fn is_due(&self, now: u64) -> bool {
        let half = self.expires.saturating_sub(self.given) / 2;
        now.saturating_sub(self.given) >= half.min(DAY) || self.given.saturating_sub(now) > DAY
    }
}

/// That a client has logged in by a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenUse {
    /// [Which](KeptToken::id).
    pub id: u64,
    /// Whether it wants it to end (XEP-0484 section 3.6).
    pub invalidate: bool,
}

/// The tokens of an account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tokens(Vec<KeptToken>);

impl Tokens {
    /// Those of a store. What is too much is left out.
    #[must_use]
    pub fn of(kept: Vec<KeptToken>) -> Tokens {
        let mut tokens = Tokens::default();
        for token in kept {
            tokens.put(token);
        }
        tokens
    }

    /// All of them, in no order that means anything.
    #[must_use]
    pub fn all(&self) -> &[KeptToken] {
        &self.0
    }

    /// Those of a client, the one that it has not used yet first (section 5.1): two at most.
    pub fn of_client<'t>(&'t self, agent: &'t str) -> impl Iterator<Item = &'t KeptToken> {
        [false, true].into_iter().flat_map(move |is_used| {
            self.0.iter().filter(move |token| token.agent == agent && token.is_used == is_used)
        })
    }

    /// The client has logged in by one of its tokens: those that it had before end. If it wants to end this one all of them do, whether or
    /// not they have arrived (sections 3.5, 3.6). Whether it was still there.
    pub fn use_one(&mut self, agent: &str, used: TokenUse, now: u64) -> bool {
        let Some(token) = self.0.iter().find(|token| token.id == used.id && token.agent == agent) else {
            return false;
        };
        if token.has_expired(now) {
            return false;
        }
        let (was_used, expires) = (token.is_used, token.expires);
        self.0.retain(|token| {
            let is_other = token.id != used.id;
            // One that was given later, and has not arrived, maybe, stays: it ends later.
            let ends_before = token.expires < expires || (!was_used && token.is_used);
            let ends = used.invalidate || is_other && ends_before;
            !(ends && token.agent == agent)
        });
        for token in &mut self.0 {
            token.is_used |= token.id == used.id;
        }
        true
    }

    /// Gives a client a token, in place of one that it was given and has not used (section 3.5).
    ///
    /// If the client has one that was given more than a day later the clock was ahead then, or is behind now, as one that is not set yet. Nobody
    /// knows which, and so the new one ends no earlier: otherwise it might end as soon as the clock is set, and the one before is gone by then.
    pub fn put(&mut self, token: KeptToken) {
        let mut token = token;
        let of_client = self.0.iter().filter(|other| other.agent == token.agent);
        let ahead = of_client.filter(|other| other.given.saturating_sub(token.given) > DAY);
        token.expires = ahead.map(|other| other.expires).fold(token.expires, u64::max);
        self.0.retain(|other| other.agent != token.agent || other.is_used != token.is_used);
        let is_known = self.0.iter().any(|other| other.agent == token.agent);
        while !is_known && self.clients() >= MOST_CLIENTS {
            let ends = |agent: &str| {
                let is_used = self.of_client(agent).any(|token| token.is_used);
                (is_used, self.of_client(agent).map(|token| token.expires).max())
            };
            let first = self.0.iter().map(|token| &token.agent).min_by_key(|agent| ends(agent)).cloned();
            let Some(first) = first else { break };
            self.0.retain(|other| other.agent != first);
        }
        self.0.push(token);
    }

    /// Ends a token, or all of them. Whether there was one.
    pub fn revoke(&mut self, id: Option<u64>) -> bool {
        let before = self.0.len();
        self.0.retain(|token| id.is_some_and(|id| token.id != id));
        self.0.len() < before
    }

    /// Forgets those that have ended.
    pub fn forget_expired(&mut self, now: u64) {
        self.0.retain(|token| !token.has_expired(now));
    }

    /// How many clients have some.
    fn clients(&self) -> usize {
        let mut agents: Vec<&str> = self.0.iter().map(|token| &*token.agent).collect();
        agents.sort_unstable();
        agents.dedup();
        agents.len()
    }
}
