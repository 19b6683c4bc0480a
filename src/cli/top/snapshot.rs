//! One look as text, for scripts and where there is no terminal.

use super::screen::{lines, pause, slot_cells};
use crate::cli::output::{fields, table};
use tripline_protocol::api::StatusView;

pub(super) fn text(view: &StatusView) -> String {
    let paused = pause(view).map(|pause| ("paused", pause));
    let head = fields(lines(view).into_iter().chain(paused));
    let slots = view.slots.slots.iter().map(|slot| slot_cells(view, slot));
    format!(
        "{head}\n\n{}",
        table(["SLOT", "HELD BY", "HOST", "FOR", "AT"], slots)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::top::screen::tests::status;

    #[test]
    fn a_snapshot_has_everything_that_the_live_view_has() {
        let text = text(&status(0, 0));
        for part in [
            "PAUSED",
            "38 of 40 attached, 1 silent",
            "2 in quarantine",
            "9 open, 1 run",
            "free",
            "step 2",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
