//! A look at content without parsing it: which elements begin in it, as far as somebody wants to go.
//!
//! Most of whom a message passes want to know one thing of it, such as whether it has a body, which its first bytes say. A tree of all that is
//! in it costs ten times as much. This is for content that a [`Reader`](crate::Reader) has found in order: what isn't makes no sense here, and ends.

/// The elements of a fragment that has been read before, such as the content of a stanza; `ns` is the default namespace around it.
///
/// Nothing is copied, and nothing behind what is asked for is looked at. The work is linear.
///
/// ```
/// use balcony_xml::outline;
///
/// let mut children = outline("<body>Art thou</body><active xmlns='u'/>", "jabber:client");
/// assert!(children.next().unwrap().is("body", "jabber:client"));
/// assert!(children.next().unwrap().is("active", "u"));
/// assert!(children.next().is_none());
/// ```
#[must_use]
pub fn outline<'a>(fragment: &'a str, ns: &'a str) -> Outline<'a> {
    Outline { rest: fragment, default: Some(ns), is_inside: false }
}

/// Elements beside each other: see [`outline`].
#[derive(Clone, Debug)]
pub struct Outline<'a> {
    /// What has not been looked at.
    rest: &'a str,
    /// The default namespace, if it is known.
    default: Option<&'a str>,
    /// Whether the rest begins with the content of the latest element.
    is_inside: bool,
}

/// An element of which the start tag has been looked at.
#[derive(Clone, Copy, Debug)]
pub struct Outlined<'a> {
    name: &'a str,
    namespace: Option<&'a str>,
    /// The default namespace in it, if it is known.
    default: Option<&'a str>,
    /// What follows its start tag: its content, and what is behind it; nothing if it is empty.
    content: &'a str,
}

impl<'a> Outlined<'a> {
    /// The local name.
    #[must_use]
    pub const fn name(&self) -> &'a str {
        self.name
    }

    /// The namespace, empty if none. `None` if only a parser can tell: its prefix is declared around it, or its declaration has references.
    #[must_use]
    pub const fn namespace(&self) -> Option<&'a str> {
        self.namespace
    }

    /// Whether it is known that name and namespace are these.
    #[must_use]
    pub fn is(&self, name: &str, ns: &str) -> bool {
        self.name == name && self.namespace == Some(ns)
    }

    /// The elements in it.
    #[must_use]
    pub const fn children(&self) -> Outline<'a> {
        Outline { rest: self.content, default: self.default, is_inside: false }
    }

    /// Takes the start tag behind its `<`. The element, and what follows the tag, if that is not the end of the element.
    fn begin(markup: &'a str, around: Option<&'a str>) -> Option<(Self, bool, &'a str)> {
        let (name, rest) = markup.split_at_checked(markup.bytes().position(ends_name)?)?;
        let (prefix, local) = name.split_once(':').unwrap_or(("", name));
        let (mut default, mut prefixed) = (around, None);
        let (is_empty, rest) = attributes(rest, |attribute, value| {
            if let Some(declared) = attribute.strip_prefix("xmlns") {
                match declared.strip_prefix(':') {
                    None if declared.is_empty() => default = literal(value),
                    Some(declared) if declared == prefix => prefixed = literal(value),
                    _ => {}
                }
            }
        })?;
        let namespace = if prefix.is_empty() { default } else { prefixed };
        let content = if is_empty { "" } else { rest };
        Some((Outlined { name: local, namespace, default, content }, is_empty, rest))
    }
}

impl<'a> Iterator for Outline<'a> {
    type Item = Outlined<'a>;

    fn next(&mut self) -> Option<Outlined<'a>> {
        if core::mem::take(&mut self.is_inside) {
            self.rest = skip_content(self.rest).unwrap_or_default();
        }
        loop {
            // Behind the last of them there is nothing, or the end of the element around them.
            let (_, markup) = split(self.rest, b'<').filter(|(_, markup)| !markup.starts_with('/'))?;
            if let Some(behind) = skip_section(markup) {
                self.rest = behind;
                continue;
            }
            let (element, is_empty, rest) = Outlined::begin(markup, self.default)?;
            (self.rest, self.is_inside) = (rest, !is_empty);
            return Some(element);
        }
    }
}

/// What is behind the end tag of an element of which the content comes first.
fn skip_content(mut rest: &str) -> Option<&str> {
    let mut depth = 0_usize;
    loop {
        let (_, markup) = split(rest, b'<')?;
        if let Some(end) = markup.strip_prefix('/') {
            let (_, behind) = split(end, b'>')?;
            if depth == 0 {
                return Some(behind);
            }
            (depth, rest) = (depth - 1, behind);
        } else if let Some(behind) = skip_section(markup) {
            rest = behind;
        } else {
            let (_, attributes_on) = markup.split_at_checked(markup.bytes().position(ends_name)?)?;
            let (is_empty, behind) = attributes(attributes_on, |_, _| {})?;
            (depth, rest) = (depth + usize::from(!is_empty), behind);
        }
    }
}

/// What is behind a CDATA section, if behind the `<` there is one.
fn skip_section(markup: &str) -> Option<&str> {
    // What is open to the end has nothing behind it.
    markup.strip_prefix("![CDATA[").map(|text| text.split_once("]]>").map_or("", |(_, behind)| behind))
}

/// Goes through the attributes of a start tag, names and values as they are written. Whether it is the tag of an empty element, and what is behind it.
fn attributes<'a>(mut rest: &'a str, mut each: impl FnMut(&'a str, &'a str)) -> Option<(bool, &'a str)> {
    loop {
        rest = rest.trim_ascii_start();
        if let Some(behind) = rest.strip_prefix('>') {
            return Some((false, behind));
        }
        if let Some(behind) = rest.strip_prefix("/>") {
            return Some((true, behind));
        }
        let (name, value) = split(rest, b'=')?;
        let value = value.trim_ascii_start();
        let quote = *value.as_bytes().first().filter(|quote| matches!(quote, b'\'' | b'"'))?;
        let (value, behind) = split(value.get(1..)?, quote)?;
        each(name.trim_ascii_end(), value);
        rest = behind;
    }
}

/// What stands before and behind the first such byte, which is ASCII. Names and values are short, so it is looked for byte by byte.
fn split(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.as_bytes().iter().position(|other| *other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

const fn ends_name(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'/' | b'>')
}

/// A value that means what is written.
fn literal(value: &str) -> Option<&str> {
    (!value.bytes().any(|byte| matches!(byte, b'&' | b'\t' | b'\n' | b'\r'))).then_some(value)
}
