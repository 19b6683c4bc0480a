//! What a client posts.

use super::event::kind_of;
use super::{EventType, InvalidWireEvent, LocalTime, MESSAGE_EVENTS_MAX, WireEvent};
use crate::limit::HOST_NAME_BYTES_MAX;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Why a body is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMessage {
    /// It is no JSON.
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    /// Something of it is missing or wrong.
    #[error("{key}: {problem}")]
    Key {
        /// Where, such as `events[3].event_time`.
        key: String,
        /// What is wrong and what was expected.
        problem: String,
    },
}

/// What a client says of itself with every message; clients before 0.3.9 say nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientStats {
    /// Three-part version: a real server shows an error page for any other form.
    #[serde(default)]
    pub version: Option<String>,
    /// Build number.
    #[serde(default)]
    pub revision: Option<String>,
    /// Of the Python that runs it.
    #[serde(default)]
    pub python_version: Option<String>,
    /// Inside a Docker container.
    #[serde(default)]
    pub running_in_docker: bool,
    /// Inside a snap.
    #[serde(default)]
    pub running_in_snap: bool,
    /// Such as `Debian GNU/Linux 12 (bookworm)`.
    #[serde(default)]
    pub linux_distribution: Option<String>,
    /// Memory in bytes.
    #[serde(default)]
    pub resident_memory_bytes: Option<f64>,
    /// Unix seconds of its start.
    #[serde(default)]
    pub start_time_seconds: Option<f64>,
    /// Processor time used, in seconds.
    #[serde(default)]
    pub cpu_seconds_total: Option<f64>,
}

/// A message without its secret, as it also travels in frames of the agent channel.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientMessage {
    /// The sender.
    pub hostname: String,
    /// What happened, in order.
    #[serde(default)]
    pub events: Vec<WireEvent>,
    /// About the sender.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_stats: Option<ClientStats>,
}

/// Why an event of a message was left out. The rest of the message counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ignored {
    /// Its type is not known.
    UnknownType,
    /// Only servers send it.
    ServerType,
    /// It names another host than the sender.
    ForeignHost,
}

impl Ignored {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_type",
            Self::ServerType => "server_type",
            Self::ForeignHost => "foreign_host",
        }
    }
}

/// A message as it was read: what counts, and what was left out.
#[derive(Debug, Clone, PartialEq)]
pub struct ReadMessage {
    /// As given; `None` for `null`.
    pub secret: Option<String>,
    /// What counts.
    pub message: ClientMessage,
    /// Why events were left out, one entry for each.
    pub ignored: Vec<Ignored>,
}

impl ReadMessage {
    /// Reads a body. Unknown attributes are ignored; `now` is the time of events that name none.
    ///
    /// # Errors
    /// No JSON; a key that is missing or wrong, named. Then nothing of the message counts.
    pub fn read(body: &[u8], now: LocalTime) -> Result<Self, InvalidMessage> {
        let value: Value =
            serde_json::from_slice(body).map_err(|error| InvalidMessage::NotJson(error.to_string()))?;
        let Value::Object(map) = value else {
            return wrong(
                "",
                &format!("the body must be an object, not {}", kind_of(&value)),
            );
        };
        let hostname = hostname(&map)?;
        let secret = secret(&map)?;
        let client_stats = client_stats(&map)?;
        let (events, ignored) = events(&map, &hostname, now)?;
        Ok(Self {
            secret,
            message: ClientMessage {
                hostname,
                events,
                client_stats,
            },
            ignored,
        })
    }
}

fn wrong<T>(key: &str, problem: &str) -> Result<T, InvalidMessage> {
    Err(InvalidMessage::Key {
        key: if key.is_empty() { "message" } else { key }.to_owned(),
        problem: problem.to_owned(),
    })
}

fn secret(map: &Map<String, Value>) -> Result<Option<String>, InvalidMessage> {
    match map.get("secret") {
        None => wrong("secret", "is missing"),
        Some(Value::Null) => Ok(None),
        Some(Value::String(secret)) => Ok(Some(secret.clone())),
        Some(other) => wrong("secret", &format!("must be a text, not {}", kind_of(other))),
    }
}

fn hostname(map: &Map<String, Value>) -> Result<String, InvalidMessage> {
    let name = match map.get("hostname") {
        None => return wrong("hostname", "is missing"),
        Some(Value::String(name)) => name,
        Some(other) => return wrong("hostname", &format!("must be a text, not {}", kind_of(other))),
    };
    if name.is_empty() || name.len() > HOST_NAME_BYTES_MAX || name.chars().any(char::is_control) {
        let expected = format!("must be 1 to {HOST_NAME_BYTES_MAX} bytes without control characters");
        return wrong("hostname", &expected);
    }
    Ok(name.clone())
}

fn client_stats(map: &Map<String, Value>) -> Result<Option<ClientStats>, InvalidMessage> {
    match map.get("client_stats") {
        None | Some(Value::Null) => Ok(None),
        Some(stats) => match serde_path_to_error::deserialize(stats) {
            Ok(stats) => Ok(Some(stats)),
            Err(error) => {
                let key = format!("client_stats.{}", error.path());
                wrong(&key, &error.into_inner().to_string())
            }
        },
    }
}

fn events(
    map: &Map<String, Value>,
    hostname: &str,
    now: LocalTime,
) -> Result<(Vec<WireEvent>, Vec<Ignored>), InvalidMessage> {
    let list = match map.get("events") {
        None => return wrong("events", "is missing"),
        Some(Value::Array(list)) => list,
        Some(other) => return wrong("events", &format!("must be a list, not {}", kind_of(other))),
    };
    if list.len() > MESSAGE_EVENTS_MAX {
        let problem = format!(
            "has {} events, at most {MESSAGE_EVENTS_MAX} are taken",
            list.len()
        );
        return wrong("events", &problem);
    }
    let (mut events, mut ignored) = (Vec::with_capacity(list.len()), Vec::new());
    for (index, value) in list.iter().enumerate() {
        match read_event(value, hostname, now) {
            Ok(Ok(event)) => events.push(event),
            Ok(Err(why)) => ignored.push(why),
            Err(InvalidWireEvent { key, problem }) => {
                return wrong(&format!("events[{index}].{key}"), &problem);
            }
        }
    }
    Ok((events, ignored))
}

fn read_event(
    value: &Value,
    hostname: &str,
    now: LocalTime,
) -> Result<Result<WireEvent, Ignored>, InvalidWireEvent> {
    let invalid = |problem| InvalidWireEvent {
        key: "event_type",
        problem,
    };
    let Value::Object(map) = value else {
        return Err(invalid(format!(
            "the event must be an object, not {}",
            kind_of(value)
        )));
    };
    let kind = match map.get("event_type") {
        None | Some(Value::Null) => return Err(invalid("is missing".into())),
        Some(Value::String(text)) => match text.parse::<EventType>() {
            Ok(kind) => kind,
            Err(()) => return Ok(Err(Ignored::UnknownType)),
        },
        Some(other) => return Err(invalid(format!("must be a text, not {}", kind_of(other)))),
    };
    if !kind.is_from_client() {
        return Ok(Err(Ignored::ServerType));
    }
    let event = WireEvent::read(kind, map, hostname, now)?;
    if event.hostname != hostname {
        return Ok(Err(Ignored::ForeignHost));
    }
    Ok(Ok(event))
}
