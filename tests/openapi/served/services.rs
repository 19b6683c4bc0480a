//! Every request about services, of one that is not there.

use super::Witness;
use reqwest::Method;
use serde_json::json;

pub(super) async fn ask(witness: &mut Witness) {
    let (all, path) = ("/v1/services", "/v1/services/{service}");
    let body = json!({ "name": "yara", "url": "http://127.0.0.1:9/", "secret": "x", "allow_private": true });
    for (status, body) in [
        (201, body.clone()),
        (409, body.clone()),
        (422, json!({ "name": "yara", "url": "ftp://x/", "secret": "x" })),
        (422, json!({ "name": "other", "url": "http://127.0.0.1:9/" })),
        (400, json!({ "name": "yara" })),
    ] {
        witness.expect(status, Method::POST, all, all, Some(body)).await;
    }
    let (one, none) = ("/v1/services/yara", "/v1/services/none");
    witness.get(all, "/v1/services?org=default").await;
    witness.get(path, one).await;
    witness
        .expect(200, Method::PUT, path, one, Some(body.clone()))
        .await;
    witness
        .expect(422, Method::PUT, path, "/v1/services/other", Some(body))
        .await;
    let retry = "/v1/services/{service}/retry";
    witness
        .expect(200, Method::POST, retry, "/v1/services/yara/retry", None)
        .await;
    let jobs = "/v1/services/{service}/jobs";
    witness.get(jobs, "/v1/services/yara/jobs?limit=1").await;
    let job = "/v1/services/{service}/jobs/{id}";
    witness
        .expect(404, Method::GET, job, "/v1/services/yara/jobs/j1", None)
        .await;
    let resource = "/v1/services/{service}/resources/{resource}";
    let rules = "/v1/services/yara/resources/rules";
    witness.expect(409, Method::GET, resource, rules, None).await;
    let requests = "/v1/services/{service}/requests";
    let of_yara = "/v1/services/yara/requests";
    let nothing = Some(json!({ "params": {} }));
    witness
        .expect(409, Method::POST, requests, of_yara, nothing)
        .await;
    witness
        .expect(400, Method::POST, requests, of_yara, Some(json!({ "args": {} })))
        .await;
    witness.get(requests, "/v1/services/yara/requests?limit=1").await;
    let request = "/v1/services/{service}/requests/{id}";
    for (status, id) in [(404, "01932c07-a1f4-7b3e-8f00-0c1d2e3f4a5b"), (400, "r1")] {
        let one = format!("{of_yara}/{id}");
        witness.expect(status, Method::GET, request, &one, None).await;
    }
    for (status, one) in [(204, one), (404, none)] {
        witness.expect(status, Method::DELETE, path, one, None).await;
    }
    witness.expect(404, Method::GET, path, none, None).await;
    witness
        .expect(400, Method::GET, path, "/v1/services/No%20Name", None)
        .await;
}
