//! Every request about fan-outs.

use super::Witness;
use reqwest::Method;
use serde_json::json;

pub(super) async fn ask(witness: &mut Witness) {
    let (all, path) = ("/v1/fanouts", "/v1/fanouts/{fanout_id}");
    let look = json!({"name": "look", "steps": [{"list_directory": {"path": "/nowhere"}}]});
    let submission =
        json!({"target": {"attached": "agent"}, "job": look, "reason": "INC-42", "max_hosts": 5});
    let dry = format!("{all}?dry_run=true");
    let reach = witness
        .expect(200, Method::POST, all, &dry, Some(submission.clone()))
        .await;
    assert_eq!(reach["hosts"], 1, "{reach:#}");
    let fanout = witness
        .expect(201, Method::POST, all, all, Some(submission))
        .await;
    let one = format!("{all}/{}", fanout["fanout_id"].as_str().expect("an id"));
    let ended = witness.get(path, &format!("{one}?wait=60")).await;
    assert_eq!(ended["state"], "failed", "{ended:#}");
    witness
        .get(all, "/v1/fanouts?state=failed&name=look&limit=1")
        .await;
    let of_hosts = "/v1/fanouts/{fanout_id}/hosts";
    let hosts = witness.get(of_hosts, &format!("{one}/hosts?state=failed")).await;
    assert_eq!(hosts["items"].as_array().map(Vec::len), Some(1), "{hosts:#}");
    witness
        .expect(422, Method::GET, of_hosts, &format!("{one}/hosts?after=x"), None)
        .await;
    let (pause, of_pause) = (format!("{one}/pause"), "/v1/fanouts/{fanout_id}/pause");
    let reason = json!({"reason": "INC-42"});
    witness
        .expect(409, Method::PUT, of_pause, &pause, Some(reason.clone()))
        .await;
    let (retry, of_retry) = (format!("{one}/retry"), "/v1/fanouts/{fanout_id}/retry");
    for (status, body) in [
        (422, json!({"outcomes": []})),
        (200, json!({})),
        (400, json!({"x": 1})),
    ] {
        witness
            .expect(status, Method::POST, of_retry, &retry, Some(body))
            .await;
    }
    let none = "/v1/fanouts/00000000-0000-0000-0000-000000000000";
    witness.expect(404, Method::GET, path, none, None).await;
    witness
        .expect(400, Method::GET, path, "/v1/fanouts/x", None)
        .await;
    let standing = json!({"target": {"labels": ["none"]}, "job": look, "standing": true});
    let standing = witness.expect(201, Method::POST, all, all, Some(standing)).await;
    let one = format!("{all}/{}", standing["fanout_id"].as_str().expect("an id"));
    let pause = format!("{one}/pause");
    witness
        .expect(200, Method::PUT, of_pause, &pause, Some(reason))
        .await;
    witness.expect(200, Method::DELETE, of_pause, &pause, None).await;
    let (cancel, of_cancel) = (format!("{one}/cancel"), "/v1/fanouts/{fanout_id}/cancel");
    for _ in 0..2 {
        witness.expect(200, Method::POST, of_cancel, &cancel, None).await;
    }
    witness
        .expect(422, Method::POST, all, all, Some(json!({"target": "all"})))
        .await;
}
