//! Files that are uploaded to a session, and files that are deleted from one.

use super::messages::{AddFile, DeleteFile};
use crate::audit::{By, Entry};
use crate::ground::read;
use crate::refusal::Refusal;
use crate::scheduler::JobScheduler;
use crate::session::{FileRecord, check_act};
use crate::store::{Batch, Table, key};
use tripline_protocol::audit::Action;
use tripline_protocol::session::{FILE_NAME_BYTES_MAX, FILES_MAX, SessionFile};
use tripline_protocol::step::ArtifactRef;

impl JobScheduler {
    /// The file, and the batch with which it is there.
    pub(super) fn add_file(&mut self, message: &AddFile) -> Result<(Batch, SessionFile), Refusal> {
        let record = self.open_for(&message.caller, message.session_id)?;
        check_file(&message.file)?;
        self.ground.admit_writes()?;
        if record.files >= FILES_MAX {
            return Err(Refusal::Conflict {
                code: "too_many_files",
                detail: format!("a session takes at most {FILES_MAX} files; open another one"),
            });
        }
        if !self.ground.artifacts.exists(&message.file.sha256) {
            return Err(Refusal::Invalid {
                code: "artifact_not_found",
                detail: format!("there is no content {}", message.file.sha256),
            });
        }
        let mut batch = Batch::new();
        let ArtifactRef { sha256, bytes, name } = message.file.clone();
        let file = FileRecord {
            org: record.org,
            view: SessionFile {
                number: self.ground.sessions.next_file(&mut batch)?,
                session_id: record.session_id,
                name,
                sha256,
                bytes,
                command: None,
                added_at: self.ground.now(),
                deleted_at: None,
                deleted_by: None,
            },
        };
        file.put(&mut batch);
        let entry = self
            .ground
            .audit(Action::FileAdd, &By::from(&message.caller), Some(&file.org));
        batch.audit(on_file(entry, &file));
        if let Some(record) = self.sessions.records.get_mut(&message.session_id) {
            record.files += 1;
            record.put(&mut batch);
        }
        Ok((batch, file.view))
    }

    /// The file as it was, and the batch with which it is gone. That it was there stays in the session's record.
    pub(super) fn delete_file(&self, message: &DeleteFile) -> Result<(Batch, SessionFile), Refusal> {
        let missing = || Refusal::NotFound {
            what: "file",
            id: message.number.to_string(),
        };
        let (store, key) = (&self.ground.store, key::u32(message.number));
        let file: Option<FileRecord> = read(store, Table::SessionFile, &key, "file")?;
        let mut file = file.filter(|file| !file.is_deleted()).ok_or_else(missing)?;
        let seen = self.seen_by(&message.caller, file.view.session_id);
        let record = seen.map_err(|refusal| match refusal {
            Refusal::NotFound { .. } => missing(),
            refusal => refusal,
        })?;
        check_act(&message.caller, &record)?;
        let mut batch = Batch::new();
        let entry = self
            .ground
            .audit(Action::FileDelete, &By::from(&message.caller), Some(&file.org));
        batch.audit(on_file(entry, &file));
        file.put_deleted(&mut batch, self.ground.now(), message.caller.name.clone());
        tracing::info!(session = %record.session_id, file = message.number, by = %message.caller.name, "file deleted");
        Ok((batch, file.view))
    }
}

/// Which file, never what is in it.
fn on_file(entry: Entry, file: &FileRecord) -> Entry {
    let view = &file.view;
    entry
        .on("session", view.session_id)
        .on("file", view.number)
        .detail("name", &view.name)
        .detail("sha256", &view.sha256)
        .detail("bytes", view.bytes)
}

fn check_file(file: &ArtifactRef) -> Result<(), Refusal> {
    let name = &file.name;
    if name.is_empty() || name.len() > FILE_NAME_BYTES_MAX || name.contains(['/', '\0']) {
        return Err(Refusal::Invalid {
            code: "bad_file_name",
            detail: format!("a file's name has 1 to {FILE_NAME_BYTES_MAX} bytes, without / and NUL"),
        });
    }
    Ok(())
}
