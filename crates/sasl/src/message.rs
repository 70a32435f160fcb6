//! What the messages of all mechanisms have in common, and PLAIN's one message (RFC 4616 section 2).

use alloc::vec::Vec;

/// What is wrong with a message or a name, for logs.
pub(crate) type Syntax = &'static str;

/// Bytes of one message, either way. More than the longest names need, written in SCRAM's way.
const MAX_MESSAGE: usize = 16_384;
/// Bytes of a user's name: those of a localpart (RFC 7622 section 3.3).
const MAX_USERNAME: usize = 1_023;
/// Bytes of an authorization identity: those of a full JID (RFC 7622 section 3.1).
const MAX_AUTHZID: usize = 3_071;

/// Checks the size of a message.
pub(crate) fn bounded(data: &[u8]) -> Result<&[u8], Syntax> {
    if data.len() > MAX_MESSAGE { Err("the message is too long") } else { Ok(data) }
}

/// The message as text, as all of SCRAM's are: UTF-8 without U+0000.
pub(crate) fn text(data: &[u8]) -> Result<&str, Syntax> {
    let text = core::str::from_utf8(bounded(data)?).map_err(|_| "not UTF-8")?;
    if text.contains('\0') { Err("U+0000 in the message") } else { Ok(text) }
}

pub(crate) fn check_username(name: &str) -> Result<(), Syntax> {
    check_name(name, MAX_USERNAME, "the username is empty, too long or holds U+0000")
}

pub(crate) fn check_authzid(name: &str) -> Result<(), Syntax> {
    check_name(name, MAX_AUTHZID, "the authorization identity is empty, too long or holds U+0000")
}

fn check_name(name: &str, max: usize, wrong: Syntax) -> Result<(), Syntax> {
    if name.is_empty() || name.len() > max || name.contains('\0') { Err(wrong) } else { Ok(()) }
}

/// The one message of PLAIN: `[authzid] NUL authcid NUL passwd`.
pub(crate) struct Plain<'a> {
    pub(crate) authzid: Option<&'a str>,
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
}

impl<'a> Plain<'a> {
    pub(crate) fn parse(data: &'a [u8]) -> Result<Self, Syntax> {
        let text = core::str::from_utf8(bounded(data)?).map_err(|_| "not UTF-8")?;
        let mut parts = text.split('\0');
        let (Some(authzid), Some(username), Some(password), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err("not two separators");
        };
        let authzid = (!authzid.is_empty()).then_some(authzid);
        authzid.map_or(Ok(()), check_authzid)?;
        check_username(username)?;
        if password.is_empty() { Err("no password") } else { Ok(Plain { authzid, username, password }) }
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        [self.authzid.unwrap_or_default(), self.username, self.password].join("\0").into_bytes()
    }
}
