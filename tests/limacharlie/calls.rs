//! Requests, responses and health (facts, sections 2 to 4, and the names of section 5).

use crate::cloud::{Cloud, OID, detection, in_seconds, refused};
use serde_json::{Value, json};

#[tokio::test]
async fn calls_that_are_none_are_refused_in_the_words_of_the_protocol() {
    let cloud = Cloud::start().await;
    let with = |field: &str, value: Value| {
        let mut call = Cloud::message("detection", "m", detection("mimikatz"));
        call[field] = value;
        call
    };
    for (call, error) in [
        (with("version", json!(2)), "unsupported version (> 1)"),
        (with("version", json!("1")), "version: must be a number"),
        (with("deadline", json!("soon")), "deadline: must be a number"),
        (with("deadline", json!(in_seconds(-1))), "deadline exceeded"),
        (with("oid", json!("acme")), "oid: must be a UUID"),
        (with("oid", json!(null)), "oid: is missing"),
        (with("oid", json!(7)), "oid: must be a text"),
        (with("mid", json!([])), "mid: must be a text"),
        (
            with("mid", json!("m".repeat(129))),
            "mid: must be at most 128 bytes",
        ),
        (with("etype", json!("Detection")), "not implemented"),
        (with("etype", json!("made_up")), "not implemented"),
        (with("etype", json!(null)), "not implemented"),
        (with("etype", json!("org_per_1h")), "not implemented"),
        (with("tripdepth", json!("1")), "tripdepth: must be a number"),
        (
            with("tripdepth", json!(9)),
            "tripdepth: must be a whole number from 0 to 8",
        ),
        (with("tripdepth", json!(8)), "tripdepth: 8 is the end"),
        (with("data", json!([])), "data: must be an object"),
        (with("data", json!("x")), "data: must be an object"),
        (with("data", json!(null)), "data.cat: must be a text"),
    ] {
        assert_eq!(cloud.call(&call).await, refused(error), "{call}");
    }
    assert!(cloud.events().await.is_empty(), "nothing came of any");
    // Nothing of the real cloud's calls is needed but these.
    let least = json!({ "oid": OID.to_uppercase(), "etype": "detection", "data": { "cat": "mimikatz" }, "unknown": 1 });
    assert_eq!(cloud.call(&least).await["success"], true);
    let decimals = with("deadline", json!(in_seconds(60) as f64 + 0.5));
    assert_eq!(cloud.call(&decimals).await["success"], true);
}

#[tokio::test]
async fn health_tells_what_is_configured() {
    let cloud = Cloud::start().await;
    let health = cloud
        .call(&json!({ "version": 1, "mid": "h", "etype": "health", "data": {} }))
        .await;
    let data = &health["data"];
    assert_eq!(data["version"], 1);
    assert_eq!(data["calls_in_progress"], 1, "itself");
    let started = data["start_time"].as_i64().unwrap();
    assert!((in_seconds(-600)..=in_seconds(0)).contains(&started), "{started}");
    let mtd = &data["mtd"];
    assert_eq!(mtd["detect_subscriptions"], json!(["mimikatz"]));
    assert_eq!(
        mtd["callbacks"],
        json!([
            "health",
            "org_install",
            "org_uninstall",
            "detection",
            "request",
            "command",
            "get_resource",
            "deployment_event",
            "new_sensor",
            "service_error",
        ]),
        "no ticks: nobody listens to any"
    );
    let params: Vec<&String> = mtd["request_params"].as_object().unwrap().keys().collect();
    assert_eq!(params, ["deep", "host", "job", "selector", "sid"]);
    assert_eq!(
        mtd["request_params"]["job"],
        json!({
            "type": "enum", "desc": "the named job to run", "is_required": true, "values": ["look"],
        })
    );
    assert_eq!(mtd["commands"]["look"]["desc"], "lists what runs");
}

#[tokio::test]
async fn each_kind_of_call_is_answered() {
    let cloud = Cloud::start().await;
    let sid = crate::cloud::SID;
    for (etype, data) in [
        ("org_install", json!({})),
        ("detection", detection("mimikatz")),
        ("new_sensor", json!({ "sid": sid, "hostname": "web-1" })),
        (
            "deployment_event",
            json!({ "routing": { "event_type": "enrollment", "sid": sid }, "event": {} }),
        ),
        ("service_error", json!({ "error": "too slow" })),
        (
            "get_resource",
            json!({ "resource": "job/look", "is_include_data": false }),
        ),
    ] {
        let answer = cloud.done(etype, etype, data).await;
        assert_eq!(answer.get("retry"), None, "{answer}");
    }
    let content = crate::cloud::JOB;
    let one = cloud
        .done(
            "get_resource",
            "r1",
            json!({ "resource": "job/look", "is_include_data": true }),
        )
        .await;
    let hash = one["data"]["hash"].as_str().unwrap();
    assert_eq!(hash.len(), 64);
    assert_eq!(one["data"]["res_cat"], "job");
    use base64::Engine;
    let data = one["data"]["res_data"].as_str().unwrap();
    let decoded = base64::engine::general_purpose::STANDARD.decode(data).unwrap();
    assert_eq!(String::from_utf8(decoded).unwrap().trim(), content.trim());
    let many = cloud
        .done(
            "get_resource",
            "r2",
            json!({ "resource": ["job/look"], "is_include_data": false }),
        )
        .await;
    assert_eq!(
        many["data"]["resources"]["job/look"],
        json!({ "hash": hash, "res_cat": "job" })
    );
    for resource in [
        json!("job/none"),
        json!(["job/look", "job/none"]),
        json!("../etc/passwd"),
    ] {
        let answer = cloud
            .tell(
                "get_resource",
                "r3",
                json!({ "resource": resource, "is_include_data": true }),
            )
            .await;
        assert_eq!(answer, refused("resource not available"));
    }
    assert_eq!(cloud.tell("get_resource", "r4", json!({})).await["retry"], false);
}

#[tokio::test]
async fn parameters_of_a_request_are_checked_as_the_reference_implementation_checks_them() {
    let cloud = Cloud::start().await;
    for (data, error) in [
        (json!({ "job": 1 }), "invalid parameter job: wrong data type"),
        (
            json!({ "job": "burn" }),
            "invalid parameter job: enum has invalid value",
        ),
        (
            json!({ "deep": "perhaps", "job": "look" }),
            "invalid parameter deep: wrong data type",
        ),
        (
            json!({ "sid": "web-1", "job": "look" }),
            "invalid parameter sid: wrong data type",
        ),
        (json!({ "job": null }), "missing parameter job"),
        (json!({}), "missing parameter job"),
        (
            json!({ "job": "look" }),
            "exactly one of sid, host and selector is needed",
        ),
        (json!({ "job": "look", "host": "nobody" }), "no host \"nobody\""),
    ] {
        assert_eq!(cloud.tell("request", "r", data).await, refused(error));
    }
}
