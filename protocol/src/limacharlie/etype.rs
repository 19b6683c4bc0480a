//! The etypes of the protocol.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::str::FromStr;

/// What a call is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServiceEtype {
    /// Is it there, and what does it want to hear? About no org.
    Health,
    /// An org subscribed.
    OrgInstall,
    /// An org ended its subscription.
    OrgUninstall,
    /// Something was detected.
    Detection,
    /// A person or program asks for something, with parameters.
    Request,
    /// A person asks in a chat room (only the Go implementation has it).
    Command,
    /// The content of something the service offers by name.
    GetResource,
    /// A sensor came, went, or is too many.
    DeploymentEvent,
    /// Something about a collected file or log.
    LogEvent,
    /// A sensor came.
    NewSensor,
    /// The cloud had a problem with the service.
    ServiceError,
    /// The clock.
    Tick(TickScope, Period),
}

/// What a tick is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TickScope {
    /// Each org.
    Org,
    /// The service as a whole.
    Once,
    /// Each sensor.
    Sensor,
}

/// How often the clock ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Period {
    /// Each hour.
    H1,
    /// Every three hours.
    H3,
    /// Every twelve hours.
    H12,
    /// Each day.
    H24,
    /// Every seven days.
    D7,
    /// Every thirty days.
    D30,
}

impl TickScope {
    /// All scopes.
    pub const ALL: [Self; 3] = [Self::Org, Self::Once, Self::Sensor];
}

impl Period {
    /// All periods, the shortest first.
    pub const ALL: [Self; 6] = [Self::H1, Self::H3, Self::H12, Self::H24, Self::D7, Self::D30];

    /// How long it is.
    pub const fn span(self) -> crate::Span {
        crate::Span::from_secs(
            3600 * match self {
                Self::H1 => 1,
                Self::H3 => 3,
                Self::H12 => 12,
                Self::H24 => 24,
                Self::D7 => 7 * 24,
                Self::D30 => 30 * 24,
            },
        )
    }
}

impl ServiceEtype {
    /// All 29: the 28 of the Python implementation, and `command`.
    pub fn all() -> impl Iterator<Item = Self> {
        let ticks = TickScope::ALL
            .into_iter()
            .flat_map(|scope| Period::ALL.map(|period| Self::Tick(scope, period)));
        Self::PLAIN.into_iter().chain(ticks)
    }

    const PLAIN: [Self; 11] = [
        Self::Health,
        Self::OrgInstall,
        Self::OrgUninstall,
        Self::Detection,
        Self::Request,
        Self::Command,
        Self::GetResource,
        Self::DeploymentEvent,
        Self::LogEvent,
        Self::NewSensor,
        Self::ServiceError,
    ];

    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        use Period::{D7, D30, H1, H3, H12, H24};
        use TickScope::{Once, Org, Sensor};
        match self {
            Self::Health => "health",
            Self::OrgInstall => "org_install",
            Self::OrgUninstall => "org_uninstall",
            Self::Detection => "detection",
            Self::Request => "request",
            Self::Command => "command",
            Self::GetResource => "get_resource",
            Self::DeploymentEvent => "deployment_event",
            Self::LogEvent => "log_event",
            Self::NewSensor => "new_sensor",
            Self::ServiceError => "service_error",
            Self::Tick(Org, H1) => "org_per_1h",
            Self::Tick(Org, H3) => "org_per_3h",
            Self::Tick(Org, H12) => "org_per_12h",
            Self::Tick(Org, H24) => "org_per_24h",
            Self::Tick(Org, D7) => "org_per_7d",
            Self::Tick(Org, D30) => "org_per_30d",
            Self::Tick(Once, H1) => "once_per_1h",
            Self::Tick(Once, H3) => "once_per_3h",
            Self::Tick(Once, H12) => "once_per_12h",
            Self::Tick(Once, H24) => "once_per_24h",
            Self::Tick(Once, D7) => "once_per_7d",
            Self::Tick(Once, D30) => "once_per_30d",
            Self::Tick(Sensor, H1) => "sensor_per_1h",
            Self::Tick(Sensor, H3) => "sensor_per_3h",
            Self::Tick(Sensor, H12) => "sensor_per_12h",
            Self::Tick(Sensor, H24) => "sensor_per_24h",
            Self::Tick(Sensor, D7) => "sensor_per_7d",
            Self::Tick(Sensor, D30) => "sensor_per_30d",
        }
    }

    /// Whether a call of it is about an org, and so carries an `oid` and a `jwt`.
    pub const fn is_of_org(self) -> bool {
        !matches!(self, Self::Health | Self::Tick(TickScope::Once, _))
    }
}

impl fmt::Display for ServiceEtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for ServiceEtype {
    type Err = ();

    /// Exactly, as the real services compare it.
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::all().find(|etype| etype.as_str() == text).ok_or(())
    }
}

impl Serialize for ServiceEtype {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ServiceEtype {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(|()| {
            serde::de::Error::custom(format_args!("{text:?} is not an etype of LimaCharlie services"))
        })
    }
}
