//! Which addresses may be connected to: the DNS of a stranger names any, and those of our own network among them.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What a server may connect to for a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Whatever the operator has said: the places are those of [a route](super::FederationConfig::routes).
    Route,
    /// The places are those that the DNS names, and may be anywhere
    /// ([`private_addresses`](super::FederationConfig::private_addresses)).
    Anywhere,
    /// The places are those that the DNS names, and only public addresses are connected to.
    Public,
}

impl Reach {
    /// Whether this address may be connected to.
    #[must_use]
    pub fn admits(self, address: IpAddr) -> bool {
        match self {
            Reach::Route | Reach::Anywhere => true,
            Reach::Public => is_public(address),
        }
    }
}

/// Whether an address is one that everybody may have: none of this machine, of a private network, or for a special purpose (RFC 6890,
/// RFC 6598, RFC 4193, RFC 5737, RFC 3849).
fn is_public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let is_special = ip.is_unspecified()
        || ip.is_loopback()
        || ip.is_private()
        || ip.is_link_local()
        || ip.is_multicast()
        || ip.is_broadcast()
        || ip.is_documentation()
        // This network, shared addresses (RFC 6598), protocol assignments, the relays of 6to4, benchmarks, and what is reserved.
        || a == 0
        || a == 100 && b & 0b1100_0000 == 64
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || a == 198 && b & 0b1111_1110 == 18
        || a >= 240;
    !is_special
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, c, ..] = ip.segments();
    let embedded = |at: usize| {
        let [one, two, three, four] = core::array::from_fn(|n| ip.octets()[at + n]);
        Ipv4Addr::new(one, two, three, four)
    };
    match (a, b) {
        // An address of IPv4 in one of IPv6: NAT64 (RFC 6052), and 6to4 (RFC 3056).
        (0x64, 0xff9b) if c == 0 => is_public_v4(embedded(12)),
        (0x2002, _) => is_public_v4(embedded(2)),
        // Protocol assignments, with Teredo among them, and documentation.
        (0x2001, 0..0x200) | (0x2001, 0xdb8) | (0x3fff, 0..0x1000) => false,
        // All other global addresses are of this block.
        _ => a & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6890 §2.2
    #[test]
    fn special_addresses_are_not_public() {
        let special = [
            "0.0.0.0",
            "0.1.2.3",
            "10.0.0.5",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.1.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ];
        for text in special {
            let address: IpAddr = text.parse().unwrap();
            assert!(!Reach::Public.admits(address), "{text}");
            assert!(Reach::Route.admits(address) && Reach::Anywhere.admits(address), "{text}");
        }
        for text in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "198.20.0.1",
            "2606:4700::1",
            "2001:4860::1",
            "2a00::1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::",
        ] {
            assert!(Reach::Public.admits(text.parse().unwrap()), "{text}");
        }
    }
}
