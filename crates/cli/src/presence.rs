//! `balcony presence`: who is online now.

use balcony_client::{Presence, Show};
use balcony_roster::Item;
use serde::Serialize;

use crate::args::PresenceArgs;
use crate::connect::{Connector, runtime};
use crate::failure::Failure;
use crate::news::state;
use crate::output::{self, note};
use crate::session::Session;

/// A resource that is online.
#[derive(Debug, Serialize)]
struct Online<'a> {
    jid: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    show: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    priority: i8,
}

/// Presence of a client that is there to look: nobody should take it for somebody to talk to, and it takes no messages away from others.
pub(crate) fn onlooker() -> Presence {
    Presence { show: Show::Xa, priority: -1, ..Presence::default() }
}

pub(crate) fn run(args: PresenceArgs) -> Result<(), Failure> {
    let connector = Connector::of_client(args.account, args.connect)?;
    runtime()?.block_on(Session::run(&connector, async |session| {
        session.load().await?;
        session.send(&onlooker().to_stanza()).await?;
        session.settle_everywhere().await?;
        print(session, args.json)
    }))
}

fn print(session: &Session, json: bool) -> Result<(), Failure> {
    let own = session.jid().to_bare();
    let mut online = Vec::new();
    for item in session.contacts.items() {
        online.extend(session.contacts.resources(&item.jid).map(|found| (Some(item), &item.jid, found)));
    }
    let others = session.contacts.resources(&own).filter(|(name, _)| *name != session.jid().resourcepart());
    online.extend(others.map(|found| (None, &own, found)));
    for (item, bare, (resource, presence)) in &online {
        let jid = if resource.is_empty() { bare.to_string() } else { format!("{bare}/{resource}") };
        let name = item.and_then(|item: &Item| item.name.as_deref());
        let (show, status) = (presence.show.name(), presence.statuses.best(""));
        let line = if json {
            let online = Online { jid, name, show, status, priority: presence.priority };
            output::json(&online)?
        } else {
            let who = match (item, name) {
                (None, _) => " (you)".into(),
                (_, Some(name)) => format!(" ({name})"),
                (_, None) => String::new(),
            };
            format!("{jid}{who} is {}", state(show, status))
        };
        output::print(&line)?;
    }
    if online.is_empty() {
        note(&format!("nobody is online whom {own} may see"));
    }
    Ok(())
}
