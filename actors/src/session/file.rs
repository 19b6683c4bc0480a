//! What the store has of a session's files.
//!
//! A file that was deleted keeps its row, as a part of the session's record, and has its content no longer.

use super::command_key;
use crate::artifact::{Holder, forget_use, note_use};
use crate::record::encode;
use crate::store::{Batch, Table, key};
use serde::{Deserialize, Serialize};
use tripline_protocol::session::SessionFile;
use tripline_protocol::{Org, SessionId, Timestamp};

/// A file of a session.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FileRecord {
    pub(crate) org: Org,
    pub(crate) view: SessionFile,
}

impl FileRecord {
    /// Writes one that is new.
    pub(crate) fn put(&self, batch: &mut Batch) {
        let SessionFile {
            number, session_id, ..
        } = self.view;
        self.put_row(batch);
        batch.put(Table::FileBySession, file_key(session_id, number), b"");
        note_use(batch, &self.view.sha256, &self.org, self.holder());
    }

    fn put_row(&self, batch: &mut Batch) {
        let key = key::u32(self.view.number).to_vec();
        batch.put(Table::SessionFile, key, encode(self));
    }

    fn holder(&self) -> Holder {
        (self.view.session_id, self.view.number).into()
    }

    pub(crate) fn is_deleted(&self) -> bool {
        self.view.deleted_at.is_some()
    }

    /// Its content is let go.
    pub(crate) fn put_deleted(&mut self, batch: &mut Batch, now: Timestamp, by: String) {
        self.view.deleted_at = Some(now);
        self.view.deleted_by = Some(by);
        self.put_row(batch);
        forget_use(batch, &self.view.sha256, &self.org, self.holder());
    }

    pub(crate) fn bury(&self, batch: &mut Batch) {
        let SessionFile {
            number, session_id, ..
        } = self.view;
        batch.delete(Table::SessionFile, key::u32(number).to_vec());
        batch.delete(Table::FileBySession, file_key(session_id, number));
        forget_use(batch, &self.view.sha256, &self.org, self.holder());
    }
}

/// Session, number of the file.
pub(crate) fn file_key(session_id: SessionId, number: u32) -> Vec<u8> {
    command_key(session_id, number)
}
