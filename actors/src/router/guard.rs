//! Guards: whether a pipeline that matches may act.
//!
//! Pure: takes `now`, and counts in memory what the batch of the decision makes durable ([`Guards::stage`]), or what is
//! taken back with it ([`Guards::roll_back`]).

use super::pause::Pauses;
use super::suppress::{Place, Rule, Verdict, Windows};
use super::touched::Touched;
use super::withheld::{Why, Withheld};
use crate::ground::Ground;
use crate::labels;
use crate::pipeline::{HostFacts, MaxHosts, Pipeline, RenderError, RuleSet, Suppress, SuppressScope};
use crate::refusal::Refusal;
use crate::store::Batch;
use std::collections::HashMap;
use tripline_protocol::{Event, HostId, Label, Name, Org, Timestamp};
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

impl Wish<'_> {
    fn no(&self, why: Why, text: impl Into<String>) -> No {
        No::Withheld(Withheld::new(self.pipeline.name(), why, text))
    }
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
pub(crate) struct Guards {
    pub(super) pauses: Pauses,
    windows: Windows,
    touched: Touched,
    /// Jobs of pipelines that have not ended.
    in_flight: HashMap<Name, u32>,
    /// Pipelines of jobs that the decisions under way make.
    begun: Vec<Name>,
    /// Labels of hosts that pipelines do not touch.
    protected: Vec<Label>,
    /// A match was counted since somebody asked.
    counted: bool,
}

impl Guards {
    /// As the store has it, with so many open jobs of pipelines.
    pub(super) fn load(ground: &Ground, in_flight: HashMap<Name, u32>) -> Result<Self, Refusal> {
        let (store, now) = (&ground.store, ground.now());
        Ok(Self {
            pauses: Pauses::load(store)?,
            windows: Windows::load(store, now)?,
            touched: Touched::load(store, now)?,
            in_flight,
            begun: Vec::new(),
            protected: ground.config.hosts_protected.clone(),
            counted: false,
        })
    }

    /// Keeps pipelines away from hosts with these labels, and no others.
    pub(crate) fn protect(&mut self, labels: Vec<Label>) {
        self.protected = labels;
    }

    /// Goes by these rules. What was counted for a pipeline that counts something else now is let go of. That of one that is
    /// not there runs out by itself: files are moved, and a guard must not begin anew with the one that comes back.
    pub(super) fn keep(&mut self, rules: &RuleSet, batch: &mut Batch) {
        let identity = |pipeline: &Pipeline| Some(pipeline.suppress()?.identity());
        self.windows.retain(|place| {
            let pipeline = rules.pipeline(&place.pipeline);
            pipeline.is_none_or(|pipeline| identity(pipeline) == Some(place.identity))
        });
        let guard = |name: &Name| Some(rules.pipeline(name)?.guards().max_hosts);
        self.touched.keep(guard);
        self.pauses.keep(rules, batch);
    }

    /// Whether it may act now. Counts that it matched.
    pub(super) fn ask(&mut self, wish: &Wish<'_>) -> Result<Permit, No> {
        if let Some(label) = labels::protecting(&wish.facts.labels, &self.protected) {
            return Err(wish.no(Why::ProtectedHost, labels::protected_text(label)));
        }
        // Who replays an event wants it handled, whatever came before; and it is no sign of anything new.
        let suppress = wish.pipeline.suppress().filter(|_| wish.run == 0);
        let window = match suppress {
            Some(suppress) => Some(self.match_in_window(wish, suppress)?),
            None => None,
        };
        self.ask_in_flight(wish)?;
        self.ask_hosts(wish)?;
        Ok(Permit { window })
    }

    fn ask_in_flight(&self, wish: &Wish<'_>) -> Result<(), No> {
        let open = self.in_flight(wish.pipeline.name());
        match wish.pipeline.guards().max_in_flight {
            Some(most) if open >= most => {
                let text = format!("{open} of its jobs have not ended, max_in_flight allows {most}");
                Err(wish.no(Why::MaxInFlight, text))
            }
            _ => Ok(()),
        }
    }

    fn ask_hosts(&mut self, wish: &Wish<'_>) -> Result<(), No> {
        let (name, host) = (wish.pipeline.name(), wish.facts.host_id);
        match wish.pipeline.guards().max_hosts {
            Some(guard) if !self.touched.admits(name, guard, host, wish.now) => {
                let MaxHosts { count, per } = guard;
                let text = match self.touched.is_full() {
                    true => {
                        "so many hosts are counted for max_hosts of all pipelines that one more cannot be"
                            .to_owned()
                    }
                    false => format!(
                        "within the last {per} it acted on {count} other hosts, as many as max_hosts allows"
                    ),
                };
                Err(wish.no(Why::MaxHosts, text))
            }
            _ => Ok(()),
        }
    }

    /// How many jobs of a pipeline have not ended.
    pub(super) fn in_flight(&self, pipeline: &Name) -> u32 {
        self.in_flight.get(pipeline).copied().unwrap_or(0)
    }

    /// A job of it has ended, or was there already.
    pub(super) fn landed(&mut self, pipeline: &Name) {
        if let Some(open) = self.in_flight.get_mut(pipeline) {
            *open = open.saturating_sub(1);
            if *open == 0 {
                self.in_flight.remove(pipeline);
            }
        }
    }

    /// It acts. A dry run makes no job that could be open, and is counted like the others in all else.
    pub(super) fn acted(&mut self, wish: &Wish<'_>, permit: Permit) {
        let name = wish.pipeline.name();
        if !wish.pipeline.is_dry_run() {
            *self.in_flight.entry(name.clone()).or_default() += 1;
            self.begun.push(name.clone());
        }
        if let Some(guard) = wish.pipeline.guards().max_hosts {
            self.touched.touch(name, guard, wish.facts.host_id, wish.now);
        }
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
                key: Some(key),
                ..Withheld::new(&place.pipeline, why, text)
            })),
        }
    }

    /// Whether a match was counted since this was asked last.
    pub(super) fn take_counted(&mut self) -> bool {
        std::mem::take(&mut self.counted)
    }

    /// Adds what the decisions under way counted to their batch.
    pub(crate) fn stage(&mut self, batch: &mut Batch) {
        self.windows.stage(batch);
        self.touched.stage(batch);
        self.begun.clear();
    }

    /// The decisions under way are refused: nothing was counted.
    pub(super) fn roll_back(&mut self) {
        self.windows.roll_back();
        self.touched.roll_back();
        for pipeline in std::mem::take(&mut self.begun) {
            self.landed(&pipeline);
        }
        self.counted = false;
    }

    /// Lets go of what can decide nothing any more.
    pub(super) fn sweep(&mut self, now: Timestamp) {
        self.windows.sweep(now, SWEEP_MAX);
        self.touched.sweep(now);
        metrics::gauge!("tripline_router_pipelines_paused").set(self.pauses.len() as f64);
        metrics::gauge!("tripline_router_windows").set(self.windows.len() as f64);
    }
}

/// Windows are an org's own: what happens in one does not keep a pipeline from acting in another.
fn window_id(org: &Org, host: Option<HostId>, key: &str) -> Uuid {
    let host = host.map_or(Uuid::nil(), |host| host.0);
    let counted = format!("{org}/{host}/{key}");
    Uuid::new_v5(&Uuid::NAMESPACE_OID, counted.as_bytes())
}

/// How often, in words.
fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        count => format!("{count} times"),
    }
}

fn refused(verdict: Verdict, rule: Rule) -> Option<(Why, String)> {
    let Rule { min, max, per } = rule;
    Some(match verdict {
        Verdict::Act => return None,
        Verdict::Suppressed => (
            Why::Suppressed,
            format!(
                "it acted {} within the last {per}, as often as suppress.max allows",
                times(max)
            ),
        ),
        Verdict::BelowThreshold(matches) => (
            Why::BelowThreshold,
            format!(
                "it matched {} within the last {per}, suppress.min wants {min}",
                times(matches)
            ),
        ),
        Verdict::Full => (
            Why::SuppressFull,
            "so many keys are counted for suppress that one more cannot be".to_owned(),
        ),
    })
}
