//! A set of pipelines and named jobs, read and checked as a whole: all of it comes into force, or none.

use super::aside::aside;
use super::file_test::{FileTest, SET_EVENTS_MAX};
use super::files;
use super::index::{Candidates, Index};
use super::named_job::NamedJob;
use super::pipeline::Pipeline;
use super::pipeline_job::{NamedJobs, Source};
use super::problem::{At, FileProblem, Found, LoadError, Problems, SourceFile, Warnings};
use super::version;
use super::yaml::{self, Node};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use tripline_protocol::{Etype, Event, Name, Sha256};

/// The rules in force. Immutable; share it as an `Arc`.
#[derive(Debug)]
pub struct RuleSet {
    pipelines: BTreeMap<Name, Arc<Pipeline>>,
    jobs: NamedJobs,
    index: Index,
    version: Sha256,
    warnings: Warnings,
    tests: Vec<PipelineTests>,
}

/// The tests of a pipeline.
#[derive(Debug)]
pub struct PipelineTests {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) tests: Vec<FileTest>,
}

impl Default for RuleSet {
    fn default() -> Self {
        Self {
            pipelines: BTreeMap::new(),
            jobs: NamedJobs::new(),
            index: Index::default(),
            version: version([]),
            warnings: Warnings::default(),
            tests: Vec::new(),
        }
    }
}

/// A document of a file with its own text.
struct Document<'f> {
    file: &'f str,
    text: &'f str,
    node: Node,
}

impl RuleSet {
    /// Reads and checks the files of two folders. An absent folder holds nothing. Blocks: not for an
    /// actor's thread.
    ///
    /// # Errors
    ///
    /// All problems of all files; nothing is to be put in force then.
    pub fn load(pipelines: Option<&Path>, jobs: Option<&Path>) -> Result<RuleSet, LoadError> {
        let mut problems = Vec::new();
        let pipelines = pipelines.map(|folder| files::read(folder, &mut problems));
        Self::load_with(pipelines.unwrap_or_default(), jobs, problems)
    }

    /// The same of one file of pipelines.
    ///
    /// # Errors
    ///
    /// All problems of the file and of the named jobs.
    pub fn load_file(pipelines: &Path, jobs: Option<&Path>) -> Result<RuleSet, LoadError> {
        let mut problems = Vec::new();
        let file = files::read_one(pipelines, &mut problems);
        Self::load_with(file.into_iter().collect(), jobs, problems)
    }

    fn load_with(
        pipelines: Vec<SourceFile>,
        jobs: Option<&Path>,
        mut problems: Vec<FileProblem>,
    ) -> Result<RuleSet, LoadError> {
        let jobs = jobs.map(|folder| files::read(folder, &mut problems));
        match Self::parse(&pipelines, &jobs.unwrap_or_default()) {
            Ok(rules) if problems.is_empty() => Ok(rules),
            Ok(_) => Err(LoadError::new(problems)),
            Err(error) => {
                problems.extend(error.problems);
                let all = LoadError::new(problems);
                Err(LoadError {
                    omitted: all.omitted + error.omitted,
                    ..all
                })
            }
        }
    }

    /// Checks files that were read already.
    ///
    /// # Errors
    ///
    /// All problems of all files.
    pub fn parse(pipelines: &[SourceFile], jobs: &[SourceFile]) -> Result<RuleSet, LoadError> {
        let failed = |message: &str| {
            let message = message.to_owned();
            LoadError::new(vec![FileProblem {
                file: "pipelines".to_owned(),
                line: 0,
                column: 0,
                message,
            }])
        };
        aside(|| parse_all(pipelines, jobs))
            .unwrap_or_else(|why| Err(failed(&format!("the files could not be parsed: {why}"))))
    }

    /// The pipelines that listen to `etype`, each once; their conditions are not looked at.
    pub fn candidates<'a>(&'a self, etype: &'a Etype) -> Candidates<'a> {
        self.index.candidates(etype)
    }

    /// The candidates for `event` that are not [ruled out](Pipeline::is_ruled_out), each once and found without
    /// looking at the others.
    pub fn may_match(&self, event: &Event) -> Vec<&Arc<Pipeline>> {
        self.index.may_match(event)
    }

    /// A pipeline by its name.
    pub fn pipeline(&self, name: &Name) -> Option<&Arc<Pipeline>> {
        self.pipelines.get(name)
    }

    /// All pipelines, by name.
    pub fn pipelines(&self) -> impl Iterator<Item = &Arc<Pipeline>> {
        self.pipelines.values()
    }

    /// A named job by its name.
    pub fn named_job(&self, name: &Name) -> Option<&Arc<NamedJob>> {
        self.jobs.get(name)
    }

    /// All named jobs, by name.
    pub fn named_jobs(&self) -> impl Iterator<Item = &Arc<NamedJob>> {
        let mut jobs: Vec<_> = self.jobs.values().collect();
        jobs.sort_by(|a, b| a.name().cmp(b.name()));
        jobs.into_iter()
    }

    /// What is legal in their files, and most likely a mistake.
    pub fn warnings(&self) -> &Warnings {
        &self.warnings
    }

    /// The tests of its pipelines, once: they are asked before it is in force, and not kept after that.
    pub fn take_tests(&mut self) -> Vec<PipelineTests> {
        std::mem::take(&mut self.tests)
    }

    /// SHA-256 over the names and texts of all files: the same for the same files.
    pub fn version(&self) -> Sha256 {
        self.version.clone()
    }
}

fn parse_all(pipelines: &[SourceFile], jobs: &[SourceFile]) -> Result<RuleSet, LoadError> {
    let mut found = Found::default();
    let jobs_read = read_jobs(jobs, &mut found);
    let broken = !found.problems.is_empty();
    let (pipelines_read, tests) = read_pipelines(pipelines, &jobs_read, broken, &mut found);
    if !found.problems.is_empty() {
        return Err(LoadError::new(found.problems));
    }
    let texts = jobs
        .iter()
        .chain(pipelines)
        .flat_map(|file| [file.name(), file.text.as_str()]);
    Ok(RuleSet {
        index: Index::new(pipelines_read.values()),
        pipelines: pipelines_read,
        jobs: jobs_read,
        version: version(texts),
        warnings: Warnings::new(found.warnings),
        tests,
    })
}

fn read_jobs(files: &[SourceFile], found: &mut Found) -> NamedJobs {
    let mut jobs = NamedJobs::new();
    each_document(files, found, |document, found| {
        let mut problems = Problems::new(document.file, found);
        let Some(job) = NamedJob::read(&document.node, document.file, document.text, &mut problems) else {
            return;
        };
        match jobs.get(job.name()) {
            Some(first) => taken(
                "job",
                job.name(),
                job.at(),
                first.file(),
                first.at(),
                &mut problems,
            ),
            None => drop(jobs.insert(job.name().clone(), Arc::new(job))),
        }
    });
    jobs
}

fn read_pipelines(
    files: &[SourceFile],
    jobs: &NamedJobs,
    jobs_broken: bool,
    found: &mut Found,
) -> (BTreeMap<Name, Arc<Pipeline>>, Vec<PipelineTests>) {
    let mut pipelines: BTreeMap<Name, Arc<Pipeline>> = BTreeMap::new();
    let (mut tested, mut events) = (Vec::new(), 0);
    each_document(files, found, |document, found| {
        let mut problems = Problems::new(document.file, found);
        let source = Source {
            file: document.file,
            text: document.text,
            jobs,
            jobs_broken,
        };
        let Some(mut pipeline) = Pipeline::read(&document.node, &source, &mut problems) else {
            return;
        };
        let tests = pipeline.take_tests();
        // One that is disabled is held to what it would do.
        let enabled = (!tests.is_empty() && !pipeline.view().enabled).then(|| {
            let mut told = Found::default();
            Pipeline::read(
                &document.node,
                &source,
                &mut Problems::new(document.file, &mut told),
            )
        });
        let enabled = enabled
            .flatten()
            .map(|pipeline| Arc::new(pipeline.into_enabled()));
        match pipelines.get(pipeline.name()) {
            Some(first) => {
                taken(
                    "pipeline",
                    pipeline.name(),
                    pipeline.at(),
                    first.file(),
                    first.at(),
                    &mut problems,
                );
            }
            None => {
                count_events(&mut events, &tests, pipeline.at(), &mut problems);
                let pipeline = Arc::new(pipeline);
                pipelines.insert(pipeline.name().clone(), Arc::clone(&pipeline));
                let pipeline = enabled.unwrap_or(pipeline);
                if !tests.is_empty() {
                    tested.push(PipelineTests { pipeline, tests });
                }
            }
        }
    });
    (pipelines, tested)
}

/// Notes the pipeline with whose tests those of all of them have too many events.
fn count_events(events: &mut usize, tests: &[FileTest], at: At, problems: &mut Problems<'_>) {
    let before = *events;
    *events += tests.iter().map(|test| test.given.len()).sum::<usize>();
    if before <= SET_EVENTS_MAX && *events > SET_EVENTS_MAX {
        let message = format!("with its tests those of all pipelines have more than {SET_EVENTS_MAX} events");
        problems.add::<()>(at, message);
    }
}

fn taken(kind: &str, name: &Name, at: At, file: &str, first: At, problems: &mut Problems<'_>) {
    let line = first.line;
    problems.add::<()>(
        at,
        format!(
            "the {kind} name {name:?} is taken already at {file}:{line}",
            name = name.as_str()
        ),
    );
}

/// Hands over the documents of all files, each with its part of the file's text. One file after the other: the trees
/// of all of them together would be several times what is made of them.
fn each_document(files: &[SourceFile], found: &mut Found, mut read: impl FnMut(Document<'_>, &mut Found)) {
    for file in files {
        let nodes = match yaml::documents(&file.text) {
            Ok(nodes) => nodes,
            Err((at, message)) => {
                Problems::new(&file.path, found).add::<()>(at, message);
                continue;
            }
        };
        // A document's text reaches to the beginning of the next; the first begins with the file.
        let starts: Vec<usize> = nodes.iter().skip(1).map(|node| node.at.byte).collect();
        let begins = std::iter::once(0).chain(starts.iter().copied());
        let ends = starts.iter().copied().chain([file.text.len()]);
        for ((node, begin), end) in nodes.into_iter().zip(begins).zip(ends) {
            let text = file.text.get(begin..end).unwrap_or(&file.text);
            let document = Document {
                file: &file.path,
                text,
                node,
            };
            read(document, found);
        }
    }
}
