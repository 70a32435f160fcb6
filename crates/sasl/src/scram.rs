//! The messages of SCRAM (RFC 5802 sections 5.1 and 7): reading and the parts of writing that need care.

use alloc::string::String;
use alloc::vec::Vec;

use crate::base64::from_base64;
use crate::message::{self, Syntax};

/// How a client stands to channel binding (`gs2-cbind-flag`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flag<'a> {
    /// `n`: it can't bind.
    Unsupported,
    /// `y`: it could, but thinks that the server can't.
    NotOffered,
    /// `p=type`: it does.
    Use(&'a str),
}

/// `client-first-message`.
#[derive(Debug)]
pub(crate) struct ClientFirst<'a> {
    pub(crate) flag: Flag<'a>,
    pub(crate) authzid: Option<String>,
    pub(crate) username: String,
    pub(crate) nonce: &'a str,
    /// `gs2-header`, with its last comma.
    pub(crate) gs2_header: &'a str,
    /// `client-first-message-bare`: what follows the header.
    pub(crate) bare: &'a str,
}

/// `server-first-message`.
#[derive(Debug)]
pub(crate) struct ServerFirst<'a> {
    pub(crate) nonce: &'a str,
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
}

/// `client-final-message`.
#[derive(Debug)]
pub(crate) struct ClientFinal<'a> {
    /// `c=`, still in base64.
    pub(crate) binding: &'a str,
    pub(crate) nonce: &'a str,
    pub(crate) proof: Vec<u8>,
    /// `client-final-message-without-proof`.
    pub(crate) without_proof: &'a str,
}

/// `server-final-message`.
#[derive(Debug)]
pub(crate) enum ServerFinal<'a> {
    Verifier(Vec<u8>),
    Error(&'a str),
}

impl<'a> ClientFirst<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Syntax> {
        let (flag, rest) = text.split_once(',').ok_or("no channel binding flag")?;
        let flag = match flag {
            "n" => Flag::Unsupported,
            "y" => Flag::NotOffered,
            _ => {
                Flag::Use(flag.strip_prefix("p=").filter(is_binding_name).ok_or("bad channel binding flag")?)
            }
        };
        let (authzid, bare) = rest.split_once(',').ok_or("no end of the channel binding header")?;
        let authzid = match authzid {
            "" => None,
            _ => Some(unescape(authzid.strip_prefix("a=").ok_or("bad authorization identity")?)?),
        };
        let gs2_header = &text[..text.len() - bare.len()];
        let mut fields = Fields::of(bare);
        let username = unescape(fields.next("n=")?)?;
        message::check_username(&username)?;
        authzid.as_deref().map_or(Ok(()), message::check_authzid)?;
        let nonce = nonce(fields.next("r=")?)?;
        fields.extensions()?;
        Ok(ClientFirst { flag, authzid, username, nonce, gs2_header, bare })
    }
}

impl<'a> ServerFirst<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Syntax> {
        let mut fields = Fields::of(text);
        let nonce = nonce(fields.next("r=")?)?;
        let salt = base64(fields.next("s=")?)?;
        let digits = fields.next("i=")?;
        let is_number = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        let iterations = digits.parse().ok().filter(|_| is_number).ok_or("bad iteration count")?;
        fields.extensions()?;
        Ok(ServerFirst { nonce, salt, iterations })
    }
}

impl<'a> ClientFinal<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Syntax> {
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or("no proof")?;
        let proof = base64(proof)?;
        let mut fields = Fields::of(without_proof);
        let binding = fields.next("c=")?;
        let nonce = nonce(fields.next("r=")?)?;
        fields.extensions()?;
        Ok(ClientFinal { binding, nonce, proof, without_proof })
    }
}

impl<'a> ServerFinal<'a> {
    pub(crate) fn parse(text: &'a str) -> Result<Self, Syntax> {
        let mut fields = Fields::of(text);
        let this = if text.starts_with("e=") {
            ServerFinal::Error(fields.next("e=")?)
        } else {
            ServerFinal::Verifier(base64(fields.next("v=")?)?)
        };
        fields.extensions()?;
        Ok(this)
    }
}

/// The attributes of a message, which stand in a fixed order.
struct Fields<'a>(core::str::Split<'a, char>);

impl<'a> Fields<'a> {
    fn of(text: &'a str) -> Self {
        Fields(text.split(','))
    }

    /// The value of the next attribute, which must be this one (`"n="`) and not be empty.
    fn next(&mut self, name: &str) -> Result<&'a str, Syntax> {
        let field = self.0.next().ok_or("an attribute is missing")?;
        match field.strip_prefix(name) {
            Some("") => Err("an attribute is empty"),
            Some(value) => Ok(value),
            None if field.starts_with("m=") => Err("mandatory extension"),
            None => Err("not the attribute that belongs here"),
        }
    }

    /// Passes over optional extensions to the end. An attribute that has a meaning elsewhere is not one.
    fn extensions(self) -> Result<(), Syntax> {
        for field in self.0 {
            match field.as_bytes() {
                [b'm', b'=', ..] => return Err("mandatory extension"),
                [b'a' | b'c' | b'e' | b'i' | b'n' | b'p' | b'r' | b's' | b'v', b'=', ..] => {
                    return Err("an attribute out of place");
                }
                [name, b'=', _, ..] if name.is_ascii_alphabetic() => {}
                _ => return Err("bad extension"),
            }
        }
        Ok(())
    }
}

/// Writes a name as `saslname`: `=` and `,` have a meaning there.
pub(crate) fn escape(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn unescape(saslname: &str) -> Result<String, Syntax> {
    let mut parts = saslname.split('=');
    let mut name = String::from(parts.next().unwrap_or_default());
    for part in parts {
        let (c, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err("bad escape in a name"),
        };
        name.push(c);
        name.push_str(rest);
    }
    Ok(name)
}

fn base64(text: &str) -> Result<Vec<u8>, Syntax> {
    from_base64(text).ok_or("bad base64 in an attribute")
}

/// Checks that a nonce consists of printable ASCII without the comma.
pub(crate) fn nonce(nonce: &str) -> Result<&str, Syntax> {
    let fits = !nonce.is_empty() && nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    fits.then_some(nonce).ok_or("bad nonce")
}

fn is_binding_name(name: &&str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'.' || b == b'-')
}
