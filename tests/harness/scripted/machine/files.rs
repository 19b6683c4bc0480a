//! A file system in memory, of a Windows host (backslashes, no case) or a Linux host.

use super::{Content, Trouble};
use std::collections::{BTreeMap, BTreeSet};
use tripline_protocol::limit::LIST_ENTRIES_MAX;
use tripline_protocol::verb::{DirectoryEntry, DirectoryListing};

/// All times on the host, Unix seconds.
pub(super) const TIME: i64 = 1_790_000_000;

#[derive(Debug)]
enum Node {
    Directory,
    File(Content),
}

/// The files and directories, by their whole paths in one form: `/` between the parts, none at the ends.
#[derive(Debug)]
pub(crate) struct Files {
    is_windows: bool,
    nodes: BTreeMap<String, (String, Node)>,
    locked: BTreeSet<String>,
}

/// The directory that a path in one form is in.
fn parent(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(parent, _)| parent)
}

impl Files {
    /// With the directory for temporary files that scripts expect.
    pub(super) fn new(is_windows: bool) -> Self {
        let mut files = Self {
            is_windows,
            nodes: BTreeMap::new(),
            locked: BTreeSet::new(),
        };
        files.make_all(if is_windows { "C:\\Windows\\Temp" } else { "/tmp" });
        files
    }

    fn parts<'a>(&self, path: &'a str) -> Vec<&'a str> {
        let is_windows = self.is_windows;
        let separates = move |c: char| c == '/' || (is_windows && c == '\\');
        path.split(separates).filter(|part| !part.is_empty()).collect()
    }

    fn key(&self, path: &str) -> String {
        let joined = self.parts(path).join("/");
        if self.is_windows {
            joined.to_lowercase()
        } else {
            joined
        }
    }

    fn name(&self, path: &str) -> String {
        self.parts(path).last().copied().unwrap_or_default().to_owned()
    }

    fn is_directory(&self, key: &str) -> bool {
        key.is_empty() || matches!(self.nodes.get(key), Some((_, Node::Directory)))
    }

    /// The directory a new entry goes to has to be there.
    fn check_parent(&self, key: &str) -> Result<(), Trouble> {
        match self.is_directory(parent(key)) {
            true => Ok(()),
            false => Err(Trouble::NoDirectory),
        }
    }

    /// Makes a directory and those above it.
    fn make_all(&mut self, path: &str) {
        let mut key = String::new();
        for part in self.parts(path) {
            let part_key = if self.is_windows {
                part.to_lowercase()
            } else {
                part.to_owned()
            };
            key = if key.is_empty() {
                part_key
            } else {
                format!("{key}/{part_key}")
            };
            let made = (part.to_owned(), Node::Directory);
            self.nodes.entry(key.clone()).or_insert(made);
        }
    }

    /// Writes a file, and makes the directories above it.
    pub(crate) fn write(&mut self, path: &str, content: Content) {
        let parts = self.parts(path);
        if let Some((_, above)) = parts.split_last() {
            self.make_all(&above.join("/"));
        }
        let node = (self.name(path), Node::File(content));
        self.nodes.insert(self.key(path), node);
    }

    /// Makes a file one that is in use: only `get_raw_file` reads it.
    pub(crate) fn lock(&mut self, path: &str) {
        self.locked.insert(self.key(path));
    }

    /// What is in a file.
    pub(crate) fn read(&self, path: &str) -> Result<Content, Trouble> {
        match self.nodes.get(&self.key(path)) {
            Some((_, Node::File(content))) => Ok(content.clone()),
            Some((_, Node::Directory)) => Err(Trouble::IsADirectory),
            None => Err(Trouble::NoFile),
        }
    }

    /// The same with what else uses it in the way.
    pub(super) fn read_unlocked(&self, path: &str) -> Result<Content, Trouble> {
        match self.locked.contains(&self.key(path)) {
            true => Err(Trouble::InUse),
            false => self.read(path),
        }
    }

    /// Whether a file may be written there.
    pub(super) fn check_put(&self, path: &str, overwrite: bool) -> Result<(), Trouble> {
        let key = self.key(path);
        match self.nodes.get(&key) {
            Some((_, Node::Directory)) => Err(Trouble::IsADirectory),
            Some(_) if !overwrite => Err(Trouble::Exists),
            _ => self.check_parent(&key),
        }
    }

    pub(super) fn delete(&mut self, path: &str) -> Result<(), Trouble> {
        let key = self.key(path);
        if !self.nodes.contains_key(&key) {
            return Err(Trouble::NoFile);
        }
        if self.children(&key, 0).next().is_some() {
            return Err(Trouble::NotEmpty);
        }
        self.nodes.remove(&key);
        Ok(())
    }

    pub(super) fn create_directory(&mut self, path: &str, parents: bool) -> Result<(), Trouble> {
        let key = self.key(path);
        match self.nodes.get(&key) {
            Some((_, Node::Directory)) if parents => return Ok(()),
            Some(_) => return Err(Trouble::Exists),
            None if parents => {}
            None => self.check_parent(&key)?,
        }
        self.make_all(path);
        Ok(())
    }

    /// What is below a directory, at most so many levels down in it, with the path from there.
    fn children(&self, key: &str, depth_max: usize) -> impl Iterator<Item = (String, &Node)> {
        let prefix = if key.is_empty() {
            String::new()
        } else {
            format!("{key}/")
        };
        let below = self.nodes.iter().filter_map(move |(path, (_, node))| {
            let rest = path.strip_prefix(&prefix)?;
            (rest.matches('/').count() <= depth_max).then_some((path, node))
        });
        let depth = self.depth(key);
        below.map(move |(path, node)| (self.shown(path, depth), node))
    }

    fn depth(&self, key: &str) -> usize {
        key.split('/').filter(|part| !part.is_empty()).count()
    }

    /// A path as it was written, without its first parts.
    fn shown(&self, key: &str, skipped: usize) -> String {
        let ends = key.match_indices('/').map(|(at, _)| at).chain([key.len()]);
        let names = ends.skip(skipped).filter_map(|end| {
            let (name, _) = self.nodes.get(key.get(..end)?)?;
            Some(name.as_str())
        });
        let separator = if self.is_windows { "\\" } else { "/" };
        names.collect::<Vec<_>>().join(separator)
    }

    /// `list_directory`, and `walk` with more levels.
    pub(super) fn list(&self, path: &str, depth_max: usize) -> Result<DirectoryListing, Trouble> {
        let key = self.key(path);
        if !self.is_directory(&key) {
            let is_file = self.nodes.contains_key(&key);
            return Err(if is_file {
                Trouble::NotADirectory
            } else {
                Trouble::NoDirectory
            });
        }
        let all: Vec<DirectoryEntry> = self
            .children(&key, depth_max)
            .map(|(name, node)| entry(name, node))
            .collect();
        let omitted = all.len().saturating_sub(LIST_ENTRIES_MAX) as u64;
        Ok(DirectoryListing {
            files: all.into_iter().take(LIST_ENTRIES_MAX).collect(),
            omitted,
        })
    }
}

fn entry(name: String, node: &Node) -> DirectoryEntry {
    let (word, size) = match node {
        Node::Directory => ("DIRECTORY", 0),
        Node::File(content) => ("ARCHIVE", content.len()),
    };
    DirectoryEntry {
        filename: name.into(),
        attributes: vec![word.to_owned()],
        size,
        create_time: TIME,
        last_access_time: TIME,
        last_write_time: TIME,
        mode: None,
        owner: None,
        link_target: None,
    }
}
