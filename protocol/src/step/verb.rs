//! What a step does: a verb of its host, or something the server does itself.

use crate::detection;
use crate::limit::HOST_NAME_BYTES_MAX;
use crate::subject::Etype;
use crate::time::Span;
use crate::verb::{Effect, Verb};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::str::FromStr;

/// What a step does; a word on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StepVerb {
    /// Its host does it.
    Host(Verb),
    /// The server does it.
    Server(ServerVerb),
}

/// What the server does in the place of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServerVerb {
    /// Waits for a span of time, without a slot.
    Wait,
    /// Publishes an event.
    Publish,
    /// Publishes a detection.
    Detect,
}

/// A server-side action with its arguments.
#[derive(Debug, Clone, PartialEq)]
pub enum ServerCall {
    /// Wait so long.
    Wait(Span),
    /// Publish this event.
    Publish(Publish),
    /// Publish this detection.
    Detect(Detect),
}

/// An event to be published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Publish {
    /// Its type.
    pub etype: Etype,
    /// Its payload, nested at most [`crate::limit::NESTING_MAX`] levels.
    #[serde(default)]
    pub data: Value,
    /// The host it concerns, by its id or name; absent: the job's, null: none.
    #[serde(default, deserialize_with = "given")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>, required = false))]
    pub host: EventHost,
}

/// The host of an event that a step publishes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum EventHost {
    /// The job's.
    #[default]
    #[serde(skip)]
    OfJob,
    /// Another, by its id or name.
    Named(String),
    /// None.
    Nobody,
}

/// A detection to be published: an event of a known form.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Detect {
    /// Its type; default `detection`.
    #[serde(default = "Etype::detection")]
    pub etype: Etype,
    /// What was detected, in 1 to 200 characters.
    #[cfg_attr(feature = "openapi", schema(min_length = 1, max_length = 200))]
    pub cat: String,
    /// How urgent it is, 0 to 10; default 0.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(maximum = 10))]
    pub priority: u8,
    /// More about it, nested at most [`crate::limit::NESTING_MAX`] levels less two.
    #[serde(default)]
    pub data: Value,
}

fn given<'de, D: Deserializer<'de>>(deserializer: D) -> Result<EventHost, D::Error> {
    let name = Option::<String>::deserialize(deserializer)?;
    Ok(name.map_or(EventHost::Nobody, EventHost::Named))
}

/// A word that names nothing that a step can do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no verb")]
pub struct UnknownStepVerb(String);

/// Arguments that a server-side action does not take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{verb}: {reason}")]
pub struct InvalidServerCall {
    verb: &'static str,
    reason: String,
}

impl ServerVerb {
    /// All of them.
    pub const ALL: &'static [Self] = &[Self::Wait, Self::Publish, Self::Detect];

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Wait => "wait",
            Self::Publish => "publish",
            Self::Detect => "detect",
        }
    }
}

impl ServerCall {
    /// Longest `cat` of a detection, in characters.
    pub const CAT_CHARS_MAX: usize = 200;
    /// The highest `priority` of a detection.
    pub const PRIORITY_MAX: u8 = 10;
    /// The longest wait.
    pub const WAIT_MAX: Span = Span::from_secs(7 * 24 * 3600);

    /// Reads the arguments of `verb`, in which no template is left.
    pub fn parse(verb: ServerVerb, args: Value) -> Result<Self, InvalidServerCall> {
        let invalid = |reason: String| InvalidServerCall {
            verb: verb.as_str(),
            reason,
        };
        match verb {
            ServerVerb::Wait => {
                let span: Span = serde_json::from_value(args).map_err(|error| invalid(error.to_string()))?;
                if span == Span::ZERO || span > Self::WAIT_MAX {
                    let reason = format!("expected a span above zero and at most {}", Self::WAIT_MAX);
                    return Err(invalid(reason));
                }
                Ok(Self::Wait(span))
            }
            ServerVerb::Publish => {
                let publish: Publish =
                    serde_json::from_value(args).map_err(|error| invalid(error.to_string()))?;
                match &publish.host {
                    EventHost::Named(name) if !(1..=HOST_NAME_BYTES_MAX).contains(&name.len()) => {
                        Err(invalid(format!(
                            "host has {} bytes, expected 1 to {HOST_NAME_BYTES_MAX}",
                            name.len()
                        )))
                    }
                    _ => Ok(Self::Publish(publish)),
                }
            }
            ServerVerb::Detect => {
                let detect: Detect =
                    serde_json::from_value(args).map_err(|error| invalid(error.to_string()))?;
                match detection::fault(&detect.cat, detect.priority) {
                    Some(fault) => Err(invalid(fault)),
                    None => Ok(Self::Detect(detect)),
                }
            }
        }
    }
}

impl StepVerb {
    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Host(verb) => verb.as_str(),
            Self::Server(verb) => verb.as_str(),
        }
    }

    /// The host's verb, if it is one.
    pub const fn host(self) -> Option<Verb> {
        match self {
            Self::Host(verb) => Some(verb),
            Self::Server(_) => None,
        }
    }

    /// Whether it changes the host.
    pub(super) fn mutates(self) -> bool {
        self.host().is_some_and(|verb| verb.effect() == Effect::Mutates)
    }
}

impl From<Verb> for StepVerb {
    fn from(verb: Verb) -> Self {
        Self::Host(verb)
    }
}

impl From<ServerVerb> for StepVerb {
    fn from(verb: ServerVerb) -> Self {
        Self::Server(verb)
    }
}

impl PartialEq<Verb> for StepVerb {
    fn eq(&self, other: &Verb) -> bool {
        self.host() == Some(*other)
    }
}

impl FromStr for StepVerb {
    type Err = UnknownStepVerb;
    fn from_str(text: &str) -> Result<Self, UnknownStepVerb> {
        if let Some(verb) = ServerVerb::ALL.iter().find(|verb| verb.as_str() == text) {
            return Ok(Self::Server(*verb));
        }
        let unknown = |_| UnknownStepVerb(text.chars().take(80).collect());
        text.parse().map(Self::Host).map_err(unknown)
    }
}

impl fmt::Display for StepVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for StepVerb {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for StepVerb {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
