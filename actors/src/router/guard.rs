//! Guards: whether a pipeline that matches may act.
//!
//! Pure: takes `now`, and counts in memory what the batch of the decision makes durable ([`Guards::stage`]), or what is
//! taken back with it ([`Guards::roll_back`]).

use super::suppress::{Place, Rule, Verdict, Windows};
use super::withheld::{Why, Withheld};
use crate::ground::Ground;
use crate::pipeline::{HostFacts, Pipeline, RenderError, RuleSet, Suppress, SuppressScope};
use crate::refusal::Refusal;
use crate::store::Batch;
use tripline_protocol::{Event, HostId, Org, Timestamp};
use uuid::Uuid;

/// Windows that are over and let go of at once.
const SWEEP_MAX: usize = 2_000;

/// A pipeline that matches wants to act.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wish<'a> {
    pub(super) pipeline: &'a Pipeline,
    pub(super) event: &'a Event,
    /// 0, and one more for each replay by a person.
    pub(super) run: u32,
    pub(super) facts: &'a HostFacts,
    pub(super) now: Timestamp,
}

/// Why it may not.
#[derive(Debug)]
pub(super) enum No {
    /// A guard is in the way.
    Withheld(Withheld),
    /// What a guard needs cannot be rendered.
    Unrenderable(RenderError),
}

/// It may; what is to be counted if it does.
#[derive(Debug)]
pub(super) struct Permit {
    window: Option<(Place, Rule)>,
}

/// What guards counted.
#[derive(Debug, Default)]
pub(super) struct Guards {
    windows: Windows,
    /// A match was counted since somebody asked.
    counted: bool,
}

impl Guards {
    /// As the store has it. What was counted for pipelines that are not there any more is let go of.
    pub(super) fn load(ground: &Ground, rules: &RuleSet) -> Result<Self, Refusal> {
        let mut guards = Self {
            windows: Windows::load(&ground.store, ground.now())?,
            counted: false,
        };
        guards.keep(rules);
        Ok(guards)
    }

    /// Lets go of what was counted for pipelines that are not there any more, or count something else now.
    pub(super) fn keep(&mut self, rules: &RuleSet) {
        let identity = |place: &Place| Some(rules.pipeline(&place.pipeline)?.suppress()?.identity());
        self.windows
            .retain(|place| identity(place) == Some(place.identity));
    }

    /// Whether it may act now. Counts that it matched.
    pub(super) fn ask(&mut self, wish: &Wish<'_>) -> Result<Permit, No> {
        // Who replays an event wants it handled, whatever came before; and it is no sign of anything new.
        let suppress = wish.pipeline.suppress().filter(|_| wish.run == 0);
        let window = match suppress {
            Some(suppress) => Some(self.match_in_window(wish, suppress)?),
            None => None,
        };
        Ok(Permit { window })
    }

    /// It acts.
    pub(super) fn acted(&mut self, wish: &Wish<'_>, permit: Permit) {
        if let Some((place, rule)) = permit.window {
            self.windows.acted(&place, rule, wish.now);
        }
    }

    fn match_in_window(&mut self, wish: &Wish<'_>, suppress: &Suppress) -> Result<(Place, Rule), No> {
        let key = wish.pipeline.suppress_key(wish.event, wish.facts);
        let key = key.map_err(No::Unrenderable)?;
        let host = (suppress.scope() == SuppressScope::Host).then_some(wish.facts.host_id);
        let place = Place {
            pipeline: wish.pipeline.name().clone(),
            identity: suppress.identity(),
            id: window_id(&wish.event.org, host, &key),
        };
        let rule = Rule {
            min: suppress.min(),
            max: suppress.max(),
            per: suppress.per(),
        };
        let verdict = self.windows.matched(&place, rule, wish.now);
        self.counted |= rule.min > 1 && verdict != Verdict::Full;
        match refused(verdict, rule) {
            None => Ok((place, rule)),
            Some((why, text)) => Err(No::Withheld(Withheld {
                pipeline: place.pipeline,
                why,
                text,
            })),
        }
    }

    /// Whether a match was counted since this was asked last.
    pub(super) fn take_counted(&mut self) -> bool {
        std::mem::take(&mut self.counted)
    }

    /// Adds what the decisions under way counted to their batch.
    pub(super) fn stage(&mut self, batch: &mut Batch) {
        self.windows.stage(batch);
    }

    /// The decisions under way are refused: nothing was counted.
    pub(super) fn roll_back(&mut self) {
        self.windows.roll_back();
        self.counted = false;
    }

    /// Lets go of what can decide nothing any more.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.windows.sweep(now, SWEEP_MAX);
        metrics::gauge!("tripline_router_windows").set(self.windows.len() as f64);
    }
}

/// Windows are an org's own: what happens in one does not keep a pipeline from acting in another.
fn window_id(org: &Org, host: Option<HostId>, key: &str) -> Uuid {
    let host = host.map_or(Uuid::nil(), |host| host.0);
    let counted = format!("{org}/{host}/{key}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, counted.as_bytes())
}

fn refused(verdict: Verdict, rule: Rule) -> Option<(Why, String)> {
    let Rule { min, max, per } = rule;
    Some(match verdict {
        Verdict::Act => return None,
        Verdict::Suppressed => (
            Why::Suppressed,
            format!("it acted {max} times within the last {per}, as often as suppress.max allows"),
        ),
        Verdict::BelowThreshold(matches) => (
            Why::BelowThreshold,
            format!("it matched {matches} times within the last {per}, suppress.min wants {min}"),
        ),
        Verdict::Full => (
            Why::SuppressFull,
            "so many keys are counted for suppress that one more cannot be".to_owned(),
        ),
    })
}
