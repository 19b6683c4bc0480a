//! What an operator does with the server as a whole, from the command line.

use crate::harness::{
    AgentProcess, Broker, Outside, Server, Site, cloud_event, eventually, job_of, tripline, until, wait_at,
};
use rustix::process::Signal;
use serde_json::{Value, json};
use std::path::Path;
use tripline_protocol::api::DeadLetter;
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
        drained.stdout.contains("1 jobs run") && drained.stdout.contains("the server has ended"),
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
async fn when_drain_returns_the_data_directory_is_free_and_of_a_server_elsewhere_it_says_so() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let data = server.data_dir().to_owned();
    let drained = tripline(&data, &["drain"]).await;
    assert_eq!(drained.code, 0, "{drained:?}");
    // Nothing is waited for in between: whoever reads the store next need not know how a server ends.
    let checked = tripline(&data, &["store", "check"]).await;
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(drained.stdout.contains("the server has ended"), "{drained:?}");
    assert!(server.process().end().await.success());

    server.spawn();
    server.ready().await;
    let (url, token) = (server.url(), data.join("admin.token"));
    let token = token.to_str().expect("UTF-8");
    let elsewhere = ["drain", "--server", &url, "--token-file", token];
    let drained = tripline(&site.path("elsewhere"), &elsewhere).await;
    assert_eq!(drained.code, 0, "{drained:?}");
    assert!(drained.stdout.contains("ends in a moment"), "{drained:?}");
    assert!(server.process().end().await.success());
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

const APPEND: &str = r#"
name: append
on: [acme.append]
job:
  steps:
    - create_process:
        argv: ["/bin/sh", "-c", "echo ran >> \"$0\"", "{{ event.data.file }}"]
"#;

#[tokio::test]
async fn a_dead_letter_is_listed_shown_replayed_once_per_replay_and_dropped() {
    let site = Site::new().await;
    site.write("pipelines/append.yaml", APPEND);
    let pipelines = site.path("pipelines");
    let server = Server::start(&site, &[("pipelines.dir", pipelines.to_str().expect("UTF-8"))]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let data = server.data_dir().to_owned();
    let file = site.path("ran");
    let lines = || std::fs::read_to_string(&file).unwrap_or_default().lines().count();
    let mut event = cloud_event("old", "acme.append", host, json!({"file": file}));
    event["time"] = json!("2020-01-01T00:00:00Z");
    let outside = server.outside().await;
    outside.publish("acme.append", &event).await;
    outside
        .publish_bytes("acme.append", &[], b"{ no JSON".to_vec())
        .await;

    let stale = eventually("both letters are listed", async || {
        let listed = tripline(&data, &["dead", "list", "--since", "1h", "--output", "json"]).await;
        let letters: Vec<DeadLetter> = serde_json::from_str(&listed.stdout).ok()?;
        (letters.len() == 2).then(|| letters.into_iter().find(|letter| letter.reason == "stale"))
    })
    .await
    .expect("a stale one")
    .sequence
    .to_string();
    let only = tripline(&data, &["dead", "list", "--reason", "not_json"]).await;
    assert_eq!(only.stdout.lines().count(), 2, "{only:?}");
    let typo = tripline(&data, &["dead", "list", "--reason", "not-json"]).await;
    assert_eq!(typo.code, 2, "{typo:?}");
    assert!(typo.stderr.contains("not_json, poison"), "{typo:?}");
    let shown = tripline(&data, &["dead", "show", &stale]).await;
    assert!(
        shown.stdout.contains("2020-01-01T00:00:00Z") && shown.stdout.contains("Tripline-Dead-Reason"),
        "{shown:?}"
    );
    assert_eq!(lines(), 0);

    let replayed = tripline(&data, &["dead", "replay", &stale]).await;
    assert_eq!(replayed.code, 0, "{replayed:?}");
    until("it ran", || lines() == 1).await;
    let mistaken = tripline(&data, &["dead", "replay", &stale]).await;
    assert_eq!(mistaken.code, 1, "{mistaken:?}");
    assert!(mistaken.stderr.contains("--again"), "{mistaken:?}");
    let again = tripline(&data, &["dead", "replay", &stale, "--again"]).await;
    assert_eq!(again.code, 0, "{again:?}");
    until("it ran again", || lines() == 2).await;
    let runs: Vec<u32> = server.api().jobs().await.iter().map(|job| job.run).collect();
    assert_eq!(runs, [2, 1]);

    // What is no event is said to be none, and the other one was replayed: nothing is done twice by a filter.
    let all = tripline(&data, &["dead", "replay", "--all"]).await;
    assert_eq!((all.code, lines()), (1, 2), "{all:?}");
    assert!(all.stderr.contains("no_event"), "{all:?}");

    let unsure = tripline(&data, &["dead", "drop", "--all"]).await;
    assert_eq!(unsure.code, 2, "{unsure:?}");
    assert_eq!(
        tripline(&data, &["dead", "show", &stale]).await.code,
        0,
        "nothing is gone"
    );
    let dropped = tripline(&data, &["dead", "drop", "--all", "--yes"]).await;
    assert_eq!(
        (dropped.code, dropped.stdout.as_str()),
        (0, "2 dropped\n"),
        "{dropped:?}"
    );
    let gone = tripline(&data, &["dead", "show", &stale]).await;
    assert_eq!(gone.code, 2, "{gone:?}");
    let list = ["audit", "list", "--action", "dead", "--output", "json"];
    let listed = tripline(&data, &list).await;
    let records: Vec<Value> = serde_json::from_str(&listed.stdout).expect("JSON");
    let mut actions: Vec<(&Value, &Value)> = records
        .iter()
        .map(|record| (&record["action"], &record["on"]["letter"]))
        .collect();
    actions.sort_by_key(|(action, letter)| (action.to_string(), letter.to_string()));
    let (replay, drop) = (json!("dead.replay"), json!("dead.drop"));
    let (first, second, old) = (json!("1"), json!("2"), json!(stale));
    let expected = [
        (&drop, &first),
        (&drop, &second),
        (&replay, &old),
        (&replay, &old),
    ];
    assert_eq!(actions, expected, "{listed:?}");
    let stranger = server
        .api()
        .create_token(json!({"name": "s", "role": "operator", "org": "acme"}))
        .await;
    assert_eq!(
        server.api().with_token(&stranger).get("/v1/dead").await.body["items"],
        json!([])
    );
}

/// What the broker refused, in order, when nothing else waits for it: each one's number and why.
async fn quarantine(data: &Path, count: usize) -> Vec<(String, String)> {
    eventually("what the broker refuses is in quarantine", async || {
        let listed = tripline(data, &["outbox", "list", "--output", "json"]).await;
        let view: Value = serde_json::from_str(&listed.stdout).ok()?;
        let entries = view["quarantine"].as_array()?.iter();
        let entries = entries.map(|entry| (entry["sequence"].to_string(), entry["refused"].to_string()));
        (view["quarantined"] == json!(count) && view["waiting"] == json!(0)).then(|| entries.collect())
    })
    .await
}

/// A job whose result is larger than the broker takes.
fn large(site: &Site) -> Value {
    for file in 0..200 {
        site.write(&format!("many/{file:0>100}"), "");
    }
    job_of("list_directory", json!({ "path": site.path("many") }))
}

#[tokio::test]
async fn what_the_broker_never_takes_is_listed_put_back_and_dropped() {
    let site = Site::new().await;
    let mut broker = Broker::prepare(&site);
    broker.set_max_payload(8192);
    broker.spawn().await;
    let server = Server::start(&site, &[("nats.url", broker.url())]).await;
    let data = server.data_dir();
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let (wanted, other) = (
        api.run(host, large(&site)).await,
        api.run(host, large(&site)).await,
    );
    assert_eq!(wanted.state, JobState::Ended(Outcome::Succeeded), "{wanted:?}");
    let refused = quarantine(data, 2).await;
    let ((first, why), (second, _)) = (&refused[0], &refused[1]);
    assert!(why.contains("payload"), "{refused:?}");
    let listed = tripline(data, &["outbox", "list"]).await;
    assert!(listed.stdout.contains(".results."), "{listed:?}");

    // As long as nothing is put right, it comes to nothing.
    let retried = tripline(data, &["outbox", "retry", "--all"]).await;
    assert_eq!((retried.code, retried.stdout.as_str()), (0, "2 put back\n"));
    assert_eq!(quarantine(data, 2).await, refused);

    broker.kill();
    broker.set_max_payload(1_000_000);
    broker.spawn().await;
    server.readiness(200).await;
    let unsure = tripline(data, &["outbox", "drop", second]).await;
    assert_eq!(unsure.code, 2, "{unsure:?}");
    assert!(unsure.stderr.contains("--yes"), "{unsure:?}");
    quarantine(data, 2).await;
    let dropped = tripline(data, &["outbox", "drop", second, "--yes"]).await;
    assert_eq!(
        (dropped.code, dropped.stdout.as_str()),
        (0, "1 dropped\n"),
        "{dropped:?}"
    );
    let retried = tripline(data, &["outbox", "retry", first]).await;
    assert_eq!(
        (retried.code, retried.stdout.as_str()),
        (0, "1 put back\n"),
        "{retried:?}"
    );
    let outside = Outside::of(broker.url()).await;
    outside.result(wanted.job_id).await;
    quarantine(data, 0).await;
    assert!(
        !outside.results().await.contains_key(&other.job_id),
        "nobody gets it"
    );
    assert_eq!(api.job(other.job_id).await.steps, other.steps, "its job keeps it");

    // Neither is there any more.
    for gone in [vec!["retry", first], vec!["drop", second, "--yes"]] {
        let ran = tripline(data, &[&["outbox"], &*gone].concat()).await;
        assert_eq!(ran.code, 2, "{ran:?}");
    }
    assert_eq!(tripline(data, &["outbox", "retry", "--all"]).await.code, 0);
}
