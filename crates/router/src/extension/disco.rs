//! Service discovery (XEP-0030): what the server and its accounts offer is what extensions have registered.

use balcony_stanza::{ErrorCondition, IqType, Payload, StanzaError};
use balcony_xep::disco::{INFO, ITEMS, Identity, Items, Query, info};

use super::{Access, Addressee, Context, Extension, Registry, Reply, Request, Server};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Disco;

impl Extension for Disco {
    const NAME: &'static str = "disco";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        for of in [Addressee::Server, Addressee::Account] {
            registry.feature(of, INFO);
            registry.feature(of, ITEMS);
        }
        registry.server(IqType::Get, "query", INFO, of_server);
        registry.server(IqType::Get, "query", ITEMS, |_, _, request| {
            node(request)?;
            Ok(Payload::from(Items::default().to_element()))
        });
        registry.get(Access::Subscribers, "query", INFO, of_account);
        // That an account has no items everybody may hear, be there one or not (section 8).
        registry.every_account(IqType::Get, "query", ITEMS, |_, _, request| {
            let node = Query::read(request.element).and_then(|query| query.node);
            Ok(Payload::from(Items { node, ..Items::default() }.to_element()))
        });
    }
}

fn of_server(_: &Disco, server: Server<'_>, request: &Request<'_>) -> Result<Payload, StanzaError> {
    node(request)?;
    let identity = Identity::new("server", "im").named(&server.software().name);
    Ok(Payload::from(info(None, &[identity], server.features(Addressee::Server))))
}

fn of_account(_: &Disco, context: &mut Context<'_, '_, Disco>, request: &Request<'_>) -> Reply {
    let features = context.server().features(Addressee::Account);
    Reply::from(node(request).map(|()| info(None, &[Identity::new("account", "registered")], features)))
}

/// There are no nodes here.
fn node(request: &Request<'_>) -> Result<(), StanzaError> {
    match request.element.attr("node") {
        Some(_) => Err(ErrorCondition::ItemNotFound.into()),
        None => Ok(()),
    }
}
