use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use balcony_sasl::{Credentials, Hash, ScramKeys};
use serde::{Deserialize, Serialize};

use crate::{Account, StoreError};

/// An account as it lies on disk, in postcard. A new form gets a new variant at the end; none is ever changed.
#[derive(Serialize, Deserialize)]
enum Record {
    V1(RecordV1),
}

#[derive(Serialize, Deserialize)]
struct RecordV1 {
    created: u64,
    sha1: Option<KeysV1>,
    sha256: Option<KeysV1>,
}

#[derive(Serialize, Deserialize)]
struct KeysV1 {
    iterations: u32,
    salt: Box<[u8]>,
    stored_key: Box<[u8]>,
    server_key: Box<[u8]>,
}

/// The bytes of an account.
pub(crate) fn encode(credentials: &Credentials, created: u64) -> Result<Vec<u8>, StoreError> {
    let keys = |keys: &ScramKeys| KeysV1 {
        iterations: keys.iterations(),
        salt: keys.salt().into(),
        stored_key: keys.stored_key().into(),
        server_key: keys.server_key().into(),
    };
    let record = RecordV1 {
        created,
        sha1: credentials.sha1.as_ref().map(keys),
        sha256: credentials.sha256.as_ref().map(keys),
    };
    postcard::to_allocvec(&Record::V1(record)).map_err(damaged)
}

/// The account in `bytes`.
pub(crate) fn decode(bytes: &[u8]) -> Result<Account, StoreError> {
    let Record::V1(record) = postcard::from_bytes(bytes).map_err(damaged)?;
    let keys = |hash: Hash, keys: Option<KeysV1>| {
        keys.map(|keys| {
            ScramKeys::from_parts(hash, keys.iterations, keys.salt, &keys.stored_key, &keys.server_key)
                .map_err(|error| StoreError::Corrupt(format!("the keys of an account: {error}")))
        })
        .transpose()
    };
    Ok(Account {
        created: record.created,
        credentials: Credentials {
            sha1: keys(Hash::Sha1, record.sha1)?,
            sha256: keys(Hash::Sha256, record.sha256)?,
        },
    })
}

fn damaged(error: postcard::Error) -> StoreError {
    StoreError::Corrupt(format!("the record of an account: {error}"))
}
