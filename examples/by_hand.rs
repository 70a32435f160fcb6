//! A login without any IO: two stream machines, and two buffers in the place of a network. What they say is printed.
//!
//! `cargo run -p balcony-examples --example by_hand`
#![forbid(unsafe_code)]

use core::error::Error;
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::{ScramKeys, salt_password};
use balcony_stream::{Answer, Ask, Event, Initiating, Receiving, Stream, TlsPolicy};

const PASSWORD: &str = "neither, fair saint";

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = Receiving::new(vec!["capulet.example".parse()?], Secret::new([7; 32]));
    let mut client = Initiating::new("juliet@capulet.example".parse()?, Secret::new(PASSWORD.into()));
    (server.tls, client.tls) = (TlsPolicy::None, TlsPolicy::None);
    client.resource = Some("balcony".into());

    // Time stands still here, and chance is a number: whenever this runs, it says the same.
    let now = Instant::ZERO;
    let mut server = Stream::receiving(Arc::new(server), Seed::from_u64(1), now);
    let mut client = Stream::initiating(Arc::new(client), Seed::from_u64(2), now);
    let (mut upward, mut downward) = (Vec::new(), Vec::new());
    while client.jid().is_none() {
        run("C", &mut client, &mut downward, &mut upward)?;
        run("S", &mut server, &mut upward, &mut downward)?;
    }
    client.close(now, &mut upward);
    run("S", &mut server, &mut upward, &mut downward)?;
    run("C", &mut client, &mut downward, &mut upward)
}

/// Lets a machine take what has come, and prints what it answers.
fn run(
    name: &str,
    stream: &mut Stream,
    input: &mut Vec<u8>,
    out: &mut Vec<u8>,
) -> Result<(), Box<dyn Error>> {
    println!("{name} takes {} bytes", input.len());
    let mut rest = input.as_slice();
    while let Progress::Event(event) = stream.advance(Instant::ZERO, &mut rest, out)? {
        match event {
            Event::Ask(ticket, ask) => stream.answer(ticket, look_up(ask)?)?,
            Event::Bound(jid) => println!("{name}: {jid} is bound"),
            _ => {}
        }
    }
    input.clear();
    println!("{name}: {}", String::from_utf8_lossy(out));
    Ok(())
}

/// What a database would say, and a processor that may take its time.
fn look_up(ask: Ask) -> Result<Answer, Box<dyn Error>> {
    Ok(match ask {
        Ask::Credentials { hash, .. } => {
            Answer::Credentials(Some(ScramKeys::derive(hash, PASSWORD, b"sixteen grains..", 4096)?))
        }
        Ask::SaltPassword { hash, password, salt, iterations } => {
            Answer::Salted(salt_password(hash, password.expose(), &salt, iterations)?)
        }
        Ask::Bind { account, resource, .. } => Answer::Bound(Ok(bind(&account, resource.as_deref())?)),
        _ => Answer::Unavailable,
    })
}

fn bind(account: &BareJid, resource: Option<&str>) -> Result<balcony_jid::FullJid, Box<dyn Error>> {
    Ok(account.with_resource(resource.unwrap_or("anything"))?)
}
