//! What the scheduler tells whoever watches: how a job has become, and how many jobs a host that changed has open.

use super::JobScheduler;
use crate::ground::Ground;
use crate::limacharlie;
use crate::record::JobRecord;
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::api::{HostChange, JobChange, StepChange};

/// A host has changed, and somebody follows the hosts; from the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostTold(pub(crate) Box<HostChange>);

fn change(ground: &Ground, record: &JobRecord) -> JobChange {
    let begun = |report: &&tripline_protocol::step::StepReport| report.started_at.is_some();
    let step = record.reports.iter().rev().find(begun);
    let rest = record.rest.as_ref().map(|rest| &rest.reason);
    JobChange {
        job_id: record.job_id,
        org: record.org.clone(),
        name: record.name.clone(),
        state: record.state,
        host: record.host.clone(),
        reason: record.reason.clone().or_else(|| rest.cloned()),
        attempt: record.attempt,
        step: step.map(|step| StepChange {
            id: step.id.clone(),
            verb: step.verb,
            status: step.status,
        }),
        time: ground.now(),
    }
}

/// A closure that tells a job's state to whoever watches now, on NATS and over HTTP; to be run once it is durable.
pub(crate) fn notice(ground: &Arc<Ground>, record: &JobRecord) -> impl FnOnce() + Send + 'static + use<> {
    let ground = Arc::clone(ground);
    let subject = ground
        .config
        .subjects
        .job(&record.org, &record.name, record.state, record.host.host_id);
    let change = change(&ground, record);
    let tell = limacharlie::tell(&ground, record);
    move || {
        tell();
        ground.publisher.notify(subject, crate::record::encode(&change));
        ground.streams.jobs().tell(change);
    }
}

impl Handler<HostTold> for JobScheduler {
    type Result = ();
    fn handle(&mut self, HostTold(mut change): HostTold, _: &mut Self::Context) {
        change.host.jobs_open = self.state.host_open_len(change.host.host_id);
        let ground = Arc::clone(&self.ground);
        self.ground
            .after_commit(move || ground.streams.hosts().tell(*change));
    }
}
