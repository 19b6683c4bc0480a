//! The Carbon Black dialect as any program speaks it: words, statuses, and what is left behind. The real client
//! has its own suite.

use crate::harness::{AgentProcess, Answer, Server, Site, eventually};
use crate::sessions::{cut_upload, incoming};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

const BASE: &str = "/api/v1/cblr/session";

/// A script with a token.
struct Script {
    http: reqwest::Client,
    url: String,
    token: String,
}

impl Script {
    /// With the administrator's token.
    fn new(server: &Server) -> Self {
        let token = std::fs::read_to_string(server.data_dir().join("admin.token")).expect("a token");
        Self::with(server, token.trim())
    }

    fn with(server: &Server, token: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: server.url(),
            token: token.to_owned(),
        }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url);
        self.http.request(method, url).header("X-Auth-Token", &self.token)
    }

    async fn send(request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Answer { status, body }
    }

    async fn get(&self, path: &str) -> Answer {
        Self::send(self.request(Method::GET, path)).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request(Method::POST, path).json(&body)).await
    }

    async fn put(&self, path: &str, body: Value) -> Answer {
        Self::send(self.request(Method::PUT, path).json(&body)).await
    }

    /// Opens a session and waits until it is active; its path.
    async fn session(&self, sensor_id: u32) -> String {
        let opened = self.post(BASE, json!({"sensor_id": sensor_id})).await;
        assert_eq!(opened.status, 200, "{opened:?}");
        let path = format!("{BASE}/{}", opened.body["id"]);
        eventually("the session is active", async || {
            (self.get(&path).await.body["status"] == "active").then_some(())
        })
        .await;
        path
    }

    /// Runs a command to its end.
    async fn run(&self, session: &str, body: Value) -> Value {
        let accepted = self.post(&format!("{session}/command"), body).await;
        assert_eq!(accepted.status, 200, "{accepted:?}");
        let path = format!("{session}/command/{}", accepted.body["id"]);
        eventually("the command ends", async || {
            let command = self.get(&path).await.body;
            (command["status"] == "complete" || command["status"] == "error").then_some(command)
        })
        .await
    }
}

fn text(answer: &Answer) -> &str {
    answer.body.as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_script_finds_its_sensor_works_in_a_session_and_closes_it() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    agent.host_id().await;
    let script = Script::new(&server);
    assert_eq!(
        script.get("/api/info").await.body,
        json!({"version": "7.5.0", "cblrEnabled": true})
    );
    assert_eq!(
        script.get("/api/v1/storage/events/partition").await.body,
        json!({})
    );
    let sensors = script.get("/api/v2/sensor?rows=100&start=0").await.body;
    assert_eq!(sensors["total_results"], 1);
    let sensor = &sensors["results"][0];
    assert_eq!(
        (&sensor["status"], &sensor["supports_cblr"]),
        (&json!("Online"), &json!(true))
    );
    assert_eq!(
        script.get("/api/v2/sensor?rows=0&start=0").await.body,
        json!({"total_results": 1, "results": []})
    );

    assert_eq!(
        script.get(&format!("{BASE}?active_only=true")).await.body,
        json!([])
    );
    let session = script.session(1).await;
    assert_eq!(
        script.get(&format!("{BASE}?active_only=true")).await.body,
        json!([])
    );
    assert_eq!(script.get(BASE).await.body.as_array().map(Vec::len), Some(1));
    site.write("list/a.log", "");
    site.write("list/b.txt", "");
    let pattern = format!("{}/*.log", site.path("list").display());
    let listed = script
        .run(&session, json!({"name": "directory list", "object": pattern}))
        .await;
    assert_eq!(listed["files"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&listed["files"][0]["filename"], &listed["object"]),
        (&json!("a.log"), &json!(pattern))
    );

    let output = site.path("output");
    let run = json!({"name": "create process", "object": "sh -c 'echo out; echo err >&2'", "wait": true,
        "output_file": output});
    assert_eq!(script.run(&session, run).await["status"], "complete");
    let fetched = script
        .run(&session, json!({"name": "get file", "object": output}))
        .await;
    let content = format!("{session}/file/{}/content", fetched["file_id"]);
    assert_eq!(text(&script.get(&content).await), "out\nerr\n");

    let mut whole = script.get(&session).await.body;
    whole["status"] = json!("close");
    assert_eq!(script.put(&session, whole).await.body["status"], "close");
    let late = script
        .post(&format!("{session}/command"), json!({"name": "process list"}))
        .await;
    assert_eq!(late.status, 404);
    assert!(text(&late).starts_with("Session"), "{late:?}");
}

#[tokio::test]
async fn another_s_session_is_not_there_and_a_viewer_opens_none() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    agent.host_id().await;
    let api = server.api();
    let operator = api
        .create_token(json!({"name": "scripts", "role": "operator"}))
        .await;
    let viewer = api
        .create_token(json!({"name": "auditor", "role": "viewer"}))
        .await;
    let (owner, admin) = (Script::with(&server, &operator), Script::new(&server));
    let session = owner.session(1).await;
    for path in [
        "",
        "/keepalive",
        "/archive",
        "/file",
        "/command",
        "/command/1",
        "/file/1/content",
    ] {
        let answer = admin.get(&format!("{session}{path}")).await;
        assert_eq!(answer.status, 404, "{path}");
        assert!(text(&answer).starts_with("Session"), "{answer:?}");
    }
    let foreign = admin
        .post(&format!("{session}/command"), json!({"name": "process list"}))
        .await;
    assert!(
        foreign.status == 404 && text(&foreign).starts_with("Session"),
        "{foreign:?}"
    );
    assert_eq!(admin.get(BASE).await.body, json!([]));
    let viewer = Script::with(&server, &viewer);
    assert_eq!(viewer.get("/api/v1/sensor/1").await.status, 200);
    assert_eq!(viewer.post(BASE, json!({"sensor_id": 1})).await.status, 403);
    assert_eq!(Script::with(&server, "wrong").get("/api/info").await.status, 401);
}

#[tokio::test]
async fn what_no_client_should_send_is_refused_with_the_status_it_understands() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    agent.host_id().await;
    let script = Script::new(&server);
    for (body, status, word) in [
        (json!({"sensor_id": 99}), 404, "Sensor 99"),
        (json!({"sensor_id": "x"}), 400, "sensor_id"),
        (json!({"sensor_id": [1]}), 400, "sensor_id"),
        (json!({}), 400, "sensor_id"),
        (json!([]), 400, ""),
    ] {
        let answer = script.post(BASE, body.clone()).await;
        assert!(
            answer.status == status && text(&answer).contains(word),
            "{body}: {answer:?}"
        );
    }
    let session = script.session(1).await;
    for (body, status) in [
        (json!({"name": "frobnicate"}), 400),
        (json!({"object": "/"}), 400),
        (json!({"name": "get file"}), 400),
        (json!({"name": "get file", "object": 7}), 400),
        (json!({"name": "get file", "object": "/a\0b"}), 400),
        (json!({"name": "kill", "object": "init"}), 400),
        (
            json!({"name": "put file", "object": "/tmp/x", "file_id": 4_000_000}),
            404,
        ),
        (json!({"name": "put file", "object": "/tmp/x"}), 400),
    ] {
        let answer = script.post(&format!("{session}/command"), body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {answer:?}");
        assert!(
            !text(&answer).starts_with('S'),
            "the client would open another session: {answer:?}"
        );
    }
    for (path, status) in [
        ("/api/v1/process", 404),
        ("/api/v1/sensor/99", 404),
        ("/api/v1/sensor/99/queued", 404),
        ("/api/v2/sensor?rows=many", 400),
        ("/api/v3/group/2", 404),
    ] {
        assert_eq!(script.get(path).await.status, status, "{path}");
    }
    let long = script
        .run(
            &session,
            json!({"name": "get file", "object": format!("/{}", "x".repeat(100_000))}),
        )
        .await;
    assert_eq!(
        (&long["status"], &long["result_code"]),
        (&json!("error"), &json!(0x8007_00ce_u32))
    );
    for field in ["network_isolation_enabled", "uninstall", "restart_queued"] {
        let change = script.put("/api/v1/sensor/1", json!({field: true})).await;
        assert_eq!(change.status, 403, "{change:?}");
    }
    let unchanged = script.get("/api/v1/sensor/1").await.body;
    assert_eq!(script.put("/api/v1/sensor/1", unchanged).await.status, 204);
}

#[tokio::test]
async fn an_upload_in_parts_is_put_on_a_host_also_in_a_later_session() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    agent.host_id().await;
    let script = Script::new(&server);
    let session = script.session(1).await;
    let part = "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"dir/tool\"\r\n\r\n";
    let upload = |body: String| {
        let request = script.request(Method::POST, &format!("{session}/file"));
        Script::send(
            request
                .header("Content-Type", "multipart/form-data; boundary=b")
                .body(body),
        )
    };
    let uploaded = upload(format!("{part}content\r\n--b--\r\n")).await;
    assert_eq!(
        (uploaded.status, &uploaded.body["file_name"]),
        (200, &json!("tool")),
        "{uploaded:?}"
    );
    let other = part.replace("\"file\"", "\"other\"");
    assert_eq!(upload(format!("{other}content\r\n--b--\r\n")).await.status, 400);
    assert_eq!(upload(format!("{part}cut")).await.status, 400);
    assert_eq!(incoming(server.data_dir()), 0);

    let later = script.session(1).await;
    let path = site.path("put");
    let put = json!({"name": "put file", "object": path, "file_id": uploaded.body["id"]});
    assert_eq!(script.run(&later, put).await["status"], "complete");
    assert_eq!(std::fs::read(&path).expect("put"), b"content");
    let head = format!(
        "POST {session}/file HTTP/1.1\r\nX-Auth-Token: {}\r\nContent-Type: multipart/form-data; boundary=b",
        script.token
    );
    cut_upload(&server, &head, part).await;
    assert_eq!(
        script
            .get(&format!("{session}/file"))
            .await
            .body
            .as_array()
            .map(Vec::len),
        Some(1)
    );
}

#[tokio::test]
async fn a_command_that_is_cancelled_is_an_error_that_says_so() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    agent.host_id().await;
    let script = Script::new(&server);
    let session = script.session(1).await;
    let sleep = json!({"name": "create process", "object": "sleep 1000", "wait": true});
    let accepted = script.post(&format!("{session}/command"), sleep).await;
    let path = format!("{session}/command/{}", accepted.body["id"]);
    eventually("it runs", async || {
        (script.get(&path).await.body["status"] == "in progress").then_some(())
    })
    .await;
    assert_eq!(script.put(&path, json!({"status": "complete"})).await.status, 400);
    script.put(&path, json!({"status": "cancel"})).await;
    let ended = eventually("it ends", async || {
        let command = script.get(&path).await.body;
        (command["status"] == "error").then_some(command)
    })
    .await;
    assert_eq!(ended["result_code"], 0x8007_04c7_u32);
    assert_eq!(
        script.put(&path, json!({"status": "cancel"})).await.body["status"],
        "error"
    );
}

#[tokio::test]
async fn a_script_goes_on_in_its_session_when_the_server_was_killed() {
    let site = Site::new().await;
    let mut server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    agent.host_id().await;
    let script = Script::new(&server);
    let session = script.session(1).await;
    server.crash().await;
    let listed = script.run(&session, json!({"name": "process list"})).await;
    assert_eq!(listed["status"], "complete", "{listed}");
    assert!(listed["processes"].as_array().is_some_and(|all| !all.is_empty()));
}

#[tokio::test]
async fn a_file_whose_deletion_was_answered_is_gone_although_the_session_closes_at_once() {
    let site = Site::new().await;
    let server = Server::start(&site, &[]).await;
    let mut agent = AgentProcess::start(&site, &server, "a").await;
    agent.host_id().await;
    let script = Script::new(&server);
    let mut answered_done = 0;
    for round in 0..10 {
        let session = script.session(1).await;
        let file = site.write(&format!("output-{round}"), "");
        let delete = json!({"name": "delete file", "object": file});
        let deleted = script.post(&format!("{session}/command"), delete).await;
        script.put(&session, json!({"status": "close"})).await;
        // On a machine that needs longer than an answer is held, nothing was promised.
        if deleted.body["status"] == "complete" {
            answered_done += 1;
            assert!(!file.exists());
        }
    }
    assert!(answered_done > 0);
}
