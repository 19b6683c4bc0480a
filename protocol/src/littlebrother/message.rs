//! What a client posts, and what of it counts.
//!
//! One wrong key refuses the whole message, and is named. What is right and yet does not count is left out and
//! counted, and the rest stays.

use super::attributes::kind_of;
use super::surrogate::mend;
use super::{ClientStats, EventType, InvalidWireEvent, LocalTime, MESSAGE_EVENTS_MAX, WireEvent};
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

/// Why something of a message was left out. The rest of it counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ignored {
    /// An event whose type is not known.
    UnknownType,
    /// An event that only servers send.
    ServerType,
    /// An event that names another host than the sender.
    ForeignHost,
    /// An attribute that is not known: of the message, of the statistics, or of an event that counts.
    UnknownAttribute,
    /// The payload of an event that counts: no event of a client has one, and it could be of any size.
    Payload,
}

impl Ignored {
    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UnknownType => "unknown_type",
            Self::ServerType => "server_type",
            Self::ForeignHost => "foreign_host",
            Self::UnknownAttribute => "unknown_attribute",
            Self::Payload => "payload",
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
    /// Why things were left out, one entry for each.
    pub ignored: Vec<Ignored>,
}

impl ReadMessage {
    /// Reads a body. `now` is the time of events that name none.
    ///
    /// # Errors
    /// No JSON; a key that is missing or wrong, named. Then nothing of the message counts.
    pub fn read(body: &[u8], now: LocalTime) -> Result<Self, InvalidMessage> {
        let Value::Object(map) = parse(body)? else {
            return wrong("message", "must be an object");
        };
        let mut reader = Reader {
            hostname: hostname(&map)?,
            now,
            events: Vec::new(),
            ignored: Vec::new(),
        };
        let secret = secret(&map)?;
        let client_stats = reader.client_stats(&map)?;
        reader.events(&map)?;
        reader.count_unknown(&map, |key| {
            matches!(key, "secret" | "hostname" | "events" | "client_stats")
        });
        Ok(reader.finish(secret, client_stats))
    }

    /// Holds a message of an agent's own channel to the same rules. The connection tells the `hostname`, for
    /// the message and for its events.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn of_agent(message: ClientMessage, hostname: String) -> Result<Self, InvalidMessage> {
        check_count(message.events.len())?;
        let mut reader = Reader {
            hostname,
            now: LocalTime::epoch(),
            events: Vec::with_capacity(message.events.len()),
            ignored: Vec::new(),
        };
        for (index, mut event) in message.events.into_iter().enumerate() {
            event.hostname.clone_from(&reader.hostname);
            if !event.event_type.is_from_client() {
                reader.ignored.push(Ignored::ServerType);
                continue;
            }
            reader
                .ignored
                .extend(event.payload.take().map(|_| Ignored::Payload));
            reader
                .events
                .push(event.check().map_err(|error| at_event(index, error))?);
        }
        let client_stats = message.client_stats.map(ClientStats::check).transpose();
        let client_stats = client_stats.map_err(at_stats)?;
        Ok(reader.finish(None, client_stats))
    }
}

fn wrong<T>(key: &str, problem: &str) -> Result<T, InvalidMessage> {
    Err(InvalidMessage::Key {
        key: key.to_owned(),
        problem: problem.to_owned(),
    })
}

fn at_event(index: usize, InvalidWireEvent { key, problem }: InvalidWireEvent) -> InvalidMessage {
    InvalidMessage::Key {
        key: format!("events[{index}].{key}"),
        problem,
    }
}

fn at_stats(InvalidWireEvent { key, problem }: InvalidWireEvent) -> InvalidMessage {
    InvalidMessage::Key {
        key: format!("client_stats.{key}"),
        problem,
    }
}

fn parse(body: &[u8]) -> Result<Value, InvalidMessage> {
    let parsed = serde_json::from_slice(body).or_else(|error| match mend(body) {
        Some(mended) => serde_json::from_slice(&mended),
        None => Err(error),
    });
    parsed.map_err(|error| InvalidMessage::NotJson(error.to_string()))
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

fn check_count(events: usize) -> Result<(), InvalidMessage> {
    match events > MESSAGE_EVENTS_MAX {
        true => wrong(
            "events",
            &format!("has {events} events, at most {MESSAGE_EVENTS_MAX} are taken"),
        ),
        false => Ok(()),
    }
}

/// Gathers what counts and what does not.
struct Reader {
    hostname: String,
    now: LocalTime,
    events: Vec<WireEvent>,
    ignored: Vec<Ignored>,
}

impl Reader {
    fn finish(self, secret: Option<String>, client_stats: Option<ClientStats>) -> ReadMessage {
        ReadMessage {
            secret,
            message: ClientMessage {
                hostname: self.hostname,
                events: self.events,
                client_stats,
            },
            ignored: self.ignored,
        }
    }

    fn count_unknown(&mut self, map: &Map<String, Value>, knows: impl Fn(&str) -> bool) {
        let unknown = map.keys().filter(|key| !knows(key));
        self.ignored.extend(unknown.map(|_| Ignored::UnknownAttribute));
    }

    fn client_stats(&mut self, map: &Map<String, Value>) -> Result<Option<ClientStats>, InvalidMessage> {
        match map.get("client_stats") {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(stats)) => {
                self.count_unknown(stats, ClientStats::knows);
                ClientStats::read(stats).map(Some).map_err(at_stats)
            }
            Some(other) => wrong(
                "client_stats",
                &format!("must be an object, not {}", kind_of(other)),
            ),
        }
    }

    fn events(&mut self, map: &Map<String, Value>) -> Result<(), InvalidMessage> {
        let list = match map.get("events") {
            None => return wrong("events", "is missing"),
            Some(Value::Array(list)) => list,
            Some(other) => return wrong("events", &format!("must be a list, not {}", kind_of(other))),
        };
        check_count(list.len())?;
        self.events.reserve(list.len());
        for (index, value) in list.iter().enumerate() {
            let Value::Object(map) = value else {
                let problem = format!("must be an object, not {}", kind_of(value));
                return wrong(&format!("events[{index}]"), &problem);
            };
            self.event(map).map_err(|error| at_event(index, error))?;
        }
        Ok(())
    }

    fn event(&mut self, map: &Map<String, Value>) -> Result<(), InvalidWireEvent> {
        let ignored = match event_type(map)? {
            None => Ignored::UnknownType,
            Some(kind) if !kind.is_from_client() => Ignored::ServerType,
            Some(kind) => {
                let event = WireEvent::read(kind, map, &self.hostname, self.now)?;
                if event.hostname == self.hostname {
                    self.count_unknown(map, WireEvent::knows);
                    let payload = map.get("payload").is_some_and(|payload| !payload.is_null());
                    self.ignored.extend(payload.then_some(Ignored::Payload));
                    self.events.push(event);
                    return Ok(());
                }
                Ignored::ForeignHost
            }
        };
        self.ignored.push(ignored);
        Ok(())
    }
}

/// `None` for a type that is not known.
fn event_type(map: &Map<String, Value>) -> Result<Option<EventType>, InvalidWireEvent> {
    let problem = match map.get("event_type") {
        None | Some(Value::Null) => "is missing".to_owned(),
        Some(Value::String(text)) => return Ok(text.parse().ok()),
        Some(other) => format!("must be a text, not {}", kind_of(other)),
    };
    Err(InvalidWireEvent {
        key: "event_type",
        problem,
    })
}
