//! The broker goes away for a while, or is not there yet.

use crate::harness::{
    AgentProcess, Api, Broker, Outside, Server, Site, append_line, cloud_event, eventually, job_of,
    job_of_event,
};
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{HostId, JobId};

const JOBS: usize = 40;

const PIPELINE: &str = r#"
name: count
on: [outage]
job:
  steps:
    - create_process:
        argv: ["/bin/sh", "-c", "printf '%s\\n' \"$1\" >> \"$0\"", "{{ event.data.file }}", "{{ event.id }}"]
"#;

async fn submit(api: &Api, host: HostId, counter: &Path, range: std::ops::Range<usize>) -> Vec<JobId> {
    let mut jobs = Vec::new();
    for number in range {
        let job = job_of("create_process", append_line(counter, &number.to_string()));
        jobs.push(api.submit(host, job).await);
    }
    jobs
}

fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn a_broker_outage_under_load_loses_nothing_and_is_told() {
    let site = Site::new().await;
    site.write("pipelines/count.yaml", PIPELINE);
    let pipelines = site.path("pipelines");
    let mut broker = Broker::start(&site).await;
    let settings = [
        ("pipelines.dir", pipelines.to_str().expect("UTF-8")),
        ("nats.url", broker.url()),
    ];
    let mut server = Server::start(&site, &settings).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let counter = site.path("counter");
    let outside = Outside::of(broker.url()).await;
    for number in 0..JOBS {
        let event = cloud_event(&format!("e{number}"), "outage", host, json!({"file": counter}));
        outside.publish("outage", &event).await;
    }
    let mut jobs = submit(&api, host, &counter, 0..JOBS).await;
    broker.kill();
    let told = server.readiness(503).await;
    assert_eq!(
        (&told["ready"], &told["broker"], &told["store"]),
        (&json!(false), &json!(false), &json!(true))
    );
    assert!(
        told["broker_detail"].as_str().expect("a text").contains("away"),
        "{told}"
    );

    // Work goes on: jobs are accepted and end, and an event is taken for publishing.
    jobs.extend(submit(&api, host, &counter, JOBS..2 * JOBS).await);
    for job_id in &jobs {
        assert_eq!(
            api.ended(*job_id).await.state,
            JobState::Ended(Outcome::Succeeded)
        );
    }
    let request =
        json!({"etype": "outage", "id": "by-api", "source": "s", "host_id": host, "data": {"file": counter}});
    assert_eq!(api.post("/v1/events", &request).await.status, 202);
    server.kill();
    server.spawn();
    server.listening().await;
    broker.spawn().await;
    server.ready().await;

    jobs.extend((0..JOBS).map(|number| job_of_event("system-test", &format!("e{number}"), "count", host)));
    jobs.push(job_of_event("s", "by-api", "count", host));
    let expected: BTreeSet<JobId> = jobs.into_iter().collect();
    let outside = Outside::of(broker.url()).await;
    let results = eventually("a result of every job", async || {
        let results = outside.results().await;
        (results.len() >= expected.len()).then_some(results)
    })
    .await;
    assert_eq!(results.keys().copied().collect::<BTreeSet<_>>(), expected);
    assert!(results.values().all(|found| found.len() == 1), "one result each");
    let done = lines(&counter);
    assert_eq!(done.len(), expected.len());
    assert_eq!(
        done.iter().collect::<BTreeSet<_>>().len(),
        done.len(),
        "nothing ran twice"
    );
}

#[tokio::test]
async fn a_server_without_its_broker_works_and_catches_up_when_it_comes() {
    let site = Site::new().await;
    let mut broker = Broker::prepare(&site);
    let mut server = Server::prepare(&site, &[("nats.url", broker.url())]);
    server.spawn();
    server.listening().await;
    let told = server.readiness(503).await;
    assert_eq!(told["broker"], json!(false));
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let job = server.api().run(host, job_of("list_processes", json!({}))).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded));
    broker.spawn().await;
    server.ready().await;
    let result = Outside::of(broker.url()).await.result(job.job_id).await;
    assert_eq!(result.outcome, Outcome::Succeeded);
}
