//! `tripline pipeline`: check rule files without a server, list the rules in force.

use super::output::{Format, or_dash, print, print_json, table};
use super::{Client, Failure, Global};
use crate::rules::{Folders, count};
use clap::{Args, Subcommand};
use std::collections::HashSet;
use std::path::PathBuf;
use tripline_actors::pipeline::{job_schema, pipeline_schema};
use tripline_protocol::Org;
use tripline_protocol::api::PipelinesView;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Check pipeline files as the server would, without one
    #[command(
        after_help = "Every problem is printed as file:line:column: what is wrong; the exit code is then 2.\n\n\
                            Example:\n  tripline pipeline check pipelines/ --jobs jobs/"
    )]
    Check(Check),
    /// List the pipelines in force
    List,
    /// Print the JSON Schema of pipeline files, for editors
    #[command(
        after_help = "An editor with a YAML language server takes it from a file's first line:\n  \
                            # yaml-language-server: $schema=pipeline.schema.json\n\n\
                            Example:\n  tripline pipeline schema > pipeline.schema.json"
    )]
    Schema(Schema),
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
        Format::Table => print(&rows(&view))?,
    }
    if let Some(refused) = &view.refused {
        let intro = "tripline: a newer set of rules was refused and is not in force:".to_owned();
        super::report(&[intro, refused.clone()]);
    }
    Ok(())
}

fn rows(view: &PipelinesView) -> String {
    let rows = view.pipelines.iter().map(|pipeline| {
        [
            pipeline.name.to_string(),
            if pipeline.enabled { "enabled" } else { "disabled" }.to_owned(),
            pipeline.on.join(" "),
            or_dash(pipeline.orgs.as_ref().map(|orgs| words(orgs))),
            or_dash(pipeline.events_max_age),
            or_dash(pipeline.when.as_ref()),
            pipeline.job.to_string(),
            pipeline.file.clone(),
            pipeline.version.as_str().chars().take(12).collect(),
        ]
    });
    let head = [
        "NAME", "STATE", "ON", "ORGS", "MAX AGE", "WHEN", "JOB", "FILE", "VERSION",
    ];
    table(head, rows)
}

fn words(orgs: &[Org]) -> String {
    orgs.iter().map(Org::as_str).collect::<Vec<_>>().join(" ")
}
