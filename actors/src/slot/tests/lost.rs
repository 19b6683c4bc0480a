//! The host goes away under a command: what may be repeated is, nothing else runs twice.

use super::*;

#[test]
fn a_host_that_comes_back_within_the_grace_goes_on() {
    let mut rig = Rig::running(vec![delete()]);
    assert!(rig.report(command(0, 1), Report::Lost).is_empty());
    assert!(rig.pass(29).is_empty());
    assert!(rig.report(command(0, 1), Report::Found).is_empty());
    assert!(rig.pass(29).is_empty(), "the grace begins anew");
    assert_eq!(rig.answer(0, 1, json!({})), ["end succeeded completed, ack 0/1"]);
}

#[test]
fn a_reading_job_whose_host_is_gone_waits_again() {
    let mut rig = Rig::running(vec![list()]);
    rig.report(command(0, 1), Report::Lost);
    assert_eq!(rig.pass(30), ["abandon 0/1", "given back"]);
    assert_eq!(rig.statuses(), [StepStatus::Pending]);
    assert!(rig.is_free());
}

#[test]
fn an_idempotent_step_whose_host_is_gone_waits_again_without_intent() {
    let mut rig = Rig::running(vec![idempotent(delete())]);
    rig.report(command(0, 1), Report::Lost);
    assert_eq!(rig.pass(30), ["abandon 0/1", "given back"]);
    assert_eq!(rig.ended.unwrap().intent, None);
}

#[test]
fn a_mutating_step_whose_host_is_gone_is_interrupted() {
    let mut rig = Rig::running(vec![delete(), list()]);
    rig.report(command(0, 1), Report::Lost);
    assert_eq!(rig.pass(30), ["abandon 0/1", "end interrupted host_gone"]);
    assert_eq!(rig.statuses(), [StepStatus::Interrupted, StepStatus::Pending]);
    assert_eq!(
        rig.reason,
        "nobody knows whether delete_file ran, and it is not run twice"
    );
}

#[test]
fn steps_that_are_done_are_not_done_again_in_the_next_session() {
    let mut rig = Rig::running(vec![delete(), list()]);
    rig.answer(0, 1, json!({}));
    rig.report(command(1, 1), Report::Lost);
    rig.pass(30);
    let waiting = rig.ended.take().unwrap();
    assert_eq!(rig.run(waiting), ["persist", "announce", "execute 1/2"]);
}

#[test]
fn with_another_journal_a_mutating_step_is_interrupted() {
    let mut rig = Rig::running(vec![delete()]);
    rig.report(command(0, 1), Report::Lost);
    assert_eq!(
        rig.report(command(0, 1), Report::JournalLost),
        ["end interrupted journal_lost"]
    );
}

#[test]
fn with_another_journal_an_idempotent_step_runs_again_as_another_command() {
    let mut rig = Rig::running(vec![idempotent(delete())]);
    rig.journal = Some(Uuid::from_u128(0x11));
    assert_eq!(
        rig.report(command(0, 1), Report::JournalLost),
        ["persist", "announce", "execute 0/2"]
    );
    assert_eq!(
        rig.stored.unwrap().intent.unwrap().journal_id,
        Uuid::from_u128(0x11)
    );
}

#[test]
fn the_end_of_a_command_is_noted_with_the_attempt_it_belongs_to() {
    let mut rig = Rig::running(vec![idempotent(delete())]);
    rig.journal = Some(Uuid::from_u128(0x11));
    rig.report(command(0, 1), Report::JournalLost);
    let noted: Vec<_> = rig
        .stored
        .unwrap()
        .notes
        .into_iter()
        .map(|note| (note.command_id, note.attempt, note.end.is_some()))
        .collect();
    assert_eq!(
        noted,
        [(command(0, 1), 1, true), (command(0, 2), 2, false)],
        "both go on record with the second attempt"
    );
}

#[test]
fn a_mutating_command_under_which_the_agent_died_is_interrupted() {
    let mut rig = Rig::running(vec![delete()]);
    assert_eq!(rig.fail(0, 1, died()), ["end interrupted agent_died, ack 0/1"]);
}

#[test]
fn a_reading_command_under_which_the_agent_died_runs_again() {
    let mut rig = Rig::running(vec![list()]);
    assert_eq!(
        rig.fail(0, 1, died()),
        ["persist", "announce", "ack 0/1", "execute 0/2"]
    );
    assert_eq!(rig.answer(0, 2, json!({})), ["end succeeded completed, ack 0/2"]);
}

#[test]
fn a_command_whose_agent_always_dies_is_not_tried_for_ever() {
    let mut rig = Rig::running(vec![list()]);
    for attempt in 1..10 {
        rig.fail(0, attempt, died());
    }
    assert_eq!(rig.fail(0, 10, died()), ["end interrupted agent_died, ack 0/10"]);
}

#[test]
fn a_job_whose_host_always_goes_away_is_not_tried_for_ever() {
    let mut rig = Rig::new();
    let mut record = job(vec![list()]);
    for attempt in 1..10 {
        rig.run(record);
        rig.report(command(0, attempt), Report::Lost);
        assert_eq!(rig.pass(30).last().unwrap(), "given back");
        record = rig.ended.take().unwrap();
    }
    rig.run(record);
    rig.report(command(0, 10), Report::Lost);
    assert_eq!(
        rig.pass(30),
        ["abandon 0/10", "end interrupted too_many_attempts"]
    );
}

#[test]
fn a_cancelled_job_whose_host_is_gone_ends_as_cancelled() {
    let mut rig = Rig::running(vec![list()]);
    rig.report(command(0, 1), Report::Lost);
    rig.pass(25);
    rig.cancel();
    assert_eq!(rig.pass(5), ["abandon 0/1", "end cancelled cancelled"]);
    let mut rig = Rig::running(vec![delete()]);
    rig.cancel();
    assert_eq!(
        rig.report(command(0, 1), Report::JournalLost),
        ["end cancelled cancelled"]
    );
    assert_eq!(rig.statuses(), [StepStatus::Interrupted]);
}

#[test]
fn a_mutating_step_is_not_begun_without_its_host() {
    let mut rig = Rig::new();
    rig.journal = None;
    assert_eq!(rig.run(job(vec![delete()])).last().unwrap(), "given back");
    assert_eq!(rig.ended.as_ref().unwrap().intent, None);
    assert_eq!(rig.statuses(), [StepStatus::Pending]);
}

#[test]
fn after_a_large_output_the_next_mutating_step_has_an_intent() {
    let mut rig = Rig::running(vec![list(), delete()]);
    rig.answer(0, 1, json!({ "text": "x".repeat(140 * 1024) }));
    rig.spilled(0, Ok(artifact()));
    assert_eq!(rig.stored.unwrap().intent.unwrap().step, 1);
}
