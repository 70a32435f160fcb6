//! Delivery receipts (XEP-0184).

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use balcony_jid::Jid;
use balcony_stanza::{Kind, MessageType, Stanza, ns};
use balcony_xep::receipts::{NS, Receipt};

use super::{Context, Extension};

/// Tells senders that their messages have come, and the owner that its own have: by [`Delivered`], as a note.
///
/// A message asks for a receipt with [`request_receipt`](crate::MessageBuilder::request_receipt). To whoever asks us, a receipt tells
/// that this client is online (section 8), so it is up to the owner whether strangers get some.
#[derive(Clone, Debug, Default)]
pub struct Receipts {
    answers: bool,
}

/// A message has come to the other person's client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The id of the message that was sent.
    pub id: String,
    /// Where it has come; to be compared with where it was sent, since anybody can write a receipt.
    pub by: Jid,
}

impl Receipts {
    /// Gives a receipt to everybody who asks for one.
    #[must_use]
    pub fn for_everyone() -> Receipts {
        Receipts { answers: true }
    }

    /// Gives none, and only watches for those of others.
    #[must_use]
    pub fn for_nobody() -> Receipts {
        Receipts { answers: false }
    }
}

impl Extension for Receipts {
    fn features(&self) -> Vec<Cow<'static, str>> {
        if self.answers { vec![Cow::Borrowed(NS)] } else { Vec::new() }
    }

    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        let Kind::Message(kind) = stanza.head.kind else { return false };
        let Ok(content) = stanza.payload.parse() else { return false };
        let (Some(receipt), Some(from)) =
            (content.root().children().find_map(Receipt::read), stanza.head.from.as_ref())
        else {
            return false;
        };
        match (receipt, kind) {
            // Of the errors about receipts nothing comes, and a room would be flooded (section 5.3).
            (_, MessageType::Error) | (Receipt::Request, MessageType::Groupchat) => false,
            (Receipt::Request, _) => {
                if let (Some(id), true) = (stanza.head.id.as_deref(), self.answers) {
                    let receipt = Receipt::Received { id: Cow::Borrowed(id) };
                    // Without room for it there is none: whoever waits for it must be able to do without.
                    let _ = context
                        .send(Stanza::message(kind).with_to(from.clone()).with_child(receipt.to_element()));
                }
                false
            }
            (Receipt::Received { id }, _) => {
                context.note(Delivered { id: id.into_owned(), by: from.clone() });
                // What somebody has to say beside it is for the owner.
                content.root().child("body", ns::CLIENT).is_none()
            }
        }
    }
}
