//! What a fan-out does on a host: rendered when the host has its turn, from what was fixed when the fan-out began.

use super::record::Definition;
use crate::pipeline::{HostFacts, NamedJob, Pipeline, RenderError, RenderedJob, RuleSet, SourceFile};
use serde_json::{Map, Value};
use std::sync::Arc;
use tripline_protocol::job::JobSpec;
use tripline_protocol::{Event, Name};

/// A definition that was read.
#[derive(Debug)]
pub(crate) enum Work {
    /// A pipeline's job over an event.
    Pipeline {
        pipeline: Arc<Pipeline>,
        event: Arc<Event>,
    },
    /// The same job everywhere.
    Job(Box<JobSpec>),
    /// A named job.
    Named {
        job: Arc<NamedJob>,
        params: Map<String, Value>,
    },
}

impl Work {
    /// Reads a definition as files are read. The error says why it cannot be.
    pub(super) fn read(definition: Definition) -> Result<Self, String> {
        match definition {
            Definition::Job { spec } => Ok(Self::Job(spec)),
            Definition::Named { text, params } => {
                let rules = parse(None, Some(text))?;
                let job = rules.named_jobs().next().cloned();
                let job = job.ok_or("there is no job in it")?;
                Ok(Self::Named { job, params })
            }
            Definition::Pipeline {
                pipeline,
                named,
                event,
            } => {
                let rules = parse(Some(pipeline), named)?;
                let pipeline = rules.pipelines().next().cloned();
                Ok(Self::Pipeline {
                    pipeline: pipeline.ok_or("there is no pipeline in it")?,
                    event: Arc::from(event),
                })
            }
        }
    }

    /// The name of its jobs.
    pub(crate) fn name(&self) -> &Name {
        match self {
            Self::Pipeline { pipeline, .. } => pipeline.job_name(),
            Self::Job(spec) => &spec.name,
            Self::Named { job, .. } => job.name(),
        }
    }

    /// The job for a host.
    pub(super) fn render(&self, host: &HostFacts) -> Result<RenderedJob, RenderError> {
        match self {
            Self::Pipeline { pipeline, event } => pipeline.render(event, host),
            Self::Job(spec) => Ok(RenderedJob {
                spec: spec.as_ref().clone(),
                vars: Map::new(),
            }),
            Self::Named { job, params } => job.render(params, host),
        }
    }
}

fn parse(pipeline: Option<String>, job: Option<String>) -> Result<RuleSet, String> {
    let file = |path: &str, text: Option<String>| -> Vec<SourceFile> {
        text.map(|text| SourceFile {
            path: path.into(),
            text,
        })
        .into_iter()
        .collect()
    };
    RuleSet::parse(&file("pipeline", pipeline), &file("job", job)).map_err(|error| error.to_string())
}
