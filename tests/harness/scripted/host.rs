//! What a host keeps beyond a connection: its machine, its script, what runs, and the results without an ack.

use super::behaviour::{Behaviour, Script};
use super::command::{Task, cancelled};
use super::line::{End, Flight, Line, text_of};
use super::machine::Machine;
use super::persona::Persona;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tripline_protocol::frame::{AgentFrame, Chunk, Command, CommandResult};
use tripline_protocol::limit::FRAME_BYTES_MAX;
use tripline_protocol::verb::VerbCall;
use tripline_protocol::{CommandId, Fault, IsolationReport};
use uuid::Uuid;

/// What has happened to a host.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    /// The commands that came, in order; one that was sent twice is here twice.
    pub(crate) commands: Vec<VerbCall>,
    /// Cancellations that came.
    pub(crate) cancellations: usize,
    /// Times the server welcomed it.
    pub(crate) attachments: usize,
    /// Why the server ended connections.
    pub(crate) farewells: Vec<String>,
}

struct Table {
    journal_id: Uuid,
    line: Option<Line>,
    running: BTreeMap<CommandId, Flight>,
    finished: BTreeMap<CommandId, String>,
    isolation: Option<IsolationReport>,
}

/// A host.
pub(super) struct Host {
    pub(super) persona: Persona,
    /// Whether it is on the network.
    pub(super) present: watch::Sender<bool>,
    pub(super) seen: watch::Sender<Seen>,
    machine: Mutex<Machine>,
    script: Mutex<Script>,
    table: Mutex<Table>,
}

/// A lock that a panicking test does not spoil.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A result frame. One that fits no frame would end every connection that it is offered on.
fn result(command_id: CommandId, outcome: Result<Value, Fault>) -> String {
    let (output, error) = match outcome {
        Ok(output) => (Some(output), None),
        Err(fault) => (None, Some(fault)),
    };
    let text = text_of(&AgentFrame::Result(Box::new(CommandResult {
        command_id,
        output,
        error,
        truncated: None,
    })));
    if text.len() <= FRAME_BYTES_MAX {
        return text;
    }
    let too_large = format!("the result of {} bytes fits no frame", text.len());
    result(command_id, Err(Fault::server("output_too_large", too_large)))
}

/// What to do with a command that came.
pub(super) enum Admission {
    Run(Box<Task>),
    /// The connection is lost before it is read.
    Missed,
    /// It runs or ran already, and is answered.
    Known,
}

impl Host {
    pub(super) fn new(persona: Persona) -> Self {
        Self {
            machine: Mutex::new(Machine::new(persona.is_windows)),
            script: Mutex::default(),
            table: Mutex::new(Table {
                journal_id: Uuid::new_v4(),
                line: None,
                running: BTreeMap::new(),
                finished: BTreeMap::new(),
                isolation: None,
            }),
            present: watch::Sender::new(true),
            seen: watch::Sender::default(),
            persona,
        }
    }

    pub(super) fn machine(&self) -> MutexGuard<'_, Machine> {
        lock(&self.machine)
    }

    pub(super) fn script(&self) -> MutexGuard<'_, Script> {
        lock(&self.script)
    }

    pub(super) fn hello(&self) -> String {
        let table = lock(&self.table);
        let running = table.running.keys().copied().collect();
        let finished = table.finished.keys().copied().collect();
        let isolation = table.isolation.clone();
        text_of(&self.persona.hello(table.journal_id, running, finished, isolation))
    }

    pub(super) fn isolation(&self) -> Option<IsolationReport> {
        lock(&self.table).isolation.clone()
    }

    pub(super) fn set_isolation(&self, report: IsolationReport) {
        lock(&self.table).isolation = Some(report);
    }

    /// Says something on the connection, if there is one.
    pub(super) fn say(&self, frame: &AgentFrame) {
        if let Some(line) = &lock(&self.table).line {
            line.frame(frame);
        }
    }

    /// The server welcomed it: results without an ack go out, and later ones go here.
    pub(super) fn attach(&self, line: &Line) {
        let mut table = lock(&self.table);
        table.finished.values().for_each(|text| line.text(text.clone()));
        table.line = Some(line.clone());
        self.seen.send_modify(|seen| seen.attachments += 1);
    }

    /// The connection is gone: transfers end, everything else goes on.
    pub(super) fn detach(&self) {
        let mut table = lock(&self.table);
        table.line = None;
        table.running.values().for_each(Flight::cut);
    }

    /// A command came.
    pub(super) fn admit(self: &Arc<Self>, command: Command, line: &Line) -> Admission {
        let id = command.command_id;
        self.seen
            .send_modify(|seen| seen.commands.push(command.call.clone()));
        let mut table = lock(&self.table);
        if table.running.contains_key(&id) {
            line.frame(&AgentFrame::Accepted { command_id: id });
            return Admission::Known;
        }
        if let Some(text) = table.finished.get(&id) {
            line.text(text.clone());
            return Admission::Known;
        }
        let behaviour = self.script().take(command.call.verb());
        if matches!(behaviour, Behaviour::Miss) {
            return Admission::Missed;
        }
        let (flight, ear) = Flight::new();
        table.running.insert(id, flight);
        Admission::Run(Box::new(Task {
            host: Arc::clone(self),
            command,
            behaviour,
            line: line.clone(),
            ear,
        }))
    }

    /// A command ended: its result is offered until it is acked.
    pub(super) fn finish(&self, command_id: CommandId, outcome: Result<Value, Fault>) {
        let text = result(command_id, outcome);
        let mut table = lock(&self.table);
        table.running.remove(&command_id);
        if let Some(line) = &table.line {
            line.text(text.clone());
        }
        table.finished.insert(command_id, text);
    }

    pub(super) fn cancel(&self, id: CommandId) {
        self.seen.send_modify(|seen| seen.cancellations += 1);
        let known = {
            let table = lock(&self.table);
            table
                .running
                .get(&id)
                .map(|flight| flight.end(End::Cancelled))
                .is_some()
                || table.finished.contains_key(&id)
        };
        if !known {
            self.finish(id, Err(cancelled()));
        }
    }

    pub(super) fn acked(&self, ids: &[CommandId]) {
        let mut table = lock(&self.table);
        for id in ids {
            table.finished.remove(id);
        }
    }

    pub(super) fn credit(&self, id: CommandId, bytes: u64) {
        if let Some(flight) = lock(&self.table).running.get(&id) {
            flight.grant(bytes);
        }
    }

    pub(super) fn chunk(&self, chunk: &Chunk<'_>) {
        if let Some(flight) = lock(&self.table).running.get(&chunk.command_id) {
            flight.piece((chunk.offset, chunk.bytes.to_vec()));
        }
    }

    /// The agent ends with everything it knew; the machine stays as it is.
    pub(super) fn die(&self, line: &Line) {
        let mut table = lock(&self.table);
        table.running.values().for_each(|flight| flight.end(End::Died));
        table.running.clear();
        table.finished.clear();
        table.journal_id = Uuid::new_v4();
        table.line = None;
        line.cut();
    }
}
