//! Ending processes: one by its id through a pidfd, and what an interrupted command left.

use super::errno::{fault, io_fault};
use super::proc::{self, Boot, Stat};
use super::spawn::COMMAND_ID_VARIABLE;
use crate::stop::Stop;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tripline_protocol::verb::KillProcess;
use tripline_protocol::{CommandId, Fault};

/// How long the end of a killed process is waited for when the caller does not say.
const WAIT_DEFAULT: Duration = Duration::from_secs(5);
/// Seconds that two readings of a start time may differ: the kernel's boot time moves with the clock.
const START_TOLERANCE: u64 = 1;

pub(super) fn kill(args: &KillProcess, stop: &Stop) -> Result<(), Fault> {
    let what = format!("process {}", args.pid);
    if args.pid == 1 || args.pid == std::process::id() {
        return Err(Fault::unsupported(
            "protected_process",
            format!("{what} is init or this agent itself"),
        ));
    }
    let pid = i32::try_from(args.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or_else(|| fault(Errno::SRCH, &what))?;
    // First the pidfd, then the look at who it is: from here on a recycled pid cannot be hit.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(|errno| fault(errno, &what))?;
    if let Some(expected) = args.start_time {
        check_start(args.pid, expected, &what)?;
    }
    pidfd_send_signal(&pidfd, Signal::KILL).map_err(|errno| fault(errno, &what))?;
    let wait = args.wait.map_or(WAIT_DEFAULT, |span| span.to_duration());
    wait_for_end(&pidfd, wait, stop, &what)
}

pub(super) fn check_start(pid: u32, expected: i64, what: &str) -> Result<(), Fault> {
    let stat = Stat::read(pid).ok_or_else(|| fault(Errno::SRCH, what))?;
    let started = Boot::read()
        .map_err(|error| io_fault(&error, "/proc/stat"))?
        .start_time(&stat);
    if started.abs_diff(expected) > START_TOLERANCE {
        let text = format!("{what} started at {started}, not at {expected}: it is another process");
        return Err(Fault::live_response("recycled_pid", text));
    }
    Ok(())
}

fn wait_for_end(pidfd: &OwnedFd, wait: Duration, stop: &Stop, what: &str) -> Result<(), Fault> {
    let wake = StopFd::new(stop)?;
    let now = Instant::now();
    let until = now.checked_add(wait).unwrap_or(stop.deadline());
    loop {
        let mut fds = [
            PollFd::new(pidfd, PollFlags::IN),
            PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN),
        ];
        poll_until(&mut fds, until.min(stop.deadline())).map_err(|errno| fault(errno, what))?;
        if fds.first().is_some_and(|fd| !fd.revents().is_empty()) {
            return Ok(());
        }
        stop.check()?;
        if Instant::now() >= until {
            return Err(Fault::timeout(
                "still_running",
                format!("{what} was killed but is still there"),
            ));
        }
    }
}

/// Polls until something is ready or `until` has come.
pub(super) fn poll_until(fds: &mut [PollFd<'_>], until: Instant) -> Result<(), Errno> {
    let left = until.saturating_duration_since(Instant::now());
    // One nanosecond short of the time would be a busy loop; a day is as good as for ever.
    let left = left.min(Duration::from_secs(24 * 3600)) + Duration::from_micros(100);
    let left = Timespec::try_from(left).map_err(|_| Errno::INVAL)?;
    match poll(fds, Some(&left)) {
        Ok(_) | Err(Errno::INTR) => Ok(()),
        Err(errno) => Err(errno),
    }
}

/// A descriptor that becomes readable when the command has to end before its deadline.
pub(super) struct StopFd(Arc<OwnedFd>);

impl StopFd {
    pub(super) fn new(stop: &Stop) -> Result<Self, Fault> {
        let fd = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let fd = Arc::new(fd.map_err(|errno| fault(errno, "eventfd"))?);
        let waker = fd.clone();
        stop.on_stop(move || {
            if let Err(error) = rustix::io::write(&*waker, &1u64.to_ne_bytes()) {
                tracing::error!(%error, "failed to wake a command that has to end");
            }
        });
        Ok(Self(fd))
    }

    pub(super) fn as_fd(&self) -> BorrowedFd<'_> {
        std::os::fd::AsFd::as_fd(&*self.0)
    }
}

/// Whether a process that is no zombie is in the group.
pub(super) fn group_alive(group: u32) -> bool {
    let pids = proc::pids().unwrap_or_default();
    pids.into_iter()
        .filter_map(Stat::read)
        .any(|stat| stat.group == group && stat.state != 'Z')
}

/// A process is ended only if it is in the group *and* carries the command's id in its environment, so a
/// group id that was used again since is safe.
pub(super) fn end_leftovers(id: CommandId, group: u32) -> usize {
    let mark = format!("{COMMAND_ID_VARIABLE}={id}");
    let pids = proc::pids().unwrap_or_default();
    pids.into_iter()
        .filter(|pid| end_leftover(*pid, group, &mark))
        .count()
}

fn end_leftover(pid: u32, group: u32, mark: &str) -> bool {
    let Some(raw) = i32::try_from(pid).ok().and_then(Pid::from_raw) else {
        return false;
    };
    let Ok(pidfd) = pidfd_open(raw, PidfdFlags::empty()) else {
        return false;
    };
    let ours = Stat::read(pid).is_some_and(|stat| stat.group == group && stat.state != 'Z')
        && proc::has_environment(pid, mark);
    ours && pidfd_send_signal(&pidfd, Signal::KILL).is_ok()
}
