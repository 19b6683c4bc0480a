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

use crate::labels::label;
use crate::pipeline::{
    Closed, FileProblem, FileTest, Given, GivenEvent, LoadError, Match, Pipeline, RuleSet,
};
use crate::refusal::Refusal;
use crate::router::{Age, Decision, Guards, decide};
use crate::store::Batch;
use hosts::OneHost;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
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
        self.decide(&given.0)
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
            age_max: AGE_TAKEN,
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
            dry_runs,
            dead,
            withheld,
            errors,
            ..
        } = decision;
        let is_dry_run = !dry_runs.is_empty();
        if let Some(job) = jobs.into_iter().chain(dry_runs).next() {
            return Outcome::yes(Decided::Acts(Box::new(TriedJob::new(job, is_dry_run))));
        }
        // One that finds the event too old does not act, and the event becomes a dead letter for that.
        if let Some(withheld) = withheld.into_iter().next().filter(|_| dead.is_none()) {
            return Outcome::yes(withheld.into());
        }
        let event = &given.event;
        let closed = self.pipeline.closed_to(event, age, age_max);
        match (dead, closed) {
            (Some(dead), closed) => Outcome {
                matches: closed.is_none() && self.wants(given),
                decided: dead.into(),
            },
            (None, Some(Closed::Disabled)) => Outcome::no(Decided::Disabled),
            (None, Some(Closed::WrongOrg)) => Outcome::no(Decided::WrongOrg),
            (None, _) => Outcome::no(Decided::unmet(errors)),
        }
    }

    /// Whether its condition holds, of an event that becomes a dead letter.
    fn wants(&self, given: &Given) -> bool {
        let facts = given.host.as_ref().map(|host| &host.facts);
        self.pipeline.matches(&given.event, facts) == Match::Yes
    }
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
        let expected = test.expected.iter().find(|(of, _)| *of == index);
        let outcome = trial.decide(given);
        let Some((_, expected)) = expected else { continue };
        let faults = match outcome {
            Ok(outcome) => judge::faults(expected, &outcome),
            Err(refusal) => vec![(pipeline.at(), refusal.to_string())],
        };
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
