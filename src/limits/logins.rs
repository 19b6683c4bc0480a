//! Wrong tokens, keys and secrets by where they come from. After too many within a minute that is closed for a minute: only
//! what was right from there before is looked at, so that who works behind the same address goes on.

use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use tripline_protocol::Span;

/// Addresses that are remembered; beyond, the one that was not heard of for longest is forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// Credentials of one address that are remembered to have been right.
const RIGHT_MAX: usize = 64;
/// Those of the micro service, which everybody on the broker shares.
const SERVICE_RIGHT_MAX: usize = 1_024;
/// In which wrong ones are counted, and how long an address is closed then.
const WINDOW: Span = Span::from_secs(60);

/// Where a credential comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// Over HTTP, from there.
    Address(IpAddr),
    /// The micro service: NATS tells nothing of who asks.
    Service,
}

impl Origin {
    /// Whoever has one IPv6 address has all of its /64.
    fn network(self) -> Self {
        match self {
            Self::Address(address) => Self::Address(network(address)),
            Self::Service => Self::Service,
        }
    }

    const fn right_max(self) -> usize {
        match self {
            Self::Address(_) => RIGHT_MAX,
            Self::Service => SERVICE_RIGHT_MAX,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Service => f.write_str("the micro service"),
        }
    }
}

/// What is to be done with a credential.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// Look whether it is right.
    Look,
    /// Do not, for so long.
    Wait(Span),
}

#[derive(Debug, Default)]
struct Seen {
    /// Since when wrong ones are counted.
    since: Span,
    wrong: u32,
    closed_until: Span,
    /// SHA-256 of credentials that were right, the latest last.
    right: Vec<[u8; 32]>,
    heard_at: Span,
}

/// What came from where.
#[derive(Debug)]
pub(super) struct Logins {
    wrong_max: u32,
    seen: HashMap<Origin, Seen>,
}

impl Logins {
    pub(super) fn new(wrong_max: u32) -> Self {
        Self {
            wrong_max,
            seen: HashMap::new(),
        }
    }

    pub(super) fn begin(&self, origin: Origin, credential: &[u8; 32], now: Span) -> Login {
        match self.seen.get(&origin.network()) {
            Some(seen) if seen.closed_until > now && !seen.right.contains(credential) => {
                let left = seen.closed_until.as_millis() - now.as_millis();
                Login::Wait(Span::from_millis(left))
            }
            _ => Login::Look,
        }
    }

    pub(super) fn right(&mut self, origin: Origin, credential: &[u8; 32], now: Span) {
        let Some(seen) = self.seen(origin, now) else {
            return;
        };
        if seen.right.last() == Some(credential) {
            return;
        }
        seen.right.retain(|known| known != credential);
        seen.right.push(*credential);
        if seen.right.len() > origin.right_max() {
            seen.right.remove(0);
        }
    }

    /// Says whether it is closed by it.
    pub(super) fn wrong(&mut self, origin: Origin, now: Span) -> bool {
        let wrong_max = self.wrong_max;
        let Some(seen) = self.seen(origin, now) else {
            return false;
        };
        if now.as_millis().saturating_sub(seen.since.as_millis()) >= WINDOW.as_millis() {
            (seen.since, seen.wrong) = (now, 0);
        }
        seen.wrong = seen.wrong.saturating_add(1);
        if seen.wrong <= wrong_max || seen.closed_until > now {
            return false;
        }
        seen.closed_until = Span::from_millis(now.as_millis() + WINDOW.as_millis());
        seen.wrong = 0;
        true
    }

    /// What is known of where it comes from; `None`: nothing is counted.
    fn seen(&mut self, origin: Origin, now: Span) -> Option<&mut Seen> {
        if self.wrong_max == 0 {
            return None;
        }
        let origin = origin.network();
        if self.seen.len() >= ADDRESSES_MAX && !self.seen.contains_key(&origin) {
            let addresses = self.seen.iter().filter(|(origin, _)| **origin != Origin::Service);
            let oldest = addresses.min_by_key(|(_, seen)| seen.heard_at);
            let oldest = oldest.map(|(origin, _)| *origin);
            oldest.map(|origin| self.seen.remove(&origin));
        }
        let seen = self.seen.entry(origin).or_insert_with(|| Seen {
            since: now,
            ..Seen::default()
        });
        seen.heard_at = now;
        Some(seen)
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let mask = u128::MAX << 64;
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & mask))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Origin = Origin::Address(IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1)));

    fn at(seconds: u64) -> Span {
        Span::from_secs(seconds)
    }

    fn address(n: u32) -> Origin {
        Origin::Address(IpAddr::V4(std::net::Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn so_many_wrong_ones_are_looked_at_in_a_minute_and_the_next_closes_the_address_for_one() {
        let mut logins = Logins::new(3);
        for _ in 0..3 {
            assert!(!logins.wrong(HERE, at(10)));
        }
        assert_eq!(logins.begin(HERE, &[1; 32], at(10)), Login::Look);
        assert!(logins.wrong(HERE, at(11)));
        assert_eq!(logins.begin(HERE, &[1; 32], at(11)), Login::Wait(at(60)));
        assert_eq!(logins.begin(HERE, &[1; 32], at(70)), Login::Wait(at(1)));
        assert_eq!(logins.begin(HERE, &[1; 32], at(71)), Login::Look);
        // And again no sooner than after as many.
        for _ in 0..3 {
            assert!(!logins.wrong(HERE, at(71)));
        }
        assert!(logins.wrong(HERE, at(71)));
    }

    #[test]
    fn wrong_ones_that_come_slowly_close_nothing() {
        let mut logins = Logins::new(3);
        assert!((0..100).all(|n| !logins.wrong(HERE, at(n * 20))));
    }

    #[test]
    fn what_was_right_from_there_is_looked_at_all_the_time() {
        let mut logins = Logins::new(1);
        for n in 0..=u8::try_from(RIGHT_MAX).expect("small") {
            logins.right(HERE, &[n; 32], at(0));
        }
        logins.wrong(HERE, at(0));
        assert!(logins.wrong(HERE, at(0)));
        assert_eq!(logins.begin(HERE, &[1; 32], at(1)), Login::Look);
        assert_eq!(
            logins.begin(HERE, &[0; 32], at(1)),
            Login::Wait(at(59)),
            "the oldest was forgotten"
        );
        assert_eq!(
            logins.begin(address(7), &[0; 32], at(1)),
            Login::Look,
            "another address"
        );
    }

    #[test]
    fn right_ones_of_the_micro_service_are_remembered_up_to_a_bound_and_addresses_are_not_in_their_way() {
        let mut logins = Logins::new(1);
        let credential = |n: usize| {
            let mut credential = [0; 32];
            credential[..8].copy_from_slice(&n.to_be_bytes());
            credential
        };
        for n in 0..=SERVICE_RIGHT_MAX {
            logins.right(Origin::Service, &credential(n), at(0));
        }
        logins.wrong(Origin::Service, at(0));
        assert!(logins.wrong(Origin::Service, at(0)));
        for n in 0..u32::try_from(ADDRESSES_MAX).expect("small") {
            logins.wrong(address(n), at(1));
        }
        assert_eq!(logins.begin(Origin::Service, &credential(1), at(1)), Login::Look);
        assert_eq!(
            logins.begin(Origin::Service, &credential(0), at(1)),
            Login::Wait(at(59))
        );
        assert_eq!(logins.begin(HERE, &credential(0), at(1)), Login::Look);
    }

    #[test]
    fn the_addresses_of_one_network_count_together() {
        let mut logins = Logins::new(1);
        let v6 = |text: &str| Origin::Address(text.parse().expect("an address"));
        logins.wrong(v6("2001:db8::1"), at(0));
        assert!(logins.wrong(v6("2001:db8::2"), at(0)));
        assert!(matches!(
            logins.begin(v6("2001:db8::3"), &[0; 32], at(0)),
            Login::Wait(_)
        ));
        assert_eq!(logins.begin(v6("2001:db8:0:1::3"), &[0; 32], at(0)), Login::Look);
        logins.wrong(v6("::ffff:10.0.0.1"), at(0));
        assert!(logins.wrong(HERE, at(0)));
    }

    #[test]
    fn a_bounded_number_of_addresses_is_remembered() {
        let mut logins = Logins::new(1);
        for n in 0..u32::try_from(ADDRESSES_MAX).expect("small") {
            logins.wrong(address(n), at(u64::from(n)));
        }
        logins.wrong(address(0), at(20_000));
        logins.wrong(address(20_000), at(20_000));
        assert_eq!(logins.seen.len(), ADDRESSES_MAX);
        assert!(logins.seen.contains_key(&address(0)));
        assert!(!logins.seen.contains_key(&address(1)));
    }

    #[test]
    fn without_a_number_nothing_is_counted() {
        let mut logins = Logins::new(0);
        assert!((0..1000).all(|_| !logins.wrong(HERE, at(0))));
        logins.right(HERE, &[0; 32], at(0));
        assert!(logins.seen.is_empty());
    }
}
