//! Reads the files of a folder. The only part of this module that touches the file system.

use super::problem::{FileProblem, SourceFile};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest file, in bytes.
const FILE_BYTES_MAX: u64 = 256 * 1024;
/// Most files in a folder.
const FILES_MAX: usize = 10_000;

/// The `.yaml` and `.yml` files of a folder, by name. Hidden files and sub-folders are left out; links to
/// files are followed.
pub(super) fn read(folder: &Path, problems: &mut Vec<FileProblem>) -> Vec<SourceFile> {
    let paths = match list(folder) {
        Ok(paths) => paths,
        Err(error) => {
            problems.push(problem(folder, format!("failed to list the folder: {error}")));
            return Vec::new();
        }
    };
    if paths.len() > FILES_MAX {
        let message = format!("{} files, at most {FILES_MAX} are taken", paths.len());
        problems.push(problem(folder, message));
        return Vec::new();
    }
    let files = paths.iter().filter_map(|path| read_one(path, problems));
    files.collect()
}

/// One file.
pub(super) fn read_one(path: &Path, problems: &mut Vec<FileProblem>) -> Option<SourceFile> {
    match read_file(path) {
        Ok(text) => Some(SourceFile {
            path: path.display().to_string(),
            text,
        }),
        Err(error) => {
            problems.push(problem(path, format!("failed to read the file: {error}")));
            None
        }
    }
}

/// Of a file or folder as a whole.
fn problem(path: &Path, message: String) -> FileProblem {
    FileProblem {
        file: path.display().to_string(),
        line: 0,
        column: 0,
        message,
    }
}

fn list(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if is_rule_file(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a path in a folder of rules is one of their files: `.yaml` or `.yml`, neither hidden nor a folder.
pub fn is_rule_file(path: &Path) -> bool {
    let hidden = path
        .file_name()
        .is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let yaml = path
        .extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml");
    yaml && !hidden && !fs::metadata(path).is_ok_and(|metadata| metadata.is_dir())
}

fn read_file(path: &Path) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let bytes = metadata.len().min(FILE_BYTES_MAX);
    let mut text = String::with_capacity(usize::try_from(bytes).unwrap_or_default());
    File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it is longer than {FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(text)
}
