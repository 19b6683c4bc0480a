//! Who gets what: only etypes that a service handles and detections that it subscribes to, whoever reports them; and where
//! circles end.

use crate::harness::scripted::connection::Account;
use crate::harness::{cloud_event, eventually, until};
use crate::peer::{Does, Peer};
use crate::scene::{SECRET, Scene, service};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::SystemTime;
use tripline_protocol::{HostId, Timestamp};
use uuid::Uuid;

/// Handles these etypes and detections.
async fn wanting(callbacks: &'static [&str], detections: &'static [&str]) -> Peer {
    Peer::start(SECRET, move |call: &Value| match call["etype"].as_str() {
        Some("health") => Does::health(callbacks, detections),
        _ => Does::done(),
    })
    .await
}

/// What a peer was told so far but its health, in no order.
fn heard(peer: &Peer) -> BTreeSet<String> {
    let etypes = [
        "detection",
        "new_sensor",
        "deployment_event",
        "log_event",
        "org_install",
    ];
    let told = etypes.into_iter().flat_map(|etype| peer.told(etype));
    told.map(|call| format!("{} {}", call["etype"], call["data"]["cat"]).replace('"', ""))
        .collect()
}

#[actix_web::test]
async fn each_service_gets_what_it_handles_and_subscribes_to_and_nothing_else_whoever_reports_it() {
    let hunter = wanting(
        &["health", "detection", "org_install"],
        &["miner", "worm", "beacon"],
    )
    .await;
    let census = wanting(&["health", "new_sensor", "log_event"], &["miner"]).await;
    let config = service("hunter", &hunter, "") + &service("census", &census, "");
    let scene = Scene::start(&config).await;
    scene.installed("hunter").await;
    scene.installed("census").await;
    // An agent of ours enrols, and reports a detection.
    let url = scene.server.url();
    let token = scene.api.enrol_token().await;
    let agent = Account::enrol(&url, &token, "web-1", "linux").await;
    let agent = agent.expect("enrolled");
    let mut channel = agent.open().await.expect("a channel");
    let hello = json!({
        "type": "hello", "agent_version": "0", "hostname": "web-1", "platform": "linux", "arch": "x86_64",
        "verbs": ["list_processes"], "journal_id": Uuid::new_v4(),
    });
    channel.introduce(hello.to_string()).await.expect("a welcome");
    let now = Timestamp::from(SystemTime::now());
    let event = json!({
        "type": "event", "id": "a-1", "etype": "detection", "time": now,
        "data": { "cat": "beacon", "data": { "port": 4444 } },
    });
    channel.say(event.to_string()).await.expect("said");
    // A person, and a publisher.
    let reported = json!({ "cat": "miner", "priority": 7, "data": { "pid": 4711 }, "host": "web-1" });
    assert_eq!(scene.api.post("/v1/detections", &reported).await.status, 202);
    let host = agent.enrolled.host_id;
    scene.detect("n-1", "worm", host).await;
    scene.detect("n-2", "not asked for", host).await;
    for etype in ["deployment_event", "log_event"] {
        let event = cloud_event(etype, etype, host, json!({ "routing": {}, "event": {} }));
        scene.outside.publish(etype, &event).await;
    }
    scene.outside.all_handled().await;
    let all = |what: &[&str]| {
        what.iter()
            .map(|text| (*text).to_owned())
            .collect::<BTreeSet<_>>()
    };
    let of_hunter = all(&[
        "detection beacon",
        "detection miner",
        "detection worm",
        "org_install null",
    ]);
    let of_census = all(&["log_event null", "new_sensor null"]);
    until("both heard theirs", || {
        heard(&hunter).is_superset(&of_hunter) && heard(&census).is_superset(&of_census)
    })
    .await;
    for name in ["hunter", "census"] {
        scene
            .service_is(name, "nothing waits", |view| view["waiting"] == 0)
            .await;
    }
    assert_eq!((heard(&hunter), heard(&census)), (of_hunter, of_census));
    // What each says.
    let beacon = &hunter.detections("beacon")[0]["data"];
    assert_eq!(beacon["detect"]["event"], json!({ "port": 4444 }));
    let miner = &hunter.detections("miner")[0]["data"];
    assert_eq!(
        (&miner["priority"], &miner["detect"]["event"]["pid"]),
        (&json!(7), &json!(4711))
    );
    for told in [beacon, miner] {
        assert_eq!(told["routing"]["sid"], host.to_string(), "{told}");
        assert_eq!(told["detect"]["routing"]["hostname"], "web-1", "{told}");
    }
    let sensor = &census.told("new_sensor")[0]["data"];
    assert_eq!(sensor["sid"], host.to_string());
    assert_eq!(
        (&sensor["hostname"], &sensor["platform"], &sensor["architecture"]),
        (&json!("web-1"), &json!("linux"), &json!("x86_64"))
    );
    assert_eq!(sensor["ext_ip"], "127.0.0.1", "where it came from");
    assert!(sensor.get("int_ip").is_some(), "{sensor}");
}

#[actix_web::test]
async fn a_service_that_reports_what_it_is_told_of_again_and_again_comes_to_an_end() {
    let peer = wanting(&["health", "detection", "org_install"], &["echo"]).await;
    let scene = Scene::start(&service("echo", &peer, "rights = \"operator\"\n")).await;
    scene.installed("echo").await;
    scene.detect("first", "echo", HostId(Uuid::new_v4())).await;
    let mut answered = 0;
    // It answers each with the same detection, with the token that came with it.
    let last = loop {
        let told = eventually("the next", async || {
            peer.detections("echo").get(answered).cloned()
        })
        .await;
        answered += 1;
        assert!(answered <= 9, "it goes on and on");
        let api = scene.api.with_token(told["jwt"].as_str().expect("a token"));
        let again = api.post("/v1/detections", &json!({ "cat": "echo" })).await;
        if again.status != 202 {
            break again;
        }
    };
    assert_eq!((answered, last.code()), (9, "too_deep"), "{last:?}");
}
