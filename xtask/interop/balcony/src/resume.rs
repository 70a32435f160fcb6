//! The scenario "resume": romeo's network is cut again and again while he and juliet write to each other.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::env;
use std::sync::{Arc, Mutex};

use balcony_stanza::Stanza;
use balcony_tokio::{Client, Endpoint, Event};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::people::Result;
use crate::{config, parse};

const CUTS: usize = 20;
/// So many messages each way while all is well, and so many that the network swallows.
const BURST: usize = 5;
const PATIENCE: Duration = Duration::from_secs(15);

/// A network between a client and its server that can be cut, and brings nothing from some time before that.
#[derive(Clone, Default)]
struct Relay {
    tasks: Arc<Mutex<Vec<AbortHandle>>>,
    is_silent: Arc<AtomicBool>,
}

impl Relay {
    async fn serve(self, listener: TcpListener, server: String) {
        while let Ok((here, _)) = listener.accept().await {
            let Ok(there) = TcpStream::connect(&server).await else { return };
            let ((from_here, to_here), (from_there, to_there)) = (here.into_split(), there.into_split());
            for (from, to) in [(from_here, to_there), (from_there, to_here)] {
                let task = tokio::spawn(bring(from, to, Arc::clone(&self.is_silent)));
                self.tasks.lock().expect("nobody panics").push(task.abort_handle());
            }
        }
    }

    fn cut(&self) {
        self.tasks.lock().expect("nobody panics").drain(..).for_each(|task| task.abort());
        self.is_silent.store(false, Ordering::SeqCst);
    }
}

async fn bring(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, is_silent: Arc<AtomicBool>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer.get(..count).unwrap_or_default();
        if !is_silent.load(Ordering::SeqCst) && to.write_all(bytes).await.is_err() {
            return;
        }
    }
}

/// Somebody, and the numbers of the messages that they have got.
struct Person {
    client: Client,
    got: Vec<usize>,
}

impl Person {
    async fn open(account: &str, resource: &str, address: &str) -> Result<Person> {
        let endpoint = Endpoint::parse(address, false).ok_or("that is no address")?;
        let mut client = Client::connect(config(account, resource)?, endpoint).await?;
        client.send(&parse("<presence/>")?).await?;
        Ok(Person { client, got: Vec::new() })
    }

    async fn send(&mut self, to: &Person, number: usize) -> Result<()> {
        let to = to.client.jid();
        let stanza = parse(&format!("<message type='chat' to='{to}'><body>{number}</body></message>"))?;
        Ok(self.client.send(&stanza).await?)
    }

    fn take(&mut self, stanza: &Stanza) {
        let content = stanza.payload.parse().ok();
        let body = content.as_ref().and_then(|content| content.root().child("body", "jabber:client"));
        self.got.extend(body.and_then(|body| body.text().parse::<usize>().ok()));
    }

    /// Takes what comes, for so long. Whether the connection still lives.
    async fn listen(&mut self, length: Duration) -> bool {
        let listening = async {
            loop {
                match self.client.next().await {
                    Ok(Some(Event::Stanza(stanza))) => self.take(&stanza),
                    Ok(Some(_)) => {}
                    Ok(None) | Err(_) => return,
                }
            }
        };
        timeout(length, listening).await.is_err()
    }

    /// All messages, once, in order.
    async fn all(&mut self) -> core::result::Result<String, String> {
        let expected: Vec<usize> = (0..CUTS * 2 * BURST).collect();
        for _ in 0..PATIENCE.as_secs() * 10 {
            if self.got.len() >= expected.len() {
                break;
            }
            self.listen(Duration::from_millis(100)).await;
        }
        if self.got == expected {
            Ok(format!("{} messages", expected.len()))
        } else {
            Err(format!("got {:?}", self.got))
        }
    }
}

/// Runs it. Each check is a line.
pub(crate) async fn run() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let by_relay = listener.local_addr()?.to_string();
    let (relay, address) = (Relay::default(), env::var("INTEROP_ADDRESS")?);
    tokio::spawn(relay.clone().serve(listener, address.clone()));
    let mut romeo = Person::open(&env::var("INTEROP_ROMEO")?, "train", &by_relay).await?;
    let mut juliet = Person::open(&env::var("INTEROP_JULIET")?, "balcony", &address).await?;
    println!("ok\tlogin\twith stream management");
    let (mut number, mut resumed) = (0, 0);
    for _ in 0..CUTS {
        for is_silent in [false, true] {
            relay.is_silent.store(is_silent, Ordering::SeqCst);
            for _ in 0..BURST {
                romeo.send(&juliet, number).await?;
                juliet.send(&romeo, number).await?;
                number += 1;
            }
            juliet.listen(Duration::from_millis(30)).await;
            romeo.listen(Duration::from_millis(30)).await;
        }
        relay.cut();
        while romeo.listen(PATIENCE).await {}
        if let Ok(true) = timeout(PATIENCE, romeo.client.reconnect()).await? {
            resumed += 1;
        }
        sleep(Duration::from_millis(10)).await;
    }
    println!("{}\tresumed\t{resumed} of {CUTS}", if resumed == CUTS { "ok" } else { "FAIL" });
    for (name, person) in [("down", &mut romeo), ("up", &mut juliet)] {
        match person.all().await {
            Ok(found) => println!("ok\t{name}\t{found}"),
            Err(found) => println!("FAIL\t{name}\t{found}"),
        }
    }
    for person in [romeo, juliet] {
        person.client.close().await?;
    }
    println!("ok\tclose\t");
    Ok(())
}
