//! Processes for the watcher to find: with names of their own, of other users where the tests may make them.

use crate::support::{alive, is_root, wait_until};
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;
use tripline_protocol::littlebrother::{
    DEFAULT_GROUP, EventType, LocalTime, LoginMapping, PROCESS_HANDLER, UserConfig, WireEvent, config_event,
    mapping_event,
};

/// The login whose processes are watched.
pub(crate) const LOGIN: &str = "amelie";
/// What the host is called.
pub(crate) const HOST: &str = "beethoven";
/// Longest silence where a test is not about silence: nothing is ended by it.
pub(crate) const PATIENT_S: u64 = 3600;

/// A name for processes that nobody else has, short enough for the kernel.
pub(crate) fn unique(prefix: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{prefix}{}x{number}", std::process::id())
}

/// The watched user's uid: another one than the agent's where the tests run as root.
pub(crate) fn watched_uid() -> u32 {
    match is_root() {
        true => 4242,
        false => rustix::process::geteuid().as_raw(),
    }
}

/// A process that is ended with the test.
pub(crate) struct Quarry {
    child: Child,
    name: String,
    _dir: TempDir,
}

/// A folder that other users may enter, with a program of that name in it.
fn program(name: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = dir.path().join(name);
    symlink("/bin/sleep", &path).unwrap();
    (dir, path)
}

fn spawn(command: &mut Command, uid: u32) -> Child {
    if is_root() {
        command.uid(uid).gid(uid);
    }
    command.stdin(Stdio::null()).spawn().unwrap()
}

impl Quarry {
    /// A process of the watched user.
    pub(crate) fn new(name: &str) -> Self {
        Self::of(name, watched_uid())
    }

    /// One of another user; only root can make it.
    pub(crate) fn of(name: &str, uid: u32) -> Self {
        let (dir, path) = program(name);
        let child = spawn(Command::new(path).arg("1000"), uid);
        Self::ready(child, name, dir)
    }

    /// One that a hang-up does not end.
    pub(crate) fn stubborn(name: &str) -> Self {
        let (dir, path) = program(name);
        let script = format!("trap '' HUP; exec {} 1000", path.display());
        let child = spawn(Command::new("/bin/sh").args(["-c", &script]), watched_uid());
        Self::ready(child, name, dir)
    }

    /// One that writes a line into the file `hangups` of its folder at each hang-up, and goes on.
    pub(crate) fn counting(name: &str) -> Self {
        let dir = program("unused").0;
        let (script, hangups) = (dir.path().join(name), dir.path().join("hangups"));
        let lines = format!(
            "#!/bin/sh\ntrap 'echo hangup >>{}' HUP\nwhile :; do sleep 0.05; done\n",
            hangups.display()
        );
        std::fs::write(&script, lines).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        let child = spawn(&mut Command::new(&script), watched_uid());
        Self::ready(child, name, dir)
    }

    fn ready(child: Child, name: &str, dir: TempDir) -> Self {
        let comm = format!("/proc/{}/comm", child.id());
        wait_until("the program runs", || {
            std::fs::read_to_string(&comm).unwrap_or_default().trim() == name
        });
        Self {
            child,
            name: name.to_owned(),
            _dir: dir,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self._dir.path()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn lives(&self) -> bool {
        alive(self.pid())
    }

    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Quarry {
    fn drop(&mut self) {
        self.end();
    }
}

/// Who is watched, and for what.
pub(crate) struct Orders {
    pub(crate) counts: String,
    pub(crate) prohibited: Option<String>,
    pub(crate) silence_max_s: u64,
    pub(crate) group: &'static str,
}

impl Orders {
    /// Watches for processes of this name.
    pub(crate) fn watch(counts: &str) -> Self {
        Self {
            counts: counts.to_owned(),
            prohibited: None,
            silence_max_s: PATIENT_S,
            group: DEFAULT_GROUP,
        }
    }

    /// As the events of a server.
    pub(crate) fn events(&self) -> Vec<WireEvent> {
        let user = UserConfig {
            login: LOGIN.to_owned(),
            active: true,
            process_name_pattern: self.counts.clone(),
            prohibited_process_name_pattern: self.prohibited.clone(),
        };
        let mapping = LoginMapping {
            server_group: self.group.to_owned(),
            entries: vec![(LOGIN.to_owned(), watched_uid())],
        };
        let now = LocalTime::epoch();
        vec![
            config_event(HOST, now, &[user], self.silence_max_s),
            mapping_event(HOST, now, &[mapping]),
        ]
    }
}

/// `KILL_PROCESS` of a process that was reported.
pub(crate) fn kill(reported: &WireEvent, delay: u64) -> WireEvent {
    let mut event = WireEvent::new(EventType::KillProcess, HOST, LocalTime::epoch());
    event.delay = delay;
    event.pid = reported.pid;
    event.process_start_time = reported.process_start_time;
    event.username.clone_from(&reported.username);
    event.processhandler = Some(PROCESS_HANDLER.to_owned());
    event
}

/// Events as a body.
pub(crate) fn body(events: &[WireEvent]) -> Value {
    json!(events)
}

/// Whether an event is of this type and about this process.
pub(crate) fn is_about(kind: EventType, pid: u32) -> impl Fn(&WireEvent) -> bool {
    move |event| event.event_type == kind && event.pid == Some(pid)
}
