//! A program at a terminal: a pseudo-terminal with somebody who types and reads.

use crate::harness::{eventually, until};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

const KEY_TAB: &str = "\t";
const KEY_ENTER: &str = "\r";
const KEY_UP: &str = "\x1b[A";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// A terminal with a program that runs in it. The program ends with it.
pub(crate) struct Terminal {
    keyboard: File,
    child: Child,
    written: Arc<Mutex<Vec<u8>>>,
    /// Up to here the text was looked at.
    seen: usize,
}

impl Terminal {
    /// Starts a program in a session of its own, with the terminal as its controlling one: Ctrl-C becomes a signal.
    pub(crate) fn start(command: &Command) -> Self {
        let (master, terminal) = pair();
        let clone = || Stdio::from(terminal.try_clone().expect("a handle"));
        let mut in_session = Command::new("setsid");
        in_session
            .arg("--ctty")
            .arg(command.get_program())
            .args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => in_session.env(name, value),
                None => in_session.env_remove(name),
            };
        }
        if let Some(folder) = command.get_current_dir() {
            in_session.current_dir(folder);
        }
        let child = in_session.stdin(clone()).stdout(clone()).stderr(clone()).spawn();
        let child = child.expect("to start setsid");
        drop(in_session);
        drop(terminal);
        let written = Arc::new(Mutex::new(Vec::new()));
        let reader = master.try_clone().expect("a handle");
        let shared = Arc::clone(&written);
        std::thread::spawn(move || read(reader.into(), &shared));
        Self {
            keyboard: master.into(),
            child,
            written,
            seen: 0,
        }
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.keyboard.write_all(text.as_bytes()).expect("to type");
    }

    /// Types a line and Enter.
    pub(crate) fn enters(&mut self, line: &str) {
        self.types(line);
        self.types(KEY_ENTER);
    }

    pub(crate) fn tab(&mut self) {
        self.types(KEY_TAB);
    }

    pub(crate) fn up(&mut self) {
        self.types(KEY_UP);
    }

    pub(crate) fn ctrl_c(&mut self) {
        self.types(CTRL_C);
    }

    /// Once the program reads keys itself: before that the terminal takes this one, and it is lost.
    pub(crate) async fn ctrl_d(&mut self) {
        until("the program reads a line", || {
            let modes = tcgetattr(&self.keyboard).expect("its modes");
            !modes.local_modes.contains(LocalModes::ICANON)
        })
        .await;
        self.types(CTRL_D);
    }

    /// Everything that was written, as it was written.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.written
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What a person reads: without the sequences that move the cursor or colour the text.
    pub(crate) fn text(&self) -> String {
        let mut raw = self.raw();
        // Half a character at the end comes whole the next time.
        if let Err(error) = std::str::from_utf8(&raw)
            && error.error_len().is_none()
        {
            raw.truncate(error.valid_up_to());
        }
        readable(&String::from_utf8_lossy(&raw))
    }

    /// Waits for a text behind what was seen before; gives what is between.
    pub(crate) async fn sees(&mut self, text: &str) -> String {
        let found = eventually(&format!("the terminal shows {text:?}"), async || {
            let all = self.text();
            let at = all.get(self.seen..)?.find(text);
            if at.is_none()
                && let Some(status) = self.child.try_wait().expect("its state")
            {
                // What it wrote last may still be on its way.
                let all = self.text();
                assert!(
                    all.get(self.seen..).is_some_and(|rest| rest.contains(text)),
                    "ended with {status} and never showed {text:?}:\n{all}"
                );
            }
            let at = self.seen + at?;
            Some((all[self.seen..at].to_owned(), at + text.len()))
        })
        .await;
        self.seen = found.1;
        found.0
    }

    /// Waits until the program has ended.
    pub(crate) async fn end(&mut self) -> ExitStatus {
        eventually("the program at the terminal ends", async || {
            self.child.try_wait().expect("its state")
        })
        .await
    }

    /// The terminal's window is closed: its program gets SIGHUP.
    pub(crate) async fn close(mut self) -> ExitStatus {
        let pid = self.child.id().try_into().expect("a pid");
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).expect("to signal");
        let mut status = None;
        until("the program ends with its terminal", || {
            status = self.child.try_wait().expect("its state");
            status.is_some()
        })
        .await;
        status.expect("it ended")
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the terminal:\n{}", self.text());
        }
        // Already gone is as good.
        let _ = self.child.kill();
        self.child.wait().expect("its end");
    }
}

/// Both ends of a terminal of a good size.
fn pair() -> (OwnedFd, OwnedFd) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let master = openpt(flags).expect("a terminal");
    grantpt(&master).expect("granted");
    unlockpt(&master).expect("unlocked");
    let size = Winsize {
        ws_row: 50,
        ws_col: 200,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(&master, size).expect("a size");
    let name = ptsname(&master, Vec::new()).expect("its name");
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let terminal = rustix::fs::open(name.as_c_str(), flags, Mode::empty()).expect("its other end");
    (master, terminal)
}

fn read(mut terminal: File, written: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    // An error says that nobody has the other end any more.
    while let Ok(length @ 1..) = terminal.read(&mut buffer) {
        let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
        written.extend_from_slice(&buffer[..length]);
    }
}

/// Without control sequences and carriage returns.
fn readable(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' if rest.next_if_eq(&'[').is_some() => {
                let is_end = |c: &char| ('@'..='~').contains(c);
                while rest.next_if(|c| !is_end(c)).is_some() {}
                rest.next();
            }
            // Its rest is on its way.
            '\x1b' if rest.peek().is_none() => {}
            '\r' | '\x07' => {}
            c => shown.push(c),
        }
    }
    shown
}
