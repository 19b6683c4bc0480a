//! Results stay within their bound, whatever the steps of a job bring.

use super::lists::each;
use super::*;
use tripline_protocol::job::{Outcome, Reason};
use tripline_protocol::limit::{FINALLY_MAX, RESULT_BYTES_MAX, STEPS_MAX};
use tripline_protocol::step::When;

/// What a result may have beside its reports: the ids, names and texts of its job and its event.
const OTHERS_BYTES: usize = 24 * 1024;

/// A job's reports in its result, after all outputs that stay inline and then these steps were run, each with `last`.
fn reports_len(more: Vec<Step>, mut last: impl FnMut(&mut Rig, usize) -> Vec<String>) -> usize {
    let mut record = accepted(JobSpec {
        finally: vec![list(); FINALLY_MAX],
        ..JobSpec::new("test".parse().unwrap(), [vec![list(); 4], more].concat())
    });
    // Each of these ids is as long as an id can be.
    for (index, report) in record.reports.iter_mut().enumerate().skip(4) {
        report.id = format!("{index:0>64}");
    }
    let mut rig = Rig::new();
    let mut words = rig.run(record);
    while let Some(place) = words.last().and_then(|word| word.split_once(' ')) {
        let index = match place {
            ("execute", place) => place.split_once('/').unwrap().0.parse().unwrap(),
            _ => break,
        };
        words = match index {
            0..4 => rig.answer(index, 1, json!({ "text": "x".repeat(100 * 1024) })),
            index => last(&mut rig, index),
        };
        if words[0].starts_with("spill ") {
            words = rig.spilled(index, Ok(artifact()));
        }
    }
    let mut record = rig.ended.expect("it ended");
    record.end(START, Outcome::Succeeded, Reason::new("completed", ""));
    crate::record::encode(&record.to_result().unwrap()).len()
}

#[track_caller]
fn assert_fits(bytes: usize) {
    assert!(
        bytes <= RESULT_BYTES_MAX - OTHERS_BYTES,
        "{bytes} bytes, {} too many",
        bytes - (RESULT_BYTES_MAX - OTHERS_BYTES)
    );
    assert!(bytes > 300 * 1024, "it is full: {bytes} bytes");
}

/// Lists with as many elements as a job can have.
fn over_lists(step: &Step) -> Vec<Step> {
    let of = |id: &str, count: usize| Step {
        id: Some(id.into()),
        on_error: OnError::Continue,
        ..each(json!(vec![0; count]), 200, step.clone())
    };
    vec![of("first", 200), of("second", 34)]
}

#[test]
fn a_result_full_of_outputs_and_errors_fits() {
    let fault = |text: &str, detail: usize| {
        Fault::live_response(text.repeat(100), text.repeat(400)).with_detail(json!("y".repeat(detail)))
    };
    for (text, detail) in [("\u{1F980}", 15_000), ("\"", 10), ("x", 0)] {
        let fail = |rig: &mut Rig, index| rig.fail(index, 1, fault(text, detail));
        assert_fits(reports_len(over_lists(&delete()), fail));
        let quiet = vec![allowed_to_fail(delete()); STEPS_MAX - 4];
        assert_fits(reports_len(quiet, fail));
    }
}

#[test]
fn a_result_full_of_outputs_and_files_fits() {
    let mut number = 0;
    let fetched = |rig: &mut Rig, index| {
        number += 1;
        let result = CommandResult {
            command_id: command(index, 1),
            output: Some(json!({ "n": number })),
            error: None,
            truncated: None,
        };
        let file = ArtifactRef {
            bytes: u64::MAX,
            name: "\u{1}".repeat(255),
            ..artifact()
        };
        rig.report(command(index, 1), Report::Ended(Box::new(result), Some(file)))
    };
    assert_fits(reports_len(over_lists(&list()), fetched));
}

#[test]
fn a_result_full_of_outputs_and_reasons_fits() {
    let condition = format!("index > 300 || item == \"{}\"", "\u{1F980}".repeat(300));
    let skipped = Step {
        when: Some(When::Late(condition)),
        ..delete()
    };
    assert_fits(reports_len(over_lists(&skipped), |rig, index| {
        rig.answer(index, 1, json!({}))
    }));
}

#[test]
fn a_failure_for_which_there_is_no_room_is_still_told_as_the_jobs_reason() {
    let failing = |rig: &mut Rig, index: usize| {
        let fault = Fault::live_response("ENOENT", format!("{index}: {}", "\u{1F980}".repeat(290)));
        rig.fail(index, 1, fault)
    };
    let mut steps = over_lists(&delete());
    steps[1].on_error = OnError::Fail;
    let mut reason = String::new();
    reports_len(steps, |rig, index| {
        let words = failing(rig, index);
        reason.clone_from(
            &rig.stored
                .as_ref()
                .unwrap()
                .ending
                .as_ref()
                .map_or(String::new(), |ending| ending.reason.text.clone()),
        );
        words
    });
    assert!(reason.contains("failed: 206: "), "{reason}");
}
