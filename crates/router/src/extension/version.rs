//! Software version (XEP-0092): what the server says it is.

use balcony_stanza::{IqType, Payload};
use balcony_xep::version::{NS, Software};

use super::{Addressee, Extension, Registry};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Version;

impl Extension for Version {
    const NAME: &'static str = "version";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, NS);
        registry.server(IqType::Get, "query", NS, |_, server, _| {
            let software = server.software();
            let software =
                Software { name: (&*software.name).into(), version: (&*software.version).into(), os: None };
            Ok(Payload::from(software.to_element()))
        });
    }
}
