//! What fan-outs are told and asked.

use super::record::{Definition, FanoutRecord};
use super::work::Work;
use crate::audit::By;
use crate::core::{FanoutFilter, FanoutHostFilter};
use crate::door::Reply;
use crate::once::Once;
use crate::scheduler::Accept;
use actix::prelude::*;
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::api::{HostView, Page};
use tripline_protocol::fanout::{FanoutHostView, FanoutView, RetryFanout};
use tripline_protocol::job::Outcome;
use tripline_protocol::{FanoutId, HostId, JobId, Name, Org};

/// A fan-out to begin.
#[derive(Debug)]
pub(crate) struct NewFanout {
    pub(crate) record: FanoutRecord,
    pub(crate) definition: Definition,
    pub(crate) work: Work,
}

/// What a batch of events causes, from the router: goes on to the scheduler, and fan-outs begin with it. All of its
/// batches take this way, so that they stay in order.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct BeginFanouts {
    pub(crate) accept: Accept,
    pub(crate) fanouts: Vec<NewFanout>,
}

/// Pipelines that are paused, and why; from the router, at the start and at every change.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct PausedPipelines(pub(crate) HashMap<Name, String>);

/// Somebody submits a fan-out; from the API. One that exists already is answered as it is. Refuses with `Busy`, and
/// `Conflict` when it was pruned.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct SubmitNew {
    pub(crate) new: Box<NewFanout>,
    pub(crate) reason: Option<String>,
    /// It is carried out once.
    pub(crate) once: Option<Once>,
    pub(crate) reply: Reply<FanoutView>,
}

/// What somebody wants to be done with a fan-out.
#[derive(Debug)]
pub(crate) enum Change {
    Pause(Option<String>),
    Resume,
    Cancel,
    Retry(RetryFanout),
}

/// Change a fan-out; from the API. Refuses with `NotFound`, `Conflict` and `Busy`.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ChangeFanout {
    pub(crate) org: Option<Org>,
    pub(crate) fanout_id: FanoutId,
    pub(crate) change: Change,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<FanoutView>,
}

/// One fan-out; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetFanout {
    pub(crate) org: Option<Org>,
    pub(crate) fanout_id: FanoutId,
    pub(crate) reply: Reply<FanoutView>,
}

/// Many fan-outs; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListFanouts {
    pub(crate) filter: FanoutFilter,
    pub(crate) reply: Reply<Page<FanoutView>>,
}

/// Hosts of a fan-out; from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListFanoutHosts {
    pub(crate) org: Option<Org>,
    pub(crate) fanout_id: FanoutId,
    pub(crate) filter: FanoutHostFilter,
    pub(crate) reply: Reply<Page<FanoutHostView>>,
}

/// A job of a fan-out ended, and its host's row says so; from the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostLanded {
    pub(crate) fanout_id: FanoutId,
    pub(crate) host_id: HostId,
    pub(crate) run: u32,
    pub(crate) outcome: Outcome,
    /// Up to which entry of the history the row was written.
    pub(crate) turn: u32,
}

/// An open job has no record, in a damaged store, and may belong to a fan-out; from the scheduler, who lets go of it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct JobLost(pub(crate) JobId);

/// What happened to a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum News {
    Attached,
    Detached,
    /// It is new, or its labels are others.
    Changed,
    Forgotten,
    /// It is a client, and was linked to a host.
    Linked,
}

/// Something happened to a host; from the scheduler, who hears it from the hosts and the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostNews {
    pub(crate) host_id: HostId,
    pub(crate) news: News,
}

/// A host that a target selects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FoundHost {
    pub(crate) host_id: HostId,
    pub(crate) is_protected: bool,
}

/// Hosts that a fan-out's target selects, of a part of all hosts; from the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostsFound {
    pub(crate) fanout_id: FanoutId,
    /// After which host it was looked; a fan-out that has gone on since does not take it.
    pub(crate) after: Option<HostId>,
    pub(crate) hosts: Vec<FoundHost>,
    /// The last host that was looked at; `None`: all were.
    pub(crate) looked_up_to: Option<HostId>,
}

/// A host that may join a fan-out, as it is now; from the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostSeen {
    pub(crate) view: Box<HostView>,
    pub(crate) is_protected: bool,
}
