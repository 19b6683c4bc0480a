//! What an operator does with the server as a whole, from the command line.

use crate::harness::{
    AgentProcess, Broker, Outside, Server, Site, eventually, job_of, tripline, until, wait_at,
};
use rustix::process::Signal;
use serde_json::json;
use tripline_protocol::job::{JobState, Outcome};

#[tokio::test]
async fn a_pause_is_seen_everywhere_lasts_over_a_crash_and_ends_with_resume() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let data = server.data_dir().to_owned();

    let paused = tripline(&data, &["pause", "--reason", "INC-42"]).await;
    assert_eq!(paused.code, 0, "{paused:?}");
    assert!(
        paused.stdout.starts_with("paused since") && paused.stdout.contains("INC-42"),
        "{paused:?}"
    );
    let job = server
        .api()
        .submit(host, job_of("list_processes", json!({})))
        .await;
    server.crash().await;
    let api = server.api();
    api.attached(host, true).await;

    assert_eq!(server.readiness(200).await["paused"], true);
    let slots = api.slots().await;
    assert_eq!(slots.pause.expect("paused").reason.as_deref(), Some("INC-42"));
    assert_eq!(api.get("/v1/pause").await.body["reason"], "INC-42");
    assert_eq!(
        api.job(job).await.waiting.expect("it waits").reason.code,
        "paused"
    );
    let listed = tripline(&data, &["job", "list"]).await;
    assert!(
        listed.stdout.contains("paused by") && listed.stdout.contains("INC-42"),
        "{listed:?}"
    );
    eventually("the metric says so", async || {
        let metrics = api.get("/metrics").await.body;
        let text = metrics.as_str()?;
        text.contains("tripline_scheduler_paused 1").then_some(())
    })
    .await;

    let viewer = api.create_token(json!({"name": "v", "role": "operator"})).await;
    let refused = api
        .with_token(&viewer)
        .request(reqwest::Method::DELETE, "/v1/pause");
    assert_eq!(refused.send().await.expect("an answer").status(), 403);

    let resumed = tripline(&data, &["resume"]).await;
    assert_eq!((resumed.code, resumed.stdout.as_str()), (0, "jobs start\n"));
    assert_eq!(api.ended(job).await.state, JobState::Ended(Outcome::Succeeded));
    assert_eq!(server.readiness(200).await["paused"], false);
}

#[tokio::test]
async fn drain_waits_for_what_runs_while_its_host_stays_connected_and_tells_what_it_waits_for() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[("drain.timeout", "60s")]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let (begun, gate) = (site.path("begun"), site.write("gate", ""));
    let api = server.api();
    let running = api
        .submit(host, job_of("create_process", wait_at(&begun, &gate)))
        .await;
    until("the command runs", || begun.exists()).await;
    let bound = api
        .create_token(json!({"name": "a", "role": "admin", "org": "default"}))
        .await;
    assert_eq!(
        api.with_token(&bound).post("/v1/drain", &json!({})).await.status,
        403
    );
    assert_eq!(api.get("/v1/drain").await.body["draining"], false);

    let data = server.data_dir().to_owned();
    let drained = tokio::spawn(async move { tripline(&data, &["drain"]).await });
    let told = server.readiness(503).await;
    assert_eq!((&told["draining"], &told["broker"]), (&json!(true), &json!(true)));
    let view = api.get("/v1/drain").await.body;
    assert_eq!(
        (&view["jobs_running"], &view["by"]["name"]),
        (&json!(1), &json!("admin"))
    );
    let refused = api
        .post(
            "/v1/jobs",
            &json!({"host": host, "job": job_of("list_processes", json!({}))}),
        )
        .await;
    assert_eq!((refused.status, refused.code()), (503, "unavailable"));

    // A signal after it is the first one: it does not cut the end short.
    server.process().signal(Signal::TERM);
    std::fs::remove_file(gate).expect("to open the gate");
    let status = server.process().end().await;
    assert!(status.success(), "{status}");
    let drained = drained.await.expect("no panic");
    assert_eq!(drained.code, 0, "{drained:?}");
    assert!(
        drained.stdout.contains("1 jobs run") && drained.stdout.contains("takes no more requests"),
        "{drained:?}"
    );

    // The job ended before the server did: its result is there as soon as the broker is back.
    server.spawn();
    server.ready().await;
    let job = server.api().job(running).await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    server.outside().await.result(running).await;
}

#[tokio::test]
async fn with_the_broker_away_an_end_waits_for_no_message_and_loses_none() {
    let site = Site::new().await;
    let mut broker = Broker::start(&site).await;
    let settings = [("nats.url", broker.url()), ("drain.timeout", "10m")];
    let mut server = Server::start(&site, &settings).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    broker.kill();
    server.readiness(503).await;
    let job = server.api().run(host, job_of("list_processes", json!({}))).await;
    // Ten minutes would be longer than any test takes.
    assert!(server.terminate().await.success());

    broker.spawn().await;
    server.spawn();
    server.ready().await;
    Outside::of(broker.url()).await.result(job.job_id).await;
}
