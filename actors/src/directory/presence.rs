//! Which LittleBrother clients are believed alive, and which were not heard of for too long: one queue for all.
//!
//! Deliberately not here: whether one really is silent (its Host actor knows), and what follows.

use std::collections::{BTreeSet, HashMap};
use tripline_protocol::{HostId, Span, Timestamp};

/// How long after a suspicion that led to nothing the next one may come.
const SUSPECT_AGAIN: Span = Span::from_secs(5);

#[derive(Debug, Default)]
pub(super) struct Presence {
    /// When each was last heard of.
    heard: HashMap<HostId, Timestamp>,
    /// Each once, by a time since when it may have been silent.
    queue: BTreeSet<(Timestamp, HostId)>,
}

impl Presence {
    pub(super) fn len(&self) -> usize {
        self.heard.len()
    }

    pub(super) fn heard(&mut self, client: HostId, now: Timestamp) {
        if self.heard.insert(client, now).is_none() {
            self.queue.insert((now, client));
        }
    }

    /// It is silent, and that is known.
    pub(super) fn forget(&mut self, client: HostId) {
        self.heard.remove(&client);
    }

    /// Counts the silence of all from now on.
    pub(super) fn restart(&mut self, now: Timestamp) {
        self.heard.values_mut().for_each(|heard| *heard = now);
        self.queue = self
            .heard
            .iter()
            .map(|(client, heard)| (*heard, *client))
            .collect();
    }

    /// At most `count` that were not heard of for longer than `limit`, and since when. Each comes again until it is heard of or forgotten.
    pub(super) fn suspects(&mut self, limit: Span, now: Timestamp, count: usize) -> Vec<(HostId, Timestamp)> {
        let mut suspects = Vec::new();
        while suspects.len() < count {
            let Some((since, client)) = self.queue.first().copied() else {
                break;
            };
            if now.since(since) <= limit {
                break;
            }
            self.queue.remove(&(since, client));
            let Some(heard) = self.heard.get(&client).copied() else {
                continue;
            };
            if now.since(heard) <= limit {
                self.queue.insert((heard, client));
            } else {
                self.queue
                    .insert((now.before(limit).after(SUSPECT_AGAIN), client));
                suspects.push((client, heard));
            }
        }
        suspects
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const LIMIT: Span = Span::from_secs(50);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros((1000 + seconds) * 1_000_000)
    }

    fn id(n: u128) -> HostId {
        HostId(Uuid::from_u128(n))
    }

    fn suspects(presence: &mut Presence, seconds: i64) -> Vec<u128> {
        let suspects = presence.suspects(LIMIT, at(seconds), 10);
        suspects.iter().map(|(client, _)| client.0.as_u128()).collect()
    }

    #[test]
    fn only_who_was_not_heard_of_for_too_long_is_suspect() {
        let mut presence = Presence::default();
        presence.heard(id(1), at(0));
        presence.heard(id(2), at(0));
        presence.heard(id(2), at(30));
        assert_eq!(suspects(&mut presence, 50), []);
        assert_eq!(presence.suspects(LIMIT, at(51), 10), [(id(1), at(0))]);
        presence.forget(id(1));
        assert_eq!(suspects(&mut presence, 80), []);
        assert_eq!(suspects(&mut presence, 81), [2]);
        assert_eq!(presence.len(), 1);
    }

    #[test]
    fn a_suspect_comes_again_until_it_is_heard_of() {
        let mut presence = Presence::default();
        presence.heard(id(1), at(0));
        assert_eq!(suspects(&mut presence, 60), [1]);
        assert_eq!(suspects(&mut presence, 65), []);
        assert_eq!(suspects(&mut presence, 66), [1]);
        presence.heard(id(1), at(67));
        assert_eq!(suspects(&mut presence, 117), []);
        assert_eq!(suspects(&mut presence, 118), [1]);
    }

    #[test]
    fn one_that_comes_back_after_it_was_forgotten_is_looked_at_again() {
        let mut presence = Presence::default();
        presence.heard(id(1), at(0));
        assert_eq!(suspects(&mut presence, 60), [1]);
        presence.forget(id(1));
        presence.heard(id(1), at(61));
        assert_eq!(suspects(&mut presence, 66), []);
        assert_eq!(suspects(&mut presence, 112), [1]);
    }

    #[test]
    fn many_suspects_come_in_portions_and_none_twice() {
        let mut presence = Presence::default();
        (0..10).for_each(|n| presence.heard(id(n), at(0)));
        let mut seen = presence.suspects(LIMIT, at(60), 6);
        seen.extend(presence.suspects(LIMIT, at(60), 6));
        seen.sort_unstable();
        let all: Vec<_> = (0..10).map(|n| (id(n), at(0))).collect();
        assert_eq!(seen, all);
    }

    #[test]
    fn a_limit_that_changes_counts_at_once() {
        let mut presence = Presence::default();
        presence.heard(id(1), at(0));
        assert_eq!(suspects(&mut presence, 21), []);
        let shorter = presence.suspects(Span::from_secs(20), at(21), 10);
        assert_eq!(shorter, [(id(1), at(0))]);
    }

    #[test]
    fn whoever_was_not_served_is_not_blamed_for_it() {
        let mut presence = Presence::default();
        presence.heard(id(1), at(0));
        presence.restart(at(40));
        assert_eq!(suspects(&mut presence, 60), []);
        assert_eq!(suspects(&mut presence, 91), [1]);
    }
}
