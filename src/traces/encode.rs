//! OTLP's JSON: an `ExportTraceServiceRequest` of spans, and what matters of its answer.
//!
//! Ids are hexadecimal, 64-bit numbers are texts, enumerations are numbers, as the OTLP specification says for JSON.

use serde::{Deserialize, Serialize};
use std::fmt::Write;
use tripline_actors::trace::{TraceKind, TraceSpan, TraceValue};
use tripline_protocol::Timestamp;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: &'a Resource,
    scope_spans: [ScopeSpans<'a>; 1],
}

/// Who sends.
#[derive(Debug, Serialize)]
pub(super) struct Resource {
    attributes: Vec<Attribute>,
}

impl Resource {
    /// This process, by the name that it is to have.
    pub(super) fn new(service_name: &str) -> Self {
        let text = |key, value: &str| attribute(&(key, value.into()));
        Self {
            attributes: vec![
                text("service.name", service_name),
                text("service.version", env!("CARGO_PKG_VERSION")),
                text("service.instance.id", &uuid::Uuid::new_v4().to_string()),
                attribute(&("process.pid", std::process::id().into())),
            ],
        }
    }
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'a str,
    kind: u8,
    start_time_unix_nano: String,
    end_time_unix_nano: String,
    attributes: Vec<Attribute>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
}

#[derive(Debug, Serialize)]
struct Attribute {
    key: &'static str,
    value: Value,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
enum Value {
    StringValue(String),
    /// 64 bits do not fit into JSON's numbers everywhere.
    IntValue(String),
}

#[derive(Serialize)]
struct Status<'a> {
    message: &'a str,
    code: u8,
}

/// `STATUS_CODE_ERROR`
const ERROR: u8 = 2;

/// Writes spans as one request.
pub(super) fn request(resource: &Resource, spans: &[TraceSpan]) -> Result<Vec<u8>, serde_json::Error> {
    let scope = Scope {
        name: "tripline",
        version: env!("CARGO_PKG_VERSION"),
    };
    let spans = spans.iter().map(span).collect();
    serde_json::to_vec(&Request {
        resource_spans: [ResourceSpans {
            resource,
            scope_spans: [ScopeSpans { scope, spans }],
        }],
    })
}

fn span(span: &TraceSpan) -> Span<'_> {
    Span {
        trace_id: hex(&span.trace_id),
        span_id: hex(&span.span_id),
        parent_span_id: span.parent.as_ref().map(|parent| hex(parent)),
        name: span.name,
        kind: match span.kind {
            TraceKind::Internal => 1,
            TraceKind::Client => 3,
            TraceKind::Producer => 4,
            TraceKind::Consumer => 5,
        },
        start_time_unix_nano: nanoseconds(span.began_at),
        end_time_unix_nano: nanoseconds(span.ended_at),
        attributes: span.attributes.iter().map(attribute).collect(),
        status: span
            .failed
            .as_deref()
            .map(|message| Status { message, code: ERROR }),
    }
}

fn attribute((key, value): &(&'static str, TraceValue)) -> Attribute {
    let value = match value {
        TraceValue::Text(text) => Value::StringValue(text.clone()),
        TraceValue::Number(number) => Value::IntValue(number.to_string()),
    };
    Attribute { key, value }
}

fn nanoseconds(time: Timestamp) -> String {
    // Times before 1970 do not occur; they would be its beginning.
    let micros = u64::try_from(time.as_micros()).unwrap_or(0);
    micros.saturating_mul(1000).to_string()
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// What a collector answers when it took a request.
#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Response {
    partial_success: Option<PartialSuccess>,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PartialSuccess {
    rejected_spans: serde_json::Value,
    error_message: String,
}

/// How many spans of a request it did not want, and why. An answer that says nothing of it took all of them.
pub(super) fn rejected(body: &[u8]) -> Option<(u64, String)> {
    let response: Response = serde_json::from_slice(body).ok()?;
    let partial = response.partial_success?;
    let count = match &partial.rejected_spans {
        serde_json::Value::String(text) => text.parse().ok()?,
        other => other.as_u64()?,
    };
    (count > 0).then_some((count, partial.error_message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn spans_are_written_as_the_specification_says() {
        let span = TraceSpan {
            trace_id: *b"\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c",
            span_id: *b"\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74",
            parent: Some(*b"\xee\xe1\x9b\x7e\xc3\xc1\xb1\x73"),
            name: "host.command",
            kind: TraceKind::Client,
            began_at: Timestamp::from_micros(1_544_712_660_000_001),
            ended_at: Timestamp::from_micros(1_544_712_661_000_000),
            attributes: vec![
                ("tripline.verb", TraceValue::Text("get_file".into())),
                ("tripline.attempt", TraceValue::Number(2)),
            ],
            failed: Some("ENOENT".into()),
        };
        let root = TraceSpan {
            parent: None,
            kind: TraceKind::Consumer,
            failed: None,
            attributes: Vec::new(),
            ..span.clone()
        };
        let written = request(&Resource::new("tripline"), &[span, root]).unwrap();
        let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
        let resource = &written["resourceSpans"][0];
        assert_eq!(
            resource["resource"]["attributes"][0],
            json!({"key": "service.name", "value": {"stringValue": "tripline"}})
        );
        let spans = &resource["scopeSpans"][0]["spans"];
        assert_eq!(
            spans[0],
            json!({
                "traceId": "5b8efff798038103d269b633813fc60c",
                "spanId": "eee19b7ec3c1b174",
                "parentSpanId": "eee19b7ec3c1b173",
                "name": "host.command",
                "kind": 3,
                "startTimeUnixNano": "1544712660000001000",
                "endTimeUnixNano": "1544712661000000000",
                "attributes": [
                    {"key": "tripline.verb", "value": {"stringValue": "get_file"}},
                    {"key": "tripline.attempt", "value": {"intValue": "2"}},
                ],
                "status": {"message": "ENOENT", "code": 2},
            })
        );
        assert_eq!(spans[1]["kind"], 5);
        assert!(spans[1].get("parentSpanId").is_none() && spans[1].get("status").is_none());
    }

    #[test]
    fn only_a_partial_success_names_spans_that_were_not_wanted() {
        let partial = json!({"partialSuccess": {"rejectedSpans": "3", "errorMessage": "too old"}});
        assert_eq!(
            rejected(partial.to_string().as_bytes()),
            Some((3, "too old".into()))
        );
        let number = json!({"partialSuccess": {"rejectedSpans": 2}});
        assert_eq!(rejected(number.to_string().as_bytes()), Some((2, String::new())));
        for whole in [
            "",
            "{}",
            "<html>",
            r#"{"partialSuccess":{}}"#,
            r#"{"partialSuccess":null}"#,
        ] {
            assert_eq!(rejected(whole.as_bytes()), None, "{whole}");
        }
    }
}
