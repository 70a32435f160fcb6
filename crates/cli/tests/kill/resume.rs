//! Clients that resume (XEP-0198), and a server that is killed, or ended in good order, while they exchange numbered messages: what
//! docs/guarantees.md says becomes of these.
//!
//! Two people talk to each other, and to a third, whose network is gone: the session waits. After the end in good order all three resume,
//! and have got everything once, in order. After a kill they begin new sessions: what the server said to be handled for the third has
//! been written, and comes; what was on its way to the other two may be lost, which is counted.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use balcony_client::{ClientConfig, Endpoint, MachineEvent};
use balcony_jid::BareJid;
use balcony_machine::{Random, Seed};
use balcony_stanza::{Kind, MessageType, PresenceType, Stanza, ns};
use balcony_stream::TlsPolicy;
use balcony_tokio::ConnectedClient;
use balcony_xml::{Element, Name};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};

use crate::client::Person;
use crate::relay::Relay;
use crate::world::{self, World};
use crate::{below, number};

const NAMES: [&str; 3] = ["romeo@localhost", "juliet@localhost", "nurse@localhost"];
/// The one whose network is gone.
const AWAY: usize = 2;
const PATIENCE: Duration = Duration::from_secs(30);
/// So many messages of one of them are under way at most: a client keeps them until they are acknowledged.
const OPEN: usize = 100;
/// So many of them are for the one who is away: after a kill they find room among the messages that wait for people who are away, even if
/// all are sent again.
const WAITING: usize = 50;
/// So long nothing more has to come for it to be all.
const QUIET: Duration = Duration::from_millis(150);

/// How the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Kill,
    Terminate,
}

/// One of the three, with what this round has brought.
struct Friend {
    place: usize,
    relay: Relay,
    client: Option<ConnectedClient>,
    /// What was sent, and what of it the server has acknowledged.
    sent: Vec<String>,
    acknowledged: BTreeSet<String>,
    /// What its sender was told not to be delivered: more was waiting in the store than may.
    refused: BTreeSet<String>,
    got: Vec<String>,
}

/// What has become of a run.
#[derive(Debug, Default)]
struct Sum {
    resumed: usize,
    messages: usize,
    acknowledged: usize,
    repeated: usize,
    refused: usize,
    /// Acknowledged, and lost on the way to a client with a connection.
    lost_under_way: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_resume_in_the_file() {
    outlives_ends(&[]).await;
}

#[cfg(feature = "postgres")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_resume_in_the_tables() {
    if let Some(postgresql) = crate::postgresql::shared() {
        outlives_ends(&["--database", &postgresql.schema()]).await;
    }
}

async fn outlives_ends(options: &[&str]) {
    let rounds = number("BALCONY_KILL_ROUNDS").unwrap_or(8);
    let seed = number("BALCONY_KILL_SEED").unwrap_or_else(|| u64::from(std::process::id()));
    println!("BALCONY_KILL_SEED={seed}");
    let mut random = Seed::from_u64(seed).random();
    let world = World::new();
    let accounts: String =
        NAMES.iter().map(|name| name.replace("@localhost", ",") + world::PASSWORD + "\n").collect();
    world.write("accounts.csv", &accounts);
    world.run(&[&["user", "import", "accounts.csv"], options].concat()).succeeded();
    let serve = [&["--allow-plaintext"], options].concat();
    let server = world.serve(&serve);
    befriend(&server.address).await;
    server.stop();

    let mut friends = Vec::new();
    for place in 0..NAMES.len() {
        let (relay, client) = (Relay::open().await, None);
        friends.push(Friend {
            place,
            relay,
            client,
            sent: Vec::new(),
            acknowledged: BTreeSet::new(),
            refused: BTreeSet::new(),
            got: Vec::new(),
        });
    }
    let (mut before, mut sum) = (None, Sum::default());
    for round in 0..=rounds {
        let mut server = world.serve(&serve);
        friends = come_back(friends, &server.address, before).await;
        check(&friends, usize::try_from(round).unwrap().saturating_sub(1), before, &mut sum);
        for friend in &mut friends {
            (friend.sent, friend.acknowledged, friend.refused, friend.got) = Default::default();
        }
        if round == rounds {
            for friend in friends.drain(..) {
                friend.client.unwrap().close().await.unwrap();
            }
            server.stop();
            break;
        }
        // The server notices that at once, or when it is over: either way what it has for the session waits.
        friends[AWAY].relay.cut();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let mut talking = JoinSet::new();
        let away = friends.pop().unwrap();
        for friend in friends.drain(..) {
            talking.spawn(talk(friend, round, random.seed().random()));
        }
        tokio::time::sleep(Duration::from_micros(20_000 + below(&mut random, 400_000))).await;
        let end = [End::Kill, End::Terminate][usize::from(below(&mut random, 2) == 0)];
        match end {
            End::Kill => server.process.kill(),
            End::Terminate => drop(server.stop()),
        }
        while let Some(friend) = talking.join_next().await {
            friends.push(friend.unwrap());
        }
        friends.push(away);
        friends.sort_by_key(|friend| friend.place);
        world.run(&[&["store", "check"], options].concat()).succeeded();
        before = Some(end);
    }
    println!("{sum:?}");
    assert!(rounds < 8 || sum.acknowledged > 0 && sum.resumed > 0, "{sum:?}");
}

/// Who sees the other hears of what becomes of messages, so that these count as handled when they are written, not sooner.
async fn befriend(address: &str) {
    for name in NAMES {
        let others: Vec<String> =
            NAMES.iter().filter(|other| **other != name).map(|other| (*other).into()).collect();
        let mut me = Person::connect(address, name).await.unwrap();
        me.approve(&others).await.unwrap();
        me.close().await.unwrap();
    }
    for name in NAMES {
        let others: Vec<String> =
            NAMES.iter().filter(|other| **other != name).map(|other| (*other).into()).collect();
        let mut me = Person::connect(address, name).await.unwrap();
        me.befriend(&others).await.unwrap();
        me.close().await.unwrap();
    }
}

/// All connect again, and take what comes until it is known of every message what has become of it, and nothing more comes.
async fn come_back(friends: Vec<Friend>, address: &str, before: Option<End>) -> Vec<Friend> {
    let mut coming = JoinSet::new();
    for mut friend in friends {
        friend.relay.lead_to(address);
        coming.spawn(async move {
            friend.connect(before).await;
            friend
        });
    }
    let mut there = Vec::new();
    while let Some(friend) = coming.join_next().await {
        there.push(friend.unwrap());
    }
    let refused: BTreeSet<&String> = there.iter().flat_map(|friend| &friend.refused).collect();
    let is_sure = |text: &String| there.iter().any(|friend| friend.acknowledged.contains(text));
    let is_away = |text: &String| text.split('.').nth(2) == Some(&AWAY.to_string());
    // What was acknowledged may be lost to those who had a connection; everything else was sent again.
    let may_be_lost = |text: &String| before == Some(End::Kill) && is_sure(text) && !is_away(text);
    let sent = there.iter().flat_map(|friend| &friend.sent);
    let open = sent.filter(|text| !refused.contains(text) && !may_be_lost(text)).cloned().collect();
    let open = Arc::new(Mutex::new(open));
    let mut taking = JoinSet::new();
    for mut friend in there {
        let open = Arc::clone(&open);
        taking.spawn(async move {
            friend.take(&open).await;
            friend
        });
    }
    let mut there = Vec::new();
    while let Some(friend) = taking.join_next().await {
        there.push(friend.unwrap());
    }
    there.sort_by_key(|friend| friend.place);
    there
}

/// What has become of the messages of this round.
fn check(friends: &[Friend], round: usize, before: Option<End>, sum: &mut Sum) {
    sum.resumed += if before == Some(End::Terminate) { friends.len() } else { 0 };
    for to in friends {
        let mut last = [None; NAMES.len()];
        let mut seen = BTreeSet::new();
        for text in &to.got {
            let numbers: Vec<usize> = text.split('.').map(|number| number.parse().unwrap()).collect();
            let [of, from, _, number] = numbers[..] else { panic!("{text}") };
            if of < round {
                // After a kill it has come so late that it was not waited for.
                continue;
            }
            if !seen.insert(text) {
                assert_eq!(before, Some(End::Kill), "{} has got {text} twice", NAMES[to.place]);
                sum.repeated += 1;
                continue;
            }
            assert!(
                last[from] < Some(number),
                "{} has got {text} after {:?}: {before:?}, {:?}",
                NAMES[to.place],
                last[from],
                to.got
            );
            last[from] = Some(number);
        }
        for from in friends {
            let own = |text: &&String| text.split('.').nth(2) == Some(&to.place.to_string());
            for text in from.sent.iter().filter(own) {
                let is_acknowledged = from.acknowledged.contains(text);
                sum.messages += 1;
                sum.acknowledged += usize::from(is_acknowledged);
                if seen.contains(text) {
                    continue;
                }
                if from.refused.contains(text) {
                    sum.refused += 1;
                    continue;
                }
                let may_be_lost = before == Some(End::Kill) && to.place != AWAY && is_acknowledged;
                assert!(
                    may_be_lost,
                    "{} has never got {text}: {before:?}, {is_acknowledged}",
                    NAMES[to.place]
                );
                sum.lost_under_way += 1;
            }
        }
    }
}

/// Sends messages, and takes what comes, until the connection ends.
async fn talk(mut me: Friend, round: u64, mut random: Random) -> Friend {
    let mut numbers = [0; NAMES.len()];
    loop {
        for _ in 0..below(&mut random, 6) {
            if me.sent.len().saturating_sub(me.acknowledged.len()) >= OPEN {
                break;
            }
            let mut to = (me.place + 1 + below(&mut random, 2) as usize) % NAMES.len();
            if to == AWAY && numbers[to] == WAITING {
                to = 1 - me.place;
            }
            let text = format!("{round}.{}.{to}.{}", me.place, numbers[to]);
            numbers[to] += 1;
            me.sent.push(text.clone());
            if me.say(to, &text).await.is_err() {
                // It is not sent again, what was taken before is.
                me.sent.pop();
                return me.hear_the_rest().await;
            }
        }
        let client = me.client.as_mut().unwrap();
        match timeout(Duration::from_micros(below(&mut random, 3_000)), client.next()).await {
            Ok(Ok(Some(event))) => me.hear(event),
            Ok(_) => return me.hear_the_rest().await,
            Err(_) => {}
        }
    }
}

impl Friend {
    async fn connect(&mut self, before: Option<End>) {
        let started = Instant::now();
        if let Some(client) = &mut self.client {
            let resumed = loop {
                match client.reconnect().await {
                    Ok(resumed) => break resumed,
                    Err(error) => assert!(started.elapsed() < PATIENCE, "{error}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            assert_eq!(resumed, before == Some(End::Terminate), "{} after {before:?}", NAMES[self.place]);
            if resumed {
                return;
            }
        } else {
            let account = BareJid::parse(NAMES[self.place]).unwrap();
            let mut config = ClientConfig::new(account, String::from(world::PASSWORD).into());
            config.stream.tls = TlsPolicy::None;
            config.stream.resource = Some("phone".into());
            let endpoint = Endpoint::parse(&self.relay.address.to_string(), false).unwrap();
            self.client = Some(ConnectedClient::connect(config, endpoint).await.unwrap());
        }
        let client = self.client.as_mut().unwrap();
        client.send(&Stanza::presence(PresenceType::Available)).await.unwrap();
    }

    async fn say(&mut self, to: usize, text: &str) -> Result<(), balcony_client::PumpError> {
        const BODY: Name = Name::from_static("body");
        let body = Element::new(BODY, ns::CLIENT).text(text);
        let message = Stanza::message(MessageType::Chat)
            .with_id(text)
            .with_to(NAMES[to].parse().unwrap())
            .with_child(body);
        self.client.as_mut().unwrap().send(&message).await
    }

    fn hear(&mut self, event: MachineEvent) {
        match event {
            MachineEvent::Acknowledged(id) => {
                self.acknowledged.insert(id.to_string());
            }
            MachineEvent::Stanza(stanza) if stanza.head.kind == Kind::Message(MessageType::Chat) => {
                self.got.push(stanza.head.id.as_deref().unwrap().to_owned());
            }
            MachineEvent::Stanza(stanza) if stanza.head.kind == Kind::Message(MessageType::Error) => {
                self.refused.insert(stanza.head.id.as_deref().unwrap().to_owned());
            }
            MachineEvent::Stanza(stanza) => assert!(!stanza.head.kind.is_error(), "{stanza:?}"),
            _ => {}
        }
    }

    /// What has come before the connection has ended.
    async fn hear_the_rest(mut self) -> Friend {
        while let Ok(Ok(Some(event))) = timeout(PATIENCE, self.client.as_mut().unwrap().next()).await {
            self.hear(event);
        }
        self
    }

    /// Takes what comes until nothing is `open`, of anybody's messages, and nothing more comes. A message has come to its recipient or back
    /// to its sender as an error, however late.
    async fn take(&mut self, open: &Mutex<BTreeSet<String>>) {
        let started = Instant::now();
        loop {
            match timeout(QUIET, self.client.as_mut().unwrap().next()).await {
                Ok(event) => self.hear(event.unwrap().unwrap()),
                Err(_) => {
                    let mut open = open.lock().unwrap();
                    open.retain(|text| !self.refused.contains(text) && !self.got.contains(text));
                    // What is missing is told by the check.
                    if open.is_empty() || started.elapsed() > PATIENCE {
                        return;
                    }
                }
            }
        }
    }
}
