//! A whole XMPP server endpoint: many connections and one router, as one sans-IO value.
//!
//! A [`Server`] is told what happens to its sockets and appends [`Action`]s that say what to do: write, read on, close,
//! look something up. It never waits and starts no thread; an adapter of a few hundred lines makes it a server on any
//! runtime. One value belongs to one thread. The docs of [`Server`] have its four kinds of methods and the whole loop; those of [`Shard`] have the
//! loop of an adapter, which keeps its sockets there: in one, or in one on each of several threads, with one [`Hub`].
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
mod bind;
mod components;
mod config;
mod conn;
mod connections;
mod counted;

mod deadlines;
mod ended;
pub mod federation;
mod given_up;
mod hub;
mod journal;
mod link;
mod owing;
mod own;
mod pace;
mod part;
mod registrations;
mod revocations;
mod saved;
mod server;
mod sessions;
mod shard;
mod slots;
mod transport;
mod words;
mod written;

pub use acceptor::{Acceptor, Entry, Refusal};
pub use action::{Action, Answer, Ask, ConnectionId, Ended, Notice, Reply};
pub use balcony_router::{Removal, SendError, SessionId};
pub use components::{Components, ComponentsConfig};
pub use config::ServerConfig;
pub use connections::{BindRequest, Connections, Down, ResumeRequest, Up, Via};
pub use given_up::GivenUp;
pub use hub::Hub;
pub use journal::Level;
pub use own::{SessionConnection, SessionInfo};
pub use saved::SavedSession;
pub use server::Server;
pub use shard::{AtHub, Input, Shard, Stats, Todo};
pub use transport::Transport;
