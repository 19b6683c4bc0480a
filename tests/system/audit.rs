//! The audit of a whole server: what is on record, that no secret is, and that it verifies everywhere: from the
//! store, from an export, from the copy on NATS, and with the script of the documentation.

use crate::harness::{AgentProcess, Api, Outside, Ran, Server, Site, eventually, tripline};
use crate::sessions::{active, bytes, run};
use serde_json::{Value, json};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Texts that must not be in any record.
const PLANTED: [&str; 4] = [
    "content-secret",
    "environment-secret",
    "hunter2",
    "the-files-content",
];

fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

/// A server on which much was done, and its tokens.
struct World {
    server: Server,
    _agent: AgentProcess,
    tokens: Vec<String>,
    folder: PathBuf,
}

async fn world(site: &Site) -> World {
    let server = Server::start(site, &[]).await;
    let api = server.api();
    let mut agent = AgentProcess::start(site, &server, "a").await;
    let host = agent.host_id().await;
    api.attached(host, true).await;
    let operator = api.create_token(json!({"name": "ana", "role": "operator"})).await;
    let viewer = api.create_token(json!({"name": "eve", "role": "viewer"})).await;
    let ana = api.with_token(&operator);
    let target = server.data_dir().join("put");
    let folder = target.parent().expect("a folder").to_owned();
    let steps = json!([
        {"id": "put", "put_file": {"path": target, "content": "content-secret"}},
        {"id": "run", "create_process": {
            "argv": ["/bin/echo", "--password=hunter2"], "environment": {"X": "environment-secret"}}},
    ]);
    let job = ana.submit(host, json!({"name": "plant", "steps": steps})).await;
    ana.ended(job).await;
    std::fs::write(&target, "the-files-content").expect("a file");
    let session = active(&ana, host).await;
    run(&ana, &session, "get_file", json!({"path": target})).await;
    let files = ana.get(&format!("{session}/files")).await.body;
    let number = files["items"][0]["number"].clone();
    let content = bytes(&ana, &format!("{session}/files/{number}/content")).await;
    assert_eq!(content, b"the-files-content");
    let wrong = api.with_token("tl_0000000000000000.not-a-token-at-all-but-long");
    assert_eq!(wrong.get("/v1/hosts").await.status, 401);
    let eve = api.with_token(&viewer);
    assert_eq!(
        eve.post("/v1/jobs", &json!({"host": host, "job": {}}))
            .await
            .status,
        403
    );
    World {
        server,
        _agent: agent,
        tokens: vec![operator, viewer],
        folder,
    }
}

async fn actions(api: &Api) -> Vec<String> {
    let list = api.get("/v1/audit?limit=1000").await;
    assert_eq!(list.status, 200, "{list:?}");
    let items = list.body["items"].as_array().expect("a list");
    let action = |record: &Value| record["action"].as_str().expect("a word").to_owned();
    items.iter().map(action).collect()
}

#[tokio::test]
async fn everything_that_was_done_is_on_record_and_no_secret_is() {
    let site = Site::new().await;
    let world = world(&site).await;
    let (api, data) = (world.server.api(), world.server.data_dir());
    // A denial goes on record beside its answer, not before it.
    let found = eventually("the denials are on record", async || {
        let found = actions(&api).await;
        let denials = ["access.deny", "access.forbid"];
        let has = |action: &&str| found.iter().any(|found| found == action);
        denials.iter().all(has).then_some(found)
    })
    .await;
    for action in [
        "server.start",
        "config.load",
        "rules.load",
        "token.create",
        "host.enrol",
        "job.submit",
        "command.send",
        "command.end",
        "session.open",
        "file.fetch",
        "access.deny",
        "access.forbid",
    ] {
        assert!(found.iter().any(|found| found == action), "{action} in {found:?}");
    }
    let list = [
        "audit", "list", "--who", "ana", "--action", "command", "--output", "json",
    ];
    let commands = json_of(&tripline(data, &list).await);
    let put = commands.as_array().expect("a list").iter();
    let mut put =
        put.filter(|record| record["detail"]["verb"] == "put_file" && record["action"] == "command.send");
    let put = put.next().expect("a record");
    assert_eq!(put["by"]["role"], "operator");
    assert_eq!(put["from"]["dialect"], "v1");
    assert!(
        put["from"]["address"]
            .as_str()
            .is_some_and(|address| address.starts_with("127.0.0.1:"))
    );
    assert_eq!(put["detail"]["arguments"]["content_length"], 14);
    let number = put["n"].to_string();
    let shown = tripline(data, &["audit", "show", &number]).await;
    assert!(
        shown.stdout.contains("put_file") && shown.stdout.contains("token ana"),
        "{shown:?}"
    );
    let table = tripline(data, &["audit", "list", "--host", "nobody"]).await;
    assert_eq!((table.code, table.stdout.lines().count()), (0, 1), "{table:?}");

    let export = tripline(data, &["audit", "export"]).await;
    assert_eq!(export.code, 0, "{export:?}");
    let admin = std::fs::read_to_string(data.join("admin.token")).expect("a token");
    let secrets = world.tokens.iter().map(String::as_str).chain([admin.trim()]);
    let secrets = secrets
        .filter_map(|token| token.split_once('.'))
        .map(|(_, secret)| secret);
    for secret in secrets.chain(PLANTED).chain(["not-a-token"]) {
        assert!(!export.stdout.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn the_audit_of_an_org_is_for_who_may_see_it() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let api = server.api();
    let bound = api
        .create_token(json!({"name": "bob", "role": "viewer", "org": "acme"}))
        .await;
    let bound = api.with_token(&bound);
    let found = actions(&bound).await;
    assert_eq!(found, ["token.create"], "its own, and nothing of the server's");
    for path in [
        "/v1/audit?org=_",
        "/v1/audit/_/records",
        "/v1/audit/default/records/1",
    ] {
        assert_eq!(bound.get(path).await.status, 403, "{path}");
    }
    let chains = bound.get("/v1/audit/chains").await.body;
    assert_eq!(chains["items"].as_array().map(Vec::len), Some(1), "{chains}");
    assert_eq!(api.get("/v1/audit/no%20org/records").await.status, 404);
    assert_eq!(api.get("/v1/audit?after=x").await.status, 422);
    assert_eq!(api.get("/v1/audit?since=yesterday").await.status, 400);
    let enrols = api.with_token(&api.enrol_token().await);
    assert_eq!(enrols.get("/v1/audit").await.status, 403);
}

#[tokio::test]
async fn the_store_the_copy_and_an_export_verify_and_what_was_done_to_an_export_is_found() {
    let site = Site::new().await;
    let world = world(&site).await;
    let data = world.server.data_dir();
    let verify = ["audit", "verify", "--copy", "--output", "json"];
    let findings = eventually("the copy verifies", async || {
        let ran = tripline(data, &verify).await;
        (ran.code == 0).then(|| json_of(&ran))
    })
    .await;
    let findings = findings.as_array().expect("a list").clone();
    for source in ["nats", "store"] {
        let of = |org: &str| {
            findings
                .iter()
                .any(|found| found["org"] == org && found["source"] == source)
        };
        assert!(of("default") && of("_"), "{findings:?}");
    }
    let verified = actions(&world.server.api()).await;
    assert!(verified.iter().any(|action| action == "audit.verify"));

    let export = tripline(data, &["audit", "export", "--org", "default"])
        .await
        .stdout;
    let lines: Vec<&str> = export.lines().collect();
    assert!(lines.len() > 6, "{export}");
    let file = world.folder.join("export.jsonl");
    let sound = check(data, &file, &lines, &[]).await;
    assert_eq!(sound.code, 0, "{sound:?}");
    let head = script(&lines).expect("sound");
    assert!(sound.stdout.contains(&head), "{head} in {sound:?}");

    let changed = lines[3].replace("\"kind\":\"token\"", "\"kind\":\"system\"");
    assert_ne!(changed, lines[3]);
    let mut tampered = lines.clone();
    tampered[3] = &changed;
    broken(data, &file, &tampered, 4).await;
    let mut missing = lines.clone();
    missing.remove(3);
    broken(data, &file, &missing, 4).await;
    let mut moved = lines.clone();
    moved.swap(3, 4);
    broken(data, &file, &moved, 4).await;
    broken(data, &file, &lines[2..], 2).await;

    let cut = &lines[..lines.len() - 1];
    assert_eq!(check(data, &file, cut, &[]).await.code, 0, "nothing says so");
    let cut = check(data, &file, cut, &["--org", "default", "--head", &head]).await;
    assert_eq!(cut.code, 1, "{cut:?}");
    assert!(
        cut.stderr.contains(&format!("record {}: missing", lines.len())),
        "{cut:?}"
    );
    let head = ["audit", "verify", "--org", "default", "--head", &head];
    assert_eq!(tripline(data, &head).await.code, 0);
    let other = format!("3:{}", "ab".repeat(32));
    let other = tripline(data, &["audit", "verify", "--org", "default", "--head", &other]).await;
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains("record 3"), "{other:?}");
    for wrong in [
        &["audit", "verify", "--org", "default", "--head", "x"][..],
        &["audit", "verify", "--org", "nobody"],
    ] {
        assert_eq!(tripline(data, wrong).await.code, 2, "{wrong:?}");
    }
}

#[tokio::test]
async fn a_chain_goes_on_after_the_server_was_killed() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let data = server.data_dir().to_owned();
    let before = tripline(&data, &["audit", "export", "--org", "_"]).await.stdout;
    server.crash().await;
    let after = tripline(&data, &["audit", "export", "--org", "_"]).await.stdout;
    assert!(after.starts_with(&before) && after.len() > before.len());
    let starts = after
        .lines()
        .filter(|line| line.contains("\"server.start\""))
        .count();
    assert_eq!(starts, 2);
    assert_eq!(tripline(&data, &["audit", "verify"]).await.code, 0);
}

/// A file of these lines.
fn text_of(lines: &[&str]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Verifies an export that has these lines.
async fn check(data: &Path, file: &Path, lines: &[&str], more: &[&str]) -> Ran {
    std::fs::write(file, text_of(lines)).expect("a file");
    let path = file.to_str().expect("UTF-8");
    let arguments = [&["audit", "verify", "--file", path], more].concat();
    tripline(data, &arguments).await
}

/// Both the command and the script of the documentation name this record.
async fn broken(data: &Path, file: &Path, lines: &[&str], number: u64) {
    let ran = check(data, file, lines, &[]).await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let named = format!("record {number}:");
    assert!(ran.stderr.contains(&named), "{named} in {ran:?}");
    let said = script(lines).expect_err("broken");
    assert!(said.starts_with(&named), "{named} in {said:?}");
}

/// Runs the script of the documentation: the head, or what is wrong.
fn script(lines: &[&str]) -> Result<String, String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/audit.md");
    let page = std::fs::read_to_string(page).expect("the page");
    let (_, rest) = page.split_once("```python\n").expect("a script");
    let (text, _) = rest.split_once("```").expect("its end");
    let mut python = Command::new("python3")
        .args(["-c", text])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3");
    let mut stdin = python.stdin.take().expect("a pipe");
    // A script that has seen enough reads no more.
    let _ = stdin.write_all(text_of(lines).as_bytes());
    drop(stdin);
    let ended = python.wait_with_output().expect("an end");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8").trim().to_owned();
    match ended.status.success() {
        true => Ok(text(ended.stdout)),
        false => Err(text(ended.stderr)),
    }
}

/// Runs it; its exit code, its findings and what it says on stderr.
async fn verify(data: &Path, arguments: &[&str]) -> (i32, Value, String) {
    let ran = tripline(
        data,
        &[&["audit", "verify", "--output", "json"], arguments].concat(),
    )
    .await;
    let findings = serde_json::from_str(&ran.stdout).unwrap_or_default();
    (ran.code, findings, ran.stderr)
}

fn verdict<'a>(findings: &'a Value, org: &str, source: &str) -> &'a str {
    let mut found = findings.as_array().expect("findings").iter();
    let found = found.find(|found| found["org"] == org && found["source"] == source);
    found.map_or("not there", |found| found["verdict"].as_str().expect("a word"))
}

#[tokio::test]
async fn a_file_without_a_record_was_not_verified() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let data = server.data_dir();
    let file = site.write("empty.jsonl", "");
    let empty = file.to_str().expect("UTF-8");
    let (code, findings, said) = verify(data, &["--file", empty]).await;
    assert_eq!(
        (code, verdict(&findings, "–", "file")),
        (1, "empty"),
        "{findings}"
    );
    assert!(said.contains("there is no record"), "{said}");
    let export = tripline(data, &["audit", "export", "--org", "_"]).await.stdout;
    let file = site.write("server.jsonl", &export);
    let file = file.to_str().expect("UTF-8");
    let (code, findings, _) = verify(data, &["--file", file, "--org", "acme"]).await;
    assert_eq!(
        (code, verdict(&findings, "acme", "file")),
        (1, "empty"),
        "{findings}"
    );
    assert_eq!(verify(data, &["--file", file]).await.0, 0);
    let table = tripline(data, &["audit", "verify", "--file", empty]).await;
    assert!(table.stdout.contains("EMPTY"), "{table:?}");
    // Neither the command nor the script of the documentation takes a blank at a record's end.
    let lines: Vec<&str> = export.lines().collect();
    let blank = format!("{} ", lines[0]);
    let mut blanks = lines.clone();
    blanks[0] = &blank;
    broken(data, &site.path("blank.jsonl"), &blanks, 1).await;
    assert!(script(&[]).expect_err("nothing").contains("no record"));
}

#[tokio::test]
async fn a_copy_that_was_purged_is_not_sound() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let data = server.data_dir();
    eventually("the copy verifies", async || {
        let (code, findings, _) = verify(data, &["--copy", "--org", "_"]).await;
        (code == 0 && verdict(&findings, "_", "nats") == "sound").then_some(())
    })
    .await;
    eventually("everything is published", async || {
        let chains = server.api().get("/v1/audit/chains").await.body;
        let chain = &chains["items"][0];
        (chain["published"] == chain["head"]["n"]).then_some(())
    })
    .await;
    let outside = Outside::of_embedded(data).await;
    outside
        .stream("TRIPLINE_AUDIT")
        .await
        .purge()
        .await
        .expect("purged");
    let (code, findings, said) = verify(data, &["--copy", "--org", "_"]).await;
    assert_eq!(
        (code, verdict(&findings, "_", "nats")),
        (1, "empty"),
        "{findings} {said}"
    );
    assert_eq!(verdict(&findings, "_", "store"), "sound", "{findings}");
    let records = server
        .api()
        .get("/v1/audit?action=audit.verify&limit=10")
        .await
        .body;
    let failed = |record: &Value| record["outcome"]["result"] == "failed";
    assert!(
        records["items"].as_array().expect("a list").iter().any(failed),
        "{records}"
    );
}

#[tokio::test]
async fn a_chain_that_the_server_lost_is_found_by_its_copy_and_by_a_head() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let data = server.data_dir();
    let bound = json!({"name": "bob", "role": "viewer", "org": "default"});
    let bound = site.write("bob.token", server.api().create_token(bound).await);
    // A record of an org that this server's store has never seen.
    let record = tripline_protocol::audit::canonical(&json!({
        "action": "host.label", "at": "2026-11-21T09:00:00Z", "by": {"kind": "system"}, "detail": {}, "n": 1,
        "on": {}, "org": "acme", "outcome": {"result": "done"}, "prev": "0".repeat(64),
    }));
    let outside = Outside::of_embedded(data).await;
    outside
        .publish_as_operator("tripline.audit.acme", record.into_bytes())
        .await;
    let (code, findings, said) = verify(data, &["--copy"]).await;
    assert_eq!(code, 1, "{findings}");
    assert_eq!(verdict(&findings, "acme", "nats"), "sound", "{findings}");
    assert_eq!(verdict(&findings, "acme", "store"), "broken", "{findings}");
    assert!(said.contains("acme (store): record 1: missing"), "{said}");
    let head = format!("7:{}", "ab".repeat(32));
    for arguments in [
        &["--org", "acme", "--copy"][..],
        &["--org", "acme", "--head", &head],
        &["--org", "umbrella", "--copy"],
    ] {
        let (code, findings, _) = verify(data, arguments).await;
        assert_eq!(
            (code, verdict(&findings, arguments[1], "store")),
            (1, "broken"),
            "{findings}"
        );
    }
    let chains = server.api().get("/v1/audit/chains").await.body;
    assert!(
        !chains.to_string().contains("acme"),
        "verifying it began it anew: {chains}"
    );
    let own = ["--copy", "--token-file", bound.to_str().expect("UTF-8")];
    let (code, findings, said) = verify(data, &own).await;
    assert_eq!(
        (code, verdict(&findings, "acme", "store")),
        (0, "not there"),
        "{findings} {said}"
    );
}
