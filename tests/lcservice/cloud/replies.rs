//! A service that tasks a sensor and gets the reply.

use super::Cloud;
use crate::harness::{AgentProcess, eventually};
use serde_json::{Value, json};

#[actix_web::test]
async fn a_service_tasks_a_host_with_the_token_of_its_call_and_its_callback_gets_the_reply() {
    let cloud = Cloud::start("asker", &["ask"], "rights = \"operator\"\n", |service| {
        service.set("interactive", json!(true));
    })
    .await;
    let mut agent = AgentProcess::start(&cloud.site, &cloud.server, "a").await;
    let host = agent.host_id().await;
    let data = json!({
        "cat": "ask", "server": cloud.server.url(), "context": "a/b", "detect": { "number": "ask" },
    });
    cloud.publish("ask", "detection", host, data).await;
    let told = eventually("the callback gets the reply", async || {
        let lines = cloud.service.lines();
        lines.into_iter().find(|line| line.get("reply").is_some())
    })
    .await;
    // The reply may be there before the answer to what led to it.
    let view = cloud.is("nothing waits", |view| view["waiting"] == 0).await;
    let calls = cloud.service.calls_of("detection", 2).await;
    let asked: &Value = &calls[0].answer.as_ref().expect("it was answered")["data"];
    assert!(asked["job_id"].is_string(), "{asked}");
    let reply = &calls[1].call;
    assert_eq!(reply["data"]["cat"], "__svc-asker-ex");
    assert!(reply["mid"] != calls[0].call["mid"]);
    assert_eq!((&told["context"], &told["oid"]), (&json!("a/b"), &reply["oid"]));
    assert_eq!(told["job"], Value::Null);
    let event = &told["reply"]["event"];
    assert_eq!(
        (&event["job_id"], &event["outcome"]),
        (&asked["job_id"], &json!("succeeded"))
    );
    assert_eq!(told["reply"]["routing"]["sid"], host.to_string());
    let token = told["reply"]["routing"]["investigation_id"].as_str();
    assert!(
        token.is_some_and(|token| token.starts_with("svc-asker-ex/")),
        "{told}"
    );
    assert_eq!(
        (&view["given_up"], &view["last_failure"]),
        (&json!(0), &Value::Null),
        "{view}"
    );
    assert_eq!(
        cloud.service.calls_of("detection", 2).await.len(),
        2,
        "each came once"
    );
}
