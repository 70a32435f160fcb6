//! Sessions of old clients (RFC 3921 section 3): they exist since the resource was bound, so establishing one does nothing.

use balcony_stanza::{IqType, Payload, ns};

use super::{Extension, Registry, Reply};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Session;

impl Extension for Session {
    const NAME: &'static str = "session";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.server(IqType::Set, "session", ns::SESSION, |_, _, _| Ok(Payload::EMPTY));
        registry.set("session", ns::SESSION, |_, _, _| Reply::DONE);
    }
}
