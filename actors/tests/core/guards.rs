//! Guards of pipelines: on how many hosts, how many jobs, when too many fail, and hosts they never touch.

use crate::audit::{ana, of_action};
use crate::events::{delivery, jobs, listening, stream};
use crate::fixture::{Agent, Fixture, Setup, config, delete, eventually, list, request, rules};
use crate::recorder::{self, counter};
use serde_json::json;
use tripline_actors::access::Principal;
use tripline_actors::store::{Batch, Table};
use tripline_actors::{LabelChange, Refusal};
use tripline_protocol::api::{JobView, PipelineView};
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{Fault, HostId, Name, Org};

/// Ends the line of a guard.
const JOB: &str = "job: { steps: [ delete_file: { path: /tmp/x } ] }\n";
const FAILING: &str = "name: p\non: [acme.>]\nauto_pause: { failed: 2, of: 3 }\n\
                       job: { steps: [ delete_file: { path: /tmp/x } ] }\n";

fn with(guard: &str) -> &'static str {
    format!("name: p\non: [acme.>]\n{guard}\n{JOB}").leak()
}

fn p() -> Name {
    "p".parse().unwrap()
}

/// Offers an event about the host, and gives how many jobs there are then.
async fn offer(fixture: &Fixture, number: u64, host_id: HostId) -> usize {
    let event = delivery(
        fixture,
        number,
        &format!("e{number}"),
        json!({ "host_id": host_id }),
    );
    fixture.core.ingest(vec![event]).await.unwrap();
    jobs(fixture).await.len()
}

async fn pipeline(fixture: &Fixture) -> PipelineView {
    fixture.core.pipelines().await.unwrap().pipelines.remove(0)
}

/// The job that event `e<number>` caused.
async fn job_of(fixture: &Fixture, number: u64) -> JobView {
    let id = format!("e{number}");
    let of_event = |job: &JobView| job.event.as_ref().is_some_and(|event| event.id == id);
    jobs(fixture).await.into_iter().find(of_event).unwrap()
}

/// The job that this event caused runs, and fails or not.
async fn end(fixture: &Fixture, agent: &mut Agent, number: u64, fails: bool) -> JobView {
    let command = agent.command().await;
    match fails {
        true => agent.fail(command.command_id, Fault::live_response("denied", "no")),
        false => agent.answer(command.command_id, json!({})),
    }
    assert_eq!(agent.ack().await, [command.command_id]);
    let job = job_of(fixture, number).await;
    fixture.ended(job.job_id).await
}

/// How often a pipeline did not act for this reason.
async fn withheld(fixture: &Fixture, reason: &str) -> u64 {
    // A dead letter: something is published, so that the thread of the actors is known.
    let event = delivery(fixture, 1_000, "nowhere", json!({ "hostname": "nowhere" }));
    fixture.core.ingest(vec![event]).await.unwrap();
    let thread = fixture.thread().await;
    counter(thread, &format!("tripline_router_withheld_total {reason}"))
}

#[actix::test]
async fn so_many_jobs_of_a_pipeline_are_open_and_no_more() {
    recorder::install();
    let (fixture, host_id) = listening(vec![with("max_in_flight: 2")]).await;
    for number in 1..=3 {
        let open = usize::try_from(number).unwrap().min(2);
        assert_eq!(offer(&fixture, number, host_id).await, open);
    }
    assert_eq!(withheld(&fixture, "max_in_flight").await, 1);
    let fixture = fixture.restart().await;
    assert_eq!(pipeline(&fixture).await.in_flight, 2, "as many as before");
    assert_eq!(offer(&fixture, 4, host_id).await, 2);
    let mut agent = fixture.attach(host_id, "amelie").await;
    end(&fixture, &mut agent, 1, false).await;
    assert_eq!(offer(&fixture, 5, host_id).await, 3);
    assert_eq!(pipeline(&fixture).await.in_flight, 2);
}

#[actix::test]
async fn a_job_that_ends_at_once_because_too_many_wait_is_not_in_flight() {
    let mut setup = Setup {
        pipelines: vec![with("max_in_flight: 9")],
        ..Setup::default()
    };
    setup.config.jobs_per_host_max = 1;
    let fixture = Fixture::start_with(setup);
    let host_id = fixture.enrol("amelie").await.host_id;
    stream(&fixture).await;
    offer(&fixture, 1, host_id).await;
    assert_eq!(offer(&fixture, 2, host_id).await, 2);
    assert_eq!(pipeline(&fixture).await.in_flight, 1);
}

#[actix::test]
async fn a_pipeline_acts_on_so_many_hosts_within_its_window_and_on_these_again() {
    recorder::install();
    let (fixture, first) = listening(vec![with("max_hosts: { count: 1, per: 1h }")]).await;
    let second = fixture.enrol("ben").await.host_id;
    assert_eq!(offer(&fixture, 1, first).await, 1);
    assert_eq!(offer(&fixture, 2, second).await, 1);
    assert_eq!(offer(&fixture, 3, first).await, 2, "it counts already");
    let fixture = fixture.restart().await;
    assert_eq!(offer(&fixture, 4, second).await, 2);
    assert_eq!(withheld(&fixture, "max_hosts").await, 1);
    fixture.advance(3600);
    assert_eq!(offer(&fixture, 5, second).await, 3);
    assert_eq!(offer(&fixture, 6, first).await, 3, "now the second one counts");
    fixture.core.set_rules(rules(&[with("")]));
    assert_eq!(offer(&fixture, 7, first).await, 4);
    assert_eq!(fixture.rows(Table::TouchedHost), 0);
}

#[actix::test]
async fn hosts_that_were_acted_on_count_while_their_pipeline_is_away() {
    let guard = with("max_hosts: { count: 1, per: 1h }");
    let (fixture, first) = listening(vec![guard]).await;
    let second = fixture.enrol("ben").await.host_id;
    assert_eq!(offer(&fixture, 1, first).await, 1);
    fixture.core.set_rules(rules(&[]));
    let fixture = fixture.restart_with(|setup| setup.pipelines = Vec::new()).await;
    fixture.core.set_rules(rules(&[guard]));
    assert_eq!(offer(&fixture, 2, second).await, 1);
    // Another span holds for them, too.
    fixture
        .core
        .set_rules(rules(&[with("max_hosts: { count: 1, per: 2h }")]));
    fixture.advance(3600);
    assert_eq!(offer(&fixture, 3, second).await, 1);
    fixture.advance(3600);
    assert_eq!(offer(&fixture, 4, second).await, 2);
}

#[actix::test]
async fn an_event_on_which_a_guard_kept_a_pipeline_from_acting_is_decided_when_it_comes_again() {
    let (fixture, first) = listening(vec![with("max_in_flight: 1")]).await;
    fixture.core.pause_pipeline(&ana(), p(), None).await.unwrap();
    assert_eq!(offer(&fixture, 1, first).await, 0);
    // As after a crash before the event was acknowledged.
    let fixture = fixture.restart().await;
    fixture.core.resume_pipeline(&ana(), p()).await.unwrap();
    assert_eq!(offer(&fixture, 1, first).await, 0);
    assert_eq!(offer(&fixture, 2, first).await, 1);
    assert_eq!(offer(&fixture, 3, first).await, 1);
    let mut agent = fixture.attach(first, "amelie").await;
    end(&fixture, &mut agent, 2, false).await;
    assert_eq!(offer(&fixture, 3, first).await, 1, "there would be room now");
    assert_eq!(offer(&fixture, 4, first).await, 2);
}

#[actix::test]
async fn jobs_that_were_made_before_a_guard_count_for_it() {
    let (fixture, host_id) = listening(vec![with("")]).await;
    for number in 1..=3 {
        offer(&fixture, number, host_id).await;
    }
    let mut agent = fixture.attach(host_id, "amelie").await;
    end(&fixture, &mut agent, 1, true).await;
    assert_eq!(fixture.rows(Table::PipelineEnds), 0);
    fixture.core.set_rules(rules(&[FAILING]));
    end(&fixture, &mut agent, 2, true).await;
    assert_eq!(pipeline(&fixture).await.pause, None, "the first one ended before");
    // Away for a moment, as a file that is moved.
    fixture.core.set_rules(rules(&[]));
    fixture.core.set_rules(rules(&[FAILING]));
    end(&fixture, &mut agent, 3, true).await;
    let paused = eventually("it pauses itself", || async { pipeline(&fixture).await.pause }).await;
    assert_eq!(paused.by, None);
}

#[actix::test]
async fn a_job_that_ends_when_its_pipeline_is_no_longer_watched_leaves_no_row() {
    let (fixture, host_id) = listening(vec![FAILING]).await;
    offer(&fixture, 1, host_id).await;
    fixture.core.set_rules(rules(&[with("")]));
    let mut agent = fixture.attach(host_id, "amelie").await;
    end(&fixture, &mut agent, 1, true).await;
    assert_eq!(fixture.rows(Table::PipelineEnds), 0);
}

#[actix::test]
async fn a_job_without_its_record_is_in_flight_no_more() {
    let (fixture, host_id) = listening(vec![with("max_in_flight: 1")]).await;
    offer(&fixture, 1, host_id).await;
    let fixture = fixture.restart().await;
    // As a store that was damaged.
    let mut batch = Batch::new();
    for table in [Table::Job, Table::OpenJob, Table::JobByTime] {
        for (key, _) in fixture.store.scan(table, &[], None, 10).unwrap() {
            batch.delete(table, key);
        }
    }
    fixture.store.commit(batch, || {});
    assert_eq!(offer(&fixture, 2, host_id).await, 0);
    let _agent = fixture.attach(host_id, "amelie").await;
    eventually("the job is given up", || async {
        (pipeline(&fixture).await.in_flight == 0).then_some(())
    })
    .await;
    assert_eq!(offer(&fixture, 3, host_id).await, 1);
}

#[actix::test]
async fn a_pipeline_of_which_too_many_jobs_fail_pauses_itself_until_a_person_resumes() {
    recorder::install();
    let (fixture, host_id) = listening(vec![FAILING]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    for (number, fails) in [(1, true), (2, false)] {
        offer(&fixture, number, host_id).await;
        end(&fixture, &mut agent, number, fails).await;
    }
    assert_eq!(pipeline(&fixture).await.pause, None);
    offer(&fixture, 3, host_id).await;
    end(&fixture, &mut agent, 3, true).await;
    let pause = pipeline(&fixture).await.pause.expect("it is paused");
    assert_eq!(pause.by, None);
    assert_eq!(
        pause.reason.as_deref(),
        Some("2 of its last 3 jobs failed, timed out or were interrupted")
    );
    assert_eq!(offer(&fixture, 4, host_id).await, 3);
    assert_eq!(
        withheld(&fixture, "auto_paused").await,
        2,
        "the letter's event, too"
    );
    let records = of_action(&fixture, "_", "pipeline.pause").await;
    assert_eq!(json!(records[0].on), json!({ "pipeline": "p" }));

    let fixture = fixture.restart().await;
    assert_eq!(pipeline(&fixture).await.pause, Some(pause));
    assert_eq!(offer(&fixture, 5, host_id).await, 3);
    let view = fixture.core.resume_pipeline(&ana(), p()).await.unwrap();
    assert_eq!(view.pause, None);
    assert_eq!(offer(&fixture, 6, host_id).await, 4);
    // What failed before counts no more.
    fixture.advance(1);
    let mut agent = fixture.attach(host_id, "amelie").await;
    end(&fixture, &mut agent, 6, true).await;
    assert_eq!(pipeline(&fixture).await.pause, None);
    let fixture = fixture.restart().await;
    assert_eq!(pipeline(&fixture).await.pause, None, "nor after a restart");
    let mut agent = fixture.attach(host_id, "amelie").await;
    offer(&fixture, 7, host_id).await;
    end(&fixture, &mut agent, 7, true).await;
    assert!(pipeline(&fixture).await.pause.is_some(), "the second one since");
}

#[actix::test]
async fn how_jobs_ended_is_known_after_a_restart() {
    let (fixture, host_id) = listening(vec![FAILING]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    offer(&fixture, 1, host_id).await;
    end(&fixture, &mut agent, 1, true).await;
    let fixture = fixture.restart().await;
    assert_eq!(pipeline(&fixture).await.pause, None);
    // As after a crash between the end of a job and what the pipeline makes of it.
    let strict = FAILING.replace("failed: 2", "failed: 1").leak();
    let fixture = fixture.restart_with(|setup| setup.pipelines = vec![strict]).await;
    assert!(pipeline(&fixture).await.pause.is_some());
}

#[actix::test]
async fn jobs_that_nobody_let_end_say_nothing_about_their_pipeline() {
    let (fixture, host_id) = listening(vec![FAILING]).await;
    for number in 1..=2 {
        offer(&fixture, number, host_id).await;
    }
    for job in jobs(&fixture).await {
        fixture.core.cancel_job(None, job.job_id).await.unwrap();
    }
    offer(&fixture, 3, host_id).await;
    fixture.advance(2 * 24 * 3600);
    let waiting = job_of(&fixture, 3).await.job_id;
    assert_eq!(
        fixture.ended(waiting).await.state,
        JobState::Ended(Outcome::Expired)
    );
    assert_eq!(fixture.rows(Table::PipelineEnds), 0);
    assert_eq!(pipeline(&fixture).await.pause, None);
}

#[actix::test]
async fn the_ends_of_a_pipeline_that_is_no_longer_watched_are_forgotten() {
    let (fixture, host_id) = listening(vec![FAILING]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    offer(&fixture, 1, host_id).await;
    end(&fixture, &mut agent, 1, true).await;
    assert_eq!(fixture.rows(Table::PipelineEnds), 1);
    offer(&fixture, 2, host_id).await;
    fixture.core.set_rules(rules(&[with("")]));
    eventually("the row is gone", || async {
        (fixture.rows(Table::PipelineEnds) == 0).then_some(())
    })
    .await;
    end(&fixture, &mut agent, 2, true).await;
    assert_eq!(fixture.rows(Table::PipelineEnds), 0, "a job of before ended");
}

#[actix::test]
async fn a_person_pauses_a_pipeline_which_makes_no_jobs_then() {
    recorder::install();
    let (fixture, host_id) = listening(vec![with("")]).await;
    let mut agent = fixture.attach(host_id, "amelie").await;
    offer(&fixture, 1, host_id).await;
    let under_way = agent.command().await;
    let reason = Some("INC-42".to_owned());
    let view = fixture
        .core
        .pause_pipeline(&ana(), p(), reason.clone())
        .await
        .unwrap();
    let pause = view.pause.unwrap();
    assert_eq!(pause.by.as_ref().map(|by| by.name.as_str()), Some("ana"));
    assert_eq!(pause.reason, reason);
    assert_eq!(offer(&fixture, 2, host_id).await, 1);
    agent.answer(under_way.command_id, json!({}));
    assert_eq!(agent.ack().await, [under_way.command_id]);
    let job = job_of(&fixture, 1).await;
    let ended = fixture.ended(job.job_id).await;
    assert_eq!(
        ended.state,
        JobState::Ended(Outcome::Succeeded),
        "what ran goes on"
    );
    assert_eq!(
        withheld(&fixture, "paused").await,
        2,
        "what has no host makes no dead letter either"
    );
    let fixture = fixture.restart().await;
    assert_eq!(pipeline(&fixture).await.pause, Some(pause));
    fixture.core.resume_pipeline(&ana(), p()).await.unwrap();
    assert_eq!(offer(&fixture, 3, host_id).await, 2);
    let actions = ["pipeline.pause", "pipeline.resume"];
    for (action, detail) in actions
        .into_iter()
        .zip([json!({ "reason": "INC-42" }), json!({})])
    {
        let records = of_action(&fixture, "_", action).await;
        assert_eq!(records.len(), 1, "{action}");
        assert_eq!(json!(records[0].detail), detail);
    }
}

#[actix::test]
async fn a_pause_stays_while_its_pipeline_is_away() {
    let (fixture, host_id) = listening(vec![with("")]).await;
    fixture.core.pause_pipeline(&ana(), p(), None).await.unwrap();
    fixture.core.set_rules(rules(&[]));
    let fixture = fixture.restart_with(|setup| setup.pipelines = Vec::new()).await;
    fixture.core.set_rules(rules(&[with("")]));
    assert_eq!(offer(&fixture, 1, host_id).await, 0);
    fixture.core.set_rules(rules(&[]));
    let view = fixture.core.resume_pipeline(&ana(), p()).await.unwrap();
    assert_eq!(view.pause, None, "it can be resumed while it is away");
    fixture.core.set_rules(rules(&[with("")]));
    assert_eq!(offer(&fixture, 2, host_id).await, 1);
}

#[actix::test]
async fn a_pause_of_no_pipeline_or_by_somebody_of_one_org_is_refused() {
    let (fixture, _) = listening(vec![with("")]).await;
    let other: Name = "other".parse().unwrap();
    for refused in [
        fixture.core.pause_pipeline(&ana(), other.clone(), None).await,
        fixture.core.resume_pipeline(&ana(), other).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), "not_found");
    }
    let bound = Principal {
        org: Some(Org::default_org()),
        ..ana()
    };
    let refused = fixture.core.pause_pipeline(&bound, p(), None).await;
    assert_eq!(refused.unwrap_err().code(), "forbidden");
    let long = fixture
        .core
        .pause_pipeline(&ana(), p(), Some("x".repeat(501)))
        .await;
    assert!(matches!(long, Err(Refusal::Invalid { .. })), "{long:?}");
    assert_eq!(pipeline(&fixture).await.pause, None);
}

async fn protected(pipeline: &'static str) -> (Fixture, HostId) {
    let mut config = config();
    config.hosts_protected = vec!["crown".parse().unwrap()];
    let fixture = Fixture::start_with(Setup {
        config,
        pipelines: vec![pipeline],
        ..Setup::default()
    });
    let host = fixture.enrol("amelie").await;
    stream(&fixture).await;
    (fixture, host.host_id)
}

async fn label(fixture: &Fixture, host_id: HostId) {
    let labels = LabelChange::Set(vec!["crown".parse().unwrap()]);
    fixture
        .core
        .label_host(None, host_id.to_string(), labels)
        .await
        .unwrap();
}

#[actix::test]
async fn no_pipeline_touches_a_protected_host_and_a_person_does() {
    recorder::install();
    let (fixture, host_id) = protected(with("suppress: { per: 1h }")).await;
    label(&fixture, host_id).await;
    assert_eq!(offer(&fixture, 1, host_id).await, 0);
    assert_eq!(withheld(&fixture, "protected_host").await, 1);
    let other = fixture.enrol("ben").await.host_id;
    assert_eq!(offer(&fixture, 2, other).await, 1, "that was no act");
    let mut agent = fixture.attach(host_id, "amelie").await;
    let job = fixture.submit(host_id, vec![list()]).await;
    agent.obey().await;
    assert_eq!(
        fixture.ended(job.job_id).await.state,
        JobState::Ended(Outcome::Succeeded)
    );
}

#[actix::test]
async fn a_job_of_a_pipeline_does_not_begin_on_a_host_that_was_protected_meanwhile() {
    let (fixture, host_id) = protected(with("")).await;
    offer(&fixture, 1, host_id).await;
    label(&fixture, host_id).await;
    let submitted = fixture
        .core
        .submit_job(request(host_id, vec![delete()]))
        .await
        .unwrap();
    let waiting = jobs(&fixture)
        .await
        .into_iter()
        .find(|job| job.pipeline.is_some())
        .unwrap();
    let mut agent = fixture.attach(host_id, "amelie").await;
    let ended = fixture.ended(waiting.job_id).await;
    assert_eq!(ended.state, JobState::Ended(Outcome::Cancelled));
    let reason = ended.reason.unwrap();
    assert_eq!(reason.code, "protected_host");
    assert!(reason.text.contains("label crown"), "{}", reason.text);
    agent.obey().await;
    let person = fixture.ended(submitted.job_id).await;
    assert_eq!(person.state, JobState::Ended(Outcome::Succeeded));
}
