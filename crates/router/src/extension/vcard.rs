//! vcard-temp (XEP-0054): the card that a user shows to everybody.

use alloc::vec::Vec;

use balcony_stanza::{ErrorCondition, IqType, Payload, StanzaError};
use balcony_xep::vcard::{NS, Request as Wanted};

use super::{Addressee, Context, Documents, Edit, Extension, Hold, Registry, Reply, Request};

const CARD: &str = "vcard";
const VERSION: u8 = 1;

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Vcard {
    /// How long a card may be, in bytes of XML. A stanza bounds it, too.
    pub bytes: usize,
}

impl Default for Vcard {
    fn default() -> Self {
        Vcard { bytes: 256 * 1024 }
    }
}

impl Extension for Vcard {
    const NAME: &'static str = "vcard";
    type Account = ();
    type Client = ();

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Server, NS);
        registry.feature(Addressee::Account, NS);
        registry.documents(CARD, VERSION, false);
        registry.public("vCard", NS, CARD, show);
        registry.set("vCard", NS, change);
    }
}

/// Of an account that does not exist and of one without a card others hear the same (section 3.3).
fn show(_: &Vcard, request: &Request<'_>, documents: &Documents<'_>) -> Result<Payload, StanzaError> {
    let missing = match request.is_own() {
        true => ErrorCondition::ItemNotFound,
        false => ErrorCondition::ServiceUnavailable,
    };
    let (_, card) = documents.of(CARD).next().ok_or(missing)?;
    Payload::from_bytes(&card.bytes).map_err(|_| ErrorCondition::InternalServerError.into())
}

fn change(vcard: &Vcard, context: &mut Context<'_, '_, Vcard>, request: &Request<'_>) -> Reply {
    match Wanted::read(IqType::Set, request.element, vcard.bytes) {
        Ok(Wanted::Set(card)) => {
            let edit = Edit::put(CARD, "", VERSION, card.as_bytes());
            context.save(Vec::from([edit]), Hold::Requests, |_, _| Reply::DONE)
        }
        Ok(Wanted::Get) => ErrorCondition::BadRequest.into(),
        Err(error) => error.into(),
    }
}
