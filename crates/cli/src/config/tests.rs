//! What files and typed options come to.

use core::time::Duration;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use balcony_router::extension::Extensions;
use balcony_tokio::ServerConfig;
use clap::{CommandFactory as _, Parser as _};

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
        (
            "listen = ['127.0.0.1:1', '[::1]:1', '127.0.0.1:1']",
            "balcony.toml: `listen`: 127.0.0.1:1 is there twice",
        ),
        (
            "listen = '127.0.0.1:1'\nlisten-tls = '127.0.0.1:1'",
            "balcony.toml: 127.0.0.1:1 is in `listen` and in `listen-tls`",
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), wanted);
    }
    // The system chooses another port for each.
    read("listen = ['127.0.0.1:0', '127.0.0.1:0']\nlisten-tls = '127.0.0.1:0'").unwrap();
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
    assert_eq!(unknown, "balcony.toml:2: unknown field `lissten`: is `listen` meant?");
    // Settings that other servers have, not misspelt ones of ours.
    for other in ["ports", "port", "ca", "path", "host", "tls"] {
        let unknown = read(&format!("{other} = [5222]")).unwrap_err();
        let all = format!("balcony.toml:1: unknown field `{other}`, expected one of `domain`");
        assert!(unknown.starts_with(&all), "{unknown}");
    }
    for (text, wanted) in [
        (
            "allow_registration = true",
            "1: unknown field `allow_registration`: is `allow-registration` meant?",
        ),
        ("[federatoin]\nenabled = true", "1: unknown field `federatoin`: is `federation` meant?"),
        (
            "[csi]\nenabled = true\n\n# Where\nlisten = '127.0.0.1:5222'",
            "5: `listen` is no setting of [csi]: put it above the first [section]",
        ),
        (
            "domain = 'a.example'\n  [federation] # ours\nallow-registration = true",
            "3: `allow-registration` is no setting of [federation]: put it above the first [section]",
        ),
        (
            "\nmax-connections = 'many'",
            "2: `max-connections`: a whole number from 1 to 4294967295 is wanted, and not the string \"many\"",
        ),
        ("threads = 300", "1: `threads`: a whole number from 1 to 255 is wanted, and not the integer `300`"),
        ("[csi]\nenabled = 'yes'", "2: `enabled`: true or false is wanted, and not the string \"yes\""),
        (
            "log = 'loud'",
            "1: `log`: unknown variant `loud`, expected one of `error`, `warn`, `info`, `debug`",
        ),
        ("domain = []", "1: `domain`: one at least is wanted; leave it out for what is the default"),
        ("listen = 5222", "1: `listen`: a text or a list of texts is wanted"),
        (
            "[domains]\n'a.example' = { certificate = 1 }",
            "2: `certificate`: a text in quotes is wanted, and not an integer",
        ),
    ] {
        assert_eq!(read(text).unwrap_err(), format!("balcony.toml:{wanted}"));
    }
    let address = read("\n\nlisten = [\"127.0.0.1:1\", \"everywhere\"]\n").unwrap_err();
    assert!(
        address.starts_with("balcony.toml:3: `listen`: `everywhere`: an IP address and a port"),
        "{address}"
    );
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
         resumption-timeout = 0\nno-stream-management = true\nthreads = 2\n\
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
    let queues =
        [bounded.limits.queue_bytes, bounded.limits.account_queue_bytes, bounded.limits.total_queue_bytes];
    assert_eq!(queues, [2_000_000, 3_000_000, 4_000_000]);
    assert_eq!((settings.max_connections, settings.threads), (Some(7), Some(2)));
    let offline = settings.offline();
    assert_eq!((offline.messages, offline.bytes, bounded.roster.items), (6, 30_000, 8));
    let large = read("max-stanza-bytes = 1000001\n[queues]\nsession-bytes = 2000000").unwrap();
    let refused = large.bound(&mut config()).unwrap_err().to_string();
    assert!(refused.starts_with("`max-stanza-bytes` may be half of `session-bytes`"), "{refused}");
    let mut free = config();
    Settings::default().bound(&mut free).unwrap();
    assert_eq!(free.extensions.names(), Extensions::default().names());
    assert_eq!((free.limits, free.connections_per_ip, free.attempts_per_ip), (config().limits, None, None));
    assert_eq!(free.roster, config().roster);
    assert!(free.stream_management);
}

// It may be in the log: a secret is not said in any complaint, wherever the quotes are missing or too many.
#[test]
fn no_complaint_says_a_secret() {
    for text in [
        "[components.secrets]\n'a.example' = 31415926",
        "[components.secrets]\n'a.example' = 3141.5926",
        "[components.secrets]\n'a.example' = 3141-05-09",
        "[components.secrets]\n'a.example' = ['31415926']",
        "[components]\nsecrets = '31415926'",
        "[components]\nsecrets = 31415926",
        "components = '31415926'",
    ] {
        let complaint = read(text).unwrap_err();
        assert!(!complaint.contains("3141"), "{complaint}");
    }
}

// What a reload does not change is named where somebody looks before it.
#[test]
fn what_needs_a_restart_is_written_down() {
    let mut command = Args::command();
    let help = command.find_subcommand_mut("serve").unwrap().render_long_help().to_string();
    let example =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/balcony.toml")).unwrap();
    // Its beginning: the comments before the first setting.
    let example: String = example.lines().map_while(|line| line.strip_prefix('#')).collect();
    for text in [help, example] {
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
        let (_, rest) = text.split_once("only domains").or(text.split_once("domains, ")).unwrap();
        let (rest, _) = rest.split_once("need a restart").unwrap();
        for (name, _) in Settings::default().fixed(&Settings::default()) {
            let words = match name {
                "domain" => continue,
                "data" => "the data folder".to_owned(),
                "database" => "the database".to_owned(),
                name if name.contains("listen") => "addresses to listen on".to_owned(),
                "components" | "csi" | "push" | "queues" => format!("[{name}]"),
                name => name.to_owned(),
            };
            assert!(rest.contains(&words), "{words} is missing: {rest}");
        }
    }
}
