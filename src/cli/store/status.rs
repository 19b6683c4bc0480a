//! `tripline store status`.

use crate::cli::output::{Format, fields, or_dash, print, print_json};
use crate::cli::{Client, Failure, Global};
use tripline_protocol::api::StoreView;

pub(super) async fn run(global: &Global) -> Result<(), Failure> {
    let view: StoreView = Client::find(global)?.get(&["store"], &[]).await?;
    match global.output {
        Format::Json => print_json(&view),
        Format::Table => print(&shown(&view)),
    }
}

fn shown(view: &StoreView) -> String {
    let exports = &view.exports;
    let Some(dir) = &exports.dir else {
        return "exports  off (store.export_dir is not set)".to_owned();
    };
    let last = exports.last.as_ref();
    let failed = exports.failed.as_ref();
    fields([
        ("exports in", dir.clone()),
        ("every", or_dash(exports.every)),
        ("kept", exports.kept_max.to_string()),
        ("last", or_dash(last.map(|last| last.made_at))),
        ("file", or_dash(last.map(|last| last.file.as_str()))),
        ("bytes", or_dash(last.map(|last| last.bytes))),
        (
            "failed",
            or_dash(failed.map(|failed| format!("{}: {}", failed.at, failed.why))),
        ),
    ])
}
