//! A whole XMPP client endpoint as one sans-IO machine: one account's connection, its requests and their answers.
//!
//! A [`ClientMachine`] takes the server's bytes and the time, appends what is to be sent, and returns one [`MachineEvent`] at a time.
//! It keeps track of requests (an iq and its answer), answers the requests that every client must answer, and leaves
//! the rest to its owner. `balcony-tokio` and `balcony-async-io` bring the sockets.
//!
//! [`Contacts`] reads along and knows the roster, who is there and who asks to be let in; [`Carbon`] and [`held_back`] read
//! messages that have come another
//! way. A [`Chat`] knows where the next message of a conversation goes.
//!
//! When a connection breaks, its [`Session`] goes on on the next one where the server lets it (XEP-0198): nothing is lost and nothing
//! arrives twice. What a client has sent it keeps until the server has acknowledged it.
//!
//! An [`Agent`] is what stays when connections come and go: what is to be sent, requests, presence, [extensions](Extension), and when to
//! connect again. A [`Device`] is an agent with the connection that it has, for a loop of its owner's own; the package `balcony` has such a loop on an async runtime.
//! [`Message`], [`ReceivedPresence`], [`IncomingRequest`] and [`Response`] read what has come, [`MessageBuilder`], [`Presence`] and [`Iq`]
//! build what is said.
//!
//! Where to connect to is decided by [`Endpoint`] and [`srv`] (for WebSockets [`host_meta`]), when to try again by [`Backoff`], and [`Pump`] puts buffers
//! around a client so that an adapter has only to read, write and wait; all are pure as well.
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `sha1` (on) | SCRAM-SHA-1, which RFC 6120 section 13.8 wants every client to have. A device that knows its server leaves it out |
//! | `downgrade` | finds out if somebody has changed what the server offers (XEP-0474, XEP-0515). Part of `tls`; who brings TLS of their own turns it on |
//! | `upgrade` | gives servers keys for stronger hashes (XEP-0480) |
//! | `fast` | logs in by tokens (XEP-0484) |
//! | `tls` (on) | TLS by rustls, which needs std. Without it `StartTls` comes up, and the caller brings its own TLS |
//! | `validation` (on) | answers to the forms of commands are held against their datatypes, ranges and patterns (XEP-0122). A device that looks at them itself leaves it out |
//! | `websocket` | streams on WebSockets (RFC 7395) |
//! | `minidom` | what stanzas hold as types that are made of `minidom::Element`, such as those of the package `xmpp-parsers`. Needs std |
#![cfg_attr(not(feature = "tls"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod agent;
mod backoff;
mod carbon;
mod chat;
mod client;
pub mod component;
mod config;
mod contacts;
mod delay;
mod device;
mod endpoint;
mod extension;
mod iq;
mod lasting;
mod message;
mod outbox;
mod presence;
mod present;
mod pump;
mod queue;
mod received_presence;
mod requests;
mod send_error;
mod services;
mod session;
mod sorted;
mod unhandled;
#[cfg(feature = "websocket")]
pub mod web;

pub use agent::{Agent, AgentConfig, AgentEvent, Completion, Disconnected, IncomingId, OutboxError};
pub use backoff::Backoff;
#[cfg(feature = "websocket")]
pub use balcony_connection::WebSocketUrl;
pub use balcony_connection::{Error, srv};
pub use balcony_xep::host_meta;
pub use carbon::Carbon;
pub use chat::Chat;
pub use client::{ClientMachine, MachineEvent, RequestKind};
pub use config::ClientConfig;
pub use contacts::{Contacts, News};
pub use delay::held_back;
pub use device::{Device, DeviceStep};
#[cfg(feature = "tls")]
pub use endpoint::dns_name;
pub use endpoint::{Attempt, ConnectError, Endpoint, REDIRECTS};
pub use extension::{
    CallId, Callable, CommandAnswer, CommandAsker, CommandCall, CommandOutcome, CommandStep, Commands,
    Context, Delivered, Discovery, Extension, Extensions, Note, PrivateStorage, Push, Receipts, Roster,
    StorageCall,
};
pub use iq::{IncomingRequest, Iq, RequestError, Response};
pub use lasting::outlives_session;
pub use message::{Message, MessageBuilder, Undelivered};
pub use presence::{Presence, Show};
pub use pump::{Mark, Pump, PumpError, PumpStep, answer};
pub use received_presence::ReceivedPresence;
pub use requests::{RequestId, RequestOutcome};
pub use send_error::SendError;
pub use session::Session;
