//! Starting programs: attached to a command, or detached from everything.
//!
//! An attached program leads a process group of its own and gets SIGKILL when the agent dies
//! (`PR_SET_PDEATHSIG`). That signal reaches only the program itself, not what it started, and is cleared when
//! it changes its credentials (setuid programs): for these the next start of the agent looks, see
//! `kill::end_leftovers`. The kernel sends it when the *thread* that started the program ends, so that
//! thread must stay until the program is reaped: `run` does both.

use super::errno::{fault, io_fault};
use super::files::OutputFile;
use super::place::absolute;
use crate::platform::ProcessSpec;
use crate::policy::Policy;
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tripline_protocol::{Fault, RemotePath};

/// In the environment of attached programs: the command they run for.
pub(super) const COMMAND_ID_VARIABLE: &str = "TRIPLINE_COMMAND_ID";
/// The one secret that the agent's own environment may hold.
const TOKEN_VARIABLE: &str = "TRIPLINE_AGENT_ENROL_TOKEN";
/// Stack of a thread that only waits.
const REAPER_STACK_BYTES: usize = 128 * 1024;

/// Starts a program in its own process group with its output piped, or in the file that is to take it.
pub(super) fn attached(spec: &ProcessSpec, policy: &Policy) -> Result<Child, Fault> {
    let mut command = prepare(spec, policy)?;
    let output = direct(&mut command, spec, policy, Stdio::piped)?;
    command
        .env(COMMAND_ID_VARIABLE, spec.id.to_string())
        .process_group(0);
    let agent = rustix::process::getpid();
    before_exec(&mut command, move || die_with(agent));
    spawn(command, spec, output)
}

/// Starts a program in its own session without any input, and without output unless a file takes it; reaps it
/// when it ends.
pub(super) fn detached(spec: &ProcessSpec, policy: &Policy) -> Result<u32, Fault> {
    let mut command = prepare(spec, policy)?;
    let output = direct(&mut command, spec, policy, Stdio::null)?;
    before_exec(&mut command, || {
        rustix::process::setsid().map(drop).map_err(io::Error::from)
    });
    let child = spawn(command, spec, output)?;
    let pid = child.id();
    reap_later(child);
    Ok(pid)
}

/// Waits for a program's end on a thread of its own, so that no zombie stays.
pub(super) fn reap_later(mut child: Child) {
    let pid = child.id();
    let reaper = std::thread::Builder::new()
        .name("reaper".into())
        .stack_size(REAPER_STACK_BYTES);
    let spawned = reaper.spawn(move || match child.wait() {
        Ok(status) => tracing::debug!(pid = child.id(), %status, "a detached program ended"),
        Err(error) => tracing::warn!(pid = child.id(), %error, "failed to wait for a program"),
    });
    if let Err(error) = spawned {
        tracing::warn!(pid, %error, "nobody waits for a program: it will stay as a zombie when it ends");
    }
}

fn prepare(spec: &ProcessSpec, policy: &Policy) -> Result<Command, Fault> {
    let (program, arguments) = spec
        .argv
        .split_first()
        .ok_or_else(|| fault(rustix::io::Errno::INVAL, "argv"))?;
    let real = directory(spec)?;
    policy.admit_path(&real)?;
    if let Some(path) = named_path(Path::new(word(program)), &real) {
        policy.admit_path(&path)?;
    }
    let mut command = Command::new(word(program));
    command
        .args(arguments.iter().map(word))
        .current_dir(&real)
        .env_remove(TOKEN_VARIABLE)
        .envs(&spec.environment)
        .stdin(Stdio::null());
    Ok(command)
}

/// A word as the kernel takes it: any bytes.
fn word(word: &RemotePath) -> &OsStr {
    OsStr::from_bytes(word.as_bytes())
}

/// Where the program is to run: the root when nobody says. Looked at first because the error of a failed start does
/// not say whether program or directory is missing.
fn directory(spec: &ProcessSpec) -> Result<PathBuf, Fault> {
    let Some(asked) = &spec.working_directory else {
        return Ok(PathBuf::from("/"));
    };
    let real = absolute(asked)?
        .canonicalize()
        .map_err(|error| io_fault(&error, asked))?;
    if !real.is_dir() {
        return Err(fault(rustix::io::Errno::NOTDIR, asked));
    }
    Ok(real)
}

/// The program's file, if it is named by a path and not searched for.
fn named_path(program: &Path, directory: &Path) -> Option<PathBuf> {
    program.components().nth(1)?;
    directory.join(program).canonicalize().ok()
}

/// Where stdout and stderr go: to one file, in their order, or elsewhere.
fn direct(
    command: &mut Command,
    spec: &ProcessSpec,
    policy: &Policy,
    elsewhere: fn() -> Stdio,
) -> Result<Option<OutputFile>, Fault> {
    let Some(path) = &spec.output_path else {
        command.stdout(elsewhere()).stderr(elsewhere());
        return Ok(None);
    };
    let output = OutputFile::create(path, policy)?;
    command.stdout(output.writer()?).stderr(output.writer()?);
    Ok(Some(output))
}

fn spawn(mut command: Command, spec: &ProcessSpec, output: Option<OutputFile>) -> Result<Child, Fault> {
    let program = spec.argv.first().map(RemotePath::to_lossy).unwrap_or_default();
    let child = command.spawn().map_err(|error| io_fault(&error, program))?;
    if let Some(output) = output {
        output.keep();
    }
    Ok(child)
}

/// Makes the kernel end this process when its parent, which must still be `agent`, dies.
fn die_with(agent: Pid) -> io::Result<()> {
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    match rustix::process::getppid() {
        Some(parent) if parent == agent => Ok(()),
        // The agent died before the line above took effect.
        _ => Err(io::Error::from_raw_os_error(
            rustix::io::Errno::OWNERDEAD.raw_os_error(),
        )),
    }
}

/// Runs `action` in the new process between fork and exec.
#[expect(
    unsafe_code,
    reason = "pre_exec is unsafe; both callers only make async-signal-safe system calls"
)]
fn before_exec(command: &mut Command, action: impl FnMut() -> io::Result<()> + Send + Sync + 'static) {
    // SAFETY: between fork and exec only async-signal-safe functions may run. The actions passed in above make
    // plain system calls through rustix and allocate nothing.
    unsafe {
        command.pre_exec(action);
    }
}
