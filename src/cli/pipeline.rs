//! `tripline pipeline`: check rule files without a server, list the rules in force, pause single ones.

use super::output::{Format, clean, or_dash, print, print_json, table};
use super::{Client, Failure, Global};
use crate::rules::{Folders, count};
use clap::{Args, Subcommand};
use std::collections::HashSet;
use std::path::PathBuf;
use tripline_protocol::Name;
use tripline_protocol::api::{PipelinePause, PipelinePauseView, PipelinesView, SetPause};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Check pipeline files as the server would, without one
    #[command(
        after_help = "Every problem is printed as file:line:column: what is wrong; the exit code is then 2.\n\n\
                            Example:\n  tripline pipeline check pipelines/ --jobs jobs/"
    )]
    Check(Check),
    /// List the pipelines in force, and which of them are paused
    List,
    /// Let a pipeline not act, whatever matches; jobs that it made before go on
    #[command(
        after_help = "It lasts over restarts, until somebody resumes it. The whole server: tripline pause.\n\n\
                            Example:\n  tripline pipeline pause contain-miner --reason 'kills too much, INC-42'"
    )]
    Pause(Pause),
    /// Let a pipeline act again that somebody paused, or that paused itself
    #[command(after_help = "How its jobs ended before counts no more for auto_pause.\n\n\
                            Example:\n  tripline pipeline resume contain-miner")]
    Resume(Resume),
}

#[derive(Debug, Args)]
pub(super) struct Pause {
    /// Its name
    #[arg(value_name = "PIPELINE")]
    pipeline: Name,
    /// Why, for everybody who wonders
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Resume {
    /// Its name
    #[arg(value_name = "PIPELINE")]
    pipeline: Name,
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// Folders of pipelines, each a set of its own
    #[arg(required = true, value_name = "DIR")]
    pipelines: Vec<PathBuf>,
    /// Folder of named jobs that the pipelines use
    #[arg(long, value_name = "DIR")]
    jobs: Option<PathBuf>,
}

pub(super) fn check(global: &Global, arguments: &Check) -> Result<(), Failure> {
    let mut problems: Vec<String> = Vec::new();
    let mut pipelines = 0;
    let mut named_jobs = 0;
    for folder in &arguments.pipelines {
        let folders = Folders {
            pipelines: Some(folder.clone()),
            jobs: arguments.jobs.clone(),
        };
        match folders.load() {
            Ok(set) => {
                pipelines += count(&set).0;
                named_jobs = count(&set).1;
            }
            // Those of the named jobs come with every folder.
            Err(error) => problems.extend(error.to_string().lines().map(str::to_owned)),
        }
    }
    if !problems.is_empty() {
        let mut told = HashSet::new();
        problems.retain(|problem| told.insert(problem.clone()));
        return Err(Failure::Problems(problems));
    }
    match global.output {
        Format::Json => print_json(&serde_json::json!({"pipelines": pipelines, "named_jobs": named_jobs})),
        Format::Table => print(&format!("ok: {pipelines} pipelines, {named_jobs} named jobs")),
    }
}

pub(super) async fn list(global: &Global) -> Result<(), Failure> {
    let view: PipelinesView = Client::find(global)?.get(&["pipelines"], &[]).await?;
    match global.output {
        Format::Json => print_json(&view)?,
        Format::Table => print(&(rows(&view) + &pauses(&view)))?,
    }
    if let Some(refused) = &view.refused {
        let intro = "tripline: a newer set of rules was refused and is not in force:".to_owned();
        super::report(&[intro, refused.clone()]);
    }
    Ok(())
}

pub(super) async fn pause(global: &Global, arguments: &Pause) -> Result<(), Failure> {
    let body = SetPause {
        reason: arguments.reason.clone(),
    };
    let path = ["pipelines", arguments.pipeline.as_str(), "pause"];
    let view: PipelinePauseView = Client::find(global)?.put(&path, &body).await?;
    show(global, &view)
}

pub(super) async fn resume(global: &Global, arguments: &Resume) -> Result<(), Failure> {
    let path = ["pipelines", arguments.pipeline.as_str(), "pause"];
    let view: PipelinePauseView = Client::find(global)?.end(&path, &[]).await?;
    show(global, &view)
}

fn show(global: &Global, view: &PipelinePauseView) -> Result<(), Failure> {
    match global.output {
        Format::Json => print_json(view),
        Format::Table => print(&match &view.pause {
            Some(pause) => paused(&view.name, pause),
            None => format!("{} acts", view.name),
        }),
    }
}

/// A pause, in one line for people.
fn paused(name: &Name, pause: &PipelinePause) -> String {
    let who = match &pause.by {
        Some(by) => format!("by {}", clean(&by.name)),
        None => "by itself".to_owned(),
    };
    let reason = pause.reason.as_deref();
    let reason = reason.map_or_else(String::new, |reason| format!(": {}", clean(reason)));
    format!("{name} is paused since {} {who}{reason}", pause.since)
}

/// A line for each pipeline that is paused.
fn pauses(view: &PipelinesView) -> String {
    let paused = view.pipelines.iter().filter_map(|pipeline| {
        let pause = pipeline.pause.as_ref()?;
        Some(format!("\n{}", paused(&pipeline.name, pause)))
    });
    paused.collect()
}

fn rows(view: &PipelinesView) -> String {
    let rows = view.pipelines.iter().map(|pipeline| {
        [
            pipeline.name.to_string(),
            if pipeline.pause.is_some() {
                "paused"
            } else {
                "acts"
            }
            .to_owned(),
            pipeline.on.join(" "),
            or_dash(pipeline.when.as_ref()),
            pipeline.job.to_string(),
            pipeline.file.clone(),
            pipeline.version.as_str().chars().take(12).collect(),
        ]
    });
    table(["NAME", "STATE", "ON", "WHEN", "JOB", "FILE", "VERSION"], rows)
}
