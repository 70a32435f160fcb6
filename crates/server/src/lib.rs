//! A whole XMPP server endpoint: many connections and one router, as one sans-IO value.
//!
//! A [`Server`] is told what happens to its sockets and appends [`Action`]s that say what to do: write, read on, close,
//! look something up. It never waits and starts no thread; an adapter of a few hundred lines makes it a server on any
//! runtime. It is a shard: one value belongs to one thread.
//!
//! # What the adapter does
//!
//! - For every socket: [`Server::accept`], then read. Hand each chunk to [`Server::receive`] and read on only after
//!   [`Action::Read`]; that is the back-pressure on a peer that sends faster than it may.
//! - On [`Action::Write`]: take the bytes with [`Server::take_output`], write them, then say [`Server::written`]. While
//!   they are being written no other `Write` comes for that connection, and what gathers meanwhile leaves in one piece.
//! - On [`Action::Ask`]: find the answer on some other thread and bring it to [`Server::answer`].
//! - With [`ServerConfig::federation`]: on [`Action::Resolve`] ask the DNS and say [`Server::resolved`]; on [`Action::Connect`] connect and say
//!   [`Server::connected`] or [`Server::unreachable`].
//! - When all this is done: [`Server::take_in`], and again as long as it is true, with what has happened meanwhile in between.
//! - Call [`Server::tick`] when [`Server::deadline`] has passed.
//!
//! # By hand
//!
//! ```
//! use balcony_machine::{Instant, Secret, Seed};
//! use balcony_server::{Action, ServerConfig, Server, Transport};
//! use balcony_stream::TlsPolicy;
//!
//! let mut config = ServerConfig::new(vec!["example.com".parse()?], Secret::new([7; 32]));
//! config.tls = TlsPolicy::None;
//! let (mut server, now) = (Server::new(config, Seed::from_u64(1)), Instant::ZERO);
//!
//! let mut actions = Vec::new();
//! let id = server.accept(now, Transport::Stream, &mut actions);
//! server.receive(now, id, b"this is no XML", &mut actions);
//! assert!(actions.contains(&Action::Write(id)));
//!
//! let mut out = Vec::new();
//! server.take_output(id, &mut out);
//! assert!(String::from_utf8(out)?.contains("</stream:error></stream:stream>"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `tls` (on) | TLS by rustls, which needs std. Without it streams go in the clear, for devices behind something that protects them |
//! | `websocket` | clients on WebSockets (RFC 7395) |
#![cfg_attr(not(feature = "tls"), no_std)]
#![forbid(unsafe_code)]

extern crate alloc;

mod abroad;
mod acceptor;
mod action;
mod asks;
mod components;
mod config;
mod conn;
mod connections;

mod deadlines;
pub mod federation;
mod hub;
mod journal;
mod link;
mod owing;
mod own;
mod pace;
mod registrations;
mod saved;
mod server;
mod sessions;
mod shard;
mod slots;
mod transport;

pub use acceptor::{Acceptor, Entry, Refusal};
pub use action::{Action, Answer, Ask, ConnectionId, Ended, Notice, Reply};
pub use balcony_router::{Removal, SendError, SessionId};
pub use components::{Components, ComponentsConfig};
pub use config::ServerConfig;
pub use connections::{BindRequest, Connections, Down, ResumeRequest, Up, Via};
pub use journal::Level;
pub use own::{SessionConnection, SessionInfo};
pub use saved::SavedSession;
pub use server::Server;
pub use shard::{Input, Shard, Stats, Todo};
pub use transport::Transport;
