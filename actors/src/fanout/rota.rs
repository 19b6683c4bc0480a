//! Whose turn it is: fan-outs make jobs one after the other, each a few, so that none waits for all that another has to make.

use std::collections::BTreeSet;
use std::ops::Bound;
use tripline_protocol::FanoutId;

/// Those that may have something to do, in a ring.
#[derive(Debug, Default)]
pub(super) struct Rota {
    waiting: BTreeSet<FanoutId>,
    last: Option<FanoutId>,
}

impl Rota {
    pub(super) fn add(&mut self, id: FanoutId) {
        self.waiting.insert(id);
    }

    pub(super) fn add_all<'a>(&mut self, ids: impl IntoIterator<Item = &'a FanoutId>) {
        self.waiting.extend(ids);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next behind the one that was last.
    fn next(&mut self) -> Option<FanoutId> {
        let behind = self.last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.waiting.range((behind, Bound::Unbounded));
        let next = rest.next().or_else(|| self.waiting.first()).copied()?;
        self.waiting.remove(&next);
        self.last = Some(next);
        Some(next)
    }

    /// Lets each have its turn, until they have made `room` things together. `make` makes at most as many as it is told, and those
    /// that were stopped by that wait for their next turn, behind the others.
    pub(super) fn share(&mut self, mut room: usize, mut make: impl FnMut(FanoutId, usize) -> usize) {
        while room > 0
            && let Some(id) = self.next()
        {
            let made = make(id, room);
            if made >= room {
                self.add(id);
            }
            room = room.saturating_sub(made);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;
    use uuid::Uuid;

    const ROOM: usize = 50;

    #[test]
    fn a_turn_is_so_long_however_many_fan_outs_there_are_and_all_have_theirs() {
        let mut left: BTreeMap<FanoutId, usize> =
            (0..100).map(|n| (FanoutId(Uuid::from_u128(n)), 75)).collect();
        let mut rota = Rota::default();
        rota.add_all(left.keys());
        let mut turns = Vec::new();
        while !rota.is_empty() {
            let mut made = 0;
            rota.share(ROOM, |id, room| {
                let of = left.get_mut(&id).unwrap();
                let now = room.min(*of);
                *of -= now;
                made += now;
                now
            });
            turns.push(made);
            if turns.len() == 100 {
                assert!(
                    left.values().all(|left| *left <= 25),
                    "one was left behind: {left:?}"
                );
            }
        }
        assert!(turns.iter().all(|made| *made <= ROOM), "{turns:?}");
        assert!(left.values().all(|left| *left == 0));
    }
}
