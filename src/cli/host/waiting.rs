//! The jobs that wait for a host, as `tripline host show` has them: in which order, and for what.

use crate::cli::output::table;
use crate::cli::{Client, Failure};
use tripline_protocol::api::{HostView, JobView};
use tripline_protocol::job::JobState;

/// Most jobs that are shown.
const SHOWN_MAX: usize = 20;

/// Its jobs that wait, the next first.
pub(super) async fn of(client: &Client, host: &HostView) -> Result<Vec<JobView>, Failure> {
    if host.jobs_open == 0 {
        return Ok(Vec::new());
    }
    let query = [
        ("host", host.host_id.to_string()),
        ("state", JobState::Queued.to_string()),
    ];
    let open = usize::try_from(host.jobs_open).unwrap_or(usize::MAX);
    let (mut jobs, _) = client.list::<JobView>(&["jobs"], &query, open).await?;
    jobs.sort_by_key(|job| {
        (
            job.waiting.as_ref().map(|waiting| waiting.position),
            job.queued_at,
        )
    });
    Ok(jobs)
}

/// As a table below what is said of the host; nothing when none wait.
pub(super) fn shown(host_id: impl std::fmt::Display, jobs: &[JobView]) -> String {
    if jobs.is_empty() {
        return String::new();
    }
    let rows = jobs.iter().take(SHOWN_MAX).map(|job| {
        let waiting = job.waiting.as_ref();
        [
            waiting.map_or_else(String::new, |waiting| waiting.position.to_string()),
            job.job_id.to_string(),
            job.name.to_string(),
            job.expires_at.to_string(),
            waiting.map_or_else(String::new, |waiting| waiting.reason.text.clone()),
        ]
    });
    let rows = table(["POSITION", "JOB ID", "NAME", "EXPIRES", "WAITS FOR"], rows);
    let more = match jobs.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        more => format!("\n{more} more wait: tripline job list --state queued --host {host_id}"),
    };
    format!("\n\n{rows}{more}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use uuid::Uuid;

    fn job(position: u64) -> JobView {
        serde_json::from_value(json!({
            "job_id": Uuid::from_u128(position.into()), "org": "default", "name": "look",
            "host": {"host_id": Uuid::nil(), "hostname": "web01"},
            "state": "queued", "priority": "normal", "run": 0, "attempt": 0,
            "waiting": {"position": position, "reason": {"code": "host_offline", "text": "host offline since then"}},
            "queued_at": "2026-11-21T00:00:00Z", "expires_at": "2026-11-22T00:00:00Z", "steps": [],
        }))
        .unwrap()
    }

    #[test]
    fn so_many_waiting_jobs_of_a_host_are_listed_and_how_many_more_is_said() {
        let host = Uuid::nil().to_string();
        let jobs: Vec<JobView> = (1..=SHOWN_MAX as u64 + 2).map(job).collect();
        assert_eq!(shown(&host, &[]), "");
        let all = shown(&host, &jobs[..SHOWN_MAX]);
        assert!(
            all.contains(" 20 ") && all.contains("host offline since then"),
            "{all}"
        );
        assert!(!all.contains("more wait"), "{all}");
        let some = shown(&host, &jobs);
        assert!(!some.contains(" 21 ") && some.contains("2 more wait: "), "{some}");
    }
}
