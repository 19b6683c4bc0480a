//! The pages of the documentation and what is in them.

use std::path::{Path, PathBuf};

/// The root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A page in Markdown.
pub(crate) struct Page {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A fenced block.
pub(crate) struct Block {
    /// The word after the fence.
    pub(crate) language: String,
    pub(crate) text: String,
    /// Its first line, from 1.
    pub(crate) line: usize,
}

/// One page, by its path from the root.
pub(crate) fn page(path: &str) -> Page {
    let path = root().join(path);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Page { path, text }
}

/// README, CHANGELOG and everything below `docs`.
pub(crate) fn pages() -> Vec<Page> {
    let mut pages: Vec<Page> = ["README.md", "CHANGELOG.md"].map(page).into();
    let mut folders = vec![root().join("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path).unwrap();
                pages.push(Page { path, text });
            }
        }
    }
    assert!(pages.len() > 5, "the pages were not found");
    pages
}

impl Page {
    /// Its fenced blocks.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (index, line) in self.text.lines().enumerate() {
            match (line.trim_start().strip_prefix("```"), open.take()) {
                (Some(_), Some(block)) => blocks.push(block),
                (Some(language), None) => {
                    open = Some(Block {
                        language: language.trim().to_owned(),
                        text: String::new(),
                        line: index + 2,
                    });
                }
                (None, Some(mut block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                    open = Some(block);
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.path.display());
        blocks
    }

    /// The text outside its fenced blocks.
    pub(crate) fn prose(&self) -> String {
        let mut fenced = false;
        self.text
            .lines()
            .filter(|line| {
                let fence = line.trim_start().starts_with("```");
                fenced ^= fence;
                !fence && !fenced
            })
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// The rows of the table under `heading`, header and rule left out.
    pub(crate) fn table(&self, heading: &str) -> Vec<String> {
        let rows: Vec<String> = self
            .text
            .lines()
            .skip_while(|line| *line != heading)
            .skip(1)
            .take_while(|line| !line.starts_with('#'))
            .skip_while(|line| !line.starts_with('|'))
            .take_while(|line| line.starts_with('|'))
            .map(str::to_owned)
            .collect();
        assert!(
            rows.len() > 2,
            "{} has no table under {heading}",
            self.path.display()
        );
        rows
    }
}

/// Every Rust file below a folder, by its path from the root, with its text.
pub(crate) fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root()).unwrap().to_str().unwrap();
                found.push((path.to_owned(), text));
            }
        }
    }
    found
}
