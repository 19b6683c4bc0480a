//! What the demo is about: a "suspicious" process with a file, an event about it, and the pipeline that
//! answers.

use super::Error;
use super::check::Check;
use serde_json::{Value, json};
use sha2::{Digest, Sha256 as Hasher};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;
use tokio::process::{Child, Command};
use tripline_protocol::{HostId, Sha256};

/// Where the event is published.
pub(super) const EVENT_SUBJECT: &str = "tripline.events.default.acme.alert.high";

/// The pipeline in a line.
pub(super) const PIPELINE_SUMMARY: &str =
    "contain: on acme.alert.* with severity 7 or more: list processes, fetch the file, kill the process";

/// The pipeline as its author writes it.
pub(super) const PIPELINE: &str = r#"# Answers an alert about a process: evidence first, then its end.
name: contain
on: [acme.alert.*]
when: event.data.severity >= 7
job:
  expires: 1m
  timeout: 1m
  steps:
    - id: processes
      list_processes: {}
    - id: evidence
      get_file: { path: "{{ event.data.path }}" }
    - id: kill
      kill_process: { pid: "{{ event.data.pid }}" }
"#;

const SCRIPT: &[u8] =
    b"#!/bin/sh\n# A harmless stand-in for something that should not run.\nexec sleep 600\n";
const KILLED_WAIT: Duration = Duration::from_secs(10);

/// The process and its file.
pub(super) struct Scene {
    path: PathBuf,
    child: Child,
    pid: u32,
}

impl Scene {
    /// Writes the file and starts the process.
    pub(super) fn set(folder: &Path) -> Result<Self, Error> {
        let path = folder.join("suspicious.sh");
        let file = |action| {
            let path = path.display().to_string();
            move |source| Error::File { action, path, source }
        };
        std::fs::write(&path, SCRIPT).map_err(file("write"))?;
        let child = Command::new("/bin/sh")
            .arg(&path)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| Error::Start {
                program: "/bin/sh".into(),
                source,
            })?;
        let pid = child.id().ok_or(Error::Ended {
            program: "the process",
            status: "at once".into(),
        })?;
        Ok(Self { path, child, pid })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// What a detector would publish: bare JSON, which becomes the event's data.
    pub(super) fn event(&self, host_id: HostId) -> Value {
        json!({
            "host_id": host_id,
            "severity": 9,
            "pid": self.pid,
            "path": self.path.to_string_lossy(),
        })
    }

    /// Of the file's content.
    pub(super) fn sha256(&self) -> Sha256 {
        Sha256::from_digest(&Hasher::digest(SCRIPT).into())
    }

    /// Of the file's content.
    pub(super) fn bytes(&self) -> u64 {
        SCRIPT.len() as u64
    }

    /// Whether the process has ended by a signal.
    pub(super) async fn killed(&mut self) -> Check {
        use std::os::unix::process::ExitStatusExt;
        let ended = tokio::time::timeout(KILLED_WAIT, self.child.wait()).await;
        let right = matches!(ended, Ok(Ok(status)) if status.signal().is_some());
        Check {
            right,
            what: format!("the process {} has been killed", self.pid),
        }
    }
}
