//! `tripline pipeline`: check rule files without a server, list the rules in force, pause single ones.

mod try_out;

pub(super) use try_out::{Try, try_out};

use super::output::{Format, clean, or_dash, print, print_json, table};
use super::{Client, Failure, Global};
use crate::rules::{Folders, count};
use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashSet;
use std::path::PathBuf;
use tripline_actors::pipeline::{FileProblem, RuleSet, Warnings, job_schema, pipeline_schema};
use tripline_protocol::api::{PipelinePause, PipelinePauseView, PipelineView, PipelinesView, SetPause};
use tripline_protocol::{Name, Org};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Check pipeline files as the server would, without one
    #[command(
        after_help = "Every problem is printed as file:line:column: what is wrong; the exit code is then 2. What is \
                            legal and most likely a mistake is a warning, and changes no exit code.\n\n\
                            Example:\n  tripline pipeline check pipelines/ --jobs jobs/"
    )]
    Check(Check),
    /// Show what the pipelines of a file make of an event, without a server
    #[command(
        after_help = "Decision, and the job's steps with rendered arguments; where a pipeline does not act, why not. It is \
                            the server's own decision, with guards that have counted nothing yet. --repeat shows what they make of \
                            the same event several times.\n\n\
                            An event is written as in the tests of a pipeline, {\"etype\": …, \"data\": …}, or is a CloudEvent, or, \
                            with --etype, what a detector publishes there.\n\n\
                            Examples:\n  tripline pipeline try pipelines/contain-miner.yaml --event alert.json\n  \
                            tripline pipeline try contain-miner.yaml --event '{\"etype\": \"acme.alert.miner\", \"data\": {\"pid\": 42}}' \
                            --host '{\"platform\": \"linux\"}'\n  \
                            jq -c . alert.json | tripline pipeline try a.yaml --etype acme.alert --event - --repeat 3 --every 10s"
    )]
    Try(Try),
    /// List the pipelines in force, and which of them are paused
    List,
    /// Print the JSON Schema of pipeline files, for editors
    #[command(
        after_help = "An editor with a YAML language server takes it from a file's first line:\n  \
                            # yaml-language-server: $schema=pipeline.schema.json\n\n\
                            Example:\n  tripline pipeline schema > pipeline.schema.json"
    )]
    Schema(Schema),
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

#[derive(Debug, Args)]
pub(super) struct Schema {
    /// That of files of named jobs instead
    #[arg(long)]
    jobs: bool,
}

/// Prints the schema that is asked for.
pub(super) fn schema(arguments: &Schema) -> Result<(), Failure> {
    print_json(&match arguments.jobs {
        true => job_schema(),
        false => pipeline_schema(),
    })
}

pub(super) fn check(global: &Global, arguments: &Check) -> Result<(), Failure> {
    let checked = Checked::of(arguments)?;
    match global.output {
        Format::Json => print_json(&checked.to_json())?,
        Format::Table => print(&checked.line())?,
    }
    super::report(&checked.warnings());
    super::report(&checked.notes());
    Ok(())
}

/// Sets without problems.
#[derive(Debug, Default)]
struct Checked {
    pipelines: usize,
    named_jobs: usize,
    warnings: Vec<FileProblem>,
    warnings_omitted: usize,
    not_indexed: Vec<NotIndexed>,
}

/// A pipeline whose condition is evaluated for every event of its etypes. That is no mistake, but with thousands of
/// them it is what an event costs.
#[derive(Debug, Serialize)]
struct NotIndexed {
    name: Name,
    file: String,
}

impl Checked {
    /// Reads every folder; those of the named jobs come with each.
    fn of(arguments: &Check) -> Result<Self, Failure> {
        let mut problems: Vec<String> = Vec::new();
        let mut checked = Self::default();
        for folder in &arguments.pipelines {
            let folders = Folders {
                pipelines: Some(folder.clone()),
                jobs: arguments.jobs.clone(),
            };
            match folders.load() {
                Ok(set) => checked.add(&set),
                Err(error) => problems.extend(error.to_string().lines().map(str::to_owned)),
            }
        }
        if problems.is_empty() {
            return Ok(checked);
        }
        let mut told = HashSet::new();
        problems.retain(|problem| told.insert(problem.clone()));
        Err(Failure::Problems(problems))
    }

    fn add(&mut self, set: &RuleSet) {
        self.pipelines += count(set).0;
        self.named_jobs = count(set).1;
        let Warnings { found, omitted } = set.warnings();
        for warning in found {
            if !self.warnings.contains(warning) {
                self.warnings.push(warning.clone());
            }
        }
        self.warnings_omitted += omitted;
        let not_indexed = set.pipelines().filter(|pipeline| pipeline.is_always_evaluated());
        self.not_indexed.extend(not_indexed.map(|pipeline| NotIndexed {
            name: pipeline.name().clone(),
            file: pipeline.file().to_owned(),
        }));
    }

    fn line(&self) -> String {
        let Self {
            pipelines,
            named_jobs,
            ..
        } = self;
        let warnings = match self.warnings.len() + self.warnings_omitted {
            0 => String::new(),
            1 => ", 1 warning".to_owned(),
            count => format!(", {count} warnings"),
        };
        format!("ok: {pipelines} pipelines, {named_jobs} named jobs{warnings}")
    }

    /// A line for each, as compilers write them.
    fn warnings(&self) -> Vec<String> {
        let line = |warning: &FileProblem| {
            let FileProblem {
                file,
                line,
                column,
                message,
            } = warning;
            format!("{file}:{line}:{column}: warning: {message}")
        };
        let more =
            (self.warnings_omitted > 0).then(|| format!("and {} more warnings", self.warnings_omitted));
        self.warnings.iter().map(line).chain(more).collect()
    }

    /// The pipelines that are not indexed, under a line that says so.
    fn notes(&self) -> Vec<String> {
        let title =
            "note: not indexed (docs/pipelines.md, \"Scale\"), evaluated for every event of their etypes:";
        let title = (!self.not_indexed.is_empty()).then(|| title.to_owned());
        let names = self
            .not_indexed
            .iter()
            .map(|one| format!("  {} ({})", one.name, one.file));
        title.into_iter().chain(names).collect()
    }

    fn to_json(&self) -> Value {
        let warning = |warning: &FileProblem| {
            json!({
                "file": warning.file,
                "line": warning.line,
                "column": warning.column,
                "message": warning.message,
            })
        };
        json!({
            "pipelines": self.pipelines,
            "named_jobs": self.named_jobs,
            "warnings": self.warnings.iter().map(warning).collect::<Vec<_>>(),
            "warnings_omitted": self.warnings_omitted,
            "not_indexed": self.not_indexed,
        })
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
            // Whether it acts is another matter: it may be disabled, or its file away.
            None => format!("{} is not paused", view.name),
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
            state(pipeline).to_owned(),
            pipeline.on.join(" "),
            or_dash(pipeline.orgs.as_ref().map(|orgs| words(orgs))),
            or_dash(pipeline.events_max_age),
            or_dash(pipeline.when.as_ref()),
            or_dash(pipeline.target.as_ref()),
            pipeline.job.to_string(),
            pipeline.file.clone(),
            pipeline.version.as_str().chars().take(12).collect(),
        ]
    });
    let head = [
        "NAME", "STATE", "ON", "ORGS", "MAX AGE", "WHEN", "TARGET", "JOB", "FILE", "VERSION",
    ];
    table(head, rows)
}

fn state(pipeline: &PipelineView) -> &'static str {
    match (pipeline.pause.is_some(), pipeline.enabled) {
        (_, false) => "disabled",
        (true, true) => "paused",
        (false, true) if pipeline.dry_run => "dry_run",
        (false, true) => "enabled",
    }
}

fn words(orgs: &[Org]) -> String {
    orgs.iter().map(Org::as_str).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn check(folders: &[&tempfile::TempDir]) -> Result<Checked, Failure> {
        Checked::of(&Check {
            pipelines: folders.iter().map(|folder| folder.path().to_owned()).collect(),
            jobs: None,
        })
    }

    const GOOD: &str = "name: good\non: a\njob: { steps: [ list_processes: {} ] }\n";
    const OFF: &str = "name: off\nenabled: false\non: [a, a]\njob: { steps: [ list_processes: {} ] }\n";

    #[test]
    fn warnings_are_told_with_their_places_and_are_no_failure() {
        let (good, off) = (folder(&[("good.yaml", GOOD)]), folder(&[("off.yaml", OFF)]));
        let checked = check(&[&good]).unwrap();
        assert_eq!(checked.line(), "ok: 1 pipelines, 0 named jobs");
        assert_eq!(
            (checked.warnings(), checked.to_json()["warnings"].clone()),
            (vec![], json!([]))
        );

        // The same folder twice is the same warnings once.
        let checked = check(&[&good, &off, &off]).unwrap();
        assert_eq!(checked.line(), "ok: 3 pipelines, 0 named jobs, 2 warnings");
        let file = off.path().join("off.yaml").display().to_string();
        assert_eq!(
            checked.warnings(),
            [
                format!("{file}:2:10: warning: the pipeline is disabled: it never acts"),
                format!("{file}:3:9: warning: the etype \"a\" is given twice"),
            ]
        );
        let told = &checked.to_json()["warnings"];
        let first = json!({"file": file, "line": 2, "column": 10, "message": "the pipeline is disabled: it never acts"});
        assert_eq!((told.as_array().unwrap().len(), &told[0]), (2, &first));
    }

    #[test]
    fn the_list_shows_what_a_pipeline_asks_of_events() {
        let view: PipelinesView = serde_json::from_value(json!({
            "pipelines": [
                {"name": "plain", "version": "0".repeat(64), "file": "a.yaml", "on": ["a", "b"], "job": "j"},
                {"name": "off", "version": "1".repeat(64), "file": "b.yaml", "on": ["a"], "job": "j",
                 "enabled": false, "orgs": ["acme", "default"], "events_max_age": "6h", "when": "true", "target": "all"},
            ],
            "named_jobs": ["j"],
            "loaded_at": "2026-11-20T14:00:00Z",
        }))
        .unwrap();
        let rows = rows(&view);
        let words: Vec<Vec<&str>> = rows
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        let version = "0".repeat(12);
        assert_eq!(
            words[1],
            [
                "plain", "enabled", "a", "b", "–", "–", "–", "–", "j", "a.yaml", &version
            ],
            "a server that does not say has none that are disabled"
        );
        let version = "1".repeat(12);
        assert_eq!(
            words[2],
            [
                "off", "disabled", "a", "acme", "default", "6h", "true", "all", "j", "b.yaml", &version
            ]
        );
    }

    #[test]
    fn a_problem_in_one_folder_is_a_failure_whatever_else_is_good() {
        let (off, bad) = (folder(&[("off.yaml", OFF)]), folder(&[("bad.yaml", "nam: x\n")]));
        let failure = check(&[&off, &bad]).unwrap_err();
        assert_eq!(failure.code(), 2);
        assert!(
            failure.lines()[0].contains("bad.yaml:1:1: unknown key"),
            "{failure:?}"
        );
    }
}
