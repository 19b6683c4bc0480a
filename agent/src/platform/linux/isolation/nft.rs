//! Running the program `nft`: no shell, an empty environment, rules on its stdin, and an end to its time.

use super::super::kill::poll_until;
use super::super::run::Capture;
use super::CODE_UNAVAILABLE;
use rustix::event::{PollFd, PollFlags};
use rustix::process::{Pid, PidfdFlags, geteuid, pidfd_open};
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tripline_protocol::Fault;

/// Where it is looked for, unless the configuration names it.
const PLACES: &[&str] = &[
    "/usr/sbin/nft",
    "/sbin/nft",
    "/usr/local/sbin/nft",
    "/usr/bin/nft",
    "/run/current-system/sw/bin/nft",
];
/// How long it may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most bytes kept of what it says; the rest is read and dropped.
const SAID_BYTES_MAX: usize = 64 * 1024;
/// The number of the capability to change the packet filter.
const CAP_NET_ADMIN: u32 = 12;

/// The program.
#[derive(Debug)]
pub(super) struct Nft {
    named: Option<PathBuf>,
}

impl Nft {
    pub(super) fn new(named: Option<&Path>) -> Self {
        Self {
            named: named.map(Path::to_path_buf),
        }
    }

    /// Looked for each time: it may be installed while the agent runs.
    fn find(&self) -> Option<PathBuf> {
        match &self.named {
            Some(named) => named.is_file().then(|| named.clone()),
            None => PLACES.iter().map(PathBuf::from).find(|place| place.is_file()),
        }
    }

    /// What is missing, and what to do about it.
    pub(super) fn lacks(&self) -> Option<String> {
        if self.find().is_none() {
            return Some(match &self.named {
                Some(named) => format!("isolation_nft names {}, which is not there", named.display()),
                None => format!(
                    "the program nft is in none of {}: install the package nftables, or say where it is with isolation_nft",
                    PLACES.join(", ")
                ),
            });
        }
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let why = "the agent may not change the packet filter: run it as root, or give it CAP_NET_ADMIN \
                   (systemd: AmbientCapabilities=CAP_NET_ADMIN)";
        (!may_filter(&status, geteuid().is_root())).then(|| why.to_owned())
    }

    /// Runs it to its end and returns its stdout.
    pub(super) fn run(&self, arguments: &[&str], stdin: &str) -> Result<String, Fault> {
        let program = match (self.lacks(), self.find()) {
            (None, Some(program)) => program,
            (lacks, _) => {
                let why = lacks.unwrap_or_else(|| "the program nft is gone".to_owned());
                return Err(Fault::unsupported(CODE_UNAVAILABLE, why));
            }
        };
        let failed = |what: &str, error: &dyn std::fmt::Display| {
            let text = format!("{what} {}: {error}", program.display());
            Fault::live_response("nft_failed", text)
        };
        let mut child = Command::new(&program)
            .args(arguments)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| failed("failed to run", &error))?;
        let written = child
            .stdin
            .take()
            .map_or(Ok(()), |mut pipe| pipe.write_all(stdin.as_bytes()));
        let (status, stdout, stderr) = end_of(&mut child).map_err(|error| failed("failed to run", &error))?;
        if !status.success() {
            let first = stderr.lines().find(|line| !line.trim().is_empty());
            return Err(failed("refused by", &first.unwrap_or("it does not say why")));
        }
        // It ended well without reading what it was to do: that is not to be trusted.
        written.map_err(|error| failed("failed to instruct", &error))?;
        Ok(stdout)
    }
}

/// A child that is not root keeps a capability only if it is ambient.
fn may_filter(status: &str, is_root: bool) -> bool {
    let has = |field: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let bits = line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok());
        bits.is_some_and(|bits| bits >> CAP_NET_ADMIN & 1 == 1)
    };
    has("CapEff:") && (is_root || has("CapAmb:"))
}

/// Waits for its end, which is brought about when it takes too long.
fn end_of(child: &mut Child) -> std::io::Result<(std::process::ExitStatus, String, String)> {
    let mut stdout = Capture::new(child.stdout.take().map(OwnedFd::from), SAID_BYTES_MAX)?;
    let mut stderr = Capture::new(child.stderr.take().map(OwnedFd::from), SAID_BYTES_MAX)?;
    let until = Instant::now() + PATIENCE;
    if !wait(child, [&mut stdout, &mut stderr], until)? {
        child.kill()?;
        child.wait()?;
        let text = format!("it did not end within {} s", PATIENCE.as_secs());
        return Err(std::io::Error::new(std::io::ErrorKind::TimedOut, text));
    }
    let status = child.wait()?;
    Ok((status, stdout.to_lossy(), stderr.to_lossy()))
}

/// Whether it ended in time. What it says is read meanwhile, so that it never waits for a reader.
fn wait(child: &Child, mut said: [&mut Capture; 2], until: Instant) -> std::io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let pid = pid.ok_or(std::io::ErrorKind::InvalidInput)?;
    let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
    while Instant::now() < until {
        let pipes = said.iter().filter_map(|said| said.pipe());
        let all = std::iter::once(&pidfd).chain(pipes);
        let mut fds: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::IN)).collect();
        poll_until(&mut fds, until)?;
        // First whether it ended, then what it said: all of it is there by then.
        let ended = fds.first().is_some_and(|fd| !fd.revents().is_empty());
        drop(fds);
        said.iter_mut().for_each(|said| said.read());
        if ended {
            return Ok(true);
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    /// A program of two lines in place of the real one.
    fn program(dir: &tempfile::TempDir, script: &str) -> Nft {
        let path = dir.path().join("nft");
        std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o700)).unwrap();
        Nft::new(Some(&path))
    }

    fn may() -> bool {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        may_filter(&status, geteuid().is_root())
    }

    #[test]
    fn the_capability_counts_and_for_others_than_root_only_an_ambient_one() {
        let status = |effective: &str, ambient: &str| {
            format!("Name:\tagent\nCapEff:\t{effective}\nCapBnd:\t000001ffffffffff\nCapAmb:\t{ambient}\n")
        };
        let (none, net_admin) = ("0000000000000000", "0000000000001000");
        assert!(may_filter(&status(net_admin, none), true));
        assert!(!may_filter(&status(net_admin, none), false));
        assert!(may_filter(&status(net_admin, net_admin), false));
        assert!(!may_filter(&status(none, net_admin), false));
        assert!(!may_filter(&status("000001ffffffefff", none), true));
        assert!(!may_filter("", true));
    }

    #[test]
    fn a_program_that_is_not_there_is_unsupported_and_says_what_to_do() {
        let fault = Nft::new(Some(Path::new("/nonexistent/nft")))
            .run(&[], "")
            .unwrap_err();
        assert_eq!(
            (fault.code.as_str(), fault.class),
            (CODE_UNAVAILABLE, tripline_protocol::FaultClass::Unsupported)
        );
        assert!(
            fault.text.contains("isolation_nft names /nonexistent/nft"),
            "{fault}"
        );
    }

    #[test]
    fn it_is_given_its_rules_and_no_environment_and_its_refusal_is_told() {
        if !may() {
            eprintln!("SKIPPED: these tests have no CAP_NET_ADMIN, without which nft is not run");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let echo = program(&dir, "echo \"$1 $2 ${HOME-none}\"; cat");
        assert_eq!(echo.run(&["-f", "-"], "rules\n").unwrap(), "-f - none\nrules\n");
        let refusing = program(&dir, "cat >/dev/null; echo 'Error: no' >&2; exit 1");
        let fault = refusing.run(&["-f", "-"], "rules").unwrap_err();
        assert_eq!(fault.code, "nft_failed");
        assert!(fault.text.ends_with("Error: no"), "{fault}");
    }

    #[test]
    fn what_it_says_is_kept_up_to_a_bound_and_it_never_waits_for_a_reader() {
        if !may() {
            eprintln!("SKIPPED: these tests have no CAP_NET_ADMIN, without which nft is not run");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        for bytes in [SAID_BYTES_MAX, SAID_BYTES_MAX + 1, 16 * SAID_BYTES_MAX] {
            let says = |and: &str| program(&dir, &format!("head -c {bytes} /dev/zero | tr '\\0' x{and}"));
            assert_eq!(says("").run(&[], "").unwrap().len(), SAID_BYTES_MAX, "of {bytes}");
            let fault = says(" >&2; exit 1").run(&[], "").unwrap_err();
            let said = fault.text.chars().filter(|c| *c == 'x').count();
            assert!(
                (SAID_BYTES_MAX..SAID_BYTES_MAX + 10).contains(&said),
                "{said} of {bytes}"
            );
        }
    }
}
