//! Last activity: how long somebody has been away, idle or up (XEP-0012).

use alloc::borrow::Cow;
use alloc::string::ToString as _;

use balcony_xml::{Element, ElementRef, Name};

/// The namespace, which is also the feature.
pub const NS: &str = "jabber:iq:last";

const QUERY: Name = Name::from_static("query");

/// The content of an iq get.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Query;

impl Query {
    /// Reads it; `None` if the element is something else.
    #[must_use]
    pub fn read(element: ElementRef<'_>) -> Option<Query> {
        element.is("query", NS).then_some(Query)
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(self) -> Element {
        Element::new(QUERY, NS)
    }
}

/// The content of the result.
///
/// Of a bare address it is the time since the account was last connected, 0 if it is now (section 3); of a full one the time since
/// somebody did something there (section 4); of a server how long it has been up (section 5).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Last<'a> {
    /// Seconds.
    pub seconds: u64,
    /// What the account said when it went, if it said something.
    pub status: Option<Cow<'a, str>>,
}

impl<'a> Last<'a> {
    /// Reads it; `None` if the element is something else or does not say how many seconds.
    #[must_use]
    pub fn read(element: ElementRef<'a>) -> Option<Last<'a>> {
        if !element.is("query", NS) {
            return None;
        }
        let seconds = element.attr("seconds")?;
        let is_number = seconds.bytes().all(|digit| digit.is_ascii_digit());
        let status = element.text();
        Some(Last {
            seconds: seconds.parse().ok().filter(|_| is_number)?,
            status: (!status.is_empty()).then_some(status),
        })
    }

    /// Writes it.
    #[must_use]
    pub fn to_element(&self) -> Element {
        const SECONDS: Name = Name::from_static("seconds");
        let query = Element::new(QUERY, NS).attr(SECONDS, self.seconds.to_string());
        match &self.status {
            Some(status) => query.text(status),
            None => query,
        }
    }
}
