//! An agent or the server goes away under a script's hands.

use crate::harness::{eventually, until};
use crate::scene::Scene;
use serde_json::json;
use std::path::Path;

/// A program that goes on for as long as a file exists, as text for Python's `format`.
const AT_THE_GATE: &str =
    r#"sh -c 'echo begun >> {begun}; while [ -e {gate} ]; do sleep 0.05; done; echo ended'"#;

fn lines(file: &Path) -> usize {
    std::fs::read_to_string(file).map_or(0, |text| text.lines().count())
}

#[tokio::test]
async fn an_agent_that_is_killed_in_a_command_makes_it_an_error_and_the_session_goes_on() {
    let mut scene = Scene::start().await;
    let (begun, gate) = (scene.site.path("begun"), scene.site.write("gate", ""));
    let script = scene.start_script(
        r#"
        with session() as lr:
            number = lr.session_id
            program = given.program.format(**vars(given))
            error = failure(lr.create_process, program, wait_timeout=80)
            say([error["class"], error["text"]])
            say(lr.create_process("echo again"))
            assert lr.session_id == number, "it is still the same"
        "#,
        json!({"program": AT_THE_GATE, "begun": begun, "gate": gate}),
    );
    until("the program runs", || lines(&begun) == 1).await;
    scene.agents[0].kill();
    scene.agents[0].spawn();
    let said = script.end().await;
    std::fs::remove_file(gate).expect("to open the gate");
    assert_eq!(
        said,
        [
            json!([
                "LiveResponseError",
                "Win32 error code 0x800703E3 (ERROR_OPERATION_ABORTED)"
            ]),
            json!("again\n")
        ]
    );
    assert_eq!(lines(&begun), 1, "it was not run again");
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn an_agent_that_does_not_come_back_makes_a_command_an_error_and_frees_the_slot() {
    let mut scene = Scene::start_with(&[("session.reconnect_grace", "1s")], 1).await;
    let (begun, gate) = (scene.site.path("begun"), scene.site.write("gate", ""));
    let script = scene.start_script(
        r#"
        with session() as lr:
            program = given.program.format(**vars(given))
            error = failure(lr.create_process, program, wait_timeout=80)
            say([error["class"], error["text"]])
        "#,
        json!({"program": AT_THE_GATE, "begun": begun, "gate": gate}),
    );
    until("the program runs", || lines(&begun) == 1).await;
    scene.agents[0].kill();
    let said = script.end().await;
    std::fs::remove_file(gate).expect("to open the gate");
    assert_eq!(
        said,
        [json!([
            "LiveResponseError",
            "Win32 error code 0x800703E3 (ERROR_OPERATION_ABORTED)"
        ])]
    );
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_session_waits_for_a_host_that_comes_back() {
    let mut scene = Scene::start().await;
    let host = scene.agents[0].host_id().await;
    scene.agents[0].kill();
    scene.api().attached(host, false).await;
    let script = scene.start_script(
        r#"
        with session() as lr:
            say(lr.create_process("echo back"))
        "#,
        json!({}),
    );
    eventually("the session waits for its host", async || {
        let sessions = scene.api().get("/v1/sessions").await.body;
        let session = sessions["items"].get(0)?;
        (session["waiting"]["reason"]["code"] == "host_offline").then_some(())
    })
    .await;
    scene.agents[0].spawn();
    assert_eq!(script.end().await, [json!("back\n")]);
}

#[tokio::test]
async fn a_script_goes_on_in_its_session_when_the_server_was_killed_between_two_commands() {
    let mut scene = Scene::start().await;
    let mut script = scene.start_script(
        r#"
        import io

        with session() as lr:
            number = lr.session_id
            uploaded = lr._upload_file(io.BytesIO(b"before"))
            lr.put_file(io.BytesIO(b"old"), given.path)
            wait("first")
            assert lr.get_file(given.path) == b"old"
            put = lr._lr_post_command({"name": "put file", "object": given.path, "file_id": uploaded}).json()
            lr._poll_command(put["id"])
            say(lr.create_process("echo second"))
            assert lr.session_id == number, "it is still the same"
        "#,
        json!({"path": scene.site.path("file")}),
    );
    assert_eq!(script.says().await, "first");
    scene.server.crash().await;
    script.go_on().await;
    assert_eq!(script.end().await, [json!("second\n")]);
    let content = std::fs::read(scene.site.path("file")).expect("put");
    assert_eq!(content, b"before", "what was uploaded before is still there");
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_script_goes_on_in_its_session_when_the_server_was_stopped_and_started_again() {
    let mut scene = Scene::start().await;
    let mut script = scene.start_script(
        r#"
        with session() as lr:
            number = lr.session_id
            assert lr.list_processes()
            wait("first")
            say(lr.create_process("echo second"))
            assert lr.session_id == number, "it is still the same"
        "#,
        json!({}),
    );
    assert_eq!(script.says().await, "first");
    assert!(scene.server.terminate().await.success());
    scene.server.spawn();
    scene.server.ready().await;
    script.go_on().await;
    assert_eq!(script.end().await, [json!("second\n")]);
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_program_that_ran_while_the_server_was_killed_ran_once_and_its_output_is_there() {
    let mut scene = Scene::start().await;
    let (begun, gate) = (scene.site.path("begun"), scene.site.write("gate", ""));
    let mut script = scene.start_script(
        r#"
        with session() as lr:
            program = given.program.format(**vars(given))
            command = lr._lr_post_command({"name": "create process", "object": program, "wait": True,
                                           "output_file": given.output}).json()
            wait("running")
            assert lr._poll_command(command["id"])["return_code"] == 0
            say(lr.get_file(given.output))
        "#,
        json!({"program": AT_THE_GATE, "begun": begun, "gate": gate, "output": scene.site.path("output")}),
    );
    assert_eq!(script.says().await, "running");
    until("the program runs", || lines(&begun) == 1).await;
    scene.server.kill();
    std::fs::remove_file(gate).expect("to open the gate");
    scene.server.spawn();
    scene.server.ready().await;
    script.go_on().await;
    assert_eq!(script.end().await, [json!("ended\n")]);
    assert_eq!(lines(&begun), 1);
}
