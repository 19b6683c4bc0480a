//! Whether a result is what it should be.

use super::scene::Scene;
use tripline_protocol::HostId;
use tripline_protocol::job::Outcome;
use tripline_protocol::result::JobResult;
use tripline_protocol::step::{StepReport, StepStatus};
use tripline_protocol::verb::ProcessListing;

/// One thing that was looked at.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) right: bool,
    pub(super) what: String,
}

/// Looks at everything the result says.
pub(super) fn result(result: &JobResult, scene: &Scene, host_id: HostId, agent_pid: u32) -> Vec<Check> {
    let listed = processes(result);
    let evidence = step(result, "evidence").and_then(|step| step.artifact.as_ref());
    vec![
        Check {
            right: result.outcome == Outcome::Succeeded && result.host.host_id == host_id,
            what: format!("the job {} on this host", result.outcome),
        },
        Check {
            right: listed.contains(&scene.pid()) && listed.contains(&agent_pid),
            what: format!(
                "its {} processes include the suspicious one and the agent",
                listed.len()
            ),
        },
        Check {
            right: evidence.is_some_and(|file| file.sha256 == scene.sha256() && file.bytes == scene.bytes()),
            what: format!(
                "the file fetched is the file on disk, byte for byte ({} bytes)",
                scene.bytes()
            ),
        },
    ]
}

fn step<'a>(result: &'a JobResult, id: &str) -> Option<&'a StepReport> {
    result
        .steps
        .iter()
        .find(|step| step.id == id && step.status == StepStatus::Succeeded)
}

fn processes(result: &JobResult) -> Vec<u32> {
    step(result, "processes")
        .and_then(|step| step.output.clone())
        .and_then(|output| serde_json::from_value::<ProcessListing>(output).ok())
        .map(|listing| listing.processes.iter().map(|process| process.pid).collect())
        .unwrap_or_default()
}
