//! A session with a job, transition by transition. What it does is written as words, in order:
//! `execute 0/1` is the command of step 0 in attempt 1.

mod choices;
mod finally;
mod full;
mod lists;
mod lost;
mod paused;
mod publish;
mod resting;
mod resume;
mod steps;
mod stopping;

use super::Report;
use super::state::{Effect, Moment, State, ToHostEffect};
use crate::record::{JobRecord, finally_len, reports};
use crate::scheduler::SessionEnd;
use serde_json::{Value, json};
use tripline_protocol::frame::CommandResult;
use tripline_protocol::job::{JobSpec, JobState};
use tripline_protocol::result::HostRef;
use tripline_protocol::step::{ArtifactRef, OnError, Step, StepReport, StepStatus};
use tripline_protocol::verb::Verb;
use tripline_protocol::{CommandId, Event, Fault, HostId, JobId, Org, Sha256, Span, Timestamp};
use uuid::Uuid;

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const GRACE: Span = Span::from_secs(30);
const JOURNAL: Uuid = Uuid::from_u128(0x10);
const JOB: JobId = JobId(Uuid::from_u128(0x20));
const HOST: HostId = HostId(Uuid::from_u128(0x30));

fn list() -> Step {
    Step::new(Verb::ListProcesses, json!({}))
}

fn delete() -> Step {
    Step::new(Verb::DeleteFile, json!({ "path": "/tmp/x" }))
}

fn allowed_to_fail(step: Step) -> Step {
    Step {
        on_error: OnError::Continue,
        ..step
    }
}

fn idempotent(step: Step) -> Step {
    Step {
        idempotent: true,
        ..step
    }
}

/// A job as the scheduler hands it over.
fn job(steps: Vec<Step>) -> JobRecord {
    accepted(JobSpec::new("test".parse().unwrap(), steps))
}

/// The same of any job.
fn accepted(spec: JobSpec) -> JobRecord {
    let mut spec = crate::pipeline::prepare_submitted(spec).unwrap();
    let finally = finally_len(&spec);
    spec.steps.append(&mut spec.finally);
    let reports = reports(&spec.steps, finally);
    JobRecord {
        job_id: JOB,
        org: Org::default_org(),
        name: spec.name,
        host: HostRef {
            host_id: HOST,
            hostname: "amelie".into(),
        },
        seq: 1,
        priority: spec.priority,
        state: JobState::Queued,
        run: 0,
        attempt: 0,
        pauses: 0,
        rests: 0,
        retries: 0,
        retry: spec.retry,
        rest: None,
        last_try: None,
        deadline: None,
        finally,
        finally_timeout: spec.finally_timeout,
        ending: None,
        queued_at: START,
        expires_at: START.after(JobSpec::EXPIRES_DEFAULT),
        timeout: JobSpec::TIMEOUT_DEFAULT,
        started_at: None,
        finished_at: None,
        reason: None,
        pipeline: None,
        event: None,
        fanout: None,
        traceparent: None,
        depth: 0,
        investigation_id: None,
        reports,
        loops: Vec::new(),
        steps: spec.steps,
        intent: None,
        vars: Default::default(),
        cancel_requested: false,
        by: None,
        notes: Vec::new(),
        attempt_at: None,
        passed: Vec::new(),
        dropped: Vec::new(),
        outgoing: Vec::new(),
    }
}

fn command(step: usize, attempt: u32) -> CommandId {
    CommandId::derive(JOB, step, attempt)
}

fn named(command_id: CommandId) -> String {
    let all = (1..80).flat_map(|attempt| (0..256).map(move |step| (step, attempt)));
    let found = all
        .clone()
        .find(|(step, attempt)| command(*step, *attempt) == command_id);
    let (step, attempt) = found.expect("a command of no step");
    format!("{step}/{attempt}")
}

fn artifact() -> ArtifactRef {
    ArtifactRef {
        sha256: Sha256::from_digest(&[7; 32]),
        bytes: 200_000,
        name: "step1.json".into(),
    }
}

/// A slot's state machine, a clock, and what was last written and ended.
struct Rig {
    state: State,
    now: Timestamp,
    journal: Option<Uuid>,
    outbox_room: u64,
    /// What went out with what was persisted or ended.
    published: Vec<Event>,
    /// As it was last persisted.
    stored: Option<JobRecord>,
    /// As it was given to the scheduler.
    ended: Option<JobRecord>,
    reason: String,
    spilled: Vec<u8>,
    deadline: Timestamp,
}

impl Rig {
    fn new() -> Self {
        Self {
            state: State::new(GRACE),
            now: START,
            journal: Some(JOURNAL),
            outbox_room: u64::MAX,
            published: Vec::new(),
            stored: None,
            ended: None,
            reason: String::new(),
            spilled: Vec::new(),
            deadline: START,
        }
    }

    /// With a job that just began.
    fn running(steps: Vec<Step>) -> Self {
        let mut rig = Self::new();
        rig.run(job(steps));
        rig
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now,
            journal_id: self.journal,
            outbox_room: self.outbox_room,
        }
    }

    fn run(&mut self, record: JobRecord) -> Vec<String> {
        let effects = self.state.run(record, self.moment());
        self.words(effects)
    }

    fn pass(&mut self, seconds: u64) -> Vec<String> {
        self.now = self.now.after(Span::from_secs(seconds));
        let effects = self.state.tick(self.moment());
        self.words(effects)
    }

    fn report(&mut self, command_id: CommandId, report: Report) -> Vec<String> {
        let effects = self.state.report(command_id, report, self.moment());
        self.words(effects)
    }

    fn result(&mut self, command_id: CommandId, output: Option<Value>, error: Option<Fault>) -> Vec<String> {
        let result = CommandResult {
            command_id,
            output,
            error,
            truncated: None,
        };
        self.report(command_id, Report::Ended(Box::new(result), None))
    }

    fn answer(&mut self, step: usize, attempt: u32, output: Value) -> Vec<String> {
        self.result(command(step, attempt), Some(output), None)
    }

    fn fail(&mut self, step: usize, attempt: u32, fault: Fault) -> Vec<String> {
        self.result(command(step, attempt), None, Some(fault))
    }

    fn next_turn(&mut self) -> Vec<String> {
        let effects = self.state.next_turn(JOB, self.moment());
        self.words(effects)
    }

    /// Runs it for as many turns as it goes on by itself.
    fn run_on(&mut self, record: JobRecord) -> Vec<String> {
        let mut words = self.run(record);
        while words.last().is_some_and(|word| word == "next turn") {
            words = self.next_turn();
        }
        words
    }

    fn cancel(&mut self) -> Vec<String> {
        let effects = self.state.cancel(JOB, self.moment());
        self.words(effects)
    }

    fn spilled(&mut self, step: usize, result: Result<ArtifactRef, Fault>) -> Vec<String> {
        let effects = self.state.spilled(command(step, 1), result, self.moment());
        self.words(effects)
    }

    fn host_restarted(&mut self) -> Vec<String> {
        let effects = self.state.host_restarted(HOST, self.moment());
        self.words(effects)
    }

    fn words(&mut self, effects: Vec<Effect>) -> Vec<String> {
        effects.into_iter().map(|effect| self.word(effect)).collect()
    }

    fn word(&mut self, effect: Effect) -> String {
        match effect {
            Effect::Persist(record) => {
                self.published.extend(record.outgoing.iter().cloned());
                self.stored = Some(*record);
                "persist".into()
            }
            Effect::Announce(_) => "announce".into(),
            Effect::Host { host_id, command } => {
                assert_eq!(host_id, HOST);
                match command {
                    ToHostEffect::Execute(execute) => {
                        self.deadline = execute.deadline;
                        format!("execute {}", named(execute.command_id))
                    }
                    ToHostEffect::Adopt(adopt) => {
                        let cancelled = if adopt.cancelled { " cancelled" } else { "" };
                        let journal = adopt.journal_id.map_or(" without journal", |_| "");
                        format!("adopt {}{journal}{cancelled}", named(adopt.command_id))
                    }
                    ToHostEffect::Cancel(id) => format!("cancel {}", named(id)),
                    ToHostEffect::Abandon(id) => format!("abandon {}", named(id)),
                    ToHostEffect::Ack(id) => format!("ack {}", named(id)),
                }
            }
            Effect::Spill { name, bytes, .. } => {
                self.spilled = bytes;
                format!("spill {name}")
            }
            Effect::NextTurn(job_id) => {
                assert_eq!(job_id, JOB);
                "next turn".into()
            }
            Effect::End { record, end, ack } => {
                self.ended = Some(*record.clone());
                self.published.extend(record.outgoing.iter().cloned());
                let ack = ack.map_or(String::new(), |id| format!(", ack {}", named(id)));
                match end {
                    SessionEnd::GivenBack => format!("given back{ack}"),
                    SessionEnd::Rests => {
                        let rest = record.rest.clone().expect("it rests for a time");
                        self.reason = rest.reason.text;
                        let millis = rest.not_before.since(self.now).as_millis();
                        self.stored = Some(*record);
                        format!("rests {millis} ms {}{ack}", rest.reason.code)
                    }
                    SessionEnd::Ended(outcome, reason) | SessionEnd::Closed(outcome, reason) => {
                        self.reason = reason.text;
                        format!("end {outcome} {}{ack}", reason.code)
                    }
                }
            }
        }
    }

    fn statuses(&self) -> Vec<StepStatus> {
        let record = self.ended.as_ref().or(self.state.record()).unwrap();
        record.reports.iter().map(|report| report.status).collect()
    }

    fn is_free(&self) -> bool {
        self.state.record().is_none()
    }
}

fn host_error() -> Fault {
    Fault::live_response("ENOENT", "no such file")
}

fn cancelled() -> Fault {
    Fault::server(tripline_protocol::frame::CODE_CANCELLED, "cancelled")
}

fn died() -> Fault {
    Fault::server(tripline_protocol::frame::CODE_INTERRUPTED, "the agent died")
}
