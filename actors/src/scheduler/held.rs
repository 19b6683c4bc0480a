//! Jobs of paused pipelines: what waits does not begin until a person resumes the pipeline.
//!
//! The router decides about pauses and writes them; what it wrote is read at the start, before any job. A job that has
//! begun goes on to its end: a host is not left halfway, and what `finally` undoes is undone.

use super::JobScheduler;
use crate::clock::clock_text;
use crate::refusal::Refusal;
use crate::router::paused_pipelines;
use crate::store::Store;
use actix::prelude::*;
use std::collections::HashMap;
use tripline_protocol::Name;
use tripline_protocol::api::PipelinePause;

/// A pipeline is paused (`Some`), or is no more; from the router, once that is durable.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct PipelinePaused {
    pub(crate) pipeline: Name,
    pub(crate) pause: Option<PipelinePause>,
}

/// The pipelines that are paused.
#[derive(Debug, Default)]
pub(super) struct Held(HashMap<Name, PipelinePause>);

impl Held {
    pub(super) fn load(store: &Store) -> Result<Self, Refusal> {
        Ok(Self(paused_pipelines(store)?.into_iter().collect()))
    }

    pub(super) fn pipelines(&self) -> impl Iterator<Item = &Name> {
        self.0.keys()
    }

    /// For people, as the reason why a job of this pipeline waits.
    pub(super) fn text(&self, pipeline: Option<&Name>) -> String {
        let Some((name, pause)) = pipeline.and_then(|name| self.0.get_key_value(name)) else {
            return "its pipeline is paused".to_owned();
        };
        let since = clock_text(pause.since);
        let paused = match &pause.by {
            Some(by) => format!("{} paused pipeline {name}, since {since}", by.name),
            None => format!("pipeline {name} paused itself, since {since}"),
        };
        match &pause.reason {
            Some(reason) => format!("{paused}: {reason}"),
            None => paused,
        }
    }
}

impl Handler<PipelinePaused> for JobScheduler {
    type Result = ();
    fn handle(&mut self, PipelinePaused { pipeline, pause }: PipelinePaused, _: &mut Self::Context) {
        match pause {
            Some(pause) => {
                self.state.hold(&pipeline);
                self.held.0.insert(pipeline, pause);
            }
            None => {
                self.state.let_go(&pipeline);
                self.held.0.remove(&pipeline);
                self.dispatch();
            }
        }
    }
}
