//! `balcony user`: accounts from the command line.

use std::io::{BufWriter, Write as _};

use balcony_jid::BareJid;
use balcony_machine::Secret;

use crate::accounts::{Accounts, unexpected};
use crate::args::{UserArgs, UserCommand};
use crate::control::{Request, Response, Session};
use crate::failure::Failure;
use crate::output::{self, say};
use crate::values::{Account, Domain};
use crate::{columns, database, import, password, tokens};

pub(crate) fn run(args: UserArgs) -> Result<(), Failure> {
    let settings = args.data.settings()?;
    let wanted = args.domain.as_ref().map(|Domain(domain)| domain.clone());
    let typed = args.domain.map(|domain| vec![domain]);
    let mut domains: Vec<BareJid> =
        typed.unwrap_or_else(|| settings.domain.clone()).into_iter().map(|Domain(domain)| domain).collect();
    let input = Input::of(&args.command)?;
    let open = match args.command {
        UserCommand::Add { .. } | UserCommand::Import { .. } => database::open_or_make,
        _ => database::existing,
    };
    let mut accounts = Accounts::open(&settings.folder(), settings.database.as_ref(), open)?;
    if domains.is_empty() {
        domains = served(&mut accounts)?;
    }
    let Some(domain) = domains.first().cloned() else {
        return Err(Failure::new("the server serves no domain"));
    };
    let address = |account: &Account| {
        account
            .within(&domain)
            .map(|account| account.to_string())
            .map_err(|error| Failure::usage(error.to_string()))
    };
    match (args.command, input) {
        (UserCommand::Add { account, .. }, Input::Password(password)) => {
            let account = address(&account)?;
            let request = Request::Add { account: account.clone(), password, replace: false };
            let exists = "exists already; `balcony user passwd` gives it another password";
            done(&mut accounts, request, &account, "has been created", exists)
        }
        (UserCommand::Passwd { account, .. }, Input::Password(password)) => {
            let account = address(&account)?;
            let request = Request::SetPassword { account: account.clone(), password };
            done(&mut accounts, request, &account, "has its new password", MISSING)
        }
        (UserCommand::Remove { account }, _) => {
            let account = address(&account)?;
            let request = Request::Remove { account: account.clone() };
            done(&mut accounts, request, &account, "has been removed", MISSING)
        }
        (UserCommand::Sessions { account, json }, _) => {
            let account = account.as_ref().map(address).transpose()?;
            sessions(&mut accounts, account, json)
        }
        (UserCommand::Disconnect { session, reason }, _) => {
            let session = full(&session, &domain)?;
            let request = Request::Disconnect { session: session.clone(), text: reason };
            let outcome = done(&mut accounts, request, &session, "is disconnected", NOT_THERE);
            if outcome.is_err() {
                accounts.has(session.split('/').next().unwrap_or_default())?;
            }
            outcome
        }
        (UserCommand::Tokens { account, json }, _) => tokens::list(&mut accounts, &address(&account)?, json),
        (UserCommand::Revoke { account, token, all }, _) => {
            let account = address(&account)?;
            if token.is_none() && !all {
                return Err(Failure::usage(format!(
                    "which token of {account}? `balcony user tokens` shows them, and --all ends all"
                )));
            }
            tokens::revoke(&mut accounts, &account, token.as_deref())
        }
        (UserCommand::List, _) => list(&mut accounts, wanted.as_ref(), &settings.domain),
        (UserCommand::Import { file, replace }, Input::File(source)) => {
            import::run(&mut accounts, &domain, &file, source, replace)
        }
        (UserCommand::Add { .. } | UserCommand::Passwd { .. } | UserCommand::Import { .. }, _) => {
            Err(Failure::new("nothing was given"))
        }
    }
}

/// What a command is given. It is there before the store is opened: a server would have to wait for whoever types a password,
/// and without it nothing is to be made.
enum Input {
    None,
    Password(Secret<String>),
    File(import::Source),
}

impl Input {
    fn of(command: &UserCommand) -> Result<Input, Failure> {
        Ok(match command {
            UserCommand::Add { account, password_file } | UserCommand::Passwd { account, password_file } => {
                Input::Password(password::new(password_file.as_deref(), account.as_str())?)
            }
            UserCommand::Import { file, .. } => Input::File(import::open(file)?),
            UserCommand::Remove { .. }
            | UserCommand::List
            | UserCommand::Sessions { .. }
            | UserCommand::Disconnect { .. }
            | UserCommand::Tokens { .. }
            | UserCommand::Revoke { .. } => Input::None,
        })
    }
}

/// What is said of an account that is not there.
pub(crate) const MISSING: &str = "does not exist; `balcony user list` shows which do";

const NOT_THERE: &str = "is not connected; `balcony user sessions` shows who is";

/// The full address of a session, which may lack the domain.
fn full(session: &str, domain: &BareJid) -> Result<String, Failure> {
    let Some((account, resource)) = session.split_once('/') else {
        return Err(Failure::usage(format!(
            "{session} names no session: give its resource, as in romeo/phone"
        )));
    };
    let wrong = |error: &dyn core::fmt::Display| Failure::usage(format!("{session}: {error}"));
    let account: Account = account.parse().map_err(|error| wrong(&error))?;
    let account = account.within(domain).map_err(|error| wrong(&error))?;
    Ok(account.with_resource(resource).map_err(|error| wrong(&error))?.to_string())
}

fn sessions(accounts: &mut Accounts, account: Option<String>, json: bool) -> Result<(), Failure> {
    let mut sessions = match accounts.ask(Request::Sessions { account: account.clone() })? {
        Response::Sessions(sessions) => sessions,
        other => return Err(unexpected(other)),
    };
    if sessions.is_empty() {
        output::note(&match account {
            Some(account) => {
                accounts.has(&account)?;
                format!("{account} is not connected")
            }
            None => "nobody is connected".into(),
        });
    }
    sessions.sort_by(|one, other| one.session.cmp(&other.session));
    let lines = match json {
        true => sessions.iter().map(output::json).collect::<Result<Vec<_>, _>>()?,
        false => columns::lines(&sessions.iter().map(words).collect::<Vec<_>>()),
    };
    lines.iter().try_for_each(|line| output::print(line))
}

/// A session for a person to read: which one, whether it is available, for how long, and where from.
fn words(session: &Session) -> [String; 4] {
    let Session { session, priority, age, connection, address, inactive, waits } = session;
    let availability = match priority {
        Some(priority) => format!("available with priority {priority}"),
        None => "not available".into(),
    };
    let inactive = if *inactive { ", not in use" } else { "" };
    let connection = match (connection.as_str(), waits) {
        ("secured", _) => "through TLS".into(),
        ("clear", _) => "in the clear".into(),
        (_, Some(left)) => format!("lost its connection and may come back within {}", span(*left)),
        _ => "lost its connection and may come back".into(),
    };
    let from = address.as_ref().map(|address| format!(" from {address}")).unwrap_or_default();
    [session.clone(), availability + inactive, format!("for {}", span(*age)), connection + &from]
}

/// So many seconds, for a person to read.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min"),
        (0, ..) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

/// The domains of the running server, or the one that a server has by default.
fn served(accounts: &mut Accounts) -> Result<Vec<BareJid>, Failure> {
    let names = match accounts.ask(Request::Domains)? {
        Response::Domains(names) if !names.is_empty() => names,
        _ => vec!["localhost".into()],
    };
    names
        .iter()
        .map(|name| BareJid::parse(name).map_err(|error| Failure::new(format!("{name}: {error}"))))
        .collect()
}

fn done(
    accounts: &mut Accounts,
    request: Request,
    account: &str,
    yes: &str,
    no: &str,
) -> Result<(), Failure> {
    match accounts.ask(request)? {
        Response::Done(true) => {
            say(&format!("{account} {yes}"));
            Ok(())
        }
        Response::Done(false) => Err(Failure::new(format!("{account} {no}"))),
        other => Err(unexpected(other)),
    }
}

/// The accounts of a domain, or of all, also of those that are not served at present. A domain without accounts that is not served (by the
/// server that runs, or the configuration) is a mistake.
fn list(accounts: &mut Accounts, domain: Option<&BareJid>, configured: &[Domain]) -> Result<(), Failure> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    let mut after = None;
    let mut is_empty = true;
    loop {
        let request = Request::List { domain: domain.map(ToString::to_string), after };
        let page = match accounts.ask(request)? {
            Response::Accounts(page) => page,
            other => return Err(unexpected(other)),
        };
        is_empty &= page.is_empty();
        for account in &page {
            output::one_of(&mut out, account).map_err(output::unprinted)?;
        }
        match page.last() {
            Some(last) => after = Some(last.clone()),
            None => break,
        }
    }
    out.flush().map_err(output::unprinted)?;
    match domain {
        Some(domain) if is_empty => {
            let mut served = match accounts.ask(Request::Domains)? {
                Response::Domains(names) => names,
                other => return Err(unexpected(other)),
            };
            if served.is_empty() {
                served = configured.iter().map(|Domain(domain)| domain.to_string()).collect();
            }
            if !served.is_empty() && !served.iter().any(|name| name == domain.as_str()) {
                let served = served.join(", ");
                return Err(Failure::new(format!(
                    "there are no accounts at {domain}, which the server does not serve; it serves {served}"
                )));
            }
            output::note(&format!("there are no accounts at {domain}"));
        }
        None if is_empty => output::note("there are no accounts yet; `balcony user add` makes one"),
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(session: &str, priority: Option<i8>, age: u64, connection: &str) -> Session {
        Session {
            session: session.into(),
            priority,
            age,
            connection: connection.into(),
            address: None,
            inactive: false,
            waits: None,
        }
    }

    #[test]
    fn the_fields_of_a_session_are_written_down() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/administration.md");
        let page = std::fs::read_to_string(page).unwrap();
        let row = page.lines().find(|line| line.starts_with("| `user sessions` |")).unwrap();
        let session = serde_json::to_value(session("juliet@localhost/desk", None, 0, "lost")).unwrap();
        for field in session.as_object().unwrap().keys() {
            assert!(row.contains(&format!("`{field}`")), "{field} is missing: {row}");
        }
    }

    #[test]
    fn sessions_stand_below_each_other() {
        let sessions = [
            session("juliet@localhost/desk", Some(0), 4, "secured"),
            Session {
                address: Some("192.0.2.1".into()),
                inactive: true,
                ..session("juliet@localhost/phone", Some(-10), 4_000, "clear")
            },
            Session { waits: Some(61), ..session("nurse@localhost/x", None, 90_000, "lost") },
        ];
        assert_eq!(
            columns::lines(&sessions.each_ref().map(words)),
            [
                "juliet@localhost/desk   available with priority 0                for 4 s        through TLS",
                "juliet@localhost/phone  available with priority -10, not in use  for 1 h 6 min  in the clear from 192.0.2.1",
                "nurse@localhost/x       not available                            for 1 d 1 h    lost its connection and may come back within 1 min",
            ]
        );
    }
}
