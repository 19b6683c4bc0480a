//! Services, as edges reach them: registered, shown, and what they tell.

use super::Core;
use crate::ports::{ServiceCaller, ServiceSecret, ServiceTokens};
use crate::refusal::Refusal;
use crate::service::{
    Configure, Edge, GetService, GetServiceJob, ListServiceJobs, ListServices, Register, Registration,
    Remove, Resource, Retry,
};
use std::sync::Arc;
use tripline_protocol::api::{Page, Role, ServiceBody, ServiceJobView, ServiceResource, ServiceView};
use tripline_protocol::limit::TRIPDEPTH_MAX;
use tripline_protocol::{Event, Name, Org, Timestamp};

/// Which jobs of a service to list, the one that was last heard of first.
#[derive(Debug, Clone)]
pub struct ServiceJobFilter {
    /// Only of this org.
    pub org: Option<Org>,
    /// Whose.
    pub service: Name,
    /// Only after the job that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

impl Core {
    /// From now on services are called by `caller`, with tokens of `tokens`. Until then no call goes out. Only the first
    /// call counts.
    pub fn set_services(&self, caller: Arc<dyn ServiceCaller>, tokens: Arc<dyn ServiceTokens>) {
        self.ground.services.set_edge(Edge { caller, tokens });
        // A generation that is being made looks when it is.
        if let Ok(peers) = self.peers() {
            peers.services.do_send(crate::service::EdgeCame);
        }
    }

    /// The services of the configuration are these: new ones begin, changed ones change, and those that are gone are
    /// told `org_uninstall` and then forgotten. A name that was registered over the API is the configuration's from then
    /// on. Durable when it returns. To be called once at the start before events are taken, also with none, and again
    /// whenever the configuration was read. Refuses with `Invalid` (`bad_service`).
    pub async fn configure_services(&self, services: Vec<Registration>) -> Result<(), Refusal> {
        self.configure_services_with(services, || {}).await
    }

    /// The same with what else is to change with them: `before` runs when they are about to come into force, before any of
    /// them is called, and not at all when they are refused. A service whose name one has that was removed and is not quite gone waits for
    /// that.
    pub async fn configure_services_with(
        &self,
        services: Vec<Registration>,
        before: impl FnOnce() + Send + 'static,
    ) -> Result<(), Refusal> {
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.services.do_send(Configure {
            services,
            before: Box::new(before),
            reply,
        });
        answer.wait().await
    }

    /// All services to which an org is subscribed (`None`: all of them), by name.
    pub async fn list_services(&self, org: Option<Org>) -> Result<Vec<ServiceView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.services.do_send(ListServices { org, reply });
        answer.wait().await
    }

    /// One service. Refuses with `NotFound`, also when the org is not subscribed to it.
    pub async fn get_service(&self, org: Option<Org>, name: Name) -> Result<ServiceView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.services.do_send(GetService { org, name, reply });
        answer.wait().await
    }

    /// Registers a service; durable when it returns. Refuses with `Invalid` (`bad_service`, `secret_needed`) and
    /// `Conflict` (`service_exists`, `too_many_services`; `service_leaving`: what is kept of one that was removed and had
    /// its name is not gone yet).
    pub async fn register_service(&self, body: ServiceBody) -> Result<ServiceView, Refusal> {
        self.put_service(body, false).await
    }

    /// Changes a service, by the name in `body`; without a secret it keeps the one it has. Refuses with `NotFound`,
    /// `Invalid` (`bad_service`) and `Conflict` (`service_configured`).
    pub async fn change_service(&self, body: ServiceBody) -> Result<ServiceView, Refusal> {
        self.put_service(body, true).await
    }

    async fn put_service(&self, body: ServiceBody, is_change: bool) -> Result<ServiceView, Refusal> {
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.services.do_send(Register {
            secret: body.secret.as_deref().map(ServiceSecret::new),
            spec: body.spec,
            is_change,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }

    /// Removes a service: what waits for it is given up, its tokens are worth nothing from then on, and it is told
    /// `org_uninstall` for each of its orgs before it is forgotten. Refuses with `NotFound` and `Conflict`
    /// (`service_configured`).
    pub async fn remove_service(&self, name: Name) -> Result<(), Refusal> {
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.services.do_send(Remove {
            name,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }

    /// Asks a service for its health at once, and delivers at once what waits for its time. Refuses with `NotFound`.
    pub async fn retry_service(&self, name: Name) -> Result<ServiceView, Refusal> {
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.services.do_send(Retry {
            name,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }

    /// Jobs of a service. Refuses with `NotFound` and `Invalid` (`bad_cursor`).
    pub async fn list_service_jobs(&self, filter: ServiceJobFilter) -> Result<Page<ServiceJobView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.services.do_send(ListServiceJobs { filter, reply });
        answer.wait().await
    }

    /// One job of a service, by the id that the service gave it. Refuses with `NotFound`.
    pub async fn get_service_job(
        &self,
        org: Option<Org>,
        service: Name,
        id: String,
    ) -> Result<ServiceJobView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        let peers = self.peers()?;
        peers.services.do_send(GetServiceJob {
            org,
            service,
            id,
            reply,
        });
        answer.wait().await
    }

    /// What a service offers under a name: asked for by its hash, and fetched only when that is another one than
    /// before. `org`: for whom it is asked; `None`: the first that is subscribed. Refuses with `NotFound` (no such service,
    /// or it says that it has no such thing), `Invalid` (`bad_resource`: what it gave does not fit its hash, or is too
    /// long; `too_deep`), `Busy`, and `Conflict` (`service_failed`) when it cannot be asked.
    pub async fn service_resource(
        &self,
        org: Option<Org>,
        service: Name,
        resource: String,
    ) -> Result<ServiceResource, Refusal> {
        let depth = self.one_deeper()?;
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.services.do_send(Resource {
            org,
            service,
            resource,
            depth,
            reply,
        });
        answer.wait().await
    }

    /// What the holder of a token of `service` may do in `org` now; `None`: nothing, there is no such service, or the org
    /// is not subscribed to it. Looks in memory only.
    pub fn service_rights(&self, service: &Name, org: &Org, joined: Timestamp) -> Option<Role> {
        self.ground.services.rights(service, org, joined)
    }

    /// The same actors, asked because a service was called with something that was `depth` deep: jobs that are submitted
    /// are as deep, and their events and those that are published one deeper. At 8 is the end.
    #[must_use]
    pub fn deep(&self, depth: u8) -> Self {
        Self {
            depth: Some(depth),
            ..self.clone()
        }
    }

    /// An event that a service publishes is deeper than what it was called with. Refuses with `Invalid` (`too_deep`).
    pub(super) fn deepen(&self, event: &mut Event) -> Result<(), Refusal> {
        let Some(depth) = self.depth else { return Ok(()) };
        event.depth = event.depth.max(depth.saturating_add(1));
        if event.depth > TRIPDEPTH_MAX {
            return Err(Refusal::Invalid {
                code: "too_deep",
                detail: format!("{depth} pipelines and services led to this event already"),
            });
        }
        Ok(())
    }
}
