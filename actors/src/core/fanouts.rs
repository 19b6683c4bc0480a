//! Fan-outs, as edges ask for them. What is changed is asked on behalf of whoever [`Core::by`] names.

use super::control::checked;
use super::{Core, HostFilter};
use crate::directory::ListHosts;
use crate::fanout::{self, Change, ChangeFanout, GetFanout, ListFanoutHosts, ListFanouts, SubmitNew};
use crate::labels;
use crate::once::Once;
use crate::refusal::Refusal;
use tripline_protocol::api::{HostView, Page};
use tripline_protocol::fanout::{
    FanoutHostState, FanoutHostView, FanoutReach, FanoutState, FanoutView, RetryFanout, SubmitFanout,
};
use tripline_protocol::result::HostRef;
use tripline_protocol::{FanoutId, Name, Org};

/// Hosts that a preview names.
const NAMED_MAX: usize = 100;
/// Hosts of a page that a preview asks for.
const PAGE: usize = 1_000;

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

/// Which hosts of a fan-out to list, in the order in which they were found.
#[derive(Debug, Clone, Default)]
pub struct FanoutHostFilter {
    /// Only in this state.
    pub state: Option<FanoutHostState>,
    /// Only from where `Page::next` said.
    pub after: Option<String>,
    /// At most this many, 1 to 1000.
    pub limit: usize,
}

impl Core {
    /// Accepts a fan-out; durable when it returns, in the state `resolving`. The same org and idempotency key again
    /// are answered with what the first submission made. Refuses with `Invalid`, `NotFound` (a named job), `Conflict`
    /// (`fanout_pruned`) and `Busy` (too many open ones).
    pub async fn submit_fanout(&self, request: SubmitFanout) -> Result<FanoutView, Refusal> {
        self.submit_fanout_once(request, None).await
    }

    /// As [`Core::submit_fanout`]. With [`Once`], the same request again is answered with what the first one made, as it is
    /// now; refuses with `Invalid` (`idempotency_key_reused`), `Conflict` (`idempotency_gone`) and `Busy` then.
    pub async fn submit_fanout_once(
        &self,
        request: SubmitFanout,
        once: Option<Once>,
    ) -> Result<FanoutView, Refusal> {
        let fanout::Submission { mut new, reason } = self.checked_fanout(request)?;
        new.record.depth = self.depth.unwrap_or(0);
        let (reply, answer) = self.doors.submit.enter()?;
        self.peers()?.fanouts.do_send(SubmitNew {
            new: Box::new(new),
            reason,
            once,
            reply,
        });
        answer.wait().await
    }

    fn checked_fanout(&self, mut request: SubmitFanout) -> Result<fanout::Submission, Refusal> {
        request.reason = checked(request.reason)?;
        let rules = self.generations.rules();
        fanout::submitted(request, &rules.set, &self.by, self.ground.now())
    }

    /// Which hosts a fan-out would have now; nothing is made. Refuses as [`Core::submit_fanout`] does.
    pub async fn preview_fanout(&self, request: SubmitFanout) -> Result<FanoutReach, Refusal> {
        let protects = !request.include_protected;
        let mut filter = HostFilter {
            org: Some(request.org.clone().unwrap_or_else(Org::default_org)),
            selector: request.target.to_selector(),
            after: None,
            limit: PAGE,
        };
        self.checked_fanout(request)?;
        let mut reach = FanoutReach {
            hosts: 0,
            attached: 0,
            protected: 0,
            first: Vec::new(),
            more: 0,
        };
        loop {
            // Page by page, so that others are answered between two of them.
            let page = self.list_targets(filter.clone()).await?;
            for host in page.items {
                let protected = labels::protecting(&host.labels, &self.ground.config.hosts_protected);
                reach.hosts += 1;
                reach.attached += u64::from(!host.attachments.is_empty());
                reach.protected += u64::from(protects && protected.is_some());
                if reach.first.len() < NAMED_MAX {
                    reach.first.push(HostRef {
                        host_id: host.host_id,
                        hostname: host.hostname,
                    });
                }
            }
            filter.after = page.next;
            if filter.after.is_none() {
                reach.more = reach.hosts - reach.first.len() as u64;
                return Ok(reach);
            }
        }
    }

    /// Hosts on which something can be run by choosing them, a page of them.
    pub(super) async fn list_targets(&self, filter: HostFilter) -> Result<Page<HostView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.directory.do_send(ListHosts {
            filter,
            only_targets: true,
            reply,
        });
        answer.wait().await
    }

    /// One fan-out. Refuses with `NotFound`.
    pub async fn get_fanout(&self, org: Option<Org>, fanout_id: FanoutId) -> Result<FanoutView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.fanouts.do_send(GetFanout {
            org,
            fanout_id,
            reply,
        });
        answer.wait().await
    }

    /// Many fan-outs, newest first. Refuses with `Invalid` (`bad_cursor`).
    pub async fn list_fanouts(&self, filter: FanoutFilter) -> Result<Page<FanoutView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.fanouts.do_send(ListFanouts { filter, reply });
        answer.wait().await
    }

    /// The hosts of a fan-out, in the order in which they were found, which is that of their ids except for those that
    /// joined later. A page may have fewer than `limit`, and even none, while `next` says that there is more. Refuses
    /// with `NotFound` and `Invalid` (`bad_cursor`).
    pub async fn list_fanout_hosts(
        &self,
        org: Option<Org>,
        fanout_id: FanoutId,
        filter: FanoutHostFilter,
    ) -> Result<Page<FanoutHostView>, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.fanouts.do_send(ListFanoutHosts {
            org,
            fanout_id,
            filter,
            reply,
        });
        answer.wait().await
    }

    /// It makes no more jobs; those that are open go on. Pausing again replaces the reason. Durable when it returns.
    /// Refuses with `NotFound`, `Invalid` (`bad_reason`) and `Conflict` (`fanout_ended`).
    pub async fn pause_fanout(
        &self,
        org: Option<Org>,
        fanout_id: FanoutId,
        reason: Option<String>,
    ) -> Result<FanoutView, Refusal> {
        let change = Change::Pause(checked(reason)?);
        self.change_fanout(org, fanout_id, change).await
    }

    /// It goes on, whoever or whatever paused it; what failed before is not counted again. One that was not paused is
    /// answered as it is. Durable when it returns. Refuses with `NotFound` and `Conflict` (`fanout_ended`,
    /// `pipeline_paused`, `too_many_changes`).
    pub async fn resume_fanout(&self, org: Option<Org>, fanout_id: FanoutId) -> Result<FanoutView, Refusal> {
        self.change_fanout(org, fanout_id, Change::Resume).await
    }

    /// Hosts that wait end as `cancelled`, and its open jobs are cancelled. One that ended is answered as it is. Durable
    /// when it returns. Refuses with `NotFound`.
    pub async fn cancel_fanout(&self, org: Option<Org>, fanout_id: FanoutId) -> Result<FanoutView, Refusal> {
        self.change_fanout(org, fanout_id, Change::Cancel).await
    }

    /// Hosts with these outcomes get another turn; one that ended is open again. Durable when it returns. Refuses with
    /// `NotFound`, `Invalid` (`bad_fanout`), `Busy`, and `Conflict` (`nothing_to_retry`, `fanout_resolving`,
    /// `fanout_cancelling`, `too_many_changes`).
    pub async fn retry_fanout(
        &self,
        org: Option<Org>,
        fanout_id: FanoutId,
        request: RetryFanout,
    ) -> Result<FanoutView, Refusal> {
        request.check().map_err(|detail| Refusal::Invalid {
            code: "bad_fanout",
            detail,
        })?;
        self.change_fanout(org, fanout_id, Change::Retry(request)).await
    }

    async fn change_fanout(
        &self,
        org: Option<Org>,
        fanout_id: FanoutId,
        change: Change,
    ) -> Result<FanoutView, Refusal> {
        let (reply, answer) = self.doors.query.enter()?;
        self.peers()?.fanouts.do_send(ChangeFanout {
            org,
            fanout_id,
            change,
            by: self.on_record(),
            reply,
        });
        answer.wait().await
    }
}
