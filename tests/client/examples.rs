//! The programs in `client/examples`, run as people run them.

use crate::harness::scripted::Persona;
use crate::harness::{Process, eventually, run};
use crate::scene::Scene;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

fn program(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_tripline"))
        .parent()
        .expect("a folder");
    let path = folder.join("examples").join(name);
    assert!(
        path.is_file(),
        "{} is missing; build it first: cargo build -p tripline-client --examples (or test the whole --workspace)",
        path.display()
    );
    path
}

/// An example that is told where the scene's server is.
fn example(scene: &Scene, name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(program(name));
    command
        .args(arguments)
        .env("TRIPLINE_SERVER", &scene.url)
        .env("TRIPLINE_TOKEN", &scene.token)
        .env("TRIPLINE_CA", scene.server.data_dir().join("tls/ca.pem"));
    command
}

#[tokio::test]
async fn one_file_is_collected_from_all_hosts_and_those_without_it_are_named() {
    let mut scene = Scene::start_with(&[], 2).await;
    let file = scene.site.write("wanted.txt", "evidence");
    let into = scene.path("collected");
    let arguments = [
        "--into",
        into.to_str().expect("text"),
        file.to_str().expect("text"),
    ];
    let ran = run(example(&scene, "collect_file", &arguments)).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.stdout.matches("8 bytes, sha256").count(), 2, "{ran:?}");
    for agent in 0..2 {
        let host = scene.host(agent).await.id().to_string();
        let got = std::fs::read_to_string(into.join(host).join("wanted.txt"));
        assert_eq!(got.expect("collected"), "evidence");
    }
    let nothing = scene.path("nothing");
    let arguments = ["--into", nothing.to_str().expect("text"), "/no/such/file"];
    let ran = run(example(&scene, "collect_file", &arguments)).await;
    assert_eq!(
        (ran.code, ran.stderr.matches("(ENOENT)").count()),
        (1, 3),
        "each host and the end: {ran:?}"
    );
    assert!(!nothing.exists(), "no folder without a file");
    scene.api().all_slots_free().await;
}

#[tokio::test]
async fn a_value_of_the_registry_is_read() {
    let scene = Scene::start_with(&[], 0).await;
    let _agent = scene.scripted(Persona::windows("win01")).await;
    let session = scene
        .client
        .host("win01")
        .await
        .expect("a host")
        .session()
        .await
        .expect("a session");
    session
        .create_registry_key(r"HKLM\Software\Acme")
        .await
        .expect("made");
    session
        .set_registry_value(r"HKLM\Software\Acme\Level", 7)
        .await
        .expect("written");
    session.close().await.expect("closed");
    let ran = run(example(
        &scene,
        "registry_value",
        &["win01", r"HKLM\Software\Acme\Level"],
    ))
    .await;
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (0, "Level REG_DWORD 7\n"),
        "{ran:?}"
    );
    let ran = run(example(
        &scene,
        "registry_value",
        &["win02", r"HKLM\Software\Acme\Level"],
    ))
    .await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.starts_with("error: ") && ran.stderr.contains("not_found"),
        "{ran:?}"
    );
}

#[tokio::test]
async fn an_event_makes_the_program_look_at_its_host() {
    let scene = Scene::start_with(&[], 0).await;
    let agent = scene.scripted(Persona::linux("pc01")).await;
    let mut program = Process::new("the example", scene.path("ifttt.log"));
    program.spawn(example(&scene, "ifttt", &["--count", "1", "acme.alert.*"]));
    program.says("listening from number").await;
    for (id, host) in [("nobody's", None), ("its", Some(agent.host_id()))] {
        let event = json!({"etype": "acme.alert.high", "id": id, "source": "tests", "host_id": host});
        assert_eq!(scene.api().post("/v1/events", &event).await.status, 202);
    }
    let status = eventually("the program ends", async || program.has_ended()).await;
    assert!(status.success(), "{}", program.log());
    assert!(
        program.log().contains("acme.alert.high its: "),
        "{}",
        program.log()
    );
}

#[tokio::test]
async fn wrong_arguments_are_told_with_what_would_be_right() {
    let scene = Scene::start_with(&[], 0).await;
    for (name, arguments, missing) in [
        ("collect_file", vec![], "<PATH>"),
        ("registry_value", vec!["win01"], "<PATH>"),
        ("ifttt", vec!["--count", "many", "x"], "--count"),
    ] {
        let ran = run(example(&scene, name, &arguments)).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(missing), "{ran:?}");
    }
    let mut nowhere = example(&scene, "ifttt", &["x"]);
    nowhere.env("TRIPLINE_SERVER", "https://127.0.0.1:1");
    let ran = run(nowhere).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("cannot reach"), "{ran:?}");
}
