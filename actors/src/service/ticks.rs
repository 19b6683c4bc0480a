//! The ticks that services want, for the Timekeeper.

use super::record::ServiceRecord;
use crate::ground::rows;
use crate::refusal::Refusal;
use crate::store::{Store, Table};
use crate::timekeeper::ServiceTicks;
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::limacharlie::{Period, ServiceEtype, TickScope};
use tripline_protocol::{Name, Org};

/// Of these etypes, those that are ticks.
pub(super) fn ticks_of(etypes: impl Iterator<Item = ServiceEtype>) -> BTreeSet<(TickScope, Period)> {
    etypes
        .filter_map(|etype| match etype {
            ServiceEtype::Tick(scope, period) => Some((scope, period)),
            _ => None,
        })
        .collect()
}

/// What an earlier process knew of its services, those of the configuration with them: their clocks go on before the
/// configuration says that they are there still.
pub(crate) fn stored_ticks(store: &Store) -> Result<BTreeMap<Name, ServiceTicks>, Refusal> {
    let mut ticks = BTreeMap::new();
    rows(store, Table::Service, "service", |_, record| {
        let record: ServiceRecord = record?;
        let wants = record.wants.as_ref().filter(|_| !record.leaving);
        if let Some(wants) = wants {
            let etypes = wants.callbacks.iter().filter_map(|etype| etype.parse().ok());
            let of_service = ServiceTicks {
                ticks: ticks_of(etypes),
                orgs: record.spec.orgs.iter().cloned().collect::<BTreeSet<Org>>(),
            };
            ticks.insert(record.spec.name.clone(), of_service);
        }
        Ok(())
    })?;
    Ok(ticks)
}
