//! What `serve` can be told, typed or in a file.

use core::time::Duration;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};

use balcony_machine::Limits;
use balcony_router::extension::Extensions;
use balcony_router::extension::offline::Offline;
use balcony_tokio::ServerConfig;
use serde::Deserialize;

use crate::components::Components;
use crate::csi::ClientStates;
use crate::database::Database;
use crate::domains::Domains;
use crate::failure::{Failure, io};
use crate::federation::Federation;
use crate::one_or_more::one_or_more;
use crate::password::MARK;
use crate::push::PushNotifications;
use crate::queues::Queues;
use crate::small_file;
use crate::values::{Address, Domain, LogLevel};

/// Where a server keeps its data unless it is told otherwise.
pub(crate) const DATA: &str = "./balcony-data";

/// The options that a file can hold, under the names that they have when typed.
#[derive(Clone, Debug, Default, clap::Args, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub(crate) struct Settings {
    /// A domain to serve; may be given several times [default: localhost]
    #[arg(long, value_name = "DOMAIN")]
    #[serde(deserialize_with = "one_or_more")]
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
    /// Reads a file. Paths in it are relative to the folder in which it is.
    pub(crate) fn read(path: &Path) -> Result<Settings, Failure> {
        let cannot_read = || io(format!("cannot read {}", path.display()));
        let bytes = small_file::read(path).map_err(cannot_read())?;
        let text = String::from_utf8(bytes)
            .map_err(|_| cannot_read()(Error::new(ErrorKind::InvalidData, "it is not UTF-8")))?;
        let text = text.strip_prefix(MARK).unwrap_or(&text);
        let mut settings: Settings = toml::from_str(text).map_err(|error| {
            let line = error.span().map_or(1, |span| text[..span.start].matches('\n').count() + 1);
            let key = error.span().and_then(|span| text.get(span)).unwrap_or_default();
            let message = match error.message() {
                // It does not say which; the same key or table is somewhere above.
                "duplicate key" => format!("`{}` is there twice", key.trim()),
                message => message.replace('\n', " "),
            };
            Failure::new(format!("{}:{line}: {message}", path.display()))
        })?;
        if settings.cert.is_some() != settings.key.is_some() {
            return Err(Failure::new(format!("{}: `cert` and `key` need each other", path.display())));
        }
        // As typed, but without the help of clap.
        for (name, value, least) in [
            ("negotiation-timeout", settings.negotiation_timeout, 1),
            ("max-connections", settings.max_connections, 1),
            ("max-connections-per-ip", settings.max_connections_per_ip, 1),
            ("max-attempts-per-ip", settings.max_attempts_per_ip, 1),
            ("max-bytes-per-second", settings.max_bytes_per_second, 1000),
            ("max-stanza-bytes", settings.max_stanza_bytes, 10_000),
            ("max-resources", settings.max_resources, 1),
            ("max-offline-messages", settings.max_offline_messages, 1),
            ("max-offline-bytes", settings.max_offline_bytes, 10_000),
            ("max-contacts", settings.max_contacts, 1),
            ("max-login-attempts", settings.max_login_attempts.map(u32::from), 1),
        ] {
            if value.is_some_and(|value| value < least) {
                return Err(Failure::new(format!("{}: `{name}` has to be {least} or more", path.display())));
            }
        }
        if let Err(reason) = settings.federation.check() {
            return Err(Failure::new(format!("{}: [federation]: {reason}", path.display())));
        }
        if let Err(reason) = settings.components.check(path) {
            return Err(Failure::new(format!("{}: [components]: {reason}", path.display())));
        }
        if let Err(reason) = settings.domains.check(&settings.domain, &settings.components.domains()) {
            return Err(Failure::new(format!("{}: [domains]: {reason}", path.display())));
        }
        if let Err(reason) = settings.queues.check() {
            return Err(Failure::new(format!("{}: [queues]: {reason}", path.display())));
        }
        let folder = path.parent().unwrap_or(Path::new(""));
        settings.domains.in_folder(folder);
        settings.federation.in_folder(folder);
        for path in [&mut settings.data, &mut settings.cert, &mut settings.key].into_iter().flatten() {
            *path = folder.join(&*path);
        }
        Ok(settings)
    }

    /// These settings, but for those that cannot change while a server runs, which are taken from `running`; and the names of
    /// those that differ there.
    pub(crate) fn with_fixed_of(self, running: &Settings) -> (Settings, Vec<&'static str>) {
        let changes = [
            ("domain", self.domain != running.domain),
            ("listen", self.listen != running.listen),
            ("listen-tls", self.listen_tls != running.listen_tls),
            ("listen-wss", self.listen_wss != running.listen_wss),
            ("listen-ws", self.listen_ws != running.listen_ws),
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
            ("max-connections", self.max_connections != running.max_connections),
            ("max-resources", self.max_resources != running.max_resources),
            ("max-offline-messages", self.max_offline_messages != running.max_offline_messages),
            ("max-offline-bytes", self.max_offline_bytes != running.max_offline_bytes),
            ("max-contacts", self.max_contacts != running.max_contacts),
        ];
        let changed =
            changes.into_iter().filter(|(_, is_changed)| *is_changed).map(|(name, _)| name).collect();
        let settings = Settings {
            domain: running.domain.clone(),
            listen: running.listen.clone(),
            listen_tls: running.listen_tls.clone(),
            listen_wss: running.listen_wss.clone(),
            listen_ws: running.listen_ws.clone(),
            data: running.data.clone(),
            database: running.database.clone(),
            allow_plaintext: running.allow_plaintext,
            token_lifetime: running.token_lifetime,
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
        let Settings {
            domain,
            listen,
            listen_tls,
            listen_wss,
            listen_ws,
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
        let listens = [&listen, &listen_tls, &listen_wss, &listen_ws].iter().any(|list| !list.is_empty());
        Settings {
            domain: if domain.is_empty() { file.domain } else { domain },
            // All are one decision: whoever types one of them does not want another from elsewhere.
            listen: if listens { listen } else { file.listen },
            listen_tls: if listens { listen_tls } else { file.listen_tls },
            listen_wss: if listens { listen_wss } else { file.listen_wss },
            listen_ws: if listens { listen_ws } else { file.listen_ws },
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

    /// How long a token lives that a client gets for its next login, if it gets one (XEP-0484).
    pub(crate) fn token_lifetime(&self) -> Option<Duration> {
        let days = self.token_lifetime.unwrap_or(30);
        (days > 0).then(|| Duration::from_secs(u64::from(days) * 86_400))
    }

    /// Sets the bounds in the configuration of a server (RFC 6120 section 13.12).
    pub(crate) fn bound(&self, config: &mut ServerConfig) -> Result<(), Failure> {
        let set = |bound: &mut usize, wanted: Option<u32>| {
            if let Some(wanted) = wanted {
                *bound = wanted as usize;
            }
        };
        config.limits = Limits::default();
        self.queues.bound(&mut config.limits);
        if let Some(seconds) = self.negotiation_timeout {
            config.limits.negotiation = Duration::from_secs(seconds.into());
        }
        if let Some(seconds) = self.resumption_timeout {
            config.limits.resumption = Duration::from_secs(seconds.into());
        }
        config.stream_management = !self.no_stream_management;
        config.connections_per_ip = self.max_connections_per_ip.map(|most| most as usize);
        config.attempts_per_ip = self.max_attempts_per_ip;
        config.bytes_per_second = self.max_bytes_per_second;
        config.server_connections = self.federation.connections();
        set(&mut config.limits.after_auth.bytes, self.max_stanza_bytes);
        set(&mut config.limits.resources, self.max_resources);
        set(&mut config.roster.items, self.max_contacts);
        if let Some(most) = self.max_login_attempts {
            config.limits.sasl_attempts = most;
        }
        let extensions = Extensions::standard().with(self.offline());
        config.extensions = self.push.among(self.csi.among(extensions)).build()?;
        Ok(())
    }

    /// The bounds of messages that wait for users who are away.
    fn offline(&self) -> Offline {
        let Offline { messages, bytes } = Offline::default();
        Offline {
            messages: self.max_offline_messages.map_or(messages, |most| most as usize),
            bytes: self.max_offline_bytes.map_or(bytes, |most| most as usize),
        }
    }

    /// The data folder.
    pub(crate) fn folder(&self) -> PathBuf {
        self.data.clone().unwrap_or_else(|| DATA.into())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    use clap::Parser as _;

    use super::*;
    use crate::args::{Args, Command};

    fn typed(options: &[&str]) -> Settings {
        let args = Args::try_parse_from(["balcony", "serve"].iter().chain(options)).unwrap();
        let Command::Serve(serve) = args.command else { panic!("{args:?}") };
        serve.settings
    }

    fn read(text: &str) -> Result<Settings, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("balcony.toml");
        std::fs::write(&path, text).unwrap();
        // There may be secrets in it.
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let prefix = format!("{}/", folder.path().display());
        let relative = |path: PathBuf| path.strip_prefix(folder.path()).map(PathBuf::from).unwrap_or(path);
        match Settings::read(&path) {
            Ok(settings) => Ok(Settings {
                data: settings.data.map(relative),
                cert: settings.cert.map(relative),
                key: settings.key.map(relative),
                ..settings
            }),
            Err(failure) => Err(failure.message().replace(&prefix, "")),
        }
    }

    #[test]
    fn a_byte_order_mark_says_nothing() {
        let marked = read("\u{feff}listen = ['[::1]:1']").unwrap();
        assert_eq!(marked.listen, ["[::1]:1".parse().unwrap()]);
        assert!(read("\u{feff}\nlisten = 1").unwrap_err().starts_with("balcony.toml:2: "));
    }

    #[test]
    fn what_is_there_twice_is_named() {
        let federation = "[federation]\nenabled = false\n";
        for (text, wanted) in [
            ("data = 'a'\nlisten = []\ndata = 'b'\n", "balcony.toml:3: `data` is there twice"),
            (&format!("{federation}[csi]\n{federation}"), "balcony.toml:4: `federation` is there twice"),
            (
                "[domains]\n'a.example' = { key = 'b', certificate = 'a', key = 'c' }",
                "balcony.toml:2: `key` is there twice",
            ),
        ] {
            assert_eq!(read(text).unwrap_err(), wanted);
        }
    }

    #[test]
    fn the_example_says_what_holds_anyway() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/balcony.toml");
        let text = std::fs::read_to_string(path).unwrap();
        // All that is commented out in it is valid, too.
        let all: String = text
            .lines()
            .map(|line| line.strip_prefix("#").filter(|rest| rest.contains(" = ")).unwrap_or(line))
            .map(|line| format!("{line}\n"))
            .collect();
        let all = read(&all).unwrap();
        assert!(!all.domain.is_empty() && !all.listen.is_empty() && !all.listen_tls.is_empty());
        assert!(
            all.data.is_some()
                && all.database.is_some()
                && all.cert.is_some()
                && all.key.is_some()
                && all.log.is_some()
        );
        let plain = read(&text).unwrap();
        assert!(
            !plain.allow_plaintext
                && !plain.allow_registration
                && plain.cert.is_none()
                && plain.database.is_none()
        );
    }

    #[test]
    fn errors_name_the_line() {
        let unknown = read("domain = \"a.example\"\nlissten = \"127.0.0.1:1\"\n").unwrap_err();
        assert!(
            unknown.starts_with("balcony.toml:2: unknown field `lissten`, expected one of `domain`"),
            "{unknown}"
        );
        let address = read("\n\nlisten = [\"127.0.0.1:1\", \"everywhere\"]\n").unwrap_err();
        assert!(address.starts_with("balcony.toml:3: `everywhere`: an IP address and a port"), "{address}");
        for bytes in ["max-stanza-bytes", "max-offline-bytes"] {
            let small = read(&format!("{bytes} = 9999")).unwrap_err();
            assert_eq!(small, format!("balcony.toml: `{bytes}` has to be 10000 or more"));
        }
        let small = read("[queues]\nsession-bytes = 65536").unwrap_err();
        assert_eq!(small, "balcony.toml: [queues]: `session-bytes` has to be 1048576 or more");
        for much in ["session-bytes = 40000000", "account-bytes = 2000000000"] {
            let much = read(&format!("[queues]\n{much}")).unwrap_err();
            assert!(
                much.ends_with("no session may have more than its account, and no account more than all"),
                "{much}"
            );
        }
        let changed = read("[queues]\ntotal-bytes = 2000000000").unwrap().with_fixed_of(&read("").unwrap());
        assert_eq!((changed.1, changed.0.queues), (vec!["queues"], Queues::default()));
        let kind = read("domain = 7").unwrap_err();
        assert!(kind.contains("a text or a list of texts is wanted"), "{kind}");
        assert_eq!(read("cert = 'a.pem'").unwrap_err(), "balcony.toml: `cert` and `key` need each other");
    }

    #[test]
    fn what_is_typed_wins() {
        let file = || {
            read(
                "domain = 'a.example'\nlisten = '127.0.0.1:1'\nlisten-tls = '127.0.0.1:2'\ndata = 'd'\n\
                 allow-registration = true\nlog = 'warn'",
            )
            .unwrap()
        };
        let nothing = typed(&[]).or(file());
        assert_eq!(nothing.domain, ["a.example".parse().unwrap()]);
        assert_eq!(nothing.listen_tls, ["127.0.0.1:2".parse().unwrap()]);
        assert_eq!(nothing.folder(), Path::new("d"));
        assert!(nothing.allow_registration && !nothing.allow_plaintext);
        assert_eq!(nothing.log, Some(LogLevel::Warn));

        let some = ["--domain", "b.example", "--domain", "c.example", "--listen", "[::1]:3", "--data", "e"];
        let some = typed(&some).or(file());
        assert_eq!(some.domain, ["b.example".parse().unwrap(), "c.example".parse().unwrap()]);
        assert_eq!(some.listen, ["[::1]:3".parse().unwrap()]);
        assert!(some.listen_tls.is_empty());
        assert_eq!(some.folder(), Path::new("e"));
        assert_eq!(Settings::default().folder(), Path::new(DATA));
    }

    // XEP-0352 1.0.0 §3.2: what waits is the administrator's choice.
    #[test]
    fn client_states_can_be_left_out() {
        let with = |text: &str| {
            let mut config = ServerConfig::new(Vec::new(), balcony_machine::Secret::new([0; 32]));
            typed(&[]).or(read(text).unwrap()).bound(&mut config).unwrap();
            config.extensions
        };
        assert_eq!(with("[csi]\nenabled = false").elements().count(), 0);
        assert_eq!(with("[csi]\nchat-states = false").elements().count(), 2);
        assert_eq!(with("").stream_features().count(), 1);
        assert!(read("[csi]\nheadlines = true").unwrap_err().contains("unknown field `headlines`"));
        let changed = read("[csi]\nother = false").unwrap().with_fixed_of(&read("").unwrap());
        assert_eq!(changed.1, ["csi"]);
        assert_eq!(changed.0.csi, ClientStates::default());
    }

    // XEP-0484 §3.5
    #[test]
    fn tokens_live_as_long_as_they_should() {
        let lifetime = |text: &str| read(text).unwrap().token_lifetime();
        assert_eq!(lifetime(""), Some(Duration::from_secs(30 * 86_400)));
        assert_eq!(lifetime("token-lifetime = 1"), Some(Duration::from_secs(86_400)));
        assert_eq!(lifetime("token-lifetime = 0"), None);
        assert_eq!(
            typed(&["--token-lifetime", "2"]).or(read("token-lifetime = 1").unwrap()).token_lifetime,
            Some(2)
        );
        let changed = read("token-lifetime = 2").unwrap().with_fixed_of(&read("").unwrap());
        assert_eq!((changed.1, changed.0.token_lifetime), (vec!["token-lifetime"], None));
    }

    // XEP-0357 0.4.1 §9 [PN14]: what services are told is the administrator's choice, and nobody's texts unless that is wanted.
    #[test]
    fn push_can_be_left_out() {
        let with = |text: &str| {
            let mut config = ServerConfig::new(Vec::new(), balcony_machine::Secret::new([0; 32]));
            typed(&[]).or(read(text).unwrap()).bound(&mut config).unwrap();
            config.extensions.names().contains(&"push")
        };
        assert!(
            with("")
                && with("[push]\nlast-message-sender = true\ninterval = 1")
                && !with("[push]\nenabled = false")
        );
        assert!(read("[push]\nbody = true").unwrap_err().contains("unknown field `body`"));
        let changed = read("[push]\nmessage-count = false").unwrap().with_fixed_of(&read("").unwrap());
        assert_eq!((changed.1, changed.0.push), (vec!["push"], PushNotifications::default()));
    }

    // RFC 6120 §13.12 [Q14]
    #[test]
    fn limits_reach_the_server() {
        let file = read(
            "max-connections = 7\nmax-connections-per-ip = 3\nmax-attempts-per-ip = 30\nmax-bytes-per-second = 5000\nmax-stanza-bytes = 20000\n\
             max-resources = 2\nmax-login-attempts = 1\nnegotiation-timeout = 9\nmax-offline-messages = 6\nmax-offline-bytes = 30000\nmax-contacts = 8\n\
             resumption-timeout = 0\nno-stream-management = true\n\
             [queues]\nsession-bytes = 2000000\naccount-bytes = 3000000\ntotal-bytes = 4000000",
        )
        .unwrap();
        let settings = typed(&["--max-resources", "4"]).or(file);
        let config = || ServerConfig::new(Vec::new(), balcony_machine::Secret::new([0; 32]));
        let mut bounded = config();
        settings.bound(&mut bounded).unwrap();
        assert_eq!((bounded.connections_per_ip, bounded.bytes_per_second), (Some(3), Some(5000)));
        assert_eq!(bounded.attempts_per_ip, Some(30));
        assert_eq!((bounded.limits.after_auth.bytes, bounded.limits.resources), (20_000, 4));
        assert_eq!((bounded.limits.sasl_attempts, bounded.limits.negotiation), (1, Duration::from_secs(9)));
        assert_eq!((bounded.limits.resumption, bounded.stream_management), (Duration::ZERO, false));
        let queues = [
            bounded.limits.queue_bytes,
            bounded.limits.account_queue_bytes,
            bounded.limits.total_queue_bytes,
        ];
        assert_eq!(queues, [2_000_000, 3_000_000, 4_000_000]);
        assert_eq!(settings.max_connections, Some(7));
        let offline = settings.offline();
        assert_eq!((offline.messages, offline.bytes, bounded.roster.items), (6, 30_000, 8));
        let mut free = config();
        Settings::default().bound(&mut free).unwrap();
        assert_eq!(free.extensions.names(), Extensions::default().names());
        assert_eq!(
            (free.limits, free.connections_per_ip, free.attempts_per_ip),
            (config().limits, None, None)
        );
        assert_eq!(free.roster, config().roster);
        assert!(free.stream_management);
    }
}
