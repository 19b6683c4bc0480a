//! What runs, and the results in memory: plain data under the executor's one lock.

use crate::link::Link;
use crate::stop::Stop;
use crate::transfer::{Inbound, Outbound};
use std::collections::HashMap;
use std::sync::Arc;
use tripline_protocol::CommandId;
use tripline_protocol::frame::Command;
use tripline_protocol::verb::VerbCall;

/// The executor's end of a command's transfer.
pub(super) enum TransferEnd {
    None,
    Out(Outbound),
    In(Inbound),
}

impl TransferEnd {
    pub(super) fn of(command: &Command, link: &Arc<Link>, stop: &Stop) -> Self {
        match (&command.call, &command.transfer) {
            (VerbCall::GetFile(_) | VerbCall::GetRawFile(_), _) => {
                let resume = command.resume.as_ref();
                Self::Out(Outbound::new(command.command_id, link.clone(), resume, stop))
            }
            (VerbCall::PutFile(_), Some(transfer)) => Self::In(Inbound::new(
                command.command_id,
                link.clone(),
                transfer.bytes,
                command.resume.is_some(),
                stop,
            )),
            _ => Self::None,
        }
    }

    pub(super) fn cut(&self) {
        match self {
            Self::None => {}
            Self::Out(outbound) => outbound.cut(),
            Self::In(inbound) => inbound.cut(),
        }
    }
}

/// A command that runs.
pub(super) struct Running {
    pub(super) stop: Stop,
    pub(super) link: Arc<Link>,
    pub(super) transfer: TransferEnd,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) running: HashMap<CommandId, Arc<Running>>,
    /// Results of commands that only read.
    pub(super) answers: HashMap<CommandId, Arc<str>>,
    pub(super) answer_bytes: usize,
    pub(super) link: Option<Arc<Link>>,
    pub(super) epoch: u64,
    pub(super) stopping: bool,
}
