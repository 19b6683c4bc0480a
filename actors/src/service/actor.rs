//! A service's actor: the shell around [`Machine`], and what it keeps.

use super::book::Edge;
use super::jobs::Jobs;
use super::leftovers::Leftovers;
use super::messages::{
    Begun, Called, Change, EdgeCame, GetService, GetServiceJob, Leave, Left, ListServiceJobs, Resource,
    Retry, Take, Tour, Written,
};
use super::record::{
    DeliveryRecord, OrgRecord, ServiceRecord, delivery_key, name_key, prefix, split, text_key,
};
use super::registry::Services;
use super::requests::Requests;
use super::resource::Resources;
use super::state::{Machine, Patience};
use super::verdict::short;
use crate::audit::By;
use crate::ground::{Ground, decoded};
use crate::guardian::{Sentinel, retires};
use crate::outbox::{Enqueue, Outbox, Outgoing};
use crate::ports::ServiceSecret;
use crate::record::encode;
use crate::refusal::Refusal;
use crate::store::key::read_u64;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tripline_protocol::api::{Installation, ServiceFailure, ServiceSpec, ServiceState, ServiceView};
use tripline_protocol::audit::Action;
use tripline_protocol::{Name, Org, Timestamp};

/// How often it looks at what waits for its time.
const TICK: Duration = Duration::from_millis(100);
/// Rows read at once.
const PAGE: usize = 500;

/// The actor.
pub(crate) struct Service {
    pub(super) ground: Arc<Ground>,
    pub(super) outbox: Addr<Outbox>,
    pub(super) registry: Addr<Services>,
    pub(super) record: ServiceRecord,
    pub(super) spec: Arc<ServiceSpec>,
    pub(super) secret: ServiceSecret,
    pub(super) machine: Machine,
    pub(super) orgs: BTreeMap<Org, OrgRecord>,
    pub(super) jobs: Jobs,
    pub(super) resources: Resources,
    pub(super) leftovers: Leftovers,
    pub(super) requests: Requests,
    /// Messages of its own whose rows are in the batch that is being made.
    pub(super) unwritten: Vec<u64>,
    /// Itself, from its start on; before that it has no messages of its own.
    me: Option<Addr<Self>>,
    /// Messages that wait, as the router counts them.
    pub(super) waiting: Arc<AtomicU64>,
    /// How often it was changed.
    pub(super) version: u64,
    /// How often it was put at another place.
    pub(super) place: u64,
    pub(super) delivered: u64,
    pub(super) given_up: u64,
    pub(super) last_failure: Option<ServiceFailure>,
    /// Requests for resources that are under way.
    pub(super) asking: usize,
    sentinel: Sentinel,
}

retires!(Service);

impl Service {
    /// With what the store holds of it.
    pub(super) fn load(
        ground: Arc<Ground>,
        outbox: Addr<Outbox>,
        registry: Addr<Services>,
        Begun { record, secret }: Begun,
        sentinel: Sentinel,
    ) -> Result<Self, Refusal> {
        let now = ground.now();
        let spec = Arc::new(record.spec.clone());
        let mut service = Self {
            machine: Machine::new(Patience::from(&*spec), now),
            jobs: Jobs::load(&ground.store, &spec.name)?,
            resources: Resources::load(&ground.store, &spec.name)?,
            leftovers: Leftovers::default(),
            requests: Requests::load(&ground.store, &spec.name)?,
            ground,
            outbox,
            registry,
            record,
            spec,
            secret,
            orgs: BTreeMap::new(),
            unwritten: Vec::new(),
            me: None,
            waiting: Arc::default(),
            version: 0,
            place: 0,
            delivered: 0,
            given_up: 0,
            last_failure: None,
            asking: 0,
            sentinel,
        };
        service.load_orgs()?;
        service.load_queue()?;
        service.machine.is_known = service.record.wants.is_some();
        if !service.machine.is_known && !service.record.leaving {
            // It went to another place while the server was stopped, or did not answer at that place yet.
            let mut batch = Batch::new();
            service.moved(now, &mut batch);
            service.commit(batch, Vec::new(), || {});
        }
        service.publish();
        Ok(service)
    }

    pub(super) fn name(&self) -> &Name {
        &self.spec.name
    }

    fn load_orgs(&mut self) -> Result<(), Refusal> {
        let prefix = prefix(self.name());
        for (key, value) in self
            .ground
            .store
            .scan(Table::ServiceOrg, &prefix, None, usize::MAX)?
        {
            let org = split(&key).and_then(|(_, org)| std::str::from_utf8(org).ok()?.parse().ok());
            let Some(org) = org else {
                return Err(crate::ground::unreadable_key("an org of a service"));
            };
            self.orgs.insert(org, decoded("org of a service", &value)?);
        }
        Ok(())
    }

    fn load_queue(&mut self) -> Result<(), Refusal> {
        let prefix = prefix(self.name());
        let mut after: Option<Vec<u8>> = None;
        loop {
            let store = &self.ground.store;
            let page = store.scan(Table::ServiceDelivery, &prefix, after.as_deref(), PAGE)?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (key, value) in &page {
                let seq = split(key).and_then(|(_, seq)| read_u64(seq));
                let Some(seq) = seq else {
                    return Err(crate::ground::unreadable_key("a message for a service"));
                };
                let delivery: DeliveryRecord = decoded("message for a service", value)?;
                self.machine.queue.add(seq, delivery.item());
            }
        }
        self.waiting
            .store(self.machine.queue.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Everybody may see it as it is now.
    pub(super) fn publish(&self) {
        if self.record.leaving {
            return self.ground.services.remove(self.name());
        }
        let open =
            |record: &OrgRecord| matches!(record.state, Installation::Pending | Installation::Installed);
        let orgs = self.orgs.iter().filter(|(_, record)| open(record));
        let orgs: BTreeMap<Org, Timestamp> = orgs.map(|(org, record)| (org.clone(), record.joined)).collect();
        self.ground.services.put(&self.record, orgs, &self.waiting);
    }

    /// As the API shows it.
    pub(super) fn view(&self) -> ServiceView {
        let installations = self.orgs.iter();
        ServiceView {
            spec: self.record.spec.clone(),
            configured: self.record.configured,
            state: match self.machine.state() {
                ServiceState::Up if self.record.healthy_at.is_none() => ServiceState::Unknown,
                state => state,
            },
            since: self.machine.since,
            healthy_at: self.record.healthy_at,
            wants: self.record.wants.clone(),
            breaker: self.machine.breaker(),
            installations: installations
                .map(|(org, record)| (org.clone(), record.state))
                .collect(),
            waiting: self.waiting.load(Ordering::Relaxed),
            calls: u32::try_from(self.machine.queue.flying()).unwrap_or(u32::MAX),
            delivered: self.delivered,
            given_up: self.given_up,
            last_failure: self.last_failure.clone(),
        }
    }

    /// Commits, then hands over what is to be published, and lets its own messages go out.
    pub(super) fn commit(
        &mut self,
        batch: Batch,
        outgoing: Vec<Outgoing>,
        then: impl FnOnce() + Send + 'static,
    ) {
        let outbox = self.outbox.clone();
        let unwritten = std::mem::take(&mut self.unwritten);
        let me = self.me.clone().filter(|_| !unwritten.is_empty());
        self.ground.store.commit(batch, move || {
            if !outgoing.is_empty() {
                outbox.do_send(Enqueue(outgoing));
            }
            if let Some(me) = me {
                me.do_send(Written(unwritten));
            }
            then();
        });
    }

    pub(super) fn edge(&self) -> Option<&Edge> {
        self.ground.services.edge()
    }

    /// So many messages wait no more.
    pub(super) fn release(&self, count: u64) {
        // It is set anew at a start, and may then be lower than what is on its way: it never gets stuck.
        let lowered = |waiting: u64| Some(waiting.saturating_sub(count));
        let _ = self
            .waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, lowered);
    }

    pub(super) fn fail(&mut self, etype: &str, text: &str, now: Timestamp) {
        self.last_failure = Some(ServiceFailure {
            at: now,
            etype: etype.to_owned(),
            text: short(text),
        });
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        let now = self.ground.now();
        self.expire(now);
        self.subscribe(now);
        self.pump(ctx);
        let service = self.name().to_string();
        metrics::gauge!("tripline_service_waiting", "service" => service)
            .set(self.waiting.load(Ordering::Relaxed) as f64);
    }

    /// It is to be no more: its orgs are told, and what waits goes when that is durable.
    fn leave(&mut self, by: Option<&Arc<By>>, then: impl FnOnce() + Send + 'static) {
        let mut batch = Batch::new();
        let now = self.ground.now();
        self.record.leaving = true;
        self.record.floor = self.ground.services.take_seq();
        self.record.put(&mut batch);
        self.leftovers.is_stale = true;
        if let Some(by) = by {
            let entry = self.ground.audit(Action::ServiceRemove, by, None);
            batch.audit(entry.on("service", self.name()));
        }
        self.reconcile(now, &mut batch);
        self.machine.hurry(now);
        self.publish();
        self.commit(batch, Vec::new(), then);
    }

    /// Tells the registry when it has left.
    pub(super) fn leave_if_over(&self) {
        if self.has_left() {
            self.registry.do_send(Left(self.name().clone()));
        }
    }

    /// Whether a change changes nothing: the configuration is read again as a whole.
    fn is_as(&self, change: &Change) -> bool {
        let secret = change.secret.as_ref();
        !self.record.leaving
            && change.by.is_none()
            && change.configured == self.record.configured
            && change.spec == self.record.spec
            && secret.is_none_or(|secret| *secret == self.secret)
    }

    fn change(&mut self, change: &Change) {
        if self.is_as(change) {
            return;
        }
        let mut batch = Batch::new();
        let now = self.ground.now();
        let same_place = change.spec.url == self.spec.url && !self.record.leaving;
        self.record.spec = change.spec.clone();
        self.record.configured = change.configured;
        self.record.leaving = false;
        self.spec = Arc::new(change.spec.clone());
        if !same_place {
            self.record.healthy_at = None;
            self.record.wants = None;
            self.moved(now, &mut batch);
        }
        self.record.put(&mut batch);
        if let Some(secret) = &change.secret {
            self.secret = secret.clone();
        }
        put_secret(&mut batch, &self.record, &self.secret);
        if let Some(by) = &change.by {
            batch.audit(self.on_record(by));
        }
        self.version += 1;
        self.machine.change(Patience::from(&*self.spec), now);
        self.reconcile(now, &mut batch);
        self.publish();
        self.commit(batch, Vec::new(), || {});
    }

    fn on_record(&self, by: &By) -> crate::audit::Entry {
        let entry = self.ground.audit(Action::ServiceChange, by, None);
        registered(entry, &self.spec)
    }
}

/// What a registration puts on record: never the secret.
pub(super) fn registered(entry: crate::audit::Entry, spec: &ServiceSpec) -> crate::audit::Entry {
    entry
        .on("service", &spec.name)
        .detail("url", &spec.url)
        .detail("orgs", &spec.orgs)
        .detail("rights", spec.rights)
        .detail("allow_private", spec.allow_private)
}

/// The secret of a service that was registered over the API is kept here; that of one in the configuration is there.
pub(super) fn put_secret(batch: &mut Batch, record: &ServiceRecord, secret: &ServiceSecret) {
    let key = name_key(&record.spec.name);
    if record.configured {
        batch.delete(Table::ServiceSecret, key);
    } else {
        batch.put(Table::ServiceSecret, key, secret.reveal().as_bytes().to_vec());
    }
}

impl Service {
    /// Removes the rows of a message; a request that was not answered is dropped with it.
    pub(super) fn bury(&mut self, seq: u64, batch: &mut Batch) -> Option<DeliveryRecord> {
        let delivery = self.delivery(seq);
        self.drop_request(delivery.as_ref(), batch);
        let buried = match &delivery {
            Some(delivery) => delivery.bury(&self.ground.store, batch, self.name(), seq),
            None => {
                batch.delete(Table::ServiceDelivery, delivery_key(self.name(), seq));
                Ok(())
            }
        };
        if let Err(error) = buried {
            // The store cannot be read: the process is about to end with that reason.
            tracing::error!(service = %self.name(), %error, "a message of a service cannot be removed");
        }
        delivery
    }

    /// A message's record; one that cannot be read is logged, and as good as none.
    pub(super) fn delivery(&self, seq: u64) -> Option<DeliveryRecord> {
        let key = delivery_key(self.name(), seq);
        let table = Table::ServiceDelivery;
        let read = crate::ground::read(&self.ground.store, table, &key, "message for a service");
        read.unwrap_or_else(|error| {
            tracing::error!(service = %self.name(), %error, "a message for a service cannot be read");
            None
        })
    }

    pub(super) fn put_org(&mut self, org: &Org, state: Installation, now: Timestamp, batch: &mut Batch) {
        let known = self.orgs.get(org).copied();
        let record = OrgRecord {
            state,
            at: now,
            joined: known.map_or(now, |known| known.joined),
            floor: known.map_or(0, |known| known.floor),
        };
        self.put_org_record(org, record, batch);
    }

    pub(super) fn put_org_record(&mut self, org: &Org, record: OrgRecord, batch: &mut Batch) {
        let key = text_key(self.name(), org.as_str());
        batch.put(Table::ServiceOrg, key, encode(&record));
        self.orgs.insert(org.clone(), record);
        self.leftovers.is_stale = true;
    }

    pub(super) fn delete_org(&mut self, org: &Org, batch: &mut Batch) {
        batch.delete(Table::ServiceOrg, text_key(self.name(), org.as_str()));
        self.orgs.remove(org);
        self.leftovers.is_stale = true;
    }
}

impl Actor for Service {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        self.me = Some(ctx.address());
        ctx.run_interval(TICK, Self::tick);
        let mut batch = Batch::new();
        self.reconcile(self.ground.now(), &mut batch);
        self.publish();
        self.commit(batch, Vec::new(), || {});
        self.pump(ctx);
    }
}

impl Handler<EdgeCame> for Service {
    type Result = ();
    fn handle(&mut self, _: EdgeCame, ctx: &mut Self::Context) {
        self.pump(ctx);
    }
}

impl Handler<Take> for Service {
    type Result = ();
    fn handle(&mut self, Take(queued): Take, ctx: &mut Self::Context) {
        let mut batch = Batch::new();
        for (seq, item) in queued {
            // Meanwhile the org may have left.
            if self.is_left(seq, item.org.as_ref()) {
                self.release(1);
                self.bury(seq, &mut batch);
                self.note_left(1);
            } else {
                self.machine.queue.add(seq, item);
            }
        }
        if !batch.is_empty() {
            self.commit(batch, Vec::new(), || {});
        }
        self.pump(ctx);
    }
}

impl Handler<Written> for Service {
    type Result = ();
    fn handle(&mut self, Written(seqs): Written, ctx: &mut Self::Context) {
        seqs.into_iter().for_each(|seq| self.machine.queue.written(seq));
        self.pump(ctx);
    }
}

impl Handler<Change> for Service {
    type Result = ();
    fn handle(&mut self, mut change: Change, ctx: &mut Self::Context) {
        self.change(&change);
        if let Some(reply) = change.reply.take() {
            let view = self.view();
            self.ground.after_commit(move || reply.send(Ok(view)));
        }
        self.pump(ctx);
    }
}

impl Handler<Leave> for Service {
    type Result = ();
    fn handle(&mut self, Leave { by, reply }: Leave, ctx: &mut Self::Context) {
        self.leave(by.as_ref(), move || {
            if let Some(reply) = reply {
                reply.send(Ok(()));
            }
        });
        self.pump(ctx);
    }
}

impl Handler<Retry> for Service {
    type Result = ();
    fn handle(&mut self, Retry { by, reply, .. }: Retry, ctx: &mut Self::Context) {
        let mut batch = Batch::new();
        let entry = self.ground.audit(Action::ServiceRetry, &by, None);
        batch.audit(entry.on("service", self.name()));
        self.machine.hurry(self.ground.now());
        let view = self.view();
        self.commit(batch, Vec::new(), move || reply.send(Ok(view)));
        self.pump(ctx);
    }
}

impl Handler<GetService> for Service {
    type Result = ();
    fn handle(&mut self, GetService { org, name, reply }: GetService, _: &mut Self::Context) {
        let seen = !self.record.leaving && org.is_none_or(|org| self.spec.orgs.contains(&org));
        let answer = if seen {
            Ok(self.view())
        } else {
            Err(super::registry::not_found(&name))
        };
        self.ground.after_commit(move || reply.send(answer));
    }
}

impl Handler<Tour<Service>> for Service {
    type Result = ();
    fn handle(&mut self, mut tour: Tour<Service>, _: &mut Self::Context) {
        if !self.record.leaving {
            tour.views.push(self.view());
        }
        super::registry::go_on(&self.ground, tour);
    }
}

impl Handler<ListServiceJobs> for Service {
    type Result = ();
    fn handle(&mut self, ListServiceJobs { filter, reply }: ListServiceJobs, _: &mut Self::Context) {
        let page = self.jobs.list(&self.ground.store, &filter);
        self.ground.after_commit(move || reply.send(page));
    }
}

impl Handler<GetServiceJob> for Service {
    type Result = ();
    fn handle(&mut self, get: GetServiceJob, _: &mut Self::Context) {
        let job = self.jobs.get(&self.ground.store, get.org.as_ref(), get.id);
        self.ground.after_commit(move || get.reply.send(job));
    }
}

impl Handler<Resource> for Service {
    type Result = ();
    fn handle(&mut self, request: Resource, ctx: &mut Self::Context) {
        self.ask_resource(request, ctx);
    }
}

impl Handler<Called> for Service {
    type Result = ();
    fn handle(&mut self, called: Called, ctx: &mut Self::Context) {
        self.called(called, ctx);
        self.pump(ctx);
    }
}
