//! `service/examples/greeter.rs`, run as people run it, and what the command line thinks of it.

use crate::command::{report, test};
use crate::harness::{Process, Site, clean, eventually, free_port};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use tripline_service::sign;

const SECRET: &str = "shared";

fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_BIN_EXE_tripline"))
        .parent()
        .expect("a folder");
    let path = folder.join("examples/greeter");
    assert!(
        path.is_file(),
        "{} is missing; build it first: cargo build -p tripline-service --features server --examples (or test the \
         whole --workspace)",
        path.display()
    );
    path
}

/// The greeter at work, told its port as serverless hosts do it; its URL.
async fn start(site: &Site) -> (Process, String) {
    let port = free_port();
    let mut command = clean(Command::new(program()));
    command
        .env("PORT", port.to_string())
        .env("GREETER_SECRET", SECRET);
    let mut greeter = Process::new("the greeter", site.path("greeter.log"));
    greeter.spawn(command);
    let url = format!("http://127.0.0.1:{port}/");
    eventually("it listens", async || reqwest::get(&url).await.ok()).await;
    (greeter, url)
}

#[tokio::test]
async fn nothing_about_it_is_wrong_or_even_different() {
    let site = Site::new().await;
    let (mut greeter, url) = start(&site).await;
    let (code, report) = report(&url, SECRET, &["--all"]).await;
    let all_but_status: Vec<&Value> = report["calls"]
        .as_array()
        .expect("calls")
        .iter()
        .filter(|call| call["verdict"] != "ok")
        .collect();
    assert_eq!((code, all_but_status), (0, Vec::new()));
    greeter.says("a suspicious login on tripline-service-test").await;
    assert!(greeter.terminate().await.success(), "it ends in order");
}

#[tokio::test]
async fn it_greets_who_asks_and_says_what_is_missing() {
    let site = Site::new().await;
    let (_greeter, url) = start(&site).await;
    let ask = async |data: Value| -> Value {
        let body = json!({"etype": "request", "data": data}).to_string();
        let request = reqwest::Client::new().post(&url);
        let request = request.header("lc-svc-sig", sign(SECRET, body.as_bytes()));
        let response = request.body(body).send().await.expect("an answer");
        response.json().await.expect("JSON")
    };
    let greeted = ask(json!({"name": "Ada"})).await;
    assert_eq!(
        greeted,
        json!({"success": true, "data": {"greeting": "hello, Ada"}})
    );
    assert_eq!(ask(json!({})).await["error"], "missing parameter name");
    let ran = test(&url, "another", &[]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
}
