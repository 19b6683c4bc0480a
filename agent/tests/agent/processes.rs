//! list_processes, kill_process, create_process.

use crate::support::{Run, alive, fault, is_root, output, wait_until};
use serde_json::{Value, json};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use tripline_agent::platform;
use tripline_agent::stop::Cause;
use tripline_protocol::FaultClass;
use tripline_protocol::verb::Verb;

/// A child that is killed when the test ends.
struct Sleeper(Child);

impl Sleeper {
    fn new() -> Self {
        Self(Command::new("sleep").arg("1000").spawn().unwrap())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn process(listed: &Value, pid: u32) -> &Value {
    let all = listed["processes"].as_array().unwrap();
    all.iter().find(|process| process["pid"] == pid).expect("listed")
}

fn no_nulls(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Array(items) => items.iter().all(no_nulls),
        Value::Object(fields) => fields.values().all(no_nulls),
        _ => true,
    }
}

#[test]
fn processes_have_every_field_and_no_nulls() {
    let sleeper = Sleeper::new();
    wait_until("sleep runs", || {
        std::fs::read(format!("/proc/{}/cmdline", sleeper.0.id()))
            .unwrap()
            .starts_with(b"sleep")
    });
    let listed = output(Verb::ListProcesses, json!({}));
    assert!(no_nulls(&listed));
    let own = process(&listed, std::process::id());
    let child = process(&listed, sleeper.0.id());
    assert_eq!(child["command_line"], "sleep 1000");
    assert_eq!(child["parent"], std::process::id());
    assert_eq!(child["parent_guid"], own["proc_guid"]);
    assert_eq!(child["sid"], rustix::process::getuid().as_raw().to_string());
    assert!(child["path"].as_str().unwrap().starts_with('/'));
    assert!(child["create_time"].as_i64().unwrap() >= own["create_time"].as_i64().unwrap());
    if is_root() {
        assert_eq!(child["username"], "root");
    }
    let again = output(Verb::ListProcesses, json!({}));
    assert_eq!(process(&again, sleeper.0.id())["proc_guid"], child["proc_guid"]);
}

#[test]
fn processes_that_vanish_while_listed_are_left_out() {
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                assert!(Command::new("true").status().unwrap().success());
            }
        });
        for _ in 0..50 {
            let listed = Run::default().done(Verb::ListProcesses, json!({}));
            let listed = listed
                .inspect_err(|_| stop.store(true, Ordering::Relaxed))
                .unwrap()
                .output;
            process(&listed, std::process::id());
            assert!(no_nulls(&listed));
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_process_is_killed_and_gone_when_the_verb_returns() {
    let sleeper = Sleeper::new();
    let pid = sleeper.0.id();
    let listed = output(Verb::ListProcesses, json!({}));
    let start = process(&listed, pid)["create_time"].clone();
    output(Verb::KillProcess, json!({ "pid": pid, "start_time": start }));
    assert!(!alive(pid));
}

#[test]
fn a_recycled_pid_is_not_killed() {
    let sleeper = Sleeper::new();
    let pid = sleeper.0.id();
    let fault = fault(
        Verb::KillProcess,
        json!({ "pid": pid, "start_time": 1_000_000_000 }),
    );
    assert_eq!(
        (fault.class, &*fault.code),
        (FaultClass::LiveResponse, "recycled_pid")
    );
    assert!(alive(pid));
}

#[test]
fn what_is_not_there_or_protected_is_not_killed() {
    assert_eq!(
        fault(Verb::KillProcess, json!({ "pid": 1 })).code,
        "protected_process"
    );
    assert_eq!(
        fault(Verb::KillProcess, json!({ "pid": std::process::id() })).code,
        "protected_process"
    );
    assert_eq!(fault(Verb::KillProcess, json!({ "pid": u32::MAX })).code, "ESRCH");
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let fault = fault(Verb::KillProcess, json!({ "pid": gone.id() }));
    assert_eq!((fault.class, &*fault.code), (FaultClass::LiveResponse, "ESRCH"));
}

#[test]
fn a_program_gives_its_output_and_exit_code() {
    let outcome = output(
        Verb::CreateProcess,
        json!({
            "argv": ["sh", "-c", "echo \"$GREETING from $PWD\"; echo oops >&2; exit 7"],
            "environment": { "GREETING": "hi" }, "working_directory": "/usr",
        }),
    );
    assert_eq!(outcome["exit_code"], 7);
    assert_eq!(
        outcome["stdout"],
        json!({ "text": "hi from /usr\n", "truncated_bytes": 0 })
    );
    assert_eq!(outcome["stderr"]["text"], "oops\n");
    let killed = output(Verb::CreateProcess, json!({ "argv": ["sh", "-c", "kill -9 $$"] }));
    assert_eq!(
        (&killed["signal"], &killed["exit_code"]),
        (&json!(9), &Value::Null)
    );
}

#[test]
fn a_command_is_split_into_words_and_no_shell_expands_it() {
    let outcome = output(
        Verb::CreateProcess,
        json!({ "command": "printf '%s|' 'a b' $HOME * \"c;d\"" }),
    );
    assert_eq!(outcome["stdout"]["text"], "a b|$HOME|*|c;d|");
    assert_eq!(
        fault(Verb::CreateProcess, json!({ "command": "echo 'open" })).code,
        "EINVAL"
    );
}

#[test]
fn a_program_that_cannot_start_says_why() {
    for wait in [true, false] {
        let code = |args: Value| {
            let mut args = args;
            args["wait"] = wait.into();
            fault(Verb::CreateProcess, args).code
        };
        assert_eq!(code(json!({ "argv": ["/no/such/program"] })), "ENOENT");
        assert_eq!(code(json!({ "argv": ["/etc/passwd"] })), "EACCES");
        assert_eq!(
            code(json!({ "argv": ["true"], "working_directory": "/no/such" })),
            "ENOENT"
        );
        assert_eq!(
            code(json!({ "argv": ["true"], "working_directory": "/etc/passwd" })),
            "ENOTDIR"
        );
        assert_eq!(
            code(json!({ "argv": ["true"], "working_directory": "tmp" })),
            "EINVAL"
        );
    }
}

#[test]
fn a_huge_output_is_cut_and_counted() {
    let run = Run::default();
    let done = run
        .done(
            Verb::CreateProcess,
            json!({ "argv": ["sh", "-c", "yes | head -c 50000000"] }),
        )
        .unwrap();
    let kept = done.output["stdout"]["text"].as_str().unwrap().len();
    assert_eq!(kept, 64 * 1024);
    assert_eq!(done.output["stdout"]["truncated_bytes"], 50_000_000 - 64 * 1024);
    assert_eq!(done.truncated_bytes, 50_000_000 - 64 * 1024);
    assert_eq!(done.output["exit_code"], 0);
    let few = output(
        Verb::CreateProcess,
        json!({ "command": "echo abcdef", "output_bytes_max": 3 }),
    );
    assert_eq!(few["stdout"], json!({ "text": "abc", "truncated_bytes": 4 }));
}

#[test]
fn a_file_takes_the_whole_output_in_its_order_and_nothing_is_captured() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    std::fs::write(&file, "what was there before and is longer than what comes").unwrap();
    let script = "echo one; echo two >&2; yes | head -c 200000; exit 3";
    let run = json!({ "argv": ["sh", "-c", script], "output_path": file });
    let outcome = output(Verb::CreateProcess, run);
    assert_eq!(outcome["exit_code"], 3);
    assert_eq!((outcome.get("stdout"), outcome.get("stderr")), (None, None));
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("one\ntwo\ny\n"));
    assert_eq!(text.len(), 200_008);
}

#[test]
fn the_file_for_the_output_is_there_even_when_there_is_none() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    output(
        Verb::CreateProcess,
        json!({ "command": "true", "output_path": file }),
    );
    assert_eq!(std::fs::read(&file).unwrap(), b"");
}

#[test]
fn a_program_not_waited_for_writes_to_its_file_too() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    output(
        Verb::CreateProcess,
        json!({ "command": "echo later", "wait": false, "output_path": file }),
    );
    wait_until("it has written", || std::fs::read(&file).unwrap() == b"later\n");
}

#[test]
fn a_program_that_cannot_start_leaves_no_file_for_its_output() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("out");
    let run = json!({ "command": "/no/such/program", "output_path": file });
    assert_eq!(fault(Verb::CreateProcess, run).code, "ENOENT");
    assert!(!file.exists());
}

#[test]
fn output_goes_to_a_regular_file_only_and_through_no_symlink() {
    let dir = tempfile::tempdir().unwrap();
    let (link, target) = (dir.path().join("link"), dir.path().join("target"));
    std::fs::write(&target, "kept").unwrap();
    std::os::unix::fs::symlink(&target, &link).unwrap();
    for (path, code) in [
        (link, "ELOOP"),
        ("/dev/null".into(), "not_a_regular_file"),
        (dir.path().to_owned(), "EISDIR"),
        ("relative".into(), "EINVAL"),
        (dir.path().join("no/such"), "ENOENT"),
    ] {
        let run = json!({ "command": "echo overwritten", "output_path": path });
        assert_eq!(fault(Verb::CreateProcess, run).code, code, "{path:?}");
    }
    assert_eq!(std::fs::read(&target).unwrap(), b"kept");
}

#[test]
fn output_that_is_no_text_is_base64() {
    let outcome = output(Verb::CreateProcess, json!({ "argv": ["printf", "\\377\\000"] }));
    assert_eq!(outcome["stdout"], json!({ "b64": "/wA=", "truncated_bytes": 0 }));
}

/// Writes the pids of itself and of a grandchild that ignores SIGTERM and keeps the output open.
const FAMILY: &str =
    "(trap '' TERM; sleep 1000 & echo $! >>$PIDS; wait; sleep 1000) & echo $! >>$PIDS; echo $$ >>$PIDS; wait";

fn family(dir: &tempfile::TempDir) -> Value {
    let pids = dir.path().join("pids");
    json!({ "argv": ["sh", "-c", FAMILY], "environment": { "PIDS": pids } })
}

fn pids(dir: &tempfile::TempDir) -> Vec<u32> {
    let text = std::fs::read_to_string(dir.path().join("pids")).unwrap_or_default();
    text.lines().map(|line| line.parse().unwrap()).collect()
}

fn gone(dir: &tempfile::TempDir) {
    let pids = pids(dir);
    assert_eq!(pids.len(), 3);
    wait_until("the whole family is gone", || pids.iter().all(|pid| !alive(*pid)));
}

#[test]
fn its_timeout_ends_the_whole_process_group() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = family(&dir);
    args["timeout"] = "1s".into();
    let fault = fault(Verb::CreateProcess, args);
    assert_eq!(
        (fault.class, &*fault.code),
        (FaultClass::Timeout, "process_timeout")
    );
    gone(&dir);
}

#[test]
fn the_deadline_ends_the_whole_process_group_and_reports_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut args = family(&dir);
    args["argv"][2] = format!("echo so far; {FAMILY}").into();
    let fault = Run::within(Duration::from_secs(1)).fault(Verb::CreateProcess, args);
    assert_eq!(
        (fault.class, &*fault.code),
        (FaultClass::Timeout, "command_timeout")
    );
    assert_eq!(fault.detail.unwrap()["stdout"]["text"], "so far\n");
    gone(&dir);
}

#[test]
fn a_cancellation_ends_the_whole_process_group() {
    let dir = tempfile::tempdir().unwrap();
    let run = Arc::new(Run::default());
    let (running, args) = (run.clone(), family(&dir));
    let thread = std::thread::spawn(move || running.fault(Verb::CreateProcess, args));
    wait_until("the family is there", || pids(&dir).len() == 3);
    run.stop.set(Cause::Cancelled);
    assert_eq!(thread.join().unwrap().code, "cancelled");
    gone(&dir);
}

#[test]
fn who_keeps_the_output_open_after_the_end_is_ended_too() {
    let dir = tempfile::tempdir().unwrap();
    let pids_file = dir.path().join("pids");
    let outcome = output(
        Verb::CreateProcess,
        json!({ "argv": ["sh", "-c", "sleep 1000 & echo $! >$PIDS; echo done"], "environment": { "PIDS": pids_file } }),
    );
    assert_eq!(
        (&outcome["exit_code"], &outcome["stdout"]["text"]),
        (&json!(0), &json!("done\n"))
    );
    let pid = pids(&dir)[0];
    wait_until("the grandchild is gone", || !alive(pid));
}

#[test]
fn a_program_not_waited_for_goes_on_in_its_own_session_and_leaves_no_zombie() {
    let outcome = output(
        Verb::CreateProcess,
        json!({ "argv": ["sleep", "1000"], "wait": false }),
    );
    let pid = outcome["pid"].as_u64().unwrap() as u32;
    assert!(alive(pid));
    assert!(outcome.get("exit_code").is_none() && outcome.get("stdout").is_none());
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let session: u32 = stat
        .rsplit_once(") ")
        .unwrap()
        .1
        .split(' ')
        .nth(3)
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(session, pid);
    output(Verb::KillProcess, json!({ "pid": pid }));
    wait_until("it is reaped", || {
        !std::path::Path::new(&format!("/proc/{pid}")).exists()
    });
}

#[test]
fn what_an_interrupted_command_left_is_ended_and_nobody_else() {
    let run = Arc::new(Run::default());
    let group = Arc::new(AtomicU32::new(0));
    let (running, started) = (run.clone(), group.clone());
    let thread = std::thread::spawn(move || {
        let args = json!({ "argv": ["sleep", "1000"] });
        running.done_telling(Verb::CreateProcess, args, &|pid| {
            started.store(pid, Ordering::SeqCst)
        })
    });
    wait_until("it is started", || group.load(Ordering::SeqCst) != 0);
    let group = group.load(Ordering::SeqCst);
    let platform = platform::native();
    let other = tripline_protocol::CommandId(uuid::Uuid::new_v4());
    assert_eq!(platform.end_leftovers(other, group), 0);
    assert_eq!(platform.end_leftovers(run.id, group + 1), 0);
    assert_eq!(platform.end_leftovers(run.id, group), 1);
    assert_eq!(thread.join().unwrap().unwrap().output["signal"], 9);
}
