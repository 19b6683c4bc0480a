//! Which hosts are to be isolated, or not, by jobs that have not ended: what a host reports is how it is, not what
//! was asked of it.

use super::JobScheduler;
use crate::door::Reply;
use crate::refusal::Refusal;
use crate::store::Table;
use actix::prelude::*;
use std::collections::HashMap;
use tripline_protocol::verb::Verb;
use tripline_protocol::{HostId, JobId, Org};
use uuid::Uuid;

/// Rows read at once.
const PAGE: usize = 1_000;

/// What open jobs ask of hosts; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetIsolationsAsked {
    pub(crate) org: Option<Org>,
    pub(crate) reply: Reply<HashMap<HostId, bool>>,
}

impl JobScheduler {
    /// Of several jobs of a host the last one counts: they run in that order.
    fn isolations_asked(&self, org: Option<&Org>) -> Result<HashMap<HostId, bool>, Refusal> {
        let mut asked = HashMap::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let rows = self
                .ground
                .store
                .scan(Table::OpenJob, &[], after.as_deref(), PAGE)?;
            let Some((last, _)) = rows.last() else {
                return Ok(asked);
            };
            after = Some(last.clone());
            for (_, id) in &rows {
                let id = Uuid::from_slice(id).map(JobId).ok();
                let record = id.map(|id| self.record_of(id)).transpose()?.flatten();
                let Some(record) = record.filter(|record| org.is_none_or(|org| *org == record.org)) else {
                    continue;
                };
                // What it does at its end it undoes.
                let own = record.steps.len().saturating_sub(record.finally as usize);
                let verbs = record
                    .steps
                    .iter()
                    .take(own)
                    .rev()
                    .filter_map(|step| step.verb.host());
                let wanted = verbs.clone().find_map(|verb| match verb {
                    Verb::Isolate => Some(true),
                    Verb::Unisolate => Some(false),
                    _ => None,
                });
                asked.extend(wanted.map(|wanted| (record.host.host_id, wanted)));
            }
        }
    }
}

impl Handler<GetIsolationsAsked> for JobScheduler {
    type Result = ();
    fn handle(&mut self, message: GetIsolationsAsked, _: &mut Self::Context) {
        let answer = self.isolations_asked(message.org.as_ref());
        self.ground.after_commit(move || message.reply.send(answer));
    }
}
