//! The guard: this program run as `tripline broker-guard`, which asks the kernel to end it with the server,
//! and then becomes nats-server.
//!
//! The kernel's parent-death signal has to be asked for by the child itself, survives `execve`, and needs no
//! unsafe code when a program of our own does it. So the broker ends with the server even after `kill -9`, and
//! there is no third process that could be killed instead. The signal comes when the *thread* that started the
//! guard ends; the supervisor's thread lives as long as the server.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

/// The hidden subcommand.
pub const SUBCOMMAND: &str = "broker-guard";

/// Runs the guard when this process was started as one: `main` calls this before anything else. `None`: it was
/// not.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != SUBCOMMAND {
        return None;
    }
    let error = match become_broker(arguments) {
        Ok(never) => match never {},
        Err(error) => error,
    };
    eprintln!("{SUBCOMMAND}: {error}");
    Some(ExitCode::FAILURE)
}

/// Why the guard could not become the broker.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("expected the server's process id and a command; this is for tripline's own use")]
    Usage,
    #[error("the server ended")]
    Orphaned,
    #[cfg(target_os = "linux")]
    #[error("ask for the parent-death signal: {0}")]
    Signal(rustix::io::Errno),
    #[error("run {program:?}: {source}")]
    Exec {
        program: OsString,
        source: std::io::Error,
    },
}

fn become_broker(mut arguments: impl Iterator<Item = OsString>) -> Result<std::convert::Infallible, Error> {
    let server = arguments
        .next()
        .and_then(|id| id.to_str()?.parse::<u32>().ok())
        .ok_or(Error::Usage)?;
    let program = arguments.next().ok_or(Error::Usage)?;
    end_with_parent()?;
    // Had the server ended before, its end would have sent nothing.
    if std::os::unix::process::parent_id() != server {
        return Err(Error::Orphaned);
    }
    let source = Command::new(&program).args(arguments).exec();
    Err(Error::Exec { program, source })
}

#[cfg(target_os = "linux")]
fn end_with_parent() -> Result<(), Error> {
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
        .map_err(Error::Signal)
}

/// Elsewhere there is no such signal: there a server that is killed leaves its broker, which keeps the lock on
/// the store until somebody ends it.
#[cfg(not(target_os = "linux"))]
fn end_with_parent() -> Result<(), Error> {
    Ok(())
}
