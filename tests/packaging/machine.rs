//! A machine of its own with a booted systemd, in namespaces (`machine.sh`). Its root is this machine's with a layer
//! in memory over it: what is installed there is gone with it.

use crate::harness::{Process, Ran, Site, eventually, run};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The exit code by which the script says that it cannot be done here.
const REFUSED: i32 = 77;
/// What it takes.
const NEEDED: [&str; 5] = [
    "/lib/systemd/systemd",
    "/usr/bin/dpkg-deb",
    "/usr/bin/nsenter",
    "/usr/bin/unshare",
    "/var/lib/dpkg/status",
];

/// A running machine; it ends when it is dropped.
pub(crate) struct Machine {
    folder: PathBuf,
    process: Process,
    /// Its first process, as this machine counts them.
    systemd: u32,
}

impl Machine {
    /// Boots one, or says why that cannot be done here.
    pub(crate) async fn boot(site: &Site) -> Option<Self> {
        if let Some(missing) = NEEDED.into_iter().find(|path| !Path::new(path).exists()) {
            eprintln!("SKIPPED: a machine cannot be booted here: no {missing}");
            return None;
        }
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: a machine cannot be booted here: only root can");
            return None;
        }
        let folder = site.path("machine");
        std::fs::create_dir_all(folder.join("share")).expect("a folder");
        let mut machine = Self {
            process: Process::new("the machine", site.path("machine.log")),
            systemd: 0,
            folder,
        };
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh"])
            .arg(script())
            .arg("boot")
            .arg(&machine.folder);
        machine.process.spawn(command);
        machine.booted().await.then_some(machine)
    }

    /// Waits for it; `false` when it is refused.
    async fn booted(&mut self) -> bool {
        eventually("the machine is booted", async || {
            if let Some(status) = self.process.has_ended() {
                let log = self.process.log();
                assert_eq!(status.code(), Some(REFUSED), "the machine ended: {log}");
                eprintln!("SKIPPED: a machine cannot be booted here: {log}");
                return Some(false);
            }
            let pid = self.process.pid();
            let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
            self.systemd = children.split_whitespace().next()?.parse().ok()?;
            let name = std::fs::read_to_string(format!("/proc/{}/comm", self.systemd)).ok()?;
            if name.trim() != "systemd" {
                return None;
            }
            let state = self.sh("systemctl is-active machine.target").await;
            (state.stdout.trim() == "active").then_some(true)
        })
        .await
    }

    /// The folder that is `/share` in it.
    pub(crate) fn share(&self) -> PathBuf {
        self.folder.join("share")
    }

    /// Runs a script in it.
    pub(crate) async fn sh(&self, script: &str) -> Ran {
        let mut command = Command::new("nsenter");
        command
            .args([
                "--target",
                &self.systemd.to_string(),
                "--all",
                "/usr/bin/env",
                "-i",
            ])
            .args(["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"])
            .args([
                "HOME=/root",
                "DEBIAN_FRONTEND=noninteractive",
                "TRIPLINE__DATA_DIR=/var/lib/tripline",
            ])
            .args(["sh", "-euc", script]);
        run(command).await
    }

    /// Runs a script in it that must succeed; what it printed.
    pub(crate) async fn does(&self, script: &str) -> String {
        let ran = self.sh(script).await;
        if ran.code != 0 {
            let journal = self.sh("journalctl --no-pager --lines 60").await.stdout;
            panic!("{script}\n{ran:?}\n{journal}");
        }
        ran.stdout.trim().to_owned()
    }

    /// A property of a unit.
    pub(crate) async fn property(&self, unit: &str, name: &str) -> String {
        self.does(&format!("systemctl show --property {name} --value {unit}"))
            .await
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.process.kill();
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh"])
            .arg(script())
            .arg("clean")
            .arg(&self.folder);
        let cleaned = command.output();
        if !std::thread::panicking() {
            let code = cleaned.as_ref().ok().and_then(|ended| ended.status.code());
            assert!(code == Some(0) || code == Some(REFUSED), "{cleaned:?}");
        }
    }
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/packaging/machine.sh")
}
