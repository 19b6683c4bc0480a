//! Why an event did what it did, for whoever asks: what is recorded of it, and what the rules in force make of it where
//! nothing is.
//!
//! Only reads, on whatever thread asks. Deliberately not here: getting the event from its stream, which is the broker's,
//! and what a job that has not ended does at this moment, which the scheduler says.

mod chain;
mod recorded;
mod verdicts;

pub(crate) use chain::explained;

use super::Rules;
use super::decide::EventHost;
use super::lookup::HostBook;
use crate::fanout::FanoutRecord;
use crate::ground::{Ground, read};
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::store::{Store, Table};
use recorded::{Recorded, is_forgotten};
use tripline_protocol::api::{
    EventLookup, ExplainedEvent, ExplainedRules, Explanation, LookupState, WithheldView,
};
use tripline_protocol::event::EventRef;
use tripline_protocol::{Event, EventKey, FanoutId, JobId, Org, Timestamp};
use uuid::Uuid;
use verdicts::Judge;

/// Jobs that are told.
const JOBS_MAX: usize = 100;
/// Fan-outs that are told.
const FANOUTS_MAX: usize = 100;
/// Pipelines that are told.
const PIPELINES_MAX: usize = 1_000;

/// What an id stands for, and where its event is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// What was asked about.
    pub asked: Uuid,
    /// The event; `None`: the id is that of a job or fan-out that a person submitted, or that is forgotten.
    pub key: Option<EventKey>,
    /// Its sequence in the stream of events, where that is known.
    pub sequence: Option<u64>,
    /// The job or fan-out, if it is one's id.
    pub(crate) job: Option<JobId>,
}

/// An event as it was found in its stream.
#[derive(Debug, Clone)]
pub struct FoundEvent {
    /// The event.
    pub event: Event,
    /// Its sequence.
    pub sequence: u64,
    /// When the broker stored it.
    pub stored_at: Timestamp,
}

/// What looking for an event in its stream gave.
#[derive(Debug, Clone)]
pub struct LookedUp {
    /// The event, if it is there.
    pub found: Option<Box<FoundEvent>>,
    /// How it went.
    pub lookup: EventLookup,
}

/// What is asked, by whom.
pub(crate) struct Question<'a> {
    pub(crate) ground: &'a Ground,
    pub(crate) rules: &'a Rules,
    /// The only org that the caller sees.
    pub(crate) org: Option<&'a Org>,
    pub(crate) located: Located,
    pub(crate) looked_up: LookedUp,
    /// How far the stream of events was handled.
    pub(crate) handled_to: Option<u64>,
}

/// Finds out what an id is: a job's or a fan-out's that the caller may see, else it is taken for an event's. Of one that
/// is forgotten nobody looks for an event: that would be a search in vain.
pub(crate) fn locate(ground: &Ground, org: Option<&Org>, asked: Uuid) -> Result<Located, Refusal> {
    let store = &ground.store;
    let cause = cause(store, org, asked)?;
    let key = cause.unwrap_or(Some(EventKey(asked)));
    // The event of what the caller may see is the caller's.
    let org = org.filter(|_| cause.is_none());
    let sequence = match key {
        Some(key) => recorded::sequence(store, org, key)?,
        None => None,
    };
    Ok(Located {
        asked,
        key,
        sequence,
        job: cause.map(|_| JobId(asked)),
    })
}

/// The event that caused a job or fan-out, `Some(None)` if none did or it is forgotten. `None`: it is neither, or another
/// org's.
fn cause(store: &Store, org: Option<&Org>, asked: Uuid) -> Result<Option<Option<EventKey>>, Refusal> {
    let visible = |of: &Org| org.is_none_or(|org| org == of);
    let key = |org: &Org, event: &Option<EventRef>| {
        let event = event.as_ref();
        event.map(|event| EventKey::derive(org, &event.source, &event.id))
    };
    let job: Option<JobRecord> = read(store, Table::Job, asked.as_bytes(), "job")?;
    if let Some(job) = job.filter(|job| visible(&job.org)) {
        return Ok(Some(key(&job.org, &job.event)));
    }
    let fanout: Option<FanoutRecord> = read(store, Table::Fanout, asked.as_bytes(), "fan-out")?;
    if let Some(fanout) = fanout.filter(|fanout| visible(&fanout.org)) {
        return Ok(Some(key(&fanout.org, &fanout.event)));
    }
    Ok(is_forgotten(store, org, asked)?.then_some(None))
}

/// An explanation, and what of it is to be looked at as it is now.
pub(crate) struct Explained {
    pub(crate) explanation: Explanation,
    /// The jobs in it.
    pub(crate) jobs: Vec<JobRecord>,
    /// The fan-outs.
    pub(crate) fanouts: Vec<FanoutId>,
}

/// Works out all but what jobs and fan-outs do at this moment.
pub(crate) fn explain(question: Question<'_>) -> Result<Explained, Refusal> {
    let Question {
        ground,
        rules,
        org,
        located,
        looked_up,
        handled_to,
    } = question;
    let mut recorded = match located.key {
        Some(key) => Recorded::of(&ground.store, org, key)?,
        None => Recorded::of_job(&ground.store, org, located.job)?,
    };
    // It may be of a fan-out, or the mark of its event gone.
    if let Some(asked) = located.job {
        recorded.add_missing(&ground.store, org, asked.0)?;
    }
    // An event of another org is none.
    let LookedUp { found, mut lookup } = looked_up;
    let found = found.filter(|found| org.is_none_or(|org| *org == found.event.org));
    if found.is_none() && lookup.state == LookupState::Read {
        lookup.state = LookupState::NotFound;
    }
    let book = HostBook::new(&ground.store, &ground.attachments);
    let event = found.as_deref().map(|found| &found.event);
    let mut host = event.map(|event| EventHost::new(event, &book));
    let told = told_event(&recorded, found.as_deref(), host.as_mut())?;
    let is_handled = recorded.is_handled() || is_behind(found.as_deref(), handled_to);
    let judge = Judge {
        ground,
        set: &rules.set,
        recorded: &recorded,
        is_handled,
        found: found.as_deref(),
    };
    let (mut pipelines, not_listening) = match &told {
        Some(event) => judge.all(&event.etype, host.as_mut())?,
        None => (Vec::new(), rules.set.pipelines().count() as u64),
    };
    let pipelines_more = pipelines.len().saturating_sub(PIPELINES_MAX) as u64;
    pipelines.truncate(PIPELINES_MAX);
    let asked = located.asked;
    let jobs_more = cut(&mut recorded.jobs, JOBS_MAX, |job| job.job_id.0 == asked);
    let fanouts_more = cut(&mut recorded.fanouts, FANOUTS_MAX, |fanout| {
        fanout.fanout_id.0 == asked
    });
    let explained_rules = ExplainedRules {
        version: rules.set.version(),
        loaded_at: rules.loaded_at,
        decided_by: recorded.handled().map(|handled| handled.rules.clone()),
    };
    let notes = notes(&lookup, told.as_ref(), &explained_rules, is_handled);
    let explanation = Explanation {
        asked: asked.to_string(),
        key: located.key,
        event: told,
        lookup,
        rules: explained_rules,
        pipelines,
        pipelines_more,
        not_listening,
        dead_letters: dead_letters(&recorded),
        jobs: Vec::new(),
        jobs_more,
        fanouts: Vec::new(),
        fanouts_more,
        forgotten: std::mem::take(&mut recorded.forgotten),
        notes,
    };
    Ok(Explained {
        explanation,
        fanouts: recorded.fanouts.iter().map(|fanout| fanout.fanout_id).collect(),
        jobs: recorded.jobs,
    })
}

/// Leaves so many, what was asked about among them; how many more there were.
fn cut<T>(items: &mut Vec<T>, max: usize, is_asked: impl Fn(&T) -> bool) -> u64 {
    let more = items.len().saturating_sub(max);
    if let Some(index) = items.iter().position(is_asked).filter(|index| *index >= max) {
        let asked = items.remove(index);
        items.insert(0, asked);
    }
    items.truncate(max);
    more as u64
}

/// Whether the stream was handled up to behind the event. Without a known place of either it is taken to be.
fn is_behind(found: Option<&FoundEvent>, handled_to: Option<u64>) -> bool {
    found
        .zip(handled_to)
        .is_none_or(|(found, handled_to)| found.sequence <= handled_to)
}

fn told_event(
    recorded: &Recorded,
    found: Option<&FoundEvent>,
    host: Option<&mut EventHost<'_>>,
) -> Result<Option<ExplainedEvent>, Refusal> {
    let Some((org, EventRef { id, source, etype })) = found
        .map(|found| (found.event.org.clone(), found.event.to_ref()))
        .or_else(|| recorded.event())
    else {
        return Ok(None);
    };
    let host = match host {
        Some(host) if host.is_named() => host.get()?.as_ref().ok().map(|(record, _)| record.to_ref()),
        _ => None,
    };
    let handled = recorded.handled();
    let of_mark = handled.map(|handled| (handled.sequence, handled.stored_at));
    let place = found.map(|found| (found.sequence, found.stored_at)).or(of_mark);
    Ok(Some(ExplainedEvent {
        id,
        source,
        org,
        etype,
        time: found.map(|found| found.event.time),
        stored_at: place.map(|(_, stored_at)| stored_at),
        sequence: place
            .map(|(sequence, _)| sequence)
            .or_else(|| recorded.sequence()),
        handled_at: recorded.handled_at(),
        attested_by: found.map(|found| found.event.attested_by),
        host,
        traceparent: match found {
            Some(found) => found.event.traceparent.clone(),
            None => recorded.jobs.first().and_then(|job| job.traceparent.clone()),
        },
    }))
}

fn dead_letters(recorded: &Recorded) -> Vec<WithheldView> {
    let dead = recorded
        .decisions
        .iter()
        .filter(|(pipeline, _)| pipeline.is_none());
    dead.map(|(_, record)| record.to_view(None)).collect()
}

/// What one should know to read the rest.
fn notes(
    lookup: &EventLookup,
    event: Option<&ExplainedEvent>,
    rules: &ExplainedRules,
    is_handled: bool,
) -> Vec<String> {
    let mut notes = Vec::new();
    let without = "only what is recorded is told, no condition is evaluated";
    match lookup.state {
        LookupState::Gone => notes.push(format!(
            "the stream of events does not hold the event any more: {without}"
        )),
        LookupState::BrokerAway => notes.push(format!("the broker did not answer: {without}")),
        LookupState::NotFound if event.is_some() => {
            notes.push(format!("the event was not found in its stream: {without}"));
        }
        LookupState::Read | LookupState::NotFound | LookupState::NoEvent => {}
    }
    let Some(event) = event else { return notes };
    if !is_handled {
        notes.push("the event has not been handled yet".to_owned());
    }
    let decided = event.handled_at.or(event.stored_at);
    match &rules.decided_by {
        Some(version) if *version != rules.version => {
            notes.push("other rules decided about the event than those in force now".to_owned());
        }
        None if decided.is_some_and(|decided| decided < rules.loaded_at) => notes.push(format!(
            "the rules in force were loaded at {}, after the event came: others may have decided about it",
            rules.loaded_at
        )),
        _ => {}
    }
    notes
}
