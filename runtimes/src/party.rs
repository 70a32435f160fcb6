//! Servers and clients on each runtime, as processes of the suite.

use core::fmt::Display;
use core::net::SocketAddr;
use std::io::{BufRead as _, Write as _};

use async_channel::Receiver;
use balcony::runtime::{Runtime, Transport};
use balcony::server::{MemoryAccounts, ServerBuilder};

use crate::Failure;
use crate::{front, heap, on_threads};

/// The accounts that there are.
const ACCOUNTS: [(&str, &str); 2] = [("juliet@localhost", "r0m30"), ("romeo@localhost", "jul13t")];

/// A client of this driver, until its input ends.
///
/// # Errors
///
/// What is wrong with the driver, or with a line.
pub fn client(driver: &str) -> Result<(), Failure> {
    match driver {
        "tokio" => tokio()?.block_on(front::play(|jid| balcony::Client::builder(jid), lines())),
        "smol" => {
            smol::block_on(front::play(|jid| balcony::ClientBuilder::on(balcony::on_smol(), jid), lines()))
        }
        "async-std" => async_std::task::block_on(front::play(
            |jid| balcony::ClientBuilder::on(balcony::on_async_std(), jid),
            lines(),
        )),
        "threads" => on_threads::play(&lines()),
        _ => Err(format!("there is no client of `{driver}`").into()),
    }
}

/// A server of this driver, until its input ends.
///
/// # Errors
///
/// Why it does not start.
pub fn serve(driver: &str, certificate: &str, key: &str) -> Result<(), Failure> {
    let of = (certificate, key);
    match driver {
        "tokio" => {
            tokio()?.block_on(run(ServerBuilder::on(balcony::DefaultRuntime::default(), "localhost"), of))
        }
        "smol" => smol::block_on(run(ServerBuilder::on(balcony::on_smol(), "localhost"), of)),
        "async-std" => {
            async_std::task::block_on(run(ServerBuilder::on(balcony::on_async_std(), "localhost"), of))
        }
        _ => Err(format!("there is no server of `{driver}`").into()),
    }
}

fn tokio() -> Result<tokio::runtime::Runtime, Failure> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}

async fn run<R: Runtime>(
    mut server: ServerBuilder<R>,
    (certificate, key): (&str, &str),
) -> Result<(), Failure> {
    let mut accounts = MemoryAccounts::new();
    for (account, password) in ACCOUNTS {
        accounts = accounts.with(account, password)?;
    }
    server = server.accounts(accounts);
    server = match certificate {
        "-" => server.dangerous_without_tls(),
        _ => server.certificate_pem(&std::fs::read(certificate)?, &std::fs::read(key)?),
    };
    let anywhere = SocketAddr::from(([127, 0, 0, 1], 0));
    let server = server.listen(anywhere).listen_for(anywhere, Transport::WebSocket).start()?;
    let ports: Vec<_> = server.local_addrs().iter().map(|at| at.port().to_string()).collect();
    tell(format_args!("listening {}", ports.join(" ")));
    let lines = lines();
    while let Ok(line) = lines.recv().await {
        if line == "figures" {
            figures();
        }
    }
    server.shutdown().await;
    Ok(())
}

/// What this process is told, by a thread that waits for it.
#[must_use]
pub fn lines() -> Receiver<String> {
    let (send, lines) = async_channel::bounded(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if send.send_blocking(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// Says a line.
pub(crate) fn tell(line: impl Display) {
    let mut out = std::io::stdout().lock();
    // Where nobody listens any more the input ends, too.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Says what the heap holds.
pub(crate) fn figures() {
    let (used, allocations) = heap::figures();
    tell(format_args!("figures {used} {allocations}"));
}
