//! One end of a stream, fed until it ends, with the rules that hold whatever it is fed.

use balcony_machine::{Instant, On, Progress, XmlLimits};
use balcony_stanza::Stanza;
use balcony_stream::{Error, Security, Side, Sorted, Stream};
use balcony_xml::{Element, Reader, Token};

use crate::{Driven, answer};

/// The channel binding of the TLS that both ends are told of.
const EXPORTER: Option<[u8; 32]> = Some([5; 32]);
/// The domain of the certificate that the peer shows, between servers.
pub const PROVEN: &str = "example.net";
/// Output for which no input is needed: a header, an error, a ping.
const SPOKEN_FIRST: usize = 4096;
/// Output for a byte of input, at most.
const AMPLIFICATION: usize = 64;
/// The longest input is far below.
const UNBOUNDED: XmlLimits = XmlLimits { bytes: 1 << 24, depth: 4096, attributes: 4096, nodes: 1 << 20 };

/// An event, so that two runs can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// A stanza, as it looks on the wire.
    Stanza(String),
    /// Anything else.
    Event(String),
}

/// All that a run came to.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Everything that was sent.
    pub output: Vec<u8>,
    /// How much of it was sent before STARTTLS; all of it, if that never came.
    pub clear: Option<usize>,
    /// Everything that happened.
    pub seen: Vec<Seen>,
    /// How the stream ended, if it did.
    pub ended: Option<Result<(), Error>>,
}

/// Feeds a stream, answers what it asks, and checks it all the time.
pub struct Driver<S: Side> {
    stream: Stream<S>,
    now: Instant,
    outcome: Outcome,
    taken: usize,
    sent: usize,
    /// Closes the stream after so many stanzas.
    patience: Option<usize>,
    /// Whether a silent peer may be kept for ever.
    keeps: bool,
}

impl<S: Driven> Driver<S> {
    /// Drives `stream`.
    pub fn new(stream: Stream<S>, patience: Option<usize>) -> Self {
        let outcome = Outcome { output: Vec::new(), clear: None, seen: Vec::new(), ended: None };
        Driver { stream, now: Instant::ZERO, outcome, taken: 0, sent: 0, patience, keeps: false }
    }

    /// The same for an end that has nothing to hear on an open stream, so that silence means nothing.
    pub fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// The stream.
    pub fn stream(&self) -> &Stream<S> {
        &self.stream
    }

    /// What has happened so far.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// What has been sent since the last call.
    pub fn unsent(&mut self) -> Vec<u8> {
        let bytes = self.outcome.output[self.sent..].to_vec();
        self.sent = self.outcome.output.len();
        bytes
    }

    /// Sends a stanza, if that can be done now.
    pub fn send(&mut self, stanza: &Stanza) {
        let mut out = Vec::new();
        assert_eq!(self.stream.send(stanza, &mut out).is_ok(), self.stream.is_open());
        self.outcome.output.append(&mut out);
    }

    /// Hands in bytes until the stream wants no more of them.
    pub fn feed(&mut self, mut input: &[u8]) {
        self.taken += input.len();
        // Every event but the few of the negotiation takes input.
        for _ in 0..input.len() + 32 {
            if self.outcome.ended.is_some() {
                return;
            }
            let mut out = Vec::new();
            let result = self.stream.advance(self.now, &mut input, &mut out);
            self.outcome.output.append(&mut out);
            match result {
                Ok(Progress::Event(event)) => self.event(event),
                Ok(Progress::NeedInput) => {
                    assert!(input.is_empty(), "input was left over");
                    let left = self.stream.deadline();
                    assert!(left.is_none_or(|left| left.at > self.now), "{left:?} is still due");
                    return;
                }
                // Direct TLS begins with it.
                Ok(Progress::Blocked(On::Tls)) if self.outcome.output.is_empty() => self.secure(),
                Ok(Progress::Blocked(on)) => panic!("blocked on {on:?}, and nothing is missing"),
                Ok(Progress::Closed) => self.outcome.ended = Some(Ok(())),
                Err(error) => self.outcome.ended = Some(Err(error)),
            }
        }
        assert!(self.outcome.ended.is_some(), "events without end");
    }

    fn event(&mut self, event: S::Event) {
        let seen = match S::sort(event) {
            Sorted::Ask(ticket, ask) => {
                let seen = format!("{ask:?}");
                self.stream.answer(ticket, answer(ask)).expect("an open ask");
                Seen::Event(seen)
            }
            Sorted::StartTls => {
                self.outcome.clear = Some(self.outcome.output.len());
                self.secure();
                Seen::Event("StartTls".into())
            }
            Sorted::Stanza(stanza) => {
                let mut wire = Vec::new();
                stanza.write(&mut wire);
                stanza.payload.parse().expect("a payload stands on its own");
                if self.patience == Some(0) {
                    self.close();
                }
                self.patience = self.patience.map(|left| left.saturating_sub(1));
                let mut out = Vec::new();
                S::handled(&mut self.stream, &mut out);
                self.outcome.output.append(&mut out);
                Seen::Stanza(String::from_utf8(wire).expect("UTF-8"))
            }
            Sorted::Other(other) => Seen::Event(format!("{other:?}")),
        };
        self.outcome.seen.push(seen);
    }

    fn secure(&mut self) {
        let security = Security::new(EXPORTER).with_domains(vec![PROVEN.into()]);
        self.stream.secured(security).expect("a handshake that is due");
    }

    /// Closes the stream from this end.
    pub fn close(&mut self) {
        let mut out = Vec::new();
        self.stream.close(self.now, &mut out);
        self.outcome.output.append(&mut out);
    }

    /// The peer is silent from now on, or closes its side: either way the stream ends, and stays ended.
    pub fn finish(mut self, silence: bool) -> Outcome {
        let mut out = Vec::new();
        if silence {
            // Idle, asked, given up; or one of them.
            for _ in 0..4 {
                if self.outcome.ended.is_none() {
                    if self.keeps && self.stream.is_open() {
                        self.go_on();
                    }
                    self.now = self.stream.deadline().expect("nobody waits for ever").at;
                    self.feed(&[]);
                }
            }
            assert!(self.outcome.ended.is_some(), "a silent peer is kept");
        } else if self.outcome.ended.is_none() {
            self.outcome.ended = Some(self.stream.eof(self.now, &mut out).map(|_| ()));
        }
        self.outcome.output.append(&mut out);
        self.check_end();
        self.check_output();
        self.outcome
    }

    /// One that keeps a silent peer may say something now and then, and goes on until it is closed.
    fn go_on(&mut self) {
        if let Some(deadline) = self.stream.deadline() {
            self.now = deadline.at;
            self.feed(&[]);
        }
        if self.stream.is_open() {
            self.close();
        }
    }

    fn check_end(&mut self) {
        let mut out = Vec::new();
        let again = self.stream.advance(self.now, &mut &b"<more/>"[..], &mut out);
        match &self.outcome.ended {
            Some(Err(error)) => assert_eq!(again.err().as_ref(), Some(error), "errors stick"),
            _ => assert!(matches!(again, Ok(Progress::Closed)), "the end is the end"),
        }
        assert!(out.is_empty(), "words after the end");
        assert!(!self.stream.is_open());
        assert_eq!(self.stream.deadline(), None, "nothing is due after the end");
    }

    /// Whatever the peer does, it is answered in well-formed XML, and not with more than it deserves.
    fn check_output(&self) {
        let output = &self.outcome.output;
        assert!(
            output.len() <= SPOKEN_FIRST + AMPLIFICATION * self.taken,
            "{} bytes of output for {} of input",
            output.len(),
            self.taken
        );
        if output.starts_with(b"<open") {
            check_messages(output);
        } else {
            check_streams(output);
        }
    }
}

/// One stream after the other: each begins with this, which can stand nowhere else.
fn check_streams(output: &[u8]) {
    const DECLARATION: &[u8] = b"<?xml version='1.0'?>";
    let mut rest = output;
    while !rest.is_empty() {
        assert!(rest.starts_with(DECLARATION), "no header: {}", String::from_utf8_lossy(rest));
        let next = rest.windows(DECLARATION.len()).skip(1).position(|window| window == DECLARATION);
        let (stream, after) = rest.split_at(next.map_or(rest.len(), |at| at + 1));
        check_stream(stream);
        rest = after;
    }
}

/// RFC 7395 section 3.3.3: each message is a document of its own.
fn check_messages(output: &[u8]) {
    for message in output.strip_suffix(b"\0").expect("whole messages").split(|byte| *byte == 0) {
        let element = Element::parse(message, UNBOUNDED);
        element
            .unwrap_or_else(|error| panic!("we sent bad XML: {error}: {}", String::from_utf8_lossy(message)));
    }
}

/// One stream from its header on.
fn check_stream(bytes: &[u8]) {
    let (mut reader, mut rest) = (Reader::new(UNBOUNDED), bytes);
    loop {
        match reader.read(&mut rest) {
            Ok(None) => return,
            Ok(Some(Token::End)) => {
                assert!(rest.is_empty(), "words after our closing tag: {}", String::from_utf8_lossy(rest));
                return;
            }
            Ok(Some(Token::Header | Token::Element | Token::Refused(_))) => {}
            Err(error) => panic!("we sent bad XML: {error}: {}", String::from_utf8_lossy(bytes)),
        }
    }
}
