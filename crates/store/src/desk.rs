//! Answers what a server asks: the glue between `balcony-server` and a [`Worker`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use std::sync::{Mutex, PoisonError};

use balcony_server::{Answer, Ask, Reply as AnswerTo};
use balcony_stanza::{ErrorCondition, StanzaError};
use balcony_stream::Answer as Stream;

use crate::{Reply, Request, StoreError, Worker};

impl Worker {
    /// Finds the answer to what a server asks, and hands it to `reply` on a thread of the worker. Never waits: if the
    /// worker has too much to do already, the answer is at once that there is none.
    pub fn handle(&self, ask: Ask, reply: AnswerTo) {
        match ask {
            Ask::Stream(ask) => self.answer_stream(ask, reply),
            // Offline messages are not stored yet, so nothing is promised (RFC 6121 section 8.5.2.2.1 leaves the choice).
            Ask::Router(_) => reply(Answer::Router(balcony_router::Answer::Refused)),
        }
    }

    fn answer_stream(&self, ask: balcony_stream::Ask, reply: AnswerTo) {
        use balcony_stream::Ask as Q;
        match ask {
            Q::Credentials { account, hash } => {
                self.put(Request::Credentials { account }, reply, move |found| match found {
                    Reply::Credentials(credentials) => {
                        Stream::Credentials(credentials.and_then(|all| all.get(hash).cloned()))
                    }
                    _ => Stream::Unavailable,
                });
            }
            Q::Verify { account, password } => {
                self.put(Request::Verify { account, password }, reply, |found| match found {
                    Reply::Verified(right) => Stream::Verified(right),
                    _ => Stream::Unavailable,
                });
            }
            Q::Register { account, password } => {
                let request = Request::Create { account, password, replace: false };
                self.put(request, reply, |found| Stream::Registered(registered(&found)));
            }
            // Binding is the router's, and only clients salt passwords.
            _ => reply(Answer::Stream(Stream::Unavailable)),
        }
    }

    fn put(
        &self,
        request: Request,
        reply: AnswerTo,
        translate: impl FnOnce(Reply) -> Stream + Send + 'static,
    ) {
        // A request that is refused takes its reply with it; this one has to come back.
        let reply = Arc::new(Mutex::new(Some(reply)));
        let kept = Arc::clone(&reply);
        let taken = self.submit(request, Box::new(move |found| send(&kept, translate(found))));
        if taken.is_err() {
            send(&reply, Stream::Unavailable);
        }
    }
}

fn send(reply: &Mutex<Option<AnswerTo>>, answer: Stream) {
    if let Some(reply) = reply.lock().unwrap_or_else(PoisonError::into_inner).take() {
        reply(Answer::Stream(answer));
    }
}

fn registered(found: &Reply) -> Result<(), StanzaError> {
    match found {
        Reply::Changed(true) => Ok(()),
        Reply::Changed(false) => Err(StanzaError::new(ErrorCondition::Conflict, "this user name is taken")),
        Reply::Failed(StoreError::Password(_)) => {
            Err(StanzaError::new(ErrorCondition::NotAcceptable, "this password cannot be used"))
        }
        _ => Err(StanzaError::new(ErrorCondition::InternalServerError, "the account could not be stored")),
    }
}
