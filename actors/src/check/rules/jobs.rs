//! Jobs, what is left of pruned ones, and handled events.

use super::{Look, id};
use crate::artifact::use_key;
use crate::outbox::PublishedResult;
use crate::record::{JobRecord, by_time_key, split_by_time_key};
use crate::router::Mark;
use crate::store::{Error, Table};
use tripline_protocol::Org;

pub(super) fn job(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    let Some(record) = look.decode::<JobRecord>(value) else {
        return Ok(());
    };
    let id = record.job_id.as_bytes();
    if !look.expect(key == id, "it is another job than its key says") {
        return Ok(());
    }
    look.implies(Table::JobByTime, by_time_key(record.queued_at, id), Vec::new())?;
    if record.state.outcome().is_none() {
        look.implies(Table::OpenJob, record.seq.to_be_bytes().to_vec(), id.to_vec())?;
        look.needs(Table::Host, record.host.host_id.as_bytes())?;
    }
    for artifact in record
        .reports
        .iter()
        .filter_map(|report| report.artifact.as_ref())
    {
        let used = use_key(&artifact.sha256, &record.org, record.job_id.into());
        look.implies(Table::ArtifactUse, used.into(), Vec::new())?;
        look.content_length(&artifact.sha256, artifact.bytes);
    }
    Ok(())
}

pub(super) fn open_job(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    if !look.needs(Table::Job, value)? {
        return Ok(());
    }
    let job: Option<JobRecord> = look.other(Table::Job, value)?;
    let open = job.is_none_or(|job| job.state.outcome().is_none() && job.seq.to_be_bytes() == key);
    look.expect(open, "its job has ended, or has another place");
    Ok(())
}

pub(super) fn job_by_time(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    let Some((time, id)) = split_by_time_key(key) else {
        look.wrong("its key is no time with an id");
        return Ok(());
    };
    if look.needs(Table::Job, &id)? {
        let job: Option<JobRecord> = look.other(Table::Job, &id)?;
        look.expect(
            job.is_none_or(|job| job.queued_at == time),
            "its job has another time",
        );
    }
    Ok(())
}

pub(super) fn tombstone(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(key.len() == 16, "its key is no id");
    let org = std::str::from_utf8(value).ok();
    let is_org = org.is_some_and(|org| org.is_empty() || org.parse::<Org>().is_ok());
    look.expect(is_org, "its value is no org");
    Ok(())
}

pub(super) fn tombstone_by_time(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    in_order_of(look, key, Table::JobTombstone)
}

pub(super) fn handled_event(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(id(key).is_some() && key.len() == 16, "its key is no id");
    look.expect(
        Mark::of_bytes(value).is_some(),
        "it is no mark of a handled event",
    );
    Ok(())
}

pub(super) fn handled_by_time(look: &mut Look<'_>, key: &[u8], _: &[u8]) -> Result<(), Error> {
    in_order_of(look, key, Table::HandledEvent)
}

pub(super) fn published_result(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    look.expect(
        PublishedResult::of_bytes(value).is_some(),
        "it is no place of a result",
    );
    look.needs(Table::Job, key).map(drop)
}

fn in_order_of(look: &mut Look<'_>, key: &[u8], table: Table) -> Result<(), Error> {
    match split_by_time_key(key) {
        Some((_, id)) => look.needs(table, &id).map(drop),
        None => {
            look.wrong("its key is no time with an id");
            Ok(())
        }
    }
}
