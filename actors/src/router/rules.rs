//! The rules in force, and what they have done: put in force, shown, and what was counted for others let go of.

use super::EtypeRouter;
use crate::door::Reply;
use crate::pipeline::RuleSet;
use crate::scheduler::WatchPipelines;
use crate::store::Batch;
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::Timestamp;
use tripline_protocol::api::{PipelineView, PipelinesView};

/// The rules in force from now on; from the folder watch.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct SetRules(pub(crate) Rules);

/// Which rules are in force? From the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetRules {
    pub(crate) reply: Reply<PipelinesView>,
}

/// The rules in force; kept over generations of actors.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    pub(crate) set: Arc<RuleSet>,
    pub(crate) loaded_at: Timestamp,
    pub(crate) refused: Option<String>,
}

impl PartialEq for Rules {
    /// Whether they are the same ones, not whether they say the same.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.set, &other.set)
            && self.loaded_at == other.loaded_at
            && self.refused == other.refused
    }
}

impl EtypeRouter {
    /// Lets go of what was counted for pipelines that are not there any more.
    pub(super) fn keep_to_rules(&mut self) {
        let mut batch = Batch::new();
        let set = &self.rules.set;
        let acting = self.guards.keep(set, &mut batch);
        self.records.keep(|name| set.pipeline(name).is_some(), &mut batch);
        self.guards.stage(&mut batch);
        self.commit(batch);
        let told = acting.iter().map(|pipeline| self.telling(pipeline, None));
        let (told, fanouts_told): (Vec<_>, _) = (told.collect(), self.telling_fanouts());
        self.ground.after_commit(move || {
            told.into_iter().for_each(|tell| tell());
            fanouts_told();
        });
        self.scheduler
            .do_send(WatchPipelines(Arc::clone(&self.rules.set)));
    }
}

impl Handler<SetRules> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, SetRules(rules): SetRules, _: &mut Self::Context) {
        self.rules = rules;
        self.keep_to_rules();
    }
}

impl Handler<GetRules> for EtypeRouter {
    type Result = ();
    fn handle(&mut self, GetRules { reply }: GetRules, _: &mut Self::Context) {
        let view = PipelinesView {
            pipelines: self
                .rules
                .set
                .pipelines()
                .map(|pipeline| PipelineView {
                    pause: self.guards.pauses.get(pipeline.name()).cloned(),
                    in_flight: self.guards.in_flight(pipeline.name()),
                    withheld: self.records.counts(pipeline.name()),
                    ..pipeline.view()
                })
                .collect(),
            named_jobs: self
                .rules
                .set
                .named_jobs()
                .map(|job| job.name().clone())
                .collect(),
            loaded_at: self.rules.loaded_at,
            refused: self.rules.refused.clone(),
        };
        // A pause that it shows may be on the way to the disk.
        self.ground.after_commit(move || reply.send(Ok(view)));
    }
}
