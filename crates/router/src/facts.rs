//! What the account of a stanza's recipient has to know of its sender. The sender's account says it when the stanza leaves it, and it
//! travels with the stanza: nobody looks into another account than the own one.

use balcony_jid::BareJid;
use balcony_roster::Subscription;

use crate::account::Account;

/// What is known of a stanza's sender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SenderFacts {
    /// The sender is a user of ours and sees the recipient's presence, so that there is nothing to hide. What users of other servers see
    /// the recipient's account alone can say.
    pub(crate) sees_presence: bool,
    /// Why the server says it, if it does.
    pub(crate) said: Said,
}

impl SenderFacts {
    /// Nothing is known of the sender.
    pub(crate) const STRANGER: SenderFacts = SenderFacts { sees_presence: false, said: Said::New };
}

/// Why the server says something in an account's name, where the recipient's account has to know that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Said {
    /// It follows from something new.
    #[default]
    New,
    /// The same: a client has said it about a subscription, and hears if it comes back from another server.
    ForClient,
    /// The same, and it is presence for a contact that sees the user's (sections 4.2.2, 4.4.2 and 4.5.2), if it still does when it is said.
    ToSubscriber,
    /// The same was said to the recipient's bare JID, just now: available resources have it (RFC 6121 section 4.6.3).
    ToAll,
    /// It was said before, and may have been lost (section 3.1.2). It must not cross an answer on its way back: if it would have to wait
    /// behind anything it is dropped.
    Again,
    /// It asks whether anybody is there (section 4.2.2): an account that is not in memory has nobody, and is not asked.
    WhoIsThere,
}

impl Account {
    /// Whether its user sees the contact's presence.
    pub(crate) fn sees(&self, contact: &BareJid) -> bool {
        let item = self.known().and_then(|known| known.roster.item(contact));
        item.is_some_and(|item| matches!(item.subscription, Subscription::To | Subscription::Both))
    }
}
