//! XMPP for bots, devices, clients and servers of your own: chat, presence and requests between addresses such as
//! `juliet@example.com`.
//!
//! # A bot
//!
//! It says what was said to it, answers who it is, and connects again by itself. It needs no other package:
//!
//! ```no_run
//! use balcony::prelude::*;
//!
//! fn main() -> Result<(), Error> {
//!     // Who it is, and its password, are in the environment: BALCONY_JID and BALCONY_PASSWORD.
//!     let bot = Client::from_env().with(Discovery::new("Echo bot", "1.0"));
//!     block_on(async {
//!         let mut client = bot.start().await?;
//!         while let Some(event) = client.next().await? {
//!             if let Event::Message(message) = event
//!                 && let Some(body) = message.body()
//!             {
//!                 client.send(message.reply().body(body)).await?;
//!             }
//!         }
//!         Ok(())
//!     })
//! }
//! ```
//!
//! [`Client`] has what a client can do, [`Event`] what happens to it. Messages are read and built by [`Message`], presence by
//! [`Presence`] and [`ReceivedPresence`], requests by [`Iq`], [`Response`] and [`Request`]. What has no method of its own is an
//! [`Element`] in any of them, or in the [`Stanza`] that each of them is or becomes; with the feature `minidom` it is also a `minidom::Element`, and by that a type of `xmpp-parsers`.
//!
//! ```no_run
//! use balcony::prelude::*;
//!
//! # async fn example(client: &Client) -> Result<(), Box<dyn std::error::Error>> {
//! let juliet: Jid = "juliet@example.com".parse()?;
//! client.send(Message::chat(juliet.clone()).body("Art thou gone so?").body_in("de", "So bist du fort?")).await?;
//! client.send(Presence::available().show(Show::Away).status("in exile")).await?;
//! match client.request(Iq::get(balcony::xep::version::Query.to_element()).to("example.com".parse()?)).await {
//!     Ok(response) => println!("{:?}", response.element().and_then(balcony::xep::version::Software::read)),
//!     Err(Error::Request(RequestError::Refused(error))) => println!("it does not say: {error}"),
//!     Err(error) => return Err(error.into()),
//! }
//! # Ok(())
//! # }
//! ```
//!
//! What has come is read by plain names, `message.from()`; builders are told by plain names, `.body(..)`; a [`Stanza`], which is both, is read by plain names and changed by
//! those that begin with `with_`. Texts may be a `&str` or a `String`. Where a [`Jid`] is wanted, text becomes one by `.parse()?`, and a [`BareJid`] or [`FullJid`] by `.into()`.
//!
//! # Extensions
//!
//! A client does what its owner does, and no more: extensions are values that are given to its [builder](ClientBuilder::with).
//! [`Discovery`] says who this is, [`Receipts`] that messages have come, [`Roster`] knows the contacts, [`PrivateStorage`] keeps
//! documents on the server, [`Commands`] offers commands to others, and runs theirs, [`Push`] has a push service told when messages wait. [`Client::ext`] reaches them while the client runs. Your own are types with [`Extension`].
//!
//! # A component
//!
//! A service with a domain of its own, such as rooms or a gateway, attaches to a server with a secret: [`Component`].
//!
//! # Without async
//!
//! [`ClientBuilder::start_blocking`] gives a client whose methods wait, and can be woken: see [`blocking`]. [`ClientBuilder::device`] gives one
//! that is a value in a loop of its owner's, without a runtime and without a thread: see [the manual](manual::device).
//!
//! # A server
//!
//! With the feature `server`: see [`server`](https://docs.rs/balcony/latest/balcony/server/index.html).
//!
//! # Features
//!
//! | feature | what it brings |
//! |---|---|
//! | `client` (on) | clients |
//! | `server` | servers |
//! | `tokio` (on) | on tokio |
//! | `smol` | on smol |
//! | `async-std` | on async-std, which is discontinued (RUSTSEC-2025-0052) |
//! | `minidom` | elements as `minidom::Element`, too |
//!
//! With several runtimes the first of them in this table is what [`Client::builder`] takes; [`ClientBuilder::on`] takes any.
//!
//! # The manual
//!
//! [`manual`] has a page each about bots, extensions, devices, servers and their extensions, testing and runtimes.
//!
//! # Below
//!
//! Everything here is thin: what a client decides is decided by machines without sockets and clocks, in the packages `balcony-client`,
//! `balcony-server` and below. Those who bring a loop of their own, such as a device without an operating system, use these. What
//! methods here take and give has a name here, be it in one of the modules that are such a package ([`jid`], [`machine`], [`stanza`], [`stream`],
//! [`xep`], [`xml`] and others), so that none of these has to be named beside this one.
#![forbid(unsafe_code)]
// Adapters are where clocks and sockets live.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[cfg(feature = "client")]
pub mod blocking;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod component;
#[cfg(feature = "client")]
mod environment;
mod error;
pub mod manual;
pub mod prelude;
mod rt;
#[cfg(feature = "server")]
pub mod server;

#[cfg(feature = "client")]
pub use balcony_client::SendError as MachineSendError;
#[cfg(feature = "client")]
pub use balcony_client::component::Detached;
#[cfg(feature = "client")]
pub use balcony_client::{
    Agent, AgentConfig, AgentEvent, Attempt, Backoff, CallId, Callable, Carbon, Chat, ClientConfig,
    ClientMachine, CommandAnswer, CommandAsker, CommandCall, CommandOutcome, CommandStep, Commands,
    Completion, ConnectError, Contacts, Context, Delivered, Device, DeviceStep, Disconnected, Discovery,
    Endpoint, Extension, Extensions, IncomingId, IncomingRequest, Iq, MachineEvent, Mark, Message,
    MessageBuilder, News, Note, OutboxError, Presence, PrivateStorage, Pump, PumpError, PumpStep, Push,
    Receipts, ReceivedPresence, RequestError, RequestKind, Response, Roster, Session, Show, Undelivered,
    answer, held_back,
};
#[cfg(any(feature = "client", feature = "server"))]
pub use balcony_connection as connection;
pub use balcony_jid as jid;
pub use balcony_jid::{BareJid, FullJid, Jid, JidError};
pub use balcony_machine as machine;
pub use balcony_machine::{Instant, Secret};
#[cfg(any(feature = "client", feature = "server"))]
pub use balcony_roster as roster;
pub use balcony_runtime as runtime;
#[cfg(any(feature = "client", feature = "server"))]
pub use balcony_sasl as sasl;
pub use balcony_stanza as stanza;
pub use balcony_stanza::{
    ErrorCondition, ErrorType, IqType, Kind, MessageType, Payload, PresenceType, Stanza, StanzaError, Texts,
    Thread,
};
pub use balcony_stream as stream;
pub use balcony_stream::TlsPolicy;
#[cfg(feature = "client")]
pub use balcony_stream::client::Token;
pub use balcony_tls as tls;
pub use balcony_xep as xep;
pub use balcony_xep::data_form::{DataForm, Field, FieldKind, FormKind};
pub use balcony_xml as xml;
pub use balcony_xml::{Element, ElementRef, Name};
#[cfg(feature = "client")]
pub use client::{BoxedExtensions, Client, ClientBuilder, Event, Ext, Request, Sender};
#[cfg(feature = "client")]
pub use component::{Component, ComponentBuilder, ComponentEvent, ComponentRequest};
pub use error::Error;
#[cfg(feature = "minidom")]
pub use minidom;
pub use rt::DefaultRuntime;
#[cfg(feature = "async-std")]
pub use rt::on_async_std;
#[cfg(feature = "smol")]
pub use rt::on_smol;
#[cfg(any(feature = "tokio", feature = "smol", feature = "async-std"))]
pub use rt::{block_on, sleep, spawn};
#[cfg(feature = "server")]
pub use server::Server;
