//! What can belong to one extension only, and the error when two have registered it. Which of them it was meant for nobody could say:
//! a request would be answered by whoever was added first, and two would write into the same documents.

use alloc::vec::Vec;
use core::fmt;

use balcony_stanza::IqType;

use super::extensions::MOST;
use super::{Addressee, Asked};

/// What one extension registers and no other can have, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Claim {
    /// A feature that discovery announces: each is there once (XEP-0115 section 5.4).
    Feature(Addressee, &'static str),
    /// A request that it answers.
    Request(Asked),
    /// What a client may want when it binds: the name and the namespace of the element.
    Inline(&'static str, &'static str),
    /// A collection, of documents or a log, by its name.
    Collection(&'static str),
    /// That its log is [replayed](super::Registry::replay).
    Replay,
}

/// Why extensions can't be put together.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Clash {
    /// Two have registered the same, or one has registered it twice.
    Both {
        /// What.
        claim: Claim,
        /// The name of the one that was added first.
        first: &'static str,
        /// The name of the other.
        second: &'static str,
    },
    /// There is no room for this one: a server has at most 64.
    TooMany(&'static str),
}

/// What was registered so far, and by which extension.
#[derive(Debug, Default)]
pub(super) struct Claims {
    all: Vec<(Claim, u8)>,
    /// The first thing that was registered twice, and by whom.
    pub(super) twice: Option<(Claim, u8, u8)>,
}

impl Claims {
    /// This extension has registered it.
    pub(super) fn add(&mut self, claim: Claim, index: u8) {
        match self.all.iter().find(|(other, _)| *other == claim) {
            Some((_, first)) => self.twice = self.twice.or(Some((claim, *first, index))),
            None => self.all.push((claim, index)),
        }
    }
}

impl fmt::Display for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Claim::Feature(of, feature) => write!(f, "the feature {feature} of {of}"),
            Claim::Request(Asked { of, kind, name, namespace }) => {
                let kind = if *kind == IqType::Set { "set" } else { "get" };
                write!(f, "the {kind} {{{namespace}}}{name} to {of}")
            }
            Claim::Inline(name, namespace) => write!(f, "{{{namespace}}}{name} of a client that binds"),
            Claim::Collection(name) => write!(f, "the collection {name}"),
            Claim::Replay => f.write_str("the log that is replayed"),
        }
    }
}

impl fmt::Display for Addressee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Addressee::Server => "the server",
            Addressee::Account => "an account",
        })
    }
}

/// The same words as `Display`: a `main` that returns it shows what is wrong.
impl fmt::Debug for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Clash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Clash::Both { claim, first, second } if first == second => {
                write!(f, "the extension '{first}' registers {claim} twice")
            }
            Clash::Both { claim, first, second } => {
                write!(f, "the extensions '{first}' and '{second}' both register {claim}")
            }
            Clash::TooMany(name) => {
                write!(f, "there is no room for the extension '{name}' beside {MOST} others")
            }
        }
    }
}

impl core::error::Error for Clash {}
