//! What happened to a job between two looks at it, as lines for people.
//!
//! Deliberately not here: looking. Whoever has views of one job, from the API or from NATS, gives them here.

use super::output::clean;
use tripline_protocol::Timestamp;
use tripline_protocol::api::JobView;
use tripline_protocol::job::JobState;
use tripline_protocol::step::{StepReport, StepStatus};
use tripline_protocol::verb::ProcessOutcome;

/// Longest detail of a line, in characters.
const DETAIL_CHARS_MAX: usize = 120;

/// Remembers one job as it was last seen.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    last: Option<JobView>,
}

impl Watch {
    /// Lines for what is new in `job`; none when nothing is.
    pub(crate) fn see(&mut self, job: JobView) -> Vec<String> {
        let mut lines = Vec::new();
        let before = self.last.take();
        let ended = job.state.outcome().is_some();
        let news = before.as_ref().is_none_or(|before| {
            before.state != job.state || before.attempt != job.attempt || waits(before) != waits(&job)
        });
        if news && !ended {
            lines.push(state_line(&job));
        }
        for step in &job.steps {
            // By id: a list that has become known puts steps between others.
            let known = before
                .as_ref()
                .and_then(|before| before.steps.iter().find(|known| known.id == step.id))
                .map(|step| step.status);
            if known.unwrap_or_default() != step.status {
                lines.push(step_line(step));
            }
        }
        if news && ended {
            lines.push(state_line(&job));
        }
        self.last = Some(job);
        lines
    }
}

/// Why it waits, without the position, which changes all the time.
fn waits(job: &JobView) -> Option<&str> {
    job.waiting.as_ref().map(|waiting| waiting.reason.text.as_str())
}

fn state_line(job: &JobView) -> String {
    let (at, detail) = match job.state {
        JobState::Ended(_) => (
            job.finished_at,
            job.reason.as_ref().map(|reason| reason.text.clone()),
        ),
        JobState::Queued => {
            let detail = job
                .waiting
                .as_ref()
                .map(|waiting| format!("position {}: {}", waiting.position, waiting.reason.text));
            (Some(job.queued_at), detail)
        }
        _ => {
            let host = format!("on {}", job.host.hostname);
            let detail = if job.attempt > 1 {
                format!("{host}, attempt {}", job.attempt)
            } else {
                host
            };
            (job.started_at, Some(detail))
        }
    };
    line(
        at,
        &format!("{} {}", short(job.job_id), job.state),
        detail.as_deref().unwrap_or_default(),
    )
}

fn step_line(step: &StepReport) -> String {
    let status = serde_json::to_value(step.status).ok();
    let status = status
        .as_ref()
        .and_then(|status| status.as_str())
        .unwrap_or_default();
    let at = step.finished_at.or(step.started_at);
    line(
        at,
        &format!("  {} ({}) {status}", clean(&step.id), step.verb),
        &step_detail(step),
    )
}

/// The first 8 characters of an id, enough to tell jobs apart by eye.
pub(super) fn short(id: impl std::fmt::Display) -> String {
    id.to_string().chars().take(8).collect()
}

/// A line: time of day, what happened, and a detail.
pub(super) fn line(at: Option<Timestamp>, what: &str, detail: &str) -> String {
    // Time of day to the millisecond: `2026-11-20T14:00:00.123456Z` becomes `14:00:00.123`.
    let time: String = at.map_or_else(String::new, |at| {
        at.to_string().chars().skip(11).take(12).collect()
    });
    let time = time.trim_end_matches('Z');
    let detail: String = clean(detail).chars().take(DETAIL_CHARS_MAX).collect();
    format!("{time:<12}  {what:<48} {detail}").trim_end().to_owned()
}

/// What a step brought, in a few words.
pub(crate) fn step_detail(step: &StepReport) -> String {
    if let Some(error) = &step.error {
        return error.to_string();
    }
    if let Some(reason) = &step.reason {
        return reason.text.clone();
    }
    if let Some(artifact) = &step.artifact {
        return format!(
            "{}, {} bytes, sha256 {}",
            artifact.name, artifact.bytes, artifact.sha256
        );
    }
    let output = step.output.as_ref();
    let output = output.filter(|_| step.status == StepStatus::Succeeded);
    output.map_or_else(String::new, output_detail)
}

/// What a verb returned, in a few words.
pub(crate) fn output_detail(output: &serde_json::Value) -> String {
    for (list, what) in [("processes", "processes"), ("files", "entries")] {
        if let Some(items) = output.get(list).and_then(|items| items.as_array()) {
            return format!("{} {what}", items.len());
        }
    }
    if let Some(until) = output.get("until").and_then(|until| until.as_str()) {
        return format!("until {until}");
    }
    match serde_json::from_value::<ProcessOutcome>(output.clone()) {
        Ok(outcome) => process_detail(&outcome),
        Err(_) if output.as_object().is_some_and(serde_json::Map::is_empty) => String::new(),
        Err(_) => output.to_string(),
    }
}

fn process_detail(outcome: &ProcessOutcome) -> String {
    let end = match (outcome.exit_code, outcome.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => format!("pid {}", outcome.pid),
    };
    let text = outcome
        .stdout
        .as_ref()
        .and_then(|captured| captured.text.as_deref());
    match text.and_then(|text| text.lines().next()) {
        Some(first) => format!("{end}: {first}"),
        None => end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn job(state: &str, steps: &[&str], waiting: Option<u64>) -> JobView {
        let steps: Vec<_> = steps
            .iter()
            .map(|status| {
                json!({"id": "hosts", "verb": "list_processes", "status": status,
                                 "output": {"processes": [1, 2]}, "started_at": "2026-11-20T14:00:02Z"})
            })
            .collect();
        let waiting = waiting.map(|position| {
            json!({"position": position, "reason": {"code": "no_free_slot", "text": "no free slot"}})
        });
        serde_json::from_value(json!({
            "job_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "org": "default", "name": "look",
            "state": state, "waiting": waiting, "priority": "normal", "run": 0, "attempt": 1,
            "reason": {"code": "completed", "text": "all steps done"},
            "host": {"host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b12", "hostname": "web\u{1b}01"},
            "queued_at": "2026-11-20T14:00:00.123456Z", "expires_at": "2026-11-21T14:00:00Z",
            "started_at": "2026-11-20T14:00:01.5Z", "finished_at": "2026-11-20T14:00:03Z", "steps": steps,
        }))
        .unwrap()
    }

    #[test]
    fn each_change_of_state_and_step_is_told_once() {
        let mut watch = Watch::default();
        let told: Vec<String> = [
            job("queued", &["pending"], Some(3)),
            job("queued", &["pending"], Some(2)),
            job("running", &["running"], None),
            job("running", &["running"], None),
            job("succeeded", &["succeeded"], None),
            job("succeeded", &["succeeded"], None),
        ]
        .into_iter()
        .flat_map(|job| watch.see(job))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
        assert_eq!(
            told,
            [
                "14:00:00.123 7a1d51c6 queued position 3: no free slot",
                "14:00:01.5 7a1d51c6 running on web\u{fffd}01",
                "14:00:02 hosts (list_processes) running",
                "14:00:02 hosts (list_processes) succeeded 2 processes",
                "14:00:03 7a1d51c6 succeeded all steps done",
            ]
        );
    }

    #[test]
    fn a_detail_is_told_up_to_its_bound() {
        let detail = "é".repeat(DETAIL_CHARS_MAX);
        assert!(line(None, "x", &detail).ends_with(&format!(" {detail}")));
        assert_eq!(line(None, "x", &format!("{detail}y")), line(None, "x", &detail));
    }
}
