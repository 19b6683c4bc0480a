//! The real client.

use super::ini::Ini;
use super::programs::little_brother;
use super::{Database, SECRET};
use crate::harness::{Process, Site};
use std::path::{Path, PathBuf};

/// `run_little_brother.py` as a client: it looks and reports every second.
pub(crate) struct RealClient {
    process: Process,
    folder: PathBuf,
    config: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl RealClient {
    /// One that reports to `url` under this host name and does not run yet.
    pub(crate) fn prepare(site: &Site, hostname: &str, url: &str) -> Self {
        Self::prepare_with(site, hostname, url, SECRET)
    }

    /// The same with a secret.
    pub(crate) fn prepare_with(site: &Site, hostname: &str, url: &str, secret: &str) -> Self {
        let folder = site.path(format!("client-{hostname}"));
        let config = site.write(
            &format!("client-{hostname}/client.config"),
            Ini::default()
                .section("MasterConnector", &[("host_url", url), ("access_token", secret)])
                .section(
                    "Persistence",
                    &[
                        ("database_driver", "sqlite"),
                        ("sqlite_dir", folder.to_str().expect("UTF-8")),
                        ("sqlite_filename", "client.sqlite"),
                    ],
                )
                .section(
                    "AppControl",
                    &[
                        ("hostname", hostname),
                        ("check_interval", "1"),
                        ("warning_time_without_send_events", "4"),
                    ],
                )
                .section(
                    "ClientProcessHandler",
                    &[
                        ("check_interval", "1"),
                        ("kill_delay", "1"),
                        // The client runs as whoever runs the tests, who needs no sudo.
                        ("sudo_command", "/usr/bin/env"),
                    ],
                )
                // By default a client that is stopped while it looks at processes tells of 20 s and more only.
                .section("LittleBrother", &[("minimum_downtime_duration", "5")])
                .section("VersionChecker", &[("check_interval_in_days", "0")])
                .text(),
        );
        Self {
            process: Process::new("a real client", site.path(format!("client-{hostname}.log"))),
            folder,
            config,
            environment: Vec::new(),
        }
    }

    /// Starts one.
    pub(crate) fn start(site: &Site, hostname: &str, url: &str) -> Self {
        let mut client = Self::prepare(site, hostname, url);
        client.spawn();
        client
    }

    /// For the next start.
    pub(crate) fn set_variable(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_owned()));
    }

    pub(crate) fn spawn(&mut self) {
        let mut command = little_brother();
        command
            .args(["--config".as_ref(), self.config.as_os_str()])
            .args(["--no-log-filter", "--loglevel", "WARN", "--pidfile"])
            .arg(self.folder.join("pid"))
            .current_dir(&self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)));
        self.process.spawn(command);
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// What it has stored.
    pub(crate) fn database(&self) -> Database {
        Database::open(&self.database_file())
    }

    fn database_file(&self) -> PathBuf {
        Path::new(&self.folder).join("client.sqlite")
    }
}
