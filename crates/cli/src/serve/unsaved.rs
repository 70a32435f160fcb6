//! The sessions that a server which shuts down could not have kept: what the exit status says.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use balcony_server::{Answer, Ask, Reply};

use crate::failure::Failure;

/// Those whose last answer was that they are not kept, by their addresses: a server asks more than once.
#[derive(Clone, Debug, Default)]
pub(super) struct Unsaved(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl Unsaved {
    /// What takes the answer to what a server asks, and keeps it in mind if it is about sessions.
    pub(super) fn note(&self, ask: &Ask, reply: Reply) -> Reply {
        let Ask::Sessions { sessions, .. } = ask else { return reply };
        let addresses: Vec<_> = sessions.iter().map(|session| Arc::clone(&session.key)).collect();
        let all = Arc::clone(&self.0);
        Box::new(move |answer| {
            let is_kept = matches!(answer, Answer::Sessions(true));
            let mut unsaved = all.lock().unwrap_or_else(PoisonError::into_inner);
            for address in addresses {
                if is_kept {
                    unsaved.remove(&address);
                } else {
                    unsaved.insert(address);
                }
            }
            drop(unsaved);
            reply(answer);
        })
    }

    /// Fails if there are any, when all has been answered.
    pub(super) fn result(&self) -> Result<(), Failure> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).len() {
            0 => Ok(()),
            count => Err(Failure::new(format!(
                "{count} sessions that waited for their clients could not be kept, and may have ended with messages, see above: is the \
                 disk full?"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use balcony_router::Content;
    use balcony_server::SavedSession;

    use super::*;

    fn answered(unsaved: &Unsaved, addresses: &[&str], is_kept: bool) {
        let content = Content { version: 1, bytes: Arc::from([].as_slice()) };
        let session = |key: &&str| SavedSession { key: Arc::from(*key), content: content.clone() };
        let sessions = addresses.iter().map(session).collect();
        let ask = Ask::Sessions { domain: "example.com".parse().unwrap(), sessions };
        let (told, hears) = std::sync::mpsc::channel();
        let reply = unsaved.note(&ask, Box::new(move |answer| told.send(answer).unwrap()));
        reply(Answer::Sessions(is_kept));
        assert!(matches!(hears.recv(), Ok(Answer::Sessions(kept)) if kept == is_kept));
    }

    // What counts is what was said last of each.
    #[test]
    fn who_is_kept_at_last_is_not_lost() {
        let unsaved = Unsaved::default();
        answered(&unsaved, &["juliet@example.com/phone", "romeo@example.com/street"], false);
        assert!(unsaved.result().unwrap_err().to_string().starts_with("2 sessions"));
        answered(&unsaved, &["juliet@example.com/phone"], true);
        answered(&unsaved, &["romeo@example.com/street"], false);
        assert!(unsaved.result().unwrap_err().to_string().starts_with("1 sessions"));
        answered(&unsaved, &["romeo@example.com/street"], true);
        assert!(unsaved.result().is_ok());
    }
}
