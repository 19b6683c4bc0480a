//! Commands that fail on their host: the class of the exception, its text, and what is beside it.

use crate::harness::scripted::{Behaviour, Content, Persona};
use crate::scene::Scene;
use serde_json::{Value, json};
use tripline_protocol::Fault;
use tripline_protocol::verb::Verb;

#[tokio::test]
async fn each_class_of_errors_is_shown_by_the_number_that_the_client_can_read() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    let faults = [
        (
            Fault::live_response("ENOENT", "a"),
            "0x80070003 (ERROR_PATH_NOT_FOUND)",
        ),
        (
            Fault::live_response("EACCES", "b"),
            "0x80070005 (ERROR_ACCESS_DENIED)",
        ),
        (
            Fault::live_response("EWEIRD", "c"),
            "0x8007001F (ERROR_GEN_FAILURE)",
        ),
        (
            Fault::live_response("0x80070020", "d"),
            "0x80070020 (ERROR_SHARING_VIOLATION)",
        ),
        (
            Fault::live_response("0x5", "e"),
            "0x80070005 (ERROR_ACCESS_DENIED)",
        ),
        (
            Fault::timeout("command_timeout", "f"),
            "0x800705B4 (ERROR_TIMEOUT)",
        ),
        (
            Fault::unsupported("unsupported_verb", "g"),
            "0x80070032 (ERROR_NOT_SUPPORTED)",
        ),
        (
            Fault::unsupported("path_denied", "h"),
            "0x80070005 (ERROR_ACCESS_DENIED)",
        ),
        (
            Fault::unsupported("protected_process", "i"),
            "0x80070005 (ERROR_ACCESS_DENIED)",
        ),
        (
            Fault::unsupported("read_only", "j"),
            "0x80070013 (ERROR_WRITE_PROTECT)",
        ),
        (
            Fault::server("whatever", "k"),
            "0x8007054F (ERROR_INTERNAL_ERROR)",
        ),
    ];
    let behaviours = faults.iter().map(|(fault, _)| Behaviour::Fail(fault.clone()));
    agent.next(Verb::ListDirectory, behaviours);
    let said = scene
        .run(
            r#"
            with session() as lr:
                for _ in range(given.count):
                    error = failure(lr.list_directory, "C:\\")
                    details = error["details"]
                    say([error["class"], error["text"], details["result_desc"], details["result_type"]])
                assert lr.list_directory("C:\\"), "the session goes on"
            "#,
            json!({"count": faults.len()}),
        )
        .await;
    for ((fault, text), said) in faults.iter().zip(&said) {
        let text = format!("Win32 error code {text}");
        assert_eq!(
            *said,
            json!(["LiveResponseError", text, fault.to_string(), "WinHresult"])
        );
    }
    assert_eq!(said.len(), faults.len());
}

#[tokio::test]
async fn every_verb_that_fails_raises_the_client_s_error_and_leaves_the_session_usable() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    agent.machine().files.write(r"C:\x", Content::stored("content"));
    let denied = Fault::live_response("0x80070005", "Access is denied.");
    for verb in Verb::ALL {
        agent.next(*verb, [Behaviour::Fail(denied.clone())]);
    }
    let before = agent
        .machine()
        .files
        .read(r"C:\x")
        .map(|content| content.to_vec());
    let said = scene
        .run(
            r#"
            import io

            with session() as lr:
                key = r"HKLM\Acme\Level"
                calls = [
                    (lr.get_file, r"C:\x"),
                    (lr.put_file, io.BytesIO(b"other"), r"C:\x"),
                    (lr.delete_file, r"C:\x"),
                    (lr.list_directory, "C:\\"),
                    (lr.create_directory, r"C:\new"),
                    (lr.list_processes,),
                    (lr.kill_process, 1004),
                    (lr.create_process, "cmd.exe"),
                    (lr.list_registry_keys_and_values, key),
                    (lr.get_registry_value, key),
                    (lr.set_registry_value, key, 1),
                    (lr.create_registry_key, key),
                    (lr.delete_registry_key, key),
                    (lr.delete_registry_value, key),
                    (lr.memdump, "dump"),
                ]
                for call, *arguments in calls:
                    error = failure(call, *arguments)
                    assert error["class"] == "LiveResponseError", error
                    assert error["text"] == "Win32 error code 0x80070005 (ERROR_ACCESS_DENIED)", error
                    say(call.__name__)
                say(lr.get_file(r"C:\x"))
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said.len(), 16);
    assert_eq!(said[15], "content");
    let after = agent
        .machine()
        .files
        .read(r"C:\x")
        .map(|content| content.to_vec());
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_file_that_did_not_arrive_as_it_was_is_an_error_and_no_file() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    agent.machine().files.write(r"C:\x", Content::stored("content"));
    agent.next(Verb::GetFile, [Behaviour::WrongHash]);
    let said: Vec<Value> = scene
        .run(
            r#"
            with session() as lr:
                say(failure(lr.get_file, r"C:\x")["text"])
                base = f"/api/v1/cblr/session/{lr.session_id}"
                for file in lr._cb.get_object(base + "/file"):
                    error = failure(lr._cb.session.get, f"{base}/file/{file['id']}/content")
                    assert error["class"] == "ObjectNotFoundError", error
                say(lr.get_file(r"C:\x"))
            "#,
            json!({}),
        )
        .await;
    let text = "Win32 error code 0x8007054F (ERROR_INTERNAL_ERROR)";
    assert_eq!(said, [text, "content"]);
}
