//! Errors by their class and their text: scripts catch the one and people read the other.

use crate::harness::{eventually, free_port};
use crate::scene::Scene;
use reqwest::Method;
use serde_json::json;

#[tokio::test]
async fn a_connection_that_cannot_be_is_refused_for_its_reason() {
    let scene = Scene::start_with(&[], 0).await;
    let said = scene
        .run(
            r#"
            for settings in ({"token": "wrong"}, {"url": given.plain}, {"url": given.nobody}, {"ssl_cert_file": None}):
                error = failure(connect, **settings)
                say([error["class"], error["text"]])
            connect(ssl_cert_file=None, ssl_verify=False).info()
            say(connect().info()["cblrEnabled"])
            "#,
            json!({"plain": scene.server.url(), "nobody": format!("https://127.0.0.1:{}", free_port())}),
        )
        .await;
    let classes: Vec<&str> = said[..4].iter().filter_map(|said| said[0].as_str()).collect();
    assert_eq!(
        classes,
        [
            "UnauthorizedError",
            "ConnectionError",
            "ConnectionError",
            "ConnectionError"
        ]
    );
    assert!(
        said[0][1].as_str().expect("a text").contains("API Credentials"),
        "{said:?}"
    );
    assert_eq!(said[4], true);
}

#[tokio::test]
async fn a_viewer_s_token_sees_sensors_and_opens_no_session() {
    let scene = Scene::start().await;
    let token = scene
        .api()
        .create_token(json!({"name": "auditor", "role": "viewer"}))
        .await;
    let said = scene
        .run(
            r#"
            sensor = connect().select(Sensor).first()
            say(sensor.status)
            for call in (sensor.lr_session, sensor.isolate):
                error = failure(call)
                say([error["class"], error["code"]])
                assert "operator" in error["text"], error
            "#,
            json!({"token": token}),
        )
        .await;
    assert_eq!(
        said,
        [
            json!("Online"),
            json!(["ClientError", 403]),
            json!(["ClientError", 403])
        ]
    );
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_token_that_is_revoked_ends_a_script_at_its_next_call() {
    let scene = Scene::start().await;
    let token = scene.operator("former").await;
    let mut script = scene.start_script(
        r#"
        lr = session()
        wait("at work")
        for call in (lr.list_processes, connect):
            say(failure(call)["class"])
        "#,
        json!({"token": token}),
    );
    assert_eq!(script.says().await, "at work");
    let tokens = scene.api().get("/v1/tokens").await.body;
    let tokens = tokens["items"].as_array().expect("a list").iter();
    let former = tokens
        .clone()
        .find(|token| token["name"] == "former")
        .expect("it");
    let path = format!("/v1/tokens/{}", former["id"].as_str().expect("an id"));
    let revoked = scene.api().request(Method::DELETE, &path).send().await;
    assert!(revoked.expect("an answer").status().is_success());
    script.go_on().await;
    assert_eq!(script.end().await, ["UnauthorizedError", "UnauthorizedError"]);
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let scene = Scene::start().await;
    let said = scene
        .run(
            r#"
            from cbapi.response import Alert, Binary, Feed, Process, Watchlist

            cb = connect()
            absent = cb.select(Sensor, 99)
            calls = [
                (getattr, absent, "status"),
                (cb.live_response.request_session, 99),
                (list, cb.select(Process).where("process_name:x")),
                (list, cb.select(Binary).where("md5:x")),
                (list, cb.select(Alert)),
                (list, cb.select(Feed)),
                (list, cb.select(Watchlist)),
            ]
            for call, *arguments in calls:
                error = failure(call, *arguments)
                say([error["class"], error["text"]])
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said.len(), 7);
    for (at, said) in said.iter().enumerate() {
        assert_eq!(said[0], "ObjectNotFoundError", "{said}");
        let word = if at < 2 {
            "Sensor 99 not found"
        } else {
            "Not offered here"
        };
        assert!(said[1].as_str().expect("a text").contains(word), "{said}");
    }
}

#[tokio::test]
async fn what_the_host_does_not_offer_is_not_asked_for() {
    let scene = Scene::start().await;
    scene
        .run(
            r#"
            with session() as lr:
                keys = r"HKLM\Software\X"
                calls = [
                    (lr.list_registry_keys_and_values, keys),
                    (lr.list_registry_keys, keys),
                    (lr.get_registry_value, keys),
                    (lr.set_registry_value, keys, 1),
                    (lr.create_registry_key, keys),
                    (lr.delete_registry_key, keys),
                    (lr.delete_registry_value, keys),
                ]
                for call, *arguments in calls:
                    error = failure(call, *arguments)
                    assert error["class"] == "ApiError", error
                    assert error["text"].endswith("not supported by this sensor"), error
            "#,
            json!({}),
        )
        .await;
}

#[tokio::test]
async fn a_command_that_makes_no_sense_is_the_client_s_error_and_the_session_goes_on() {
    let scene = Scene::start().await;
    let said = scene
        .run(
            r#"
            with session() as lr:
                for call, argument in [(lr.get_file, "/a\0b"), (lr.delete_file, ""), (lr.list_directory, 7),
                                       (lr.kill_process, -1), (lr.create_process, ["ls"])]:
                    error = failure(call, argument)
                    say([error["class"], error["code"]])
                error = failure(lr._lr_post_command, {"name": "put file", "object": "/tmp/x", "file_id": 4000000})
                say([error["class"], error["text"]])
                number = lr.session_id
                say(failure(lr.get_file, "/" + "x" * 100_000)["text"])
                assert lr.list_processes() and lr.session_id == number, "it is still the same"
            "#,
            json!({}),
        )
        .await;
    for said in &said[..5] {
        assert_eq!(*said, json!(["ClientError", 400]));
    }
    assert_eq!(
        said[5..],
        [
            json!([
                "ApiError",
                "Received 404 error from server: File 4000000 not found"
            ]),
            json!("Win32 error code 0x800700CE (ERROR_FILENAME_EXCED_RANGE)")
        ]
    );
}

#[tokio::test]
async fn a_session_with_a_host_that_stays_away_times_out() {
    let mut scene = Scene::start_with(&[("session.wait_timeout", "2s")], 1).await;
    let host = scene.agents[0].host_id().await;
    scene.agents[0].kill();
    scene.api().attached(host, false).await;
    let said = scene
        .ask(
            r#"
            error = failure(session)
            say([error["class"], error["code"], error["text"]])
            "#,
            json!({}),
        )
        .await;
    assert_eq!((&said[0], &said[1]), (&json!("TimeoutError"), &json!(404)));
    assert!(
        said[2]
            .as_str()
            .expect("a text")
            .contains("Could not establish session with sensor 1"),
        "{said}"
    );
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_server_without_room_says_so() {
    let mut scene = Scene::start().await;
    scene.server.kill();
    scene.server.set("disk.free_min", "1000000GiB");
    scene.server.spawn();
    scene.server.listening().await;
    eventually("nothing but the disk is missing", async || {
        let told = scene.api().try_get("/readyz").await?.body;
        (told["broker"] == true && told["disk"] == false).then_some(())
    })
    .await;
    let text = r#"
        error = failure(session)
        say([error["class"], error["code"], error["text"]])
        "#;
    let said = scene.ask(text, json!({})).await;
    assert_eq!(
        (&said[0], &said[1]),
        (&json!("ServerError"), &json!(503)),
        "{said}"
    );
    assert!(said[2].as_str().expect("a text").contains("disk"), "{said}");
}

#[tokio::test]
async fn a_session_that_was_closed_can_be_closed_again_and_a_command_opens_another() {
    let scene = Scene::start().await;
    scene
        .run(
            r#"
            lr = session()
            number = lr.session_id
            lr.close()
            lr.close()
            assert lr.list_processes() and lr.session_id != number
            lr.close()
            "#,
            json!({}),
        )
        .await;
    scene.api().all_slots_free().await;
}
