//! The roster, and who of it is there (RFC 6121 sections 2 to 4).

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use balcony_jid::{BareJid, Jid};
use balcony_roster::Item;
use balcony_stanza::{Stanza, ns};
use balcony_xep::ping::Ping;

use super::{Context, Extension};
use crate::{Contacts, Iq, RequestError, RequestId, Response};

/// How long the roster may take. It is asked for once in a session, and what comes later is not taken: a server to which all of its clients come
/// back at once may be slow, and a session may last for days.
const PATIENCE: Duration = Duration::from_secs(600);

/// Keeps the [`Contacts`] of the account up to date, and tells what is new about them: [`News`](crate::News), as notes.
///
/// Whenever the client comes online it asks for the roster, before initial presence (RFC 6121 section 2.2). Presence is read along,
/// and comes to the owner all the same.
///
/// Who may see the client, and who is in which group, is known from the time when the roster has come in a session: before that, and if the
/// server gives none, nobody may and is. What was [kept](Roster::with) from earlier is only shown. Where the server has versions and says that
/// only changes follow (section 2.6.3), the roster has come when they are here: nothing in the protocol says so, hence the server is pinged, whose
/// answer comes behind them.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    contacts: Option<Contacts>,
    progress: Progress,
}

/// How much of the roster is here, on this session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Progress {
    /// Nothing, and nothing will come.
    #[default]
    None,
    /// It was asked for.
    Asked(RequestId),
    /// That of an earlier session counts, with the changes that the server is sending. It was pinged after it had said that: its answer is
    /// behind them, since what one client asks is dealt with in order (RFC 6120 section 10.1).
    Changing(RequestId),
    All,
}

impl Roster {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Roster {
        Roster::default()
    }

    /// Begins with contacts that were [kept](Contacts::cached), those of the same account.
    #[must_use]
    pub fn with(contacts: Contacts) -> Roster {
        Roster { contacts: Some(contacts), ..Roster::default() }
    }

    /// The contacts; `None` before the client has been online for the first time.
    #[must_use]
    pub fn contacts(&self) -> Option<&Contacts> {
        self.contacts.as_ref()
    }

    /// Whether the roster is here, on this session.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.progress == Progress::All
    }

    /// What the roster says of somebody. What was known before this session counts for nothing: it may have been changed meanwhile.
    fn item(&self, somebody: &Jid) -> Option<&Item> {
        self.contacts.as_ref().filter(|_| self.is_loaded())?.item(&somebody.to_bare())
    }

    fn of(&mut self, account: BareJid) -> &mut Contacts {
        self.contacts.get_or_insert_with(|| Contacts::new(account))
    }
}

impl Extension for Roster {
    fn online(&mut self, context: &mut Context<'_>) {
        let features = context.server_features();
        let ask = self.of(context.jid().to_bare()).get(features);
        self.progress =
            context.request(Iq::get(ask).timeout(PATIENCE)).map_or(Progress::None, Progress::Asked);
    }

    fn offline(&mut self) {
        self.progress = Progress::None;
        if let Some(contacts) = &mut self.contacts {
            contacts.offline();
        }
    }

    fn take(&mut self, context: &mut Context<'_>, stanza: &Stanza) -> bool {
        let is_push = crate::services::is_push(stanza, context.jid());
        let Some(news) = self.of(context.jid().to_bare()).take(stanza) else { return false };
        context.note(news);
        is_push
    }

    fn sees(&self, somebody: &Jid) -> Option<bool> {
        Some(self.item(somebody).is_some_and(|item| item.subscription.has_from()))
    }

    fn groups(&self, somebody: &Jid) -> Option<Vec<String>> {
        let item = self.item(somebody)?;
        Some(item.groups.iter().map(|group| String::from(&**group)).collect())
    }

    fn answered(
        &mut self,
        context: &mut Context<'_>,
        request: RequestId,
        outcome: Result<Response, RequestError>,
    ) {
        self.progress = match (self.progress, outcome) {
            (Progress::Asked(asked), Ok(response)) if asked == request => {
                self.of(context.jid().to_bare()).load(response.stanza());
                if response.element().is_some_and(|element| element.is("query", ns::ROSTER)) {
                    Progress::All
                } else {
                    let ping = Iq::get(Ping.to_element());
                    context.request(ping).map_or(Progress::None, Progress::Changing)
                }
            }
            (Progress::Asked(asked), Err(_)) if asked == request => Progress::None,
            // A server that does not know the ping says so, and one that says nothing has long sent what it had.
            (Progress::Changing(asked), _) if asked == request => Progress::All,
            (progress, _) => progress,
        };
    }
}
