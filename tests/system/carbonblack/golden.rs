//! Objects and statuses as they are on the wire, field for field.

use super::*;

fn keys(object: &Value) -> Vec<&str> {
    let object = object.as_object().expect("an object");
    object.keys().map(String::as_str).collect()
}

/// The fields of a session that `cbapi` and the vendor's own clients know.
const SESSION: [&str; 14] = [
    "address",
    "check_in_timeout",
    "create_time",
    "current_working_directory",
    "drives",
    "hostname",
    "id",
    "os_version",
    "sensor_id",
    "sensor_wait_timeout",
    "session_timeout",
    "status",
    "storage_size",
    "storage_ttl",
];

#[tokio::test]
async fn a_session_s_objects_and_statuses_are_the_clients() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    let opened = script.post(BASE, json!({"sensor_id": 1})).await;
    assert_eq!(
        (opened.status, &opened.body["id"], &opened.body["sensor_id"]),
        (200, &json!(1), &json!(1))
    );
    let path = script.session(1).await;
    let session = script.get(&path).await;
    assert_eq!(session.status, 200);
    let mut expected: Vec<&str> = SESSION.into();
    expected.push("supported_commands");
    expected.sort_unstable();
    assert_eq!(keys(&session.body), expected);
    let commands = [
        "create directory",
        "create process",
        "delete file",
        "directory list",
        "get file",
        "get raw file",
        "kill",
        "memdump",
        "process list",
        "put file",
    ];
    let mut offered: Vec<&str> = session.body["supported_commands"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(Value::as_str)
        .collect();
    offered.sort_unstable();
    assert_eq!(offered, commands);
    assert_eq!(
        script.get(&format!("{path}/keepalive")).await.body["status"],
        json!("active")
    );
    assert_eq!(script.get(&format!("{path}/archive")).await.status, 200);
    // The client closes by putting the whole object back, and closing twice is harmless.
    for _ in 0..2 {
        let mut whole = script.get(&path).await.body;
        whole["status"] = json!("close");
        let closed = script.put(&path, whole).await;
        assert_eq!((closed.status, &closed.body["status"]), (200, &json!("close")));
    }
    for late in [
        script.get(&format!("{path}/keepalive")).await,
        script
            .post(&format!("{path}/command"), json!({"name": "process list"}))
            .await,
    ] {
        assert_eq!(late.status, 404);
        assert!(text(&late).starts_with("Session is not active: "), "{late:?}");
    }
}

#[tokio::test]
async fn a_command_s_objects_and_statuses_are_the_clients() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    let session = script.session(1).await;
    let source = scene.site.write("file", "content");
    let accepted = script
        .post(
            &format!("{session}/command"),
            json!({"name": "get file", "object": source, "session_id": 1}),
        )
        .await;
    assert_eq!(accepted.status, 200);
    assert_eq!(
        accepted.body["file_id"],
        json!(1),
        "it is in the first reply already"
    );
    let path = format!("{session}/command/{}", accepted.body["id"]);
    let ended = eventually("it ends", async || {
        let command = script.get(&path).await;
        assert_eq!(command.status, 200);
        (command.body["status"] == "complete").then_some(command.body)
    })
    .await;
    for time in ["create_time", "completion"] {
        assert!(
            ended[time].as_f64().is_some_and(|seconds| seconds > 1.0e9),
            "{ended}"
        );
    }
    let expected = json!({
        "id": 1, "session_id": 1, "sensor_id": 1, "name": "get file", "object": source, "status": "complete",
        "username": "admin", "create_time": ended["create_time"], "completion": ended["completion"],
        "result_code": 0, "result_type": "WinHresult", "result_desc": "", "file_id": 1,
    });
    assert_eq!(ended, expected);
    assert_eq!(
        script.get(&format!("{session}/command")).await.body,
        json!([expected])
    );
    let content = script
        .request(Method::GET, &format!("{session}/file/1/content"))
        .send()
        .await;
    let content = content.expect("an answer");
    assert_eq!(content.status(), 200);
    assert_eq!(content.headers()["content-length"], "7");
    assert_eq!(content.text().await.expect("a body"), "content");
    assert_eq!(
        script.get(&format!("{session}/file/1")).await.body,
        json!({"id": 1, "file_name": "file", "size": 7, "size_uploaded": 7, "status": 0, "delete": false})
    );

    let listed = script
        .run(
            &session,
            json!({"name": "directory list", "object": scene.site.path("")}),
        )
        .await;
    let file = listed["files"]
        .as_array()
        .expect("files")
        .iter()
        .find(|file| file["filename"] == "file");
    let file = file.expect("the file");
    for field in ["size", "create_time", "last_access_time", "last_write_time"] {
        assert!(file[field].is_number(), "{field}: {file}");
    }
    assert_eq!(file["attributes"], json!(["ARCHIVE"]));
    let processes = script.run(&session, json!({"name": "process list"})).await;
    assert!(processes["object"].is_null(), "{processes}");
    for process in processes["processes"].as_array().expect("processes") {
        for field in ["pid", "parent", "create_time"] {
            assert!(process[field].is_number(), "{field}: {process}");
        }
        // The vendor's examples call text methods on these.
        for field in [
            "path",
            "command_line",
            "username",
            "sid",
            "proc_guid",
            "parent_guid",
        ] {
            assert!(process[field].is_string(), "{field}: {process}");
        }
    }
}

#[tokio::test]
async fn what_a_client_asks_first_is_answered_as_it_expects() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    for (path, body) in [
        ("/api/info", json!({"version": "7.5.0", "cblrEnabled": true})),
        ("/api/v1/storage/events/partition", json!({})),
        (&*format!("{BASE}?active_only=true"), json!([])),
        (
            "/api/v2/sensor?hostname=nobody&rows=100&start=0",
            json!({"total_results": 0, "results": []}),
        ),
    ] {
        let answer = script.get(path).await;
        assert_eq!((answer.status, answer.body), (200, body), "{path}");
    }
    let sensor = script.get("/api/v1/sensor/1").await;
    assert_eq!(sensor.status, 200);
    // Pages, the older list and the sensor itself say the same of it: for a missing field the client asks again.
    let rows = script
        .get("/api/v2/sensor?rows=1&sort.col=computer_name&sort.dir=asc&start=0")
        .await
        .body;
    assert_eq!(rows["total_results"], 1);
    assert_eq!(keys(&rows["results"][0]), keys(&sensor.body));
    assert_eq!(
        keys(&script.get("/api/v1/sensor").await.body[0]),
        keys(&sensor.body)
    );
    for (field, value) in [
        ("id", json!(1)),
        ("status", json!("Online")),
        ("supports_cblr", json!(true)),
        ("os_type", json!(3)),
        ("num_storefiles_bytes", json!("0")),
        ("num_eventlog_bytes", json!("0")),
        ("network_isolation_enabled", json!(false)),
        ("is_isolating", json!(false)),
        ("uninstall", json!(false)),
        ("restart_queued", json!(false)),
        ("group_id", json!(1)),
        ("notes", json!("")),
    ] {
        assert_eq!(sensor.body[field], value, "{field}");
    }
    for field in ["computer_name", "event_log_flush_time", "next_checkin_time"] {
        assert!(
            !sensor.body[field].is_number() && keys(&sensor.body).contains(&field),
            "{field}"
        );
    }
    let past_the_end = script.get("/api/v2/sensor?rows=100&start=1").await.body;
    assert_eq!(past_the_end, json!({"total_results": 1, "results": []}));
}
