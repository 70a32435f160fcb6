//! An account as one line of JSON, written as this program has it, and read from older texts as well.
//!
//! What cannot be read is said in words, without the line's number, which only `transfer.rs` knows.

use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::sync::Arc;
use alloc::vec::Vec;

use balcony_jid::{BareJid, Jid};
use balcony_roster::{Item, Parts, Version};
use balcony_router::LastSeen;
use balcony_router::extension::offline::OFFLINE;
use balcony_sasl::{Credentials, Hash, ScramKeys, Tokens};
use balcony_stanza::Stanza;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::collection::{self, DocumentText, LogText};
use crate::record::{self, encode_stanza};
use crate::{Account, Backup, known};

/// An account as it stands in the text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line {
    account: String,
    /// Seconds since 1970.
    created: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram_sha_1: Option<Keys>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram_sha_256: Option<Keys>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scram_sha_512: Option<Keys>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    roster: Option<RosterText>,
    /// Of version 1 alone.
    #[serde(default, skip_serializing)]
    blocked: Vec<String>,
    /// Of version 1 alone.
    #[serde(default, skip_serializing)]
    offline: Vec<StanzaText>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last: Option<StanzaText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    documents: Vec<DocumentText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    logs: Vec<LogText>,
}

/// Octets are in Base64.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    iterations: u32,
    salt: String,
    stored_key: String,
    server_key: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RosterText {
    /// A text, since many programs read large numbers wrongly.
    version: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    items: Vec<ItemText>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    requests: Vec<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ItemText {
    jid: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Box<str>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    groups: Vec<Box<str>>,
    subscription: String,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    ask: bool,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    approved: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StanzaText {
    /// Milliseconds since 1970.
    at: u64,
    stanza: String,
}

impl From<&Backup> for Line {
    fn from(backup: &Backup) -> Self {
        let keys = |keys: &ScramKeys| Keys {
            iterations: keys.iterations(),
            salt: BASE64.encode(keys.salt()),
            stored_key: BASE64.encode(keys.stored_key()),
            server_key: BASE64.encode(keys.server_key()),
        };
        let Backup { address, account, roster, last, collections } = backup;
        let (documents, logs) = collection::write(collections);
        Line {
            account: address.to_string(),
            created: account.created,
            scram_sha_1: account.credentials.sha1.as_ref().map(keys),
            scram_sha_256: account.credentials.sha256.as_ref().map(keys),
            scram_sha_512: account.credentials.sha512.as_ref().map(keys),
            roster: roster.as_ref().map(RosterText::from),
            blocked: Vec::new(),
            offline: Vec::new(),
            last: last.as_ref().map(|last| StanzaText { at: last.at, stanza: xml(&last.presence) }),
            documents,
            logs,
        }
    }
}

impl From<&Parts> for RosterText {
    fn from(parts: &Parts) -> Self {
        let item = |item: &Item| ItemText {
            jid: item.jid.to_string(),
            name: item.name.clone(),
            groups: item.groups.clone(),
            subscription: item.subscription.name().into(),
            ask: item.ask,
            approved: item.approved,
        };
        RosterText {
            version: parts.version.to_string(),
            items: parts.items.iter().map(item).collect(),
            requests: parts.requests.iter().map(|request| xml(request)).collect(),
            changes: parts.changes.iter().map(BareJid::to_string).collect(),
        }
    }
}

impl Line {
    /// The account in `line` of a text of this version, or what is wrong with it.
    pub(super) fn read(line: &[u8], version: u32) -> Result<Backup, String> {
        let line: Line = serde_json::from_slice(line).map_err(|error| not_json(&error))?;
        let mut credentials = Credentials::default();
        for (hash, keys) in [
            (Hash::Sha1, line.scram_sha_1),
            (Hash::Sha256, line.scram_sha_256),
            (Hash::Sha512, line.scram_sha_512),
        ] {
            keys.map_or(Ok(()), |keys| keys.read(hash).map(|keys| credentials.set(keys)))?;
        }
        let last =
            |text: StanzaText| Ok::<_, String>(LastSeen { at: text.at, presence: stanza(&text.stanza)? });
        let mut collections = collection::read(line.documents, line.logs)?;
        if version > 1 && !(line.blocked.is_empty() && line.offline.is_empty()) {
            return Err("`blocked` and `offline` are documents and a log since version 2".into());
        }
        let blocked = |jid: &String| Ok(known::blocked(Jid::parse(jid).map_err(invalid(jid))?.as_str()));
        let blocked = line.blocked.iter().map(blocked).collect::<Result<Vec<_>, String>>()?;
        collections.documents.extend(blocked);
        for StanzaText { at, stanza: text } in &line.offline {
            let entry = known::message(0, *at, &encode_stanza(&*stanza(text)?));
            collections.push(OFFLINE, entry);
        }
        Ok(Backup {
            address: bare(&line.account)?,
            account: Account { credentials, created: line.created, creation: 0, tokens: Tokens::default() },
            roster: line.roster.map(RosterText::read).transpose()?,
            last: line.last.map(last).transpose()?,
            collections,
        })
    }
}

/// Its column, but not its line, which is always the first: the text has another number for it.
pub(super) fn not_json(error: &serde_json::Error) -> String {
    let (text, column) = (error.to_string(), error.column());
    match text.strip_suffix(&alloc::format!(" at line {} column {column}", error.line())) {
        Some(reason) => alloc::format!("{reason} (at byte {column})"),
        None => text,
    }
}

impl Keys {
    fn read(self, hash: Hash) -> Result<ScramKeys, String> {
        let octets = |text: &String| BASE64.decode(text).map_err(|error| error.to_string());
        let (salt, stored, server) =
            (octets(&self.salt)?, octets(&self.stored_key)?, octets(&self.server_key)?);
        ScramKeys::from_parts(hash, self.iterations, salt.into(), &stored, &server)
            .map_err(|error| error.to_string())
    }
}

impl RosterText {
    fn read(self) -> Result<Parts, String> {
        let version = self.version.parse().map_err(invalid(&self.version))?;
        Ok(Parts {
            version: Version(version),
            items: self.items.into_iter().map(ItemText::read).collect::<Result<_, _>>()?,
            requests: self.requests.iter().map(|request| stanza(request)).collect::<Result<_, _>>()?,
            changes: self.changes.iter().map(|contact| bare(contact)).collect::<Result<_, _>>()?,
        })
    }
}

impl ItemText {
    fn read(self) -> Result<Item, String> {
        let subscription = record::subscription_named(&self.subscription)
            .ok_or_else(|| alloc::format!("{:?} is no subscription", self.subscription));
        Ok(Item {
            jid: bare(&self.jid)?,
            name: self.name,
            groups: self.groups,
            subscription: subscription?,
            ask: self.ask,
            approved: self.approved,
        })
    }
}

fn xml(stanza: &Stanza) -> String {
    String::from_utf8_lossy(&encode_stanza(stanza)).into_owned()
}

fn stanza(xml: &str) -> Result<Arc<Stanza>, String> {
    Stanza::parse(xml.as_bytes()).map(Arc::new).ok_or_else(|| "a stanza is not one".into())
}

pub(super) fn bare(text: &str) -> Result<BareJid, String> {
    BareJid::parse(text).map_err(invalid(text))
}

fn invalid<E: ToString>(text: &str) -> impl Fn(E) -> String {
    move |error| alloc::format!("{text:?}: {}", error.to_string())
}
