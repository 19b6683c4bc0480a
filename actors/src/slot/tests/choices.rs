//! Steps that run on a condition, and failures that lead to a later step.

use super::*;
use tripline_protocol::step::When;

fn on(condition: &str, step: Step) -> Step {
    Step {
        when: Some(When::Late(condition.into())),
        ..step
    }
}

fn leading_to(target: &str, step: Step) -> Step {
    Step {
        on_error: OnError::Goto(target.parse().unwrap()),
        ..step
    }
}

fn reasons(rig: &Rig) -> Vec<Option<String>> {
    let record = rig.ended.as_ref().or(rig.state.record()).unwrap();
    let reason = |report: &StepReport| report.reason.as_ref().map(|reason| reason.code.clone());
    record.reports.iter().map(reason).collect()
}

#[test]
fn a_step_whose_condition_does_not_hold_is_skipped_with_its_reason() {
    let steps = vec![
        list(),
        on("size(steps.step1.output.processes) > 0", delete()),
        list(),
    ];
    let mut rig = Rig::running(steps.clone());
    assert_eq!(
        rig.answer(0, 1, json!({ "processes": [] })),
        ["persist", "announce", "ack 0/1", "execute 2/1"]
    );
    rig.answer(2, 1, json!({}));
    assert_eq!(rig.reason, "1 steps were skipped, all others succeeded");
    use StepStatus::{Skipped, Succeeded};
    assert_eq!(rig.statuses(), [Succeeded, Skipped, Succeeded]);
    let reason = rig.ended.unwrap().reports[1].reason.clone().unwrap();
    assert_eq!(reason.code, "condition_false");
    assert!(
        reason.text.ends_with("size(steps.step1.output.processes) > 0"),
        "{}",
        reason.text
    );

    let mut rig = Rig::running(steps);
    let words = rig.answer(0, 1, json!({ "processes": [{}] }));
    assert_eq!(words.last().unwrap(), "execute 1/1");
}

#[test]
fn a_condition_over_what_is_not_there_does_not_hold() {
    let mut rig = Rig::running(vec![
        allowed_to_fail(delete()),
        on("steps.step1.output.n == 1", delete()),
        on("steps.step1.error.code == 'ENOENT'", list()),
    ]);
    assert_eq!(rig.fail(0, 1, host_error()).last().unwrap(), "execute 2/1");
}

#[test]
fn a_condition_without_a_value_fails_its_step() {
    let mut rig = Rig::running(vec![list(), on("steps.step1.output.n > 1", delete())]);
    assert_eq!(
        rig.answer(0, 1, json!({ "n": "many" })),
        ["end failed step_failed, ack 0/1"]
    );
    let error = rig.ended.unwrap().reports[1].error.clone().unwrap();
    assert_eq!(error.code, "condition_error");
}

#[test]
fn a_step_that_was_decided_against_when_the_job_was_accepted_never_runs() {
    let mut record = job(vec![delete(), list()]);
    record.steps[0].when = Some(When::No { no: "false".into() });
    record.reports = crate::record::reports(&record.steps, 0);
    assert_eq!(record.reports[0].status, StepStatus::Skipped, "at once");
    let mut rig = Rig::new();
    assert_eq!(rig.run(record).last().unwrap(), "execute 1/1");
}

#[test]
fn a_job_of_which_no_step_is_wanted_succeeds() {
    let mut rig = Rig::new();
    let words = rig.run(job(vec![on("false", delete()), on("false", list())]));
    assert_eq!(words, ["end succeeded completed"]);
    assert_eq!(rig.statuses(), [StepStatus::Skipped; 2]);
}

#[test]
fn a_failure_leads_to_a_later_step_and_skips_those_between() {
    let last = Step {
        id: Some("last".into()),
        ..list()
    };
    let mut rig = Rig::running(vec![leading_to("last", delete()), delete(), list(), last]);
    assert_eq!(
        rig.fail(0, 1, host_error()),
        ["persist", "announce", "ack 0/1", "execute 3/1"]
    );
    assert_eq!(rig.answer(3, 1, json!({})), ["end succeeded completed, ack 3/1"]);
    use StepStatus::{Failed, Skipped, Succeeded};
    assert_eq!(rig.statuses(), [Failed, Skipped, Skipped, Succeeded]);
    let jumped = Some("jumped_over".to_owned());
    assert_eq!(reasons(&rig), [None, jumped.clone(), jumped, None]);
    assert_eq!(rig.reason, "1 steps failed, all of them allowed to");
}

#[test]
fn a_step_that_leads_elsewhere_when_it_fails_is_followed_by_the_next_when_it_does_not() {
    let mut rig = Rig::running(vec![leading_to("step3", delete()), list(), list()]);
    assert_eq!(rig.answer(0, 1, json!({})).last().unwrap(), "execute 1/1");
}

#[test]
fn steps_that_a_jobs_end_came_before_say_so() {
    let mut rig = Rig::running(vec![delete(), list()]);
    rig.fail(0, 1, host_error());
    let mut record = rig.ended.take().unwrap();
    record.end(
        START,
        tripline_protocol::job::Outcome::Failed,
        tripline_protocol::job::Reason::new("step_failed", ""),
    );
    rig.ended = Some(record);
    assert_eq!(reasons(&rig), [None, Some("job_ended".into())]);
}

#[test]
fn a_long_condition_is_told_up_to_a_bound() {
    let of = |chars: usize| crate::record::condition_false(&"é".repeat(chars)).text;
    assert!(of(200).ends_with(&format!(": {}", "é".repeat(200))));
    assert_eq!(of(201), of(200));
}

#[test]
fn the_values_of_let_are_known_to_late_arguments_and_conditions() {
    let late = Step {
        args: json!({ "path": { "$late": "{{ vars.folder }}/{{ steps.step1.output.name }}" } }),
        when: Some(When::Late(
            "vars.wanted && steps.step1.status == 'succeeded'".into(),
        )),
        ..delete()
    };
    for (wanted, last) in [(true, "execute 1/1"), (false, "end succeeded completed, ack 0/1")] {
        let mut record = job(vec![list(), delete()]);
        record.steps[1] = late.clone();
        record.vars = serde_json::Map::from_iter([
            ("folder".to_owned(), json!("/evidence")),
            ("wanted".to_owned(), json!(wanted)),
        ]);
        let mut rig = Rig::new();
        rig.run(record);
        assert_eq!(rig.answer(0, 1, json!({ "name": "a" })).last().unwrap(), last);
    }
}
