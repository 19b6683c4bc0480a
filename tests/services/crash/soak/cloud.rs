//! LimaCharlie's cloud: it says the same thing until it has a final answer, and is impatient at times.

use crate::harness::eventually;
use serde_json::{Value, json};
use std::time::Duration;
use tripline_protocol::{EventKey, HostId, JobId, Org};
use tripline_service::sign;

/// What both sides know.
pub(super) const SECRET: &str = "sesame-of-the-cloud";
/// An org, whose ticks are the cloud's affair.
pub(super) const OID: &str = "8cbe27f4-bfa1-4afb-ba19-138cd51389cd";
/// The sensor that is an agent's host.
pub(super) const SID: &str = "5b0f4e1c-7d8a-4b2e-9f63-0c1d2e3f4a5b";
/// Trips the pipeline.
pub(super) const BAD: &str = "mimikatz";
/// Only services hear of it.
pub(super) const ODD: &str = "odd";

pub(super) fn org() -> Org {
    OID.parse().expect("an org")
}

/// A detection, by its `mid`.
#[derive(Debug, Clone)]
pub(super) struct Detection {
    pub(super) mid: String,
    pub(super) cat: &'static str,
    pub(super) sid: String,
    /// How long the first to ask waits for an answer, if it is not patient.
    pub(super) impatient: Option<Duration>,
}

impl Detection {
    pub(super) fn key(&self) -> EventKey {
        EventKey::derive(&org(), &format!("limacharlie/{OID}"), &self.mid)
    }

    /// The job that it causes on the host that the sensor is.
    pub(super) fn job_id(&self, host: HostId) -> Option<JobId> {
        let pipeline = "answer".parse().expect("a name");
        (self.cat == BAD).then(|| JobId::derive(self.key(), &pipeline, host, 0))
    }

    fn data(&self) -> Value {
        let routing = json!({ "oid": OID, "sid": self.sid, "hostname": "web", "event_type": "NEW_PROCESS" });
        json!({ "cat": self.cat, "detect_id": self.mid, "routing": routing,
            "detect": { "event": { "number": self.mid }, "routing": routing } })
    }
}

pub(super) struct Cloud {
    http: reqwest::Client,
    url: String,
}

impl Cloud {
    pub(super) fn new(server_url: &str) -> Self {
        Self {
            http: reqwest::Client::new(),
            url: format!("{server_url}/lc"),
        }
    }

    /// The final answer, which is a success: jobs that are told with it left aside.
    pub(super) async fn tell(&self, etype: &str, mid: &str, data: Value, deadline: i64) -> Value {
        let call = call(etype, mid, data, deadline);
        eventually(&format!("a final answer to {etype} {mid}"), async || {
            self.post(&call, None).await
        })
        .await
    }

    /// The same of a detection.
    pub(super) async fn detect(&self, detection: &Detection, deadline: i64) -> Value {
        if let Some(patience) = detection.impatient {
            // What becomes of it is found out by asking again.
            let call = call("detection", &detection.mid, detection.data(), deadline);
            let _ = self.post(&call, Some(patience)).await;
        }
        self.tell("detection", &detection.mid, detection.data(), deadline)
            .await
    }

    /// `None`: it is to come again, or nobody knows what became of it.
    async fn post(&self, call: &Value, patience: Option<Duration>) -> Option<Value> {
        let body = call.to_string();
        let mut request = self.http.post(&self.url);
        if let Some(patience) = patience {
            request = request.timeout(patience);
        }
        let signed = request.header("lc-svc-sig", sign(SECRET, body.as_bytes()));
        let response = signed.body(body).send().await.ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        // So says a server that is about to start.
        if status == 503 {
            return None;
        }
        assert_eq!(status, 200, "{call}: {text}");
        let mut answer: Value = serde_json::from_str(&text).expect("JSON");
        answer.as_object_mut().expect("an object").remove("jobs");
        match (answer["success"].as_bool(), answer["retry"].as_bool()) {
            (Some(true), _) => Some(answer),
            (Some(false), Some(true)) => None,
            _ => panic!("{call} is refused for good: {answer}"),
        }
    }
}

fn call(etype: &str, mid: &str, data: Value, deadline: i64) -> Value {
    json!({ "version": 1, "oid": OID, "mid": mid, "deadline": deadline, "jwt": "of-the-cloud", "etype": etype, "data": data })
}
