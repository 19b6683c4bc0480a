//! Running a program to its end: output captured to a limit and counted beyond it, the whole process group
//! ended when the time is over.
//!
//! The end of the command is the end of the program itself. Processes it left behind may go on if they
//! closed their output; who still holds it a second later is ended with the group.

use super::errno::fault;
use super::kill::{StopFd, group_alive, poll_until};
use super::spawn::{attached, reap_later};
use crate::platform::ProcessSpec;
use crate::policy::Policy;
use crate::stop::Stop;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::event::{PollFd, PollFlags};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};
use tripline_protocol::Fault;
use tripline_protocol::verb::{Captured, ProcessOutcome};

/// Between SIGTERM and SIGKILL.
const GRACE: Duration = Duration::from_secs(2);
/// For whoever still holds the output after the program's end.
const DRAIN: Duration = Duration::from_secs(1);
/// For the kernel to take a killed process away.
const KILLED: Duration = Duration::from_secs(1);
/// How often the group is looked at while it is being ended.
const LOOK: Duration = Duration::from_millis(20);
const READ_BYTES: usize = 64 * 1024;

pub(super) fn run(
    spec: &ProcessSpec,
    policy: &Policy,
    stop: &Stop,
    started: &dyn Fn(u32),
) -> Result<ProcessOutcome, Fault> {
    let wake = StopFd::new(stop)?;
    let mut child = attached(spec, policy)?;
    started(child.id());
    let opened = Program::open(&mut child, spec);
    let mut program = match opened {
        Ok(program) => program,
        Err(errno) => return Err(give_up(child, errno)),
    };
    let over = program.watch(&wake, stop, spec.timeout);
    if over.is_err() || !program.output_closed() {
        program.end_group();
    }
    let status = program.reap(child);
    let outcome = program.outcome(status);
    match over {
        Ok(()) => Ok(outcome),
        Err(over) => Err(with_outcome(over, &outcome)),
    }
}

/// A program that cannot be watched is not left alone either.
fn give_up(mut child: Child, errno: Errno) -> Fault {
    if let Err(error) = child.kill() {
        tracing::warn!(pid = child.id(), %error, "failed to end a program");
    }
    let failed = fault(errno, format!("process {}", child.id()));
    reap_later(child);
    failed
}

/// What was captured until the time was over goes with the fault.
fn with_outcome(over: Fault, outcome: &ProcessOutcome) -> Fault {
    match serde_json::to_value(outcome) {
        Ok(detail) => over.with_detail(detail),
        Err(_) => over,
    }
}

struct Program {
    pid: Pid,
    pidfd: OwnedFd,
    ended: bool,
    /// Nothing is captured: a file takes the output.
    redirected: bool,
    stdout: Capture,
    stderr: Capture,
}

impl Program {
    fn open(child: &mut Child, spec: &ProcessSpec) -> Result<Self, Errno> {
        let limit = spec.output_bytes_max;
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or(Errno::SRCH)?;
        Ok(Self {
            pid,
            pidfd: pidfd_open(pid, PidfdFlags::empty())?,
            ended: false,
            redirected: spec.output_path.is_some(),
            stdout: Capture::new(child.stdout.take().map(OwnedFd::from), limit)?,
            stderr: Capture::new(child.stderr.take().map(OwnedFd::from), limit)?,
        })
    }

    /// Captures until the program has ended and its output is closed or [`DRAIN`] is over; an error when it
    /// has to end before.
    fn watch(&mut self, wake: &StopFd, stop: &Stop, timeout: Option<Duration>) -> Result<(), Fault> {
        let timeout = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let mut drain_until = None;
        loop {
            let until = timeout
                .into_iter()
                .chain(drain_until)
                .fold(stop.deadline(), Instant::min);
            self.step(Some(wake), until)
                .map_err(|errno| fault(errno, "poll"))?;
            if self.ended && self.output_closed() {
                return Ok(());
            }
            stop.check()?;
            let now = Instant::now();
            if self.ended && *drain_until.get_or_insert(now + DRAIN) <= now {
                return Ok(());
            }
            if timeout.is_some_and(|timeout| timeout <= now) && !self.ended {
                return Err(Fault::timeout(
                    "process_timeout",
                    "the program ran longer than its timeout",
                ));
            }
        }
    }

    /// Waits for anything to happen, no longer than `until`, and takes in what did.
    fn step(&mut self, wake: Option<&StopFd>, until: Instant) -> Result<(), Errno> {
        let (pidfd, ended) = (&self.pidfd, self.ended);
        let mut fds: Vec<PollFd<'_>> = [self.stdout.pipe(), self.stderr.pipe()]
            .into_iter()
            .flatten()
            .chain((!ended).then_some(pidfd))
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .chain(wake.map(|wake| PollFd::from_borrowed_fd(wake.as_fd(), PollFlags::IN)))
            .collect();
        poll_until(&mut fds, until)?;
        drop(fds);
        // First whether it ended, then the output: what it wrote before its end is seen this way.
        self.ended = ended || self.has_ended()?;
        self.stdout.read();
        self.stderr.read();
        Ok(())
    }

    fn has_ended(&self) -> Result<bool, Errno> {
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        let now = rustix::event::Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        rustix::event::poll(&mut fds, Some(&now)).map(|ready| ready > 0)
    }

    fn output_closed(&self) -> bool {
        self.stdout.pipe.is_none() && self.stderr.pipe.is_none()
    }

    /// SIGTERM, [`GRACE`], SIGKILL, to the whole group. The program is not reaped before, so the group's id
    /// cannot belong to anybody else.
    fn end_group(&mut self) {
        self.signal(Signal::TERM);
        self.capture_while(GRACE, |program| {
            group_alive(program.pid.as_raw_nonzero().get().unsigned_abs())
        });
        self.signal(Signal::KILL);
        self.capture_while(KILLED, |program| !program.ended || !program.output_closed());
    }

    fn signal(&self, signal: Signal) {
        match kill_process_group(self.pid, signal) {
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => {
                tracing::warn!(pid = ?self.pid, ?signal, %error, "failed to signal a process group")
            }
        }
    }

    fn capture_while(&mut self, most: Duration, go_on: impl Fn(&Self) -> bool) {
        let until = Instant::now() + most;
        while go_on(self) && Instant::now() < until {
            if let Err(error) = self.step(None, (Instant::now() + LOOK).min(until)) {
                tracing::warn!(%error, "failed to wait for a process group");
                return;
            }
        }
    }

    /// The exit status; `None` when even SIGKILL did not end it (it hangs in the kernel).
    fn reap(&self, mut child: Child) -> Option<ExitStatus> {
        if !self.ended {
            reap_later(child);
            return None;
        }
        child
            .wait()
            .inspect_err(|error| tracing::warn!(%error, "failed to wait for a program"))
            .ok()
    }

    fn outcome(self, status: Option<ExitStatus>) -> ProcessOutcome {
        ProcessOutcome {
            pid: self.pid.as_raw_nonzero().get().unsigned_abs(),
            exit_code: status.and_then(|status| status.code()),
            signal: status.and_then(|status| status.signal()),
            stdout: (!self.redirected).then(|| self.stdout.finish()),
            stderr: (!self.redirected).then(|| self.stderr.finish()),
        }
    }
}

/// The head of a stream, and how much came after it.
pub(super) struct Capture {
    pipe: Option<OwnedFd>,
    kept: Vec<u8>,
    limit: usize,
    dropped: u64,
}

impl Capture {
    /// Of a pipe, which it makes one that nobody waits for.
    pub(super) fn new(pipe: Option<OwnedFd>, limit: usize) -> Result<Self, Errno> {
        if let Some(pipe) = &pipe {
            rustix::fs::fcntl_setfl(pipe, OFlags::NONBLOCK)?;
        }
        Ok(Self {
            pipe,
            kept: Vec::new(),
            limit,
            dropped: 0,
        })
    }

    /// What to wait for, until it is closed.
    pub(super) fn pipe(&self) -> Option<&OwnedFd> {
        self.pipe.as_ref()
    }

    /// What was kept, as a text whatever it is.
    pub(super) fn to_lossy(&self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }

    /// Takes what is there now, at most a few buffers so that a stream without end starves nothing else.
    pub(super) fn read(&mut self) {
        let mut buffer = [0; READ_BYTES];
        for _ in 0..16 {
            let Some(pipe) = &self.pipe else { return };
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => self.pipe = None,
                Ok(length) => self.take(buffer.get(..length).unwrap_or_default()),
                Err(Errno::AGAIN | Errno::INTR) => return,
                Err(error) => {
                    tracing::warn!(%error, "failed to read a program's output");
                    self.pipe = None;
                }
            }
        }
    }

    fn take(&mut self, bytes: &[u8]) {
        let room = self.limit.saturating_sub(self.kept.len());
        let (head, rest) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
        self.kept.extend_from_slice(head);
        self.dropped += rest.len() as u64;
    }

    /// Text if it is UTF-8; the limit may cut through a character, which is then left out too.
    fn finish(mut self) -> Captured {
        let cut_character = match std::str::from_utf8(&self.kept) {
            Err(error) if error.error_len().is_none() && self.dropped > 0 => Some(error.valid_up_to()),
            _ => None,
        };
        if let Some(end) = cut_character {
            self.dropped += (self.kept.len() - end) as u64;
            self.kept.truncate(end);
        }
        match String::from_utf8(self.kept) {
            Ok(text) => Captured {
                text: Some(text),
                b64: None,
                truncated_bytes: self.dropped,
            },
            Err(error) => Captured {
                text: None,
                b64: Some(STANDARD.encode(error.as_bytes())),
                truncated_bytes: self.dropped,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn captured(limit: usize, pieces: &[&[u8]]) -> Captured {
        let mut capture = Capture {
            pipe: None,
            kept: Vec::new(),
            limit,
            dropped: 0,
        };
        pieces.iter().for_each(|piece| capture.take(piece));
        capture.finish()
    }

    #[test]
    fn the_head_is_kept_and_the_rest_counted() {
        let captured = captured(5, &[b"abc", b"defg", b"h"]);
        assert_eq!(
            (captured.text.as_deref(), captured.truncated_bytes),
            (Some("abcde"), 3)
        );
    }

    #[test]
    fn text_is_cut_between_characters() {
        let captured = captured(2, &["aé".as_bytes()]);
        assert_eq!(
            (captured.text.as_deref(), captured.truncated_bytes),
            (Some("a"), 2)
        );
    }

    #[test]
    fn what_is_no_text_is_base64_even_when_it_ends_like_a_cut_character() {
        let captured = captured(9, &[b"a\xc3"]);
        assert_eq!(
            (captured.text, captured.b64.as_deref(), captured.truncated_bytes),
            (None, Some("YcM="), 0)
        );
    }
}
