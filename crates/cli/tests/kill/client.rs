//! A person with a client, and what they are told.

use std::collections::BTreeMap;
use std::time::Duration;

use balcony_client::{ClientConfig, Endpoint, MachineEvent, RequestKind, RequestOutcome};
use balcony_jid::{BareJid, Jid};
use balcony_stanza::{IqType, Kind, MessageType, Payload, PresenceType, Stanza, ns};
use balcony_stream::TlsPolicy;
use balcony_tokio::ConnectedClient;
use balcony_xml::{Element, ElementRef, Name};

use crate::world::PASSWORD;

const PATIENCE: Duration = Duration::from_secs(60);
const QUERY: Name = Name::from_static("query");
const ITEM: Name = Name::from_static("item");

pub type Roster = BTreeMap<String, Item>;

/// A contact, of whom nothing is known but this: nobody here ever answers a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    pub name: Option<String>,
    pub asked: bool,
}

/// A change of one contact.
#[derive(Clone, Debug)]
pub enum Change {
    Set(String),
    Remove,
    Subscribe,
    Unsubscribe,
}

pub type Result<T> = std::result::Result<T, Ended>;

#[derive(Debug)]
pub enum Ended {
    /// The server has died.
    Connection,
    /// It has refused what it should have done.
    #[allow(dead_code, reason = "it is printed")]
    Refused(String),
}

impl Change {
    /// One that changes something.
    pub fn choose(number: u64, before: Option<&Item>, may_subscribe: bool, name: String) -> Change {
        match (number, before.map(|item| item.asked)) {
            (0, Some(_)) => Change::Remove,
            (1, Some(true)) => Change::Unsubscribe,
            (1, _) if may_subscribe => Change::Subscribe,
            _ => Change::Set(name),
        }
    }

    /// RFC 6121 §2.3.1, §2.5.1, §3.1.2 and §3.3.2, for a contact who never answers.
    pub fn applied(&self, before: Option<Item>) -> Option<Item> {
        let before = before.unwrap_or(Item { name: None, asked: false });
        match self {
            Change::Set(name) => Some(Item { name: Some(name.clone()), ..before }),
            Change::Remove => None,
            Change::Subscribe => Some(Item { asked: true, ..before }),
            Change::Unsubscribe => Some(Item { asked: false, ..before }),
        }
    }
}

pub struct Person(ConnectedClient);

impl Person {
    pub async fn connect(address: &str, account: &str) -> Result<Person> {
        let mut config = ClientConfig::new(BareJid::parse(account).unwrap(), String::from(PASSWORD).into());
        config.stream.tls = TlsPolicy::None;
        config.take_requests = true;
        let endpoint = Endpoint::parse(address, false).unwrap();
        let client = ConnectedClient::connect(config, endpoint).await;
        client.map(Person).map_err(|error| Ended::Refused(error.to_string()))
    }

    /// The roster, but for friends; changes of it are pushed from now on (RFC 6121 §2.2).
    pub async fn roster(&mut self) -> Result<Roster> {
        Ok(self.contacts().await?.0)
    }

    /// Those who answer no requests, and how many friends there are beside them.
    async fn contacts(&mut self) -> Result<(Roster, usize)> {
        let query = Element::new(QUERY, ns::ROSTER);
        let result = self.request(RequestKind::Get, None, query).await?;
        let content = result.payload.parse().unwrap();
        let query = content.root().children().next().unwrap();
        let (friends, contacts): (Vec<_>, Vec<_>) = query.children().partition(|item| is_friend(*item));
        let contact = |item: ElementRef<'_>| (item.attr("jid").unwrap().to_owned(), read(item).unwrap());
        Ok((contacts.into_iter().map(contact).collect(), friends.len()))
    }

    /// Lets these see this person's presence when they ask (RFC 6121 §3.4).
    pub async fn approve(&mut self, others: &[String]) -> Result<()> {
        for other in others {
            self.send(&Stanza::presence(PresenceType::Subscribed).with_to(jid(other))).await?;
        }
        self.roster().await.map(drop)
    }

    /// Asks these, who have approved, and waits until they are friends.
    pub async fn befriend(&mut self, others: &[String]) -> Result<()> {
        for other in others {
            self.send(&Stanza::presence(PresenceType::Subscribe).with_to(jid(other))).await?;
        }
        while self.contacts().await?.1 < others.len() {
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// The messages that wait. They come first, so the first that one sends to oneself shows that there are no more.
    pub async fn messages(&mut self) -> Result<Vec<String>> {
        const MARK: &str = "mark";
        self.send(&Stanza::presence(PresenceType::Available)).await?;
        let me = self.0.jid().to_bare().to_string();
        self.say(&me, MARK).await?;
        let mut messages = Vec::new();
        loop {
            let stanza = self.next().await?;
            if !matches!(stanza.head.kind, Kind::Message(_)) {
                continue;
            }
            let content = stanza.payload.parse().unwrap();
            let body = content.root().children().find(|child| child.is("body", ns::CLIENT)).unwrap();
            match body.text().as_ref() {
                MARK => break,
                text => messages.push(text.to_owned()),
            }
        }
        // The server deletes them when it knows that they are written. It writes one thing after the other, so it knows
        // that when it answers this.
        self.roster().await?;
        Ok(messages)
    }

    pub async fn say(&mut self, to: &str, text: &str) -> Result<()> {
        const BODY: Name = Name::from_static("body");
        let body = Element::new(BODY, ns::CLIENT).text(text);
        self.send(&Stanza::message(MessageType::Chat).with_to(jid(to)).with_child(body)).await
    }

    /// Ends the stream in good order.
    pub async fn close(self) -> Result<()> {
        self.0.close().await.map_err(|_| Ended::Connection)
    }

    /// Asks a friend's account something that it always refuses.
    pub async fn ask_account(&mut self, account: &str) -> Result<()> {
        let ping = Payload::from(balcony_xep::ping::Ping.to_element());
        match self.0.request(RequestKind::Get, Some(jid(account)), ping, PATIENCE).await {
            Ok(RequestOutcome::Error(_)) => Ok(()),
            Ok(other) => Err(Ended::Refused(format!("{other:?}"))),
            Err(_) => Err(Ended::Connection),
        }
    }

    /// Makes a change, and waits until one is told that it is done.
    pub async fn change(&mut self, contact: &str, change: &Change, after: Option<&Item>) -> Result<()> {
        const JID: Name = Name::from_static("jid");
        const NAME: Name = Name::from_static("name");
        const SUBSCRIPTION: Name = Name::from_static("subscription");
        let item = Element::new(ITEM, ns::ROSTER).attr(JID, contact);
        let (item, presence) = match change {
            Change::Set(name) => (item.attr(NAME, name), None),
            Change::Remove => (item.attr(SUBSCRIPTION, "remove"), None),
            Change::Subscribe => (item, Some(PresenceType::Subscribe)),
            Change::Unsubscribe => (item, Some(PresenceType::Unsubscribe)),
        };
        let Some(kind) = presence else {
            let query = Element::new(QUERY, ns::ROSTER).child(item);
            return self.request(RequestKind::Set, None, query).await.map(drop);
        };
        self.send(&Stanza::presence(kind).with_to(jid(contact))).await?;
        loop {
            let stanza = self.next().await?;
            if stanza.head.kind.is_error() {
                return Err(Ended::Refused(format!("{stanza:?}")));
            }
            if stanza.head.kind != Kind::Iq(IqType::Set) {
                continue;
            }
            let content = stanza.payload.parse().unwrap();
            let query = content.root().children().next().unwrap();
            let item = query.children().next().unwrap();
            if !is_friend(item) && item.attr("jid") == Some(contact) && read(item).as_ref() == after {
                return Ok(());
            }
        }
    }

    async fn request(&mut self, kind: RequestKind, to: Option<Jid>, payload: Element) -> Result<Stanza> {
        match self.0.request(kind, to, payload.into(), PATIENCE).await {
            Ok(RequestOutcome::Result(stanza)) => Ok(stanza),
            Ok(other) => Err(Ended::Refused(format!("{other:?}"))),
            Err(_) => Err(Ended::Connection),
        }
    }

    async fn send(&mut self, stanza: &Stanza) -> Result<()> {
        self.0.send(stanza).await.map_err(|_| Ended::Connection)
    }

    async fn next(&mut self) -> Result<Stanza> {
        loop {
            match tokio::time::timeout(PATIENCE, self.0.next()).await {
                Ok(Ok(Some(MachineEvent::Stanza(stanza)))) => return Ok(*stanza),
                Ok(Ok(Some(_))) => {}
                Ok(_) => return Err(Ended::Connection),
                Err(_) => return Err(Ended::Refused("the server says nothing".into())),
            }
        }
    }
}

/// Whether one of the two sees the other's presence.
fn is_friend(item: ElementRef<'_>) -> bool {
    matches!(item.attr("subscription"), Some("to" | "from" | "both"))
}

/// An item as it stands in a roster or a push; `None` if it says that the contact is gone.
fn read(item: ElementRef<'_>) -> Option<Item> {
    match item.attr("subscription") {
        Some("remove") => None,
        None | Some("none") => {
            let name = item.attr("name").map(str::to_owned);
            Some(Item { name, asked: item.attr("ask") == Some("subscribe") })
        }
        other => panic!("a subscription of {other:?}"),
    }
}

fn jid(text: &str) -> Jid {
    text.parse().unwrap()
}
