//! The processes of a host, and the programs it can run.

use super::Trouble;
use super::files::TIME;
use std::collections::{BTreeMap, HashMap};
use tripline_protocol::Fault;
use tripline_protocol::verb::{CreateProcess, KillProcess, ProcessEntry, ProcessListing};
use uuid::Uuid;

/// The process that must not be ended.
const SYSTEM: u32 = 4;

/// What a program does.
#[derive(Debug, Clone)]
struct Program {
    output: String,
    exit_code: i32,
}

/// What runs.
#[derive(Debug)]
pub(crate) struct Processes {
    running: BTreeMap<u32, ProcessEntry>,
    programs: HashMap<String, Program>,
    pid_last: u32,
}

fn entry(pid: u32, command_line: &str) -> ProcessEntry {
    ProcessEntry {
        pid,
        parent: 0,
        path: command_line.split(' ').next().unwrap_or_default().to_owned(),
        command_line: command_line.to_owned(),
        username: "SYSTEM".to_owned(),
        sid: "S-1-5-18".to_owned(),
        create_time: TIME,
        proc_guid: Uuid::from_u128(u128::from(pid)).to_string(),
        parent_guid: Uuid::nil().to_string(),
    }
}

impl Processes {
    /// With the one that is always there.
    pub(super) fn new() -> Self {
        Self {
            running: BTreeMap::from([(SYSTEM, entry(SYSTEM, "System"))]),
            programs: HashMap::new(),
            pid_last: 1000,
        }
    }

    /// Starts a process; its id.
    pub(crate) fn start(&mut self, command_line: &str) -> u32 {
        self.pid_last += 4;
        let process = entry(self.pid_last, command_line);
        self.running.insert(self.pid_last, process);
        self.pid_last
    }

    /// Whether a process runs.
    pub(crate) fn has(&self, pid: u32) -> bool {
        self.running.contains_key(&pid)
    }

    /// What a command line prints, and how it exits.
    pub(crate) fn program(&mut self, command_line: &str, output: &str, exit_code: i32) {
        let output = output.to_owned();
        let program = Program { output, exit_code };
        self.programs.insert(command_line.to_owned(), program);
    }

    pub(super) fn list(&self) -> ProcessListing {
        ProcessListing {
            processes: self.running.values().cloned().collect(),
            omitted: 0,
        }
    }

    pub(super) fn kill(&mut self, args: &KillProcess) -> Result<Result<(), Fault>, Trouble> {
        let found = self.running.get(&args.pid).ok_or(Trouble::NoProcess)?;
        if args.pid == SYSTEM {
            return Err(Trouble::Protected);
        }
        if args.start_time.is_some_and(|time| time != found.create_time) {
            let text = format!("process {} is another one", args.pid);
            return Ok(Err(Fault::live_response("recycled_pid", text)));
        }
        self.running.remove(&args.pid);
        Ok(Ok(()))
    }

    /// Runs a program: its pid, what it printed, and how it ended. One that is not waited for stays.
    pub(super) fn run(&mut self, args: &CreateProcess) -> Result<(u32, String, Option<i32>), Trouble> {
        let joined = |argv: &Vec<_>| {
            let words: Vec<String> = argv.iter().map(tripline_protocol::RemotePath::to_lossy).collect();
            words.join(" ")
        };
        let line = args.command.clone().or_else(|| args.argv.as_ref().map(joined));
        let line = line.ok_or(Trouble::Invalid)?;
        let program = self.programs.get(&line).cloned().ok_or(Trouble::NoFile)?;
        let pid = self.start(&line);
        if args.wait == Some(false) {
            return Ok((pid, program.output, None));
        }
        self.running.remove(&pid);
        Ok((pid, program.output, Some(program.exit_code)))
    }
}
