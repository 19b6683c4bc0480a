//! Pipelines tried on events: their tests, before they are in force, and a single event by hand.
//!
//! It is the router's own decision ([`decide`]) over the same pipelines, with guards as they are before anything was
//! counted, one host in memory for each event, and a clock that the events set. There is no store, and no job comes of
//! it: jobs of a trial never end, and nobody pauses its pipeline.

mod difference;
mod hosts;
mod judge;
mod outcome;
#[cfg(test)]
mod tests;

pub use outcome::{Decided, Outcome, TriedJob};

use crate::fanout::NewFanout;
use crate::labels::{label, protected_text};
use crate::pipeline::{
    At, Closed, Expected, FileProblem, FileTest, Given, GivenEvent, HostFacts, LoadError, Match, Pipeline,
    RuleSet,
};
use crate::refusal::Refusal;
use crate::router::{Age, Decision, Guards, Why, Withheld, age_taken, decide};
use crate::store::Batch;
use hosts::OneHost;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use tripline_protocol::result::HostRef;
use tripline_protocol::{EventKey, Span};

/// How old events are taken by pipelines that do not say, as by a server that is not configured otherwise.
pub const AGE_TAKEN: Span = Span::from_secs(3600);

/// A pipeline and what its guards counted.
#[derive(Debug)]
pub struct Trial {
    pipeline: Arc<Pipeline>,
    guards: Guards,
    /// Events that are not decided again.
    handled: HashSet<EventKey>,
}

impl Trial {
    /// A pipeline to which nothing has happened yet.
    pub fn of(pipeline: &Arc<Pipeline>) -> Self {
        Self {
            pipeline: Arc::clone(pipeline),
            guards: Guards::default(),
            handled: HashSet::new(),
        }
    }

    /// What it makes of one more event.
    ///
    /// # Errors
    ///
    /// None that a trial can meet: the decision's own, of a store that cannot be read.
    pub fn give(&mut self, given: &GivenEvent) -> Result<Outcome, Refusal> {
        let outcome = self.decide(&given.0)?;
        Ok(self.explained(outcome, &given.0))
    }

    /// The same, with the part of its condition that does not hold.
    fn explained(&self, mut outcome: Outcome, given: &Given) -> Outcome {
        if let Decided::Unmet { unmet } = &mut outcome.decided {
            *unmet = self.pipeline.unmet(&given.event, facts(given)).map(Box::new);
        }
        outcome
    }

    fn decide(&mut self, given: &Given) -> Result<Outcome, Refusal> {
        let Given { event, now, host } = given;
        if !self.pipeline.listens_to(&event.etype) {
            return Ok(Outcome::no(Decided::NotListening));
        }
        if self.handled.contains(&event.key) {
            return Ok(Outcome::no(Decided::Repeated));
        }
        let protected = host.as_ref().and_then(|host| label(host.protected.as_deref()?));
        self.guards.protect(protected.into_iter().collect());
        let age = Age {
            age: now.since(event.time),
            age_max: age_taken(event, AGE_TAKEN),
        };
        let hosts = OneHost(host.as_ref());
        // The router asks its index, which leaves out the same.
        let candidates = std::iter::once(&self.pipeline).filter(|pipeline| !pipeline.is_ruled_out(event));
        let decision = decide(candidates, (event, 0), age, &hosts, &mut self.guards, *now)?;
        self.guards.stage(&mut Batch::new());
        if decision.is_final() {
            self.handled.insert(event.key);
        }
        Ok(self.outcome(decision, given, age))
    }

    fn outcome(&self, decision: Decision, given: &Given, Age { age, age_max }: Age) -> Outcome {
        let Decision {
            jobs,
            fanouts,
            dry_runs,
            dry_fanouts,
            dead,
            withheld,
            ..
        } = decision;
        let is_dry_run = !dry_runs.is_empty();
        if let Some(job) = jobs.into_iter().chain(dry_runs).next() {
            return Outcome::yes(Decided::Acts(Box::new(TriedJob::new(job, is_dry_run))));
        }
        let is_dry_run = !dry_fanouts.is_empty();
        if let Some(fanout) = fanouts.into_iter().chain(dry_fanouts).next() {
            return Outcome::yes(self.begun(fanout, given, is_dry_run));
        }
        // One that is too old for its only pipeline is a decision of that not to act, too.
        if let Some(dead) = dead {
            return Outcome {
                matches: self.wants(given),
                decided: dead.into(),
            };
        }
        if let Some(withheld) = withheld.into_iter().next() {
            return Outcome::yes(withheld.into());
        }
        Outcome::no(match self.pipeline.closed_to(&given.event, age, age_max) {
            Some(Closed::Disabled) => Decided::Disabled,
            Some(Closed::WrongOrg) => Decided::WrongOrg,
            Some(Closed::Stale { .. }) | None => Decided::Unmet { unmet: None },
        })
    }

    /// A fan-out begins: what its job is on the trial's host, which stands for all of its set.
    fn begun(&self, fanout: NewFanout, given: &Given, is_dry_run: bool) -> Decided {
        let protected = given.host.as_ref().and_then(|host| host.protected.as_deref());
        if let Some(label) = protected {
            return Withheld::new(self.pipeline.name(), Why::ProtectedHost, protected_text(label)).into();
        }
        let on = facts(given).map(|facts| {
            let host = HostRef {
                host_id: facts.host_id,
                hostname: facts.hostname.clone(),
            };
            self.pipeline
                .render(&given.event, facts)
                .map(|rendered| (host, rendered))
        });
        match on.transpose() {
            Ok(on) => Decided::Acts(Box::new(TriedJob::of_fanout(fanout, on, is_dry_run))),
            Err(error) => Decided::HostFailed {
                reason: error.code(),
                text: error.to_string(),
            },
        }
    }

    /// Whether its condition holds, of an event that becomes a dead letter.
    fn wants(&self, given: &Given) -> bool {
        self.pipeline.matches(&given.event, facts(given)) == Match::Yes
    }

    /// What is not as expected of an event; why is asked only then.
    fn faults(&mut self, given: &Given, expected: Option<&Expected>) -> Result<Vec<(At, String)>, Refusal> {
        let outcome = self.decide(given)?;
        let Some(expected) = expected else {
            return Ok(Vec::new());
        };
        match judge::faults(expected, &outcome).is_empty() {
            true => Ok(Vec::new()),
            false => Ok(judge::faults(expected, &self.explained(outcome, given))),
        }
    }
}

/// What conditions know of its host.
fn facts(given: &Given) -> Option<&HostFacts> {
    given.host.as_ref().map(|host| &host.facts)
}

/// Reads and checks the files of two folders, and holds the pipelines to their tests. Blocks: not for an actor's thread.
///
/// # Errors
///
/// All problems of all files; where there are none, the tests that do not hold. Nothing is to be put in force then.
pub fn load(pipelines: Option<&Path>, jobs: Option<&Path>) -> Result<RuleSet, LoadError> {
    let mut rules = RuleSet::load(pipelines, jobs)?;
    check(&mut rules)?;
    Ok(rules)
}

/// Holds the pipelines of a set to their tests.
///
/// # Errors
///
/// The tests that do not hold, each expectation with its place.
pub fn check(rules: &mut RuleSet) -> Result<(), LoadError> {
    let mut problems = Vec::new();
    for tested in rules.take_tests() {
        for test in &tested.tests {
            run(&tested.pipeline, test, &mut problems);
        }
    }
    match problems.is_empty() {
        true => Ok(()),
        false => Err(LoadError::new(problems)),
    }
}

fn run(pipeline: &Arc<Pipeline>, test: &FileTest, problems: &mut Vec<FileProblem>) {
    let mut trial = Trial::of(pipeline);
    for (index, given) in test.given.iter().enumerate() {
        let faults = trial.faults(given, test.expected_of(index));
        let faults = faults.unwrap_or_else(|refusal| vec![(pipeline.at(), refusal.to_string())]);
        let which = match test.given.len() {
            1 => test.label.clone(),
            _ => format!("{}, event {}", test.label, index + 1),
        };
        problems.extend(faults.into_iter().map(|(at, fault)| FileProblem {
            file: pipeline.file().to_owned(),
            line: at.line,
            column: at.column,
            message: format!("{which} of pipeline {} does not hold: {fault}", pipeline.name()),
        }));
    }
}
