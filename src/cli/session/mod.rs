//! `tripline session`: a console on a host, and the sessions there are.

mod console;
mod view;

use super::output::{Format, print, print_json};
use super::{Client, Failure, Global};
use clap::{Args, Subcommand};
use serde::Serialize;
use tripline_protocol::session::{CommandView, SessionState, SessionView};

/// Commands of a session that are shown.
pub(super) const COMMANDS_SHOWN_MAX: usize = 10_000;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Open a session on a host: a console with files, processes and programs
    #[command(after_help = console::EXAMPLES)]
    Open(console::Open),
    /// List sessions, newest first
    #[command(
        after_help = "Examples:\n  tripline session list --open\n  tripline session list --host web01 --limit 10"
    )]
    List(List),
    /// Show a session with everything that was done in it
    #[command(after_help = "Example:\n  tripline session show 12")]
    Show {
        /// Its number or its id
        session: String,
    },
    /// Close a session: what runs in it is cancelled, and its slot is free
    #[command(after_help = "Example:\n  tripline session close 12")]
    Close {
        /// Its number or its id
        session: String,
    },
}

#[derive(Debug, Args)]
pub(super) struct List {
    /// Only with this host: a host id, sensor id or hostname
    #[arg(long)]
    host: Option<String>,
    /// Only in this state: pending, active, closed or failed
    #[arg(long)]
    state: Option<SessionState>,
    /// Only those that have not ended
    #[arg(long)]
    open: bool,
    /// Only of the token with this id
    #[arg(long, value_name = "TOKEN_ID")]
    owner: Option<String>,
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
            ("open", self.open.then(|| "true".to_owned())),
            ("owner", self.owner.clone()),
            ("org", self.org.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key, value)))
        .collect()
    }
}

/// A session with its transcript.
#[derive(Debug, Serialize)]
pub(super) struct Whole {
    #[serde(flatten)]
    session: SessionView,
    pub(super) commands: Vec<CommandView>,
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Open(arguments) => console::run(global, arguments).await,
        Verb::List(arguments) => list(global, &arguments).await,
        Verb::Show { session } => show(global, &session).await,
        Verb::Close { session } => {
            let closed: SessionView = Client::find(global)?.end(&["sessions", &session], &[]).await?;
            match global.output {
                Format::Json => print_json(&closed),
                Format::Table => print(closed.state.as_str()),
            }
        }
    }
}

async fn list(global: &Global, arguments: &List) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let (sessions, more) = client
        .list::<SessionView>(&["sessions"], &arguments.query(), arguments.limit)
        .await?;
    match global.output {
        Format::Json => print_json(&sessions)?,
        Format::Table => print(&view::list(&sessions))?,
    }
    super::say_more(more);
    Ok(())
}

/// A session with its first commands, and whether there are more of them.
pub(super) async fn whole(client: &Client, name: &str) -> Result<(Whole, bool), Failure> {
    let session: SessionView = client.get(&["sessions", name], &[]).await?;
    let id = session.session_id.to_string();
    let (commands, more) = client
        .list::<CommandView>(&["sessions", &id, "commands"], &[], COMMANDS_SHOWN_MAX)
        .await?;
    Ok((Whole { session, commands }, more))
}

async fn show(global: &Global, name: &str) -> Result<(), Failure> {
    let (whole, more) = whole(&Client::find(global)?, name).await?;
    match global.output {
        Format::Json => print_json(&whole)?,
        Format::Table if whole.commands.is_empty() => print(&view::show(&whole.session))?,
        Format::Table => print(&format!(
            "{}\n\n{}",
            view::show(&whole.session),
            view::transcript(&whole.commands)
        ))?,
    }
    super::say_cut(more, COMMANDS_SHOWN_MAX, "these are the first");
    Ok(())
}
