//! The order of jobs: a lane per host, hosts that are ready by priority, slots that are free.
//!
//! Jobs of one host run in the order they were accepted, one at a time. Priority orders hosts: a host counts
//! with the highest priority among its waiting jobs, and among equals by its oldest job. A job that waits for a time
//! is out of its host's lane until then, and comes back to its old place; so does one whose pipeline is paused (`aside`).

mod aside;

use super::slots::{Kind, Slots};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use tripline_protocol::api::JobCounts;
use tripline_protocol::job::Priority;
use tripline_protocol::{HostId, JobId, Name, Span, Timestamp};

/// Limits on waiting jobs.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) per_host: u32,
    pub(super) per_pipeline: u32,
    pub(super) total: u32,
}

/// What the order needs to know of a job.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) job_id: JobId,
    pub(super) host_id: HostId,
    pub(super) seq: u64,
    pub(super) priority: Priority,
    pub(super) expires_at: Timestamp,
    pub(super) pipeline: Option<Name>,
    /// One of its steps has begun: a pause of its pipeline does not hold it.
    pub(super) begun: bool,
}

/// Where an open job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Running {
        slot: u32,
    },
    /// It waits for a time.
    Resting {
        until: Timestamp,
    },
    /// Its pipeline is paused.
    Held,
}

/// Which limit a job met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Full {
    Host,
    Pipeline,
    Total,
}

impl Full {
    /// The word in metrics.
    pub(super) fn limit(self) -> &'static str {
        match self {
            Full::Host => "host",
            Full::Pipeline => "pipeline",
            Full::Total => "total",
        }
    }

    pub(super) fn text(self) -> &'static str {
        match self {
            Full::Host => "too many jobs of this host wait",
            Full::Pipeline => "too many jobs of this pipeline wait",
            Full::Total => "too many jobs wait",
        }
    }
}

/// Why a job waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wait {
    HostOffline { position: u64, since: Timestamp },
    BehindJob { position: u64, job_id: JobId },
    NoFreeSlot { position: u64 },
    Resting { position: u64, until: Timestamp },
    PipelinePaused { position: u64 },
}

type ReadyKey = (Reverse<Priority>, u64, HostId);

#[derive(Debug)]
struct Lane {
    queue: BTreeMap<u64, JobId>,
    /// Waiting jobs by priority: low, normal, high.
    counts: [u32; 3],
    running: Option<JobId>,
    /// Jobs that let others go first: they wait for a time, or for their pipeline.
    aside: BTreeMap<u64, JobId>,
    offline_since: Option<Timestamp>,
    ready: Option<ReadyKey>,
}

impl Lane {
    fn priority(&self) -> Priority {
        let [_, normal, high] = self.counts;
        match (high, normal) {
            (1.., _) => Priority::High,
            (_, 1..) => Priority::Normal,
            _ => Priority::Low,
        }
    }

    /// Jobs that have not ended and do not run.
    fn waiting_len(&self) -> usize {
        self.queue.len() + self.aside.len()
    }

    fn count(&mut self, priority: Priority) -> &mut u32 {
        let [low, normal, high] = &mut self.counts;
        match priority {
            Priority::Low => low,
            Priority::Normal => normal,
            Priority::High => high,
        }
    }
}

#[derive(Debug)]
struct Open {
    entry: Entry,
    phase: Phase,
}

#[derive(Debug)]
pub(super) struct State {
    limits: Limits,
    jobs: HashMap<JobId, Open>,
    lanes: HashMap<HostId, Lane>,
    ready: BTreeSet<ReadyKey>,
    expiry: BTreeSet<(Timestamp, JobId)>,
    resting: BTreeSet<(Timestamp, JobId)>,
    /// Jobs of which only the last steps are left.
    closing: BTreeSet<JobId>,
    /// The pipelines that are paused, and their jobs that wait for that to end.
    held: HashMap<Name, BTreeSet<JobId>>,
    pipelines: HashMap<Name, u32>,
    slots: Slots,
    seq_last: u64,
    /// No job starts but those that ran when the server stopped.
    paused: bool,
}

impl State {
    pub(super) fn new(limits: Limits, slots: Slots) -> Self {
        Self {
            limits,
            jobs: HashMap::new(),
            lanes: HashMap::new(),
            ready: BTreeSet::new(),
            expiry: BTreeSet::new(),
            resting: BTreeSet::new(),
            closing: BTreeSet::new(),
            held: HashMap::new(),
            pipelines: HashMap::new(),
            slots,
            seq_last: 0,
            paused: false,
        }
    }

    pub(super) fn set_paused(&mut self, paused: bool) {
        self.paused = paused;
    }

    pub(super) fn take_seq(&mut self) -> u64 {
        self.seq_last += 1;
        self.seq_last
    }

    /// How many jobs of each pipeline are open.
    pub(super) fn open_by_pipeline(&self) -> &HashMap<Name, u32> {
        &self.pipelines
    }

    pub(super) fn open_len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn slots(&self) -> &Slots {
        &self.slots
    }

    /// For interactive sessions, which take from the same slots.
    pub(super) fn slots_mut(&mut self) -> &mut Slots {
        &mut self.slots
    }

    pub(super) fn ready_len(&self) -> usize {
        self.ready.len()
    }

    pub(super) fn phase(&self, job_id: JobId) -> Option<Phase> {
        self.jobs.get(&job_id).map(|open| open.phase)
    }

    pub(super) fn host_open_len(&self, host_id: HostId) -> u32 {
        self.lanes.get(&host_id).map_or(0, |lane| {
            u32::try_from(lane.waiting_len()).unwrap_or(u32::MAX) + u32::from(lane.running.is_some())
        })
    }

    /// The jobs of a host that wait, those that let others go first at the end.
    pub(super) fn waiting_of(&self, host_id: HostId) -> Vec<JobId> {
        let lane = self.lanes.get(&host_id);
        lane.map(|lane| lane.queue.values().chain(lane.aside.values()).copied().collect())
            .unwrap_or_default()
    }

    /// The job of a host that runs.
    pub(super) fn running_of(&self, host_id: HostId) -> Option<JobId> {
        self.lanes.get(&host_id)?.running
    }

    /// Whether another job may wait.
    pub(super) fn room(&self, host_id: HostId, pipeline: Option<&Name>) -> Result<(), Full> {
        let waiting = |lane: &Lane| lane.waiting_len() >= self.limits.per_host as usize;
        if self.jobs.len() >= self.limits.total as usize {
            return Err(Full::Total);
        }
        if self.lanes.get(&host_id).is_some_and(waiting) {
            return Err(Full::Host);
        }
        match pipeline.and_then(|name| self.pipelines.get(name)) {
            Some(count) if *count >= self.limits.per_pipeline => Err(Full::Pipeline),
            _ => Ok(()),
        }
    }

    /// Queues a job. `attached`: whether its host can be reached now, asked only for a host without a lane.
    pub(super) fn add(&mut self, entry: Entry, attached: impl FnOnce() -> bool, now: Timestamp) {
        self.seq_last = self.seq_last.max(entry.seq);
        if let Some(pipeline) = &entry.pipeline {
            *self.pipelines.entry(pipeline.clone()).or_default() += 1;
        }
        self.lanes.entry(entry.host_id).or_insert_with(|| Lane {
            queue: BTreeMap::new(),
            counts: [0; 3],
            running: None,
            aside: BTreeMap::new(),
            offline_since: if attached() { None } else { Some(now) },
            ready: None,
        });
        self.expiry.insert((entry.expires_at, entry.job_id));
        self.line_up(entry);
    }

    /// Puts a job into its lane, or beside it while its pipeline is paused.
    fn line_up(&mut self, entry: Entry) {
        let phase = self.hold_back(&entry);
        if let Some(lane) = self.lanes.get_mut(&entry.host_id) {
            match phase {
                Phase::Held => drop(lane.aside.insert(entry.seq, entry.job_id)),
                _ => {
                    lane.queue.insert(entry.seq, entry.job_id);
                    *lane.count(entry.priority) += 1;
                }
            }
        }
        let host_id = entry.host_id;
        self.jobs.insert(entry.job_id, Open { entry, phase });
        self.refresh(host_id);
    }

    /// Brings a lane's place among the ready hosts up to date.
    fn refresh(&mut self, host_id: HostId) {
        let Some(lane) = self.lanes.get_mut(&host_id) else {
            return;
        };
        let head = lane.queue.first_key_value().map(|(seq, _)| *seq);
        let able = lane.running.is_none() && lane.offline_since.is_none();
        let key = head
            .filter(|_| able)
            .map(|seq| (Reverse(lane.priority()), seq, host_id));
        if key != lane.ready {
            if let Some(old) = lane.ready.take() {
                self.ready.remove(&old);
            }
            if let Some(new) = key {
                self.ready.insert(new);
            }
            lane.ready = key;
        }
        if lane.waiting_len() == 0 && lane.running.is_none() {
            self.lanes.remove(&host_id);
        }
    }

    pub(super) fn attached(&mut self, host_id: HostId) {
        if let Some(lane) = self.lanes.get_mut(&host_id) {
            lane.offline_since = None;
            self.refresh(host_id);
        }
    }

    pub(super) fn detached(&mut self, host_id: HostId, now: Timestamp) {
        if let Some(lane) = self.lanes.get_mut(&host_id) {
            lane.offline_since.get_or_insert(now);
            self.refresh(host_id);
        }
    }

    /// Who gets the next slot, with an interactive session waiting for one or not.
    pub(super) fn next_kind(&mut self, session_waits: bool) -> Option<Kind> {
        let job_waits = !self.paused && !self.ready.is_empty();
        self.slots.choose(job_waits, session_waits)
    }

    /// The next job to start, now in a slot.
    pub(super) fn dispatch(&mut self) -> Option<(u32, JobId)> {
        if self.paused || !self.slots.able(Kind::Job) {
            return None;
        }
        let (_, seq, host_id) = *self.ready.first()?;
        let job_id = *self.lanes.get(&host_id)?.queue.get(&seq)?;
        self.start(job_id).map(|slot| (slot, job_id))
    }

    /// Puts a job into a slot, whatever its host's state: for those that ran when the server stopped.
    pub(super) fn start(&mut self, job_id: JobId) -> Option<u32> {
        let open = self
            .jobs
            .get_mut(&job_id)
            .filter(|open| open.phase == Phase::Waiting)?;
        let slot = self.slots.take(Kind::Job)?;
        open.phase = Phase::Running { slot };
        let entry = open.entry.clone();
        self.expiry.remove(&(entry.expires_at, job_id));
        self.leave_queue(&entry);
        if let Some(lane) = self.lanes.get_mut(&entry.host_id) {
            lane.running = Some(job_id);
        }
        self.refresh(entry.host_id);
        Some(slot)
    }

    fn leave_queue(&mut self, entry: &Entry) {
        if let Some(lane) = self.lanes.get_mut(&entry.host_id)
            && lane.queue.remove(&entry.seq).is_some()
        {
            let count = lane.count(entry.priority);
            *count = count.saturating_sub(1);
        }
    }

    fn leave_slot(&mut self, job_id: JobId, open: &Open) {
        if let Phase::Running { slot } = open.phase {
            self.slots.give_back(Kind::Job, slot);
            if let Some(lane) = self.lanes.get_mut(&open.entry.host_id)
                && lane.running == Some(job_id)
            {
                lane.running = None;
            }
        }
    }

    /// The pipeline that made an open job.
    pub(super) fn pipeline_of(&self, job_id: JobId) -> Option<&Name> {
        self.jobs.get(&job_id)?.entry.pipeline.as_ref()
    }

    /// The number of an open job.
    pub(super) fn seq_of(&self, job_id: JobId) -> Option<u64> {
        self.jobs.get(&job_id).map(|open| open.entry.seq)
    }

    /// A job ended, from wherever it was.
    pub(super) fn remove(&mut self, job_id: JobId) -> bool {
        let Some(open) = self.jobs.remove(&job_id) else {
            return false;
        };
        self.expiry.remove(&(open.entry.expires_at, job_id));
        self.closing.remove(&job_id);
        if let Some(name) = &open.entry.pipeline
            && let Some(count) = self.pipelines.get_mut(name)
        {
            *count -= 1;
            if *count == 0 {
                self.pipelines.remove(name);
            }
        }
        self.leave_slot(job_id, &open);
        self.leave_aside(job_id, &open);
        self.leave_queue(&open.entry);
        self.refresh(open.entry.host_id);
        true
    }

    /// A job gives its slot back, or has waited for its time, and waits again in its old place.
    pub(super) fn give_back(&mut self, job_id: JobId) {
        let Some(open) = self.jobs.remove(&job_id) else {
            return;
        };
        self.leave_slot(job_id, &open);
        self.leave_aside(job_id, &open);
        self.expiry.insert((open.entry.expires_at, job_id));
        self.line_up(open.entry);
    }

    /// Waiting jobs whose time is over.
    pub(super) fn expired(&self, now: Timestamp, limit: usize) -> Vec<JobId> {
        self.expiry
            .iter()
            .take_while(|(at, _)| *at <= now)
            .take(limit)
            .map(|(_, job_id)| *job_id)
            .collect()
    }

    /// Only the last steps of a job are left: where it waits, it does not wait long for its host.
    pub(super) fn close(&mut self, job_id: JobId) {
        if self.jobs.contains_key(&job_id) {
            self.closing.insert(job_id);
        }
    }

    /// Whether a host with open jobs has been away for so long.
    pub(super) fn is_away(&self, host_id: HostId, grace: Span, now: Timestamp) -> bool {
        let lane = self.lanes.get(&host_id);
        let since = lane.and_then(|lane| lane.offline_since);
        since.is_some_and(|since| now.since(since) >= grace)
    }

    /// Jobs that wait, of which only the last steps are left, and whose host has been away for so long.
    pub(super) fn deserted(&self, grace: Span, now: Timestamp, limit: usize) -> Vec<JobId> {
        let waits = |open: &Open| !matches!(open.phase, Phase::Running { .. });
        let is_deserted = |job_id: &JobId| {
            let open = self.jobs.get(job_id).filter(|open| waits(open));
            open.is_some_and(|open| self.is_away(open.entry.host_id, grace, now))
        };
        let closing = self.closing.iter().copied();
        closing.filter(is_deserted).take(limit).collect()
    }

    /// What all open jobs do, or wait for; looked at lane by lane.
    pub(super) fn counts(&self) -> JobCounts {
        let mut counts = JobCounts {
            open: self.jobs.len() as u64,
            running: u64::from(self.slots.used(Kind::Job)),
            resting: self.resting.len() as u64,
            held: self.held_len() as u64,
            ..JobCounts::default()
        };
        for lane in self.lanes.values().filter(|lane| !lane.queue.is_empty()) {
            let waiting = lane.queue.len() as u64;
            counts.lanes += 1;
            match (lane.offline_since, lane.running) {
                (Some(_), _) => counts.host_offline += waiting,
                (None, Some(_)) => counts.behind_job += waiting,
                (None, None) => {
                    counts.no_free_slot += 1;
                    counts.behind_job += waiting - 1;
                }
            }
        }
        counts
    }

    /// Why a job waits and where in the queue; `None` when it does not wait.
    pub(super) fn waiting(&self, job_id: JobId) -> Option<Wait> {
        let open = self.jobs.get(&job_id)?;
        let lane = self.lanes.get(&open.entry.host_id)?;
        let position = 1 + lane.queue.range(..open.entry.seq).count() as u64;
        match open.phase {
            Phase::Waiting => {}
            Phase::Running { .. } => return None,
            Phase::Resting { until } => return Some(Wait::Resting { position, until }),
            Phase::Held => return Some(Wait::PipelinePaused { position }),
        }
        if let Some(since) = lane.offline_since {
            return Some(Wait::HostOffline { position, since });
        }
        let head = lane
            .queue
            .first_key_value()
            .map(|(_, head)| *head)
            .filter(|head| *head != job_id);
        if let Some(job_id) = lane.running.or(head) {
            return Some(Wait::BehindJob { position, job_id });
        }
        let key = lane.ready?;
        Some(Wait::NoFreeSlot {
            position: 1 + self.ready.range(..key).count() as u64,
        })
    }

    /// Checks what must always hold; tests call it after every step.
    #[cfg(test)]
    pub(super) fn assert_invariants(&self) {
        let running: Vec<&Open> = self
            .jobs
            .values()
            .filter(|open| matches!(open.phase, Phase::Running { .. }))
            .collect();
        assert_eq!(running.len() as u32, self.slots.used(Kind::Job));
        let mut used: BTreeSet<u32> = BTreeSet::new();
        for open in &running {
            if let Phase::Running { slot } = open.phase {
                assert!(used.insert(slot), "slot {slot} is held twice");
                assert!(!self.slots.is_free(slot));
            }
        }
        self.slots.assert_invariants();
        let queued: usize = self.lanes.values().map(|lane| lane.queue.len()).sum();
        let aside = self.resting.len() + self.held_len();
        assert_eq!(queued + running.len() + aside, self.jobs.len());
        assert_eq!(
            aside,
            self.lanes.values().map(|lane| lane.aside.len()).sum::<usize>()
        );
        for (host_id, lane) in &self.lanes {
            assert_eq!(lane.counts.iter().sum::<u32>() as usize, lane.queue.len());
            let of_host = running
                .iter()
                .filter(|open| open.entry.host_id == *host_id)
                .count();
            assert_eq!(
                of_host,
                usize::from(lane.running.is_some()),
                "two jobs of one host run"
            );
            assert_eq!(
                lane.ready.is_some(),
                lane.ready.is_some_and(|key| self.ready.contains(&key))
            );
        }
        assert_eq!(
            self.ready.len(),
            self.lanes.values().filter(|lane| lane.ready.is_some()).count()
        );
    }
}
