//! Watching files for changes, for what is read again while the server runs.
//!
//! Deliberately not here: what is read, and what becomes of it ([`Watched`]).

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::Notify;
use tokio::time::timeout;

/// An editor or a checkout changes several files in a row; they are read when this long nothing changed.
const QUIET: Duration = Duration::from_millis(200);
/// But no later after the first change than this.
const QUIET_MAX: Duration = Duration::from_secs(2);
/// Some file systems tell nobody about changes, and a folder that was replaced has no watch: look anyway.
const LOOK: Duration = Duration::from_secs(10);

/// A file, its length in bytes, and when it was written.
pub(crate) type Stamp = (PathBuf, u64, Option<SystemTime>);

/// The stamp of a file, without reading it; `None` when it is not there.
pub(crate) fn stamp(path: PathBuf) -> Option<Stamp> {
    let metadata = std::fs::metadata(&path).ok()?;
    Some((path, metadata.len(), metadata.modified().ok()))
}

/// Why to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Why {
    /// A person asked, and wants an answer in the log even when it is the old one.
    Asked,
    /// The file system told of a change.
    Told,
    /// It was some time ago.
    Time,
}

/// Whether a change of a path is one of what is watched.
pub(crate) type Concerns = Box<dyn Fn(&Path) -> bool + Send>;

/// What is read again when its files change.
pub(crate) trait Watched: Send + 'static {
    /// In the log: `rules`, `configuration`.
    const NAME: &'static str;
    /// The folders with its files.
    fn folders(&self) -> Vec<&Path>;
    /// Which of the paths in them matter.
    fn concerns(&self) -> Concerns;
    /// What changes when a file does, without reading any.
    fn stamps(&self) -> Vec<Stamp>;
    /// Reads everything again. Blocks.
    fn read(&mut self, why: Why);
}

/// Reads what changed again for as long as it lives.
#[derive(Debug)]
pub(crate) struct Watch {
    asked: Arc<Notify>,
    task: tokio::task::JoinHandle<()>,
}

impl Watch {
    /// Watches. Call it within a runtime.
    pub(crate) fn start(watched: impl Watched) -> Self {
        let asked = Arc::new(Notify::new());
        // No stamps, so that the first look reads what has changed since it was loaded.
        let keeper = Keeper {
            watched,
            stamps: Vec::new(),
        };
        Self {
            task: tokio::spawn(keep(keeper, Arc::clone(&asked))),
            asked,
        }
    }

    /// Reads it again now, changed or not (SIGHUP).
    pub(crate) fn reload(&self) {
        self.asked.notify_one();
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn keep<T: Watched>(mut keeper: Keeper<T>, asked: Arc<Notify>) {
    let changed = Arc::new(Notify::new());
    let mut watcher = keeper.watcher(&changed);
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
            Err(error) => return tracing::error!(%error, of = T::NAME, "changes are no longer watched"),
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

struct Keeper<T> {
    watched: T,
    stamps: Vec<Stamp>,
}

impl<T: Watched> Keeper<T> {
    fn watcher(&self, changed: &Arc<Notify>) -> Option<RecommendedWatcher> {
        let (changed, concerns) = (Arc::clone(changed), self.watched.concerns());
        let told = move |event: notify::Result<notify::Event>| {
            // Reading the files is told as well and would wake us for ever.
            let is_change = |event: &notify::Event| !event.kind.is_access();
            if event.is_ok_and(|event| is_change(&event) && event.paths.iter().any(|path| concerns(path))) {
                changed.notify_one();
            }
        };
        notify::recommended_watcher(told)
            .inspect_err(|error| {
                tracing::warn!(%error, of = T::NAME, seconds = LOOK.as_secs(), "changes are seen late");
            })
            .ok()
    }

    /// Watches every folder that is there; one that was replaced gets a new watch.
    fn cover(&self, watcher: &mut RecommendedWatcher) {
        for folder in self.watched.folders() {
            if let Err(error) = watcher.watch(folder, RecursiveMode::NonRecursive) {
                tracing::debug!(folder = %folder.display(), %error, of = T::NAME, "folder cannot be watched");
            }
        }
    }

    fn look(&mut self, why: Why) {
        let stamps = self.watched.stamps();
        if why == Why::Time && stamps == self.stamps {
            return;
        }
        self.stamps = stamps;
        self.watched.read(why);
    }
}
