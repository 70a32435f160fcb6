//! What may go wrong between the threads of a server. A connection comes to the thread that has the fewest.

use core::task::{Context, Poll};
use std::io::{self, IoSlice};

use balcony_client::{RequestKind, RequestOutcome};
use balcony_machine::{Random, Seed};
use balcony_runtime::{Interest, Pipe, Socket, TlsPolicy, Transport};

use super::rough::connections;
use super::*;

const PHONE: &str = "romeo@localhost/phone";
const LAPTOP: &str = "juliet@localhost/laptop";

// XEP-0198 §5 [SM17] [SM18]: a client comes back on one thread while another one still has its old connection.
pub(crate) async fn a_session_goes_on_on_another_thread() {
    let world = World::new().await;
    let mut phone = world.online(PHONE, None).await;
    let mut laptop = world.online(LAPTOP, None).await;
    // There is nothing to go on with before the server has said so, which it has when it answers.
    let server: Jid = "localhost".parse().unwrap();
    let outcome = soon(phone.request(RequestKind::Get, Some(server), ping(), PATIENCE)).await;
    assert!(matches!(outcome, Ok(RequestOutcome::Result(_))), "{outcome:?}");
    for round in 0..20 {
        for part in 0..3 {
            soon(laptop.send(&chat(PHONE, &format!("{round} down {part}")))).await.unwrap();
            soon(phone.send(&chat(LAPTOP, &format!("{round} up {part}")))).await.unwrap();
        }
        // The old connection is still there when this one comes.
        let (ours, theirs) = Pipe::pair(1_000);
        world.server.connect(theirs, "a pipe", Transport::Stream);
        assert!(soon(phone.reconnect_over(ours)).await.unwrap(), "round {round}");
        for part in 0..3 {
            assert_eq!(body(&message(&mut phone).await), format!("{round} down {part}"));
            assert_eq!(body(&message(&mut laptop).await), format!("{round} up {part}"));
        }
    }
    connections(&world, 2).await;
    assert_eq!(soon(world.server.stats()).await.sessions, 2);
}

// RFC 6120 §7.7.2.2: whoever binds a resource that somebody has elsewhere gets it, and the other hears of it.
pub(crate) async fn a_session_is_replaced_from_another_thread() {
    // Otherwise what the old one has not acknowledged comes once more.
    let world = World::with(|config| config.stream_management = false, 100).await;
    let mut laptop = world.online(LAPTOP, 0).await;
    let mut phone = world.online(PHONE, 0).await;
    for round in 0..10 {
        let next = world.online(PHONE, 0).await;
        let mut old = core::mem::replace(&mut phone, next);
        while let Ok(Some(_)) = soon(old.next()).await {}
        soon(laptop.send(&chat("romeo@localhost", &round.to_string()))).await.unwrap();
        assert_eq!(body(&message(&mut phone).await), round.to_string());
    }
    connections(&world, 2).await;
    assert_eq!(soon(world.server.stats()).await.sessions, 2);
}

/// Clients that talk, how many messages each of them sends, and how many other addresses it says them to.
const TALKERS: usize = 200;
const SAYS: usize = 40;
const FRIENDS: usize = 5;

fn talker(number: usize) -> String {
    let accounts = ["romeo", "juliet", "mercutio"];
    format!("{}@localhost/{number}", accounts[number % accounts.len()])
}

/// To whom a client says what it says, in order.
fn hearers(number: usize) -> Vec<usize> {
    let mut random: Random = Seed::from_u64(number as u64).random();
    let mut below = |end: usize| usize::try_from(random.next_u64() % end as u64).unwrap();
    let friends = [(); FRIENDS].map(|()| below(TALKERS));
    [(); SAYS].map(|()| friends[below(FRIENDS)]).into()
}

// RFC 6120 §10.1: among many who talk to each other on all threads, to their own accounts and to strangers, each message arrives once, and
// those of one to another in their order.
pub(crate) async fn many_talk_to_many() {
    let change = |config: &mut ServerConfig| {
        config.tls = TlsPolicy::Optional;
        config.limits.resources = TALKERS;
    };
    let world = World::with(change, TALKERS).await;
    let mut talkers = Vec::new();
    for number in 0..TALKERS {
        let mut account = world.account(&talker(number));
        account.stream.tls = TlsPolicy::None;
        account.stream.channel_binding = balcony_stream::ChannelBinding::Off;
        talkers.push(world.connect(account, false).await.unwrap());
    }
    let mut expected = vec![0; TALKERS];
    (0..TALKERS).flat_map(hearers).for_each(|hearer| expected[hearer] += 1);
    let tasks: Vec<_> = talkers
        .into_iter()
        .enumerate()
        .map(|(number, client)| tokio::spawn(talk(number, client, expected[number])))
        .collect();
    let mut clients = Vec::new();
    for task in tasks {
        clients.push(soon(task).await.unwrap());
    }
    // Nothing comes twice, nor later.
    for (number, client) in clients.iter_mut().enumerate().step_by(10) {
        let more = runtime::timeout(Duration::from_millis(20), client.next()).await;
        assert!(more.is_none(), "{number}: {more:?}");
    }
    let stats = soon(world.server.stats()).await;
    assert_eq!((stats.connections, stats.sessions), (TALKERS, TALKERS));
    soon(world.server.shutdown()).await;
}

/// Says all that this client has to say, and hears all that is said to it, which are so many messages.
async fn talk(number: usize, mut client: ConnectedClient, expected: usize) -> ConnectedClient {
    let mut said = vec![0; TALKERS];
    let mut heard = vec![0; TALKERS];
    let mut count = 0;
    let mut hear = |stanza: Stanza| {
        let text = body(&stanza);
        let (from, which) = text.split_once(' ').unwrap_or_else(|| panic!("{number} hears {stanza:?}"));
        let (from, which): (usize, usize) = (from.parse().unwrap(), which.parse().unwrap());
        assert_eq!(which, heard[from], "{number} hears {from}");
        heard[from] += 1;
    };
    for hearer in hearers(number) {
        soon(client.send(&chat(&talker(hearer), &format!("{number} {}", said[hearer])))).await.unwrap();
        said[hearer] += 1;
        while let Some(event) = runtime::timeout(Duration::from_micros(100), client.next()).await {
            if let Some(MachineEvent::Stanza(stanza)) = event.unwrap() {
                hear(*stanza);
                count += 1;
            }
        }
    }
    while count < expected {
        hear(receive(&mut client).await);
        count += 1;
    }
    client
}

/// A socket that can't be read from without a panic.
struct Broken;

impl Socket for Broken {
    fn try_read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        panic!("this panic is part of the test");
    }

    fn try_write(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }

    fn poll_ready(&mut self, _: &mut Context<'_>, _: Interest) -> Poll<io::Result<()>> {
        Poll::Pending
    }

    fn try_shutdown(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// Half a server is none: whoever owns it learns of that, and all connections are closed.
pub(crate) async fn a_panic_on_another_thread_ends_the_server() {
    let world = World::new().await;
    let mut juliet = world.online(LAPTOP, 0).await;
    world.server.connect(Broken, "a broken socket", Transport::Stream);
    soon(world.server.ended()).await;
    while let Ok(Some(_)) = soon(juliet.next()).await {}
    assert_eq!(soon(world.server.stats()).await.connections, 0);
}
