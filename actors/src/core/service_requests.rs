//! What services are asked for, as edges reach it.

use super::Core;
use crate::once::Once;
use crate::refusal::Refusal;
use crate::service::{Ask, GetRequest, ListRequests, ServiceRequestFilter};
use tripline_protocol::api::{AskService, Page, ServiceRequestView};
use tripline_protocol::limit::TRIPDEPTH_MAX;
use tripline_protocol::{Name, Org};
use uuid::Uuid;

impl Core {
    /// Asks a service for something; durable when it returns, and answered when the service answered. With [`Once`], the same
    /// request again is answered with what the first one came to, as it is now. Refuses with `NotFound` (no such service, or
    /// the org is not subscribed to it), `Invalid` (`bad_params`, `org_needed`, `too_large`, `too_deep`,
    /// `idempotency_key_reused`), `Conflict` (`service_failed`: it takes no requests, or did not say so yet;
    /// `idempotency_gone`) and `Busy`.
    pub async fn ask_service(
        &self,
        service: Name,
        AskService { org, params }: AskService,
        once: Option<Once>,
    ) -> Result<ServiceRequestView, Refusal> {
        let depth = self.one_deeper()?;
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.services.do_send(Ask {
            service,
            org,
            params,
            depth,
            once,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }

    /// How deep a call is that goes out for who asks. A service that was told of something may ask another: one deeper, so that it
    /// ends. Refuses with `Invalid` (`too_deep`).
    pub(super) fn one_deeper(&self) -> Result<u8, Refusal> {
        let depth = self.depth.map_or(0, |depth| depth.saturating_add(1));
        if depth > TRIPDEPTH_MAX {
            return Err(Refusal::Invalid {
                code: "too_deep",
                detail: format!("{TRIPDEPTH_MAX} pipelines and services led to this request already"),
            });
        }
        Ok(depth)
    }

    /// What became of a request. Refuses with `NotFound`.
    pub async fn get_service_request(
        &self,
        org: Option<Org>,
        service: Name,
        id: Uuid,
    ) -> Result<ServiceRequestView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.services.do_send(GetRequest {
            org,
            service,
            id,
            reply,
        });
        answer.wait().await
    }

    /// Requests to a service. Refuses with `NotFound` and `Invalid` (`bad_cursor`).
    pub async fn list_service_requests(
        &self,
        filter: ServiceRequestFilter,
    ) -> Result<Page<ServiceRequestView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.services.do_send(ListRequests { filter, reply });
        answer.wait().await
    }
}
