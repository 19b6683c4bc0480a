//! A network namespace with a wire to a second one, for tests that must never touch the machine's network. `wires.py`
//! says what is at the other end. Tests of whole programs include this file by its path.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Says that a process is one that a test started in a namespace of its own.
const INSIDE: &str = "TRIPLINE_TEST_INSIDE";

/// This process' namespace, with the wire for as long as it lives.
pub(crate) struct Namespace {
    wires: Child,
    beyond: u32,
    nft: PathBuf,
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It goes when its stdin ends.
        drop(self.wires.stdin.take());
        drop(self.wires.wait());
    }
}

/// Runs a test in a namespace of its own; `name` is the test's, with its modules. What is missing for it is said.
pub(crate) fn run(name: &str, test: impl FnOnce(Namespace)) {
    if std::env::var_os(INSIDE).is_some() {
        match Namespace::enter() {
            Ok(namespace) => test(namespace),
            Err(why) => eprintln!("SKIPPED: {why}"),
        }
        return;
    }
    let ran = Command::new("unshare")
        .arg("--net")
        .arg(std::env::current_exe().expect("this program"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, "1")
        .output();
    let ran = match ran {
        Ok(ran) => ran,
        Err(error) => return eprintln!("SKIPPED: unshare cannot be run: {error}"),
    };
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    if said.contains("unshare failed") {
        return eprintln!("SKIPPED: no network namespace can be made here: {said}");
    }
    eprintln!("{said}");
    assert!(
        ran.status.success() && said.contains("1 passed"),
        "it failed in its namespace"
    );
}

impl Namespace {
    /// Puts the wire up; otherwise what this machine lacks.
    fn enter() -> Result<Self, String> {
        let mut wires = Command::new("python3")
            .args(["-c", include_str!("wires.py")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut line = String::new();
        let stdout = wires.stdout.take().expect("a pipe");
        BufReader::new(stdout).read_line(&mut line).expect("a line");
        let beyond = line
            .trim()
            .strip_prefix("ready ")
            .and_then(|pid| pid.parse().ok());
        let namespace = Self {
            wires,
            beyond: beyond.unwrap_or_default(),
            nft: std::env::var_os("TRIPLINE_NFT").map_or_else(|| "/usr/sbin/nft".into(), PathBuf::from),
        };
        if beyond.is_none() {
            return Err(format!("this machine has no second network namespace: {line}"));
        }
        if !namespace.nft.is_file() {
            return Err(format!("no {} (make nft fetches it)", namespace.nft.display()));
        }
        match namespace.nft("add table inet probe\ndelete table inet probe\n", &["-f", "-"]) {
            Ok(_) => Ok(namespace),
            Err(why) => Err(format!("the kernel has no nf_tables: {why}")),
        }
    }

    /// A process at the other end of the wire.
    pub(crate) const fn beyond(&self) -> u32 {
        self.beyond
    }

    /// The program.
    pub(crate) fn nft_program(&self) -> &Path {
        &self.nft
    }

    /// What `nft` says, told this.
    pub(crate) fn nft(&self, stdin: &str, arguments: &[&str]) -> Result<String, String> {
        let mut child = Command::new(&self.nft)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nft");
        let mut pipe = child.stdin.take().expect("a pipe");
        pipe.write_all(stdin.as_bytes()).expect("instructed");
        drop(pipe);
        let ended = child.wait_with_output().expect("nft");
        match ended.status.success() {
            true => Ok(String::from_utf8_lossy(&ended.stdout).into_owned()),
            false => Err(String::from_utf8_lossy(&ended.stderr).into_owned()),
        }
    }
}
