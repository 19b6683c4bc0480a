//! `tripline dead`: messages that could not be handled.

use super::output::{Format, clean, fields, or_dash, print, print_json, table};
use super::{Client, Failure, Global};
use clap::{ArgGroup, Args, Subcommand};
use tripline_protocol::api::{DeadLetter, DeadLetterView, ReplayDead, ReplayedEvent};

/// Letters that `--all` acts on.
pub(super) const ALL_MAX: usize = 100_000;

/// What about the others.
const REST: &str = "ask again for the rest";

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List dead letters, newest first
    #[command(
        after_help = "Examples:\n  tripline dead list --since 1h\n  tripline dead list --reason stale --org acme"
    )]
    List(List),
    /// Show a dead letter whole, with its headers and its body
    #[command(after_help = "Example:\n  tripline dead show 17")]
    Show {
        /// Its sequence
        sequence: u64,
    },
    /// Publish the event of a dead letter again, so that it is handled as new
    ///
    /// All pipelines that it trips run, also those that ran when it first came. Its jobs have ids of their own and a
    /// run of their own, and it counts as new, however old it is. What is no event cannot be replayed.
    #[command(
        after_help = "Examples:\n  tripline dead replay 17\n  tripline dead replay --all --reason unknown_host --since 2h"
    )]
    Replay(Replay),
    /// Remove a dead letter from its stream, for good
    #[command(
        after_help = "Examples:\n  tripline dead drop 17 --yes\n  tripline dead drop --all --reason not_json --yes"
    )]
    Drop(Drop),
}

/// Which letters.
#[derive(Debug, Clone, Args)]
pub(super) struct Filter {
    /// Only with this reason, such as stale; a wrong one is answered with those that there are
    #[arg(long)]
    reason: Option<String>,
    /// Only of this tenant
    #[arg(long)]
    org: Option<String>,
    /// Only since then: a span such as 1h, or a time
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
}

impl Filter {
    fn query(&self) -> Vec<(&'static str, String)> {
        [
            ("reason", &self.reason),
            ("org", &self.org),
            ("since", &self.since),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.clone().map(|value| (key, value)))
        .collect()
    }
}

#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    filter: Filter,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").required(true).args(["sequences", "all"]))]
pub(super) struct Selection {
    /// Their sequences
    #[arg(value_name = "SEQUENCE", conflicts_with_all = ["reason", "org", "since"])]
    sequences: Vec<u64>,
    /// All that `dead list` lists with the same filters
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    filter: Filter,
}

impl Selection {
    /// Sequences of the letters, oldest first, and whether there are more; of all of them, those that are `wanted`.
    async fn letters(
        &self,
        client: &Client,
        wanted: impl Fn(&DeadLetter) -> bool,
    ) -> Result<(Vec<u64>, bool), Failure> {
        if !self.all {
            return Ok((self.sequences.clone(), false));
        }
        let (letters, more) = client
            .select(&["dead"], &self.filter.query(), ALL_MAX, wanted)
            .await?;
        let sequences = letters.into_iter().rev().map(|letter| letter.sequence);
        Ok((sequences.collect(), more))
    }
}

#[derive(Debug, Args)]
pub(super) struct Replay {
    #[command(flatten)]
    which: Selection,
    /// Also those that were replayed before; without it `--all` leaves them out
    #[arg(long)]
    again: bool,
}

impl Replay {
    /// Those that are replayed: what was replayed before only when that is said.
    pub(super) async fn letters(&self, client: &Client) -> Result<(Vec<u64>, bool), Failure> {
        let wanted = |letter: &DeadLetter| self.again || letter.replayed.is_none();
        self.which.letters(client, wanted).await
    }
}

#[derive(Debug, Args)]
pub(super) struct Drop {
    #[command(flatten)]
    which: Selection,
    /// They are gone for good: say that this is meant
    #[arg(long)]
    yes: bool,
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(arguments) => list(global, &arguments).await,
        Verb::Show { sequence } => show(global, sequence).await,
        Verb::Replay(arguments) => replay(global, &arguments).await,
        Verb::Drop(arguments) => drop_letters(global, &arguments).await,
    }
}

async fn list(global: &Global, arguments: &List) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let (letters, more) = client
        .list::<DeadLetter>(&["dead"], &arguments.filter.query(), arguments.limit)
        .await?;
    match global.output {
        Format::Json => print_json(&letters)?,
        Format::Table => print(&rows(&letters))?,
    }
    super::say_more(more);
    Ok(())
}

fn rows(letters: &[DeadLetter]) -> String {
    let rows = letters.iter().map(|letter| {
        [
            letter.sequence.to_string(),
            letter.stored_at.to_string(),
            or_dash(letter.org.as_ref()),
            letter.reason.clone(),
            or_dash(letter.replayed.as_ref().map(|replayed| replayed.at)),
            letter.subject.clone(),
            letter.text.chars().take(120).collect(),
        ]
    });
    table(
        ["SEQUENCE", "SINCE", "ORG", "REASON", "REPLAYED", "SUBJECT", "WHY"],
        rows,
    )
}

async fn show(global: &Global, sequence: u64) -> Result<(), Failure> {
    let id = sequence.to_string();
    let view: DeadLetterView = Client::find(global)?.get(&["dead", &id], &[]).await?;
    match global.output {
        Format::Json => print_json(&view),
        Format::Table => print(&whole(&view)),
    }
}

fn whole(view: &DeadLetterView) -> String {
    let letter = &view.letter;
    let replayed = letter.replayed.as_ref();
    let head = fields([
        ("sequence", letter.sequence.to_string()),
        ("reason", letter.reason.clone()),
        ("why", letter.text.clone()),
        ("subject", letter.subject.clone()),
        ("org", or_dash(letter.org.as_ref())),
        ("since", letter.stored_at.to_string()),
        (
            "replayed",
            or_dash(
                replayed
                    .map(|replayed| format!("{} by {}, run {}", replayed.at, replayed.by.name, replayed.run)),
            ),
        ),
        ("bytes", letter.bytes.to_string()),
    ]);
    let headers = table(
        ["HEADER", "VALUE"],
        view.headers
            .iter()
            .map(|(name, value)| [name.clone(), value.clone()]),
    );
    let pretty = |data: &serde_json::Value| serde_json::to_string_pretty(data).unwrap_or_default();
    let body = match (&view.data, &view.content, &view.content_b64) {
        (Some(data), _, _) => pretty(data),
        (None, Some(text), _) => text.clone(),
        (None, None, Some(b64)) => format!("(base64) {b64}"),
        (None, None, None) => String::new(),
    };
    let body: Vec<String> = body.lines().map(clean).collect();
    format!("{head}\n\n{headers}\n\n{}", body.join("\n"))
}

async fn replay(global: &Global, arguments: &Replay) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let body = ReplayDead {
        again: arguments.again,
    };
    let (letters, more) = arguments.letters(&client).await?;
    let (mut replayed, mut refused) = (Vec::new(), 0);
    for sequence in letters {
        let id = sequence.to_string();
        match client
            .post::<ReplayedEvent>(&["dead", &id, "replay"], &body)
            .await
        {
            Ok(done) => replayed.push(done),
            // One of many that is no event does not hold the others back.
            Err(Failure::Failed(text)) if arguments.which.all => {
                super::report(&[format!("tripline: {text}")]);
                refused += 1;
            }
            Err(other) => return Err(other),
        }
    }
    match global.output {
        Format::Json => print_json(&replayed)?,
        Format::Table => print(&replays(&replayed))?,
    }
    super::say_cut(more, ALL_MAX, REST);
    match refused {
        0 => Ok(()),
        refused => Err(Failure::Failed(format!("{refused} could not be replayed"))),
    }
}

fn replays(replayed: &[ReplayedEvent]) -> String {
    let rows = replayed.iter().map(|done| {
        [
            done.sequence.to_string(),
            done.run.to_string(),
            done.id.clone(),
            done.key.to_string(),
        ]
    });
    table(["SEQUENCE", "RUN", "EVENT ID", "KEY"], rows)
}

async fn drop_letters(global: &Global, arguments: &Drop) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let (letters, more) = arguments.which.letters(&client, |_| true).await?;
    super::say_cut(more, ALL_MAX, REST);
    if !arguments.yes {
        let count = letters.len();
        return Err(Failure::Input(format!(
            "{count} dead letters would be gone for good; say --yes if that is meant"
        )));
    }
    let (mut dropped, mut missing) = (Vec::new(), Vec::new());
    for sequence in &letters {
        match client.delete_if_there(&["dead", &sequence.to_string()]).await? {
            true => dropped.push(*sequence),
            false => missing.push(sequence.to_string()),
        }
    }
    match global.output {
        Format::Json => print_json(&dropped)?,
        Format::Table => print(&format!("{} dropped", dropped.len()))?,
    }
    match missing.is_empty() || arguments.which.all {
        // Of a list, what is gone meanwhile is what was wanted.
        true => Ok(()),
        false => Err(Failure::Input(format!("no dead letter {}", missing.join(", ")))),
    }
}
