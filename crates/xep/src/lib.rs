//! The wire forms of XMPP extensions: one file an extension, with its namespace, its values as types, and reading and writing
//! beside each other. The modules below say which extensions; some are there with a feature alone.
//!
//! A value is read from an element and written as one. Values borrow their texts from the element that they are read from, or from
//! whoever writes them. A form that is none is `None`; a request that breaks its rules is a
//! [`StanzaError`](balcony_stanza::StanzaError) with the condition that the extension names, for the one who asked.
//!
//! There is no state here, and no decision: who may ask for what, what is kept and who gets it is up to those who use the forms.
//! No value is larger than a small multiple of the element that it was read from, and lists have an upper bound of their own.
//!
//! ```
//! use balcony_xep::version::{self, Software};
//! use balcony_xml::Element;
//!
//! let software = Software { name: "Balcony".into(), version: "0.1.0".into(), os: None };
//! let element = software.to_element();
//! assert!(element.root().is("query", version::NS));
//! assert_eq!(Software::read(element.root()), Some(software));
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `host-meta` | where a domain's WebSockets are (XEP-0156), for clients that can look up no SRV records. It brings a JSON parser |
//! | `validation` | values of forms are held against their datatypes, ranges and patterns (XEP-0122). A device may do without |
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod attention;
pub mod blocking;
pub mod calls;
pub mod carbons;
pub mod chat_markers;
pub mod chat_states;
pub mod commands;
pub mod conference;
pub mod correction;
pub mod csi;
pub mod data_form;
#[cfg(feature = "validation")]
mod datatype;
pub mod datetime;
pub mod delay;
pub mod disco;
pub mod encryption;
pub mod forward;
pub mod hints;
#[cfg(feature = "host-meta")]
pub mod host_meta;
pub mod last;
pub mod muc;
pub mod offline;
#[cfg(feature = "validation")]
pub mod pattern;
pub mod ping;
pub mod private;
pub mod push;
pub mod receipts;
pub mod register;
pub mod sm;
pub mod validation;
pub mod vcard;
pub mod version;
