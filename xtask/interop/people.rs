//! The scenario "people" of `cargo xtask interop`, for client libraries in Rust: what romeo and juliet, whose accounts are new, see
//! of each other. juliet has the resources five and ten, which have asked for the roster, and minus, which has not and takes no
//! messages.
//!
//! It is started with INTEROP_DOMAIN, _ROMEO and _JULIET in the environment; the library's part is a [`Link`]. Each check is one
//! line on standard output: result, name, detail, with tabs between them.

use std::env;
use std::error::Error;
use std::fmt;
use std::time::Duration;

use minidom::Element;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(5);
const CLIENT: &str = "jabber:client";
const ROSTER: &str = "jabber:iq:roster";
const BLOCKING: &str = "urn:xmpp:blocking";
const CARBONS: &str = "urn:xmpp:carbons:2";
/// What keeps a message from being copied.
const PRIVATE: &str = "<private xmlns='urn:xmpp:carbons:2'/><no-copy xmlns='urn:xmpp:hints'/>";

pub(crate) type Result<T = String> = core::result::Result<T, Box<dyn Error>>;

/// One connection of the library under test, logged in, with a resource bound.
pub(crate) trait Link: Sized {
    /// Logs in.
    async fn open(account: &str, resource: &str) -> Result<Self>;
    /// Sends a stanza.
    async fn send(&mut self, stanza: &str) -> Result<()>;
    /// Whether the server knows pre-approvals (RFC 6121 section 3.4), if the library tells that.
    fn offers_preapproval(&self) -> Option<bool>;
    /// Waits for the next stanza. It can be given up and tried again. A push has been answered (RFC 6120 section 8.2.3).
    async fn next(&mut self) -> Result<Element>;
    /// Sends a request and waits for its result, or for the condition with which it is refused.
    async fn request(
        &mut self,
        kind: Request,
        to: Option<&str>,
        payload: &str,
    ) -> Result<core::result::Result<Element, String>>;
    /// Closes the stream, and waits until the server has closed its own.
    async fn close(self) -> Result<()>;
    /// Loses the connection without another word; `false` if that can't be done, and it was closed.
    async fn lose(self) -> Result<bool>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Get,
    Set,
}

/// Why a check says nothing about the server.
#[derive(Debug)]
pub(crate) struct Skip(pub(crate) &'static str);

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl Error for Skip {}

/// Goes through all checks.
pub(crate) async fn run<L: Link>() -> Result<()> {
    let names = Names {
        domain: env::var("INTEROP_DOMAIN")?,
        romeo: env::var("INTEROP_ROMEO")?,
        juliet: env::var("INTEROP_JULIET")?,
    };
    let mut people = None;
    check("login", async {
        people = Some(People::<L>::enter(names).await?);
        Ok("the roster is empty".into())
    })
    .await;
    let Some(mut people) = people else { return Ok(()) };
    check("directed", people.directed()).await;
    check("roster", people.roster()).await;
    check("versions", people.versions()).await;
    check("removal", people.removal()).await;
    check("ask", people.ask()).await;
    check("approval", people.approval()).await;
    check("preapproval", people.preapproval()).await;
    check("presence", people.presence()).await;
    check("probe", people.probe()).await;
    check("lost", people.lost()).await;
    check("offline", people.offline()).await;
    check("block", people.block()).await;
    check("blocked", people.blocked()).await;
    check("unblock", people.unblock()).await;
    check("carbons", people.carbons()).await;
    check("private", people.private()).await;
    check("disable", people.disable()).await;
    check("cancel", people.cancel()).await;
    check("forget", people.forget()).await;
    check("end", people.end()).await;
    Ok(())
}

/// Runs one check and reports how it went.
async fn check(name: &str, action: impl Future<Output = Result>) {
    let outcome = timeout(PATIENCE * 6, action).await.unwrap_or_else(|_| Err("no answer in time".into()));
    match outcome {
        Ok(detail) => println!("ok\t{name}\t{detail}"),
        Err(error) if error.is::<Skip>() => println!("skip\t{name}\t{error}"),
        Err(error) => println!("FAIL\t{name}\t{}", error.to_string().replace(['\n', '\t'], " ")),
    }
}

fn must(condition: bool, message: impl Into<Box<dyn Error>>) -> Result<()> {
    if condition { Ok(()) } else { Err(message.into()) }
}

/// Nothing more to say than that it went well.
fn fine() -> Result {
    Ok(String::new())
}

struct Names {
    domain: String,
    romeo: String,
    juliet: String,
}

struct Person<L> {
    link: L,
    /// What the reports call it.
    name: &'static str,
    jid: String,
    domain: String,
    /// How many were in the roster at login.
    contacts: usize,
    inbox: Vec<Element>,
}

impl<L: Link> Person<L> {
    /// Logs in, asks for the roster if `priority` lets it take messages, and becomes available.
    async fn enter(names: &Names, account: &str, resource: &'static str, priority: i8) -> Result<Self> {
        let mut person = Person {
            link: L::open(account, resource).await?,
            name: if account == names.romeo { "romeo" } else { resource },
            jid: format!("{account}/{resource}"),
            domain: names.domain.clone(),
            contacts: 0,
            inbox: Vec::new(),
        };
        if priority >= 0 {
            person.contacts = items(&person.roster("").await?).count();
        }
        person.presence("", &format!("<priority>{priority}</priority>")).await?;
        Ok(person)
    }

    async fn exit(mut self) -> Result<()> {
        self.link.send(&presence_xml("type='unavailable'", "")).await?;
        self.link.close().await
    }

    /// Waits until the server has done what this client has asked for, and this client has what was on its way.
    async fn settle(&mut self) -> Result<()> {
        let domain = self.domain.clone();
        let pong = self.link.request(Request::Get, Some(&domain), "<ping xmlns='urn:xmpp:ping'/>").await?;
        pong.map_err(|condition| format!("a ping was answered with {condition}"))?;
        while let Ok(stanza) = timeout(Duration::ZERO, self.link.next()).await {
            self.inbox.push(stanza?);
        }
        Ok(())
    }

    /// Forgets what has come so far.
    async fn clear(&mut self) -> Result<()> {
        self.settle().await?;
        self.inbox.clear();
        Ok(())
    }

    /// Takes a stanza that has come, if there is one.
    fn take(&mut self, test: impl Fn(&Element) -> bool) -> Option<Element> {
        let at = self.inbox.iter().position(test)?;
        Some(self.inbox.remove(at))
    }

    /// Waits for a stanza and takes it.
    async fn gets(&mut self, what: &str, test: impl Fn(&Element) -> bool) -> Result<Element> {
        let wait = async {
            loop {
                if let Some(stanza) = self.take(&test) {
                    return Ok(stanza);
                }
                let stanza = self.link.next().await?;
                self.inbox.push(stanza);
            }
        };
        match timeout(PATIENCE, wait).await {
            Ok(result) => result,
            Err(_) => Err(format!("{} got no {what}", self.name).into()),
        }
    }

    async fn gets_no(&mut self, what: &str, test: impl Fn(&Element) -> bool) -> Result<()> {
        self.settle().await?;
        must(!self.inbox.iter().any(test), format!("{} got a {what}", self.name))
    }

    async fn presence(&mut self, attributes: &str, content: &str) -> Result<()> {
        self.link.send(&presence_xml(attributes, content)).await?;
        self.settle().await
    }

    async fn message(&mut self, to: &str, kind: &str, body: &str, more: &str) -> Result<()> {
        let message =
            format!("<message xmlns='{CLIENT}' to='{to}' type='{kind}'><body>{body}</body>{more}</message>");
        self.link.send(&message).await?;
        self.settle().await
    }

    /// The answer of one's own account, or the condition with which it refuses.
    async fn try_set(&mut self, payload: &str) -> Result<Option<String>> {
        Ok(self.link.request(Request::Set, None, payload).await?.err())
    }

    async fn set(&mut self, payload: &str) -> Result<()> {
        match self.try_set(payload).await? {
            Some(condition) => Err(format!("{} was answered with {condition}", self.name).into()),
            None => Ok(()),
        }
    }

    async fn get(&mut self, payload: &str) -> Result<Element> {
        let answer = self.link.request(Request::Get, None, payload).await?;
        answer.map_err(|condition| format!("{} was answered with {condition}", self.name).into())
    }

    async fn roster(&mut self, version: &str) -> Result<Element> {
        self.get(&format!("<query xmlns='{ROSTER}' ver='{version}'/>")).await
    }

    async fn blocklist(&mut self) -> Result<Vec<String>> {
        let result = self.get(&format!("<blocklist xmlns='{BLOCKING}'/>")).await?;
        let list = result.get_child("blocklist", BLOCKING).ok_or("no list")?;
        Ok(list.children().filter_map(|item| item.attr("jid")).map(String::from).collect())
    }
}

fn presence_xml(attributes: &str, content: &str) -> String {
    format!("<presence xmlns='{CLIENT}' {attributes}>{content}</presence>")
}

fn item(attributes: &str, content: &str) -> String {
    format!("<query xmlns='{ROSTER}'><item {attributes}>{content}</item></query>")
}

fn items(iq: &Element) -> impl Iterator<Item = &Element> {
    iq.get_child("query", ROSTER).into_iter().flat_map(Element::children)
}

fn is_push(stanza: &Element) -> bool {
    stanza.attr("type") == Some("set") && items(stanza).next().is_some()
}

/// A roster push for this contact with these attributes.
fn push(jid: &str, subscription: &str, more: &[(&str, Option<&str>)]) -> impl Fn(&Element) -> bool {
    move |stanza| {
        is_push(stanza)
            && items(stanza).any(|item| {
                item.attr("jid") == Some(jid)
                    && item.attr("subscription") == Some(subscription)
                    && more.iter().all(|(name, value)| item.attr(*name) == *value)
            })
    }
}

fn available(from: &str) -> impl Fn(&Element) -> bool {
    move |stanza| {
        stanza.is("presence", CLIENT) && stanza.attr("type").is_none() && stanza.attr("from") == Some(from)
    }
}

fn presence(from: &str, kind: &str) -> impl Fn(&Element) -> bool {
    move |stanza| {
        stanza.is("presence", CLIENT)
            && stanza.attr("type") == Some(kind)
            && stanza.attr("from") == Some(from)
    }
}

fn is_message(stanza: &Element) -> bool {
    stanza.is("message", CLIENT)
}

fn text(element: &Element, child: &str) -> String {
    element.get_child(child, CLIENT).map(Element::text).unwrap_or_default()
}

fn message(body: &str) -> impl Fn(&Element) -> bool {
    move |stanza| is_message(stanza) && text(stanza, "body") == body
}

fn is_error(stanza: &Element) -> bool {
    is_message(stanza) && stanza.attr("type") == Some("error")
}

/// The condition of a stanza of type error.
pub(crate) fn condition(stanza: &Element) -> String {
    let condition = stanza.get_child("error", CLIENT).and_then(|error| error.children().next());
    condition.map_or("no condition", Element::name).into()
}

/// A push that says that this contact has been blocked or unblocked.
fn blocking(name: &str, jid: &str) -> impl Fn(&Element) -> bool {
    move |stanza| {
        let list = stanza.get_child(name, BLOCKING).filter(|_| stanza.attr("type") == Some("set"));
        list.is_some_and(|list| list.children().any(|item| item.attr("jid") == Some(jid)))
    }
}

fn is_carbon(stanza: &Element) -> bool {
    stanza.children().any(|child| child.has_ns(CARBONS))
}

fn copied<'a>(stanza: &'a Element, direction: &str) -> Option<&'a Element> {
    let forwarded = stanza.get_child(direction, CARBONS)?.get_child("forwarded", "urn:xmpp:forward:0")?;
    forwarded.get_child("message", CLIENT)
}

fn carbon(own: &str, direction: &str, body: &str) -> impl Fn(&Element) -> bool {
    move |stanza| {
        stanza.attr("from") == Some(own)
            && copied(stanza, direction).is_some_and(|copy| text(copy, "body") == body)
    }
}

struct People<L> {
    names: Names,
    five: Option<Person<L>>,
    ten: Option<Person<L>>,
    minus: Option<Person<L>>,
    romeo: Option<Person<L>>,
}

type All<'a, L> = (&'a Names, &'a mut Person<L>, &'a mut Person<L>, &'a mut Person<L>, &'a mut Person<L>);

/// Somebody, if they have been able to come back.
fn here<L>(person: &mut Option<Person<L>>) -> Result<&mut Person<L>> {
    person.as_mut().ok_or_else(|| "somebody is not there".into())
}

impl<L: Link> People<L> {
    async fn enter(names: Names) -> Result<Self> {
        let mut five = Person::enter(&names, &names.juliet, "five", 5).await?;
        let mut ten = Person::enter(&names, &names.juliet, "ten", 10).await?;
        let minus = Person::enter(&names, &names.juliet, "minus", -1).await?;
        let romeo = Person::enter(&names, &names.romeo, "balcony", 0).await?;
        must(five.contacts == 0, "there are contacts")?;
        ten.gets("presence of five", available(&five.jid)).await?;
        five.gets("presence of ten", available(&ten.jid)).await?;
        Ok(People { names, five: Some(five), ten: Some(ten), minus: Some(minus), romeo: Some(romeo) })
    }

    /// The names, five, ten, minus and romeo.
    fn all(&mut self) -> Result<All<'_, L>> {
        let People { names, five, ten, minus, romeo } = self;
        Ok((names, here(five)?, here(ten)?, here(minus)?, here(romeo)?))
    }

    fn nurse(&self) -> String {
        format!("nurse@{}", self.names.domain)
    }

    async fn directed(&mut self) -> Result {
        let (_, five, _, _, romeo) = self.all()?;
        five.presence(&format!("to='{}'", romeo.jid), "<status>hist</status>").await?;
        romeo.gets("directed presence", available(&five.jid)).await?;
        five.presence("type='unavailable'", "").await?;
        romeo.gets("unavailable presence", presence(&five.jid, "unavailable")).await?;
        five.presence("", "<priority>5</priority>").await?;
        romeo.gets_no("presence", available(&five.jid)).await?;
        fine()
    }

    async fn roster(&mut self) -> Result {
        let nurse = self.nurse();
        let (_, five, ten, minus, _) = self.all()?;
        five.set(&item(&format!("jid='{nurse}' name='Nurse'"), "<group>Capulets</group>")).await?;
        for person in [five, ten] {
            let pushed = person.gets("push", push(&nurse, "none", &[("name", Some("Nurse"))])).await?;
            let group = items(&pushed).next().and_then(|item| item.get_child("group", ROSTER));
            must(group.is_some_and(|group| group.text() == "Capulets"), "the group is not in the push")?;
        }
        minus.gets_no("push", is_push).await?;
        Ok("pushed to five, ten".into())
    }

    async fn versions(&mut self) -> Result {
        let nurse = self.nurse();
        let (_, five, ..) = self.all()?;
        let version = |iq: &Element| {
            iq.get_child("query", ROSTER).and_then(|query| query.attr("ver")).map(String::from)
        };
        let old = version(&five.roster("").await?).ok_or(Skip("not offered"))?;
        let fresh = five.roster(&old).await?;
        must(fresh.get_child("query", ROSTER).is_none(), "what was known was sent again")?;
        five.set(&item(&format!("jid='{nurse}' name='Angelica'"), "")).await?;
        let renamed = || push(&nurse, "none", &[("name", Some("Angelica"))]);
        let new = version(&five.gets("push", renamed()).await?);
        must(new.is_some_and(|new| new != old), "the version stays")?;
        let answer = five.roster(&old).await?;
        if let Some(item) = items(&answer).next() {
            must(item.attr("name") == Some("Angelica"), "the roster is old")?;
            return Ok("the whole roster".into());
        }
        five.gets("push in place of the roster", renamed()).await?;
        Ok("pushes".into())
    }

    async fn removal(&mut self) -> Result {
        let nurse = self.nurse();
        let (_, five, ten, ..) = self.all()?;
        let removal = item(&format!("jid='{nurse}' subscription='remove'"), "");
        five.set(&removal).await?;
        five.gets("push", push(&nurse, "remove", &[])).await?;
        ten.gets("push", push(&nurse, "remove", &[])).await?;
        let refusal = five.try_set(&removal).await?.unwrap_or("a result".into());
        let detail = format!("the second time {refusal}");
        must(refusal == "item-not-found", &*detail)?;
        Ok(detail)
    }

    async fn ask(&mut self) -> Result {
        let (names, five, ten, _, romeo) = self.all()?;
        romeo.presence(&format!("to='{}' type='subscribe'", names.juliet), "").await?;
        romeo.gets("push", push(&names.juliet, "none", &[("ask", Some("subscribe"))])).await?;
        five.gets("request", presence(&names.romeo, "subscribe")).await?;
        ten.gets("request", presence(&names.romeo, "subscribe")).await?;
        let mut late = Person::<L>::enter(names, &names.juliet, "late", 0).await?;
        late.gets("request that waits", presence(&names.romeo, "subscribe")).await?;
        late.exit().await?;
        Ok("five, ten; again at the next login".into())
    }

    async fn approval(&mut self) -> Result {
        let (names, five, ten, _, romeo) = self.all()?;
        ten.presence(&format!("to='{}' type='subscribed'", names.romeo), "").await?;
        romeo.gets("approval", presence(&names.juliet, "subscribed")).await?;
        romeo.gets("push", push(&names.juliet, "to", &[("ask", None)])).await?;
        for person in [five, ten] {
            person.gets("push", push(&names.romeo, "from", &[])).await?;
            romeo.gets(&format!("presence of {}", person.name), available(&person.jid)).await?;
        }
        fine()
    }

    async fn preapproval(&mut self) -> Result {
        let (names, five, _, _, romeo) = self.all()?;
        let approve = format!("to='{}' type='subscribed'", names.juliet);
        let offers = romeo.link.offers_preapproval();
        if offers == Some(true) {
            romeo.presence(&approve, "").await?;
        }
        five.presence(&format!("to='{}' type='subscribe'", names.romeo), "").await?;
        if offers != Some(true) {
            romeo.gets("request", presence(&names.juliet, "subscribe")).await?;
            romeo.presence(&approve, "").await?;
        }
        five.gets("approval", presence(&names.romeo, "subscribed")).await?;
        five.gets("push", push(&names.romeo, "both", &[])).await?;
        romeo.gets("push", push(&names.juliet, "both", &[])).await?;
        five.gets("presence", available(&romeo.jid)).await?;
        if !offers.ok_or(Skip("the library does not tell who offers it"))? {
            return Err(Skip("not offered").into());
        }
        romeo.gets_no("request", presence(&names.juliet, "subscribe")).await?;
        romeo.gets("push with approved", push(&names.juliet, "to", &[("approved", Some("true"))])).await?;
        fine()
    }

    async fn presence(&mut self) -> Result {
        let (_, five, ten, minus, romeo) = self.all()?;
        five.presence("", "<show>away</show><status>asleep</status><priority>5</priority>").await?;
        for person in [romeo, ten, minus] {
            let is_away = |stanza: &Element| available(&five.jid)(stanza) && text(stanza, "show") == "away";
            let seen = person.gets("presence", is_away).await?;
            must(text(&seen, "status") == "asleep", "the status is not there")?;
        }
        Ok("romeo and her own resources".into())
    }

    async fn probe(&mut self) -> Result {
        let romeo = self.romeo.take().ok_or("romeo is not there")?;
        let was = romeo.jid.clone();
        romeo.exit().await?;
        here(&mut self.five)?.gets("unavailable presence", presence(&was, "unavailable")).await?;
        self.romeo = Some(Person::enter(&self.names, &self.names.romeo, "garden", 0).await?);
        let (_, five, ten, minus, romeo) = self.all()?;
        let seen = romeo.gets("presence of five", available(&five.jid)).await?;
        must(text(&seen, "show") == "away", "five is not away")?;
        romeo.gets("presence of ten", available(&ten.jid)).await?;
        romeo.gets("presence of minus", available(&minus.jid)).await?;
        five.gets("presence", available(&romeo.jid)).await?;
        Ok("five is away, ten, minus".into())
    }

    async fn lost(&mut self) -> Result {
        let ten = self.ten.take().ok_or("ten is not there")?;
        let was = ten.jid.clone();
        let is_lost = ten.link.lose().await?;
        let seen = async {
            here(&mut self.romeo)?.gets("unavailable presence", presence(&was, "unavailable")).await?;
            here(&mut self.five)?.gets("unavailable presence", presence(&was, "unavailable")).await
        };
        let seen = seen.await;
        self.ten = Some(Person::enter(&self.names, &self.names.juliet, "ten", 10).await?);
        seen?;
        here(&mut self.romeo)?.gets("presence", available(&was)).await?;
        must(is_lost, Skip("the library hides its connections"))?;
        fine()
    }

    async fn offline(&mut self) -> Result {
        let hers = [&mut self.five, &mut self.ten, &mut self.minus].map(Option::take);
        for person in hers.into_iter().flatten() {
            let was = person.jid.clone();
            person.exit().await?;
            here(&mut self.romeo)?.gets("unavailable", presence(&was, "unavailable")).await?;
        }
        let (names, romeo) = (&self.names, here(&mut self.romeo)?);
        for (kind, body) in [("chat", "one"), ("headline", "news"), ("chat", "two"), ("normal", "three")] {
            romeo.message(&names.juliet, kind, body, "").await?;
        }
        let minus = self.minus.insert(Person::enter(names, &names.juliet, "minus", -1).await?);
        minus.gets_no("message", is_message).await?;
        let five = self.five.insert(Person::enter(names, &names.juliet, "five", 5).await?);
        for body in ["one", "two", "three"] {
            let stanza = five.gets(&format!("message {body}"), is_message).await?;
            must(text(&stanza, "body") == body, format!("she got {}", text(&stanza, "body")))?;
            must(stanza.attr("from") == Some(&*romeo.jid), "it is not from romeo")?;
            let delay = stanza.get_child("delay", "urn:xmpp:delay").ok_or("no delay")?;
            must(delay.attr("stamp").is_some(), "no stamp")?;
            let by = delay.attr("from").unwrap_or("nobody");
            must(by == names.domain || by == names.juliet, format!("delayed by {by}"))?;
        }
        five.gets_no("fourth message", is_message).await?;
        let ten = self.ten.insert(Person::enter(names, &names.juliet, "ten", 10).await?);
        ten.gets_no("message", is_message).await?;
        Ok("in order, once, not to priority -1".into())
    }

    async fn block(&mut self) -> Result {
        let (names, five, ten, _, romeo) = self.all()?;
        must(five.blocklist().await?.is_empty(), "somebody is blocked")?;
        must(ten.blocklist().await?.is_empty(), "somebody is blocked")?;
        romeo.clear().await?;
        five.set(&block_xml("block", &names.romeo)).await?;
        for person in [&mut *five, &mut *ten] {
            person.gets("push", blocking("block", &names.romeo)).await?;
            romeo.gets("unavailable", presence(&person.jid, "unavailable")).await?;
        }
        must(ten.blocklist().await? == [names.romeo.as_str()], "he is not in the list")?;
        five.message(&names.romeo, "chat", "from the one who blocks", "").await?;
        let error = five.gets("error", is_error).await?;
        must(condition(&error) == "not-acceptable", condition(&error))?;
        let child = |name, ns| error.get_child("error", CLIENT).and_then(|error| error.get_child(name, ns));
        must(child("blocked", "urn:xmpp:blocking:errors").is_some(), "no <blocked/>")?;
        fine()
    }

    async fn blocked(&mut self) -> Result {
        let (names, five, _, _, romeo) = self.all()?;
        let ping = romeo.link.request(Request::Get, Some(&five.jid), "<ping xmlns='urn:xmpp:ping'/>").await?;
        let refusal = ping.err().unwrap_or("a result".into());
        must(refusal == "service-unavailable", format!("a ping: {refusal}"))?;
        let is_heard = |stanza: &Element| {
            let is_his = stanza.attr("from").is_some_and(|from| from.starts_with(&names.romeo));
            is_his && stanza.name() != "iq" && stanza.attr("type") != Some("error")
        };
        five.inbox.retain(|stanza| !is_heard(stanza));
        romeo.message(&names.juliet, "chat", "can you hear me?", "").await?;
        romeo.presence("", "<status>unseen</status>").await?;
        five.gets_no("stanza of his", is_heard).await?;
        let error = romeo.take(is_error).map_or("silence".into(), |error| condition(&error));
        must(["silence", "service-unavailable"].contains(&&*error), format!("a message: {error}"))?;
        Ok(format!("a request: {refusal}; a message: {error}"))
    }

    async fn unblock(&mut self) -> Result {
        let (names, five, ten, _, romeo) = self.all()?;
        five.set(&block_xml("unblock", &names.romeo)).await?;
        for person in [&mut *five, &mut *ten] {
            person.gets("push", blocking("unblock", &names.romeo)).await?;
            romeo.gets(&format!("presence of {}", person.name), available(&person.jid)).await?;
        }
        must(five.blocklist().await?.is_empty(), "somebody is blocked")?;
        romeo.message(&five.jid, "chat", "and now?", "").await?;
        five.gets("message", message("and now?")).await?;
        Ok("presence and messages are back".into())
    }

    async fn carbons(&mut self) -> Result {
        let (names, five, ten, _, romeo) = self.all()?;
        ten.set(&format!("<enable xmlns='{CARBONS}'/>")).await?;
        five.message(&names.romeo, "chat", "to romeo", "").await?;
        romeo.gets("message", message("to romeo")).await?;
        let sent = ten.gets("copy", carbon(&names.juliet, "sent", "to romeo")).await?;
        must(copied(&sent, "sent").and_then(|copy| copy.attr("from")) == Some(&five.jid), "not from five")?;
        romeo.message(&five.jid, "chat", "to five", "").await?;
        five.gets("message", message("to five")).await?;
        let received = ten.gets("copy", carbon(&names.juliet, "received", "to five")).await?;
        must(
            copied(&received, "received").and_then(|copy| copy.attr("to")) == Some(&five.jid),
            "not to five",
        )?;
        five.gets_no("copy", is_carbon).await?;
        Ok("sent, received".into())
    }

    async fn private(&mut self) -> Result {
        let (names, five, ten, _, romeo) = self.all()?;
        five.message(&names.romeo, "chat", "in secret", PRIVATE).await?;
        romeo.gets("message", message("in secret")).await?;
        romeo.message(&five.jid, "chat", "in secret, too", PRIVATE).await?;
        five.gets("message", message("in secret, too")).await?;
        ten.gets_no("copy", is_carbon).await?;
        fine()
    }

    async fn disable(&mut self) -> Result {
        let (names, five, ten, _, romeo) = self.all()?;
        ten.set(&format!("<disable xmlns='{CARBONS}'/>")).await?;
        five.message(&names.romeo, "chat", "no copies", "").await?;
        romeo.gets("message", message("no copies")).await?;
        ten.gets_no("copy", is_carbon).await?;
        fine()
    }

    async fn cancel(&mut self) -> Result {
        let (names, five, ten, _, romeo) = self.all()?;
        romeo.clear().await?;
        five.presence(&format!("to='{}' type='unsubscribed'", names.romeo), "").await?;
        romeo.gets("cancellation", presence(&names.juliet, "unsubscribed")).await?;
        romeo.gets("push", push(&names.juliet, "from", &[])).await?;
        for person in [five, ten] {
            person.gets("push", push(&names.romeo, "to", &[])).await?;
            romeo.gets("unavailable", presence(&person.jid, "unavailable")).await?;
        }
        fine()
    }

    async fn forget(&mut self) -> Result {
        let (names, five, _, _, romeo) = self.all()?;
        romeo.set(&item(&format!("jid='{}' subscription='remove'", names.juliet), "")).await?;
        romeo.gets("push", push(&names.juliet, "remove", &[])).await?;
        five.gets("cancellation", presence(&names.romeo, "unsubscribed")).await?;
        five.gets("push", push(&names.romeo, "none", &[])).await?;
        five.gets("unavailable", presence(&romeo.jid, "unavailable")).await?;
        fine()
    }

    async fn end(self) -> Result {
        for person in [self.five, self.ten, self.minus, self.romeo].into_iter().flatten() {
            person.link.close().await?;
        }
        fine()
    }
}

fn block_xml(name: &str, jid: &str) -> String {
    format!("<{name} xmlns='{BLOCKING}'><item jid='{jid}'/></{name}>")
}
