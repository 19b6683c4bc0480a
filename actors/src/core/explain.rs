//! Why an event did what it did.

use super::{Core, Delivery};
use crate::ingest::Incoming;
use crate::record::JobRecord;
use crate::refusal::Refusal;
use crate::router::{Explained, FoundEvent, Located, LookedUp, Question, explain, explained, locate};
use std::sync::Arc;
use tripline_protocol::Org;
use tripline_protocol::api::{ExplainedJob, Explanation, JobView};
use uuid::Uuid;

impl Core {
    /// What an id stands for, a job or an event, and where in its stream that event is.
    pub async fn locate(&self, org: Option<Org>, asked: Uuid) -> Result<Located, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        let located = locate(&self.ground, org.as_ref(), asked);
        self.ground.after_commit(move || reply.send(located));
        answer.wait().await
    }

    /// The event that a message of the stream of events is, if it is one.
    pub fn understand(&self, delivery: Delivery) -> Option<FoundEvent> {
        let (sequence, stored_at) = (delivery.sequence, delivery.stored_at);
        let incoming = Incoming::read(&self.ground.config.subjects, &self.ground.attester, delivery);
        Some(FoundEvent {
            event: incoming.event.ok()?,
            sequence,
            stored_at,
        })
    }

    /// What every pipeline made of an event, and what it led to. Conditions are evaluated, of thousands of pipelines if
    /// need be: on a thread where that holds up nobody.
    pub async fn explain(
        &self,
        org: Option<Org>,
        located: Located,
        looked_up: LookedUp,
    ) -> Result<Explanation, Refusal> {
        let position = self.ingest_position().await?;
        let (reply, answer) = self.doors.query.enter()?;
        let (ground, rules) = (Arc::clone(&self.ground), self.generations.rules());
        let visible = org.clone();
        // Who waits is told by the reply, also when it is dropped.
        drop(tokio::task::spawn_blocking(move || {
            let answer = explain(Question {
                ground: &ground,
                rules: &rules,
                org: visible.as_ref(),
                located,
                looked_up,
                handled_to: position.map(|position| position.last_sequence),
            });
            ground.after_commit(move || reply.send(answer));
        }));
        let Explained {
            mut explanation,
            jobs,
            fanouts,
        } = answer.wait().await?;
        for fanout in fanouts {
            match self.get_fanout(org.clone(), fanout).await {
                Ok(view) => explanation.fanouts.push(view),
                // It was forgotten meanwhile.
                Err(Refusal::NotFound { .. }) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        for record in jobs {
            explanation.jobs.extend(self.explain_job(&org, record).await?);
        }
        Ok(explanation)
    }

    async fn explain_job(
        &self,
        org: &Option<Org>,
        record: JobRecord,
    ) -> Result<Option<ExplainedJob>, Refusal> {
        let view: JobView = match record.state.outcome() {
            Some(_) => record.to_view(None),
            None => match self.get_job(org.clone(), record.job_id).await {
                Ok(view) => view,
                // It ended, and was forgotten meanwhile.
                Err(Refusal::NotFound { .. }) => return Ok(None),
                Err(refusal) => return Err(refusal),
            },
        };
        explained(&self.ground, &record, view).map(Some)
    }
}
