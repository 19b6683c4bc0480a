//! Files from the host and to it, with a bar that shows how far they are.

use super::act::{Done, Scene};
use super::grammar::{Get, Put, bytes};
use super::words::quote;
use crate::cli::{Failure, refusal};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tripline_client::{Progress, Session};
use tripline_protocol::RemotePath;

/// What `cat` shows at most.
const CAT_BYTES_MAX: u64 = 256 * 1024;
/// How often a bar moves while nothing else happens.
const TICK: Duration = Duration::from_millis(120);
const WAITING: &str = "{spinner} {msg}";
const MOVING: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";

/// The beginning of a file.
pub(super) async fn cat(session: &Session, path: RemotePath) -> Result<Done, Failure> {
    // One more than is shown, to know whether there is more.
    let file = session.get_file(path.clone()).bytes_max(CAT_BYTES_MAX + 1);
    let content = file.to_bytes().await.map_err(refusal::failure)?;
    Ok(shown(&path, content))
}

fn shown(path: &RemotePath, mut content: Vec<u8>) -> Done {
    let is_cut = content.len() as u64 > CAT_BYTES_MAX;
    content.truncate(CAT_BYTES_MAX as usize);
    let text = String::from_utf8_lossy(&content);
    let json = json!({"path": path, "content": text, "truncated": is_cut});
    let mut done = Done::raw(json, content);
    if is_cut {
        let note = format!("only the first {CAT_BYTES_MAX} bytes are shown; get fetches all");
        done.notes = note.into_bytes();
    }
    done
}

/// Fetches a file.
pub(super) async fn get(scene: &Scene<'_>, get: &Get) -> Result<Done, Failure> {
    let remote = scene.path(&get.remote);
    let name = scene.place.style().name(bytes(&get.remote));
    let local = local_target(get.local.as_deref(), name.map(OsStr::from_bytes))?;
    let shown = quote(local.as_os_str().as_bytes());
    if !get.force && local.symlink_metadata().is_ok() {
        return Err(Failure::Input(format!(
            "{shown} is there already; get -f replaces it"
        )));
    }
    let bar = Bar::new(
        scene.show_progress,
        format!("{} is read on the host", quote(remote.as_bytes())),
    );
    let file = scene
        .session
        .get_file(remote.clone())
        .progress(|progress| bar.moved(&shown, progress));
    let fetched = file.to_path(&local).await.map_err(refusal::failure)?;
    bar.finish(&shown);
    let text = format!("{shown}: {} bytes, sha256 {}", fetched.bytes, fetched.sha256);
    let local = local.to_string_lossy();
    let json = json!({"path": remote, "local": local, "bytes": fetched.bytes, "sha256": fetched.sha256});
    Ok(Done::new(json, text))
}

/// Where a fetched file goes: into a folder by its own name, else where it is told.
fn local_target(given: Option<&Path>, name: Option<&OsStr>) -> Result<PathBuf, Failure> {
    let folder = match given {
        Some(path) if path.is_dir() || path.as_os_str().as_bytes().ends_with(b"/") => path,
        Some(path) => return Ok(path.to_owned()),
        None => Path::new(""),
    };
    match name {
        // A name of another system may have a slash in it here.
        Some(name) if !name.as_bytes().contains(&b'/') => Ok(folder.join(name)),
        _ => Err(Failure::Input(
            "say what the file is to be called here".to_owned(),
        )),
    }
}

/// Puts a file on the host.
pub(super) async fn put(scene: &Scene<'_>, put: &Put) -> Result<Done, Failure> {
    let remote = remote_target(scene, put)?;
    let shown = quote(remote.as_bytes());
    let bar = Bar::new(scene.show_progress, format!("{shown} is sent"));
    let file = scene.session.put_file(remote.clone()).overwrite(put.force);
    let file = match put.mode {
        Some(mode) => file.mode(mode),
        None => file,
    };
    let file = file.progress(|progress| bar.moved(&shown, progress));
    let written = file.from_path(&put.local).await.map_err(refusal::failure);
    let written = written.map_err(|failure| match failure {
        Failure::Failed(text) if text.ends_with("(EEXIST)") => {
            Failure::Failed(format!("{text}; put -f replaces it"))
        }
        other => other,
    })?;
    bar.finish(&shown);
    let text = format!("{shown}: {} bytes, sha256 {}", written.bytes, written.sha256);
    let json = json!({"path": remote, "bytes": written.bytes, "sha256": written.sha256});
    Ok(Done::new(json, text))
}

/// Where a file goes on the host: into a folder by its own name, when that is said by a separator or by nothing.
fn remote_target(scene: &Scene<'_>, put: &Put) -> Result<RemotePath, Failure> {
    let style = scene.place.style();
    let folder = match &put.remote {
        Some(remote) if !style.ends_open(bytes(remote)) => return Ok(scene.path(remote)),
        Some(remote) => scene.path(remote),
        None => scene.place.path(b""),
    };
    let name = put.local.file_name();
    let name =
        name.ok_or_else(|| Failure::Input("say what the file is to be called on the host".to_owned()))?;
    Ok(style.join(folder.as_bytes(), name.as_bytes()).into())
}

/// A bar on stderr, or nothing; gone when it is dropped unfinished.
struct Bar(Option<ProgressBar>);

impl Bar {
    /// One that turns until something moves.
    fn new(shown: bool, message: String) -> Self {
        let bar = shown.then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            bar.set_style(style(WAITING));
            bar.set_message(message);
            bar.enable_steady_tick(TICK);
            bar
        });
        Self(bar)
    }

    fn moved(&self, name: &str, progress: Progress) {
        let Some(bar) = &self.0 else {
            return;
        };
        if bar.length() != progress.bytes_total || bar.length().is_none() {
            if let Some(total) = progress.bytes_total {
                bar.set_length(total);
            }
            bar.set_message(name.to_owned());
            bar.set_style(style(MOVING));
        }
        bar.set_position(progress.bytes_done);
    }

    /// Leaves it on the screen, whole: also that of an empty file.
    fn finish(&self, name: &str) {
        if let Some(bar) = &self.0 {
            bar.set_length(bar.position());
            bar.set_message(name.to_owned());
            bar.set_style(style(MOVING));
            bar.finish();
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.0.as_ref().filter(|bar| !bar.is_finished()) {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetched_file_goes_into_a_folder_by_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let name = Some(OsStr::new("hosts"));
        let target = |given: Option<&Path>, name| local_target(given, name);
        assert_eq!(target(None, name), Ok(PathBuf::from("hosts")));
        assert_eq!(target(Some(Path::new("a/b")), name), Ok(PathBuf::from("a/b")));
        assert_eq!(
            target(Some(Path::new("new/")), name),
            Ok(PathBuf::from("new/hosts"))
        );
        assert_eq!(target(Some(folder.path()), name), Ok(folder.path().join("hosts")));
        for bad in [None, Some(OsStr::new("a/b"))] {
            assert_eq!(target(None, bad).unwrap_err().code(), 2);
        }
    }

    #[test]
    fn cat_shows_so_much_of_a_file_and_says_that_there_is_more() {
        let most = CAT_BYTES_MAX as usize;
        for (bytes, is_cut) in [(most, false), (most + 1, true)] {
            let done = shown(&b"/etc/hosts".to_vec().into(), vec![b'x'; bytes]);
            assert_eq!((done.out.len(), &done.json["truncated"]), (most, &json!(is_cut)));
            let notes = String::from_utf8(done.notes).unwrap();
            assert_eq!(notes.contains(&CAT_BYTES_MAX.to_string()), is_cut, "{notes}");
        }
    }

    #[test]
    fn the_templates_of_bars_are_sound() {
        for template in [WAITING, MOVING] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
