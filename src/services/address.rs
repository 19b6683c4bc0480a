//! Which addresses a service may have: those of the world, unless its own registration allows private ones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What an address leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    /// Some machine of the world.
    Public,
    /// This machine, its link, or a network that is not everybody's.
    Private,
    /// Nothing that could be called: nobody, everybody, several, or what is not given to anybody.
    Unusable,
}

impl Reach {
    /// Whether a service may be called there.
    pub(super) const fn is_allowed(self, allow_private: bool) -> bool {
        match self {
            Self::Public => true,
            Self::Private => allow_private,
            Self::Unusable => false,
        }
    }
}

/// What `address` leads to.
pub(super) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

/// A network: its first address, and how many bits all of it have in common.
type Net4 = ([u8; 4], u32);
type Net6 = ([u16; 8], u32);

/// Not everybody's, of the registry of special addresses of IPv4.
const PRIVATE_V4: [Net4; 14] = [
    ([10, 0, 0, 0], 8),
    // Of carriers, behind their translation of addresses.
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    // Of the link; clouds answer there with the credentials of the machine.
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    // For documents.
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    // For measurements.
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
];

/// "This network", which systems take for this machine; many at once; and what nobody has, with everybody at its end.
const UNUSABLE_V4: [Net4; 3] = [([0, 0, 0, 0], 8), ([224, 0, 0, 0], 4), ([240, 0, 0, 0], 4)];

/// All that is given to anybody of the world in IPv6.
const GLOBAL_V6: Net6 = ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3);

/// Exceptions within it.
const PRIVATE_V6: [Net6; 4] = [
    // For protocols; Teredo, whose addresses hide others, is among them.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    // For documents.
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    ([0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0], 48),
];

const MULTICAST_V6: Net6 = ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8);
/// Translation to IPv4, whose address is the last four bytes.
const NAT64: Net6 = ([0x64, 0xff9b, 0, 0, 0, 0, 0, 0], 96);
/// The form of IPv4 in IPv6 before the present one.
const COMPATIBLE: Net6 = ([0, 0, 0, 0, 0, 0, 0, 0], 96);
/// A tunnel over IPv4, whose address is the third to sixth byte.
const SIX_TO_FOUR: Net6 = ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16);

fn reach_v4(address: Ipv4Addr) -> Reach {
    let within = |(first, bits): &Net4| {
        let apart = address.to_bits() ^ Ipv4Addr::from(*first).to_bits();
        apart.leading_zeros() >= *bits
    };
    if UNUSABLE_V4.iter().any(within) {
        Reach::Unusable
    } else if PRIVATE_V4.iter().any(within) {
        Reach::Private
    } else {
        Reach::Public
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let within = |(first, bits): &Net6| {
        let apart = address.to_bits() ^ Ipv6Addr::from(*first).to_bits();
        apart.leading_zeros() >= *bits
    };
    if address.is_unspecified() || within(&MULTICAST_V6) {
        return Reach::Unusable;
    }
    if address.is_loopback() {
        return Reach::Private;
    }
    if let Some(inner) = address.to_ipv4_mapped() {
        return reach_v4(inner);
    }
    if within(&NAT64) || within(&COMPATIBLE) {
        return reach_v4(bits_of(address, 0));
    }
    if within(&SIX_TO_FOUR) {
        return reach_v4(bits_of(address, 80));
    }
    match within(&GLOBAL_V6) && !PRIVATE_V6.iter().any(within) {
        true => Reach::Public,
        false => Reach::Private,
    }
}

/// The address of IPv4 that begins so many bits before the end.
fn bits_of(address: Ipv6Addr, behind: u32) -> Ipv4Addr {
    // Only these 32 are wanted.
    Ipv4Addr::from_bits((address.to_bits() >> behind) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach_of(text: &str) -> Reach {
        reach(text.parse().expect("an address"))
    }

    #[test]
    fn machines_of_the_world_may_be_called() {
        for address in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.167.255.255",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450:4001::1",
            "::ffff:1.1.1.1",
            "64:ff9b::1.1.1.1",
            "2002:101:101::1",
        ] {
            assert_eq!(reach_of(address), Reach::Public, "{address}");
        }
    }

    #[test]
    fn what_is_not_everybodys_is_private_however_it_is_written() {
        for address in [
            "127.0.0.1",
            "127.255.255.254",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "100.64.0.1",
            "100.127.255.255",
            "169.254.169.254",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "198.19.255.255",
            "198.51.100.1",
            "203.0.113.1",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::ffff:169.254.169.254",
            "::7f00:2",
            "64:ff9b::10.0.0.1",
            "64:ff9b:1::1",
            "2002:7f00:1::1",
            "2002:c0a8:1::1",
            "2001::1",
            "2001:db8::1",
            "3fff::1",
            "fc00::1",
            "fdff::1",
            "fe80::1",
            "fec0::1",
            "4000::1",
            "100::1",
        ] {
            assert_eq!(reach_of(address), Reach::Private, "{address}");
        }
    }

    #[test]
    fn what_is_no_machine_is_never_called() {
        for address in [
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "ff02::1",
            "::ffff:0.0.0.0",
            "64:ff9b::0.0.0.0",
        ] {
            let reach = reach_of(address);
            assert_eq!(reach, Reach::Unusable, "{address}");
            assert!(!reach.is_allowed(true), "{address}");
        }
        assert!(Reach::Private.is_allowed(true) && !Reach::Private.is_allowed(false));
    }
}
