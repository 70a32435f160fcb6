//! Answers what a server asks: the glue between `balcony-server` and a [`Worker`].

use alloc::boxed::Box;
use alloc::string::ToString as _;
use alloc::sync::Arc;
use std::sync::{Mutex, PoisonError};

use balcony_sasl::{Credentials, Hash};
use balcony_server::{Answer, Ask, Reply as AnswerTo};
use balcony_stanza::{ErrorCondition, StanzaError};
use balcony_stream::server::ServerAnswer as Stream;

use crate::tokens::TokenLogin;
use crate::{Entries, Owner, Reply, Request, StoreError, Worker, sessions};

impl Worker {
    /// Finds the answer to what a server asks, and hands it to `reply` on a thread of the worker. Never waits: if the
    /// worker has too much to do already, the answer is at once that there is none.
    pub fn handle(&self, ask: Ask, reply: AnswerTo) {
        match ask {
            Ask::Stream(ask) => self.answer_stream(ask, reply),
            Ask::Router(ask) => self.answer_router(ask, reply),
            Ask::Sessions { domain, sessions } => {
                let request = sessions::keep(domain, sessions);
                self.put(request, reply, Answer::Sessions(false), |found| {
                    Answer::Sessions(matches!(found, Reply::Changed(true)))
                });
            }
            Ask::Holders { collection, after, limit } => {
                let request = Request::Holders { collection: collection.into(), after, limit };
                self.put(request, reply, Answer::Holders(None), |found| {
                    Answer::Holders(if let Reply::Accounts(accounts) = found { Some(accounts) } else { None })
                });
            }
        }
    }

    fn answer_stream(&self, ask: balcony_stream::server::ServerAsk, reply: AnswerTo) {
        use balcony_stream::server::ServerAsk as Q;
        match ask {
            Q::Credentials { account, hash } => {
                let translate = move |found| match found {
                    Reply::Credentials(credentials) => {
                        Stream::Credentials(credentials.and_then(|all| all.get_or_impossible(hash)))
                    }
                    _ => Stream::Unavailable,
                };
                self.put_stream(Request::Credentials { account }, reply, translate);
            }
            Q::Verify { account, password } => {
                self.put_stream(Request::Verify { account, password }, reply, |found| match found {
                    Reply::Verified(salt) => Stream::Verified(salt),
                    _ => Stream::Unavailable,
                });
            }
            Q::KeysLacking { account } => {
                self.put_stream(Request::Credentials { account }, reply, |found| match found {
                    Reply::Credentials(Some(credentials)) => lacking(&credentials),
                    _ => Stream::Unavailable,
                });
            }
            Q::AddKeys { account, keys } => {
                self.put_stream(Request::AddKeys { account, keys }, reply, |found| match found {
                    Reply::Changed(_) => Stream::KeysAdded,
                    _ => Stream::Unavailable,
                });
            }
            Q::Tokens { account, agent } => self.answer_tokens(account, agent, reply),
            Q::KeepToken { account, agent, name, used, wanted, salt } => {
                let login = TokenLogin { account, agent, name, used, wanted, salt };
                self.keep_token(login, reply);
            }
            Q::Register { account, password } => {
                let request = Request::Create { account, password, replace: false };
                self.put_stream(request, reply, |found| Stream::Registered(registered(&found)));
            }
            // Sessions are the router's.
            Q::Bind { .. } | Q::Enable(_) | Q::Resume { .. } => reply(Answer::Stream(Stream::Unavailable)),
        }
    }

    fn answer_router(&self, ask: balcony_router::Ask, reply: AnswerTo) {
        use balcony_router::Answer as A;
        let request = match ask {
            balcony_router::Ask::Load { account, collections } => Request::Kept { account, collections },
            balcony_router::Ask::Document { account, collection, key } => {
                Request::Document { owner: Owner::Account(account), collection, key }
            }
            balcony_router::Ask::Entries { account, log, bytes } => {
                Request::Entries { owner: Owner::Account(account), log, after: 0, bytes }
            }
            balcony_router::Ask::Save { account, changes, by_others } => {
                Request::Save { account, changes, by_others }
            }
            balcony_router::Ask::SetPassword { account, password } => {
                Request::SetPassword { account, password }
            }
            balcony_router::Ask::Remove { account } => Request::Remove { account },
            // Whoever has an extension of that kind answers it.
            balcony_router::Ask::External { .. } => return reply(Answer::Router(A::Refused)),
        };
        let translate = |found| {
            Answer::Router(match found {
                Reply::Kept(kept) => A::Loaded(kept),
                Reply::Document(content) => A::Document(content),
                Reply::Entries(Entries { entries, more }) => A::Entries { entries, more },
                Reply::Changed(true) => A::Saved,
                Reply::Failed(StoreError::Password(_)) => A::Unacceptable,
                _ => A::Refused,
            })
        };
        self.put(request, reply, Answer::Router(A::Refused), translate);
    }

    pub(crate) fn put_stream(
        &self,
        request: Request,
        reply: AnswerTo,
        translate: impl FnOnce(Reply) -> Stream + Send + 'static,
    ) {
        let busy = Answer::Stream(Stream::Unavailable);
        self.put(request, reply, busy, |found| Answer::Stream(translate(found)));
    }

    fn put(
        &self,
        request: Request,
        reply: AnswerTo,
        busy: Answer,
        translate: impl FnOnce(Reply) -> Answer + Send + 'static,
    ) {
        // A request that is refused takes its reply with it; this one has to come back.
        let reply = Arc::new(Mutex::new(Some(reply)));
        let kept = Arc::clone(&reply);
        let taken = self.submit(request, Box::new(move |found| send(&kept, translate(found))));
        if taken.is_err() {
            send(&reply, busy);
        }
    }
}

fn lacking(credentials: &Credentials) -> Stream {
    let Some(keys) = credentials.to_verify() else { return Stream::Unavailable };
    let hashes = Hash::all().iter().copied().filter(|hash| credentials.get(*hash).is_none()).collect();
    Stream::KeysLacking { hashes, salt: keys.salt().into(), iterations: keys.iterations() }
}

fn send(reply: &Mutex<Option<AnswerTo>>, answer: Answer) {
    if let Some(reply) = reply.lock().unwrap_or_else(PoisonError::into_inner).take() {
        reply(answer);
    }
}

fn registered(found: &Reply) -> Result<(), StanzaError> {
    match found {
        Reply::Changed(true) => Ok(()),
        Reply::Changed(false) => Err(StanzaError::new(ErrorCondition::Conflict, "this user name is taken")),
        Reply::Failed(error @ StoreError::Password(_)) => {
            Err(StanzaError { text: Some(error.to_string().into()), ..ErrorCondition::NotAcceptable.into() })
        }
        _ => Err(StanzaError::new(ErrorCondition::InternalServerError, "the account could not be stored")),
    }
}
