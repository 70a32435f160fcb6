//! SASL upgrade tasks (XEP-0480): a client that has logged in with its password gives the server what it needs to keep keys for another
//! hash, without the password.

use alloc::vec::Vec;

use balcony_sasl::{Hash, from_base64, to_base64};
use balcony_stanza::ns;
use balcony_xml::ElementRef;

use super::sasl::Profile;
use crate::framing::Framing;

const NS: &str = "urn:xmpp:sasl:upgrade:0";
const SCRAM_NS: &str = "urn:xmpp:scram-upgrade:0";
/// What stands before the name of the mechanism in that of its task.
const PREFIX: &str = "UPGR-";

/// The hash that a task is about, if it is one of ours.
fn hash_of(task: &str) -> Option<Hash> {
    let mechanism = task.strip_prefix(PREFIX)?;
    Hash::all().iter().copied().find(|hash| hash.scram().name() == mechanism)
}

/// The server's offer, and the client's request: an element for each task (section 2).
pub(crate) fn write_tasks(hashes: &[Hash], out: &mut Vec<u8>) {
    for hash in hashes {
        for part in ["<upgrade xmlns='", NS, "'>", PREFIX, hash.scram().name(), "</upgrade>"] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

/// The tasks in an offer or a request that are known here, each of them once.
pub(crate) fn tasks(element: ElementRef<'_>) -> Vec<Hash> {
    let mut tasks = Vec::new();
    for hash in element.children().filter(|child| child.is("upgrade", NS)) {
        if let Some(hash) = hash_of(&hash.text()).filter(|hash| !tasks.contains(hash)) {
            tasks.push(hash);
        }
    }
    tasks
}

/// The server wants this task done before it lets the client in (XEP-0388 section 2.6.3). `data` ends the mechanism's exchange.
pub(crate) fn write_continue(framing: Framing, data: Option<&[u8]>, hash: Hash, out: &mut Vec<u8>) {
    framing.element(out, |out| {
        out.extend_from_slice(b"<continue xmlns='urn:xmpp:sasl:2'>");
        if let Some(data) = data {
            out.extend_from_slice(b"<additional-data>");
            Profile::Extensible.encode(data, out);
            out.extend_from_slice(b"</additional-data>");
        }
        for part in ["<tasks><task>", PREFIX, hash.scram().name(), "</task></tasks></continue>"] {
            out.extend_from_slice(part.as_bytes());
        }
    });
}

/// The tasks that a server wants done, as far as they are known here.
#[cfg(feature = "upgrade")]
pub(crate) fn wanted(element: ElementRef<'_>) -> impl Iterator<Item = Hash> {
    let tasks = element.child("tasks", ns::SASL2);
    let tasks = tasks.into_iter().flat_map(|tasks| tasks.children());
    tasks.filter(|task| task.is("task", ns::SASL2)).filter_map(|task| hash_of(&task.text()))
}

/// The client begins with this task.
#[cfg(feature = "upgrade")]
pub(crate) fn write_next(framing: Framing, hash: Hash, out: &mut Vec<u8>) {
    framing.element(out, |out| {
        for part in ["<next xmlns='urn:xmpp:sasl:2' task='", PREFIX, hash.scram().name(), "'/>"] {
            out.extend_from_slice(part.as_bytes());
        }
    });
}

/// The task that a client begins with, if it is known here.
pub(crate) fn next(element: ElementRef<'_>) -> Option<Hash> {
    element.attr("task").and_then(hash_of)
}

/// What the client hashes its password with (section 3).
pub(crate) fn write_salt(framing: Framing, salt: &[u8], iterations: u32, out: &mut Vec<u8>) {
    let iterations = alloc::format!("{iterations}");
    write_data(
        framing,
        &["<salt xmlns='", SCRAM_NS, "' iterations='", &iterations, "'>"],
        salt,
        "</salt>",
        out,
    );
}

/// That salt, and how often.
#[cfg(feature = "upgrade")]
pub(crate) fn salt(element: ElementRef<'_>) -> Option<(Vec<u8>, u32)> {
    let salt = element.child("salt", SCRAM_NS)?;
    let iterations = salt.attr("iterations")?.parse().ok()?;
    Some((decode(salt)?, iterations))
}

/// `SaltedPassword` (section 3).
#[cfg(feature = "upgrade")]
pub(crate) fn write_hash(framing: Framing, salted: &[u8], out: &mut Vec<u8>) {
    write_data(framing, &["<hash xmlns='", SCRAM_NS, "'>"], salted, "</hash>", out);
}

/// That.
pub(crate) fn hash(element: ElementRef<'_>) -> Option<Vec<u8>> {
    decode(element.child("hash", SCRAM_NS)?)
}

fn write_data(framing: Framing, start: &[&str], data: &[u8], end: &str, out: &mut Vec<u8>) {
    framing.element(out, |out| {
        for part in ["<task-data xmlns='", ns::SASL2, "'>"].iter().chain(start) {
            out.extend_from_slice(part.as_bytes());
        }
        out.extend_from_slice(to_base64(data).as_bytes());
        for part in [end, "</task-data>"] {
            out.extend_from_slice(part.as_bytes());
        }
    });
}

/// What an element holds, if it holds something.
fn decode(element: ElementRef<'_>) -> Option<Vec<u8>> {
    from_base64(&element.text()).filter(|data| !data.is_empty())
}
