//! What can be typed. The texts here are the help.

use std::path::PathBuf;

use balcony_jid::Jid;
use clap::{Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::check::CheckArgs;
use crate::command::FieldValue;
use crate::config::Settings;
use crate::connect::ConnectArgs;
use crate::database::Database;
use crate::failure::Failure;
use crate::news::Availability;
use crate::values::{Account, Address, Contact, Domain, LogLevel, MessageKind, Text, own_account};

/// An XMPP server and small clients.
#[derive(Debug, Parser)]
#[command(
    name = "balcony",
    version,
    after_help = "\
Begin like this:
  balcony serve --demo
and type what it says into two other terminals.

Exit status: 0 done, 1 failed, 2 not understood; of `check`: 0 all is well, 1 something will not work, 2 not checked."
)]
pub(crate) struct Args {
    /// How much to log to stderr [default: info]
    #[arg(long, global = true, value_name = "LEVEL", value_enum)]
    pub(crate) log: Option<LogLevel>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a server
    Serve(ServeArgs),
    /// Manage the accounts of a server, running or stopped
    User(UserArgs),
    /// Copy or check all that a stopped server keeps
    Store(StoreArgs),
    /// Send one message
    Send(SendArgs),
    /// Stay online, and print messages and who else is online
    Listen(ListenArgs),
    /// See and change whom an account knows, and who may see when it is online
    Roster(RosterArgs),
    /// Show which contacts are online
    Presence(PresenceArgs),
    /// List what a device, a bot or a service can be told to do, and do it (XEP-0050)
    #[command(name = "command")]
    Run(CommandArgs),
    /// Run a push service for tests, which prints what servers tell it (XEP-0357)
    PushService(PushServiceArgs),
    /// Look at a domain as clients and other servers do, and say what will not work for whom
    Check(CheckArgs),
    /// Put load on a server of your own, check every delivery, and measure
    Bench(Box<BenchArgs>),
    /// Show a login as it goes over the wire, line by line
    Trace,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  balcony serve --demo
      a server for localhost with two accounts to try
  balcony serve --domain example.org --listen 0.0.0.0:5222 --listen-tls 0.0.0.0:5223 \\
      --cert /etc/balcony/cert.pem --key /etc/balcony/key.pem --data /var/lib/balcony
      a server for a domain
  balcony serve --config /etc/balcony.toml
      the same from a file; docs/balcony.toml shows one

Some things are in the file only: other servers ([federation]), components, certificates of single domains ([domains]), [csi], [push] and [queues].

Ctrl-C or SIGTERM ends every stream in good order, and sessions that can be resumed go on at the next start; a second Ctrl-C exits at once. SIGHUP reads the \
configuration file and the certificate again without closing any connection; only domains, addresses to listen on, the \
data folder, the database, allow-plaintext, token-lifetime, threads, max-connections, max-resources, max-contacts, max-offline-messages, max-offline-bytes, whether there is \
federation, and what is in [components], [csi], [push] and [queues] need a restart.")]
pub(crate) struct ServeArgs {
    /// Read options from a TOML file; what is typed wins over it
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) settings: Settings,
    /// Create the accounts romeo and juliet where they are missing, with passwords that are printed
    #[arg(long)]
    pub(crate) demo: bool,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  balcony user add romeo
  balcony user add juliet@example.org --data /var/lib/balcony --password-file juliet.txt
  balcony user list
  balcony user import accounts.csv
  balcony user sessions juliet
  balcony user disconnect juliet/phone --reason 'not at night'

A localpart alone means an account of --domain. While a server runs on the data folder, it makes the changes; otherwise \
this command does. A new password is asked for twice, or taken from --password-file or BALCONY_PASSWORD.

A password may be of any letters, but emoji and some other characters are refused, since not all programs know them. If the \
server's log says that the keys of an account were made of a password that was not prepared by SASLprep, as versions before \
did, set the same password again with passwd: then clients of all kinds can log in.")]
pub(crate) struct UserArgs {
    /// The domain of accounts that name none [default: the first that the server serves, or localhost]
    #[arg(long, global = true, value_name = "DOMAIN")]
    pub(crate) domain: Option<Domain>,
    #[command(flatten)]
    pub(crate) data: Data,
    #[command(subcommand)]
    pub(crate) command: UserCommand,
}

/// Where a server's accounts are.
#[derive(Debug, clap::Args)]
pub(crate) struct Data {
    /// The data folder of the server [default: ./balcony-data]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// The database of the server, if the accounts are not in the data folder
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) database: Option<Database>,
    /// Read where the accounts are, and the domain, from the server's configuration
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

impl Data {
    /// The server's settings, as far as they are known.
    pub(crate) fn settings(self) -> Result<Settings, Failure> {
        let file = self.config.as_deref().map(Settings::read).transpose()?.unwrap_or_default();
        Ok(Settings { data: self.data, database: self.database, ..Settings::default() }.or(file))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Create an account
    Add {
        /// The account: romeo, or romeo@example.org
        account: Account,
        /// Take the password from the first line of this file; `-` is the standard input [default: BALCONY_PASSWORD, or a prompt]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give an account another password; it stays logged in where it is
    Passwd {
        /// The account
        account: Account,
        /// Take the password from the first line of this file; `-` is the standard input [default: BALCONY_PASSWORD, or a prompt]
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Remove an account for good, and close its streams
    Remove {
        /// The account
        account: Account,
    },
    /// Print all accounts, one a line; with --domain those of that domain
    List,
    /// Print who is connected now, one session a line; with an account its own
    Sessions {
        /// The account
        account: Option<Account>,
        /// Print each as an object in JSON, one a line
        #[arg(long)]
        json: bool,
    },
    /// End one session of an account; its client may log in again
    ///
    /// Most clients do so by themselves, `balcony listen` within its --retry. To keep them out, give the account another password first,
    /// or remove it.
    Disconnect {
        /// The session: romeo/phone, or romeo@example.org/phone
        session: String,
        /// What its user is told
        #[arg(long, value_name = "TEXT", default_value = "ended by the administrator of this server")]
        reason: String,
    },
    /// Print the tokens by which clients of an account log in without its password, one a line
    ///
    /// A line has the name of the token for `revoke`, when it ends unless its client comes before, and what the client calls itself.
    Tokens {
        /// The account
        account: Account,
        /// Print each as an object in JSON, one a line
        #[arg(long)]
        json: bool,
    },
    /// End a token of an account, or all of them: its client has to have the password for its next login
    ///
    /// Where it is logged in now it stays so. A new password ends all tokens, too.
    Revoke {
        /// The account
        account: Account,
        /// The token, as `tokens` prints it
        #[arg(conflicts_with = "all")]
        token: Option<String>,
        /// All of them
        #[arg(long)]
        all: bool,
    },
    /// Create many accounts from lines of `romeo,password` or `romeo@example.org,password`
    ///
    /// A localpart alone means an account of --domain. The password is everything after the first comma. Empty lines are skipped. A line that cannot be used is reported
    /// with its number, the others are done, and the exit status is 1. The status is the same where accounts exist already: without
    /// --replace they stay as they are, the first ten are named, and all of them counted.
    Import {
        /// The file; `-` is the standard input
        file: PathBuf,
        /// Give accounts that exist the password in the file, instead of leaving them as they are
        #[arg(long)]
        replace: bool,
    },
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  balcony store export backup.jsonl
  balcony store import backup.jsonl --data /var/lib/balcony
  balcony store check --config /etc/balcony.toml
  balcony store export | balcony store import - --config /etc/with-postgresql.toml
      from the data folder into a database

All of this needs the data to itself, so the server has to be stopped. An export has what passwords are checked against, \
rosters, blocked addresses and the messages that wait: keep it as safe as the data folder. It has no sessions and no tokens, so \
clients log in anew with their passwords, and no certificates: ca.pem, ca-key.pem, cert.pem and key.pem in the data folder, or where \
--cert and --key name them, are to be copied as files.")]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    pub(crate) data: Data,
    #[command(subcommand)]
    pub(crate) command: StoreCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StoreCommand {
    /// Write all accounts with everything that is kept for them, one a line, in JSON
    Export {
        /// The file, which only you will be able to read; `-` is the standard output
        #[arg(default_value = "-")]
        file: PathBuf,
    },
    /// Add the accounts in an export
    ///
    /// Accounts that exist already stay as they are; the first ten are named, and all of them counted. The others are done, and the exit
    /// status is 1.
    Import {
        /// The file; `-` is the standard input
        file: PathBuf,
    },
    /// Look at everything that is kept, and name what is broken
    Check,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  balcony send --as romeo@localhost juliet@localhost 'Art thou not Romeo?'
  date | balcony send --as romeo@localhost --type headline juliet@localhost -

It exits when the server has processed the message: with 0, or with 1 and the reason if it came back. A message to another \
domain has been taken by the server there, and has not come back within a second after that; what may still come of it later is \
not waited for. From somebody whose contact you are not, messages that cannot be delivered or kept need not come back: that \
would show strangers who has an account, and who is online.

Messages that come to it meanwhile, such as a quick answer to it, are printed as `balcony listen` prints them.")]
pub(crate) struct SendArgs {
    /// The account to send from, with or without resource [default: BALCONY_JID]
    #[arg(long = "as", value_name = "JID", value_parser = own_account)]
    pub(crate) account: Option<Jid>,
    /// The type of the message
    #[arg(long = "type", value_name = "TYPE", value_enum, default_value_t)]
    pub(crate) kind: MessageKind,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    /// Who gets it
    pub(crate) to: Jid,
    /// What to say; `-` reads it from the standard input
    pub(crate) text: Text,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  balcony listen --as juliet@localhost/balcony
  balcony listen --as juliet@localhost/phone --show away --status 'at lunch' --copies
  balcony listen --as juliet@localhost/bot --priority 10 --json --count 1

Messages to a bare JID go to the resources with the highest priority; those with a negative one get none of them. \
Messages that came while nobody was online come first. Times are UTC.")]
pub(crate) struct ListenArgs {
    /// The account, with the resource to bind if it is to be a certain one [default: BALCONY_JID]
    #[arg(long = "as", value_name = "JID", value_parser = own_account)]
    pub(crate) account: Option<Jid>,
    /// The priority, from -128 to 127
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i8,
    /// How available you are; contacts see it
    #[arg(long, value_name = "STATE", value_enum, default_value_t)]
    pub(crate) show: Availability,
    /// The same in your own words
    #[arg(long, value_name = "TEXT")]
    pub(crate) status: Option<Text>,
    /// Print, too, what other clients of the account send and receive
    #[arg(long)]
    pub(crate) copies: bool,
    /// Tell the server that nobody looks, as a phone in a pocket does: what is not urgent, such as presence, waits there until a message
    /// comes (XEP-0352). The server need not do so
    #[arg(long)]
    pub(crate) inactive: bool,
    /// Exit after so many messages. Those behind them are left to the next client; a server that does not count what it sends (XEP-0198)
    /// has none of them any more, and what has come by then is printed
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
    /// Print a line of JSON for each message, and for each change of a contact
    #[arg(long)]
    pub(crate) json: bool,
    /// Have the server tell this push service when messages wait and the connection is lost (XEP-0357). It does so until it is told
    /// otherwise, also after this command has ended
    #[arg(long, value_name = "JID")]
    pub(crate) push: Option<Jid>,
    /// The node of the push service
    #[arg(long, value_name = "NODE", requires = "push")]
    pub(crate) push_node: Option<Text>,
    /// Have the server tell this push service no longer
    #[arg(long, value_name = "JID", conflicts_with = "push")]
    pub(crate) no_push: Option<Jid>,
    /// Make a lost connection again within so many seconds, at a random moment
    ///
    /// Each time that this fails the range doubles, up to an hour; a connection that has lasted so many seconds, or half a minute, begins
    /// anew. As long as the server may keep the session, it is tried within two seconds (within twenty, if the server has said that it
    /// shuts down), and then within half a minute. An account that is removed, a password that is wrong by now and another client with
    /// the same resource end the command; a session that the server's administrator ends (`balcony user disconnect`) is followed by
    /// another one.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) retry: u64,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example, with `\"push.localhost\" = \"a long secret\"` in [components.secrets] of the server's configuration:
  balcony push-service push.localhost --secret-file secret
  balcony listen --as juliet@localhost/phone --push push.localhost

It attaches to the server as a component (XEP-0114), wakes no device, and prints a line of JSON for each notification: when, of which \
server, the node, and what the server tells in short, such as how many messages wait.")]
pub(crate) struct PushServiceArgs {
    /// The domain of the service
    pub(crate) domain: Domain,
    /// Take the secret from the first line of this file; `-` is the standard input [default: BALCONY_PASSWORD, or a prompt]
    #[arg(long, value_name = "FILE")]
    pub(crate) secret_file: Option<PathBuf>,
    /// Where the server listens for components
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5347")]
    pub(crate) connect: Address,
    /// The only nodes that there are; may be given several times. Without it there is any
    #[arg(long, value_name = "NODE")]
    pub(crate) node: Vec<String>,
    /// Exit after so many notifications
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  balcony roster --as juliet@localhost
  balcony roster --as juliet@localhost add romeo@localhost --name Romeo --group Friends
  balcony roster --as juliet@localhost deny paris@localhost
  balcony roster --as juliet@localhost block tybalt@localhost

When two people add each other they see when the other is online. None of these commands comes online but `list --requests`: a server \
hands requests that wait for an answer to clients that are available only. It does so as `balcony presence` does.")]
pub(crate) struct RosterArgs {
    /// The account [default: BALCONY_JID]
    #[arg(long = "as", global = true, value_name = "JID", value_parser = own_account)]
    pub(crate) account: Option<Jid>,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
    #[command(subcommand)]
    pub(crate) command: Option<RosterCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RosterCommand {
    /// Print all contacts; the same as no command
    List {
        /// Print a line of JSON for each
        #[arg(long)]
        json: bool,
        /// Print requests, too, that wait for an answer. For a moment contacts see a client of yours that is away
        #[arg(long)]
        requests: bool,
    },
    /// Make somebody a contact, or give one another name or other groups
    ///
    /// They are asked to let you see when they are online, and may see when you are.
    Add {
        /// Whom
        #[arg(value_name = "JID")]
        contact: Contact,
        /// What you call them
        #[arg(long)]
        name: Option<Text>,
        /// A group to put them in, instead of those they are in; may be given several times
        #[arg(long)]
        group: Vec<Text>,
    },
    /// Remove a contact; neither sees the other any more
    Remove {
        /// Whom
        #[arg(value_name = "JID")]
        contact: Contact,
    },
    /// Let somebody see when you are online
    Approve {
        /// Whom
        #[arg(value_name = "JID")]
        contact: Contact,
    },
    /// Do not let somebody see when you are online, or no longer
    Deny {
        /// Whom
        #[arg(value_name = "JID")]
        contact: Contact,
    },
    /// Have the server let nothing pass between you and an account, a device or a whole domain
    Block {
        /// Whom
        #[arg(value_name = "JID")]
        address: Jid,
    },
    /// Take that back
    Unblock {
        /// Whom
        #[arg(value_name = "JID")]
        address: Jid,
    },
    /// Print who is blocked, one a line
    Blocked,
}

impl Default for RosterCommand {
    fn default() -> Self {
        RosterCommand::List { json: false, requests: false }
    }
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  balcony presence --as juliet@localhost

Servers tell who is online to clients that are available only (RFC 6121 section 4), so this one is for a moment: away for longer (xa), which \
is what contacts see, and with priority -1, so that no message comes to it. What contacts see of you while you are online is an option of \
`balcony listen`.")]
pub(crate) struct PresenceArgs {
    /// The account [default: BALCONY_JID]
    #[arg(long = "as", value_name = "JID", value_parser = own_account)]
    pub(crate) account: Option<Jid>,
    /// Print a line of JSON for each
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  balcony command --as juliet@localhost lamp@localhost
      lists what the lamp can be told
  balcony command --as juliet@localhost lamp@localhost switch on=true
  balcony command --as juliet@localhost lamp@localhost schedule
      asks for what the lamp wants to know

In a terminal forms are questions: Enter keeps what is in brackets, `:back` goes back, `:cancel` gives up, and what was given as FIELD=VALUE is not \
asked for. Elsewhere, and with --json, nobody is asked: what is not given has the value that the form has, and if something is missing nothing \
is done.

A device sees to it who may do what, and is found where it is online: make it a contact (`balcony roster add`), or name it with its resource.

Exit status: 0 done, 1 failed or given up, 2 not understood, such as a field that is missing or has a value that cannot be.")]
pub(crate) struct CommandArgs {
    /// The account [default: BALCONY_JID]
    #[arg(long = "as", value_name = "JID", value_parser = own_account)]
    pub(crate) account: Option<Jid>,
    /// Whom to tell: an account, one of its clients, or a service
    #[arg(value_name = "DEVICE")]
    pub(crate) device: Jid,
    /// The command; without it those that there are are listed
    #[arg(value_name = "NODE")]
    pub(crate) node: Option<Text>,
    /// Answers to its forms; a field may be given several times where several values can be
    #[arg(value_name = "FIELD=VALUE")]
    pub(crate) fields: Vec<FieldValue>,
    /// Print a line of JSON for each command, or for what has come of one; nothing is asked
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) connect: ConnectArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_options_do_not_contradict_each_other() {
        Args::command().debug_assert();
    }
}
