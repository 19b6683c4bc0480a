//! The registry: which services there are, and their actors.

use super::actor::{Service, put_secret, registered};
use super::check::checked;
use super::messages::{
    Begun, Change, Configure, EdgeCame, GetService, GetServiceJob, HandOver, Leave, Left, ListServiceJobs,
    ListServices, Queued, Register, Registration, Remove, Resource, Retry, Take, Tour,
};
use super::purge::Purges;
use super::queue::Item;
use super::record::{ServiceRecord, name_key};
use super::request::{Ask, GetRequest, ListRequests};
use crate::door::Reply;
use crate::ground::{Ground, name_of, read};
use crate::guardian::{Retire, Sentinel};
use crate::outbox::Outbox;
use crate::ports::ServiceSecret;
use crate::refusal::Refusal;
use crate::store::{Batch, Table};
use actix::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::Name;
use tripline_protocol::api::{SERVICES_MAX, ServiceView};
use tripline_protocol::audit::Action;

/// Between two looks whether the services have stopped.
const RETIRE_PAUSE: Duration = Duration::from_millis(1);

/// Makes what tells that a service's actor died.
pub(crate) type Sentinels = Box<dyn Fn() -> Sentinel + Send>;

/// A service that runs.
struct Running {
    addr: Addr<Service>,
    configured: bool,
    leaving: bool,
}

/// The actor.
pub(crate) struct Services {
    pub(super) ground: Arc<Ground>,
    outbox: Addr<Outbox>,
    pub(super) me: Addr<Services>,
    running: BTreeMap<Name, Running>,
    pub(super) purges: Purges,
    sentinels: Sentinels,
    sentinel: Sentinel,
}

impl Services {
    /// Starts the services that were registered over the API, and those of the configuration that this process was told
    /// of before: the router knows all of them before its first event.
    pub(crate) fn load(
        ground: Arc<Ground>,
        outbox: Addr<Outbox>,
        me: Addr<Services>,
        sentinels: Sentinels,
        sentinel: Sentinel,
    ) -> Result<Self, Refusal> {
        ground.services.clear();
        let mut stored = Vec::new();
        let mut failure = None;
        crate::ground::rows(&ground.store, Table::Service, "service", |key, record| {
            let (name, record): (Name, ServiceRecord) = (name_of(key)?, record?);
            match secret_of(&ground, &name, &record) {
                Ok(Some(secret)) => stored.push(Begun { record, secret }),
                // The configuration tells it.
                Ok(None) => {}
                Err(error) => failure = Some(error),
            }
            Ok(())
        })?;
        if let Some(error) = failure {
            return Err(error);
        }
        let mut services = Self {
            ground,
            outbox,
            me,
            running: BTreeMap::new(),
            purges: Purges::default(),
            sentinels,
            sentinel,
        };
        for begun in stored {
            services.launch(begun)?;
        }
        if let Some(configured) = services.ground.services.configured() {
            services.configure(configured, || {})?;
        }
        Ok(services)
    }

    /// Starts a service's actor.
    fn launch(&mut self, begun: Begun) -> Result<ServiceView, Refusal> {
        let (ground, outbox) = (Arc::clone(&self.ground), self.outbox.clone());
        let (configured, leaving) = (begun.record.configured, begun.record.leaving);
        let service = Service::load(ground, outbox, self.me.clone(), begun, (self.sentinels)())?;
        let (name, view) = (service.name().clone(), service.view());
        let running = Running {
            addr: service.start(),
            configured,
            leaving,
        };
        self.running.insert(name, running);
        Ok(view)
    }

    /// A service that is registered and is not about to leave.
    fn find(&self, name: &Name) -> Result<&Running, Refusal> {
        let running = self.running.get(name).filter(|running| !running.leaving);
        running.ok_or_else(|| not_found(name))
    }

    /// The service of a name, also one that is about to leave.
    pub(super) fn addr_of(&self, name: &Name) -> Option<Addr<Service>> {
        self.running.get(name).map(|running| running.addr.clone())
    }

    /// The next service in the order of names, or the first.
    pub(super) fn behind(&self, name: Option<&Name>) -> Option<Addr<Service>> {
        let after = name.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = self.running.range::<Name, _>((after, Bound::Unbounded));
        rest.next().map(|(_, running)| running.addr.clone())
    }

    fn addrs(&self) -> Vec<Addr<Service>> {
        self.running
            .values()
            .map(|running| running.addr.clone())
            .collect()
    }

    /// Asks all services what they are, in order; `done` gets the answers when what was decided before is durable.
    fn tour(&self, done: impl FnOnce(Vec<ServiceView>) + Send + 'static) {
        let mut rest = self.addrs();
        rest.reverse();
        let tour = Tour {
            rest,
            views: Vec::new(),
            done: Box::new(done),
        };
        go_on(&self.ground, tour);
    }

    /// Begins with a new service.
    fn begin(&mut self, record: ServiceRecord, secret: ServiceSecret) -> Result<ServiceView, Refusal> {
        let mut batch = Batch::new();
        record.put(&mut batch);
        put_secret(&mut batch, &record, &secret);
        self.ground.store.commit(batch, || {});
        self.launch(Begun { record, secret })
    }

    /// `before`: what else changes with them, when nothing is refused any more and before the first of them is called.
    fn configure(&mut self, services: Vec<Registration>, before: impl FnOnce()) -> Result<(), Refusal> {
        let mut names = BTreeSet::new();
        for Registration { spec, secret } in &services {
            checked(spec, Some(secret))?;
            if !names.insert(spec.name.clone()) {
                return Err(bad(format!("there are two services {}", spec.name)));
            }
        }
        let others = self.running.iter();
        let others = others.filter(|(name, running)| !running.configured && !names.contains(*name));
        if others.count() + names.len() > SERVICES_MAX {
            return Err(bad(format!("there may be {SERVICES_MAX} services")));
        }
        before();
        for Registration { spec, secret } in services {
            self.configure_one(spec, secret)?;
        }
        for (name, running) in &mut self.running {
            if running.configured && !running.leaving && !names.contains(name) {
                running.leaving = true;
                running.addr.do_send(Leave {
                    by: None,
                    reply: None,
                });
            }
        }
        self.purge_strangers()
    }

    pub(super) fn configured_anew(&mut self, configure: Configure) {
        let Configure {
            services,
            before,
            reply,
        } = configure;
        if let Err(refusal) = self.configure(services.clone(), before) {
            return reply.send(Err(refusal));
        }
        self.ground.services.set_configured(services);
        self.tour(move |_| reply.send(Ok(())));
    }

    fn configure_one(
        &mut self,
        spec: tripline_protocol::api::ServiceSpec,
        secret: ServiceSecret,
    ) -> Result<(), Refusal> {
        if let Some(running) = self.running.get_mut(&spec.name) {
            (running.configured, running.leaving) = (true, false);
            running.addr.do_send(Change {
                spec,
                secret: Some(secret),
                configured: true,
                by: None,
                reply: None,
            });
            return Ok(());
        }
        let known: Option<ServiceRecord> = read(
            &self.ground.store,
            Table::Service,
            &name_key(&spec.name),
            "service",
        )?;
        let floor = match &known {
            Some(known) => known.floor,
            None => self.ground.services.take_seq(),
        };
        let mut record = ServiceRecord::new(spec, true, floor);
        let is_same = |known: &ServiceRecord| known.spec.url == record.spec.url && !known.leaving;
        if let Some(known) = known.filter(is_same) {
            (record.wants, record.healthy_at) = (known.wants, known.healthy_at);
        }
        self.begin(record, secret).map(drop)
    }

    /// Removes what is left of services that went from the configuration while the server was stopped: nobody can tell them
    /// any more, because their secret went, too.
    fn purge_strangers(&mut self) -> Result<(), Refusal> {
        let mut gone = Vec::new();
        crate::ground::rows(&self.ground.store, Table::Service, "service", |key, record| {
            let (name, _): (Name, ServiceRecord) = (name_of(key)?, record?);
            if !self.running.contains_key(&name) && !self.purges.has(&name) {
                gone.push(name);
            }
            Ok(())
        })?;
        for name in gone {
            tracing::warn!(service = %name, "a service went from the configuration; it is not told that its orgs left");
            self.purge(name, None);
        }
        Ok(())
    }

    fn register(&mut self, register: Register) {
        let Register {
            spec,
            secret,
            is_change,
            by,
            reply,
        } = register;
        if let Err(refusal) = self.admit(&spec, secret.as_ref(), is_change) {
            return reply.send(Err(refusal));
        }
        if let Some(running) = self.running.get_mut(&spec.name) {
            // One of the configuration that it named no more, and that has not left: it is the API's now.
            (running.configured, running.leaving) = (false, false);
            return running.addr.do_send(Change {
                spec,
                secret,
                configured: false,
                by: Some(by),
                reply: Some(reply),
            });
        }
        let Some(secret) = secret else {
            return reply.send(Err(secret_needed()));
        };
        let mut batch = Batch::new();
        let entry = self.ground.audit(Action::ServiceRegister, &by, None);
        batch.audit(registered(entry, &spec));
        self.ground.store.commit(batch, || {});
        let floor = self.ground.services.take_seq();
        let view = self.begin(ServiceRecord::new(spec, false, floor), secret);
        self.ground.after_commit(move || reply.send(view));
    }

    fn admit(
        &self,
        spec: &tripline_protocol::api::ServiceSpec,
        secret: Option<&ServiceSecret>,
        is_change: bool,
    ) -> Result<(), Refusal> {
        checked(spec, secret)?;
        let known = self.find(&spec.name);
        match known {
            Ok(known) if known.configured => return Err(configured(&spec.name)),
            Err(refusal) if is_change => return Err(refusal),
            Ok(_) if !is_change => {
                return Err(Refusal::Conflict {
                    code: "service_exists",
                    detail: format!("there is a service {} already", spec.name),
                });
            }
            _ => {}
        }
        if !is_change && secret.is_none() {
            return Err(secret_needed());
        }
        if self.purges.has(&spec.name) {
            return Err(Refusal::Conflict {
                code: "service_leaving",
                detail: format!(
                    "what is kept of the service {} that was removed is not gone yet; try again in a moment",
                    spec.name
                ),
            });
        }
        if known.is_err() && self.running.len() >= SERVICES_MAX {
            return Err(Refusal::Conflict {
                code: "too_many_services",
                detail: format!("there are {SERVICES_MAX} services already"),
            });
        }
        self.ground.admit_writes()
    }

    fn remove(&mut self, Remove { name, by, reply }: Remove) {
        match self.find(&name) {
            Err(refusal) => return reply.send(Err(refusal)),
            Ok(running) if running.configured => return reply.send(Err(configured(&name))),
            Ok(_) => {}
        }
        if let Some(running) = self.running.get_mut(&name) {
            running.leaving = true;
            running.addr.do_send(Leave {
                by: Some(by),
                reply: Some(reply),
            });
        }
    }
}

/// Passes a tour on, or ends it.
pub(super) fn go_on(ground: &Ground, mut tour: Tour<Service>) {
    match tour.rest.pop() {
        Some(next) => next.do_send(tour),
        None => {
            let Tour { views, done, .. } = tour;
            ground.after_commit(move || done(views));
        }
    }
}

/// The secret of a service that was registered over the API.
fn secret_of(ground: &Ground, name: &Name, record: &ServiceRecord) -> Result<Option<ServiceSecret>, Refusal> {
    if record.configured {
        return Ok(None);
    }
    let secret = ground.store.get(Table::ServiceSecret, &name_key(name))?;
    let secret = secret.as_deref().map(String::from_utf8_lossy);
    Ok(secret.map(|secret| ServiceSecret::new(&secret)))
}

pub(super) fn not_found(name: &Name) -> Refusal {
    Refusal::NotFound {
        what: "service",
        id: name.to_string(),
    }
}

fn configured(name: &Name) -> Refusal {
    Refusal::Conflict {
        code: "service_configured",
        detail: format!("service {name} is one of the configuration; change it there"),
    }
}

fn secret_needed() -> Refusal {
    Refusal::Invalid {
        code: "secret_needed",
        detail: "a service needs the secret that it shares with Tripline".into(),
    }
}

fn bad(detail: String) -> Refusal {
    Refusal::Invalid {
        code: "bad_service",
        detail,
    }
}

impl Actor for Services {
    type Context = Context<Self>;
}

impl Handler<Configure> for Services {
    type Result = ();
    fn handle(&mut self, configure: Configure, _: &mut Self::Context) {
        if let Some(configure) = self.delay(configure) {
            self.configured_anew(configure);
        }
    }
}

impl Handler<Register> for Services {
    type Result = ();
    fn handle(&mut self, register: Register, _: &mut Self::Context) {
        self.register(register);
    }
}

impl Handler<Remove> for Services {
    type Result = ();
    fn handle(&mut self, remove: Remove, _: &mut Self::Context) {
        self.remove(remove);
    }
}

impl Handler<Left> for Services {
    type Result = ();
    fn handle(&mut self, Left(name): Left, _: &mut Self::Context) {
        // It may be there again.
        if self.running.get(&name).is_none_or(|running| !running.leaving) {
            return;
        }
        let running = self.running.remove(&name);
        let actor = running.map(|running| running.addr);
        if let Some(actor) = &actor {
            actor.do_send(Retire);
        }
        self.purge(name, actor);
    }
}

impl Handler<HandOver> for Services {
    type Result = ();
    fn handle(&mut self, HandOver(queued): HandOver, _: &mut Self::Context) {
        let mut by_service: HashMap<Name, Vec<(u64, Item)>> = HashMap::new();
        for Queued { service, seq, item } in queued {
            by_service.entry(service).or_default().push((seq, item));
        }
        for (name, queued) in by_service {
            match self.running.get(&name) {
                Some(running) => running.addr.do_send(Take(queued)),
                None => self.discard(&name, queued),
            }
        }
    }
}

impl Handler<EdgeCame> for Services {
    type Result = ();
    fn handle(&mut self, message: EdgeCame, _: &mut Self::Context) {
        self.addrs().iter().for_each(|service| service.do_send(message));
    }
}

impl Handler<ListServices> for Services {
    type Result = ();
    fn handle(&mut self, ListServices { org, reply }: ListServices, _: &mut Self::Context) {
        self.tour(move |mut views| {
            views.retain(|view| org.as_ref().is_none_or(|org| view.spec.orgs.contains(org)));
            reply.send(Ok(views));
        });
    }
}

/// A message that is a service's, whose name is in a field, and whose reply refuses.
macro_rules! passes_on {
    ($message:ident, $name:ident $(. $inner:ident)?) => {
        impl Handler<$message> for Services {
            type Result = ();
            fn handle(&mut self, message: $message, _: &mut Self::Context) {
                match self.find(&message.$name $(. $inner)?) {
                    Ok(running) => running.addr.do_send(message),
                    Err(refusal) => refuse(message.reply, refusal),
                }
            }
        }
    };
}
passes_on!(Retry, name);
passes_on!(GetService, name);
passes_on!(ListServiceJobs, filter.service);
passes_on!(GetServiceJob, service);
passes_on!(Resource, service);
passes_on!(Ask, service);
passes_on!(GetRequest, service);
passes_on!(ListRequests, filter.service);

fn refuse<T>(reply: Reply<T>, refusal: Refusal) {
    reply.send(Err(refusal));
}

impl Handler<Retire> for Services {
    type Result = ();
    /// It is gone when all services are: none of them may decide anything beside those of the next generation.
    fn handle(&mut self, retire: Retire, ctx: &mut Self::Context) {
        self.sentinel.disarm();
        let left: Vec<_> = self.addrs().into_iter().filter(Addr::connected).collect();
        if left.is_empty() {
            return ctx.stop();
        }
        left.iter().for_each(|service| service.do_send(retire));
        ctx.notify_later(retire, RETIRE_PAUSE);
    }
}
