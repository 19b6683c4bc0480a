//! What is remembered of an isolation, and what becomes of it: pure, no clock and no I/O.
//!
//! Its end is counted from the boot of the host, so that setting the clock neither ends nor lengthens it. Only over a
//! boot there is nothing but the clock, and then it lasts no longer than it was to last in all.

use crate::platform::isolation::Walls;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tripline_protocol::{CommandId, Isolation, IsolationEnd, IsolationReport, Network, Span, Timestamp};
use uuid::Uuid;

/// Most addresses of the server that are kept.
pub(super) const SERVER_ADDRESSES_MAX: usize = 16;

/// When something is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// By the clock, which may be set.
    pub clock: Timestamp,
    /// Which boot of the host it is.
    pub boot: Uuid,
    /// Since that boot, suspends included.
    pub since_boot: Duration,
}

/// What somebody asked for.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Wanted {
    pub(super) command_id: CommandId,
    pub(super) lasts: Span,
    pub(super) persist: bool,
    pub(super) allow: Vec<Network>,
}

/// An isolation, as the state directory keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(flatten)]
    pub(super) isolation: Isolation,
    /// The boot that its end is counted from.
    boot: Uuid,
    /// Its end, in milliseconds since that boot.
    ends_ms: u64,
    /// Where the server was found.
    pub(super) server: Vec<SocketAddr>,
    pub(super) name_servers: Vec<IpAddr>,
    /// It is being undone: what is left of it goes away, whatever happens.
    #[serde(default)]
    ending: bool,
}

/// What is to become of an isolation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes on for so long.
    Lasts(Duration),
    /// It goes on in this boot as recorded here.
    Reinstate(Box<Record>, Duration),
    /// It is over.
    Over(IsolationEnd),
}

impl Record {
    /// An isolation that begins, or is renewed, at `now`.
    pub(super) fn begin(wanted: Wanted, found: Walls, now: Moment) -> Self {
        Self {
            isolation: Isolation {
                command_id: wanted.command_id,
                since: now.clock,
                until: now.clock.after(wanted.lasts),
                persist: wanted.persist,
                allow: wanted.allow,
            },
            boot: now.boot,
            ends_ms: millis(now.since_boot).saturating_add(wanted.lasts.as_millis()),
            server: found.server,
            name_servers: found.name_servers,
            ending: false,
        }
    }

    /// What is to become of it.
    pub(super) fn standing(&self, now: Moment) -> Standing {
        if self.ending {
            return Standing::Over(IsolationEnd::Unisolated);
        }
        let here = self.boot == now.boot;
        if !here && !self.isolation.persist {
            return Standing::Over(IsolationEnd::Rebooted);
        }
        match self.left(now) {
            Duration::ZERO => Standing::Over(IsolationEnd::Expired),
            left if here => Standing::Lasts(left),
            left => Standing::Reinstate(Box::new(self.moved(now, left)), left),
        }
    }

    fn left(&self, now: Moment) -> Duration {
        if self.boot == now.boot {
            return Duration::from_millis(self.ends_ms.saturating_sub(millis(now.since_boot)));
        }
        let whole = self.isolation.until.since(self.isolation.since);
        self.isolation.until.since(now.clock).min(whole).to_duration()
    }

    fn moved(&self, now: Moment, left: Duration) -> Self {
        Self {
            boot: now.boot,
            ends_ms: millis(now.since_boot.saturating_add(left)),
            ..self.clone()
        }
    }

    /// The same while it is undone.
    pub(super) fn undoing(&self) -> Self {
        Self {
            ending: true,
            ..self.clone()
        }
    }

    /// What stays reachable; `allow` is what the agent's configuration allows.
    pub(super) fn walls(&self, allow: &[Network]) -> Walls {
        Walls {
            server: self.server.clone(),
            name_servers: self.name_servers.clone(),
            allow: self.isolation.allow.iter().chain(allow).copied().collect(),
        }
    }

    /// Adds addresses where the server was found now, in front; `false`: all of them are known.
    pub(super) fn learn(&mut self, found: &[SocketAddr]) -> bool {
        if found.iter().all(|address| self.server.contains(address)) {
            return false;
        }
        self.server = joined(found, &self.server);
        true
    }

    /// How it is reported.
    pub(super) fn report(&self, now: Moment) -> IsolationReport {
        let left = Span::from_millis(millis(self.left(now)));
        IsolationReport::Isolated {
            left,
            isolation: self.isolation.clone(),
        }
    }

    /// How its end is reported.
    pub(super) fn ended(&self, why: IsolationEnd, now: Moment) -> IsolationReport {
        IsolationReport::Ended {
            command_id: self.isolation.command_id,
            at: now.clock,
            why,
        }
    }
}

/// Both without repetition, at most [`SERVER_ADDRESSES_MAX`]; what is over goes from the end.
pub(super) fn joined(first: &[SocketAddr], second: &[SocketAddr]) -> Vec<SocketAddr> {
    let mut all: Vec<SocketAddr> = Vec::new();
    for address in first.iter().chain(second) {
        if !all.contains(address) {
            all.push(*address);
        }
    }
    all.truncate(SERVER_ADDRESSES_MAX);
    all
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: u64 = 3600;

    fn moment(boot: u128, clock_s: u64, since_boot_s: u64) -> Moment {
        Moment {
            clock: Timestamp::from_micros(0).after(Span::from_secs(clock_s)),
            boot: Uuid::from_u128(boot),
            since_boot: Duration::from_secs(since_boot_s),
        }
    }

    fn record(persist: bool) -> Record {
        let wanted = Wanted {
            command_id: CommandId(Uuid::from_u128(9)),
            lasts: Span::from_secs(4 * HOUR),
            persist,
            allow: Vec::new(),
        };
        Record::begin(wanted, Walls::default(), moment(1, 1_000_000, 500))
    }

    fn lasts(seconds: u64) -> Standing {
        Standing::Lasts(Duration::from_secs(seconds))
    }

    #[test]
    fn it_lasts_as_long_as_was_said_and_no_longer() {
        let record = record(false);
        assert_eq!(record.standing(moment(1, 1_000_000, 500)), lasts(4 * HOUR));
        assert_eq!(
            record.standing(moment(1, 1_000_001, 500 + 4 * HOUR - 1)),
            lasts(1)
        );
        assert_eq!(
            record.standing(moment(1, 1_000_000, 500 + 4 * HOUR)),
            Standing::Over(IsolationEnd::Expired)
        );
    }

    #[test]
    fn a_clock_that_is_set_neither_ends_nor_lengthens_it() {
        let record = record(false);
        assert_eq!(record.standing(moment(1, 0, 600)), lasts(4 * HOUR - 100));
        assert_eq!(record.standing(moment(1, 9_000_000, 600)), lasts(4 * HOUR - 100));
    }

    #[test]
    fn a_boot_ends_it_unless_it_is_to_go_on() {
        let after = moment(2, 1_000_000 + HOUR, 10);
        assert_eq!(
            record(false).standing(after),
            Standing::Over(IsolationEnd::Rebooted)
        );
        let Standing::Reinstate(moved, left) = record(true).standing(after) else {
            panic!("it goes on");
        };
        assert_eq!(left.as_secs(), 3 * HOUR);
        assert_eq!(moved.standing(after), lasts(3 * HOUR));
        assert_eq!(moved.isolation, record(true).isolation);
        let late = moment(2, 1_000_000 + 5 * HOUR, 10);
        assert_eq!(record(true).standing(late), Standing::Over(IsolationEnd::Expired));
    }

    #[test]
    fn after_a_boot_with_a_clock_far_back_it_lasts_no_longer_than_in_all() {
        let Standing::Reinstate(_, left) = record(true).standing(moment(2, 0, 10)) else {
            panic!("it goes on");
        };
        assert_eq!(left.as_secs(), 4 * HOUR);
    }

    #[test]
    fn one_that_was_being_undone_is_over() {
        let mut record = record(true);
        record.ending = true;
        let now = moment(1, 1_000_000, 500);
        assert_eq!(record.standing(now), Standing::Over(IsolationEnd::Unisolated));
    }

    #[test]
    fn it_is_read_as_it_was_written() {
        let record = record(true);
        let text = serde_json::to_string(&record).unwrap();
        assert_eq!(serde_json::from_str::<Record>(&text).unwrap(), record);
    }

    #[test]
    fn addresses_of_the_server_are_kept_up_to_a_bound_the_newest_first() {
        let mut record = record(false);
        let address = |n: u16| SocketAddr::from(([192, 0, 2, 1], n));
        assert!(record.learn(&[address(1)]));
        assert!(!record.learn(&[address(1)]));
        for n in 2..100 {
            assert!(record.learn(&[address(n)]));
        }
        assert_eq!(record.server.len(), SERVER_ADDRESSES_MAX);
        assert_eq!(record.server.first(), Some(&address(99)));
    }

    proptest! {
        #[test]
        fn it_never_lasts_longer_than_was_said(
            clock in 0..10_000_000_u64, since_boot in 0..10_000_000_u64, boot in 1..3_u128, persist: bool,
        ) {
            // Within one boot no time comes back.
            let since_boot = if boot == 1 { since_boot + 500 } else { since_boot };
            match record(persist).standing(moment(boot, clock, since_boot)) {
                Standing::Lasts(left) | Standing::Reinstate(_, left) => {
                    prop_assert!(!left.is_zero() && left.as_secs() <= 4 * HOUR);
                    prop_assert!(boot == 1 || persist);
                }
                Standing::Over(_) => {}
            }
        }
    }
}
