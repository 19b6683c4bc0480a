//! `tripline store export`: from a running server, or from a data directory that none uses.

use super::progress::Bar;
use super::{data_dir, of_export, of_open};
use crate::cli::output::{Format, fields, print, print_json};
use crate::cli::{Client, Failure, Global, chain, report};
use clap::Args;
use serde::Serialize;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tripline_actors::artifact::ArtifactStore;
use tripline_actors::clock::SystemClock;
use tripline_actors::export::{Exporter, Imported, verify};
use tripline_actors::store::{Inspected, OpenError};
use tripline_protocol::Timestamp;

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The file to write; it must not be there yet
    file: PathBuf,
    /// Also the files that jobs and sessions fetched
    #[arg(long)]
    with_artifacts: bool,
    /// Folder for the copy that is opened when no server runs [default: the data directory]
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
}

/// What was written.
#[derive(Serialize)]
struct Written {
    file: PathBuf,
    made_at: Timestamp,
    store_format: u32,
    bytes: u64,
    rows: u64,
    artifacts: u64,
    artifact_bytes: u64,
}

pub(super) async fn run(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let path = &arguments.file;
    if path.symlink_metadata().is_ok() {
        return Err(Failure::Input(format!(
            "{} is there already; name another file, or remove it",
            path.display()
        )));
    }
    let partial = PathBuf::from(format!("{}.partial", path.display()));
    let made = match write(global, arguments, &partial).await {
        Ok(()) => put_in_place(&partial, path),
        Err(failure) => Err(failure),
    };
    if made.is_err() && partial.exists() {
        // What there is of it is no export; why it failed is what counts.
        let _ = std::fs::remove_file(&partial);
    }
    let export = made?;
    let written = Written {
        file: path.clone(),
        made_at: export.header.made_at,
        store_format: export.header.store_format,
        bytes: path.metadata().map_or(0, |found| found.len()),
        rows: export.totals.rows(),
        artifacts: export.totals.artifacts,
        artifact_bytes: export.totals.artifact_bytes,
    };
    match global.output {
        Format::Json => print_json(&written),
        Format::Table => print(&shown(&written)),
    }
}

/// A directory here that no server uses is exported as it lies; else the server is asked.
async fn write(global: &Global, arguments: &Arguments, partial: &Path) -> Result<(), Failure> {
    let data_dir = data_dir(global);
    if global.server.is_none() && data_dir.join("store").exists() {
        match Inspected::open(&data_dir, arguments.scratch.as_deref()) {
            Ok(inspected) => return offline(&inspected, &data_dir, arguments.with_artifacts, partial),
            Err(OpenError::Held { .. }) => {}
            Err(error) => return Err(of_open(&error)),
        }
    }
    download(global, arguments.with_artifacts, partial).await
}

fn offline(
    inspected: &Inspected,
    data_dir: &Path,
    with_artifacts: bool,
    partial: &Path,
) -> Result<(), Failure> {
    report(&["no server runs: the store is exported as it lies".to_owned()]);
    let artifacts = ArtifactStore::open(data_dir, u64::MAX)
        .map_err(|error| Failure::Failed(format!("failed to {}", chain(&error))))?;
    let clock = Arc::new(SystemClock::default());
    let store = inspected.store().clone();
    let exporter = Exporter::new(store, Arc::new(artifacts), clock, data_dir, 0);
    let written = exporter.write_file(partial, with_artifacts);
    written.map(drop).map_err(|error| of_export(&error))
}

async fn download(global: &Global, with_artifacts: bool, partial: &Path) -> Result<(), Failure> {
    let client = Client::find(global)?;
    let waiting = Bar::new("the server writes the export");
    let query = [("artifacts", with_artifacts.to_string())];
    let mut response = client.download(&["store", "export"], &query).await?;
    drop(waiting);
    let broken =
        |error: &dyn std::error::Error| Failure::Failed(format!("the export broke off: {}", chain(error)));
    let unwritable =
        |error: std::io::Error| Failure::Failed(format!("cannot write {}: {error}", partial.display()));
    let mut file = create(partial)
        .map_err(|error| Failure::Input(format!("cannot write {}: {error}", partial.display())))?;
    let length = response.content_length().unwrap_or(0);
    let bar = Bar::new("the export is fetched");
    let mut at = 0;
    while let Some(piece) = response.chunk().await.map_err(|error| broken(&error))? {
        file.write_all(&piece).map_err(unwritable)?;
        at += piece.len() as u64;
        bar.at(at, length);
    }
    file.sync_all().map_err(unwritable)
}

fn create(path: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// It gets its name when it was read back and is whole.
fn put_in_place(partial: &Path, path: &Path) -> Result<Imported, Failure> {
    let bar = Bar::new("the export is verified");
    let export = verify(partial, &mut |at, of| bar.at(at, of)).map_err(|error| of_export(&error))?;
    let named = std::fs::rename(partial, path).and_then(|()| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    });
    named.map_err(|error| Failure::Failed(format!("cannot name {}: {error}", path.display())))?;
    Ok(export)
}

fn shown(written: &Written) -> String {
    fields([
        ("file", written.file.display().to_string()),
        ("made at", written.made_at.to_string()),
        ("store format", written.store_format.to_string()),
        ("bytes", written.bytes.to_string()),
        ("rows", written.rows.to_string()),
        ("artifacts", written.artifacts.to_string()),
    ])
}
