//! Protected hosts: jobs of pipelines and of fan-outs do not begin there, also when the host was protected after they were accepted.

use super::JobScheduler;
use crate::ground::read;
use crate::labels;
use crate::record::{HostRecord, JobRecord};
use crate::refusal::Refusal;
use crate::store::Table;
use tripline_protocol::job::Reason;

impl JobScheduler {
    /// Why a job must not begin: a pipeline or a fan-out made it, and its host is protected. One that has begun goes on.
    pub(super) fn protection(&self, record: &JobRecord) -> Option<Reason> {
        // What a person submits for one host is meant for that host; a set of hosts may have some that are not meant.
        let spares = record.fanout.as_ref().is_some_and(|part| !part.include_protected);
        if !(spares || record.pipeline.is_some()) || record.started_at.is_some() {
            return None;
        }
        match self.protected_by(record) {
            Ok(label) => Some(Reason::new("protected_host", labels::protected_text(&label?))),
            // The store cannot be read: the process is about to end with that reason.
            Err(error) => {
                tracing::error!(job = %record.job_id, %error, "whether a job's host is protected cannot be read");
                Some(Reason::new(
                    "protected_host",
                    "whether its host is protected cannot be read",
                ))
            }
        }
    }

    fn protected_by(&self, record: &JobRecord) -> Result<Option<String>, Refusal> {
        let protected = &self.ground.config.hosts_protected;
        if protected.is_empty() {
            return Ok(None);
        }
        let (store, id) = (&self.ground.store, record.host.host_id);
        let host: Option<HostRecord> = read(store, Table::Host, id.as_bytes(), "host")?;
        let Some(host) = host else { return Ok(None) };
        let labels = labels::all(store, &host)?;
        Ok(labels::protecting(&labels, protected).cloned())
    }
}
