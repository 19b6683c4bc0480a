//! What is true of the rows of each table. A table is in [`RULES`] as soon as there is one.

mod audit;
mod clocks;
mod fanouts;
mod hosts;
mod jobs;
mod limacharlie;
mod messages;
mod pipelines;
mod services;
mod sessions;

use super::look::Look;
use crate::record::meta;
use crate::store::key::{self, read_u32};
use crate::store::{Error, Store, Table};

/// Looks at one row.
pub(super) type Rule = fn(&mut Look<'_>, &[u8], &[u8]) -> Result<(), Error>;

/// Every table with its rule, in the order of their numbers.
pub(super) const RULES: &[(Table, Rule)] = &[
    (Table::Meta, single_value),
    (Table::Control, messages::control),
    (Table::Job, jobs::job),
    (Table::OpenJob, jobs::open_job),
    (Table::JobByTime, jobs::job_by_time),
    (Table::JobTombstone, jobs::tombstone),
    (Table::TombstoneByTime, jobs::tombstone_by_time),
    (Table::HandledEvent, jobs::handled_event),
    (Table::HandledByTime, jobs::handled_by_time),
    (Table::PublishedResult, jobs::published_result),
    (Table::SettledByTime, jobs::handled_by_time),
    (Table::DeadByTime, jobs::handled_by_time),
    (Table::Window, pipelines::window),
    (Table::TouchedHost, pipelines::touched_host),
    (Table::PipelineEnds, pipelines::ends),
    (Table::PipelinePause, pipelines::pause),
    (Table::Withheld, pipelines::withheld),
    (Table::WithheldByTime, pipelines::withheld_by_time),
    (Table::Host, hosts::host),
    (Table::HostBySensor, hosts::host_by_sensor),
    (Table::HostByName, hosts::host_by_name),
    (Table::AgentKey, hosts::agent_key),
    (Table::LbHost, hosts::client),
    (Table::LbProcess, hosts::process),
    (Table::LbLink, hosts::link),
    (Table::LbAlive, hosts::presence),
    (Table::LbSilent, hosts::presence),
    (Table::HostLabels, hosts::labels),
    (Table::WithheldTally, pipelines::tally),
    (Table::Token, messages::token),
    (Table::Once, messages::once),
    (Table::OnceByTime, messages::once_by_time),
    (Table::Outbox, messages::outbox),
    (Table::Sent, messages::sent),
    (Table::Quarantine, messages::quarantine),
    (Table::Artifact, nothing),
    (Table::ArtifactUse, sessions::artifact_use),
    (Table::Session, sessions::session),
    (Table::SessionByNumber, sessions::by_number),
    (Table::SessionByTime, sessions::by_time),
    (Table::OpenSession, sessions::open_session),
    (Table::EndedSession, sessions::ended_session),
    (Table::SessionCommand, sessions::command),
    (Table::OpenCommand, sessions::open_command),
    (Table::SessionFile, sessions::file),
    (Table::FileBySession, sessions::file_by_session),
    (Table::Audit, audit::record),
    (Table::AuditHead, audit::place),
    (Table::AuditAnchor, audit::place),
    (Table::AuditPublished, nothing),
    (Table::Fanout, fanouts::fanout),
    (Table::FanoutByTime, fanouts::by_time),
    (Table::FanoutDefinition, fanouts::definition),
    (Table::FanoutChunk, fanouts::chunk),
    (Table::FanoutHost, fanouts::host),
    (Table::LcOrg, limacharlie::org),
    (Table::LcCall, limacharlie::call),
    (Table::LcCallByTime, limacharlie::call_by_time),
    (Table::LcNews, limacharlie::news),
    (Table::LcLink, limacharlie::link),
    (Table::Service, services::service),
    (Table::ServiceSecret, services::secret),
    (Table::ServiceOrg, services::org),
    (Table::ServiceDelivery, services::delivery),
    (Table::ServiceEvent, services::event),
    (Table::ServiceEventUse, services::event_use),
    (Table::ServiceJob, services::job),
    (Table::ServiceResource, services::resource),
    (Table::Clock, clocks::clock),
    (Table::ServiceRequest, services::request),
];

/// Of tables that never had a row, or whose rows mean something only to their owner.
fn nothing(_: &mut Look<'_>, _: &[u8], _: &[u8]) -> Result<(), Error> {
    Ok(())
}

/// Single values: those whose shape is known.
fn single_value(look: &mut Look<'_>, key: &[u8], value: &[u8]) -> Result<(), Error> {
    match key {
        meta::SESSION_NUMBER | meta::FILE_NUMBER => {
            look.expect(value.len() == 4, "it is no number");
        }
        meta::POSITION | meta::SENSOR_ID | meta::ATTESTATION_KEY => {
            let _: Option<serde_json::Value> = look.decode(value);
        }
        _ => {}
    }
    Ok(())
}

/// A counter that is behind what was counted.
pub(super) struct Behind {
    pub(super) what: &'static str,
    pub(super) value: Vec<u8>,
}

/// Numbers are given out once: the counters are at least at the highest that is in use. The answer names those that
/// are not, with what they should be.
pub(super) fn counters(store: &Store) -> Result<Vec<(Vec<u8>, Behind)>, Error> {
    let highest = |table| -> Result<u32, Error> {
        let rows = store.scan_back(table, &[], None, 1)?;
        Ok(rows.first().and_then(|(key, _)| read_u32(key)).unwrap_or(0))
    };
    let what = "a counter is behind what was counted: numbers would be given out again";
    let mut behind = Vec::new();
    for (name, table) in [
        (meta::SESSION_NUMBER, Table::SessionByNumber),
        (meta::FILE_NUMBER, Table::SessionFile),
    ] {
        let told = store.get(Table::Meta, name)?.and_then(|value| read_u32(&value));
        let highest = highest(table)?;
        if told.unwrap_or(0) < highest {
            let value = key::u32(highest).to_vec();
            behind.push((name.to_vec(), Behind { what, value }));
        }
    }
    Ok(behind)
}

/// The first sixteen bytes of a key: an id.
fn id(key: &[u8]) -> Option<[u8; 16]> {
    key.first_chunk().copied()
}
