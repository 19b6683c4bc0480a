//! Jobs that wait for a time: steps that wait, and what failed and is tried again.

use super::*;
use proptest::prelude::*;
use tripline_protocol::job::Outcome;
use tripline_protocol::step::{ForEach, Retry, ServerVerb};

fn wait(span: &str) -> Step {
    Step::new(ServerVerb::Wait, json!(span))
}

/// Tried so often, with back-offs of half a second to one second.
fn retry(attempts: u32) -> Retry {
    Retry {
        attempts,
        backoff: Span::from_secs(1),
        backoff_max: Some(Span::from_secs(1)),
        on: Vec::new(),
    }
}

fn tried(attempts: u32, step: Step) -> Step {
    Step {
        retry: Some(retry(attempts)),
        ..step
    }
}

fn job_tried(attempts: u32, steps: Vec<Step>) -> JobRecord {
    JobRecord {
        retry: Some(retry(attempts)),
        ..job(steps)
    }
}

impl Rig {
    /// The same job, in another session, when its time has come.
    fn go_on(&mut self) -> Vec<String> {
        let record = self.stored.clone().expect("nothing was stored");
        let not_before = record.rest.as_ref().expect("it does not rest").not_before;
        self.now = self.now.max(not_before);
        self.run(record)
    }

    fn stored_statuses(&self) -> Vec<StepStatus> {
        let reports = &self.stored.as_ref().unwrap().reports;
        reports.iter().map(|report| report.status).collect()
    }
}

/// What rests, without how long.
fn rests(words: &[String]) -> bool {
    words.last().is_some_and(|word| word.starts_with("rests "))
}

#[test]
fn a_step_that_waits_gives_the_slot_back_and_the_job_goes_on_with_the_next() {
    let mut rig = Rig::running(vec![list(), wait("30s"), delete()]);
    assert_eq!(rig.answer(0, 1, json!({})), ["rests 30000 ms wait, ack 0/1"]);
    assert!(rig.is_free());
    assert!(
        rig.reason
            .starts_with("step step2 waits until 2027-01-15T08:00:30Z"),
        "{}",
        rig.reason
    );
    assert_eq!(
        rig.stored_statuses(),
        [StepStatus::Succeeded, StepStatus::Running, StepStatus::Pending]
    );
    assert_eq!(rig.go_on(), ["persist", "announce", "execute 2/2"]);
    rig.answer(2, 2, json!({}));
    assert_eq!(rig.statuses(), [StepStatus::Succeeded; 3]);
}

#[test]
fn a_job_that_goes_on_too_early_waits_for_the_rest() {
    let mut rig = Rig::running(vec![wait("30s"), list()]);
    let record = rig.stored.clone().unwrap();
    rig.now = rig.now.after(Span::from_secs(10));
    assert_eq!(rig.run(record), ["rests 20000 ms wait"]);
}

#[test]
fn waiting_counts_as_running() {
    let mut record = job(vec![wait("50s"), list()]);
    record.timeout = Span::from_secs(60);
    let mut rig = Rig::new();
    rig.run(record);
    assert_eq!(
        rig.stored.as_ref().unwrap().deadline,
        Some(START.after(Span::from_secs(60)))
    );
    rig.go_on();
    assert_eq!(rig.deadline, START.after(Span::from_secs(60)));
    let mut late = Rig::running(vec![wait("50s"), list()]);
    late.now = START.after(JobSpec::TIMEOUT_DEFAULT);
    assert_eq!(late.go_on(), ["end timed_out job_timeout"]);
}

#[test]
fn a_job_may_wait_as_often_as_it_wants() {
    let mut rig = Rig::new();
    let mut words = rig.run(job(vec![wait("1s"); 20]));
    for _ in 0..20 {
        assert!(rests(&words), "{words:?}");
        words = rig.go_on();
    }
    assert_eq!(words, ["end succeeded completed"]);
}

#[test]
fn a_job_that_ends_while_it_waits_has_skipped_its_wait() {
    let rig = Rig::running(vec![wait("30s"), list()]);
    let mut record = rig.stored.unwrap();
    let reason = tripline_protocol::job::Reason::new("cancelled", "");
    record.end(START, Outcome::Cancelled, reason);
    assert_eq!(record.reports[0].status, StepStatus::Skipped);
}

#[test]
fn a_step_that_failed_is_tried_again_after_a_while() {
    let mut rig = Rig::running(vec![tried(3, delete()), list()]);
    let words = rig.fail(0, 1, host_error());
    assert!(
        rests(&words) && words[0].ends_with("backing_off, ack 0/1"),
        "{words:?}"
    );
    let report = rig.stored.as_ref().unwrap().reports[0].clone();
    assert_eq!((report.status, report.tries), (StepStatus::Pending, Some(2)));
    assert_eq!(report.error, Some(host_error()), "why it is tried again");
    assert!(
        rig.reason
            .starts_with("try 1 of 3 of step step1 failed: no such file"),
        "{}",
        rig.reason
    );
    assert_eq!(rig.go_on(), ["persist", "announce", "execute 0/2"]);
    assert_eq!(rig.answer(0, 2, json!({})).last().unwrap(), "execute 1/2");
    let report = rig.stored.as_ref().unwrap().reports[0].clone();
    assert_eq!((report.status, report.error), (StepStatus::Succeeded, None));
}

#[test]
fn a_step_fails_with_its_last_try() {
    let mut rig = Rig::running(vec![tried(2, delete())]);
    rig.fail(0, 1, host_error());
    rig.go_on();
    assert_eq!(rig.fail(0, 2, host_error()), ["end failed step_failed, ack 0/2"]);
    assert_eq!(rig.ended.unwrap().reports[0].tries, Some(2));
}

#[test]
fn what_a_host_cannot_do_is_not_tried_again() {
    let mut rig = Rig::running(vec![tried(3, list())]);
    let fault = Fault::unsupported("unsupported_verb", "not offered");
    assert_eq!(rig.fail(0, 1, fault), ["end failed step_failed, ack 0/1"]);
}

#[test]
fn a_step_is_not_tried_again_when_its_job_is_over() {
    let mut rig = Rig::running(vec![tried(3, delete())]);
    rig.cancel();
    assert_eq!(rig.fail(0, 1, cancelled()), ["end cancelled cancelled, ack 0/1"]);
    let mut record = job(vec![tried(3, delete())]);
    record.timeout = Span::from_millis(400);
    let mut rig = Rig::new();
    rig.run(record);
    assert_eq!(rig.fail(0, 1, host_error()), ["end failed step_failed, ack 0/1"]);
}

#[test]
fn a_job_that_failed_begins_anew_with_all_its_steps() {
    let mut rig = Rig::new();
    rig.run(job_tried(2, vec![list(), delete()]));
    rig.answer(0, 1, json!({}));
    let words = rig.fail(1, 1, host_error());
    assert!(
        rests(&words) && words[0].ends_with("backing_off, ack 1/1"),
        "{words:?}"
    );
    assert_eq!(rig.stored_statuses(), [StepStatus::Pending; 2]);
    assert!(
        rig.reason.starts_with("try 1 of 2: step step2 failed"),
        "{}",
        rig.reason
    );
    assert_eq!(rig.go_on(), ["persist", "announce", "execute 0/2"]);
    rig.answer(0, 2, json!({}));
    assert_eq!(rig.fail(1, 2, host_error()), ["end failed step_failed, ack 1/2"]);
    assert_eq!(rig.ended.unwrap().attempt, 2);
}

#[test]
fn a_job_begins_anew_only_after_outcomes_that_it_names() {
    let timed_out = |on: Vec<tripline_protocol::step::RetryOn>| {
        let mut record = job_tried(2, vec![list()]);
        record.timeout = Span::from_secs(60);
        record.retry = Some(Retry { on, ..retry(2) });
        let mut rig = Rig::new();
        rig.run(record);
        rig.now = START.after(Span::from_secs(60));
        let fault = Fault::timeout("command_timeout", "too long");
        rests(&rig.fail(0, 1, fault))
    };
    use tripline_protocol::step::RetryOn::{Failed, TimedOut};
    assert!(timed_out(vec![]) && timed_out(vec![TimedOut]));
    assert!(!timed_out(vec![Failed]));
}

#[test]
fn a_job_does_not_begin_anew_when_nobody_knows_how_a_command_ended() {
    let mut rig = Rig::new();
    rig.run(job_tried(3, vec![delete()]));
    assert_eq!(rig.fail(0, 1, died()), ["end interrupted agent_died, ack 0/1"]);
    // Its time is over, and its host does not say how it ended.
    let over = |step: Step| {
        let mut record = job_tried(3, vec![step]);
        record.timeout = Span::from_secs(60);
        let mut rig = Rig::new();
        rig.run(record);
        rig.pass(62);
        rig.pass(10)
    };
    assert_eq!(over(delete()), ["abandon 0/1", "end timed_out job_timeout"]);
    assert!(rests(&over(idempotent(delete()))), "what may be repeated is");
}

#[test]
fn a_job_that_somebody_cancelled_does_not_begin_anew() {
    let mut rig = Rig::new();
    rig.run(job_tried(3, vec![delete()]));
    rig.cancel();
    assert_eq!(rig.fail(0, 1, host_error()), ["end cancelled cancelled, ack 0/1"]);
}

#[test]
fn a_job_does_not_begin_anew_when_it_would_be_too_late_to_start() {
    let mut record = job_tried(3, vec![delete()]);
    record.expires_at = START.after(Span::from_millis(400));
    let mut rig = Rig::new();
    rig.run(record);
    assert_eq!(rig.fail(0, 1, host_error()), ["end failed step_failed, ack 0/1"]);
}

/// The same as a job of a fan-out that expires after so many milliseconds.
fn of_fanout(record: JobRecord, expires: u64) -> JobRecord {
    let part = json!({
        "fanout_id": Uuid::nil(), "name": "sweep", "host_id": HOST, "made_in": 0,
        "expires_at": START.after(Span::from_millis(expires)),
    });
    JobRecord {
        fanout: Some(serde_json::from_value(part).unwrap()),
        ..record
    }
}

#[test]
fn a_job_of_a_fan_out_does_not_begin_anew_behind_its_end() {
    let mut rig = Rig::new();
    rig.run(of_fanout(job_tried(3, vec![delete()]), 400));
    assert_eq!(rig.fail(0, 1, host_error()), ["end failed step_failed, ack 0/1"]);
}

#[test]
fn the_end_of_a_fan_out_counts_until_its_job_begins_and_while_it_waits_to_begin_anew() {
    let record = of_fanout(job_tried(3, vec![list(), delete()]), 60_000);
    let (own, of_fanout) = (record.expires_at, START.after(Span::from_secs(60)));
    assert_eq!(record.leaves_at(), of_fanout);
    assert_eq!(record.to_view(None).expires_at, of_fanout);
    let mut rig = Rig::new();
    rig.run(record);
    let begun = rig.stored.clone().unwrap();
    assert_eq!((begun.leaves_at(), begun.to_view(None).expires_at), (own, own));
    rig.answer(0, 1, json!({}));
    assert!(rests(&rig.fail(1, 1, host_error())));
    let waits = rig.stored.clone().unwrap();
    assert_eq!(waits.leaves_at(), of_fanout, "to begin anew");
    rig.go_on();
    assert_eq!(rig.stored.unwrap().leaves_at(), own);
}

#[test]
fn a_job_that_begins_anew_lets_go_of_the_files_it_has_fetched() {
    let mut rig = Rig::new();
    rig.run(job_tried(2, vec![list(), delete()]));
    rig.answer(0, 1, json!({ "text": "x".repeat(140 * 1024) }));
    rig.spilled(0, Ok(artifact()));
    assert!(rests(&rig.fail(1, 1, host_error())));
    let record = rig.stored.unwrap();
    assert_eq!(record.dropped, [artifact()]);
    assert!(record.reports.iter().all(|report| report.artifact.is_none()));
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Answer {
    Done,
    Failed,
    NotOffered,
}

/// A step: whether it changes the host, how often it is tried, whether it may fail, and how long its list is.
#[derive(Debug, Clone)]
struct Plan {
    mutates: bool,
    tries: u32,
    may_fail: bool,
    items: Option<usize>,
}

impl Plan {
    fn step(&self, number: usize) -> Step {
        Step {
            id: Some(format!("s{number}")),
            retry: (self.tries > 1).then(|| retry(self.tries)),
            on_error: if self.may_fail {
                OnError::Continue
            } else {
                OnError::Fail
            },
            for_each: self.items.map(|count| ForEach {
                items: json!(vec![0; count]),
                max: 10,
            }),
            ..if self.mutates { delete() } else { list() }
        }
    }

    /// The ids of what runs of it.
    fn ids(&self, number: usize) -> Vec<String> {
        match self.items {
            None => vec![format!("s{number}")],
            Some(count) => (1..=count).map(|item| format!("s{number}-{item}")).collect(),
        }
    }
}

/// Which steps run, in order, and whether the job succeeds: loop in loop in loop.
fn slowly(
    steps: &[Plan],
    job_tries: u32,
    finally: usize,
    mut answers: impl Iterator<Item = Answer>,
) -> (Vec<String>, bool) {
    let (mut ran, mut succeeded) = (Vec::new(), false);
    'job: for _ in 0..job_tries {
        for (number, plan) in steps.iter().enumerate() {
            for id in plan.ids(number) {
                let mut done = false;
                for _ in 0..plan.tries {
                    ran.push(id.clone());
                    match answers.next().unwrap() {
                        Answer::Done => done = true,
                        Answer::Failed => continue,
                        Answer::NotOffered => {}
                    }
                    break;
                }
                if !done && !plan.may_fail {
                    continue 'job;
                }
            }
        }
        succeeded = true;
        break;
    }
    ran.extend((1..=finally).map(|number| format!("finally{number}")));
    (ran, succeeded)
}

/// The step and attempt of the last command in words such as `execute 2/1` or `adopt 2/1`.
pub(super) fn last_command(words: &[String]) -> Option<(bool, usize, u32)> {
    let (what, place) = words.last()?.split_once(' ')?;
    let (step, attempt) = place.split_once('/')?;
    let adopted = match what {
        "execute" => false,
        "adopt" => true,
        _ => return None,
    };
    Some((adopted, step.parse().ok()?, attempt.parse().ok()?))
}

/// The same by the state machine, with a server that dies at these commands, right after they were sent.
fn quickly(
    steps: &[Plan],
    job_tries: u32,
    finally: usize,
    mut answers: impl Iterator<Item = Answer>,
    mut dies: impl Iterator<Item = bool>,
) -> (Vec<String>, bool) {
    let own = steps.iter().enumerate().map(|(number, plan)| plan.step(number));
    let mut record = accepted(JobSpec {
        finally: (0..finally)
            .map(|n| if n == 0 { delete() } else { list() })
            .collect(),
        ..JobSpec::new("test".parse().unwrap(), own.collect())
    });
    record.retry = (job_tries > 1).then(|| retry(job_tries));
    let mut rig = Rig::new();
    let mut words = rig.run(record);
    let mut ran = Vec::new();
    while rig.ended.as_ref().is_none_or(|_| rests(&words)) {
        if rests(&words) {
            rig.ended = None;
            words = rig.go_on();
            continue;
        }
        let (_, index, mut attempt) = last_command(&words).expect("it neither runs nor rests");
        let record = rig.state.record().unwrap();
        let mutates = record.step(index).unwrap().verb == Verb::DeleteFile;
        ran.push(record.reports[index].id.clone());
        if dies.next().unwrap() {
            let (stored, now) = (rig.stored.take().unwrap(), rig.now);
            rig = Rig { now, ..Rig::new() };
            words = rig.run(stored);
            let (adopted, same, again) = last_command(&words).expect("it did not go on");
            assert_eq!(same, index);
            assert_eq!(
                adopted, mutates,
                "what changes a host is not sent twice, what reads is"
            );
            attempt = again;
        }
        words = match answers.next().unwrap() {
            Answer::Done => rig.answer(index, attempt, json!({})),
            Answer::Failed => rig.fail(index, attempt, host_error()),
            Answer::NotOffered => rig.fail(index, attempt, Fault::unsupported("unsupported_verb", "")),
        };
    }
    let succeeded = words.last().unwrap().starts_with("end succeeded");
    (ran, succeeded)
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![3 => Just(Answer::Done), 3 => Just(Answer::Failed), 1 => Just(Answer::NotOffered)]
}

fn plan() -> impl Strategy<Value = Plan> {
    let items = prop::option::weighted(0.4, 0_usize..4);
    (any::<bool>(), 1_u32..4, any::<bool>(), items).prop_map(|(mutates, tries, may_fail, items)| Plan {
        mutates,
        tries,
        may_fail,
        items,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn steps_and_tries_are_those_of_the_model_whenever_the_server_dies(
        steps in prop::collection::vec(plan(), 1..4),
        job_tries in 1_u32..3,
        finally in 0_usize..3,
        answers in prop::collection::vec(answer(), 1..12),
        dies in prop::collection::vec(any::<bool>(), 1..12),
    ) {
        let answers = || answers.iter().copied().cycle();
        let expected = slowly(&steps, job_tries, finally, answers());
        let found = quickly(&steps, job_tries, finally, answers(), dies.iter().copied().cycle());
        prop_assert_eq!(found, expected);
    }
}
