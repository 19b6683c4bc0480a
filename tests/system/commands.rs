//! The command line against a running server: output for scripts and exit codes.

use crate::harness::{AgentProcess, Server, Site, tripline};
use serde_json::Value;

#[tokio::test]
async fn the_command_line_serves_scripts() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await.to_string();
    let data = server.data_dir().to_owned();

    let token = tripline(&data, &["token", "create", "--name", "soc", "--role", "viewer"]).await;
    assert_eq!(token.code, 0, "{token:?}");
    let secret = token.stdout.trim_end();
    assert!(
        !secret.is_empty() && !secret.contains(char::is_whitespace),
        "{token:?}"
    );
    assert_eq!(server.api().with_token(secret).get("/v1/hosts").await.status, 200);

    let info = tripline(&data, &["nats", "info", "--output", "json"]).await;
    let told: Value = serde_json::from_str(&info.stdout).expect("JSON");
    assert!(
        told["url"]
            .as_str()
            .expect("a URL")
            .starts_with("nats://127.0.0.1:")
    );
    assert!(
        told["server"].is_null() && told["publisher"]["password"].is_string(),
        "{told}"
    );

    let watched = tripline(
        &data,
        &["job", "submit", &host, "--verb", "list_processes", "--watch"],
    )
    .await;
    assert_eq!(watched.code, 0, "{watched:?}");
    assert!(watched.stdout.contains("succeeded"), "{watched:?}");
    let file = site.path("missing").to_string_lossy().into_owned();
    let arguments = serde_json::json!({"path": file}).to_string();
    let submit = [
        "job",
        "submit",
        &host,
        "--verb",
        "delete_file",
        "--args",
        &arguments,
        "--watch",
    ];
    let failed = tripline(&data, &submit).await;
    assert_eq!(failed.code, 1, "{failed:?}");
    assert_eq!(tripline(&data, &["job", "show", "not-an-id"]).await.code, 2);
    let nobody = tripline(&data, &["host", "show", "nobody"]).await;
    assert_ne!(nobody.code, 0, "{nobody:?}");
    assert_eq!(nobody.stderr.lines().count(), 1, "{nobody:?}");

    let viewer = site.write("viewer.token", secret);
    let viewer = viewer.to_str().expect("UTF-8");
    let refused = tripline(&data, &["token", "list", "--token-file", viewer]).await;
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(server.terminate().await.success());
    let away = tripline(&data, &["host", "list"]).await;
    assert_eq!(away.code, 3, "{away:?}");
    assert!(!away.stderr.is_empty() && away.stdout.is_empty(), "{away:?}");
}

#[tokio::test]
async fn configuration_and_pipelines_are_checked_without_a_server() {
    let site = Site::new().await;
    let data = site.path("data");
    let config = site.write("t.toml", "[auth]\nadmin_token = \"a-very-secret-token\"\n");
    let checked = tripline(
        &data,
        &["config", "check", "--config", config.to_str().expect("UTF-8")],
    )
    .await;
    assert_eq!(checked.code, 0, "{checked:?}");
    assert!(
        !checked.stdout.contains("a-very-secret-token"),
        "secrets are masked"
    );
    assert!(checked.stdout.contains("total = 10"), "{checked:?}");
    site.write("t.toml", "[slots]\ntotal = \"ten\"\n");
    let wrong = tripline(
        &data,
        &["config", "check", "--config", config.to_str().expect("UTF-8")],
    )
    .await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(
        wrong.stderr.contains("t.toml:2") && wrong.stderr.contains("slots.total"),
        "{wrong:?}"
    );

    site.write(
        "rules/bad.yaml",
        "name: bad\non: [x]\nwen: true\njob:\n  steps: [{list_processes: {}}]\n",
    );
    let rules = site.path("rules");
    let wrong = tripline(&data, &["pipeline", "check", rules.to_str().expect("UTF-8")]).await;
    assert_eq!(wrong.code, 2, "{wrong:?}");
    assert!(
        wrong.stderr.contains("bad.yaml:3") && wrong.stderr.contains("wen"),
        "{wrong:?}"
    );
}

#[tokio::test]
async fn hostile_rules_are_refused_and_those_without_an_index_are_named() {
    let site = Site::new().await;
    let data = site.path("data");
    let rules = site.path("rules");
    let pipeline = |name: &str, when: &str| {
        let job = "job:\n  steps: [{list_processes: {}}]\n";
        site.write(
            &format!("rules/{name}.yaml"),
            format!("name: {name}\non: [x]\nwhen: {when}\n{job}"),
        );
    };
    let check = ["pipeline", "check", rules.to_str().expect("UTF-8")];
    for hostile in [
        format!("1{} > 0", "+1".repeat(8_000)),
        format!("1{} > 0", "+1".repeat(1_000)),
        format!("event.data.a{}", ".map(x, [x, x])".repeat(40)),
    ] {
        pipeline("bad", &hostile);
        let refused = tripline(&data, &check).await;
        assert_eq!(refused.code, 2, "{refused:?}");
        assert!(refused.stderr.contains("bad.yaml:3:7: "), "{refused:?}");
    }
    pipeline("bad", "event.data.a == 'x'");
    pipeline("slow", "re(event.data.a, 'x')");
    let named = tripline(&data, &check).await;
    assert_eq!(named.code, 0, "{named:?}");
    assert_eq!(named.stdout, "ok: 2 pipelines, 0 named jobs\n");
    assert!(named.stderr.starts_with("note: not indexed"), "{named:?}");
    assert!(named.stderr.contains("\n  slow ("), "{named:?}");
    assert!(!named.stderr.contains("bad"), "{named:?}");
    let named = tripline(&data, &[&check[..], &["--output", "json"]].concat()).await;
    let shown: Value = serde_json::from_str(&named.stdout).expect("JSON");
    assert_eq!(shown["not_indexed"][0]["name"], "slow", "{shown}");
    assert_eq!(shown["not_indexed"][1], Value::Null, "{shown}");
}
