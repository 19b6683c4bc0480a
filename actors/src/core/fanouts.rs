//! Fan-outs, as edges ask for them. What is changed is asked on behalf of whoever [`Core::by`] names.

use super::Core;
use crate::refusal::Refusal;
use tripline_protocol::api::Page;
use tripline_protocol::fanout::{
    FanoutHostState, FanoutHostView, FanoutReach, FanoutState, FanoutView, RetryFanout, SubmitFanout,
};
use tripline_protocol::{FanoutId, Name, Org};

/// Which fan-outs to list, newest first.
#[derive(Debug, Clone, Default)]
pub struct FanoutFilter {
    /// Only of this org.
    pub org: Option<Org>,
    /// Only in this state.
    pub state: Option<FanoutState>,
    /// Only of this name.
    pub name: Option<Name>,
    /// Only after the fan-out that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

/// Which hosts of a fan-out to list, by host id.
#[derive(Debug, Clone, Default)]
pub struct FanoutHostFilter {
    /// Only in this state.
    pub state: Option<FanoutHostState>,
    /// Only after the host that `Page::next` named.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

const NOT_YET: Refusal = Refusal::Unavailable {
    detail: "fan-outs are not there yet",
};

impl Core {
    /// Accepts a fan-out; durable when it returns, in the state `resolving`. The same org and idempotency key again
    /// are answered with what the first submission made. Refuses with `Invalid`, `NotFound` (a named job) and `Busy`
    /// (too many open ones).
    pub async fn submit_fanout(&self, request: SubmitFanout) -> Result<FanoutView, Refusal> {
        drop(request);
        Err(NOT_YET)
    }

    /// Which hosts a fan-out would have now; nothing is made. Refuses as [`Core::submit_fanout`] does.
    pub async fn preview_fanout(&self, request: SubmitFanout) -> Result<FanoutReach, Refusal> {
        drop(request);
        Err(NOT_YET)
    }

    /// One fan-out. Refuses with `NotFound`.
    pub async fn get_fanout(&self, org: Option<Org>, fanout_id: FanoutId) -> Result<FanoutView, Refusal> {
        drop((org, fanout_id));
        Err(NOT_YET)
    }

    /// Many fan-outs, newest first. Refuses with `Invalid` (`bad_cursor`).
    pub async fn list_fanouts(&self, filter: FanoutFilter) -> Result<Page<FanoutView>, Refusal> {
        drop(filter);
        Err(NOT_YET)
    }

    /// The hosts of a fan-out, by host id. A page may have fewer than `limit`, and even none, while `next` says that
    /// there is more. Refuses with `NotFound` and `Invalid` (`bad_cursor`).
    pub async fn list_fanout_hosts(
        &self,
        org: Option<Org>,
        fanout_id: FanoutId,
        filter: FanoutHostFilter,
    ) -> Result<Page<FanoutHostView>, Refusal> {
        drop((org, fanout_id, filter));
        Err(NOT_YET)
    }

    /// It makes no more jobs; those that are open go on. Pausing again replaces the reason. Durable when it returns.
    /// Refuses with `NotFound`, `Invalid` (`bad_reason`) and `Conflict` (`fanout_ended`).
    pub async fn pause_fanout(
        &self,
        org: Option<Org>,
        fanout_id: FanoutId,
        reason: Option<String>,
    ) -> Result<FanoutView, Refusal> {
        drop((org, fanout_id, reason));
        Err(NOT_YET)
    }

    /// It goes on, whoever or whatever paused it; what failed before is not counted again. One that was not paused is
    /// answered as it is. Durable when it returns. Refuses with `NotFound` and `Conflict` (`fanout_ended`,
    /// `pipeline_paused`).
    pub async fn resume_fanout(&self, org: Option<Org>, fanout_id: FanoutId) -> Result<FanoutView, Refusal> {
        drop((org, fanout_id));
        Err(NOT_YET)
    }

    /// Hosts that wait end as `cancelled`, and its open jobs are cancelled. One that ended is answered as it is. Durable
    /// when it returns. Refuses with `NotFound`.
    pub async fn cancel_fanout(&self, org: Option<Org>, fanout_id: FanoutId) -> Result<FanoutView, Refusal> {
        drop((org, fanout_id));
        Err(NOT_YET)
    }

    /// Hosts with these outcomes get another turn; one that ended is open again. Durable when it returns. Refuses with
    /// `NotFound`, `Invalid` (`bad_fanout`) and `Conflict` (`nothing_to_retry`, `fanout_resolving`).
    pub async fn retry_fanout(
        &self,
        org: Option<Org>,
        fanout_id: FanoutId,
        request: RetryFanout,
    ) -> Result<FanoutView, Refusal> {
        drop((org, fanout_id, request));
        Err(NOT_YET)
    }
}
