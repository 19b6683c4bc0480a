//! `tripline store import`.

use super::progress::Bar;
use super::{data_dir, of_export, of_open, of_store};
use crate::cli::output::{Format, fields, print, print_json};
use crate::cli::{Failure, Global, report};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use tripline_actors::check::check;
use tripline_actors::export::import;
use tripline_protocol::Timestamp;

/// Problems that are told; `tripline store check` tells all.
const PROBLEMS_SHOWN: usize = 10;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The export
    file: PathBuf,
}

/// What was imported.
#[derive(Serialize)]
struct Done {
    data_dir: PathBuf,
    made_at: Timestamp,
    rows: u64,
    artifacts: u64,
    problems: u64,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let data_dir = data_dir(global);
    let bar = Bar::new("the export is read");
    let imported = import(&arguments.file, &data_dir, &mut |at, of| bar.at(at, of));
    let (export, built) = imported.map_err(|error| of_export(&error))?;
    drop(bar);
    let found = check(built.store(), None).map_err(|error| of_store(&error))?;
    if found.rows() != export.totals.rows() && export.header.store_format == found.store_format {
        return Err(Failure::Failed(format!(
            "the new store has {} rows, the export {}; nothing was put in place",
            found.rows(),
            export.totals.rows()
        )));
    }
    built.put_in_place().map_err(|error| of_open(&error))?;
    let warnings = found.problems.iter().take(PROBLEMS_SHOWN);
    let mut lines: Vec<String> = warnings
        .map(|problem| format!("warning: {} {}: {}", problem.table, problem.key, problem.problem))
        .collect();
    if found.problems_total > 0 {
        lines.push(format!(
            "warning: {} problems came with the export; see tripline store check",
            found.problems_total
        ));
    }
    report(&lines);
    let done = Done {
        data_dir,
        made_at: export.header.made_at,
        rows: export.totals.rows(),
        artifacts: export.totals.artifacts,
        problems: found.problems_total,
    };
    match global.output {
        Format::Json => print_json(&done),
        Format::Table => print(&fields([
            ("data directory", done.data_dir.display().to_string()),
            ("as it was at", done.made_at.to_string()),
            ("rows", done.rows.to_string()),
            ("artifacts", done.artifacts.to_string()),
            ("problems", done.problems.to_string()),
        ])),
    }
}
