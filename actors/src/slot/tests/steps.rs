//! Steps in order, their failures, and their outputs.

use super::*;

#[test]
fn steps_run_in_order_and_the_job_succeeds() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.run(job(vec![list(), list()])),
        ["persist", "announce", "execute 0/1"]
    );
    assert_eq!(
        rig.answer(0, 1, json!({ "processes": [] })),
        ["persist", "announce", "ack 0/1", "execute 1/1"]
    );
    assert_eq!(rig.answer(1, 1, json!({})), ["end succeeded completed, ack 1/1"]);
    assert_eq!(rig.statuses(), [StepStatus::Succeeded; 2]);
    assert_eq!(
        rig.ended.as_ref().unwrap().reports[0].output,
        Some(json!({ "processes": [] }))
    );
    assert!(rig.is_free());
}

#[test]
fn the_intent_of_a_mutating_command_is_stored_before_it_is_sent() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.run(job(vec![delete()])),
        ["persist", "announce", "execute 0/1"]
    );
    let intent = rig.stored.unwrap().intent.expect("no intent was stored");
    assert_eq!(
        (intent.step, intent.command_id, intent.journal_id),
        (0, command(0, 1), JOURNAL)
    );
}

#[test]
fn a_command_that_only_reads_has_no_intent_but_its_attempt_is_stored() {
    let mut rig = Rig::new();
    rig.run(job(vec![list()]));
    let stored = rig.stored.unwrap();
    assert_eq!((stored.intent, stored.attempt), (None, 1));
}

#[test]
fn the_agent_may_forget_a_result_only_after_it_is_stored() {
    let mut rig = Rig::running(vec![delete(), delete()]);
    let words = rig.answer(0, 1, json!({}));
    let at = |word: &str| words.iter().position(|found| found == word).unwrap();
    assert!(at("persist") < at("ack 0/1"), "{words:?}");
    let stored = rig.stored.unwrap();
    assert_eq!(stored.reports[0].status, StepStatus::Succeeded);
    assert_eq!(stored.intent.unwrap().step, 1);
}

#[test]
fn a_failed_step_ends_the_job_with_the_hosts_own_words() {
    let mut rig = Rig::running(vec![delete(), list()]);
    assert_eq!(rig.fail(0, 1, host_error()), ["end failed step_failed, ack 0/1"]);
    assert_eq!(rig.reason, "step step1 failed: no such file");
    let record = rig.ended.unwrap();
    assert_eq!(record.reports[0].error, Some(host_error()));
    assert_eq!(record.intent, None);
}

#[test]
fn a_step_that_may_fail_is_counted_and_the_job_goes_on() {
    let mut rig = Rig::running(vec![allowed_to_fail(delete()), list()]);
    assert_eq!(
        rig.fail(0, 1, host_error()),
        ["persist", "announce", "ack 0/1", "execute 1/1"]
    );
    assert_eq!(rig.answer(1, 1, json!({})), ["end succeeded completed, ack 1/1"]);
    assert_eq!(rig.reason, "1 steps failed, all of them allowed to");
    assert_eq!(rig.statuses(), [StepStatus::Failed, StepStatus::Succeeded]);
}

fn late() -> Step {
    Step::new(
        Verb::KillProcess,
        json!({ "pid": "{{ steps.step1.output.pid }}" }),
    )
}

#[test]
fn a_late_argument_is_rendered_from_the_output_of_an_earlier_step() {
    let mut rig = Rig::running(vec![list(), late()]);
    let result = CommandResult {
        command_id: command(0, 1),
        output: Some(json!({ "pid": 42 })),
        error: None,
        truncated: None,
    };
    let report = Report::Ended(Box::new(result), None);
    let effects = rig.state.report(command(0, 1), report, rig.moment());
    let call = effects.into_iter().find_map(|effect| match effect {
        Effect::Host {
            command: ToHostEffect::Execute(execute),
            ..
        } => Some(execute.call),
        _ => None,
    });
    assert_eq!(call.unwrap().to_args(), json!({ "pid": 42 }));
}

#[test]
fn a_late_argument_without_a_value_fails_its_step_and_sends_nothing() {
    let mut rig = Rig::running(vec![list(), late()]);
    assert_eq!(rig.answer(0, 1, json!({})), ["end failed step_failed, ack 0/1"]);
    assert_eq!(rig.statuses(), [StepStatus::Succeeded, StepStatus::Failed]);
    let mut rig = Rig::running(vec![list(), allowed_to_fail(late()), list()]);
    assert_eq!(
        rig.answer(0, 1, json!({})),
        ["persist", "announce", "ack 0/1", "execute 2/1"]
    );
}

#[test]
fn a_late_argument_of_the_wrong_type_is_the_jobs_fault() {
    let mut rig = Rig::running(vec![list(), late()]);
    assert_eq!(
        rig.answer(0, 1, json!({ "pid": "all" })),
        ["end failed step_failed, ack 0/1"]
    );
    let error = rig.ended.unwrap().reports[1].error.clone().unwrap();
    assert_eq!(error.code, "bad_argument");
}

#[test]
fn a_verb_the_agent_does_not_offer_fails_its_step() {
    let mut rig = Rig::running(vec![list()]);
    let fault = Fault::unsupported("unsupported_verb", "not offered");
    assert_eq!(rig.fail(0, 1, fault), ["end failed step_failed, ack 0/1"]);
}

#[test]
fn a_step_has_its_own_deadline_and_never_more_than_the_jobs() {
    let mut rig = Rig::running(vec![list()]);
    assert_eq!(rig.deadline, START.after(Span::from_secs(120)));
    let mut rig_short = Rig::new();
    let mut record = job(vec![list()]);
    record.timeout = Span::from_secs(60);
    rig_short.run(record);
    assert_eq!(rig_short.deadline, START.after(Span::from_secs(60)));
    assert!(rig.pass(1).is_empty());
}

fn large() -> Value {
    json!({ "text": "x".repeat(140 * 1024) })
}

#[test]
fn a_large_output_becomes_an_artifact_before_the_job_goes_on() {
    let mut rig = Rig::running(vec![list(), delete()]);
    assert_eq!(rig.answer(0, 1, large()), ["spill step1.json"]);
    assert_eq!(serde_json::from_slice::<Value>(&rig.spilled).unwrap(), large());
    assert_eq!(
        rig.spilled(0, Ok(artifact())),
        ["persist", "announce", "ack 0/1", "execute 1/1"]
    );
    let report = rig.stored.unwrap().reports[0].clone();
    assert_eq!((report.output, report.artifact), (None, Some(artifact())));
}

#[test]
fn outputs_that_are_too_large_together_become_artifacts_too() {
    let mut rig = Rig::running(vec![list(); 5]);
    let output = json!({ "text": "x".repeat(100 * 1024) });
    for step in 0..4 {
        let words = rig.answer(step, 1, output.clone());
        let inline = words.contains(&format!("execute {}/1", step + 1));
        assert_eq!(inline, step < 3, "step {step}: {words:?}");
    }
}

#[test]
fn an_output_that_cannot_be_kept_fails_its_step() {
    let mut rig = Rig::running(vec![list()]);
    rig.answer(0, 1, large());
    let fault = Fault::server("artifact_not_stored", "disk full");
    assert_eq!(rig.spilled(0, Err(fault)), ["end failed step_failed, ack 0/1"]);
}

#[test]
fn an_agents_endless_error_is_cut_so_that_the_result_stays_small() {
    let mut rig = Rig::running(vec![allowed_to_fail(delete()); 60]);
    for step in 0..60 {
        let text = "\"\\\u{1}".repeat(100_000);
        let fault = Fault::live_response(text.clone(), text).with_detail(json!("y".repeat(900_000)));
        rig.fail(step, 1, fault);
    }
    let record = rig.ended.unwrap();
    let error = record.reports[0].error.as_ref().unwrap();
    assert_eq!((error.text.chars().count(), error.detail.clone()), (300, None));
    assert!(crate::record::encode(&record.reports).len() < 100 * 1024);
}

#[test]
fn small_details_of_an_error_are_kept() {
    let mut rig = Rig::running(vec![delete()]);
    let fault = host_error().with_detail(json!({ "path": "/tmp/x" }));
    rig.fail(0, 1, fault.clone());
    assert_eq!(rig.ended.unwrap().reports[0].error, Some(fault));
}
