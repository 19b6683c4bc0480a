//! Processes: seen, ended and started.

use crate::harness::{eventually, until};
use crate::scene::Scene;
use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, Command};

/// A process that ends only when it is told to.
fn idler() -> Child {
    Command::new("sleep")
        .arg("86397")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("to start")
}

/// The process whose id a program wrote into a file.
async fn written_pid(file: &Path) -> u32 {
    eventually("a process id is written", async || {
        std::fs::read_to_string(file).ok()?.trim().parse().ok()
    })
    .await
}

fn runs(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // One that has ended and that nobody has waited for yet is a zombie.
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn processes_are_listed_with_every_field_that_scripts_read() {
    let scene = Scene::start().await;
    let idler = idler();
    let said = scene
        .ask(
            r#"
            with session() as lr:
                processes = lr.list_processes()
            for process in processes:
                for field in ("path", "command_line", "username", "sid", "proc_guid", "parent_guid"):
                    process[field].lower()
                for field in ("pid", "parent", "create_time"):
                    process[field] + 1
            assert len({process["pid"] for process in processes}) == len(processes)
            say([process for process in processes if process["pid"] == given.pid])
            "#,
            json!({"pid": idler.id().expect("it runs")}),
        )
        .await;
    let found = &said[0];
    assert_eq!(found["command_line"], "sleep 86397", "{said}");
    assert_eq!(found["parent"], std::process::id(), "{said}");
    assert!(
        Path::new(found["path"].as_str().expect("a path")).is_absolute(),
        "{said}"
    );
}

#[tokio::test]
async fn a_process_is_killed_and_one_that_is_not_there_is_an_error() {
    let scene = Scene::start().await;
    let (mut idler, mut other) = (idler(), idler());
    let pid = idler.id().expect("it runs");
    let mut script = scene.start_script(
        r#"
        with session() as lr:
            wait(lr.kill_process(given.pid))
            error = failure(lr.kill_process, given.pid)
            say([error["text"], error["details"]["result_desc"]])
            error = failure(lr.kill_process, "init")
            say([error["class"], error["code"], error["text"]])
            say(lr.kill_process(given.other))
        "#,
        json!({"pid": pid, "other": other.id().expect("it runs").to_string()}),
    );
    assert_eq!(script.says().await, true);
    let status = idler.wait().await.expect("its end");
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(9));
    script.go_on().await;
    let said = script.end().await;
    assert_eq!(said[2], true, "an id as text will do");
    other.wait().await.expect("its end");
    assert_eq!(
        said[0][0],
        "Win32 error code 0x80070057 (ERROR_INVALID_PARAMETER)"
    );
    assert!(said[0][1].as_str().expect("a text").contains("ESRCH"), "{said:?}");
    assert_eq!(
        (&said[1][0], &said[1][1]),
        (&json!("ClientError"), &json!(400)),
        "{said:?}"
    );
    assert!(
        said[1][2].as_str().expect("a text").contains("process id"),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_program_s_output_comes_whole_and_its_file_on_the_host_goes() {
    let scene = Scene::start().await;
    let output = scene.site.path("output");
    let said = scene
        .run(
            r#"
            with session() as lr:
                say(lr.create_process("sh -c 'echo out; echo err >&2; exit 3'", remote_output_file_name=given.output))
                say(lr.create_process("pwd", working_directory=given.folder))
                say(lr.create_process("true"))
                say(len(lr.create_process("seq 1 200000")))
                say(lr.create_process(given.quoted))
            "#,
            json!({"output": output, "folder": scene.site.path(""), "quoted": r#"printf '%s|' "a b" c\ d '$HOME'"#}),
        )
        .await;
    let folder = scene.site.path("").canonicalize().expect("a folder");
    let numbers: usize = (1..=200_000)
        .map(|number: u32| number.to_string().len() + 1)
        .sum();
    assert_eq!(
        said,
        [
            json!("out\nerr\n"),
            json!(format!("{}\n", folder.display())),
            json!(""),
            json!(numbers),
            json!("a b|c d|$HOME|"),
        ]
    );
    until("the output's file is deleted", || !output.exists()).await;
}

#[tokio::test]
async fn a_program_need_not_be_waited_for() {
    let scene = Scene::start().await;
    let (gate, done) = (scene.site.write("gate", ""), scene.site.path("done"));
    let said = scene
        .run(
            r#"
            with session() as lr:
                program = f"sh -c 'while [ -e {given.gate} ]; do sleep 0.05; done; echo done > {given.done}'"
                say(lr.create_process(program, wait_for_output=False, wait_for_completion=False))
                say(lr.create_process(f"cp /dev/null {given.done}.waited", wait_for_output=False))
                say(lr.create_process("/none/such", wait_for_output=False, wait_for_completion=False))
            "#,
            json!({"gate": gate, "done": done}),
        )
        .await;
    assert_eq!(said, [json!(null), json!(null), json!(null)]);
    assert!(
        scene.site.path("done.waited").exists(),
        "it had ended when its call returned"
    );
    assert!(!done.exists());
    std::fs::remove_file(gate).expect("to open the gate");
    until("it went on without its session", || done.exists()).await;
}

#[tokio::test]
async fn a_program_that_cannot_be_started_is_an_error() {
    let scene = Scene::start().await;
    let said = scene
        .run(
            r#"
            with session() as lr:
                for program in ("/none/such", given.folder, "sh -c 'unfinished"):
                    error = failure(lr.create_process, program)
                    say([error["class"], error["text"]])
                say(lr.create_process("echo on it goes"))
            "#,
            json!({"folder": scene.site.path("")}),
        )
        .await;
    let expected = [
        "0x80070002 (ERROR_FILE_NOT_FOUND)",
        "0x80070005 (ERROR_ACCESS_DENIED)",
        "0x80070057 (ERROR_INVALID_PARAMETER)",
    ];
    let expected = expected.map(|text| json!(["LiveResponseError", format!("Win32 error code {text}")]));
    assert_eq!(said[..3], expected);
    assert_eq!(said[3], "on it goes\n");
}

#[tokio::test]
async fn a_program_that_takes_too_long_is_a_timeout_and_ends_with_the_session() {
    let scene = Scene::start().await;
    let file = scene.site.path("pid");
    let mut script = scene.start_script(
        r#"
        with session() as lr:
            error = failure(lr.create_process, f"sh -c 'echo $$ > {given.file}; exec sleep 86397'", wait_timeout=1)
            wait([error["class"], error["text"]])
        "#,
        json!({"file": file}),
    );
    let said = script.says().await;
    assert_eq!(said[0], "TimeoutError");
    assert!(
        said[1]
            .as_str()
            .expect("a text")
            .contains("timeout polling for Live Response"),
        "{said}"
    );
    let pid = written_pid(&file).await;
    assert!(runs(pid), "the client cancels nothing");
    script.go_on().await;
    script.end().await;
    until("it is ended", || !runs(pid)).await;
}
