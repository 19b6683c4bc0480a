//! Traces: the spans of an event and of what it causes, in one trace and in the right places.

use crate::events::{LISTEN, delivery, jobs, listening};
use crate::fixture::{Fixture, delete, eventually, list};
use serde_json::json;
use std::sync::{Arc, Mutex};
use tripline_actors::Delivery;
use tripline_actors::trace::{TraceKind, TraceSink, TraceSpan, TraceValue};
use tripline_protocol::Fault;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// Keeps every span.
#[derive(Default)]
struct Recorded(Mutex<Vec<TraceSpan>>);

impl TraceSink for Recorded {
    fn take(&self, spans: Vec<TraceSpan>) {
        self.0.lock().unwrap().extend(spans);
    }
}

impl Recorded {
    fn of(fixture: &Fixture, ratio: f64) -> Arc<Self> {
        let recorded = Arc::new(Self::default());
        fixture.core.set_traces(recorded.clone(), ratio);
        recorded
    }

    fn named(&self, name: &str) -> Vec<TraceSpan> {
        let spans = self.0.lock().unwrap();
        spans.iter().filter(|span| span.name == name).cloned().collect()
    }

    /// The only one of this name, once it is there.
    async fn one(&self, name: &str) -> TraceSpan {
        let found = eventually(name, || async { self.named(name).pop() }).await;
        assert_eq!(self.named(name).len(), 1, "{name}");
        found
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(span: &TraceSpan, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|(name, _)| *name == key);
    found.map(|(_, value)| match value {
        TraceValue::Text(text) => text.clone(),
        TraceValue::Number(number) => number.to_string(),
    })
}

fn traced(delivery: Delivery, flags: &str) -> Delivery {
    let mut traced = delivery;
    let traceparent = format!("00-{TRACE}-{PARENT}-{flags}");
    traced.headers.push(("traceparent".into(), traceparent));
    traced
}

#[actix::test]
async fn an_events_job_is_in_the_events_trace_each_part_within_the_whole() {
    let (fixture, host) = listening(vec![LISTEN]).await;
    let recorded = Recorded::of(&fixture, 0.0);
    let mut agent = fixture.attach(host, "amelie").await;
    let event = traced(delivery(&fixture, 1, "e1", json!({ "host_id": host })), "01");
    fixture.core.ingest(vec![event]).await.unwrap();
    let command = agent.obey().await;

    let event = recorded.one("ingest.event").await;
    let decision = recorded.one("router.decide").await;
    let job = recorded.one("scheduler.job").await;
    let attempt = recorded.one("slot.attempt").await;
    let ran = recorded.one("host.command").await;
    let result = recorded.one("outbox.result").await;
    for span in [&event, &decision, &job, &attempt, &ran, &result] {
        assert_eq!(hex(&span.trace_id), TRACE, "{span:?}");
        assert!(
            span.began_at <= span.ended_at && span.failed.is_none(),
            "{span:?}"
        );
    }
    assert_eq!(hex(&event.parent.unwrap()), PARENT);
    assert_eq!(event.kind, TraceKind::Consumer);
    assert_eq!(decision.parent, Some(event.span_id));
    assert_eq!(job.parent, Some(decision.span_id));
    assert_eq!(attempt.parent, Some(job.span_id));
    assert_eq!(ran.parent, Some(attempt.span_id));
    assert_eq!(result.parent, Some(job.span_id));
    assert_eq!(text(&event, "tripline.event.id").as_deref(), Some("e1"));
    assert_eq!(text(&decision, "tripline.jobs").as_deref(), Some("1"));
    assert_eq!(text(&job, "tripline.job.outcome").as_deref(), Some("succeeded"));
    assert_eq!(text(&job, "tripline.pipeline").as_deref(), Some("listen"));
    let job_id = jobs(&fixture).await[0].job_id;
    assert_eq!(text(&job, "tripline.job.id"), Some(job_id.to_string()));
    let command_id = Some(command.command_id.to_string());
    assert_eq!(text(&ran, "tripline.command.id"), command_id);
}

#[actix::test]
async fn whoever_began_a_trace_decides_whether_its_spans_are_wanted_and_else_the_ratio() {
    let (fixture, host) = listening(vec![LISTEN]).await;
    let recorded = Recorded::of(&fixture, 1.0);
    let mut agent = fixture.attach(host, "amelie").await;
    let unwanted = traced(delivery(&fixture, 1, "e1", json!({ "host_id": host })), "00");
    let ours = delivery(&fixture, 2, "e2", json!({ "host_id": host }));
    let nobodys = delivery(&fixture, 3, "e3", json!({}));
    fixture.core.ingest(vec![unwanted, ours, nobodys]).await.unwrap();
    agent.obey().await;
    agent.obey().await;
    // The second one's, which ended last.
    let job = recorded.one("scheduler.job").await;
    assert_eq!(job.trace_id, recorded.one("host.command").await.trace_id);
    let (events, decisions) = (recorded.named("ingest.event"), recorded.named("router.decide"));
    assert_eq!((events.len(), decisions.len()), (2, 2));
    assert!(events.iter().all(|event| event.parent.is_none()));
    let dead: Vec<_> = events
        .iter()
        .filter_map(|event| event.failed.as_deref())
        .collect();
    assert_eq!(dead, ["no_host"], "its dead letter is told");
}

#[actix::test]
async fn nothing_is_made_of_traces_that_are_not_wanted() {
    let (fixture, host) = listening(vec![LISTEN]).await;
    let recorded = Recorded::of(&fixture, 0.0);
    let mut agent = fixture.attach(host, "amelie").await;
    let event = delivery(&fixture, 1, "e1", json!({ "host_id": host }));
    fixture.core.ingest(vec![event]).await.unwrap();
    agent.obey().await;
    fixture.published(".results.", 1).await;
    // After what was told before.
    let job = fixture.submit(host, vec![list()]).await;
    agent.obey().await;
    fixture.ended(job.job_id).await;
    assert_eq!(*recorded.0.lock().unwrap(), []);
}

#[actix::test]
async fn a_job_that_goes_on_after_a_restart_stays_in_its_trace() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let before = Recorded::of(&fixture, 1.0);
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![delete(), list()]).await;
    agent.obey().await;
    let first = before.one("host.command").await;
    agent.command().await;
    let fixture = fixture.restart().await;
    let after = Recorded::of(&fixture, 1.0);
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    fixture.ended(job.job_id).await;

    let whole = after.one("scheduler.job").await;
    assert_eq!(whole.parent, None, "it was submitted");
    assert_eq!(whole.trace_id, *job.job_id.as_bytes());
    assert_eq!(text(&whole, "tripline.job.attempts").as_deref(), Some("2"));
    let attempts = after.named("slot.attempt");
    assert_eq!(attempts.len(), 2, "{attempts:?}");
    assert!(
        attempts
            .iter()
            .all(|attempt| attempt.parent == Some(whole.span_id))
    );
    assert_eq!(attempts[0].failed.as_deref(), Some("server_stopped"));
    assert_eq!(first.parent, Some(attempts[0].span_id));
    assert_eq!(after.one("host.command").await.parent, Some(attempts[1].span_id));
    assert_eq!(after.one("outbox.result").await.parent, Some(whole.span_id));
}

#[actix::test]
async fn what_failed_says_by_which_code_and_nothing_of_what_was_asked_or_answered() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let recorded = Recorded::of(&fixture, 1.0);
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    fixture.submit(host.host_id, vec![delete()]).await;
    let command = agent.command().await;
    agent.fail(
        command.command_id,
        Fault::live_response("ENOENT", "no /tmp/x here"),
    );
    let job = recorded.one("scheduler.job").await;
    assert_eq!(job.failed.as_deref(), Some("step_failed"));
    assert_eq!(recorded.one("slot.attempt").await.failed, job.failed);
    assert_eq!(
        recorded.one("host.command").await.failed.as_deref(),
        Some("ENOENT")
    );
    let all = format!("{:?}", recorded.0.lock().unwrap());
    assert!(!all.contains("/tmp/x"), "{all}");
}

#[actix::test]
async fn an_attempt_ends_when_its_host_goes_away_and_another_one_begins_when_it_is_back() {
    let fixture = Fixture::start();
    let host = fixture.enrol("amelie").await;
    let recorded = Recorded::of(&fixture, 1.0);
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    let job = fixture.submit(host.host_id, vec![list()]).await;
    agent.command().await;
    drop(agent);
    eventually("the slot is given back", || async {
        fixture.advance(31);
        (!recorded.named("slot.attempt").is_empty()).then_some(())
    })
    .await;
    let mut agent = fixture.attach(host.host_id, "amelie").await;
    agent.obey().await;
    fixture.ended(job.job_id).await;
    let attempts = recorded.named("slot.attempt");
    let failed: Vec<_> = attempts.iter().map(|attempt| attempt.failed.as_deref()).collect();
    assert_eq!(failed, [Some("host_offline"), None]);
    let commands = recorded.named("host.command");
    let failed: Vec<_> = commands.iter().map(|command| command.failed.as_deref()).collect();
    assert_eq!(failed, [Some("host_gone"), None]);
    for (command, attempt) in commands.iter().zip(&attempts) {
        assert_eq!(command.parent, Some(attempt.span_id));
    }
}
