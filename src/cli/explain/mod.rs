//! `tripline explain`: why an event did what it did, and what it led to.

mod chain;
mod table;

use super::output::{Format, print, print_json};
use super::{Client, Failure, Global};
use clap::Args;
use tripline_protocol::api::{EventLookup, Explanation, LookupState};
use tripline_protocol::{EventKey, Org};
use uuid::Uuid;

#[derive(Debug, Args)]
#[command(
    after_help = "Exit codes: 0 it is explained, 1 nothing is known of it, 2 bad input or usage, 3 not reachable or not \
                  allowed.\n\n\
                  Examples:\n  tripline explain 6a476cc7-fafe-5985-9fb8-67233a7efb39\n  \
                  tripline explain alert-4711 --source siem --since 6h\n  \
                  tripline explain 7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11 --output json"
)]
pub(super) struct Explain {
    /// An event's key, a job's or a fan-out's id, or with --source an event's id
    event: String,
    /// Who made the event: EVENT is its id
    #[arg(long)]
    source: Option<String>,
    /// The tenant of the event that --source made [default: default]
    #[arg(long, requires = "source")]
    org: Option<Org>,
    /// How far back the stream of events is searched for an event of which nothing is recorded: a span such as 1h, or a
    /// time
    #[arg(long, value_name = "WHEN", default_value = "1h")]
    since: String,
}

impl Explain {
    /// What to ask about.
    fn id(&self) -> Result<String, Failure> {
        if let Some(source) = &self.source {
            let org = self.org.clone().unwrap_or_else(Org::default_org);
            return Ok(EventKey::derive(&org, source, &self.event).to_string());
        }
        let id: Result<Uuid, _> = self.event.parse();
        id.map(|id| id.to_string()).map_err(|_| {
            let given: String = self.event.chars().take(80).collect();
            Failure::Input(format!(
                "{given:?} is neither the key of an event nor the id of a job or a fan-out; for an event's id say who made it with --source"
            ))
        })
    }
}

pub(super) async fn run(global: &Global, arguments: &Explain) -> Result<(), Failure> {
    let id = arguments.id()?;
    let query = [("since", arguments.since.clone())];
    let explained: Explanation = Client::find(global)?
        .get(&["events", &id, "explain"], &query)
        .await?;
    if explained.is_empty() {
        return Err(Failure::Failed(unknown(&explained)));
    }
    match global.output {
        Format::Json => print_json(&explained),
        Format::Table => print(&format!(
            "{}\n{}",
            table::show(&explained),
            chain::show(&explained)
        )),
    }
}

/// Why there is nothing to explain.
fn unknown(explained: &Explanation) -> String {
    let asked = &explained.asked;
    match searched(&explained.lookup) {
        Some(searched) => format!("nothing is recorded of {asked}, and it is {searched}"),
        None => format!("nothing is recorded of {asked}"),
    }
}

/// Where an event was looked for in vain, in words.
fn searched(lookup: &EventLookup) -> Option<String> {
    match (lookup.state, &lookup.searched) {
        (LookupState::BrokerAway, _) => {
            Some("not known whether it is in the stream: the broker did not answer".into())
        }
        (LookupState::NotFound, Some(search)) => {
            let bound = match search.complete {
                true => "",
                false => "; that is as far as one search goes",
            };
            Some(match search.messages {
                0 => format!(
                    "not in the stream of events, which has none since {}",
                    search.since
                ),
                messages => format!(
                    "not among the {messages} events since {} that were searched, sequences {} to {}{bound}",
                    search.since, search.first_sequence, search.last_sequence
                ),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
