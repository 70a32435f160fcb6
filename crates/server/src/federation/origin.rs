//! Whom a stream is put down to that another server has opened: what one address does takes nothing away from the others.

use core::net::IpAddr;

use super::event::StreamId;
use crate::acceptor;

/// Where a stream comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Origin {
    /// An IP address, of IPv6 the first 64 bits.
    Address(IpAddr),
    /// It has no address, or that of a proxy on this machine: the stream stands for itself.
    Stream(StreamId),
}

impl Origin {
    /// Of a stream from `address`, that of a socket as text.
    pub(super) fn of(id: StreamId, address: &str) -> Origin {
        acceptor::origin(address).map_or(Origin::Stream(id), Origin::Address)
    }
}
