//! What options and the configuration have as values: addresses, domains, texts and choices, each checked when it is read.

use core::net::SocketAddr;
use core::str::FromStr;

use balcony_client::Endpoint;
use balcony_jid::{BareJid, Jid};
use balcony_xml::forbidden_char;
use clap::ValueEnum;
use serde::Deserialize;
use tracing_subscriber::filter::LevelFilter;

/// How much to log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
}

impl From<LogLevel> for LevelFilter {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        }
    }
}

/// The types of message that a person sends (RFC 6121 section 5.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum MessageKind {
    #[default]
    Chat,
    Normal,
    Headline,
    Groupchat,
}

/// How much channel binding matters (RFC 5802 section 6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ChannelBinding {
    /// Only servers that can
    Required,
    /// Where the server can
    #[default]
    Preferred,
    /// Not at all: for servers that have other types of it
    Off,
}

impl From<ChannelBinding> for balcony_stream::ChannelBinding {
    fn from(how: ChannelBinding) -> Self {
        match how {
            ChannelBinding::Required => balcony_stream::ChannelBinding::Required,
            ChannelBinding::Preferred => balcony_stream::ChannelBinding::Preferred,
            ChannelBinding::Off => balcony_stream::ChannelBinding::Off,
        }
    }
}

/// A domain to serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Domain(pub(crate) BareJid);

impl FromStr for Domain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match BareJid::parse(text) {
            Ok(jid) if jid.localpart().is_none() => Ok(Domain(jid)),
            Ok(_) => Err("a domain such as example.org is wanted, without an account".into()),
            Err(error) => Err(format!("not a domain: {error}")),
        }
    }
}

/// What somebody writes to others, or for them to see. It can be sent as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(String);

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Text {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match forbidden_char(text) {
            None => Ok(Text(text.into())),
            Some(c) => {
                Err(format!("it contains U+{:04X}, which XML, and so XMPP, cannot carry", u32::from(c)))
            }
        }
    }
}

/// An account that may leave its domain to the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Account(String);

impl Account {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of the account, in `domain` if it names none.
    pub(crate) fn within(&self, domain: &BareJid) -> Result<BareJid, balcony_jid::JidError> {
        match self.0.contains('@') {
            true => BareJid::parse(&self.0),
            false => BareJid::from_parts(Some(&self.0), domain.domainpart()),
        }
    }
}

impl FromStr for Account {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let account = Account(text.into());
        let anywhere = BareJid::parse("localhost").map_err(|error| error.to_string())?;
        account.within(&anywhere).map_err(|error| format!("not an account: {error}"))?;
        Ok(account)
    }
}

/// Reads the address of whom a client logs in as.
pub(crate) fn own_account(text: &str) -> Result<Jid, String> {
    match text {
        "" => Err("an account such as romeo@localhost is wanted".into()),
        text => Jid::parse(text).map_err(|error| error.to_string()),
    }
}

/// Somebody to know. A device stands for its account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contact(pub(crate) BareJid);

impl FromStr for Contact {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match Jid::parse(text) {
            Ok(jid) if jid.localpart().is_some() => Ok(Contact(jid.into_bare())),
            Ok(_) => Err(format!("an address such as {text}@localhost is wanted")),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address(pub(crate) SocketAddr);

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Address).map_err(|_| {
            "an IP address and a port is wanted, such as 127.0.0.1:5222, 0.0.0.0:5222 or [::]:5222".into()
        })
    }
}

/// A place to connect to: host and port, or a host alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place(String);

impl Place {
    pub(crate) fn endpoint(&self, direct_tls: bool) -> Option<Endpoint> {
        Endpoint::parse(&self.0, direct_tls)
    }
}

impl FromStr for Place {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let place = Place(text.into());
        match place.endpoint(false) {
            Some(_) => Ok(place),
            None => Err(
                "a host and a port is wanted, such as localhost:5222 or [::1]:5222, or the URL of a WebSocket",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // XML §2.2
    #[test]
    fn a_text_has_no_characters_that_xml_has_not() {
        for good in ["", "a\tb\r\nc", "\u{7f}\u{85}\u{fffd}\u{10ffff}\u{fdd0}\u{feff}"] {
            assert_eq!(good.parse::<Text>().unwrap().as_str(), good);
        }
        for bad in ["\0", "a\u{1b}[1m", "\u{b}", "\u{1f}", "a\u{fffe}", "\u{ffff}"] {
            assert!(bad.parse::<Text>().unwrap_err().starts_with("it contains U+"), "{bad:?}");
        }
    }

    #[test]
    fn accounts_take_the_domain_that_they_lack() {
        let domain = BareJid::parse("example.org").unwrap();
        let address = |text: &str| text.parse::<Account>().unwrap().within(&domain).unwrap().to_string();
        assert_eq!(address("romeo"), "romeo@example.org");
        assert_eq!(address("romeo@localhost"), "romeo@localhost");
        for text in ["", "@localhost", "romeo@", "romeo@localhost/garden", "ro meo"] {
            assert!(text.parse::<Account>().is_err(), "{text}");
        }
    }
}
