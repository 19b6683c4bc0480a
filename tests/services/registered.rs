//! Services of the configuration and of the API, and what the command line shows of them.

use crate::harness::{Ran, eventually, tripline};
use crate::peer::{Does, Peer};
use crate::scene::{SECRET, Scene, service};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::Digest;
use tripline_protocol::{HostId, Sha256};
use uuid::Uuid;

const CONTENT: &[u8] = b"rule x { condition: true }\n";

/// Tells of a job in every answer to a detection, and has a resource.
async fn peer() -> Peer {
    Peer::start(SECRET, |call: &Value| match call["etype"].as_str() {
        Some("health") => Does::health(&["health", "detection", "org_install", "get_resource"], &["fine"]),
        Some("get_resource") if call["data"]["resource"] == "rules" => {
            let hash = Sha256::from_digest(&sha2::Sha256::digest(CONTENT).into());
            let mut data = json!({ "hash": hash, "res_cat": "detect" });
            if call["data"]["is_include_data"] == true {
                data["res_data"] = json!(STANDARD.encode(CONTENT));
            }
            Does::Answer(json!({ "success": true, "data": data }))
        }
        Some("get_resource") => Does::Answer(json!({ "success": false, "error": "resource not available" })),
        Some("detection") => {
            let entry =
                json!({ "ts": 1_800_000_000_000_i64, "msg": call["data"]["detect"]["event"]["number"] });
            let job =
                json!({ "id": "j1", "start": 1_800_000_000_000_i64, "cause": "sweep", "hist": [entry] });
            Does::Answer(json!({ "success": true, "data": {}, "jobs": [job] }))
        }
        _ => Does::done(),
    })
    .await
}

/// Runs a command as the administrator.
async fn cli(scene: &Scene, words: &[&str]) -> Ran {
    tripline(scene.server.data_dir(), words).await
}

#[actix_web::test]
async fn a_service_of_the_configuration_is_changed_there_and_nowhere_else() {
    let peer = peer().await;
    let scene = Scene::start(&service("yara", &peer, "")).await;
    let view = scene.installed("yara").await;
    assert_eq!(
        (&view["configured"], &view["state"]),
        (&json!(true), &json!("up"))
    );
    assert!(view.get("secret").is_none());
    let body = json!({ "name": "yara", "url": peer.url(), "secret": SECRET });
    let change = scene
        .api
        .request(reqwest::Method::PUT, "/v1/services/yara")
        .json(&body);
    assert_eq!(change.send().await.expect("an answer").status(), 409);
    let remove = scene.api.request(reqwest::Method::DELETE, "/v1/services/yara");
    assert_eq!(remove.send().await.expect("an answer").status(), 409);
    assert_eq!(
        scene.api.post("/v1/services", &body).await.code(),
        "service_configured"
    );

    let both = service("yara", &peer, "rights = \"operator\"\n") + &service("exfil", &peer, "");
    std::fs::write(&scene.config, both).expect("written");
    scene.installed("exfil").await;
    assert_eq!(scene.service("yara").await["rights"], "operator");
    std::fs::write(&scene.config, service("exfil", &peer, "")).expect("written");
    eventually("it is gone", async || {
        let answer = scene.api.get("/v1/services/yara").await;
        (answer.status == 404).then_some(())
    })
    .await;
    std::fs::write(&scene.config, "[[services]]\nname = \"exfil\"\n").expect("written");
    let log = scene.site.path("server.log");
    eventually("the file is refused", async || {
        let log = std::fs::read_to_string(&log).expect("a log");
        log.contains("configuration refused").then_some(())
    })
    .await;
    assert_eq!(scene.service("exfil").await["state"], "up");
}

#[actix_web::test]
async fn bad_registrations_are_named_and_change_nothing() {
    let scene = Scene::start("").await;
    for (change, code) in [
        (json!({ "url": "ftp://svc.example/" }), "bad_service"),
        (
            json!({ "url": "https://ana:hunter2@svc.example/" }),
            "bad_service",
        ),
        (json!({ "attempts": 0 }), "bad_service"),
        (json!({ "orgs": [] }), "bad_service"),
        (json!({ "secret": null }), "secret_needed"),
        (json!({ "secret": 7 }), "bad_json"),
        (json!({ "colour": "red" }), "bad_json"),
        (json!({ "name": "No Name" }), "bad_json"),
    ] {
        let mut body = json!({ "name": "yara", "url": "https://svc.example/", "secret": SECRET });
        for (key, value) in change.as_object().expect("an object") {
            body[key] = value.clone();
        }
        let answer = scene.api.post("/v1/services", &body).await;
        assert_eq!(answer.code(), code, "{change}: {answer:?}");
        let told = answer.body.to_string();
        assert!(!told.contains("hunter2") && !told.contains(SECRET), "{told}");
    }
    let all = scene.api.get("/v1/services").await;
    assert_eq!(all.body["items"], json!([]));
    for path in [
        "/v1/services/yara",
        "/v1/services/yara/jobs",
        "/v1/services/yara/resources/x",
    ] {
        assert_eq!(scene.api.get(path).await.status, 404, "{path}");
    }
}

#[actix_web::test]
async fn the_command_line_registers_shows_changes_and_removes() {
    let (peer, scene) = (peer().await, Scene::start("").await);
    let url = peer.url();
    let file = scene.site.write("yara.secret", SECRET);
    let file = file.to_str().expect("UTF-8");
    let words = [
        "service",
        "add",
        "yara",
        &url,
        "--allow-private",
        "--attempts",
        "3",
    ];
    let without = cli(&scene, &words).await;
    assert!(
        without.code == 2 && without.stderr.contains("a secret is needed"),
        "{}",
        without.stderr
    );
    let added = cli(&scene, &[&words[..], &["--secret-file", file]].concat()).await;
    assert_eq!(added.code, 0, "{}", added.stderr);
    scene.installed("yara").await;
    scene.detect("d-1", "fine", HostId(Uuid::new_v4())).await;
    eventually("its job is told", async || {
        let jobs = scene.api.get("/v1/services/yara/jobs").await;
        (jobs.body["items"][0]["id"] == "j1").then_some(())
    })
    .await;
    for (words, expected) in [
        (&["service", "list"][..], "yara"),
        (&["service", "show", "yara"], "3 within 1d"),
        (&["service", "show", "yara"], "default (installed)"),
        (&["service", "jobs", "yara"], "sweep"),
        (&["service", "jobs", "yara", "j1"], "d-1"),
        (&["service", "resource", "yara", "rules"], "detect"),
        (&["service", "retry", "yara"], "API"),
        (&["service", "change", "yara", "--rights", "operator"], "operator"),
    ] {
        let ran = cli(&scene, words).await;
        assert_eq!(ran.code, 0, "{words:?}: {} {}", ran.stdout, ran.stderr);
        assert!(
            ran.stdout.contains(expected),
            "{words:?}: {} {}",
            ran.stdout,
            ran.stderr
        );
        assert!(!ran.stdout.contains(SECRET), "{words:?}");
    }
    let to = scene.site.path("rules.bin");
    let got = cli(
        &scene,
        &[
            "service",
            "resource",
            "yara",
            "rules",
            "--to",
            to.to_str().expect("UTF-8"),
        ],
    )
    .await;
    assert_eq!(got.code, 0, "{}", got.stderr);
    assert_eq!(std::fs::read(&to).expect("a file"), CONTENT);
    let whole = peer.told("get_resource").into_iter();
    let whole = whole.filter(|call| call["data"]["is_include_data"] == true);
    assert_eq!(whole.count(), 1, "its content was fetched once");
    let unknown = cli(&scene, &["service", "resource", "yara", "nothing"]).await;
    assert_eq!(unknown.code, 1, "{}", unknown.stderr);
    assert_eq!(cli(&scene, &["service", "show", "other"]).await.code, 2);
    assert_eq!(cli(&scene, &["service", "remove", "yara"]).await.code, 0);
    assert_eq!(scene.api.get("/v1/services/yara").await.status, 404);
}

#[actix_web::test]
async fn a_token_of_one_org_sees_nothing_of_others() {
    let peer = peer().await;
    let orgs = "orgs = [\"acme\", \"default\"]\n";
    let scene = Scene::start(&(service("yara", &peer, orgs) + &service("exfil", &peer, ""))).await;
    scene.installed("yara").await;
    let request = json!({ "name": "ana", "role": "admin", "org": "acme" });
    let ana = scene.api.with_token(&scene.api.create_token(request).await);
    let all = ana.get("/v1/services").await;
    let items = all.body["items"].as_array().expect("services");
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!(items[0]["orgs"], json!(["acme"]));
    assert!(items[0]["installations"].get("default").is_none());
    assert_eq!(ana.get("/v1/services/exfil").await.status, 404);
    assert_eq!(ana.get("/v1/services?org=default").await.status, 403);
    let body = json!({ "name": "own", "url": peer.url(), "secret": SECRET });
    assert_eq!(ana.post("/v1/services", &body).await.status, 403);
    assert_eq!(ana.post("/v1/services/yara/retry", &json!({})).await.status, 403);
}
