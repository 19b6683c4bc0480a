//! People who ask a service for something.

use super::Cloud;
use crate::harness::{eventually, tripline};
use serde_json::{Value, json};

const REQUESTS: &str = "/v1/services/asked/requests";

async fn start() -> Cloud {
    Cloud::start("asked", &[], "", |service| {
        let params = json!({
            "behaviour": { "type": "enum", "desc": "what it does", "values": ["ok", "fail", "job", "retry_first"], "is_required": true },
            "count": { "type": "int", "desc": "how often" },
        });
        service.set("params", params);
    })
    .await
}

async fn ended(cloud: &Cloud, id: &Value) -> Value {
    let path = format!("{REQUESTS}/{}", id.as_str().expect("an id"));
    eventually("the request has ended", async || {
        let view = cloud.api.try_get(&path).await?.body;
        (view["state"] != "waiting").then_some(view)
    })
    .await
}

#[actix_web::test]
async fn a_request_is_held_to_its_parameters_delivered_and_answered() {
    let cloud = start().await;
    for (params, detail) in [
        (json!({}), "missing parameter behaviour"),
        (
            json!({ "behaviour": "burn" }),
            "invalid parameter behaviour: enum has invalid value",
        ),
        (
            json!({ "behaviour": "ok", "count": "2" }),
            "invalid parameter count: wrong data type",
        ),
    ] {
        let refused = cloud.api.post(REQUESTS, &json!({ "params": params })).await;
        assert_eq!((refused.status, refused.code()), (422, "bad_params"));
        assert_eq!(refused.body["detail"], detail);
    }
    for (behaviour, state, error) in [
        ("ok", "done", Value::Null),
        ("fail", "refused", json!("it failed, as told")),
        ("job", "done", Value::Null),
        ("retry_first", "done", Value::Null),
    ] {
        let params = json!({ "behaviour": behaviour, "count": 2, "more": { "a": [1] } });
        let asked = cloud.api.post(REQUESTS, &json!({ "params": params })).await;
        assert_eq!(asked.status, 201, "{asked:?}");
        let view = ended(&cloud, &asked.body["id"]).await;
        assert_eq!(
            (&view["state"], &view["error"]),
            (&json!(state), &error),
            "{view}"
        );
        let told = cloud.service.recorded().pop().expect("calls").call;
        assert_eq!((&told["data"], &told["mid"]), (&params, &view["id"]));
        assert!(told["jwt"].is_string() && told["oid"].is_string(), "{told}");
        if behaviour == "job" {
            let job = view["jobs"][0].as_str().expect("a job");
            let job = cloud.api.get(&format!("/v1/services/asked/jobs/{job}")).await;
            assert_eq!(job.body["cause"], "as told", "{job:?}");
        }
    }
    let all = cloud.api.get(REQUESTS).await;
    assert_eq!(all.body["items"].as_array().map(Vec::len), Some(4));
    assert_eq!(all.body["items"][0]["params"]["behaviour"], "retry_first");
}

#[actix_web::test]
async fn a_request_waits_for_a_service_that_is_away_and_the_server_s_end_does_not_lose_it() {
    let mut cloud = start().await;
    cloud.service.kill();
    let asked = cloud
        .api
        .post(REQUESTS, &json!({ "params": { "behaviour": "ok" } }))
        .await;
    assert_eq!(asked.status, 201, "{asked:?}");
    cloud.server.crash().await;
    cloud.service.spawn().await;
    let view = ended(&cloud, &asked.body["id"]).await;
    assert_eq!(view["state"], "done", "{view}");
    cloud.service.calls_of("request", 1).await;
}

#[actix_web::test]
async fn the_command_line_asks_and_shows_the_answer() {
    let cloud = start().await;
    let run = async |words: &[&str]| tripline(cloud.server.data_dir(), words).await;
    let shown = run(&["service", "show", "asked"]).await;
    assert!(
        shown.stdout.contains("behaviour:enum(ok|fail|job|retry_first)!")
            && shown.stdout.contains("count:int"),
        "{shown:?}"
    );
    let ask = ["service", "request", "asked", "--param"];
    let done = run(&[&ask[..], &["behaviour=ok", "--param", "count=2"]].concat()).await;
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.stdout.contains("done") && done.stdout.contains("{}"),
        "{done:?}"
    );
    assert_eq!(
        cloud.service.calls_of("request", 1).await[0].call["data"]["count"],
        2
    );
    let refused = run(&[&ask[..], &["behaviour=fail"]].concat()).await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stdout.contains("it failed, as told"), "{refused:?}");
    let bad = run(&[&ask[..], &["behaviour=burn"]].concat()).await;
    assert_eq!(bad.code, 2, "{bad:?}");
    assert!(
        bad.stderr
            .contains("invalid parameter behaviour: enum has invalid value"),
        "{bad:?}"
    );
    let all = run(&["service", "requests", "asked", "--output", "json"]).await;
    let all: Value = serde_json::from_str(&all.stdout).expect("JSON");
    assert_eq!(all.as_array().map(Vec::len), Some(2), "{all}");
    let one = run(&[
        "service",
        "requests",
        "asked",
        all[0]["id"].as_str().expect("an id"),
    ])
    .await;
    assert!(one.stdout.contains("refused"), "{one:?}");
}
