//! `tripline job`: submit, list, show, watch and cancel jobs, and fetch their files.

mod changes;
mod fetch;
mod submit;
mod view;
mod what;

pub(super) use what::{Asked, What, idempotency_key};

use super::output::{Format, print, print_json, print_json_line};
use super::watch::Watch;
use super::{Client, Failure, Global};
use clap::{Args, Subcommand};
use std::time::Duration;
use tripline_protocol::api::JobView;
use tripline_protocol::job::{JobState, Outcome};
use tripline_protocol::{FanoutId, JobId, Name};

/// Pause between two looks at a job.
const WATCH_PAUSE: Duration = Duration::from_millis(200);

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Submit a job for a host and print its id
    #[command(after_help = submit::EXAMPLES)]
    Submit(submit::Submit),
    /// List jobs, newest first
    #[command(
        after_help = "Examples:\n  tripline job list --state running\n  tripline job list --host web01 --limit 10"
    )]
    List(List),
    /// Show a job with its steps
    Show {
        /// Its id
        job_id: JobId,
    },
    /// Show a job's states and steps as they happen; exits 0 only if it succeeds
    ///
    /// Without an id, every change of every job is shown until the command is interrupted.
    #[command(
        after_help = "Examples:\n  tripline job watch 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11\n  \
                      tripline job watch --state failed --state interrupted --output json"
    )]
    Watch(changes::Watch),
    /// Write the files that a job has fetched into a folder here
    #[command(after_help = fetch::EXAMPLES)]
    Fetch(fetch::Fetch),
    /// Cancel a job that has not ended
    Cancel {
        /// Its id
        job_id: JobId,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this host: a host id, sensor id or hostname
    #[arg(long)]
    host: Option<String>,
    /// Only in this state: queued, running, succeeded, failed, timed_out, expired, cancelled, interrupted …
    #[arg(long)]
    state: Option<JobState>,
    /// Only of this name
    #[arg(long)]
    name: Option<Name>,
    /// Only of this fan-out, by its id
    #[arg(long)]
    fanout: Option<FanoutId>,
    /// Only of this tenant
    #[arg(long)]
    org: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

impl List {
    fn query(&self) -> Vec<(&'static str, String)> {
        [
            ("host", self.host.clone()),
            ("state", self.state.map(|state| state.to_string())),
            ("name", self.name.as_ref().map(Name::to_string)),
            ("fanout", self.fanout.map(|fanout| fanout.to_string())),
            ("org", self.org.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Submit(arguments) => submit::run(global, arguments).await,
        Verb::List(arguments) => list(global, &arguments).await,
        Verb::Show { job_id } => {
            let job = get(&Client::find(global)?, job_id).await?;
            match global.output {
                Format::Json => print_json(&job),
                Format::Table => print(&view::show(&job)),
            }
        }
        Verb::Watch(wanted) => match wanted.job_id {
            Some(job_id) => follow(global, &Client::find(global)?, job_id).await,
            None => changes::watch(global, &wanted).await,
        },
        Verb::Fetch(arguments) => fetch::run(global, arguments).await,
        Verb::Cancel { job_id } => {
            let id = job_id.to_string();
            let job: JobView = Client::find(global)?
                .post(&["jobs", &id, "cancel"], &serde_json::json!({}))
                .await?;
            match global.output {
                Format::Json => print_json(&job),
                Format::Table => print(job.state.as_str()),
            }
        }
    }
}

async fn list(global: &Global, arguments: &List) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let (jobs, more) = client
        .list::<JobView>(&["jobs"], &arguments.query(), arguments.limit)
        .await?;
    match global.output {
        Format::Json => print_json(&jobs)?,
        Format::Table => print(&view::list(&jobs))?,
    }
    super::say_more(more);
    Ok(())
}

async fn get(client: &Client, job_id: JobId) -> Result<JobView, Failure> {
    client.get(&["jobs", &job_id.to_string()], &[]).await
}

/// Looks at a job until it has ended and prints what changes. JSON: one line per change, the whole job.
pub(in crate::cli) async fn follow(global: &Global, client: &Client, job_id: JobId) -> Result<(), Failure> {
    let mut watch = Watch::default();
    loop {
        let job = get(client, job_id).await?;
        let outcome = job.state.outcome();
        let lines = watch.see(job.clone());
        let printed = match global.output {
            _ if lines.is_empty() => Ok(()),
            Format::Json => print_json_line(&job),
            Format::Table => print(&lines.join("\n")),
        };
        // Without a reader nobody learns how it ends, so this is not a success.
        printed.map_err(|failure| match failure {
            Failure::OutputClosed => Failure::NotSucceeded,
            other => other,
        })?;
        match outcome {
            Some(Outcome::Succeeded) => return Ok(()),
            Some(_) => return Err(Failure::NotSucceeded),
            // Between two looks: what changes in between is shown by the next.
            None => tokio::time::sleep(WATCH_PAUSE).await,
        }
    }
}
