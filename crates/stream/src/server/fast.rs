//! Logins by a token, and tokens for the next one (XEP-0484).

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_machine::Instant;
use balcony_sasl::{Failure, LONGEST_AGENT, Mechanism, SaslCondition, TokenProof, TokenUse, may_use_token};
use balcony_xml::ElementRef;

use super::login::bindings;
use super::{HeldToken, NewToken, Server, ServerAnswer, ServerAsk, ServerEvent};
use crate::common::Common;
use crate::error::Error;
use crate::feature::fast::Request;
use crate::feature::sasl::Profile;
use crate::feature::{fast, sasl2};

/// What a client and its server have to do with tokens in a login.
pub(super) struct Fast {
    /// What the client calls its installation: tokens are its own.
    agent: String,
    /// What it calls itself.
    name: String,
    /// By which mechanism it wants a token.
    wanted: Option<Mechanism>,
    /// The login by a token, if it is one.
    proof: Option<TokenProof>,
    invalidate: bool,
    /// The token, when it is known which one it was.
    used: Option<TokenUse>,
    /// What the keys are salted with by which the client has proven its password.
    salt: Option<Box<[u8]>>,
    /// Whether the owner has been asked to keep what comes of it.
    is_keeping: bool,
    /// What ends the exchange, while that is so.
    data: Option<Vec<u8>>,
}

impl Fast {
    /// What is said of tokens, if something is. Without a name of the installation nothing can be given or found.
    pub(super) fn read(
        profile: Profile,
        authenticate: ElementRef<'_>,
        offered: &[Mechanism],
    ) -> Option<Fast> {
        if profile != Profile::Extensible || offered.is_empty() {
            return None;
        }
        let Request { is_used, invalidate, wanted } = Request::read(authenticate);
        let wanted = wanted.filter(|wanted| offered.contains(wanted));
        let agent = sasl2::agent(authenticate).filter(|agent| agent.len() <= LONGEST_AGENT)?;
        (is_used || wanted.is_some()).then(|| Fast {
            agent,
            name: sasl2::agent_name(authenticate),
            wanted,
            proof: None,
            invalidate: is_used && invalidate,
            used: None,
            salt: None,
            is_keeping: false,
            data: None,
        })
    }

    /// The client proves its password by keys with this salt. There is no token for who takes their time until the password is another.
    pub(super) fn proven_by(&mut self, salt: &[u8]) {
        self.salt.get_or_insert_with(|| salt.into());
    }

    /// The mechanism of a login by a token.
    pub(super) fn mechanism(&self) -> Option<Mechanism> {
        self.proof.as_ref().map(TokenProof::mechanism)
    }
}

impl Server {
    /// The mechanisms that tokens can be used by on this stream.
    pub(super) fn token_mechanisms(&self, common: &Common) -> Vec<Mechanism> {
        let bindings: Vec<_> = bindings(common).collect();
        let fits = |mechanism: &Mechanism| may_use_token(*mechanism, &bindings);
        let is_on = common.is_secured;
        self.config.tokens.iter().copied().filter(|mechanism| is_on && fits(mechanism)).collect()
    }

    /// Begins a login by a token.
    pub(super) fn begin_with_token(
        &mut self,
        common: &mut Common,
        now: Instant,
        mechanism: Mechanism,
        data: Result<Option<Vec<u8>>, SaslCondition>,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let bindings: Vec<_> = bindings(common).collect();
        let proof = match data {
            Ok(data) => TokenProof::read(mechanism, &data.unwrap_or_default(), &bindings),
            Err(condition) => Err(Failure::new(condition, "bad base64")),
        };
        let proof = match proof {
            Ok(proof) => proof,
            Err(failure) => return self.sasl_failure(common, failure, out),
        };
        let account = self.account_of(proof.username(), None).ok().flatten();
        let (Some(fast), Some(account)) = (&mut self.login.fast, account) else {
            return self.sasl_failure(common, no_token(), out);
        };
        fast.proof = Some(proof);
        let ask = ServerAsk::Tokens { account: account.clone(), agent: fast.agent.clone() };
        self.login.candidate = Some(account);
        Ok(Some(ServerEvent::Ask(common.ask(now), Box::new(ask))))
    }

    /// Whether an ask about tokens is open.
    pub(super) fn asks_for_tokens(&self) -> bool {
        self.login
            .fast
            .as_ref()
            .is_some_and(|fast| fast.is_keeping || fast.proof.is_some() && fast.used.is_none())
    }

    /// The owner's answer to that.
    pub(super) fn token_answered(
        &mut self,
        common: &mut Common,
        now: Instant,
        answer: ServerAnswer,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        match answer {
            ServerAnswer::Tokens(tokens) => self.check_token(common, now, &tokens, out),
            ServerAnswer::TokenKept(token) => {
                if let Some(NewToken { token, expires }) = token {
                    fast::write_token(&token, expires, &mut self.login.issued);
                }
                self.let_in_with_token(common, out)
            }
            // Somebody has ended it meanwhile.
            ServerAnswer::TokenGone => self.sasl_failure(common, no_token(), out),
            // A login without a token is none the worse for getting none.
            _ if self.login.fast.as_ref().is_some_and(|fast| fast.proof.is_none()) => {
                self.let_in_with_token(common, out)
            }
            _ => {
                let reason = "the account store did not answer";
                self.sasl_failure(common, Failure::new(SaslCondition::TemporaryAuthFailure, reason), out)
            }
        }
    }

    fn check_token(
        &mut self,
        common: &mut Common,
        now: Instant,
        tokens: &[HeldToken],
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let Some(fast) = &mut self.login.fast else { return Ok(None) };
        let Some(proof) = &fast.proof else { return Ok(None) };
        // As many are looked at as a client can have, whether or not it has them.
        let mut found = None;
        for place in 0..2.max(tokens.len()) {
            let token = tokens.get(place);
            let fits = proof.fits(token.map_or("none", |token| token.token.expose()));
            if let Some(token) = token.filter(|token| fits && token.mechanism == proof.mechanism()) {
                found = found.or(Some(token));
            }
        }
        let Some(token) = found else { return self.sasl_failure(common, no_token(), out) };
        if token.has_expired {
            // Only who has had it is told (section 4.2).
            let failure = Failure::new(SaslCondition::CredentialsExpired, "a token that has expired");
            return self.sasl_failure(common, failure, out);
        }
        let data = proof.answer(token.token.expose());
        fast.used = Some(TokenUse { id: token.id, invalidate: fast.invalidate });
        let renews = token.is_due && !fast.invalidate;
        fast.wanted = fast.wanted.or(renews.then_some(token.mechanism));
        if token.is_new || fast.invalidate || fast.wanted.is_some() {
            return self.keep_tokens(common, now, Some(data), out);
        }
        self.authenticated(common, Some(data), out).map(Some)
    }

    /// The client has proven who it is, and there is no task left. It gets the token that it wants, before it is let in.
    pub(super) fn keep_tokens(
        &mut self,
        common: &mut Common,
        now: Instant,
        data: Option<Vec<u8>>,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let login = &mut *self.login;
        let (Some(fast), Some(account)) = (&mut login.fast, &login.candidate) else {
            return self.authenticated(common, data, out).map(Some);
        };
        fast.data = data;
        fast.is_keeping = true;
        let ask = ServerAsk::KeepToken {
            account: account.clone(),
            agent: fast.agent.clone(),
            name: fast.name.clone(),
            used: fast.used,
            wanted: fast.wanted,
            salt: fast.salt.take(),
        };
        Ok(Some(ServerEvent::Ask(common.ask(now), Box::new(ask))))
    }

    fn let_in_with_token(
        &mut self,
        common: &mut Common,
        out: &mut Vec<u8>,
    ) -> Result<Option<ServerEvent>, Error> {
        let data = self.login.fast.as_mut().and_then(|fast| fast.data.take());
        self.authenticated(common, data, out).map(Some)
    }
}

fn no_token() -> Failure {
    Failure::new(SaslCondition::NotAuthorized, "no such token, or not of this client and mechanism")
}
