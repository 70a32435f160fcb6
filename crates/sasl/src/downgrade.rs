//! What a server has offered, as both ends have seen it: SCRAM messages carry a hash of it, and the version of TLS, so that somebody
//! in between who takes the stronger mechanisms or bindings out of an offer is found out (XEP-0474, XEP-0515).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::Hash;
use crate::base64::to_base64;

/// What stands between two names of a list.
const BETWEEN: char = '\u{1E}';
/// What stands between the mechanisms and the types of channel binding.
const LISTS: char = '\u{1F}';

/// The mechanisms and types of channel binding of an offer, of which SCRAM's messages carry a hash (XEP-0474 section 6), and the
/// version of TLS that it came by (XEP-0515 section 4).
///
/// A server says what it has sent. A client takes what it has got, and refuses a server whose word is another
/// ([`SaslError::Downgraded`](crate::SaslError::Downgraded)). Whoever changes that word breaks the proof of the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offered {
    text: String,
    tls_version: Option<u16>,
}

impl Offered {
    /// An offer of these mechanisms, all that stand in the list of the profile in use whether known here or not, and of these types of
    /// channel binding, if the offer says which there are (XEP-0440).
    pub fn new<M: AsRef<str>, B: AsRef<str>>(
        mechanisms: impl IntoIterator<Item = M>,
        bindings: Option<impl IntoIterator<Item = B>>,
    ) -> Offered {
        // Of a usual offer.
        let mut text = String::with_capacity(256);
        append(&mut text, mechanisms);
        if let Some(bindings) = bindings {
            text.push(LISTS);
            append(&mut text, bindings);
        }
        Offered { text, tls_version: None }
    }

    /// The same by this version of TLS, as it stands in its messages: 0x0304 for TLS 1.3. `None`: by one that is not known, as behind
    /// a proxy, or by none; then nothing is said of it, and nothing is checked.
    #[must_use]
    pub fn with_tls_version(self, tls_version: Option<u16>) -> Offered {
        Offered { tls_version, ..self }
    }

    /// The attributes of the server's first message, with the comma before them.
    pub(crate) fn write(&self, hash: Hash, message: &mut String) {
        message.push_str(",h=");
        message.push_str(&self.hash(hash));
        if let Some(version) = self.tls_version {
            message.push_str(",t=");
            message.push_str(&hex(version));
        }
    }

    /// Whether what follows the three attributes that a server's first message has to have tells of this offer, as far as it does.
    pub(crate) fn is_told(&self, hash: Hash, server_first: &str) -> bool {
        server_first.split(',').skip(3).all(|extension| match extension.split_once('=') {
            Some(("h", told)) => told == self.hash(hash),
            Some(("t", told)) => self.tls_version.is_none_or(|version| told == hex(version)),
            _ => true,
        })
    }

    /// Whether it tells of this offer, and not of nothing.
    pub(crate) fn has_to_be_told(&self, hash: Hash, server_first: &str) -> bool {
        let is_there = server_first.split(',').skip(3).any(|extension| extension.starts_with("h="));
        is_there && self.is_told(hash, server_first)
    }

    fn hash(&self, hash: Hash) -> String {
        to_base64(hash.digest(self.text.as_bytes()).as_slice())
    }
}

/// Four digits.
fn hex(version: u16) -> String {
    format!("{version:04x}")
}

/// The names in the order of their octets.
fn append<N: AsRef<str>>(text: &mut String, names: impl IntoIterator<Item = N>) {
    let names: Vec<N> = names.into_iter().collect();
    let mut names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    names.sort_unstable();
    for (number, name) in names.into_iter().enumerate() {
        if number > 0 {
            text.push(BETWEEN);
        }
        text.push_str(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: Option<[&str; 0]> = None;

    fn told(offered: &Offered, hash: Hash) -> String {
        let mut message = String::new();
        offered.write(hash, &mut message);
        message
    }

    // XEP-0474 §6.1 [SD1] [SD5], with the values of its example and of other programs
    #[test]
    fn hashes_are_those_of_others() {
        let bindings = Some(["tls-server-end-point", "tls-exporter"]);
        let one = Offered::new(["SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"], bindings);
        assert_eq!(told(&one, Hash::Sha1), ",h=G6k/rBLDqgOhRRaCuuatSDFkJ08=");
        let alone = Offered::new(["SCRAM-SHA-1"], NONE);
        assert_eq!(told(&alone, Hash::Sha1), ",h=LrtFoCs8XsoI+diY4u3rG69UGN8=");
        let four = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"];
        let four = Offered::new(four, bindings).with_tls_version(Some(0x0304));
        assert_eq!(told(&four, Hash::Sha256), ",h=DiH10h/+iKy8nQZJ+5mswopQ3TcNKFyU22RB46m2ews=,t=0304");
    }

    // XEP-0515 §4 [TD1] [TD2]
    #[test]
    fn a_version_of_tls_is_four_hexadecimal_digits() {
        let offered = Offered::new(["SCRAM-SHA-1"], NONE);
        let ours = offered.clone().with_tls_version(Some(0x0303));
        for (told, is_right) in
            [("t=0303", true), ("t=0304", false), ("t=303", false), ("x=1", true), ("", true)]
        {
            let message = format!("r=x,s=x,i=4096,{told}");
            assert_eq!(ours.is_told(Hash::Sha1, &message), is_right, "{told}");
            assert!(offered.is_told(Hash::Sha1, &message));
        }
        // One that is right does not make up for one that is wrong.
        assert!(!ours.is_told(Hash::Sha1, "r=x,s=x,i=4096,t=0303,t=0304"));
        assert!(!ours.is_told(Hash::Sha1, "r=x,s=x,i=4096,h=LrtFoCs8XsoI+diY4u3rG69UGN8=,h=x"));
    }
}
