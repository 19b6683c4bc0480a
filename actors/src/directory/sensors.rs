//! Sensors of LimaCharlie: their own records, learned from its calls, and forgotten with their org.

use super::Directory;
use super::enrol::{put_host, put_name};
use super::forget::delete_host;
use crate::host::Stop;
use crate::limacharlie::{ForgetSensors, LearnSensor, Sensor, Sweep, Swept};
use crate::link;
use crate::outbox::Enqueue;
use crate::record::HostRecord;
use crate::refusal::Refusal;
use crate::router::HostBook;
use crate::scheduler::{HostDiffers, HostForgotten};
use crate::store::{Batch, Table};
use actix::prelude::*;
use tripline_protocol::api::HostChangeKind;
use tripline_protocol::{HostId, Org};
use uuid::Uuid;

/// Hosts looked at for one answer.
const PAGE: usize = 200;

impl Directory {
    /// Adds what a call tells of a sensor to its batch; tells whether the host is new.
    fn learn(&mut self, sensor: Sensor, batch: &mut Batch) -> Result<bool, Refusal> {
        let now = self.ground.now();
        let Some(mut record) = self.record(sensor.host_id())? else {
            self.ground.hosts.admit()?;
            let record = sensor.to_record(self.sensors.next(&self.ground.store)?, now);
            put_host(&self.ground, &record, batch);
            return Ok(true);
        };
        let old = record.hostname.clone();
        sensor.update(&mut record, now);
        if record.hostname != old {
            put_name(batch, &record, Some(&old));
        }
        record.put(batch);
        Ok(false)
    }

    /// The next hosts of an org that are a sensor's own, and nothing else, and where to go on.
    fn sensors_of(
        &self,
        org: &Org,
        after: Option<&[u8]>,
    ) -> Result<(Vec<HostRecord>, Option<Vec<u8>>), Refusal> {
        let prefix = [org.as_str().as_bytes(), &[0]].concat();
        let page = self.ground.store.scan(Table::HostByName, &prefix, after, PAGE)?;
        let mut found = Vec::new();
        for (key, _) in &page {
            let id = key.last_chunk::<16>().map(|id| HostId(Uuid::from_bytes(*id)));
            let record = id.map(|id| self.record(id)).transpose()?.flatten();
            found.extend(record.filter(HostRecord::is_limacharlie));
        }
        Ok((found, page.into_iter().last().map(|(last, _)| last)))
    }

    fn forget_sensors(&mut self, org: &Org, after: Option<&[u8]>) -> Result<Swept, Refusal> {
        let (found, next) = self.sensors_of(org, after)?;
        let mut batch = Batch::new();
        for record in &found {
            let host_id = record.host_id;
            if let Some(host) = link::host_of(&self.ground.store, host_id)? {
                link::delete_sensor(&mut batch, host, host_id);
                self.linked.remove(&host_id);
            }
            delete_host(&self.ground.store, record, &mut batch)?;
            if let Some(active) = self.leave(host_id) {
                active.address.do_send(Stop("forgotten"));
            }
            self.ground.hosts.forgotten();
            self.ground.newcomers.gone(host_id);
            self.tell_of(record, HostChangeKind::Forgotten);
            self.scheduler.do_send(HostForgotten(host_id));
            metrics::counter!("tripline_directory_hosts_forgotten_total").increment(1);
        }
        if !batch.is_empty() {
            self.ground.store.commit(batch, || {});
        }
        Ok(Swept {
            found: found.len(),
            next,
        })
    }
}

impl Handler<LearnSensor> for Directory {
    type Result = ();
    fn handle(&mut self, message: LearnSensor, _: &mut Self::Context) {
        let LearnSensor {
            sensor,
            mut batch,
            outgoing,
            then,
        } = message;
        let host_id = sensor.host_id();
        let learned = self.learn(sensor, &mut batch);
        let outbox = self.outbox.clone();
        self.ground.store.commit(batch, move || {
            outbox.do_send(Enqueue(outgoing));
            then();
        });
        match learned {
            Ok(is_new) => {
                self.scheduler.do_send(HostDiffers(host_id));
                if is_new {
                    self.tell(host_id, HostChangeKind::Enrolled);
                }
            }
            Err(error) => {
                // The call is taken all the same: its event names a host that nobody knows.
                metrics::counter!("tripline_limacharlie_sensors_refused_total").increment(1);
                tracing::warn!(host = %host_id, %error, "a sensor of LimaCharlie does not become a host");
            }
        }
    }
}

impl Handler<ForgetSensors> for Directory {
    type Result = ();
    fn handle(&mut self, ForgetSensors(sweep): ForgetSensors, _: &mut Self::Context) {
        let Sweep {
            org, after, reply, ..
        } = sweep;
        let swept = self.forget_sensors(&org, after.as_deref());
        self.ground.after_commit(move || reply.send(swept));
    }
}

/// The own record of a sensor that a person means by an id or a name, if there is one.
pub(super) fn own_sensor(
    book: &HostBook<'_>,
    org: Option<&Org>,
    name: &str,
) -> Result<Option<HostRecord>, Refusal> {
    let record = book.own(org, name, HostRecord::is_limacharlie)?;
    Ok(Some(record).filter(HostRecord::is_limacharlie))
}
