//! The cloud: it signs calls and posts them, as the real one does.

use crate::harness::{Server, Site};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};
use tripline_service::sign;

/// What both sides know.
pub(crate) const SECRET: &str = "shared secret of the tests";
/// An org.
pub(crate) const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
/// A sensor of it.
pub(crate) const SID: &str = "5b0f4e1c-7d8a-4b2e-9f63-0c1d2e3f4a5b";
/// Nobody logs or stores it.
pub(crate) const JWT: &str = "eyJhbGciOiJSUzI1NiJ9.secret-of-the-org.c2lnbmF0dXJl";

/// Trips at detections `mimikatz`.
pub(crate) const PIPELINE: &str = r#"name: answer
on: [detection]
when: event.data.cat == "mimikatz"
job:
  expires: 1h
  steps:
    - list_processes: {}
"#;

/// A named job.
pub(crate) const JOB: &str = r#"name: look
description: lists what runs
params: { deep: { type: boolean, default: false } }
steps:
  - list_processes: {}
"#;

/// A server and the cloud that calls it. Dropped from the first to the last.
pub(crate) struct Cloud {
    http: reqwest::Client,
    pub(crate) server: Server,
    pub(crate) site: Site,
}

/// Unix seconds, so many from now.
pub(crate) fn in_seconds(seconds: i64) -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(now.as_secs()).expect("a date of today") + seconds
}

impl Cloud {
    pub(crate) async fn start() -> Self {
        Self::start_with(PIPELINE).await
    }

    /// With this pipeline in the place of [`PIPELINE`].
    pub(crate) async fn start_with(pipeline: &str) -> Self {
        let site = Site::new().await;
        let pipeline = site.write("pipelines/answer.yaml", pipeline);
        let job = site.write("jobs/look.yaml", JOB);
        let folder = |file: &std::path::Path| {
            file.parent()
                .expect("a folder")
                .to_str()
                .expect("text")
                .to_owned()
        };
        let (pipelines, jobs) = (folder(&pipeline), folder(&job));
        let settings = [
            ("limacharlie.secret", SECRET),
            ("pipelines.dir", pipelines.as_str()),
            ("jobs.dir", jobs.as_str()),
        ];
        let server = Server::start(&site, &settings).await;
        Self {
            http: reqwest::Client::new(),
            server,
            site,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}/lc", self.server.url())
    }

    /// Sends whatever with whatever headers.
    pub(crate) async fn send(&self, method: Method, headers: &[(&str, &str)], body: Vec<u8>) -> Response {
        let mut request = self.http.request(method, self.url()).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.expect("an answer")
    }

    /// A signed body; status and body of the answer.
    pub(crate) async fn post(&self, body: Vec<u8>) -> (u16, String) {
        let signature = sign(SECRET, &body);
        let headers = [
            ("lc-svc-sig", signature.as_str()),
            ("content-type", "application/json"),
            ("user-agent", "lc-services"),
        ];
        let response = self.send(Method::POST, &headers, body).await;
        let status = response.status().as_u16();
        (status, response.text().await.expect("a body"))
    }

    /// A signed call; its answer.
    pub(crate) async fn call(&self, call: &Value) -> Value {
        let (status, body) = self.post(call.to_string().into_bytes()).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).expect("JSON")
    }

    /// A call as the real cloud makes it.
    pub(crate) fn message(etype: &str, mid: &str, data: Value) -> Value {
        json!({
            "version": 1, "oid": OID, "mid": mid, "deadline": in_seconds(590), "jwt": JWT, "etype": etype, "data": data,
        })
    }

    pub(crate) async fn tell(&self, etype: &str, mid: &str, data: Value) -> Value {
        self.call(&Self::message(etype, mid, data)).await
    }

    pub(crate) async fn done(&self, etype: &str, mid: &str, data: Value) -> Value {
        let answer = self.tell(etype, mid, data).await;
        assert_eq!(answer["success"], true, "{answer}");
        answer
    }

    /// Payloads of what is in the stream of events, of all orgs; only the operator may read it.
    pub(crate) async fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let outside = self.server.outside().await;
        let stream = outside.stream("TRIPLINE_EVENTS").await;
        let state = &stream.cached_info().state;
        let mut stored = Vec::new();
        for sequence in state.first_sequence.max(1)..=state.last_sequence {
            // One that was purged leaves a gap.
            if let Ok(message) = stream.get_raw_message(sequence).await {
                stored.push((message.subject.to_string(), message.payload.to_vec()));
            }
        }
        stored
    }

    /// Etypes and ids of the events of the org that are in the stream.
    pub(crate) async fn events(&self) -> Vec<String> {
        let stored = self.stored().await.into_iter();
        let of_org = stored.filter(|(subject, _)| subject.contains(OID));
        of_org
            .map(|(_, payload)| {
                let event: Value = serde_json::from_slice(&payload).expect("a CloudEvent");
                let text = |field: &str| event[field].as_str().expect("a text").to_owned();
                format!("{} {}", text("type"), text("id"))
            })
            .collect()
    }
}

/// A detection on the sensor.
pub(crate) fn detection(cat: &str) -> Value {
    let routing = json!({
        "oid": OID, "sid": SID, "hostname": "web-1", "plat": 0x2000_0000, "arch": 2, "int_ip": "10.0.0.9",
        "ext_ip": "192.0.2.9", "event_type": "NEW_PROCESS", "event_time": 1_700_000_000_000_i64, "tags": [],
    });
    json!({
        "cat": cat, "source": "rules", "detect_id": "d", "routing": routing,
        "detect": { "event": { "PROCESS_ID": 7 }, "routing": routing },
    })
}

/// The answer that refuses for good.
pub(crate) fn refused(error: &str) -> Value {
    json!({ "success": false, "retry": false, "error": error, "data": { "error": error } })
}
