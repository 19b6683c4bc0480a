//! `tripline job submit`.

use super::follow;
use super::what::{Asked, What, idempotency_key};
use crate::cli::output::{Format, print, print_json};
use crate::cli::{Client, Failure, Global};
use clap::Args;
use tripline_protocol::Org;
use tripline_protocol::api::{JobView, SubmitJob};

pub(super) const EXAMPLES: &str = "Examples:
  tripline job submit web01 --verb list_processes --watch
  tripline job submit web01 --verb get_file --args '{\"path\": \"/etc/hosts\"}'
  tripline job submit web01 --file triage.yaml
  tripline job submit web01 --named contain --param pid=42 --param reason=miner

A job file:
  name: triage
  timeout: 2m
  steps:
    - id: processes
      list_processes: {}
    - get_file: { path: /etc/hosts }
      on_error: continue";

#[derive(Debug, Args)]
pub(in crate::cli) struct Submit {
    /// The host: its host id, sensor id or hostname
    host: String,
    #[command(flatten)]
    what: What,
    /// The tenant it is for
    #[arg(long)]
    org: Option<Org>,
    /// Submitting the same again with the same key gives the same job, for 24 h; anything else with that key is refused
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<String>,
    /// Show its states and steps as they happen; exit 0 only if it succeeds
    #[arg(long)]
    watch: bool,
}

pub(super) async fn run(global: &Global, mut arguments: Submit) -> Result<(), Failure> {
    let is_followed = arguments.watch;
    let key = arguments.idempotency_key.take();
    let request = request(arguments)?;
    let client = Client::find(global)?;
    let job: JobView = client.post_once(&["jobs"], &request, key.as_deref()).await?;
    if is_followed {
        return follow(global, &client, job.job_id).await;
    }
    match global.output {
        Format::Json => print_json(&job),
        Format::Table => print(&job.job_id.to_string()),
    }
}

fn request(arguments: Submit) -> Result<SubmitJob, Failure> {
    let Asked { job, named, params } = arguments.what.read()?;
    Ok(SubmitJob {
        org: arguments.org,
        host: arguments.host,
        job,
        named,
        params,
        // In a header, where the server compares what comes with a key again.
        idempotency_key: None,
        investigation_id: None,
    })
}
