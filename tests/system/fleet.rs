//! Hosts as administrators manage them: forgotten, and with keys that are replaced, by real programs.

use crate::harness::{AgentProcess, Broker, Ran, Server, Site, eventually, tripline};
use serde_json::{Value, json};

fn json_of(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{ran:?}");
    serde_json::from_str(&ran.stdout).expect("JSON")
}

#[tokio::test]
async fn an_agent_replaces_its_key_and_is_refused_when_its_host_is_forgotten() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await.to_string();
    server.api().attached(agent.host_id().await, true).await;
    let data = server.data_dir();
    let keys = async || json_of(&tripline(data, &["key", "list", "--host", &host, "--output", "json"]).await);
    let old = keys().await[0].clone();
    assert_eq!(
        (&old["state"], &old["in_use"]),
        (&json!("current"), &json!(true)),
        "{old}"
    );
    assert_eq!(old["last_used_from"], "127.0.0.1");
    json_of(&tripline(data, &["key", "rotate", &host, "--output", "json"]).await);
    eventually("the key is replaced", async || {
        let keys = keys().await;
        let is_new = keys[0]["key_sha256"] != old["key_sha256"] && keys.as_array()?.len() == 1;
        (is_new && keys[0]["in_use"] == json!(true)).then_some(())
    })
    .await;
    let forgotten = tripline(data, &["host", "forget", &host]).await;
    assert_eq!(forgotten.code, 0, "{forgotten:?}");
    assert!(forgotten.stdout.contains("jobs cancelled   0"), "{forgotten:?}");
    assert_eq!(agent.process().end().await.code(), Some(3), "it is refused");
    let listed = json_of(&tripline(data, &["host", "list", "--output", "json"]).await);
    assert_eq!(listed, json!([]));
    let again = tripline(data, &["host", "forget", &host]).await;
    assert_eq!(again.code, 2, "{again:?}");
}

#[tokio::test]
async fn the_same_request_with_an_idempotency_key_makes_one_job() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    let api = server.api();
    let submit = async |name: &str| {
        let step = json!({ "list_processes": {} });
        let body = json!({ "host": host, "job": { "name": name, "steps": [step] } });
        let request = api.request(reqwest::Method::POST, "/v1/jobs").json(&body);
        let response = request
            .header("Idempotency-Key", "k-1")
            .send()
            .await
            .expect("an answer");
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.expect("JSON"))
    };
    let (first, again) = (submit("look").await, submit("look").await);
    assert_eq!((first.0, again.0), (201, 201), "{first:?} {again:?}");
    assert_eq!(first.1["job_id"], again.1["job_id"]);
    let other = submit("other").await;
    assert_eq!(
        (other.0, &other.1["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    let by_command = async |verb: &str, args: &str| {
        let host = host.to_string();
        let line = [
            "job",
            "submit",
            &host,
            "--verb",
            verb,
            "--args",
            args,
            "--idempotency-key",
            "zz",
        ];
        tripline(server.data_dir(), &line).await
    };
    let first = by_command("list_processes", "{}").await;
    let again = by_command("list_processes", "{}").await;
    assert_eq!((first.code, again.code), (0, 0), "{first:?} {again:?}");
    assert_eq!(first.stdout, again.stdout);
    let other = by_command("list_directory", r#"{"path": "/"}"#).await;
    assert_eq!(other.code, 2, "{other:?}");
    assert!(other.stderr.contains("(idempotency_key_reused)"), "{other:?}");
}

#[tokio::test]
async fn hosts_are_selected_over_http_and_by_the_command_line() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    let host = agent.host_id().await;
    server.api().attached(host, true).await;
    for (options, found) in [
        (
            vec![
                "--platform",
                "linux",
                "--attached",
                "agent",
                "--seen-within",
                "1h",
            ],
            1,
        ),
        (
            vec!["--hostname", "*", "--agent-version", env!("CARGO_PKG_VERSION")],
            1,
        ),
        (vec!["--unseen-for", "1h"], 0),
        (vec!["--attached", "no"], 0),
        (vec!["--label", "a", "--label", "b"], 0),
    ] {
        let list: Vec<&str> = ["host", "list", "--output", "json"]
            .into_iter()
            .chain(options)
            .collect();
        let hosts = json_of(&tripline(server.data_dir(), &list).await);
        assert_eq!(hosts.as_array().map(Vec::len), Some(found), "{list:?}");
    }
    for wrong in [
        "attached=maybe",
        "seen_within=soon",
        "hostname=%00",
        "label=a%20b",
    ] {
        let refused = server.api().get(&format!("/v1/hosts?{wrong}")).await;
        assert_eq!(
            (refused.status, refused.code()),
            (400, "bad_parameter"),
            "{wrong}"
        );
    }
}

#[tokio::test]
async fn a_token_that_asks_too_often_and_too_many_wrong_tokens_are_answered_429_in_both_dialects() {
    let site = Site::new().await;
    let limits = [
        ("limits.requests_per_second", "1"),
        ("limits.requests_burst", "40"),
        ("limits.failed_logins_max", "3"),
    ];
    let server = Server::start(&site, &limits).await;
    let api = server.api();
    let other = api.create_token(json!({ "name": "soc", "role": "viewer" })).await;
    let soc = api.with_token(&other);
    let mut refused = None;
    for _ in 0..100 {
        let response = soc
            .request(reqwest::Method::GET, "/v1/slots")
            .send()
            .await
            .expect("an answer");
        if response.status().as_u16() == 429 {
            refused = Some(response);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert!(refused.headers().contains_key("retry-after"));
    let body: Value = refused.json().await.expect("a problem");
    assert_eq!(body["code"], "too_many_requests");
    let carbon_black = |token: &str| {
        api.request(reqwest::Method::GET, "/api/v1/sensor")
            .header("X-Auth-Token", token.to_owned())
            .send()
    };
    let response = carbon_black(&other).await.expect("an answer");
    assert_eq!(response.status().as_u16(), 429);
    assert!(response.headers().contains_key("retry-after"));
    // The command line comes again when it was told to.
    let file = site.write("soc.token", &other);
    let list = ["host", "list", "--token-file", file.to_str().expect("UTF-8")];
    let listed = tripline(server.data_dir(), &list).await;
    assert_eq!(listed.code, 0, "{listed:?}");
    let mut statuses = Vec::new();
    for wrong in 0..6 {
        let answer = api.with_token(&format!("wrong-{wrong}")).get("/v1/slots").await;
        statuses.push(answer.status);
    }
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429]);
    assert_eq!(
        api.get("/v1/slots").await.status,
        200,
        "it came from there before"
    );
}

/// Asks the micro service; the status of its refusal, and what it says.
async fn ask(client: &async_nats::Client, token: &str) -> (Option<String>, Value) {
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Tripline-Token", token);
    let sent = client.request_with_headers("tripline.api.slots.list", headers, "".into());
    let answer = sent.await.expect("an answer");
    let status = answer
        .headers
        .as_ref()
        .and_then(|headers| headers.get("Nats-Service-Error-Code"));
    let body = serde_json::from_slice(&answer.payload).expect("JSON");
    (status.map(ToString::to_string), body)
}

#[tokio::test]
async fn too_many_wrong_tokens_over_nats_are_answered_429_and_counted() {
    let site = Site::new().await;
    let broker = Broker::start(&site).await;
    let limits = [("limits.failed_logins_max", "30"), ("nats.url", broker.url())];
    let server = Server::start(&site, &limits).await;
    let viewer = server
        .api()
        .create_token(json!({ "name": "soc", "role": "viewer" }))
        .await;
    let client = async_nats::connect(broker.url()).await.expect("a connection");
    eventually("the micro service answers", async || {
        client.request("tripline.api.slots.list", "".into()).await.ok()
    })
    .await;
    assert_eq!(ask(&client, &viewer).await.0, None);
    let mut wrong = Vec::new();
    for number in 0..40 {
        let (status, body) = ask(&client, &format!("wrong-{number}")).await;
        wrong.push((status.expect("refused"), body));
    }
    let (looked_at, refused) = wrong.split_at(31);
    assert!(
        looked_at.iter().all(|(status, _)| status == "401"),
        "{looked_at:?}"
    );
    for (status, body) in refused {
        assert_eq!(
            (status.as_str(), &body["code"]),
            ("429", &json!("too_many_requests"))
        );
        assert!(
            body["detail"].as_str().expect("a text").contains("come again in"),
            "{body}"
        );
    }
    assert_eq!(ask(&client, &viewer).await.0, None, "it was right before");
    let metrics = server.api().get("/metrics").await.body;
    let metrics = metrics.as_str().expect("text");
    for counted in [
        "tripline_http_logins_failed_total 31\n",
        "tripline_http_logins_refused_total 9\n",
    ] {
        assert!(metrics.contains(counted), "{counted} in {metrics}");
    }
}
