//! Carbons: copies of a conversation for the user's other clients (XEP-0280).

use balcony_jid::Jid;
use balcony_stanza::Stanza;
use balcony_xep::carbons::{Carbon, Direction, NS, is_copied, wrap};
use balcony_xep::delay::Delay;

use super::{AccountRef, Addressee, Client, Copies, Copying, Extension, Registry, Reply};

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Carbons;

impl Extension for Carbons {
    const NAME: &'static str = "carbons";
    type Account = ();
    /// Whether it wants copies.
    type Client = bool;

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, NS);
        registry.feature(Addressee::Account, NS);
        registry.set("enable", NS, |_, context, _| switch(context, true));
        registry.set("disable", NS, |_, context, _| switch(context, false));
        registry.bind_inline("enable", NS, |_, context, _| {
            let _ = switch(context, true);
        });
        registry.client_state(|wanted| [u8::from(*wanted)].into(), |state| Some(state == [1]));
        registry.copy(copy);
        registry.original(original);
    }
}

fn switch(context: &mut super::Context<'_, '_, Carbons>, wanted: bool) -> Reply {
    if let Some(wants) = context.client_mut() {
        *wants = wanted;
    }
    Reply::DONE
}

/// The message that another client was sent, with the time since when the copy has waited (XEP-0203).
fn original(copy: &Stanza) -> Option<Stanza> {
    let content = copy.payload.parse().ok()?;
    let carbon = Carbon::read(content.root()).filter(|carbon| carbon.direction == Direction::Received)?;
    let message = carbon.message;
    let Some(delay) = content.root().children().find_map(Delay::read) else { return Some(message) };
    let payload = message.payload.with(&delay.to_element());
    Some(message.with_payload(payload))
}

fn copy(
    _: &Carbons,
    account: AccountRef<'_, Carbons>,
    why: Copying<'_>,
    stanza: &Stanza,
    copies: &mut Copies<'_>,
) {
    // Another client of the same account knows what it has said.
    let is_sender = |client: &Client<'_, Carbons>| {
        stanza.head.from.as_ref().map(Jid::as_str) == Some(client.jid.as_str())
    };
    let mut others = account
        .clients()
        .filter(|client| *client.state)
        .filter(|client| match why {
            Copying::Sent(by) => client.session != by,
            Copying::Received(by) => !by.contains(&client.session) && !is_sender(client),
        })
        .peekable();
    let direction = match why {
        Copying::Sent(_) => Direction::Sent,
        Copying::Received(_) => Direction::Received,
    };
    // Only a message that somebody wants to see is looked into.
    if others.peek().is_none() || !is_copied(stanza, direction) {
        return;
    }
    let payload = wrap(stanza, direction);
    for other in others {
        let copy =
            Stanza::new(stanza.head.kind).with_from(account.owner().to_jid()).with_to(other.jid.to_jid());
        copies.give(other.session, copy.with_payload(payload.clone()));
    }
}
