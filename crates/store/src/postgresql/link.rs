//! A connection to the database server: what runs on it is one transaction, and what becomes of it when the server is gone.
//!
//! Only one process at a time may write. While the server is away it is tried ever more seldom, and nobody waits in between.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::thread;
use std::time::Instant;

use postgres::error::Severity;
use postgres::types::ToSql;
use postgres::{Client, Config, NoTls, Row, SimpleQueryMessage, Statement};

use super::schema::Opening;
use crate::StoreError;

/// Values for the places `$1`, `$2` and so on.
pub(super) type Values<'v> = &'v [&'v (dyn ToSql + Sync)];

/// A connection to the server, made anew when it was lost.
pub(super) struct Link {
    parameters: Config,
    mode: Mode,
    /// There since the tables were opened over this link.
    opening: Option<Opening>,
    /// `None`: not connected.
    open: Option<Open>,
    /// There while the server cannot be reached.
    outage: Option<Outage>,
    /// There has been a connection before.
    has_worked: bool,
}

/// Why there was no connection, and when to try the next time. Until then nobody has to wait for a refusal.
struct Outage {
    reason: StoreError,
    pause: Duration,
    until: Instant,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Read,
    /// One process at a time has such a connection.
    Write,
}

struct Open {
    client: Client,
    statements: BTreeMap<&'static str, Statement>,
}

/// A transaction under way.
pub(super) struct Session<'c>(&'c mut Open);

/// How long one may wait for another process that is just ending, in steps of [`STEP`].
const STEPS: u32 = 100;
const STEP: Duration = Duration::from_millis(50);

/// The first and the longest pause between two attempts to connect; each is twice as long as the one before.
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long one may wait for a server that has been lost in the middle of a change, to hear whether that is done.
const SETTLING: Duration = Duration::from_secs(10);

/// After a silence as long as this a connection over TCP is given up.
const SILENCE: Duration = Duration::from_secs(10);

impl Link {
    /// Does not connect yet.
    pub(super) fn new(mut parameters: Config, mode: Mode) -> Link {
        if parameters.get_connect_timeout().is_none() {
            parameters.connect_timeout(SILENCE);
        }
        parameters.tcp_user_timeout(SILENCE).keepalives_idle(SILENCE).application_name("balcony");
        Link { parameters, mode, opening: None, open: None, outage: None, has_worked: false }
    }

    /// A later connection of this link is good only if nobody has opened the tables since.
    pub(super) fn set_opening(&mut self, opening: Opening) {
        self.opening = Some(opening);
    }

    /// Runs `work` as one transaction, which counts if this returns `Ok`.
    pub(super) fn run<T>(
        &mut self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Away while it is in use: whatever goes wrong then, the connection ends, and with it the transaction.
        let (mut open, number) = self.begin("")?;
        let result = work(&mut Session(&mut open));
        self.end(open, result, number)
    }

    /// The same for one that changes something. If the connection is lost while it is committed the server is asked on another one
    /// what has become of it: [`Unreachable`](StoreError::Unreachable) means that it may be done or not only where that is not to be had
    /// within [`SETTLING`].
    pub(super) fn change<T>(
        &mut self,
        work: impl FnOnce(&mut Session<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let (mut open, number) = self.begin("; SELECT txid_current()")?;
        let result = work(&mut Session(&mut open));
        self.end(open, result, number)
    }

    /// Ends a transaction, of which this has come; the one with this number, if anybody may ask about it.
    fn end<T>(
        &mut self,
        mut open: Open,
        result: Result<T, StoreError>,
        number: Option<i64>,
    ) -> Result<T, StoreError> {
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        match open.client.batch_execute(end) {
            Ok(()) => {
                self.open = Some(open);
                result
            }
            Err(error) => {
                // Its end takes the lock away from the server.
                drop(open);
                // What the work says explains more.
                let (value, error) = (result?, StoreError::from(error));
                match number.filter(|_| matches!(error, StoreError::Unreachable(_))) {
                    Some(number) if self.settle(number)? => Ok(value),
                    _ => Err(error),
                }
            }
        }
    }

    /// Whether the transaction of that number has been committed; not so either where that does not become known.
    fn settle(&mut self, number: i64) -> Result<bool, StoreError> {
        let until = now() + SETTLING;
        loop {
            // Whoever has the lock is the only one: the server is not at the other one any more.
            let asked = self.connect().and_then(|mut open| {
                let row = open.client.query_one("SELECT txid_status($1)", &[&number])?;
                let status: Option<String> = row.try_get(0)?;
                self.open = Some(open);
                Ok(status.as_deref() == Some("committed"))
            });
            match asked {
                // The server may be away, or still be at the change and have the lock.
                Err(StoreError::Unreachable(_) | StoreError::InUse) if now() < until => {
                    #[expect(clippy::disallowed_methods, reason = "an adapter may wait")]
                    thread::sleep(STEP);
                }
                Err(StoreError::Superseded) => return Err(StoreError::Superseded),
                other => return Ok(other.unwrap_or_default()),
            }
        }
    }

    /// A connection with a transaction, and what comes of another statement: a number, if anything. A connection that was lost while nobody used
    /// it is noticed here.
    fn begin(&mut self, statement: &str) -> Result<(Open, Option<i64>), StoreError> {
        let begin = match self.mode {
            Mode::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            Mode::Write => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE",
        };
        let begin = [begin, statement].concat();
        if let Some(mut open) = self.open.take()
            && let Ok(said) = open.client.simple_query(&begin)
        {
            return Ok((open, number(&said)));
        }
        let mut open = self.connect()?;
        let said = open.client.simple_query(&begin)?;
        Ok((open, number(&said)))
    }

    fn connect(&mut self) -> Result<Open, StoreError> {
        if let Some(outage) = &self.outage
            && now() < outage.until
        {
            return Err(outage.reason.clone());
        }
        let result = self.attempt();
        let outage = self.outage.take();
        match &result {
            Ok(_) if outage.is_some() => tracing::warn!("the database server can be reached again"),
            Ok(_) => {}
            Err(reason) => {
                // Whoever makes the first connection hears of it anyway.
                if outage.is_none() && self.has_worked {
                    tracing::error!("{reason}");
                }
                let pause = outage.map_or(SHORTEST, |outage| LONGEST.min(outage.pause * 2));
                self.outage = Some(Outage { reason: reason.clone(), pause, until: now() + pause });
            }
        }
        self.has_worked |= result.is_ok();
        result
    }

    fn attempt(&self) -> Result<Open, StoreError> {
        let mut client = self.parameters.connect(NoTls)?;
        if self.mode == Mode::Write {
            // Whatever the server is set to: what is acknowledged is on its disk.
            client.batch_execute("SET synchronous_commit TO on")?;
            lock(&mut client, self.opening)?;
        }
        Ok(Open { client, statements: BTreeMap::new() })
    }
}

/// The number in the first row.
fn number(said: &[SimpleQueryMessage]) -> Option<i64> {
    let row = said.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    row?.get(0)?.parse().ok()
}

fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an adapter may ask for the time")]
    Instant::now()
}

/// Takes the lock of these tables, which ends with the connection. If somebody else has opened them since this opening, that is
/// [`Superseded`](StoreError::Superseded), whether they still have the lock or not; without that, whoever has it may be just ending, or
/// be a connection of our own whose end the server has not noticed.
fn lock(client: &mut Client, opening: Option<Opening>) -> Result<(), StoreError> {
    const LOCK: &str = "SELECT pg_try_advisory_lock(hashtext('balcony'), hashtext(current_schema()))";
    for _ in 0..STEPS {
        let is_locked = client.query_one(LOCK, &[])?.try_get::<_, Option<bool>>(0)? == Some(true);
        if let Some(opening) = opening
            && !opening.is_last(client)?
        {
            return Err(StoreError::Superseded);
        }
        if is_locked {
            return Ok(());
        }
        #[expect(clippy::disallowed_methods, reason = "an adapter may wait")]
        thread::sleep(STEP);
    }
    Err(StoreError::InUse)
}

impl Session<'_> {
    /// Runs a statement, and gives what it finds.
    pub(super) fn query(&mut self, sql: &'static str, values: Values<'_>) -> Result<Vec<Row>, StoreError> {
        let statement = self.statement(sql)?;
        Ok(self.0.client.query(&statement, values)?)
    }

    /// The same for one row at most.
    pub(super) fn query_opt(
        &mut self,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<Option<Row>, StoreError> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// Runs a statement, and tells how many rows it has changed.
    pub(super) fn execute(&mut self, sql: &'static str, values: Values<'_>) -> Result<u64, StoreError> {
        let statement = self.statement(sql)?;
        Ok(self.0.client.execute(&statement, values)?)
    }

    /// Runs several statements without values, which are not kept for later.
    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        Ok(self.0.client.batch_execute(sql)?)
    }

    fn statement(&mut self, sql: &'static str) -> Result<Statement, StoreError> {
        if let Some(known) = self.0.statements.get(sql) {
            return Ok(known.clone());
        }
        let statement = self.0.client.prepare(sql)?;
        self.0.statements.insert(sql, statement.clone());
        Ok(statement)
    }
}

impl From<postgres::Error> for StoreError {
    fn from(error: postgres::Error) -> Self {
        match error.as_db_error() {
            // The connection goes on after an error, and the transaction is undone for sure.
            Some(refusal) if refusal.parsed_severity() == Some(Severity::Error) => {
                StoreError::Refused(line(refusal.message()))
            }
            Some(refusal) => StoreError::Unreachable(line(refusal.message())),
            None => {
                let reason = core::error::Error::source(&error).map(|reason| reason.to_string());
                StoreError::Unreachable(line(&match reason {
                    Some(reason) => format!("{error}: {reason}"),
                    None => format!("{error}"),
                }))
            }
        }
    }
}

/// The first line of a message.
fn line(message: &str) -> String {
    message.lines().next().unwrap_or_default().into()
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link").field("mode", &self.mode).finish_non_exhaustive()
    }
}
