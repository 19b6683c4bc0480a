//! `tripline pause`, `resume` and `drain`: what concerns the whole server.

use super::output::{Format, clean, print, print_json};
use super::{Client, Failure, Global};
use clap::Args;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;
use tripline_actors::store::is_in_use;
use tripline_protocol::api::{DrainView, PauseView, SetPause};

/// What is left to say when the listeners of a server elsewhere are closed.
const CLOSED: &str = "the server takes no more requests and ends in a moment";
/// The same of one of this machine, whose data directory is free.
const ENDED: &str = "the server has ended";
/// And in either case.
const GOES_ON: &str = "what still runs goes on at its host, and the next start looks for it";
/// How long a server of this machine may take to end when its listeners are closed: its last messages, its traces, its
/// store and its broker have shorter times each.
const END_MAX: Duration = Duration::from_secs(60);
/// Pause between two looks at how far the end has come.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  tripline pause --reason 'pipeline contain kills too much, INC-42'\n  tripline resume"
)]
pub(super) struct PauseArguments {
    /// Why, for everybody who wonders
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

pub(super) async fn pause(global: &Global, arguments: PauseArguments) -> Result<(), Failure> {
    let body = SetPause {
        reason: arguments.reason,
    };
    let view: PauseView = Client::find(global)?.put(&["pause"], &body).await?;
    show(global, &view)
}

pub(super) async fn resume(global: &Global) -> Result<(), Failure> {
    let view: PauseView = Client::find(global)?.end(&["pause"], &[]).await?;
    show(global, &view)
}

fn show(global: &Global, view: &PauseView) -> Result<(), Failure> {
    match global.output {
        Format::Json => print_json(view),
        Format::Table => print(&text(view)),
    }
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  tripline drain")]
pub(super) struct DrainArguments {
    /// Ask for it, and do not stay to see how far it comes
    #[arg(long)]
    no_wait: bool,
}

/// Asks for the end and tells how far it has come, until the server takes no more requests; one of this machine, until it
/// has ended and its data directory is free.
pub(super) async fn drain(global: &Global, arguments: &DrainArguments) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let data_dir = client.local_data_dir(global);
    let mut view: DrainView = client.post(&["drain"], &serde_json::json!({})).await?;
    let mut told = String::new();
    loop {
        let line = progress(&view);
        if line != told {
            show_progress(global, &view, &line)?;
            told = line;
        }
        if arguments.no_wait {
            return Ok(());
        }
        // Between two looks at a server that ends.
        tokio::time::sleep(LOOK).await;
        match client.get(&["drain"], &[]).await {
            Ok(next) => view = next,
            // It closed its listeners, which is nearly the last it does before it ends.
            Err(Failure::Unavailable(_) | Failure::Failed(_)) => break,
            Err(other) => return Err(other),
        }
    }
    let has_ended = match data_dir {
        Some(data_dir) => wait_for_end(&data_dir).await?,
        None => false,
    };
    let how = if has_ended { ENDED } else { CLOSED };
    match global.output {
        Format::Json => Ok(()),
        Format::Table => print(&format!("{how}; {GOES_ON}")),
    }
}

/// Waits until no server has the data directory; `false` when that cannot be seen.
async fn wait_for_end(data_dir: &Path) -> Result<bool, Failure> {
    let until = Instant::now() + END_MAX;
    while Instant::now() < until {
        match is_in_use(data_dir) {
            Ok(true) => {}
            Ok(false) => return Ok(true),
            // Whoever may drain a server need not be allowed to read its files.
            Err(_) => return Ok(false),
        }
        // Between two looks at a server that ends.
        tokio::time::sleep(LOOK).await;
    }
    Err(Failure::Failed(format!(
        "the server takes no more requests and still has {} after {} s; its log says what it waits for",
        data_dir.display(),
        END_MAX.as_secs()
    )))
}

fn show_progress(global: &Global, view: &DrainView, line: &str) -> Result<(), Failure> {
    match global.output {
        Format::Json => super::output::print_json_line(view),
        Format::Table => print(line),
    }
}

/// What is waited for, in one line.
fn progress(view: &DrainView) -> String {
    let (jobs, messages) = (view.jobs_running, view.messages_waiting);
    let broker = match view.broker {
        true => "",
        false => " (the broker is away: they are on disk, and published after the next start)",
    };
    let until = view
        .until
        .map_or_else(String::new, |until| format!("; until {until} at most"));
    format!("ending: {jobs} jobs run, {messages} messages wait for the broker{broker}{until}")
}

/// In one line for people.
fn text(view: &PauseView) -> String {
    let Some(pause) = &view.pause else {
        return "jobs start".to_owned();
    };
    let by = format!("paused since {} by {}", pause.since, clean(&pause.by.name));
    match &pause.reason {
        Some(reason) => format!("{by}: {}", clean(reason)),
        None => by,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn view(value: serde_json::Value) -> PauseView {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_pause_is_told_with_its_who_and_why() {
        assert_eq!(text(&view(json!({"paused": false}))), "jobs start");
        let by = json!({"token_id": "k", "name": "a\u{1b}na"});
        let mut paused = json!({"paused": true, "since": "2026-11-20T14:00:00Z", "by": by});
        assert_eq!(
            text(&view(paused.clone())),
            "paused since 2026-11-20T14:00:00Z by a\u{fffd}na"
        );
        paused["reason"] = json!("INC-42");
        assert!(text(&view(paused)).ends_with(": INC-42"));
    }
}
