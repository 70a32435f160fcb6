//! What an extension wants to have done that is no answer to a request: a request in the server's name, a change, a message of the server,
//! a line for the log, and to be called later. The router does it when the function has returned (`orders.rs` there); not for an account
//! that is not loaded, as it may be when a client binds.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_stanza::{MessageType, Payload, Stanza, StanzaError};

use super::{Call, Context, Edit, Extension};
use crate::{Effect, Level, SessionId};

/// A message that waits for the user of an account: see [`Registry::waits`](super::Registry::waits).
#[derive(Clone, Copy, Debug)]
pub struct Waiting<'a> {
    /// The message; a copy, too (XEP-0280).
    pub message: &'a Stanza,
    /// The client of the account for which it waits: it has lost its connection, or has not acknowledged the message for a while
    /// (XEP-0198). `None` if it is stored for whoever comes next (XEP-0160).
    pub client: Option<SessionId>,
    /// The extension may have been told of it before, of another client or of this one.
    pub is_again: bool,
}

/// What an entity has answered to a request of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {
    /// The iq result has this content.
    Result(Payload),
    /// It has failed: the entity says so, or the server, of an entity that can't be reached.
    Error(StanzaError),
    /// There was no answer in time: for a minute and a half.
    Nothing,
}

/// Something that is to be done for the extension of this place.
pub(crate) struct Order {
    pub(crate) account: BareJid,
    pub(crate) index: u8,
    pub(crate) what: What,
}

pub(crate) enum What {
    Request { to: Jid, payload: Payload, then: Respond },
    Save(Vec<Edit>),
    Tell(Stanza),
    Wake(Duration),
}

/// How an extension goes on with an answer.
pub(crate) type Respond = Box<dyn FnOnce(&mut Call<'_>, Response) + Send + Sync>;

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order")
            .field("account", &self.account)
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

impl<X: Extension> Context<'_, '_, X> {
    /// Writes a line to the server's log. It holds nothing secret, nor what people say to each other.
    pub fn log(&mut self, level: Level, line: String) {
        self.call.effects.push(Effect::Log(level, line));
    }

    /// Sends an iq set with this content to an entity, in the name of the account's domain, and goes on with the answer. A client of an
    /// account of this server gets it if it may get requests of the account's user (RFC 6121 section 8.5.3.1). The account stays in memory
    /// until then; if it ends there is no answer.
    pub fn request(
        &mut self,
        to: Jid,
        payload: Payload,
        then: impl FnOnce(&X, &mut Context<'_, '_, X>, Response) + Send + Sync + 'static,
    ) {
        let typed = Arc::clone(self.typed);
        let then = move |call: &mut Call<'_>, response: Response| {
            typed.with(call, |x, context| then(x, context, response));
        };
        self.order(What::Request { to, payload, then: Box::new(then) });
    }

    /// Has these changes kept, and waits for nothing: what is in memory is changed by the caller, at once. If the store does not make
    /// them they are lost when the account is loaded the next time. `false`, and nothing is done, while a change that a request wants is
    /// under way, since it is not known which of them is the last.
    #[must_use]
    pub fn save_beside(&mut self, edits: Vec<Edit>) -> bool {
        let may_save = self.call.account.commits == 0;
        if may_save && !edits.is_empty() {
            self.order(What::Save(edits));
        }
        may_save
    }

    /// Sends the account's user a message with this content in the name of the account's domain. If nobody is there it is stored.
    pub fn tell(&mut self, payload: Payload) {
        let owner = self.call.owner;
        let Ok(domain) = BareJid::from_parts(None, owner.domainpart()) else { return };
        let message = Stanza::message(MessageType::Normal).with_from(domain.into()).with_to(owner.to_jid());
        self.order(What::Tell(message.with_payload(payload)));
    }

    /// Has [`Registry::woken`](super::Registry::woken) called after so long, a millisecond at least. There is one such time for each
    /// account: a later call sets it anew. The account stays in memory until then.
    pub fn wake(&mut self, after: Duration) {
        self.order(What::Wake(after));
    }

    fn order(&mut self, what: What) {
        let order = Order { account: self.call.owner.clone(), index: self.typed.index, what };
        self.call.orders.push(order);
    }
}
