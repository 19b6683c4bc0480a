//! Labels of hosts: on the command line, over HTTP, and from an agent's configuration.

use crate::harness::{AgentProcess, Answer, Api, Ran, Server, Site, tripline};
use reqwest::Method;
use serde_json::{Value, json};

async fn send(api: &Api, method: Method, path: &str, body: &Value) -> Answer {
    let response = api.request(method, path).json(body).send().await;
    let response = response.expect("an answer");
    Answer {
        status: response.status().as_u16(),
        body: response.json().await.expect("JSON"),
    }
}

fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[tokio::test]
async fn hosts_are_labelled_listed_and_shown_by_the_command_line() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let token = server.api().enrol_token().await;
    let mut agent = AgentProcess::prepare(&site, &server.url(), &token, "a");
    agent.option("--labels", "rack-7,hot");
    agent.spawn();
    let host = agent.host_id().await;
    server.api().attached(host, true).await;
    let (data, host) = (server.data_dir(), host.to_string());
    let label = [
        "host",
        "label",
        "--output",
        "json",
        &host,
        "+dmz",
        "-old",
        "+owner:ana",
    ];
    let view = json_of(&tripline(data, &label).await);
    assert_eq!(view["labels"], json!(["dmz", "hot", "owner:ana", "rack-7"]));
    assert_eq!(view["agent_labels"], json!(["hot", "rack-7"]));
    for (wanted, found) in [("dmz", 1), ("rack-7", 1), ("old", 0)] {
        let list = ["host", "list", "--label", wanted, "--output", "json"];
        let hosts = json_of(&tripline(data, &list).await);
        assert_eq!(hosts.as_array().map(Vec::len), Some(found), "{wanted}");
    }
    let wide = tripline(data, &["host", "list", "--wide"]).await;
    assert!(wide.stdout.contains("dmz hot owner:ana rack-7"), "{wide:?}");
    let shown = tripline(data, &["host", "label", &host, "-owner:ana"]).await;
    assert!(
        shown.stdout.contains("dmz hot (agent) rack-7 (agent)\n"),
        "{shown:?}"
    );
    let of_agent = tripline(data, &["host", "label", &host, "-hot"]).await;
    assert_eq!(of_agent.code, 1, "{of_agent:?}");
    assert!(of_agent.stderr.contains("label_of_agent"), "{of_agent:?}");
    for wrong in ["dmz", "+a b", "-"] {
        let refused = tripline(data, &["host", "label", &host, wrong]).await;
        assert_eq!(refused.code, 2, "{refused:?}");
    }
}

#[tokio::test]
async fn labels_over_http_are_bounded_and_an_administrators_to_change() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let api = server.api();
    let path = format!("/v1/hosts/{}/labels", agent.host_id().await);
    let put = async |labels: Value| send(&api, Method::PUT, &path, &json!({ "labels": labels })).await;
    let whole = put(json!(["web", "dmz", "web"])).await;
    assert_eq!(
        (whole.status, &whole.body["labels"]),
        (200, &json!(["dmz", "web"]))
    );
    let change = json!({ "add": ["db"], "remove": ["web"] });
    let changed = send(&api, Method::PATCH, &path, &change).await;
    assert_eq!(changed.body["labels"], json!(["db", "dmz"]), "{changed:?}");

    let long = put(json!(["x".repeat(100_000)])).await;
    assert_eq!((long.status, long.code()), (400, "bad_json"));
    let detail = long.body["detail"].as_str().expect("a text");
    assert!(
        detail.contains("1 to 64 of A-Z") && detail.len() < 400,
        "{detail}"
    );
    let many: Vec<String> = (0..65).map(|n| format!("l{n}")).collect();
    let many = put(json!(many)).await;
    assert_eq!((many.status, many.code()), (422, "too_many_labels"));
    for wrong in [
        json!("dmz"),
        json!([7]),
        json!([""]),
        json!(["-a"]),
        json!(["a\u{0}"]),
        Value::Null,
    ] {
        assert_eq!(put(wrong.clone()).await.status, 400, "{wrong}");
    }
    assert_eq!(api.get("/v1/hosts?label=a%20b").await.status, 400);
    let unknown = send(
        &api,
        Method::PUT,
        "/v1/hosts/nobody/labels",
        &json!({ "labels": [] }),
    )
    .await;
    assert_eq!((unknown.status, unknown.code()), (404, "not_found"));
    let operator = api
        .create_token(json!({ "name": "soc", "role": "operator" }))
        .await;
    let refused = send(&api.with_token(&operator), Method::PATCH, &path, &change).await;
    assert_eq!((refused.status, refused.code()), (403, "forbidden"));

    let dmz = api.get("/v1/hosts?label=dmz").await;
    assert_eq!(
        dmz.body["items"][0]["labels"],
        json!(["db", "dmz"]),
        "nothing was changed"
    );
    assert_eq!(api.get("/v1/hosts?label=web").await.body["items"], json!([]));
}
