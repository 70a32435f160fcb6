//! What goes over the wire, without what is secret in it: for people who want to see it.

/// What stands in the place of a secret.
const HIDDEN: &str = "…";

/// Attributes whose value is as good as a password: the name of a session that can be resumed (XEP-0198), a token (XEP-0484).
const SECRET: [&str; 3] = ["id", "previd", "token"];

/// The message as it may be shown. Stanzas are shown as they are. In everything else, which is the login and the stream itself, texts and the
/// attributes that name a session are hidden: a password, what proves one, and a token stand there, and nothing that anybody wants to read. What
/// is no XML is hidden whole.
pub(crate) fn shown(message: &str) -> String {
    let name = message.strip_prefix('<').map(|rest| {
        let end = rest.find(|c: char| c.is_ascii_whitespace() || matches!(c, '/' | '>'));
        rest.get(..end.unwrap_or_default()).unwrap_or_default()
    });
    match name {
        Some("message" | "presence") => message.into(),
        // A new password for an account goes in a request (XEP-0077).
        Some("iq") if !message.contains("jabber:iq:register") => message.into(),
        // The id of a stream is no secret, and the list of features has texts that are to be read: names of mechanisms.
        Some("open" | "close" | "stream:features" | "features" | "stream:error") => message.into(),
        Some(name) if !name.is_empty() => hide(message),
        _ => HIDDEN.into(),
    }
}

/// Texts, and the values of secret attributes, are left out. Inside of a tag `>` may stand in a value.
fn hide(message: &str) -> String {
    let mut out = String::with_capacity(message.len());
    let mut rest = message;
    while let Some(start) = rest.find('<') {
        if !rest[..start].trim().is_empty() {
            out.push_str(HIDDEN);
        }
        rest = &rest[start..];
        let end = tag(rest, &mut out);
        rest = &rest[end..];
    }
    if !rest.trim().is_empty() {
        out.push_str(HIDDEN);
    }
    out
}

/// Writes a tag, and says where it ends.
fn tag(rest: &str, out: &mut String) -> usize {
    // What is no element (comments, CDATA) XMPP does not have (RFC 6120 section 11.1).
    if rest.starts_with("<!") || rest.starts_with("<?") {
        out.push_str(HIDDEN);
        return rest.len();
    }
    let mut at = 0;
    loop {
        let Some(next) = rest[at..].find(['"', '\'', '>']).map(|next| at + next) else {
            // It is cut off.
            out.push_str(HIDDEN);
            return rest.len();
        };
        out.push_str(&rest[at..=next]);
        if rest.as_bytes()[next] == b'>' {
            return next + 1;
        }
        let quote = char::from(rest.as_bytes()[next]);
        let name = rest[at..next].trim_end_matches(|c: char| c.is_ascii_whitespace() || c == '=');
        let is_secret = SECRET.iter().any(|secret| {
            name.strip_suffix(secret)
                .is_some_and(|before| before.ends_with(|c: char| c.is_ascii_whitespace()))
        });
        let Some(end) = rest[next + 1..].find(quote).map(|end| next + 1 + end) else {
            out.push_str(HIDDEN);
            return rest.len();
        };
        out.push_str(if is_secret { HIDDEN } else { &rest[next + 1..end] });
        out.push(quote);
        at = end + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_login_is_shown_without_what_proves_it() {
        for (message, expected) in [
            (
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHIAcHc=</auth>",
                "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>…</auth>",
            ),
            (
                "<enabled xmlns='urn:xmpp:sm:3' id='s3cret' resume='true'/>",
                "<enabled xmlns='urn:xmpp:sm:3' id='…' resume='true'/>",
            ),
            (
                "<resume xmlns='urn:xmpp:sm:3' h='1' previd=\"s3cret\"/>",
                "<resume xmlns='urn:xmpp:sm:3' h='1' previd=\"…\"/>",
            ),
            (
                "<a x='>s' id = 's3cret'><token token='s3cret'/> s3cret </a>",
                "<a x='>s' id = '…'><token token='…'/>…</a>",
            ),
            (
                "<iq id='1'><query xmlns='jabber:iq:register'><password>s3cret</password></query></iq>",
                "<iq id='…'><query xmlns='jabber:iq:register'><password>…</password></query></iq>",
            ),
            ("<a>s3cret", "<a>…"),
            ("<a><![CDATA[s3cret]]></a>", "<a>…"),
            ("s3cret", "…"),
            ("< message>s3cret", "…"),
        ] {
            assert_eq!(shown(message), expected);
        }
    }

    #[test]
    fn stanzas_are_shown_as_they_are() {
        for message in
            ["<message id='1'><body>hi</body></message>", "<presence/>", "<iq type='get'/>", "<open id='7'/>"]
        {
            assert_eq!(shown(message), message);
        }
    }

    proptest! {
        /// Whatever it is, a secret in a text of what is no stanza is not shown, and nothing panics.
        #[test]
        fn secrets_are_not_shown(before in "[<>a-z'\"=/ é]{0,40}", after in ".{0,40}") {
            let message = format!("<auth>{}<x>s3cret</x>{after}", before.replace(['\'', '"', '<'], ""));
            prop_assert!(!shown(&message).split("</x>").next().unwrap_or_default().contains("s3cret"));
            let _ = shown(&format!("<{before}{after}"));
        }
    }
}
