//! The real client and Tripline: processes start, end, sleep and are prohibited.

use crate::harness::until;
use crate::scene::{NAME, Scene};
use rustix::process::Signal;
use serde_json::json;
use std::time::Duration;

/// Longer than the client may oversleep (5 s) before it takes the time as downtime.
const SLEEP: Duration = Duration::from_secs(8);

#[tokio::test]
async fn a_process_is_an_event_and_an_entry_of_the_table_until_it_ends() {
    let scene = Scene::start().await;
    let game = scene.person.play();
    let started = scene.tripline.events_of("PROCESS_START", game.pid).await;
    let host = scene.host_id().await;
    let [event] = &started[..] else {
        panic!("one event: {started:?}");
    };
    assert_eq!(event.host, Some(host));
    assert_eq!(
        event.data.as_object().expect("an object").len(),
        15,
        "all attributes, as they came: {event:?}"
    );
    assert_eq!(event.data["username"], scene.person.login);
    assert_eq!(event.data["processname"], *game.name);

    scene.tripline.open_processes(NAME, 1).await;
    let processes = scene.tripline.processes(host).await;
    let [entry] = &processes[..] else {
        panic!("one process: {processes:?}");
    };
    assert_eq!(
        json!([
            entry["pid"],
            entry["username"],
            entry["command_line"],
            entry["sid"]
        ]),
        json!([
            game.pid,
            scene.person.login,
            game.name,
            scene.person.uid.to_string()
        ])
    );
    // Both are cut to the second.
    let started = game.start_seconds();
    let listed = entry["create_time"].as_i64().expect("a number");
    assert!(listed.abs_diff(started) <= 1, "{listed} is not {started}");

    game.quit();
    let ended = scene.tripline.events_of("PROCESS_END", game.pid).await;
    assert_eq!(ended.len(), 1, "{ended:?}");
    scene.tripline.open_processes(NAME, 0).await;
    assert!(scene.tripline.processes(host).await.is_empty());
}

#[tokio::test]
async fn a_client_that_stops_in_order_closes_its_entries() {
    let mut scene = Scene::start().await;
    let games = [scene.person.play(), scene.person.play()];
    scene.tripline.open_processes(NAME, 2).await;
    assert!(scene.client.process().terminate().await.success());
    for game in &games {
        assert_eq!(scene.tripline.events_of("PROCESS_END", game.pid).await.len(), 1);
        assert!(game.is_running(), "a client that stops ends nothing");
    }
    scene.tripline.open_processes(NAME, 0).await;
}

#[tokio::test]
async fn a_client_that_was_suspended_tells_how_long() {
    let mut scene = Scene::start().await;
    let game = scene.person.play();
    scene.tripline.open_processes(NAME, 1).await;
    scene.client.process().signal(Signal::STOP);
    // The time itself is what is tested: only a client that slept this long has something to tell.
    tokio::time::sleep(SLEEP).await;
    scene.client.process().signal(Signal::CONT);
    let told = scene.tripline.events_of("PROCESS_DOWNTIME", game.pid).await;
    assert!(
        told[0].data["downtime"]
            .as_u64()
            .is_some_and(|seconds| seconds > 0),
        "{told:?}"
    );
    // The entry is as open as before.
    scene.tripline.open_processes(NAME, 1).await;
}

#[tokio::test]
async fn a_prohibited_process_is_ended_at_once_and_reported_on_nats() {
    let scene = Scene::start().await;
    let bad = scene.person.misbehave();
    bad.ended().await;
    let reported = scene.tripline.events_of("PROHIBITED_PROCESS", bad.pid).await;
    assert_eq!(reported[0].data["username"], scene.person.login);
    assert_eq!(reported[0].host, Some(scene.host_id().await));
    let exchanges = scene.wire.exchanges();
    let answered = exchanges
        .iter()
        .find(|one| !one.sent("PROHIBITED_PROCESS").is_empty())
        .expect("a report");
    let kills = answered.got("KILL_PROCESS");
    assert_eq!(kills.len(), 1, "in the answer to the report itself: {answered:?}");
    assert_eq!(json!([kills[0]["pid"], kills[0]["delay"]]), json!([bad.pid, 0]));
    // It never was in the table, and what is not prohibited goes on.
    let game = scene.person.play();
    scene.tripline.open_processes(NAME, 1).await;
    assert!(game.is_running());
}

/// Its condition holds only for what a client with the secret sent.
const CONTAIN: &str = r#"
name: contain
on: [PROHIBITED_PROCESS]
when: event.attested_by == "littlebrother" && event.data.username == "amelie"
job:
  timeout: 60s
  steps:
    - id: kill
      kill_process: { pid: "{{ event.data.pid }}" }
"#;

#[tokio::test]
async fn a_pipeline_ends_a_prohibited_process_through_live_response() {
    let scene = Scene::start_with(|settings| settings.with("kill_prohibited", false), &[CONTAIN]).await;
    let bad = scene.person.misbehave();
    let reported = scene.tripline.events_of("PROHIBITED_PROCESS", bad.pid).await;
    bad.ended().await;
    let host = scene.host_id().await;
    let jobs = scene.tripline.jobs_of("contain").await;
    assert!(!jobs.is_empty(), "{reported:?}");
    for job in &jobs {
        assert_eq!(job.host.host_id, host);
    }
    // The first one ended it; those of later reports found nothing, or the same end.
    scene.tripline.job_succeeds("contain").await;
}

#[tokio::test]
async fn two_clients_with_the_same_pids_are_told_apart() {
    let scene = Scene::start().await;
    let game = scene.person.play();
    scene.tripline.open_processes(NAME, 1).await;
    // A second client on the same machine sees the same process.
    let mut mozart = crate::peers::RealClient::start(&scene.site, "mozart", scene.wire.url());
    scene.tripline.open_processes("mozart", 1).await;
    let hosts = [
        scene.host_id().await,
        scene.tripline.client("mozart").await.host_id,
    ];
    assert_ne!(hosts[0], hosts[1]);
    assert!(mozart.process().terminate().await.success());
    scene.tripline.open_processes("mozart", 0).await;
    scene.tripline.open_processes(NAME, 1).await;
    until("the game goes on", || game.is_running()).await;
}

#[tokio::test]
async fn times_are_of_the_zone_that_is_configured() {
    // No other machine of the tests is in this one, which is far from most.
    const ZONE: &str = "Pacific/Chatham";
    let mut scene = Scene::prepare(|settings| settings.with("time_zone", ZONE), &[CONTAIN]).await;
    scene.client.set_variable("TZ", ZONE);
    scene.client.spawn();
    scene.client_knows_users().await;
    let game = scene.person.play();
    let host = scene.tripline.open_processes(NAME, 1).await.host_id;
    let processes = scene.tripline.processes(host).await;
    let listed = processes[0]["create_time"].as_i64().expect("a number");
    let started = game.start_seconds();
    assert!(listed.abs_diff(started) <= 1, "{listed} is not {started}");
    // A replayed start time is the same text.
    scene.client.kill();
    scene.client.spawn();
    scene.exchanges_more(4).await;
    assert!(scene.tripline.events("PROCESS_END").await.is_empty());
    scene.tripline.open_processes(NAME, 1).await;
    // An event of another time would be stale, or of the future.
    let bad = scene.person.misbehave();
    bad.ended().await;
    let job = scene.tripline.job_succeeds("contain").await;
    assert_eq!(job.host.host_id, host);
}
