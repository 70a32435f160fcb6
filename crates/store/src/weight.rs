//! How many bytes of memory something holds while it waits: what is in it, and a share for what is around it.

use balcony_jid::Jid;
use balcony_router::Change as Save;
use balcony_stanza::Stanza;

use crate::Change;

/// What each request holds beside what is in it: its account's address, keys, its reply, its place in a queue.
pub(crate) const REQUEST: usize = 512;

/// What each address, text or stanza holds beside its octets.
const PIECE: usize = 64;

pub(crate) fn change(change: &Change) -> usize {
    REQUEST
        + match change {
            Change::Create { .. } | Change::SetCredentials { .. } | Change::Remove { .. } => 0,
            Change::Save { changes, .. } => saves(changes),
            // It never waits in a queue.
            Change::Restore(_) => 0,
        }
}

pub(crate) fn saves(changes: &[Save]) -> usize {
    changes.iter().map(|change| PIECE + save(change)).sum()
}

fn save(change: &Save) -> usize {
    match change {
        Save::Roster { contact, item, request, .. } => {
            let texts = item.iter().flat_map(|item| item.name.iter().chain(&item.groups));
            contact.as_str().len()
                + item.as_ref().map_or(0, |item| item.jid.as_str().len())
                + texts.map(|text| PIECE + text.len()).sum::<usize>()
                + request.as_deref().map_or(0, stanza)
        }
        Save::Block(addresses) | Save::Unblock(addresses) => addresses.iter().map(jid).sum(),
        Save::UnblockAll | Save::DropOffline { .. } => 0,
        Save::PutOffline { message, .. } => stanza(message),
        Save::LastSeen(presence) => stanza(presence),
    }
}

fn jid(jid: &Jid) -> usize {
    PIECE + jid.as_str().len()
}

fn stanza(stanza: &Stanza) -> usize {
    let head = &stanza.head;
    let addresses = head.to.iter().chain(&head.from).map(jid).sum::<usize>();
    let texts = head.id.iter().chain(&head.lang).map(|text| text.len()).sum::<usize>();
    PIECE + addresses + texts + stanza.payload.as_bytes().len()
}
