//! What the store has of an event: its marks, its decisions, its jobs.

use super::super::mark::{self, Handled, Mark};
use super::super::withheld::{DecisionRecord, recorded};
use crate::fanout::FanoutRecord;
use crate::ground::read;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::store::{Store, Table};
use tripline_protocol::event::EventRef;
use tripline_protocol::{EventKey, FanoutId, JobId, Name, Org, Timestamp};
use uuid::Uuid;

/// As far as a caller may see it.
#[derive(Debug, Default)]
pub(super) struct Recorded {
    marks: Vec<Mark>,
    /// Not to act, by pipeline; those without one are dead letters.
    pub(super) decisions: Vec<(Option<Name>, DecisionRecord)>,
    /// In the order in which they were accepted.
    pub(super) jobs: Vec<JobRecord>,
    /// Those of pipelines with a set of hosts for a target.
    pub(super) fanouts: Vec<FanoutRecord>,
    /// Jobs and fan-outs that are known by their ids alone.
    pub(super) forgotten: Vec<JobId>,
}

impl Recorded {
    /// Of an event. A mark says not whose it is: for the callers of one org it counts with what else is theirs.
    pub(super) fn of(store: &Store, org: Option<&Org>, key: EventKey) -> Result<Self, Refusal> {
        let marks = mark::of_event(store, key)?;
        let mut found = Self {
            decisions: recorded(store, org, key)?,
            ..Self::default()
        };
        for id in marks.iter().flat_map(|mark| &mark.caused) {
            found.add(store, org, *id)?;
        }
        found.jobs.sort_by_key(|job| job.seq);
        if org.is_none() || found.is_something() {
            found.marks = marks;
        }
        Ok(found)
    }

    /// Of a job that no event caused, or that is forgotten.
    pub(super) fn of_job(store: &Store, org: Option<&Org>, job: Option<JobId>) -> Result<Self, Refusal> {
        let mut found = Self::default();
        if let Some(job) = job {
            found.add(store, org, job.0)?;
        }
        Ok(found)
    }

    fn add(&mut self, store: &Store, org: Option<&Org>, id: Uuid) -> Result<(), Refusal> {
        let visible = |of: &Org| org.is_none_or(|org| org == of);
        let job: Option<JobRecord> = read(store, Table::Job, id.as_bytes(), "job")?;
        let fanout: Option<FanoutRecord> = match job {
            Some(_) => None,
            None => read(store, Table::Fanout, id.as_bytes(), "fan-out")?,
        };
        match (job, fanout) {
            (Some(job), _) => self.jobs.extend(Some(job).filter(|job| visible(&job.org))),
            (None, Some(fanout)) => {
                let fanout = Some(fanout).filter(|fanout| visible(&fanout.org));
                self.fanouts.extend(fanout);
            }
            // Who sees all orgs is told also where nobody knows any more whose it was.
            (None, None) if org.is_none() || is_forgotten(store, org, id)? => self.forgotten.push(JobId(id)),
            (None, None) => {}
        }
        Ok(())
    }

    /// Adds a job or fan-out, if it is not there.
    pub(super) fn add_missing(&mut self, store: &Store, org: Option<&Org>, id: Uuid) -> Result<(), Refusal> {
        let of_jobs = self.jobs.iter().map(|job| job.job_id.0);
        let of_fanouts = self.fanouts.iter().map(|fanout| fanout.fanout_id.0);
        let forgotten = self.forgotten.iter().map(|job| job.0);
        let mut known = of_jobs.chain(of_fanouts).chain(forgotten);
        match known.any(|known| known == id) {
            true => Ok(()),
            false => self.add(store, org, id),
        }
    }

    fn is_something(&self) -> bool {
        let is_acted = !self.jobs.is_empty() || !self.fanouts.is_empty() || !self.forgotten.is_empty();
        is_acted || !self.decisions.is_empty()
    }

    /// How it was handled the first time, where that is remembered.
    pub(super) fn handled(&self) -> Option<&Handled> {
        self.marks.iter().find_map(|mark| mark.handled.as_ref())
    }

    /// Whether it was decided about.
    pub(super) fn is_handled(&self) -> bool {
        !self.marks.is_empty() || self.is_something()
    }

    /// When it was decided about for the first time, as far as is known.
    pub(super) fn handled_at(&self) -> Option<Timestamp> {
        let decided = self.decisions.iter().map(|(_, record)| record.at);
        let accepted = self.jobs.iter().map(|job| job.queued_at);
        let marked = self.handled().map(|handled| handled.at);
        marked.or_else(|| decided.chain(accepted).min())
    }

    /// Whether a person had it handled once more. It counts as new then, however old it is.
    pub(super) fn is_replayed(&self) -> bool {
        let decided = self.decisions.iter().any(|(_, record)| record.run > 0);
        // The run of a fan-out's job counts the turns of its host.
        let mut of_events = self.jobs.iter().filter(|job| job.fanout.is_none());
        let again = decided || self.marks.len() > 1 || of_events.any(|job| job.run > 0);
        again || self.fanouts.iter().any(is_of_replay)
    }

    /// Where it is in its stream.
    pub(super) fn sequence(&self) -> Option<u64> {
        let decided = || self.decisions.iter().find_map(|(_, record)| record.sequence);
        self.handled().map(|handled| handled.sequence).or_else(decided)
    }

    /// Which event it is, with its org.
    pub(super) fn event(&self) -> Option<(Org, EventRef)> {
        let of_jobs = self.jobs.iter().map(|job| (&job.org, &job.event));
        let of_fanouts = self.fanouts.iter().map(|fanout| (&fanout.org, &fanout.event));
        let of_decisions = self
            .decisions
            .iter()
            .map(|(_, record)| (&record.org, &record.event));
        let found = |(org, event): (&Org, &Option<EventRef>)| Some((org.clone(), event.clone()?));
        of_jobs.chain(of_fanouts).chain(of_decisions).find_map(found)
    }

    /// The jobs that a pipeline made.
    pub(super) fn jobs_of<'s>(&'s self, pipeline: &'s Name) -> impl Iterator<Item = &'s JobRecord> {
        let is_its = |job: &&JobRecord| job.pipeline.as_ref().is_some_and(|made| made.name == *pipeline);
        self.jobs.iter().filter(is_its)
    }

    /// The fan-outs that a pipeline began.
    pub(super) fn fanouts_of<'s>(&'s self, pipeline: &'s Name) -> impl Iterator<Item = &'s FanoutRecord> {
        let is_its = |fanout: &&FanoutRecord| {
            fanout
                .pipeline
                .as_ref()
                .is_some_and(|began| began.name == *pipeline)
        };
        self.fanouts.iter().filter(is_its)
    }

    /// What a pipeline decided, if it decided not to act.
    pub(super) fn decision_of(&self, pipeline: &Name) -> Option<&DecisionRecord> {
        let mut decisions = self.decisions.iter();
        let found = decisions.find(|(of, _)| of.as_ref() == Some(pipeline));
        found.map(|(_, record)| record)
    }

    /// The pipelines of which something is recorded.
    pub(super) fn pipelines(&self) -> Vec<&Name> {
        let of_jobs = self.jobs.iter().map(|job| &job.pipeline);
        let of_fanouts = self.fanouts.iter().map(|fanout| &fanout.pipeline);
        let acted = of_jobs.chain(of_fanouts).flatten().map(|acted| &acted.name);
        let of_decisions = self
            .decisions
            .iter()
            .filter_map(|(pipeline, _)| pipeline.as_ref());
        let mut names: Vec<&Name> = acted.chain(of_decisions).collect();
        names.sort();
        names.dedup();
        names
    }
}

/// Where an event is in its stream: no more is read than tells that. As in [`Recorded::of`], its mark counts for the callers
/// of one org with what else is theirs.
pub(super) fn sequence(store: &Store, org: Option<&Org>, key: EventKey) -> Result<Option<u64>, Refusal> {
    let marks = mark::of_event(store, key)?;
    let handled = marks.iter().find_map(|mark| mark.handled.as_ref());
    let marked = handled.map(|handled| handled.sequence);
    if marked.is_some() && (org.is_none() || causes_something(store, org, &marks)?) {
        return Ok(marked);
    }
    let decisions = recorded(store, org, key)?;
    let decided = decisions.iter().find_map(|(_, record)| record.sequence);
    Ok(marked.filter(|_| !decisions.is_empty()).or(decided))
}

fn causes_something(store: &Store, org: Option<&Org>, marks: &[Mark]) -> Result<bool, Refusal> {
    let mut found = Recorded::default();
    for id in marks.iter().flat_map(|mark| &mark.caused) {
        found.add(store, org, *id)?;
        if found.is_something() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an id is that of a job or fan-out which ended so long ago that nothing else is known of it.
pub(super) fn is_forgotten(store: &Store, org: Option<&Org>, id: Uuid) -> Result<bool, Refusal> {
    let tombstone = store.get(Table::JobTombstone, id.as_bytes())?;
    Ok(tombstone.is_some_and(|of| org.is_none_or(|org| org.as_str().as_bytes() == of)))
}

/// Whether a fan-out began because a person had its event handled once more: its id is made with the run.
fn is_of_replay(fanout: &FanoutRecord) -> bool {
    let of_event = fanout.event.as_ref().zip(fanout.pipeline.as_ref());
    of_event.is_some_and(|(event, pipeline)| {
        let key = EventKey::derive(&fanout.org, &event.source, &event.id);
        fanout.fanout_id != FanoutId::derive(key, &pipeline.name, 0)
    })
}
