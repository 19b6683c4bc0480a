//! `tripline event`: publish an event, or report a detection, through the server.

use super::output::{Format, print, print_json};
use super::{Client, Failure, Global};
use clap::{Args, Subcommand};
use serde_json::Value;
use std::io::Read;
use tripline_protocol::api::{PublishEvent, PublishedEvent, ReportDetection};
use tripline_protocol::limit::EVENT_BYTES_MAX;
use tripline_protocol::{Etype, HostId, Org, Timestamp};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Publish an event and print its id
    #[command(
        after_help = "Examples:\n  tripline event publish acme.alert.high --data '{\"path\": \"/etc/hosts\"}'\n  \
                            tripline event publish acme.alert.high --host 0d2f… --data @alert.json\n  \
                            jq -c . alert.json | tripline event publish acme.alert.high --data -"
    )]
    Publish(Publish),
    /// Report a detection and print its id
    #[command(
        after_help = "Examples:\n  tripline event detect miner --host web01 --priority 7 --data '{\"pid\": 4711}'\n  \
                            jq -c . alert.json | tripline event detect alert --data -"
    )]
    Detect(Detect),
}

#[derive(Debug, Args)]
pub(super) struct Detect {
    /// What was detected, such as miner
    cat: String,
    /// How urgent it is, 0 to 10
    #[arg(long, default_value_t = 0)]
    priority: u8,
    /// More about it: JSON, or @FILE, or - for stdin
    #[arg(long, default_value = "null", value_name = "JSON|@FILE|-")]
    data: String,
    /// The host it concerns, by its id or name
    #[arg(long)]
    host: Option<String>,
    /// Its id: the same id from the same source is the same event
    #[arg(long)]
    id: Option<String>,
    /// Who made it
    #[arg(long)]
    source: Option<String>,
    /// When it happened, such as 2026-11-20T14:00:00Z
    #[arg(long)]
    time: Option<Timestamp>,
    /// Its tenant
    #[arg(long)]
    org: Option<Org>,
}

#[derive(Debug, Args)]
pub(super) struct Publish {
    /// Its type, such as acme.alert.high
    etype: Etype,
    /// Its payload: JSON, or @FILE, or - for stdin
    #[arg(long, default_value = "null", value_name = "JSON|@FILE|-")]
    data: String,
    /// The id of the host it concerns
    #[arg(long, value_name = "HOST_ID")]
    host: Option<HostId>,
    /// Its id: the same id from the same source is the same event
    #[arg(long)]
    id: Option<String>,
    /// Who made it
    #[arg(long)]
    source: Option<String>,
    /// When it happened, such as 2026-11-20T14:00:00Z
    #[arg(long)]
    time: Option<Timestamp>,
    /// Its tenant
    #[arg(long)]
    org: Option<Org>,
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    let published = match verb {
        Verb::Publish(arguments) => publish(global, arguments).await?,
        Verb::Detect(arguments) => detect(global, arguments).await?,
    };
    match global.output {
        Format::Json => print_json(&published),
        Format::Table => print(&published.id),
    }
}

async fn detect(global: &Global, arguments: Detect) -> Result<PublishedEvent, Failure> {
    let detection = ReportDetection {
        org: arguments.org,
        cat: arguments.cat,
        priority: arguments.priority,
        host: arguments.host,
        data: read_data(&arguments.data)?,
        id: arguments.id,
        source: arguments.source,
        time: arguments.time,
    };
    Client::find(global)?.post(&["detections"], &detection).await
}

async fn publish(global: &Global, arguments: Publish) -> Result<PublishedEvent, Failure> {
    let event = PublishEvent {
        org: arguments.org,
        etype: arguments.etype,
        id: arguments.id,
        source: arguments.source,
        host_id: arguments.host,
        time: arguments.time,
        data: read_data(&arguments.data)?,
    };
    Client::find(global)?.post(&["events"], &event).await
}

fn read_data(given: &str) -> Result<Value, Failure> {
    let (name, text) = match given.strip_prefix('@') {
        Some(path) => (
            path,
            read(std::fs::File::open(path)).map_err(|error| unreadable(path, &error))?,
        ),
        None if given == "-" => (
            "stdin",
            read(Ok(std::io::stdin())).map_err(|error| unreadable("stdin", &error))?,
        ),
        None => ("--data", given.to_owned()),
    };
    if text.len() > EVENT_BYTES_MAX {
        return Err(Failure::Input(format!(
            "{name} is longer than {EVENT_BYTES_MAX} bytes"
        )));
    }
    serde_json::from_str(&text).map_err(|error| Failure::Input(format!("{name} is not JSON: {error}")))
}

/// Reads what fits an event and one byte more, so that a longer one is seen.
pub(super) fn read(source: std::io::Result<impl Read>) -> std::io::Result<String> {
    let mut text = String::new();
    source?
        .take(EVENT_BYTES_MAX as u64 + 1)
        .read_to_string(&mut text)?;
    Ok(text)
}

pub(super) fn unreadable(name: &str, error: &std::io::Error) -> Failure {
    Failure::Input(format!("cannot read {name}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_read_from_the_argument_or_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("event.json");
        std::fs::write(&path, "{\"a\": 1}").unwrap();
        assert_eq!(read_data("[1]").unwrap(), serde_json::json!([1]));
        assert_eq!(
            read_data(&format!("@{}", path.display())).unwrap(),
            serde_json::json!({"a": 1})
        );
    }

    #[test]
    fn data_that_is_no_json_missing_or_too_long_is_bad_input() {
        let folder = tempfile::tempdir().unwrap();
        let long = folder.path().join("long.json");
        std::fs::write(&long, format!("\"{}\"", "x".repeat(EVENT_BYTES_MAX))).unwrap();
        for data in ["{", "@/nonexistent", &format!("@{}", long.display())] {
            assert_eq!(read_data(data).unwrap_err().code(), 2, "{data}");
        }
    }
}
