//! `tripline demo`: the whole way of an event on this machine, with real processes.
//!
//! Starts a server (which starts its broker) and an agent in a folder of their own, lets an outside NATS
//! client publish an event about a "suspicious" process, shows what happens as it happens, and checks that
//! the result is right. Deliberately not here: anything the server, the agent or the command line could not
//! do without it; the demo uses them from outside as anybody would.

mod check;
mod outside;
mod scene;
mod stage;

use crate::cli::{Failure, chain, print, step_detail};
use check::Check;
use clap::Args;
use outside::{Heard, Outside};
use scene::Scene;
use stage::Stage;
use std::time::{Duration, Instant};
use tripline_protocol::HostId;
use tripline_protocol::result::JobResult;

/// From the event to its result; it takes milliseconds, but machines can be busy.
const RESULT_WAIT: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tripline demo --keep")]
pub(crate) struct Arguments {
    /// Keep the folder with everything the demo made
    #[arg(long)]
    keep: bool,
    /// Show the logs of server and agent
    #[arg(long)]
    verbose: bool,
}

/// Why the demo did not go as it should.
#[derive(Debug, thiserror::Error)]
enum Error {
    /// A file or folder of the demo.
    #[error("cannot {action} {path}")]
    File {
        action: &'static str,
        path: String,
        source: std::io::Error,
    },
    /// A program could not be started.
    #[error("cannot start {program}")]
    Start { program: String, source: std::io::Error },
    /// A program ended that should run.
    #[error("{program} ended early ({status})")]
    Ended { program: &'static str, status: String },
    /// A command of the command line failed.
    #[error("`tripline {command}` failed: {text}")]
    Command { command: String, text: String },
    /// Something did not happen.
    #[error("{what} did not happen within {} s", within.as_secs())]
    Late { what: &'static str, within: Duration },
    /// The outside client and the broker.
    #[error("NATS: {0}")]
    Nats(String),
    /// Not what was expected.
    #[error("{0}")]
    Wrong(String),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
    /// Nobody reads what it shows.
    #[error("the output was closed")]
    Output(Failure),
}

/// Runs the demo; exits 0 only when the result was right.
pub(crate) async fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut stage = Stage::set(arguments.verbose).map_err(|error| Failure::Failed(chain(&error)))?;
    let outcome = tokio::select! {
        outcome = play(&mut stage) => outcome,
        _ = tokio::signal::ctrl_c() => Err(Error::Interrupted),
    };
    stage.clear().await;
    let folder = stage.leave(arguments.keep || outcome.is_err());
    let kept = folder.map(|folder| folder.display().to_string());
    match (outcome, kept) {
        (Ok(()), None) => say("\nDemo done: the result is right."),
        (Ok(()), Some(folder)) => say(&format!(
            "\nDemo done: the result is right. Everything is in {folder}"
        )),
        (Err(error), kept) => {
            let folder = kept.unwrap_or_default();
            Err(Failure::Failed(format!(
                "the demo failed: {}\nthe logs are in {folder}/logs",
                chain(&error)
            )))
        }
    }
}

fn say(text: &str) -> Result<(), Failure> {
    print(text)
}

/// A line, and an empty one if it ends with a line break.
fn tell(text: &str) -> Result<(), Error> {
    print(&format!("{text}\n")).map_err(Error::Output)
}

async fn play(stage: &mut Stage) -> Result<(), Error> {
    tell(&format!("Tripline demo in {}\n", stage.folder().display()))?;
    let server = stage.start_server().await?;
    tell(&format!("  server    {server}"))?;
    let outside = Outside::connect(&stage.broker().await?).await?;
    tell(&format!("  broker    {} (started by the server)", outside.url()))?;
    let host_id = stage.start_agent().await?;
    tell(&format!("  agent     attached as host {host_id}"))?;
    let mut scene = Scene::set(stage.folder())?;
    tell(&format!(
        "  process   a \"suspicious\" one runs on the host: pid {}",
        scene.pid()
    ))?;
    tell(&format!("  pipeline  {}\n", scene::PIPELINE_SUMMARY))?;

    let (result, took) = respond(outside, &scene, host_id).await?;
    tell(&format!(
        "\nThe result arrived {} ms after the event was published:",
        took.as_millis()
    ))?;
    for step in &result.steps {
        tell(&format!("  {:<10} {:<15} {}", step.id, step.verb, detail(step)))?;
    }
    tell("\nIs it right?")?;
    report(&check::result(&result, &scene, host_id, stage.agent_pid()))?;
    report(&[scene.killed().await])
}

/// A subject ends with the host's id, which would fill the line.
fn heard_line(subject: &str, host_id: HostId, text: &str) -> String {
    format!("  {:<50} {text}", subject.replace(&host_id.to_string(), "<host>"))
}

/// A step's outcome in a few words.
fn detail(step: &tripline_protocol::step::StepReport) -> String {
    let status = serde_json::to_value(step.status).ok();
    let status = status
        .as_ref()
        .and_then(|status| status.as_str())
        .unwrap_or_default()
        .to_owned();
    let detail: String = step_detail(step).chars().take(110).collect();
    if detail.is_empty() {
        status
    } else {
        format!("{status}: {detail}")
    }
}

/// Publishes the event and shows everything until its result is there.
async fn respond(
    mut outside: Outside,
    scene: &Scene,
    host_id: HostId,
) -> Result<(Box<JobResult>, Duration), Error> {
    let event = scene.event(host_id);
    tell(&format!(
        "An outside NATS client publishes on {}:",
        scene::EVENT_SUBJECT
    ))?;
    tell(&format!("  {event}\n"))?;
    tell("What its subscriber hears, <host> being the host's id:")?;
    let since = Instant::now();
    outside.publish(scene::EVENT_SUBJECT, &event).await?;
    loop {
        let left = RESULT_WAIT.saturating_sub(since.elapsed());
        let heard = tokio::time::timeout(left, outside.hear())
            .await
            .map_err(|_| Error::Late {
                what: "the result",
                within: RESULT_WAIT,
            })??;
        match heard {
            Heard::State { subject, text } => tell(&heard_line(&subject, host_id, &text))?,
            Heard::Result { subject, result } => {
                tell(&heard_line(&subject, host_id, "the result"))?;
                return Ok((result, since.elapsed()));
            }
        }
    }
}

fn report(checks: &[Check]) -> Result<(), Error> {
    for check in checks {
        let mark = if check.right { "yes" } else { "NO " };
        tell(&format!("  {mark} {}", check.what))?;
    }
    match checks.iter().find(|check| !check.right) {
        Some(check) => Err(Error::Wrong(format!("not so: {}", check.what))),
        None => Ok(()),
    }
}
