//! Wrong tokens and keys by address. After too many within a minute an address is closed for a minute: only what was
//! right from there before is looked at, so that who works behind the same address goes on.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use tripline_protocol::Span;

/// Addresses that are remembered; beyond, the one that was not heard of for longest is forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// Credentials of one address that are remembered to have been right.
const RIGHT_MAX: usize = 64;
/// In which wrong ones are counted, and how long an address is closed then.
const WINDOW: Span = Span::from_secs(60);

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

/// What came from which address.
#[derive(Debug)]
pub(super) struct Logins {
    wrong_max: u32,
    seen: HashMap<IpAddr, Seen>,
}

impl Logins {
    pub(super) fn new(wrong_max: u32) -> Self {
        Self {
            wrong_max,
            seen: HashMap::new(),
        }
    }

    pub(super) fn begin(&self, address: IpAddr, credential: &[u8; 32], now: Span) -> Login {
        match self.seen.get(&network(address)) {
            Some(seen) if seen.closed_until > now && !seen.right.contains(credential) => {
                let left = seen.closed_until.as_millis() - now.as_millis();
                Login::Wait(Span::from_millis(left))
            }
            _ => Login::Look,
        }
    }

    pub(super) fn right(&mut self, address: IpAddr, credential: &[u8; 32], now: Span) {
        let Some(seen) = self.seen(address, now) else {
            return;
        };
        if seen.right.last() == Some(credential) {
            return;
        }
        seen.right.retain(|known| known != credential);
        seen.right.push(*credential);
        if seen.right.len() > RIGHT_MAX {
            seen.right.remove(0);
        }
    }

    /// Says whether the address is closed by it.
    pub(super) fn wrong(&mut self, address: IpAddr, now: Span) -> bool {
        let wrong_max = self.wrong_max;
        let Some(seen) = self.seen(address, now) else {
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

    /// What is known of an address; `None`: nothing is counted.
    fn seen(&mut self, address: IpAddr, now: Span) -> Option<&mut Seen> {
        if self.wrong_max == 0 {
            return None;
        }
        let address = network(address);
        if self.seen.len() >= ADDRESSES_MAX && !self.seen.contains_key(&address) {
            let oldest = self.seen.iter().min_by_key(|(_, seen)| seen.heard_at);
            let oldest = oldest.map(|(address, _)| *address);
            oldest.map(|address| self.seen.remove(&address));
        }
        let seen = self.seen.entry(address).or_insert_with(|| Seen {
            since: now,
            ..Seen::default()
        });
        seen.heard_at = now;
        Some(seen)
    }
}

/// Whoever has one IPv6 address has all of its /64.
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

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));

    fn at(seconds: u64) -> Span {
        Span::from_secs(seconds)
    }

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(n))
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
    fn the_addresses_of_one_network_count_together() {
        let mut logins = Logins::new(1);
        let v6 = |text: &str| text.parse::<IpAddr>().expect("an address");
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
