//! `balcony roster`: whom an account knows, who sees whom, and who is blocked.

use balcony_client::{Contacts, RequestKind};
use balcony_jid::{BareJid, Jid};
use balcony_roster::{Item, Request, Set, Subscription};
use balcony_stanza::{ErrorCondition, Kind, PresenceType, Stanza, StanzaError};
use balcony_xep::blocking::{self, BlockList};
use serde::Serialize;

use crate::args::{RosterArgs, RosterCommand};
use crate::connect::{Connector, runtime};
use crate::failure::Failure;
use crate::message;
use crate::output::{self, note, say};
use crate::presence::onlooker;
use crate::random::random;
use crate::session::Session;
use crate::values::{Contact, Text};

pub(crate) fn run(args: RosterArgs) -> Result<(), Failure> {
    let connector = Connector::of_client(args.account, args.connect)?;
    runtime()?.block_on(Session::run(&connector, async |session| {
        session.load().await?;
        perform(session, args.command.unwrap_or_default()).await
    }))
}

async fn perform(session: &mut Session, command: RosterCommand) -> Result<(), Failure> {
    match command {
        RosterCommand::List { json, requests } => list(session, json, requests).await,
        RosterCommand::Add { contact: Contact(contact), name, group } => {
            add(session, contact, name, group).await
        }
        RosterCommand::Remove { contact: Contact(contact) } => remove(session, contact).await,
        RosterCommand::Approve { contact: Contact(contact) } => approve(session, contact).await,
        RosterCommand::Deny { contact: Contact(contact) } => deny(session, contact).await,
        RosterCommand::Block { address } => {
            is_other(session, &address)?;
            session.set(blocking::block([address.as_str()]).into()).await?;
            say(&format!("{address} is blocked: nothing passes between you"));
            Ok(())
        }
        RosterCommand::Unblock { address } => unblock(session, address).await,
        RosterCommand::Blocked => blocked(session).await,
    }
}

/// Requests come to clients that are available only (RFC 6121 section 3.1.3), so for these this one is for a moment.
async fn list(session: &mut Session, json: bool, requests: bool) -> Result<(), Failure> {
    if requests {
        session.send(&onlooker().to_stanza()).await?;
        session.settle().await?;
    }
    let contacts = &session.contacts;
    let strangers = contacts.requests().filter(|asking| contacts.item(asking).is_none());
    let strangers: Vec<Item> = strangers.cloned().map(Item::new).collect();
    let rows: Vec<Row<'_>> = contacts
        .items()
        .chain(&strangers)
        .map(|item| Row::new(item, contacts.requests().any(|asking| *asking == item.jid)))
        .collect();
    let width = rows.iter().map(|row| row.jid.chars().count()).max().unwrap_or_default();
    for row in &rows {
        let line = match json {
            true => output::json(row)?,
            false => row.line(width),
        };
        output::print(&line)?;
    }
    if rows.is_empty() {
        note("there are no contacts yet; `balcony roster add` makes one");
    }
    Ok(())
}

/// A contact as it is printed.
#[derive(Debug, Serialize)]
struct Row<'a> {
    jid: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    groups: &'a [Box<str>],
    subscription: &'static str,
    /// You have asked to see them.
    asked: bool,
    /// They ask to see you.
    asks: bool,
    /// They will be let in when they ask.
    approved: bool,
}

impl<'a> Row<'a> {
    fn new(item: &'a Item, asks: bool) -> Self {
        Row {
            jid: item.jid.as_str(),
            name: item.name.as_deref(),
            groups: &item.groups,
            subscription: item.subscription.name(),
            asked: item.ask,
            asks,
            approved: item.approved,
        }
    }

    fn line(&self, width: usize) -> String {
        let mut facts = Vec::new();
        match self.subscription {
            "both" => facts.push("you see each other"),
            "to" => facts.push("you see them"),
            "from" => facts.push("they see you"),
            _ => {}
        }
        if self.asked {
            facts.push("you have asked to see them");
        }
        if self.asks {
            facts.push("they ask to see you (approve or deny)");
        }
        if self.approved {
            facts.push("they may see you when they ask");
        }
        if facts.is_empty() {
            facts.push("neither sees the other");
        }
        let name = self.name.map(|name| format!("  {name}")).unwrap_or_default();
        let groups =
            if self.groups.is_empty() { String::new() } else { format!("  [{}]", self.groups.join(", ")) };
        format!("{:width$}  {}{name}{groups}", self.jid, facts.join("; "))
    }
}

/// Both ways: the contact is asked, and let in, now or when it asks. What is not said about a contact stays as it is.
async fn add(
    session: &mut Session,
    contact: BareJid,
    name: Option<Text>,
    groups: Vec<Text>,
) -> Result<(), Failure> {
    is_other(session, &contact.to_jid())?;
    let known = session.contacts.item(&contact).cloned();
    let is_changed = known.is_none() || name.is_some() || !groups.is_empty();
    let known = known.unwrap_or_else(|| Item::new(contact.clone()));
    if is_changed {
        let groups = if groups.is_empty() {
            known.groups
        } else {
            groups.iter().map(|group| group.as_str().into()).collect()
        };
        let name = name.map(|name| name.as_str().into()).or(known.name);
        let set = Request::Set(Set { jid: contact.clone(), name, groups });
        session.set(set.to_element().into()).await?;
    }
    // RFC 6121 section 3.4.1: only where the server knows approvals in advance.
    if session.client.machine().features().pre_approval {
        tell(session, PresenceType::Subscribed, &contact).await?;
    }
    let asks = !known.subscription.has_to();
    if asks {
        tell(session, PresenceType::Subscribe, &contact).await?;
    }
    let (errors, unreachable) = session.settle_with(&contact).await?;
    // What was put into the roster stays there, whatever becomes of the request.
    let stays = |failure: Failure| {
        let failure = failure.message();
        Failure::new(format!("{failure}; {contact} is a contact all the same, until `balcony roster remove`"))
    };
    refused(&errors, &contact).map_err(stays)?;
    // A server need not say so of the request itself: this client is not available.
    if let Some(error) = unreachable.filter(|_| asks) {
        return Err(stays(cannot_be_reached(&contact, &error)));
    }
    let subscription =
        |contacts: &Contacts| contacts.item(&contact).map(|item| item.subscription).unwrap_or_default();
    if subscription(&session.contacts) == Subscription::From {
        // Whoever is seen has often approved in advance.
        session.watch(|contacts| subscription(contacts) == Subscription::Both).await?;
    }
    let words = match subscription(&session.contacts) {
        Subscription::Both => "is a contact: you see each other",
        Subscription::To => "is a contact: you see when they are online",
        Subscription::From => {
            "is a contact and sees when you are online; they have been asked to show theirs"
        }
        Subscription::None => "is a contact now, and has been asked",
    };
    say(&format!("{contact} {words}"));
    Ok(())
}

async fn remove(session: &mut Session, contact: BareJid) -> Result<(), Failure> {
    let request = Request::Remove(contact.clone()).to_element();
    match session.change(request.into()).await? {
        Ok(_) => say(&format!("{contact} is no contact any more; neither sees the other")),
        Err(error) if error.condition == ErrorCondition::ItemNotFound => {
            return Err(Failure::new(format!("{contact} is no contact; `balcony roster` shows who is")));
        }
        Err(error) => return Err(Failure::new(message::explained(&error))),
    }
    Ok(())
}

async fn approve(session: &mut Session, contact: BareJid) -> Result<(), Failure> {
    tell(session, PresenceType::Subscribed, &contact).await?;
    refused(&session.settle().await?, &contact)?;
    match session.contacts.item(&contact) {
        Some(item) if item.subscription.has_from() => {
            say(&format!("{contact} sees when you are online"));
            Ok(())
        }
        Some(item) if item.approved => {
            say(&format!("{contact} has not asked; once they do they see when you are online"));
            Ok(())
        }
        _ => Err(Failure::new(format!("{contact} has not asked; `balcony roster add` asks them"))),
    }
}

async fn deny(session: &mut Session, contact: BareJid) -> Result<(), Failure> {
    tell(session, PresenceType::Unsubscribed, &contact).await?;
    refused(&session.settle().await?, &contact)?;
    say(&format!("{contact} does not see when you are online"));
    Ok(())
}

/// Nobody is their own contact, and blocking oneself does nothing, or cuts one's own clients off from each other, as the server likes.
fn is_other(session: &Session, address: &Jid) -> Result<(), Failure> {
    match address.bare_str() == session.jid().bare_str() {
        true => Err(Failure::new(format!("{address} is this account itself"))),
        false => Ok(()),
    }
}

/// A server says the same whether anything has changed or not.
async fn unblock(session: &mut Session, address: Jid) -> Result<(), Failure> {
    let blocked = block_list(session).await?;
    if !blocked.iter().any(|jid| Jid::parse(jid).is_ok_and(|jid| jid == address)) {
        return Err(Failure::new(format!("{address} is not blocked; `balcony roster blocked` shows who is")));
    }
    session.set(blocking::unblock([address.as_str()]).into()).await?;
    say(&format!("{address} is not blocked any more"));
    Ok(())
}

async fn blocked(session: &mut Session) -> Result<(), Failure> {
    let jids = block_list(session).await?;
    for jid in &jids {
        output::print(jid)?;
    }
    if jids.is_empty() {
        note("nobody is blocked");
    }
    Ok(())
}

/// Who is blocked, in order.
async fn block_list(session: &mut Session) -> Result<Vec<String>, Failure> {
    let request = blocking::Request::List.to_element();
    let result = match session.request(RequestKind::Get, request.into()).await? {
        Ok(result) => result,
        Err(error) => return Err(Failure::new(message::explained(&error))),
    };
    let Ok(content) = result.payload.parse() else { return Ok(Vec::new()) };
    let list = content.root().children().find_map(BlockList::read).unwrap_or_default();
    let mut jids: Vec<String> = list.jids.iter().map(ToString::to_string).collect();
    jids.sort_unstable();
    Ok(jids)
}

/// Sends presence that manages a subscription (RFC 6121 section 3).
async fn tell(session: &mut Session, kind: PresenceType, contact: &BareJid) -> Result<(), Failure> {
    session.tell(&Stanza::presence(kind).with_to(contact.to_jid()).with_id(random()?.token(16))).await
}

/// Whether one of these errors is about presence to the contact.
fn refused(errors: &[Stanza], contact: &BareJid) -> Result<(), Failure> {
    let is_about = |stanza: &&Stanza| {
        let from = stanza.head.from.as_ref();
        matches!(stanza.head.kind, Kind::Presence(_))
            && from.is_some_and(|from| from.bare_str() == contact.as_str())
    };
    match errors.iter().find(is_about).and_then(message::error) {
        Some(error) => Err(cannot_be_reached(contact, &error)),
        None => Ok(()),
    }
}

fn cannot_be_reached(contact: &BareJid, error: &StanzaError) -> Failure {
    Failure::new(format!("{contact} cannot be reached: {}", message::explained(error)))
}
