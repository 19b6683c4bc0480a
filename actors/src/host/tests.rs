//! A host's commands against an agent: what is sent, told and held back.

mod attach;
mod client;
mod client_model;
mod model;

use super::state::{Effect, State};
use super::{Adopt, Execute};
use crate::slot::Report;
use serde_json::json;
use tripline_protocol::frame::{CommandResult, Hello, ServerFrame};
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{CommandId, Fault, Timestamp};
use uuid::Uuid;

const DEADLINE: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
const SLOT: u8 = 7;

fn id(n: u128) -> CommandId {
    CommandId(Uuid::from_u128(n))
}

fn journal(n: u128) -> Uuid {
    Uuid::from_u128(0xa000 + n)
}

fn reads() -> VerbCall {
    VerbCall::parse(Verb::ListProcesses, json!({})).unwrap()
}

fn mutates() -> VerbCall {
    VerbCall::parse(Verb::DeleteFile, json!({ "path": "/tmp/x" })).unwrap()
}

fn hello(journal_id: Uuid, running: &[CommandId], finished: &[CommandId]) -> Hello {
    Hello {
        agent_version: "0.1.0".into(),
        hostname: "amelie".into(),
        platform: "linux".into(),
        arch: "x86_64".into(),
        os_version: String::new(),
        addresses: vec![],
        labels: vec![],
        verbs: vec![Verb::ListProcesses, Verb::DeleteFile],
        journal_id,
        run_id: None,
        running: running.to_vec(),
        finished: finished.to_vec(),
        isolation: None,
    }
}

fn execute(command_id: CommandId, call: VerbCall) -> Execute {
    let journal_id = (call.verb().effect() == tripline_protocol::verb::Effect::Mutates).then_some(journal(1));
    Execute {
        command_id,
        session_id: None,
        call,
        deadline: DEADLINE,
        journal_id,
    }
}

fn adopt(command_id: CommandId, call: VerbCall, journal_id: Option<Uuid>) -> Adopt {
    Adopt {
        command_id,
        session_id: None,
        call,
        deadline: DEADLINE,
        journal_id,
        cancelled: false,
    }
}

fn result(command_id: CommandId) -> CommandResult {
    CommandResult {
        command_id,
        output: Some(json!({})),
        error: None,
        truncated: None,
    }
}

/// Effects as words: `command 1`, `found 1`, `ended 1`, `ended 1 cancelled`, `ack 1`, …
fn words(effects: Vec<Effect<u8>>) -> Vec<String> {
    let number = |id: CommandId| id.0.as_u128();
    let word = |effect| match effect {
        Effect::SendCommand { command, deadline } => {
            assert_eq!(deadline, DEADLINE);
            format!("command {}", number(command.command_id))
        }
        Effect::Send(frame) => match *frame {
            ServerFrame::Cancel { command_id } => format!("cancel {}", number(command_id)),
            ServerFrame::Ack { command_ids } => format!("ack {}", number(command_ids[0])),
            other => panic!("an unexpected frame: {other:?}"),
        },
        Effect::Littlebrother { command_id, call } => format!("ask {} {}", number(command_id), call.verb()),
        Effect::Forget(command_id) => format!("forget {}", number(command_id)),
        Effect::Tell {
            slot,
            command_id,
            report,
        } => {
            assert_eq!(slot, SLOT);
            let n = number(command_id);
            match report {
                Report::Lost => format!("lost {n}"),
                Report::Found => format!("found {n}"),
                Report::JournalLost => format!("journal lost {n}"),
                Report::Ended(result, _) => match result.error {
                    None => format!("ended {n}"),
                    Some(fault) => format!("ended {n} {}", fault.code),
                },
            }
        }
    };
    effects.into_iter().map(word).collect()
}

/// With an agent that has nothing to tell.
fn attached() -> State<u8> {
    let mut state = State::default();
    assert!(words(state.attach(1, &hello(journal(1), &[], &[]))).is_empty());
    state
}

/// With a command that was sent before the agent went away.
fn sent_and_lost(call: VerbCall) -> State<u8> {
    let mut state = attached();
    assert_eq!(words(state.execute(SLOT, execute(id(1), call))), ["command 1"]);
    assert_eq!(words(state.detach()), ["lost 1"]);
    state
}

#[test]
fn a_command_is_sent_with_the_epoch_of_the_attachment() {
    let mut state = State::default();
    state.attach(5, &hello(journal(1), &[], &[]));
    let effects = state.execute(SLOT, execute(id(1), mutates()));
    let [Effect::SendCommand { command, .. }] = effects.as_slice() else {
        panic!("expected one command, got {effects:?}");
    };
    assert_eq!((command.epoch, command.call.clone()), (5, mutates()));
    assert_eq!(state.epoch(), 5);
}

#[test]
fn a_verb_that_is_not_offered_is_not_sent() {
    let mut state = attached();
    let call = VerbCall::parse(Verb::Walk, json!({ "path": "/" })).unwrap();
    assert_eq!(
        words(state.execute(SLOT, execute(id(1), call))),
        ["ended 1 unsupported_verb"]
    );
}

#[test]
fn a_command_for_a_host_that_is_away_waits_for_it() {
    let mut state = State::default();
    assert_eq!(words(state.execute(SLOT, execute(id(1), mutates()))), ["lost 1"]);
    assert!(!state.is_idle());
    let back = state.attach(1, &hello(journal(1), &[], &[]));
    assert_eq!(words(back), ["found 1", "command 1"]);
}

#[test]
fn a_result_is_told_once_and_acked_by_its_slot() {
    let mut state = attached();
    state.execute(SLOT, execute(id(1), mutates()));
    assert_eq!(words(state.result(result(id(1)), None)), ["ended 1"]);
    assert!(
        words(state.result(result(id(1)), None)).is_empty(),
        "its slot has not acked it yet"
    );
    assert_eq!(words(state.ack(id(1))), ["ack 1"]);
    assert_eq!(
        words(state.result(result(id(1)), None)),
        ["ack 1"],
        "nobody waits any more"
    );
}

#[test]
fn a_result_that_comes_again_over_a_new_connection_waits_for_its_slot_too() {
    let mut state = attached();
    state.execute(SLOT, execute(id(1), mutates()));
    state.result(result(id(1)), None);
    state.detach();
    assert!(!state.is_idle(), "its slot still writes the result down");
    state.attach(2, &hello(journal(1), &[], &[id(1)]));
    assert!(words(state.result(result(id(1)), None)).is_empty());
    assert_eq!(words(state.ack(id(1))), ["ack 1"]);
}

#[test]
fn a_slot_that_gives_up_on_a_command_that_just_ended_lets_the_agent_forget_it() {
    let mut state = attached();
    state.execute(SLOT, execute(id(1), mutates()));
    state.result(result(id(1)), None);
    assert_eq!(words(state.abandon(id(1))), ["ack 1"]);
    state.detach();
    assert!(state.is_idle());
}

#[test]
fn a_sent_command_is_cancelled_at_the_agent_and_ends_with_its_word() {
    let mut state = attached();
    state.execute(SLOT, execute(id(1), mutates()));
    assert_eq!(words(state.cancel(id(1))), ["cancel 1"]);
    let fault = Fault::server("cancelled", "cancelled");
    let ended = CommandResult {
        output: None,
        error: Some(fault),
        ..result(id(1))
    };
    assert_eq!(words(state.result(ended, None)), ["ended 1 cancelled"]);
    assert!(words(state.cancel(id(1))).is_empty());
}

#[test]
fn a_command_that_was_not_sent_is_cancelled_at_once() {
    let mut state = State::default();
    state.execute(SLOT, execute(id(1), mutates()));
    assert_eq!(words(state.cancel(id(1))), ["ended 1 cancelled"]);
    assert!(words(state.attach(1, &hello(journal(1), &[], &[]))).is_empty());
}

#[test]
fn an_abandoned_command_holds_the_next_back_until_the_agent_confirms() {
    let mut state = attached();
    state.execute(SLOT, execute(id(1), mutates()));
    assert_eq!(words(state.abandon(id(1))), ["cancel 1"]);
    assert!(words(state.execute(SLOT, execute(id(2), reads()))).is_empty());
    assert_eq!(words(state.result(result(id(1)), None)), ["ack 1", "command 2"]);
}

#[test]
fn an_abandoned_command_that_was_not_sent_holds_nothing_back() {
    let mut state = attached();
    state.execute(SLOT, execute(id(1), mutates()));
    state.abandon(id(1));
    state.execute(SLOT, execute(id(2), reads()));
    assert!(words(state.abandon(id(2))).is_empty());
    assert!(words(state.abandon(id(3))).is_empty(), "an unknown one");
    assert_eq!(words(state.result(result(id(1)), None)), ["ack 1"]);
    assert_eq!(words(state.execute(SLOT, execute(id(4), reads()))), ["command 4"]);
}

#[test]
fn an_ack_for_an_agent_that_is_away_is_not_sent() {
    let mut state = State::<u8>::default();
    assert!(words(state.ack(id(1))).is_empty());
}

#[test]
fn a_host_is_idle_when_it_is_detached_and_nothing_waits() {
    let mut state = attached();
    assert!(!state.is_idle(), "it is attached");
    state.detach();
    assert!(state.is_idle());
    state.execute(SLOT, execute(id(1), reads()));
    assert!(!state.is_idle());
    state.abandon(id(1));
    assert!(state.is_idle());
}

#[test]
fn an_abandoned_command_holds_back_its_own_lane_only() {
    let mut state = attached();
    let session = |n: u128| Some(tripline_protocol::SessionId(Uuid::from_u128(n)));
    let of = |session_id, n| Execute {
        session_id,
        ..execute(id(n), mutates())
    };
    assert_eq!(words(state.execute(SLOT, of(session(1), 1))), ["command 1"]);
    assert_eq!(words(state.abandon(id(1))), ["cancel 1"]);
    assert!(words(state.execute(SLOT, of(session(1), 2))).is_empty());
    assert_eq!(words(state.execute(SLOT, of(session(2), 3))), ["command 3"]);
    assert_eq!(words(state.execute(SLOT, of(None, 4))), ["command 4"]);
    state.detach();
    let again = words(state.attach(2, &hello(journal(1), &[id(1), id(3), id(4)], &[])));
    assert_eq!(
        again,
        ["cancel 1", "found 3", "found 4", "found 2"],
        "the lane is remembered"
    );
    assert_eq!(words(state.execute(SLOT, of(None, 5))), ["command 5"]);
    assert_eq!(words(state.result(result(id(1)), None)), ["ack 1", "command 2"]);
}
