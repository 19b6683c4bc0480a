//! Steps that run over a list.

use super::*;
use proptest::prelude::*;
use tripline_protocol::step::{ForEach, ServerVerb, When};

fn each(items: Value, max: u32, step: Step) -> Step {
    Step {
        id: Some("each".into()),
        for_each: Some(ForEach { items, max }),
        ..step
    }
}

/// Deletes the path that an element is.
fn delete_item() -> Step {
    Step::new(Verb::DeleteFile, json!({ "path": "{{ item }}" }))
}

fn ids(rig: &Rig) -> Vec<String> {
    let record = rig.ended.as_ref().or(rig.state.record()).unwrap();
    record.reports.iter().map(|report| report.id.clone()).collect()
}

fn error_of(rig: &Rig, index: usize) -> String {
    let record = rig.ended.as_ref().unwrap();
    record.reports[index].error.as_ref().unwrap().code.clone()
}

#[test]
fn a_step_runs_once_for_every_element() {
    let list_step = each(json!("{{ steps.step1.output.files }}"), 5, delete_item());
    let last = Step::new(
        Verb::DeleteFile,
        json!({ "path": "{{ steps.each.status }}/{{ steps.each.items[1].status }}" }),
    );
    let mut rig = Rig::running(vec![list(), list_step, last]);
    let words = rig.answer(0, 1, json!({ "files": ["/a", "/b"] }));
    assert_eq!(words, ["persist", "announce", "ack 0/1", "execute 2/1"]);
    let stored = rig.stored.clone().unwrap();
    assert_eq!(
        stored.loops.len(),
        1,
        "the list is durable before its first element begins"
    );
    assert_eq!(ids(&rig), ["step1", "each", "each-1", "each-2", "step3"]);
    assert_eq!(stored.reports[1].items, Some(2));
    assert_eq!(rig.answer(2, 1, json!({})).last().unwrap(), "execute 3/1");
    assert_eq!(rig.statuses()[1], StepStatus::Running);
    assert_eq!(rig.answer(3, 1, json!({})).last().unwrap(), "execute 4/1");
    rig.answer(4, 1, json!({}));
    assert_eq!(rig.statuses(), [StepStatus::Succeeded; 5]);
}

#[test]
fn an_element_and_its_place_are_known_to_arguments_and_conditions() {
    let mut step = each(json!(["/a", "/b", "/c"]), 5, delete_item());
    step.when = Some(When::Late("index != 1".into()));
    let mut rig = Rig::new();
    assert_eq!(rig.run(job(vec![step])).last().unwrap(), "execute 1/1");
    assert_eq!(rig.answer(1, 1, json!({})).last().unwrap(), "execute 3/1");
    rig.answer(3, 1, json!({}));
    use StepStatus::{Skipped, Succeeded};
    assert_eq!(rig.statuses(), [Succeeded, Succeeded, Skipped, Succeeded]);
}

#[test]
fn a_condition_without_the_element_is_asked_before_the_list_is_looked_at() {
    let mut step = each(json!("{{ steps.step1.output.files }}"), 5, delete_item());
    step.when = Some(When::Late("steps.step1.status == 'succeeded'".into()));
    let mut rig = Rig::running(vec![allowed_to_fail(list()), step]);
    assert_eq!(rig.fail(0, 1, host_error()), ["end succeeded completed, ack 0/1"]);
    assert_eq!(rig.statuses(), [StepStatus::Failed, StepStatus::Skipped]);
}

#[test]
fn an_empty_list_skips_its_step() {
    let mut rig = Rig::new();
    assert_eq!(
        rig.run(job(vec![each(json!([]), 5, delete_item())])),
        ["end succeeded completed"]
    );
    let report = rig.ended.as_ref().unwrap().reports[0].clone();
    assert_eq!((report.status, report.items), (StepStatus::Skipped, Some(0)));
    assert_eq!(report.reason.unwrap().code, "no_items");
}

#[test]
fn a_list_is_taken_up_to_its_longest_length() {
    for (count, taken) in [(5, true), (6, false)] {
        let mut rig = Rig::new();
        let words = rig.run(job(vec![each(json!(vec!["/a"; count]), 5, delete_item())]));
        assert_eq!(words.last().unwrap().starts_with("execute"), taken, "{words:?}");
        if !taken {
            assert_eq!(error_of(&rig, 0), "too_many_items");
        }
    }
}

#[test]
fn all_lists_of_a_job_together_are_bounded() {
    let lists = |second: usize| {
        let wait = Step::new(ServerVerb::Publish, json!({ "etype": "a" }));
        let of = |id: &str, count: usize| Step {
            id: Some(id.into()),
            ..each(json!(vec![0; count]), 200, wait.clone())
        };
        let mut rig = Rig::new();
        rig.run(job(vec![of("a", 200), of("b", second)]));
        rig
    };
    assert_eq!(lists(54).published.len(), 254);
    let rig = lists(55);
    assert_eq!(rig.published.len(), 200);
    assert_eq!(error_of(&rig, 201), "too_many_items");
    let long = |bytes: usize| {
        let mut rig = Rig::new();
        let step = Step::new(ServerVerb::Publish, json!({ "etype": "a" }));
        rig.run(job(vec![each(json!(["x".repeat(bytes)]), 5, step)]));
        rig
    };
    let quotes = "[\"\"]".len();
    assert_eq!(long(256 * 1024 - quotes).published.len(), 1);
    assert_eq!(error_of(&long(256 * 1024 - quotes + 1), 0), "too_large");
}

#[test]
fn what_is_no_list_fails_its_step() {
    let mut rig = Rig::running(vec![
        list(),
        each(json!("{{ steps.step1.output.files }}"), 5, delete_item()),
    ]);
    assert_eq!(
        rig.answer(0, 1, json!({ "files": "/a" })),
        ["end failed step_failed, ack 0/1"]
    );
    assert_eq!(error_of(&rig, 1), "bad_argument");
}

#[test]
fn an_element_that_fails_ends_the_job_leads_elsewhere_or_is_passed_over() {
    let with = |on_error: OnError| {
        let step = Step {
            on_error,
            ..each(json!(["/a", "/b"]), 5, delete_item())
        };
        let mut rig = Rig::running(vec![step, list(), list()]);
        rig.fail(1, 1, host_error()).last().unwrap().clone()
    };
    assert_eq!(with(OnError::Fail), "end failed step_failed, ack 1/1");
    assert_eq!(with(OnError::Continue), "execute 2/1");
    assert_eq!(with(OnError::Goto("step3".parse().unwrap())), "execute 4/1");
}

#[test]
fn a_long_step_is_kept_once_however_long_its_list_is() {
    let long = "x".repeat(60 * 1024);
    let run = Step::new(Verb::CreateProcess, json!({ "argv": ["/bin/echo", long] }));
    let mut rig = Rig::running(vec![each(json!(vec![0; 200]), 200, run), list()]);
    for index in 1..=200 {
        rig.answer(index, 1, json!({}));
        let bytes = crate::record::encode(rig.stored.as_ref().unwrap()).len();
        assert!(bytes < 200 * 1024, "{bytes} bytes at element {index}");
    }
    rig.answer(201, 1, json!({}));
    assert!(
        rig.statuses()
            .iter()
            .all(|status| *status == StepStatus::Succeeded)
    );
}

/// As a version wrote it that put a copy of the step behind it for every element.
fn with_copies(mut record: JobRecord) -> JobRecord {
    for list in record.loops.clone() {
        let copy = Step {
            for_each: None,
            when: record.steps[list.at].when.clone().filter(|_| list.each_asks),
            ..record.steps[list.at].clone()
        };
        let copies = vec![copy; list.items.len()];
        record.steps.splice(list.at + 1..list.at + 1, copies);
    }
    for list in &mut record.loops {
        list.each_asks = false;
    }
    record
}

#[test]
fn a_list_of_a_version_that_copied_its_step_goes_on() {
    let asking = |id: &str, when: Option<&str>| Step {
        id: Some(id.into()),
        when: when.map(|when| When::Late(when.into())),
        ..each(json!(["/a", "/b", "/c"]), 5, delete_item())
    };
    let steps = vec![asking("all", None), asking("some", Some("index != 1")), delete()];
    let mut record = job(steps);
    record.retry = Some(tripline_protocol::step::Retry {
        attempts: 2,
        backoff: Span::from_secs(1),
        backoff_max: None,
        on: Vec::new(),
    });
    let mut rig = Rig::new();
    rig.run(record.clone());
    for index in 1..=3 {
        rig.answer(index, 1, json!({}));
    }
    let old = with_copies(rig.stored.take().unwrap());
    assert_eq!(old.steps.len(), 9);
    let mut again = Rig::new();
    assert_eq!(again.run(old.clone()), ["adopt 5/1"]);
    assert_eq!(again.answer(5, 1, json!({})).last().unwrap(), "execute 7/1");
    assert_eq!(again.answer(7, 1, json!({})).last().unwrap(), "execute 8/1");
    // It begins anew, here and where it waits.
    again.fail(8, 1, host_error());
    assert_eq!(again.stored.unwrap().steps, record.steps);
    let mut waiting = JobRecord { intent: None, ..old };
    let reason = tripline_protocol::job::Reason::new("job_timeout", "");
    let outcome = tripline_protocol::job::Outcome::TimedOut;
    assert!(waiting.begin_anew(outcome, &reason, START).is_some());
    assert_eq!((waiting.steps, waiting.reports.len()), (record.steps, 3));
}

#[test]
fn after_a_crash_a_list_goes_on_as_it_was() {
    let step = each(json!("{{ steps.step1.output.files }}"), 5, delete_item());
    let mut rig = Rig::running(vec![list(), step]);
    rig.answer(0, 1, json!({ "files": ["/a", "/b"] }));
    rig.answer(2, 1, json!({}));
    let mut again = Rig::new();
    assert_eq!(again.run(rig.stored.unwrap()), ["adopt 3/1"]);
    assert_eq!(
        again.answer(3, 1, json!({})),
        ["end succeeded completed, ack 3/1"]
    );
    assert_eq!(again.statuses(), [StepStatus::Succeeded; 4]);
}

#[test]
fn a_job_that_begins_anew_looks_at_its_lists_anew() {
    let mut record = job(vec![
        list(),
        each(json!("{{ steps.step1.output.files }}"), 5, delete_item()),
        delete(),
    ]);
    let steps = record.steps.clone();
    record.retry = Some(tripline_protocol::step::Retry {
        attempts: 2,
        backoff: Span::from_secs(1),
        backoff_max: None,
        on: Vec::new(),
    });
    let mut rig = Rig::new();
    rig.run(record);
    rig.answer(0, 1, json!({ "files": ["/a", "/b"] }));
    rig.answer(2, 1, json!({}));
    assert!(rig.fail(3, 1, host_error())[0].starts_with("rests "));
    let stored = rig.stored.clone().unwrap();
    assert_eq!(
        (stored.steps.clone(), stored.loops.len(), stored.reports.len()),
        (steps, 0, 3)
    );
    rig.now = stored.rest.as_ref().unwrap().not_before;
    rig.run(stored);
    let words = rig.answer(0, 2, json!({ "files": [] }));
    assert_eq!(words.last().unwrap(), "execute 2/2");
}

proptest! {
    #[test]
    fn every_element_of_every_list_runs_once_in_order(
        counts in prop::collection::vec(prop::option::of(0_usize..6), 1..6)
    ) {
        let of_step = |(n, count): (usize, &Option<usize>)| match count {
            Some(count) => Step {
                id: Some(format!("l{n}")),
                ..each(json!(vec![0; *count]), 10, list())
            },
            None => list(),
        };
        let steps: Vec<Step> = counts.iter().enumerate().map(of_step).collect();
        let mut expected = Vec::new();
        for (n, count) in counts.iter().enumerate() {
            match count {
                Some(count) => expected.extend((1..=*count).map(|item| format!("l{n}-{item}"))),
                None => expected.push(format!("step{}", n + 1)),
            }
        }
        let mut rig = Rig::new();
        let mut words = rig.run(job(steps));
        let mut ran = Vec::new();
        while let Some(place) = words.last().and_then(|word| word.strip_prefix("execute ")) {
            let index: usize = place.split_once('/').unwrap().0.parse().unwrap();
            ran.push(ids(&rig)[index].clone());
            words = rig.answer(index, 1, json!({}));
        }
        prop_assert_eq!(ran, expected);
        prop_assert!(rig.statuses().iter().all(|status| *status != StepStatus::Running));
    }
}
