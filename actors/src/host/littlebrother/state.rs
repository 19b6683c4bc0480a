//! The state machine.

use super::{Changes, Context, Key, KillStatus, Outcome, Process, Saved, Tick, Ticket};
use tripline_protocol::api::LittlebrotherView;
use tripline_protocol::littlebrother::ClientMessage;
use tripline_protocol::verb::{KillProcess, ProcessListing};
use tripline_protocol::{CommandId, Fault, HostId, Timestamp};

/// A client.
#[derive(Debug)]
pub(crate) struct State {
    own: HostId,
    saved: Saved,
}

impl State {
    /// A client that has not been heard of; `own` is the id of its own record (of an agent's host for an agent's
    /// watcher).
    pub(crate) fn new(own: HostId, hostname: String) -> Self {
        Self::load(own, Saved::new(hostname), [])
    }

    /// A client as it was stored.
    pub(crate) fn load(
        own: HostId,
        saved: Saved,
        processes: impl IntoIterator<Item = (Key, Process)>,
    ) -> Self {
        let _ = processes.into_iter().count();
        Self { own, saved }
    }

    /// The record to be stored when [`Changes::saved`] says so.
    pub(crate) fn saved(&self) -> Saved {
        self.saved.clone()
    }

    /// A message came.
    pub(crate) fn message(&mut self, message: ClientMessage, context: &Context<'_>) -> Outcome {
        let _ = (message, context);
        Outcome::default()
    }

    /// The answer was written whole.
    pub(crate) fn written(&mut self, ticket: Ticket) {
        let _ = ticket;
    }

    /// The answer was not written: what is still meaningful of it goes again.
    pub(crate) fn lost(&mut self, ticket: Ticket) -> Changes {
        let _ = ticket;
        Changes::default()
    }

    /// The time went on; to be called at least every few seconds while [`State::is_attached`].
    pub(crate) fn tick(&mut self, context: &Context<'_>) -> Tick {
        let _ = context;
        Tick::default()
    }

    /// A `kill_process` of live response. On success it is under way ([`Outcome::killed`] tells its end) and must
    /// be stored before the caller lets anything else happen; the same command again changes nothing. Its deadline
    /// is the caller's matter ([`State::forget_kill`]).
    ///
    /// # Errors
    /// No such process (`ESRCH`), another one with that pid (`recycled_pid`), too many commands.
    pub(crate) fn kill(
        &mut self,
        command_id: CommandId,
        args: &KillProcess,
        context: &Context<'_>,
    ) -> Result<Changes, Fault> {
        let _ = (command_id, args, context);
        Ok(Changes::default())
    }

    /// How far a `kill_process` is, for a slot that asks again after a restart.
    pub(crate) fn kill_status(&self, command_id: CommandId) -> KillStatus {
        let _ = command_id;
        KillStatus::Unknown
    }

    /// A `kill_process` is cancelled, or its end was taken note of. The client is told nothing more because of it.
    pub(crate) fn forget_kill(&mut self, command_id: CommandId) -> Changes {
        let _ = command_id;
        Changes::default()
    }

    /// `list_processes`, from the open entries.
    pub(crate) fn processes(&self, context: &Context<'_>) -> ProcessListing {
        let _ = context;
        ProcessListing {
            processes: Vec::new(),
            omitted: 0,
        }
    }

    /// What the topology shows of it; `None` before its first message.
    pub(crate) fn view(&self, now: Timestamp) -> Option<LittlebrotherView> {
        self.saved.view(self.own, now)
    }

    /// Whether a process of this login is open.
    pub(crate) fn has_process_of(&self, login: &str) -> bool {
        let _ = login;
        false
    }

    /// Its messages come.
    pub(crate) fn is_attached(&self) -> bool {
        false
    }

    /// Nothing is lost when it leaves memory now: it is not attached, no answer is under way, no command waits.
    pub(crate) fn is_idle(&self) -> bool {
        true
    }
}
