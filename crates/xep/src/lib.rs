//! The wire forms of XMPP extensions: one file an extension, with its namespace, its values as types, and reading and writing
//! beside each other.
//!
//! | module | extension |
//! |---|---|
//! | [`attention`] | attention (XEP-0224) |
//! | [`blocking`] | blocking (XEP-0191) |
//! | [`calls`] | messages about calls (XEP-0353, XEP-0482) |
//! | [`carbons`] | message carbons (XEP-0280) |
//! | [`chat_markers`] | chat markers (XEP-0333) |
//! | [`chat_states`] | chat states (XEP-0085) |
//! | [`commands`] | ad-hoc commands (XEP-0050) |
//! | [`conference`] | direct invitations to rooms (XEP-0249) |
//! | [`correction`] | last message correction (XEP-0308) |
//! | [`csi`] | client state indication (XEP-0352) |
//! | [`data_form`] | data forms (XEP-0004) |
//! | [`datetime`] | dates and times (XEP-0082) |
//! | [`delay`] | delayed delivery (XEP-0203, and the older XEP-0091) |
//! | [`disco`] | service discovery (XEP-0030) |
//! | [`encryption`] | how a message is encrypted (XEP-0380) |
//! | [`forward`] | stanzas within stanzas (XEP-0297) |
//! | [`hints`] | message processing hints (XEP-0334) |
//! | `host_meta` | alternative ways to connect (XEP-0156), with the feature `host-meta` |
//! | [`last`] | last activity (XEP-0012) |
//! | [`muc`] | the marks of rooms (XEP-0045) |
//! | [`offline`] | offline messages (XEP-0160) |
//! | `pattern` | regular expressions of forms (XEP-0122), with the feature `validation` |
//! | [`ping`] | ping (XEP-0199) |
//! | [`private`] | private XML storage (XEP-0049) |
//! | [`push`] | push notifications (XEP-0357) |
//! | [`receipts`] | delivery receipts (XEP-0184) |
//! | [`register`] | in-band registration (XEP-0077) |
//! | [`sm`] | stream management (XEP-0198) |
//! | [`validation`] | what values of forms may be (XEP-0122) |
//! | [`vcard`] | vcard-temp (XEP-0054) |
//! | [`version`] | software version (XEP-0092) |
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
