//! Which jobs and sessions have which contents, and so who may read them. The org is part of the key: whether
//! an org may read a content is one look, however many jobs share it.

use crate::refusal::Refusal;
use crate::store::key::{self, Key};
use crate::store::{Batch, Error, Store, Table};
use tripline_protocol::{JobId, Org, SessionId, Sha256};

/// What has a content: a job, a session, or a file of a session, which can lose it before the session ends.
#[derive(Debug, Clone, Copy)]
pub struct Holder {
    id: [u8; 16],
    file: Option<u32>,
}

impl From<JobId> for Holder {
    fn from(job_id: JobId) -> Self {
        let id = *job_id.as_bytes();
        Self { id, file: None }
    }
}

impl From<SessionId> for Holder {
    fn from(session_id: SessionId) -> Self {
        let id = *session_id.as_bytes();
        Self { id, file: None }
    }
}

impl From<(SessionId, u32)> for Holder {
    fn from((session_id, number): (SessionId, u32)) -> Self {
        let (id, file) = (*session_id.as_bytes(), Some(number));
        Self { id, file }
    }
}

fn content_key(sha256: &Sha256) -> Key {
    Key::new().bytes(&key::sha256(sha256))
}

/// The key of the row that says so.
pub(crate) fn use_key(sha256: &Sha256, org: &Org, holder: Holder) -> Key {
    let key = content_key(sha256).text(org.as_str()).bytes(&holder.id);
    match holder.file {
        Some(number) => key.u32(number),
        None => key,
    }
}

/// Adds to the batch that a job or session of `org` has the content.
pub fn note_use(batch: &mut Batch, sha256: &Sha256, org: &Org, holder: impl Into<Holder>) {
    batch.put(Table::ArtifactUse, use_key(sha256, org, holder.into()), b"");
}

/// Adds to the batch that the job or session has it no longer.
pub fn forget_use(batch: &mut Batch, sha256: &Sha256, org: &Org, holder: impl Into<Holder>) {
    batch.delete(Table::ArtifactUse, use_key(sha256, org, holder.into()));
}

/// Whether a job or session of `org` (`None`: of any org) has the content.
pub fn may_read(store: &Store, sha256: &Sha256, org: Option<&Org>) -> Result<bool, Refusal> {
    let prefix = match org {
        Some(org) => content_key(sha256).text(org.as_str()),
        None => content_key(sha256),
    };
    Ok(!store
        .scan(Table::ArtifactUse, prefix.as_ref(), None, 1)?
        .is_empty())
}

/// Whether any job or session has the content.
pub fn is_used(store: &Store, sha256: &Sha256) -> Result<bool, Error> {
    Ok(!store
        .scan(Table::ArtifactUse, content_key(sha256).as_ref(), None, 1)?
        .is_empty())
}
