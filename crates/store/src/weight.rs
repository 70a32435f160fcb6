//! How many bytes of memory something holds while it waits: what is in it, and a share for what is around it.

use balcony_jid::Jid;
use balcony_router::{Change as Save, LogEdit};
use balcony_stanza::Stanza;

use crate::Change;
use crate::collection::EditRef;

/// What each request holds beside what is in it: its account's address, keys, its reply, its place in a queue.
pub(crate) const REQUEST: usize = 512;

/// What each address, text or stanza holds beside its octets.
const PIECE: usize = 64;

pub(crate) fn change(change: &Change) -> usize {
    REQUEST
        + match change {
            Change::Create { .. }
            | Change::SetCredentials { .. }
            | Change::AddKeys { .. }
            | Change::KeepToken { .. }
            | Change::RevokeToken { .. }
            | Change::Remove { .. } => 0,
            Change::Save { changes, .. } => saves(changes),
            Change::Edit { edits, .. } => {
                edits.iter().map(|edit| PIECE + self::edit(edit.as_ref())).sum::<usize>()
            }
            Change::Clear { .. } => 0,
            // These never wait in a queue.
            Change::Restore(_) | Change::RestoreOwned(_) => 0,
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
        Save::LastSeen(presence) => stanza(presence),
        Save::Document { edit, .. } => self::edit(EditRef::Document(edit)),
        Save::Log { edit, .. } => self::edit(EditRef::Log(edit)),
    }
}

fn edit(edit: EditRef<'_>) -> usize {
    let (name, key, content) = match edit {
        EditRef::Document(edit) => (&edit.collection, edit.key.len(), edit.content.as_ref()),
        EditRef::Log(LogEdit::Append(entry)) => (&entry.log, entry.tag.len(), Some(&entry.content)),
        EditRef::Log(LogEdit::Trim { log, .. }) => (log, 0, None),
    };
    PIECE + name.len() + key + content.map_or(0, |content| content.bytes.len())
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
