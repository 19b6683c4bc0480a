//! Ending processes that must not go on: asked first, then killed, and never another process or another user's.

use super::errno::fault;
use super::kill::{StopFd, poll_until};
use super::proc::Stat;
use super::scan::effective_user;
use crate::platform::{Doomed, Ending};
use crate::stop::Stop;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};
use tripline_protocol::Fault;

/// How long a killed process may take to be gone.
const KILLED_WAIT: Duration = Duration::from_secs(5);

/// A process held by its descriptor, and how it went so far.
struct Held {
    doomed: Doomed,
    state: State,
}

enum State {
    Lives(OwnedFd),
    Over(Ending),
}

pub(super) fn end(doomed: &[Doomed], patience: Duration, stop: &Stop) -> Vec<Ending> {
    let mut all: Vec<Held> = doomed.iter().map(|doomed| hold(*doomed)).collect();
    for (signal, wait) in [(Signal::HUP, patience), (Signal::KILL, KILLED_WAIT)] {
        all.iter_mut().for_each(|held| held.signal(signal));
        if let Err(fault) = wait_for(&mut all, wait, stop) {
            all.iter_mut().for_each(|held| held.give_up(&fault.text));
        }
    }
    all.into_iter().map(Held::into_ending).collect()
}

fn hold(doomed: Doomed) -> Held {
    let state = match open(doomed) {
        Ok(pidfd) => State::Lives(pidfd),
        Err(ending) => State::Over(ending),
    };
    Held { doomed, state }
}

fn open(doomed: Doomed) -> Result<OwnedFd, Ending> {
    if doomed.pid == 1 || doomed.pid == std::process::id() {
        return Err(Ending::Spared("it is init or this agent itself".to_owned()));
    }
    let pid = i32::try_from(doomed.pid).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(Ending::Gone)?;
    // First the descriptor, then the look at who it is: from here on a pid used again cannot be hit.
    let pidfd = pidfd_open(pid, PidfdFlags::empty()).map_err(not_ended)?;
    check(doomed)?;
    Ok(pidfd)
}

/// The process is there, it is the one that is meant, and its user's.
fn check(doomed: Doomed) -> Result<(), Ending> {
    let stat = Stat::read(doomed.pid).ok_or(Ending::Gone)?;
    if stat.is_over() || stat.start_ticks != doomed.started_exact {
        return Err(Ending::Gone);
    }
    match effective_user(doomed.pid) {
        None => Err(Ending::Gone),
        Some(uid) if uid == doomed.uid => Ok(()),
        Some(uid) => Err(Ending::Spared(format!("it belongs to user {uid} now"))),
    }
}

fn not_ended(errno: Errno) -> Ending {
    match errno {
        Errno::SRCH => Ending::Gone,
        other => Ending::Spared(std::io::Error::from(other).to_string()),
    }
}

impl Held {
    fn lives(&self) -> bool {
        matches!(self.state, State::Lives(_))
    }

    /// Signals it if it is still what it was.
    fn signal(&mut self, signal: Signal) {
        let State::Lives(pidfd) = &self.state else { return };
        let signalled = check(self.doomed).and_then(|()| pidfd_send_signal(pidfd, signal).map_err(not_ended));
        if let Err(ending) = signalled {
            let asked = signal == Signal::KILL && ending == Ending::Gone;
            self.state = State::Over(if asked { Ending::Ended } else { ending });
        }
    }

    fn give_up(&mut self, why: &str) {
        if let State::Lives(_) = self.state {
            self.state = State::Over(Ending::Spared(why.to_owned()));
        }
    }

    fn into_ending(self) -> Ending {
        match self.state {
            State::Over(ending) => ending,
            State::Lives(_) => Ending::Spared("it was killed and is still there".to_owned()),
        }
    }
}

/// Returns when all have ended, or `wait` is over.
fn wait_for(all: &mut [Held], wait: Duration, stop: &Stop) -> Result<(), Fault> {
    let wake = StopFd::new(stop)?;
    let now = Instant::now();
    let until = now.checked_add(wait).unwrap_or(now);
    while all.iter().any(Held::lives) {
        let over = ended(all, &wake, until).map_err(|errno| fault(errno, "the ends of processes"))?;
        for held in over {
            held.state = State::Over(Ending::Ended);
        }
        stop.check()?;
        if Instant::now() >= until {
            break;
        }
    }
    Ok(())
}

/// Waits until something happens: those that ended. The descriptor of a process that ended is readable.
fn ended<'a>(all: &'a mut [Held], wake: &StopFd, until: Instant) -> Result<Vec<&'a mut Held>, Errno> {
    let lives = all.iter().filter_map(|held| match &held.state {
        State::Lives(pidfd) => Some(PollFd::new(pidfd, PollFlags::IN)),
        State::Over(_) => None,
    });
    let mut fds: Vec<PollFd<'_>> = lives.collect();
    fds.push(PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN));
    poll_until(&mut fds, until)?;
    let over: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    let lives = all.iter_mut().filter(|held| held.lives());
    Ok(lives
        .zip(over)
        .filter(|(_, over)| *over)
        .map(|(held, _)| held)
        .collect())
}
