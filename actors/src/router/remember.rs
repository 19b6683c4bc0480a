//! Marks of handled events, kept in order: how long they are, and how many.
//!
//! The mark of an event on which somebody acted is kept as long as the event could come again. That of one on which nobody
//! did, such as those that a threshold counted, is settled: it goes sooner, and there are at most so many of them, as there are
//! of those that became dead letters. Of more, those go that would be forgotten first; should such an event come again it is
//! decided anew, and counted or a dead letter once more. No job comes of it twice, as none did.

use super::{HANDLED_RETAIN, Mark, PRUNE_MAX};
use crate::record::{by_time_key, split_by_time_key};
use crate::refusal::Refusal;
use crate::store::{Batch, Row, Store, Table};
use tripline_protocol::{EventKey, Span, Timestamp};

/// Marks of events on which nobody acted.
pub(super) const SETTLED_MAX: u64 = 200_000;
/// Marks of events that became dead letters.
pub(super) const DEAD_MAX: u64 = 200_000;

/// What an event came to, which says how its mark is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    /// Somebody acted.
    Acted,
    /// Nobody acted.
    Settled,
    /// Nobody could act: it became a dead letter.
    Dead,
}

impl Kept {
    /// Where its marks are in order.
    const fn by_time(self) -> Table {
        match self {
            Self::Acted => Table::HandledByTime,
            Self::Settled => Table::SettledByTime,
            Self::Dead => Table::DeadByTime,
        }
    }
}

/// The decision is remembered for so long with the jobs it made, so that a second delivery decides nothing anew, even
/// under other rules. The row by time is that of one that is remembered for as long as any, and goes at the same time.
pub(super) fn mark_handled(
    batch: &mut Batch,
    key: EventKey,
    (kept, now, retain): (Kept, Timestamp, Span),
    mark: &Mark,
) {
    batch.put(Table::HandledEvent, key.as_bytes().to_vec(), mark.to_bytes());
    let as_if_at = now.after(retain).before(HANDLED_RETAIN);
    batch.put(kept.by_time(), by_time_key(as_if_at, key.as_bytes()), Vec::new());
}

/// What was forgotten at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pruned {
    /// There may be more.
    pub(super) more: bool,
    /// Marks of events on which nobody acted.
    pub(super) settled: u64,
    /// Marks of events that became dead letters.
    pub(super) dead: u64,
}

/// Forgets which events were handled so long before `now` that none of them can come again; `more` is told when a page
/// of them is gone, and said so: there may be more.
pub(super) fn prune(
    store: &Store,
    now: Timestamp,
    more: impl FnOnce() + Send + 'static,
) -> Result<Pruned, Refusal> {
    let horizon = now.before(HANDLED_RETAIN);
    let mut batch = Batch::new();
    let mut pruned = Pruned::default();
    for kept in [Kept::Acted, Kept::Settled, Kept::Dead] {
        let page = store.scan(kept.by_time(), &[], None, PRUNE_MAX)?;
        let is_old = |row: &[u8]| split_by_time_key(row).is_none_or(|(at, _)| at < horizon);
        let old: Vec<_> = page.into_iter().take_while(|(row, _)| is_old(row)).collect();
        pruned.more |= old.len() == PRUNE_MAX;
        let count = forget(&mut batch, kept, old);
        match kept {
            Kept::Acted => {}
            Kept::Settled => pruned.settled = count,
            Kept::Dead => pruned.dead = count,
        }
    }
    match (batch.is_empty(), pruned.more) {
        (true, _) => {}
        (false, true) => store.commit(batch, more),
        (false, false) => store.commit(batch, || {}),
    }
    Ok(pruned)
}

/// Removes marks by their rows in the order of time; how many.
fn forget(batch: &mut Batch, kept: Kept, rows: impl IntoIterator<Item = Row>) -> u64 {
    let mut count = 0;
    for (row, _) in rows {
        let Some((_, id)) = split_by_time_key(&row) else {
            continue;
        };
        batch.delete(kept.by_time(), row);
        batch.delete(Table::HandledEvent, id.to_vec());
        count += 1;
    }
    count
}

/// How many marks of events there are on which nobody acted, of one kind.
#[derive(Debug)]
pub(super) struct Bounded {
    kept: Kept,
    count: u64,
    most: u64,
}

impl Bounded {
    /// Those in the store.
    pub(super) fn load(store: &Store, kept: Kept, most: u64) -> Result<Self, Refusal> {
        let count = store.count(kept.by_time())?;
        Ok(Self { kept, count, most })
    }

    /// So many more are about to be written; of those in the store as many go as are too many then. At once and not with what
    /// is about to be written: who asks next must not find them again.
    pub(super) fn add(&mut self, store: &Store, more: u64) -> Result<(), Refusal> {
        let excess = (self.count + more).saturating_sub(self.most);
        if excess > 0 {
            let limit = usize::try_from(excess).unwrap_or(usize::MAX);
            let mut batch = Batch::new();
            let rows = store.scan(self.kept.by_time(), &[], None, limit)?;
            let cut = forget(&mut batch, self.kept, rows);
            metrics::counter!("tripline_router_marks_cut_total").increment(cut);
            store.commit(batch, || {});
            self.forgot(cut);
        }
        self.count += more;
        Ok(())
    }

    /// So many were forgotten by age.
    pub(super) fn forgot(&mut self, count: u64) {
        self.count = self.count.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Options;
    use uuid::Uuid;

    const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
    const HOUR: Span = Span::from_secs(3600);

    fn key(n: u64) -> EventKey {
        EventKey(Uuid::from_u128(n.into()))
    }

    fn second(n: u64) -> Timestamp {
        START.after(Span::from_secs(n))
    }

    /// Marks the events of these numbers, each handled a second after the one before.
    fn mark(store: &Store, kept: Kept, numbers: impl IntoIterator<Item = u64>) {
        let mut batch = Batch::new();
        for n in numbers {
            mark_handled(&mut batch, key(n), (kept, second(n), HOUR), &Mark::default());
        }
        store.commit(batch, || {});
    }

    fn is_marked(store: &Store, n: u64) -> bool {
        let mark = store.get(Table::HandledEvent, key(n).as_bytes());
        mark.unwrap().is_some()
    }

    #[test]
    fn beyond_so_many_marks_of_events_on_which_nobody_acted_the_oldest_go_and_no_others() {
        for (kept, other) in [(Kept::Settled, Kept::Dead), (Kept::Dead, Kept::Settled)] {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(&Options::new(dir.path())).unwrap();
            let mut bounded = Bounded::load(&store, kept, 3).unwrap();
            mark(&store, Kept::Acted, [0]);
            mark(&store, other, [100]);
            bounded.add(&store, 3).unwrap();
            mark(&store, kept, 1..=3);
            assert!((0..=3).all(|n| is_marked(&store, n)), "as many as there may be");
            bounded.add(&store, 2).unwrap();
            mark(&store, kept, 4..=5);
            let left: Vec<u64> = (0..=5).filter(|n| is_marked(&store, *n)).collect();
            assert_eq!(left, [0, 3, 4, 5]);
            assert_eq!(store.count(kept.by_time()).unwrap(), 3);
            // The same after a restart, and when some went by age.
            let mut bounded = Bounded::load(&store, kept, 3).unwrap();
            let pruned = prune(&store, second(4).after(HOUR), || {}).unwrap();
            let counted = [pruned.settled, pruned.dead];
            let expected = if kept == Kept::Settled { [1, 0] } else { [0, 1] };
            assert_eq!((pruned.more, counted), (false, expected));
            bounded.forgot(1);
            bounded.add(&store, 1).unwrap();
            mark(&store, kept, [6]);
            let left: Vec<u64> = (0..=6).filter(|n| is_marked(&store, *n)).collect();
            assert_eq!(left, [4, 5, 6]);
            assert!(is_marked(&store, 100), "the other kind");
        }
    }
}
