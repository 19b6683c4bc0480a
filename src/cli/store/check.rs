//! `tripline store check`.

use super::progress::Bar;
use super::{data_dir, of_export, of_open, of_store};
use crate::cli::output::{Format, print, print_json, table};
use crate::cli::{Failure, Global, chain, report};
use clap::Args;
use std::path::{Path, PathBuf};
use tripline_actors::check::{Contents, Report, check};
use tripline_actors::export::unpack;
use tripline_actors::store::Inspected;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// An export [default: the store of the data directory]
    file: Option<PathBuf>,
    /// Also read every artifact and compare its SHA-256; those in an export always are
    #[arg(long)]
    deep: bool,
    /// Folder for the copy that is opened, with as much room as the store takes [default: beside it]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

pub(super) fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let scratch = arguments.scratch.as_deref();
    let found = match &arguments.file {
        Some(file) => of_file(file, scratch)?,
        None => of_data_dir(&data_dir(global), arguments.deep, scratch)?,
    };
    match global.output {
        Format::Json => print_json(&found)?,
        Format::Table => print(&shown(&found))?,
    }
    match found.problems_total {
        0 => Ok(()),
        _ => Err(Failure::NotSucceeded),
    }
}

fn of_data_dir(data_dir: &Path, deep: bool, scratch: Option<&Path>) -> Result<Report, Failure> {
    let inspected = Inspected::open(data_dir, scratch).map_err(|error| of_open(&error))?;
    let bar = Bar::new("artifacts are read");
    let contents = Contents::look(data_dir, deep, &mut |bytes| bar.more(bytes))
        .map_err(|error| Failure::Failed(format!("failed to {}", chain(&error))))?;
    drop(bar);
    let mut found = check(inspected.store(), Some(&contents)).map_err(|error| of_store(&error))?;
    let spilled = data_dir.join("store/blobs").read_dir();
    if spilled.is_ok_and(|mut entries| entries.next().is_some()) {
        found.add("store", "blobs", "entries lie in files that are never synced");
    }
    Ok(found)
}

/// Of an export, the rows are put into a store of their own, which goes afterwards.
fn of_file(file: &Path, scratch: Option<&Path>) -> Result<Report, Failure> {
    if file.is_dir() {
        let shown = file.display();
        return Err(Failure::Input(format!(
            "{shown} is a directory; a data directory is named with --data-dir: tripline store check --data-dir {shown}"
        )));
    }
    let beside = file.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = scratch.or(beside).unwrap_or(Path::new("."));
    let scratch = tempfile::Builder::new()
        .prefix(".tripline-check-")
        .tempdir_in(folder)
        .map_err(|error| Failure::Input(format!("cannot make a folder in {}: {error}", folder.display())))?;
    let bar = Bar::new("the export is read");
    let unpacked = unpack(file, scratch.path(), &mut |at, of| bar.at(at, of));
    let (export, built) = unpacked.map_err(|error| of_export(&error))?;
    drop(bar);
    let mut found = check(built.store(), None).map_err(|error| of_store(&error))?;
    if export.totals.artifacts_missing > 0 {
        let missing = format!(
            "{} artifacts were not there when it was made",
            export.totals.artifacts_missing
        );
        found.add("artifacts", file.display().to_string(), missing);
    }
    let header = &export.header;
    let artifacts = match header.artifacts {
        true => format!("{} artifacts", export.totals.artifacts),
        false => "no artifacts".to_owned(),
    };
    report(&[format!(
        "made at {} by tripline {}, store format {}, {} rows, {artifacts}",
        header.made_at,
        header.made_by,
        header.store_format,
        export.totals.rows()
    )]);
    Ok(found)
}

fn shown(found: &Report) -> String {
    let rows = found.tables.iter().map(|count| {
        [
            count.table.clone(),
            count.rows.to_string(),
            count.problems.to_string(),
        ]
    });
    let mut text = table(["TABLE", "ROWS", "PROBLEMS"], rows);
    if let Some(artifacts) = &found.artifacts {
        let read = if artifacts.read { "read" } else { "not read" };
        text.push_str(&format!(
            "\n\n{} artifacts, {} bytes, contents {read}",
            artifacts.files, artifacts.bytes
        ));
    }
    if found.problems_total == 0 {
        text.push_str("\n\nnothing is wrong");
        return text;
    }
    let rows = found.problems.iter().map(|problem| {
        [
            problem.table.clone(),
            problem.key.clone(),
            problem.problem.clone(),
        ]
    });
    text.push_str(&format!("\n\n{} problems\n", found.problems_total));
    text.push_str(&table(["TABLE", "KEY", "PROBLEM"], rows));
    if found.problems_total > found.problems.len() as u64 {
        text.push_str(&format!("\nonly the first {} are shown", found.problems.len()));
    }
    text
}
