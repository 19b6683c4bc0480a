//! Deadlines and cancellation: the host is asked to end the command, and the job waits for its word.

use super::*;

#[test]
fn a_step_that_its_agent_ends_at_the_deadline_failed() {
    let mut rig = Rig::running(vec![list()]);
    assert!(rig.pass(120).is_empty(), "the agent ends it by itself");
    let fault = Fault::timeout("command_timeout", "too slow");
    assert_eq!(rig.fail(0, 1, fault), ["end failed step_failed, ack 0/1"]);
}

#[test]
fn a_step_that_its_agent_does_not_end_is_cancelled_after_a_margin() {
    let mut rig = Rig::running(vec![allowed_to_fail(list()), list()]);
    assert_eq!(rig.pass(122), ["cancel 0/1"]);
    assert!(rig.pass(1).is_empty(), "it is asked once");
    assert_eq!(
        rig.fail(0, 1, cancelled()),
        ["persist", "announce", "ack 0/1", "execute 1/1"]
    );
    let error = rig.stored.unwrap().reports[0].error.clone().unwrap();
    assert_eq!(error.code, "command_timeout");
}

#[test]
fn a_step_that_was_done_before_it_could_be_stopped_is_done() {
    let mut rig = Rig::running(vec![delete(), list()]);
    rig.pass(122);
    assert_eq!(
        rig.answer(0, 1, json!({})),
        ["persist", "announce", "ack 0/1", "execute 1/1"]
    );
}

#[test]
fn a_host_that_does_not_confirm_is_given_up_and_still_has_to() {
    let mut rig = Rig::running(vec![delete(), list()]);
    rig.pass(122);
    assert_eq!(rig.pass(10), ["abandon 0/1", "end failed step_failed"]);
    assert_eq!(
        rig.statuses()[0],
        StepStatus::Interrupted,
        "nobody knows whether it ran"
    );
    let mut rig = Rig::running(vec![list()]);
    rig.pass(122);
    assert_eq!(rig.pass(10), ["abandon 0/1", "end failed step_failed"]);
    assert_eq!(rig.statuses()[0], StepStatus::Failed);
}

#[test]
fn a_job_that_runs_too_long_times_out_when_its_host_confirms() {
    let mut record = job(vec![list(), list()]);
    record.timeout = Span::from_secs(60);
    let mut rig = Rig::new();
    rig.run(record);
    assert_eq!(rig.pass(62), ["cancel 0/1"]);
    assert_eq!(
        rig.fail(0, 1, cancelled()),
        ["end timed_out job_timeout, ack 0/1"]
    );
    assert_eq!(rig.reason, "it ran longer than 1m");
}

#[test]
fn a_job_whose_time_is_over_between_two_steps_times_out() {
    let mut record = job(vec![list(), delete()]);
    record.timeout = Span::from_secs(60);
    let mut rig = Rig::new();
    rig.run(record);
    rig.now = rig.now.after(Span::from_secs(60));
    assert_eq!(
        rig.answer(0, 1, json!({})),
        ["end timed_out job_timeout, ack 0/1"]
    );
}

#[test]
fn a_job_timeout_that_nobody_confirms_ends_the_job_all_the_same() {
    let mut record = job(vec![delete()]);
    record.timeout = Span::from_secs(60);
    let mut rig = Rig::new();
    rig.run(record);
    rig.pass(62);
    assert_eq!(rig.pass(10), ["abandon 0/1", "end timed_out job_timeout"]);
}

#[test]
fn a_running_job_is_cancelled_durably_and_ends_when_its_host_confirms() {
    let mut rig = Rig::running(vec![list(), list()]);
    assert_eq!(rig.cancel(), ["persist", "cancel 0/1"]);
    assert!(rig.stored.as_ref().unwrap().cancel_requested);
    assert_eq!(rig.fail(0, 1, cancelled()), ["end cancelled cancelled, ack 0/1"]);
}

#[test]
fn a_cancelled_job_whose_step_was_just_done_begins_no_further_one() {
    let mut rig = Rig::running(vec![delete(), delete()]);
    rig.cancel();
    assert_eq!(rig.answer(0, 1, json!({})), ["end cancelled cancelled, ack 0/1"]);
    assert_eq!(rig.statuses()[0], StepStatus::Succeeded);
}

#[test]
fn a_job_that_was_done_before_its_cancellation_arrived_succeeded() {
    let mut rig = Rig::running(vec![delete()]);
    rig.cancel();
    assert_eq!(rig.answer(0, 1, json!({})), ["end succeeded completed, ack 0/1"]);
}

#[test]
fn a_cancellation_that_nobody_confirms_ends_the_job_all_the_same() {
    let mut rig = Rig::running(vec![delete()]);
    rig.cancel();
    assert_eq!(rig.pass(10), ["abandon 0/1", "end cancelled cancelled"]);
    assert_eq!(rig.statuses(), [StepStatus::Interrupted]);
}

#[test]
fn a_cancellation_outdoes_a_steps_timeout() {
    let mut rig = Rig::running(vec![allowed_to_fail(list()), list()]);
    rig.pass(122);
    assert_eq!(rig.cancel(), ["persist"], "its end was asked for already");
    assert_eq!(rig.fail(0, 1, cancelled()), ["end cancelled cancelled, ack 0/1"]);
}

#[test]
fn cancelling_another_job_does_nothing() {
    let mut rig = Rig::running(vec![list()]);
    let other = JobId(Uuid::from_u128(9));
    assert!(rig.state.cancel(other, rig.moment()).is_empty());
    rig.answer(0, 1, json!({}));
    assert!(rig.cancel().is_empty(), "it has ended");
}

#[test]
fn a_cancelled_job_waits_for_the_artifact_that_is_being_written() {
    let mut rig = Rig::running(vec![list(), list()]);
    rig.answer(0, 1, json!({ "text": "x".repeat(140 * 1024) }));
    assert_eq!(rig.cancel(), ["persist", "cancel 0/1"]);
    assert!(rig.pass(60).is_empty(), "its command has ended");
    assert_eq!(
        rig.spilled(0, Ok(artifact())),
        ["end cancelled cancelled, ack 0/1"]
    );
}

#[test]
fn reports_of_commands_that_are_not_under_way_change_nothing() {
    let mut rig = Rig::running(vec![list(), list()]);
    assert!(rig.answer(1, 1, json!({})).is_empty());
    rig.answer(0, 1, json!({}));
    assert!(
        rig.answer(0, 1, json!({})).is_empty(),
        "the same result came twice"
    );
    assert!(rig.spilled(0, Ok(artifact())).is_empty());
}
