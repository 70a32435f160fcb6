//! One set of scenarios for all runtimes. Whoever includes it has a module `kind` with the runtime.

mod accounts;
mod dns;
mod load;
mod own;
mod relay;
mod resume;
mod rough;
mod runtime;
mod talk;
#[allow(dead_code, reason = "not every server has several threads")]
mod threads;
mod web;

use core::time::Duration;

pub(crate) use load::*;
pub(crate) use own::*;
pub(crate) use resume::*;
pub(crate) use rough::*;
pub(crate) use talk::*;
#[allow(unused_imports, reason = "not every server has several threads")]
pub(crate) use threads::*;
pub(crate) use web::*;

use balcony_client::{ClientConfig, ConnectError, Endpoint, MachineEvent};
use balcony_jid::Jid;
use balcony_machine::Secret;
use balcony_server::ServerConfig;
use balcony_stanza::{MessageType, Payload, PresenceType, Stanza, ns};
use balcony_tls::{TlsIdentity, TlsTrust};
use balcony_xml::{Element, Name};

use runtime::{ConnectedClient, ServerHandle};

use balcony_runtime::Options;

const BODY: Name = Name::from_static("body");
const PRIORITY: Name = Name::from_static("priority");

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes tests of all that is here, each run by `$block_on`.
macro_rules! all_on {
    ($block_on:path) => {
        crate::world::all_on!($block_on:
            messages_reach_the_greatest_priority,
            direct_tls,
            websockets,
            the_web_server_says_where,
            a_web_server_is_not_believed_everything,
            the_dns_says_where,
            requests_wait_and_keep_the_rest,
            next_can_be_cancelled,
            reload_changes_the_certificate,
            wrong_passwords_are_refused,
            strange_certificates_are_refused,
            shutdown_ends_all_streams,
            slow_readers_stall_nobody,
            one_that_never_reads_holds_up_nobody,
            removed_accounts_are_offline,
            the_owner_speaks_in_the_name_of_the_server,
            sessions_are_listed,
            sessions_are_ended,
            too_many_connections_are_turned_away,
            garbage_gets_an_error_that_arrives,
            a_burst_arrives_whole,
            a_burst_to_a_slow_reader_arrives_whole,
            one_that_sends_all_the_time_holds_up_nobody,
            dropped_clients_are_offline,
            dead_peers_are_offline,
            silent_connections_time_out,
            a_store_that_never_answers_does_not_hold_up_the_end,
            pipes_are_sockets,
            a_session_goes_on_after_each_cut,
            without_resumption_a_session_begins_anew,
            a_session_outlasts_attempts_that_fail,
            a_device_that_wakes_up_looks_at_once,
            a_session_that_nobody_was_told_of_is_told_as_new,
            what_is_sent_into_a_broken_connection_arrives_once,
            presence_of_an_old_session_is_not_told_in_a_new_one,
        );
    };
    ($block_on:path: $($name:ident),+ $(,)?) => { $(
        #[test]
        fn $name() {
            // On the heap: some runtimes copy what they run from one stack frame to the next.
            $block_on(Box::pin(crate::world::$name()));
        }
    )+ };
}
pub(crate) use all_on;

/// A server on loopback and what its clients need to know.
struct World {
    server: ServerHandle,
    trust: TlsTrust,
    /// Ports for STARTTLS, direct TLS, WebSockets, and WebSockets on TLS.
    ports: Vec<u16>,
}

/// A new certificate, and a configuration of clients that trusts it and nothing else.
fn certificate() -> (TlsIdentity, TlsTrust) {
    let (certificate, key) = balcony_tls::self_signed(&["localhost"]).unwrap();
    let trust = TlsTrust::builder().roots_pem(certificate.as_bytes()).unwrap().build().unwrap();
    (TlsIdentity::from_pem(certificate.as_bytes(), key.expose().as_bytes()).unwrap(), trust)
}

fn config(certificate: TlsIdentity) -> ServerConfig {
    let mut config = ServerConfig::new(vec!["localhost".parse().unwrap()], Secret::new([7; 32]));
    config.certificate = Some(certificate);
    config
}

impl World {
    async fn new() -> World {
        World::with(|_| {}, 100).await
    }

    async fn with(change: impl FnOnce(&mut ServerConfig), most: usize) -> World {
        World::with_options(Options::default(), change, most).await
    }

    async fn with_options(options: Options, change: impl FnOnce(&mut ServerConfig), most: usize) -> World {
        let (certificate, trust) = certificate();
        let mut config = config(certificate);
        change(&mut config);
        let (server, ports) = runtime::serve(options, config, accounts::ask(), most).await;
        World { server, trust, ports }
    }

    fn account(&self, jid: &str) -> ClientConfig {
        let jid: Jid = jid.parse().unwrap();
        let password = accounts::password(jid.localpart().unwrap());
        let mut config = ClientConfig::new(jid.to_bare(), Secret::new(password)).with_tls(self.trust.clone());
        config.stream.resource = jid.resourcepart().map(String::from);
        // Nothing but a -PLUS mechanism is good enough.
        config.stream.channel_binding = balcony_stream::ChannelBinding::Required;
        config
    }

    fn endpoint(&self, direct_tls: bool) -> Endpoint {
        Endpoint::Address { host: "localhost".into(), port: self.ports[usize::from(direct_tls)], direct_tls }
    }

    async fn connect(&self, config: ClientConfig, direct_tls: bool) -> Result<ConnectedClient, ConnectError> {
        soon(runtime::connect(config, self.endpoint(direct_tls))).await
    }

    /// A client that is online, and available with this priority if one is given.
    async fn online(&self, jid: &str, priority: impl Into<Option<i8>>) -> ConnectedClient {
        let mut client = self.connect(self.account(jid), false).await.unwrap();
        if let Some(priority) = priority.into() {
            let priority = Element::new(PRIORITY, ns::CLIENT).text(priority.to_string());
            soon(client.send(&Stanza::presence(PresenceType::Available).with_child(priority))).await.unwrap();
            // The server shows it to ourselves, too (RFC 6121 section 4.2.2): then it has been processed.
            let echo = receive(&mut client).await;
            assert_eq!(echo.head.from.as_ref().map(Jid::as_str), Some(client.jid().as_str()));
        }
        client
    }
}

/// Whoever owns it learns of that, and can start another one.
#[allow(dead_code, reason = "not every runtime survives a panic")]
pub(crate) async fn a_panic_ends_the_server() {
    let (certificate, trust) = certificate();
    let ask = |_, _| panic!("this panic is part of the test");
    let (server, ports) = runtime::serve(Options::default(), config(certificate), ask, 100).await;
    let world = World { server, trust, ports };
    assert!(world.connect(world.account("juliet@localhost"), false).await.is_err());
    soon(world.server.ended()).await;
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    runtime::timeout(PATIENCE, future).await.expect("too slow")
}

fn chat(to: &str, body: &str) -> Stanza {
    let body = Element::new(BODY, ns::CLIENT).text(body);
    Stanza::message(MessageType::Chat).with_to(to.parse().unwrap()).with_child(body)
}

fn body(stanza: &Stanza) -> String {
    let payload = stanza.payload.parse().unwrap();
    payload.root().child("body", ns::CLIENT).map(|body| body.text().to_string()).unwrap_or_default()
}

fn ping() -> Payload {
    Payload::from(balcony_xep::ping::Ping.to_element())
}

/// The next stanza.
async fn receive(client: &mut ConnectedClient) -> Stanza {
    match soon(client.next()).await.unwrap() {
        Some(MachineEvent::Stanza(stanza)) => *stanza,
        other => panic!("expected a stanza, got {other:?}"),
    }
}

/// The next message; presence of others goes unnoticed.
async fn message(client: &mut ConnectedClient) -> Stanza {
    loop {
        let stanza = receive(client).await;
        if stanza.head.kind.name() == "message" {
            return stanza;
        }
    }
}
