//! Events to the parts of a stream: where one ends, what may stand between them, and which limits an element passes.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use balcony_machine::XmlLimits;

use crate::ReadError;
use crate::builder::Builder;
use crate::tokenizer::{Event, Place, Sink};
use crate::tree::place;

/// What stands at the end of the bytes that have been taken.
pub(super) enum Part {
    Declaration,
    Header,
    Element,
    End,
}

/// The part that is being read, or has just been.
pub(super) struct Assembly {
    pub(super) limits: XmlLimits,
    pub(super) builder: Builder,
    /// No header has come yet.
    before_header: bool,
    /// Where in the element's bytes its start tag ends.
    pub(super) content: usize,
    /// Where its child elements stand, if somebody wants to know.
    pub(super) keeps_children: bool,
    pub(super) children: Vec<Range<u32>>,
    /// The element is one that passes a limit: its start tag is kept, and all else is read and dropped.
    pub(super) refusal: Option<ReadError>,
    /// Levels of elements that are open in it, itself among them.
    skipped: usize,
}

impl Sink for Assembly {
    type Part = Part;

    #[inline(always)]
    fn take(&mut self, event: Event, source: &[u8], place: Place) -> Result<Option<Part>, ReadError> {
        if self.refusal.is_some() {
            return self.skip(&event, source);
        }
        match self.build(&event, source, place) {
            Err(error) => self.fail(error, &event, source).map(|()| None),
            part => part,
        }
    }

    fn pool(&mut self) -> &mut String {
        &mut self.builder.tree_mut().pool
    }
}

impl Assembly {
    pub(super) fn new(limits: XmlLimits) -> Self {
        Assembly {
            limits,
            builder: Builder::new(),
            before_header: true,
            content: 0,
            keeps_children: false,
            children: Vec::new(),
            refusal: None,
            skipped: 0,
        }
    }

    /// There is no header, and this is the content namespace.
    pub(super) fn open_within(&mut self, content: &str) {
        self.before_header = false;
        self.builder = Builder::within(content);
    }

    /// The header is complete.
    pub(super) fn finish_header(&mut self) {
        self.before_header = false;
        self.builder.finish_header();
    }

    /// Goes on behind a header that another one has read.
    pub(super) fn wake(&mut self, limits: XmlLimits) {
        self.limits = limits;
        self.before_header = false;
    }

    pub(super) const fn stray_text(&self) -> ReadError {
        if self.before_header {
            ReadError::NotWellFormed("text before the stream header")
        } else {
            ReadError::StrayText
        }
    }

    #[inline(always)]
    fn build(&mut self, event: &Event, source: &[u8], at: Place) -> Result<Option<Part>, ReadError> {
        match *event {
            Event::Open(name) => {
                self.builder.open(name, &self.limits)?;
                if self.keeps_children && self.builder.depth() == 2 {
                    let start = place(at.markup);
                    self.children.push(start..start);
                }
            }
            Event::Attribute(name, value) => self.builder.attribute(source, name, value, &self.limits)?,
            Event::Opened => {
                self.builder.opened(source)?;
                if self.before_header {
                    return Ok(Some(Part::Header));
                }
                if self.builder.depth() == 1 {
                    self.content = at.end;
                }
            }
            Event::Text(_) | Event::Char(_) | Event::Cdata if self.builder.depth() == 0 => {
                return Err(self.stray_text());
            }
            Event::Text(piece) => self.builder.text(source, piece, &self.limits)?,
            Event::Char(c) => self.builder.char(source, c, &self.limits)?,
            Event::Close if self.builder.depth() == 0 => return Ok(Some(Part::End)),
            Event::Close => {
                self.builder.close(source);
                match self.builder.depth() {
                    0 => return Ok(Some(Part::Element)),
                    1 => {
                        if let Some(child) = self.children.last_mut() {
                            child.end = place(at.end);
                        }
                    }
                    _ => {}
                }
            }
            Event::Cdata => {}
            Event::Declaration => return Ok(Some(Part::Declaration)),
        }
        Ok(None)
    }

    /// Drops the content of an element if only that is too much, so that one can go on behind it.
    #[cold]
    fn fail(&mut self, error: ReadError, event: &Event, source: &[u8]) -> Result<(), ReadError> {
        let is_limit = matches!(
            error,
            ReadError::TooDeep | ReadError::TooManyAttributes | ReadError::TooManyNodes | ReadError::NoMemory
        );
        // Who sent it and to whom has to be known.
        let has_start_tag = self.content > 0;
        if !is_limit || !has_start_tag {
            return Err(error);
        }
        // An element that is one too many has not been opened.
        self.skipped = self.builder.depth() + usize::from(matches!(event, Event::Open(_)));
        self.refusal = Some(error);
        self.children.clear();
        self.builder.drop_content(source);
        if error == ReadError::NoMemory {
            // Whoever answers needs some.
            self.builder.shrink();
        }
        Ok(())
    }

    /// Takes the rest of an element that is refused.
    #[cold]
    fn skip(&mut self, event: &Event, source: &[u8]) -> Result<Option<Part>, ReadError> {
        match event {
            // The tokenizer keeps where the names of all open elements are.
            Event::Open(_) if self.skipped >= self.limits.nodes => return Err(ReadError::TooDeep),
            Event::Open(_) => self.skipped += 1,
            Event::Close => self.skipped -= 1,
            _ => {}
        }
        match self.skipped {
            0 => {
                self.builder.close(source);
                Ok(Some(Part::Element))
            }
            _ => Ok(None),
        }
    }

    /// Drops the part.
    pub(super) fn forget(&mut self) {
        self.content = 0;
        self.children.clear();
        self.refusal = None;
        self.skipped = 0;
        self.builder.clear();
    }

    /// Nothing is being read: keep little.
    pub(super) fn release(&mut self) {
        self.builder.shrink();
        self.children.shrink_to(16);
    }

    #[cfg(test)]
    pub(super) fn footprint(&self) -> usize {
        self.children.capacity() * size_of::<Range<u32>>() + self.builder.footprint()
    }
}
