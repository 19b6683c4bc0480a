//! Messages as a LittleBrother client posts them, made by hand: for what the real client would not do.

use crate::peers::SECRET;
use crate::tripline::Tripline;
use reqwest::redirect::Policy;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

const FORMAT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");

/// Somebody who posts, and follows no redirect.
pub(crate) struct Poster {
    http: reqwest::Client,
    url: String,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// A text when it is no JSON.
    pub(crate) body: Value,
}

impl Reply {
    /// The events of this type.
    pub(crate) fn got(&self, event_type: &str) -> Vec<&Value> {
        let events = self.body.as_array().map(Vec::as_slice).unwrap_or_default();
        events
            .iter()
            .filter(|event| event["event_type"] == event_type)
            .collect()
    }
}

impl Poster {
    pub(crate) fn to(tripline: &Tripline) -> Self {
        Self::to_url(tripline.url())
    }

    pub(crate) fn to_url(url: String) -> Self {
        let builder = reqwest::Client::builder().redirect(Policy::none()).no_proxy();
        Self {
            http: builder.build().expect("a client"),
            url,
        }
    }

    /// Any request.
    pub(crate) async fn send(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Reply {
        let method = method.parse().expect("a method");
        let request = self
            .http
            .request(method, format!("{}{path}", self.url))
            .header("content-type", content_type)
            .body(body);
        let response = request.send().await.expect("an answer");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a text");
        Reply {
            status,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    /// A body where messages go.
    pub(crate) async fn post(&self, body: &Value) -> Reply {
        let body = body.to_string().into_bytes();
        self.send("POST", "/api/events", "application/json", body).await
    }

    /// A message that is taken.
    pub(crate) async fn say(&self, hostname: &str, events: Vec<Value>) -> Reply {
        let reply = self.post(&message(hostname, events)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply
    }
}

/// A message with the secret.
pub(crate) fn message(hostname: &str, events: Vec<Value>) -> Value {
    json!({"secret": SECRET, "hostname": hostname, "events": events})
}

/// Now, so many seconds off.
pub(crate) fn now(seconds: i64) -> String {
    let zone_is_utc = OffsetDateTime::now_utc() + time::Duration::seconds(seconds);
    zone_is_utc.format(FORMAT).expect("a text")
}

/// An event without a process.
pub(crate) fn event(event_type: &str, hostname: &str, event_time: &str) -> Value {
    json!({
        "delay": 0, "downtime": 0, "event_time": event_time, "event_type": event_type, "hostlabel": null,
        "hostname": hostname, "locale": null, "payload": null, "percent": 100, "pid": null,
        "process_start_time": null, "processhandler": null, "processname": null, "text": null, "username": null,
    })
}

/// An event of a process of amelie.
pub(crate) fn of_process(event_type: &str, hostname: &str, pid: u32, event_time: &str) -> Value {
    let mut event = event(event_type, hostname, event_time);
    event["pid"] = pid.into();
    event["process_start_time"] = event_time.into();
    event["processhandler"] = "ClientProcessHandler".into();
    event["processname"] = "game".into();
    event["username"] = "amelie".into();
    event
}
