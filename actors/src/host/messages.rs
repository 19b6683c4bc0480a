//! What a host is told.

use super::littlebrother::Ticket;
use crate::audit::By;
use crate::core::{AgentLink, Attached, Presented};
use crate::door::Reply;
use crate::littlebrother::Answer;
use crate::record::HostRecord;
use crate::slot::SessionSlot;
use actix::prelude::*;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tripline_protocol::frame::{AgentFrame, Hello};
use tripline_protocol::littlebrother::ClientMessage;
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::verb::VerbCall;
use tripline_protocol::{CommandId, HostId, SessionId, Timestamp, TransferId};
use uuid::Uuid;

/// A command to send.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Execute {
    pub(crate) command_id: CommandId,
    /// Of an interactive session; `None`: of the host's jobs.
    pub(crate) session_id: Option<SessionId>,
    /// What it moves, if it moves a file.
    pub(crate) transfer_id: TransferId,
    pub(crate) call: VerbCall,
    pub(crate) deadline: Timestamp,
    /// What the intent to send it names: the journal of the attachment that is to carry it out. `None` for one
    /// that only reads.
    pub(crate) journal_id: Option<Uuid>,
}

/// A command that was perhaps sent before the Host actor was made.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Adopt {
    pub(crate) command_id: CommandId,
    pub(crate) session_id: Option<SessionId>,
    /// As in [`Execute`].
    pub(crate) transfer_id: TransferId,
    pub(crate) call: VerbCall,
    pub(crate) deadline: Timestamp,
    /// As in [`Execute`], when it was sent.
    pub(crate) journal_id: Option<Uuid>,
    /// Its end was asked for meanwhile.
    pub(crate) cancelled: bool,
}

/// Everything that reaches a Host through the Directory, which activates it first if need be.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) enum HostCommand {
    /// From the agent channel.
    Attach(Box<Attach>),
    /// From a slot.
    Execute {
        slot: Addr<SessionSlot>,
        execute: Execute,
    },
    /// From a slot.
    Adopt { slot: Addr<SessionSlot>, adopt: Adopt },
    /// From a slot: end it; confirmed by its result.
    Cancel { command_id: CommandId },
    /// From a slot: nobody waits for it any more.
    Abandon { command_id: CommandId },
    /// From a slot or the scheduler: its result is durable.
    Ack { command_id: CommandId },
    /// From the Directory: close the agent's connection, telling it why.
    CutOff(&'static str),
    /// From the Directory: the LittleBrother client that the host reports as sent this. Refuses with `Busy` and
    /// `Unavailable`, and changes nothing then.
    FromClient {
        message: ClientMessage,
        reply: Reply<Answer>,
    },
    /// From the Directory: this client was not heard of since then, longer than a client may be silent.
    Silence { client: HostId, since: Timestamp },
    /// From the Directory: the LittleBrother settings are others now.
    Reconfigured,
    /// From the Directory: report as the client with this own record from now on.
    Link(Box<HostRecord>),
    /// From the Directory: let this client go, and say [`crate::directory::ClientLeft`]. Its own record leaves
    /// memory.
    LetGo { client: HostId },
    /// From the Directory: the host is to be forgotten; let the agent go, telling it why, write nothing more, and say
    /// [`crate::directory::HostLeft`].
    Leave(&'static str),
    /// From the Directory: have the agent replace its key.
    RotateKey { by: Arc<By>, reply: Reply<()> },
    /// From the Directory, with how many commands it forwarded so far.
    PassivateIfIdle { forwarded: u64 },
}

/// An agent with a valid key says hello.
#[derive(Debug)]
pub(crate) struct Attach {
    pub(crate) hello: Hello,
    pub(crate) presented: Presented,
    pub(crate) link: AgentLink,
    pub(crate) reply: Reply<Attached>,
}

/// A frame of the agent; from its connection.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct AgentSays {
    pub(crate) epoch: u64,
    pub(crate) frame: AgentFrame,
    /// The verified file that a transfer left.
    pub(crate) artifact: Option<ArtifactRef>,
    /// Its place among the frames on their way.
    pub(crate) permit: OwnedSemaphorePermit,
}

/// The connection of this epoch ended.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct Detached {
    pub(crate) epoch: u64,
}

/// Whether an answer to a LittleBrother client was written; from its receipt.
#[derive(Message, Debug)]
#[rtype(result = "()")]
pub(crate) struct AnswerWritten {
    /// Which load of the client gave it.
    pub(crate) instance: u64,
    pub(crate) ticket: Ticket,
    pub(crate) written: bool,
}

/// Leave memory, telling the agent why; from the Directory.
#[derive(Message, Debug, Clone, Copy)]
#[rtype(result = "()")]
pub(crate) struct Stop(pub(crate) &'static str);
