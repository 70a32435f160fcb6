//! What happens to contacts, in words.

use balcony_client::{Contacts, News, Show};
use balcony_jid::{BareJid, Jid};
use balcony_roster::Change;
use serde::Serialize;

use crate::output::clock;

/// Something that `listen` prints about a contact.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Notice {
    /// When, in seconds since the start of 1970 (UTC).
    time: u64,
    from: String,
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    show: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
}

impl Notice {
    /// The notice of this news; `None` if it is about the own account, or says what the user knows: a change of the roster
    /// is the work of the user's own clients, or shows in other news.
    pub(crate) fn of(news: &News, contacts: &Contacts, own: &BareJid, time: u64) -> Option<Notice> {
        let (from, kind) = match news {
            News::Available(jid) => (jid.as_str(), "available"),
            News::Unavailable(jid) => (jid.as_str(), "unavailable"),
            News::Request(jid) => (jid.as_str(), "subscribe"),
            News::Approved(jid) => (jid.as_str(), "subscribed"),
            News::Refused(jid) => (jid.as_str(), "unsubscribed"),
            News::Left(jid) => (jid.as_str(), "unsubscribe"),
            News::Roster(Change::Item(_) | Change::Removed(_)) | _ => return None,
        };
        let jid = Jid::parse(from).ok()?;
        if jid.bare_str() == own.as_str() {
            return None;
        }
        let presence = contacts.presence_of(&jid).filter(|_| kind == "available");
        Some(Notice {
            time,
            from: from.into(),
            kind,
            show: presence.and_then(|presence| presence.show.name()),
            status: presence.and_then(|presence| presence.statuses.best("")).map(str::to_owned),
        })
    }

    /// One line for a terminal. `own` is whom it is printed for.
    pub(crate) fn line(&self, own: &BareJid) -> String {
        let what = match self.kind {
            "available" => format!(" is {}", state(self.show, self.status.as_deref())),
            "unavailable" => " is offline".into(),
            "subscribe" => format!(
                " asks to see when you are online: `balcony roster --as {own} approve {from}`, or deny",
                from = self.from
            ),
            "subscribed" => " lets you see when they are online".into(),
            "unsubscribed" => " does not let you see when they are online".into(),
            _ => " no longer wants to see when you are online".into(),
        };
        format!("{} {}{what}", clock(self.time), self.from)
    }
}

/// How available somebody is, in words.
pub(crate) fn state(show: Option<&str>, status: Option<&str>) -> String {
    let show = match show {
        None => "online",
        Some("chat") => "online, and glad to chat",
        Some("away") => "away",
        Some("xa") => "away for longer",
        Some("dnd") => "online, but not to be disturbed",
        Some(other) => other,
    };
    match status {
        Some(status) => format!("{show}: {status}"),
        None => show.into(),
    }
}

/// The words of a person for how available they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Availability {
    #[default]
    Online,
    /// Glad to chat
    Chat,
    /// Away for a short while
    Away,
    /// Away for longer
    Xa,
    /// Not to be disturbed
    Dnd,
}

impl From<Availability> for Show {
    fn from(availability: Availability) -> Show {
        match availability {
            Availability::Online => Show::Online,
            Availability::Chat => Show::Chat,
            Availability::Away => Show::Away,
            Availability::Xa => Show::Xa,
            Availability::Dnd => Show::Dnd,
        }
    }
}
