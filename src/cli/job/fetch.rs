//! `tripline job fetch`: the files that a job has, written here.

use crate::cli::connection::Connection;
use crate::cli::output::{Format, clean, print, print_json, table};
use crate::cli::{Failure, Global, refusal};
use clap::Args;
use serde::Serialize;
use std::path::{Path, PathBuf};
use tripline_client::ServerJob;
use tripline_protocol::step::ArtifactRef;
use tripline_protocol::{JobId, Sha256};

pub(super) const EXAMPLES: &str = "Examples:\n  tripline job fetch 0d2f… evidence/\n  \
    tripline job fetch 0d2f… --step evidence\n\n\
    A file is called after its step and after its name on the host. It is there whole and verified, or not at all.";
/// Longest name on this machine, in bytes; file systems take 255.
const NAME_BYTES_MAX: usize = 200;

#[derive(Debug, Args)]
pub(in crate::cli) struct Fetch {
    /// Its id
    job_id: JobId,
    /// The folder to write to, made if it is missing
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// Only what this step has; may be given several times
    #[arg(long = "step", value_name = "STEP")]
    steps: Vec<String>,
    /// Replace files that are there already
    #[arg(short, long)]
    force: bool,
}

/// A file as it lies here.
#[derive(Debug, Serialize)]
struct Written {
    step: String,
    /// Its name on the host.
    name: String,
    local: PathBuf,
    bytes: u64,
    sha256: Sha256,
}

pub(super) async fn run(global: &Global, fetch: Fetch) -> Result<(), Failure> {
    let client = Connection::find(global)?.client(None).await;
    let client = client.map_err(refusal::of_connecting)?;
    let job = client.server_job(fetch.job_id).await.map_err(refusal::failure)?;
    let wanted = wanted(&job, &fetch)?;
    std::fs::create_dir_all(&fetch.folder)
        .map_err(|error| Failure::Failed(format!("cannot make {}: {error}", fetch.folder.display())))?;
    let mut written = Vec::new();
    for (step, artifact, local) in wanted {
        job.download(artifact)
            .to_path(&local)
            .await
            .map_err(refusal::failure)?;
        written.push(Written {
            step: step.to_owned(),
            name: artifact.name.clone(),
            local,
            bytes: artifact.bytes,
            sha256: artifact.sha256.clone(),
        });
    }
    match global.output {
        Format::Json => print_json(&written),
        Format::Table => print(&shown(&written)),
    }
}

fn shown(written: &[Written]) -> String {
    let rows = written.iter().map(|file| {
        [
            file.step.clone(),
            clean(&file.local.to_string_lossy()),
            file.bytes.to_string(),
            file.sha256.to_string(),
        ]
    });
    table(["STEP", "FILE", "BYTES", "SHA-256"], rows)
}

/// What is to be written where. Refused before anything is, when a file is in the way.
fn wanted<'j>(
    job: &'j ServerJob,
    fetch: &Fetch,
) -> Result<Vec<(&'j str, &'j ArtifactRef, PathBuf)>, Failure> {
    let steps = &job.view().steps;
    if let Some(unknown) = fetch
        .steps
        .iter()
        .find(|name| !steps.iter().any(|step| step.id == **name))
    {
        let ids: Vec<&str> = steps.iter().map(|step| step.id.as_str()).collect();
        let ids = ids.join(", ");
        return Err(Failure::Input(format!(
            "the job has no step {unknown}; its steps: {ids}"
        )));
    }
    let wanted: Vec<_> = steps
        .iter()
        .filter(|step| fetch.steps.is_empty() || fetch.steps.contains(&step.id))
        .filter_map(|step| {
            let artifact = step.artifact.as_ref()?;
            let local = fetch.folder.join(local_name(&step.id, &artifact.name));
            Some((step.id.as_str(), artifact, local))
        })
        .collect();
    if wanted.is_empty() {
        let state = job.view().state;
        return Err(Failure::Failed(format!(
            "there is no file: the job is {state}, and outputs that are no files are in `tripline job show {} --output json`",
            job.id()
        )));
    }
    match wanted.iter().find(|(_, _, local)| is_in_the_way(local)) {
        Some((_, _, local)) if !fetch.force => Err(Failure::Input(format!(
            "{} is there already; --force replaces it",
            clean(&local.to_string_lossy())
        ))),
        _ => Ok(wanted),
    }
}

fn is_in_the_way(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// `<step>-<name>`, so that two steps never write one file, and with nothing in it that a host could choose to lead
/// elsewhere or to act on a terminal. Windows' separators are replaced, too, for who carries the folder there.
fn local_name(step: &str, name: &str) -> String {
    let safe = |c: char| match c {
        '/' | '\\' | ':' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let mut local: String = format!("{step}-{name}").chars().map(safe).collect();
    let mut end = NAME_BYTES_MAX.min(local.len());
    while !local.is_char_boundary(end) {
        end -= 1;
    }
    local.truncate(end);
    local
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_a_host_leads_nowhere_else() {
        let names = [
            ("hosts", "evidence-hosts"),
            ("../../etc/passwd", "evidence-.._.._etc_passwd"),
            (r"C:\Users\a", "evidence-C__Users_a"),
            ("a\u{1b}[2J\nb", "evidence-a_[2J_b"),
            ("..", "evidence-.."),
            ("", "evidence-"),
        ];
        for (name, local) in names {
            assert_eq!(local_name("evidence", name), local);
        }
        let long = local_name("evidence", &"ä".repeat(1000));
        assert!((NAME_BYTES_MAX - 1..=NAME_BYTES_MAX).contains(&long.len()));
    }
}
