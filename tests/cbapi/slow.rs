//! Hosts that take their time: the client's limits, the command's own, and cancelling.

use crate::harness::scripted::{Behaviour, Content, Persona};
use crate::scene::Scene;
use reqwest::Method;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tripline_protocol::verb::Verb;

#[tokio::test]
async fn a_command_slower_than_a_held_answer_is_polled_again_and_comes() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    agent.machine().files.write(r"C:\x", Content::stored("content"));
    let slow = Behaviour::After(Duration::from_millis(1300));
    for verb in [Verb::GetFile, Verb::ListDirectory, Verb::DeleteFile] {
        agent.next(verb, [slow.clone()]);
    }
    let said = scene
        .run(
            r#"
            with session() as lr:
                say(lr.get_file(r"C:\x"))
                say(len(lr.list_directory("C:\\")))
                lr.delete_file(r"C:\x")
                say(failure(lr.get_file, r"C:\x")["text"])
            "#,
            json!({}),
        )
        .await;
    let gone = "Win32 error code 0x80070002 (ERROR_FILE_NOT_FOUND)";
    assert_eq!(said, [json!("content"), json!(2), json!(gone)]);
}

#[tokio::test]
async fn the_client_gives_up_by_its_own_limits_and_the_command_goes_on_until_its_session_closes() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    let gate = Arc::new(Semaphore::new(0));
    agent.machine().files.write(r"C:\x", Content::stored("content"));
    for verb in [Verb::GetFile, Verb::CreateProcess] {
        agent.next(verb, [Behaviour::When(Arc::clone(&gate))]);
    }
    agent.next(Verb::KillProcess, [Behaviour::Never]);
    agent.machine().processes.program("cmd.exe", "", 0);
    let pid = agent.machine().processes.start("miner.exe");
    let mut script = scene.start_script(
        r#"
        import threading

        said = {}

        def try_it(name, lr, call):
            try:
                said[name] = call(lr)
            except Exception as error:
                said[name] = type(error).__name__

        calls = {
            "get": lambda lr: lr.get_raw_file(r"C:\x", timeout=1, delay=0.1),
            "create": lambda lr: lr.create_process("cmd.exe", wait_timeout=1),
            "kill": lambda lr: lr.kill_process(given.pid),
        }
        sessions = [session() for _ in calls]
        threads = [threading.Thread(target=try_it, args=(name, lr, call))
                   for (name, call), lr in zip(calls.items(), sessions)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        wait(said)
        # The command that the client gave up on is done now, and the next one of its session is next.
        say(sessions[0].get_file(r"C:\x"))
        sessions[2].close()
        wait("closed")
        sessions[0].close()
        sessions[1].close()
        "#,
        json!({"pid": pid}),
    );
    let expected = json!({"get": "TimeoutError", "create": "TimeoutError", "kill": false});
    assert_eq!(script.says().await, expected);
    assert_eq!(agent.seen().cancellations, 0);
    gate.add_permits(1);
    gate.add_permits(1);
    script.go_on().await;
    assert_eq!(script.says().await, "content");
    assert_eq!(script.says().await, "closed");
    assert!(agent.until(|seen| seen.cancellations == 1).await);
    assert!(agent.machine().processes.has(pid));
    script.go_on().await;
    script.end().await;
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_command_that_is_given_too_little_time_is_an_error_that_says_so() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    // One agent ends it at its deadline, the other has to be told.
    let endings = [Behaviour::After(Duration::from_secs(3600)), Behaviour::Never];
    agent.next(Verb::ListProcesses, endings);
    let said = scene
        .run(
            r#"
            with session() as lr:
                for _ in range(2):
                    posted = lr._lr_post_command({"name": "process list", "timeout": 1}).json()
                    error = failure(lr._poll_command, posted["id"])
                    say([error["class"], error["text"]])
                assert lr.list_processes()
            "#,
            json!({}),
        )
        .await;
    let timeout = json!(["LiveResponseError", "Win32 error code 0x800705B4 (ERROR_TIMEOUT)"]);
    assert_eq!(said, [timeout.clone(), timeout]);
    assert_eq!(agent.seen().cancellations, 1);
}

#[tokio::test]
async fn a_command_that_is_cancelled_while_a_script_waits_for_it_is_an_error_there() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    agent.next(Verb::ListProcesses, [Behaviour::Never, Behaviour::Never]);
    let mut script = scene.start_script(
        r#"
        import threading

        cb = connect()
        with session() as lr:
            say(lr.session_id)
            for _ in range(2):
                error = failure(lr.list_processes)
                say([error["class"], error["text"]])
            wait("both are cancelled")
            # A program beside it may cancel by the dialect, too.
            posted = lr._lr_post_command({"name": "process list"}).json()
            url = f"/api/v1/cblr/session/{lr.session_id}/command/{posted['id']}"
            cb.put_object(url, {"status": "cancel"})
            say(failure(lr._poll_command, posted["id"])["text"])
            assert lr.list_processes()
        "#,
        json!({}),
    );
    let session = script.says().await;
    for count in 1..=2 {
        assert!(agent.until(|seen| seen.commands.len() == count).await);
        let path = format!("/v1/sessions/{session}/commands/{count}");
        let cancelled = scene.api().request(Method::DELETE, &path).send().await;
        assert_eq!(cancelled.expect("an answer").status(), 200);
        let cancelled = json!([
            "LiveResponseError",
            "Win32 error code 0x800704C7 (ERROR_CANCELLED)"
        ]);
        assert_eq!(script.says().await, cancelled);
    }
    assert_eq!(script.says().await, "both are cancelled");
    agent.next(Verb::ListProcesses, [Behaviour::Never]);
    script.go_on().await;
    assert_eq!(
        script.says().await,
        "Win32 error code 0x800704C7 (ERROR_CANCELLED)"
    );
    script.end().await;
    assert_eq!(agent.seen().cancellations, 3);
}
