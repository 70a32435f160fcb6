use std::collections::BTreeMap;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_router::{Memory, collections};
use balcony_sasl::Credentials;
use balcony_stanza::Stanza;
use balcony_stream::federation::{Verdict, dialback_key};
use balcony_stream::{Answer, Ask};

/// The accounts of a simulated server: a store that answers at once. It answers for other servers as well.
#[derive(Clone, Debug, Default)]
pub struct Accounts {
    credentials: BTreeMap<BareJid, Credentials>,
    /// The secret of the servers that are asked about dialback keys.
    dialback: Option<Secret<String>>,
    /// What a router keeps of them.
    pub kept: Memory,
}

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
        let entries = self.kept.entries(&account, collections::OFFLINE);
        entries.map(|entry| Stanza::parse(&entry.content.bytes).expect("a message")).collect()
    }

    /// Whether an account has blocked this address.
    #[must_use]
    pub fn has_blocked(&self, account: &BareJid, address: &str) -> bool {
        self.kept.documents(account, collections::BLOCKED).any(|(blocked, _)| blocked == address)
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
            Credentials::derive(password, b"salt of the sims", ITERATIONS).expect("a valid password");
        self.insert(account, credentials);
        self
    }

    /// With authoritative servers that make their dialback keys from this secret (XEP-0220).
    #[must_use]
    pub fn with_dialback(mut self, secret: &str) -> Self {
        self.dialback = Some(Secret::new(secret.into()));
        self
    }

    /// Answers what either end of a stream asks; a resource is bound as wanted.
    #[must_use]
    pub fn answer(&mut self, ask: Ask) -> Answer {
        match ask {
            Ask::Credentials { account, hash } => Answer::Credentials(
                self.credentials.get(&account).and_then(|credentials| credentials.get(hash)).cloned(),
            ),
            Ask::Verify { account, password } => Answer::Verified(
                self.credentials
                    .get(&account)
                    .is_some_and(|credentials| credentials.verify_password(password.expose())),
            ),
            Ask::Bind { account, resource, .. } => Answer::Bound(
                account
                    .with_resource(resource.as_deref().unwrap_or("made-by-the-server"))
                    .map_err(|_| balcony_stanza::ErrorCondition::BadRequest.into()),
            ),
            Ask::Register { account, password } => Answer::Registered(self.register(account, &password)),
            Ask::SaltPassword { hash, password, salt, iterations } => {
                match balcony_sasl::salt_password(hash, password.expose(), &salt, iterations) {
                    Ok(salted) => Answer::Salted(salted),
                    Err(_) => Answer::Unavailable,
                }
            }
            Ask::VerifyDialback(asked) => match &self.dialback {
                Some(secret) => {
                    let (to, from) = (asked.to.as_str(), asked.from.as_str());
                    let right = dialback_key(secret.expose(), to, from, &asked.id) == asked.key;
                    Answer::Verdict(if right { Verdict::Valid } else { Verdict::Invalid })
                }
                None => Answer::Unavailable,
            },
            Ask::Attach { .. } => Answer::Attached(true),
            _ => Answer::Unavailable,
        }
    }

    /// With one account less. Those of a [`World`](crate::World) are removed by its server.
    pub fn remove(&mut self, account: &BareJid) {
        self.credentials.remove(account);
        self.kept.remove(account);
    }

    fn insert(&mut self, account: BareJid, credentials: Credentials) {
        self.kept.create(account.clone());
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
        let credentials = Credentials::derive(password.expose(), b"another salt", ITERATIONS)
            .map_err(|_| balcony_stanza::ErrorCondition::NotAcceptable)?;
        self.insert(account, credentials);
        Ok(())
    }
}
