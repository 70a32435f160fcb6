//! One of the two clients of `cargo xtask survive`: it sends a numbered message a second, and writes down what it gets, and when.
//!
//! It is told its account in SURVIVE_JID, whom to write to in SURVIVE_PEER, how many messages to send in SURVIVE_MESSAGES, and the rest as
//! the scenarios are. Each thing that happens is a line on standard output: what, and the seconds since 1970.

use core::net::IpAddr;
use core::time::Duration;
use std::env;
use std::net::UdpSocket;
use std::time::SystemTime;

use balcony::prelude::*;
use tokio::time::interval;

use crate::people::Result;

/// How often it writes, and looks which address its device has.
const PACE: Duration = Duration::from_secs(1);

/// Runs until somebody ends it.
pub(crate) async fn run() -> Result<()> {
    let (jid, peer) = (env::var("SURVIVE_JID")?, env::var("SURVIVE_PEER")?);
    let peer: Jid = peer.parse()?;
    let messages: usize = env::var("SURVIVE_MESSAGES")?.parse()?;
    let address = env::var("INTEROP_ADDRESS")?;
    let mut client = Client::builder(jid)
        .password(env::var("INTEROP_PASSWORD")?)
        .connect(&address)
        .trust_pem(&std::fs::read(env::var("SSL_CERT_FILE")?)?)
        .start_in_background()?;
    tokio::spawn(write(client.sender(), peer, messages));
    tokio::spawn(look(client.sender(), address));
    while let Some(event) = client.next().await? {
        match event {
            Event::Online(_) => tell("online"),
            Event::Resumed => tell("resumed"),
            Event::Offline { why, next } => {
                tell("offline");
                eprintln!("{:.3} offline: {why}; again in {next:?}", now());
            }
            Event::Message(message) => {
                if let Some(number) = message.body() {
                    tell(&format!("got {number}"));
                }
            }
            Event::Undelivered(undelivered) => eprintln!("{:.3} {undelivered:?}", now()),
            _ => {}
        }
    }
    Ok(())
}

/// A message a second. `send` waits while there is no connection, only if there is no room: what waits is the library's.
async fn write(sender: Sender, peer: Jid, messages: usize) {
    let mut pace = interval(PACE);
    for number in 0..messages {
        pace.tick().await;
        let message = Message::chat(peer.clone()).body(number.to_string());
        tell(&format!("sent {number}"));
        if let Err(error) = sender.send(message).await {
            return eprintln!("{:.3} not sent: {error}", now());
        }
    }
}

/// As a phone's system tells its programs: the address has changed.
async fn look(sender: Sender, server: String) {
    let mut pace = interval(PACE);
    let mut last = None;
    loop {
        pace.tick().await;
        let found = own_address(&server);
        if found.is_some() && last.is_some() && found != last {
            tell("woken");
            sender.wake();
        }
        last = found.or(last);
    }
}

/// The address from which this device would reach the server.
fn own_address(server: &str) -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect(server).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

fn tell(what: &str) {
    println!("{what} {:.3}", now());
}
