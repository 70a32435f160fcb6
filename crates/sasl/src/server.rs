//! The server's side of one try to authenticate (RFC 5802 for SCRAM, RFC 4616 for PLAIN).
//!
//! It looks up no account and hashes no password: it asks, and goes on with the answer. Of accounts that do not exist it knows
//! nothing, since the answer for them looks like any other. Whether one user may act for another is up to the caller.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::Secret;
use subtle::ConstantTimeEq as _;

use crate::base64::to_base64;
use crate::hash::Digest;
use crate::message::{Plain, Syntax, text};
use crate::scram::{self, ClientFinal, ClientFirst, Flag};
use crate::{Binding, Failure, Mechanism, Offered, PasswordForms, SaslCondition, ScramKeys};

/// One try of one mechanism, from the server's side.
///
/// Hand the data of `<auth/>` to [`initial`](Self::initial) and that of each `<response/>` to
/// [`response`](Self::response), and do what the [`ServerStep`] says. The first failure is final; every later call
/// fails.
///
/// ```text
/// SCRAM  Start ─initial→ Keys ─credentials→ Proof ─response→ Ended
/// PLAIN  Start ─initial→ Verdict ─verified→ Ended
/// both   Start ─initial without data→ Prompted ─response→ Keys or Verdict
/// ```
pub struct ServerExchange {
    mechanism: Mechanism,
    bindings: Vec<Binding>,
    plus_offered: bool,
    nonce: String,
    offered: Option<Offered>,
    state: State,
}

enum State {
    /// Nothing has come.
    Start,
    /// `<auth/>` came without data; an empty challenge is out.
    Prompted,
    /// SCRAM: the client's first message has come; the keys are missing.
    Keys(First),
    /// SCRAM: the challenge is out.
    Proof { first: First, server_first: String, keys: ScramKeys },
    /// PLAIN: the verdict is missing.
    Verdict { username: String, authzid: Option<String> },
    /// Over, for good or ill.
    Ended,
}

/// What is kept of the client's first message.
struct First {
    username: String,
    authzid: Option<String>,
    /// The client's nonce and ours.
    nonce: String,
    bare: String,
    /// What `c=` must hold, in base64.
    binding: String,
}

impl ServerExchange {
    /// A new exchange for an `<auth/>` with this mechanism.
    ///
    /// `binding` is that of the TLS channel, if it is known; `plus_offered` tells whether this stream's features named a
    /// `-PLUS` mechanism; `nonce` is random printable ASCII without commas, with 128 bits or more of randomness.
    #[must_use]
    pub fn new(
        mechanism: Mechanism,
        binding: Option<Binding>,
        plus_offered: bool,
        nonce: impl Into<String>,
    ) -> Self {
        let bindings = binding.into_iter().collect();
        ServerExchange {
            mechanism,
            bindings,
            plus_offered,
            nonce: nonce.into(),
            offered: None,
            state: State::Start,
        }
    }

    /// Accepts one more type of channel binding; the client chooses.
    #[must_use]
    pub fn with_binding(mut self, binding: Binding) -> Self {
        self.bindings.push(binding);
        self
    }

    /// Says what was offered, so that a client finds out if it has got something else (XEP-0474, XEP-0515).
    #[must_use]
    pub fn with_offer(self, offered: Offered) -> Self {
        ServerExchange { offered: Some(offered), ..self }
    }

    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// Whether it has come to its end, for good or ill.
    #[must_use]
    pub fn is_over(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// Takes the data of `<auth/>`: `None` if the element is empty, `Some` of nothing if it holds `=` (RFC 6120 section
    /// 6.4.2). Without data, the step is an empty challenge.
    ///
    /// # Errors
    ///
    /// Those of [`response`](Self::response).
    pub fn initial(&mut self, data: Option<&[u8]>) -> Result<ServerStep, Failure> {
        match (core::mem::replace(&mut self.state, State::Ended), data) {
            (State::Start, Some(data)) => self.first(data),
            (State::Start, None) => {
                self.state = State::Prompted;
                Ok(ServerStep::Challenge(Vec::new()))
            }
            _ => Err(misuse("a second initial response")),
        }
    }

    /// Takes the data of a `<response/>`.
    ///
    /// # Errors
    ///
    /// `malformed-request` if it breaks the syntax of the mechanism or comes where none belongs; `not-authorized` if the
    /// user has not proven to know the password, or the two ends don't agree on the channel.
    pub fn response(&mut self, data: &[u8]) -> Result<ServerStep, Failure> {
        match core::mem::replace(&mut self.state, State::Ended) {
            State::Prompted => self.first(data),
            State::Proof { first, server_first, keys } => {
                let message = text(data).and_then(ClientFinal::parse).map_err(malformed)?;
                check_final(first, &server_first, &keys, &message)
            }
            State::Start | State::Keys(_) | State::Verdict { .. } | State::Ended => {
                Err(malformed("a response where none belongs"))
            }
        }
    }

    /// Takes the answer to [`ServerStep::AskCredentials`]. For a user who doesn't exist, or has no keys for the
    /// mechanism's hash, that is [`fake_keys`](crate::fake_keys).
    ///
    /// # Errors
    ///
    /// `temporary-auth-failure` if they weren't asked for or are for another hash.
    pub fn credentials(&mut self, keys: ScramKeys) -> Result<ServerStep, Failure> {
        match core::mem::replace(&mut self.state, State::Ended) {
            State::Keys(first) if self.mechanism.hash() == Some(keys.hash()) => {
                let (salt, iterations) = (to_base64(keys.salt()), keys.iterations().to_string());
                let mut server_first = ["r=", &first.nonce, ",s=", &salt, ",i=", &iterations].concat();
                if let Some(offered) = &self.offered {
                    offered.write(keys.hash(), &mut server_first);
                }
                let challenge = server_first.clone().into_bytes();
                self.state = State::Proof { first, server_first, keys };
                Ok(ServerStep::Challenge(challenge))
            }
            _ => Err(misuse("keys that were not asked for")),
        }
    }

    /// Takes the answer to [`ServerStep::AskVerify`]: whether the password is right.
    ///
    /// # Errors
    ///
    /// `not-authorized` if it is not; `temporary-auth-failure` if it wasn't asked for.
    pub fn verified(&mut self, right: bool) -> Result<ServerStep, Failure> {
        match core::mem::replace(&mut self.state, State::Ended) {
            State::Verdict { username, authzid } if right => {
                Ok(ServerStep::Success { username, authzid, data: None })
            }
            State::Verdict { .. } => Err(not_authorized("wrong password or unknown user")),
            _ => Err(misuse("a verdict that was not asked for")),
        }
    }

    fn first(&mut self, data: &[u8]) -> Result<ServerStep, Failure> {
        if self.mechanism.is_for_tokens() {
            return Err(misuse("a mechanism for tokens has an exchange of its own"));
        }
        if self.mechanism.hash().is_none() {
            return self.plain(data);
        }
        let message = text(data).and_then(ClientFirst::parse).map_err(malformed)?;
        let binding = self.channel(message.flag)?;
        scram::nonce(&self.nonce).map_err(misuse)?;
        let expected = [message.gs2_header.as_bytes(), binding].concat();
        let (username, authzid) = (message.username.clone(), message.authzid.clone());
        self.state = State::Keys(First {
            nonce: [message.nonce, &self.nonce].concat(),
            bare: message.bare.into(),
            binding: to_base64(&expected),
            username: message.username,
            authzid: message.authzid,
        });
        Ok(ServerStep::AskCredentials { username, authzid })
    }

    /// The channel data that the client's final message must hold, if its flag fits (RFC 5802 section 6).
    fn channel(&self, flag: Flag<'_>) -> Result<&[u8], Failure> {
        match (flag, self.mechanism.is_plus()) {
            (Flag::Use(name), true) => {
                let binding = self.bindings.iter().find(|binding| binding.name() == name);
                binding.map(Binding::data).ok_or(Failure::of_binding(
                    "this type of channel binding is not supported here: use one that is announced",
                ))
            }
            (Flag::Use(_), false) => Err(malformed("channel binding without a -PLUS mechanism")),
            (_, true) => Err(malformed("a -PLUS mechanism without channel binding")),
            // The client saw no -PLUS mechanism although there was one: somebody took it out.
            (Flag::NotOffered, false) if self.plus_offered => Err(Failure::of_binding(
                "the client says that there is no channel binding here, but there is: somebody may have hidden it",
            )),
            (Flag::NotOffered | Flag::Unsupported, false) => Ok(&[]),
        }
    }

    fn plain(&mut self, data: &[u8]) -> Result<ServerStep, Failure> {
        let Plain { authzid, username, password } = Plain::parse(data).map_err(malformed)?;
        if PasswordForms::of(password).is_err() {
            return Err(not_authorized("the password can't be prepared"));
        }
        let password = Secret::new(String::from(password));
        let (username, authzid) = (String::from(username), authzid.map(String::from));
        self.state = State::Verdict { username: username.clone(), authzid: authzid.clone() };
        Ok(ServerStep::AskVerify { username, authzid, password })
    }
}

/// Checks the client's final message: binding, nonce, proof (RFC 5802 section 3).
fn check_final(
    first: First,
    server_first: &str,
    keys: &ScramKeys,
    message: &ClientFinal<'_>,
) -> Result<ServerStep, Failure> {
    if !bool::from(message.binding.as_bytes().ct_eq(first.binding.as_bytes())) {
        return Err(Failure::of_binding(
            "the channel bindings of the two ends do not match: somebody may stand in between",
        ));
    }
    if !bool::from(message.nonce.as_bytes().ct_eq(first.nonce.as_bytes())) {
        return Err(not_authorized("another nonce"));
    }
    let proof = Digest::from_slice(keys.hash(), &message.proof).ok_or(malformed("bad length of proof"))?;
    let auth_message = [&first.bare, ",", server_first, ",", message.without_proof].concat();
    if !keys.verify_proof(proof, &auth_message) {
        return Err(not_authorized("wrong password or unknown user"));
    }
    let data = ["v=", &to_base64(keys.server_signature(&auth_message).as_slice())].concat().into_bytes();
    Ok(ServerStep::Success { username: first.username, authzid: first.authzid, data: Some(data) })
}

impl fmt::Debug for ServerExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Start => "Start",
            State::Prompted => "Prompted",
            State::Keys(_) => "Keys",
            State::Proof { .. } => "Proof",
            State::Verdict { .. } => "Verdict",
            State::Ended => "Ended",
        };
        f.debug_struct("ServerExchange")
            .field("mechanism", &self.mechanism)
            .field("bindings", &self.bindings)
            .field("plus_offered", &self.plus_offered)
            .field("state", &format_args!("{state}"))
            .finish_non_exhaustive()
    }
}

fn malformed(reason: Syntax) -> Failure {
    Failure::new(SaslCondition::MalformedRequest, reason)
}

fn not_authorized(reason: Syntax) -> Failure {
    Failure::new(SaslCondition::NotAuthorized, reason)
}

/// The caller's mistake is not the client's fault, and may be gone next time.
fn misuse(reason: Syntax) -> Failure {
    Failure::new(SaslCondition::TemporaryAuthFailure, reason)
}

/// What a server does next.
#[must_use]
#[derive(Clone, Debug)]
pub enum ServerStep {
    /// Send this as a `<challenge/>`. It may be empty.
    Challenge(Vec<u8>),
    /// Look up the user's keys for the mechanism's hash and hand them to [`ServerExchange::credentials`]; for an unknown
    /// user, hand over [`fake_keys`](crate::fake_keys).
    AskCredentials {
        /// The user, as written by the client: not yet a valid localpart.
        username: String,
        /// For whom the user wants to act, if that is somebody else.
        authzid: Option<String>,
    },
    /// Check the password where it may take long ([`Credentials::verify_password`](crate::Credentials::verify_password))
    /// and hand the verdict to [`ServerExchange::verified`]; for an unknown user, check it against
    /// [`fake_keys`](crate::fake_keys), so that the time doesn't tell.
    AskVerify {
        /// The user, as written by the client: not yet a valid localpart.
        username: String,
        /// For whom the user wants to act, if that is somebody else.
        authzid: Option<String>,
        /// The password, as written by the client: which [form](PasswordForms) of it the keys are of is not known yet.
        password: Secret<String>,
    },
    /// The user has proven to be who they say. Whether they may act as `authzid` is the caller's to decide, with
    /// `invalid-authzid` if not (RFC 6120 section 6.3.8).
    Success {
        /// The user, as written by the client.
        username: String,
        /// For whom the user wants to act, if that is somebody else.
        authzid: Option<String>,
        /// What goes into `<success/>`.
        data: Option<Vec<u8>>,
    },
}
