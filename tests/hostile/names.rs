//! Names that would lead elsewhere: of files that were uploaded, of files that hosts have, in archives and in headers.

use crate::harness::scripted::Content;
use crate::harness::{eventually, run};
use crate::scene::Scene;
use reqwest::Method;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// What a name can try.
const NAMES: [&str; 15] = [
    "two\nlines",
    "\u{1b}[2Jescape",
    "../../escape",
    "/etc/cron.d/escape",
    "..",
    ".",
    "a/../../../escape",
    "..\\..\\escape",
    "C:\\Windows\\escape",
    "\\\\server\\share\\escape",
    "-rf",
    "~root",
    "CON",
    "\u{202e}txt.exe",
    " . ",
];

/// What is no name at all.
const NO_NAMES: [&str; 2] = ["", "nul\0byte"];

/// Unpacks as a careless program would: every entry where its name leads.
const CARELESS: &str = r#"
import os, sys, zipfile
archive, folder = sys.argv[1:]
with zipfile.ZipFile(archive) as entries:
    for entry in entries.infolist():
        for name in (entry.filename, entry.orig_filename):
            target = os.path.normpath(os.path.join(folder, name))
            assert target.startswith(folder + os.sep), repr(name)
            assert not os.path.isabs(name) and "\\" not in name and ":" not in name, repr(name)
            assert all(c >= " " for c in name), repr(name)
        assert (entry.external_attr >> 16) & 0o170000 in (0, 0o100000), "no links"
        target = os.path.join(folder, entry.filename)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        with open(target, "xb") as out:
            out.write(entries.open(entry).read())
    entries.extractall(folder + "-whole")
"#;

/// As it goes into a query.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

/// The status of an upload by this name.
async fn upload(scene: &Scene, session: &str, name: &str) -> u16 {
    let path = format!("{session}/files?name={}", encoded(name));
    let upload = scene.api.request(Method::POST, &path).body("content");
    upload.send().await.expect("an answer").status().as_u16()
}

/// Everything below a folder, relative to it.
fn below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path.clone());
            } else {
                let name = path.strip_prefix(folder).expect("below");
                found.insert(name.to_string_lossy().into_owned());
            }
        }
    }
    found
}

#[tokio::test]
async fn an_archive_leads_nowhere_else_whatever_its_files_were_called() {
    let scene = Scene::start(&[]).await;
    let host = json!({"host": scene.honest.host_id()});
    let opened = scene.api.post("/v1/sessions", &host).await;
    let session = format!(
        "/v1/sessions/{}",
        opened.body["session_id"].as_str().expect("an id")
    );
    // What is a path is refused already; what is taken is in the archive.
    let mut taken = 0;
    for name in NAMES.iter().copied().chain([&*"é".repeat(120)]) {
        match upload(&scene, &session, name).await {
            201 => taken += 1,
            status => assert_eq!(status, 422, "{name:?}"),
        }
    }
    assert!(taken >= 5, "{taken}");
    for name in NO_NAMES.iter().copied().chain([&*"x".repeat(10_000)]) {
        let status = upload(&scene, &session, name).await;
        assert!((400..500).contains(&status), "{status}: {name:?}");
    }
    // A host that has files of such names.
    let odd = ["/srv/two\nlines", "/srv/..\\..\\escape", "/srv/\u{1b}[2J"];
    for path in odd {
        scene
            .honest
            .machine()
            .files
            .write(path, Content::stored("of the host"));
        let command = json!({"verb": "get_file", "arguments": {"path": path}});
        let accepted = scene.api.post(&format!("{session}/commands"), &command).await;
        let path = format!("{session}/commands/{}?wait=10s", accepted.body["number"]);
        let ended = eventually("it is fetched", async || {
            let command = scene.api.get(&path).await.body;
            (command["state"] == "succeeded").then_some(command)
        })
        .await;
        let content = scene
            .api
            .request(Method::GET, &format!("{session}/files/{}/content", ended["file"]));
        let answer = content.send().await.expect("an answer");
        let disposition = answer.headers()["content-disposition"]
            .to_str()
            .expect("ASCII")
            .to_owned();
        let plain = disposition.split('"').nth(1).expect("a name in quotes");
        assert!(
            plain
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-_. ()".contains(&b)),
            "{disposition}"
        );
    }
    let archive = scene.api.request(Method::GET, &format!("{session}/archive"));
    let archive = archive
        .send()
        .await
        .expect("an answer")
        .bytes()
        .await
        .expect("a body");
    let zip = scene.site.write("unpack/archive.zip", &archive);
    let (script, folder) = (
        scene.site.write("careless.py", CARELESS),
        scene.site.path("unpack/careless"),
    );
    std::fs::create_dir(&folder).expect("a folder");
    let mut python = Command::new("python3");
    python.arg(script).arg(&zip).arg(&folder);
    let ran = run(python).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let count = taken + odd.len();
    assert_eq!(below(&folder).len(), count);
    assert_eq!(below(&scene.site.path("unpack/careless-whole")).len(), count);
    let all = below(&scene.site.path("unpack"));
    assert_eq!(all.len(), 2 * count + 1, "something is elsewhere: {all:?}");
}
