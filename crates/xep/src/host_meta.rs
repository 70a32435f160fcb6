//! Where the WebSocket of a domain is, as a file on its web server says (RFC 7395 section 4, XEP-0156, RFC 6415).
//!
//! Fetching it is the owner's work. It is a way to find a server for those who can look up no SRV records, such as browsers.

use alloc::string::{String, ToString as _};
use alloc::vec::Vec;
use core::fmt;

use balcony_machine::XmlLimits;
use balcony_xml::{Element, ElementRef, Name};
use serde::Deserialize;

/// The namespace of the file in XML.
const XRD: &str = "http://docs.oasis-open.org/ns/xri/xrd-1.0";
/// The relation of a domain to its WebSockets.
const WEBSOCKET: &str = "urn:xmpp:alt-connections:websocket";
/// More links than this are left out.
const LINKS: usize = 16;

/// How the file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// XML: `host-meta`. Every domain that has one has this one.
    Xrd,
    /// JSON: `host-meta.json`.
    Jrd,
}

/// Why a file is of no use.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostMetaError {
    /// It did not come over HTTPS, so that anybody could have written it.
    NotSecure,
    /// It is not what its format wants.
    Malformed(String),
}

impl fmt::Display for HostMetaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HostMetaError::NotSecure => {
                f.write_str("host-meta did not come over HTTPS, so it is not to be trusted")
            }
            HostMetaError::Malformed(reason) => write!(f, "host-meta cannot be read: {reason}"),
        }
    }
}

impl core::error::Error for HostMetaError {}

impl Format {
    /// The path of the file on a web server (RFC 6415 section 2).
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Format::Xrd => "/.well-known/host-meta",
            Format::Jrd => "/.well-known/host-meta.json",
        }
    }

    /// The media type of the file.
    #[must_use]
    pub const fn media_type(self) -> &'static str {
        match self {
            Format::Xrd => "application/xrd+xml",
            Format::Jrd => "application/json",
        }
    }

    /// Where the file of a domain is. The domain is in the form of the DNS, in A-labels.
    #[must_use]
    pub fn url(self, domain: &str) -> String {
        alloc::format!("https://{domain}{}", self.path())
    }

    /// The WebSockets of the domain, at most 16, in no order that means anything; those that are not protected are left out. The file
    /// came at last, behind any redirections, from `url`.
    ///
    /// They can be at another host than the domain. Because the file came over HTTPS from the domain itself, the server there
    /// has to prove with its certificate that it is that host, and not that it is the domain (RFC 7395 section 6).
    ///
    /// # Errors
    ///
    /// [`HostMetaError`]; there is nothing to be believed then.
    pub fn websockets(self, url: &str, file: &[u8]) -> Result<Vec<String>, HostMetaError> {
        if !is_scheme(url, "https") {
            return Err(HostMetaError::NotSecure);
        }
        let links = match self {
            Format::Xrd => xrd(file)?,
            Format::Jrd => jrd(file)?,
        };
        Ok(links.into_iter().filter(|link| is_scheme(link, "wss")).take(LINKS).collect())
    }

    /// The file of a domain that has these WebSockets.
    #[must_use]
    pub fn write(self, websockets: &[&str]) -> String {
        match self {
            Format::Xrd => write_xrd(websockets),
            Format::Jrd => {
                let link = |href: &&str| serde_json::json!({ "rel": WEBSOCKET, "href": href });
                let links: Vec<_> = websockets.iter().map(link).collect();
                serde_json::json!({ "links": links }).to_string()
            }
        }
    }
}

fn is_scheme(url: &str, wanted: &str) -> bool {
    url.split_once("://")
        .is_some_and(|(scheme, rest)| scheme.eq_ignore_ascii_case(wanted) && !rest.is_empty())
}

fn xrd(file: &[u8]) -> Result<Vec<String>, HostMetaError> {
    let malformed = |reason: &str| HostMetaError::Malformed(reason.into());
    let text = core::str::from_utf8(file).map_err(|_| malformed("it is not in UTF-8"))?;
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let element = match text.strip_prefix("<?xml") {
        Some(rest) => rest.split_once("?>").ok_or_else(|| malformed("the XML declaration has no end"))?.1,
        None => text,
    };
    let document = Element::parse(element.as_bytes(), XmlLimits::STANZA)
        .map_err(|error| malformed(&error.to_string()))?;
    if !document.root().is("XRD", XRD) {
        return Err(malformed("it is no XRD"));
    }
    let is_link = |child: &ElementRef<'_>| child.is("Link", XRD) && child.attr("rel") == Some(WEBSOCKET);
    let links = document.root().children().filter(is_link);
    Ok(links.filter_map(|link| link.attr("href").map(String::from)).collect())
}

fn write_xrd(websockets: &[&str]) -> String {
    const DOCUMENT: Name = Name::from_static("XRD");
    const LINK: Name = Name::from_static("Link");
    const REL: Name = Name::from_static("rel");
    const HREF: Name = Name::from_static("href");
    let mut document = Element::new(DOCUMENT, XRD);
    for websocket in websockets {
        document.push_child(Element::new(LINK, XRD).attr(REL, WEBSOCKET).attr(HREF, websocket).root());
    }
    let mut file = b"<?xml version='1.0' encoding='utf-8'?>\n".to_vec();
    document.root().write(&mut file, "");
    // Names and texts are text.
    String::from_utf8_lossy(&file).into_owned()
}

fn jrd(file: &[u8]) -> Result<Vec<String>, HostMetaError> {
    #[derive(Deserialize)]
    struct Jrd {
        #[serde(default)]
        links: Vec<Link>,
    }
    #[derive(Deserialize)]
    struct Link {
        rel: Option<String>,
        href: Option<String>,
    }
    let document: Jrd =
        serde_json::from_slice(file).map_err(|error| HostMetaError::Malformed(error.to_string()))?;
    let links = document.links.into_iter().filter(|link| link.rel.as_deref() == Some(WEBSOCKET));
    Ok(links.filter_map(|link| link.href).collect())
}
