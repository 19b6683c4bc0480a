//! A host's address inside its network and outside, among those that its agent named.

use std::net::{IpAddr, Ipv4Addr};

/// As others see it: the address it came from, else the first of its own that is public.
pub(super) fn external(named: &[String], peer: Option<IpAddr>) -> Option<IpAddr> {
    let public = || usable(named).find(|address| !is_private(*address));
    peer.map(|peer| peer.to_canonical()).or_else(public)
}

/// Its own: the first private one, else the first.
pub(super) fn internal(named: &[String]) -> Option<IpAddr> {
    usable(named)
        .find(|address| is_private(*address))
        .or_else(|| usable(named).next())
}

/// Those that others could reach, in their order; an address may have its prefix length behind it.
fn usable(named: &[String]) -> impl Iterator<Item = IpAddr> {
    let parse = |text: &String| text.split('/').next()?.parse::<IpAddr>().ok();
    let all = named
        .iter()
        .filter_map(parse)
        .map(|address| address.to_canonical());
    all.filter(|address| !address.is_loopback() && !address.is_unspecified() && !is_link_local(*address))
}

fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_private() || is_shared(address),
        IpAddr::V6(address) => address.is_unique_local(),
    }
}

/// 100.64.0.0/10, behind a provider's translation (RFC 6598).
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && second & 0xc0 == 64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(named: &[&str], peer: Option<&str>) -> (Option<String>, Option<String>) {
        let named: Vec<String> = named.iter().map(|text| (*text).to_owned()).collect();
        let peer = peer.map(|peer| peer.parse().unwrap());
        let text = |address: Option<IpAddr>| address.map(|address| address.to_string());
        (text(external(&named, peer)), text(internal(&named)))
    }

    #[test]
    fn the_address_a_host_came_from_is_its_external_one() {
        let some = |external: &str, internal: &str| (Some(external.to_owned()), Some(internal.to_owned()));
        let named = ["127.0.0.1", "fe80::1", "203.0.113.9", "10.1.2.3/8"];
        let expected = some("198.51.100.7", "10.1.2.3");
        assert_eq!(both(&named, Some("198.51.100.7")), expected);
        assert_eq!(both(&named, Some("::ffff:198.51.100.7")), expected);
        assert_eq!(both(&named, None), some("203.0.113.9", "10.1.2.3"));
    }

    #[test]
    fn an_address_that_nobody_knows_is_none() {
        assert_eq!(both(&["127.0.0.1", "::1", "0.0.0.0", "what"], None), (None, None));
        let private = Some("100.64.0.1".to_owned());
        assert_eq!(both(&["100.64.0.1"], None), (None, private));
        let public = Some("2001:db8::1".to_owned());
        assert_eq!(both(&["2001:db8::1"], None), (public.clone(), public));
        let local = Some("fd00::1".to_owned());
        assert_eq!(both(&["fd00::1", "192.168.0.1"], None), (None, local));
    }
}
