//! The store of a simulated server. It answers at once whatever streams of all roles ask; what a router asks is answered by its
//! [`Memory`].

use std::collections::BTreeMap;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::Memory;
use balcony_router::extension::blocking::BLOCKED;
use balcony_router::extension::offline::OFFLINE;
use balcony_sasl::{Credentials, Hash, KeptToken, Mechanism, TokenUse, Tokens, derive_token};
use balcony_stanza::{ErrorCondition, Stanza};
use balcony_stream::client::{ClientAnswer, ClientAsk};
use balcony_stream::component::{ComponentAnswer, ComponentAsk};
use balcony_stream::s2s::{S2sAnswer, S2sAsk, Verdict, dialback_key};
use balcony_stream::server::{HeldToken, NewToken, ServerAnswer, ServerAsk};
use balcony_xep::sm::Enabled;

/// The accounts of a simulated server: a store that answers at once. It answers for other servers as well.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    credentials: BTreeMap<BareJid, Credentials>,
    /// The secret of the servers that are asked about dialback keys.
    dialback: Option<Secret<String>>,
    /// The tokens that clients log in by.
    tokens: BTreeMap<BareJid, Tokens>,
    /// How many have been given.
    given: u64,
    /// What time it is where tokens end, in seconds since the start of 1970 (UTC).
    pub now: u64,
    /// What a router keeps of them.
    pub kept: Memory,
}

/// The secret that tokens are made from, and how long they last, in seconds.
const TOKENS: [u8; 32] = [8; 32];
const LIFETIME: u64 = 1_000_000;

/// The lowest count that a client accepts: hashing is what a simulated login costs most.
const ITERATIONS: u32 = 4096;

impl Accounts {
    /// The messages that wait for an account, the oldest first.
    ///
    /// # Panics
    ///
    /// If this is no address, or one of them no message.
    #[must_use]
    pub fn waiting(&self, account: &str) -> Vec<Stanza> {
        let account = account.parse().expect("an address");
        let entries = self.kept.entries(&account, OFFLINE);
        entries.map(|entry| Stanza::parse(&entry.content.bytes).expect("a message")).collect()
    }

    /// Whether an account has blocked this address.
    #[must_use]
    pub fn has_blocked(&self, account: &BareJid, address: &str) -> bool {
        self.kept.documents(account, BLOCKED).any(|(blocked, _)| blocked == address)
    }

    /// No accounts.
    #[must_use]
    pub fn new() -> Self {
        Accounts::default()
    }

    /// With one more account.
    ///
    /// # Panics
    ///
    /// If the password is one that no account can have.
    #[must_use]
    pub fn with(mut self, account: &str, password: &str) -> Self {
        let account = BareJid::parse(account).expect("a valid bare JID");
        let credentials =
            crate::keys::credentials(password, b"salt of the sims", ITERATIONS).expect("a valid password");
        self.insert(account, credentials);
        self
    }

    /// With one more account, or this one's with other credentials.
    #[must_use]
    pub fn with_credentials(mut self, account: &BareJid, credentials: Credentials) -> Self {
        self.insert(account.clone(), credentials);
        self
    }

    /// What is kept of an account to check logins with.
    #[must_use]
    pub fn credentials(&self, account: &BareJid) -> Option<&Credentials> {
        self.credentials.get(account)
    }

    /// The tokens of an account.
    pub fn tokens(&mut self, account: &BareJid) -> &mut Tokens {
        self.tokens.entry(account.clone()).or_default()
    }

    fn held(&mut self, account: &BareJid, agent: &str) -> Vec<HeldToken> {
        let now = self.now;
        let held = |token: &KeptToken| HeldToken {
            id: token.id,
            mechanism: token.mechanism,
            token: derive_token(&TOKENS, account.as_str(), agent, token.mechanism, &token.random),
            is_new: !token.is_used,
            has_expired: token.has_expired(now),
            is_due: token.is_due(now),
        };
        self.tokens(account).of_client(agent).map(held).collect()
    }

    fn keep_token(
        &mut self,
        account: &BareJid,
        agent: String,
        used: Option<TokenUse>,
        wanted: Option<Mechanism>,
    ) -> ServerAnswer {
        let now = self.now;
        if !self.credentials.contains_key(account) {
            return ServerAnswer::TokenGone;
        }
        if used.is_some_and(|used| !self.tokens(account).use_one(&agent, used, now)) {
            return ServerAnswer::TokenGone;
        }
        let Some(mechanism) = wanted else { return ServerAnswer::TokenKept(None) };
        self.given += 1;
        let mut random = [0; 16];
        random[..8].copy_from_slice(&self.given.to_le_bytes());
        let token = derive_token(&TOKENS, account.as_str(), &agent, mechanism, &random);
        let expires = now + LIFETIME;
        let (id, name) = (self.given, String::new());
        let kept = KeptToken { id, agent, name, mechanism, random, given: now, expires, is_used: false };
        self.tokens(account).put(kept);
        ServerAnswer::TokenKept(Some(NewToken { token, expires }))
    }

    /// With authoritative servers that make their dialback keys from this secret (XEP-0220).
    #[must_use]
    pub fn with_dialback(mut self, secret: &str) -> Self {
        self.dialback = Some(Secret::new(secret.into()));
        self
    }

    /// Answers what a stream asks, of whatever role; a resource is bound as wanted.
    #[must_use]
    pub fn answer<A: Asked>(&mut self, ask: A) -> A::Answer {
        ask.answer(self)
    }

    /// With one account less. Those of a [`World`](crate::World) are removed by its server.
    pub fn remove(&mut self, account: &BareJid) {
        self.credentials.remove(account);
        self.tokens.remove(account);
        self.kept.remove(account);
    }

    fn insert(&mut self, account: BareJid, credentials: Credentials) {
        self.kept.create(account.clone());
        // A new password ends them.
        self.tokens.remove(&account);
        self.credentials.insert(account, credentials);
    }

    fn register(
        &mut self,
        account: BareJid,
        password: &Secret<String>,
    ) -> Result<(), balcony_stanza::StanzaError> {
        if self.credentials.contains_key(&account) {
            return Err(balcony_stanza::ErrorCondition::Conflict.into());
        }
        let credentials = crate::keys::credentials(password.expose(), b"another salt", ITERATIONS)
            .map_err(|_| balcony_stanza::ErrorCondition::NotAcceptable)?;
        self.insert(account, credentials);
        Ok(())
    }
}

/// What a stream asks.
pub trait Asked {
    /// The answer to it.
    type Answer;

    /// What the accounts have to say to it.
    fn answer(self, accounts: &mut Accounts) -> Self::Answer;
}

impl Asked for ClientAsk {
    type Answer = ClientAnswer;

    fn answer(self, _: &mut Accounts) -> ClientAnswer {
        let ClientAsk::SaltPassword { hash, password, salt, iterations } = self;
        match crate::keys::salt_password(hash, password.expose(), &salt, iterations) {
            Ok(salted) => ClientAnswer::Salted(salted),
            Err(_) => ClientAnswer::Unavailable,
        }
    }
}

impl Asked for ServerAsk {
    type Answer = ServerAnswer;

    fn answer(self, accounts: &mut Accounts) -> ServerAnswer {
        match self {
            ServerAsk::Credentials { account, hash } => ServerAnswer::Credentials(
                accounts.credentials.get(&account).and_then(|credentials| credentials.get(hash)).cloned(),
            ),
            ServerAsk::Verify { account, password } => ServerAnswer::Verified(
                accounts
                    .credentials
                    .get(&account)
                    .and_then(Credentials::to_verify)
                    .filter(|keys| keys.verify_password(password.expose()))
                    .map(|keys| keys.salt().into()),
            ),
            ServerAsk::KeysLacking { account } => match accounts.credentials.get(&account) {
                Some(credentials) => lacking(credentials),
                None => ServerAnswer::Unavailable,
            },
            ServerAsk::AddKeys { account, keys } => {
                if let Some(credentials) = accounts.credentials.get_mut(&account)
                    && credentials.may_add(&keys)
                {
                    credentials.set(keys);
                }
                ServerAnswer::KeysAdded
            }
            ServerAsk::Tokens { account, agent } => ServerAnswer::Tokens(accounts.held(&account, &agent)),
            ServerAsk::KeepToken { account, salt: Some(salt), .. }
                if accounts
                    .credentials
                    .get(&account)
                    .and_then(Credentials::to_verify)
                    .is_none_or(|keys| keys.salt() != &*salt) =>
            {
                ServerAnswer::TokenGone
            }
            ServerAsk::KeepToken { account, agent, used, wanted, .. } => {
                accounts.keep_token(&account, agent, used, wanted)
            }
            ServerAsk::Bind { account, resource, .. } => ServerAnswer::Bound(
                account
                    .with_resource(resource.as_deref().unwrap_or("made-by-the-server"))
                    .map_err(|_| balcony_stanza::ErrorCondition::BadRequest.into()),
            ),
            ServerAsk::Enable(_) => ServerAnswer::Enabled(Ok(Enabled::default())),
            ServerAsk::Resume { .. } => {
                ServerAnswer::NotResumed { condition: ErrorCondition::ItemNotFound, h: None }
            }
            ServerAsk::Register { account, password } => {
                ServerAnswer::Registered(accounts.register(account, &password))
            }
        }
    }
}

fn lacking(credentials: &Credentials) -> ServerAnswer {
    let Some(keys) = credentials.to_verify() else { return ServerAnswer::Unavailable };
    let hashes = Hash::all().iter().copied().filter(|hash| credentials.get(*hash).is_none()).collect();
    ServerAnswer::KeysLacking { hashes, salt: keys.salt().into(), iterations: keys.iterations() }
}

impl Asked for S2sAsk {
    type Answer = S2sAnswer;

    fn answer(self, accounts: &mut Accounts) -> S2sAnswer {
        let asked = match self {
            S2sAsk::VerifyDialback(asked) => asked,
            // Every stream is the first here.
            S2sAsk::Earlier { .. } => return S2sAnswer::Earlier(None),
            S2sAsk::Vouch(_) => return S2sAnswer::Vouched(false),
        };
        let Some(secret) = &accounts.dialback else { return S2sAnswer::Unavailable };
        let (to, from) = (asked.to.as_str(), asked.from.as_str());
        let right = dialback_key(secret.expose(), to, from, &asked.id) == asked.key;
        S2sAnswer::Verdict(if right { Verdict::Valid } else { Verdict::Invalid })
    }
}

impl Asked for ComponentAsk {
    type Answer = ComponentAnswer;

    fn answer(self, _: &mut Accounts) -> ComponentAnswer {
        ComponentAnswer::Attached(true)
    }
}
