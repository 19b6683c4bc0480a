//! Jobs that let others of their host go first and keep their number: those that wait for a time, and those whose
//! pipeline is paused.
//!
//! A pause holds what has not begun; a job one of whose steps has begun goes on, so that no host is left halfway. A held job
//! expires and is cancelled as any other that waits.

use super::{Entry, Open, Phase, State};
use std::collections::BTreeSet;
use tripline_protocol::{JobId, Name, Timestamp};

impl State {
    /// How many jobs wait for a pause of their pipeline to end.
    pub(super) fn held_len(&self) -> usize {
        self.held.values().map(BTreeSet::len).sum()
    }

    /// How a job that waits without a time does so: held back, and counted there, while its pipeline is paused.
    pub(super) fn hold_back(&mut self, entry: &Entry) -> Phase {
        let pipeline = entry.pipeline.as_ref().filter(|_| !entry.begun);
        match pipeline.and_then(|name| self.held.get_mut(name)) {
            Some(held) => {
                held.insert(entry.job_id);
                Phase::Held
            }
            None => Phase::Waiting,
        }
    }

    /// A pipeline is paused: its jobs that wait and have not begun do not begin.
    pub(in crate::scheduler) fn hold(&mut self, pipeline: &Name) {
        self.held.entry(pipeline.clone()).or_default();
        let of_pipeline =
            |open: &&Open| open.phase == Phase::Waiting && open.entry.pipeline.as_ref() == Some(pipeline);
        let waiting = self.jobs.values().filter(of_pipeline);
        let waiting: Vec<Entry> = waiting.map(|open| open.entry.clone()).collect();
        for entry in waiting {
            self.leave_queue(&entry);
            self.line_up(entry);
        }
    }

    /// A pipeline acts again: its jobs have their old places.
    pub(in crate::scheduler) fn let_go(&mut self, pipeline: &Name) {
        for job_id in self.held.remove(pipeline).unwrap_or_default() {
            self.give_back(job_id);
        }
    }

    /// Whether one of a job's steps has begun, when that has changed.
    pub(in crate::scheduler) fn note_begun(&mut self, job_id: JobId, begun: bool) {
        if let Some(open) = self.jobs.get_mut(&job_id) {
            open.entry.begun = begun;
        }
    }

    pub(super) fn leave_aside(&mut self, job_id: JobId, open: &Open) {
        match open.phase {
            Phase::Resting { until } => drop(self.resting.remove(&(until, job_id))),
            Phase::Held => {
                let pipeline = open.entry.pipeline.as_ref();
                if let Some(held) = pipeline.and_then(|name| self.held.get_mut(name)) {
                    held.remove(&job_id);
                }
            }
            Phase::Waiting | Phase::Running { .. } => return,
        }
        if let Some(lane) = self.lanes.get_mut(&open.entry.host_id) {
            lane.aside.remove(&open.entry.seq);
        }
    }

    /// A job gives its slot back, or leaves the lane, and waits for a time; so long it may wait in all.
    pub(in crate::scheduler) fn rest(&mut self, job_id: JobId, until: Timestamp, expires_at: Timestamp) {
        let Some(mut open) = self.jobs.remove(&job_id) else {
            return;
        };
        self.leave_slot(job_id, &open);
        self.leave_aside(job_id, &open);
        self.leave_queue(&open.entry);
        self.expiry.remove(&(open.entry.expires_at, job_id));
        open.entry.expires_at = expires_at;
        open.phase = Phase::Resting { until };
        self.expiry.insert((expires_at, job_id));
        self.resting.insert((until, job_id));
        let (host_id, seq) = (open.entry.host_id, open.entry.seq);
        self.jobs.insert(job_id, open);
        if let Some(lane) = self.lanes.get_mut(&host_id) {
            lane.aside.insert(seq, job_id);
        }
        self.refresh(host_id);
    }

    /// Puts jobs whose time has come back into their lanes.
    pub(in crate::scheduler) fn wake(&mut self, now: Timestamp) {
        while let Some((until, job_id)) = self.resting.first().copied().filter(|(until, _)| *until <= now) {
            self.give_back(job_id);
            // Whatever it was, it does not stay.
            self.resting.remove(&(until, job_id));
        }
    }
}
