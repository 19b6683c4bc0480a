//! Steps for the end of a job: they run however it went, while the host is there, and change nothing of its outcome.

use super::*;

/// A job of one command that changes its host, with these steps for its end.
fn closing(finally: Vec<Step>) -> JobRecord {
    accepted(JobSpec {
        finally,
        ..JobSpec::new("test".parse().unwrap(), vec![delete()])
    })
}

fn retry() -> tripline_protocol::step::Retry {
    tripline_protocol::step::Retry {
        attempts: 2,
        backoff: Span::from_secs(1),
        backoff_max: None,
        on: Vec::new(),
    }
}

fn running_with(finally: Vec<Step>) -> Rig {
    let mut rig = Rig::new();
    rig.run(closing(finally));
    rig
}

/// Why a job ends that succeeded, and whose last steps did not run to their end.
fn cut_off(why: &str) -> String {
    format!("all steps succeeded; its last steps did not run to their end: {why}")
}

const STEPS: [&str; 4] = ["persist", "announce", "ack 0/1", "execute 1/1"];

#[test]
fn the_last_steps_run_after_a_success() {
    let mut rig = running_with(vec![list(), delete()]);
    assert_eq!(rig.answer(0, 1, json!({})), STEPS);
    let stored = rig.stored.clone().unwrap();
    assert!(stored.ending.is_some(), "how it ends is durable before");
    assert_eq!(stored.reports[1].id, "finally1");
    assert_eq!(rig.answer(1, 1, json!({})).last().unwrap(), "execute 2/1");
    assert_eq!(rig.answer(2, 1, json!({})), ["end succeeded completed, ack 2/1"]);
    assert_eq!(rig.statuses(), [StepStatus::Succeeded; 3]);
}

#[test]
fn the_last_steps_run_after_a_failure_and_later_own_steps_do_not() {
    let mut spec = JobSpec::new("test".parse().unwrap(), vec![delete(), list()]);
    spec.finally = vec![list()];
    let mut rig = Rig::new();
    rig.run(accepted(spec));
    assert_eq!(
        rig.fail(0, 1, host_error()),
        ["persist", "announce", "ack 0/1", "execute 2/1"]
    );
    assert_eq!(rig.answer(2, 1, json!({})), ["end failed step_failed, ack 2/1"]);
    use StepStatus::{Failed, Skipped, Succeeded};
    assert_eq!(rig.statuses(), [Failed, Skipped, Succeeded]);
}

#[test]
fn the_last_steps_run_after_a_timeout_in_a_time_of_their_own() {
    let mut record = closing(vec![delete()]);
    record.timeout = Span::from_secs(60);
    let mut rig = Rig::new();
    rig.run(record);
    assert_eq!(rig.pass(62), ["cancel 0/1"]);
    assert_eq!(rig.fail(0, 1, cancelled()), STEPS);
    assert_eq!(rig.deadline, rig.now.after(JobSpec::FINALLY_TIMEOUT_DEFAULT));
    assert_eq!(
        rig.answer(1, 1, json!({})),
        ["end timed_out job_timeout, ack 1/1"]
    );
}

#[test]
fn the_last_steps_run_when_the_job_was_cancelled_and_stop_when_it_is_cancelled_again() {
    let mut rig = running_with(vec![delete(), list()]);
    rig.cancel();
    assert_eq!(rig.fail(0, 1, cancelled()), STEPS);
    assert_eq!(rig.cancel(), ["persist", "cancel 1/1"]);
    assert_eq!(rig.fail(1, 1, cancelled()), ["end cancelled cancelled, ack 1/1"]);
    assert_eq!(
        rig.reason,
        "it was cancelled while it ran; its last steps did not run to their end: they were cancelled"
    );
    use StepStatus::{Failed, Pending};
    assert_eq!(
        rig.statuses(),
        [Failed, Failed, Pending],
        "the scheduler skips it"
    );
}

#[test]
fn a_job_whose_only_step_was_done_before_it_could_be_stopped_is_done_whatever_its_last_steps() {
    for finally in [vec![], vec![list()]] {
        let stopped = |stop: &dyn Fn(&mut Rig)| {
            let mut record = closing(finally.clone());
            record.retry = Some(retry());
            record.timeout = Span::from_secs(60);
            let mut rig = Rig::new();
            rig.run(record);
            stop(&mut rig);
            let words = rig.answer(0, 1, json!({}));
            match finally.is_empty() {
                true => words.last().unwrap().clone(),
                false => rig.answer(1, 1, json!({})).last().unwrap().clone(),
            }
        };
        let cancelled = stopped(&|rig| drop(rig.cancel()));
        let timed_out = stopped(&|rig| assert_eq!(rig.pass(62), ["cancel 0/1"]));
        for ended in [cancelled, timed_out] {
            assert!(ended.starts_with("end succeeded completed"), "{ended}");
        }
    }
}

#[test]
fn a_last_step_that_fails_is_counted_and_the_next_runs() {
    let mut rig = running_with(vec![delete(), list()]);
    rig.answer(0, 1, json!({}));
    assert_eq!(rig.fail(1, 1, host_error()).last().unwrap(), "execute 2/1");
    assert_eq!(rig.answer(2, 1, json!({})), ["end succeeded completed, ack 2/1"]);
    let mut record = rig.ended.unwrap();
    let reason = tripline_protocol::job::Reason::new("completed", "");
    record.end(START, tripline_protocol::job::Outcome::Succeeded, reason);
    assert_eq!(record.to_result().unwrap().steps_failed, 1);
}

#[test]
fn the_last_steps_end_with_their_time_and_the_outcome_stands() {
    let mut rig = running_with(vec![list(), list()]);
    rig.answer(0, 1, json!({}));
    let late = JobSpec::FINALLY_TIMEOUT_DEFAULT.as_millis() / 1000 + 2;
    assert_eq!(rig.pass(late), ["cancel 1/1"]);
    assert_eq!(rig.fail(1, 1, cancelled()), ["end succeeded completed, ack 1/1"]);
    assert_eq!(rig.reason, cut_off("they ran longer than 2m"));
}

#[test]
fn last_steps_that_nobody_confirms_the_end_of_are_over_with_their_time_and_the_reason_says_so() {
    let mut rig = running_with(vec![delete(), list()]);
    rig.answer(0, 1, json!({}));
    let late = JobSpec::FINALLY_TIMEOUT_DEFAULT.as_millis() / 1000 + 2;
    assert_eq!(rig.pass(late), ["cancel 1/1"]);
    assert_eq!(rig.pass(10), ["abandon 1/1", "end succeeded completed"]);
    assert_eq!(rig.reason, cut_off("they ran longer than 2m"));
    use StepStatus::{Interrupted, Pending, Succeeded};
    assert_eq!(rig.statuses(), [Succeeded, Interrupted, Pending]);
}

#[test]
fn a_last_step_whose_end_nobody_confirms_does_not_keep_the_next_from_running() {
    let short = Step {
        timeout: Some(Span::from_secs(30)),
        ..delete()
    };
    let stopping = || {
        let mut rig = running_with(vec![short.clone(), list()]);
        rig.answer(0, 1, json!({}));
        assert_eq!(rig.pass(32), ["cancel 1/1"]);
        rig
    };
    let mut rig = stopping();
    assert_eq!(
        rig.pass(10),
        ["abandon 1/1", "persist", "announce", "execute 2/1"],
        "its host keeps the next until it confirms"
    );
    let stored = rig.stored.clone().unwrap();
    assert_eq!(stored.reports[1].status, StepStatus::Interrupted);
    assert_eq!(rig.answer(2, 1, json!({})), ["end succeeded completed, ack 2/1"]);
    assert_eq!(rig.reason, "all steps succeeded");
    // The same when its agent died meanwhile.
    let mut rig = stopping();
    assert_eq!(rig.fail(1, 1, died()).last().unwrap(), "execute 2/1");
    // Not when its host is gone.
    let mut rig = stopping();
    rig.report(command(1, 1), Report::Lost);
    rig.journal = None;
    assert_eq!(rig.pass(30), ["abandon 1/1", "end succeeded completed"]);
    assert_eq!(
        rig.reason,
        cut_off("a step's outcome is unknown after its timeout")
    );
}

#[test]
fn without_its_host_a_job_simply_ends() {
    let mut rig = running_with(vec![list()]);
    rig.report(command(0, 1), Report::Lost);
    rig.journal = None;
    assert_eq!(rig.pass(30), ["abandon 0/1", "end interrupted host_gone"]);
    assert_eq!(rig.statuses()[1], StepStatus::Pending, "the scheduler skips it");
}

#[test]
fn a_host_that_goes_during_the_last_steps_ends_the_job_as_it_was() {
    let mut rig = running_with(vec![list(), list()]);
    rig.answer(0, 1, json!({}));
    rig.report(command(1, 1), Report::Lost);
    rig.journal = None;
    assert_eq!(rig.pass(30), ["abandon 1/1", "end succeeded completed"]);
    assert_eq!(rig.reason, cut_off("its host is away"));
    // Under one of which nobody knows whether it ran, the only one too.
    let mut rig = running_with(vec![delete()]);
    rig.answer(0, 1, json!({}));
    rig.report(command(1, 1), Report::Lost);
    rig.journal = None;
    assert_eq!(rig.pass(30), ["abandon 1/1", "end succeeded completed"]);
    let why = "nobody knows whether delete_file ran, and it is not run twice";
    assert_eq!(rig.reason, cut_off(why));
}

#[test]
fn last_steps_wait_for_a_host_that_has_just_gone() {
    let mut rig = running_with(vec![list(), delete(), list()]);
    rig.answer(0, 1, json!({}));
    rig.journal = None;
    let words = rig.answer(1, 1, json!({}));
    assert_eq!(words.last().unwrap(), "given back");
    let given = rig.ended.take().unwrap();
    rig.journal = Some(JOURNAL);
    assert_eq!(rig.run(given).last().unwrap(), "execute 2/2");
    assert_eq!(rig.answer(2, 2, json!({})).last().unwrap(), "execute 3/2");
    assert_eq!(rig.answer(3, 2, json!({})), ["end succeeded completed, ack 3/2"]);
}

#[test]
fn none_of_the_time_of_the_last_steps_passes_while_the_server_is_stopped() {
    let mut rig = running_with(vec![delete(), list()]);
    rig.answer(0, 1, json!({}));
    let stored = rig.stored.take().unwrap();
    for stored in [
        stored.clone(),
        JobRecord {
            intent: None,
            ..stored
        },
    ] {
        let mut again = Rig::new();
        again.now = rig.now.after(Span::from_secs(3600));
        let words = again.run(stored);
        let (_, index, attempt) = super::resting::last_command(&words).expect("it goes on");
        assert_eq!(index, 1);
        assert!(again.pass(1).is_empty(), "its command is not ended");
        let words = again.answer(1, attempt, json!({}));
        assert_eq!(words.last().unwrap(), &format!("execute 2/{attempt}"));
    }
}

#[test]
fn a_last_step_of_which_nobody_knows_how_it_ended_does_not_keep_the_next_from_running() {
    let mut rig = running_with(vec![delete(), list()]);
    rig.answer(0, 1, json!({}));
    assert_eq!(rig.fail(1, 1, died()).last().unwrap(), "execute 2/1");
    assert_eq!(rig.answer(2, 1, json!({})), ["end succeeded completed, ack 2/1"]);
    assert_eq!(rig.statuses()[1], StepStatus::Interrupted);
}

#[test]
fn after_a_crash_the_last_steps_go_on_and_the_job_does_not_begin_again() {
    let mut rig = running_with(vec![delete(), list()]);
    rig.fail(0, 1, host_error());
    let stored = rig.stored.take().unwrap();
    let mut again = Rig::new();
    assert_eq!(again.run(stored), ["adopt 1/1"]);
    assert_eq!(again.answer(1, 1, json!({})).last().unwrap(), "execute 2/1");
    assert_eq!(again.answer(2, 1, json!({})), ["end failed step_failed, ack 2/1"]);
}

#[test]
fn the_last_steps_run_once_after_the_last_try() {
    let mut record = closing(vec![list()]);
    record.retry = Some(retry());
    let mut rig = Rig::new();
    rig.run(record);
    assert!(rig.fail(0, 1, host_error())[0].starts_with("rests "));
    let stored = rig.stored.clone().unwrap();
    rig.now = stored.rest.as_ref().unwrap().not_before;
    rig.run(stored);
    assert_eq!(rig.fail(0, 2, host_error()).last().unwrap(), "execute 1/2");
    assert_eq!(rig.answer(1, 2, json!({})), ["end failed step_failed, ack 1/2"]);
}

#[test]
fn a_job_that_never_began_has_no_last_steps() {
    let mut record = closing(vec![list()]);
    let reason = tripline_protocol::job::Reason::new("cancelled", "");
    let outcome = tripline_protocol::job::Outcome::Cancelled;
    assert!(!record.begin_finally(outcome, &reason, START));
    record.started_at = Some(START);
    record.intent = Some(crate::record::Intent {
        step: 0,
        command_id: command(0, 1),
        journal_id: JOURNAL,
    });
    assert!(
        !record.begin_finally(outcome, &reason, START),
        "its command may run"
    );
    record.intent = None;
    assert!(record.begin_finally(outcome, &reason, START));
    assert!(!record.begin_finally(outcome, &reason, START), "once");
    assert_eq!(record.leaves_at(), START.after(crate::record::FINALLY_WAIT_MAX));
    // A version that gave them their time from the decision on.
    record.deadline = Some(START);
    record.ending.as_mut().unwrap().until = None;
    assert_eq!(record.leaves_at(), START.after(crate::record::FINALLY_WAIT_MAX));
    let other = tripline_protocol::job::Outcome::TimedOut;
    let forgotten = tripline_protocol::job::Reason::new("host_forgotten", "its host was forgotten");
    record.end(START, other, forgotten);
    assert_eq!(record.state, JobState::Ended(outcome), "what was decided stands");
    let text = record.reason.unwrap().text;
    assert_eq!(
        text,
        "; its last steps did not run to their end: its host was forgotten"
    );
}
