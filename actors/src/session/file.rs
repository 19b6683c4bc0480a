//! What the store has of a session's files.

use super::command_key;
use crate::artifact::{forget_use, note_use};
use crate::record::encode;
use crate::store::{Batch, Table, key};
use serde::{Deserialize, Serialize};
use tripline_protocol::session::SessionFile;
use tripline_protocol::{Org, SessionId};

/// A file of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) org: Org,
    pub(crate) view: SessionFile,
}

impl FileRecord {
    pub(crate) fn put(&self, batch: &mut Batch) {
        let SessionFile {
            number,
            session_id,
            sha256,
            ..
        } = &self.view;
        batch.put(Table::SessionFile, key::u32(*number).to_vec(), encode(self));
        batch.put(Table::FileBySession, file_key(*session_id, *number), b"");
        note_use(batch, sha256, &self.org, *session_id);
    }

    pub(crate) fn bury(&self, batch: &mut Batch) {
        let SessionFile {
            number,
            session_id,
            sha256,
            ..
        } = &self.view;
        batch.delete(Table::SessionFile, key::u32(*number).to_vec());
        batch.delete(Table::FileBySession, file_key(*session_id, *number));
        forget_use(batch, sha256, &self.org, *session_id);
    }
}

/// Session, number of the file.
pub(crate) fn file_key(session_id: SessionId, number: u32) -> Vec<u8> {
    command_key(session_id, number)
}
