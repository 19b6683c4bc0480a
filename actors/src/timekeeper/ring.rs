//! Who gets the ticks of a scope, in the order in which they are due in every period.
//!
//! This takes the place of a heap with an entry for each member and period: the order is the same in all periods and all
//! rounds, so it is kept once, and what is due next is found by a binary search. A sensor costs 20 bytes, however many
//! periods there are.

use super::place::{Phase, Place};

/// The members of a scope by phase.
#[derive(Debug)]
pub(super) struct Ring<K> {
    members: Vec<(Phase, K)>,
}

impl<K> Default for Ring<K> {
    fn default() -> Self {
        Self { members: Vec::new() }
    }
}

impl<K: Ord> Ring<K> {
    /// Adds those that are not there yet.
    pub(super) fn add(&mut self, members: impl IntoIterator<Item = (Phase, K)>) {
        let before = self.members.len();
        self.members.extend(members);
        if self.members.len() > before {
            // Stable sorting is fast where most of it is in order.
            self.members.sort();
            self.members.dedup();
        }
    }

    pub(super) fn retain(&mut self, keeps: impl Fn(&K) -> bool) {
        self.members.retain(|(_, member)| keeps(member));
    }

    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Bytes that members take.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.members.capacity() * size_of::<(Phase, K)>()
    }

    /// Those who are due behind `place`, in order, with the round; over and over, so it has no end unless it is empty.
    pub(super) fn behind<'a>(&'a self, place: &Place<K>) -> impl Iterator<Item = (u64, Phase, &'a K)> {
        let done = self.members.partition_point(|(phase, member)| {
            (phase.part(), Some(member)) <= (place.phase, place.last.as_ref())
        });
        let of_round = |round: u64, members: &'a [(Phase, K)]| {
            members.iter().map(move |(phase, member)| (round, *phase, member))
        };
        let rest = self.members.get(done..).unwrap_or_default();
        let rounds = place.round.saturating_add(1)..;
        let later = rounds
            .take_while(|_| !self.members.is_empty())
            .flat_map(move |round| of_round(round, &self.members));
        of_round(place.round, rest).chain(later)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_come_by_phase_round_after_round() {
        let mut ring = Ring::default();
        ring.add([
            (Phase::at(7), 'b'),
            (Phase::at(3), 'a'),
            (Phase::at(7), 'c'),
            (Phase::at(3), 'a'),
        ]);
        let come = |phase, last| {
            let place = Place {
                round: 5,
                phase,
                last,
            };
            let come = ring.behind(&place).take(4);
            come.map(|(round, _, member)| (round, *member))
                .collect::<Vec<_>>()
        };
        assert_eq!(come(0, None), [(5, 'a'), (5, 'b'), (5, 'c'), (6, 'a')]);
        assert_eq!(come(7, None), [(5, 'b'), (5, 'c'), (6, 'a'), (6, 'b')]);
        assert_eq!(come(7, Some('b')), [(5, 'c'), (6, 'a'), (6, 'b'), (6, 'c')]);
        assert_eq!(come(8, None), [(6, 'a'), (6, 'b'), (6, 'c'), (7, 'a')]);
        assert_eq!(
            Ring::<char>::default()
                .behind(&Place {
                    round: 0,
                    phase: 0,
                    last: None
                })
                .count(),
            0
        );
    }

    #[test]
    fn a_sensor_takes_twenty_bytes() {
        assert_eq!(size_of::<(Phase, tripline_protocol::HostId)>(), 20);
    }
}
