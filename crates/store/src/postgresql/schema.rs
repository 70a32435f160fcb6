use balcony_machine::Secret;

use super::link::Session;
use crate::StoreError;

/// Each of them leads from one layout of the tables to the next, the first from nothing to version 1. There is a new one
/// when an older program could misread or lose something.
const MIGRATIONS: [&str; 1] = [VERSION_1];

/// The layout that this program knows.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "there are a few")]
const SCHEMA: i32 = MIGRATIONS.len() as i32;

const VERSION_1: &str = r#"
CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    domain text COLLATE "C" NOT NULL,
    local text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    credentials bytea NOT NULL,
    roster_version bigint,
    last_at bigint,
    last_presence text,
    UNIQUE (domain, local)
);
COMMENT ON COLUMN accounts.local IS 'empty for the account of the domain itself';
COMMENT ON COLUMN accounts.created IS 'seconds since 1970';
COMMENT ON COLUMN accounts.last_at IS 'milliseconds since 1970';

CREATE TABLE contacts (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    contact text COLLATE "C" NOT NULL,
    subscription text CHECK (subscription IN ('none', 'to', 'from', 'both')),
    name text,
    groups text[] NOT NULL,
    ask boolean NOT NULL,
    approved boolean NOT NULL,
    request text,
    PRIMARY KEY (account, contact)
);
COMMENT ON COLUMN contacts.subscription IS 'null if the contact has a request and no item';
COMMENT ON COLUMN contacts.request IS 'the subscription request that waits for the user';

CREATE TABLE roster_changes (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    version bigint NOT NULL,
    contact text NOT NULL,
    PRIMARY KEY (account, version)
);

CREATE TABLE blocked (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    jid text COLLATE "C" NOT NULL,
    PRIMARY KEY (account, jid)
);

CREATE TABLE offline (
    account bigint NOT NULL REFERENCES accounts ON DELETE CASCADE,
    number bigint GENERATED ALWAYS AS IDENTITY,
    at bigint NOT NULL,
    stanza text NOT NULL,
    PRIMARY KEY (account, number)
);
COMMENT ON COLUMN offline.at IS 'milliseconds since 1970';
"#;

/// Checks the layout, brings an older one up to date, and returns the server's secret.
pub(super) fn prepare(session: &mut Session<'_>) -> Result<Secret<[u8; 32]>, StoreError> {
    let encoding = session.query_opt("SELECT current_setting('server_encoding')", &[])?;
    if encoding.map(|row| row.try_get::<_, alloc::string::String>(0)).transpose()?.as_deref() != Some("UTF8")
    {
        return Err(StoreError::Refused("the database must have the encoding UTF8".into()));
    }
    if session.query_opt("SELECT 1 WHERE to_regclass('balcony') IS NOT NULL", &[])?.is_none() {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret)?;
        // One row, by its key.
        session.batch(
            "CREATE TABLE balcony (one boolean PRIMARY KEY CHECK (one), schema integer NOT NULL, secret bytea NOT NULL)",
        )?;
        session.execute(
            "INSERT INTO balcony (one, schema, secret) VALUES (true, 0, $1)",
            &[&&Secret::new(secret).expose()[..]],
        )?;
    }
    let row = session.query_opt("SELECT schema, secret FROM balcony", &[])?;
    let row = row.ok_or_else(|| StoreError::Corrupt("it has no version".into()))?;
    let found: i32 = row.try_get(0)?;
    let number = |schema: i32| u32::try_from(schema).unwrap_or_default();
    if found > SCHEMA {
        return Err(StoreError::NewerSchema { found: number(found), supported: number(SCHEMA) });
    }
    for migration in MIGRATIONS.iter().skip(number(found) as usize) {
        session.batch(migration)?;
    }
    session.execute("UPDATE balcony SET schema = $1", &[&SCHEMA])?;
    let secret = <[u8; 32]>::try_from(row.try_get::<_, &[u8]>(1)?);
    Ok(Secret::new(secret.map_err(|_| StoreError::Corrupt("it has no secret".into()))?))
}
