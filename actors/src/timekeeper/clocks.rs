//! The clocks of a scope: one for each period that somebody listens to, over the same members.

use super::place::{Place, due, millis};
use super::ring::Ring;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use tripline_protocol::Timestamp;
use tripline_protocol::limacharlie::Period;

/// How far a clock has come, or that there is none any more.
pub(super) type Row<K> = (Period, Option<Place<K>>);

/// What a turn may do: the rest is for the next one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Ticks that may still be made.
    pub(super) ticks: usize,
    /// Members that may still be looked at.
    pub(super) looks: usize,
}

/// The clocks of a scope and their members.
#[derive(Debug)]
pub(super) struct Clocks<K> {
    pub(super) ring: Ring<K>,
    places: BTreeMap<Period, Place<K>>,
}

impl<K> Default for Clocks<K> {
    fn default() -> Self {
        Self {
            ring: Ring::default(),
            places: BTreeMap::new(),
        }
    }
}

impl<K: Ord + Clone> Clocks<K> {
    /// As an earlier process left it.
    pub(super) fn restore(&mut self, period: Period, place: Place<K>) {
        self.places.insert(period, place);
    }

    /// Has the clocks that somebody wants, and no others. A new one begins now: nobody listened before.
    pub(super) fn set(&mut self, wanted: impl Fn(Period) -> bool, now: Timestamp) -> Vec<Row<K>> {
        let mut rows = Vec::new();
        for period in Period::ALL {
            if !wanted(period) {
                rows.extend(self.places.remove(&period).map(|_| (period, None)));
            } else if let Entry::Vacant(free) = self.places.entry(period) {
                let place = free.insert(Place::at(millis(now), period));
                rows.push((period, Some(place.clone())));
            }
        }
        rows
    }

    /// When the first who waits for a tick was due.
    pub(super) fn waits_since(&self, now: Timestamp) -> Option<u64> {
        let now = millis(now);
        let of_clock = |(period, place): (&Period, &Place<K>)| {
            let place = caught_up(place, now, *period);
            let (round, phase, _) = self.ring.behind(&place).next()?;
            Some(due(*period, round, phase)).filter(|due| *due <= now)
        };
        self.places.iter().filter_map(of_clock).min()
    }

    /// Goes on up to `now`, as far as this turn may. `make` says whether a member gets its tick, and makes it. The answer is what
    /// is to be written with the ticks.
    pub(super) fn advance(
        &mut self,
        now: Timestamp,
        turn: &mut Turn,
        mut make: impl FnMut(Period, &K, u64) -> bool,
    ) -> Vec<Row<K>> {
        let now = millis(now);
        let mut rows = Vec::new();
        for (period, place) in &mut self.places {
            let until = Place::at(now, *period);
            let mut at = caught_up(place, now, *period);
            let mut looked = false;
            let mut is_through = true;
            for (round, phase, member) in self.ring.behind(&at.clone()) {
                let of_member = Place {
                    round,
                    phase: phase.part(),
                    last: Some(member.clone()),
                };
                if of_member > until {
                    break;
                }
                if turn.ticks == 0 || turn.looks == 0 {
                    is_through = false;
                    break;
                }
                turn.looks -= 1;
                if make(*period, member, due(*period, round, phase)) {
                    turn.ticks -= 1;
                }
                looked = true;
                at = of_member;
            }
            // Who comes later than now is not due for a time before.
            *place = if is_through { at.max(until) } else { at };
            if looked {
                rows.push((*period, Some(place.clone())));
            }
        }
        rows
    }
}

/// Where a clock goes on: of ticks that were missed everybody gets the last one alone. A clock that is further than the time of
/// day by more than a period was set by a wrong one, and begins anew.
fn caught_up<K: Ord + Clone>(place: &Place<K>, now: u64, period: Period) -> Place<K> {
    let until = Place::<K>::at(now, period);
    let of_round = |round: u64| Place {
        round,
        ..until.clone()
    };
    if *place > of_round(until.round.saturating_add(1)) {
        return until;
    }
    match until.round.checked_sub(1) {
        Some(before) => place.clone().max(of_round(before)),
        None => place.clone(),
    }
}
