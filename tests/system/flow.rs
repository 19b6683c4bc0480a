//! The way of an event: from the publisher to the subscriber, and again for its duplicates.

use crate::harness::{AgentProcess, Broker, Outside, Server, Site, cloud_event, eventually, job_of_event};
use futures_util::StreamExt;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use tripline_protocol::HostId;
use tripline_protocol::job::Outcome;
use tripline_protocol::subject::HEADER_MSG_ID;

const PIPELINE: &str = r#"
name: answer
on: [acme.alert.*]
when: event.data.severity >= 7
job:
  steps:
    - id: look
      list_directory: { path: "/proc/self" }
    - id: count
      create_process:
        argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"; echo done", "{{ event.data.file }}", "{{ event.id }}"]
"#;

async fn scene(site: &Site) -> (Server, AgentProcess, HostId) {
    site.write("pipelines/answer.yaml", PIPELINE);
    let pipelines = site.path("pipelines");
    let server = Server::start(site, &[("pipelines.dir", pipelines.to_str().expect("UTF-8"))]).await;
    let mut agent = AgentProcess::start(site, &server, "a").await;
    let host = agent.host_id().await;
    (server, agent, host)
}

fn alert(id: &str, host: HostId, file: &Path) -> serde_json::Value {
    cloud_event(id, "acme.alert.high", host, json!({"severity": 9, "file": file}))
}

#[tokio::test]
async fn an_event_becomes_a_result_on_its_subject_with_the_job_id_as_message_id() {
    let site = Site::new().await;
    let (server, _agent, host) = scene(&site).await;
    let outside = server.outside().await;
    let mut states = outside
        .subscriber
        .subscribe("tripline.jobs.>")
        .await
        .expect("allowed");
    let mut results = outside
        .subscriber
        .subscribe("tripline.results.>")
        .await
        .expect("allowed");
    // Its answer comes after the broker has taken both subscriptions; a flush only says that they are on their way.
    let known = outside.subscriber.request("$JS.API.INFO", "".into()).await;
    known.expect("an answer");

    let file = site.path("counter");
    let low = cloud_event(
        "low",
        "acme.alert.low",
        host,
        json!({"severity": 1, "file": file}),
    );
    outside.publish("acme.alert.low", &low).await;
    outside
        .publish("acme.alert.high", &alert("e-1", host, &file))
        .await;

    let job_id = job_of_event("system-test", "e-1", "answer", host);
    let message = results.next().await.expect("a result");
    assert_eq!(
        message.subject.as_str(),
        format!("tripline.results.default.answer.succeeded.{host}")
    );
    let headers = message.headers.expect("headers");
    assert_eq!(
        headers.get(HEADER_MSG_ID).expect("an id").as_str(),
        job_id.to_string()
    );
    let event: serde_json::Value = serde_json::from_slice(&message.payload).expect("JSON");
    assert_eq!(event["type"], "tripline.job.succeeded");

    let result = outside.result(job_id).await;
    assert_eq!(
        (result.outcome, result.reason.code.as_str()),
        (Outcome::Succeeded, "completed")
    );
    assert_eq!(result.event.expect("its event").id, "e-1");
    assert_eq!(result.pipeline.expect("its pipeline").name.as_str(), "answer");
    let output = result.steps[1].output.as_ref().expect("an output");
    assert_eq!(output["stdout"]["text"], "done\n");
    assert_eq!(std::fs::read_to_string(&file).expect("the command ran"), "e-1\n");

    let mut seen = BTreeSet::new();
    while !seen.contains("succeeded") {
        let message = states.next().await.expect("a state");
        let words: Vec<&str> = message.subject.split('.').collect();
        assert_eq!(
            (&words[..4], words[5]),
            (&["tripline", "jobs", "default", "answer"][..], &*host.to_string())
        );
        seen.insert(words[4].to_owned());
    }
    assert!(seen.contains("running"), "{seen:?}");
    outside.all_handled().await;
    assert_eq!(
        server.api().jobs().await.len(),
        1,
        "the other event did not match"
    );
}

async fn messages(outside: &Outside) -> u64 {
    let stream = outside.stream("TRIPLINE_EVENTS").await;
    stream.cached_info().state.messages
}

#[tokio::test]
async fn handling_the_same_event_again_causes_no_second_job() {
    let site = Site::new().await;
    let (mut server, _agent, host) = scene(&site).await;
    let outside = server.outside().await;
    outside.all_handled().await;
    // The agent's enrolment was an event, too.
    let before = messages(&outside).await;
    let file = site.path("counter");
    let event = alert("twice", host, &file).to_string().into_bytes();
    // Known to the stream as a duplicate, and not known to it.
    for message_id in ["one", "one", "two", "three"] {
        outside
            .publish_bytes("acme.alert.high", &[(HEADER_MSG_ID, message_id)], event.clone())
            .await;
    }
    let job_id = job_of_event("system-test", "twice", "answer", host);
    outside.result(job_id).await;
    outside.all_handled().await;

    server.crash().await;
    let outside = server.outside().await;
    outside
        .publish_bytes("acme.alert.high", &[(HEADER_MSG_ID, "four")], event)
        .await;
    outside.all_handled().await;
    assert_eq!(
        messages(&outside).await - before,
        4,
        "the stream found one duplicate of five"
    );
    assert_eq!(server.api().jobs().await.len(), 1);
    outside.result(job_id).await;
    assert_eq!(
        std::fs::read_to_string(&file).expect("the command ran"),
        "twice\n"
    );
}

#[tokio::test]
async fn an_event_is_acked_only_after_its_jobs_are_durable() {
    let site = Site::new().await;
    site.write("pipelines/answer.yaml", PIPELINE);
    let pipelines = site.path("pipelines");
    let mut broker = Broker::start(&site).await;
    let settings = [
        ("pipelines.dir", pipelines.to_str().expect("UTF-8")),
        ("nats.url", broker.url()),
    ];
    let mut server = Server::start(&site, &settings).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    // Nothing is to run: jobs stay as they were accepted.
    agent.kill();
    server.api().attached(host, false).await;

    let outside = Outside::of(broker.url()).await;
    outside.all_handled().await;
    // The agent's enrolment was an event, too.
    let before = outside
        .stream("TRIPLINE_EVENTS")
        .await
        .cached_info()
        .state
        .last_sequence;
    let file = site.path("counter");
    for number in 0..300 {
        let event = alert(&number.to_string(), host, &file).to_string();
        outside
            .operator
            .publish("tripline.events.default.acme.alert.high", event.into())
            .await
            .expect("connected");
    }
    outside.operator.flush().await.expect("connected");
    let stream = outside.stream("TRIPLINE_EVENTS").await;
    let floor = async || {
        Some(
            stream
                .consumer_info("tripline")
                .await
                .ok()?
                .ack_floor
                .stream_sequence,
        )
    };
    eventually("the first ack", async || {
        floor().await.filter(|floor| *floor > before)
    })
    .await;
    server.kill();
    let acked = floor().await.expect("an answer") - before;

    // Without a broker nothing can be delivered again: what is there was there before the ack.
    broker.kill();
    server.spawn();
    server.listening().await;
    let known: BTreeSet<_> = server.api().jobs().await.iter().map(|job| job.job_id).collect();
    for number in 0..acked {
        let job_id = job_of_event("system-test", &number.to_string(), "answer", host);
        assert!(
            known.contains(&job_id),
            "event {number} of {acked} acked ones has no job"
        );
    }
    broker.spawn().await;
    server.ready().await;
    eventually("a job for every event", async || {
        (server.api().jobs().await.len() == 300).then_some(())
    })
    .await;
}
