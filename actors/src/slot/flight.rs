//! A command under way at a host, as jobs and interactive sessions both have it: what its host tells of it,
//! how it is ended before its time, and what its result means.
//!
//! `W` is why a command is ended before its time; the reasons differ.

use crate::host::Adopt;
use tripline_protocol::frame::{CODE_INTERRUPTED, CODE_TRANSFER_CUT, CODE_TRANSFER_PAUSED, CommandResult};
use tripline_protocol::verb::VerbCall;
use tripline_protocol::{CommandId, Fault, SessionId, Span, Timestamp, TransferId};
use uuid::Uuid;

/// Fault codes by which an agent says that it did not begin the command and keeps nothing of it: it is sent
/// again when the agent is back.
const CODES_NOT_BEGUN: [&str; 2] = ["agent_stopping", "stale_epoch"];
/// The fault code of a command that its agent did not begin because it runs too many already.
const CODE_BUSY: &str = "busy";
/// The fault code of a command that ran and whose result this server acked before.
const CODE_ALREADY_ACKED: &str = "already_acked";
/// The agent ends a command at its deadline by itself; only when it does not is the deadline enforced here.
pub(super) const DEADLINE_MARGIN: Span = Span::from_secs(2);
/// How long a host may take to confirm that a command is cancelled.
const CONFIRM_WITHIN: Span = Span::from_secs(10);
/// How often a command is begun before its host is given up.
pub(super) const ATTEMPTS_MAX: u32 = 10;
/// How often a transfer goes on where it was cut, beside that. Its time ends it long before, unless it moves nothing.
pub(super) const PAUSES_MAX: u32 = 1000;
/// An output above this becomes an artifact.
pub(super) const OUTPUT_INLINE_BYTES_MAX: usize = 128 * 1024;

/// Characters of a host's error code and text, and bytes of a whole fault, that are kept.
const FAULT_CODE_CHARS_MAX: usize = 64;
const FAULT_TEXT_CHARS_MAX: usize = 300;
const FAULT_BYTES_MAX: usize = 16 * 1024;

/// A command under way.
#[derive(Debug)]
pub(super) struct Flight<W> {
    pub(super) command_id: CommandId,
    pub(super) transfer_id: TransferId,
    pub(super) call: VerbCall,
    pub(super) deadline: Timestamp,
    /// The host is away since then.
    pub(super) lost_since: Option<Timestamp>,
    /// It is being ended, and until when its host may take to confirm.
    pub(super) stopping: Option<(W, Timestamp)>,
    /// Its result, while a large output is being written to an artifact.
    pub(super) spilling: Option<CommandResult>,
}

/// What its time demands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due<W> {
    Nothing,
    /// The host did not come back in time.
    HostGone,
    /// The host did not confirm its end in time.
    Unconfirmed(W),
    /// It runs longer than it may.
    Deadline,
}

/// What a fault says about whether the command ran.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It ran, and failed.
    Failed,
    /// Nobody knows how it ended; the word says why.
    Unknown(&'static str),
    /// The agent did not begin it, and is about to come back.
    NotBegun,
    /// The agent did not begin it: it runs too many.
    Busy,
    /// What it should have brought did not arrive.
    Cut,
    /// Its transfer was cut, nothing took effect, and it goes on where it stopped.
    Paused,
}

impl<W: Copy> Flight<W> {
    pub(super) fn new(
        command_id: CommandId,
        transfer_id: TransferId,
        call: VerbCall,
        deadline: Timestamp,
    ) -> Self {
        Self {
            command_id,
            transfer_id,
            call,
            deadline,
            lost_since: None,
            stopping: None,
            spilling: None,
        }
    }

    /// For a Host actor that does not know it. None while its result is here already: asked for again, it could
    /// be run again.
    pub(super) fn adopt(
        &mut self,
        session_id: Option<SessionId>,
        journal_id: Option<Uuid>,
        now: Timestamp,
    ) -> Option<Adopt> {
        if self.spilling.is_some() {
            return None;
        }
        self.lost_since.get_or_insert(now);
        Some(Adopt {
            command_id: self.command_id,
            session_id,
            transfer_id: self.transfer_id,
            call: self.call.clone(),
            deadline: self.deadline,
            journal_id,
            cancelled: self.stopping.is_some(),
        })
    }

    /// Begins to end it; its host has to be asked to.
    pub(super) fn stop(&mut self, why: W, now: Timestamp) {
        self.stopping = Some((why, now.after(CONFIRM_WITHIN)));
    }

    pub(super) fn due(&self, grace: Span, now: Timestamp) -> Due<W> {
        if self.spilling.is_some() {
            return Due::Nothing;
        }
        if self.lost_since.is_some_and(|since| now.since(since) >= grace) {
            return Due::HostGone;
        }
        match self.stopping {
            Some((why, until)) if now >= until => Due::Unconfirmed(why),
            None if now >= self.deadline.after(DEADLINE_MARGIN) => Due::Deadline,
            _ => Due::Nothing,
        }
    }

    /// Whether it brings a file.
    pub(super) fn fetches(&self) -> bool {
        self.call.fetches_content()
    }

    pub(super) fn fate(&self, fault: &Fault) -> Fate {
        match fault.code.as_str() {
            CODE_INTERRUPTED => Fate::Unknown("agent_died"),
            CODE_ALREADY_ACKED => Fate::Unknown(CODE_ALREADY_ACKED),
            CODE_BUSY => Fate::Busy,
            CODE_TRANSFER_CUT if self.fetches() => Fate::Cut,
            // Being ended, it does not go on.
            CODE_TRANSFER_PAUSED if self.call.moves_content() && self.stopping.is_none() => Fate::Paused,
            code if CODES_NOT_BEGUN.contains(&code) => Fate::NotBegun,
            _ => Fate::Failed,
        }
    }

    /// It ran longer than it may.
    pub(super) fn timeout(&self) -> Fault {
        Fault::timeout(
            "command_timeout",
            format!("{} did not end in time", self.call.verb()),
        )
    }
}

/// The connection broke after the last chunk: the agent is done, but the file is not here.
pub(super) fn transfer_cut() -> Fault {
    Fault::server(CODE_TRANSFER_CUT, "the file's transfer was cut")
}

/// A fault as it is kept: a host's text may be as long as a frame. Its detail goes when the whole has more than `room`.
pub(super) fn bounded(mut fault: Fault, room: usize) -> Fault {
    cut(&mut fault.code, FAULT_CODE_CHARS_MAX);
    cut(&mut fault.text, FAULT_TEXT_CHARS_MAX);
    if crate::record::encode(&fault).len() > FAULT_BYTES_MAX.min(room) {
        fault.detail = None;
    }
    fault
}

/// Cuts a text for people to so many characters, on one line.
fn cut(text: &mut String, chars_max: usize) {
    if text.chars().count() > chars_max || text.contains(char::is_control) {
        let line = |c: char| if c.is_control() { ' ' } else { c };
        *text = text.chars().take(chars_max).map(line).collect();
    }
}
