//! What an operating system does for the agent. Nothing outside this folder knows one.
//!
//! [`Platform`] is what the verbs and the watcher need, `linux` does it, and [`Unported`] says `unsupported` on a
//! system for which nobody has written it yet; [`own`] is the little that the agent needs for itself everywhere. How
//! to add a system is in `docs/porting.md`.
//!
//! Every method blocks and is called on a blocking thread. Whatever may take long asks `stop` in between.
//! Deliberately not here: limits on output, hashing, and anything about frames.

pub mod isolation;
#[cfg(target_os = "linux")]
mod linux;
pub mod macos;
pub mod own;
mod unported;

#[cfg(target_os = "linux")]
pub use linux::{Linux, said};
pub use unported::Unported;

use crate::policy::Policy;
use crate::stop::Stop;
use isolation::NetworkIsolation;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tripline_protocol::verb::{DirectoryEntry, KillProcess, Memdump, ProcessEntry, ProcessOutcome, Verb};
use tripline_protocol::{CommandId, Fault, RemotePath};
use uuid::Uuid;

/// What an agent says about its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The host's name now.
    pub hostname: String,
    /// `linux`, `windows`, `macos`.
    pub platform: &'static str,
    /// `x86_64`, `aarch64`, …
    pub arch: &'static str,
    /// Such as `Debian GNU/Linux 12`; empty when unknown.
    pub os_version: String,
    /// IP addresses without loopback, sorted.
    pub addresses: Vec<String>,
}

impl Facts {
    /// Of a host that cannot be asked.
    pub fn unknown() -> Self {
        Self {
            hostname: "unknown".to_owned(),
            platform: std::env::consts::OS,
            arch: std::env::consts::ARCH,
            os_version: String::new(),
            addresses: Vec::new(),
        }
    }
}

/// Entries of a listing, at most [`tripline_protocol::limit::LIST_ENTRIES_MAX`], and how many were left out.
#[derive(Debug)]
pub struct Listed<T> {
    /// Sorted.
    pub entries: Vec<T>,
    /// Left out.
    pub omitted: u64,
}

impl<T> Listed<T> {
    /// Nothing yet.
    pub fn empty() -> Self {
        Self {
            entries: Vec::new(),
            omitted: 0,
        }
    }
}

/// What a scan reads of the processes of a user; each says what the ones before it say, and more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Look {
    /// Nothing: they are left out.
    Away,
    /// Their names.
    Name,
    /// Their command lines as well.
    CommandLine,
}

/// A process as a scan found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenProcess {
    /// Process id.
    pub pid: u32,
    /// Effective user id.
    pub uid: u32,
    /// Whole seconds between the boot and its start.
    pub started_s: u64,
    /// Its start exactly, in a unit of the operating system.
    pub started_exact: u64,
    /// Its name: at most 15 characters on Linux, or all of it where its first argument completes it.
    pub name: String,
    /// Its arguments joined by spaces, where they were asked for. Empty for a thread of the kernel.
    pub command_line: Option<String>,
}

/// When the host booted, and which boot it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booted {
    /// Differs from boot to boot.
    pub id: Uuid,
    /// Unix seconds. Moves when the clock is set.
    pub at_s: i64,
}

/// A process to end, and what must be true of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Doomed {
    /// Process id.
    pub pid: u32,
    /// Its start exactly, as a scan gave it: with another value it is another process.
    pub started_exact: u64,
    /// Its effective user id: with another one it is not touched.
    pub uid: u32,
}

/// How the end of a process went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    /// It was not there any more, or another process had its id.
    Gone,
    /// It ended.
    Ended,
    /// It was not touched, or not ended, and why.
    Spared(String),
}

/// What this agent's own process uses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct OwnUse {
    /// Memory in bytes.
    pub resident_bytes: u64,
    /// Processor time since its start, in seconds.
    pub processor_s: f64,
    /// Its start, in Unix seconds.
    pub started_at_s: f64,
}

/// A program to run.
#[derive(Debug, Clone)]
pub struct ProcessSpec {
    /// The command it is run for; its processes carry it as `TRIPLINE_COMMAND_ID`.
    pub id: CommandId,
    /// Program and arguments; not empty.
    pub argv: Vec<RemotePath>,
    /// Where it runs, which must be absolute; `None`: where the platform thinks best.
    pub working_directory: Option<RemotePath>,
    /// Added to the agent's environment.
    pub environment: BTreeMap<String, String>,
    /// When its process group is ended; `None`: at the command's deadline.
    pub timeout: Option<Duration>,
    /// The file that takes stdout and stderr; `None`: they are captured.
    pub output_path: Option<RemotePath>,
    /// Most bytes captured of stdout and of stderr.
    pub output_bytes_max: usize,
}

/// A file being written under a temporary name in its directory. Dropped without commit it is removed.
pub trait StagedFile: Write {
    /// Goes on `bytes` further; what is passed over reads as zeros and takes no room where the file system can
    /// do that.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;

    /// Bytes that may still be written on its file system.
    fn room(&self) -> io::Result<u64>;

    /// Reads what was written, from `offset` on.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Leaves it under its temporary name, for a command that goes on with it.
    fn keep(self: Box<Self>);

    /// Syncs the content, sets the permission bits (default: those of the file replaced, else 0600) and moves
    /// it into place. With `overwrite` false an existing file wins: `EEXIST`.
    fn commit(self: Box<Self>, mode: Option<u32>, overwrite: bool) -> Result<(), Fault>;
}

/// A file that is partly written already, and how many bytes of it.
pub type PartialFile = (Box<dyn StagedFile>, u64);

/// Takes an image of memory, in order.
pub trait ImageSink {
    /// The next bytes.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Fault>;

    /// So many zeros.
    fn zeros(&mut self, bytes: u64) -> Result<(), Fault>;
}

/// Memory, as an image in one of the formats that others read.
pub trait MemoryImage {
    /// What it is: `elf_core`, `lime`.
    fn format(&self) -> &'static str;

    /// Bytes of the image.
    fn bytes(&self) -> u64;

    /// Writes the image, exactly [`MemoryImage::bytes`] of it. What cannot be read is zero and counted.
    fn write(&mut self, sink: &mut dyn ImageSink, stop: &Stop) -> Result<Gaps, Fault>;
}

/// What was missing in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Places, each as long as it went on.
    pub places: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// The operating system. Host errors are faults of class `live_response` with the errno's name.
pub trait Platform: Send + Sync {
    /// About the host.
    fn facts(&self) -> Facts;

    /// The verbs it can do here and now, and no other: they are announced.
    fn verbs(&self) -> &'static [Verb];

    /// What is missing on this host, a sentence for the log each; empty where everything works.
    fn lacks(&self) -> Vec<String>;

    /// Whether processes can be watched: `booted`, `scan_processes` and `end_processes` work.
    fn can_watch(&self) -> bool;

    /// What isolates the host. `program` is the one for it that the configuration names.
    fn network_isolation(&self, program: Option<&Path>) -> Arc<dyn NetworkIsolation> {
        let _ = program;
        Arc::new(isolation::Missing)
    }

    /// Opens a regular file for reading, never hanging on anything else.
    fn open_file(&self, path: &RemotePath, policy: &Policy) -> Result<File, Fault>;

    /// Opens a regular file for reading without changing its access time where the host allows that, or a block
    /// device if `policy` allows it; with the bytes it has now.
    fn open_raw(&self, path: &RemotePath, policy: &Policy) -> Result<(File, u64), Fault> {
        let _ = (path, policy);
        Err(Fault::unsupported(
            "unsupported_verb",
            "this platform reads no files raw",
        ))
    }

    /// Opens the memory of a process, or of the whole host.
    fn open_memory(&self, args: &Memdump) -> Result<Box<dyn MemoryImage>, Fault> {
        let _ = args;
        Err(Fault::unsupported(
            "unsupported_verb",
            "this platform reads no memory",
        ))
    }

    /// Begins to write the file at `path` as `temporary` beside it.
    fn stage_file(
        &self,
        path: &RemotePath,
        temporary: &str,
        policy: &Policy,
    ) -> Result<Box<dyn StagedFile>, Fault>;

    /// Opens what an earlier command wrote as `temporary` beside `path`, to go on at its end; with its bytes. `None`: it
    /// is not there, or not what this agent wrote.
    fn resume_file(
        &self,
        path: &RemotePath,
        temporary: &str,
        policy: &Policy,
    ) -> Result<Option<PartialFile>, Fault> {
        let _ = (path, temporary, policy);
        Ok(None)
    }

    /// Whether this temporary file is there and has no other name: what it is for has not been put in place.
    fn is_partial(&self, path: &[u8]) -> bool {
        let _ = path;
        false
    }

    /// Removes a temporary file that an interrupted command left; one that is not there is fine.
    fn remove_leftover(&self, path: &[u8]) -> Result<(), Fault>;

    /// Removes a file, a symlink itself, or an empty directory.
    fn delete_file(&self, path: &RemotePath, policy: &Policy) -> Result<(), Fault>;

    /// Makes a directory; with `parents` also missing ones above it, accepting one that is there.
    fn create_directory(&self, path: &RemotePath, parents: bool, policy: &Policy) -> Result<(), Fault>;

    /// Lists one directory.
    fn list_directory(
        &self,
        path: &RemotePath,
        policy: &Policy,
        stop: &Stop,
    ) -> Result<Listed<DirectoryEntry>, Fault>;

    /// Lists a tree, entering `depth_max` levels below its top.
    fn walk(
        &self,
        path: &RemotePath,
        depth_max: u32,
        policy: &Policy,
        stop: &Stop,
    ) -> Result<Listed<DirectoryEntry>, Fault>;

    /// Lists the processes.
    fn list_processes(&self, stop: &Stop) -> Result<Listed<ProcessEntry>, Fault>;

    /// When the host booted.
    fn booted(&self) -> Result<Booted, Fault>;

    /// The processes of the users that `look` asks for, in no order. Zombies are not there.
    fn scan_processes(&self, look: &dyn Fn(u32) -> Look) -> Result<Vec<SeenProcess>, Fault>;

    /// Ends processes: asks all to end, waits at most `patience` for them, and kills those that are left. One answer
    /// for each, in order. `stop` cuts the waiting short. Never init nor this agent itself.
    fn end_processes(&self, doomed: &[Doomed], patience: Duration, stop: &Stop) -> Vec<Ending>;

    /// How much of the host this agent uses.
    fn own_use(&self) -> Result<OwnUse, Fault>;

    /// Time since the boot, that of suspends included.
    fn since_boot(&self) -> Duration;

    /// The host's name with its domain where the host knows one by itself; no name service is asked.
    fn full_hostname(&self) -> String;

    /// Ends a process and waits for its end.
    fn kill_process(&self, args: &KillProcess, stop: &Stop) -> Result<(), Fault>;

    /// Runs a program to its end; `started` is told the id of its process group.
    fn run_process(
        &self,
        spec: &ProcessSpec,
        policy: &Policy,
        stop: &Stop,
        started: &dyn Fn(u32),
    ) -> Result<ProcessOutcome, Fault>;

    /// Starts a program that goes on by itself; returns its process id.
    fn start_process(&self, spec: &ProcessSpec, policy: &Policy) -> Result<u32, Fault>;

    /// Ends what is left of the process group that an interrupted command started; returns how many processes.
    fn end_leftovers(&self, id: CommandId, process_group: u32) -> usize;
}

/// The operating system this agent was built for.
#[cfg(target_os = "linux")]
pub fn native() -> Arc<dyn Platform> {
    Arc::new(Linux)
}

/// No module is written for the operating system this agent was built for.
#[cfg(not(target_os = "linux"))]
pub fn native() -> Arc<dyn Platform> {
    Arc::new(Unported)
}

/// The fault for a host error about `path`.
pub(crate) fn host_fault(error: &std::io::Error, path: &str) -> Fault {
    #[cfg(target_os = "linux")]
    return linux::host_fault(error, path);
    #[cfg(not(target_os = "linux"))]
    return unported::host_fault(error, path);
}
