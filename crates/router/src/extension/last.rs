//! Last activity (XEP-0012): how long an account's user has been away, for those who see the user's presence; and how long the server
//! has been running.

use balcony_stanza::{ErrorCondition, IqType, Payload, ns};
use balcony_xep::last::{Last as Answer, NS};

use super::{Access, Addressee, Context, Extension, Registry, Reply, Request};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Last;

impl Extension for Last {
    const NAME: &'static str = "last";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, NS);
        registry.feature(Addressee::Account, NS);
        registry.server(IqType::Get, "query", NS, |_, server, _| {
            let answer = Answer { seconds: server.uptime().as_secs(), status: None };
            Ok(Payload::from(answer.to_element()))
        });
        registry.get(Access::Subscribers, "query", NS, of_account);
    }
}

/// Others are told of those clients alone whose presence they see; the user is here who asks for the own account (section 3).
fn of_account(_: &Last, context: &mut Context<'_, '_, Last>, _: &Request<'_>) -> Reply {
    if context.session().is_some() || context.account().clients().any(|client| client.is_available) {
        return Reply::from(Answer { seconds: 0, status: None }.to_element());
    }
    let Some((ago, presence)) = context.last_seen() else {
        return ErrorCondition::ItemNotFound.into();
    };
    let content = presence.payload.parse().ok();
    let status = content.as_ref().and_then(|content| {
        content.root().children().find(|child| child.name() == "status" && ns::is_content(child.namespace()))
    });
    let status = status.map(|status| status.text()).filter(|status| !status.is_empty());
    Reply::from(Answer { seconds: ago.as_secs(), status }.to_element())
}
