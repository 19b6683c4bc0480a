//! Going on with a command that was sent before the server, or the Host actor, died.

use super::*;
use crate::record::Intent;

/// As the store has a job whose first step was sent.
fn under_way(steps: Vec<Step>) -> JobRecord {
    let mut rig = Rig::running(steps);
    rig.stored.take().unwrap()
}

#[test]
fn a_job_with_an_intent_waits_for_that_command_and_sends_nothing() {
    let mut rig = Rig::new();
    rig.journal = None;
    assert_eq!(rig.run(under_way(vec![delete(), list()])), ["adopt 0/1"]);
    assert_eq!(rig.state.record().unwrap().attempt, 1, "it is the same attempt");
    assert!(rig.report(command(0, 1), Report::Found).is_empty());
    assert_eq!(
        rig.answer(0, 1, json!({})),
        ["persist", "announce", "ack 0/1", "execute 1/1"]
    );
}

#[test]
fn a_job_whose_host_does_not_come_back_after_the_restart_is_interrupted() {
    let mut rig = Rig::new();
    rig.run(under_way(vec![delete()]));
    assert!(rig.pass(29).is_empty());
    assert_eq!(rig.pass(1), ["abandon 0/1", "end interrupted host_gone"]);
}

#[test]
fn a_job_whose_agent_lost_its_journal_meanwhile_is_interrupted() {
    let mut rig = Rig::new();
    rig.run(under_way(vec![delete()]));
    assert_eq!(
        rig.report(command(0, 1), Report::JournalLost),
        ["end interrupted journal_lost"]
    );
}

#[test]
fn a_cancellation_survives_the_restart() {
    let mut rig = Rig::running(vec![delete()]);
    rig.cancel();
    let stored = rig.stored.take().unwrap();
    let mut rig = Rig::new();
    assert_eq!(rig.run(stored), ["adopt 0/1", "cancel 0/1"]);
    assert_eq!(rig.fail(0, 1, cancelled()), ["end cancelled cancelled, ack 0/1"]);
}

#[test]
fn a_command_that_goes_on_has_no_more_time_than_its_job() {
    let wait = Step::new(tripline_protocol::step::ServerVerb::Wait, json!("30s"));
    let mut record = job(vec![wait, delete()]);
    record.timeout = Span::from_secs(60);
    let mut rig = Rig::new();
    rig.run(record);
    let rested = rig.stored.take().unwrap();
    rig.now = rested.rest.as_ref().unwrap().not_before;
    rig.run(rested);
    let mut again = Rig::new();
    again.now = rig.now.after(Span::from_secs(20));
    assert_eq!(again.run(rig.stored.take().unwrap()), ["adopt 1/2"]);
    again.report(command(1, 2), Report::Found);
    assert!(again.pass(11).is_empty());
    assert_eq!(
        again.pass(1),
        ["cancel 1/2"],
        "two seconds after the end of its job's time"
    );
    assert_eq!(
        again.fail(1, 2, cancelled()),
        ["end timed_out job_timeout, ack 1/2"]
    );
}

#[test]
fn the_last_steps_have_no_more_time_after_a_restart_than_they_had() {
    let mut record = accepted(JobSpec {
        finally: vec![delete()],
        finally_timeout: Some(Span::from_secs(5)),
        ..JobSpec::new("test".parse().unwrap(), vec![list()])
    });
    record.started_at = Some(START);
    let mut rig = Rig::new();
    rig.run(record);
    rig.answer(0, 1, json!({}));
    let mut again = Rig::new();
    again.run(rig.stored.take().unwrap());
    again.report(command(1, 1), Report::Found);
    assert_eq!(again.pass(7), ["cancel 1/1"]);
}

#[test]
fn a_reading_job_begins_another_attempt_so_that_no_command_has_an_old_id() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.run(under_way(vec![list()])),
        ["persist", "announce", "execute 0/2"]
    );
}

#[test]
fn an_intent_of_a_step_that_is_not_there_ends_the_job() {
    let mut record = under_way(vec![delete()]);
    record.intent = Some(Intent {
        step: 7,
        command_id: command(7, 1),
        journal_id: JOURNAL,
    });
    assert_eq!(Rig::new().run(record), ["end failed bad_record"]);
}

#[test]
fn a_new_host_actor_is_told_of_the_command_under_way() {
    let mut rig = Rig::running(vec![delete()]);
    assert_eq!(rig.host_restarted(), ["adopt 0/1"]);
    rig.cancel();
    assert_eq!(rig.host_restarted(), ["adopt 0/1 cancelled"]);
    let mut rig = Rig::running(vec![list()]);
    assert_eq!(rig.host_restarted(), ["adopt 0/1 without journal"]);
    let other = HostId(Uuid::from_u128(1));
    assert!(rig.state.host_restarted(other, rig.moment()).is_empty());
}

#[test]
fn a_command_whose_result_is_being_written_is_not_asked_for_again() {
    let mut rig = Rig::running(vec![list()]);
    rig.answer(0, 1, json!({ "text": "x".repeat(140 * 1024) }));
    assert!(rig.host_restarted().is_empty(), "its result is here already");
    assert!(rig.pass(100).is_empty());
}
