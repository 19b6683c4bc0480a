//! `tripline fanout`: one job on many hosts: submit, look at, pause, cancel, try again.

mod bar;
mod submit;
mod view;
mod watch;

pub(super) use view::counts;

use super::output::{Format, print, print_json};
use super::{Client, Failure, Global};
use clap::{Args, Subcommand};
use tripline_protocol::api::SetPause;
use tripline_protocol::fanout::{FanoutHostState, FanoutHostView, FanoutState, FanoutView, RetryFanout};
use tripline_protocol::job::Outcome;
use tripline_protocol::{FanoutId, Name, Span};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Submit a job for many hosts and print the fan-out's id
    #[command(after_help = submit::EXAMPLES)]
    Submit(Box<submit::Submit>),
    /// List fan-outs, newest first
    #[command(
        after_help = "Examples:\n  tripline fanout list --state paused\n  tripline fanout list --name triage --limit 10"
    )]
    List(List),
    /// Show a fan-out and how far it has come
    Show {
        /// Its id
        fanout_id: FanoutId,
    },
    /// List the hosts of a fan-out, each with its outcome and its job
    #[command(
        after_help = "Examples:\n  tripline fanout hosts 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11 --state failed\n  \
                      tripline fanout hosts 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11 --output json | jq -r '.[].job_id'"
    )]
    Hosts(Hosts),
    /// Let a fan-out begin on no more hosts; jobs that it made go on
    #[command(
        after_help = "It lasts over restarts, until somebody resumes it. It expires all the same.\n\n\
                            Example:\n  tripline fanout pause 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11 --reason 'INC-42'"
    )]
    Pause(Pause),
    /// Let a fan-out go on, whoever or whatever paused it
    #[command(
        after_help = "What failed before is not counted again. A fan-out of a pipeline that is paused is resumed \
                            with the pipeline."
    )]
    Resume {
        /// Its id
        fanout_id: FanoutId,
    },
    /// Cancel a fan-out: hosts that wait get no turn, and its open jobs are cancelled
    Cancel {
        /// Its id
        fanout_id: FanoutId,
    },
    /// Give hosts of a fan-out another turn: those that failed, timed out, were interrupted or expired
    ///
    /// A fan-out that has ended is open again.
    #[command(
        after_help = "Examples:\n  tripline fanout retry 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11 --watch\n  \
                      tripline fanout retry 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11 --outcome timed_out --timeout 30m"
    )]
    Retry(Retry),
    /// Show how far a fan-out comes until it has ended; exits 0 only if it succeeds
    #[command(after_help = "Example:\n  tripline fanout watch 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11")]
    Watch {
        /// Its id
        fanout_id: FanoutId,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only in this state: resolving, running, paused, succeeded, failed, expired, cancelled
    #[arg(long)]
    state: Option<FanoutState>,
    /// Only of this name
    #[arg(long)]
    name: Option<Name>,
    /// Only of this tenant
    #[arg(long)]
    org: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

impl List {
    fn query(&self) -> Vec<(&'static str, String)> {
        let parts = [
            ("state", self.state.map(|state| state.to_string())),
            ("name", self.name.as_ref().map(Name::to_string)),
            ("org", self.org.clone()),
        ];
        let given = |(name, value): (&'static str, Option<String>)| Some((name, value?));
        parts.into_iter().filter_map(given).collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct Hosts {
    /// Its id
    fanout_id: FanoutId,
    /// Only in this state: pending, in_flight, skipped, succeeded, failed, timed_out, expired, cancelled, interrupted
    #[arg(long)]
    state: Option<FanoutHostState>,
    /// At most this many
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// Its id
    fanout_id: FanoutId,
    /// Why, for everybody who wonders
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Retry {
    /// Its id
    fanout_id: FanoutId,
    /// Only hosts with this outcome: failed, timed_out, interrupted, expired, cancelled; may be given several times
    #[arg(long, value_parser = outcome)]
    outcome: Vec<Outcome>,
    /// How long each job may run now, such as 30m [default: as before]
    #[arg(long, value_name = "SPAN")]
    timeout: Option<Span>,
    /// How long hosts may wait for their turn, from now, at most 30d [default: 24h]
    #[arg(long, value_name = "SPAN")]
    expires: Option<Span>,
    /// Show how far it comes; exit 0 only if it succeeds
    #[arg(long)]
    watch: bool,
}

/// An outcome after which a host can have another turn.
fn outcome(text: &str) -> Result<Outcome, String> {
    match text.parse() {
        Ok(FanoutHostState::Ended(outcome)) if outcome != Outcome::Succeeded => Ok(outcome),
        _ => Err("expected failed, timed_out, interrupted, expired or cancelled".to_owned()),
    }
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    let client = Client::find(global)?;
    match verb {
        Verb::Submit(arguments) => submit::run(global, &client, *arguments).await,
        Verb::List(arguments) => list(global, &client, &arguments).await,
        Verb::Show { fanout_id } => show(global, &get(&client, fanout_id).await?),
        Verb::Hosts(arguments) => hosts(global, &client, &arguments).await,
        Verb::Pause(Pause { fanout_id, reason }) => {
            let (id, body) = (fanout_id.to_string(), SetPause { reason });
            changed(global, &client.put(&["fanouts", &id, "pause"], &body).await?)
        }
        Verb::Resume { fanout_id } => {
            let id = fanout_id.to_string();
            changed(global, &client.end(&["fanouts", &id, "pause"], &[]).await?)
        }
        Verb::Cancel { fanout_id } => {
            let id = fanout_id.to_string();
            changed(global, &client.ask(&["fanouts", &id, "cancel"]).await?)
        }
        Verb::Retry(arguments) => retry(global, &client, arguments).await,
        Verb::Watch { fanout_id } => watch::follow(global, &client, fanout_id).await,
    }
}

async fn get(client: &Client, fanout_id: FanoutId) -> Result<FanoutView, Failure> {
    client.get(&["fanouts", &fanout_id.to_string()], &[]).await
}

fn show(global: &Global, fanout: &FanoutView) -> Result<(), Failure> {
    match global.output {
        Format::Json => print_json(fanout),
        Format::Table => print(&view::show(fanout)),
    }
}

/// What a change made of it.
fn changed(global: &Global, fanout: &FanoutView) -> Result<(), Failure> {
    match global.output {
        Format::Json => print_json(fanout),
        Format::Table => print(fanout.state.as_str()),
    }
}

async fn list(global: &Global, client: &Client, arguments: &List) -> Result<(), Failure> {
    let (fanouts, more) = client
        .list::<FanoutView>(&["fanouts"], &arguments.query(), arguments.limit)
        .await?;
    match global.output {
        Format::Json => print_json(&fanouts)?,
        Format::Table => print(&view::list(&fanouts))?,
    }
    super::say_more(more);
    Ok(())
}

async fn hosts(global: &Global, client: &Client, arguments: &Hosts) -> Result<(), Failure> {
    let id = arguments.fanout_id.to_string();
    let state = arguments.state.map(|state| ("state", state.to_string()));
    let query: Vec<_> = state.into_iter().collect();
    let (hosts, more) = client
        .list::<FanoutHostView>(&["fanouts", &id, "hosts"], &query, arguments.limit)
        .await?;
    match global.output {
        Format::Json => print_json(&hosts)?,
        Format::Table => print(&view::hosts(&hosts))?,
    }
    super::say_more(more);
    Ok(())
}

async fn retry(global: &Global, client: &Client, arguments: Retry) -> Result<(), Failure> {
    let mut body = RetryFanout {
        timeout: arguments.timeout,
        expires: arguments.expires,
        ..RetryFanout::default()
    };
    if !arguments.outcome.is_empty() {
        body.outcomes = arguments.outcome;
    }
    let id = arguments.fanout_id.to_string();
    let fanout: FanoutView = client.post(&["fanouts", &id, "retry"], &body).await?;
    match arguments.watch {
        true => watch::follow(global, client, fanout.fanout_id).await,
        false => changed(global, &fanout),
    }
}
