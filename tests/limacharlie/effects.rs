//! What calls cause: once each, whatever dies; events, jobs, results, and nothing of a token anywhere.

use crate::cloud::{Cloud, JWT, OID, SECRET, SID, detection};
use crate::harness::eventually;
use crate::harness::scripted::{Persona, ScriptedAgent};
use serde_json::{Value, json};

/// An agent's host of the org that is the sensor.
pub(crate) async fn linked(cloud: &Cloud) -> ScriptedAgent {
    cloud
        .done(
            "new_sensor",
            "link",
            json!({ "sid": SID, "hostname": "web-1", "platform": "linux" }),
        )
        .await;
    let api = cloud.server.api();
    let token = api
        .create_token(json!({ "name": "t", "role": "enrol", "org": OID }))
        .await;
    let agent = ScriptedAgent::start(&cloud.server.url(), &token, Persona::linux("web-1")).await;
    let agent = agent.expect("an agent");
    let path = format!("/v1/hosts/{}/link?org={OID}", agent.host_id());
    let answer = api.post(&path, &json!({ "littlebrother": SID })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    agent
}

#[tokio::test]
async fn a_detection_trips_its_pipeline_on_the_linked_host_and_the_result_comes_back_as_an_lc_job() {
    let cloud = Cloud::start().await;
    let agent = linked(&cloud).await;
    cloud.done("detection", "d", detection("mimikatz")).await;
    let outside = cloud.server.outside().await;
    let results = eventually("its result", async || {
        Some(outside.results().await).filter(|results| results.len() == 1)
    })
    .await;
    let (job_id, results) = results.into_iter().next().expect("one");
    assert_eq!((results.len(), results[0].host.host_id), (1, agent.host_id()));
    assert_eq!(results[0].event.as_ref().expect("its event").id, "d");
    let mut told: Vec<Value> = Vec::new();
    let mut number = 0;
    while told.last().is_none_or(|update| update["end"].is_null()) {
        number += 1;
        let answer = cloud
            .done("service_error", &format!("e{number}"), json!({}))
            .await;
        told.extend(answer["jobs"].as_array().into_iter().flatten().cloned());
        assert!(number < 10_000, "{told:?}");
    }
    assert!(
        told.iter().all(|update| update["id"] == json!(job_id)),
        "{told:?}"
    );
    assert!(
        told[0]["start"].is_i64() && told[0]["cause"].is_string(),
        "{told:?}"
    );
    assert_eq!(told[0]["sid"], json!([SID]));
    let attached = told.last().unwrap()["hist"].to_string();
    assert!(
        attached.contains("\"att_type\":\"json\"") && attached.contains("list_processes"),
        "{attached}"
    );
    let quiet = cloud.done("service_error", "quiet", json!({})).await;
    assert!(quiet.get("jobs").is_none(), "told once: {quiet}");
}

#[tokio::test]
async fn a_request_runs_its_job_on_the_linked_host_and_answers_with_the_result() {
    let cloud = Cloud::start().await;
    let agent = linked(&cloud).await;
    let answer = cloud
        .done(
            "request",
            "r",
            json!({ "job": "look", "sid": SID, "deep": "true" }),
        )
        .await;
    let job = &answer["data"]["jobs"][0];
    assert_eq!(
        (&answer["data"]["done"], &job["result"]["outcome"]),
        (&json!(true), &json!("succeeded"))
    );
    assert_eq!(job["host_id"], json!(agent.host_id()));
    let again = cloud
        .done(
            "request",
            "r",
            json!({ "job": "look", "sid": SID, "deep": "true" }),
        )
        .await;
    assert_eq!(again["data"], answer["data"]);
    let command = json!({ "command_name": "look", "host": "web-1", "rid": "r", "cid": "c", "ssid": "s" });
    let commanded = cloud.done("command", "c", command).await;
    assert_ne!(commanded["data"]["jobs"][0]["job_id"], job["job_id"]);
    assert_eq!(cloud.server.api().jobs().await.len(), 2);
}

#[tokio::test]
async fn a_message_is_handled_once_though_the_server_is_killed_between_its_repeats() {
    let mut cloud = Cloud::start().await;
    for round in 0..3 {
        let posts = (0..20).map(|number| {
            let mid = format!("{round}-{}", number % 10);
            let cloud = &cloud;
            async move { cloud.done("detection", &mid, detection("other")).await }
        });
        let answers = futures_util::future::join_all(posts).await;
        assert!(answers.iter().all(|answer| answer["success"] == true));
        cloud.server.crash().await;
        for number in 0..10 {
            cloud
                .done("detection", &format!("{round}-{number}"), detection("other"))
                .await;
        }
    }
    let events = eventually("all are published", async || {
        let events = cloud.events().await;
        (events.len() >= 30).then_some(events)
    })
    .await;
    let mut distinct = events.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!((events.len(), distinct.len()), (30, 30), "{events:?}");
}

#[tokio::test]
async fn tokens_and_the_secret_are_nowhere() {
    let mut cloud = Cloud::start().await;
    cloud.done("org_install", "i", json!({})).await;
    cloud.done("detection", "d", detection("mimikatz")).await;
    cloud
        .tell("request", "r", json!({ "job": "look", "host": "nobody" }))
        .await;
    let stored = eventually("its events", async || {
        Some(cloud.stored().await).filter(|stored| stored.len() == 2)
    })
    .await;
    for (_, payload) in stored {
        assert!(!String::from_utf8_lossy(&payload).contains(JWT));
    }
    cloud.server.terminate().await;
    let mut open = vec![cloud.server.data_dir().to_owned()];
    open.push(cloud.site.path("server.log"));
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(
                std::fs::read_dir(&path)
                    .unwrap()
                    .map(|entry| entry.unwrap().path()),
            );
            continue;
        }
        let Ok(bytes) = std::fs::read(&path) else { continue };
        for secret in [JWT, SECRET] {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "{}", path.display());
        }
    }
}
