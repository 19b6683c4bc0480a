//! Rows that a fan-out wrote itself and that may be on their way to the store when its summary is made: those of hosts that ended
//! without a job.

use super::finish::NAMED_MAX;
use super::record::HostRow;
use std::collections::BTreeMap;
use tripline_protocol::HostId;

/// The rows of the first hosts, as many as a summary names: nobody asks for others.
#[derive(Debug, Default)]
pub(super) struct Written(BTreeMap<u32, (HostId, HostRow)>);

impl Written {
    /// The row of the host that was found as the `order`th was written.
    pub(super) fn note(&mut self, order: Option<u32>, host: HostId, row: HostRow) {
        let Some(order) = order else { return };
        match row.state.is_over() {
            true => drop(self.0.insert(order, (host, row))),
            // Its job's end will be in the store before anybody hears of it.
            false => drop(self.0.remove(&order)),
        }
        while self.0.len() > NAMED_MAX {
            self.0.pop_last();
        }
    }

    pub(super) fn row(&self, order: u32, host: HostId) -> Option<&HostRow> {
        let (of, row) = self.0.get(&order)?;
        (*of == host).then_some(row)
    }
}
