//! A host that reports as a LittleBrother client: who carries a command out, and who goes on with it.

use super::*;
use crate::host::littlebrother::KillStatus;
use crate::host::state::State;

fn own() -> Uuid {
    Uuid::from_u128(77)
}

fn kill() -> VerbCall {
    VerbCall::parse(Verb::KillProcess, json!({ "pid": 4 })).unwrap()
}

fn reads() -> VerbCall {
    VerbCall::parse(Verb::ListProcesses, json!({})).unwrap()
}

/// With the client's journal in its intent, if it mutates.
fn for_client(command_id: CommandId, call: VerbCall) -> Execute {
    let journal_id = mutates_journal(&call);
    Execute {
        journal_id,
        ..execute(command_id, call)
    }
}

fn mutates_journal(call: &VerbCall) -> Option<Uuid> {
    (call.verb().effect() == tripline_protocol::verb::Effect::Mutates).then(own)
}

/// A host whose client is there.
fn reporting() -> State<u8> {
    let mut state = State::default();
    state.set_client(Some(own()));
    assert!(words(state.client_attached()).is_empty());
    state
}

/// With a kill under way at the client.
fn killing() -> State<u8> {
    let mut state = reporting();
    assert_eq!(
        words(state.execute(SLOT, for_client(id(1), kill()))),
        ["ask 1 kill_process"]
    );
    state
}

#[test]
fn without_an_agent_the_client_is_asked_and_with_one_the_agent() {
    let mut state = reporting();
    let listing = |n| execute(id(n), reads());
    assert_eq!(words(state.execute(SLOT, listing(1))), ["ask 1 list_processes"]);
    assert_eq!(words(state.client_ended(id(1), Ok(json!({})))), ["ended 1"]);
    assert_eq!(words(state.ack(id(1))), ["forget 1"]);
    state.attach(1, &hello(journal(1), &[], &[]));
    assert_eq!(words(state.execute(SLOT, listing(2))), ["command 2"]);
    state.result(result(id(2)), None);
    assert_eq!(words(state.ack(id(2))), ["ack 2"]);
}

#[test]
fn a_command_is_carried_out_by_the_one_its_intent_names_or_by_nobody() {
    let mut state = reporting();
    assert_eq!(
        words(state.execute(SLOT, execute(id(1), kill()))),
        ["lost 1"],
        "it is the agent's, which is away"
    );
    let back = words(state.attach(1, &hello(journal(1), &[], &[])));
    assert_eq!(back, ["found 1", "ended 1 unsupported_verb"], "this agent cannot");
    assert_eq!(
        words(state.execute(SLOT, for_client(id(2), kill()))),
        ["ask 2 kill_process"]
    );
    state.client_detached();
    assert_eq!(words(state.execute(SLOT, for_client(id(3), kill()))), ["lost 3"]);
    assert_eq!(
        words(state.client_attached()),
        ["found 2", "found 3", "ask 3 kill_process"]
    );
}

#[test]
fn what_the_client_was_asked_for_is_lost_with_it_and_not_with_the_agent() {
    let mut state = killing();
    state.attach(1, &hello(journal(1), &[], &[]));
    assert!(words(state.detach()).is_empty(), "the client goes on");
    assert_eq!(words(state.client_detached()), ["lost 1"]);
    assert!(!state.is_idle());
    assert_eq!(words(state.client_attached()), ["found 1"]);
    assert_eq!(words(state.client_ended(id(1), Ok(json!({})))), ["ended 1"]);
    assert!(state.awaits(id(1)), "until it is acked");
    assert_eq!(words(state.ack(id(1))), ["forget 1"]);
    assert!(!state.awaits(id(1)));
}

#[test]
fn a_command_at_the_client_is_cancelled_at_once_and_abandoned_without_a_trace() {
    let mut state = killing();
    assert_eq!(words(state.cancel(id(1))), ["forget 1", "ended 1 cancelled"]);
    let mut state = killing();
    assert_eq!(words(state.abandon(id(1))), ["forget 1"]);
    assert!(words(state.client_ended(id(1), Ok(json!({})))).is_empty());
}

#[test]
fn after_a_restart_the_client_is_asked_how_far_a_command_is() {
    let adopted = |kill_status, cancelled| {
        let mut state = reporting();
        let adopt = Adopt {
            cancelled,
            ..adopt(id(1), kill(), Some(own()))
        };
        words(state.adopt(SLOT, adopt, Some(kill_status)))
    };
    assert_eq!(adopted(KillStatus::Pending, false), ["found 1"]);
    assert_eq!(
        adopted(KillStatus::Pending, true),
        ["forget 1", "ended 1 cancelled"]
    );
    assert_eq!(adopted(KillStatus::Done, false), ["ended 1"]);
    assert_eq!(adopted(KillStatus::Done, true), ["ended 1"]);
    assert_eq!(
        adopted(KillStatus::Unknown, false),
        ["found 1", "ask 1 kill_process"],
        "it was never told"
    );
    assert_eq!(adopted(KillStatus::Unknown, true), ["ended 1 cancelled"]);
    let mut away = State::default();
    away.set_client(Some(own()));
    let adopt = adopt(id(1), kill(), Some(own()));
    assert_eq!(
        words(away.adopt(SLOT, adopt, Some(KillStatus::Pending))),
        ["lost 1"]
    );
    assert_eq!(words(away.client_attached()), ["found 1"]);
}

#[test]
fn a_listing_that_an_agent_has_not_made_is_made_by_the_client() {
    let mut state = sent_and_lost(reads());
    state.set_client(Some(own()));
    assert_eq!(
        words(state.client_attached()),
        ["found 1", "ask 1 list_processes"]
    );
    let mut state = sent_and_lost(mutates());
    state.set_client(Some(own()));
    assert!(words(state.client_attached()).is_empty(), "it may have run");
}

#[test]
fn the_commands_of_a_client_that_leaves_have_an_unknown_outcome() {
    let mut state = killing();
    assert_eq!(words(state.set_client(None)), ["journal lost 1"]);
    assert!(state.is_idle());
}
