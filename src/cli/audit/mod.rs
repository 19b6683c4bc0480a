//! `tripline audit`: what is on record, and whether it is as it was written.

mod finding;
mod verify;

use super::output::{Format, fields, or_dash, print, print_bytes, print_json, table};
use super::{Client, Failure, Global};
use clap::{Args, Subcommand};
use serde_json::Value;
use tripline_protocol::api::Page;
use tripline_protocol::audit::{AuditChain, AuditRecord};

/// Records read at once.
pub(super) const RECORDS_MAX: usize = 1000;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List records, newest first
    #[command(after_help = "Examples:\n  tripline audit list --who ana --since 1d\n  \
                            tripline audit list --host web01 --action command")]
    List(List),
    /// Show one record
    #[command(after_help = "Example:\n  tripline audit show 4711 --org acme")]
    Show {
        /// Its number
        number: u64,
        /// Its chain: an org, or _ for what concerns the server itself
        #[arg(long, default_value = "default", value_name = "ORG|_")]
        org: String,
    },
    /// Write records as lines of JSON, oldest first, exactly as they are kept
    #[command(
        after_help = "Example:\n  tripline audit export --org acme > acme.jsonl\n  tripline audit verify --file acme.jsonl"
    )]
    Export {
        /// Only this chain: an org, or _ for what concerns the server itself [default: all]
        #[arg(long, value_name = "ORG|_")]
        org: Option<String>,
        /// Only from this record on
        #[arg(long, value_name = "N", requires = "org")]
        from: Option<u64>,
    },
    /// Check that no record was changed, removed or moved; exits 1 at the first that was, and names it, or if there is none
    #[command(after_help = verify::EXAMPLES)]
    Verify(verify::Verify),
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only of this chain: an org, or _ for what concerns the server itself [default: all]
    #[arg(long, value_name = "ORG|_")]
    org: Option<String>,
    /// Only of whom this is the id or the name: a token, a pipeline, a host
    #[arg(long)]
    who: Option<String>,
    /// Only about the host with this id or name
    #[arg(long)]
    host: Option<String>,
    /// Only this action, such as token.create, or all of a noun, such as token
    #[arg(long)]
    action: Option<String>,
    /// Only since then: a span such as 1h, or a time such as 2026-11-21T08:00:00Z
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only before then
    #[arg(long, value_name = "WHEN")]
    until: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 100, value_name = "N")]
    limit: usize,
}

impl List {
    fn query(&self) -> Vec<(&'static str, String)> {
        [
            ("org", self.org.clone()),
            ("who", self.who.clone()),
            ("host", self.host.clone()),
            ("action", self.action.clone()),
            ("since", self.since.clone()),
            ("until", self.until.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(arguments) => list(global, &arguments).await,
        Verb::Show { number, org } => show(global, &org, number).await,
        Verb::Export { org, from } => export(global, org, from).await,
        Verb::Verify(arguments) => verify::run(global, arguments).await,
    }
}

async fn list(global: &Global, arguments: &List) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let (records, more) = client
        .list::<Value>(&["audit"], &arguments.query(), arguments.limit)
        .await?;
    match global.output {
        Format::Json => print_json(&records)?,
        Format::Table => print(&table(
            ["TIME", "ORG", "N", "ACTION", "WHO", "ON", "OUTCOME", "FROM"],
            records.iter().filter_map(row),
        ))?,
    }
    super::say_more(more);
    Ok(())
}

fn row(record: &Value) -> Option<[String; 8]> {
    let record: AuditRecord = serde_json::from_value(record.clone()).ok()?;
    Some([
        record.at.to_string(),
        record.org.clone(),
        record.n.to_string(),
        record.action.clone(),
        who(&record),
        what(&record),
        outcome(&record),
        place(&record),
    ])
}

fn who(record: &AuditRecord) -> String {
    let by = &record.by;
    let kind = serde_json::to_value(by.kind).ok();
    let kind = kind
        .as_ref()
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let name = by.name.clone().or_else(|| by.id.clone());
    name.map_or(kind.clone(), |name| format!("{kind} {name}"))
}

/// What people know it by.
fn what(record: &AuditRecord) -> String {
    let named = ["hostname", "token", "job", "session", "file", "event"];
    let found = named.iter().filter_map(|kind| record.on.get(*kind));
    let verb = record
        .detail
        .get("verb")
        .and_then(Value::as_str)
        .map(str::to_owned);
    let parts: Vec<String> = found.take(1).cloned().chain(verb).collect();
    or_dash((!parts.is_empty()).then(|| parts.join(" ")))
}

fn outcome(record: &AuditRecord) -> String {
    let outcome = &record.outcome;
    match &outcome.code {
        Some(code) => format!("{} ({code})", outcome.result),
        None => outcome.result.clone(),
    }
}

fn place(record: &AuditRecord) -> String {
    or_dash(record.from.as_ref().map(|from| {
        let dialect = from.dialect.as_str().to_owned();
        match &from.address {
            Some(address) => format!("{dialect} {address}"),
            None => dialect,
        }
    }))
}

async fn show(global: &Global, org: &str, number: u64) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let record: Value = client
        .get(&["audit", org, "records", &number.to_string()], &[])
        .await?;
    let Format::Table = global.output else {
        return print_json(&record);
    };
    let record: AuditRecord = serde_json::from_value(record)
        .map_err(|error| Failure::Failed(format!("the record cannot be read: {error}")))?;
    let rows = [
        ("number", record.n.to_string()),
        ("org", record.org.clone()),
        ("time", record.at.to_string()),
        ("action", record.action.clone()),
        ("who", who(&record)),
        ("id", or_dash(record.by.id.as_ref())),
        ("role", or_dash(record.by.role)),
        ("from", place(&record)),
        (
            "request",
            or_dash(record.from.as_ref().and_then(|from| from.request.as_ref())),
        ),
        ("on", serde_json::json!(record.on).to_string()),
        ("outcome", outcome(&record)),
        ("detail", Value::Object(record.detail.clone()).to_string()),
        ("previous", record.prev.to_string()),
    ];
    print(&fields(rows))
}

/// Chains that are kept, or the one that is wanted.
async fn chains(client: &Client, org: Option<&str>) -> Result<Vec<AuditChain>, Failure> {
    let page: Page<AuditChain> = client.get(&["audit", "chains"], &[]).await?;
    let wanted = |chain: &AuditChain| org.is_none_or(|org| org == chain.org);
    let chains: Vec<AuditChain> = page.items.into_iter().filter(wanted).collect();
    match (chains.is_empty(), org) {
        (true, Some(org)) => Err(Failure::Input(format!(
            "there is no audit of {org:?} (not_found)"
        ))),
        _ => Ok(chains),
    }
}

/// The records of a chain from `from` on, a chunk at a time, each line with its end; empty behind the last.
async fn chunk(client: &Client, chain: &str, from: u64) -> Result<Vec<u8>, Failure> {
    let query = [("from", from.to_string()), ("limit", RECORDS_MAX.to_string())];
    client.get_bytes(&["audit", chain, "records"], &query).await
}

/// The lines of a chunk.
fn lines(chunk: &[u8]) -> impl Iterator<Item = &[u8]> {
    chunk.split(|byte| *byte == b'\n').filter(|line| !line.is_empty())
}

async fn export(global: &Global, org: Option<String>, from: Option<u64>) -> Result<(), Failure> {
    let client = Client::find(global)?;
    for chain in chains(&client, org.as_deref()).await? {
        let mut next = from.or(chain.first).unwrap_or(1);
        // What is added while it is written is left for the next time: that may never end.
        while next <= chain.head.n {
            let found = chunk(&client, &chain.org, next).await?;
            let room = usize::try_from(chain.head.n + 1 - next).unwrap_or(usize::MAX);
            let mut written = Vec::with_capacity(found.len());
            for line in lines(&found).take(room) {
                written.extend_from_slice(line);
                written.push(b'\n');
                next += 1;
            }
            if written.is_empty() {
                break;
            }
            print_bytes(&written)?;
        }
    }
    Ok(())
}
