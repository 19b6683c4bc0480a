//! Jobs from submission to result.

use crate::fixture::{Fixture, Setup, config, delete, eventually, list, request};
use serde_json::{Value, json};
use tripline_actors::{JobFilter, Refusal};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::step::{OnError, Step, StepStatus};
use tripline_protocol::verb::Verb;
use tripline_protocol::{Fault, JobId, Span};
use uuid::Uuid;

#[actix::test]
async fn a_job_runs_its_steps_in_order_and_its_result_is_published() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![list(), delete()]).await;
    let first = agent.command().await;
    agent.answer(first.command_id, json!({ "processes": [] }));
    assert_eq!(agent.ack().await, [first.command_id]);
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Succeeded), "{view:?}");
    let results = fixture.published(".results.", 1).await;
    assert_eq!(results[0].message_id, job.job_id.to_string());
    let envelope: Value = serde_json::from_slice(&results[0].payload).unwrap();
    assert_eq!(envelope["type"], "tripline.job.succeeded");
    assert_eq!(envelope["data"]["steps"][0]["output"], json!({ "processes": [] }));
    let subject = format!("tripline.results.default.test.succeeded.{}", host.host_id);
    assert_eq!(results[0].subject, subject);
    let states: Vec<_> = fixture.publisher.notices.lock().unwrap().clone();
    for state in ["running", "succeeded"] {
        let subject = format!("tripline.jobs.default.test.{state}.{}", host.host_id);
        assert!(states.contains(&subject), "{states:?}");
    }
}

#[actix::test]
async fn a_failed_step_is_reported_and_later_ones_are_skipped() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let lenient = Step {
        on_error: OnError::Continue,
        ..delete()
    };
    let job = fixture
        .submit(host.host_id, vec![lenient, delete(), list()])
        .await;
    for _ in 0..2 {
        let command = agent.command().await;
        agent.fail(command.command_id, Fault::live_response("ENOENT", "no such file"));
        agent.ack().await;
    }
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Failed));
    assert_eq!(view.reason.unwrap().code, "step_failed");
    let statuses: Vec<_> = view.steps.iter().map(|step| step.status).collect();
    assert_eq!(
        statuses,
        [StepStatus::Failed, StepStatus::Failed, StepStatus::Skipped]
    );
}

#[actix::test]
async fn a_queued_job_is_cancelled_at_once() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let job = fixture.submit(host.host_id, vec![delete()]).await;
    let view = fixture.core.cancel_job(None, job.job_id).await.unwrap();
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    assert_eq!(fixture.ended(job.job_id).await.reason.unwrap().code, "cancelled");
    let again = fixture.core.cancel_job(None, job.job_id).await.unwrap_err();
    assert_eq!(again.code(), "job_ended");
    fixture.published(".results.", 1).await;
}

#[actix::test]
async fn a_running_job_is_cancelled_when_its_host_confirms() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![list(), delete()]).await;
    let command = agent.command().await;
    let view = fixture.core.cancel_job(None, job.job_id).await.unwrap();
    assert_eq!(view.state, JobState::Running);
    assert_eq!(agent.cancel().await, command.command_id);
    agent.fail(command.command_id, Fault::server("cancelled", "cancelled"));
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Cancelled));
    assert_eq!(agent.ack().await, [command.command_id]);
}

#[actix::test]
async fn a_job_of_another_org_is_neither_shown_nor_cancelled() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    let org = Some("acme".parse().unwrap());
    let not_found = |refusal: Refusal| matches!(refusal, Refusal::NotFound { what: "job", .. });
    assert!(not_found(
        fixture.core.get_job(org.clone(), job.job_id).await.unwrap_err()
    ));
    assert!(not_found(
        fixture.core.cancel_job(org, job.job_id).await.unwrap_err()
    ));
    let nobody = JobId(Uuid::new_v4());
    assert!(not_found(
        fixture.core.cancel_job(None, nobody).await.unwrap_err()
    ));
}

#[actix::test]
async fn a_job_whose_host_stays_away_expires_with_the_reason() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut request = request(host.host_id, vec![list()]);
    request.job.as_mut().unwrap().expires = Some(Span::from_secs(10));
    let job = fixture.core.submit_job(request).await.unwrap();
    fixture.advance(11);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::Expired));
    let reason = view.reason.unwrap();
    assert_eq!(reason.code, "expired");
    assert!(reason.text.contains("host offline since"), "{}", reason.text);
    fixture.published(".results.default.test.expired.", 1).await;
}

#[actix::test]
async fn a_running_job_times_out_although_its_agent_says_nothing() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![delete()]).await;
    let command = agent.command().await;
    fixture.advance(601 + 2);
    assert_eq!(agent.cancel().await, command.command_id);
    fixture.advance(10);
    let view = fixture.ended(job.job_id).await;
    assert_eq!(view.state, JobState::Ended(Outcome::TimedOut));
    assert_eq!(view.steps[0].status, StepStatus::Interrupted);
}

#[actix::test]
async fn a_job_beyond_the_limit_is_stored_as_failed_with_a_result() {
    let mut setup = Setup::default();
    setup.config.jobs_per_host_max = 1;
    let fixture = Fixture::start_with(setup);
    let host = fixture.enrol("amelie").await;
    let first = fixture.submit(host.host_id, vec![list()]).await;
    assert_eq!(first.state, JobState::Queued);
    let second = fixture.submit(host.host_id, vec![list()]).await;
    assert_eq!(second.state, JobState::Ended(Outcome::Failed));
    assert_eq!(second.reason.unwrap().code, "queue_full");
    let results = fixture.published(".results.", 1).await;
    assert_eq!(results[0].message_id, second.job_id.to_string());
    assert_eq!(
        fixture
            .core
            .get_host(None, "amelie".into())
            .await
            .unwrap()
            .jobs_open,
        1
    );
}

#[actix::test]
async fn submitting_again_with_the_same_key_gives_the_same_job() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let other = fixture.enrol("bert").await;
    let keyed = |host_id| tripline_protocol::api::SubmitJob {
        idempotency_key: Some("k".into()),
        ..request(host_id, vec![list()])
    };
    let first = fixture.core.submit_job(keyed(host.host_id)).await.unwrap();
    let again = fixture.core.submit_job(keyed(host.host_id)).await.unwrap();
    assert_eq!(first.job_id, again.job_id);
    let elsewhere = fixture.core.submit_job(keyed(other.host_id)).await.unwrap();
    assert_ne!(first.job_id, elsewhere.job_id);
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    fixture.ended(first.job_id).await;
    let late = fixture.core.submit_job(keyed(host.host_id)).await.unwrap();
    assert_eq!(late.state, JobState::Ended(Outcome::Succeeded));
}

#[actix::test]
async fn a_submission_that_is_wrong_says_so_and_changes_nothing() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let code = |request| async { fixture.core.submit_job(request).await.unwrap_err().code() };
    let good = request(host.host_id, vec![list()]);
    let mut neither = good.clone();
    neither.job = None;
    assert_eq!(code(neither).await, "bad_job");
    let mut both = good.clone();
    both.named = Some("x".parse().unwrap());
    assert_eq!(code(both).await, "bad_job");
    let mut named = good.clone();
    (named.job, named.named) = (None, Some("x".parse().unwrap()));
    assert_eq!(code(named).await, "not_found");
    let mut params = good.clone();
    params.params.insert("a".into(), json!(1));
    assert_eq!(code(params).await, "bad_params");
    let mut key = good.clone();
    key.idempotency_key = Some(String::new());
    assert_eq!(code(key).await, "bad_idempotency_key");
    let mut unknown = good.clone();
    unknown.host = "nobody".into();
    assert_eq!(code(unknown).await, "not_found");
    assert_eq!(code(request(host.host_id, vec![])).await, "bad_job");
    let bad = Step::new(Verb::DeleteFile, json!({ "pth": "/x" }));
    assert_eq!(code(request(host.host_id, vec![bad])).await, "bad_argument");
    let page = fixture
        .core
        .list_jobs(JobFilter {
            limit: 10,
            ..JobFilter::default()
        })
        .await
        .unwrap();
    assert_eq!(page.items, []);
}

#[actix::test]
async fn jobs_are_listed_newest_first_by_page_and_filter() {
    let fixture = Fixture::start();
    let (amelie, bert) = (fixture.enrol("amelie").await, fixture.enrol("bert").await);
    let mut ids = Vec::new();
    for n in 0..5 {
        fixture.advance(1);
        let host = if n % 2 == 0 { &amelie } else { &bert };
        ids.insert(0, fixture.submit(host.host_id, vec![list()]).await.job_id);
    }
    fixture.core.cancel_job(None, ids[0]).await.unwrap();
    let page = |filter: JobFilter| async {
        let page = fixture.core.list_jobs(filter).await.unwrap();
        (
            page.items.iter().map(|job| job.job_id).collect::<Vec<_>>(),
            page.next,
        )
    };
    let by = |limit| JobFilter {
        limit,
        ..JobFilter::default()
    };
    let (first, next) = page(by(2)).await;
    assert_eq!(first, ids[..2]);
    let (second, next) = page(JobFilter { after: next, ..by(2) }).await;
    assert_eq!(second, ids[2..4]);
    let (last, next) = page(JobFilter { after: next, ..by(2) }).await;
    assert_eq!((last, next), (ids[4..].to_vec(), None));
    let of_bert = JobFilter {
        host: Some(bert.host_id),
        ..by(10)
    };
    assert_eq!(page(of_bert).await.0, [ids[1], ids[3]]);
    let cancelled = JobFilter {
        state: Some(JobState::Ended(Outcome::Cancelled)),
        ..by(10)
    };
    assert_eq!(page(cancelled).await.0, [ids[0]]);
    let elsewhere = JobFilter {
        org: Some("acme".parse().unwrap()),
        ..by(10)
    };
    assert_eq!(page(elsewhere).await.0, []);
    let other_name = JobFilter {
        name: Some("other".parse().unwrap()),
        ..by(10)
    };
    assert_eq!(page(other_name).await.0, []);
    let bad = JobFilter {
        after: Some("§".into()),
        ..by(10)
    };
    assert_eq!(
        fixture.core.list_jobs(bad).await.unwrap_err().code(),
        "bad_cursor"
    );
}

#[actix::test]
async fn ended_jobs_are_forgotten_by_count_and_their_key_stays_taken() {
    let setup = Setup {
        config: tripline_actors::CoreConfig {
            jobs_retain_max: 1,
            ..config()
        },
        ..Setup::default()
    };
    let fixture = Fixture::start_with(setup);
    let host = fixture.enrol("amelie").await;
    let keyed = tripline_protocol::api::SubmitJob {
        idempotency_key: Some("k".into()),
        ..request(host.host_id, vec![list()])
    };
    let first = fixture.core.submit_job(keyed.clone()).await.unwrap();
    fixture.core.cancel_job(None, first.job_id).await.unwrap();
    fixture.advance(1);
    let second = fixture.submit(host.host_id, vec![list()]).await;
    fixture.core.cancel_job(None, second.job_id).await.unwrap();
    eventually("the older one is forgotten", || async {
        fixture
            .core
            .get_job(None, first.job_id)
            .await
            .is_err()
            .then_some(())
    })
    .await;
    assert!(fixture.core.get_job(None, second.job_id).await.is_ok());
    assert_eq!(
        fixture.core.submit_job(keyed).await.unwrap_err().code(),
        "job_pruned"
    );
}

#[actix::test]
async fn a_large_output_is_kept_as_an_artifact_of_its_job() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![list(), delete()]).await;
    let command = agent.command().await;
    agent.answer(command.command_id, json!({ "text": "x".repeat(200 * 1024) }));
    assert_eq!(agent.ack().await, [command.command_id]);
    agent.obey().await;
    let view = fixture.ended(job.job_id).await;
    assert_eq!(
        (view.state, view.attempt),
        (JobState::Ended(Outcome::Succeeded), 1)
    );
    let artifact = view.steps[0].artifact.clone().unwrap();
    let found = fixture
        .core
        .artifact_of_job(None, job.job_id, &artifact.sha256)
        .await
        .unwrap();
    assert_eq!(found.name, "step1.json");
    assert!(fixture.published(".results.", 1).await[0].payload.len() < 10_000);
}
