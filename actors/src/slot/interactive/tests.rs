//! An interactive session, transition by transition. What it does is written as words, in order:
//! `execute 1/2` is the second attempt of the command with the number 1.

mod paused;

use super::*;
use crate::session::NewCommand;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::HashMap;
use tripline_protocol::result::HostRef;
use tripline_protocol::session::{SessionOwner, SessionState};
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{FaultClass, Org, Sha256};

const START: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const GRACE: Span = Span::from_secs(30);
const JOURNAL: Uuid = Uuid::from_u128(0x10);
const ID: SessionId = SessionId(Uuid::from_u128(0x20));

fn session() -> SessionRecord {
    SessionRecord {
        session_id: ID,
        number: 1,
        org: Org::default_org(),
        host: HostRef {
            host_id: HostId(Uuid::from_u128(0x30)),
            hostname: "amelie".into(),
        },
        sensor_id: 1,
        owner: SessionOwner {
            token_id: "t".into(),
            name: "amelie".into(),
        },
        state: SessionState::Active,
        opened_at: START,
        idle_timeout: Span::from_secs(300),
        last_request_at: START,
        files: 0,
        verbs: vec![],
        active_since: Some(START),
        closed_at: None,
        reason: None,
        error: None,
    }
}

fn call(verb: Verb, args: Value) -> NewCommand {
    NewCommand {
        call: VerbCall::parse(verb, args).unwrap(),
        timeout: Span::from_secs(60),
        idempotent: false,
        origin: None,
    }
}

fn reads() -> NewCommand {
    call(Verb::ListProcesses, json!({}))
}

fn mutates() -> NewCommand {
    call(Verb::DeleteFile, json!({ "path": "/tmp/x" }))
}

fn id(number: u32, attempt: u32) -> CommandId {
    CommandId::derive_interactive(ID, number, attempt)
}

fn named(command_id: CommandId) -> String {
    let mut all = (1..200).flat_map(|number| (1..20).map(move |attempt| (number, attempt)));
    let found = all.find(|(number, attempt)| id(*number, *attempt) == command_id);
    let (number, attempt) = found.expect("a command of no number");
    format!("{number}/{attempt}")
}

/// A slot's state machine, a clock, and what was last written.
struct Rig {
    state: State,
    now: Timestamp,
    journal: Journal,
    last_request: Timestamp,
    wanted: bool,
    stored: HashMap<u32, CommandRecord>,
    ended: Option<String>,
}

impl Rig {
    fn new() -> Self {
        let mut rig = Self {
            state: State::new(GRACE),
            now: START,
            journal: Some(JOURNAL),
            last_request: START,
            wanted: false,
            stored: HashMap::new(),
            ended: None,
        };
        assert!(rig.begin(session()).is_empty());
        rig
    }

    fn begin(&mut self, record: SessionRecord) -> Vec<String> {
        let mut open: Vec<CommandRecord> = self
            .stored
            .values()
            .filter(|record| !record.state.has_ended())
            .cloned()
            .collect();
        open.sort_by_key(|record| record.number);
        let last = self.stored.keys().max().copied().unwrap_or(0);
        let effects = self.state.begin(record, open, last, self.journal, self.now);
        self.words(effects)
    }

    /// The server stops and starts again.
    fn restart(&mut self) -> Vec<String> {
        self.state = State::new(GRACE);
        self.begin(session())
    }

    fn run(&mut self, command: NewCommand) -> Vec<String> {
        let number = self.state.next_number().unwrap();
        let record = CommandRecord::new(&session(), number, command, None, "amelie".into(), self.now);
        let effects = self.state.submit(record, self.journal, self.now);
        self.words(effects)
    }

    fn report(&mut self, command_id: CommandId, report: Report) -> Vec<String> {
        let effects = self.state.report(command_id, report, self.journal, self.now);
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

    fn answer(&mut self, command_id: CommandId) -> Vec<String> {
        self.result(command_id, Some(json!({})), None)
    }

    fn fail(&mut self, command_id: CommandId, code: &str) -> Vec<String> {
        self.result(command_id, None, Some(Fault::server(code, "it failed")))
    }

    fn cancel(&mut self, number: u32) -> Option<Vec<String>> {
        let (_, effects) = self.state.cancel(number, "bert", self.journal, self.now)?;
        Some(self.words(effects))
    }

    fn close(&mut self) -> Vec<String> {
        let effects = self.state.close(self.now);
        self.words(effects)
    }

    fn pass(&mut self, seconds: u64) -> Vec<String> {
        self.now = self.now.after(Span::from_secs(seconds));
        let lease = Lease {
            last_request: self.last_request,
            wanted: self.wanted,
        };
        let effects = self.state.tick(lease, self.journal, self.now);
        self.words(effects)
    }

    fn words(&mut self, effects: Vec<Effect>) -> Vec<String> {
        effects.into_iter().map(|effect| self.word(effect)).collect()
    }

    fn word(&mut self, effect: Effect) -> String {
        match effect {
            Effect::Persist(record) => {
                let word = format!("{} {}", record.state, record.number);
                self.stored.insert(record.number, *record);
                word
            }
            Effect::Host(ToHostEffect::Execute(execute)) => {
                assert_eq!(execute.session_id, Some(ID));
                format!("execute {}", named(execute.command_id))
            }
            Effect::Host(ToHostEffect::Adopt(adopt)) => {
                let cancelled = if adopt.cancelled { " cancelled" } else { "" };
                let journal = adopt.journal_id.map_or(" without journal", |_| "");
                format!("adopt {}{journal}{cancelled}", named(adopt.command_id))
            }
            Effect::Host(ToHostEffect::Cancel(id)) => format!("cancel {}", named(id)),
            Effect::Host(ToHostEffect::Abandon(id)) => format!("abandon {}", named(id)),
            Effect::Host(ToHostEffect::Ack(id)) => format!("ack {}", named(id)),
            Effect::Spill { name, .. } => format!("spill {name}"),
            Effect::End { reason, given, .. } => {
                let given = if given { " given" } else { "" };
                let word = format!("end {}{given}", reason.code);
                self.ended = Some(word.clone());
                word
            }
        }
    }

    fn error(&self, number: u32) -> (FaultClass, &str) {
        let error = self.stored[&number].error.as_ref().unwrap();
        (error.class, error.code.as_str())
    }
}

#[test]
fn a_command_is_written_before_it_is_sent_and_acked_after_its_end_is() {
    let mut rig = Rig::new();
    assert_eq!(rig.run(mutates()), ["running 1", "execute 1/1"]);
    assert_eq!(rig.stored[&1].journal_id, Some(JOURNAL));
    assert_eq!(rig.run(reads()), ["pending 2"]);
    assert_eq!(
        rig.answer(id(1, 1)),
        ["succeeded 1", "ack 1/1", "running 2", "execute 2/1"]
    );
    assert_eq!(rig.stored[&2].journal_id, None, "it only reads");
    assert_eq!(rig.fail(id(2, 1), "ENOENT"), ["failed 2", "ack 2/1"]);
}

#[test]
fn a_command_waits_for_its_host_and_is_never_sent_when_it_does_not_come() {
    let mut rig = Rig::new();
    rig.journal = None;
    assert_eq!(rig.run(mutates()), ["pending 1"]);
    assert_eq!(rig.run(reads()), ["pending 2"]);
    assert!(rig.pass(29).is_empty());
    assert_eq!(rig.pass(1), ["failed 1"]);
    assert_eq!(rig.error(1), (FaultClass::Timeout, "host_offline"));
    rig.journal = Some(JOURNAL);
    assert_eq!(rig.pass(1), ["running 2", "execute 2/1"]);
}

#[test]
fn a_command_that_was_not_begun_is_made_known_again_and_a_busy_agents_fails() {
    let mut rig = Rig::new();
    rig.run(mutates());
    assert_eq!(rig.fail(id(1, 1), "agent_stopping"), ["adopt 1/1"]);
    assert!(rig.report(id(1, 1), Report::Found).is_empty());
    assert_eq!(rig.fail(id(1, 1), "busy"), ["failed 1", "ack 1/1"]);
}

#[test]
fn a_fetched_file_that_did_not_arrive_is_fetched_again() {
    let mut rig = Rig::new();
    rig.run(call(Verb::GetFile, json!({ "path": "/etc/hosts" })));
    for attempt in 1..ATTEMPTS_MAX {
        let next = attempt + 1;
        assert_eq!(
            rig.answer(id(1, attempt)),
            [
                "running 1".to_owned(),
                format!("ack 1/{attempt}"),
                format!("execute 1/{next}")
            ]
        );
    }
    assert_eq!(rig.answer(id(1, ATTEMPTS_MAX)), ["failed 1", "ack 1/10"]);
    assert_eq!(rig.error(1), (FaultClass::Server, "too_many_attempts"));
}

#[test]
fn a_large_output_is_spilled_and_an_artifact_that_cannot_be_written_fails_the_command() {
    let mut rig = Rig::new();
    rig.run(reads());
    let large = Some(json!("x".repeat(OUTPUT_INLINE_BYTES_MAX)));
    assert_eq!(rig.result(id(1, 1), large.clone(), None), ["spill command1.json"]);
    assert!(rig.pass(1000).is_empty(), "its result is here");
    let artifact = ArtifactRef {
        sha256: Sha256::from_digest(&[7; 32]),
        bytes: 1,
        name: "command1.json".into(),
    };
    let effects = rig.state.spilled(id(1, 1), Ok(artifact), rig.journal, rig.now);
    assert_eq!(rig.words(effects), ["succeeded 1", "ack 1/1"]);
    assert_eq!(rig.stored[&1].output, None);
    rig.run(reads());
    rig.result(id(2, 1), large, None);
    let full = Err(Fault::server("artifact_not_stored", "full"));
    let effects = rig.state.spilled(id(2, 1), full, rig.journal, rig.now);
    assert_eq!(rig.words(effects), ["failed 2", "ack 2/1"]);
}

#[test]
fn a_deadline_gives_way_to_a_wish_to_cancel() {
    let mut rig = Rig::new();
    rig.run(reads());
    assert_eq!(rig.pass(62), ["cancel 1/1"]);
    assert_eq!(rig.cancel(1), Some(vec!["running 1".into()]));
    assert_eq!(rig.fail(id(1, 1), CODE_CANCELLED), ["cancelled 1", "ack 1/1"]);
    assert_eq!(rig.cancel(1), None, "it has ended");
}

#[test]
fn an_end_that_is_not_confirmed_is_given_up() {
    let mut rig = Rig::new();
    rig.run(mutates());
    rig.pass(62);
    assert_eq!(rig.pass(10), ["abandon 1/1", "failed 1"]);
    assert_eq!(rig.error(1), (FaultClass::Timeout, "command_timeout"));
    rig.run(reads());
    rig.cancel(2);
    assert_eq!(rig.pass(10), ["abandon 2/1", "cancelled 2"]);
    rig.run(mutates());
    rig.cancel(3);
    assert_eq!(rig.pass(10), ["abandon 3/1", "failed 3"]);
    assert_eq!(rig.error(3), (FaultClass::Server, "interrupted"));
}

#[test]
fn one_that_was_done_before_it_could_be_cancelled_is_done() {
    let mut rig = Rig::new();
    rig.run(mutates());
    rig.cancel(1);
    assert_eq!(rig.answer(id(1, 1)), ["succeeded 1", "ack 1/1"]);
}

#[test]
fn closing_ends_at_once_when_nothing_runs() {
    let mut rig = Rig::new();
    assert_eq!(rig.close(), ["end closed"]);
    assert!(rig.state.record().is_none());
    assert_eq!(rig.state.next_number(), Err(Refused::Closing));
    let mut rig = Rig::new();
    rig.journal = None;
    rig.run(mutates());
    rig.run(reads());
    assert_eq!(rig.close(), ["cancelled 2", "cancelled 1", "end closed"]);
}

#[test]
fn after_a_restart_a_cancelled_command_is_cancelled_again() {
    let mut rig = Rig::new();
    rig.run(mutates());
    rig.run(reads());
    rig.cancel(1);
    assert_eq!(rig.restart(), ["adopt 1/1", "cancel 1/1"]);
    assert_eq!(
        rig.fail(id(1, 1), CODE_CANCELLED),
        ["cancelled 1", "ack 1/1", "running 2", "execute 2/1"]
    );
    assert_eq!(rig.restart(), ["adopt 2/1 without journal"]);
    assert_eq!(rig.state.next_number(), Ok(3));
}

#[test]
fn idle_means_without_a_request_and_without_a_command() {
    let mut rig = Rig::new();
    rig.run(reads());
    assert!(rig.pass(50).is_empty());
    rig.answer(id(1, 1));
    assert!(rig.pass(299).is_empty(), "since its end");
    rig.last_request = rig.now;
    rig.wanted = true;
    assert!(rig.pass(29).is_empty());
    assert_eq!(rig.pass(1), ["end idle given"]);
    let mut rig = Rig::new();
    assert_eq!(rig.pass(300), ["end idle"]);
}

#[derive(Debug, Clone)]
enum Op {
    Run { mutating: bool, idempotent: bool },
    Cancel(u32),
    Close,
    Answer,
    Fail(&'static str),
    Lost,
    Found,
    JournalLost,
    Attach,
    Detach,
    HostRestarted,
    Restart,
    Pass(u64),
    Stale,
}

fn op() -> impl Strategy<Value = Op> {
    let codes = vec![
        "ENOENT",
        CODE_CANCELLED,
        "interrupted",
        "agent_stopping",
        "already_acked",
        "busy",
    ];
    prop_oneof![
        8 => any::<(bool, bool)>().prop_map(|(mutating, idempotent)| Op::Run { mutating, idempotent }),
        2 => (1_u32..12).prop_map(Op::Cancel),
        1 => Just(Op::Close),
        6 => Just(Op::Answer),
        4 => prop::sample::select(codes).prop_map(Op::Fail),
        2 => Just(Op::Lost),
        2 => Just(Op::Found),
        1 => Just(Op::JournalLost),
        2 => Just(Op::Attach),
        1 => Just(Op::Detach),
        1 => Just(Op::HostRestarted),
        2 => Just(Op::Restart),
        4 => (0_u64..40).prop_map(Op::Pass),
        1 => Just(Op::Stale),
    ]
}

/// What the outside saw: which attempts were sent, and how each command ended.
#[derive(Default)]
struct Seen {
    sent: HashMap<CommandId, u32>,
    ends: HashMap<u32, u32>,
    under_way: Option<CommandId>,
}

impl Rig {
    /// Looks at each effect as it leaves, and checks what must always hold.
    fn watch(&mut self, words: Vec<String>, seen: &mut Seen, was_over: bool) {
        assert!(!was_over || words.is_empty(), "after its end: {words:?}");
        for word in &words {
            let (what, of) = word.split_once(' ').unwrap();
            match what {
                "execute" => {
                    let (number, attempt) = of.split_once('/').unwrap();
                    let (number, attempt): (u32, u32) = (number.parse().unwrap(), attempt.parse().unwrap());
                    let record = &self.stored[&number];
                    assert_eq!(
                        record.command_id,
                        id(number, attempt),
                        "written before it is sent"
                    );
                    let sent = seen.sent.entry(record.command_id).or_default();
                    *sent += 1;
                    assert_eq!(*sent, 1, "{of} was sent twice");
                    assert!(attempt == 1 || record.may_repeat(), "{of} ran twice");
                    assert_eq!(record.journal_id.is_some(), record.mutates());
                    seen.under_way = Some(record.command_id);
                }
                "succeeded" | "failed" | "cancelled" => {
                    let number = of.parse().unwrap();
                    let ends = seen.ends.entry(number).or_default();
                    *ends += 1;
                    assert_eq!(*ends, 1, "command {number} ended twice");
                    let record = &self.stored[&number];
                    assert_eq!(record.error.is_none(), record.state == CommandState::Succeeded);
                    assert!(record.finished_at.is_some() && record.journal_id.is_none());
                }
                "ack" => {
                    let (number, _) = of.split_once('/').unwrap();
                    let record = &self.stored[&number.parse().unwrap()];
                    assert_ne!(
                        named(record.command_id).as_str(),
                        of_running(record, of),
                        "acked too early"
                    );
                }
                _ => {}
            }
        }
    }

    fn flying(&self) -> Option<CommandId> {
        let current = self.state.session.as_ref()?.current.as_ref()?;
        matches!(current.place, Place::Flying(_)).then_some(current.record.command_id)
    }

    fn step(&mut self, op: &Op) -> Vec<String> {
        let flying = self.flying();
        match (op, flying) {
            (Op::Run { mutating, idempotent }, _) => {
                if self.state.next_number().is_err() {
                    return Vec::new();
                }
                let command = if *mutating { mutates() } else { reads() };
                self.run(NewCommand {
                    idempotent: *idempotent,
                    ..command
                })
            }
            (Op::Cancel(number), _) => self.cancel(*number).unwrap_or_default(),
            (Op::Close, _) => self.close(),
            (Op::Answer, Some(id)) => self.answer(id),
            (Op::Fail(code), Some(id)) => self.fail(id, code),
            (Op::Lost, Some(id)) => self.report(id, Report::Lost),
            (Op::Found, Some(id)) => self.report(id, Report::Found),
            (Op::JournalLost, Some(id)) => self.report(id, Report::JournalLost),
            (Op::Attach, _) => {
                self.journal = Some(JOURNAL);
                self.pass(0)
            }
            (Op::Detach, _) => {
                self.journal = None;
                flying.map_or_else(Vec::new, |id| self.report(id, Report::Lost))
            }
            (Op::HostRestarted, _) => {
                let effects = self.state.host_restarted(session().host.host_id, self.now);
                self.words(effects)
            }
            (Op::Restart, _) if self.ended.is_none() && !self.is_closing() => self.restart(),
            (Op::Pass(seconds), _) => {
                self.last_request = self.now;
                self.pass(*seconds)
            }
            (Op::Stale, _) => self.answer(CommandId(Uuid::from_u128(99))),
            _ => Vec::new(),
        }
    }

    fn is_closing(&self) -> bool {
        self.state.session.as_ref().is_some_and(|session| session.closing)
    }

    fn check(&self, seen: &Seen) {
        let running: Vec<&CommandRecord> = self
            .stored
            .values()
            .filter(|record| record.state == CommandState::Running)
            .collect();
        assert!(running.len() <= 1, "two commands of a session run");
        for record in self.stored.values() {
            let ends = seen.ends.get(&record.number).copied().unwrap_or(0);
            assert_eq!(ends == 1, record.state.has_ended());
            assert_eq!(
                self.state.command(record.number).is_some(),
                !record.state.has_ended(),
                "command {} is forgotten",
                record.number
            );
        }
        assert_eq!(self.ended.is_some(), self.state.record().is_none());
    }
}

/// The attempt that a record is at, while it runs: its result cannot have been acked.
fn of_running<'a>(record: &CommandRecord, of: &'a str) -> &'a str {
    match record.state {
        CommandState::Running => of,
        _ => "",
    }
}

proptest! {
    #[test]
    fn every_command_ends_once_and_no_mutating_one_runs_twice(ops in prop::collection::vec(op(), 1..80)) {
        let (mut rig, mut seen) = (Rig::new(), Seen::default());
        for op in ops {
            let over = rig.ended.is_some();
            let words = rig.step(&op);
            rig.watch(words, &mut seen, over);
            rig.check(&seen);
        }
        let over = rig.ended.is_some();
        let words = rig.close();
        rig.watch(words, &mut seen, over);
        for _ in 0..4 {
            let over = rig.ended.is_some();
            let words = rig.pass(100);
            rig.watch(words, &mut seen, over);
        }
        prop_assert!(rig.ended.is_some(), "a closed session ends by itself");
        prop_assert!(rig.stored.values().all(|record| record.state.has_ended()));
        rig.check(&seen);
    }
}

#[test]
fn a_session_has_so_many_commands_in_its_life() {
    let after = |number_last| {
        let mut state = State::new(GRACE);
        state.begin(session(), vec![], number_last, Some(JOURNAL), START);
        state.next_number()
    };
    assert_eq!(after(COMMANDS_MAX - 1), Ok(COMMANDS_MAX));
    assert_eq!(after(COMMANDS_MAX), Err(Refused::Numbers));
}
