//! Tokens that services get with their calls.

use crate::harness::{AgentProcess, Answer, Api, eventually, until};
use crate::peer::{Does, Peer};
use crate::scene::{SECRET, Scene};
use serde_json::{Value, json};
use tripline_protocol::HostId;
use uuid::Uuid;

const CALLBACKS: [&str; 3] = ["health", "detection", "org_install"];

async fn peer() -> Peer {
    Peer::start(SECRET, |call: &Value| match call["etype"].as_str() {
        Some("health") => Does::health(&CALLBACKS, &["fine"]),
        _ => Does::done(),
    })
    .await
}

/// Registers it with these rights; its token of the org `default`.
async fn token(scene: &Scene, peer: &Peer, name: &str, rights: &str) -> String {
    let body = json!({
        "name": name, "url": peer.url(), "secret": SECRET, "allow_private": true, "rights": rights,
    });
    let made = scene.api.post("/v1/services", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    let token = || Some(peer.told("org_install").first()?["jwt"].as_str()?.to_owned());
    eventually("org_install", async || token()).await
}

/// What the Carbon Black dialect says to this token.
async fn of_cbapi(api: &Api, token: &str) -> u16 {
    let request = api.request(reqwest::Method::GET, "/api/v1/sensor");
    let answer = request.header("x-auth-token", token).send().await;
    answer.expect("an answer").status().as_u16()
}

async fn job(api: &Api) -> Answer {
    let job = json!({ "name": "look", "steps": [{ "list_processes": {} }] });
    api.post("/v1/jobs", &json!({ "host": Uuid::new_v4(), "job": job }))
        .await
}

#[actix_web::test]
async fn a_token_is_good_for_its_org_with_the_rights_of_its_service_until_that_is_removed() {
    let (scene, peer) = (Scene::start("").await, peer().await);
    let token = token(&scene, &peer, "yara", "viewer").await;
    let api = scene.api.with_token(&token);
    assert_eq!(api.get("/v1/hosts").await.status, 200);
    assert_eq!(api.get("/v1/hosts?org=other").await.status, 403);
    assert_eq!(job(&api).await.status, 403, "viewers run nothing");
    assert_eq!(api.get("/v1/tokens").await.status, 403);
    assert_eq!(of_cbapi(&scene.api, &token).await, 401, "another dialect");
    let forged = format!("{}x", &token[..token.len() - 1]);
    assert_eq!(scene.api.with_token(&forged).get("/v1/hosts").await.status, 401);

    let mut body = json!({
        "name": "yara", "url": peer.url(), "allow_private": true, "rights": "operator",
    });
    let change = |body: &Value| {
        scene
            .api
            .request(reqwest::Method::PUT, "/v1/services/yara")
            .json(body)
    };
    assert_eq!(change(&body).send().await.expect("an answer").status(), 200);
    assert_eq!(job(&api).await.code(), "not_found", "no such host, but allowed");
    body["rights"] = json!("admin");
    assert_eq!(change(&body).send().await.expect("an answer").status(), 200);
    assert_eq!(api.get("/v1/tokens").await.status, 200);
    let another = api
        .post("/v1/tokens", &json!({ "name": "mine", "role": "viewer" }))
        .await;
    assert_eq!(
        (another.status, another.code()),
        (403, "forbidden"),
        "it would outlive the service"
    );
    body["orgs"] = json!(["other"]);
    assert_eq!(change(&body).send().await.expect("an answer").status(), 200);
    assert_eq!(api.get("/v1/hosts").await.status, 401, "the org has left it");
    body["orgs"] = json!(["default", "other"]);
    assert_eq!(change(&body).send().await.expect("an answer").status(), 200);
    assert_eq!(
        api.get("/v1/hosts").await.status,
        401,
        "it is back, with other tokens"
    );

    let removed = scene
        .api
        .request(reqwest::Method::DELETE, "/v1/services/yara")
        .send()
        .await;
    assert_eq!(removed.expect("an answer").status(), 204);
    assert_eq!(api.get("/v1/hosts").await.code(), "unauthenticated");
}

#[actix_web::test]
async fn calls_about_no_org_have_no_token_and_none_is_stored_or_logged() {
    let (mut scene, peer) = (Scene::start("").await, peer().await);
    let first = token(&scene, &peer, "yara", "viewer").await;
    for call in peer.told("health") {
        assert!(call.get("jwt").is_none() && call.get("oid").is_none(), "{call}");
    }
    scene.installed("yara").await;
    scene.detect("d-1", "fine", HostId(Uuid::new_v4())).await;
    until("the detection", || !peer.detections("fine").is_empty()).await;
    let call = &peer.detections("fine")[0];
    let oid = call["oid"].as_str().expect("an oid");
    assert!(
        Uuid::parse_str(oid).is_ok(),
        "the reference implementation wants a UUID: {oid}"
    );
    let second = call["jwt"].as_str().expect("a token").to_owned();
    assert_eq!(scene.api.with_token(&second).get("/v1/hosts").await.status, 200);
    for body in ["/v1/services", "/v1/services/yara", "/v1/audit?limit=1000"] {
        let told = scene.api.get(body).await.body.to_string();
        assert!(!told.contains(SECRET) && !told.contains(&second), "{told}");
    }
    let ended = scene.server.terminate().await;
    assert!(ended.success());
    // The signature alone would do to find a token.
    let parts = [&first, &second].map(|token| token.rsplit('.').next().expect("a part").to_owned());
    for (path, bytes) in files(scene.server.data_dir()) {
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(
            !parts.iter().any(|part| holds(part)),
            "{} has a token",
            path.display()
        );
    }
    let log = scene.server.process().log();
    assert!(!parts.iter().any(|part| log.contains(part)) && !log.contains(SECRET));
}

/// All files in a folder with their contents.
fn files(folder: &std::path::Path) -> Vec<(std::path::PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths
        .flat_map(|path| match path.is_dir() {
            true => files(&path),
            false => vec![(path.clone(), std::fs::read(&path).expect("a file"))],
        })
        .collect()
}

#[actix_web::test]
async fn what_comes_of_a_task_with_an_investigation_id_comes_back_to_the_service() {
    let scene = Scene::start("").await;
    let peer = Peer::start(SECRET, |call: &Value| match call["etype"].as_str() {
        Some("health") => Does::health(&CALLBACKS, &["__svc-yara-ex"]),
        _ => Does::done(),
    })
    .await;
    let token = token(&scene, &peer, "yara", "operator").await;
    scene.installed("yara").await;
    let mut agent = AgentProcess::start(&scene.site, &scene.server, "a").await;
    let host = agent.host_id().await;
    let api = scene.api.with_token(&token);
    let task = "svc-yara-ex/0a1b2c3d/job-1/some/context";
    let job = json!({ "name": "look", "steps": [{ "create_process": { "argv": ["/bin/echo", "found"] } }] });
    let body = json!({ "host": host, "job": job, "investigation_id": task });
    let made = api.post("/v1/jobs", &body).await;
    assert_eq!(made.status, 201, "{made:?}");
    until("the reply", || !peer.detections("__svc-yara-ex").is_empty()).await;
    let reply = &peer.detections("__svc-yara-ex")[0]["data"];
    // As services of both reference implementations look for it.
    assert_eq!(reply["detect"]["routing"]["investigation_id"], task);
    assert_eq!(reply["routing"]["investigation_id"], task);
    assert_eq!(reply["routing"]["sid"], host.to_string());
    assert_eq!(reply["detect"]["event"]["job_id"], made.body["job_id"]);
    assert_eq!(reply["detect"]["event"]["outcome"], "succeeded");
}
