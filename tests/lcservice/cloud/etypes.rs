//! Everything that the server calls services for.

use super::Cloud;
use crate::harness::{AgentProcess, cloud_event, eventually, until};
use crate::peer::Recorded;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::limacharlie::{ServiceEtype, TickScope, oid};
use tripline_protocol::{HostId, Org};
use uuid::Uuid;

/// With a resource, and few attempts for each message.
async fn start() -> Cloud {
    let keys = "attempts = 2\ndeadline = \"40s\"\n";
    Cloud::start("whole", &["fine", "retry"], keys, |service| {
        let resource = json!({ "list": { "category": "lookup", "content": "hello" } });
        service.set("resources", resource);
    })
    .await
}

/// What an event of each etype says; the others are made by the server.
fn published() -> Vec<(ServiceEtype, Value)> {
    let said = |etype| match etype {
        ServiceEtype::Detection => Some(json!({ "cat": "fine", "detect": { "number": "d" } })),
        ServiceEtype::DeploymentEvent => {
            Some(json!({ "event": { "quota": 5 }, "routing": { "event_type": "sensor_over_quota" } }))
        }
        ServiceEtype::LogEvent => {
            Some(json!({ "routing": { "log_id": "l", "log_type": "wel" }, "event": {} }))
        }
        // Each service has its own.
        ServiceEtype::Tick(TickScope::Once, _) => Some(json!({ "service": "whole" })),
        ServiceEtype::Tick(..) => Some(json!({})),
        _ => None,
    };
    let all = ServiceEtype::all();
    all.filter_map(|etype| Some((etype, said(etype)?))).collect()
}

/// The first call of each etype.
fn first(cloud: &Cloud) -> BTreeMap<String, Recorded> {
    let mut first = BTreeMap::new();
    for told in cloud.service.recorded() {
        let etype = told.call["etype"].as_str().expect("an etype").to_owned();
        first.entry(etype).or_insert(told);
    }
    first
}

/// Sections 1 and 2 of what is known of the protocol.
fn check_envelope(etype: &str, told: &Recorded) {
    let call = &told.call;
    let headers = &call["headers"];
    assert_eq!(headers["content-type"], "application/json", "{etype}");
    assert_eq!(headers["user-agent"], "lc-services", "{etype}");
    let signature = headers["lc-svc-sig"].as_str().expect("a signature");
    assert_eq!(
        (signature.len(), signature.to_lowercase().as_str()),
        (64, signature)
    );
    assert_eq!(call["version"], 1, "{etype}");
    let mid = call["mid"].as_str().expect("a mid");
    assert!(Uuid::parse_str(mid).is_ok(), "{etype}: {mid}");
    let left = call["deadline"].as_f64().expect("a deadline") - call["at"].as_f64().expect("a time");
    assert!(left > 0.0 && left <= 41.0, "{etype}: {left} s are left");
    assert!(call["data"].is_object(), "{etype}: {call}");
    if etype == "health" || etype.starts_with("once_per_") {
        assert_eq!((call.get("oid"), call.get("jwt")), (None, None), "{etype}");
        return;
    }
    assert_eq!(call["oid"], oid(&Org::default_org()).to_string(), "{etype}");
    let jwt = call["jwt"].as_str().expect("a token");
    assert_eq!(jwt.split('.').count(), 3, "{etype}");
}

#[actix_web::test]
async fn every_etype_that_the_cloud_sends_comes_as_the_real_one_expects_it() {
    // Commands are of rooms for people that there are none of here.
    let all = ServiceEtype::all().filter(|etype| *etype != ServiceEtype::Command);
    let all: BTreeSet<String> = all.map(|etype| etype.to_string()).collect();
    let cloud = start().await;
    let mut agent = AgentProcess::start(&cloud.site, &cloud.server, "a").await;
    let host = agent.host_id().await;
    for (etype, data) in published() {
        let mut event = cloud_event(etype.as_str(), etype.as_str(), host, data);
        if etype.as_str().starts_with("once_per_") {
            // Nobody else tells a service's own time.
            event["source"] = json!("tripline/timekeeper");
        }
        cloud.outside.publish(etype.as_str(), &event).await;
    }
    // It is asked for again each time, until there are no attempts left.
    cloud.detect("given up", "retry", HostId(Uuid::new_v4())).await;
    let asked = cloud
        .api
        .post("/v1/services/whole/requests", &json!({ "params": { "a": [1] } }))
        .await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let resource = cloud.api.get("/v1/services/whole/resources/list").await;
    assert_eq!(
        (resource.status, &resource.body["res_cat"]),
        (200, &json!("lookup")),
        "{resource:?}"
    );
    // What waits would go with it.
    for etype in all.iter().filter(|etype| *etype != "org_uninstall") {
        cloud.service.calls_of(etype, 1).await;
    }
    cloud.is("nothing waits", |view| view["waiting"] == 0).await;
    cloud.site.write("tripline.toml", "");
    until("it is told of the org's end, and answers", || {
        let last = first(&cloud).remove("org_uninstall");
        last.is_some_and(|last| last.answer.is_some())
    })
    .await;
    eventually("it is gone", async || {
        let answer = cloud.api.get("/v1/services/whole").await;
        (answer.status == 404).then_some(())
    })
    .await;

    let first = first(&cloud);
    assert_eq!(first.keys().cloned().collect::<BTreeSet<_>>(), all);
    for (etype, told) in &first {
        check_envelope(etype, told);
        let answer = told.answer.as_ref().expect("an answer");
        assert_eq!(answer["success"], true, "{etype}: {answer}");
    }
    check_data(&first, host);
    let mids: BTreeSet<String> = first.values().map(|told| told.call["mid"].to_string()).collect();
    assert_eq!(mids.len(), first.len(), "each its own");
}

/// What each says.
fn check_data(first: &BTreeMap<String, Recorded>, host: HostId) {
    let data = |etype: &str| &first[etype].call["data"];
    for etype in ["health", "org_install", "org_uninstall", "once_per_1h"] {
        assert_eq!(data(etype), &json!({}), "{etype}");
    }
    let detection = data("detection");
    assert_eq!(
        (&detection["cat"], &detection["detect"]["event"]["number"]),
        (&json!("fine"), &json!("d"))
    );
    assert_eq!(detection["routing"]["sid"], host.to_string());
    let sensor = data("new_sensor");
    assert_eq!(sensor["sid"], host.to_string());
    for key in ["hostname", "platform", "architecture"] {
        assert!(
            sensor[key].as_str().is_some_and(|text| !text.is_empty()),
            "{key}: {sensor}"
        );
    }
    for key in ["ext_ip", "int_ip"] {
        assert!(sensor.get(key).is_some(), "{key}: {sensor}");
    }
    assert_eq!(
        data("deployment_event")["routing"]["event_type"],
        "sensor_over_quota"
    );
    assert_eq!(data("log_event")["routing"]["log_type"], "wel");
    let error = data("service_error");
    assert_eq!(error["etype"], "detection", "{error}");
    assert!(error["mid"].is_string() && error["error"].is_string(), "{error}");
    assert_eq!(
        data("request"),
        &json!({ "a": [1] }),
        "without definitions anything passes"
    );
    let resource = data("get_resource");
    assert_eq!(resource["resource"], "list", "{resource}");
}
