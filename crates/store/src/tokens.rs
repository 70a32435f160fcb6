//! Tokens for logging in (XEP-0484): those of a client, as a server asks for them, and new ones.
//!
//! What is kept is not the token, but random bytes of which it is [made](balcony_sasl::derive_token) together with the store's secret.

use alloc::boxed::Box;
use alloc::string::String;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::{KeptToken, Mechanism, TokenUse, Tokens, derive_token};
use balcony_server::{Answer, Reply as AnswerTo};
use balcony_stream::server::{HeldToken, NewToken, ServerAnswer};

use crate::{Reply, Request, Worker, store};

/// What a login has to do with tokens.
pub(crate) struct TokenLogin {
    pub(crate) account: BareJid,
    pub(crate) agent: String,
    pub(crate) name: String,
    pub(crate) used: Option<TokenUse>,
    pub(crate) wanted: Option<Mechanism>,
    pub(crate) salt: Option<Box<[u8]>>,
}

impl Worker {
    /// The tokens of a client.
    pub(crate) fn answer_tokens(&self, account: BareJid, agent: String, reply: AnswerTo) {
        let secret = self.secret.clone();
        let of = account.clone();
        self.put_stream(Request::Tokens { account }, reply, move |found| match found {
            Reply::Tokens(tokens) => ServerAnswer::Tokens(held(&secret, &of, &agent, &tokens)),
            _ => ServerAnswer::Unavailable,
        });
    }

    /// Keeps what a login does to tokens.
    pub(crate) fn keep_token(&self, login: TokenLogin, reply: AnswerTo) {
        let TokenLogin { account, agent, name, used, wanted, salt } = login;
        let given = match wanted.map(|mechanism| self.give(&account, &agent, name, mechanism)).transpose() {
            Ok(given) => given,
            // Without random bytes there is no token.
            Err(_) => return reply(Answer::Stream(ServerAnswer::Unavailable)),
        };
        let (token, new) = given.unzip();
        let request = Request::KeepToken { account, agent, used, token: token.map(Box::new), salt };
        self.put_stream(request, reply, move |found| match found {
            Reply::Changed(true) => ServerAnswer::TokenKept(new),
            Reply::Changed(false) => ServerAnswer::TokenGone,
            _ => ServerAnswer::Unavailable,
        });
    }

    /// A new token, and what is kept of it.
    fn give(
        &self,
        account: &BareJid,
        agent: &str,
        name: String,
        mechanism: Mechanism,
    ) -> Result<(KeptToken, NewToken), getrandom::Error> {
        let (mut random, mut id) = ([0; 16], [0; 8]);
        getrandom::fill(&mut random)?;
        getrandom::fill(&mut id)?;
        let token = derive_token(self.secret.expose(), account.as_str(), agent, mechanism, &random);
        let given = store::now() / 1000;
        let expires = given.saturating_add(self.token_lifetime.as_secs());
        let (id, agent) = (u64::from_le_bytes(id), String::from(agent));
        let kept = KeptToken { id, agent, name, mechanism, random, given, expires, is_used: false };
        Ok((kept, NewToken { token, expires }))
    }
}

fn held(
    secret: &Secret<[u8; 32]>,
    account: &BareJid,
    agent: &str,
    tokens: &Tokens,
) -> alloc::vec::Vec<HeldToken> {
    let now = store::now() / 1000;
    let held = |token: &KeptToken| HeldToken {
        id: token.id,
        mechanism: token.mechanism,
        token: derive_token(secret.expose(), account.as_str(), agent, token.mechanism, &token.random),
        is_new: !token.is_used,
        has_expired: token.has_expired(now),
        is_due: token.is_due(now),
    };
    tokens.of_client(agent).map(held).collect()
}
