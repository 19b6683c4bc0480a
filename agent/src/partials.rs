//! Files that a server was sending when its connection was cut: where they are, until the transfer goes on or
//! nobody wants it any more.
//!
//! Such a file lies beside its place under a temporary name. What is kept here is one small note for each, in the
//! folder `partials` of the state directory, written before the file is made. A note of another boot counts as none:
//! the end of its file may never have reached the disk. At most [`KEPT_MAX`] files that nobody writes are kept, each
//! for at most [`KEPT_FOR`].

use crate::platform::{Platform, own};
use crate::stop::parking::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};
use tripline_protocol::{Fault, RemotePath};
use uuid::Uuid;

/// Most files kept that nobody writes; the oldest go first.
pub const KEPT_MAX: usize = 32;
/// How long a file is kept that nobody writes.
pub const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How often those are looked for that were kept long enough.
pub const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// The ending of a note's name until all of it is written.
const NEW: &str = "new";

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Note {
    /// Its temporary name, with its directory.
    path: RemotePath,
    /// When the host booted that wrote it.
    boot: Uuid,
}

/// The register. One for each state directory.
pub struct Partials {
    dir: PathBuf,
    boot: Uuid,
    claimed: Mutex<HashSet<Uuid>>,
}

impl Partials {
    /// Opens or makes the register below `state_dir`, which the caller holds the lock of.
    pub fn open(state_dir: &Path, platform: &dyn Platform) -> io::Result<Self> {
        let dir = state_dir.join("partials");
        own::make_private_directory(&dir)?;
        // A host that cannot say when it booted keeps nothing over the agent's end.
        let boot = platform
            .booted()
            .map_or_else(|_| Uuid::new_v4(), |booted| booted.id);
        Ok(Self {
            dir,
            boot,
            claimed: Mutex::new(HashSet::new()),
        })
    }

    /// Takes a transfer for one command; another that wants it meanwhile is refused as `transfer_in_use`.
    pub fn claim(&self, transfer_id: Uuid) -> Result<Claim<'_>, Fault> {
        if !self.claimed.lock().insert(transfer_id) {
            let text = format!("another command moves the transfer {transfer_id}");
            return Err(Fault::server("transfer_in_use", text));
        }
        Ok(Claim {
            partials: self,
            transfer_id,
        })
    }

    fn path(&self, transfer_id: Uuid) -> PathBuf {
        self.dir.join(transfer_id.to_string())
    }

    fn note(&self, transfer_id: Uuid) -> Option<Note> {
        let text = std::fs::read(self.path(transfer_id)).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The transfers that have a note, oldest first, with the time of the note.
    fn noted(&self) -> io::Result<Vec<(SystemTime, Uuid)>> {
        let mut noted = Vec::new();
        for path in self.entries()? {
            let id = path.file_name().and_then(|name| name.to_str()?.parse().ok());
            let time = path.metadata().and_then(|found| found.modified());
            if let (Some(id), Ok(time)) = (id, time) {
                noted.push((time, id));
            }
        }
        noted.sort_unstable();
        Ok(noted)
    }

    fn entries(&self) -> io::Result<Vec<PathBuf>> {
        std::fs::read_dir(&self.dir)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    }

    /// Whether `leftover` is a file that a transfer can go on with: then nothing has been put in place yet.
    pub fn keeps(&self, leftover: &[u8], platform: &dyn Platform) -> bool {
        let noted = self.noted().unwrap_or_default();
        noted
            .into_iter()
            .filter_map(|(_, id)| self.note(id))
            .any(|note| note.path.as_bytes() == leftover && note.boot == self.boot)
            && platform.is_partial(leftover)
    }

    /// Removes what was kept long enough, what is too much, and what another boot left. Returns how many files.
    pub fn sweep(&self, platform: &dyn Platform, kept_for: Duration) -> usize {
        self.remove_unfinished();
        let mut noted = match self.noted() {
            Ok(noted) => noted,
            Err(error) => {
                tracing::warn!(%error, "failed to look for files of cut transfers");
                return 0;
            }
        };
        // What is being written takes no place of what waits.
        let claimed = self.claimed.lock().clone();
        noted.retain(|(_, id)| !claimed.contains(id));
        let surplus = noted.len().saturating_sub(KEPT_MAX);
        let oldest = SystemTime::now().checked_sub(kept_for);
        let doomed = noted.iter().enumerate().filter(|(nth, (time, id))| {
            let other_boot = self.note(*id).is_none_or(|note| note.boot != self.boot);
            *nth < surplus || other_boot || oldest.is_some_and(|oldest| *time <= oldest)
        });
        doomed.filter(|(_, (_, id))| self.remove(*id, platform)).count()
    }

    fn remove(&self, transfer_id: Uuid, platform: &dyn Platform) -> bool {
        let Ok(claim) = self.claim(transfer_id) else {
            return false;
        };
        tracing::info!(%transfer_id, "gave up on the file of a cut transfer");
        claim.give_up(platform);
        true
    }

    /// Removes notes that an agent was writing when it died.
    fn remove_unfinished(&self) {
        for path in self.entries().unwrap_or_default() {
            let id = path.file_stem().and_then(|name| name.to_str()?.parse().ok());
            let (true, Some(id)) = (path.extension().is_some_and(|end| end == NEW), id) else {
                continue;
            };
            // Who has it claimed may be writing it now.
            if let Ok(_claim) = self.claim(id)
                && let Err(error) = std::fs::remove_file(&path)
            {
                tracing::warn!(path = %path.display(), %error, "an unfinished note of a transfer stays behind");
            }
        }
    }
}

/// A transfer that one command moves; given back when it is dropped.
pub struct Claim<'a> {
    partials: &'a Partials,
    transfer_id: Uuid,
}

impl Claim<'_> {
    /// Which.
    pub fn transfer_id(&self) -> Uuid {
        self.transfer_id
    }

    /// Whether a file of this name was begun for it, since the host booted.
    pub fn knows(&self, path: &[u8]) -> bool {
        let note = self.partials.note(self.transfer_id);
        note.is_some_and(|note| note.boot == self.partials.boot && note.path.as_bytes() == path)
    }

    /// Notes that a file is about to be made.
    pub fn begin(&self, path: &[u8]) -> io::Result<()> {
        let note = Note {
            path: path.to_vec().into(),
            boot: self.partials.boot,
        };
        let text = serde_json::to_vec(&note).map_err(io::Error::other)?;
        // Renamed, so that an agent that dies here leaves the note of before.
        let path = self.partials.path(self.transfer_id);
        let new = path.with_extension(NEW);
        let mut file = own::private_file().truncate(true).open(&new)?;
        file.write_all(&text)?;
        std::fs::rename(new, path)
    }

    /// Nobody will go on with it: removes the file and its note.
    pub fn give_up(self, platform: &dyn Platform) {
        if let Some(note) = self.partials.note(self.transfer_id)
            && let Err(error) = platform.remove_leftover(note.path.as_bytes())
        {
            tracing::warn!(transfer_id = %self.transfer_id, %error, "a file of a cut transfer stays behind");
        }
        self.forget();
    }

    /// There is no such file any more.
    pub fn forget(self) {
        match std::fs::remove_file(self.partials.path(self.transfer_id)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(transfer_id = %self.transfer_id, %error, "a note of a transfer stays behind");
            }
            _ => {}
        }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        self.partials.claimed.lock().remove(&self.transfer_id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::native;
    use std::os::unix::fs::PermissionsExt;
    use tempfile::TempDir;

    fn fresh() -> (TempDir, Partials) {
        let dir = tempfile::tempdir().unwrap();
        let partials = Partials::open(dir.path(), &*native()).unwrap();
        (dir, partials)
    }

    /// A file of a transfer, with its note.
    fn begun(dir: &TempDir, partials: &Partials, n: u128) -> PathBuf {
        let path = dir.path().join(format!("file-{n}"));
        let claim = partials.claim(Uuid::from_u128(n)).unwrap();
        claim.begin(path.as_os_str().as_encoded_bytes()).unwrap();
        std::fs::write(&path, "half").unwrap();
        path
    }

    #[test]
    fn a_file_is_known_until_it_is_forgotten_and_only_under_its_name() {
        let (dir, partials) = fresh();
        let path = begun(&dir, &partials, 1);
        let bytes = path.as_os_str().as_encoded_bytes();
        assert!(partials.keeps(bytes, &*native()));
        let claim = partials.claim(Uuid::from_u128(1)).unwrap();
        assert!(claim.knows(bytes) && !claim.knows(b"/other"));
        assert_eq!(
            partials.claim(Uuid::from_u128(1)).err().unwrap().code,
            "transfer_in_use"
        );
        claim.forget();
        assert!(!partials.keeps(bytes, &*native()));
        assert!(!partials.claim(Uuid::from_u128(1)).unwrap().knows(bytes));
    }

    #[test]
    fn a_file_of_another_boot_or_one_that_has_its_place_is_not_gone_on_with() {
        let (dir, mut partials) = fresh();
        let path = begun(&dir, &partials, 1);
        let bytes = path.as_os_str().as_encoded_bytes().to_vec();
        std::fs::hard_link(&path, dir.path().join("in-place")).unwrap();
        assert!(!partials.keeps(&bytes, &*native()));
        partials.boot = Uuid::new_v4();
        assert!(!partials.claim(Uuid::from_u128(1)).unwrap().knows(&bytes));
        assert_eq!(partials.sweep(&*native(), KEPT_FOR), 1);
        assert!(!path.exists() && dir.path().join("in-place").exists());
    }

    #[test]
    fn notes_and_their_folder_are_private() {
        let (dir, partials) = fresh();
        begun(&dir, &partials, 1);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&partials.dir), 0o700);
        assert_eq!(mode(&partials.path(Uuid::from_u128(1))), 0o600);
    }

    #[test]
    fn a_note_that_was_never_finished_is_removed_unless_it_is_being_written() {
        let (_dir, partials) = fresh();
        let new = |n: u128| partials.path(Uuid::from_u128(n)).with_extension(NEW);
        std::fs::write(new(1), "{").unwrap();
        std::fs::write(new(2), "{").unwrap();
        let claim = partials.claim(Uuid::from_u128(2)).unwrap();
        partials.sweep(&*native(), KEPT_FOR);
        assert_eq!(partials.entries().unwrap(), [new(2)]);
        drop(claim);
        partials.sweep(&*native(), KEPT_FOR);
        assert!(partials.entries().unwrap().is_empty());
    }

    #[test]
    fn files_that_are_being_written_take_no_place_of_those_that_are_kept() {
        let (dir, partials) = fresh();
        let kept = begun(&dir, &partials, 0);
        let others: Vec<u128> = (1..=KEPT_MAX as u128).collect();
        others.iter().for_each(|n| drop(begun(&dir, &partials, *n)));
        let claim = |n: &u128| partials.claim(Uuid::from_u128(*n)).unwrap();
        let claims: Vec<Claim<'_>> = others.iter().map(claim).collect();
        assert_eq!(partials.sweep(&*native(), KEPT_FOR), 0);
        drop(claims);
        assert_eq!(partials.sweep(&*native(), KEPT_FOR), 1);
        assert!(!kept.exists());
    }

    #[test]
    fn what_nobody_goes_on_with_is_removed_by_age_and_by_count_but_not_while_it_is_written() {
        let (dir, partials) = fresh();
        let count = KEPT_MAX as u128 + 3;
        let paths: Vec<PathBuf> = (0..count).map(|n| begun(&dir, &partials, n)).collect();
        assert_eq!(partials.sweep(&*native(), KEPT_FOR), 3);
        assert_eq!(paths.iter().filter(|path| path.exists()).count(), KEPT_MAX);
        let last = partials.claim(Uuid::from_u128(count - 1)).unwrap();
        partials.sweep(&*native(), Duration::ZERO);
        let left: Vec<bool> = paths.iter().map(|path| path.exists()).collect();
        assert_eq!(left.iter().filter(|there| **there).count(), 1);
        assert!(paths.last().unwrap().exists());
        drop(last);
        assert_eq!(partials.sweep(&*native(), Duration::ZERO), 1);
        assert!(partials.noted().unwrap().is_empty());
    }
}
