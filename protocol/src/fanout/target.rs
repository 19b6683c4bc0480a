//! The target of a fan-out: which hosts.

use crate::selector::HostSelector;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// Which hosts of an org: `"all"`, or a map that says what they have to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Every host.
    All,
    /// Those that are so; a selector that asks for something.
    Hosts(HostSelector),
}

impl Target {
    /// What is asked of hosts; of all of them nothing.
    pub fn to_selector(&self) -> HostSelector {
        match self {
            Self::All => HostSelector::default(),
            Self::Hosts(selector) => selector.clone(),
        }
    }
}

/// As options of a submission would say it.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Hosts(selector) = self else {
            return f.write_str("all");
        };
        let labels = selector.labels.iter().map(|label| format!("label {label}"));
        let rest = [
            ("platform", selector.platform.as_ref().map(ToString::to_string)),
            ("hostname", selector.hostname.as_ref().map(ToString::to_string)),
            ("attached", selector.attached.map(|attached| attached.to_string())),
            ("seen within", selector.seen_within.map(|span| span.to_string())),
            ("unseen for", selector.unseen_for.map(|span| span.to_string())),
            (
                "agent version",
                selector.agent_version.as_ref().map(ToString::to_string),
            ),
        ];
        let rest = rest
            .into_iter()
            .filter_map(|(name, value)| Some(format!("{name} {}", value?)));
        f.write_str(&labels.chain(rest).collect::<Vec<_>>().join(", "))
    }
}

impl Serialize for Target {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::Hosts(selector) => selector.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Target {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReadTarget)
    }
}

struct ReadTarget;

impl<'de> Visitor<'de> for ReadTarget {
    type Value = Target;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"all\", or a map of what hosts have to be")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Target, E> {
        match text {
            "all" => Ok(Target::All),
            other => Err(E::invalid_value(serde::de::Unexpected::Str(other), &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Target, A::Error> {
        let selector = HostSelector::deserialize(MapAccessDeserializer::new(map))?;
        if selector == HostSelector::default() {
            return Err(A::Error::custom(
                "a target that asks for nothing is every host: say \"all\"",
            ));
        }
        Ok(Target::Hosts(selector))
    }
}
