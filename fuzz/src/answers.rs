//! A store with one account, which answers at once.

use std::sync::OnceLock;

use balcony_jid::BareJid;
use balcony_machine::Secret;
use balcony_sasl::{Credentials, Hash, Mechanism, SaltedPassword, salt_password};
use balcony_stanza::ErrorCondition;
use balcony_stream::client::{Client, ClientAnswer, ClientAsk};
use balcony_stream::component::{Component, ComponentAnswer, ComponentAsk};
use balcony_stream::s2s::{S2s, S2sAnswer, S2sAsk, Verdict};
use balcony_stream::server::{HeldToken, NewToken, Server, ServerAnswer, ServerAsk};
use balcony_stream::{Counts, Side, Stream};
use balcony_xep::sm::{Enabled, Resumable};

/// Who exists.
pub const ACCOUNT: &str = "juliet@example.com";
/// Their password.
pub const PASSWORD: &str = "pencil";
/// The session that is there and has counted nothing.
const SESSION: &str = "s";
const SALT: &[u8] = b"salt of the fuzz";
const ITERATIONS: u32 = 4096;

/// What the server has stored for the account.
pub fn credentials() -> &'static Credentials {
    static STORED: OnceLock<Credentials> = OnceLock::new();
    STORED.get_or_init(|| Credentials::derive(PASSWORD, SALT, ITERATIONS).expect("a good password"))
}

/// Answers what a stream asks, of whatever role. Nothing is hashed twice: that would be all that a run does.
pub fn answer<A: Asked>(ask: A) -> A::Answer {
    ask.answer()
}

/// What a stream asks.
pub trait Asked {
    /// The answer to it.
    type Answer;

    /// Answers it.
    fn answer(self) -> Self::Answer;
}

/// A role whose asks can be answered: every one.
pub trait Driven: Side<Ask: Asked<Answer = <Self as Side>::Answer>> {
    /// The owner has handled a stanza, where that is said.
    fn handled(_: &mut Stream<Self>, _: &mut Vec<u8>) {}
}

impl Driven for Client {
    fn handled(stream: &mut Stream<Self>, out: &mut Vec<u8>) {
        stream.handled(1, out);
    }
}

impl Driven for Server {
    fn handled(stream: &mut Stream<Self>, out: &mut Vec<u8>) {
        stream.handled(1, out);
    }
}

impl Driven for S2s {}

impl Driven for Component {}

impl Asked for ClientAsk {
    type Answer = ClientAnswer;

    // Right for the salt of our own server, and wrong for all others, as if the password were another one.
    fn answer(self) -> ClientAnswer {
        let ClientAsk::SaltPassword { hash, .. } = self;
        ClientAnswer::Salted(salted(hash).clone())
    }
}

impl Asked for ServerAsk {
    type Answer = ServerAnswer;

    fn answer(self) -> ServerAnswer {
        let exists = |account: &BareJid| account.as_str() == ACCOUNT;
        match self {
            ServerAsk::Credentials { account, hash } => {
                ServerAnswer::Credentials(credentials().get(hash).filter(|_| exists(&account)).cloned())
            }
            ServerAsk::Verify { account, password } => {
                let is_right = exists(&account) && password.expose() == PASSWORD;
                ServerAnswer::Verified(is_right.then(|| SALT.into()))
            }
            ServerAsk::KeysLacking { .. } => ServerAnswer::KeysLacking {
                hashes: Hash::all().to_vec(),
                salt: SALT.into(),
                iterations: ITERATIONS,
            },
            ServerAsk::AddKeys { .. } => ServerAnswer::KeysAdded,
            ServerAsk::Tokens { account, agent } => ServerAnswer::Tokens(
                Mechanism::for_tokens()
                    .iter()
                    .filter(|_| exists(&account) && agent == "fuzz")
                    .map(|mechanism| HeldToken {
                        id: 1,
                        mechanism: *mechanism,
                        token: Secret::new("token".into()),
                        is_new: true,
                        has_expired: false,
                        is_due: true,
                    })
                    .collect(),
            ),
            ServerAsk::KeepToken { agent, .. } if agent != "fuzz" => ServerAnswer::TokenGone,
            ServerAsk::KeepToken { wanted, .. } => ServerAnswer::TokenKept(
                wanted.map(|_| NewToken { token: Secret::new("token".into()), expires: 2_000_000_000 }),
            ),
            ServerAsk::Bind { account, resource: None, enable: Some(_), .. } => ServerAnswer::BoundEnabled(
                account.with_resource("counted").expect("a resource"),
                Enabled::default(),
            ),
            ServerAsk::Bind { account, resource, .. } => ServerAnswer::Bound(
                account
                    .with_resource(resource.as_deref().unwrap_or("made-by-the-server"))
                    .map_err(|_| ErrorCondition::BadRequest.into()),
            ),
            ServerAsk::Register { account, .. } if exists(&account) => {
                ServerAnswer::Registered(Err(ErrorCondition::Conflict.into()))
            }
            ServerAsk::Register { .. } => ServerAnswer::Registered(Ok(())),
            ServerAsk::Enable(enable) => {
                let resumable = Resumable { id: SESSION.into(), max: None, location: None };
                let resumable = enable.resume.then_some(resumable);
                ServerAnswer::Enabled(Ok(Enabled { resumable }))
            }
            ServerAsk::Resume { account, previd, .. } if previd == SESSION => ServerAnswer::Resumed {
                jid: account.with_resource("resumed").expect("a resource"),
                counts: Counts::default(),
            },
            ServerAsk::Resume { .. } => {
                ServerAnswer::NotResumed { condition: ErrorCondition::ItemNotFound, h: None }
            }
        }
    }
}

impl Asked for S2sAsk {
    type Answer = S2sAnswer;

    /// The server that is asked knows the keys that look right.
    fn answer(self) -> S2sAnswer {
        let verification = match self {
            S2sAsk::VerifyDialback(verification) => verification,
            S2sAsk::Earlier { h, .. } => return S2sAnswer::Earlier((h % 2 == 0).then_some(h)),
            S2sAsk::Vouch(domain) => return S2sAnswer::Vouched(domain.as_str().len() % 2 == 0),
        };
        S2sAnswer::Verdict(match verification.key.get(..4) {
            Some("good") => Verdict::Valid,
            Some("evil") => Verdict::Invalid,
            _ => Verdict::Error(ErrorCondition::RemoteServerNotFound),
        })
    }
}

impl Asked for ComponentAsk {
    type Answer = ComponentAnswer;

    fn answer(self) -> ComponentAnswer {
        let ComponentAsk::Attach { component } = self;
        ComponentAnswer::Attached(component.as_str() != "taken.example.com")
    }
}

fn salted(hash: Hash) -> &'static SaltedPassword {
    static SHA1: OnceLock<SaltedPassword> = OnceLock::new();
    static SHA256: OnceLock<SaltedPassword> = OnceLock::new();
    static SHA512: OnceLock<SaltedPassword> = OnceLock::new();
    let slot = match hash {
        Hash::Sha1 => &SHA1,
        Hash::Sha256 => &SHA256,
        _ => &SHA512,
    };
    slot.get_or_init(|| salt_password(hash, PASSWORD, SALT, ITERATIONS).expect("a good password"))
}
