//! The host itself, in memory: its registry, files and processes, and what each verb does with them.
//!
//! Deliberately not here: how a file's content moves; it is read from and given to the machine whole.

mod content;
mod files;
mod processes;
mod registry;
mod trouble;

pub(crate) use content::Content;
pub(crate) use files::Files;
pub(crate) use processes::Processes;
pub(crate) use registry::{Data, Registry};
pub(crate) use trouble::Trouble;

use serde::Serialize;
use serde_json::{Value, json};
use tripline_protocol::verb::{Captured, CreateProcess, GetFile, Memdump, NoOutput, ProcessOutcome, PutFile};
use tripline_protocol::verb::{Verb, VerbCall};
use tripline_protocol::{Fault, RemotePath};

/// Levels that `walk` enters unless told.
const WALK_DEPTH: u32 = 16;

/// A host's state. Tests change it as they like.
#[derive(Debug)]
pub(crate) struct Machine {
    is_windows: bool,
    pub(crate) registry: Registry,
    pub(crate) files: Files,
    pub(crate) processes: Processes,
    /// Bytes of a dump of the memory.
    pub(crate) memory_bytes: u64,
}

impl Machine {
    pub(super) fn new(is_windows: bool) -> Self {
        Self {
            is_windows,
            registry: Registry::new(),
            files: Files::new(is_windows),
            processes: Processes::new(),
            memory_bytes: 3_000_000,
        }
    }

    fn fault(&self, trouble: Trouble, about: &str) -> Fault {
        trouble.fault(self.is_windows, about)
    }

    /// What a dump of the memory contains, of a process or of everything.
    pub(crate) fn memory(&self, pid: Option<u32>) -> Content {
        Content::Generated {
            seed: pid.map_or(0x5a, |pid| pid as u8),
            bytes: self.memory_bytes,
        }
    }

    /// What `get_file` or `get_raw_file` sends.
    pub(super) fn fetched(&self, verb: Verb, args: &GetFile) -> Result<Content, Fault> {
        let path = args.path.to_lossy();
        let content = match verb {
            Verb::GetRawFile => self.files.read(&path),
            _ => self.files.read_unlocked(&path),
        };
        content.map_err(|trouble| self.fault(trouble, &path))
    }

    /// Whether `put_file` may write.
    pub(super) fn check_put(&self, args: &PutFile) -> Result<(), Fault> {
        let path = args.path.to_lossy();
        let checked = self.files.check_put(&path, args.overwrite.unwrap_or(true));
        checked.map_err(|trouble| self.fault(trouble, &path))
    }

    /// `put_file`, when its content is there.
    pub(super) fn put(&mut self, path: &RemotePath, content: Vec<u8>) {
        self.files.write(&path.to_lossy(), Content::stored(content));
    }

    /// Every verb that moves no file's content.
    pub(super) fn run(&mut self, call: &VerbCall) -> Result<Value, Fault> {
        let is_windows = self.is_windows;
        let about = |about: &str| {
            let about = about.to_owned();
            move |trouble: Trouble| trouble.fault(is_windows, &about)
        };
        let path_of = |path: &RemotePath| path.to_lossy();
        let (registry, files) = (&mut self.registry, &mut self.files);
        match call {
            VerbCall::ListRegistryKeysAndValues(args) => {
                json_of(registry.list(&args.path).map_err(about(&args.path)))
            }
            VerbCall::ListRegistryKeys(args) => {
                let listed = registry.list(&args.path).map_err(about(&args.path))?;
                Ok(json!({ "sub_keys": listed.sub_keys }))
            }
            VerbCall::GetRegistryValue(args) => {
                json_of(registry.query(&args.path).map_err(about(&args.path)))
            }
            VerbCall::SetRegistryValue(args) => done(registry.write(args).map_err(about(&args.path))),
            VerbCall::CreateRegistryKey(args) => {
                done(registry.create_key(&args.path).map_err(about(&args.path)))
            }
            VerbCall::DeleteRegistryKey(args) => {
                done(registry.delete_key(&args.path).map_err(about(&args.path)))
            }
            VerbCall::DeleteRegistryValue(args) => {
                done(registry.delete_value(&args.path).map_err(about(&args.path)))
            }
            VerbCall::DeleteFile(args) => {
                let path = path_of(&args.path);
                done(files.delete(&path).map_err(about(&path)))
            }
            VerbCall::ListDirectory(args) => {
                let path = path_of(&args.path);
                json_of(files.list(&path, 0).map_err(about(&path)))
            }
            VerbCall::Walk(args) => {
                let (path, depth) = (path_of(&args.path), args.depth_max.unwrap_or(WALK_DEPTH));
                json_of(files.list(&path, depth as usize).map_err(about(&path)))
            }
            VerbCall::CreateDirectory(args) => {
                let path = path_of(&args.path);
                done(files.create_directory(&path, args.parents).map_err(about(&path)))
            }
            VerbCall::ListProcesses(_) => json_of(Ok(self.processes.list())),
            VerbCall::KillProcess(args) => {
                let killed = self.processes.kill(args);
                done(killed.map_err(about(&format!("process {}", args.pid)))?)
            }
            VerbCall::CreateProcess(args) => self.create_process(args),
            VerbCall::Memdump(args) => self.memdump(args),
            VerbCall::GetFile(_)
            | VerbCall::GetRawFile(_)
            | VerbCall::PutFile(_)
            | VerbCall::Isolate(_)
            | VerbCall::Unisolate(_) => Err(Fault::server("not_here", "it is done elsewhere")),
        }
    }

    fn create_process(&mut self, args: &CreateProcess) -> Result<Value, Fault> {
        let about = args.command.as_deref().unwrap_or("the program");
        let ran = self.processes.run(args);
        let (pid, output, exit_code) = ran.map_err(|trouble| trouble.fault(self.is_windows, about))?;
        let captured = match (&args.output_path, exit_code) {
            (Some(path), _) => {
                let path = path.to_lossy();
                self.files
                    .check_put(&path, true)
                    .map_err(|trouble| trouble.fault(self.is_windows, &path))?;
                self.files.write(&path, Content::stored(output));
                None
            }
            (None, Some(_)) => Some(Captured {
                text: Some(output),
                b64: None,
                truncated_bytes: 0,
            }),
            (None, None) => None,
        };
        json_of(Ok(ProcessOutcome {
            pid,
            exit_code,
            signal: None,
            stdout: captured,
            stderr: None,
        }))
    }

    /// Writes the dump; compressed it goes to a file with another ending, and nobody on its way looks into it.
    fn memdump(&mut self, args: &Memdump) -> Result<Value, Fault> {
        let ending = if args.compress { ".zip" } else { "" };
        let path = args.path.to_lossy() + ending;
        self.files
            .check_put(&path, true)
            .map_err(|trouble| self.fault(trouble, &path))?;
        let memory = self.memory(args.pid);
        self.files.write(&path, memory);
        done(Ok(()))
    }
}

fn json_of<T: Serialize>(output: Result<T, Fault>) -> Result<Value, Fault> {
    serde_json::to_value(output?).map_err(|error| Fault::server("output_unwritable", error.to_string()))
}

fn done(outcome: Result<(), Fault>) -> Result<Value, Fault> {
    outcome.and_then(|()| json_of(Ok(NoOutput {})))
}
