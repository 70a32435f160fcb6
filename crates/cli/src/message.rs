//! What people write to each other, in and out of stanzas (RFC 6121 section 5).

use balcony_client::{Carbon, held_back};
use balcony_jid::FullJid;
use balcony_stanza::{ErrorCondition, Kind, MessageType, Payload, Stanza, StanzaError, ns};
use balcony_xml::Element;
use serde::Serialize;

use crate::failure::Failure;
use crate::output::{clock, now, say};

/// Of `xml:lang`.
const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// A message as it is printed.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Message {
    /// When it came, in seconds since the start of 1970 (UTC).
    pub(crate) time: u64,
    /// When the server got it, if it has waited there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sent: Option<u64>,
    pub(crate) from: Option<String>,
    /// To whom, if it is a copy of a message that another client of the account has sent or received.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// What its sender calls it: the same if it comes a second time, and of an error that of the message which has failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) id: Option<String>,
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    pub(crate) body: String,
}

impl Message {
    /// Reads a stanza that `own` has received; `None` if it is none that says something to a person.
    pub(crate) fn read(stanza: &Stanza, own: &FullJid, time: u64) -> Option<Message> {
        let copy = Carbon::read(stanza, own).map(|carbon| carbon.message);
        let stanza = copy.as_ref().unwrap_or(stanza);
        let Kind::Message(kind) = stanza.head.kind else { return None };
        let payload = stanza.payload.parse().ok()?;
        let payload = minidom::Element::try_from(&payload).ok()?;
        // Of several languages that of the stanza.
        let is_own = |child: &&minidom::Element| {
            child.attr_ns(XML, "lang").is_none_or(|lang| Some(lang) == stanza.head.lang.as_deref())
        };
        let text = |name| {
            let all = || payload.children().filter(|child| child.is(name, ns::CLIENT));
            all().find(is_own).or_else(|| all().next()).map(minidom::Element::text)
        };
        let body = match kind {
            MessageType::Error => format!("error: {}", explained(&error(stanza)?)),
            _ => text("body")?,
        };
        let to = copy.as_ref().and_then(|copy| copy.head.to.as_ref());
        Some(Message {
            time,
            sent: held_back(stanza, own).map(|at| at / 1000),
            from: stanza.head.from.as_ref().map(ToString::to_string),
            to: to.map(ToString::to_string),
            id: stanza.head.id.as_deref().map(String::from),
            kind: stanza.head.kind.type_name().unwrap_or("normal"),
            subject: text("subject"),
            body,
        })
    }

    /// One line for a terminal.
    pub(crate) fn line(&self) -> String {
        let from = self.from.as_deref().unwrap_or("(the server)");
        let to = self.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
        let subject = self.subject.as_ref().map(|subject| format!("({subject}) ")).unwrap_or_default();
        let sent = self.sent.map(|at| ago(self.time.saturating_sub(at))).unwrap_or_default();
        format!("{} {from}{to}: {subject}{}{sent}", clock(self.time), self.body)
    }
}

/// An error for a person to read: its condition (RFC 6120 section 8.3.3), and what whoever has sent it says of it, or what the condition means
/// if that is nothing.
pub(crate) fn explained(error: &StanzaError) -> String {
    let means = match error.condition {
        ErrorCondition::RemoteServerNotFound => {
            "there is no such server, or this account's does not talk to it"
        }
        ErrorCondition::RemoteServerTimeout => "that server or service does not answer, or is not connected",
        ErrorCondition::ServiceUnavailable => {
            "nobody takes it there: there may be no such account or service, or no room, or not for this account"
        }
        ErrorCondition::RecipientUnavailable => "nobody is online there",
        ErrorCondition::ItemNotFound => "there is no such account or thing",
        ErrorCondition::Forbidden | ErrorCondition::NotAllowed => "this account may not do that",
        ErrorCondition::NotAcceptable => "it was refused, such as for whom it is from or how large it is",
        ErrorCondition::ResourceConstraint => "there is no room for more, or too much to do at the moment",
        _ => "",
    };
    match (&error.text, means) {
        (None, means) if !means.is_empty() => format!("{error} ({means})"),
        _ => error.to_string(),
    }
}

/// Prints a stanza that `own` has received, if it is a message to a person.
pub(crate) fn show(stanza: &Stanza, own: &FullJid) {
    if let Some(message) = Message::read(stanza, own, now()) {
        say(&message.line());
    }
}

fn ago(seconds: u64) -> String {
    match seconds {
        ..120 => format!(" (sent {seconds} s ago)"),
        120..7_200 => format!(" (sent {} min ago)", seconds / 60),
        7_200..172_800 => format!(" (sent {} h ago)", seconds / 3_600),
        _ => format!(" (sent {} days ago)", seconds / 86_400),
    }
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
        Stanza::message(kind)
            .with_from("romeo@localhost/x".parse().unwrap())
            .with_payload(body(text).unwrap())
    }

    fn own() -> FullJid {
        "juliet@localhost/balcony".parse().unwrap()
    }

    // RFC 6121 §5.2.3
    #[test]
    fn a_message_is_a_line_or_json() {
        let stanza = message(MessageType::Chat, "hello");
        let read = Message::read(&stanza, &own(), 86_400 + 3_723).unwrap();
        assert_eq!(read.line(), "[01:02:03] romeo@localhost/x: hello");
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(json, r#"{"time":90123,"from":"romeo@localhost/x","type":"chat","body":"hello"}"#);
        // By this a program knows it, if it comes a second time.
        let read = Message::read(&stanza.with_id("m1"), &own(), 0).unwrap();
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(json, r#"{"time":0,"from":"romeo@localhost/x","id":"m1","type":"chat","body":"hello"}"#);
    }

    // RFC 6121 §5.2.3 message-body, §5.2.4 message-subject
    #[test]
    fn of_several_languages_that_of_the_stanza_is_printed() {
        let xml = "<message from='romeo@localhost/x' xml:lang='en'><subject xml:lang='de'>b</subject><subject>a</subject>\
                   <body xml:lang='de'>d</body><body>c</body></message>";
        let read = Message::read(&Stanza::parse(xml.as_bytes()).unwrap(), &own(), 0).unwrap();
        assert_eq!(read.line(), "[00:00:00] romeo@localhost/x: (a) c");
    }

    #[test]
    fn what_says_nothing_is_not_printed() {
        assert_eq!(Message::read(&Stanza::message(MessageType::Chat), &own(), 0), None);
        let presence = Stanza::presence(balcony_stanza::PresenceType::Available);
        assert_eq!(Message::read(&presence, &own(), 0), None);
    }

    // RFC 6120 §8.3.1, RFC 6121 §5.2.2 [M7]
    #[test]
    fn an_error_says_which() {
        let sent = message(MessageType::Chat, "hello").with_to("juliet@localhost".parse().unwrap());
        let error = sent.error(&ErrorCondition::ServiceUnavailable.into()).unwrap();
        let read = Message::read(&error, &own(), 0).unwrap();
        let explained = "error: service-unavailable (nobody takes it there: ";
        assert!(read.kind == "error" && read.body.starts_with(explained), "{read:?}");
        let line = read.line();
        assert!(line.starts_with(&format!("[00:00:00] juliet@localhost: {explained}")), "{line}");
        // What the other end says of it itself is better.
        let text = "my inbox is full";
        let error = StanzaError { text: Some(text.into()), ..ErrorCondition::ServiceUnavailable.into() };
        assert_eq!(super::explained(&error), "service-unavailable: my inbox is full");
    }

    // XEP-0203 2.0 §2, XEP-0280 1.0.1 §7
    #[test]
    fn what_came_another_way_shows_it() {
        let stanza = |content: &str| {
            let xml = format!("<message type='chat' from='juliet@localhost'>{content}</message>");
            Message::read(&Stanza::parse(xml.as_bytes()).unwrap(), &own(), 7_200).unwrap().line()
        };
        let delay = "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='1970-01-01T00:59:00Z'/>";
        assert_eq!(
            stanza(&format!("<body>hi</body>{delay}")),
            "[02:00:00] juliet@localhost: hi (sent 61 min ago)"
        );
        let copy = "<sent xmlns='urn:xmpp:carbons:2'><forwarded xmlns='urn:xmpp:forward:0'>\
                    <message xmlns='jabber:client' from='juliet@localhost/desk' to='romeo@localhost'><body>hi</body>\
                    </message></forwarded></sent>";
        assert_eq!(stanza(copy), "[02:00:00] juliet@localhost/desk to romeo@localhost: hi");
        for (seconds, text) in
            [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (172_800, "2 days")]
        {
            assert_eq!(ago(seconds), format!(" (sent {text} ago)"));
        }
    }
}
