//! `tripline fanout watch`: looking at a fan-out until it has ended.

use super::bar::Bar;
use super::{get, view};
use crate::cli::output::{Format, print, print_json_line};
use crate::cli::watch::{line, short};
use crate::cli::{Client, Failure, Global};
use std::time::Duration;
use tripline_protocol::fanout::{FanoutOutcome, FanoutState, FanoutView};
use tripline_protocol::job::Reason;
use tripline_protocol::{FanoutId, Timestamp};

/// Pause between two looks at a fan-out.
const WATCH_PAUSE: Duration = Duration::from_millis(500);

/// Looks at it until it has ended, and prints what changes. JSON: one line per change, the whole fan-out.
pub(super) async fn follow(global: &Global, client: &Client, fanout_id: FanoutId) -> Result<(), Failure> {
    let (mut watch, bar) = (Watch::default(), Bar::new());
    loop {
        let fanout = get(client, fanout_id).await?;
        bar.at(&fanout.counts);
        let told = watch.see(&fanout);
        let printed = bar.aside(|| match global.output {
            Format::Json if watch.has_changed(&fanout) => print_json_line(&fanout),
            Format::Table if told.is_some() => print(&told.unwrap_or_default()),
            _ => Ok(()),
        });
        // Without a reader nobody learns how it ends, so this is not a success.
        printed.map_err(|failure| match failure {
            Failure::OutputClosed => Failure::NotSucceeded,
            other => other,
        })?;
        match fanout.state.outcome() {
            Some(FanoutOutcome::Succeeded) => return Ok(()),
            Some(_) => return Err(Failure::NotSucceeded),
            // Between two looks: what changes in between is shown by the next.
            None => tokio::time::sleep(WATCH_PAUSE).await,
        }
    }
}

/// Remembers a fan-out as it was last seen.
#[derive(Debug, Default)]
struct Watch {
    told: Option<(FanoutState, Option<Reason>)>,
    shown: Option<FanoutView>,
}

impl Watch {
    /// A line when its state is another, or the reason for it; counts are the bar's.
    fn see(&mut self, fanout: &FanoutView) -> Option<String> {
        let now = (fanout.state, fanout.reason.clone());
        if self.told.as_ref() == Some(&now) {
            return None;
        }
        self.told = Some(now);
        Some(text(fanout))
    }

    /// Whether anything of it is as it was not shown before.
    fn has_changed(&mut self, fanout: &FanoutView) -> bool {
        let changed = self.shown.as_ref() != Some(fanout);
        if changed {
            self.shown = Some(fanout.clone());
        }
        changed
    }
}

fn text(fanout: &FanoutView) -> String {
    let is_new = matches!(fanout.state, FanoutState::Resolving | FanoutState::Running);
    let at = match fanout.state {
        FanoutState::Ended(_) => fanout.finished_at,
        _ if is_new => Some(fanout.created_at),
        // When it was paused is not said.
        _ => None::<Timestamp>,
    };
    let counts = view::counts(&fanout.counts);
    let detail = match &fanout.reason {
        Some(reason) => format!("{}: {counts}", reason.text),
        None => counts,
    };
    let what = format!("{} {} {}", short(fanout.fanout_id), fanout.state, fanout.name);
    line(at, &what, &detail)
}

#[cfg(test)]
mod tests {
    use super::super::view::tests::fanout;
    use super::*;
    use serde_json::json;

    #[test]
    fn each_state_and_each_reason_for_it_is_told_once() {
        let mut watch = Watch::default();
        let paused = |code: &str| fanout(json!({"state": "paused", "reason": {"code": code, "text": code}}));
        let told: Vec<String> = [
            fanout(json!({})),
            fanout(json!({})),
            paused("canary_failed"),
            paused("canary_failed"),
            paused("auto_paused"),
            fanout(json!({"state": "failed", "finished_at": "2026-11-20T14:03:00Z"})),
        ]
        .iter()
        .filter_map(|fanout| watch.see(fanout))
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
        let counts = "15 succeeded, 1 failed, 1 timed out, 1 interrupted, 20 under way, 8 waiting, 4 offline";
        assert_eq!(
            told,
            [
                format!("14:00:00 7a1d51c6 running look {counts}"),
                format!("7a1d51c6 paused look canary_failed: {counts}"),
                format!("7a1d51c6 paused look auto_paused: {counts}"),
                format!("14:03:00 7a1d51c6 failed look {counts}"),
            ]
        );
    }

    #[test]
    fn programs_see_every_change_of_the_counts() {
        let mut watch = Watch::default();
        let first = fanout(json!({}));
        assert!(watch.has_changed(&first) && !watch.has_changed(&first));
        let mut next = first.clone();
        next.counts.succeeded += 1;
        assert!(watch.see(&first).is_some() && watch.see(&next).is_none());
        assert!(watch.has_changed(&next));
    }
}
