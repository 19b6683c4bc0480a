//! What the registry and the actors of services are told and asked.

use super::queue::Item;
use super::record::ServiceRecord;
use super::registry::Services;
use crate::audit::By;
use crate::core::ServiceJobFilter;
use crate::door::Reply;
use crate::ports::{CallFailure, ServiceSecret};
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::api::{Page, ServiceJobView, ServiceResource, ServiceSpec, ServiceView};
use tripline_protocol::limacharlie::Answer;
use tripline_protocol::{Name, Org};

/// A service and its secret, as the configuration has them.
#[derive(Debug, Clone, PartialEq)]
pub struct Registration {
    /// What it is.
    pub spec: ServiceSpec,
    /// What it shares with Tripline.
    pub secret: ServiceSecret,
}

/// There is somebody who calls services; from the facade, and on to the services.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct EdgeCame;

/// The services of the configuration; from the facade.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Configure {
    pub(crate) services: Vec<Registration>,
    /// Runs when they are about to come into force.
    pub(crate) before: Box<dyn FnOnce() + Send>,
    pub(crate) reply: Reply<()>,
}

/// Registers or changes a service; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Register {
    pub(crate) spec: ServiceSpec,
    pub(crate) secret: Option<ServiceSecret>,
    pub(crate) is_change: bool,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<ServiceView>,
}

/// Removes a service; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Remove {
    pub(crate) name: Name,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<()>,
}

/// Tries at once what waits for its time; from the API, and on to the service.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Retry {
    pub(crate) name: Name,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<ServiceView>,
}

/// All services; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListServices {
    pub(crate) org: Option<Org>,
    pub(crate) reply: Reply<Vec<ServiceView>>,
}

/// One service; from the API, and on to it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetService {
    pub(crate) org: Option<Org>,
    pub(crate) name: Name,
    pub(crate) reply: Reply<ServiceView>,
}

/// Jobs of a service; from the API, and on to it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListServiceJobs {
    pub(crate) filter: ServiceJobFilter,
    pub(crate) reply: Reply<Page<ServiceJobView>>,
}

/// A job of a service; from the API, and on to it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetServiceJob {
    pub(crate) org: Option<Org>,
    pub(crate) service: Name,
    pub(crate) id: String,
    pub(crate) reply: Reply<ServiceJobView>,
}

/// What a service offers under a name; from the API, and on to it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Resource {
    pub(crate) org: Option<Org>,
    pub(crate) service: Name,
    pub(crate) resource: String,
    /// How deep the call is.
    pub(crate) depth: u8,
    pub(crate) reply: Reply<ServiceResource>,
}

/// A message for a service; its row is durable.
#[derive(Debug, Clone)]
pub(crate) struct Queued {
    pub(crate) service: Name,
    pub(crate) seq: u64,
    pub(crate) item: Item,
}

/// Messages for services, once they are durable; from the router by way of the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HandOver(pub(crate) Vec<Queued>);

/// What an event's batch has for services, to be handed over when it is durable.
#[derive(Debug, Default)]
pub(crate) struct Deliveries {
    pub(crate) to: Option<Addr<Services>>,
    pub(crate) queued: Vec<Queued>,
}

impl Deliveries {
    pub(crate) fn hand_over(self) {
        if let Some(to) = self.to.filter(|_| !self.queued.is_empty()) {
            to.do_send(HandOver(self.queued));
        }
    }
}

/// Messages for this service; from the registry.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Take(pub(super) Vec<(u64, Item)>);

/// The rows of these messages of its own are durable; from the service to itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Written(pub(super) Vec<u64>);

/// The service is this from now on; from the registry. `by`: who wanted it, if not the configuration.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Change {
    pub(super) spec: ServiceSpec,
    /// `None`: as it is.
    pub(super) secret: Option<ServiceSecret>,
    pub(super) configured: bool,
    pub(super) by: Option<Arc<By>>,
    pub(super) reply: Option<Reply<ServiceView>>,
}

/// The service is to be no more; from the registry.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Leave {
    pub(super) by: Option<Arc<By>>,
    pub(super) reply: Option<Reply<()>>,
}

/// It is no more, and its rows are to be removed; from the service to the registry.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Left(pub(super) Name);

/// Tells what it is and passes the question on; from the registry, then from service to service. `done` runs when what
/// was decided before is durable.
#[derive(Message)]
#[rtype(result = "()")]
pub(super) struct Tour<A: Actor> {
    pub(super) rest: Vec<Addr<A>>,
    pub(super) views: Vec<ServiceView>,
    pub(super) done: Box<dyn FnOnce(Vec<ServiceView>) + Send>,
}

/// A call has ended; from the service to itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Called {
    pub(super) what: CallOf,
    pub(super) result: Result<Answer, CallFailure>,
}

/// What a call was about.
#[derive(Debug)]
pub(super) enum CallOf {
    /// Its health. The count of its changes then: an answer of what it was before counts for nothing.
    Health(u64),
    /// The message of this number. Where it was then, as counted by its moves.
    Delivery { seq: u64, place: u64 },
    /// A resource; first its hash, then all of it.
    Resource { request: Resource, with_data: bool },
}

/// As the registry starts a service.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) record: ServiceRecord,
    pub(super) secret: ServiceSecret,
}
