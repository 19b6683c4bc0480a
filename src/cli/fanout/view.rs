//! Fan-outs as tables.

use crate::cli::output::{fields, or_dash, table};
use tripline_protocol::fanout::{FanoutCounts, FanoutHostView, FanoutReach, FanoutView, Pace};
use tripline_protocol::job::Reason;

fn why(reason: Option<&Reason>) -> String {
    reason.map_or_else(String::new, |reason| reason.text.clone())
}

/// Hosts that have their outcome.
pub(super) fn over(counts: &FanoutCounts) -> u64 {
    counts.hosts.saturating_sub(counts.pending + counts.in_flight)
}

/// Hosts on which it went wrong.
pub(super) fn wrong(counts: &FanoutCounts) -> u64 {
    counts.failed + counts.timed_out + counts.interrupted
}

/// Hosts by where they are, those that there are.
pub(in crate::cli) fn counts(counts: &FanoutCounts) -> String {
    let named = [
        (counts.succeeded, "succeeded"),
        (counts.failed, "failed"),
        (counts.timed_out, "timed out"),
        (counts.interrupted, "interrupted"),
        (counts.expired, "expired"),
        (counts.cancelled, "cancelled"),
        (counts.skipped, "skipped"),
        (counts.in_flight, "under way"),
        (counts.pending.saturating_sub(counts.offline), "waiting"),
        (counts.offline, "offline"),
    ];
    let there = named.iter().filter(|(count, _)| *count > 0);
    let parts: Vec<String> = there.map(|(count, word)| format!("{count} {word}")).collect();
    match parts.is_empty() {
        true => "no hosts".to_owned(),
        false => parts.join(", "),
    }
}

fn pace(pace: &Pace) -> String {
    let parts = [
        Some(format!("{} at a time", pace.in_flight)),
        pace.per_minute.map(|count| format!("{count} a minute")),
        pace.canary
            .map(|count| format!("canary {count}, ramp {}", pace.ramp)),
        pace.auto_pause
            .map(|pause| format!("pauses at {} failed of {}", pause.failed, pause.of)),
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

pub(super) fn list(fanouts: &[FanoutView]) -> String {
    let rows = fanouts.iter().map(|fanout| {
        [
            fanout.fanout_id.to_string(),
            fanout.name.to_string(),
            fanout.state.to_string(),
            fanout.counts.hosts.to_string(),
            over(&fanout.counts).to_string(),
            wrong(&fanout.counts).to_string(),
            fanout.created_at.to_string(),
            why(fanout.reason.as_ref()),
        ]
    });
    table(
        [
            "FANOUT ID",
            "NAME",
            "STATE",
            "HOSTS",
            "DONE",
            "FAILED",
            "CREATED",
            "WHY",
        ],
        rows,
    )
}

pub(super) fn show(fanout: &FanoutView) -> String {
    let event = fanout
        .event
        .as_ref()
        .map(|event| format!("{} {} of {}", event.etype, event.id, event.source));
    fields([
        ("fan-out id", fanout.fanout_id.to_string()),
        ("name", fanout.name.to_string()),
        ("org", fanout.org.to_string()),
        ("state", fanout.state.to_string()),
        ("why", why(fanout.reason.as_ref())),
        ("hosts", fanout.counts.hosts.to_string()),
        ("of these", counts(&fanout.counts)),
        ("target", fanout.target.to_string()),
        (
            "standing",
            String::from(if fanout.standing { "yes" } else { "no" }),
        ),
        ("pace", pace(&fanout.pace)),
        ("most hosts", or_dash(fanout.max_hosts)),
        (
            "pipeline",
            or_dash(fanout.pipeline.as_ref().map(|pipeline| &pipeline.name)),
        ),
        ("event", or_dash(event)),
        ("by", or_dash(fanout.by.as_ref().map(|by| &by.name))),
        ("created", fanout.created_at.to_string()),
        ("expires", fanout.expires_at.to_string()),
        ("finished", or_dash(fanout.finished_at)),
    ])
}

pub(super) fn hosts(hosts: &[FanoutHostView]) -> String {
    let rows = hosts.iter().map(|host| {
        [
            host.hostname.clone(),
            host.host_id.to_string(),
            host.state.to_string(),
            host.run.to_string(),
            or_dash(host.job_id),
            or_dash(host.finished_at),
            why(host.reason.as_ref()),
        ]
    });
    table(
        ["HOSTNAME", "HOST ID", "STATE", "RUN", "JOB ID", "FINISHED", "WHY"],
        rows,
    )
}

/// Which hosts a submission would have.
pub(super) fn reach(reach: &FanoutReach) -> String {
    let protected = match reach.protected {
        0 => String::new(),
        count => format!(", {count} protected and skipped"),
    };
    let head = format!(
        "{} hosts, {} of them attached{protected}",
        reach.hosts, reach.attached
    );
    if reach.first.is_empty() {
        return head;
    }
    let rows = reach
        .first
        .iter()
        .map(|host| [host.hostname.clone(), host.host_id.to_string()]);
    let first = table(["HOSTNAME", "HOST ID"], rows);
    match reach.more {
        0 => format!("{head}\n\n{first}"),
        more => format!("{head}\n\n{first}\n\nand {more} more"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    pub(in super::super) const ID: &str = "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11";

    /// A fan-out over 50 hosts, with these fields.
    pub(in super::super) fn fanout(more: Value) -> FanoutView {
        let mut view = json!({
            "fanout_id": ID, "org": "default", "name": "look", "state": "running",
            "target": {"labels": ["dmz", "hot"], "platform": "linux", "unseen_for": "7d"},
            "pace": {"in_flight": 20, "per_minute": 60, "canary": 5, "ramp": 3, "auto_pause": {"failed": 3, "of": 10}},
            "created_at": "2026-11-20T14:00:00Z", "expires_at": "2026-11-21T14:00:00Z",
            "counts": {
                "hosts": 50, "pending": 12, "offline": 4, "in_flight": 20, "succeeded": 15, "failed": 1, "timed_out": 1,
                "expired": 0, "cancelled": 0, "interrupted": 1, "skipped": 0,
            },
        });
        if let (Some(view), Value::Object(more)) = (view.as_object_mut(), more) {
            view.extend(more);
        }
        serde_json::from_value(view).expect("a fan-out")
    }

    #[test]
    fn a_fan_out_says_which_hosts_how_fast_and_how_far() {
        let shown = show(&fanout(
            json!({"reason": {"code": "paused", "text": "INC\u{1b}42"}}),
        ));
        for part in [
            "label dmz, label hot, platform linux, unseen for 7d",
            "20 at a time, 60 a minute, canary 5, ramp 3, pauses at 3 failed of 10",
            "15 succeeded, 1 failed, 1 timed out, 1 interrupted, 20 under way, 8 waiting, 4 offline",
            "INC\u{fffd}42",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(show(&fanout(json!({"target": "all"}))).contains("all"));
    }

    #[test]
    fn a_list_counts_what_is_done_and_what_went_wrong() {
        let text = list(&[fanout(json!({}))]);
        let row = text.lines().nth(1).expect("a row");
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells[..6], [ID, "look", "running", "50", "18", "3"]);
    }

    #[test]
    fn a_preview_says_how_many_hosts_and_the_first_of_them() {
        let mut found = FanoutReach {
            hosts: 3,
            attached: 2,
            protected: 1,
            first: Vec::new(),
            more: 0,
        };
        assert_eq!(
            reach(&found),
            "3 hosts, 2 of them attached, 1 protected and skipped"
        );
        found.first =
            vec![serde_json::from_value(json!({"host_id": ID, "hostname": "web-1"})).expect("a host")];
        found.more = 2;
        let text = reach(&found);
        assert!(text.contains("web-1") && text.ends_with("and 2 more"), "{text}");
    }
}
