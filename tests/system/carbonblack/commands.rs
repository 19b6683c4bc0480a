//! How commands end, and when a poll is answered.

use super::*;

#[tokio::test]
async fn a_command_that_is_cancelled_is_an_error_that_says_so() {
    let scene = Scene::new(&[]).await;
    let script = &scene.script;
    let session = script.session(1).await;
    let sleep = json!({"name": "create process", "object": "sleep 1000", "wait": true});
    let accepted = script.post(&format!("{session}/command"), sleep).await;
    let path = format!("{session}/command/{}", accepted.body["id"]);
    eventually("it runs", async || {
        (script.get(&path).await.body["status"] == "in progress").then_some(())
    })
    .await;
    assert_eq!(script.put(&path, json!({"status": "complete"})).await.status, 400);
    script.put(&path, json!({"status": "cancel"})).await;
    let ended = eventually("it ends", async || {
        let command = script.get(&path).await.body;
        (command["status"] == "error").then_some(command)
    })
    .await;
    assert_eq!(ended["result_code"], 0x8007_04c7_u32);
    assert_eq!(
        script.put(&path, json!({"status": "cancel"})).await.body["status"],
        "error"
    );
}

/// Without being held, ten polls are over long before the command is: the client's own sleeps would be the cost.
#[tokio::test]
async fn a_poll_is_held_until_there_is_something_to_say() {
    let scene = Scene::new(&[("session.wait_timeout", "3s")]).await;
    let script = &scene.script;
    let session = script.session(1).await;
    let sleep = json!({"name": "create process", "object": "sleep 3", "wait": true});
    let accepted = script.post(&format!("{session}/command"), sleep).await;
    let command = format!("{session}/command/{}", accepted.body["id"]);
    let mut polled = Vec::new();
    for _ in 0..10 {
        polled.push(script.get(&command).await.body["status"].clone());
        if polled.last() == Some(&json!("complete")) {
            break;
        }
    }
    assert_eq!(polled.last(), Some(&json!("complete")), "{polled:?}");

    let mut scene = scene;
    scene.agent.kill();
    let host = scene.agent.host_id().await;
    scene.server.api().attached(host, false).await;
    let script = &scene.script;
    let opened = script.post(BASE, json!({"sensor_id": 1})).await;
    let session = format!("{BASE}/{}", opened.body["id"]);
    let mut polled = Vec::new();
    for _ in 0..10 {
        polled.push(script.get(&session).await.status);
        if polled.last() == Some(&404) {
            break;
        }
    }
    assert_eq!(polled.last(), Some(&404), "{polled:?}");
}

/// A fault as each dialect shows it for the same step.
struct Shown {
    job: Value,
    session: Value,
    script: Value,
}

async fn fail(scene: &mut Scene, step: (&str, Value), timeout: Option<&str>, command: Value) -> Shown {
    let host = scene.agent.host_id().await;
    let api = scene.server.api();
    let mut only = json!({"id": "only", step.0: step.1});
    let mut wanted = json!({"verb": step.0, "arguments": step.1});
    if let Some(timeout) = timeout {
        only["timeout"] = json!(timeout);
        wanted["timeout"] = json!(timeout);
    }
    let job = api.submit(host, json!({"name": "test", "steps": [only]})).await;
    let job = api.ended(job).await;
    let own = crate::sessions::active(&api, host).await;
    let accepted = api.post(&format!("{own}/commands"), &wanted).await;
    let path = format!("{own}/commands/{}", accepted.body["number"]);
    let session = eventually("the command ends", async || {
        let command = api.get(&format!("{path}?wait=10s")).await.body;
        command["finished_at"].is_string().then_some(command)
    })
    .await;
    let script_session = scene.script.session(1).await;
    let script = scene.script.run(&script_session, command).await;
    Shown {
        job: serde_json::to_value(&job.steps[0].error).expect("JSON"),
        session: session["error"].clone(),
        script,
    }
}

#[tokio::test]
async fn the_four_classes_of_errors_are_alike_in_every_dialect() {
    let mut scene = Scene::new(&[("artifacts.bytes_max", "1000")]).await;
    let missing = scene.site.path("missing");
    let large = scene.site.write("large", vec![7; 5000]);
    let cases = [
        (
            ("get_file", json!({"path": missing})),
            None,
            json!({"name": "get file", "object": missing}),
            ("live_response", "ENOENT", 0x8007_0002_u32),
        ),
        (
            ("create_process", json!({"command": "sleep 1000", "wait": true})),
            Some("1s"),
            json!({"name": "create process", "object": "sleep 1000", "wait": true, "timeout": 1}),
            ("timeout", "", 0x8007_05b4),
        ),
        (
            ("get_registry_value", json!({"path": "HKLM\\X"})),
            None,
            json!({"name": "reg query value", "object": "HKLM\\X"}),
            ("unsupported", "unsupported_verb", 0x8007_0032),
        ),
        (
            ("get_file", json!({"path": large})),
            None,
            json!({"name": "get file", "object": large}),
            ("server", "artifacts_full", 0x8007_0070),
        ),
    ];
    for (step, timeout, command, (class, code, number)) in cases {
        let shown = fail(&mut scene, step, timeout, command).await;
        assert_eq!(shown.job["class"], class, "{}", shown.job);
        assert_eq!(shown.session["class"], class, "{}", shown.session);
        assert_eq!(shown.script["result_code"], number, "{}", shown.script);
        let said = shown.script["result_desc"].as_str().expect("a text");
        // Agent and server both watch the time, and either may be first to say that it is over.
        if class == "timeout" {
            continue;
        }
        assert_eq!(
            (&shown.job["code"], &shown.session["code"]),
            (&json!(code), &json!(code))
        );
        assert_eq!(shown.session["text"], shown.job["text"]);
        assert_eq!(
            said,
            format!("{} ({code})", shown.job["text"].as_str().expect("a text"))
        );
    }
}
