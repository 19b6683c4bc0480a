//! What is refused, with the status and the words that become the right exception, and what is left of it: nothing.

use super::*;
use futures_util::future::join_all;
use std::path::Path;

/// How many contents the server keeps, those that come in included.
fn contents(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let count = |entry: std::io::Result<std::fs::DirEntry>| match entry.expect("an entry").path() {
        path if path.is_dir() => contents(&path),
        _ => 1,
    };
    entries.map(count).sum()
}

impl Scene {
    /// No slot, no content and no session that waits.
    async fn has_nothing_left(&self) {
        eventually("no slot is held", async || {
            let slots = self.server.api().slots().await;
            let held = slots.slots.iter().any(|slot| slot.session.is_some());
            (!held && slots.sessions_waiting == 0).then_some(())
        })
        .await;
        assert_eq!(contents(&self.server.data_dir().join("artifacts")), 0);
    }
}

#[tokio::test]
async fn another_s_session_is_not_there_and_a_viewer_opens_none() {
    let scene = Scene::new(&[]).await;
    let (owner, admin) = (scene.other("operator").await, &scene.script);
    let session = owner.session(1).await;
    let gone = format!(
        "Session {} not found",
        session.rsplit('/').next().expect("a number")
    );
    for path in [
        "",
        "/keepalive",
        "/archive",
        "/file",
        "/command",
        "/command/1",
        "/file/1",
        "/file/1/content",
    ] {
        let answer = admin.get(&format!("{session}{path}")).await;
        assert_eq!((answer.status, text(&answer)), (404, &*gone), "{path}");
    }
    let close = json!({"status": "close"});
    let command = json!({"name": "process list"});
    for answer in [
        admin.post(&format!("{session}/command"), command.clone()).await,
        admin.put(&session, close.clone()).await,
        admin
            .put(&format!("{session}/command/1"), json!({"status": "cancel"}))
            .await,
        admin.delete(&format!("{session}/file/1")).await,
    ] {
        assert_eq!((answer.status, text(&answer)), (404, &*gone));
    }
    assert_eq!(admin.get(BASE).await.body, json!([]));
    assert_eq!(owner.run(&session, command.clone()).await["status"], "complete");

    let viewer = scene.other("viewer").await;
    assert_eq!(viewer.get("/api/v1/sensor/1").await.status, 200);
    let sensor = json!({"sensor_id": 1});
    let needs = "This needs a token of role operator; yours is of role viewer";
    for answer in [
        viewer.post(BASE, sensor.clone()).await,
        viewer.post(&format!("{session}/command"), command).await,
        viewer.put(&session, close.clone()).await,
        viewer.put("/api/v1/sensor/1", json!({})).await,
        viewer.delete(&format!("{session}/file/1")).await,
    ] {
        assert_eq!((answer.status, text(&answer)), (403, needs));
    }
    let nobody = Script::with(&scene.server, "wrong");
    for path in ["/api/info", "/api/v2/sensor", BASE] {
        let answer = nobody.get(path).await;
        assert_eq!(
            (answer.status, text(&answer)),
            (401, "The token is unknown, revoked or expired")
        );
    }
    assert_eq!(owner.put(&session, close).await.status, 200);
    scene.has_nothing_left().await;
}

#[tokio::test]
async fn a_session_that_cannot_be_is_refused_in_words() {
    let scene = Scene::new(&[]).await;
    let expected = "sensor_id: expected the number of a sensor";
    for (body, status, said) in [
        (json!({"sensor_id": 99}), 404, "Sensor 99 not found"),
        (json!({"sensor_id": "99"}), 404, "Sensor 99 not found"),
        (json!({"sensor_id": "x"}), 400, expected),
        (json!({"sensor_id": ""}), 400, expected),
        (json!({"sensor_id": -1}), 400, expected),
        (json!({"sensor_id": 1.5}), 400, expected),
        (json!({"sensor_id": 4_294_967_296_u64}), 400, expected),
        (json!({"sensor_id": [1]}), 400, expected),
        (json!({"sensor_id": null}), 400, expected),
        (json!({}), 400, expected),
    ] {
        let answer = scene.script.post(BASE, body.clone()).await;
        assert_eq!((answer.status, text(&answer)), (status, said), "{body}");
    }
    for body in ["[]", "7", "null", "{", ""] {
        let request = scene.script.request(Method::POST, BASE).body(body);
        let answer = Script::send(request).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(
            text(&answer).starts_with("the body is not what is expected"),
            "{answer:?}"
        );
    }
    scene.has_nothing_left().await;
}

#[tokio::test]
async fn a_command_that_cannot_be_is_refused_in_words_and_leaves_no_trace() {
    let scene = Scene::new(&[]).await;
    let session = scene.script.session(1).await;
    let (object, pid) = ("object: expected a text", "object: expected a process id");
    let (nul, file) = (
        "object: a text without NUL is needed",
        "file_id: expected the number of an uploaded file",
    );
    for (body, status, said) in [
        (
            json!({"name": "frobnicate"}),
            400,
            "Command \"frobnicate\" is not known",
        ),
        (json!({"name": 7}), 400, "name: expected a text"),
        (json!({"object": "/"}), 400, "name is needed"),
        (json!({"name": "get file"}), 400, "object is needed for get file"),
        (
            json!({"name": "get file", "object": null}),
            400,
            "object is needed for get file",
        ),
        (json!({"name": "get file", "object": 7}), 400, object),
        (json!({"name": "get file", "object": ["/"]}), 400, object),
        (json!({"name": "get file", "object": ""}), 400, object),
        (json!({"name": "get file", "object": "/a\0b"}), 400, nul),
        (json!({"name": "directory list", "object": "/a\0b/*"}), 400, nul),
        (json!({"name": "kill"}), 400, pid),
        (json!({"name": "kill", "object": "init"}), 400, pid),
        (json!({"name": "kill", "object": 0}), 400, pid),
        (
            json!({"name": "create process", "object": "id", "wait": "yes"}),
            400,
            "wait: expected true or false",
        ),
        (json!({"name": "put file", "object": "/tmp/x"}), 400, file),
        (
            json!({"name": "put file", "object": "/tmp/x", "file_id": "7x"}),
            400,
            file,
        ),
        (
            json!({"name": "put file", "object": "/tmp/x", "file_id": 4_000_000}),
            404,
            "File 4000000 not found",
        ),
    ] {
        let answer = scene
            .script
            .post(&format!("{session}/command"), body.clone())
            .await;
        assert_eq!((answer.status, text(&answer)), (status, said), "{body}");
        // With another first letter than S the client opens no other session for it.
        assert!(!said.starts_with('S'));
    }
    for path in [
        "/command/7",
        "/command/x",
        "/file/7",
        "/file/x/content",
        "/file/7/content",
    ] {
        let answer = scene.script.get(&format!("{session}{path}")).await;
        let (what, number) = match path.trim_start_matches('/').split('/').collect::<Vec<_>>()[..] {
            ["command", number] => ("Command", number),
            [_, number] | [_, number, _] => ("File", number),
            _ => panic!("{path}"),
        };
        let said = format!("{what} {number} not found");
        assert_eq!((answer.status, text(&answer)), (404, &*said), "{path}");
    }
    let commands = scene.script.get(&format!("{session}/command")).await;
    assert_eq!(commands.body, json!([]), "nothing was begun");
    for status in [json!("active"), json!("CLOSE"), json!(null), json!(7)] {
        let answer = scene.script.put(&session, json!({ "status": status })).await;
        assert_eq!(
            (answer.status, text(&answer)),
            (400, "status: a session can only be put to close")
        );
    }
    scene.script.put(&session, json!({"status": "close"})).await;
    scene.has_nothing_left().await;
}

#[tokio::test]
async fn a_path_of_a_hundred_thousand_characters_is_the_hosts_to_refuse() {
    let scene = Scene::new(&[]).await;
    let session = scene.script.session(1).await;
    let path = format!("/{}", "x".repeat(100_000));
    for name in ["get file", "delete file", "directory list", "create directory"] {
        let ended = scene
            .script
            .run(&session, json!({"name": name, "object": path}))
            .await;
        assert_eq!(
            (&ended["status"], &ended["result_code"], &ended["result_type"]),
            (&json!("error"), &json!(0x8007_00ce_u32), &json!("WinHresult")),
            "{name}"
        );
    }
    scene.script.put(&session, json!({"status": "close"})).await;
    scene.has_nothing_left().await;
}

#[tokio::test]
async fn what_is_not_offered_is_not_found_and_no_change_of_a_sensor_is_pretended() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    for (path, status) in [
        ("/api/v1/process", 404),
        ("/api/v2/alert", 404),
        ("/api/v1/sensor/99", 404),
        ("/api/v1/sensor/x", 404),
        ("/api/v1/sensor/99/queued", 404),
        ("/api/v2/sensor?rows=many", 400),
        ("/api/v2/sensor?start=-1", 400),
        ("/api/v2/sensor?groupid=x", 400),
        ("/api/v3/group/2", 404),
    ] {
        assert_eq!(script.get(path).await.status, status, "{path}");
    }
    for (field, word) in [("uninstall", "uninstall"), ("restart_queued", "restart")] {
        let change = script.put("/api/v1/sensor/1", json!({field: true})).await;
        let said = format!("This server cannot {word} a sensor; nothing was changed");
        assert_eq!((change.status, text(&change)), (403, &*said));
    }
    let unchanged = script.get("/api/v1/sensor/1").await.body;
    assert_eq!(script.put("/api/v1/sensor/1", unchanged).await.status, 204);
}

#[tokio::test]
async fn a_thousand_sessions_of_a_caller_wait_and_the_next_is_told_that_there_are_too_many() {
    let scene = Scene::new(&[
        ("slots.total", "1"),
        ("slots.interactive_reserved", "0"),
        ("slots.jobs_reserved", "0"),
    ])
    .await;
    let held = scene.script.session(1).await;
    let sensor = json!({"sensor_id": 1});
    for _ in 0..20 {
        let opened = join_all((0..50).map(|_| scene.script.post(BASE, sensor.clone()))).await;
        for opened in opened {
            assert_eq!((opened.status, &opened.body["status"]), (200, &json!("pending")));
        }
    }
    let more = scene.script.post(BASE, sensor.clone()).await;
    assert_eq!(
        (more.status, text(&more)),
        (503, "this token's queue of sessions is full; try again later")
    );
    let other = scene.other("operator").await.post(BASE, sensor.clone()).await;
    assert_eq!((other.status, &other.body["status"]), (200, &json!("pending")));
    let slots = scene.server.api().slots().await;
    assert_eq!(slots.sessions_waiting, 1001);
    // The list shows what waits: the newest thousand.
    let listed = scene.script.get(BASE).await.body;
    let listed = listed.as_array().expect("a list");
    assert_eq!(listed.len(), 1000);
    for session in listed.iter().filter(|session| session["status"] == "pending") {
        let path = format!("{BASE}/{}", session["id"]);
        assert_eq!(
            scene.script.put(&path, json!({"status": "close"})).await.body["status"],
            "close"
        );
    }
    scene.script.put(&held, json!({"status": "close"})).await;
    scene
        .script
        .put(
            &format!("{BASE}/{}", other.body["id"]),
            json!({"status": "close"}),
        )
        .await;
    eventually("the slot went on to who still waits", async || {
        let slots = scene.server.api().slots().await;
        (slots.sessions_waiting == 0).then_some(())
    })
    .await;
}
