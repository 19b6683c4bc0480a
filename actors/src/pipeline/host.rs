//! What conditions and templates know of a host.

use serde::Serialize;
use tripline_protocol::HostId;

/// A host as conditions and templates see it, under the name `host`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HostFacts {
    /// Its id; `host.id`.
    #[serde(rename = "id")]
    pub host_id: HostId,
    /// Its name.
    pub hostname: String,
    /// `linux`, `windows`, `macos`.
    pub platform: String,
    /// `x86_64`, `aarch64`, …
    pub arch: String,
    /// As its agent reported it.
    pub os_version: String,
    /// Its labels.
    pub labels: Vec<String>,
    /// IP addresses.
    pub addresses: Vec<String>,
    /// Whether it is reachable now.
    pub attached: bool,
}

/// The fields of `host`.
pub(super) const HOST_FIELDS: &[&str] = &[
    "id",
    "hostname",
    "platform",
    "arch",
    "os_version",
    "labels",
    "addresses",
    "attached",
];

/// The fields of `event`.
pub(super) const EVENT_FIELDS: &[&str] = &[
    "id",
    "org",
    "source",
    "etype",
    "time",
    "data",
    "attested_by",
    "depth",
];
