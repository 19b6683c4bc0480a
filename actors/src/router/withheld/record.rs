//! The record of decisions not to act: for whoever asks why nothing happened.
//!
//! A row for each event and pipeline, written with the decision. So that a flood costs no write per event, a pipeline
//! gets so many rows for one reason at once and then so many in a second; what is beyond is only counted, in a row for
//! each pipeline that follows within seconds. All is bounded by age and by count.

use super::Withheld;
use crate::ground::{decoded, name_of, rows};
use crate::ingest::Dead;
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::key::{Key, read_time};
use crate::store::{Batch, Store, Table};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use tripline_protocol::api::{DryRun, WithheldCount, WithheldView};
use tripline_protocol::event::EventRef;
use tripline_protocol::{Event, EventKey, Name, Org, Sha256, Span, Timestamp};

/// How long a decision is remembered: as long as a handled event.
const RETAIN: Span = Span::from_secs(7 * 24 * 3600);
/// Decisions that are remembered.
const DECISIONS_MAX: u64 = 200_000;
/// Decisions of one pipeline for one reason that are recorded at once.
const BURST: u32 = 100;
/// Milliseconds until one more of them is.
const REFILL_MILLIS: u64 = 1_000;
/// The same of all pipelines and reasons together.
const ALL_BURST: u32 = 1_000;
const ALL_REFILL_MILLIS: u64 = 50;
/// Characters of a text.
const TEXT_CHARS_MAX: usize = 600;
/// Rows that are too old and removed at once.
const PRUNE_MAX: usize = 2_000;
/// Rows that are looked at for an org that is removed before others are served.
const FORGET_PAGE: usize = 200;

/// A decision not to act, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct DecisionRecord {
    pub(crate) org: Org,
    pub(crate) reason: String,
    text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<Sha256>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    would: Option<Box<DryRun>>,
    pub(crate) at: Timestamp,
    pub(crate) run: u32,
    dead_letter: bool,
    /// The event's sequence in its stream. An older version wrote none, and no event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sequence: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event: Option<EventRef>,
}

impl DecisionRecord {
    pub(crate) fn to_view(&self, pipeline: Option<Name>) -> WithheldView {
        WithheldView {
            pipeline,
            version: self.version.clone(),
            reason: self.reason.clone(),
            text: self.text.clone(),
            key: self.key.clone(),
            would: self.would.as_deref().cloned(),
            at: self.at,
            run: self.run,
            dead_letter: self.dead_letter,
        }
    }
}

/// How often a pipeline did not act, by reason, as it is written.
pub(crate) type TallyRecord = BTreeMap<String, Tally>;

/// How often it did not act for one reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tally {
    count: u64,
    /// Of these without a row of their own.
    unrecorded: u64,
    first_at: Timestamp,
    last_at: Timestamp,
}

/// So many at once, and then one more after each span: a bucket of tokens.
#[derive(Debug, Clone, Copy)]
struct Pace {
    left: u32,
    most: u32,
    refill: u64,
    at: Timestamp,
}

impl Pace {
    fn new(most: u32, refill: u64, now: Timestamp) -> Self {
        Self {
            left: most,
            most,
            refill,
            at: now,
        }
    }

    fn refill(&mut self, now: Timestamp) {
        let more = now.since(self.at).as_millis() / self.refill;
        self.at = self.at.after(Span::from_millis(more.saturating_mul(self.refill)));
        let more = u32::try_from(more).unwrap_or(u32::MAX);
        self.left = self.left.saturating_add(more).min(self.most);
    }

    fn is_full(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        self.left == self.most
    }

    fn take(&mut self, now: Timestamp) -> bool {
        self.refill(now);
        let taken = self.left > 0;
        self.left = self.left.saturating_sub(1);
        taken
    }
}

/// What is remembered.
#[derive(Debug)]
pub(crate) struct Records {
    /// Rows in the store.
    count: u64,
    count_max: u64,
    all: Pace,
    paces: HashMap<(Option<Name>, &'static str), Pace>,
    tallies: HashMap<Name, TallyRecord>,
    /// Pipelines whose counts are newer than their rows.
    behind: HashSet<Name>,
    /// Of the decisions under way, by row.
    fresh: BTreeMap<Vec<u8>, DecisionRecord>,
    /// Rows of pipelines that act after all.
    over: HashSet<Vec<u8>>,
}

/// An event that is decided about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) event: &'a Event,
    pub(crate) run: u32,
    /// The event's sequence in its stream.
    pub(crate) sequence: u64,
    pub(crate) now: Timestamp,
}

impl Records {
    /// As the store has it.
    pub(crate) fn load(store: &Store, now: Timestamp) -> Result<Self, Refusal> {
        let mut tallies = HashMap::new();
        rows(
            store,
            Table::WithheldTally,
            "counts of decisions",
            |key, tally| {
                // Counting goes on from nothing where it cannot be read.
                if let (Ok(name), Ok(tally)) = (name_of(key), tally) {
                    tallies.insert(name, tally);
                }
                Ok(())
            },
        )?;
        Ok(Self {
            count: store.count(Table::Withheld)?,
            count_max: DECISIONS_MAX,
            all: Pace::new(ALL_BURST, ALL_REFILL_MILLIS, now),
            paces: HashMap::new(),
            tallies,
            behind: HashSet::new(),
            fresh: BTreeMap::new(),
            over: HashSet::new(),
        })
    }

    /// A pipeline does not act.
    pub(crate) fn withheld(&mut self, of: Of<'_>, withheld: &Withheld, version: Option<&Sha256>) {
        let word = withheld.why.word();
        metrics::counter!("tripline_router_withheld_total", "reason" => word).increment(1);
        let is_recorded = self.admits(Some(&withheld.pipeline), word, of.now);
        self.tally(&withheld.pipeline, word, of.now, is_recorded);
        if is_recorded {
            let record = DecisionRecord {
                version: version.cloned(),
                key: withheld.key.clone().filter(|key| !key.is_empty()),
                would: withheld.would.clone(),
                ..record(of, word, &withheld.text)
            };
            self.fresh
                .insert(row(of.event.key, Some(&withheld.pipeline)), record);
        }
    }

    /// A pipeline acts on an event that came again: what was decided before is true no more.
    pub(crate) fn acted(&mut self, event: EventKey, pipeline: &Name) {
        let row = row(event, Some(pipeline));
        self.fresh.remove(&row);
        self.over.insert(row);
    }

    /// The event becomes a dead letter.
    pub(crate) fn dead(&mut self, of: Of<'_>, dead: &Dead) {
        if self.admits(None, dead.reason, of.now) {
            let record = DecisionRecord {
                dead_letter: true,
                ..record(of, dead.reason, &dead.text)
            };
            self.fresh.insert(row(of.event.key, None), record);
        }
    }

    /// Whether one more decision of the pipeline for this reason gets a row.
    fn admits(&mut self, pipeline: Option<&Name>, word: &'static str, now: Timestamp) -> bool {
        let pace = self.paces.entry((pipeline.cloned(), word));
        let pace = pace.or_insert_with(|| Pace::new(BURST, REFILL_MILLIS, now));
        let admitted = pace.take(now) && self.all.take(now);
        if !admitted {
            metrics::counter!("tripline_router_decisions_unrecorded_total").increment(1);
        }
        admitted
    }

    fn tally(&mut self, pipeline: &Name, word: &str, now: Timestamp, is_recorded: bool) {
        let unrecorded = u64::from(!is_recorded);
        let tallies = self.tallies.entry(pipeline.clone()).or_default();
        match tallies.get_mut(word) {
            Some(tally) => {
                tally.count += 1;
                tally.unrecorded += unrecorded;
                tally.last_at = now;
            }
            None => {
                let tally = Tally {
                    count: 1,
                    unrecorded,
                    first_at: now,
                    last_at: now,
                };
                tallies.insert(word.to_owned(), tally);
            }
        }
        if !self.behind.contains(pipeline) {
            self.behind.insert(pipeline.clone());
        }
    }

    /// How often a pipeline did not act.
    pub(crate) fn counts(&self, pipeline: &Name) -> Vec<WithheldCount> {
        let tallies = self.tallies.get(pipeline).into_iter().flatten();
        let count = |(reason, tally): (&String, &Tally)| WithheldCount {
            reason: reason.clone(),
            count: tally.count,
            unrecorded: tally.unrecorded,
            first_at: tally.first_at,
            last_at: tally.last_at,
        };
        tallies.map(count).collect()
    }

    /// Adds the decisions under way to their batch. Beyond what is remembered the oldest go.
    pub(crate) fn stage(&mut self, store: &Store, batch: &mut Batch) -> Result<(), Refusal> {
        self.remove_over(store, batch)?;
        if self.fresh.is_empty() {
            return Ok(());
        }
        let excess = (self.count + self.fresh.len() as u64).saturating_sub(self.count_max);
        let mut cut = HashSet::new();
        for (index, _) in store.scan(
            Table::WithheldByTime,
            &[],
            None,
            usize::try_from(excess).unwrap_or(usize::MAX),
        )? {
            cut.extend(remove(batch, index));
        }
        metrics::counter!("tripline_router_decisions_cut_total").increment(cut.len() as u64);
        self.count = self.count.saturating_sub(cut.len() as u64);
        for (row, record) in std::mem::take(&mut self.fresh) {
            let old = kept(store, &row)?;
            match old.filter(|_| !cut.contains(&row)) {
                Some(old) => batch.delete(Table::WithheldByTime, by_time(old.at, &row)),
                None => self.count += 1,
            }
            batch.put(Table::WithheldByTime, by_time(record.at, &row), Vec::new());
            batch.put(Table::Withheld, row, encode(&record));
        }
        Ok(())
    }

    fn remove_over(&mut self, store: &Store, batch: &mut Batch) -> Result<(), Refusal> {
        for row in std::mem::take(&mut self.over) {
            if let Some(old) = kept(store, &row)? {
                remove(batch, by_time(old.at, &row).into());
                self.count = self.count.saturating_sub(1);
            }
        }
        Ok(())
    }

    /// Forgets the decisions about events of an org that were made until then, among the next ones; how many there were, and where
    /// to go on.
    pub(crate) fn forget_org(
        &mut self,
        store: &Store,
        org: &Org,
        until: Timestamp,
        after: Option<&[u8]>,
    ) -> Result<(usize, Option<Vec<u8>>), Refusal> {
        let page = store.scan(Table::WithheldByTime, &[], after, FORGET_PAGE)?;
        let mut next = page.last().map(|(last, _)| last.clone());
        let (mut batch, mut found) = (Batch::new(), 0);
        for (index, _) in page {
            if read_time(&index).is_none_or(|at| at > until) {
                next = None;
                break;
            }
            let record = kept(store, index.get(8..).unwrap_or_default())?;
            if record.is_some_and(|record| record.org == *org) {
                remove(&mut batch, index);
                found += 1;
            }
        }
        self.count = self.count.saturating_sub(found as u64);
        if !batch.is_empty() {
            store.commit(batch, || {});
        }
        Ok((found, next))
    }

    /// The decisions under way are refused.
    pub(crate) fn roll_back(&mut self) {
        self.over.clear();
        self.fresh.clear();
    }

    /// Forgets what is too old, and writes what was counted since.
    pub(crate) fn tick(&mut self, store: &Store, now: Timestamp) -> Result<(), Refusal> {
        let mut batch = Batch::new();
        let horizon = now.before(RETAIN);
        for (index, _) in store.scan(Table::WithheldByTime, &[], None, PRUNE_MAX)? {
            if read_time(&index).is_none_or(|at| at >= horizon) {
                break;
            }
            remove(&mut batch, index);
            self.count = self.count.saturating_sub(1);
        }
        for pipeline in self.behind.drain() {
            if let Some(tally) = self.tallies.get(&pipeline) {
                batch.put(
                    Table::WithheldTally,
                    pipeline.as_str().as_bytes().to_vec(),
                    encode(tally),
                );
            }
        }
        self.paces.retain(|_, pace| !pace.is_full(now));
        metrics::gauge!("tripline_router_decisions_kept").set(self.count as f64);
        if !batch.is_empty() {
            store.commit(batch, || {});
        }
        Ok(())
    }

    /// Lets go of the counts of pipelines that are not there any more.
    pub(crate) fn keep(&mut self, is_there: impl Fn(&Name) -> bool, batch: &mut Batch) {
        self.tallies.retain(|pipeline, _| {
            let keeps = is_there(pipeline);
            if !keeps {
                batch.delete(Table::WithheldTally, pipeline.as_str().as_bytes().to_vec());
            }
            keeps
        });
    }
}

/// The record in a row. One that is unreadable is as if it were not there: a diagnosis must not keep events from being
/// decided.
fn kept(store: &Store, row: &[u8]) -> Result<Option<DecisionRecord>, Refusal> {
    let bytes = store.get(Table::Withheld, row)?;
    Ok(bytes.and_then(|bytes| decoded("decision", &bytes).ok()))
}

fn record(of: Of<'_>, reason: &str, text: &str) -> DecisionRecord {
    DecisionRecord {
        org: of.event.org.clone(),
        reason: reason.to_owned(),
        text: text.chars().take(TEXT_CHARS_MAX).collect(),
        version: None,
        key: None,
        would: None,
        at: of.now,
        run: of.run,
        dead_letter: false,
        sequence: Some(of.sequence),
        event: Some(of.event.to_ref()),
    }
}

/// The key of a row: of an event, and of a pipeline if it is one's.
fn row(event: EventKey, pipeline: Option<&Name>) -> Vec<u8> {
    let name = pipeline.map_or("", Name::as_str);
    [&event.as_bytes()[..], name.as_bytes()].concat()
}

/// The event and pipeline that a row's key names.
pub(crate) fn of_row(key: &[u8]) -> Option<(EventKey, Option<Name>)> {
    let (event, name) = key.split_first_chunk::<16>()?;
    let name = match name {
        [] => None,
        name => Some(std::str::from_utf8(name).ok()?.parse().ok()?),
    };
    Some((EventKey(uuid::Uuid::from_bytes(*event)), name))
}

/// The key of a row in the order of time.
pub(crate) fn by_time(at: Timestamp, row: &[u8]) -> Key {
    Key::new().time(at).bytes(row)
}

/// Removes a decision, by its row in the order of time; gives its own row.
fn remove(batch: &mut Batch, index: Vec<u8>) -> Option<Vec<u8>> {
    let row = index.get(8..).map(<[u8]>::to_vec);
    batch.delete(Table::WithheldByTime, index);
    if let Some(row) = &row {
        batch.delete(Table::Withheld, row.clone());
    }
    row
}

#[cfg(test)]
mod tests;
