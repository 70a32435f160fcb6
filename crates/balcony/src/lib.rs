//! placeholder
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types)]

#[cfg(feature = "client")]
mod client;
mod error;
mod rt;
#[cfg(feature = "server")]
pub mod server;
pub mod prelude;

pub use balcony_jid as jid;
#[cfg(feature = "client")]
pub use client::{Client, ClientBuilder, Event, Ext, Request, Sender};
pub use error::Error;
pub use rt::*;
