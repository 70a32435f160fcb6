//! How things lie in a database: accounts and contacts in postcard, stanzas as XML.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Item, Parts, Subscription, Version};
use balcony_sasl::{Credentials, Hash, KeptToken, Mechanism, ScramKeys, Tokens};
use balcony_stanza::Stanza;
use serde::{Deserialize, Serialize};

use crate::{Account, StoreError};

/// An account. A new form gets a new variant at the end; none is ever changed.
#[derive(Serialize, Deserialize)]
enum AccountRecord {
    V1(AccountV1),
    /// The number with which it was made, and the rest.
    V2(u64, AccountV1),
    /// The same, and the keys for SHA-512.
    V3(u64, AccountV1, KeysV1),
    /// The same, and tokens.
    V4(u64, AccountV1, KeysV1, Vec<TokenV1>),
    /// Tokens, and no keys for SHA-512.
    V5(u64, AccountV1, Vec<TokenV1>),
}

#[derive(Serialize, Deserialize)]
struct TokenV1 {
    id: u64,
    agent: Box<str>,
    name: Box<str>,
    mechanism: Box<str>,
    random: [u8; 16],
    given: u64,
    expires: u64,
    is_used: bool,
}

#[derive(Serialize, Deserialize)]
struct AccountV1 {
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

/// The bytes of an account. One that has no number is as it was before there were numbers.
pub(crate) fn encode_account(
    credentials: &Credentials,
    created: u64,
    creation: u64,
    tokens: &Tokens,
) -> Result<Vec<u8>, StoreError> {
    let keys = |keys: &ScramKeys| KeysV1 {
        iterations: keys.iterations(),
        salt: keys.salt().into(),
        stored_key: keys.stored_key().into(),
        server_key: keys.server_key().into(),
    };
    let record = AccountV1 {
        created,
        sha1: credentials.sha1.as_ref().map(keys),
        sha256: credentials.sha256.as_ref().map(keys),
    };
    let token = |token: &KeptToken| TokenV1 {
        id: token.id,
        agent: token.agent.as_str().into(),
        name: token.name.as_str().into(),
        mechanism: token.mechanism.name().into(),
        random: token.random,
        given: token.given,
        expires: token.expires,
        is_used: token.is_used,
    };
    let tokens: Vec<TokenV1> = tokens.all().iter().map(token).collect();
    let record = match (creation, credentials.sha512.as_ref().map(keys), tokens.is_empty()) {
        (creation, Some(sha512), false) => AccountRecord::V4(creation, record, sha512, tokens),
        (creation, None, false) => AccountRecord::V5(creation, record, tokens),
        (creation, Some(sha512), true) => AccountRecord::V3(creation, record, sha512),
        (0, None, true) => AccountRecord::V1(record),
        (creation, None, true) => AccountRecord::V2(creation, record),
    };
    postcard::to_allocvec(&record).map_err(damaged("the record of an account"))
}

/// The account in `bytes`.
pub(crate) fn decode_account(bytes: &[u8]) -> Result<Account, StoreError> {
    let record = postcard::from_bytes(bytes).map_err(damaged("the record of an account"))?;
    let (creation, record, sha512, tokens) = match record {
        AccountRecord::V1(record) => (0, record, None, Vec::new()),
        AccountRecord::V2(creation, record) => (creation, record, None, Vec::new()),
        AccountRecord::V3(creation, record, sha512) => (creation, record, Some(sha512), Vec::new()),
        AccountRecord::V4(creation, record, sha512, tokens) => (creation, record, Some(sha512), tokens),
        AccountRecord::V5(creation, record, tokens) => (creation, record, None, tokens),
    };
    let mut credentials = Credentials::default();
    for (hash, keys) in [(Hash::Sha1, record.sha1), (Hash::Sha256, record.sha256), (Hash::Sha512, sha512)] {
        let Some(keys) = keys else { continue };
        let keys =
            ScramKeys::from_parts(hash, keys.iterations, keys.salt, &keys.stored_key, &keys.server_key)
                .map_err(|error| StoreError::Corrupt(format!("the keys of an account: {error}")))?;
        credentials.set(keys);
    }
    let token = |token: TokenV1| {
        Ok(KeptToken {
            id: token.id,
            agent: token.agent.into(),
            name: token.name.into(),
            mechanism: Mechanism::for_token_from_name(&token.mechanism)
                .ok_or_else(|| StoreError::Corrupt("the mechanism of a token".into()))?,
            random: token.random,
            given: token.given,
            expires: token.expires,
            is_used: token.is_used,
        })
    };
    let tokens = tokens.into_iter().map(token).collect::<Result<_, StoreError>>()?;
    Ok(Account { created: record.created, creation, credentials, tokens: Tokens::of(tokens) })
}

/// The number with which the account in `bytes` was made; without reading the rest.
pub(crate) fn creation(bytes: &[u8]) -> Result<u64, StoreError> {
    let damaged = || damaged("the record of an account");
    let (form, rest) = postcard::take_from_bytes::<u32>(bytes).map_err(damaged())?;
    match form {
        0 => Ok(0),
        1..=4 => postcard::take_from_bytes(rest).map(|(creation, _)| creation).map_err(damaged()),
        _ => decode_account(bytes).map(|account| account.creation),
    }
}

/// The first bytes of records of accounts that have keys for SHA-512: the numbers of their forms.
pub(crate) const WITH_SHA512: &[u8] = &[2, 3];

/// Whether the account in `bytes` has keys for SHA-512; without reading them.
pub(crate) fn has_sha512(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|form| WITH_SHA512.contains(form))
}

/// A contact. A new form gets a new variant at the end; none is ever changed.
#[derive(Serialize, Deserialize)]
enum ContactRecord {
    V1(ContactV1),
}

#[derive(Serialize, Deserialize)]
struct ContactV1 {
    item: Option<ItemV1>,
    request: Option<Vec<u8>>,
}

#[derive(Serialize, Deserialize)]
struct ItemV1 {
    name: Option<Box<str>>,
    groups: Vec<Box<str>>,
    to: bool,
    from: bool,
    ask: bool,
    approved: bool,
}

/// The bytes of what is kept of a contact.
pub(crate) fn encode_contact(item: Option<&Item>, request: Option<&Stanza>) -> Result<Vec<u8>, StoreError> {
    let item = item.map(|item| ItemV1 {
        name: item.name.clone(),
        groups: item.groups.clone(),
        to: item.subscription.has_to(),
        from: item.subscription.has_from(),
        ask: item.ask,
        approved: item.approved,
    });
    let record = ContactV1 { item, request: request.map(encode_stanza) };
    postcard::to_allocvec(&ContactRecord::V1(record)).map_err(damaged("the record of a contact"))
}

/// What is kept of a contact: its item and its request.
pub(crate) fn decode_contact(
    contact: &str,
    bytes: &[u8],
) -> Result<(Option<Item>, Option<Arc<Stanza>>), StoreError> {
    let ContactRecord::V1(record) =
        postcard::from_bytes(bytes).map_err(damaged("the record of a contact"))?;
    let item = record.item.map(|item| {
        Ok::<_, StoreError>(Item {
            jid: bare(contact)?,
            name: item.name,
            groups: item.groups,
            subscription: subscription(item.to, item.from),
            ask: item.ask,
            approved: item.approved,
        })
    });
    Ok((item.transpose()?, record.request.map(|request| decode_stanza(&request)).transpose()?))
}

const fn subscription(to: bool, from: bool) -> Subscription {
    match (to, from) {
        (false, false) => Subscription::None,
        (true, false) => Subscription::To,
        (false, true) => Subscription::From,
        (true, true) => Subscription::Both,
    }
}

/// The subscription that is called so.
pub(crate) fn subscription_named(name: &str) -> Option<Subscription> {
    use Subscription::{Both, From, None, To};
    [None, To, From, Both].into_iter().find(|known| known.name() == name)
}

/// All contacts of a roster, with their items and requests.
pub(crate) fn contacts(roster: &Parts) -> impl Iterator<Item = (BareJid, Option<&Item>, Option<&Stanza>)> {
    let mut contacts: BTreeMap<BareJid, (Option<&Item>, Option<&Stanza>)> = BTreeMap::new();
    for item in &roster.items {
        contacts.entry(item.jid.clone()).or_default().0 = Some(item);
    }
    for request in &roster.requests {
        if let Some(from) = &request.head.from {
            contacts.entry(from.to_bare()).or_default().1 = Some(request);
        }
    }
    contacts.into_iter().map(|(contact, (item, request))| (contact, item, request))
}

/// Who was changed by the push with that version.
pub(crate) fn changes(roster: &Parts) -> impl Iterator<Item = (Version, &BareJid)> {
    let last = roster.version.0;
    let back = (0..roster.changes.len() as u64).rev();
    back.zip(&roster.changes).map(move |(back, contact)| (Version(last.wrapping_sub(back)), contact))
}

/// A stanza as XML.
pub(crate) fn encode_stanza(stanza: &Stanza) -> Vec<u8> {
    let mut bytes = Vec::new();
    stanza.write(&mut bytes);
    bytes
}

/// The stanza in `bytes`.
pub(crate) fn decode_stanza(bytes: &[u8]) -> Result<Arc<Stanza>, StoreError> {
    let stanza = Stanza::parse(bytes).ok_or_else(|| StoreError::Corrupt("a stanza".into()))?;
    Ok(Arc::new(stanza))
}

/// The bare JID in `text`.
pub(crate) fn bare(text: &str) -> Result<BareJid, StoreError> {
    BareJid::parse(text).map_err(damaged("an address"))
}

/// The JID in `text`.
pub(crate) fn jid(text: &str) -> Result<Jid, StoreError> {
    Jid::parse(text).map_err(damaged("an address"))
}

/// The account with this key.
pub(crate) fn address(domain: &str, local: &str) -> Result<BareJid, StoreError> {
    BareJid::from_parts(Some(local).filter(|local| !local.is_empty()), domain).map_err(damaged("an address"))
}

/// By what an account is found, and in what order accounts stand: those of one domain together.
pub(crate) fn key(account: &BareJid) -> (&str, &str) {
    (account.domainpart(), account.localpart().unwrap_or_default())
}

/// How a person is told of the account with this key, which may be no address.
pub(crate) fn name(domain: &str, local: &str) -> String {
    let name = if local.is_empty() { domain.into() } else { format!("{local}@{domain}") };
    name.escape_debug().collect()
}

fn damaged<E: fmt::Display>(what: &'static str) -> impl FnOnce(E) -> StoreError {
    move |error| StoreError::Corrupt(format!("{what}: {error}"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "these are tests")]

    use balcony_sasl::{MIN_ITERATIONS, fake_keys};

    use super::*;

    // Whatever else there is in it; and what is no record is none.
    #[test]
    fn the_number_of_an_account_is_found_without_the_rest() {
        let account: BareJid = "juliet@example.org".parse().unwrap();
        let mut credentials = Credentials::default();
        for hash in [None, Some(Hash::Sha1), Some(Hash::Sha256), Some(Hash::Sha512)] {
            if let Some(hash) = hash {
                credentials.set(fake_keys(&[7; 32], account.as_str(), hash, MIN_ITERATIONS));
            }
            for number in [0, 1, 127, 128, u64::MAX] {
                let bytes =
                    encode_account(&credentials, 1_700_000_000_000, number, &Tokens::default()).unwrap();
                assert_eq!(creation(&bytes), Ok(number));
                assert_eq!(decode_account(&bytes).unwrap().creation, number);
            }
        }
        assert!(creation(&[]).is_err() && creation(&[1]).is_err() && creation(&[9, 1]).is_err());
    }
}
