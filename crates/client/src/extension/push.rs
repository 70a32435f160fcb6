//! Push notifications (XEP-0357), on the side of the client that wants to be woken.

use alloc::collections::BTreeMap;

use balcony_xep::push::Request;

use super::{CallId, Callable, Context, Extension};
use crate::{Iq, RequestError, RequestId, Response};

/// Has the server of the account tell a push service when messages wait for this client, and stops that. The server remembers it: it is
/// asked for again where the service or its node may have changed, best whenever a session begins.
#[derive(Clone, Debug, Default)]
pub struct Push {
    open: BTreeMap<RequestId, CallId>,
}

impl Push {
    /// Nothing has been asked yet.
    #[must_use]
    pub fn new() -> Push {
        Push::default()
    }
}

impl Extension for Push {
    fn answered(
        &mut self,
        context: &mut Context<'_>,
        request: RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        if let Some(call) = self.open.remove(&request) {
            context.complete::<Push>(call, outcome.map(drop));
        }
    }
}

impl Callable for Push {
    type Command = Request<'static>;
    /// Whether the server does so.
    type Outcome = Result<(), RequestError>;

    fn call(&mut self, context: &mut Context<'_>, call: CallId, command: Request<'static>) {
        match context.request(Iq::set(command.to_element())) {
            Ok(request) => drop(self.open.insert(request, call)),
            Err(error) => context.complete::<Push>(call, Err(error)),
        }
    }
}
