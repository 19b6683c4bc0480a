//! What does not succeed the first time.

use super::{Cloud, is_done};
use crate::harness::until;
use crate::peer::Recorded;
use serde_json::{Value, json};
use tripline_protocol::HostId;
use uuid::Uuid;

fn host() -> HostId {
    HostId(Uuid::new_v4())
}

#[actix_web::test]
async fn what_fails_the_first_time_comes_again_with_its_mid_and_is_then_done() {
    let words = [
        "retry_first",
        "raise_first",
        "status_first",
        "html_first",
        "no_success_first",
    ];
    let cloud = Cloud::start("again", &words, "", |_| {}).await;
    for word in words {
        cloud.detect(word, word, host()).await;
    }
    let told = cloud.handled(words.len()).await;
    for word in words {
        let calls = &told[word];
        assert_eq!(calls.len(), 2, "{word}: {calls:?}");
        assert!(is_done(&calls[1]), "{word}: {calls:?}");
        assert_eq!(calls[0].call["data"], calls[1].call["data"], "{word}");
        let deadline = |call: &Value| call["deadline"].as_f64().expect("a deadline");
        assert!(
            deadline(&calls[0].call) < deadline(&calls[1].call),
            "{word}: each attempt has its own"
        );
    }
    let view = cloud
        .is("up", |view| view["delivered"] == json!(words.len() + 1))
        .await;
    assert!(!view["last_failure"].is_null(), "{view}");
}

#[actix_web::test]
async fn a_slow_call_is_made_once_and_holds_back_only_its_own_sensor() {
    let cloud = Cloud::start("slow", &["slow", "fine"], "", |_| {}).await;
    let gate = cloud.site.write("gate", "");
    let (sensor, other) = (host(), host());
    let data = json!({ "cat": "slow", "gate": gate, "detect": { "number": "slow" } });
    cloud.publish("slow", "detection", sensor, data).await;
    cloud.service.calls_of("detection", 1).await;
    cloud.detect("behind", "fine", sensor).await;
    cloud.detect("beside", "fine", other).await;
    let calls = cloud.service.calls_of("detection", 2).await;
    assert_eq!(calls[1].call["data"]["detect"]["event"]["number"], "beside");
    until("the one beside it is answered", || {
        cloud
            .service
            .recorded()
            .iter()
            .filter(|told| is_done(told))
            .count()
            >= 3
    })
    .await;
    assert!(calls[0].answer.is_none(), "it is slow");
    std::fs::remove_file(&gate).expect("the gate");
    let told = cloud.handled(3).await;
    assert!(told.values().all(|calls| calls.len() == 1), "{told:?}");
}

#[actix_web::test]
async fn a_call_that_takes_longer_than_its_deadline_comes_again_though_it_may_yet_succeed() {
    let cloud = Cloud::start("late", &["slow"], "deadline = \"1s\"\n", |_| {}).await;
    let gate = cloud.site.write("gate", "");
    let data = json!({ "cat": "slow", "gate": gate, "detect": { "number": "slow" } });
    cloud.publish("slow", "detection", host(), data).await;
    let calls = cloud.service.calls_of("detection", 2).await;
    assert!(calls[0].answer.is_none(), "the first is still under way");
    std::fs::remove_file(&gate).expect("the gate");
    let told = cloud.handled(1).await;
    assert!(is_done(told["slow"].last().expect("calls")), "{told:?}");
    let view = cloud.is("up", |view| !view["last_failure"].is_null()).await;
    let why = view["last_failure"]["text"].as_str();
    assert!(
        why.is_some_and(|why| why.starts_with("no answer within")),
        "{view}"
    );
}

#[actix_web::test]
async fn one_that_dies_in_the_middle_of_a_call_gets_everything_when_it_is_back() {
    let mut cloud = Cloud::start("mortal", &["die_first", "fine"], "", |_| {}).await;
    let sensor = host();
    cloud.detect("before", "fine", sensor).await;
    cloud.detect("deadly", "die_first", sensor).await;
    cloud.detect("behind", "fine", sensor).await;
    cloud.service.dies().await;
    for number in 0..20 {
        cloud.detect(&number.to_string(), "fine", host()).await;
    }
    cloud
        .is("it is seen to be away", |view| view["state"] == "down")
        .await;
    cloud.service.spawn().await;
    cloud.hurry().await;
    let told = cloud.handled(23).await;
    let deadly = &told["deadly"];
    assert_eq!(
        (deadly.len(), deadly[0].answer.is_none()),
        (2, true),
        "{deadly:?}"
    );
    assert!(
        deadly[0].call["pid"] != deadly[1].call["pid"],
        "by another process"
    );
    let began = |number: &str| told[number].last().expect("a call").call["began"].as_u64();
    assert!(
        began("before") < began("deadly") && began("deadly") < began("behind"),
        "in order"
    );
}

#[actix_web::test]
async fn a_server_that_is_killed_in_the_middle_of_deliveries_loses_none() {
    const DETECTIONS: usize = 60;
    const HOSTS: usize = 6;
    let mut cloud = Cloud::start("patient", &["slow", "fine"], "", |_| {}).await;
    let gate = cloud.site.write("gate", "");
    let data = json!({ "cat": "slow", "gate": gate, "detect": { "number": "slow" } });
    cloud.publish("slow", "detection", host(), data).await;
    let hosts: Vec<HostId> = (0..HOSTS).map(|_| host()).collect();
    for number in 0..DETECTIONS {
        if number == DETECTIONS / 2 {
            // One call is under way for certain, others may be.
            let calls = cloud.service.calls_of("detection", DETECTIONS / 4).await;
            let is_under_way = |told: &Recorded| told.call["data"]["cat"] == "slow" && told.answer.is_none();
            assert!(calls.iter().any(is_under_way), "it is slow");
            cloud.server.crash().await;
            cloud.outside = cloud.server.outside().await;
        }
        cloud
            .detect(&number.to_string(), "fine", hosts[number % HOSTS])
            .await;
    }
    std::fs::remove_file(&gate).expect("the gate");
    let told = cloud.handled(DETECTIONS + 1).await;
    assert_eq!(
        told["slow"].len(),
        2,
        "nobody heard the answer to the first: {:?}",
        told["slow"]
    );
    for of_host in 0..HOSTS {
        let first = (of_host..DETECTIONS)
            .step_by(HOSTS)
            .map(|number| told[&number.to_string()][0].call["began"].as_u64());
        assert!(first.is_sorted(), "each host's in order");
    }
}
