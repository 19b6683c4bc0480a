//! What scripts do, from the first request to the last.

use super::*;

#[tokio::test]
async fn a_script_finds_its_sensor_works_in_a_session_and_closes_it() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    assert_eq!(
        script.get("/api/info").await.body,
        json!({"version": "7.5.0", "cblrEnabled": true})
    );
    assert_eq!(
        script.get("/api/v1/storage/events/partition").await.body,
        json!({})
    );
    let sensors = script.get("/api/v2/sensor?rows=100&start=0").await.body;
    assert_eq!(sensors["total_results"], 1);
    let sensor = &sensors["results"][0];
    assert_eq!(
        (&sensor["status"], &sensor["supports_cblr"]),
        (&json!("Online"), &json!(true))
    );
    assert_eq!(
        script.get("/api/v2/sensor?rows=0&start=0").await.body,
        json!({"total_results": 1, "results": []})
    );

    assert_eq!(
        script.get(&format!("{BASE}?active_only=true")).await.body,
        json!([])
    );
    let session = script.session(1).await;
    assert_eq!(
        script.get(&format!("{BASE}?active_only=true")).await.body,
        json!([])
    );
    assert_eq!(script.get(BASE).await.body.as_array().map(Vec::len), Some(1));
    scene.site.write("list/a.log", "");
    scene.site.write("list/b.txt", "");
    let pattern = format!("{}/*.log", scene.site.path("list").display());
    let listed = script
        .run(&session, json!({"name": "directory list", "object": pattern}))
        .await;
    assert_eq!(listed["files"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&listed["files"][0]["filename"], &listed["object"]),
        (&json!("a.log"), &json!(pattern))
    );

    let output = scene.site.path("output");
    let run = json!({"name": "create process", "object": "sh -c 'echo out; echo err >&2'", "wait": true,
        "output_file": output});
    assert_eq!(script.run(&session, run).await["status"], "complete");
    let fetched = script
        .run(&session, json!({"name": "get file", "object": output}))
        .await;
    let content = format!("{session}/file/{}/content", fetched["file_id"]);
    assert_eq!(text(&script.get(&content).await), "out\nerr\n");

    let mut whole = script.get(&session).await.body;
    whole["status"] = json!("close");
    assert_eq!(script.put(&session, whole).await.body["status"], "close");
    let late = script
        .post(&format!("{session}/command"), json!({"name": "process list"}))
        .await;
    assert_eq!(late.status, 404);
    assert!(text(&late).starts_with("Session"), "{late:?}");
}

#[tokio::test]
async fn a_script_goes_on_in_its_session_when_the_server_was_killed() {
    let mut scene = Scene::new(&[]).await;
    let session = scene.script.session(1).await;
    scene.server.crash().await;
    let listed = scene.script.run(&session, json!({"name": "process list"})).await;
    assert_eq!(listed["status"], "complete", "{listed}");
    assert!(listed["processes"].as_array().is_some_and(|all| !all.is_empty()));
}

#[tokio::test]
async fn a_file_whose_deletion_was_answered_is_gone_although_the_session_closes_at_once() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    let mut answered_done = 0;
    for round in 0..10 {
        let session = script.session(1).await;
        let file = scene.site.write(&format!("output-{round}"), "");
        let delete = json!({"name": "delete file", "object": file});
        let deleted = script.post(&format!("{session}/command"), delete).await;
        script.put(&session, json!({"status": "close"})).await;
        // On a machine that needs longer than an answer is held, nothing was promised.
        if deleted.body["status"] == "complete" {
            answered_done += 1;
            assert!(!file.exists());
        }
    }
    assert!(answered_done > 0);
}
