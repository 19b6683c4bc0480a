//! What the service role is told and asked.

use super::news::Told;
use super::record::{CallKey, Cut};
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

/// A part of an org's rows is to be looked at, and what is to go removed; from the org's removal. Answered when that is durable.
#[derive(Debug)]
pub(crate) struct Sweep {
    pub(crate) org: Org,
    pub(crate) cut: Cut,
    /// Only rows after this place, as the answer before said.
    pub(crate) after: Option<Vec<u8>>,
    pub(crate) reply: Reply<Swept>,
}

/// A part was looked at.
#[derive(Debug, Default)]
pub(crate) struct Swept {
    /// Of the org among them: what was removed, and what cannot be yet.
    pub(crate) found: usize,
    /// Where to go on; `None`: these were the last.
    pub(crate) next: Option<Vec<u8>>,
}

/// Forget the answers to calls of an org. To the role.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct ForgetCalls(pub(super) Sweep);

/// Forget what an org was to hear of its jobs. To the role.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct ForgetNews(pub(super) Sweep);

/// The streams were purged of an org; answered when that is written down. From its removal, to the role.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(super) struct OrgPurged {
    pub(super) org: Org,
    pub(super) reply: Reply<()>,
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

/// Forget the hosts of an org that are known from LimaCharlie alone. To the Directory.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetSensors(pub(crate) Sweep);

/// Cancel the open jobs of an org and forget its ended ones. To the scheduler.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetJobs(pub(crate) Sweep);

/// Cancel the open fan-outs of an org and forget its ended ones. To the Fanouts.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetFanouts(pub(crate) Sweep);

/// Forget the decisions not to act on events of an org. To the router.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetDecisions(pub(crate) Sweep);

/// Forget what services have of an org: messages that wait for them, and jobs that they told of. To the registry.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct ForgetServices(pub(crate) Sweep);

/// Let go of the messages of an org that wait for the broker, or may be published again. To the Outbox.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct WithdrawMessages {
    pub(crate) sweep: Sweep,
    /// Those in quarantine rather.
    pub(crate) is_quarantine: bool,
    /// Only those with this number or a lower one.
    pub(crate) upto: u64,
}
