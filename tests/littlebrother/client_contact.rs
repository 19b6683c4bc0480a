//! The real client and Tripline: first contact, users and mappings, and who is let in.

use crate::harness::{eventually, tripline, until};
use crate::peers::{PATIENT_SECONDS, RealClient};
use crate::scene::{NAME, Scene};
use crate::tripline::Settings;
use serde_json::json;

#[tokio::test]
async fn a_new_client_is_told_everything_twice_and_is_a_host() {
    let scene = Scene::start().await;
    let exchanges = scene.exchanges_more(3).await;

    assert_eq!(exchanges[0].sent("START_CLIENT").len(), 1, "{:?}", exchanges[0]);
    let told = |kind: &str| -> Vec<usize> {
        let those = exchanges
            .iter()
            .enumerate()
            .filter(|(_, one)| !one.got(kind).is_empty());
        those.map(|(index, _)| index).collect()
    };
    assert_eq!(
        told("UPDATE_CONFIG"),
        [0, 1],
        "in two successive answers, should one get lost"
    );
    assert_eq!(told("UPDATE_LOGIN_MAPPING"), [0, 1]);
    assert_eq!(told("START_MASTER"), [0], "once");
    let payload = &exchanges[0].got("UPDATE_CONFIG")[0]["payload"];
    assert_eq!(payload["config:maximum_time_without_send"], PATIENT_SECONDS);

    // What it made of it.
    let database = scene.client.database();
    let users = eventually("the client has stored a user", async || {
        let rows = database.rows("select username, active, process_name_pattern from user");
        (!rows.is_empty()).then_some(rows)
    })
    .await;
    let person = &scene.person;
    assert_eq!(
        json!(users),
        json!([{"username": person.login, "active": 1, "process_name_pattern": person.games()}])
    );
    let mapping = database.rows("select username, uid, server_group from uid_mapping");
    let expected = json!([{"username": person.login, "uid": person.uid, "server_group": "default-group"}]);
    assert_eq!(json!(mapping), expected);

    let host = scene.tripline.client(NAME).await;
    assert_eq!(
        (host.hostname.as_str(), host.org.as_str(), host.platform.as_str()),
        (NAME, "default", "linux")
    );
    let kinds: Vec<&str> = host.attachments.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["littlebrother"]);
    let view = host.littlebrother.expect("what the topology shows");
    assert_eq!(
        (view.host_id, view.active, view.outdated),
        (host.host_id, true, Some(false))
    );
    let stats = view.client_stats.expect("statistics");
    assert_eq!(stats.version.as_deref(), Some("0.5.8"));
    assert!(
        stats.resident_memory_bytes.is_some_and(|bytes| bytes > 1e6),
        "{stats:?}"
    );

    let ran = tripline(scene.tripline.server.data_dir(), &["host", "list", "--wide"]).await;
    for shown in [
        NAME,
        "0.5.8",
        stats.linux_distribution.as_deref().expect("a name"),
    ] {
        assert!(ran.stdout.contains(shown), "{shown} is not in\n{}", ran.stdout);
    }
    let metrics = scene.tripline.api().get("/metrics").await;
    let metrics = metrics.body.as_str().expect("a text");
    for metric in ["resident_memory_bytes", "cpu_seconds", "start_time_seconds"] {
        let line = format!("tripline_littlebrother_client_{metric}{{client=\"{NAME}\"");
        assert!(metrics.contains(&line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn answers_that_get_lost_are_given_again() {
    let mut scene = Scene::prepare(|settings| settings, &[]).await;
    scene.wire.lose_answers(true);
    scene.client.spawn();
    until("answers got lost", || scene.wire.count() >= 3).await;
    scene.wire.lose_answers(false);
    scene.client_knows_users().await;
    // It works with what it got.
    let game = scene.person.play();
    let started = scene.tripline.events_of("PROCESS_START", game.pid).await;
    assert_eq!(started.len(), 1, "{started:?}");
}

#[tokio::test]
async fn a_wrong_secret_is_answered_as_the_real_server_does_and_leaves_no_trace() {
    let scene = Scene::prepare(|settings| settings, &[]).await;
    let mut stranger = RealClient::prepare_with(&scene.site, "stranger", scene.wire.url(), "not the secret");
    stranger.spawn();
    let exchanges = scene.exchanges_more(2).await;
    for exchange in &exchanges {
        assert_eq!(exchange.status, 401, "{exchange:?}");
        assert_eq!(exchange.answer, json!({"error": "invalid access code"}));
    }
    assert!(scene.tripline.hosts().await.is_empty());
    assert!(scene.tripline.events("START_CLIENT").await.is_empty());
}

#[tokio::test]
async fn a_changed_configuration_reaches_the_client_without_a_restart() {
    let mut scene = Scene::start().await;
    let other = scene.person.name_of("chat");
    let before = scene.exchanges_more(2).await.len();
    let chat = scene.person.run(&other);
    let mut settings = Settings::of(&scene.person).with("maximum_time_without_send", "77s");
    settings.set_pattern(&other);
    scene.tripline.reload(&settings);
    scene.sent(before, "PROCESS_START", chat.pid).await;
    let exchanges = scene.wire.exchanges();
    let told = exchanges
        .iter()
        .skip(before)
        .flat_map(|one| one.got("UPDATE_CONFIG"))
        .next()
        .expect("told");
    assert_eq!(told["payload"]["config:maximum_time_without_send"], 77);
    // What no longer counts has ended, as far as the client is concerned, and the new one is in the table.
    scene.tripline.open_processes(NAME, 1).await;
}
