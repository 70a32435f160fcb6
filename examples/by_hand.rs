//! A login without any IO: two stream machines, and two buffers in the place of a network. What they say is printed.
//!
//! `cargo run -p balcony-examples --example by_hand`
#![forbid(unsafe_code)]

use core::error::Error;
use std::sync::Arc;

use balcony_jid::BareJid;
use balcony_machine::{Instant, Progress, Secret, Seed};
use balcony_sasl::{ScramKeys, salt_password};
use balcony_stream::client::{ClientAnswer, ClientAsk, ClientStreamConfig};
use balcony_stream::server::{ServerAnswer, ServerAsk, ServerStreamConfig};
use balcony_stream::{ClientStream, ServerStream, Side, Sorted, Stream, TlsPolicy};

const PASSWORD: &str = "neither, fair saint";

type Answered<A> = Result<A, Box<dyn Error>>;

fn main() -> Result<(), Box<dyn Error>> {
    let mut server = ServerStreamConfig::new(vec!["capulet.example".parse()?], Secret::new([7; 32]));
    let mut client = ClientStreamConfig::new("juliet@capulet.example".parse()?, Secret::new(PASSWORD.into()));
    (server.tls, client.tls) = (TlsPolicy::None, TlsPolicy::None);
    client.resource = Some("balcony".into());

    // Time stands still here, and chance is a number: whenever this runs, it says the same.
    let now = Instant::ZERO;
    let mut server = ServerStream::new(Arc::new(server), Seed::from_u64(1), now);
    let mut client = ClientStream::new(Arc::new(client), Seed::from_u64(2), now);
    let (mut upward, mut downward) = (Vec::new(), Vec::new());
    while client.jid().is_none() {
        run("C", &mut client, &mut downward, &mut upward, compute)?;
        run("S", &mut server, &mut upward, &mut downward, look_up)?;
    }
    client.close(now, &mut upward);
    run("S", &mut server, &mut upward, &mut downward, look_up)?;
    run("C", &mut client, &mut downward, &mut upward, compute)
}

/// Lets a machine of either role take what has come, and prints what it answers. What it asks is its role's.
fn run<S: Side>(
    name: &str,
    stream: &mut Stream<S>,
    input: &mut Vec<u8>,
    out: &mut Vec<u8>,
    answer: fn(S::Ask) -> Answered<S::Answer>,
) -> Result<(), Box<dyn Error>> {
    println!("{name} takes {} bytes", input.len());
    let mut rest = input.as_slice();
    while let Progress::Event(event) = stream.advance(Instant::ZERO, &mut rest, out)? {
        match S::sort(event) {
            Sorted::Ask(ticket, ask) => stream.answer(ticket, answer(ask)?)?,
            Sorted::Other(event) => println!("{name}: {event:?}"),
            Sorted::StartTls | Sorted::Stanza(_) => {}
        }
    }
    input.clear();
    println!("{name}: {}", String::from_utf8_lossy(out));
    Ok(())
}

/// What a database would say.
fn look_up(ask: ServerAsk) -> Answered<ServerAnswer> {
    Ok(match ask {
        ServerAsk::Credentials { hash, .. } => {
            ServerAnswer::Credentials(Some(ScramKeys::derive(hash, PASSWORD, b"sixteen grains..", 4096)?))
        }
        ServerAsk::Bind { account, resource, .. } => {
            ServerAnswer::Bound(Ok(bind(&account, resource.as_deref())?))
        }
        _ => ServerAnswer::Unavailable,
    })
}

/// What a processor would, which may take its time.
fn compute(ask: ClientAsk) -> Answered<ClientAnswer> {
    let ClientAsk::SaltPassword { hash, password, salt, iterations } = ask;
    Ok(ClientAnswer::Salted(salt_password(hash, password.expose(), &salt, iterations)?))
}

fn bind(account: &BareJid, resource: Option<&str>) -> Result<balcony_jid::FullJid, Box<dyn Error>> {
    Ok(account.with_resource(resource.unwrap_or("anything"))?)
}
