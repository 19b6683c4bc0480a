//! The folders of pipelines and named jobs: watching them, and putting a changed set in force.
//!
//! Deliberately not here: reading and checking the files (`tripline_actors::pipeline`). A set is read and
//! checked whole; one that is wrong changes nothing, and the last good set stays in force.

use crate::config::Config;
use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::timeout;
use tripline_actors::Core;
use tripline_actors::pipeline::{LoadError, RuleSet};
use tripline_protocol::Sha256;

/// An editor or a checkout changes several files in a row; the set is read when this long nothing changed.
const QUIET: Duration = Duration::from_millis(200);
/// But no later after the first change than this.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// Some file systems tell nobody about changes, and a folder that was replaced has no watch: look anyway.
const LOOK: Duration = Duration::from_secs(10);

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

    /// Reads and checks everything. Blocks.
    ///
    /// # Errors
    /// Every problem of every file; also folders and files that cannot be read.
    pub fn load(&self) -> Result<RuleSet, LoadError> {
        RuleSet::load(self.pipelines.as_deref(), self.jobs.as_deref())
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

/// A file, its length in bytes, and when it was written.
type Stamp = (PathBuf, u64, Option<SystemTime>);

/// A folder that cannot be read has none, which is a change as well.
fn stamps(folder: &Path) -> Vec<Stamp> {
    let paths = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    paths
        .filter_map(|path| {
            let metadata = std::fs::metadata(&path).ok()?;
            Some((path, metadata.len(), metadata.modified().ok()))
        })
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
        self.set_rules(Arc::new(rules));
    }

    fn refuse(&self, why: &LoadError) {
        self.refuse_rules(why.to_string());
    }
}

/// Puts changed rules in force for as long as it lives.
#[derive(Debug)]
pub struct RulesWatch {
    asked: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl RulesWatch {
    /// Watches `folders`, of which `target` has the set `in_force` now. Call it within a runtime.
    pub fn start(target: impl RulesTarget, folders: Folders, in_force: &RuleSet) -> Self {
        let asked = Arc::new(Notify::new());
        let seen = Seen::InForce(in_force.version());
        // Empty, so that the first look reads what has changed since the set was loaded.
        let keeper = Keeper {
            target,
            folders,
            stamps: Vec::new(),
            seen,
        };
        Self {
            task: tokio::spawn(keep(keeper, Arc::clone(&asked))),
            asked,
        }
    }

    /// Reads the rules again now, changed or not (SIGHUP).
    pub fn reload(&self) {
        self.asked.notify_one();
    }
}

impl Drop for RulesWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    /// A person asked, and wants an answer in the log even when it is the old one.
    Asked,
    /// The file system told of a change.
    Told,
    /// It was some time ago.
    Time,
}

async fn keep<T: RulesTarget>(mut keeper: Keeper<T>, asked: Arc<Notify>) {
    let changed = Arc::new(Notify::new());
    let mut watcher = watcher(&changed);
    let mut why = Why::Time;
    loop {
        // Watching before looking: what changes in between is seen by one or the other.
        if let Some(watcher) = &mut watcher {
            keeper.cover(watcher);
        }
        let looked = tokio::task::spawn_blocking(move || {
            keeper.look(why);
            keeper
        });
        keeper = match looked.await {
            Ok(keeper) => keeper,
            Err(error) => return tracing::error!(%error, "rules are no longer watched"),
        };
        why = tokio::select! {
            () = asked.notified() => Why::Asked,
            () = settled(&changed) => Why::Told,
            () = tokio::time::sleep(LOOK) => Why::Time,
        };
    }
}

/// Waits for a change, and then until nothing has changed for a moment.
async fn settled(changed: &Notify) {
    changed.notified().await;
    let quiet = async { while timeout(QUIET, changed.notified()).await.is_ok() {} };
    // Running into the longer limit is the other legal end.
    let _ = timeout(QUIET_MAX, quiet).await;
}

fn watcher(changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
    let changed = Arc::clone(changed);
    let told = move |event: notify::Result<notify::Event>| {
        // Reading the files is told as well and would wake us for ever.
        if event.is_ok_and(|event| !event.kind.is_access()) {
            changed.notify_one();
        }
    };
    notify::recommended_watcher(told)
        .inspect_err(|error| tracing::warn!(%error, seconds = LOOK.as_secs(), "changed rules are seen late"))
        .ok()
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
    stamps: Vec<Stamp>,
    seen: Seen,
}

impl<T: RulesTarget> Keeper<T> {
    /// Watches every folder that is there; one that was replaced gets a new watch.
    fn cover(&self, watcher: &mut RecommendedWatcher) {
        for folder in self.folders.all() {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), %error, "folder of rules cannot be watched");
            }
        }
    }

    fn look(&mut self, why: Why) {
        let stamps = self.folders.stamps();
        if why == Why::Time && stamps == self.stamps {
            return;
        }
        self.stamps = stamps;
        match self.folders.load() {
            Ok(set) if Seen::InForce(set.version()) != self.seen => self.put_in_force(set),
            Ok(_) if why == Why::Asked => tracing::info!("the rules are those in force"),
            Ok(_) => {}
            Err(error) if why != Why::Asked && self.seen == Seen::Refused(error.clone()) => {}
            Err(error) => {
                tracing::error!(problems = %error, "new rules refused; the last good ones stay in force");
                self.target.refuse(&error);
                self.seen = Seen::Refused(error);
            }
        }
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
