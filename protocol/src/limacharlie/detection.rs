//! The record of a detection, as services read it.
//!
//! Services of the Python era read `detect.event` and `detect.routing`, those of the Go era top-level `routing`; both are written.

use serde_json::{Map, Value, json};

/// The sensor that a detection is about.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routing {
    /// The org.
    pub oid: String,
    /// The sensor; here a host's id.
    pub sid: Option<String>,
    /// The host's name.
    pub hostname: Option<String>,
    /// Its address as others see it.
    pub ext_ip: Option<String>,
    /// Its own address.
    pub int_ip: Option<String>,
    /// Its platform.
    pub plat: Option<String>,
    /// Its processor.
    pub arch: Option<String>,
    /// Its labels.
    pub tags: Vec<String>,
    /// The type of the event that led to the detection.
    pub event_type: String,
    /// When that event happened, in milliseconds since the Unix epoch.
    pub event_time: i64,
    /// What a service gave to its task, for the task's reply.
    pub investigation_id: Option<String>,
    /// What else is said of it, where it is none of the above.
    pub more: Map<String, Value>,
}

impl Routing {
    fn to_value(&self) -> Value {
        let mut map = self.more.clone();
        map.insert("oid".into(), json!(self.oid));
        map.insert("event_type".into(), json!(self.event_type));
        map.insert("event_time".into(), json!(self.event_time));
        map.insert("tags".into(), json!(self.tags));
        let texts = [
            ("sid", &self.sid),
            ("hostname", &self.hostname),
            ("ext_ip", &self.ext_ip),
            ("int_ip", &self.int_ip),
            ("plat", &self.plat),
            ("arch", &self.arch),
            ("investigation_id", &self.investigation_id),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                map.insert(key.into(), json!(text));
            }
        }
        Value::Object(map)
    }
}

/// A detection's record: the fields of `given` (`source`, `priority`, `link`, `detect_mtd`, …) as they are, and what services rely on
/// beside them: `cat`, `detect_id`, `routing`, and `detect` with the event and its routing.
pub fn detection_record(
    cat: &str,
    detect_id: &str,
    routing: &Routing,
    event: &Value,
    given: &Map<String, Value>,
) -> Value {
    let mut map = given.clone();
    let routing = routing.to_value();
    map.insert("cat".into(), json!(cat));
    map.insert("detect_id".into(), json!(detect_id));
    map.entry("source").or_insert_with(|| json!("tripline"));
    map.entry("namespace").or_insert_with(|| json!("general"));
    map.entry("priority").or_insert_with(|| json!(0));
    map.insert("detect".into(), json!({ "event": event, "routing": routing }));
    map.insert("routing".into(), routing);
    Value::Object(map)
}
