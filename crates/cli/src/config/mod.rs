//! What `serve` can be told, typed or in a file.

mod bounds;
mod fault;
mod read;

use core::net::SocketAddr;
use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

use crate::components::Components;
use crate::csi::ClientStates;
use crate::database::Database;
use crate::domains::Domains;
use crate::federation::Federation;
use crate::one_or_more::{one_at_least, one_or_more};
use crate::push::PushNotifications;
use crate::queues::Queues;
use crate::values::{Address, Domain, LogLevel};

/// Where a server keeps its data unless it is told otherwise.
pub(crate) const DATA: &str = "./balcony-data";

/// The options that a file can hold, under the names that they have when typed.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// A domain to serve; may be given several times [default: localhost]
    #[arg(long, value_name = "DOMAIN")]
    #[serde(deserialize_with = "one_at_least")]
    pub(crate) domain: Vec<Domain>,
    /// Listen here for streams that negotiate TLS; may be given several times [default: 127.0.0.1:5222, unless
    /// another --listen-... is given]
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen: Vec<Address>,
    /// Listen here for streams that begin with TLS; may be given several times [default: 127.0.0.1:5223, unless
    /// another --listen-... is given]
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen_tls: Vec<Address>,
    /// Listen here for WebSockets on TLS, at wss://ADDR:PORT/xmpp-websocket; may be given several times
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen_wss: Vec<Address>,
    /// Listen here for WebSockets without TLS, at ws://ADDR:PORT/xmpp-websocket, for a proxy on this machine that adds it;
    /// only on loopback addresses; may be given several times
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen_ws: Vec<Address>,
    /// Listen here for browsers, which see at http://ADDR:PORT/ how messages find their way, and speak by the WebSocket at
    /// /xmpp-websocket there; only on loopback addresses; may be given several times [default: 127.0.0.1:5280 with --demo, or
    /// another port if that is in use, unless another --listen-... is given]
    #[arg(long, value_name = "ADDR:PORT")]
    #[serde(deserialize_with = "one_or_more")]
    pub(crate) listen_http: Vec<Address>,
    /// The folder with the accounts [default: ./balcony-data]
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Keep the accounts in PostgreSQL instead: postgresql://USER@HOST/NAME, or host=/run/postgresql dbname=NAME. With a
    /// password in it, better say it in the file, where others don't see it. Only if built with the feature `postgres`
    #[arg(long, value_name = "URL")]
    pub(crate) database: Option<Database>,
    /// The certificate in PEM, followed by those that signed it [default: cert.pem in the data folder, made
    /// when missing and renewed, and signed by ca.pem there]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// Let clients log in without TLS; only on loopback addresses
    #[arg(long)]
    pub(crate) allow_plaintext: bool,
    /// Let everybody create accounts from a client
    #[arg(long)]
    pub(crate) allow_registration: bool,
    /// Close connections that have not logged in after so many seconds [default: 60]
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) negotiation_timeout: Option<u32>,
    /// Keep the session of a client whose connection is lost for so many seconds, until it comes back and goes on with it
    /// (XEP-0198); 0: not at all [default: 600]
    #[arg(long, value_name = "SECONDS")]
    pub(crate) resumption_timeout: Option<u32>,
    /// Let clients that come back log in without their password for so many days after they were there last (XEP-0484); 0: not at
    /// all [default: 30]
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(..=36_500))]
    pub(crate) token_lifetime: Option<u32>,
    /// Do not let clients have acknowledged what they get and send, nor go on with sessions (XEP-0198)
    #[arg(long)]
    pub(crate) no_stream_management: bool,
    /// Serve clients on so many threads; more than the machine has cores are of no use [default: 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) threads: Option<u8>,
    /// Take so many connections at most [default: 10000]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: Option<u32>,
    /// Take so many connections from one IP address at most, of IPv6 from 64 bits of it; those from this machine are not
    /// counted [default: any number]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections_per_ip: Option<u32>,
    /// Let one IP address, counted in the same way, connect so many times a minute at most [default: any number]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_attempts_per_ip: Option<u32>,
    /// Read so many bytes a second from one client on average at most [default: any number]
    #[arg(long, value_name = "BYTES", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1000..))]
    pub(crate) max_bytes_per_second: Option<u32>,
    /// Take stanzas of so many bytes at most [default: 262144]
    #[arg(long, value_name = "BYTES", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(10_000..))]
    pub(crate) max_stanza_bytes: Option<u32>,
    /// Let an account have so many resources online at most [default: 64]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_resources: Option<u32>,
    /// Keep so many messages for an account while it is away at most. Past it they come back to contacts. Those of others may
    /// take half of it, and are dropped past that [default: 200]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_offline_messages: Option<u32>,
    /// Keep so many bytes of such messages at most, in the same way [default: 4194304]
    #[arg(long, value_name = "BYTES", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(10_000..))]
    pub(crate) max_offline_bytes: Option<u32>,
    /// Let a roster have so many contacts at most [default: 1000]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_contacts: Option<u32>,
    /// End connections after so many failed logins [default: 5]
    #[arg(long, value_name = "N", help_heading = "Limits", value_parser = clap::value_parser!(u8).range(1..))]
    pub(crate) max_login_attempts: Option<u8>,
    /// As typed: --log
    #[arg(skip)]
    pub(crate) log: Option<LogLevel>,
    /// Other servers: in the file only.
    #[arg(skip)]
    pub(crate) federation: Box<Federation>,
    /// Domains with a certificate of their own: in the file only.
    #[arg(skip)]
    pub(crate) domains: Box<Domains>,
    /// Components: in the file only.
    #[arg(skip)]
    pub(crate) components: Box<Components>,
    /// Clients that nobody uses: in the file only.
    #[arg(skip)]
    pub(crate) csi: ClientStates,
    /// Push notifications: in the file only.
    #[arg(skip)]
    pub(crate) push: PushNotifications,
    /// What is on its way to clients: in the file only.
    #[arg(skip)]
    pub(crate) queues: Queues,
}

impl Settings {
    /// The names of those that cannot change while a server runs, and whether they differ from those of `running`.
    fn fixed(&self, running: &Settings) -> impl Iterator<Item = (&'static str, bool)> + use<> {
        [
            ("domain", self.domain != running.domain),
            ("listen", self.listen != running.listen),
            ("listen-tls", self.listen_tls != running.listen_tls),
            ("listen-wss", self.listen_wss != running.listen_wss),
            ("listen-ws", self.listen_ws != running.listen_ws),
            ("listen-http", self.listen_http != running.listen_http),
            ("federation.listen", self.federation.listen != running.federation.listen),
            ("federation.listen-tls", self.federation.listen_tls != running.federation.listen_tls),
            ("components", self.components != running.components),
            ("csi", self.csi != running.csi),
            ("push", self.push != running.push),
            ("queues", self.queues != running.queues),
            ("data", self.folder() != running.folder()),
            ("database", self.database != running.database),
            ("allow-plaintext", self.allow_plaintext != running.allow_plaintext),
            ("token-lifetime", self.token_lifetime != running.token_lifetime),
            ("threads", self.threads != running.threads),
            ("max-connections", self.max_connections != running.max_connections),
            ("max-resources", self.max_resources != running.max_resources),
            ("max-offline-messages", self.max_offline_messages != running.max_offline_messages),
            ("max-offline-bytes", self.max_offline_bytes != running.max_offline_bytes),
            ("max-contacts", self.max_contacts != running.max_contacts),
        ]
        .into_iter()
    }

    /// These settings, but for those that cannot change while a server runs, which are taken from `running`; and the names of
    /// those that differ there.
    pub(crate) fn with_fixed_of(self, running: &Settings) -> (Settings, Vec<&'static str>) {
        let changed =
            self.fixed(running).filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect();
        let settings = Settings {
            domain: running.domain.clone(),
            listen: running.listen.clone(),
            listen_tls: running.listen_tls.clone(),
            listen_wss: running.listen_wss.clone(),
            listen_ws: running.listen_ws.clone(),
            listen_http: running.listen_http.clone(),
            data: running.data.clone(),
            database: running.database.clone(),
            allow_plaintext: running.allow_plaintext,
            token_lifetime: running.token_lifetime,
            threads: running.threads,
            max_connections: running.max_connections,
            max_resources: running.max_resources,
            max_offline_messages: running.max_offline_messages,
            max_offline_bytes: running.max_offline_bytes,
            max_contacts: running.max_contacts,
            components: running.components.clone(),
            csi: running.csi,
            push: running.push,
            queues: running.queues,
            federation: Box::new(self.federation.with_addresses_of(&running.federation)),
            ..self
        };
        (settings, changed)
    }

    /// These settings, and those of `file` where these say nothing.
    pub(crate) fn or(self, file: Settings) -> Settings {
        let listens = self.listens();
        let Settings {
            domain,
            listen,
            listen_tls,
            listen_wss,
            listen_ws,
            listen_http,
            data,
            database,
            cert,
            key,
            allow_plaintext,
            allow_registration,
            negotiation_timeout,
            resumption_timeout,
            token_lifetime,
            no_stream_management,
            threads,
            max_connections,
            max_connections_per_ip,
            max_attempts_per_ip,
            max_bytes_per_second,
            max_stanza_bytes,
            max_resources,
            max_offline_messages,
            max_offline_bytes,
            max_contacts,
            max_login_attempts,
            log,
            federation: _,
            domains: _,
            components: _,
            csi: _,
            push: _,
            queues: _,
        } = self;
        Settings {
            domain: if domain.is_empty() { file.domain } else { domain },
            // All are one decision: whoever types one of them does not want another from elsewhere.
            listen: if listens { listen } else { file.listen },
            listen_tls: if listens { listen_tls } else { file.listen_tls },
            listen_wss: if listens { listen_wss } else { file.listen_wss },
            listen_ws: if listens { listen_ws } else { file.listen_ws },
            listen_http: if listens { listen_http } else { file.listen_http },
            data: data.or(file.data),
            database: database.or(file.database),
            cert: cert.or(file.cert),
            key: key.or(file.key),
            allow_plaintext: allow_plaintext || file.allow_plaintext,
            allow_registration: allow_registration || file.allow_registration,
            negotiation_timeout: negotiation_timeout.or(file.negotiation_timeout),
            resumption_timeout: resumption_timeout.or(file.resumption_timeout),
            token_lifetime: token_lifetime.or(file.token_lifetime),
            no_stream_management: no_stream_management || file.no_stream_management,
            threads: threads.or(file.threads),
            max_connections: max_connections.or(file.max_connections),
            max_connections_per_ip: max_connections_per_ip.or(file.max_connections_per_ip),
            max_attempts_per_ip: max_attempts_per_ip.or(file.max_attempts_per_ip),
            max_bytes_per_second: max_bytes_per_second.or(file.max_bytes_per_second),
            max_stanza_bytes: max_stanza_bytes.or(file.max_stanza_bytes),
            max_resources: max_resources.or(file.max_resources),
            max_offline_messages: max_offline_messages.or(file.max_offline_messages),
            max_offline_bytes: max_offline_bytes.or(file.max_offline_bytes),
            max_contacts: max_contacts.or(file.max_contacts),
            max_login_attempts: max_login_attempts.or(file.max_login_attempts),
            log: log.or(file.log),
            federation: file.federation,
            domains: file.domains,
            components: file.components,
            csi: file.csi,
            push: file.push,
            queues: file.queues,
        }
    }

    /// Where clients connect, by the names of the settings.
    fn addresses(&self) -> [(&'static str, &[Address]); 5] {
        [
            ("listen", &self.listen),
            ("listen-tls", &self.listen_tls),
            ("listen-wss", &self.listen_wss),
            ("listen-ws", &self.listen_ws),
            ("listen-http", &self.listen_http),
        ]
    }

    /// Whether it says where clients connect.
    pub(crate) fn listens(&self) -> bool {
        self.addresses().iter().any(|(_, list)| !list.is_empty())
    }

    /// What is wrong if one address is there twice, with the settings in the words of whoever has written them.
    pub(crate) fn twice(&self, word: impl Fn(&str) -> String) -> Option<String> {
        twice(self.addresses().map(|(name, list)| (word(name), list)))
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| DATA.into())
    }
}

/// What is wrong if one address is twice in these lists, each of which has a name.
pub(crate) fn twice<'a>(lists: impl IntoIterator<Item = (String, &'a [Address])>) -> Option<String> {
    let mut names = BTreeMap::<SocketAddr, String>::new();
    lists.into_iter().find_map(|(name, list)| {
        // Of port 0 each is another one.
        list.iter().filter(|Address(to)| to.port() != 0).find_map(|Address(to)| {
            let first = names.insert(*to, name.clone())?;
            Some(match first == name {
                true => format!("{name}: {to} is there twice"),
                false => format!("{to} is in {first} and in {name}"),
            })
        })
    })
}

#[cfg(test)]
mod tests;
