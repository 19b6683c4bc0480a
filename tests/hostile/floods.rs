//! Agents that say more than anybody can take, that do not read, and that do not answer.

use crate::harness::{eventually, job_of};
use crate::scene::Scene;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tripline_protocol::job::{JobState, Outcome};
use uuid::Uuid;

fn event(number: usize, data: &str) -> Value {
    json!({"type": "event", "id": format!("e{number}"), "etype": "acme.flood", "time": "2026-11-21T00:00:00Z",
        "data": data})
}

#[tokio::test]
async fn events_come_as_fast_as_they_are_durable_and_the_others_work_on() {
    let scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    let data = "x".repeat(300_000);
    let count = 200;
    // Many times what may be on its way, and nothing is read meanwhile.
    for number in 0..count {
        liar.say(event(number, &data)).await;
        if number == count / 2 {
            scene.honest_work_is_done().await;
        }
    }
    for number in 0..count {
        let ack = liar.hears_a("event_ack").await;
        assert_eq!(ack["id"], format!("e{number}"), "each is taken, in order");
    }
    assert_eq!(scene.metric("tripline_host_overloaded_total", "").await, 0.0);
    assert!(is_published(&scene, "acme.flood").await);
    scene.honest_work_is_done().await;
}

/// Whether there is an event of this type in the stream, or comes to be.
async fn is_published(scene: &Scene, etype: &str) -> bool {
    let stream = scene.server.outside().await.stream("TRIPLINE_EVENTS").await;
    let subject = format!("tripline.events.default.{etype}");
    eventually("it is published", async || {
        stream.get_last_raw_message_by_subject(&subject).await.ok()
    })
    .await;
    true
}

#[tokio::test]
async fn an_agent_that_asks_and_never_reads_is_cut_off() {
    let mut scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    let before = scene.metric("tripline_agent_channel_ends_total", "").await;
    let ping = json!({"type": "ping"}).to_string();
    // Each is to be answered; nobody reads the answers.
    let mut sent = 0;
    while liar.try_send(Message::text(ping.clone())).await.is_ok() {
        sent += 1;
        assert!(sent < 20_000_000, "it is never cut off");
    }
    scene
        .counted("tripline_agent_channel_ends_total", "", before)
        .await;
    scene.api.attached(liar.host_id, false).await;
    assert!(!scene.logged(&["WARN", &liar.host_id.to_string()]).is_empty());
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn an_isolation_that_begins_and_ends_all_the_time_is_not_published_all_the_time() {
    let mut scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    let isolated = |number: u128| {
        let command_id = Uuid::from_u128(number);
        json!({"type": "isolation", "isolation": {"state": "isolated", "left": "1h", "command_id": command_id,
            "since": "2026-11-21T00:00:00Z", "until": "2026-11-21T01:00:00Z"}})
    };
    for number in 1..=200 {
        if liar
            .try_send(Message::text(isolated(number).to_string()))
            .await
            .is_err()
        {
            break;
        }
    }
    assert_eq!(liar.farewell().await, "protocol_error");
    let changes = "tripline_host_isolation_changes_total";
    assert_eq!(scene.metric(changes, "").await, 32.0);
    // It comes again and goes on: nothing more is published, and it stays attached, for it may have its reasons.
    liar.come_again().await;
    liar.introduce(json!({"isolation": isolated(999)["isolation"]}))
        .await;
    assert_eq!(liar.hears().await["type"], "welcome");
    assert_eq!(scene.metric(changes, "").await, 32.0);
    assert!(
        scene
            .metric("tripline_host_frames_refused_total", "reason=\"isolation\"")
            .await
            >= 1.0
    );
    assert!(
        !scene
            .logged(&["WARN", &liar.host_id.to_string(), "too often"])
            .is_empty()
    );
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn keys_that_nobody_asked_for_are_refused_and_fill_no_log() {
    let mut scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    for number in 0..500_u128 {
        let key = format!("{number:064x}");
        liar.say(json!({"type": "new_key", "key_sha256": key})).await;
    }
    liar.say(json!({"type": "ping"})).await;
    liar.hears_a("pong").await;
    eventually("all are refused", async || {
        let refused = scene
            .metric("tripline_host_frames_refused_total", "reason=\"key\"")
            .await;
        (refused == 500.0).then_some(())
    })
    .await;
    let lines = scene.logged(&["an agent's frame is refused"]);
    assert!((1..=10).contains(&lines.len()), "{} lines", lines.len());
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn an_agent_that_never_ends_what_it_began_costs_its_own_jobs_only() {
    let scene = Scene::start(&[("jobs.queued_per_host_max", "3")]).await;
    let mut liar = scene.liar("liar").await;
    let mut endless = job_of("list_processes", json!({}));
    endless["timeout"] = json!("1s");
    let first = scene.api.submit(liar.host_id, endless).await;
    liar.command().await;
    scene.honest_work_is_done().await;
    // It confirms no cancellation either: what follows on this host waits, as many as may.
    let waiting: Vec<_> = [(); 3]
        .into_iter()
        .map(|()| job_of("list_processes", json!({})))
        .collect();
    let mut ids = Vec::new();
    for job in waiting {
        ids.push(scene.api.submit(liar.host_id, job).await);
    }
    assert_eq!(
        scene.api.ended(first).await.state,
        JobState::Ended(Outcome::TimedOut)
    );
    liar.hears_a("cancel").await;
    let mut states = Vec::new();
    for _ in 0..4 {
        let id = scene
            .api
            .submit(liar.host_id, job_of("list_processes", json!({})))
            .await;
        states.push(scene.api.job(id).await.state);
    }
    assert!(
        states.contains(&JobState::Ended(Outcome::Failed)),
        "the queue has no end: {states:?}"
    );
    scene.honest_work_is_done().await;
}

#[tokio::test]
async fn a_thousand_commands_that_it_says_to_run_cost_the_liar_its_own_connection() {
    let scene = Scene::start(&[]).await;
    let mut liar = scene.liar("liar").await;
    let running: Vec<Uuid> = (0..20_000_u128).map(Uuid::from_u128).collect();
    liar.come_again().await;
    liar.introduce(json!({"running": running})).await;
    // Each would have to be cancelled; what waits for one agent is bounded, so it is cut off.
    liar.farewell().await;
    scene.api.attached(liar.host_id, false).await;
    scene.honest_work_is_done().await;
}
