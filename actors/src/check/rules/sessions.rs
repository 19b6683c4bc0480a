//! Interactive sessions, their commands and files, and who has an artifact.

use super::{Look, id};
use crate::artifact::use_key;
use crate::record::{by_time_key, split_by_time_key};
use crate::session::{CommandRecord, FileRecord, SessionRecord, command_key, file_key};
use crate::store::{Error, Table, key};
use tripline_protocol::Sha256;

pub(super) fn session(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let Some(record) = look.decode::<SessionRecord>(value) else {
        return Ok(());
    };
    let id = record.session_id.as_bytes();
    if !look.expect(key == id, "it is another session than its key says") {
        return Ok(());
    }
    let number = key::u32(record.number).to_vec();
    look.implies(Table::SessionByNumber, number.clone(), id.to_vec())?;
    look.implies(
        Table::SessionByTime,
        by_time_key(record.opened_at, id),
        Vec::new(),
    )?;
    match record.closed_at {
        None => look.implies(Table::OpenSession, number, id.to_vec()),
        Some(closed_at) => look.implies(Table::EndedSession, by_time_key(closed_at, id), Vec::new()),
    }
}

/// The session that a row is about, if the row is right in what it says of it.
fn about(look: &mut Look<'_>, id: &[u8], right: impl Fn(&SessionRecord) -> bool) -> Result<(), Error> {
    if look.needs(Table::Session, id)? {
        let session: Option<SessionRecord> = look.other(Table::Session, id)?;
        let right = session.as_ref().is_none_or(right);
        look.expect(right, "its session says something else");
    }
    Ok(())
}

pub(super) fn by_number(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    about(look, value, |session| key::u32(session.number) == key)
}

pub(super) fn open_session(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    about(look, value, |session| {
        key::u32(session.number) == key && session.closed_at.is_none()
    })
}

pub(super) fn by_time(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    at_time(look, key, |session| {
        by_time_key(session.opened_at, session.session_id.as_bytes()) == key
    })
}

pub(super) fn ended_session(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    at_time(look, key, |session| {
        let closed_at = session.closed_at;
        closed_at.is_some_and(|at| by_time_key(at, session.session_id.as_bytes()) == key)
    })
}

fn at_time(look: &mut Look<'_>, key: &[u8], right: impl Fn(&SessionRecord) -> bool) -> Result<(), Error> {
    match split_by_time_key(key) {
        Some((_, id)) => about(look, &id, right),
        None => {
            look.wrong("its key is no time with an id");
            Ok(())
        }
    }
}

pub(super) fn command(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let Some(record) = look.decode::<CommandRecord>(value) else {
        return Ok(());
    };
    let own = command_key(record.session_id, record.number);
    if !look.expect(own == key, "it is another command than its key says")
        || !look.needs(Table::Session, record.session_id.as_bytes())?
    {
        return Ok(());
    }
    if !record.state.has_ended() {
        look.implies(Table::OpenCommand, own, Vec::new())?;
    }
    if let Some(artifact) = &record.artifact {
        look.content_length(&artifact.sha256, artifact.bytes);
        // One that became a file is the file's, which can lose it.
        if record.file.is_none() {
            let used = use_key(&artifact.sha256, &record.org, record.session_id.into());
            look.implies(Table::ArtifactUse, used.into(), Vec::new())?;
        }
    }
    Ok(())
}

pub(super) fn open_command(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    if look.needs(Table::SessionCommand, key)? {
        let command: Option<CommandRecord> = look.other(Table::SessionCommand, key)?;
        let open = command.is_none_or(|command| !command.state.has_ended());
        look.expect(open, "its command has ended");
    }
    Ok(())
}

pub(super) fn file(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let Some(record) = look.decode::<FileRecord>(value) else {
        return Ok(());
    };
    let view = &record.view;
    if !look.expect(
        key::u32(view.number) == key,
        "it is another file than its key says",
    ) || !look.needs(Table::Session, view.session_id.as_bytes())?
    {
        return Ok(());
    }
    look.implies(
        Table::FileBySession,
        file_key(view.session_id, view.number),
        Vec::new(),
    )?;
    if !record.is_deleted() {
        let used = use_key(&view.sha256, &record.org, (view.session_id, view.number).into());
        look.implies(Table::ArtifactUse, used.into(), Vec::new())?;
        look.content_length(&view.sha256, view.bytes);
    }
    Ok(())
}

pub(super) fn file_by_session(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    match key.get(16..) {
        Some(number) if number.len() == 4 => {
            if look.needs(Table::SessionFile, number)? {
                let file: Option<FileRecord> = look.other(Table::SessionFile, number)?;
                let right = file.is_none_or(|file| file_key(file.view.session_id, file.view.number) == key);
                look.expect(right, "its file is of another session");
            }
        }
        _ => look.wrong("its key is no session with a number"),
    }
    Ok(())
}

/// SHA-256, org, holder, and the number of a session's file if it is one.
pub(super) fn artifact_use(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    let parts = key.split_first_chunk::<32>().and_then(|(sha256, rest)| {
        let org_ends = rest.iter().position(|byte| *byte == 0)?;
        let holder = rest.get(org_ends + 1..)?;
        Some((sha256, id(holder)?, holder.get(16..)?))
    });
    let Some((sha256, holder, file)) = parts else {
        look.wrong("its key names no holder of a content");
        return Ok(());
    };
    let held = match file.len() {
        0 => look.value(Table::Job, &holder)?.is_some() || look.value(Table::Session, &holder)?.is_some(),
        4 => look.value(Table::SessionFile, file)?.is_some(),
        _ => false,
    };
    if look.expect(held, "what has the content is not there") {
        look.content(&Sha256::from_digest(sha256));
    }
    Ok(())
}
