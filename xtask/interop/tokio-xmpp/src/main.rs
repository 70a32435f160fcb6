//! The scenarios of `cargo xtask interop`, spoken by tokio-xmpp; the name of one is the argument.
//!
//! Started with INTEROP_ADDRESS, _DIRECT, _DOMAIN, _LOG and _PASSWORD in the environment, and with SSL_CERT_FILE, which
//! rustls-native-certs obeys. In "resources" juliet logs in with three resources of different priorities, romeo writes to her.
//! Each check is one line on standard output: result, name, detail, with tabs between them.

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the bans are for protocol crates")]

mod client;
mod link;
#[path = "../../people.rs"]
mod people;
mod resume;
mod wire;

use std::fmt::Debug;
use std::time::Duration;

use client::{Client, Settings};
use tokio_xmpp::error::{AuthError, Error};
use tokio_xmpp::minidom::Element;
use tokio_xmpp::parsers::iq::Iq;
use tokio_xmpp::parsers::message::MessageType;
use tokio_xmpp::parsers::ns;

type Result<T> = core::result::Result<T, Box<dyn std::error::Error>>;

const RESOURCES: [(&str, i8); 3] = [("five", 5), ("ten", 10), ("minus", -1)];
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    wire::record(&std::env::var("INTEROP_LOG")?)?;
    match std::env::args().nth(1).as_deref() {
        Some("people") => people::run::<link::Link>().await,
        Some("resume") => resume::run().await,
        _ => resources().await,
    }
}

async fn resources() -> Result<()> {
    let settings = Settings::from_environment()?;
    let (mut juliet, mut detail) = (Vec::new(), Vec::new());
    let bound = check("bind", async {
        client::log_in(settings.connector(), &settings, "juliet").await?;
        for (resource, _) in RESOURCES {
            juliet.push(Client::open(&settings, "juliet", resource).await?);
            detail.push(resource);
        }
        Ok(detail.join(", "))
    });
    if !bound.await {
        return Ok(());
    }
    let mut romeo = Client::open(&settings, "romeo", "balcony").await?;
    check("tls", async {
        // What comes after this element is TLS or nothing, and no other roots are trusted than SSL_CERT_FILE.
        if wire::has_proceeded() { Ok(String::new()) } else { Err("no STARTTLS was seen".into()) }
    })
    .await;
    check("scram", async {
        let name = wire::mechanism().ok_or("no mechanism was seen")?;
        if name.starts_with("SCRAM-SHA-") { Ok(name) } else { Err(format!("{name} was used").into()) }
    })
    .await;
    for (client, (_, priority)) in juliet.iter_mut().zip(RESOURCES) {
        client.available(priority).await?;
        client.settle().await?;
    }

    let bare = format!("juliet@{}", settings.domain);
    let deliveries = [
        ("chat", bare.clone(), MessageType::Chat, &["ten"][..]),
        ("headline", bare.clone(), MessageType::Headline, &["five", "ten"]),
        ("full", format!("{bare}/five"), MessageType::Chat, &["five"]),
        ("negative", format!("{bare}/minus"), MessageType::Chat, &["minus"]),
    ];
    for (name, to, kind, expected) in deliveries {
        check(name, delivery(&mut romeo, &mut juliet, &to, kind, expected)).await;
    }

    requests(&mut romeo).await;
    logins(&settings).await;
    check("close", async {
        for client in juliet.into_iter().chain([romeo]) {
            client.close().await?;
        }
        match wire::footers() {
            4 => Ok(String::new()),
            other => Err(format!("{other} of 4 streams were closed by the server").into()),
        }
    })
    .await;
    Ok(())
}

/// What the server answers.
async fn requests(romeo: &mut Client) {
    check("ping", async {
        match romeo.request(Element::builder("ping", ns::PING).build()).await? {
            Iq::Result { .. } => Ok(String::new()),
            other => Err(format!("{other:?}").into()),
        }
    })
    .await;
    check("disco", async {
        let Iq::Result { payload: Some(query), .. } =
            romeo.request(Element::builder("query", ns::DISCO_INFO).build()).await?
        else {
            return Err("no result".into());
        };
        let is_server =
            |child: &&Element| child.name() == "identity" && child.attr("category") == Some("server");
        query.children().find(is_server).ok_or("it is no server")?;
        Ok(format!("{} features", query.children().filter(|child| child.name() == "feature").count()))
    })
    .await;
    check("version", async {
        let Iq::Result { payload: Some(query), .. } =
            romeo.request(Element::builder("query", ns::VERSION).build()).await?
        else {
            return Err("no result".into());
        };
        let text = |name| query.get_child(name, ns::VERSION).map(Element::text).unwrap_or_default();
        Ok(format!("{} {}", text("name"), text("version")))
    })
    .await;
    check("unknown", async {
        match romeo.request(Element::builder("query", "urn:example:unknown").build()).await? {
            Iq::Error { error, .. } => expect("service-unavailable", &error.defined_condition),
            other => Err(format!("{other:?}").into()),
        }
    })
    .await;
}

/// Other ways in, and one that is none.
async fn logins(settings: &Settings) {
    check("direct", async {
        client::log_in(client::direct(settings), settings, "romeo").await?;
        Ok(String::new())
    })
    .await;
    check("refuse", async {
        let settings = Settings { password: "wrong".into(), ..settings.clone() };
        match client::log_in(settings.connector(), &settings, "juliet").await {
            Err(Error::Auth(AuthError::Fail(condition))) => expect("not-authorized", &condition),
            Err(other) => Err(other.into()),
            Ok(()) => Err("the wrong password was good enough".into()),
        }
    })
    .await;
    println!("skip\tregister\tnot in tokio-xmpp");
    println!("skip\tmechanisms\tthe library chooses");
}

/// Runs one check and reports how it went.
async fn check(name: &str, action: impl Future<Output = Result<String>>) -> bool {
    let outcome =
        tokio::time::timeout(PATIENCE, action).await.unwrap_or_else(|_| Err("no answer in time".into()));
    match &outcome {
        Ok(detail) => println!("ok\t{name}\t{detail}"),
        Err(error) => println!("FAIL\t{name}\t{}", error.to_string().replace(['\n', '\t'], " ")),
    }
    outcome.is_ok()
}

/// Whether the condition is the one that was wished for. tokio-xmpp names it in CamelCase.
fn expect(wanted: &str, found: &impl Debug) -> Result<String> {
    let found = format!("{found:?}");
    if found.to_lowercase() == wanted.replace('-', "") { Ok(wanted.into()) } else { Err(found.into()) }
}

/// One message; exactly the expected resources get it, once.
async fn delivery(
    from: &mut Client,
    juliet: &mut [Client],
    to: &str,
    kind: MessageType,
    expected: &[&str],
) -> Result<String> {
    let body = format!("{kind:?} to {to}");
    from.message(to, kind, &body).await?;
    from.settle().await?;
    let mut got = Vec::new();
    for (client, (resource, _)) in juliet.iter_mut().zip(RESOURCES) {
        client.settle().await?;
        got.extend(client.bodies.iter().filter(|each| **each == body).map(|_| resource));
    }
    if got == expected {
        Ok(got.join(", "))
    } else {
        Err(format!("expected {expected:?}, delivered to {got:?}").into())
    }
}
