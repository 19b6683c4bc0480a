//! Bodies about the server's store.

use crate::golden::Golden;
use crate::samples::{at, p};
use tripline_protocol::api::*;

#[test]
fn exports_of_the_store_are_as_the_golden_file_has_them() {
    let mut golden = Golden::open("store.json");
    let off = ExportsView {
        kept_max: 7,
        ..ExportsView::default()
    };
    let on = |file: &str, rows, failed| ExportsView {
        dir: Some("/var/backups/tripline".into()),
        every: Some(p("24h")),
        last: Some(ExportView {
            file: file.into(),
            made_at: at("13:00:00"),
            bytes: 81_920,
            rows,
        }),
        failed,
        ..off.clone()
    };
    let exports = on("tripline-2026-11-20.export", Some(412), None);
    golden.both_ways("store", &StoreView { exports });
    let failure = ExportFailure {
        at: at("14:00:00"),
        why: "No space left on device".into(),
    };
    let exports = on("tripline-2026-11-19.export", None, Some(failure));
    golden.both_ways("store, failed", &StoreView { exports });
    golden.both_ways("store, off", &StoreView { exports: off });
}
