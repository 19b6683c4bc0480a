//! `tripline job watch` without an id: every change of every job, as it happens.

use super::super::follow::{follow, read};
use super::super::output::{Format, clean, print, print_json_line};
use super::super::watch::{line, short};
use super::super::{Client, Failure, Global};
use clap::Args;
use tripline_protocol::api::{EVENT_JOB, JobChange};
use tripline_protocol::job::JobState;
use tripline_protocol::{JobId, Name};

#[derive(Debug, Args)]
pub(in super::super) struct Watch {
    /// Its id; without one, all jobs are watched until the command is interrupted
    pub(super) job_id: Option<JobId>,
    /// Of all jobs, only those of this host: a host id, sensor id or hostname
    #[arg(long, conflicts_with = "job_id")]
    host: Option<String>,
    /// Only changes into this state; given several times, into one of them
    #[arg(long, conflicts_with = "job_id")]
    state: Vec<JobState>,
    /// Only jobs of this name; given several times, of one of them
    #[arg(long, conflicts_with = "job_id")]
    name: Vec<Name>,
    /// Only jobs of this tenant
    #[arg(long, conflicts_with = "job_id")]
    org: Option<String>,
}

impl Watch {
    fn query(&self) -> Vec<(&'static str, String)> {
        let states = self.state.iter().map(|state| ("state", state.to_string()));
        let names = self.name.iter().map(|name| ("name", name.to_string()));
        let host = self.host.iter().map(|host| ("host", host.clone()));
        let org = self.org.iter().map(|org| ("org", org.clone()));
        states.chain(names).chain(host).chain(org).collect()
    }
}

/// Prints changes until it is interrupted. JSON: one line per change.
pub(super) async fn watch(global: &Global, wanted: &Watch) -> Result<(), Failure> {
    let client = Client::find(global)?;
    follow(&client, &["streams", "jobs"], &wanted.query(), |name, data| {
        if name != EVENT_JOB {
            return Ok(());
        }
        let change: JobChange = read(data)?;
        match global.output {
            Format::Json => print_json_line(&change),
            Format::Table => print(&text(&change)),
        }
    })
    .await
}

fn text(change: &JobChange) -> String {
    let what = format!(
        "{} {} {} on {}",
        short(change.job_id),
        change.state,
        change.name,
        clean(&change.host.hostname)
    );
    let step = change.step.as_ref().map(|step| {
        let status = serde_json::to_value(step.status).unwrap_or_default();
        format!(
            "{} ({}) {}",
            step.id,
            step.verb,
            status.as_str().unwrap_or_default()
        )
    });
    let detail = change.reason.as_ref().map(|reason| reason.text.clone()).or(step);
    line(Some(change.time), &what, detail.as_deref().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(more: serde_json::Value) -> String {
        let mut change = json!({"job_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "org": "default", "name": "contain",
            "state": "running", "host": {"host_id": "00000000-0000-0000-0000-000000000001", "hostname": "we\u{1b}b"},
            "reason": null, "attempt": 1, "step": null, "time": "2026-11-20T14:00:00.5Z"});
        for (name, value) in more.as_object().unwrap() {
            change[name] = value.clone();
        }
        text(&serde_json::from_value(change).unwrap())
    }

    #[test]
    fn a_change_is_a_line_with_the_step_or_the_reason() {
        let step = json!({"id": "kill", "verb": "kill_process", "status": "running"});
        let running = shown(json!({ "step": step }));
        assert!(running.starts_with("14:00:00.5"), "{running}");
        assert!(
            running.contains("7a1d51c6 running contain on we\u{fffd}b"),
            "{running}"
        );
        assert!(running.ends_with("kill (kill_process) running"), "{running}");
        let reason = json!({"code": "completed", "text": "all steps succeeded"});
        let ended = shown(json!({"state": "succeeded", "step": step, "reason": reason}));
        assert!(ended.contains("7a1d51c6 succeeded"), "{ended}");
        assert!(ended.ends_with("all steps succeeded"), "{ended}");
    }
}
