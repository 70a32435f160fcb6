//! What begins with `<!` or `<?`: CDATA sections and the XML declaration, and what XMPP does without (RFC 6120 section 11.1).

use super::{Declaration, Event, INSTRUCTION, Sink, State, Step, Tokenizer};
use crate::ReadError::{self, NotWellFormed, Restricted};

impl Tokenizer {
    /// What begins with `<!`: a CDATA section, or what XMPP does without.
    pub(super) fn bang<S: Sink>(&mut self, source: &[u8], sink: &mut S) -> Result<Step<S::Part>, ReadError> {
        const CDATA: &[u8] = b"<![CDATA[";
        let Some(&byte) = source.get(self.at) else { return Ok(Step::More) };
        match (self.state, byte) {
            (State::Bang, b'-') => Ok(self.begin(State::Dash)),
            (State::Bang, b'[') => {
                self.matched = 3;
                Ok(self.begin(State::CdataOpen))
            }
            (State::Bang, b'A'..=b'Z' | b'a'..=b'z') => {
                self.refuse(Restricted("a document type declaration"))
            }
            (State::Dash, b'-') => self.refuse(Restricted("a comment")),
            (State::CdataOpen, _) if CDATA.get(self.matched) == Some(&byte) => {
                self.matched += 1;
                if self.matched < CDATA.len() {
                    return Ok(self.begin(State::CdataOpen));
                }
                self.go(State::Cdata);
                self.emit(Event::Cdata, source, sink)
            }
            (State::CdataOpen, _) => self.refuse(NotWellFormed("malformed cdata section start")),
            _ => self.refuse(NotWellFormed("malformed cdata or comment section start")),
        }
    }

    /// What begins with `<?`: an XML declaration, or what XMPP does without.
    pub(super) fn instruction<P>(&mut self, source: &[u8]) -> Result<Step<P>, ReadError> {
        const XML: &[u8] = b"<?xml";
        let is_xml = self.matched == XML.len();
        let Some(&byte) = source.get(self.at) else { return Ok(Step::More) };
        match byte {
            _ if XML.get(self.matched) == Some(&byte) => {
                self.matched += 1;
                Ok(self.begin(State::Instruction))
            }
            b' ' | b'\t' | b'\r' | b'\n' if is_xml && self.is_fresh => {
                if self.is_after_space {
                    return self.refuse(NotWellFormed("white space before the XML declaration"));
                }
                self.is_fresh = false;
                // The white space is the declaration's own.
                self.declaration = Declaration::new();
                self.state = State::Declaration;
                Ok(Step::Next)
            }
            b'?' if is_xml && self.is_fresh => {
                self.refuse(NotWellFormed("'<?xml' must be followed by version attribute"))
            }
            // The header of a stream that the peer took to be restarted begins like this (RFC 6120 section 4.3.3).
            b' ' | b'\t' | b'\r' | b'\n' | b'?' if is_xml => {
                self.refuse(Restricted("an XML declaration that is not at the beginning of a stream"))
            }
            _ => self.refuse(INSTRUCTION),
        }
    }

    pub(super) fn declaration<S: Sink>(
        &mut self,
        source: &[u8],
        sink: &mut S,
    ) -> Result<Step<S::Part>, ReadError> {
        while let Some(&byte) = source.get(self.at) {
            self.at += 1;
            if self.declaration.take(byte)? {
                self.mark = self.at;
                self.state = State::Content;
                return self.emit(Event::Declaration, source, sink);
            }
        }
        Ok(Step::More)
    }
}
