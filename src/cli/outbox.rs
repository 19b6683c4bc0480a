//! `tripline outbox`: messages on their way to the broker.

use super::output::{Format, fields, or_dash, print, print_json, table};
use super::{Client, Failure, Global};
use clap::{ArgGroup, Args, Subcommand};
use serde::Serialize;
use std::collections::BTreeSet;
use tripline_protocol::api::{OutboxEntry, OutboxView, Retried, RetryQuarantined};

/// Messages in quarantine that `--all` acts on.
pub(super) const ALL_MAX: usize = 100_000;
/// What about the others.
const REST: &str = "ask again for the rest";
/// Messages that one request puts back.
const RETRY_MAX: usize = 1_000;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Show what waits for the broker, and what it will never take
    #[command(after_help = "Example:\n  tripline outbox list")]
    List {
        /// At most so many of those in quarantine
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: usize,
    },
    /// Put messages back that the broker refused for good, in their order
    ///
    /// That helps when what it refused them for has been put right, such as a limit of its own. Each is behind what
    /// waits on its subject by then.
    #[command(after_help = "Examples:\n  tripline outbox retry 17\n  tripline outbox retry --all")]
    Retry(Selection),
    /// Remove messages that the broker refused for good; nobody will get them
    #[command(after_help = "Example:\n  tripline outbox drop 17 --yes")]
    Drop {
        #[command(flatten)]
        which: Selection,
        /// They are gone for good: say that this is meant
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["sequences", "all"]))]
pub(super) struct Selection {
    /// Their numbers
    #[arg(value_name = "NUMBER")]
    sequences: Vec<u64>,
    /// All that are in quarantine
    #[arg(long)]
    all: bool,
}

impl Selection {
    /// Their numbers, and whether there are more.
    pub(super) async fn sequences(&self, client: &Client) -> Result<(Vec<u64>, bool), Failure> {
        if !self.all {
            let given: BTreeSet<u64> = self.sequences.iter().copied().collect();
            return Ok((given.into_iter().collect(), false));
        }
        let (entries, more) = quarantine(client, ALL_MAX).await?;
        Ok((entries.iter().map(|entry| entry.sequence).collect(), more))
    }
}

async fn quarantine(client: &Client, limit: usize) -> Result<(Vec<OutboxEntry>, bool), Failure> {
    client.list(&["outbox", "quarantine"], &[], limit).await
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    let client = Client::find(global)?;
    match verb {
        Verb::List { limit } => list(global, &client, limit).await,
        Verb::Retry(which) => retry(global, &client, &which).await,
        Verb::Drop { which, yes } => drop_entries(global, &client, &which, yes).await,
    }
}

/// What waits, and what is in quarantine.
#[derive(Serialize)]
struct Listed {
    #[serde(flatten)]
    outbox: OutboxView,
    quarantine: Vec<OutboxEntry>,
}

async fn list(global: &Global, client: &Client, limit: usize) -> Result<(), Failure> {
    let outbox: OutboxView = client.get(&["outbox"], &[]).await?;
    let (quarantine, more) = quarantine(client, limit).await?;
    let listed = Listed { outbox, quarantine };
    match global.output {
        Format::Json => print_json(&listed)?,
        Format::Table => print(&text(&listed))?,
    }
    super::say_more(more);
    Ok(())
}

fn text(listed: &Listed) -> String {
    let outbox = &listed.outbox;
    let oldest = outbox.oldest.as_ref().map(|oldest| {
        let since = or_dash(oldest.staged_at);
        format!("{} on {}, since {since}", oldest.sequence, oldest.subject)
    });
    let mut parts = vec![fields([
        (
            "waiting",
            format!("{} of {}", outbox.waiting, outbox.messages_max),
        ),
        ("in flight", outbox.in_flight.to_string()),
        ("oldest", or_dash(oldest)),
        ("subjects", outbox.subjects_total.to_string()),
        ("quarantined", outbox.quarantined.to_string()),
    ])];
    if !outbox.subjects.is_empty() {
        let rows = outbox.subjects.iter();
        let rows = rows.map(|count| [count.waiting.to_string(), count.subject.clone()]);
        parts.push(table(["WAITING", "SUBJECT"], rows));
    }
    if !listed.quarantine.is_empty() {
        let rows = listed.quarantine.iter().map(|entry| {
            [
                entry.sequence.to_string(),
                or_dash(entry.staged_at),
                entry.bytes.to_string(),
                entry.subject.clone(),
                entry.refused.clone().unwrap_or_default(),
            ]
        });
        parts.push(table(
            ["QUARANTINED", "SINCE", "BYTES", "SUBJECT", "THE BROKER SAID"],
            rows,
        ));
    }
    parts.join("\n\n")
}

async fn retry(global: &Global, client: &Client, which: &Selection) -> Result<(), Failure> {
    let mut total = Retried { retried: 0 };
    let (sequences, more) = which.sequences(client).await?;
    super::say_cut(more, ALL_MAX, REST);
    for some in sequences.chunks(RETRY_MAX) {
        let body = RetryQuarantined {
            sequences: some.to_vec(),
        };
        let done: Retried = client.post(&["outbox", "quarantine", "retry"], &body).await?;
        total.retried += done.retried;
    }
    match global.output {
        Format::Json => print_json(&total)?,
        Format::Table => print(&format!("{} put back", total.retried))?,
    }
    match (sequences.len() as u64).saturating_sub(total.retried) {
        0 => Ok(()),
        missing => Err(not_there(which, missing, "not in quarantine, or cannot be read")),
    }
}

async fn drop_entries(global: &Global, client: &Client, which: &Selection, yes: bool) -> Result<(), Failure> {
    let (sequences, more) = which.sequences(client).await?;
    super::say_cut(more, ALL_MAX, REST);
    if !yes {
        let count = sequences.len();
        return Err(Failure::Input(format!(
            "{count} messages would be gone for good; say --yes if that is meant"
        )));
    }
    let mut dropped = Vec::new();
    for sequence in &sequences {
        let id = sequence.to_string();
        if client.delete_if_there(&["outbox", "quarantine", &id]).await? {
            dropped.push(*sequence);
        }
    }
    match global.output {
        Format::Json => print_json(&dropped)?,
        Format::Table => print(&format!("{} dropped", dropped.len()))?,
    }
    match sequences.len() - dropped.len() {
        missing if missing > 0 && !which.all => Err(not_there(which, missing, "not in quarantine")),
        // Somebody else was faster; what is gone is what was wanted.
        _ => Ok(()),
    }
}

/// Numbers that somebody gave are wrong input; those of a list were right when it was made.
fn not_there(which: &Selection, count: impl std::fmt::Display, why: &str) -> Failure {
    let text = format!("{count} of them: {why}; tripline outbox list shows what is");
    match which.all {
        true => Failure::Failed(text),
        false => Failure::Input(text),
    }
}
