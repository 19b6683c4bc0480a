//! Several scripts at once, and jobs beside them: sessions of their own, and turns where slots are few.

use crate::harness::{append_line, cloud_event, job_of, job_of_event, until, wait_at};
use crate::scene::{Scene, slots_for_sessions};
use serde_json::json;
use std::path::Path;
use tripline_protocol::job::{JobState, Outcome};

#[tokio::test]
async fn two_scripts_on_one_host_have_sessions_and_files_of_their_own() {
    let scene = Scene::start().await;
    let text = r#"
        import io

        cb = connect()
        lr = cb.select(Sensor, 1).lr_session()
        base = f"/api/v1/cblr/session/{lr.session_id}"
        lr.put_file(io.BytesIO(given.name.encode()), f"{given.folder}/{given.name}")
        wait([lr.session_id, cb.get_object(base + "/file")])
        wait(failure(cb.get_object, given.other) if hasattr(given, "other") else None)
        lr.close()
        "#;
    let folder = scene.site.path("");
    let mut first = scene.start_script(text, json!({"name": "first", "folder": folder}));
    let opened = first.says().await;
    let other = format!("/api/v1/cblr/session/{}/file", opened[0]);
    let foreign =
        json!({"name": "second", "folder": folder, "other": other, "token": scene.operator("b").await});
    let mut second = scene.start_script(text, foreign);
    let opened_too = second.says().await;
    assert_ne!(opened[0], opened_too[0]);
    for files in [&opened[1], &opened_too[1]] {
        assert_eq!(files.as_array().map(Vec::len), Some(1), "{files}");
    }
    assert_ne!(opened[1][0]["id"], opened_too[1][0]["id"]);
    second.go_on().await;
    let refused = second.says().await;
    assert_eq!(refused["class"], "ObjectNotFoundError", "{refused}");

    // The same token in another program shares nothing either, and closing one leaves the other.
    let third = scene.start_script(
        r#"
        with session() as lr:
            say([lr.session_id, lr._cb.get_object(f"/api/v1/cblr/session/{lr.session_id}/file")])
        "#,
        json!({}),
    );
    let said = third.end().await;
    assert_ne!(said[0][0], opened[0]);
    assert_eq!(said[0][1], json!([]));
    first.go_on().await;
    first.says().await;
    first.go_on().await;
    first.end().await;
    second.go_on().await;
    second.end().await;
    for name in ["first", "second"] {
        assert_eq!(
            std::fs::read(scene.site.path(name)).expect("put"),
            name.as_bytes()
        );
    }
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn more_sessions_than_slots_wait_and_are_all_served_by_turns() {
    let scene = Scene::start_with(&slots_for_sessions("2"), 1).await;
    let order = scene.site.write("order", "");
    // Two sessions are held, and four more wait; who gets one writes down whose it is.
    let mut greedy = scene.start_script(
        r#"
        import threading

        def serve():
            with session() as lr:
                with open(given.order, "a") as order:
                    order.write("greedy\n")
                lr.list_processes()

        held = [session(), session()]
        threads = [threading.Thread(target=serve) for _ in range(4)]
        for thread in threads:
            thread.start()
        wait("holds")
        held[0].close()
        for thread in threads:
            thread.join()
        wait("served")
        held[1].close()
        "#,
        json!({"order": order}),
    );
    assert_eq!(greedy.says().await, "holds");
    scene.slots(2, 4).await;
    let modest = scene.start_script(
        r#"
        with session() as lr:
            with open(given.order, "a") as order:
                order.write("modest\n")
            lr.list_processes()
        "#,
        json!({"order": order, "token": scene.operator("modest").await}),
    );
    scene.slots(2, 5).await;
    let waiting = scene.sessions("pending").await;
    assert!(
        waiting
            .iter()
            .all(|session| session["waiting"]["reason"]["code"] == "no_free_slot"),
        "{waiting:?}"
    );
    // One slot goes round.
    greedy.go_on().await;
    modest.end().await;
    assert_eq!(greedy.says().await, "served");
    greedy.go_on().await;
    greedy.end().await;
    let order = std::fs::read_to_string(order).expect("an order");
    let turns: Vec<&str> = order.lines().collect();
    assert_eq!(turns.len(), 5, "{turns:?}");
    assert!(
        turns[..2].contains(&"modest"),
        "who asked last, and once, does not wait for all others: {turns:?}"
    );
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_pipeline_s_job_runs_while_ten_idle_workers_hold_all_that_sessions_may_have() {
    let pipeline = r#"
name: note
on: [acme.alert]
job:
  steps:
    - create_process:
        argv: ["/bin/sh", "-c", "echo done > \"$0\"", "{{ event.data.file }}"]
"#;
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("note.yaml"), pipeline).expect("to write");
    let settings = [
        ("slots.total", "12"),
        ("pipelines.dir", folder.path().to_str().expect("UTF-8")),
    ];
    let mut scene = Scene::start_with(&settings, 10).await;
    let host = scene.agents[0].host_id().await;
    let mut workers = scene.start_script(
        r#"
        import threading

        # A worker that has nothing to do is asked to leave as long as another sensor's job waits.
        together = threading.Barrier(10)

        def look(lr):
            together.wait()
            return lr.list_processes()

        cb = connect()
        jobs = [cb.live_response.submit_job(look, sensor) for sensor in range(1, 11)]
        assert all(job.result() for job in jobs)
        wait("idle")
        "#,
        json!({}),
    );
    assert_eq!(workers.says().await, "idle");
    // An eleventh session has to wait: the slots that are free are for jobs.
    let waits = scene.start_script("session().close()", json!({}));
    scene.slots(10, 1).await;
    let file = scene.site.path("file");
    let event = cloud_event("e-1", "acme.alert", host, json!({"file": file}));
    scene.server.outside().await.publish("acme.alert", &event).await;
    let job = scene
        .api()
        .ended(job_of_event("system-test", "e-1", "note", host))
        .await;
    assert_eq!(job.state, JobState::Ended(Outcome::Succeeded), "{job:?}");
    assert_eq!(std::fs::read_to_string(file).expect("written"), "done\n");
    scene.slots(10, 1).await;
    workers.go_on().await;
    workers.end().await;
    drop(waits);
}

#[tokio::test]
async fn a_session_is_served_while_jobs_hold_all_that_they_may_have() {
    let mut scene = Scene::start_with(
        &[
            ("slots.total", "2"),
            ("slots.jobs_reserved", "1"),
            ("slots.interactive_reserved", "1"),
        ],
        2,
    )
    .await;
    let (begun, gate) = (scene.site.path("begun"), scene.site.write("gate", ""));
    let (first, second) = (scene.agents[0].host_id().await, scene.agents[1].host_id().await);
    let long = scene
        .api()
        .submit(first, job_of("create_process", wait_at(&begun, &gate)))
        .await;
    let counter = scene.site.path("counter");
    let waits = scene
        .api()
        .submit(second, job_of("create_process", append_line(&counter, "x")))
        .await;
    until("the job runs", || begun.exists()).await;
    let hosts_waiting = scene.api().slots().await.waiting;
    assert_eq!(hosts_waiting, 1, "the other has to wait");
    let said = scene
        .ask(
            r#"
            with session(2) as lr:
                say(lr.create_process("echo served"))
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said, "served\n");
    assert!(!Path::new(&counter).exists(), "the job still waits");
    std::fs::remove_file(gate).expect("to open the gate");
    for job in [long, waits] {
        assert_eq!(
            scene.api().ended(job).await.state,
            JobState::Ended(Outcome::Succeeded)
        );
    }
}
