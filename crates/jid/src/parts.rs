//! Cutting an address into its parts and putting parts together (RFC 7622 §3.1).

use alloc::borrow::Cow;
use alloc::string::String;

use crate::{Jid, JidError, JidRef, Part, domainpart, localpart, resourcepart, scan};

/// What parsing a text gives.
pub(crate) enum Parsed<'a> {
    /// The text is in normal form.
    Normal(JidRef<'a>),
    /// The normal form is another text.
    Changed(Parts<'a>),
}

pub(crate) fn parse(text: &str) -> Result<Parsed<'_>, JidError> {
    match scan::normal_ascii(text) {
        Some(normal) => Ok(Parsed::Normal(normal)),
        None => parse_by_rules(text),
    }
}

/// The text is cut first and mapped then: some characters map to `@` or `/`.
pub(crate) fn parse_by_rules(text: &str) -> Result<Parsed<'_>, JidError> {
    let (bare, resource) =
        text.split_once('/').map_or((text, None), |(bare, resource)| (bare, Some(resource)));
    let (local, domain) = bare.split_once('@').map_or((None, bare), |(local, domain)| (Some(local), domain));
    let parts = Parts::enforce(local, domain, resource)?;
    Ok(parts.borrowed(text).map_or(Parsed::Changed(parts), Parsed::Normal))
}

/// The three parts in normal form; those that were in normal form already are borrowed from the text.
pub(crate) struct Parts<'a> {
    local: Option<Cow<'a, str>>,
    domain: Cow<'a, str>,
    resource: Option<Cow<'a, str>>,
}

impl<'a> Parts<'a> {
    /// Brings each part into normal form.
    pub(crate) fn enforce(
        local: Option<&'a str>,
        domain: &'a str,
        resource: Option<&'a str>,
    ) -> Result<Self, JidError> {
        Ok(Parts {
            local: local.map(localpart).transpose()?,
            domain: domainpart(domain)?,
            resource: resource.map(resourcepart).transpose()?,
        })
    }

    /// The address in `text`, of which these are the parts, if they are just what stands there.
    fn borrowed(&self, text: &'a str) -> Option<JidRef<'a>> {
        let (local, bare, len) = self.offsets();
        // A domain that lost its dot is borrowed too, but shorter.
        let is_same = len == text.len()
            && matches!(self.local, None | Some(Cow::Borrowed(_)))
            && matches!(self.domain, Cow::Borrowed(_))
            && matches!(self.resource, None | Some(Cow::Borrowed(_)));
        is_same.then(|| JidRef::from_offsets(text, offset(local), offset(bare)))
    }

    /// The address of these parts.
    pub(crate) fn join(&self) -> Jid {
        let (local, bare, len) = self.offsets();
        let mut text = String::with_capacity(len);
        if let Some(local) = &self.local {
            text.push_str(local);
            text.push('@');
        }
        text.push_str(&self.domain);
        if let Some(resource) = &self.resource {
            text.push('/');
            text.push_str(resource);
        }
        Jid::from_offsets(text.into(), offset(local), offset(bare))
    }

    /// A part that is not what stood in the text, given that there is one.
    pub(crate) fn changed(&self) -> Part {
        match (&self.local, &self.resource) {
            (Some(Cow::Owned(_)), _) => Part::Localpart,
            (_, Some(Cow::Owned(_))) if matches!(self.domain, Cow::Borrowed(_)) => Part::Resourcepart,
            _ => Part::Domainpart,
        }
    }

    /// Octets of the localpart, of the bare address and of the whole.
    fn offsets(&self) -> (usize, usize, usize) {
        let local = self.local.as_ref().map_or(0, |local| local.len());
        let bare = self.domain.len() + if local > 0 { local + 1 } else { 0 };
        (local, bare, bare + self.resource.as_ref().map_or(0, |resource| 1 + resource.len()))
    }
}

/// An offset into an address, which has at most 3071 octets.
pub(crate) fn offset(octets: usize) -> u16 {
    u16::try_from(octets).unwrap_or(u16::MAX)
}
