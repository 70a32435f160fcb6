//! What stands in for the Unicode tables in a build without them: everything beyond ASCII is refused.

use alloc::borrow::Cow;

use crate::Reason;

pub(crate) fn localpart(_text: &str) -> Result<Cow<'_, str>, Reason> {
    Err(Reason::NoUnicode)
}

pub(crate) fn domainpart(_text: &str) -> Result<Cow<'_, str>, Reason> {
    Err(Reason::NoUnicode)
}

pub(crate) fn resourcepart(_text: &str) -> Result<Cow<'_, str>, Reason> {
    Err(Reason::NoUnicode)
}
