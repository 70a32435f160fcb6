//! Ping (XEP-0199): the server answers for itself and for accounts.

use balcony_stanza::{IqType, Payload};
use balcony_xep::ping::NS;

use super::{Access, Addressee, Extension, Registry, Reply};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Ping;

impl Extension for Ping {
    const NAME: &'static str = "ping";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, NS);
        registry.feature(Addressee::Account, NS);
        registry.server(IqType::Get, "ping", NS, |_, _, _| Ok(Payload::EMPTY));
        registry.get(Access::Owner, "ping", NS, |_, _, _| Reply::DONE);
    }
}
