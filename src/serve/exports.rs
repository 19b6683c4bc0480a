//! Exports that the server makes by itself, in `store.export_dir`.
//!
//! Deliberately not here: how an export is made and kept (`tripline_actors::export`).

use crate::cli::chain;
use crate::config::Config;
use parking_lot::RwLock;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use tripline_actors::export::{Error, Exporter, Folder, Kept};
use tripline_protocol::api::{ExportFailure, ExportView, ExportsView};
use tripline_protocol::{Span, Timestamp};

/// After a failure it is tried again this soon, or at the next turn if that is sooner.
const AGAIN: Duration = Duration::from_secs(600);

/// What is known of the automatic exports; cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Exports(Arc<RwLock<ExportsView>>);

impl Exports {
    /// As it is now.
    pub fn view(&self) -> ExportsView {
        self.0.read().clone()
    }
}

/// Makes exports until it is dropped; one that is being made then is given up by the store's end.
pub(super) struct Exporting(Option<JoinHandle<()>>);

impl Drop for Exporting {
    fn drop(&mut self) {
        if let Some(task) = &self.0 {
            task.abort();
        }
    }
}

/// Begins to make exports, if a folder is configured. A folder that cannot be made is an error.
pub(super) fn start(config: &Config, exporter: Exporter) -> Result<(Exports, Exporting), Error> {
    let settings = &config.store;
    let exports = Exports::default();
    let Some(dir) = &settings.export_dir else {
        return Ok((exports, Exporting(None)));
    };
    let kept_max = usize::try_from(settings.exports_kept).unwrap_or(usize::MAX);
    let folder = Folder::open(dir, kept_max)?;
    let last = folder.list()?.pop();
    *exports.0.write() = ExportsView {
        dir: Some(dir.display().to_string()),
        every: Some(settings.export_every),
        kept_max: settings.exports_kept,
        last: last.as_ref().map(|kept| view(kept, None)),
        failed: None,
    };
    if let Some(last) = &last {
        show_time(last.made_at);
    }
    let turns = Turns {
        exports: exports.clone(),
        exporter,
        folder,
        every: settings.export_every,
        last: last.map(|last| last.made_at),
    };
    Ok((exports, Exporting(Some(tokio::spawn(turns.run())))))
}

struct Turns {
    exports: Exports,
    exporter: Exporter,
    folder: Folder,
    every: Span,
    last: Option<Timestamp>,
}

impl Turns {
    async fn run(mut self) {
        loop {
            tokio::time::sleep(self.until_due()).await;
            if let Err(why) = self.make().await {
                tracing::error!(why, "no export was made");
                metrics::counter!("tripline_store_exports_total", "outcome" => "failed").increment(1);
                let at = self.exporter.now();
                self.exports.0.write().failed = Some(ExportFailure { at, why });
                tokio::time::sleep(AGAIN.min(self.every.to_duration())).await;
            }
        }
    }

    /// A restart does not begin the span anew: what counts is the age of the last export.
    fn until_due(&self) -> Duration {
        let now = self.exporter.now();
        let due = self.last.map(|last| last.after(self.every));
        match due {
            Some(due) if due > now => due.since(now).to_duration(),
            _ => Duration::ZERO,
        }
    }

    async fn make(&mut self) -> Result<(), String> {
        let (folder, exporter) = (self.folder.clone(), self.exporter.clone());
        let made = tokio::task::spawn_blocking(move || folder.add(&exporter)).await;
        let made = made.map_err(|error| chain(&error))?;
        let (kept, made) = made.map_err(|error| format!("failed to {}", chain(&error)))?;
        let rows = made.totals.rows();
        tracing::info!(file = kept.name, bytes = kept.bytes, rows, "export made");
        metrics::counter!("tripline_store_exports_total", "outcome" => "succeeded").increment(1);
        metrics::gauge!("tripline_store_export_bytes").set(kept.bytes as f64);
        show_time(kept.made_at);
        self.last = Some(kept.made_at);
        let mut exports = self.exports.0.write();
        exports.last = Some(view(&kept, Some(rows)));
        exports.failed = None;
        Ok(())
    }
}

fn show_time(made_at: Timestamp) {
    metrics::gauge!("tripline_store_export_timestamp_seconds").set(made_at.as_micros() as f64 / 1e6);
}

fn view(kept: &Kept, rows: Option<u64>) -> ExportView {
    ExportView {
        file: kept.name.clone(),
        made_at: kept.made_at,
        bytes: kept.bytes,
        rows,
    }
}
