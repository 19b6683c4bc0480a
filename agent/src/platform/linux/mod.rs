//! Linux: system calls through rustix, processes through /proc and pidfds (Linux 5.3 or newer).

mod end;
mod errno;
mod facts;
mod files;
mod isolation;
mod kill;
mod listing;
mod memory;
mod place;
mod proc;
mod process_list;
mod raw;
mod run;
pub mod said;
mod scan;
mod spawn;

use super::isolation::NetworkIsolation;
use super::{
    Booted, Doomed, Ending, Facts, Listed, Look, MemoryImage, OwnUse, PartialFile, Platform, ProcessSpec,
    SeenProcess, StagedFile,
};
use crate::policy::Policy;
use crate::stop::Stop;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::verb::{DirectoryEntry, KillProcess, Memdump, ProcessEntry, ProcessOutcome, Verb};
use tripline_protocol::{CommandId, Fault, RemotePath};

/// The Linux platform.
#[derive(Debug, Clone, Copy)]
pub struct Linux;

/// What it does where /proc is mounted.
const VERBS: &[Verb] = &[
    Verb::GetFile,
    Verb::PutFile,
    Verb::DeleteFile,
    Verb::ListDirectory,
    Verb::CreateDirectory,
    Verb::Walk,
    Verb::ListProcesses,
    Verb::KillProcess,
    Verb::CreateProcess,
    Verb::GetRawFile,
    Verb::Memdump,
    Verb::Isolate,
    Verb::Unisolate,
];
/// Those of them that do not need it: a static agent runs in an empty chroot as well. A program could be started, but
/// what is left of it after a crash of the agent could not be found.
const VERBS_WITHOUT_PROC: &[Verb] = &[
    Verb::PutFile,
    Verb::DeleteFile,
    Verb::ListDirectory,
    Verb::CreateDirectory,
    Verb::Walk,
];

impl Platform for Linux {
    fn facts(&self) -> Facts {
        facts::read()
    }

    fn verbs(&self) -> &'static [Verb] {
        if proc::is_there() {
            VERBS
        } else {
            VERBS_WITHOUT_PROC
        }
    }

    fn lacks(&self) -> Vec<String> {
        if proc::is_there() {
            return Vec::new();
        }
        let missing = VERBS.iter().filter(|verb| !VERBS_WITHOUT_PROC.contains(verb));
        let missing: Vec<String> = missing.map(Verb::to_string).collect();
        vec![format!(
            "/proc is not mounted: {} are not offered, no processes are watched, and with paths_denied nothing that \
             names a path is done",
            missing.join(", ")
        )]
    }

    fn can_watch(&self) -> bool {
        proc::is_there()
    }

    fn network_isolation(&self, program: Option<&Path>) -> Arc<dyn NetworkIsolation> {
        Arc::new(isolation::Nftables::new(program))
    }

    fn open_file(&self, path: &RemotePath, policy: &Policy) -> Result<File, Fault> {
        files::open_regular(path, policy)
    }

    fn open_raw(&self, path: &RemotePath, policy: &Policy) -> Result<(File, u64), Fault> {
        raw::open(path, policy)
    }

    fn open_memory(&self, args: &Memdump) -> Result<Box<dyn MemoryImage>, Fault> {
        memory::open(args)
    }

    fn stage_file(
        &self,
        path: &RemotePath,
        temporary: &str,
        policy: &Policy,
    ) -> Result<Box<dyn StagedFile>, Fault> {
        Ok(Box::new(files::Staged::create(path, temporary, policy)?))
    }

    fn resume_file(
        &self,
        path: &RemotePath,
        temporary: &str,
        policy: &Policy,
    ) -> Result<Option<PartialFile>, Fault> {
        let found = files::Staged::resume(path, temporary, policy)?;
        Ok(found.map(|(staged, bytes)| (Box::new(staged) as Box<dyn StagedFile>, bytes)))
    }

    fn is_partial(&self, path: &[u8]) -> bool {
        files::is_partial(path)
    }

    fn remove_leftover(&self, path: &[u8]) -> Result<(), Fault> {
        files::remove_leftover(path)
    }

    fn delete_file(&self, path: &RemotePath, policy: &Policy) -> Result<(), Fault> {
        files::delete(path, policy)
    }

    fn create_directory(&self, path: &RemotePath, parents: bool, policy: &Policy) -> Result<(), Fault> {
        files::create_directory(path, parents, policy)
    }

    fn list_directory(
        &self,
        path: &RemotePath,
        policy: &Policy,
        stop: &Stop,
    ) -> Result<Listed<DirectoryEntry>, Fault> {
        listing::list_directory(path, policy, stop)
    }

    fn walk(
        &self,
        path: &RemotePath,
        depth_max: u32,
        policy: &Policy,
        stop: &Stop,
    ) -> Result<Listed<DirectoryEntry>, Fault> {
        listing::walk(path, depth_max, policy, stop)
    }

    fn list_processes(&self, stop: &Stop) -> Result<Listed<ProcessEntry>, Fault> {
        process_list::list(stop)
    }

    fn booted(&self) -> Result<Booted, Fault> {
        proc::Boot::read()
            .map(|boot| boot.booted())
            .map_err(|error| errno::io_fault(&error, "/proc/stat"))
    }

    fn scan_processes(&self, look: &dyn Fn(u32) -> Look) -> Result<Vec<SeenProcess>, Fault> {
        scan::scan(look).map_err(|errno| errno::fault(errno, "/proc"))
    }

    fn end_processes(&self, doomed: &[Doomed], patience: Duration, stop: &Stop) -> Vec<Ending> {
        end::end(doomed, patience, stop)
    }

    fn own_use(&self) -> Result<OwnUse, Fault> {
        proc::own_use().map_err(|error| errno::io_fault(&error, "/proc/self"))
    }

    fn since_boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        // Neither is ever negative.
        Duration::new(
            time.tv_sec.unsigned_abs(),
            u32::try_from(time.tv_nsec).unwrap_or(0),
        )
    }

    fn full_hostname(&self) -> String {
        facts::full_hostname()
    }

    fn kill_process(&self, args: &KillProcess, stop: &Stop) -> Result<(), Fault> {
        kill::kill(args, stop)
    }

    fn run_process(
        &self,
        spec: &ProcessSpec,
        policy: &Policy,
        stop: &Stop,
        started: &dyn Fn(u32),
    ) -> Result<ProcessOutcome, Fault> {
        run::run(spec, policy, stop, started)
    }

    fn start_process(&self, spec: &ProcessSpec, policy: &Policy) -> Result<u32, Fault> {
        spawn::detached(spec, policy)
    }

    fn end_leftovers(&self, id: CommandId, process_group: u32) -> usize {
        kill::end_leftovers(id, process_group)
    }
}

/// The fault for a host error about `path`.
pub(super) fn host_fault(error: &std::io::Error, path: &str) -> Fault {
    errno::io_fault(error, path)
}
