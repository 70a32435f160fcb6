//! One client: a [`Device`] whose transport is a WebSocket of the browser's, and whose words are texts.

use std::collections::VecDeque;

use balcony_client::{
    AgentEvent, Device, DeviceStep, Discovery, MessageBuilder, Presence, ReceivedPresence, Show, answer,
};
use balcony_jid::Jid;
use balcony_machine::Instant;
use balcony_stanza::{ErrorCondition, Kind, MessageType, Stanza};
use balcony_stream::Security;

use crate::config;
use crate::json::Object;

/// Nothing more without a message, time, or something that the owner wants: send what there is, and wait.
pub const WAIT: u32 = 0;
/// Open a WebSocket. Until it is there, or can't be, this is said again.
pub const CONNECT: u32 = 1;
/// Something has happened, which the output says as JSON. Step again.
pub const EVENT: u32 = 2;
/// Send what is left, and close the WebSocket. Step again.
pub const DISCONNECT: u32 = 3;
/// There will be no other connection; the output says why. The same is said for ever.
pub const ENDED: u32 = 4;

/// Bytes that a message on the WebSocket may have: more than a stanza may, for which the stream has an error of its own.
pub const MESSAGE: usize = 524_288;
/// Bytes of messages that have come and wait until there is room for them, because much is to be sent first. With more of them the connection breaks.
pub const WAITING: usize = 4 << 20;

/// A client.
pub(crate) struct WebClient {
    device: Device<(Discovery,)>,
    is_secure: bool,
    /// What has come and the device has had no room for: messages, each with a byte of zero behind it; at most [`WAITING`] bytes.
    waiting: VecDeque<u8>,
    /// What the last presence has said, or was configured.
    priority: i8,
    /// What has not got through, to be told before the end.
    unsent: VecDeque<Stanza>,
}

impl WebClient {
    /// One that is about to connect, as [`config::read`] understands `input`.
    pub(crate) fn new(input: &[u8]) -> Result<WebClient, String> {
        let config = config::read(input)?;
        let discovery = Discovery::new("Balcony", env!("CARGO_PKG_VERSION")).identity("client", "web");
        let device = Device::new(config.client, config.agent, (discovery,), &config.seed);
        Ok(WebClient {
            device,
            is_secure: config.is_secure,
            waiting: VecDeque::new(),
            priority: config.priority,
            unsent: VecDeque::new(),
        })
    }

    /// Goes on to the next thing that is to be done, or has happened, and what there is to say of it.
    pub(crate) fn step(&mut self, now: Instant) -> (u32, String) {
        loop {
            match self.device.step(now) {
                DeviceStep::Connect => return (CONNECT, String::new()),
                DeviceStep::Event(AgentEvent::Request((id, _))) => {
                    // Nobody here offers anything; whoever asks is to know (RFC 6120 section 8.2.3).
                    self.device.agent().refuse(id, &ErrorCondition::ServiceUnavailable.into());
                }
                DeviceStep::Event(event) => {
                    if let Some(json) = tell(event) {
                        return (EVENT, json);
                    }
                }
                DeviceStep::Ask(ticket, ask) => self.device.answer(ticket, answer(ask)),
                DeviceStep::StartTls => self.secured(),
                DeviceStep::Disconnect => {
                    self.waiting = VecDeque::new();
                    return (DISCONNECT, String::new());
                }
                DeviceStep::Ended(why) => {
                    self.unsent.extend(self.device.agent().take_unsent());
                    return match self.unsent.pop_front() {
                        Some(stanza) => (EVENT, unsent(&stanza)),
                        None => (ENDED, why.to_string()),
                    };
                }
                // It makes no calls.
                DeviceStep::Completed(..) => {}
                DeviceStep::Wait => {
                    let (first, _) = self.waiting.as_slices();
                    let count = self.device.room().min(first.len());
                    if count == 0 {
                        return (WAIT, String::new());
                    }
                    self.device.received(&first[..count]);
                    self.waiting.drain(..count);
                    if self.waiting.is_empty() {
                        // What many messages have needed once is not kept for one.
                        self.waiting.shrink_to(MESSAGE);
                    }
                }
            }
        }
    }

    /// A WebSocket is open.
    pub(crate) fn connected(&mut self, now: Instant) {
        self.waiting = VecDeque::new();
        self.device.connected(now);
        if self.is_secure {
            self.secured();
        }
    }

    /// TLS is the browser's, which has checked the certificate, and tells nobody what it has agreed on.
    fn secured(&mut self) {
        // It is misuse where the device has been closed meanwhile.
        let _ = self.device.secured(Security::new(None));
    }

    pub(crate) fn unreachable(&mut self, now: Instant, reason: &str) {
        self.device.unreachable(now, reason);
    }

    pub(crate) fn broken(&mut self, now: Instant, reason: &str) {
        self.waiting = VecDeque::new();
        self.device.broken(now, reason);
    }

    /// A message has come: one element (RFC 7395 section 3.3). What the device has no room for waits, since a WebSocket of the browser's can't be told to.
    pub(crate) fn received(&mut self, now: Instant, message: &[u8]) {
        if self.device.client().is_none() {
            // What still comes on a connection that is over is nobody's.
            return;
        }
        if message.contains(&0) || message.len() > MESSAGE {
            self.broken(now, "the server has sent what is no message of XMPP");
            return;
        }
        if self.waiting.len() + message.len() >= WAITING {
            self.broken(now, "more than 4 MiB have come that wait until what is to be sent has left");
            return;
        }
        self.waiting.extend(message);
        self.waiting.push_back(0);
    }

    /// Takes the next message to be sent.
    pub(crate) fn message(&mut self) -> Option<String> {
        let output = self.device.output();
        let end = output.iter().position(|byte| *byte == 0)?;
        // What is written here is UTF-8.
        let message = String::from_utf8_lossy(&output[..end]).into_owned();
        self.device.wrote(end + 1);
        Some(message)
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.device.deadline()
    }

    /// Sends a message with a text: its type, the address, and the text behind it. The id that it has got.
    pub(crate) fn send(&mut self, input: &str) -> Result<String, String> {
        let mut texts = input.splitn(3, '\0');
        let (Some(kind), Some(to), Some(body)) = (texts.next(), texts.next(), texts.next()) else {
            return Err("a message has a type, an address and a text".into());
        };
        let kind = match kind {
            "normal" => MessageType::Normal,
            "chat" => MessageType::Chat,
            "groupchat" => MessageType::Groupchat,
            "headline" => MessageType::Headline,
            _ => return Err("the type of a message is normal, chat, groupchat or headline".into()),
        };
        if !body.chars().all(is_char) {
            return Err("the text has characters that XML does not have".into());
        }
        let to: Jid = to.parse().map_err(|error: balcony_jid::JidError| error.to_string())?;
        self.put(MessageBuilder::new(kind).to(to).body(body).to_stanza())
    }

    /// Sends a stanza. The id that it has got.
    pub(crate) fn stanza(&mut self, xml: &str) -> Result<String, String> {
        if xml.len() > MESSAGE {
            return Err("the stanza is too long".into());
        }
        self.put(Stanza::parse(xml.as_bytes()).ok_or("this is no stanza")?)
    }

    fn put(&mut self, stanza: Stanza) -> Result<String, String> {
        let sent = self.device.agent().send(stanza);
        sent.map(|id| String::from(&*id)).map_err(|error| error.to_string())
    }

    /// Says that it is there: with this priority or, with nothing, that of before; `show` or nothing, and a status or nothing. With no text at all it says
    /// that it is not.
    pub(crate) fn presence(&mut self, input: &str) -> Result<String, String> {
        if input.is_empty() {
            return self.put(Presence::unavailable(None));
        }
        let mut texts = input.splitn(3, '\0');
        let (Some(priority), Some(show), Some(status)) = (texts.next(), texts.next(), texts.next()) else {
            return Err("presence has a priority, a show and a status".into());
        };
        let priority = match priority {
            "" => self.priority,
            _ => priority.parse().map_err(|_| "a priority is a whole number from -128 to 127")?,
        };
        let shows = [Show::Online, Show::Chat, Show::Away, Show::Xa, Show::Dnd];
        let known = shows.into_iter().find(|known| known.name().unwrap_or_default() == show);
        let presence =
            Presence::available().priority(priority).show(known.ok_or("show is chat, away, xa or dnd")?);
        let presence = if status.is_empty() { presence } else { presence.status(status) };
        let id = self.put(presence.to_stanza())?;
        self.priority = priority;
        Ok(id)
    }

    pub(crate) fn close(&mut self, now: Instant) {
        self.device.close(now);
    }

    pub(crate) fn wake(&mut self, now: Instant) {
        self.device.wake(now);
    }
}

/// What may stand in XML (XML 1.0 section 2.2). Other characters would be replaced, and what comes would not be what was sent.
fn is_char(character: char) -> bool {
    !matches!(character, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// What an event says; `None` if it is of no use to anybody here.
fn tell(event: AgentEvent) -> Option<String> {
    let object = match event {
        AgentEvent::Online(jid) => Object::new("online").text("jid", jid.as_str()).truth("resumed", false),
        AgentEvent::Resumed => Object::new("online").truth("resumed", true),
        AgentEvent::Offline { why, next } => {
            let next = next.map(|next| i64::try_from(next.as_millis()).unwrap_or(i64::MAX));
            Object::new("offline").text("reason", &why.to_string()).number("next", next)
        }
        AgentEvent::Message(message) => {
            let at = message.delay().map(|delay| i64::try_from(delay.at).unwrap_or(i64::MAX));
            address(Object::new("message"), message.stanza())
                .text("type", kind(message.stanza().head.kind))
                .optional("body", message.body())
                .optional("subject", message.subject())
                .number("delayed", at)
                .text("xml", &message.stanza().to_xml())
        }
        AgentEvent::Presence(presence) => of_presence(&presence),
        AgentEvent::Undelivered(undelivered) => address(Object::new("undelivered"), &undelivered.stanza)
            .text("condition", undelivered.error.condition.name())
            .optional("text", undelivered.error.text.as_deref())
            .text("xml", &undelivered.stanza.to_xml()),
        AgentEvent::Stanza(stanza) => address(Object::new("stanza"), &stanza).text("xml", &stanza.to_xml()),
        // Requests have been answered. There are no extensions that tell anything, and tokens are not asked for.
        _ => return None,
    };
    Some(object.finish())
}

/// What says that this has not got through, as far as it is known.
fn unsent(stanza: &Stanza) -> String {
    Object::new("unsent")
        .optional("to", stanza.head.to.as_ref().map(Jid::as_str))
        .optional("id", stanza.head.id.as_deref())
        .text("xml", &stanza.to_xml())
        .finish()
}

fn of_presence(presence: &ReceivedPresence) -> Object {
    address(Object::new("presence"), presence.stanza())
        .text("type", kind(presence.stanza().head.kind))
        .optional("show", presence.show().name())
        .optional("status", presence.status())
        .number("priority", Some(presence.priority().into()))
        .text("xml", &presence.stanza().to_xml())
}

fn address(object: Object, stanza: &Stanza) -> Object {
    object
        .optional("from", stanza.head.from.as_ref().map(Jid::as_str))
        .optional("to", stanza.head.to.as_ref().map(Jid::as_str))
        .optional("id", stanza.head.id.as_deref())
}

/// The type, also where the attribute is left out.
fn kind(kind: Kind) -> &'static str {
    kind.type_name().unwrap_or(if matches!(kind, Kind::Message(_)) { "normal" } else { "available" })
}
