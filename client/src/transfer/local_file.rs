//! A file of this program that is there whole, or not at all.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};
use tempfile::TempPath;
use tokio::fs::File;

/// A file that is being written under another name beside its place.
pub(super) struct LocalFile {
    pub(super) file: File,
    temporary: TempPath,
    path: PathBuf,
}

impl LocalFile {
    /// Makes it; only its owner may read it.
    pub(super) async fn create(path: &Path) -> Result<Self> {
        let path = path.to_owned();
        let failed = failed(&path);
        let made = blocking(move || {
            let (file, temporary) = tempfile::Builder::new()
                .prefix(".tripline-")
                .tempfile_in(folder(&path))?
                .into_parts();
            Ok((file, temporary, path))
        });
        let (file, temporary, path) = made.await.map_err(failed)?;
        Ok(Self {
            file: File::from_std(file),
            temporary,
            path,
        })
    }

    /// Puts it, durable, in its place.
    pub(super) async fn finish(self) -> Result<()> {
        let Self {
            file,
            temporary,
            path,
        } = self;
        let failed = failed(&path);
        let file = file.into_std().await;
        let placed = blocking(move || {
            file.sync_all()?;
            temporary.persist(&path).map_err(|error| error.error)?;
            std::fs::File::open(folder(&path))?.sync_all()
        });
        placed.await.map_err(failed)
    }
}

fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error + use<> {
    let what = format!("write {}", path.display());
    move |error| Error::local(what, error)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> std::io::Result<T> + Send + 'static,
) -> std::io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(std::io::Error::other)?
}
