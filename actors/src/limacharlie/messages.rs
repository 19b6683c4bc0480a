//! What the service role is told and asked.

use super::news::Told;
use super::record::CallKey;
use super::sensor::Sensor;
use crate::audit::By;
use crate::door::Reply;
use crate::outbox::Outgoing;
use crate::ports::OutMessage;
use crate::scheduler::NewJob;
use crate::store::Batch;
use actix::prelude::*;
use std::sync::Arc;
use tripline_protocol::limacharlie::{Answer, ServiceEtype};
use tripline_protocol::{JobId, Org, Timestamp};

/// A call whose signature was right; from the edge. Answered when it is handled, and what it caused is durable; for a repeat with
/// the answer of the first. Refuses with `Busy` and `Unavailable`: it is to come again.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct TakeCall {
    pub(crate) key: CallKey,
    pub(crate) etype: ServiceEtype,
    pub(crate) work: Work,
    /// When its caller stops waiting.
    pub(crate) deadline: Option<Timestamp>,
    pub(crate) by: Arc<By>,
    pub(crate) reply: Reply<Answer>,
}

/// What a call is to cause.
#[derive(Debug)]
pub(crate) enum Work {
    /// An event, about a sensor or none.
    Event {
        message: OutMessage,
        sensor: Option<Sensor>,
    },
    /// An org subscribes, and the event that says so.
    Install(OutMessage),
    /// An org ends its subscription.
    Uninstall,
    /// Jobs, and the answer when nobody waits for their ends.
    Jobs(Vec<NewJob>),
}

/// A job that was accepted has ended, and that is durable; from whoever commits it.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct JobEnded(pub(crate) JobId);

/// What a call about a sensor caused is durable; the role tells itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct Learned(pub(super) CallKey);

/// The jobs of a call are durable; the role tells itself.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct JobsAccepted(pub(super) CallKey);

/// What became of an answer with news; from its receipt.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct NewsTold {
    pub(crate) org: Org,
    pub(crate) told: Vec<Told>,
    pub(crate) written: bool,
}

/// Forget what is kept of an org here; answered with how much there was. From its removal.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct ForgetOrg {
    pub(super) org: Org,
    /// What was forgotten already: it is done in short turns, for which the role tells itself.
    pub(super) forgotten: usize,
    pub(super) reply: Reply<usize>,
}

/// Nothing of an org is left; from its removal.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct OrgGone(pub(super) Org);

/// Commit `batch`, with the host that a sensor is if it is new or has changed; to the Directory.
#[derive(Message)]
#[rtype(result = "()")]
pub(crate) struct LearnSensor {
    pub(crate) sensor: Sensor,
    pub(crate) batch: Batch,
    /// Staged in `batch`.
    pub(crate) outgoing: Vec<Outgoing>,
    /// Runs when it is durable.
    pub(crate) then: Box<dyn FnOnce() + Send>,
}

/// Forget the hosts of an org that are known from LimaCharlie alone; answered with how many there were. To the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetSensors {
    pub(crate) org: Org,
    pub(crate) reply: Reply<usize>,
}

/// Cancel the open jobs of an org and forget its ended ones, a part of all jobs at a time. To the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetJobs {
    pub(crate) org: Org,
    /// Only those after this place.
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) reply: Reply<JobsForgotten>,
}

/// A part of all jobs was looked at.
#[derive(Debug)]
pub(crate) struct JobsForgotten {
    /// Jobs of the org among them, open or ended.
    pub(crate) found: usize,
    /// Where to go on; `None`: these were the last.
    pub(crate) next: Option<Vec<u8>>,
}

/// How many messages of an org wait for the broker? To the Outbox.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct CountWaitingOf {
    pub(crate) org: Org,
    pub(crate) reply: Reply<usize>,
}
