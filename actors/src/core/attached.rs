//! An attached agent, as its connection sees it: where its frames go, and how many may be on their way.
//!
//! A frame has its place until what it says is durable, so an agent that says more than the disk takes is not read
//! meanwhile, and neither fills the memory nor keeps the disk from others. Deliberately not here: sockets.

use crate::host::{AgentSays, Detached, Host};
use actix::prelude::*;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tripline_protocol::frame::{AgentFrame, CommandResult};
use tripline_protocol::limit::FRAME_BYTES_MAX;
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{CommandId, Fault};

/// KiB of one agent's frames that may be on their way.
const FRAMES_KIB_MAX: u32 = 8 * 1024;
/// KiB that a frame counts at least: so many small ones may be on their way as well.
const FRAME_KIB_MIN: u32 = FRAMES_KIB_MAX / 256;
/// KiB that a result counts.
const RESULT_KIB: usize = 64;
/// KiB of the largest frame.
const FRAME_KIB_MAX: u32 = (FRAME_BYTES_MAX / 1024) as u32;

/// An attached agent, as its connection sees it. Dropping it detaches the agent.
#[derive(Debug)]
pub struct Attached {
    /// The attachment's number.
    pub epoch: u64,
    /// Whether the agent is to watch processes: `welcome.littlebrother`.
    pub littlebrother: bool,
    host: Addr<Host>,
    room: Arc<Semaphore>,
}

impl Attached {
    pub(crate) fn new(epoch: u64, littlebrother: bool, host: Addr<Host>) -> Self {
        let room = Arc::new(Semaphore::new(FRAMES_KIB_MAX as usize));
        Self {
            epoch,
            littlebrother,
            host,
            room,
        }
    }

    /// Returns when another frame may be handed on, however large it is. Until then the agent is not to be read.
    pub async fn room(&self) {
        // An error means that the semaphore was closed, which nobody does.
        drop(self.room.acquire_many(FRAME_KIB_MAX).await);
    }

    /// Hands on a result. `artifact` is the verified file that a transfer of this command left.
    pub fn result(&self, result: CommandResult, artifact: Option<ArtifactRef>) {
        self.say(AgentFrame::Result(Box::new(result)), artifact, RESULT_KIB * 1024);
    }

    /// Hands on any other frame than hello, result, credit, ping and pong, which are the connection's own. It was
    /// `bytes` long.
    pub fn frame(&self, frame: AgentFrame, bytes: usize) {
        self.say(frame, None, bytes);
    }

    /// A transfer failed at the server (full disk, wrong hash): the command fails with it.
    pub fn transfer_failed(&self, command_id: CommandId, fault: Fault) {
        let result = CommandResult {
            command_id,
            output: None,
            error: Some(fault),
            truncated: None,
        };
        self.result(result, None);
    }

    /// Who says more than there is room for is cut off; what the agent keeps it sends again.
    fn say(&self, frame: AgentFrame, artifact: Option<ArtifactRef>, bytes: usize) {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(FRAME_KIB_MAX);
        let kib = kib.clamp(FRAME_KIB_MIN, FRAME_KIB_MAX);
        match Arc::clone(&self.room).try_acquire_many_owned(kib) {
            Ok(permit) => self.host.do_send(AgentSays {
                epoch: self.epoch,
                frame,
                artifact,
                permit,
            }),
            Err(_) => {
                metrics::counter!("tripline_host_overloaded_total").increment(1);
                self.host.do_send(Detached { epoch: self.epoch });
            }
        }
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.host.do_send(Detached { epoch: self.epoch });
    }
}
