//! `balcony user tokens` and `balcony user revoke`: the tokens by which clients log in without the password (XEP-0484).

use std::io::{BufWriter, Write as _};

use balcony_xep::datetime;
use serde::Serialize;

use crate::accounts::{Accounts, unexpected};
use crate::control::{Request, Response, Token};
use crate::failure::Failure;
use crate::output::{self, note, say};

/// The tokens of an account, a line for each.
pub(crate) fn list(accounts: &mut Accounts, account: &str, json: bool) -> Result<(), Failure> {
    let tokens = match accounts.ask(Request::Tokens { account: account.into() })? {
        Response::Tokens(tokens) => tokens,
        other => return Err(unexpected(other)),
    };
    if tokens.is_empty() {
        accounts.has(account)?;
        note(&format!("{account} has no tokens"));
    }
    let mut out = BufWriter::new(std::io::stdout().lock());
    for token in &tokens {
        if json {
            output::one_of(&mut out, &output::json(&Row::from(token))?).map_err(output::unprinted)?;
            continue;
        }
        let until = datetime::format(token.expires.saturating_mul(1_000));
        let day = until.split('T').next().unwrap_or_default();
        let name = if token.name.is_empty() { "a client without a name" } else { &token.name };
        let unused = if token.is_used { "" } else { "  (not used yet)" };
        let line = format!("{:016x}  until {day}  {}  {name}{unused}", token.id, token.mechanism);
        output::one_of(&mut out, &line).map_err(output::unprinted)?;
    }
    out.flush().map_err(output::unprinted)
}

/// A token as it is printed in JSON.
#[derive(Debug, Serialize)]
struct Row<'a> {
    /// What `revoke` calls it.
    token: String,
    /// When it ends unless its client comes before (XEP-0082).
    until: String,
    mechanism: &'a str,
    /// What the client calls itself and its device; empty if it does not.
    client: &'a str,
    is_used: bool,
}

impl<'a> From<&'a Token> for Row<'a> {
    fn from(token: &'a Token) -> Self {
        Row {
            token: format!("{:016x}", token.id),
            until: datetime::format(token.expires.saturating_mul(1_000)),
            mechanism: &token.mechanism,
            client: &token.name,
            is_used: token.is_used,
        }
    }
}

/// Ends a token of an account, or all of them.
pub(crate) fn revoke(accounts: &mut Accounts, account: &str, token: Option<&str>) -> Result<(), Failure> {
    let none =
        || Failure::new(format!("{account} has no such token; `balcony user tokens` shows which it has"));
    let id = token.map(|token| u64::from_str_radix(token, 16).map_err(|_| none())).transpose()?;
    match accounts.ask(Request::Revoke { account: account.into(), token: id })? {
        Response::Done(true) => {
            say(&match id {
                Some(_) => format!("the token of {account} has ended"),
                None => format!("all tokens of {account} have ended"),
            });
            Ok(())
        }
        Response::Done(false) => {
            accounts.has(account)?;
            Err(if id.is_some() { none() } else { Failure::new(format!("{account} has no tokens")) })
        }
        other => Err(unexpected(other)),
    }
}
