//! Which jobs have which contents, and so who may read them. The org is part of the key: whether an org may
//! read a content is one look, however many jobs share it.

use crate::refusal::Refusal;
use crate::store::key::{self, Key};
use crate::store::{Batch, Error, Store, Table};
use tripline_protocol::{JobId, Org, Sha256};

fn content_key(sha256: &Sha256) -> Key {
    Key::new().bytes(&key::sha256(sha256))
}

fn use_key(sha256: &Sha256, org: &Org, job_id: JobId) -> Key {
    content_key(sha256).text(org.as_str()).bytes(job_id.as_bytes())
}

/// Adds to the batch that a job of `org` has the content.
pub fn note_use(batch: &mut Batch, sha256: &Sha256, org: &Org, job_id: JobId) {
    batch.put(Table::ArtifactUse, use_key(sha256, org, job_id), b"");
}

/// Adds to the batch that the job has it no longer.
pub fn forget_use(batch: &mut Batch, sha256: &Sha256, org: &Org, job_id: JobId) {
    batch.delete(Table::ArtifactUse, use_key(sha256, org, job_id));
}

/// Whether a job of `org` (`None`: of any org) has the content.
pub fn may_read(store: &Store, sha256: &Sha256, org: Option<&Org>) -> Result<bool, Refusal> {
    let prefix = match org {
        Some(org) => content_key(sha256).text(org.as_str()),
        None => content_key(sha256),
    };
    Ok(!store
        .scan(Table::ArtifactUse, prefix.as_ref(), None, 1)?
        .is_empty())
}

/// Whether any job has the content.
pub fn is_used(store: &Store, sha256: &Sha256) -> Result<bool, Error> {
    Ok(!store
        .scan(Table::ArtifactUse, content_key(sha256).as_ref(), None, 1)?
        .is_empty())
}
