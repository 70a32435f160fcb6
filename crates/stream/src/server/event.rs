//! What a server's stream to a client tells and asks.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use balcony_jid::{BareJid, FullJid};
use balcony_machine::{Secret, Ticket};
use balcony_sasl::{Hash, Mechanism, ScramKeys, TokenUse};
use balcony_stanza::{ErrorCondition, Stanza, StanzaError};
use balcony_xep::sm::{Enable, Enabled};
use balcony_xml::Element;

use crate::counts::Counts;

/// What a client's stream tells the server.
#[derive(Debug)]
pub enum ServerEvent {
    /// The next byte of input is the first of TLS. Run the handshake, then call
    /// [`Stream::secured`](crate::Stream::secured). Output up to here goes out in the clear.
    StartTls,
    /// Something slow is needed; the stream waits until [`Stream::answer`](crate::Stream::answer).
    Ask(Ticket, Box<ServerAsk>),
    /// The client is who it says it is. The stream restarts, unless SASL2 goes on with it.
    Authenticated {
        /// The account.
        account: BareJid,
        /// How it was proven.
        mechanism: Mechanism,
    },
    /// An attempt to authenticate failed; for the log.
    AuthenticationFailed {
        /// The SASL error and why, in words for the log. The peer is told less.
        reason: &'static str,
        /// The account that was tried, if it is known that there is one of that name. Other names are for no log: they may be passwords that
        /// were typed in the wrong place. With PLAIN, and with tokens, it is not known.
        account: Option<BareJid>,
    },
    /// The client has proven who it is, and gets no resource; for the log. It may ask for another one, or, where it asked within its login
    /// (XEP-0386), log in again. After [so many](balcony_machine::Limits::bind_attempts) of them the stream ends.
    BindRefused {
        /// The account.
        account: BareJid,
        /// What the answer to [`ServerAsk::Bind`] said.
        error: StanzaError,
    },
    /// A resource is bound: negotiation is complete and stanzas flow.
    Bound(FullJid),
    /// Stream management is enabled (XEP-0198): what is sent from here on counts, and comes back as [`Acked`](ServerEvent::Acked).
    /// Where it was enabled with the [bind](ServerAnswer::BoundEnabled), all counts from the first stanza on, and this does not come.
    Enabled,
    /// The session of an earlier stream goes on here (XEP-0198 section 5). Send again, in their order, all stanzas but those that are
    /// acknowledged, before any other.
    Resumed {
        /// The resource that the session has.
        jid: FullJid,
        /// So many of the stanzas that the stream before was given to send have got through, from the oldest that was not
        /// acknowledged on.
        acknowledged: u32,
    },
    /// The client has handled so many more of the stanzas that this stream was given to [send](crate::Stream::send): at least one, the
    /// oldest first. What has been sent before stream management was enabled is not among them.
    Acked(u32),
    /// The client sent a stanza. Its `from` is what was authenticated.
    Stanza(Box<Stanza>),
    /// The client sent one of the [elements](super::ServerStreamConfig::elements) that are the owner's. It stands in its place among the
    /// stanzas, and is not counted as one.
    Element(Element),
}

/// What a client's stream asks of the server, as it may take long.
#[derive(Debug)]
pub enum ServerAsk {
    /// What is stored for this account and hash? Answer with [`ServerAnswer::Credentials`].
    Credentials {
        /// The account that somebody wants to log in to.
        account: BareJid,
        /// Which keys.
        hash: Hash,
    },
    /// Is this the account's password? Slow on purpose. Answer with [`ServerAnswer::Verified`].
    Verify {
        /// The account that somebody wants to log in to.
        account: BareJid,
        /// What they sent.
        password: Secret<String>,
    },
    /// Which keys does the account lack? Its client has logged in, and can help with [those that are
    /// offered](super::ServerStreamConfig::upgrades) (XEP-0480). Answer with [`ServerAnswer::KeysLacking`].
    KeysLacking {
        /// The account.
        account: BareJid,
    },
    /// Keep these keys for the account, if it has none for their hash, and its others have the same salt and iteration count: else its
    /// password is another one by now. Answer with [`ServerAnswer::KeysAdded`] after they are durable.
    AddKeys {
        /// The account.
        account: BareJid,
        /// The keys.
        keys: ScramKeys,
    },
    /// Which tokens has this client of the account (XEP-0484)? Answer with [`ServerAnswer::Tokens`], for an account that does not exist
    /// with none, and after the same time.
    Tokens {
        /// The account that somebody wants to log in to.
        account: BareJid,
        /// What the client calls its installation (XEP-0388).
        agent: String,
    },
    /// A client has logged in, by one of its tokens or otherwise, and wants another token, or to end that one (XEP-0484 sections 3.3 to
    /// 3.6). Keep it, as [`Tokens`](balcony_sasl::Tokens) does. Answer with [`ServerAnswer::TokenKept`] after it is durable, or
    /// [`ServerAnswer::TokenGone`].
    KeepToken {
        /// The account.
        account: BareJid,
        /// What the client calls its installation.
        agent: String,
        /// What it calls itself and its device, for people.
        name: String,
        /// The token that it has logged in by.
        used: Option<TokenUse>,
        /// The mechanism for which it is to have a new one.
        wanted: Option<Mechanism>,
        /// The salt of the keys by which it has proven its password, if it has not logged in by a token. If the account has others by now,
        /// the password is another one, or the account is, and there is no token: [`ServerAnswer::TokenGone`].
        salt: Option<Box<[u8]>>,
    },
    /// Bind a resource. Answer with [`ServerAnswer::Bound`], or [`ServerAnswer::BoundEnabled`].
    Bind {
        /// Whose resource.
        account: BareJid,
        /// What the client asked for; `None` leaves the choice to the server.
        resource: Option<String>,
        /// With what its resource ends, and those of all other sessions that the same installation of a client has bound so: they are to
        /// end (XEP-0386 section 3.2). `None` if the client has not said which one it is, or binds otherwise.
        installation: Option<String>,
        /// What else it wants done on the way: its `<bind/>` of Bind 2, if that has something in it (XEP-0386 section 3.2).
        inline: Option<Element>,
        /// Whether it wants stream management on the way (XEP-0386 section 3.2): [`ServerAnswer::BoundEnabled`] gives it that.
        enable: Option<Enable>,
    },
    /// Enable stream management for this session (XEP-0198 section 3). Answer with [`ServerAnswer::Enabled`].
    Enable(Enable),
    /// Let a session go on, on this stream instead of its own (XEP-0198 section 5). Answer with [`ServerAnswer::Resumed`], when all that
    /// its stream has brought is handled, or [`ServerAnswer::NotResumed`].
    Resume {
        /// Whose session it must be.
        account: BareJid,
        /// What the server has called it.
        previd: String,
        /// The stanzas that the client has handled in it. The stream compares them with its [`Counts`]: if they are more than were sent it ends, and if
        /// they are fewer than the client has acknowledged before it says that the session is gone (`item-not-found`).
        h: u32,
    },
    /// Create an account (XEP-0077). Answer with [`ServerAnswer::Registered`] after it is durable.
    Register {
        /// The account wanted.
        account: BareJid,
        /// Its password.
        password: Secret<String>,
    },
}

/// A token that a client may log in by.
#[derive(Clone, Debug)]
pub struct HeldToken {
    /// Its number, for [`TokenUse`].
    pub id: u64,
    /// By which mechanism alone.
    pub mechanism: Mechanism,
    /// The token itself.
    pub token: Secret<String>,
    /// Whether the client has not used it yet.
    pub is_new: bool,
    /// Whether it has ended.
    pub has_expired: bool,
    /// Whether the client should get another one.
    pub is_due: bool,
}

/// A token that a client is given.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// The token itself.
    pub token: Secret<String>,
    /// When it ends, in seconds since the start of 1970 (UTC).
    pub expires: u64,
}

/// The answer to a [`ServerAsk`].
#[derive(Debug)]
pub enum ServerAnswer {
    /// The keys; `None` if there is no such account.
    Credentials(Option<ScramKeys>),
    /// The salt of the keys that the password fits; `None` if it is wrong.
    Verified(Option<Box<[u8]>>),
    /// The keys that the account lacks.
    KeysLacking {
        /// For these hashes.
        hashes: Vec<Hash>,
        /// The salt of those that it has.
        salt: Box<[u8]>,
        /// The iteration count of those that it has.
        iterations: u32,
    },
    /// The keys are kept, or were not wanted any more.
    KeysAdded,
    /// The client's tokens; those that have ended, too, as long as they are known.
    Tokens(Vec<HeldToken>),
    /// It is kept, with the token that the client is to have.
    TokenKept(Option<NewToken>),
    /// The token that the client has logged in by has ended meanwhile.
    TokenGone,
    /// The full JID, or why not.
    Bound(Result<FullJid, StanzaError>),
    /// The full JID, and stream management with it.
    BoundEnabled(FullJid, Enabled<'static>),
    /// What the client is told of stream management, or why it does not have it.
    Enabled(Result<Enabled<'static>, ErrorCondition>),
    /// The session goes on. The stream that it had until now is to be ended with `conflict`, without making it unavailable, and
    /// what that still brings is not the session's.
    Resumed {
        /// The resource that it has. One of another account is not given to the client.
        jid: FullJid,
        /// The [counts](crate::Stream::counts) of its stream, which have gone on with what was [handled](Counts::handled) since.
        counts: Counts,
    },
    /// There is no such session.
    NotResumed {
        /// Why not: `item-not-found` if it is unknown, of another account, or over.
        condition: ErrorCondition,
        /// The stanzas that were handled in it, if that is still known.
        h: Option<u32>,
    },
    /// Whether the account was created, or why not.
    Registered(Result<(), StanzaError>),
    /// The question can't be answered now.
    Unavailable,
}
