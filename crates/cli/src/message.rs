//! What people write to each other, in and out of stanzas (RFC 6121 section 5).

use balcony_stanza::{Kind, MessageType, Payload, Stanza, StanzaError, ns};
use balcony_xml::Element;
use serde::Serialize;

use crate::failure::Failure;

/// A message as it is printed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    /// When it came, in seconds since the start of 1970 (UTC).
    pub(crate) time: u64,
    pub(crate) from: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    pub(crate) body: String,
}

impl Message {
    /// Reads a stanza; `None` if it is none that says something to a person.
    pub(crate) fn read(stanza: &Stanza, time: u64) -> Option<Message> {
        let Kind::Message(kind) = stanza.head.kind else { return None };
        let payload = stanza.payload.parse().ok()?;
        let payload = minidom::Element::try_from(&payload).ok()?;
        let text = |name| payload.get_child(name, ns::CLIENT).map(minidom::Element::text);
        let body = match kind {
            MessageType::Error => format!("error: {}", error(stanza)?),
            _ => text("body")?,
        };
        Some(Message {
            time,
            from: stanza.head.from.as_ref().map(ToString::to_string),
            kind: stanza.head.kind.type_name().unwrap_or("normal"),
            subject: text("subject"),
            body,
        })
    }

    /// One line for a terminal. Strangers write these texts: nothing in them may move the cursor or begin a new line.
    pub(crate) fn line(&self) -> String {
        let seconds = self.time % 86_400;
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let from = self.from.as_deref().unwrap_or("(the server)");
        let subject = self.subject.as_ref().map(|subject| format!("({subject}) ")).unwrap_or_default();
        let text: String = format!("{from}: {subject}{}", self.body)
            .chars()
            .flat_map(|c| if is_harmful(c) { c.escape_default().collect() } else { vec![c] })
            .collect();
        format!("[{hours:02}:{minutes:02}:{seconds:02}] {text}")
    }
}

/// Control characters, and those that turn the direction of what follows.
fn is_harmful(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// The content of a message that says `text`.
pub(crate) fn body(text: &str) -> Result<Payload, Failure> {
    let body = minidom::Element::builder("body", ns::CLIENT).append(text).build();
    Element::try_from(&body).map(Payload::from).map_err(|error| Failure::new(error.to_string()))
}

/// The error in a stanza of that type.
pub(crate) fn error(stanza: &Stanza) -> Option<StanzaError> {
    stanza.payload.parse().ok().and_then(|payload| StanzaError::from_payload(payload.root()))
}

#[cfg(test)]
mod tests {
    use balcony_stanza::ErrorCondition;

    use super::*;

    fn message(kind: MessageType, text: &str) -> Stanza {
        Stanza::message(kind).from("romeo@localhost/x".parse().unwrap()).payload(body(text).unwrap())
    }

    // RFC 6121 §5.2.3
    #[test]
    fn a_line_is_one_line_whatever_is_written() {
        let stanza = message(MessageType::Chat, "a\n\u{9b}2J<\u{202e}>");
        let read = Message::read(&stanza, 86_400 + 3_723).unwrap();
        assert_eq!(read.line(), "[01:02:03] romeo@localhost/x: a\\n\\u{9b}2J<\\u{202e}>");
        let json = serde_json::to_string(&read).unwrap();
        assert!(
            json.starts_with(r#"{"time":90123,"from":"romeo@localhost/x","type":"chat","body":"a\n"#),
            "{json}"
        );
    }

    #[test]
    fn what_says_nothing_is_not_printed() {
        assert_eq!(Message::read(&Stanza::message(MessageType::Chat), 0), None);
        let presence = Stanza::presence(balcony_stanza::PresenceType::Available);
        assert_eq!(Message::read(&presence, 0), None);
    }

    // RFC 6120 §8.3.1
    #[test]
    fn an_error_says_which() {
        let sent = message(MessageType::Chat, "hello").to("juliet@localhost".parse().unwrap());
        let error = sent.error(&ErrorCondition::ServiceUnavailable.into()).unwrap();
        let read = Message::read(&error, 0).unwrap();
        assert_eq!((read.kind, read.body.as_str()), ("error", "error: service-unavailable"));
    }
}
