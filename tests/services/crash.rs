//! A server that is killed in the midst of deliveries, beside a service that never answers.

mod soak;

use crate::harness::until;
use crate::peer::{Does, Peer};
use crate::scene::{SECRET, Scene, service};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::HostId;
use uuid::Uuid;

const HOSTS: usize = 5;
const EVENTS: usize = 100;

async fn peer(answers: bool) -> Peer {
    Peer::start(SECRET, move |call: &Value| match call["etype"].as_str() {
        Some("health") => Does::health(&["health", "detection", "org_install"], &["fine"]),
        Some("detection") if !answers => Does::Silence,
        _ => Does::done(),
    })
    .await
}

fn number(call: &Value) -> usize {
    let number = call["data"]["detect"]["event"]["number"].as_str();
    let number = number.and_then(|text| text.parse().ok());
    number.unwrap_or_else(|| panic!("{call}"))
}

fn distinct(peer: &Peer) -> usize {
    peer.detections("fine")
        .iter()
        .map(number)
        .collect::<BTreeSet<_>>()
        .len()
}

#[actix_web::test]
async fn nothing_is_lost_or_out_of_order_when_the_server_is_killed_and_a_silent_service_delays_nobody() {
    let (good, silent) = (peer(true).await, peer(false).await);
    let config = service("good", &good, "") + &service("silent", &silent, "");
    let mut scene = Scene::start(&config).await;
    scene.installed("good").await;
    scene.installed("silent").await;
    let hosts: Vec<HostId> = (0..HOSTS).map(|_| HostId(Uuid::new_v4())).collect();
    for n in 0..EVENTS {
        scene.detect(&n.to_string(), "fine", hosts[n % HOSTS]).await;
        if n == EVENTS / 2 {
            until("some are delivered", || distinct(&good) > EVENTS / 4).await;
            scene.server.crash().await;
            scene.outside = scene.server.outside().await;
        }
    }
    until("all are delivered", || distinct(&good) == EVENTS).await;
    let mut mids: BTreeMap<usize, BTreeSet<String>> = BTreeMap::new();
    let mut last = [None; HOSTS];
    for call in good.detections("fine") {
        let n = number(&call);
        let mid = call["mid"].as_str().expect("a mid").to_owned();
        let is_first = mids.entry(n).or_default().is_empty();
        mids.entry(n).or_default().insert(mid);
        if is_first {
            assert!(last[n % HOSTS] < Some(n), "host {} hears {n} late", n % HOSTS);
            last[n % HOSTS] = Some(n);
        }
    }
    assert!(
        mids.values().all(|of_one| of_one.len() == 1),
        "the same on every attempt"
    );
    let all: BTreeSet<&String> = mids.values().flatten().collect();
    assert_eq!(all.len(), EVENTS, "each its own");
    let view = scene.service("silent").await;
    assert!(view["waiting"].as_u64() > Some(0), "{view}");
}
