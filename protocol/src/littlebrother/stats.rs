//! What a client says of itself.

use super::InvalidWireEvent;
use super::attributes::{Attributes, check_text};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest text taken: it is kept with the host.
const TEXT_BYTES_MAX: usize = 255;

/// Sent with every message; clients before 0.3.9 say nothing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

impl ClientStats {
    /// Reads them; unknown attributes are ignored.
    ///
    /// # Errors
    /// One of the wrong type, or a text over 255 bytes.
    pub(super) fn read(map: &Map<String, Value>) -> Result<Self, InvalidWireEvent> {
        let map = Attributes(map);
        let stats = Self {
            version: map.text("version")?,
            revision: map.text("revision")?,
            python_version: map.text("python_version")?,
            running_in_docker: map.flag("running_in_docker")?,
            running_in_snap: map.flag("running_in_snap")?,
            linux_distribution: map.text("linux_distribution")?,
            resident_memory_bytes: map.number("resident_memory_bytes")?,
            start_time_seconds: map.number("start_time_seconds")?,
            cpu_seconds_total: map.number("cpu_seconds_total")?,
        };
        stats.check()
    }

    pub(super) fn check(self) -> Result<Self, InvalidWireEvent> {
        let texts = [
            ("version", &self.version),
            ("revision", &self.revision),
            ("python_version", &self.python_version),
            ("linux_distribution", &self.linux_distribution),
        ];
        for (key, text) in texts {
            check_text(key, text.as_deref().unwrap_or_default(), TEXT_BYTES_MAX)?;
        }
        Ok(self)
    }

    /// Whether there is a statistic of this name.
    pub(super) fn knows(attribute: &str) -> bool {
        matches!(
            attribute,
            "version"
                | "revision"
                | "python_version"
                | "running_in_docker"
                | "running_in_snap"
                | "linux_distribution"
                | "resident_memory_bytes"
                | "start_time_seconds"
                | "cpu_seconds_total"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_a_client_says_of_itself_is_taken_up_to_its_bound() {
        let read = |key: &str, bytes: usize| {
            let stats = json!({ key: "x".repeat(bytes) });
            ClientStats::read(stats.as_object().unwrap())
        };
        for key in ["version", "revision", "python_version", "linux_distribution"] {
            assert!(read(key, TEXT_BYTES_MAX).is_ok(), "{key}");
            let refused = read(key, TEXT_BYTES_MAX + 1).unwrap_err();
            assert_eq!(refused.key, key);
            let says = format!("at most {TEXT_BYTES_MAX} are taken");
            assert!(refused.problem.ends_with(&says), "{}", refused.problem);
        }
    }
}
