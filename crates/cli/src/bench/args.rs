//! What can be typed after `balcony bench`. The texts here are the help.

use balcony_jid::{BareJid, Jid};
use balcony_sasl::Mechanism;
use clap::Subcommand;

use crate::connect::ConnectArgs;
use crate::values::Place;

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples, with a server on this machine and its process id in $PID:
  balcony bench chat --pairs 20 --window 16 --size 100 --pid $PID
  balcony bench chat --window 1 --connect 127.0.0.1:5222 --plain
      one message at a time, without TLS
  balcony bench logins --as bench@example.org --connect 10.0.0.7:5222 --register --insecure
  balcony bench chat --as bench@a.example --readers-as bench@b.example --pid $PID --pid $OTHER
      from one server to another
  balcony bench chat --connect ws://127.0.0.1:5280/xmpp-websocket --plain

With --as bench@localhost, which is the default, the accounts are bench0@localhost, bench1@localhost and so on, all with the same password; each load says how many it needs. --register creates those that \
are missing, where the server lets strangers do that (XEP-0077). For a server of this program, with BALCONY_PASSWORD set, these two lines do for the defaults of all loads:
  for i in $(seq 0 1019); do echo \"bench$i,$BALCONY_PASSWORD\"; done > accounts.csv
  balcony user import accounts.csv

Measure a release build: a debug build spends most of its time on hashing and encrypting.

Every message is checked: whether it arrives at whom it was sent to, once, in order, and as it was sent. It is for servers that are yours. One that is \
not on this machine or in a private network is refused without --yes-this-is-mine. A server that dies meanwhile is told, with what was measured by then.

Of the environment only BALCONY_PASSWORD counts here. BALCONY_JID, BALCONY_CONNECT and BALCONY_CA do not: what was set for chatting must not lead a load to that server.

Exit status: 0 all that was sent arrived as it should, 1 something did not, the server was lost, or nothing could be measured, 2 not understood. Ctrl-C or \
SIGTERM ends it early, with what was measured by then; a second one at once.")]
// Nothing in the environment but the password leads a load anywhere.
#[command(
    mut_arg("connect", |arg| arg.help("Connect to this place instead of the one that DNS names: HOST:PORT, or the URL of a WebSocket")),
    mut_arg("ca", |arg| arg.help(
        "Trust the certificates in this PEM file and no others [default: those of the operating system; for localhost also ./balcony-data/ca.pem]"
    ))
)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(subcommand)]
    pub(crate) load: Load,
}

/// What all loads have in common.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Common {
    /// What the accounts are called; a number follows the name, from 0. Without --connect the domain is also the host to connect to
    #[arg(long = "as", global = true, value_name = "JID", default_value = "bench@localhost", value_parser = accounts)]
    pub(crate) accounts: BareJid,
    /// Create accounts that are missing from outside, in-band (XEP-0077)
    #[arg(long, global = true)]
    pub(crate) register: bool,
    /// Use no TLS, also where the server has it. It has to let clients in without, which Balcony does with --allow-plaintext
    #[arg(long, global = true, conflicts_with_all = ["direct_tls", "allow_plaintext"])]
    pub(crate) plain: bool,
    /// Log in by this mechanism only, such as SCRAM-SHA-1, in the way of RFC 6120 that all servers know
    #[arg(long, global = true, value_name = "NAME", value_parser = mechanism)]
    pub(crate) mechanism: Option<Mechanism>,
    /// The process of the server, if it is on this machine: its CPU time and memory are measured (Linux). Of several, those of all together
    #[arg(long, global = true, value_name = "PID")]
    pub(crate) pid: Vec<u32>,
    /// Measure for so long
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub(crate) seconds: u64,
    /// Let it run for so long before that
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub(crate) warm_up: u64,
    /// Print one object of JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The server may be loaded though it is neither on this machine nor in a private network
    #[arg(long, global = true)]
    pub(crate) yes_this_is_mine: bool,
}

/// What is done to the server.
#[derive(Debug, Subcommand)]
pub(crate) enum Load {
    /// Logins with SCRAM: connect, log in, bind, close; and again
    ///
    /// The password of each account is hashed once for all of its logins, as clients do that keep the result. USERS accounts.
    Logins {
        /// So many accounts, in turn
        #[arg(long, value_name = "USERS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        users: u32,
        /// So many logins at the same time
        #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        parallel: u32,
    },
    /// Sessions that do nothing: what the memory of the server grows by (with --pid), and whether all still live at the end
    ///
    /// SESSIONS accounts, or fewer with --resources. Start the server anew before it: memory that earlier sessions have left is used again, and
    /// would not be counted.
    Idle {
        /// So many sessions
        #[arg(long, value_name = "SESSIONS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        sessions: u32,
        /// Of these so many with the same account
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        resources: u32,
    },
    /// Pairs, of which one writes to the other's full JID
    ///
    /// Two accounts for each pair. With --readers-as those who read have theirs at another server, so that each message goes from one to the other.
    Chat {
        /// So many pairs
        #[arg(long, value_name = "PAIRS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        pairs: u32,
        /// So many messages of a pair on their way; 1 is one at a time
        #[arg(long, value_name = "N", default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        window: u32,
        /// Bytes of a body
        #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(64..=200_000))]
        size: u32,
        /// What the accounts of those who read are called, where these are at another server. They have the same password
        #[arg(long, value_name = "JID", value_parser = accounts)]
        readers_as: Option<BareJid>,
        /// Connect to this place for them, instead of the one that DNS names
        #[arg(long, value_name = "PLACE", requires = "readers_as")]
        readers_connect: Option<Place>,
    },
    /// Messages to accounts that are away, which the server has to keep; then all of these come and have to get them
    ///
    /// A message counts when the server has acknowledged it (XEP-0198). Those who write subscribe to those who read where they are not, and stay so afterwards: what becomes of a stranger's message a server may keep to itself. It takes as long as it takes: --seconds and --warm-up do not apply. READERS accounts and WRITERS more.
    Offline {
        /// So many accounts that are away
        #[arg(long, value_name = "READERS", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
        readers: u32,
        /// So many messages to each; servers keep no more than some, Balcony 200
        #[arg(long, value_name = "MESSAGES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        messages: u32,
        /// So many others, who write them
        #[arg(long, value_name = "WRITERS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        writers: u32,
        /// Of each so many messages that are not acknowledged
        #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=1000))]
        window: u32,
        /// Bytes of a body
        #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(64..=200_000))]
        size: u32,
    },
    /// Headlines to accounts with several resources: each gets them but the last one, whose priority is negative
    ///
    /// Two accounts for each group: one that writes, and one that reads.
    FanOut {
        /// So many accounts that read
        #[arg(long, value_name = "GROUPS", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        groups: u32,
        /// So many resources of each
        #[arg(long, value_name = "RESOURCES", default_value_t = 10, value_parser = clap::value_parser!(u32).range(2..=1000))]
        resources: u32,
        /// So many headlines of a group on their way
        #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        window: u32,
        /// Bytes of a body
        #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u32).range(64..=200_000))]
        size: u32,
    },
    /// One user, whom others are subscribed to, and who is away, back, away ...
    ///
    /// SUBSCRIBERS accounts and one more. They subscribe where they are not, and stay so afterwards.
    Presence {
        /// So many others
        #[arg(long, value_name = "SUBSCRIBERS", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        subscribers: u32,
        /// So many changes on their way
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
        window: u32,
    },
    /// Bad clients: wrong passwords, garbage, half-open connections, some that never read; and what good ones feel, who chat meanwhile
    ///
    /// The first third of the time is quiet. Two accounts for each pair, and two for those who never read. Start the server anew before it, so
    /// that nothing of an earlier storm is in its figures.
    Storm {
        /// So many pairs of good clients
        #[arg(long, value_name = "PAIRS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        pairs: u32,
        /// Each of these sends so many messages a second
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=10_000))]
        rate: u32,
        /// So many bad clients of each kind
        #[arg(long, value_name = "N", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1000))]
        bad: u32,
    },
}

fn accounts(text: &str) -> Result<BareJid, String> {
    match Jid::parse(text) {
        Ok(jid) if jid.localpart().is_some() && jid.resourcepart().is_none() => Ok(jid.into_bare()),
        _ if text.is_empty() => Err("an account is wanted, such as bench@localhost".into()),
        Ok(_) => Err("an account without resource is wanted, such as bench@localhost".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn mechanism(name: &str) -> Result<Mechanism, String> {
    let all = Mechanism::all();
    all.iter().find(|mechanism| mechanism.name().eq_ignore_ascii_case(name)).copied().ok_or_else(|| {
        let names: Vec<_> = all.iter().map(|mechanism| mechanism.name()).collect();
        format!("there are {}", names.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_have_a_name_and_a_domain() {
        assert_eq!(accounts("bench@example.org").unwrap().as_str(), "bench@example.org");
        for wrong in ["", "example.org", "bench@example.org/x"] {
            assert!(accounts(wrong).unwrap_err().contains("such as bench@localhost"), "{wrong}");
        }
    }

    #[test]
    fn a_mechanism_is_found_by_its_name() {
        assert_eq!(mechanism("scram-sha-1").unwrap().name(), "SCRAM-SHA-1");
        assert!(mechanism("DIGEST-MD5").unwrap_err().contains("SCRAM-SHA-256"));
    }
}
