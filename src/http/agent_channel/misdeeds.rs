//! What agents do that they should not, in the log: with the host, and of each host now and then only.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::fmt::Display;
use std::sync::Arc;
use tripline_actors::Seldom;
use tripline_actors::clock::Clock;
use tripline_protocol::HostId;

/// Hosts that are remembered; one more that misbehaves within the same minute is counted by metrics only.
const HOSTS_MAX: usize = 10_000;
/// Longest text that is written of what others said.
const TEXT_CHARS_MAX: usize = 200;

/// All hosts. Cheap to clone.
#[derive(Clone)]
pub(super) struct Misdeeds {
    clock: Arc<dyn Clock>,
    hosts: Arc<Mutex<HashMap<HostId, Seldom>>>,
}

/// Those of one host's agent.
#[derive(Clone)]
pub(super) struct Conduct {
    misdeeds: Misdeeds,
    host_id: HostId,
}

impl Misdeeds {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        let hosts = Arc::default();
        Self { clock, hosts }
    }

    pub(super) fn of(&self, host_id: HostId) -> Conduct {
        let misdeeds = self.clone();
        Conduct { misdeeds, host_id }
    }

    /// Whether a line may be written, and how many were not.
    fn tell(&self, host_id: HostId) -> Option<u64> {
        let now = self.clock.now();
        let mut hosts = self.hosts.lock();
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(&host_id) {
            hosts.retain(|_, seldom| !seldom.is_over(now));
            if hosts.len() >= HOSTS_MAX {
                return None;
            }
        }
        hosts.entry(host_id).or_default().tell(now)
    }
}

impl Conduct {
    /// The connection ends for it.
    pub(super) fn ends(&self, violation: &dyn Display) {
        self.write("agent disconnected: it broke the protocol", violation);
    }

    /// A command fails for it, and the connection goes on.
    pub(super) fn fails(&self, fault: &dyn Display) {
        self.write("a transfer of an agent failed", fault);
    }

    fn write(&self, message: &'static str, why: &dyn Display) {
        if let Some(untold) = self.misdeeds.tell(self.host_id) {
            let why = brief(&why.to_string());
            tracing::warn!(host = %self.host_id, why, untold, "{message}");
        }
    }
}

/// A text that others had a part in, on one line and not too long.
fn brief(text: &str) -> String {
    let plain = |c: char| {
        if c.is_control() {
            char::REPLACEMENT_CHARACTER
        } else {
            c
        }
    };
    let mut brief: String = text.chars().take(TEXT_CHARS_MAX).map(plain).collect();
    if brief.len() < text.len() {
        brief.push('…');
    }
    brief
}

#[cfg(test)]
mod tests {
    use super::*;
    use tripline_actors::clock::ManualClock;
    use tripline_protocol::{Span, Timestamp};
    use uuid::Uuid;

    #[test]
    fn what_others_said_stays_short_and_on_one_line() {
        assert_eq!(
            brief("unknown variant `x\n2026 WARN forged\u{1b}[2J`"),
            "unknown variant `x\u{fffd}2026 WARN forged\u{fffd}[2J`"
        );
        assert_eq!(brief(&"é".repeat(500)).chars().count(), TEXT_CHARS_MAX + 1);
    }

    #[test]
    fn each_host_has_its_own_lines_and_not_all_hosts_are_remembered_for_ever() {
        let clock = ManualClock::new(Timestamp::from_micros(0));
        let misdeeds = Misdeeds::new(Arc::new(clock.clone()));
        let host = |number: usize| HostId(Uuid::from_u128(number as u128));
        let told = (0..9).filter(|_| misdeeds.tell(host(1)).is_some()).count();
        assert!(told < 9);
        assert!(misdeeds.tell(host(2)).is_some());
        (3..=HOSTS_MAX).for_each(|number| assert!(misdeeds.tell(host(number)).is_some()));
        assert_eq!(misdeeds.tell(host(HOSTS_MAX + 1)), None);
        clock.advance(Span::from_secs(60));
        assert!(misdeeds.tell(host(HOSTS_MAX + 1)).is_some());
        assert_eq!(misdeeds.hosts.lock().len(), 1);
    }
}
