//! A folder in which a number of exports is kept: each gets its name when it is whole and verified, and only then the
//! oldest goes.

use super::error::{Doing, Error};
use super::import::verify;
use super::spool::Exporter;
use super::write::Made;
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use tripline_protocol::Timestamp;

const BEGIN: &str = "tripline-";
const END: &str = ".export";
const PARTIAL: &str = ".partial";

/// A folder of exports.
#[derive(Debug, Clone)]
pub struct Folder {
    dir: PathBuf,
    kept_max: usize,
}

/// An export of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// The name of its file.
    pub name: String,
    /// As its name says.
    pub made_at: Timestamp,
    /// Bytes of its file.
    pub bytes: u64,
}

impl Folder {
    /// Makes the folder for its owner only if it is missing; at most `kept_max` exports stay in it.
    pub fn open(dir: &Path, kept_max: usize) -> Result<Self, Error> {
        let mut builder = std::fs::DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .doing("make", dir)?;
        Ok(Self {
            dir: dir.to_owned(),
            kept_max,
        })
    }

    /// Its exports, oldest first. Other files are left out.
    pub fn list(&self) -> Result<Vec<Kept>, Error> {
        let mut found = Vec::new();
        for entry in self.dir.read_dir().doing("list", &self.dir)? {
            let entry = entry.doing("list", &self.dir)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            if let Some(made_at) = time_of(&name) {
                let bytes = entry.metadata().doing("look at", &entry.path())?.len();
                found.push(Kept { name, made_at, bytes });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Makes one more, without artifacts, and removes the oldest beyond the number that is kept.
    pub fn add(&self, exporter: &Exporter) -> Result<(Kept, Made), Error> {
        self.remove_partial()?;
        let made_at = exporter.now();
        let name = name_of(made_at);
        let partial = self.dir.join(format!("{name}{PARTIAL}"));
        let written = exporter.write_file(&partial, false)?;
        if let Err(error) = verify(&partial, &mut |_, _| {}) {
            std::fs::remove_file(&partial).doing("remove", &partial)?;
            return Err(error);
        }
        let path = self.dir.join(&name);
        std::fs::rename(&partial, &path).doing("rename", &partial)?;
        let synced = File::open(&self.dir).and_then(|dir| dir.sync_all());
        synced.doing("sync", &self.dir)?;
        self.remove_oldest()?;
        let bytes = written.bytes;
        let kept = Kept { name, made_at, bytes };
        Ok((kept, written))
    }

    /// What an attempt left that did not come to its end.
    fn remove_partial(&self) -> Result<(), Error> {
        for entry in self.dir.read_dir().doing("list", &self.dir)? {
            let path = entry.doing("list", &self.dir)?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
            let name = name.as_deref().and_then(|name| name.strip_suffix(PARTIAL));
            if name.and_then(time_of).is_some() {
                std::fs::remove_file(&path).doing("remove", &path)?;
            }
        }
        Ok(())
    }

    fn remove_oldest(&self) -> Result<(), Error> {
        let found = self.list()?;
        let surplus = found.len().saturating_sub(self.kept_max);
        for old in found.iter().take(surplus) {
            let path = self.dir.join(&old.name);
            std::fs::remove_file(&path).doing("remove", &path)?;
        }
        Ok(())
    }
}

/// `tripline-20261121T091300.123456Z.export`: names sort as their times do.
fn name_of(made_at: Timestamp) -> String {
    let time: String = made_at
        .to_string()
        .chars()
        .filter(|c| !"-:".contains(*c))
        .collect();
    format!("{BEGIN}{time}{END}")
}

fn time_of(name: &str) -> Option<Timestamp> {
    let time = name.strip_prefix(BEGIN)?.strip_suffix(END)?;
    let (date, time) = time.split_once('T')?;
    let (year, month_day) = date.split_at_checked(4)?;
    let (month, day) = month_day.split_at_checked(2)?;
    let (hour, rest) = time.split_at_checked(2)?;
    let (minute, second) = rest.split_at_checked(2)?;
    format!("{year}-{month}-{day}T{hour}:{minute}:{second}")
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_in_the_name_and_no_other_file_is_an_export() {
        let made_at: Timestamp = "2026-11-21T09:13:00.000123Z".parse().unwrap();
        let name = name_of(made_at);
        assert_eq!(time_of(&name), Some(made_at), "{name}");
        for other in [
            "tripline.toml",
            "tripline-x.export",
            "tripline-.export",
            "a.export",
            "",
        ] {
            assert_eq!(time_of(other), None, "{other}");
        }
    }
}
