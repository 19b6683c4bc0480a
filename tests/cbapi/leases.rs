//! Sessions that nobody uses: they end by their lease, and a script that comes back goes on.

use crate::harness::eventually;
use crate::scene::{Scene, slots_for_sessions};
use serde_json::{Value, json};

#[tokio::test]
async fn a_script_that_exits_without_closing_loses_its_slot_to_who_waits() {
    let mut settings = slots_for_sessions("1").to_vec();
    settings.push(("slots.idle_timeout", "1s"));
    let scene = Scene::start_with(&settings, 1).await;
    let said = scene
        .run(
            r#"
            import os

            lr = session()
            say(len(lr.list_processes()) > 0)
            os._exit(0)
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said, [json!(true)]);
    let said = scene
        .ask(
            r#"
            with session() as lr:
                say(lr.create_process("echo free"))
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said, "free\n");
    let closed = scene.sessions("closed").await;
    let reasons: Vec<&Value> = closed.iter().map(|session| &session["reason"]["code"]).collect();
    assert!(reasons.contains(&&json!("idle")), "{closed:?}");
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_session_that_is_kept_alive_outlives_one_that_is_not() {
    let scene = Scene::start_with(&[("slots.idle_timeout", "3s")], 1).await;
    let mut script = scene.start_script(
        r#"
        from cbapi.response.cblr import LiveResponseSessionManager

        left = session()
        manager = LiveResponseSessionManager(connect(), timeout=0.2, keepalive_sessions=True)
        kept = manager.request_session(1)
        again = manager.request_session(1)
        wait([left.session_id, kept.session_id, again.session_id])
        number = kept.session_id
        assert kept.list_processes() and kept.session_id == number, "it is still the same"
        kept.close()
        again.close()
        wait("both are closed, so the manager closes the session")
        "#,
        json!({}),
    );
    let said = script.says().await;
    assert_eq!(said[1], said[2], "one session for the sensor");
    assert_ne!(said[0], said[1]);
    let closed = eventually("one is closed", async || {
        let closed = scene.sessions("closed").await;
        (!closed.is_empty()).then_some(closed)
    })
    .await;
    assert_eq!(
        (&closed[0]["number"], &closed[0]["reason"]["code"]),
        (&said[0], &json!("idle"))
    );
    script.go_on().await;
    script.says().await;
    eventually("both are closed", async || {
        (scene.sessions("closed").await.len() == 2).then_some(())
    })
    .await;
    script.go_on().await;
    script.end().await;
}

#[tokio::test]
async fn a_script_whose_session_ended_for_idleness_goes_on_in_another_one() {
    let scene = Scene::start_with(&[("slots.idle_timeout", "1s")], 1).await;
    let path = scene.site.path("put");
    let mut script = scene.start_script(
        r#"
        import io

        with session() as lr:
            number = lr.session_id
            uploaded = lr._upload_file(io.BytesIO(b"uploaded before"))
            wait(number)
            put = lr._lr_post_command({"name": "put file", "object": given.path, "file_id": uploaded}).json()
            lr._poll_command(put["id"])
            assert lr.session_id != number
            say(lr.get_file(given.path))
        "#,
        json!({"path": path}),
    );
    let number = script.says().await;
    eventually("the session is closed", async || {
        let closed = scene.sessions("closed").await;
        (closed.first()?["number"] == number).then_some(())
    })
    .await;
    script.go_on().await;
    assert_eq!(script.end().await, [json!("uploaded before")]);
    assert_eq!(std::fs::read(path).expect("put"), b"uploaded before");
}
