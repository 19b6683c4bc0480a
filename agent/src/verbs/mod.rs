//! What each verb does, the same on every operating system: one file per verb.
//!
//! A verb runs on a blocking thread with a [`Context`] and gives an output or a fault. Deliberately not
//! here: who asked, whether it ran before, and when its result is sent.

mod create_directory;
mod create_process;
mod delete_file;
mod get_file;
mod isolate;
mod kill_process;
mod list_directory;
mod list_processes;
mod listing;
mod put_file;
mod unisolate;
mod walk;

use crate::isolation::HostIsolation;
use crate::platform::Platform;
use crate::policy::Policy;
use crate::stop::Stop;
use crate::transfer::{ChunkSink, ChunkSource};
use serde::Serialize;
use serde_json::{Value, json};
use tripline_protocol::frame::Transfer;
use tripline_protocol::verb::VerbCall;
use tripline_protocol::{CommandId, Fault};

/// What a verb runs with.
pub struct Context<'a> {
    /// Its command.
    pub id: CommandId,
    /// The operating system.
    pub platform: &'a dyn Platform,
    /// What the agent's configuration allows.
    pub policy: &'a Policy,
    /// The isolation of the host.
    pub isolation: &'a HostIsolation,
    /// When it has to end.
    pub stop: &'a Stop,
    /// The content announced with the command.
    pub transfer: Option<&'a Transfer>,
    /// Where file content goes.
    pub sink: Option<&'a dyn ChunkSink>,
    /// Where file content comes from.
    pub source: Option<&'a dyn ChunkSource>,
    /// Is told the id of the process group a verb starts.
    pub started: &'a dyn Fn(u32),
}

/// What a verb returned.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// As JSON; an empty object when there is nothing to say.
    pub output: Value,
    /// Bytes left out of it.
    pub truncated_bytes: u64,
}

impl Done {
    fn nothing() -> Self {
        Self {
            output: json!({}),
            truncated_bytes: 0,
        }
    }

    fn of(output: &impl Serialize) -> Result<Self, Fault> {
        Ok(Self {
            output: to_json(output)?,
            truncated_bytes: 0,
        })
    }
}

fn to_json(value: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(value)
        .map_err(|error| Fault::server("output_invalid", format!("the output has no JSON form: {error}")))
}

/// Runs a verb. The caller has asked [`Policy::admit`]; a verb that the agent does not have is refused.
pub fn run(context: &Context<'_>, call: &VerbCall) -> Result<Done, Fault> {
    context.policy.admit(call.verb(), context.platform.verbs())?;
    context.stop.check()?;
    match call {
        VerbCall::GetFile(args) => get_file::run(context, args),
        VerbCall::PutFile(args) => put_file::run(context, args),
        VerbCall::DeleteFile(args) => delete_file::run(context, args),
        VerbCall::ListDirectory(args) => list_directory::run(context, args),
        VerbCall::CreateDirectory(args) => create_directory::run(context, args),
        VerbCall::Walk(args) => walk::run(context, args),
        VerbCall::ListProcesses(_) => list_processes::run(context),
        VerbCall::KillProcess(args) => kill_process::run(context, args),
        VerbCall::CreateProcess(args) => create_process::run(context, args),
        VerbCall::Isolate(args) => isolate::run(context, args),
        VerbCall::Unisolate(_) => unisolate::run(context),
        VerbCall::GetRawFile(_)
        | VerbCall::Memdump(_)
        | VerbCall::ListRegistryKeysAndValues(_)
        | VerbCall::ListRegistryKeys(_)
        | VerbCall::GetRegistryValue(_)
        | VerbCall::SetRegistryValue(_)
        | VerbCall::CreateRegistryKey(_)
        | VerbCall::DeleteRegistryKey(_)
        | VerbCall::DeleteRegistryValue(_) => Err(Fault::unsupported(
            "unsupported_verb",
            format!("this agent does not have {}", call.verb()),
        )),
    }
}

/// The temporary file a command would leave if the agent died in the middle, as bytes of its path; empty: none.
pub fn leftover(id: CommandId, call: &VerbCall) -> Vec<u8> {
    match call {
        VerbCall::PutFile(args) => put_file::leftover(id, args),
        _ => Vec::new(),
    }
}
