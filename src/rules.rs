//! The folders of pipelines and named jobs, and putting a changed set in force.
//!
//! Deliberately not here: watching them (`crate::watch`), reading and checking the files (`tripline_actors::pipeline`). A set is read and
//! checked whole; one that is wrong changes nothing, and the last good set stays in force.

use crate::config::Config;
use crate::watch::{Concerns, Stamp, Watch, Watched, Why, stamp};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tripline_actors::pipeline::{FileProblem, LoadError, RuleSet, is_rule_file};
use tripline_actors::{Core, trial};
use tripline_protocol::Sha256;

/// So often in a row files may change while they are read, until it is told.
const DISTURBED_MAX: u32 = 5;

/// Where rules come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Folders {
    /// `pipelines.dir`
    pub pipelines: Option<PathBuf>,
    /// `jobs.dir`
    pub jobs: Option<PathBuf>,
}

impl Folders {
    /// Those of the configuration.
    pub fn of(config: &Config) -> Self {
        Self {
            pipelines: config.pipelines.dir.clone(),
            jobs: config.jobs.dir.clone(),
        }
    }

    /// Reads and checks everything, and runs the tests in the files. Blocks.
    ///
    /// # Errors
    /// Every problem of every file, and tests that do not hold; also folders and files that cannot be read.
    pub fn load(&self) -> Result<RuleSet, LoadError> {
        trial::load(self.pipelines.as_deref(), self.jobs.as_deref())
    }

    fn all(&self) -> impl Iterator<Item = &Path> {
        self.pipelines.iter().chain(&self.jobs).map(PathBuf::as_path)
    }

    /// What changes when a file does, without reading any.
    fn stamps(&self) -> Vec<Stamp> {
        let mut stamps: Vec<Stamp> = self.all().flat_map(stamps).collect();
        stamps.sort();
        stamps
    }
}

/// A folder that cannot be read has none, which is a change as well.
fn stamps(folder: &Path) -> Vec<Stamp> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths
        .filter(|path| is_rule_file(path))
        .filter_map(stamp)
        .collect()
}

/// How many pipelines and named jobs a set has.
pub fn count(set: &RuleSet) -> (usize, usize) {
    (set.pipelines().count(), set.named_jobs().count())
}

/// Where rules go.
pub trait RulesTarget: Send + 'static {
    /// Puts a set in force.
    fn set(&self, rules: RuleSet);
    /// Remembers why a newer set was refused.
    fn refuse(&self, why: &LoadError);
}

impl RulesTarget for Core {
    fn set(&self, rules: RuleSet) {
        self.note_rules(Ok(&rules));
        self.set_rules(Arc::new(rules));
    }

    fn refuse(&self, why: &LoadError) {
        self.note_rules(Err(&why.to_string()));
        self.refuse_rules(why.to_string());
    }
}

/// Puts changed rules in force for as long as it lives.
#[derive(Debug)]
pub struct RulesWatch(Watch);

impl RulesWatch {
    /// Watches `folders`, of which `target` has the set `in_force` now. Call it within a runtime.
    pub fn start(target: impl RulesTarget, folders: Folders, in_force: &RuleSet) -> Self {
        let seen = Seen::InForce(in_force.version());
        Self(Watch::start(Keeper {
            target,
            folders,
            seen,
            disturbed: 0,
        }))
    }

    /// Reads the rules again now, changed or not (SIGHUP).
    pub fn reload(&self) {
        self.0.reload();
    }
}

/// What was last read: only something else is worth a word.
#[derive(Debug, PartialEq)]
enum Seen {
    InForce(Sha256),
    Refused(LoadError),
}

struct Keeper<T> {
    target: T,
    folders: Folders,
    seen: Seen,
    /// How often in a row files changed while they were read.
    disturbed: u32,
}

impl<T: RulesTarget> Watched for Keeper<T> {
    const NAME: &'static str = "rules";

    fn folders(&self) -> Vec<&Path> {
        self.folders.all().collect()
    }

    fn concerns(&self) -> Concerns {
        Box::new(|_| true)
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.folders.stamps()
    }

    fn read(&mut self, why: Why) {
        let Some(loaded) = undisturbed(|| self.folders.stamps(), || self.folders.load()) else {
            return self.disturbed();
        };
        self.disturbed = 0;
        match loaded {
            Ok(set) if Seen::InForce(set.version()) != self.seen => self.put_in_force(set),
            Ok(_) if why == Why::Asked => tracing::info!("the rules are those in force"),
            Ok(_) => {}
            Err(error) if why != Why::Asked && self.seen == Seen::Refused(error.clone()) => {}
            Err(error) => self.refuse(error),
        }
    }
}

/// What `load` reads, unless the files changed meanwhile: a set of old and new files, or of half a file, is nobody's.
fn undisturbed<R>(stamps: impl Fn() -> Vec<Stamp>, load: impl FnOnce() -> R) -> Option<R> {
    let before = stamps();
    let loaded = load();
    (stamps() == before).then_some(loaded)
}

impl<T: RulesTarget> Keeper<T> {
    /// Files changed while they were read. That change is told, or seen by the next look.
    fn disturbed(&mut self) {
        self.disturbed = self.disturbed.saturating_add(1);
        tracing::info!("rule files changed while they were read, and are read again");
        if self.disturbed != DISTURBED_MAX {
            return;
        }
        let folder = self.folders.all().next().unwrap_or(Path::new(""));
        self.refuse(LoadError {
            problems: vec![FileProblem {
                file: folder.display().to_string(),
                line: 0,
                column: 0,
                message: format!(
                    "its files changed each of the last {DISTURBED_MAX} times while they were read"
                ),
            }],
            omitted: 0,
        });
    }

    fn refuse(&mut self, error: LoadError) {
        tracing::error!(problems = %error, "new rules refused; the last good ones stay in force");
        self.target.refuse(&error);
        self.seen = Seen::Refused(error);
    }

    fn put_in_force(&mut self, set: RuleSet) {
        let (pipelines, named_jobs) = count(&set);
        tracing::info!(pipelines, named_jobs, "new rules in force");
        self.seen = Seen::InForce(set.version());
        self.target.set(set);
    }
}

#[cfg(test)]
mod tests;
