//! One end of a stream, any role, under the bytes of a scripted peer.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use balcony_machine::{Instant, Progress, Ticket};
use balcony_stanza::{Stanza, StreamCondition};
use balcony_stream::{Error, Security, Side, Sorted, Stream};

pub const STREAM: &str = "http://etherx.jabber.org/streams";

/// The end, with everything that came out of it.
pub struct End<S: Side> {
    pub stream: Stream<S>,
    pub now: Instant,
    pub out: Vec<u8>,
    /// Asks that nobody has answered.
    pub asks: Vec<(Ticket, S::Ask)>,
    pub stanzas: Vec<Stanza>,
    /// All other events.
    pub events: Vec<S::Event>,
    pub ended: Option<Result<(), Error>>,
    /// What TLS says of itself when it is asked for.
    pub security: Security,
}

impl<S: Side> End<S> {
    pub fn new(stream: Stream<S>) -> Self {
        End {
            stream,
            now: Instant::ZERO,
            out: Vec::new(),
            asks: Vec::new(),
            stanzas: Vec::new(),
            events: Vec::new(),
            ended: None,
            security: Security::default(),
        }
    }

    /// The same on TLS from the first byte, to a peer whose certificate proves these domains.
    pub fn secured(mut self, domains: &[&str]) -> Self {
        self.security = proving(domains);
        self.stream.secured(self.security.clone()).unwrap();
        self
    }

    /// Feeds bytes, and returns what came back for them.
    pub fn feed(&mut self, text: &str) -> String {
        let before = self.out.len();
        let mut input = text.as_bytes();
        loop {
            match self.stream.advance(self.now, &mut input, &mut self.out) {
                Ok(Progress::Event(event)) => match S::sort(event) {
                    Sorted::Ask(ticket, ask) => self.asks.push((ticket, ask)),
                    Sorted::Stanza(stanza) => self.stanzas.push(*stanza),
                    Sorted::StartTls => self.stream.secured(self.security.clone()).unwrap(),
                    Sorted::Other(event) => self.events.push(event),
                },
                Ok(Progress::NeedInput | Progress::Blocked(_)) => break,
                Ok(Progress::Closed) => {
                    self.ended = Some(Ok(()));
                    break;
                }
                Err(error) => {
                    self.ended = Some(Err(error));
                    break;
                }
            }
        }
        String::from_utf8(self.out[before..].to_vec()).unwrap()
    }

    /// Answers the oldest ask, and returns what came of it.
    pub fn answer(&mut self, answer: S::Answer) -> String {
        let (ticket, _) = self.asks.remove(0);
        self.stream.answer(ticket, answer).unwrap();
        self.feed("")
    }

    /// Lets time pass until something is due, and returns what came of it.
    pub fn wait(&mut self) -> String {
        self.now = self.stream.deadline().unwrap().at;
        self.feed("")
    }

    pub fn output(&self) -> String {
        String::from_utf8(self.out.clone()).unwrap()
    }

    /// The events as they print, one a line.
    pub fn told(&self) -> String {
        self.events.iter().map(|event| format!("{event:?}\n")).collect()
    }

    /// The stream error that we ended the stream with. On the wire it comes before our closing tag.
    pub fn error(&self) -> StreamCondition {
        let Some(Err(Error::Local(error))) = &self.ended else {
            panic!("{:?} {}", self.ended, self.output())
        };
        let output = self.output();
        let on_wire =
            format!("<stream:error><{} xmlns='urn:ietf:params:xml:ns:xmpp-streams'", error.condition);
        assert_eq!(output.matches(&on_wire).count(), 1, "{output}");
        assert!(output.ends_with("</stream:error></stream:stream>"), "{output}");
        error.condition
    }
}

/// A peer whose certificate proves these domains.
pub fn proving(domains: &[&str]) -> Security {
    Security::new(None).with_domains(domains.iter().map(|&name| name.into()).collect())
}

/// The id in the header that was written last.
pub fn stream_id(output: &str) -> &str {
    let header = &output[output.rfind("<stream:stream ").unwrap()..];
    header.split_once(" id='").unwrap().1.split_once('\'').unwrap().0
}
