//! What hosts say of themselves, as the topology page of a LittleBrother server shows it.

use super::super::output::{or_dash, table};
use tripline_protocol::Timestamp;
use tripline_protocol::api::{HostView, LittlebrotherView};
use tripline_protocol::littlebrother::ClientStats;

/// A line per host.
pub(super) fn list(hosts: &[HostView], now: Timestamp) -> String {
    table(
        [
            "HOSTNAME",
            "HOST ID",
            "LABELS",
            "NODE",
            "ATTACHED",
            "ISOLATED UNTIL",
            "VERSION",
            "REVISION",
            "DISTRIBUTION",
            "PYTHON",
            "LAST MESSAGE",
            "MARKS",
            "PROCESSES",
            "MEMORY",
            "CPU",
            "STARTED",
        ],
        hosts.iter().map(|host| row(host, now)),
    )
}

fn row(host: &HostView, now: Timestamp) -> [String; 16] {
    let client = host.littlebrother.as_ref();
    let stats = client.and_then(|client| client.client_stats.as_ref());
    let text = |get: fn(&ClientStats) -> Option<&String>| or_dash(stats.and_then(get));
    let version = stats.and_then(|stats| stats.version.as_ref());
    let agent = Some(&host.agent_version).filter(|version| !version.is_empty());
    let last = client.map_or(host.last_seen_at, |client| client.last_message_at);
    [
        host.hostname.clone(),
        host.host_id.to_string(),
        host.labels.join(" "),
        node(host),
        super::attached(host),
        super::isolate::until(host),
        or_dash(version.or(agent)),
        text(|stats| stats.revision.as_ref()),
        text(|stats| stats.linux_distribution.as_ref()),
        text(|stats| stats.python_version.as_ref()),
        format!("{} ago", age(last, now)),
        client.map_or_else(String::new, marks),
        or_dash(client.map(|client| client.processes_open)),
        memory(stats),
        cpu(stats),
        started(stats),
    ]
}

/// What it is: an agent of ours, a LittleBrother client, or one host that was linked to the other.
fn node(host: &HostView) -> String {
    let has_agent = !host.agent_version.is_empty();
    match &host.littlebrother {
        None => String::from(if has_agent { "agent" } else { "" }),
        Some(client) => match (has_agent, client.host_id == host.host_id) {
            (true, true) => kind("agent", client),
            (true, false) => format!("agent + {}", kind("client", client)),
            (false, _) => kind("client", client),
        },
    }
}

fn kind(word: &str, client: &LittlebrotherView) -> String {
    let stats = client.client_stats.as_ref();
    let mut kind = word.to_owned();
    for (is, mark) in [
        (stats.is_some_and(|stats| stats.running_in_docker), " (Docker)"),
        (stats.is_some_and(|stats| stats.running_in_snap), " (Snap)"),
    ] {
        if is {
            kind.push_str(mark);
        }
    }
    kind
}

fn marks(client: &LittlebrotherView) -> String {
    let marks = [
        (!client.active, "inactive"),
        (client.outdated == Some(true), "outdated"),
    ];
    let set = marks.iter().filter(|(is, _)| *is);
    set.map(|(_, mark)| *mark).collect::<Vec<_>>().join(" ")
}

/// In its largest unit; clocks that differ make no negative ages.
fn age(then: Timestamp, now: Timestamp) -> String {
    let seconds = (now.as_micros() - then.as_micros()).max(0) / 1_000_000;
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

fn memory(stats: Option<&ClientStats>) -> String {
    let bytes = stats.and_then(|stats| stats.resident_memory_bytes);
    or_dash(bytes.map(|bytes| format!("{:.1} MiB", bytes / 1_048_576.0)))
}

fn cpu(stats: Option<&ClientStats>) -> String {
    let seconds = stats.and_then(|stats| stats.cpu_seconds_total);
    or_dash(seconds.map(|seconds| format!("{seconds:.1} s")))
}

fn started(stats: Option<&ClientStats>) -> String {
    let seconds = stats.and_then(|stats| stats.start_time_seconds);
    // A number that is no time of a start becomes one far away, which is as clear as any word for it.
    or_dash(seconds.map(|seconds| Timestamp::from_micros((seconds.trunc() * 1e6) as i64)))
}

/// The client's part of one host, as names and values.
pub(super) fn client(client: &LittlebrotherView) -> Vec<(&'static str, String)> {
    let stats = client.client_stats.as_ref();
    let own = format!("{} ({})", client.hostname, client.host_id);
    vec![
        ("reports as", own),
        (
            "last message",
            format!("{} {}", client.last_message_at, marks(client)),
        ),
        (
            "client version",
            or_dash(stats.and_then(|stats| stats.version.as_ref())),
        ),
        ("client memory", memory(stats)),
        ("client CPU", cpu(stats)),
        ("client started", started(stats)),
        ("open processes", client.processes_open.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn host(littlebrother: serde_json::Value) -> HostView {
        serde_json::from_value(json!({
            "host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "sensor_id": 1, "org": "default", "hostname": "pc",
            "platform": "linux", "arch": "", "attachments": [], "created_at": "2026-11-20T14:00:00Z",
            "last_seen_at": "2026-11-20T14:00:00Z", "littlebrother": littlebrother,
        }))
        .unwrap()
    }

    fn view() -> serde_json::Value {
        json!({
            "hostname": "pc", "host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11",
            "last_message_at": "2026-11-20T14:00:00Z", "active": false, "outdated": true, "processes_open": 2,
            "client_stats": {
                "version": "0.5.7", "revision": "91", "python_version": "3.11.7", "running_in_docker": true,
                "linux_distribution": "Debian 12", "resident_memory_bytes": 52_428_800.0,
                "start_time_seconds": 1_763_647_200.0, "cpu_seconds_total": 12.34,
            },
        })
    }

    #[test]
    fn a_client_shows_what_the_topology_page_shows() {
        let now = "2026-11-20T14:01:40Z".parse().unwrap();
        let shown = row(&host(view()), now);
        assert_eq!(shown[3], "client (Docker)");
        assert_eq!(
            shown[6..],
            [
                "0.5.7",
                "91",
                "Debian 12",
                "3.11.7",
                "100s ago",
                "inactive outdated",
                "2",
                "50.0 MiB",
                "12.3 s",
                "2025-11-20T14:00:00Z",
            ]
        );
    }

    #[test]
    fn a_client_that_says_nothing_of_itself_and_an_agent_have_dashes() {
        let mut silent = view();
        silent["client_stats"] = serde_json::Value::Null;
        let now = "2026-11-20T13:00:00Z".parse().unwrap();
        let shown = row(&host(silent), now);
        assert_eq!((&*shown[3], &*shown[6], &*shown[10]), ("client", "–", "0s ago"));
        assert_eq!(row(&host(serde_json::Value::Null), now)[3], "");
        let mut watcher = host(view());
        watcher.agent_version = "0.1.0".into();
        assert_eq!(row(&watcher, now)[3], "agent (Docker)");
        watcher.host_id = "9a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11".parse().unwrap();
        assert_eq!(row(&watcher, now)[3], "agent + client (Docker)");
        let mut agent = host(serde_json::Value::Null);
        agent.agent_version = "0.1.0".into();
        let shown = row(&agent, now);
        assert_eq!(
            (&*shown[3], &*shown[6], &*shown[11], &*shown[12]),
            ("agent", "0.1.0", "", "–")
        );
    }
}
