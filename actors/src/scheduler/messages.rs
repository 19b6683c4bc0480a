//! What the scheduler is told and asked.

use crate::audit::By;
use crate::core::JobFilter;
use crate::door::Reply;
use crate::fanout::FanoutPart;
use crate::once::Once;
use crate::outbox::Outgoing;
use crate::record::JobRecord;
use crate::service::Deliveries;
use crate::store::Batch;
use crate::trace::TraceSpan;
use actix::prelude::*;
use serde_json::{Map, Value};
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::api::{HostView, JobCounts, JobView, Page, SlotsView};
use tripline_protocol::event::EventRef;
use tripline_protocol::job::{JobSpec, Outcome, PipelineRef, Reason};
use tripline_protocol::result::HostRef;
use tripline_protocol::{CommandId, FanoutId, HostId, JobId, Org};

/// A job to accept.
#[derive(Debug, Clone)]
pub(crate) struct NewJob {
    pub(crate) job_id: JobId,
    pub(crate) org: Org,
    pub(crate) spec: JobSpec,
    /// The values of `let` that its late arguments may name.
    pub(crate) vars: Map<String, Value>,
    pub(crate) host: HostRef,
    pub(crate) pipeline: Option<PipelineRef>,
    pub(crate) event: Option<EventRef>,
    /// The fan-out that it belongs to.
    pub(crate) fanout: Option<FanoutPart>,
    pub(crate) traceparent: Option<String>,
    pub(crate) depth: u8,
    /// Who submitted it; `None`: a pipeline.
    pub(crate) by: Option<By>,
    /// 0, and one more for each replay by a person.
    pub(crate) run: u32,
    /// What a service gave to its task.
    pub(crate) investigation_id: Option<String>,
}

/// What a batch of events causes, or a fan-out, from Fanouts: committed as one batch.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Accept {
    pub(crate) batch: Batch,
    pub(crate) jobs: Vec<NewJob>,
    /// Staged in `batch`.
    pub(crate) outgoing: Vec<Outgoing>,
    /// Of the events and of what was decided about them.
    pub(crate) spans: Vec<TraceSpan>,
    /// Messages for services, staged in `batch`.
    pub(crate) deliveries: Deliveries,
    pub(crate) reply: Option<Reply<()>>,
}

/// What was decided about a fan-out: committed here, so that it is in order with the fan-out's jobs.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct Persist {
    pub(crate) batch: Batch,
    /// Staged in `batch`.
    pub(crate) outgoing: Vec<Outgoing>,
    /// How far its history has come; `None`: it has ended.
    pub(crate) turn: Option<(FanoutId, Option<u32>)>,
    /// Runs when it is durable.
    pub(crate) then: Box<dyn FnOnce() + Send>,
}

/// A host is new, or its labels are others; from the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostDiffers(pub(crate) HostId);

/// A person or program submits a job. Refuses with `Busy`; a job that exists already is answered as it is.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Submit {
    pub(crate) job: NewJob,
    pub(crate) once: Option<Once>,
    pub(crate) reply: Reply<JobView>,
}

/// Cancels a job; from the API. Refuses with `NotFound`, or `Conflict` when it has ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CancelJob {
    pub(crate) org: Option<Org>,
    pub(crate) job_id: JobId,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<JobView>,
}

/// One job, from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetJob {
    pub(crate) org: Option<Org>,
    pub(crate) job_id: JobId,
    pub(crate) reply: Reply<JobView>,
}

/// Many jobs, from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ListJobs {
    pub(crate) filter: JobFilter,
    pub(crate) reply: Reply<Page<JobView>>,
}

/// All slots, from the API. The scheduler passes it along the slots, each of which adds its own.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetSlots {
    pub(crate) reply: Reply<SlotsView>,
}

/// How many jobs are open and for what they wait, from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct GetJobCounts {
    pub(crate) reply: Reply<JobCounts>,
}

/// How many jobs each host has open, from the API.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CountOpen {
    pub(crate) hosts: Vec<HostId>,
    pub(crate) reply: Reply<HashMap<HostId, u32>>,
}

/// A host can be reached; from its Host actor.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostAttached(pub(crate) HostId);

/// A host can no longer be reached; from its Host actor or the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostDetached(pub(crate) HostId);

/// Join an agent's host and a LittleBrother client; from the API. Refuses with `NotFound`, and `Conflict` when they
/// cannot be joined or the client's own record has an open job.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct LinkHost {
    pub(crate) org: Option<Org>,
    pub(crate) host: String,
    pub(crate) client: String,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<HostView>,
}

/// A LittleBrother client's own record stands for a host from now on; from the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct HostLinked {
    pub(crate) client: HostId,
    pub(crate) host: HostRef,
}

/// How a session with a job ended.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// The job ended, but for steps that it may have for its end.
    Ended(Outcome, Reason),
    /// Those are over, too.
    Closed(Outcome, Reason),
    /// The host went away before anything irrevocable: the job waits again.
    GivenBack,
    /// The job waits for a time, as its record says.
    Rests,
}

/// A slot is free again; from the slot.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct SessionEnded {
    pub(crate) record: Box<JobRecord>,
    pub(crate) end: SessionEnd,
    /// The last command, whose result the agent may forget once this is durable.
    pub(crate) ack: Option<CommandId>,
}

/// Start nothing more; answered when no job runs.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Drain {
    pub(crate) reply: Reply<()>,
}
