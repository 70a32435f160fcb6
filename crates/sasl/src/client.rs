//! The client's side of one try to authenticate (RFC 5802 for SCRAM, RFC 4616 for PLAIN).
//!
//! It takes no server that asks for too little work or too much, or that cannot prove to know the password. Which mechanism is
//! tried is decided by the stream; the nonce is drawn and PBKDF2 computed by the caller.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::{ApiMisuse, Secret};
use subtle::ConstantTimeEq as _;

use crate::base64::to_base64;
use crate::hash::Digest;
use crate::message::{Plain, check_authzid, check_username, text};
use crate::scram::{self, ServerFinal, ServerFirst, escape};
use crate::{
    BindingState, CredentialsError, Hash, MIN_ITERATIONS, Mechanism, Offered, PasswordForms, SaltedPassword,
};

/// The highest iteration count that a client accepts unless told otherwise: about a tenth of a second of work on a
/// fast machine. A server could otherwise keep a client busy for hours.
pub const DEFAULT_MAX_ITERATIONS: u32 = 1_000_000;

/// One try of one mechanism, from the client's side.
///
/// Send [`initial`](Self::initial) with `<auth/>`, hand each `<challenge/>` to [`challenge`](Self::challenge), and the
/// data of `<success/>` to [`success`](Self::success). Only when that returns `Ok` is the user logged in: SCRAM
/// authenticates the server too. The first error is final; every later call fails.
///
/// ```text
/// SCRAM  Start ─initial→ First ─challenge→ Salting ─salted→ Final ─success with v=→ Ended
///                                                             └─challenge with v=→ Proven ─success→ Ended
/// PLAIN  Start ─initial→ Proven ─success→ Ended
/// ```
pub struct ClientExchange {
    mechanism: Mechanism,
    username: String,
    password: PasswordForms,
    /// Whether the other form of the password is the one to send.
    is_other: bool,
    authzid: Option<String>,
    binding: BindingState,
    nonce: String,
    max_iterations: u32,
    /// What was offered, and what compares it with the server's word: a program that never does so does not have it in it.
    offered: Option<(Offered, IsTold)>,
    state: State,
}

type IsTold = fn(&Offered, Hash, &str) -> bool;

enum State {
    Start,
    /// SCRAM's first message is out.
    First {
        bare: String,
    },
    /// The server's first message has come; the salted password is missing.
    Salting {
        hash: Hash,
        auth_message: String,
        without_proof: String,
    },
    /// The proof is out.
    Final {
        server_signature: Digest,
    },
    /// What this side needs to know has been shown (SCRAM) or said (PLAIN); `<success/>` is missing.
    Proven,
    /// Over, for good or ill.
    Ended,
}

impl ClientExchange {
    /// A new exchange for this account.
    ///
    /// `username` is the localpart, in its enforced form (RFC 6120 section 6.3.7); `authzid` is only for who wants to act
    /// for someone else; `nonce` is random printable ASCII without commas, with 128 bits or more of randomness. `binding`
    /// must be [`Use`](BindingState::Use) for a `-PLUS` mechanism, must not be for other SCRAM mechanisms, and doesn't
    /// matter for PLAIN.
    ///
    /// # Errors
    ///
    /// [`SaslError::Password`] for a password that has no [form](PasswordForms), and [`SaslError::Misuse`] for all
    /// else that is wrong with the arguments: names that are empty, too long (1023 bytes for the user, 3071 for the
    /// authorization identity) or hold U+0000, a bad nonce, a binding that doesn't go with the mechanism.
    pub fn new(
        mechanism: Mechanism,
        username: impl Into<String>,
        password: Secret<String>,
        authzid: Option<String>,
        binding: BindingState,
        nonce: impl Into<String>,
    ) -> Result<Self, SaslError> {
        let (username, nonce) = (username.into(), nonce.into());
        check_username(&username).map_err(|_| misuse(ApiMisuse::Username))?;
        let authorized = authzid.as_deref().map_or(Ok(()), check_authzid);
        authorized.map_err(|_| misuse(ApiMisuse::AuthorizationIdentity))?;
        scram::nonce(&nonce).map_err(|_| misuse(ApiMisuse::Nonce))?;
        if mechanism.is_for_tokens() {
            return Err(misuse(ApiMisuse::TokenMechanism));
        }
        let binds = matches!(binding, BindingState::Use(_));
        if mechanism != Mechanism::Plain && mechanism.is_plus() != binds {
            return Err(misuse(ApiMisuse::ChannelBinding));
        }
        let password = PasswordForms::of(password.expose()).map_err(SaslError::Password)?;
        Ok(ClientExchange {
            mechanism,
            username,
            password,
            is_other: false,
            authzid,
            binding,
            nonce,
            max_iterations: DEFAULT_MAX_ITERATIONS,
            offered: None,
            state: State::Start,
        })
    }

    /// Whether the password has [another form](PasswordForms::other), worth one more try if the server refuses this one.
    #[must_use]
    pub fn has_other_form(&self) -> bool {
        self.password.other().is_some()
    }

    /// Proves or sends the other form of the password, if it has one.
    #[must_use]
    pub fn with_other_form(self) -> Self {
        ClientExchange { is_other: true, ..self }
    }

    /// Accepts up to this many iterations of PBKDF2, instead of [`DEFAULT_MAX_ITERATIONS`].
    #[must_use]
    pub fn with_max_iterations(self, max_iterations: u32) -> Self {
        ClientExchange { max_iterations, ..self }
    }

    /// The same, and a server that does not say what it has offered is not gone on with.
    #[must_use]
    pub fn with_offer_that_has_to_be_told(self, offered: Offered) -> Self {
        ClientExchange { offered: Some((offered, Offered::has_to_be_told)), ..self }
    }

    /// Compares what was offered with what the server says of it, if it does (XEP-0474, XEP-0515).
    #[must_use]
    pub fn with_offer(self, offered: Offered) -> Self {
        ClientExchange { offered: Some((offered, Offered::is_told)), ..self }
    }

    /// The mechanism.
    #[must_use]
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The initial response; `None` if it was taken before.
    ///
    /// It may go with `<auth/>`, which saves a round trip, or be kept for the server's empty challenge (RFC 6120 section
    /// 6.4.2): then don't call this, and [`challenge`](Self::challenge) will return it. For PLAIN it holds the password.
    pub fn initial(&mut self) -> Option<Vec<u8>> {
        if !matches!(self.state, State::Start) {
            return None;
        }
        if self.mechanism.hash().is_none() {
            self.state = State::Proven;
            let (authzid, username) = (self.authzid.as_deref(), self.username.as_str());
            return Some(Plain { authzid, username, password: self.password().expose() }.write());
        }
        let bare = format!("n={},r={}", escape(&self.username), self.nonce);
        let message = format!("{}{bare}", self.gs2_header());
        self.state = State::First { bare };
        Some(message.into_bytes())
    }

    /// Takes the data of a `<challenge/>`.
    ///
    /// # Errors
    ///
    /// [`Malformed`](SaslError::Malformed), [`Nonce`](SaslError::Nonce), [`Iterations`](SaslError::Iterations),
    /// [`Downgraded`](SaslError::Downgraded), [`Refused`](SaslError::Refused) and [`NotProven`](SaslError::NotProven): all of them mean that the exchange is to
    /// be aborted.
    pub fn challenge(&mut self, data: &[u8]) -> Result<ClientStep, SaslError> {
        if let (State::Start, []) = (&self.state, data) {
            return self.initial().map(ClientStep::Send).ok_or(misuse(ApiMisuse::ExchangeEnded));
        }
        match core::mem::replace(&mut self.state, State::Ended) {
            State::First { bare } => self.server_first(&bare, text(data).map_err(SaslError::Malformed)?),
            // The server may send its last message as a challenge, and `<success/>` without data after that.
            State::Final { server_signature } => {
                verify(&server_signature, data)?;
                self.state = State::Proven;
                Ok(ClientStep::Send(Vec::new()))
            }
            State::Ended => Err(misuse(ApiMisuse::ExchangeEnded)),
            State::Salting { .. } => Err(misuse(ApiMisuse::SaltedPasswordMissing)),
            State::Start | State::Proven => Err(SaslError::Malformed("a challenge where none belongs")),
        }
    }

    /// Takes the answer to [`ClientStep::AskSalted`].
    ///
    /// # Errors
    ///
    /// [`SaslError::Misuse`] if it wasn't asked for, or is for another hash.
    pub fn salted(&mut self, salted: SaltedPassword) -> Result<ClientStep, SaslError> {
        match core::mem::replace(&mut self.state, State::Ended) {
            State::Salting { hash, auth_message, without_proof } if hash == salted.hash() => {
                let client_key = salted.client_key();
                let stored_key = hash.digest(client_key.as_slice());
                let proof = client_key.xor(&hash.hmac(stored_key.as_slice(), &[auth_message.as_bytes()]));
                let server_signature = hash.hmac(salted.server_key().as_slice(), &[auth_message.as_bytes()]);
                self.state = State::Final { server_signature };
                let message = format!("{without_proof},p={}", to_base64(proof.as_slice()));
                Ok(ClientStep::Send(message.into_bytes()))
            }
            _ => Err(misuse(ApiMisuse::SaltedPasswordUnasked)),
        }
    }

    /// Takes the data of `<success/>`: `None` if the element is empty, `Some` of nothing if it holds `=` (RFC 6120
    /// section 6.4.6).
    ///
    /// # Errors
    ///
    /// [`NotProven`](SaslError::NotProven) if the server has not shown that it knows the password: then it is not the
    /// server that it claims to be, and the stream must not go on. [`Malformed`](SaslError::Malformed) and
    /// [`Refused`](SaslError::Refused) likewise.
    pub fn success(&mut self, data: Option<&[u8]>) -> Result<(), SaslError> {
        match (core::mem::replace(&mut self.state, State::Ended), data) {
            (State::Final { server_signature }, Some(data)) => verify(&server_signature, data),
            (State::Proven, None | Some([])) => Ok(()),
            (State::Proven, Some(_)) => Err(SaslError::Malformed("data with success where none belongs")),
            (State::Ended, _) => Err(misuse(ApiMisuse::ExchangeEnded)),
            _ => Err(SaslError::NotProven),
        }
    }

    /// The password, prepared, in the form that this exchange proves or sends.
    #[must_use]
    pub fn password(&self) -> &Secret<String> {
        self.password.other().filter(|_| self.is_other).unwrap_or(self.password.first())
    }

    fn gs2_header(&self) -> String {
        let authzid = self.authzid.as_deref().map(|authzid| format!("a={}", escape(authzid)));
        let authzid = authzid.unwrap_or_default();
        match &self.binding {
            BindingState::Unsupported => format!("n,{authzid},"),
            BindingState::SupportedNotOffered => format!("y,{authzid},"),
            BindingState::Use(binding) => format!("p={},{authzid},", binding.name()),
        }
    }

    fn server_first(&mut self, bare: &str, message: &str) -> Result<ClientStep, SaslError> {
        let ServerFirst { nonce, salt, iterations } =
            ServerFirst::parse(message).map_err(SaslError::Malformed)?;
        if nonce.len() <= self.nonce.len() || !nonce.starts_with(&self.nonce) {
            return Err(SaslError::Nonce);
        }
        if !(MIN_ITERATIONS..=self.max_iterations).contains(&iterations) {
            return Err(SaslError::Iterations(iterations));
        }
        let hash = self.mechanism.hash().ok_or(misuse(ApiMisuse::ExchangeEnded))?;
        if self.offered.as_ref().is_some_and(|(offered, is_told)| !is_told(offered, hash, message)) {
            return Err(SaslError::Downgraded);
        }
        let mut binding = self.gs2_header().into_bytes();
        if let BindingState::Use(channel) = &self.binding {
            binding.extend_from_slice(channel.data());
        }
        let without_proof = format!("c={},r={nonce}", to_base64(&binding));
        let auth_message = format!("{bare},{message},{without_proof}");
        self.state = State::Salting { hash, auth_message, without_proof };
        Ok(ClientStep::AskSalted { hash, password: self.password().clone(), salt: salt.into(), iterations })
    }
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Start => "Start",
            State::First { .. } => "First",
            State::Salting { .. } => "Salting",
            State::Final { .. } => "Final",
            State::Proven => "Proven",
            State::Ended => "Ended",
        };
        f.debug_struct("ClientExchange")
            .field("mechanism", &self.mechanism)
            .field("username", &self.username)
            .field("state", &format_args!("{state}"))
            .finish_non_exhaustive()
    }
}

const fn misuse(what: ApiMisuse) -> SaslError {
    SaslError::Misuse(what)
}

/// Checks the server's last message.
fn verify(server_signature: &Digest, data: &[u8]) -> Result<(), SaslError> {
    match text(data).and_then(ServerFinal::parse).map_err(SaslError::Malformed)? {
        ServerFinal::Error(error) => Err(SaslError::Refused(error.into())),
        ServerFinal::Verifier(signature) if server_signature.as_slice().ct_eq(&signature).into() => Ok(()),
        ServerFinal::Verifier(_) => Err(SaslError::NotProven),
    }
}

/// What a client does next.
#[must_use]
pub enum ClientStep {
    /// Send this as a `<response/>`. It may be empty.
    Send(Vec<u8>),
    /// Compute [`salt_password`](crate::salt_password) of these where it may take long, and hand the result to
    /// [`ClientExchange::salted`].
    AskSalted {
        /// The mechanism's hash.
        hash: Hash,
        /// The password, prepared.
        password: Secret<String>,
        /// The account's salt.
        salt: Box<[u8]>,
        /// The iteration count, within the bounds of the exchange.
        iterations: u32,
    },
}

impl fmt::Debug for ClientStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // With PLAIN these bytes are the password.
            ClientStep::Send(data) => write!(f, "Send({} bytes)", data.len()),
            ClientStep::AskSalted { hash, iterations, .. } => {
                write!(f, "AskSalted({hash:?}, {iterations} iterations)")
            }
        }
    }
}

/// Why a client's exchange failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SaslError {
    /// The caller did something that the documentation rules out.
    Misuse(ApiMisuse),
    /// The password can't be used.
    Password(CredentialsError),
    /// A message of the server breaks the syntax of the mechanism.
    Malformed(&'static str),
    /// The server's nonce doesn't continue ours: the message may be an old one, played again.
    Nonce,
    /// The server asks for fewer iterations than is safe, or for more than this client wants to work.
    Iterations(u32),
    /// The server refuses, and says why in its own words.
    Refused(String),
    /// The server has offered something else than what has come here: somebody in between has changed it (XEP-0474, XEP-0515).
    Downgraded,
    /// The server has not shown that it knows the password.
    NotProven,
}

impl fmt::Display for SaslError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaslError::Misuse(misuse) => misuse.fmt(f),
            SaslError::Password(error) => error.fmt(f),
            SaslError::Malformed(what) => write!(f, "malformed SASL message from the server: {what}"),
            SaslError::Nonce => f.write_str("the server's nonce does not continue the client's"),
            SaslError::Iterations(count) => write!(f, "the server asks for {count} iterations"),
            SaslError::Refused(error) => write!(f, "the server refuses: {error:?}"),
            SaslError::Downgraded => f.write_str("what the server has offered is not what has come here"),
            SaslError::NotProven => f.write_str("the server has not proven that it knows the password"),
        }
    }
}

impl core::error::Error for SaslError {}
