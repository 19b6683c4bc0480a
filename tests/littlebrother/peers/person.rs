//! People with processes of their own. They have no account: a login mapping gives their uid a name.

use crate::harness::{Random, Site, until};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// Longest life of a process, in seconds, should the test not end it.
const LIFE: &str = "900";
/// Clock ticks of a second, as Linux shows times to programs.
const TICKS: i64 = 100;

/// A login and a uid that no other test has.
pub(crate) struct Person {
    pub(crate) login: &'static str,
    pub(crate) uid: u32,
    /// Names of what the person runs begin with it; short, because the kernel keeps fifteen characters.
    mark: String,
    programs: PathBuf,
    switches: bool,
}

/// A process of a person.
pub(crate) struct Game {
    pub(crate) pid: u32,
    pub(crate) name: String,
    child: Arc<Mutex<Option<Child>>>,
    reaper: Option<JoinHandle<()>>,
}

impl Person {
    /// As root, with a uid of its own; otherwise with the uid of whoever runs the tests. Either way the names of
    /// the programs tell tests apart that run at the same time.
    pub(crate) fn new(site: &Site) -> Self {
        let mut random = Random::from_entropy();
        let own = rustix::process::geteuid();
        let fresh = 100_000 + u32::try_from(random.below(1_000_000)).expect("small");
        // Another uid has to get through to the programs.
        std::fs::set_permissions(site.path(""), PermissionsExt::from_mode(0o711)).expect("to set a mode");
        let programs = site.path("programs");
        std::fs::create_dir_all(&programs).expect("a folder");
        Self {
            login: "amelie",
            uid: if own.is_root() { fresh } else { own.as_raw() },
            mark: format!("lb{:06x}", random.below(1 << 24)),
            programs,
            switches: own.is_root(),
        }
    }

    /// The name of a program of this person; at most fifteen characters.
    pub(crate) fn name_of(&self, what: &str) -> String {
        let name = format!("{}{what}", self.mark);
        assert!(name.len() <= 15, "{name} is too long for the kernel");
        name
    }

    /// What a login pattern says to mean the person's games.
    pub(crate) fn games(&self) -> String {
        self.name_of("game")
    }

    /// What a prohibited pattern says to mean the person's bad programs.
    pub(crate) fn bad_ones(&self) -> String {
        self.name_of("bad")
    }

    /// Starts a game.
    pub(crate) fn play(&self) -> Game {
        self.run(&self.games())
    }

    /// Starts a prohibited program.
    pub(crate) fn misbehave(&self) -> Game {
        self.run(&self.bad_ones())
    }

    /// Starts a program of this name. It sleeps.
    pub(crate) fn run(&self, name: &str) -> Game {
        let program = self.programs.join(name);
        if !program.exists() {
            std::fs::copy("/bin/sleep", &program).expect("a copy of /bin/sleep");
        }
        Game::start(name, self.command(&program))
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = match self.switches {
            true => Command::new("setpriv"),
            false => Command::new(program),
        };
        if self.switches {
            let uid = self.uid.to_string();
            command
                .args(["--reuid", &uid, "--clear-groups", "--"])
                .arg(program);
        }
        command.arg(LIFE).stdin(Stdio::null());
        command
    }
}

impl Game {
    fn start(name: &str, mut command: Command) -> Self {
        let child = command.spawn().expect("to start a program");
        let pid = child.id();
        let child = Arc::new(Mutex::new(Some(child)));
        let shared = Arc::clone(&child);
        // Somebody has to take note of its end at once: a process that nobody waits for is still seen by scans.
        let reaper = std::thread::spawn(move || reap(pid, &shared));
        Self {
            pid,
            name: name.to_owned(),
            child,
            reaper: Some(reaper),
        }
    }

    pub(crate) fn is_running(&self) -> bool {
        self.child.lock().expect("no panic").is_some()
    }

    /// Ends it, as a person would.
    pub(crate) fn quit(&self) {
        let mut child = self.child.lock().expect("no panic");
        if let Some(child) = child.as_mut() {
            // Already gone is as good.
            let _ = child.kill();
        }
    }

    /// Waits until somebody has ended it.
    pub(crate) async fn ended(&self) {
        until(&format!("the end of {} ({})", self.name, self.pid), || {
            !self.is_running()
        })
        .await;
    }
    /// When it started, in seconds since 1970.
    pub(crate) fn start_seconds(&self) -> i64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("it runs");
        let ticks: i64 = stat
            .rsplit_once(") ")
            .and_then(|(_, rest)| rest.split(' ').nth(19)?.parse().ok())
            .expect("field 22");
        let boot: i64 = std::fs::read_to_string("/proc/stat")
            .expect("/proc/stat")
            .lines()
            .find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
            .expect("btime");
        boot + ticks / TICKS
    }
}

/// Waits for the end without taking the process from whoever wants to end it.
fn reap(pid: u32, child: &Mutex<Option<Child>>) {
    use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
    let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
    while let Err(error) = waitid(WaitId::Pid(pid), options) {
        assert_eq!(error, rustix::io::Errno::INTR, "its end");
    }
    if let Some(mut child) = child.lock().expect("no panic").take() {
        child.wait().expect("its end");
    }
}

impl Drop for Game {
    fn drop(&mut self) {
        self.quit();
        if let Some(reaper) = self.reaper.take() {
            // What it may panic with is shown anyway.
            let _ = reaper.join();
        }
    }
}
