//! How many answers are remembered, and how long they are together: what is too much is forgotten.
//!
//! The index by time has the size of each answer, so that none has to be read to be counted or forgotten. Answers to `org_install` and
//! `org_uninstall` are not forgotten early: a late repeat of one would remove an org that came back. There is a bound of their own, at
//! which further such calls are to come again.

use super::ServiceRole;
use super::record::Weight;
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table, key};
use tripline_protocol::Timestamp;

/// Answers that are remembered. Beyond, those whose time is over first are forgotten first: their repeats cause the same events and
/// jobs, which are known again by their ids for as long as those are.
const CALLS_KEPT_MAX: u64 = 200_000;
/// Bytes of answers that are remembered, beyond which it is the same.
const CALLS_KEPT_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Answers to `org_install` and `org_uninstall` that are remembered; so many are less than what is looked at in one turn, so that they
/// do not keep others from being forgotten.
const SUBSCRIPTIONS_KEPT_MAX: u64 = 10_000;
/// Answers forgotten at once.
const PRUNE_MAX: usize = 20_000;
/// Rows of the index read at once.
const PAGE: usize = 1_000;

/// What is remembered.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    rows: u64,
    bytes: u64,
    /// Those among them that are not forgotten early.
    lasting: u64,
}

impl Kept {
    /// What may be remembered.
    const fn most() -> Self {
        Self {
            rows: CALLS_KEPT_MAX,
            bytes: CALLS_KEPT_BYTES_MAX,
            lasting: SUBSCRIPTIONS_KEPT_MAX,
        }
    }

    /// Whether one more may be remembered that is not forgotten early.
    pub(super) fn has_room_to_last(&self) -> bool {
        self.lasting < Self::most().lasting
    }

    /// What the store has.
    pub(super) fn load(store: &Store) -> Result<Self, Refusal> {
        let (mut kept, mut after) = (Self::default(), None::<Vec<u8>>);
        loop {
            let page = store.scan(Table::LcCallByTime, &[], after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else {
                return Ok(kept);
            };
            after = Some(last.clone());
            page.iter().for_each(|(_, row)| kept.more(Weight::read(row)));
        }
    }

    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One is remembered.
    pub(super) fn more(&mut self, weight: Weight) {
        self.rows += 1;
        self.bytes += u64::from(weight.bytes);
        self.lasting += u64::from(weight.lasts);
    }

    /// One is not any more.
    pub(super) fn less(&mut self, weight: Weight) {
        self.rows = self.rows.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::from(weight.bytes));
        self.lasting = self.lasting.saturating_sub(u64::from(weight.lasts));
    }

    /// Forgets answers whose time is over, and the first of those that are more than `most`, so many at once; returns how many
    /// were forgotten before their time.
    fn forget(
        &mut self,
        store: &Store,
        now: Timestamp,
        most: &Self,
        batch: &mut Batch,
    ) -> Result<u64, Refusal> {
        let (mut early, mut after) = (0, None::<Vec<u8>>);
        for _ in 0..PRUNE_MAX / PAGE {
            let page = store.scan(Table::LcCallByTime, &[], after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (index, row) in page {
                let weight = Weight::read(&row);
                let is_over = key::read_time(&index).is_some_and(|until| until <= now);
                let is_too_much = self.rows > most.rows || self.bytes > most.bytes;
                if !is_over && !is_too_much {
                    return Ok(early);
                }
                if !is_over && weight.lasts {
                    continue;
                }
                early += u64::from(!is_over);
                self.less(weight);
                batch.delete(Table::LcCall, index.get(8..).unwrap_or_default().to_vec());
                batch.delete(Table::LcCallByTime, index);
            }
        }
        Ok(early)
    }
}

impl ServiceRole {
    /// Forgets what is over, and what is too much.
    pub(super) fn prune(&mut self) {
        let mut batch = Batch::new();
        let now = self.ground.now();
        match self
            .kept
            .forget(&self.ground.store, now, &Kept::most(), &mut batch)
        {
            Ok(early) if early > 0 => {
                metrics::counter!("tripline_limacharlie_calls_forgotten_total").increment(early);
            }
            Ok(_) => {}
            Err(error) => tracing::error!(%error, "answers to LimaCharlie cannot be forgotten"),
        }
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::record::{CallKey, CallNote};
    use super::*;
    use crate::store::Options;
    use tripline_protocol::Span;
    use tripline_protocol::limacharlie::Answer;

    const START: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

    /// Remembers an answer to a call with this number; returns how many bytes that are.
    fn remember(store: &Store, kept: &mut Kept, etype: &str, number: u64) -> u64 {
        let note = CallNote {
            etype: etype.into(),
            at: START,
            until: START.after(Span::from_secs(number)),
            answer: Some(Answer::done()),
            jobs: Vec::new(),
        };
        let key = CallKey {
            org: None,
            mid: number.to_string(),
        };
        let mut batch = Batch::new();
        let weight = note.put(&mut batch, &key.row());
        kept.more(weight);
        store.commit(batch, || {});
        u64::from(weight.bytes)
    }

    /// What is forgotten early of four answers if so much may be kept, and what is left.
    fn forgotten(most: impl Fn(u64) -> Kept) -> (u64, Kept, Kept) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let mut kept = Kept::default();
        let bytes: u64 = (1..=4)
            .map(|number| remember(&store, &mut kept, "detection", number))
            .sum();
        let mut batch = Batch::new();
        let early = kept.forget(&store, START, &most(bytes), &mut batch).unwrap();
        store.commit(batch, || {});
        let counted = Kept::load(&store).unwrap();
        assert_eq!(store.count(Table::LcCall).unwrap(), counted.rows);
        (early, kept, counted)
    }

    #[test]
    fn answers_are_remembered_up_to_a_number_and_to_a_sum_of_bytes() {
        for (rows, fewer_bytes, early) in [(4, 0, 0), (3, 0, 1), (4, 1, 1), (1, 0, 3), (0, 0, 4)] {
            let most = |bytes: u64| Kept {
                rows,
                bytes: bytes - fewer_bytes,
                lasting: 0,
            };
            let (found, kept, counted) = forgotten(most);
            assert_eq!((found, counted.rows), (early, 4 - early));
            assert_eq!(kept, counted, "what is counted is what is there");
        }
    }

    #[test]
    fn answers_about_subscriptions_are_remembered_until_their_time_is_over_however_many_others_there_are() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let mut kept = Kept::default();
        for (number, etype) in (1..).zip(["org_install", "detection", "org_uninstall", "detection"]) {
            remember(&store, &mut kept, etype, number);
        }
        let forget = |kept: &mut Kept, now| {
            let mut batch = Batch::new();
            let early = kept.forget(&store, now, &Kept::default(), &mut batch).unwrap();
            store.commit(batch, || {});
            assert_eq!(*kept, Kept::load(&store).unwrap());
            early
        };
        assert_eq!(forget(&mut kept, START), 2, "none may be kept, and these may go");
        assert_eq!((kept.rows, kept.lasting), (2, 2));
        let end = START.after(Span::from_secs(3));
        assert_eq!(forget(&mut kept, end), 0);
        assert_eq!(kept, Kept::default());
    }

    #[test]
    fn what_is_over_is_forgotten_though_it_is_not_too_much() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&Options::new(dir.path())).unwrap();
        let mut kept = Kept::default();
        for number in 1..=4 {
            remember(&store, &mut kept, "detection", number);
        }
        let mut batch = Batch::new();
        let at = START.after(Span::from_secs(3));
        assert_eq!(
            kept.forget(&store, at, &Kept::most(), &mut batch).unwrap(),
            0,
            "none early"
        );
        assert_eq!(kept.rows, 1);
    }
}
