//! Values that several golden cases share.

use serde::de::DeserializeOwned;
use tripline_protocol::littlebrother::ClientStats;
use tripline_protocol::{CommandId, Fault, HostId, Isolation, Sha256, Timestamp};

pub(crate) const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// Parses a text that is known to be right.
pub(crate) fn p<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub(crate) fn json<T: DeserializeOwned>(text: &str) -> serde_json::Result<T> {
    serde_json::from_str(text)
}

pub(crate) fn hash() -> Sha256 {
    p(HASH)
}

pub(crate) fn host() -> HostId {
    p("6a476cc7-fafe-5985-9fb8-67233a7efb39")
}

pub(crate) fn command() -> CommandId {
    p("56e28577-413a-5355-ab05-7d5384fb792b")
}

pub(crate) fn second_command() -> CommandId {
    p("fa8fe100-cf6f-5415-a054-ebf4b836cd83")
}

pub(crate) fn at(text: &str) -> Timestamp {
    p(&format!("2026-11-20T{text}Z"))
}

pub(crate) fn no_such_process() -> Fault {
    Fault::live_response("ESRCH", "no such process")
}

/// Of a LittleBrother client.
pub(crate) fn client_stats() -> ClientStats {
    ClientStats {
        version: Some("0.5.8".into()),
        revision: Some("209".into()),
        python_version: Some("3.11.7".into()),
        running_in_docker: false,
        running_in_snap: true,
        linux_distribution: Some("Debian GNU/Linux 12 (bookworm)".into()),
        resident_memory_bytes: Some(85_630_976.0),
        start_time_seconds: Some(1_795_206_074.46),
        cpu_seconds_total: Some(0.76),
    }
}

/// The isolation that golden files speak of.
pub(crate) fn isolation() -> Isolation {
    Isolation {
        command_id: command(),
        since: at("14:00:00"),
        until: at("18:00:00"),
        persist: true,
        allow: vec![p("10.0.0.0/8"), p("2001:db8::1")],
    }
}
