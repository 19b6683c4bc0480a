//! `tripline store recover`.

use super::{data_dir, of_open};
use crate::cli::output::{Format, print, print_json, table};
use crate::cli::{Failure, Global, report};
use clap::Args;
use serde::Serialize;
use std::collections::BTreeSet;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use tripline_actors::recover::{Condition, Saved, examine, go_on, recover};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// Put the new store in place without asking
    #[arg(long)]
    yes: bool,
    /// Folder for the copy on which it is tried whether the store opens [default: the data directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// What became of it.
#[derive(Serialize)]
struct Done<'a> {
    #[serde(flatten)]
    saved: &'a Saved,
    /// Where the damaged store is now; none: nothing was changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    kept: Option<PathBuf>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let data_dir = data_dir(global);
    if let Some(kept) = go_on(&data_dir).map_err(|error| of_open(&error))? {
        report(&[format!(
            "an earlier recovery is in its place now; the damaged store is {}",
            kept.display()
        )]);
    }
    let condition = examine(&data_dir, arguments.scratch.as_deref()).map_err(|error| of_open(&error))?;
    match &condition {
        Condition::Sound => {
            report(&["the store opens and nothing is wrong with it; nothing was changed".to_owned()]);
            return Ok(());
        }
        Condition::Faulty(found) => report(&[format!(
            "the store opens, and {} things are wrong with it (tripline store check shows them)",
            found.problems_total
        )]),
        Condition::Broken(detail) => report(&[format!("the store does not open: {detail}")]),
    }
    let recovery = recover(&data_dir).map_err(|error| of_open(&error))?;
    if global.output == Format::Table {
        print(&shown(&recovery.saved))?;
    }
    confirm(arguments.yes, &data_dir)?;
    let saved = recovery.saved.clone();
    let kept = recovery.put_in_place().map_err(|error| of_open(&error))?;
    if let Some(kept) = &kept {
        report(&[format!(
            "done; the damaged store is kept in {}: remove it when nothing is missed",
            kept.display()
        )]);
    }
    match global.output {
        Format::Json => print_json(&Done { saved: &saved, kept }),
        Format::Table => Ok(()),
    }
}

fn confirm(yes: bool, data_dir: &Path) -> Result<(), Failure> {
    if yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Failed(
            "nothing was changed: --yes puts the new store in place without asking".to_owned(),
        ));
    }
    let mut stderr = std::io::stderr().lock();
    // A closed stderr is nobody's concern; then nobody answers yes either.
    let _ = write!(
        stderr,
        "put the new store in place in {}? [y/N] ",
        data_dir.display()
    );
    let _ = stderr.flush();
    let mut answer = String::new();
    let read = stdin.read_line(&mut answer);
    match read.is_ok() && matches!(answer.trim(), "y" | "Y" | "yes") {
        true => Ok(()),
        false => Err(Failure::Failed("nothing was changed".to_owned())),
    }
}

fn shown(saved: &Saved) -> String {
    let (made, dropped) = (&saved.repaired.made, &saved.repaired.dropped);
    let tables: BTreeSet<&String> = saved
        .read
        .keys()
        .chain(made.keys())
        .chain(dropped.keys())
        .collect();
    let count = |of: &std::collections::BTreeMap<String, u64>, name: &String| {
        of.get(name).copied().unwrap_or(0).to_string()
    };
    let rows = tables.into_iter().map(|name| {
        [
            name.clone(),
            count(&saved.read, name),
            count(made, name),
            count(dropped, name),
            match saved.tables_with_gaps.contains(name) {
                true => "some may be lost".to_owned(),
                false => "–".to_owned(),
            },
        ]
    });
    let mut text = table(["TABLE", "READ", "MADE AGAIN", "DROPPED", "KEYS MISSING"], rows);
    text.push_str(&format!(
        "\n\n{} of {} bytes of the log cannot be read, {} long values are not complete\n\
         rows may be older than they were: look at tokens and agents' keys that were revoked lately",
        saved.loss.unreadable_bytes, saved.loss.log_bytes, saved.loss.incomplete_values
    ));
    text
}
