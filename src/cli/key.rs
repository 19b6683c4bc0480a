//! `tripline key`: the keys of agents. Nobody can see a key; what is shown is the beginning of its SHA-256.

use super::output::{Format, or_dash, print, print_json, table};
use super::{Client, Failure, Global};
use clap::{Args, Subcommand};
use tripline_protocol::api::{KeyView, Page};

/// Digits of a key's SHA-256 that a table shows.
const SHOWN: usize = 12;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List the keys of agents: since when, last used when and from where, and by which version
    #[command(after_help = "Examples:\n  tripline key list\n  tripline key list --host web01")]
    List(List),
    /// Have a host's agent replace its key
    ///
    /// The agent makes a new key and keeps it, the server takes it, and the old one ends when the agent has opened a
    /// connection with the new one. It is asked at once, or when it is attached again. Run tripline key list --host to
    /// see how far it is. Where two machines have one key, the one that is served gets the new one; the other is refused.
    #[command(after_help = "Example:\n  tripline key rotate web01")]
    Rotate {
        /// The host's id, sensor id or hostname
        host: String,
    },
    /// End the validity of a host's keys
    ///
    /// The agent's connection is closed and it stops. To bring the machine back, remove the agent's state
    /// directory and enrol it again; it is a new host then. A host that is isolated stays so until its time: release it
    /// before (tripline host unisolate).
    #[command(after_help = "Example:\n  tripline key revoke web01")]
    Revoke {
        /// The host's id, sensor id or hostname
        host: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only keys of this host, by its id, sensor id or hostname
    #[arg(long)]
    host: Option<String>,
    /// Only keys of hosts of this tenant
    #[arg(long)]
    org: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    limit: usize,
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    let client = Client::find(global)?;
    match verb {
        Verb::List(List { host, org, limit }) => {
            let host = host.map(|host| ("host", host));
            let query: Vec<_> = org.map(|org| ("org", org)).into_iter().chain(host).collect();
            let (keys, more) = client.list::<KeyView>(&["keys"], &query, limit).await?;
            show(global.output, &keys)?;
            super::say_more(more);
            Ok(())
        }
        Verb::Rotate { host } => {
            let page: Page<KeyView> = client.ask(&["hosts", &host, "key", "rotate"]).await?;
            show(global.output, &page.items)
        }
        Verb::Revoke { host } => super::host::revoke_key(&client, &host).await,
    }
}

fn show(output: Format, keys: &[KeyView]) -> Result<(), Failure> {
    match output {
        Format::Json => print_json(&keys),
        Format::Table => print(&list(keys)),
    }
}

fn list(keys: &[KeyView]) -> String {
    let rows = keys.iter().map(|key| {
        [
            key.key_sha256.as_str().chars().take(SHOWN).collect(),
            key.hostname.clone(),
            key.host_id.to_string(),
            key.org.to_string(),
            state(key),
            key.created_at.to_string(),
            or_dash(key.last_used_at),
            or_dash(key.last_used_from.as_ref()),
            or_dash(key.agent_version.as_ref()),
            or_dash(key.install_id),
        ]
    });
    table(
        [
            "KEY",
            "HOSTNAME",
            "HOST ID",
            "ORG",
            "STATE",
            "CREATED",
            "LAST USED",
            "FROM",
            "AGENT",
            "INSTALL ID",
        ],
        rows,
    )
}

fn state(key: &KeyView) -> String {
    let mut state = key.state.as_str().to_owned();
    if key.in_use {
        state.push_str(", in use");
    }
    if key.rotation_asked_at.is_some() {
        state.push_str(", to be replaced");
    }
    state
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_key_is_shown_by_the_beginning_of_its_hash_and_what_happens_to_it() {
        let key: KeyView = serde_json::from_value(json!({
            "key_sha256": "ab".repeat(32), "host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "hostname": "web01",
            "org": "default", "state": "current", "created_at": "2026-11-20T14:00:00Z", "in_use": true,
            "rotation_asked_at": "2026-11-21T14:00:00Z",
        }))
        .unwrap();
        let shown = list(&[key]);
        assert!(shown.contains("abababababab  web01"), "{shown}");
        assert!(!shown.contains("ababababababa"), "{shown}");
        assert!(shown.contains("current, in use, to be replaced"), "{shown}");
    }
}
