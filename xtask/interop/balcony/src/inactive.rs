//! The scenario "inactive": romeo's phone is in a pocket while juliet comes, goes and writes to him.

use core::time::Duration;
use std::env;

use balcony_stanza::{Kind, Stanza};
use balcony_tokio::{ConnectedClient, Endpoint, MachineEvent, RequestKind, RequestOutcome};
use tokio::time::{sleep, timeout};

use crate::people::Result;
use crate::{PATIENCE, config, parse};

/// What is not urgent has come within this time, if it comes at all.
const SOON: Duration = Duration::from_millis(500);
/// By then the client has nothing more to say.
const QUIET: Duration = Duration::from_millis(1500);

/// Somebody, and what they have seen of juliet, in order.
struct Person {
    client: ConnectedClient,
    seen: Vec<String>,
}

impl Person {
    async fn open(account: &str, resource: &str) -> Result<Person> {
        let address = env::var("INTEROP_ADDRESS")?;
        let endpoint = Endpoint::parse(&address, false).ok_or("INTEROP_ADDRESS is no address")?;
        let client = ConnectedClient::connect(config(account, resource)?, endpoint).await?;
        let mut person = Person { client, seen: Vec::new() };
        person.say("<presence/>").await?;
        person.settle().await?;
        Ok(person)
    }

    async fn say(&mut self, stanza: &str) -> Result<()> {
        Ok(self.client.send(&parse(stanza)?).await?)
    }

    /// Waits until the server has done what it was told.
    async fn settle(&mut self) -> Result<()> {
        let ping = parse("<iq type='get' id='p'><ping xmlns='urn:xmpp:ping'/></iq>")?.payload;
        let server = env::var("INTEROP_DOMAIN")?.parse()?;
        match self.client.request(RequestKind::Get, Some(server), ping, PATIENCE).await? {
            RequestOutcome::TimedOut | RequestOutcome::Lost => Err("a ping was not answered".into()),
            _ => Ok(()),
        }
    }

    /// Takes what comes until there is this among it; or for a while.
    async fn sees(&mut self, what: Option<&str>) -> Result<()> {
        let looking = async {
            while what.is_none_or(|what| !self.seen.iter().any(|seen| seen == what)) {
                match self.client.next().await? {
                    Some(MachineEvent::Stanza(stanza)) => self.seen.extend(seen(&stanza)),
                    Some(_) => {}
                    None => return Err("the server has closed the stream".into()),
                }
            }
            Ok(())
        };
        match (timeout(if what.is_some() { PATIENCE } else { SOON }, looking).await, what) {
            (Ok(result), _) => result,
            (Err(_), None) => Ok(()),
            (Err(_), Some(what)) => Err(format!("`{what}` has not come, but {:?}", self.seen).into()),
        }
    }
}

/// What it shows of juliet.
fn seen(stanza: &Stanza) -> Option<String> {
    let content = stanza.payload.parse().ok()?;
    let name = match stanza.head.kind {
        Kind::Presence(_) => "show",
        Kind::Message(_) => "body",
        Kind::Iq(_) => return None,
    };
    let mut children = content.root().children();
    let text = children.find(|child| child.name() == name).map(|child| child.text().into_owned());
    text.or_else(|| {
        content.root().child("composing", "http://jabber.org/protocol/chatstates").map(|_| "composing".into())
    })
}

fn report(name: &str, result: Result<String>) {
    match result {
        Ok(detail) => println!("ok\t{name}\t{detail}"),
        Err(error) => println!("FAIL\t{name}\t{error}"),
    }
}

/// Runs it. Each check is a line.
pub(crate) async fn run() -> Result<()> {
    let mut phone = Person::open(&env::var("INTEROP_ROMEO")?, "phone").await?;
    let mut juliet = Person::open(&env::var("INTEROP_JULIET")?, "balcony").await?;
    if !phone.client.machine().features().client_state {
        println!("skip\toffer\tthe server does not offer it");
        return Ok(());
    }
    println!("ok\toffer\tit is offered");
    report("waits", waits(&mut phone, &mut juliet).await);
    report("urgent", brings_all(&mut phone, &mut juliet).await);
    report("looks", looks(&mut phone, &mut juliet).await);
    for person in [phone, juliet] {
        person.client.close().await?;
    }
    println!("ok\tclose\t");
    Ok(())
}

async fn shows(phone: &Person, juliet: &mut Person, show: &str) -> Result<()> {
    let to = phone.client.jid().clone();
    juliet.say(&format!("<presence to='{to}'><show>{show}</show></presence>")).await
}

fn nothing(phone: &Person) -> Result<String> {
    if phone.seen.is_empty() { Ok(String::new()) } else { Err(format!("{:?} has come", phone.seen).into()) }
}

async fn waits(phone: &mut Person, juliet: &mut Person) -> Result<String> {
    phone.client.set_active(false);
    phone.settle().await?;
    // The client asks a second later what has arrived of its own, and Prosody lets go of all that it holds when anything comes.
    sleep(QUIET).await;
    phone.sees(None).await?;
    phone.seen.clear();
    for show in ["away", "xa", "dnd"] {
        shows(phone, juliet, show).await?;
    }
    let to = phone.client.jid().clone();
    let typing = "<composing xmlns='http://jabber.org/protocol/chatstates'/>";
    juliet.say(&format!("<message type='chat' to='{to}'>{typing}</message>")).await?;
    juliet.settle().await?;
    phone.sees(None).await?;
    nothing(phone)
}

async fn brings_all(phone: &mut Person, juliet: &mut Person) -> Result<String> {
    let to = phone.client.jid().clone();
    juliet.say(&format!("<message type='chat' to='{to}'><body>Hist!</body></message>")).await?;
    phone.sees(Some("Hist!")).await?;
    let seen = phone.seen.join(", ");
    if seen.ends_with("dnd, composing, Hist!") { Ok(seen) } else { Err(format!("{seen} has come").into()) }
}

async fn looks(phone: &mut Person, juliet: &mut Person) -> Result<String> {
    phone.sees(None).await?;
    phone.seen.clear();
    shows(phone, juliet, "chat").await?;
    juliet.settle().await?;
    phone.sees(None).await?;
    nothing(phone)?;
    phone.client.set_active(true);
    phone.sees(Some("chat")).await?;
    shows(phone, juliet, "away").await?;
    phone.sees(Some("away")).await?;
    Ok(String::new())
}
