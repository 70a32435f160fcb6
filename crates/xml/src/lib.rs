//! The XML of a stream (RFC 6120 sections 4.8 and 11): a reader that cuts it into top-level elements, flat elements, and
//! writers that cannot produce malformed XML.
//!
//! - [`Reader`]: bytes in, at most one [`Token`] out: the stream header, one whole element, or the end. It resumes from
//!   any split of the input, holds its [limits](balcony_machine::XmlLimits) and says what is wrong as a [`ReadError`],
//!   which knows its stream error.
//! - [`Element`] and [`ElementRef`]: an element with everything in it, in a few flat vectors. Nothing recurses: not
//!   reading, walking, comparing, writing nor dropping.
//! - [`outline`]: which elements begin in content that has been read before, without a tree.
//! - [`ElementRef::write`] and [`Writer`]: back to bytes. What is written stands on its own: every namespace is declared
//!   where it is first needed.
//!
//! XMPP's XML is a subset: UTF-8, and neither comments, processing instructions, document types nor entities but the five
//! predefined ones. There is no schema, and no prefix has a meaning.
//!
//! With the feature `minidom` (needs `std`), elements convert to `minidom::Element` and back.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `minidom` | conversions between elements and `minidom::Element`. Needs std |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod builder;
mod chars;
mod critbit;
mod element;
mod element_ref;
mod error;
mod escape;
#[cfg(feature = "minidom")]
mod minidom;
mod name;
mod outline;
mod reader;
mod scope;
mod tokenizer;
mod tree;
mod work;
mod write;
mod writer;

#[cfg(feature = "minidom")]
pub use crate::minidom::MinidomError;
pub use element::{Element, remove_elements};
pub use element_ref::{Attr, ElementRef, NodeRef};
pub use error::ReadError;
pub use escape::{escape_attr, escape_text, forbidden_char};
pub use name::{InvalidName, Name};
pub use outline::{Outline, Outlined, outline};
pub use reader::{Reader, Token, Workspace};
pub use writer::Writer;

/// The namespace that the prefix `xml` always stands for (Namespaces in XML section 3): that of `xml:lang`.
pub const XML_NS: &str = "http://www.w3.org/XML/1998/namespace";
/// The namespace of declarations themselves.
pub(crate) const XMLNS_NS: &str = "http://www.w3.org/2000/xmlns/";
