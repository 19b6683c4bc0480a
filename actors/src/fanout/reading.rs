//! Reading a fan-out's hosts from the store, a slice at a time, and what is made of rows that cannot be read.

use super::Open;
use super::record::{CHUNK_HOSTS_MAX, Definition, FanoutRecord, HostRow, JOB_LOST, chunk_key, read_chunk};
use super::state::{Known, Machine};
use super::work::Work;
use crate::ground::{Ground, read};
use crate::record::{JobRecord, decode};
use crate::refusal::Refusal;
use crate::store::{Batch, Store, Table};
use std::collections::HashMap;
use tripline_protocol::fanout::FanoutHostState;
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::{HostId, Timestamp};
use uuid::Uuid;

/// Rows read at once.
const PAGE: usize = 1_000;
/// As many hosts in lists.
const CHUNKS: usize = PAGE / CHUNK_HOSTS_MAX;

/// A fan-out that is being read.
pub(super) struct Reading {
    record: FanoutRecord,
    rows: HashMap<HostId, HostRow>,
    /// The last row that was read; `None` once all were.
    rows_after: Option<Vec<u8>>,
    rows_read: bool,
    /// Hosts, with the entry of the history up to which they were found.
    hosts: Vec<(HostId, u32)>,
    chunks_read: u32,
    lost_lists: u32,
    /// What rows are replaced by that could not be read.
    mended: Batch,
}

impl Reading {
    pub(super) fn new(record: FanoutRecord) -> Self {
        Self {
            record,
            rows: HashMap::new(),
            rows_after: None,
            rows_read: false,
            hosts: Vec::new(),
            chunks_read: 0,
            lost_lists: 0,
            mended: Batch::new(),
        }
    }

    pub(super) fn record(&self) -> &FanoutRecord {
        &self.record
    }

    /// Reads on, about [`PAGE`] rows. Whether there is more.
    pub(super) fn go_on(&mut self, store: &Store, now: Timestamp) -> Result<bool, Refusal> {
        match self.rows_read {
            false => self.read_rows(store, now)?,
            true => self.read_chunks(store)?,
        }
        Ok(!self.rows_read || self.chunks_read < self.record.chunks)
    }

    fn read_rows(&mut self, store: &Store, now: Timestamp) -> Result<(), Refusal> {
        let id = self.record.fanout_id;
        let page = store.scan(Table::FanoutHost, id.as_bytes(), self.rows_after.as_deref(), PAGE)?;
        self.rows_read = page.len() < PAGE;
        self.rows_after = page.last().map(|(key, _)| key.clone());
        for (key, value) in &page {
            let host = key.get(16..).and_then(|id| <[u8; 16]>::try_from(id).ok());
            let Some(host) = host.map(|id| HostId(Uuid::from_bytes(id))) else {
                continue;
            };
            let row = read_row(value, now);
            if row.unreadable {
                row.put(&mut self.mended, id, host);
            }
            self.rows.insert(host, row);
        }
        Ok(())
    }

    fn read_chunks(&mut self, store: &Store) -> Result<(), Refusal> {
        let id = self.record.fanout_id;
        for number in (self.chunks_read..self.record.chunks).take(CHUNKS) {
            self.chunks_read += 1;
            let value = store.get(Table::FanoutChunk, &chunk_key(id, number))?;
            let Some((turn, ids)) = value.as_deref().and_then(read_chunk) else {
                metrics::counter!("tripline_fanouts_rows_unreadable_total", "kind" => "list").increment(1);
                tracing::error!(fanout = %id, number, "a list of its hosts cannot be read: those that had no turn are lost");
                self.lost_lists += 1;
                continue;
            };
            self.hosts.extend(ids.into_iter().map(|host| (host, turn)));
        }
        Ok(())
    }

    /// What was read, as a fan-out in memory.
    pub(super) fn finish(mut self, ground: &Ground) -> Result<Open, Refusal> {
        let work = read_work(ground, &self.record)?;
        self.mend(ground)?;
        if !self.mended.is_empty() {
            ground.store.commit(std::mem::take(&mut self.mended), || {});
        }
        let hosts = self.known(ground);
        let keeps_until = ground.now().after(ground.config.reconnect_grace);
        let mut machine = Machine::restore(self.record, hosts, keeps_until);
        machine.lose_lists(self.lost_lists);
        Ok(Open::new(machine, work))
    }

    /// All hosts in the order in which they were found, and behind them those whose list is lost and that had a turn.
    fn known(&mut self, ground: &Ground) -> Vec<Known> {
        let known = |host_id, turn, row| Known {
            host_id,
            turn,
            row,
            attached: ground.attachments.get(host_id).is_some(),
        };
        let listed = std::mem::take(&mut self.hosts);
        let listed = listed.into_iter();
        let mut all: Vec<Known> = listed
            .map(|(host, turn)| known(host, turn, self.rows.remove(&host)))
            .collect();
        let mut rest: Vec<(HostId, HostRow)> = self.rows.drain().collect();
        rest.sort_unstable_by_key(|(host, _)| *host);
        all.extend(
            rest.into_iter()
                .map(|(host, row)| known(host, row.turn, Some(row))),
        );
        all
    }

    /// A job that is open has a record; a store that was recovered may lack some.
    fn mend(&mut self, ground: &Ground) -> Result<(), Refusal> {
        let (id, turn) = (self.record.fanout_id, self.record.turn());
        for (host, row) in &mut self.rows {
            let Some(job_id) = row.job_id.filter(|_| row.state == FanoutHostState::InFlight) else {
                continue;
            };
            let job: Option<JobRecord> = read(&ground.store, Table::Job, job_id.as_bytes(), "job")?;
            let outcome = match &job {
                Some(job) if job.state.outcome().is_none() => continue,
                Some(job) => job.state.outcome(),
                None => None,
            };
            row.lose_job(outcome.unwrap_or(Outcome::Interrupted), turn, ground.now());
            row.put(&mut self.mended, id, *host);
        }
        Ok(())
    }
}

impl HostRow {
    /// Its job is not there any more.
    pub(super) fn lose_job(&mut self, outcome: Outcome, turn: u32, now: Timestamp) {
        self.state = FanoutHostState::Ended(outcome);
        self.turn = turn;
        self.reason = Some(Reason::new(JOB_LOST, "what became of its job is not known"));
        self.finished_at = Some(now);
    }
}

/// A host's row; one that cannot be read is an outcome of its own.
pub(super) fn read_row(value: &[u8], now: Timestamp) -> HostRow {
    decode("host of a fan-out", value).unwrap_or_else(|error| {
        metrics::counter!("tripline_fanouts_rows_unreadable_total", "kind" => "host").increment(1);
        tracing::error!(
            error = &error as &dyn std::error::Error,
            "the row of a fan-out's host cannot be read: it has no other turn"
        );
        HostRow::unreadable(now)
    })
}

/// Reads a fan-out whole.
pub(super) fn restore(ground: &Ground, record: FanoutRecord) -> Result<Open, Refusal> {
    let mut reading = Reading::new(record);
    while reading.go_on(&ground.store, ground.now())? {}
    reading.finish(ground)
}

fn read_work(ground: &Ground, record: &FanoutRecord) -> Result<Result<Work, String>, Refusal> {
    let id = record.fanout_id;
    let definition: Option<Definition> = read(
        &ground.store,
        Table::FanoutDefinition,
        id.as_bytes(),
        "definition of a fan-out",
    )?;
    let work = match definition {
        Some(definition) => Work::read(definition),
        None => Err("its definition is not there".to_owned()),
    };
    if let Err(error) = &work {
        tracing::error!(fanout = %id, error, "what a fan-out does cannot be read; its hosts fail");
    }
    Ok(work)
}
