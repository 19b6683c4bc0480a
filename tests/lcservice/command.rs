//! `tripline service test` against the real service.

use crate::harness::{Ran, Site, clean, free_port, run};
use crate::peer::RealService;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use tripline_protocol::limacharlie::ServiceEtype;

/// A command line of `tripline service test`, with the secret in its environment.
pub(crate) async fn test(url: &str, secret: &str, more: &[&str]) -> Ran {
    let mut command = clean(Command::new(env!("CARGO_BIN_EXE_tripline")));
    command
        .args(["service", "test", url])
        .args(more)
        .env("TRIPLINE_SERVICE_SECRET", secret);
    run(command).await
}

/// The same in JSON, and its exit code.
pub(crate) async fn report(url: &str, secret: &str, more: &[&str]) -> (i32, Value) {
    let more: Vec<&str> = more.iter().copied().chain(["--output", "json"]).collect();
    let ran = test(url, secret, &more).await;
    let report = serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    (ran.code, report)
}

/// What was thought of each call, by its name.
fn verdicts(report: &Value) -> Vec<(String, String)> {
    let calls = report["calls"].as_array().expect("calls");
    calls
        .iter()
        .map(|call| {
            let text = |key: &str| call[key].as_str().expect("a text").to_owned();
            (text("sent"), text("verdict"))
        })
        .collect()
}

fn verdict_of<'r>(verdicts: &'r [(String, String)], sent: &str) -> &'r str {
    let found = verdicts.iter().find(|(name, _)| name == sent);
    found
        .map(|(_, verdict)| verdict.as_str())
        .unwrap_or_else(|| panic!("{sent}: {verdicts:?}"))
}

#[tokio::test]
async fn the_real_service_gets_every_etype_and_nothing_about_it_is_wrong() {
    let site = Site::new().await;
    let mut service = RealService::prepare(&site, "whole");
    service.set("subscriptions", json!(["a"]));
    let params = json!({"how": {"type": "enum", "desc": "", "values": ["fast"], "is_required": true}});
    service.set("params", params);
    service.spawn().await;
    let (code, report) = report(&service.url(), service.secret(), &["--all"]).await;
    let verdicts = verdicts(&report);
    assert_eq!((code, &report["wrong"]), (0, &json!(0)), "{report:#}");
    let sent: BTreeSet<String> = service
        .recorded()
        .iter()
        .map(|recorded| recorded.call["etype"].as_str().unwrap_or_default().to_owned())
        .collect();
    for etype in ServiceEtype::all() {
        assert!(sent.contains(etype.as_str()), "{etype} was not sent");
        assert!(verdicts.iter().any(|(name, _)| name == etype.as_str()), "{etype}");
    }
    for sent in [
        "health",
        "detection",
        "request",
        "command",
        "no signature",
        "a wrong signature",
        "an upper-case signature",
        "a body that was changed after it was signed",
        "a body that is no object",
        "a deadline that is a text",
        "a future version",
        "an etype that nobody knows",
        "health with data: null",
        "a request without how",
        "a request with a wrong how",
    ] {
        assert_eq!(verdict_of(&verdicts, sent), "ok", "{report:#}");
    }
    // Its known bug.
    assert_eq!(verdict_of(&verdicts, "get_resource"), "differs");
    assert!(
        report["median_milliseconds"]
            .as_f64()
            .is_some_and(|time| time > 0.0)
    );
    let last = service.recorded().pop().expect("calls");
    assert_eq!(last.call["etype"], "org_uninstall", "nothing stays installed");
}

#[tokio::test]
async fn one_etype_is_sent_with_data_that_are_given() {
    let site = Site::new().await;
    let service = RealService::start(&site, "one").await;
    for (behaviour, code, status, verdict) in [
        ("ok", 0, json!(200), "ok"),
        ("retry", 0, json!(200), "differs"),
        ("fail", 0, json!(200), "ok"),
        ("raise", 1, json!(200), "wrong"),
        ("no_success", 1, json!(200), "wrong"),
        ("html", 1, json!(200), "wrong"),
        ("status", 1, json!(503), "wrong"),
    ] {
        let data = json!({"behaviour": behaviour}).to_string();
        let more = ["--etype", "detection", "--data", &data];
        let (exit, report) = report(&service.url(), service.secret(), &more).await;
        let calls = report["calls"].as_array().expect("calls");
        assert_eq!(calls.len(), 2, "health, and this one");
        assert_eq!(
            (exit, &calls[1]["status"]),
            (code, &status),
            "{behaviour}: {report:#}"
        );
        assert_eq!(calls[1]["verdict"], verdict, "{behaviour}: {report:#}");
    }
    assert!(
        service
            .recorded()
            .iter()
            .all(|recorded| recorded.call["data"]["behaviour"] != json!(null)
                || recorded.call["etype"] == "health")
    );
}

#[tokio::test]
async fn the_table_says_what_is_wrong_and_what_to_do() {
    let site = Site::new().await;
    let service = RealService::start(&site, "table").await;
    let more = ["--etype", "detection", "--data", r#"{"behaviour": "raise"}"#];
    let ran = test(&service.url(), service.secret(), &more).await;
    assert_eq!(ran.code, 1);
    for part in [
        "SENT",
        "again: RuntimeError: as told",
        "detection: wrong",
        "→ look for the exception",
        "2 calls: 0 ok, 1 differ",
    ] {
        assert!(ran.stdout.contains(part), "{part}: {}", ran.stdout);
    }
}

#[tokio::test]
async fn a_service_that_is_away_or_has_another_secret_is_exit_code_3_and_bad_usage_2() {
    let site = Site::new().await;
    let service = RealService::start(&site, "strange").await;
    let ran = test(&service.url(), "another", &[]).await;
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.stderr.contains("the secret is another"), "{ran:?}");
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    let ran = test(&nobody, "x", &[]).await;
    assert_eq!((ran.code, ran.stdout.as_str()), (3, ""), "{ran:?}");
    assert!(
        ran.stderr.contains("cannot reach") && ran.stderr.contains("does the service listen there"),
        "{ran:?}"
    );
    for bad in [
        ["--etype", "Detection"],
        ["--oid", "acme"],
        ["--deadline", "0s"],
        ["--data", "{}"],
        ["--secret-file", "/nowhere"],
    ] {
        let ran = test(&service.url(), "x", &bad).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""), "{bad:?}: {ran:?}");
    }
    for url in ["ftp://x/", "127.0.0.1:9"] {
        let ran = test(url, "x", &[]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains("such as https://service.example/"), "{ran:?}");
    }
    assert_eq!(test(&service.url(), "", &[]).await.code, 2, "no secret");
}

#[tokio::test]
async fn the_secret_is_read_from_a_file_and_never_shown() {
    let site = Site::new().await;
    let service = RealService::start(&site, "discreet").await;
    let file = site.write("secret", format!("{}\n", service.secret()));
    let file = file.to_str().expect("UTF-8");
    let ran = test(
        &service.url(),
        "another",
        &["--secret-file", file, "--etype", "new_sensor"],
    )
    .await;
    assert_eq!(ran.code, 0, "{ran:?}");
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains(service.secret()), "{text}");
    }
    for (content, why) in [(String::new(), "empty"), ("x".repeat(64 * 1024 + 1), "more than")] {
        let file = site.write("no-secret", content);
        let file = file.to_str().expect("UTF-8");
        let ran = test(&service.url(), "another", &["--secret-file", file]).await;
        assert_eq!(ran.code, 2, "{ran:?}");
        assert!(ran.stderr.contains(why), "{ran:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_not_read_to_its_end() {
    let site = Site::new().await;
    let service = RealService::start(&site, "talkative").await;
    for (bytes, answer) in [(7 * 1024 * 1024, "done"), (9 * 1024 * 1024, "too long")] {
        let data = json!({"behaviour": "huge", "bytes": bytes}).to_string();
        let more = ["--etype", "detection", "--data", &data];
        let (code, report) = report(&service.url(), service.secret(), &more).await;
        assert_eq!(
            (code, &report["calls"][1]["answer"]),
            (i32::from(answer != "done"), &json!(answer))
        );
    }
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_given_up_on_at_the_deadline() {
    let site = Site::new().await;
    let service = RealService::start(&site, "late").await;
    let gate = site.write("gate", "");
    let data = json!({"behaviour": "slow", "gate": gate}).to_string();
    let more = ["--etype", "detection", "--data", &data, "--deadline", "1s"];
    let (code, report) = report(&service.url(), service.secret(), &more).await;
    std::fs::remove_file(&gate).expect("the gate");
    assert_eq!(code, 1);
    assert_eq!(report["calls"][1]["answer"], "no answer", "{report:#}");
}
