//! `tripline store`: checks, exports, imports and recoveries of what a server keeps.
//!
//! All but an export of a running server work on a data directory that no server uses, under its lock.

mod check;
mod export;
mod import;
mod progress;
mod recover;
mod status;

use super::connection::data_dir;
use super::{Failure, Global, chain};
use clap::Subcommand;
use std::io::ErrorKind;
use tripline_actors::export::Error as ExportError;
use tripline_actors::store::OpenError;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Read everything and say what is wrong: of the data directory's store, or of an export
    ///
    /// Nothing is changed: a copy of the store is opened. No server may run on the data directory; of a running one,
    /// check an export. Exit codes: 0 nothing is wrong, 1 something is or it cannot be read, 2 bad input.
    #[command(
        after_help = "Examples:\n  tripline store check --data-dir /var/lib/tripline\n  \
                            tripline store check --deep\n  tripline store check backup.export"
    )]
    Check(check::Arguments),
    /// Write an export: every row of the store as it is at one moment, while the server runs or not
    ///
    /// It has the hashes of tokens and of agents' keys and what jobs found: whoever reads it learns all of that. Its
    /// file is for its owner only. Exit codes: 0 written and verified, 1 it failed, 2 bad input, 3 the server cannot be
    /// reached or does not allow it.
    #[command(after_help = "Examples:\n  tripline store export backup.export\n  \
                            tripline store export --with-artifacts backup.export --data-dir /var/lib/tripline")]
    Export(export::Arguments),
    /// Make the store of an empty data directory from an export
    ///
    /// The export is read whole before anything is written. tls and admin.token of the old server may be put into the
    /// directory before, so that agents and people find the server they know. Exit codes: 0 done, 1 the export is
    /// damaged or it failed, 2 bad input.
    #[command(after_help = "Example:\n  tripline store import backup.export --data-dir /var/lib/tripline")]
    Import(import::Arguments),
    /// Make a store anew from what can be read of one that does not open
    ///
    /// Says what was saved and what is lost, and asks before it changes anything. The damaged store is kept beside the
    /// new one. Exit codes: 0 done or nothing to do, 1 it failed or was declined, 2 bad input.
    #[command(after_help = "Example:\n  tripline store recover --data-dir /var/lib/tripline")]
    Recover(recover::Arguments),
    /// Show the exports that a running server makes by itself
    #[command(after_help = "Example:\n  tripline store status --output json | jq -r .exports.last.made_at")]
    Status,
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Check(arguments) => check::run(global, &arguments),
        Verb::Export(arguments) => export::run(global, &arguments).await,
        Verb::Import(arguments) => import::run(global, &arguments),
        Verb::Recover(arguments) => recover::run(global, &arguments),
        Verb::Status => status::run(global).await,
    }
}

/// A store that cannot be used is a failure; a directory that is the wrong one is bad input.
fn of_open(error: &OpenError) -> Failure {
    let text = chain(error);
    match error {
        OpenError::Held { .. }
        | OpenError::Unwritable { .. }
        | OpenError::Missing { .. }
        | OpenError::NotEmpty { .. }
        | OpenError::NoRoom { .. } => Failure::Input(text),
        OpenError::Broken { .. } | OpenError::Unfinished { .. } | OpenError::NewerFormat { .. } => {
            Failure::Failed(text)
        }
    }
}

fn of_export(error: &ExportError) -> Failure {
    match error {
        ExportError::Open(error) => of_open(error),
        ExportError::Io { source, .. } | ExportError::Stream { source, .. }
            if matches!(source.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) =>
        {
            Failure::Input(format!("failed to {}", chain(error)))
        }
        _ => Failure::Failed(format!("failed to {}", chain(error))),
    }
}

fn of_store(error: &tripline_actors::store::Error) -> Failure {
    Failure::Failed(format!("failed to {}", chain(error)))
}
