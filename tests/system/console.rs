//! The console, `tripline session open`, by people at a terminal and by scripts.

use crate::harness::{AgentProcess, Api, Server, Site, eventually, free_port, tripline, until};
use crate::terminal::Terminal;
use reqwest::Method;
use serde_json::{Value, json};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tripline_protocol::HostId;

/// A name that would clear the screen and give the window another title.
const HOSTILE: &[u8] = b"hostile\x1b[2J\x1b]0;pwned\x07\xff.txt";

/// The console as a person starts it, in a folder and with a state directory of the test's own.
fn console(site: &Site, server: &Server, host: impl ToString) -> Command {
    let here = site.path("here");
    std::fs::create_dir_all(&here).expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_tripline"));
    for name in ["TRIPLINE_SERVER", "TRIPLINE_TOKEN", "NO_COLOR"] {
        command.env_remove(name);
    }
    command
        .args(["session", "open", &host.to_string()])
        .arg("--data-dir")
        .arg(server.data_dir())
        .current_dir(here)
        .env("XDG_STATE_HOME", site.path("state"))
        .env("TERM", "xterm");
    command
}

async fn scene(site: &Site, settings: &[(&str, &str)]) -> (Server, AgentProcess, HostId) {
    let server = Server::start(site, settings).await;
    let mut agent = AgentProcess::start(site, &server, "a").await;
    let host = agent.host_id().await;
    (server, agent, host)
}

/// Sessions that have not ended.
async fn open_sessions(api: &Api) -> Vec<Value> {
    let sessions = api.get("/v1/sessions?open=true").await.body;
    sessions["items"].as_array().expect("a list").clone()
}

#[tokio::test]
async fn a_person_looks_around_and_moves_files_with_completion_and_bars() {
    let site = Site::new().await;
    let (server, _agent, host) = scene(&site, &[]).await;
    let content: Vec<u8> = (0..5_000_000_u32).map(|at| (at % 251) as u8).collect();
    site.write("remote/evidence folder/dump.bin", &content);
    site.write("here/tool", "a tool\n");
    let remote = site.path("remote");
    let mut terminal = Terminal::start(&console(&site, &server, host));
    terminal.sees("help shows the commands").await;
    terminal.sees(":/> ").await;
    // A command by Tab, then a path of the host: the folder's name has a blank, and is quoted.
    terminal.types("pw");
    terminal.tab();
    terminal.enters("");
    terminal.sees("pwd").await;
    terminal.sees("\n/\n").await;
    terminal.enters(&format!("cd {}", remote.display()));
    terminal.sees(&format!(":{}> ", remote.display())).await;
    terminal.types("cd ev");
    terminal.tab();
    terminal.sees("'evidence folder/'").await;
    terminal.enters("");
    terminal.sees("evidence folder'> ").await;
    terminal.enters("ls");
    terminal.sees("5000000").await;
    terminal.sees("dump.bin").await;
    terminal.sees("> ").await;
    terminal.types("get du");
    terminal.tab();
    terminal.enters("");
    terminal
        .sees("dump.bin [██████████████████████████████] 4.77 MiB/4.77 MiB")
        .await;
    terminal.sees("dump.bin: 5000000 bytes, sha256 ").await;
    terminal.sees("> ").await;
    assert!(std::fs::read(site.path("here/dump.bin")).expect("fetched") == content);
    // A local path by Tab.
    terminal.types("put too");
    terminal.tab();
    terminal.enters("--mode 755");
    terminal.sees("] 7 B/7 B").await;
    terminal.sees("tool': 7 bytes").await;
    terminal.sees("> ").await;
    let put = remote.join("evidence folder/tool");
    assert_eq!(std::fs::read(&put).expect("put"), b"a tool\n");
    let mode = std::fs::metadata(&put).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
    // Neither side is replaced by accident.
    terminal.enters("get dump.bin");
    terminal.sees("get -f replaces it").await;
    terminal.enters("put tool");
    terminal.sees("put -f replaces it").await;
    terminal.enters("cat tool");
    terminal.sees("\na tool\n").await;
    terminal.enters("rm tool");
    until("the file is removed", || !put.exists()).await;
    terminal.sees("> ").await;
    terminal.ctrl_d().await;
    terminal.sees("closed").await;
    assert!(terminal.end().await.success());
    server.api().all_slots_free().await;
}

#[tokio::test]
async fn programs_run_with_output_and_exit_code_and_ctrl_c_ends_them_and_not_the_session() {
    let site = Site::new().await;
    let (server, _agent, host) = scene(&site, &[]).await;
    let mut terminal = Terminal::start(&console(&site, &server, host));
    terminal.sees(":/> ").await;
    terminal.enters("exec sh -c 'echo out; echo err >&2; pwd; exit 3'");
    terminal.sees("\nout\n/\nerr\nexit code 3\n").await;
    terminal.enters("cd /tmp");
    terminal.sees(":/tmp> ").await;
    terminal.enters("exec --no-wait true");
    terminal.sees("runs as process ").await;
    let pid_file = site.path("pid");
    terminal.enters(&format!(
        "exec sh -c 'echo $$ > {}; exec sleep 600'",
        pid_file.display()
    ));
    let pid = eventually("the program runs", async || {
        let text = std::fs::read_to_string(&pid_file).ok()?;
        text.trim().parse::<u32>().ok()
    })
    .await;
    terminal.ctrl_c();
    terminal.sees("cancelled; the session goes on").await;
    terminal.sees(":/tmp> ").await;
    until("the program is ended on the host", || {
        !Path::new(&format!("/proc/{pid}")).exists()
    })
    .await;
    terminal.ctrl_c();
    terminal.sees("Ctrl-D or exit leaves").await;
    terminal.sees("> ").await;
    terminal.types("exec echo gone");
    terminal.ctrl_c();
    terminal.sees("\n").await;
    terminal.sees("> ").await;
    terminal.enters("exec echo still here");
    terminal.sees("\nstill here\nexit code 0\n").await;
    assert!(!terminal.text().contains("\ngone\n"), "the line was cleared");
    terminal.enters(&format!("kill {}", u32::MAX / 2));
    terminal.sees("ESRCH").await;
    terminal.enters("frobnicate");
    terminal.sees("unrecognized").await;
    terminal.enters("reg-ls 'HKLM\\Software'");
    terminal.sees("unsupported").await;
    terminal.enters("transcript");
    terminal.sees("create_process").await;
    terminal.sees("cancelled").await;
    terminal.enters("exit");
    terminal.sees("closed").await;
    assert!(terminal.end().await.success());
    server.api().all_slots_free().await;
}

#[tokio::test]
async fn earlier_lines_come_back_in_the_next_console_and_secrets_do_not() {
    let site = Site::new().await;
    let (server, _agent, host) = scene(&site, &[]).await;
    let mut first = Terminal::start(&console(&site, &server, host));
    first.sees(":/> ").await;
    first.enters("exec echo remembered");
    first.sees("\nremembered\n").await;
    first.sees(":/> ").await;
    first.enters("exec echo --password hunter2");
    first.sees("\n--password hunter2\n").await;
    first.sees(":/> ").await;
    first.ctrl_d().await;
    assert!(first.end().await.success());
    let mut second = Terminal::start(&console(&site, &server, host));
    second.sees(":/> ").await;
    second.up();
    second.sees("exec echo remembered").await;
    second.enters("");
    second.sees("\nremembered\n").await;
    second.sees(":/> ").await;
    second.ctrl_d().await;
    assert!(second.end().await.success());
    let file = site.path("state/tripline/console-history");
    assert_eq!(
        std::fs::read_to_string(&file).expect("a history"),
        "exec echo remembered\n"
    );
    let mode = std::fs::metadata(&file).expect("there").permissions().mode();
    assert_eq!(mode & 0o7777, 0o600);
}

#[tokio::test]
async fn names_and_contents_from_a_host_do_not_act_on_the_terminal() {
    let site = Site::new().await;
    let (server, _agent, host) = scene(&site, &[]).await;
    let folder = site.path("remote");
    std::fs::create_dir(&folder).expect("a folder");
    let hostile = folder.join(OsStr::from_bytes(HOSTILE));
    std::fs::write(&hostile, b"content\x1b]0;pwned\x07\n").expect("written");
    let mut terminal = Terminal::start(&console(&site, &server, host));
    terminal.sees(":/> ").await;
    terminal.enters(&format!("cd {}", folder.display()));
    terminal.sees(&format!(":{}> ", folder.display())).await;
    let shown = r"$'hostile\e[2J\e]0;pwned\x07\xff.txt'";
    terminal.enters("ls");
    terminal.sees(shown).await;
    terminal.sees("> ").await;
    terminal.types("cat ");
    terminal.tab();
    terminal.sees(shown).await;
    terminal.enters("");
    terminal.sees("content\u{fffd}]0;pwned\u{fffd}").await;
    terminal.enters("get hostile");
    terminal.sees("ENOENT").await;
    terminal.sees("> ").await;
    terminal.enters(&format!("get {shown}"));
    terminal.sees("bytes, sha256").await;
    terminal.enters(&format!("rm {shown}"));
    until("the file is removed by its own name", || !hostile.exists()).await;
    terminal.enters("transcript");
    terminal.sees("delete_file").await;
    let raw = terminal.raw();
    let acts = |sequence: &[u8]| raw.windows(sequence.len()).any(|window| window == sequence);
    assert!(!acts(b"\x1b]0;"), "{}", terminal.text());
    assert!(!acts(b"\x1b[2J"), "{}", terminal.text());
    assert!(site.path("here").join(OsStr::from_bytes(HOSTILE)).exists());
}

#[tokio::test]
async fn a_session_that_waits_says_so_and_can_be_given_up() {
    let site = Site::new().await;
    let settings = [
        ("slots.total", "1"),
        ("slots.interactive_reserved", "0"),
        ("slots.jobs_reserved", "0"),
    ];
    let (server, _agent, host) = scene(&site, &settings).await;
    let api = server.api();
    let mut holder = Terminal::start(&console(&site, &server, host));
    holder.sees(":/> ").await;
    let mut given_up = Terminal::start(&console(&site, &server, host));
    given_up.sees("waiting, position 1: no free slot").await;
    let mut patient = Terminal::start(&console(&site, &server, host));
    patient.sees("waiting, position 2: no free slot").await;
    given_up.ctrl_c();
    given_up.sees("given up").await;
    assert_eq!(given_up.end().await.code(), Some(1));
    eventually("its place is given back", async || {
        (open_sessions(&api).await.len() == 2).then_some(())
    })
    .await;
    holder.ctrl_d().await;
    assert!(holder.end().await.success());
    patient.sees(":/> ").await;
    patient.enters("exec echo my turn");
    patient.sees("\nmy turn\n").await;
    // The window is closed.
    patient.close().await;
    api.all_slots_free().await;
    assert_eq!(open_sessions(&api).await, [Value::Null; 0]);
}

#[tokio::test]
async fn a_host_that_goes_and_a_session_that_is_ended_are_told_with_what_to_do_next() {
    let site = Site::new().await;
    // An address that stays the same over a restart.
    let listen = format!("127.0.0.1:{}", free_port());
    let settings = [("slots.idle_timeout", "2s"), ("http.tls_listen", &*listen)];
    let (mut server, mut agent, host) = scene(&site, &settings).await;
    let api = server.api();
    let mut terminal = Terminal::start(&console(&site, &server, host));
    terminal.sees(":/> ").await;
    agent.kill();
    terminal.sees("is offline; commands wait a while for it").await;
    agent.spawn();
    terminal.sees("is back").await;
    terminal.enters("exec echo hello");
    terminal.sees("\nhello\n").await;
    // The console kept it alive for longer than its idle timeout; a restart does not end it either.
    server.crash().await;
    server.api().attached(host, true).await;
    terminal.enters("exec echo after the restart");
    terminal.sees("\nafter the restart\n").await;
    let session = &open_sessions(&api).await[0];
    let path = format!("/v1/sessions/{}", session["session_id"].as_str().expect("an id"));
    let closed = api
        .request(Method::DELETE, &path)
        .send()
        .await
        .expect("an answer");
    assert_eq!(closed.status(), 200);
    terminal
        .sees("has ended: admin closed it; reopen opens another one, exit leaves")
        .await;
    terminal.enters("ps");
    terminal.sees("(session_ended)").await;
    terminal.enters("reopen");
    terminal.sees("\nsession ").await;
    terminal.enters("reopen");
    terminal.sees("the session is open still").await;
    terminal.enters("exec echo again");
    terminal.sees("\nagain\n").await;
    terminal.enters("info");
    terminal.sees("idle timeout").await;
    terminal.ctrl_d().await;
    assert!(terminal.end().await.success());
    api.all_slots_free().await;
}

#[tokio::test]
async fn scripts_give_commands_and_get_results_and_the_exit_code_of_the_first_failure() {
    let site = Site::new().await;
    let (server, _agent, host) = scene(&site, &[]).await;
    site.write("remote/a.bin", b"raw \x1b[2J \xff bytes");
    let folder = site.path("remote").display().to_string();
    let open = async |more: &[&str]| {
        let id = host.to_string();
        let mut arguments = vec!["session", "open", &id];
        arguments.extend(more);
        tripline(server.data_dir(), &arguments).await
    };
    let commands = [
        format!("cd {folder}"),
        "exec pwd".to_owned(),
        "exec sh -c 'exit 7'".to_owned(),
    ];
    let ran = open(&[
        "-c",
        &commands[0],
        "-c",
        &commands[1],
        "-c",
        &commands[2],
        "-c",
        "exec echo never",
    ])
    .await;
    assert_eq!(ran.stdout, format!("{folder}\n"), "{ran:?}");
    assert_eq!(ran.code, 1);
    assert_eq!(ran.stderr, "exit code 0\nexit code 7\n");
    for (commands, code, said) in [
        (&["frobnicate"][..], 2, "frobnicate"),
        (&["rm /nowhere/at/all"], 1, "ENOENT"),
        (&["ls /nowhere", "exec echo never"], 1, "ENOENT"),
        (&["# nothing", "exit", "frobnicate"], 0, ""),
    ] {
        let arguments: Vec<&str> = commands.iter().flat_map(|command| ["-c", command]).collect();
        let ran = open(&arguments).await;
        assert_eq!(ran.code, code, "{commands:?} {ran:?}");
        assert!(ran.stderr.contains(said) && ran.stdout.is_empty(), "{ran:?}");
    }
    let ran = open(&["--output", "json", "-c", &format!("ls {folder}"), "-c", "pwd"]).await;
    let lines: Vec<Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines[0]["files"][0]["filename"], "a.bin", "{ran:?}");
    assert_eq!(lines[1], "/");
    // What is for people ends its line, so that the next output begins with one.
    let ran = open(&["-c", "pwd", "-c", &format!("ls {folder}"), "-c", "pwd"]).await;
    let lines: Vec<&str> = ran.stdout.lines().collect();
    assert_eq!((lines.len(), lines[0], lines[3]), (4, "/", "/"), "{ran:?}");
    let unknown = tripline(server.data_dir(), &["session", "open", "no-such-host"]).await;
    assert_eq!(unknown.code, 2, "{unknown:?}");
    server.api().all_slots_free().await;

    // From stdin, and a file's bytes as they are: nobody reads them at a terminal.
    let mut command = console(&site, &server, host);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("to start");
    let line = format!("# what is in it\ncat {folder}/a.bin\n");
    std::io::Write::write_all(&mut child.stdin.take().expect("a pipe"), line.as_bytes()).expect("written");
    let ended = tokio::task::spawn_blocking(move || child.wait_with_output())
        .await
        .expect("no panic")
        .expect("its end");
    assert!(ended.status.success());
    assert_eq!(ended.stdout, b"raw \x1b[2J \xff bytes");
    server.api().all_slots_free().await;
}

#[tokio::test]
async fn sessions_are_listed_shown_and_closed() {
    let site = Site::new().await;
    let (server, _agent, host) = scene(&site, &[]).await;
    let data = server.data_dir();
    let mut terminal = Terminal::start(&console(&site, &server, host));
    terminal.sees(":/> ").await;
    terminal.enters("exec echo hello");
    terminal.sees("\nhello\n").await;
    let listed = tripline(data, &["session", "list", "--open", "--output", "json"]).await;
    let sessions: Value = serde_json::from_str(&listed.stdout).expect("JSON");
    let number = sessions[0]["number"].to_string();
    assert_eq!(sessions[0]["state"], "active");
    let table = tripline(data, &["session", "list", "--host", &host.to_string()]).await;
    assert!(
        table.stdout.contains("active") && table.stdout.contains("admin"),
        "{table:?}"
    );
    let shown = tripline(data, &["session", "show", &number]).await;
    assert!(
        shown.stdout.contains("create_process") && shown.stdout.contains("exit code 0: hello"),
        "{shown:?}"
    );
    let json_shown = tripline(data, &["session", "show", &number, "--output", "json"]).await;
    let shown: Value = serde_json::from_str(&json_shown.stdout).expect("JSON");
    assert_eq!(
        shown["commands"][0]["arguments"]["argv"],
        json!(["echo", "hello"])
    );
    let closed = tripline(data, &["session", "close", &number]).await;
    assert_eq!(closed.code, 0, "{closed:?}");
    terminal.sees("has ended: admin closed it").await;
    let none = tripline(data, &["session", "list", "--open"]).await;
    assert!(!none.stdout.contains("active"), "{none:?}");
    for (arguments, code) in [
        (["session", "show", "4000000"], 2),
        (["session", "close", "x"], 2),
    ] {
        assert_eq!(tripline(data, &arguments).await.code, code, "{arguments:?}");
    }
}
