//! Live response on a host that only a LittleBrother client attaches, and on one that has an agent, too.

use crate::harness::{AgentProcess, tripline, until};
use crate::scene::{NAME, Scene};
use serde_json::json;
use tripline_protocol::job::Outcome;

#[tokio::test]
async fn a_job_ends_a_process_through_the_client() {
    let scene = Scene::start().await;
    let (game, other) = (scene.person.play(), scene.person.play());
    let host = scene.tripline.open_processes(NAME, 2).await.host_id;
    let entries = scene.tripline.processes(host).await;
    let entry = entries
        .iter()
        .find(|entry| entry["pid"] == game.pid)
        .expect("its entry");

    let wrong =
        json!({"pid": game.pid, "start_time": entry["create_time"].as_i64().expect("seconds") - 1000});
    let refused = scene.tripline.kill(host, wrong).await;
    assert_eq!(refused.state.outcome(), Some(Outcome::Failed), "{refused:?}");
    assert!(format!("{refused:?}").contains("recycled_pid"), "{refused:?}");
    assert!(game.is_running());

    let right = json!({"pid": game.pid, "start_time": entry["create_time"]});
    let done = scene.tripline.kill(host, right).await;
    assert_eq!(done.state.outcome(), Some(Outcome::Succeeded), "{done:?}");
    assert!(!game.is_running(), "done when it has ended");
    assert!(other.is_running());
    scene.tripline.open_processes(NAME, 1).await;

    let again = scene.tripline.kill(host, json!({"pid": game.pid})).await;
    assert_eq!(again.state.outcome(), Some(Outcome::Failed), "{again:?}");
    let files = json!({"name": "look", "steps": [{"id": "only", "list_directory": {"path": "/"}}]});
    let unsupported = scene.tripline.api().run(host, files).await;
    assert_eq!(
        unsupported.state.outcome(),
        Some(Outcome::Failed),
        "{unsupported:?}"
    );
    assert!(
        format!("{unsupported:?}").contains("nsupported"),
        "{unsupported:?}"
    );
}

#[tokio::test]
async fn a_kill_survives_lost_answers_and_a_killed_server() {
    let mut scene = Scene::start().await;
    let game = scene.person.play();
    let host = scene.tripline.open_processes(NAME, 1).await.host_id;
    scene.wire.lose_answers(true);
    let step = json!({"id": "only", "kill_process": {"pid": game.pid}});
    let job = json!({"name": "kill", "timeout": "10m", "steps": [step]});
    let job_id = scene.tripline.api().submit(host, job).await;
    let lost = || {
        let exchanges = scene.wire.exchanges();
        let mut lost = exchanges.iter().filter(|one| !one.delivered);
        lost.any(|one| !one.got("KILL_PROCESS").is_empty())
    };
    until("an answer with the order got lost", lost).await;
    assert!(game.is_running());
    scene.tripline.server.kill();
    scene.tripline.server.spawn();
    scene.tripline.back().await;
    scene.wire.lose_answers(false);
    let job = scene.tripline.api().ended(job_id).await;
    assert_eq!(job.state.outcome(), Some(Outcome::Succeeded), "{job:?}");
    assert!(!game.is_running());
}

#[tokio::test]
async fn an_agents_host_reports_as_the_client_after_an_administrator_linked_them() {
    let scene = Scene::start().await;
    let mut agent = AgentProcess::start(&scene.site, &scene.tripline.server, "a").await;
    let (agents, clients) = (agent.host_id().await, scene.host_id().await);
    assert_ne!(agents, clients, "nothing is merged by itself");
    let (agents_text, clients_text) = (agents.to_string(), clients.to_string());
    let data_dir = scene.tripline.server.data_dir().to_owned();

    let ran = tripline(&data_dir, &["host", "link", &agents_text, &clients_text]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let game = scene.person.play();
    let started = scene.tripline.events_of("PROCESS_START", game.pid).await;
    let of_the_client = started
        .iter()
        .find(|event| event.data["hostname"] == NAME)
        .expect("its event");
    assert_eq!(
        of_the_client.host,
        Some(agents),
        "the agent's host reports as the client"
    );
    let host = scene.tripline.api().host(agents).await.expect("known");
    let kinds: Vec<&str> = host.attachments.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(kinds, ["agent", "littlebrother"]);
    assert_eq!(
        host.littlebrother.expect("what the topology shows").host_id,
        clients
    );
    let looked_up = scene.tripline.api().host(clients).await.expect("known");
    assert_eq!(
        looked_up.host_id, agents,
        "the client's id leads to the agent's host"
    );
    // An agent can do more than a client, so it is asked.
    let seen = scene.tripline.processes(clients).await;
    assert!(
        seen.iter().any(|entry| entry["pid"] == 1),
        "all processes of the machine: {seen:?}"
    );

    let ran = tripline(&data_dir, &["host", "unlink", &agents_text]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let alone = scene.tripline.api().host(clients).await.expect("known");
    assert_eq!(alone.host_id, clients, "it stands for itself again");
    let game = scene.person.play();
    let started = scene.tripline.events_of("PROCESS_START", game.pid).await;
    let of_the_client = started
        .iter()
        .find(|event| event.data["hostname"] == NAME)
        .expect("its event");
    assert_eq!(of_the_client.host, Some(clients));
    agent.kill();
}
