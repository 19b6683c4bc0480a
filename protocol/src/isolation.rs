//! Isolation of a host: what its agent says of it, and what the server keeps.
//!
//! Deliberately not here: the verbs that begin and end it (`verb`), and how a host does it.

use crate::id::CommandId;
use crate::limit::{ISOLATION_ALLOW_MAX, ISOLATION_SPAN_MAX, ISOLATION_SPAN_MIN};
use crate::network::Network;
use crate::time::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The etype of the event that says a host is isolated, or is so for longer.
pub const ETYPE_ISOLATED: &str = "host_isolated";
/// The etype of the event that says a host is isolated no more.
pub const ETYPE_UNISOLATED: &str = "host_unisolated";

/// The isolation that a host is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Isolation {
    /// The command that began it, or renewed it last.
    pub command_id: CommandId,
    /// When that command began or renewed it, by the host's clock.
    pub since: Timestamp,
    /// When it ends by itself, by the host's clock.
    pub until: Timestamp,
    /// Whether it goes on after the host booted again.
    #[serde(default)]
    pub persist: bool,
    /// Addresses beside the server's that the command allowed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Network>,
}

/// Why an isolation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IsolationEnd {
    /// Its time was over.
    Expired,
    /// By the verb `unisolate`.
    Unisolated,
    /// Somebody removed the agent's record of it on the host.
    ByHand,
    /// The host booted again, and it was not to go on.
    Rebooted,
    /// Nobody knows: the agent was not there to see it, or is of another version.
    #[serde(other)]
    Unknown,
}

impl IsolationEnd {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::Unisolated => "unisolated",
            Self::ByHand => "by_hand",
            Self::Rebooted => "rebooted",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for IsolationEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How an agent's host stands. An agent that reports nothing has isolated nothing since it started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum IsolationReport {
    /// Isolated.
    Isolated {
        /// How long it lasts from now: clocks differ, spans do not.
        left: Span,
        /// What it is, by the host's clock.
        #[serde(flatten)]
        isolation: Isolation,
    },
    /// Isolated no more.
    Ended {
        /// The command that had begun it, or renewed it last; the nil id where the agent has no record of it.
        command_id: CommandId,
        /// When, by the host's clock.
        at: Timestamp,
        /// Why.
        why: IsolationEnd,
    },
    /// Isolated, but the agent has no record of it; also every word that this version does not know. What was known
    /// of it before stays.
    #[serde(other)]
    Unknown,
}

impl IsolationReport {
    /// The isolation, if there is one, by the clock of whoever hears of it at `now`, and within the bounds of one.
    pub fn heard_at(&self, now: Timestamp) -> Option<Isolation> {
        let Self::Isolated { left, isolation } = self else {
            return None;
        };
        let until = now.after((*left).min(ISOLATION_SPAN_MAX));
        let since = until.before(isolation.until.since(isolation.since));
        Some(Isolation {
            since,
            until,
            allow: isolation
                .allow
                .iter()
                .take(ISOLATION_ALLOW_MAX)
                .copied()
                .collect(),
            ..isolation.clone()
        })
    }
}

/// What is wrong with a span that a host is to be isolated for.
pub(crate) fn span_fault(span: Span) -> Option<String> {
    let legal = (ISOLATION_SPAN_MIN..=ISOLATION_SPAN_MAX).contains(&span);
    (!legal).then(|| format!("for: 1m to 30d are possible, not {span}"))
}

/// What is wrong with addresses that are to be allowed, by an argument or by a configuration.
pub fn allow_fault(allow: &[Network]) -> Option<String> {
    if allow.len() > ISOLATION_ALLOW_MAX {
        let count = allow.len();
        return Some(format!("at most {ISOLATION_ALLOW_MAX} are possible, not {count}"));
    }
    let everything = allow.iter().find(|network| network.is_everything())?;
    Some(format!(
        "{everything} is every address there is; to allow them all, do not isolate"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::CommandId;
    use uuid::Uuid;

    #[test]
    fn a_host_with_another_clock_is_isolated_for_as_long_as_it_says() {
        let hour = |hours: u64| Timestamp::from_micros(0).after(Span::from_secs(hours * 3600));
        let isolation = Isolation {
            command_id: CommandId(Uuid::from_u128(7)),
            since: hour(100),
            until: hour(104),
            persist: false,
            allow: Vec::new(),
        };
        let left = Span::from_secs(3 * 3600);
        let heard = IsolationReport::Isolated { left, isolation }
            .heard_at(hour(5000))
            .unwrap();
        assert_eq!((heard.since, heard.until), (hour(4999), hour(5003)));
    }
}
