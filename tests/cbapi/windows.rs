//! What the client does otherwise with a Windows host: backslashes, and names without case.

use crate::harness::scripted::{Content, Persona};
use crate::scene::Scene;
use serde_json::json;

#[tokio::test]
async fn files_of_a_windows_host_are_walked_listed_by_patterns_and_moved_both_ways() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    for name in ["a.log", "B.LOG", "c.txt", r"Sub\d.log", r"Sub\Deeper\e.log"] {
        let path = format!(r"C:\Data\{name}");
        agent.machine().files.write(&path, Content::stored(name));
    }
    let said = scene
        .run(
            r#"
            import io

            with session() as lr:
                assert lr.os_type == 1
                names = lambda path: [entry["filename"] for entry in lr.list_directory(path)]
                say(names(r"c:\data\*.log"))
                say(names("C:\\Data\\"))
                say(sorted([top, sorted(folders), sorted(files)] for top, folders, files in lr.walk(r"C:\Data")))
                lr.put_file(io.BytesIO(b"\0\xff"), r"C:\Data\Sub\new")
                say(list(lr.get_file(r"c:\DATA\sub\NEW")))
                lr.create_directory(r"C:\Data\Made")
                say(failure(lr.create_directory, r"C:\data\made")["text"])
                say(failure(lr.delete_file, r"C:\Data\Sub")["text"])
                say(failure(lr.list_directory, r"C:\Data\a.log")["text"])
            "#,
            json!({}),
        )
        .await;
    assert_eq!(said[0], json!(["a.log", "B.LOG"]));
    assert_eq!(said[1], json!(["a.log", "B.LOG", "c.txt", "Sub"]));
    assert_eq!(
        said[2],
        json!([
            [r"C:\Data", ["Sub"], ["B.LOG", "a.log", "c.txt"]],
            [r"C:\Data\Sub", ["Deeper"], ["d.log"]],
            [r"C:\Data\Sub\Deeper", [], ["e.log"]],
        ])
    );
    assert_eq!(said[3], json!([0, 255]));
    let error = |text: &str| format!("Win32 error code {text}");
    assert_eq!(said[4], error("0x800700B7 (ERROR_ALREADY_EXISTS)"));
    assert_eq!(said[5], error("0x80070091 (ERROR_DIR_NOT_EMPTY)"));
    assert_eq!(said[6], error("0x8007010B (ERROR_DIRECTORY)"));
    let put = agent
        .machine()
        .files
        .read(r"C:\Data\Sub\new")
        .map(|content| content.to_vec());
    assert_eq!(put, Ok(vec![0, 255]));
}

#[tokio::test]
async fn programs_of_a_windows_host_print_into_its_folder_for_temporary_files_and_leave_nothing() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.add_scripted(Persona::windows("win01")).await;
    agent
        .machine()
        .processes
        .program(r#"cmd.exe /c "ver""#, "Windows\r\n", 0);
    agent.machine().processes.program("failing.exe", "", 3);
    let pid = agent.machine().processes.start(r"C:\miner.exe");
    let said = scene
        .run(
            r#"
            with session() as lr:
                say(lr.create_process(r'cmd.exe /c "ver"'))
                say(lr.create_process("failing.exe"))
                assert lr.create_process("failing.exe", wait_for_output=False, wait_for_completion=False) is None
                say(failure(lr.create_process, "absent.exe")["text"])
                say(lr.kill_process(given.pid))
                say([process["path"] for process in lr.list_processes()])
                say(failure(lr.kill_process, given.pid)["text"])
                say(failure(lr.kill_process, 4)["text"])
                say(lr.list_directory(r"C:\Windows\Temp"))
            "#,
            json!({"pid": pid}),
        )
        .await;
    let error = |text: &str| json!(format!("Win32 error code {text}"));
    assert_eq!(
        said,
        [
            json!("Windows\r\n"),
            json!(""),
            error("0x80070002 (ERROR_FILE_NOT_FOUND)"),
            json!(true),
            json!(["System", "failing.exe"]),
            error("0x80070057 (ERROR_INVALID_PARAMETER)"),
            error("0x80070005 (ERROR_ACCESS_DENIED)"),
            json!([]),
        ]
    );
}
