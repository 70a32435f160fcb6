//! How to write a bot, a device, a server, an extension, and how to test them: a page each, to be read in this order.

#[cfg(feature = "client")]
#[doc = include_str!("manual/bot.md")]
pub mod bot {}

#[cfg(feature = "client")]
#[doc = include_str!("manual/extension.md")]
pub mod extension {}

#[cfg(feature = "client")]
#[doc = include_str!("manual/device.md")]
pub mod device {}

#[cfg(feature = "server")]
#[doc = include_str!("manual/server.md")]
pub mod server {}

#[cfg(feature = "server")]
#[doc = include_str!("manual/server_extension.md")]
pub mod server_extension {}

#[cfg(all(feature = "client", feature = "server"))]
#[doc = include_str!("manual/testing.md")]
pub mod testing {}

#[doc = include_str!("manual/runtime.md")]
pub mod runtime {}
