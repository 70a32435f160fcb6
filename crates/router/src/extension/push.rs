//! Push notifications: a service of a client is told that messages wait for it, so that it can wake the device (XEP-0357).
//!
//! A registration is a service and a node, and belongs to the client that has enabled it. It is told of a message that says something to a
//! person (the same that goes at once to a client that nobody uses, XEP-0352) when that waits for this client's session, which has no
//! connection or does not acknowledge it (XEP-0198), or is stored for whoever comes (XEP-0160) while this client is not connected. It
//! does not matter whether another client has got the message: nobody knows whether a person sits there.
//!
//! The first is told at once, and what comes in the next seconds then, together, unless the client is back. A service that fails for good is
//! disabled, and the user is told so; one that fails for now is tried again, later each time. Each of these has its line in the log.

mod registration;

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::time::Duration;

use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, ErrorType, Payload, StanzaError, ns};
use balcony_xep::data_form::DataForm;
use balcony_xep::push::{self, Disable, Enable, NS, Notification, Publish, Summary};
use balcony_xml::{Element, Name};

use super::matters::{body_of, why_not_wake};
use super::{
    Addressee, Context, Damaged, Documents, Edit, Extension, Hold, Registry, Reply, Request, Response,
    Waiting,
};
use crate::Level;
use registration::mark;
pub use registration::{Registration, Registrations};

const REGISTRATIONS: &str = "push";
const VERSION: u8 = 1;
/// How long a node may be, in bytes: with the address it is the key of a document.
const NODE: usize = 1_000;
/// How much of what a message says is told, in bytes.
const BODY: usize = 256;
/// How long it takes until a service that has failed is tried again: so long the first time, then twice as long each time, up to an hour.
const FIRST_RETRY: Duration = Duration::from_secs(60);
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub struct Push {
    /// How many registrations an account may have. One more takes the place of the one that was enabled first.
    pub registrations: usize,
    /// How long what a service wants back with each notification may be, in bytes.
    pub options: usize,
    /// How much time there is between two notifications to a registration, at least.
    pub interval: Duration,
    /// After so many failures in a row a registration is disabled also if its service fails for now only.
    pub errors: u32,
    /// Whether a service is told how many messages have come since its client was last seen.
    pub count: bool,
    /// Whether it is told who has sent the latest.
    pub sender: bool,
    /// Whether it is told what that says, the first 256 bytes. What is encrypted is not known here.
    pub body: bool,
}

impl Default for Push {
    /// Of the summary the count alone: senders and texts are nobody else's concern (XEP-0357 section 9).
    fn default() -> Self {
        Push {
            registrations: 16,
            options: 2_048,
            interval: Duration::from_secs(10),
            errors: 30,
            count: true,
            sender: false,
            body: false,
        }
    }
}

impl Extension for Push {
    const NAME: &'static str = "push";
    type Account = Registrations;
    /// Whether something has come for it since it was last connected.
    type Client = bool;

    fn load(&self, documents: &Documents<'_>) -> Result<Self::Account, Damaged> {
        let registration = |key: &str, bytes: &[u8]| Registration::read(key, bytes).ok_or(Damaged);
        let kept = documents.of(REGISTRATIONS);
        let kept: Result<BTreeMap<_, _>, Damaged> =
            kept.map(|(key, content)| Ok((Box::from(key), registration(key, &content.bytes)?))).collect();
        kept.map(Registrations::new)
    }

    fn register(&self, registry: &mut Registry<'_, Self>) {
        registry.feature(Addressee::Account, NS);
        registry.documents(REGISTRATIONS, VERSION, true);
        registry.set("enable", NS, asked);
        registry.set("disable", NS, asked);
        registry.waits(waits);
        registry.woken(woken);
        registry.resumed(|_, has_missed| *has_missed = false);
    }
}

fn asked(push: &Push, context: &mut Context<'_, '_, Push>, request: &Request<'_>) -> Reply {
    match push::Request::read(request.element) {
        Ok(push::Request::Enable(asked)) => enable(push, context, request, &asked),
        Ok(push::Request::Disable(asked)) => disable(context, &asked),
        Err(error) => error.into(),
    }
}

fn enable(
    push: &Push,
    context: &mut Context<'_, '_, Push>,
    request: &Request<'_>,
    asked: &Enable<'_>,
) -> Reply {
    let Some(resource) = request.from().and_then(|from| from.resourcepart()) else {
        return ErrorCondition::BadRequest.into();
    };
    // What is ours and no client's answers nothing of the kind.
    if asked.jid.is_bare() && context.server().serves(asked.jid.domainpart()) {
        return StanzaError::new(ErrorCondition::ItemNotFound, "there is no push service at this address")
            .into();
    }
    let uptime = context.server().uptime();
    let known = context.state();
    let registration = Registration::new(known.next(uptime), resource, asked);
    if asked.node.as_ref().is_some_and(|node| node.len() > NODE)
        || registration.options.as_bytes().len() > push.options
    {
        return StanzaError::new(ErrorCondition::NotAcceptable, "the node or the options are too long")
            .into();
    }
    let key = Registration::key(&asked.jid, asked.node.as_deref());
    let mut others: Vec<_> = known.iter().filter(|(other, _)| ***other != *key).collect();
    others.sort_by_key(|(_, other)| other.number);
    let too_many = (others.len() + 1).saturating_sub(push.registrations.max(1));
    let replaced: Vec<Box<str>> = others.iter().take(too_many).map(|(other, _)| (*other).clone()).collect();
    let mut edits: Vec<Edit> = replaced.iter().map(|other| Edit::remove(REGISTRATIONS, other)).collect();
    edits.push(Edit::put(REGISTRATIONS, &key, VERSION, registration.write()));
    context.save(edits, Hold::Requests, move |_, context| {
        let line = format!("{} is enabled", about(context, &registration));
        context.log(Level::Info, line);
        if let Some(known) = context.state_mut() {
            for other in &replaced {
                known.remove(other);
            }
            known.insert(key.into(), registration);
        }
        Reply::DONE
    })
}

fn disable(context: &mut Context<'_, '_, Push>, asked: &Disable<'_>) -> Reply {
    let is_meant = |registration: &Registration| {
        registration.service == asked.jid
            && asked.node.as_ref().is_none_or(|node| registration.node.as_deref() == Some(node))
    };
    let known = context.state().iter().filter(|(_, registration)| is_meant(registration));
    let keys: Vec<Box<str>> = known.map(|(key, _)| key.clone()).collect();
    let edits = keys.iter().map(|key| Edit::remove(REGISTRATIONS, key)).collect();
    context.save(edits, Hold::Requests, move |_, context| {
        for key in keys {
            let removed = context.state_mut().and_then(|known| known.remove(&key));
            if let Some(registration) = removed {
                let line = format!("{} is disabled, as its client wants", about(context, &registration));
                context.log(Level::Info, line);
            }
        }
        Reply::DONE
    })
}

/// Whose push this is, for the log.
fn about(context: &Context<'_, '_, Push>, registration: &Registration) -> String {
    format!("push for {}/{} to {}", context.owner(), registration.resource, registration.service)
}

/// A message waits.
fn waits(push: &Push, context: &mut Context<'_, '_, Push>, waiting: &Waiting<'_>) {
    let Waiting { message, client, is_again } = *waiting;
    let account = context.account();
    let waits_for =
        |session| account.clients().find(|client| client.session == session).map(|one| one.jid.clone());
    let own = client.and_then(waits_for);
    let connected: Vec<Box<str>> = account
        .clients()
        .filter(|client| client.is_connected)
        .map(|client| client.jid.resourcepart().into())
        .collect();
    let is_meant = |registration: &Registration| {
        client.is_none() || own.as_ref().is_some_and(|own| own.resourcepart() == &*registration.resource)
    };
    let keys: Vec<Box<str>> = context
        .state()
        .iter()
        .filter(|(_, registration)| is_meant(registration))
        .map(|(key, _)| key.clone())
        .collect();
    if let (Some(own), true) = (&own, keys.is_empty()) {
        context.log(Level::Debug, format!("no push for {own}: this client has enabled none"));
    }
    let why_not = why_not_wake(message, context.owner().as_str());
    let body = body_of(message);
    let mark = mark(message, body.as_deref());
    let has_been_there = match client {
        Some(_) => {
            why_not.is_none() && context.client_mut().is_some_and(|missed| !core::mem::replace(missed, true))
        }
        None => false,
    };
    for key in keys {
        let Some(registration) = context.state_mut().and_then(|known| known.get_mut(&key)) else { continue };
        let progress = &mut registration.progress;
        if has_been_there {
            progress.begin_anew();
        }
        let registration = registration.clone();
        let about = about(context, &registration);
        let is_here = client.is_none() && connected.contains(&registration.resource);
        let no_push = match why_not {
            Some(why) => Some((Level::Debug, why)),
            None if is_again && registration.progress.remembers(mark) => {
                Some((Level::Debug, "it was told of this message before"))
            }
            None if is_here => Some((Level::Info, "a message is stored, but this client is connected")),
            None => None,
        };
        if let Some((level, why)) = no_push {
            context.log(level, format!("no {about}: {why}"));
            continue;
        }
        let Some(registration) = context.state_mut().and_then(|known| known.get_mut(&key)) else { continue };
        let progress = &mut registration.progress;
        progress.count = progress.count.saturating_add(1);
        progress.remember(mark);
        progress.sender = message.head.from.clone().filter(|_| push.sender);
        progress.body = body.as_deref().filter(|_| push.body).map(|body| shortened(body).into());
        next(push, context, &key);
    }
    set_alarm(push, context);
}

/// Tells a service of what has come, or says when.
fn next(push: &Push, context: &mut Context<'_, '_, Push>, key: &str) {
    let now = Instant::ZERO + context.server().uptime();
    let Some(registration) = context.state_mut().and_then(|known| known.get_mut(key)) else { return };
    let Registration { resource, service, progress, .. } = registration;
    let (resource, service) = (resource.clone(), service.clone());
    let earliest = progress.sent.map_or(now, |sent| sent + push.interval);
    // Of messages that wait for the same notification only the first is worth a line that everybody sees: whoever sends a flood of them
    // would write one for each of the account's registrations.
    let (level, wait) = if progress.is_under_way {
        (Level::Debug, "one is on its way".into())
    } else if let Some(due) = progress.due.filter(|due| *due > now) {
        (Level::Debug, format!("the next goes in {} s", seconds(due.saturating_since(now))))
    } else if earliest > now {
        progress.due = Some(earliest);
        (Level::Info, format!("the next goes in {} s", seconds(earliest.saturating_since(now))))
    } else {
        return send(push, context, key);
    };
    let line = format!("push for {}/{resource} to {service} waits for others: {wait}", context.owner());
    context.log(level, line);
}

/// Rounded up.
fn seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

fn send(push: &Push, context: &mut Context<'_, '_, Push>, key: &str) {
    let now = Instant::ZERO + context.server().uptime();
    let Some(registration) = context.state_mut().and_then(|known| known.get_mut(key)) else { return };
    let progress = &mut registration.progress;
    (progress.is_under_way, progress.sent, progress.due) = (true, Some(now), None);
    progress.told = progress.count;
    let registration = registration.clone();
    let count = registration.progress.count;
    let line = format!(
        "{}: {count} {} waiting",
        about(context, &registration),
        if count == 1 { "message is" } else { "messages are" }
    );
    context.log(Level::Info, line);
    let (number, key) = (registration.number, Box::<str>::from(key));
    let payload = notification(push, &registration);
    context.request(registration.service, payload, move |push, context, response| {
        answered(push, context, &key, number, &response);
    });
}

/// What a service gets.
fn notification(push: &Push, registration: &Registration) -> Payload {
    let Registration { node, options, progress, .. } = registration;
    let summary = Summary {
        messages: push.count.then_some(progress.count),
        subscriptions: None,
        sender: progress.sender.clone(),
        body: progress.body.as_deref().map(Cow::Borrowed),
    };
    let options = options.parse().ok();
    let publish = Publish {
        node: node.as_deref().map(Cow::Borrowed),
        notification: Notification { summary: (summary != Summary::default()).then_some(summary) },
        options: options.as_ref().and_then(|options| options.root().children().find_map(DataForm::read)),
    };
    publish.to_element().into()
}

/// A service has answered, or has not.
fn answered(push: &Push, context: &mut Context<'_, '_, Push>, key: &str, number: u64, response: &Response) {
    let now = Instant::ZERO + context.server().uptime();
    let known = context.state_mut().and_then(|known| known.get_mut(key));
    // It may have been disabled meanwhile, and enabled anew.
    let Some(registration) = known.filter(|registration| registration.number == number) else { return };
    let progress = &mut registration.progress;
    progress.is_under_way = false;
    let (why, is_for_good) = match response {
        Response::Result(_) => {
            progress.errors = 0;
            if progress.count > progress.told {
                progress.due = progress.sent.map(|sent| sent + push.interval);
            }
            let registration = registration.clone();
            let line = format!("{} has arrived", about(context, &registration));
            context.log(Level::Debug, line);
            return set_alarm(push, context);
        }
        Response::Error(error) => (error.condition.to_string(), is_for_good(error)),
        Response::Nothing => (String::from("there was no answer"), false),
    };
    progress.errors = progress.errors.saturating_add(1);
    let (errors, is_last) = (progress.errors, progress.errors >= push.errors);
    let wait = FIRST_RETRY.saturating_mul(1 << (errors - 1).min(10)).min(LONGEST_RETRY);
    progress.due = Some(now + wait);
    let registration = registration.clone();
    let about = about(context, &registration);
    if (is_for_good || is_last) && context.save_beside(Vec::from([Edit::remove(REGISTRATIONS, key)])) {
        if let Some(known) = context.state_mut() {
            known.remove(key);
        }
        context.log(Level::Warn, format!("{about} is disabled: {why}"));
        context.tell(notice(&registration, &why));
    } else {
        let often = if errors == 1 { String::new() } else { format!(" {errors} times in a row") };
        let line = format!("{about} has failed{often}: {why}; again in {} s", seconds(wait));
        context.log(Level::Info, line);
    }
    set_alarm(push, context);
}

/// Whether a service, or the server of one that can't be reached, says something that will be so later, too.
fn is_for_good(error: &StanzaError) -> bool {
    use ErrorCondition as C;
    error.kind != ErrorType::Wait
        // The DNS may be in trouble, and so may the service.
        && !matches!(error.condition, C::RemoteServerNotFound | C::InternalServerError)
}

/// What the user is told of a service that is disabled.
fn notice(registration: &Registration, why: &str) -> Payload {
    const BODY: Name = Name::from_static("body");
    let Registration { resource, service, .. } = registration;
    let text = format!(
        "Push notifications for your client \"{resource}\" have been turned off, because its service {service} \
         failed: {why}. Until the client turns them on again it learns of messages when it connects."
    );
    Payload::from(Element::new(BODY, ns::CLIENT).text(&text))
}

/// Some of the notifications that had to wait go now.
fn woken(push: &Push, context: &mut Context<'_, '_, Push>) {
    let now = Instant::ZERO + context.server().uptime();
    let is_due = |registration: &Registration| registration.progress.due.is_some_and(|due| due <= now);
    let due = context.state().iter().filter(|(_, registration)| is_due(registration));
    let due: Vec<(Box<str>, Box<str>)> =
        due.map(|(key, registration)| (key.clone(), registration.resource.clone())).collect();
    for (key, resource) in due {
        let is_back = context
            .account()
            .clients()
            .any(|client| client.is_connected && client.jid.resourcepart() == &*resource);
        let Some(registration) = context.state_mut().and_then(|known| known.get_mut(&key)) else { continue };
        registration.progress.due = None;
        if is_back {
            registration.progress.begin_anew();
            let registration = registration.clone();
            let line = format!("no {}: this client is back", about(context, &registration));
            context.log(Level::Info, line);
        } else {
            send(push, context, &key);
        }
    }
    set_alarm(push, context);
}

/// The extension is called when the next notification goes. Until then, and as long as no other may go, the account stays in memory.
fn set_alarm(push: &Push, context: &mut Context<'_, '_, Push>) {
    let now = Instant::ZERO + context.server().uptime();
    let next = |registration: &Registration| {
        let free = registration.progress.sent.map(|sent| sent + push.interval).filter(|free| *free > now);
        registration.progress.due.or(free)
    };
    if let Some(next) = context.state().values().filter_map(next).min() {
        context.wake(next.saturating_since(now));
    }
}

/// The beginning of a text.
fn shortened(text: &str) -> &str {
    let end = (0..=BODY.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}
