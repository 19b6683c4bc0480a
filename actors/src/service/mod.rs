//! Services: lc-services that others wrote, and to which Tripline is the cloud.
//!
//! The router decides who gets an event, and writes a message for each service in the event's batch. Each service has
//! an actor of its own, so that none waits for another: it keeps the queue ([`queue`]), asks for the service's health, and
//! decides what becomes of each call ([`state`], [`verdict`]). The registry ([`Services`]) knows which services there are.
//! What others may see of them, the router above all, is in the [`book`].
//!
//! Deliberately not here: HTTP, signatures and tokens, which are the edge's (`crate::ports`); what a service does through
//! LimaCharlie's own REST API.

mod actor;
mod book;
mod calls;
mod check;
mod data;
mod forget;
mod history;
mod jobs;
mod leftovers;
mod messages;
mod orgs;
mod purge;
mod queue;
mod record;
mod redact;
mod registry;
mod reply;
mod request;
mod requests;
mod resource;
mod route;
mod state;
#[cfg(test)]
mod tests;
mod ticks;
mod verdict;

pub(crate) use book::{Book, Edge, Listeners};
pub use messages::Registration;
pub(crate) use messages::{
    Configure, Deliveries, EdgeCame, GetService, GetServiceJob, ListServiceJobs, ListServices, Register,
    Remove, Resource, Retry,
};
pub(crate) use record::{
    Content, DeliveryRecord, EventRecord, OrgRecord, RequestRecord, ResourceRecord, ServiceRecord,
    request_key, split, use_key,
};
pub(crate) use registry::Services;
pub(crate) use reply::reply;
pub(crate) use request::{Ask, GetRequest, ListRequests};
pub use requests::ServiceRequestFilter;
pub(crate) use route::Planned;
pub(crate) use ticks::stored_ticks;
