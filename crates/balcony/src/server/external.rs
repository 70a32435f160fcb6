//! What a program does for its server's extensions.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_router::{Answer as RouterAnswer, Ask as RouterAsk};
use balcony_runtime::{Answer, Ask, Reply};

use super::AskFn;
use crate::Error;

/// The functions that answer extensions, by the extension's name.
pub(super) type Externals =
    BTreeMap<&'static str, Box<dyn Fn(BareJid, Arc<[u8]>, ExternalReply) + Send + Sync>>;

/// Takes back what an extension has asked its program for ([`Context::external`](super::extension::Context::external)): from any thread,
/// whenever it is there. If it is dropped, as when the thread that has it panics, the request fails at once.
#[must_use = "dropped, it fails the request"]
pub struct ExternalReply(Option<Reply>);

impl ExternalReply {
    /// The answer, in a form that the extension knows.
    pub fn answer(mut self, answer: impl Into<Arc<[u8]>>) {
        self.give(RouterAnswer::External(answer.into()));
    }

    /// There is none: the request fails with `internal-server-error`.
    pub fn refuse(self) {
        drop(self);
    }

    fn give(&mut self, answer: RouterAnswer) {
        if let Some(reply) = self.0.take() {
            reply(Answer::Router(answer));
        }
    }
}

impl Drop for ExternalReply {
    fn drop(&mut self) {
        self.give(RouterAnswer::Refused);
    }
}

impl fmt::Debug for ExternalReply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExternalReply")
    }
}

/// Whether the extensions that are named are among those of the server.
pub(super) fn check(externals: &Externals, extensions: &[&str]) -> Result<(), Error> {
    match externals.keys().find(|name| !extensions.contains(name)) {
        Some(name) => Err(Error::Config(format!(
            "`external` names the extension {name}, which the server does not have: give it one, with `configure`"
        ))),
        None => Ok(()),
    }
}

/// Asks of extensions that are named go to their functions, all others to `answers`.
pub(super) fn apart(externals: Externals, answers: AskFn) -> AskFn {
    if externals.is_empty() {
        return answers;
    }
    Box::new(move |ask, reply| match ask {
        Ask::Router(RouterAsk::External { account, extension, question }) => match externals.get(extension) {
            Some(answer) => answer(account, question, ExternalReply(Some(reply))),
            None => answers(Ask::Router(RouterAsk::External { account, extension, question }), reply),
        },
        ask => answers(ask, reply),
    })
}
