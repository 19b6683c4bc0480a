//! The real client and Tripline: one of them, or the way between them, goes away and comes back.

use crate::scene::{NAME, Scene};
use crate::tripline::Settings;
use serde_json::Value;
use std::time::Duration;

#[tokio::test]
async fn the_table_heals_when_a_killed_client_comes_back() {
    let mut scene = Scene::start().await;
    let (lost, kept) = (scene.person.play(), scene.person.play());
    scene.tripline.open_processes(NAME, 2).await;
    scene.client.kill();
    lost.quit();
    lost.ended().await;
    let before = scene.wire.count();
    scene.client.spawn();

    // It is asked about what it does not know, and says that it is gone.
    scene.tripline.events_of("PROCESS_END", lost.pid).await;
    scene.tripline.open_processes(NAME, 1).await;
    let exchanges = scene.wire.exchanges();
    let asked: Vec<&Value> = exchanges
        .iter()
        .skip(before)
        .flat_map(|one| one.got("PROCESS_START"))
        .collect();
    assert!(asked.iter().any(|event| event["pid"] == lost.pid), "{asked:?}");
    assert!(
        asked
            .iter()
            .all(|event| event["processhandler"] == "ClientProcessHandler"),
        "{asked:?}"
    );
    let started = |exchanges: &[crate::peers::Exchange]| {
        exchanges.iter().flat_map(|one| one.got("START_MASTER")).count()
    };
    assert_eq!(
        started(&exchanges),
        1,
        "a client that was restarted is not told that the server was"
    );
    assert!(kept.is_running());
    let host = scene.host_id().await;
    let processes = scene.tripline.processes(host).await;
    assert_eq!(processes[0]["pid"], kept.pid);
    assert_eq!(
        processes[0]["command_line"], *kept.name,
        "its name is known though announced again"
    );
}

#[tokio::test]
async fn a_killed_server_is_told_everything_again_and_has_lost_nothing() {
    let mut scene = Scene::start().await;
    let (lost, kept) = (scene.person.play(), scene.person.play());
    scene.tripline.open_processes(NAME, 2).await;
    let host = scene.host_id().await;
    let before = scene.wire.count();
    scene.tripline.server.kill();
    lost.quit();
    let new = scene.person.play();
    scene.tripline.server.spawn();
    scene.tripline.back().await;

    // Once for this run of the server, and then everything that is open is announced without a name.
    scene.sent(before, "PROCESS_START", new.pid).await;
    scene.sent(before, "PROCESS_START", kept.pid).await;
    scene.tripline.events_of("PROCESS_END", lost.pid).await;
    let started = scene.tripline.events_of("PROCESS_START", new.pid).await;
    assert_eq!(started[0].data["processname"], *new.name);
    scene.tripline.open_processes(NAME, 2).await;
    let exchanges = scene.exchanges_more(2).await;
    let started = exchanges
        .iter()
        .skip(before)
        .flat_map(|one| one.got("START_MASTER"))
        .count();
    assert_eq!(started, 1);

    assert_eq!(scene.host_id().await, host, "the same host");
    let mut names: Vec<(Value, Value)> = scene
        .tripline
        .processes(host)
        .await
        .iter()
        .map(|entry| (entry["pid"].clone(), entry["command_line"].clone()))
        .collect();
    names.sort_by_key(|(pid, _)| pid.as_u64());
    let mut expected: Vec<(Value, Value)> = [&kept, &new]
        .map(|game| (game.pid.into(), game.name.clone().into()))
        .to_vec();
    expected.sort_by_key(|(pid, _)| pid.as_u64());
    assert_eq!(names, expected);
}

#[tokio::test]
async fn a_short_cut_of_the_network_loses_no_event() {
    let scene = Scene::start().await;
    let before_the_cut = scene.person.play();
    scene.tripline.open_processes(NAME, 1).await;
    scene.wire.cut(true);
    before_the_cut.quit();
    let (short, long) = (scene.person.play(), scene.person.play());
    // Both have to be found by a scan, of which only the client's log would tell.
    tokio::time::sleep(Duration::from_secs(3)).await;
    short.quit();
    short.ended().await;
    // The same for its end.
    tokio::time::sleep(Duration::from_secs(2)).await;
    scene.wire.cut(false);

    for (etype, pid) in [
        ("PROCESS_END", before_the_cut.pid),
        ("PROCESS_START", short.pid),
        ("PROCESS_END", short.pid),
        ("PROCESS_START", long.pid),
    ] {
        scene.tripline.events_of(etype, pid).await;
    }
    scene.tripline.open_processes(NAME, 1).await;
    assert!(
        long.is_running(),
        "too short for the client to do something against it"
    );
}

#[tokio::test]
async fn a_client_without_a_server_ends_what_it_watches_and_its_silence_is_an_event() {
    let scene = Scene::start_with(Settings::impatient, &[]).await;
    let game = scene.person.play();
    let host = scene.tripline.open_processes(NAME, 1).await.host_id;
    scene.wire.cut(true);
    // The client by itself, after so many seconds without an answer.
    game.ended().await;
    let silent = scene.tripline.event_of_host("host_silent", host).await;
    let view = scene
        .tripline
        .client_that(NAME, "is offline", |host| host.attachments.is_empty())
        .await;
    assert_eq!(view.host_id, host, "{silent:?}");
    scene.wire.cut(false);
    scene.tripline.event_of_host("host_back", host).await;
    scene.tripline.events_of("PROCESS_END", game.pid).await;
    scene.tripline.open_processes(NAME, 0).await;
    // It goes on as before.
    let game = scene.person.play();
    scene.tripline.open_processes(NAME, 1).await;
    assert!(game.is_running());
}
