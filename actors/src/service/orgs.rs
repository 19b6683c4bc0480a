//! Subscriptions of orgs: a service is told when one begins and when it ends.

use super::actor::Service;
use super::record::{DeliveryRecord, OrgRecord};
use crate::store::Batch;
use serde_json::json;
use std::collections::BTreeSet;
use tripline_protocol::api::Installation;
use tripline_protocol::limacharlie::ServiceEtype;
use tripline_protocol::{Org, Span, Timestamp};

/// When a service is asked again that refused an org.
const REFUSED_PAUSE: Span = Span::from_secs(3600);

impl Service {
    /// Asks again about orgs that it refused long ago.
    pub(super) fn subscribe(&mut self, now: Timestamp) {
        let again = |record: &super::record::OrgRecord| {
            record.state == Installation::Refused && record.at.after(REFUSED_PAUSE) <= now
        };
        if self.record.wants.is_none() || !self.orgs.values().any(again) {
            return;
        }
        let mut batch = Batch::new();
        self.reconcile(now, &mut batch);
        self.publish();
        self.commit(batch, Vec::new(), || {});
    }

    /// Tells it of the orgs that are subscribed and were not, and the other way round. Before it said what it wants
    /// nobody knows whether it wants to be told of orgs that come.
    pub(super) fn reconcile(&mut self, now: Timestamp, batch: &mut Batch) {
        let wanted: BTreeSet<Org> = match self.record.leaving {
            true => BTreeSet::new(),
            false => self.spec.orgs.iter().cloned().collect(),
        };
        if self.record.wants.is_some() {
            for org in &wanted {
                self.join(org, now, batch);
            }
        }
        let parting: Vec<Org> = self
            .orgs
            .keys()
            .filter(|org| !wanted.contains(org))
            .cloned()
            .collect();
        for org in parting {
            self.part(&org, now, batch);
        }
    }

    fn join(&mut self, org: &Org, now: Timestamp, batch: &mut Batch) {
        match self.orgs.get(org) {
            Some(known) if known.state == Installation::Installed => return,
            Some(known) if known.state == Installation::Pending => return self.install(org, now, batch),
            Some(known) if known.state == Installation::Refused && known.at.after(REFUSED_PAUSE) > now => {
                return;
            }
            _ => {}
        }
        let is_told = self.record.listens_to(ServiceEtype::OrgInstall);
        let state = match is_told {
            true => Installation::Pending,
            false => Installation::Installed,
        };
        let record = OrgRecord {
            state,
            at: now,
            joined: now,
            floor: self.ground.services.take_seq(),
        };
        self.put_org_record(org, record, batch);
        if is_told {
            self.enqueue(ServiceEtype::OrgInstall, org, (json!({}), 0), batch);
        }
    }

    /// Tells it of an org that waits for that, before all that waits; one that does not want to know has it installed.
    fn install(&mut self, org: &Org, now: Timestamp, batch: &mut Batch) {
        let is_told = self.record.listens_to(ServiceEtype::OrgInstall);
        if !is_told {
            self.drop_barriers(org, batch);
        }
        let is_waiting = self.machine.queue.barriers(org).next().is_some();
        match (is_waiting, is_told) {
            (true, _) => {}
            (false, true) => self.enqueue_first(ServiceEtype::OrgInstall, org, (json!({}), 0), batch),
            (false, false) => self.put_org(org, Installation::Installed, now, batch),
        }
    }

    /// At another place there may be another service: nobody knows what it wants, tokens that were given away before are worth
    /// nothing, and it is told of its orgs anew before it gets anything else. What waits is for the service and waits on.
    pub(super) fn moved(&mut self, now: Timestamp, batch: &mut Batch) {
        self.place += 1;
        self.machine.is_known = false;
        for (org, known) in self.orgs.clone() {
            let floor = match known.state {
                Installation::Leaving => continue,
                Installation::Refused => self.ground.services.take_seq(),
                Installation::Pending | Installation::Installed => known.floor,
            };
            let record = OrgRecord {
                state: Installation::Pending,
                at: now,
                joined: now.max(Timestamp::from_micros(known.joined.as_micros().saturating_add(1))),
                floor,
            };
            self.put_org_record(&org, record, batch);
        }
    }

    /// Everything of an org goes from this service: it is told, if it knows the org and wants to be told; what waits for
    /// it is removed once that is durable.
    fn part(&mut self, org: &Org, now: Timestamp, batch: &mut Batch) {
        let Some(known) = self.orgs.get(org).copied() else {
            return;
        };
        if known.state == Installation::Leaving {
            return;
        }
        // What waits besides goes slice by slice.
        self.drop_barriers(org, batch);
        let knows_it = known.state != Installation::Refused;
        if knows_it && self.record.listens_to(ServiceEtype::OrgUninstall) {
            self.put_org(org, Installation::Leaving, now, batch);
            self.enqueue(ServiceEtype::OrgUninstall, org, (json!({}), 0), batch);
        } else {
            self.delete_org(org, batch);
        }
    }

    /// Removes what would tell it of an org's subscription.
    fn drop_barriers(&mut self, org: &Org, batch: &mut Batch) {
        let queue = &self.machine.queue;
        let idle = queue.barriers(org).filter(|seq| !queue.is_flying(*seq)).collect();
        self.drop_waiting(idle, batch);
    }

    /// Whether a message is still for it: one about an org that left, or that it refused, is not, and neither is one about the
    /// beginning of a subscription that has ended since.
    pub(super) fn may_get(&self, seq: u64, delivery: &DeliveryRecord) -> bool {
        let org = delivery.org.as_ref();
        let state = org.and_then(|org| self.orgs.get(org)).map(|record| record.state);
        match delivery.etype {
            ServiceEtype::OrgUninstall => true,
            ServiceEtype::OrgInstall => state == Some(Installation::Pending) && !self.is_outdated(seq, org),
            _ => !self.is_left(seq, org),
        }
    }

    /// Whether the subscription of an org went on since: what came of this message says nothing of how it stands now.
    fn is_outdated(&self, seq: u64, org: Option<&Org>) -> bool {
        org.is_some_and(|org| self.machine.queue.has_later_barrier(org, seq))
    }

    /// A message has ended: if it was about an org's subscription, that is as far as that now.
    pub(super) fn note_org(&mut self, seq: u64, delivery: &DeliveryRecord, is_done: bool, batch: &mut Batch) {
        let Some(org) = &delivery.org else { return };
        if self.is_outdated(seq, Some(org)) {
            return;
        }
        let state = self.orgs.get(org).map(|record| record.state);
        let now = self.ground.now();
        match (delivery.etype, state) {
            (ServiceEtype::OrgInstall, Some(Installation::Pending)) => {
                let state = match is_done {
                    true => Installation::Installed,
                    false => Installation::Refused,
                };
                self.put_org(org, state, now, batch);
            }
            (ServiceEtype::OrgUninstall, Some(Installation::Leaving)) => self.delete_org(org, batch),
            _ => return,
        }
        self.publish();
    }
}
