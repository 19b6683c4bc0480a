//! A range of IP addresses, as people write it: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses with the same beginning; a single address is a range of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    first: IpAddr,
    prefix: u8,
}

/// A text that is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address or range of addresses such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32")]
pub struct InvalidNetwork(String);

impl Network {
    /// Its first address.
    pub const fn first(self) -> IpAddr {
        self.first
    }

    /// How many leading bits all its addresses share.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is all there is.
    pub const fn is_everything(self) -> bool {
        self.prefix == 0
    }

    /// Whether all of `other` lies in it.
    pub fn contains(self, other: Self) -> bool {
        other.prefix >= self.prefix && Self::new(other.first, self.prefix) == Some(self)
    }

    /// `None`: an address does not have that many bits. A range of IPv4 addresses that are written as IPv6 is one of
    /// IPv4: that is what packets have.
    fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let (address, prefix) = match (address.to_canonical(), prefix.checked_sub(96)) {
            (IpAddr::V4(mapped), Some(prefix)) if address.is_ipv6() => (IpAddr::V4(mapped), prefix),
            _ => (address, prefix),
        };
        let first = match address {
            IpAddr::V4(address) => {
                let beyond = 32_u32.checked_sub(prefix.into())?;
                let mask = u32::MAX.checked_shl(beyond).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(address.to_bits() & mask))
            }
            IpAddr::V6(address) => {
                let beyond = 128_u32.checked_sub(prefix.into())?;
                let mask = u128::MAX.checked_shl(beyond).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
            }
        };
        Some(Self { first, prefix })
    }
}

impl From<IpAddr> for Network {
    fn from(address: IpAddr) -> Self {
        let first = address.to_canonical();
        let prefix = if first.is_ipv4() { 32 } else { 128 };
        Self { first, prefix }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;
    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.chars().take(80).collect());
        let Some((address, prefix)) = text.split_once('/') else {
            let address: IpAddr = text.parse().map_err(|_| invalid())?;
            return Ok(address.into());
        };
        let is_number = prefix.len() <= 3 && prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| is_number).ok_or_else(invalid)?;
        let address = address.parse().map_err(|_| invalid())?;
        Self::new(address, prefix).ok_or_else(invalid)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.first, self.prefix) {
            (IpAddr::V4(address), 32) => write!(f, "{address}"),
            (IpAddr::V6(address), 128) => write!(f, "{address}"),
            (first, prefix) => write!(f, "{first}/{prefix}"),
        }
    }
}

impl Serialize for Network {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_written_by_its_first_address() {
        for (given, written) in [
            ("192.0.2.7", "192.0.2.7"),
            ("192.0.2.7/32", "192.0.2.7"),
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("10.1.2.3/0", "0.0.0.0/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
            ("2001:DB8::1", "2001:db8::1"),
            ("::1/0", "::/0"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7/120", "192.0.2.0/24"),
            ("::ffff:0:0/95", "::fffe:0:0/95"),
        ] {
            assert_eq!(given.parse::<Network>().unwrap().to_string(), written, "{given}");
        }
        for everything in ["::1/0", "0.0.0.0/0", "::ffff:0:0/96"] {
            assert!(
                everything.parse::<Network>().unwrap().is_everything(),
                "{everything}"
            );
        }
    }

    #[test]
    fn a_range_contains_itself_and_what_lies_in_it() {
        let network = |text: &str| text.parse::<Network>().unwrap();
        let ten = network("10.0.0.0/8");
        for (other, contained) in [
            ("10.0.0.0/8", true),
            ("10.255.0.1", true),
            ("10.0.0.0/7", false),
            ("11.0.0.0/16", false),
            ("fd00::1", false),
            ("::/8", false),
        ] {
            assert_eq!(ten.contains(network(other)), contained, "{other}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused_in_short() {
        for wrong in [
            "",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "::/0128",
            "web01",
            "10.0.0.1; x",
        ] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let long = "1".repeat(100_000).parse::<Network>().unwrap_err().to_string();
        assert!(long.len() < 300, "{long}");
    }
}
