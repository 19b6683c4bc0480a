//! EtypeRouter: which pipelines an event trips, on which host, with which job.
//!
//! What one event causes, its jobs, its dead letter and the mark that it was handled, goes to the scheduler as
//! one decision and is committed there as one batch. The router changes no host or org: an event somebody
//! forges can trip pipelines, nothing more.

mod decide;
mod explain;
mod forget;
mod guard;
mod lookup;
mod mark;
mod pause;
mod remember;
mod rules;
mod suppress;
#[cfg(test)]
mod tests;
mod touched;
mod withheld;

pub(crate) use decide::{Age, Decision, decide};
pub(crate) use explain::{Explained, Question, explain, explained, locate};
pub use explain::{FoundEvent, Located, LookedUp};
pub(crate) use guard::Guards;
pub(crate) use lookup::{HostBook, Hosts, Resolution};
pub(crate) use mark::Mark;
pub(crate) use pause::{ChangePipelinePause, PauseRecord, paused_pipelines};
pub(crate) use rules::{GetRules, Rules, SetRules};
pub(crate) use suppress::{Place, WindowRecord};
pub(crate) use touched::{TouchedRecord, which};
pub use withheld::WITHHELD_REASONS;
pub(crate) use withheld::{DecisionRecord, TallyRecord, Why, Withheld, by_time, decisions, of_row};

use crate::door::Reply;
use crate::fanout::{BeginFanouts, Fanouts, NewFanout};
use crate::ground::Ground;
use crate::guardian::{Sentinel, retires};
use crate::ingest::{Dead, Incoming};
use crate::outbox::Outgoing;
use crate::refusal::Refusal;
use crate::replay::{Replay, handled_key};
use crate::scheduler::{Accept, JobScheduler, NewJob};
use crate::service::{Deliveries, Listeners, Planned, Services};
use crate::store::{Batch, Table};
use crate::timekeeper::{SOURCE, service_of};
use crate::trace::{self, Decided, TraceSpan};
use actix::prelude::*;
use mark::Handled;
use remember::{Bounded, DEAD_MAX, Kept, Pruned, SETTLED_MAX, mark_handled, prune};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::limacharlie::ServiceEtype;
use tripline_protocol::{Event, EventKey, Name, Span, Timestamp};
use withheld::{Of, Records};

/// How long the mark of a handled event is kept: as long as the events stream keeps events.
const HANDLED_RETAIN: Span = Span::from_secs(7 * 24 * 3600);
/// Marks removed at once; the next follow when these are gone.
const PRUNE_MAX: usize = 2000;

/// Events in order, from Ingest. `batch` is written with whatever they cause.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Route {
    pub(crate) batch: Batch,
    /// Written only if something else is.
    pub(crate) position: Option<Vec<u8>>,
    pub(crate) incoming: Vec<Incoming>,
    pub(crate) reply: Reply<()>,
}

/// More marks may be too old than were removed at once; from the router itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
struct PruneMarks;

/// One job fewer of a pipeline is open; from the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct JobLanded(pub(crate) Name);

/// One job more of a pipeline is open, by a fan-out; from the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct JobMade(pub(crate) Name);

/// An event to decide about.
struct Given<'a> {
    event: &'a Event,
    replay: Option<Replay>,
    /// Its sequence in the stream.
    sequence: u64,
    /// When the broker stored it.
    stored_at: Timestamp,
}

impl Given<'_> {
    /// 0, and one more for each replay.
    fn run(&self) -> u32 {
        self.replay.map_or(0, |replay| replay.run)
    }
}

/// How old an event may be for pipelines that do not say, where the server takes `max_age`. One of the clock's own ticks may
/// be on its way for as long as its period: nobody would get it later, or in its place.
pub(crate) fn age_taken(event: &Event, max_age: Span) -> Span {
    let is_ours = event.source == SOURCE;
    match event.etype.as_str().parse() {
        Ok(ServiceEtype::Tick(_, period)) if is_ours => period.span().min(HANDLED_RETAIN).max(max_age),
        _ => max_age,
    }
}

/// What is marked as handled by the decisions of one batch.
#[derive(Default)]
struct Marked {
    keys: HashSet<EventKey>,
    /// Those of them on which nobody acted.
    settled: u64,
    /// Those that became dead letters.
    dead: u64,
}

/// The actor.
pub(crate) struct EtypeRouter {
    ground: Arc<Ground>,
    scheduler: Addr<JobScheduler>,
    fanouts: Addr<Fanouts>,
    services: Addr<Services>,
    rules: Rules,
    guards: Guards,
    records: Records,
    /// Events decided whose marks are still on the way to the scheduler, and not in the store.
    underway: HashSet<EventKey>,
    settled: Bounded,
    dead: Bounded,
    /// Old marks are being removed.
    is_pruning: bool,
    sentinel: Sentinel,
}

retires!(EtypeRouter);

impl EtypeRouter {
    /// With what its guards counted before, and so many open jobs of pipelines.
    pub(crate) fn load(
        ground: Arc<Ground>,
        scheduler: Addr<JobScheduler>,
        fanouts: Addr<Fanouts>,
        services: Addr<Services>,
        rules: Rules,
        in_flight: HashMap<Name, u32>,
        sentinel: Sentinel,
    ) -> Result<Self, Refusal> {
        let guards = Guards::load(&ground, in_flight)?;
        let records = Records::load(&ground.store, ground.now())?;
        let settled = Bounded::load(&ground.store, Kept::Settled, SETTLED_MAX)?;
        let dead = Bounded::load(&ground.store, Kept::Dead, DEAD_MAX)?;
        Ok(Self {
            ground,
            scheduler,
            fanouts,
            services,
            rules,
            guards,
            records,
            underway: HashSet::new(),
            settled,
            dead,
            is_pruning: false,
            sentinel,
        })
    }

    /// What all of the events cause, gathered. Nothing is staged before all of them are decided: a batch that is
    /// refused leaves no trace.
    fn route(
        &mut self,
        incoming: &[Incoming],
        accept: &mut Accept,
        fanouts: &mut Vec<NewFanout>,
    ) -> Result<(), Refusal> {
        self.forget_submitted()?;
        let mut marked = Marked::default();
        let (mut letters, mut planned) = (Vec::new(), Vec::new());
        for one in incoming {
            let dead = match &one.event {
                Err(dead) => Some(dead.clone()),
                Ok(event) => {
                    let given = Given {
                        event,
                        replay: one.replay,
                        sequence: one.delivery.sequence,
                        stored_at: one.delivery.stored_at,
                    };
                    let (dead, plan) = self.route_event(&given, (accept, fanouts), &mut marked)?;
                    planned.extend(plan.map(|plan| (one, plan)));
                    dead
                }
            };
            letters.extend(dead.map(|dead| (one, dead)));
        }
        self.records.stage(&self.ground.store, &mut accept.batch)?;
        self.settled.add(&self.ground.store, marked.settled)?;
        self.dead.add(&self.ground.store, marked.dead)?;
        let now = self.ground.now();
        for (one, plan) in planned {
            let full = plan.stage(&self.ground, now, &mut accept.batch, &mut accept.deliveries);
            letters.extend(full.map(|dead| (one, dead)));
        }
        for (one, dead) in letters {
            let letter = one.stage_dead(&self.ground, &mut accept.batch, &dead);
            accept.outgoing.push(letter);
        }
        self.guards.stage(&mut accept.batch);
        self.underway.extend(marked.keys);
        Ok(())
    }

    /// Whether a pipeline may act on it. A service's own tick is no pipeline's.
    fn may_trip(&self, event: &Event) -> bool {
        service_of(event).is_none() && !self.rules.set.may_match(event).is_empty()
    }

    fn route_event(
        &mut self,
        given: &Given<'_>,
        (accept, fanouts): (&mut Accept, &mut Vec<NewFanout>),
        marked: &mut Marked,
    ) -> Result<(Option<Dead>, Option<Planned>), Refusal> {
        let event = given.event;
        if self.ground.limacharlie.is_over(event, self.ground.now()) {
            metrics::counter!("tripline_router_left_total").increment(1);
            return Ok((None, None));
        }
        let listeners = self.ground.services.listeners(event);
        // Before the store is asked: most events are nobody's.
        let may_trip = self.may_trip(event);
        if listeners.is_none() && !may_trip {
            return Ok((None, None));
        }
        let key = handled_key(event.key, given.replay);
        if marked.keys.contains(&key) || self.is_handled(key)? {
            metrics::counter!("tripline_router_duplicates_total").increment(1);
            return Ok((None, None));
        }
        let now = self.ground.now();
        let mut decision = match may_trip {
            true => self.decide(given, now)?,
            false => Decision::default(),
        };
        let plan = self.plan(given, now, key, listeners, &mut decision)?;
        let retain = self.retain(&decision, event, now);
        let kept = decision.kept();
        self.record(given, now, &decision);
        let Decision {
            jobs,
            fanouts: begun,
            dead,
            ..
        } = decision;
        let acts = jobs.len() + begun.len();
        if acts > 0 || dead.is_some() {
            accept.spans.extend(self.traced(given, now, acts, dead.as_ref()));
        }
        if let Some(retain) = retain {
            let mark = self.mark(given, now, &jobs, &begun);
            mark_handled(&mut accept.batch, key, (kept, now, retain), &mark);
            marked.settled += u64::from(kept == Kept::Settled);
            marked.dead += u64::from(kept == Kept::Dead);
            marked.keys.insert(key);
        }
        let began = begun.iter().map(|fanout| &fanout.record.pipeline);
        let acted = jobs.iter().map(|job| &job.pipeline).chain(began).flatten();
        acted.for_each(|pipeline| self.records.acted(event.key, &pipeline.name));
        accept.jobs.extend(jobs);
        fanouts.extend(begun);
        Ok((dead, plan))
    }

    /// What services get of an event. One that is too old for them is for nobody, and a dead letter if no pipeline acts.
    fn plan(
        &self,
        given: &Given<'_>,
        now: Timestamp,
        key: EventKey,
        listeners: Option<Listeners>,
        decision: &mut Decision,
    ) -> Result<Option<Planned>, Refusal> {
        let Some(listeners) = listeners else {
            return Ok(None);
        };
        let Age { age, age_max } = self.age(given, now);
        if age > age_max {
            decision.too_old_for_services(age, age_max);
            return Ok(None);
        }
        decision.delivers = true;
        Planned::new(&self.ground, key, given.event, listeners).map(Some)
    }

    fn age(&self, Given { event, replay, .. }: &Given<'_>, now: Timestamp) -> Age {
        Age {
            // A replay is as old as the wish for it.
            age: now.since(replay.map_or(event.time, |replay| replay.at)),
            age_max: age_taken(event, self.ground.config.events_max_age),
        }
    }

    /// How long an event is remembered as handled. One on which nobody acted: as long as one of those that did not act
    /// would take it, which is longer by what it is ahead of the clock. `None`: not at all, should it come again it is
    /// decided anew.
    fn retain(&self, decision: &Decision, event: &Event, now: Timestamp) -> Option<Span> {
        if decision.acts() {
            return Some(HANDLED_RETAIN);
        }
        let settled = decision.settled();
        let pipelines = settled.filter_map(|pipeline| self.rules.set.pipeline(pipeline));
        let age_max = age_taken(event, self.ground.config.events_max_age);
        let taken = pipelines.map(|pipeline| pipeline.age_max(age_max)).max()?;
        let ahead = event.time.since(now);
        let taken = taken.as_millis().saturating_add(ahead.as_millis());
        Some(Span::from_millis(taken).min(HANDLED_RETAIN))
    }

    /// Remembers that pipelines do not act, or only say what they would do, and that an event becomes a dead letter.
    fn record(&mut self, given: &Given<'_>, now: Timestamp, decision: &Decision) {
        for (pipeline, why) in &decision.errors {
            metrics::counter!("tripline_router_condition_errors_total").increment(1);
            tracing::warn!(%pipeline, event = %given.event.key, why, "condition has no value");
        }
        let of = Of {
            event: given.event,
            run: given.run(),
            sequence: given.sequence,
            now,
        };
        let redact = &self.ground.config.audit_redact;
        let dry_runs = decision.dry_runs.iter();
        let dry_runs = dry_runs.filter_map(|job| Withheld::dry_run(job, redact));
        let dry_fanouts = decision.dry_fanouts.iter();
        let dry_runs = dry_runs.chain(dry_fanouts.filter_map(Withheld::dry_fanout));
        for withheld in decision.withheld.iter().cloned().chain(dry_runs) {
            let pipeline = self.rules.set.pipeline(&withheld.pipeline);
            self.records
                .withheld(of, &withheld, pipeline.map(|pipeline| pipeline.version()));
        }
        if let Some(dead) = &decision.dead {
            self.records.dead(of, dead);
        }
    }

    fn decide(&mut self, given: &Given<'_>, now: Timestamp) -> Result<Decision, Refusal> {
        let event = given.event;
        let age = self.age(given, now);
        let book = HostBook::new(&self.ground.store, &self.ground.attachments);
        let candidates = self.rules.set.may_match(event);
        let event = (event, given.run());
        decide(candidates.into_iter(), event, age, &book, &mut self.guards, now)
    }

    fn traced(&self, given: &Given<'_>, now: Timestamp, jobs: usize, dead: Option<&Dead>) -> Vec<TraceSpan> {
        let decided = Decided {
            event: given.event,
            run: given.run(),
            stored_at: given.stored_at,
            began_at: now,
            jobs,
            dead: dead.map(|dead| dead.reason),
        };
        trace::decided(&self.ground, &decided)
    }

    fn mark(&self, given: &Given<'_>, now: Timestamp, jobs: &[NewJob], fanouts: &[NewFanout]) -> Mark {
        let fanouts = fanouts.iter().map(|fanout| fanout.record.fanout_id.0);
        Mark {
            caused: jobs.iter().map(|job| job.job_id.0).chain(fanouts).collect(),
            handled: Some(Handled {
                sequence: given.sequence,
                stored_at: given.stored_at,
                at: now,
                rules: self.rules.set.version().clone(),
            }),
        }
    }

    fn is_handled(&self, key: EventKey) -> Result<bool, Refusal> {
        Ok(self.underway.contains(&key) || self.is_marked(key)?)
    }

    fn is_marked(&self, key: EventKey) -> Result<bool, Refusal> {
        let mark = self.ground.store.get(Table::HandledEvent, key.as_bytes())?;
        Ok(mark.is_some())
    }

    /// Forgets the decisions that the scheduler has submitted meanwhile: the store has their marks.
    fn forget_submitted(&mut self) -> Result<(), Refusal> {
        let mut left = HashSet::new();
        for key in &self.underway {
            if !self.is_marked(*key)? {
                left.insert(*key);
            }
        }
        self.underway = left;
        Ok(())
    }
}

impl EtypeRouter {
    /// Forgets what is over.
    fn tick(&mut self, ctx: &mut Context<Self>) {
        if !self.is_pruning {
            self.prune_marks(ctx);
        }
        let (store, now) = (&self.ground.store, self.ground.now());
        if let Err(error) = self.records.tick(store, now) {
            tracing::error!(%error, "old decisions cannot be removed");
        }
        self.sweep_guards();
    }

    /// Removes old marks, page by page until none is left: others have their turn between two.
    fn prune_marks(&mut self, ctx: &mut Context<Self>) {
        let router = ctx.address();
        let pruned = prune(&self.ground.store, self.ground.now(), move || {
            router.do_send(PruneMarks)
        });
        let pruned = pruned.unwrap_or_else(|error| {
            tracing::error!(%error, "old marks of handled events cannot be removed");
            Pruned::default()
        });
        self.is_pruning = pruned.more;
        self.settled.forgot(pruned.settled);
        self.dead.forgot(pruned.dead);
    }

    /// Removes what guards counted and can decide nothing any more.
    fn sweep_guards(&mut self) {
        self.guards.sweep(self.ground.now());
        let mut batch = Batch::new();
        self.guards.stage(&mut batch);
        self.commit(batch);
    }

    fn commit(&self, batch: Batch) {
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
    }
}

impl Actor for EtypeRouter {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.keep_to_rules();
        ctx.run_interval(Duration::from_secs(5), |router, ctx| router.tick(ctx));
    }
}

impl Handler<Route> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, route: Route, _: &mut Self::Context) {
        let outgoing: Vec<Outgoing> = Vec::new();
        let mut accept = Accept {
            batch: route.batch,
            jobs: Vec::new(),
            outgoing,
            spans: Vec::new(),
            deliveries: Deliveries {
                to: Some(self.services.clone()),
                queued: Vec::new(),
            },
            reply: None,
        };
        metrics::counter!("tripline_router_events_total").increment(route.incoming.len() as u64);
        self.ground.tally.events.add(route.incoming.len() as u64);
        let mut fanouts = Vec::new();
        if let Err(refusal) = self.route(&route.incoming, &mut accept, &mut fanouts) {
            self.guards.roll_back();
            self.records.roll_back();
            return route.reply.send(Err(refusal));
        }
        let delivers = !accept.deliveries.queued.is_empty();
        let acts = delivers || !accept.jobs.is_empty() || !fanouts.is_empty();
        if !acts && accept.outgoing.is_empty() && accept.batch.is_empty() {
            return self.ground.after_commit(move || route.reply.send(Ok(())));
        }
        if let Some(position) = route.position {
            accept
                .batch
                .put(Table::Meta, crate::record::meta::POSITION.to_vec(), position);
        }
        accept.reply = Some(route.reply);
        self.fanouts.do_send(BeginFanouts { accept, fanouts });
    }
}

impl Handler<JobMade> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, JobMade(pipeline): JobMade, _: &mut Self::Context) {
        self.guards.made(&pipeline);
    }
}

impl Handler<PruneMarks> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, _: PruneMarks, ctx: &mut Self::Context) {
        self.prune_marks(ctx);
    }
}

impl Handler<JobLanded> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, JobLanded(pipeline): JobLanded, _: &mut Self::Context) {
        self.guards.landed(&pipeline);
    }
}
