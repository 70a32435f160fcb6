use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How many connections there are from each address.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    counts: BTreeMap<IpAddr, usize>,
}

/// Whom connections from `peer`, the address of a socket as text, are put down to. `None` for what is no address, and for this
/// machine: a proxy on it brings the connections of many.
pub(crate) fn origin(peer: &str) -> Option<IpAddr> {
    let address: SocketAddr = peer.parse().ok()?;
    match address.ip().to_canonical() {
        ip if ip.is_loopback() => None,
        // One customer has 64 bits of addresses to choose from.
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            Some(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
        }
        ip => Some(ip),
    }
}

impl Origins {
    /// Counts one more connection from there, unless there are as many as there may be.
    pub(crate) fn enter(&mut self, origin: Option<IpAddr>, most: Option<usize>) -> bool {
        let Some(origin) = origin else { return true };
        let count = self.counts.get(&origin).copied().unwrap_or_default();
        let has_room = most.is_none_or(|most| count < most);
        if has_room {
            self.counts.insert(origin, count + 1);
        }
        has_room
    }

    /// A connection from there has ended.
    pub(crate) fn leave(&mut self, origin: Option<IpAddr>) {
        let Some(origin) = origin else { return };
        match self.counts.get_mut(&origin) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(self.counts.remove(&origin)),
        }
    }
}
