//! Words that belong in one place, words that belong nowhere, and what every file begins with.

use crate::scan::{Scanned, scan};
use crate::workspace::{members, root};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// A source file.
struct Source {
    /// Below the workspace, with `/`.
    path: String,
    text: String,
    /// The part that ships, and the part that only tests.
    production: Scanned,
    tests: Scanned,
    /// The line before the first of `tests`.
    tests_from: usize,
}

fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            walk(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Modules that a file declares for tests only: `#[cfg(test)]`, then `mod name;`.
fn test_modules(path: &Path, text: &str) -> Vec<PathBuf> {
    let stem = path.file_stem().unwrap().to_str().unwrap();
    let parent = path.parent().unwrap();
    let folder = if ["mod", "lib", "main"].contains(&stem) {
        parent.to_owned()
    } else {
        parent.join(stem)
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declared = lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| {
            let name = pair[1].rsplit_once("mod ")?.1.strip_suffix(';')?;
            Some([folder.join(format!("{name}.rs")), folder.join(name)])
        });
    declared.flatten().collect()
}

/// Where the inline module of tests begins: everything from there on only tests.
fn inline_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_module = |line: &str| line.contains("mod ") && line.ends_with('{');
    (0..lines.len())
        .find(|at| lines[*at] == "#[cfg(test)]" && lines[at + 1..].iter().take(2).any(|line| is_module(line)))
        .unwrap_or(lines.len())
}

fn below_root(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap()
        .to_str()
        .unwrap()
        .replace('\\', "/")
}

impl Source {
    fn read(path: &Path, only_tests: bool) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        let tests_from = if only_tests { 0 } else { inline_tests(&text) };
        let split = text.split_inclusive('\n').take(tests_from).map(str::len).sum();
        let (production, tests) = text.split_at(split);
        let (production, tests) = (scan(production), scan(tests));
        Self {
            path: below_root(path),
            production,
            tests,
            tests_from,
            text,
        }
    }

    fn is_below(&self, folders: &[&str]) -> bool {
        folders
            .iter()
            .any(|folder| self.path == *folder || self.path.starts_with(&format!("{folder}/")))
    }
}

/// All sources of all members.
fn sources() -> Vec<Source> {
    let (mut ship, mut test) = (Vec::new(), Vec::new());
    for member in members() {
        walk(&member.folder().join("src"), &mut ship);
        for folder in ["tests", "benches", "examples"] {
            walk(&member.folder().join(folder), &mut test);
        }
    }
    let texts = ship
        .iter()
        .map(|path| (path, std::fs::read_to_string(path).unwrap()));
    let declared: BTreeSet<PathBuf> = texts.flat_map(|(path, text)| test_modules(path, &text)).collect();
    let only_tests = |path: &Path| path.ancestors().any(|part| declared.contains(part));
    let ship = ship.iter().map(|path| Source::read(path, only_tests(path)));
    let found: Vec<Source> = ship
        .chain(test.iter().map(|path| Source::read(path, true)))
        .collect();
    assert!(
        found
            .iter()
            .any(|source| source.path == "protocol/src/subject.rs"),
        "the sources are found"
    );
    found
}

/// Whether `code` has `word` as a word of its own.
fn has_word(code: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word)
        .any(|(at, _)| !code[..at].ends_with(is_part) && !code[at + word.len()..].starts_with(is_part))
}

/// Fails with every place where `word` is in what ships outside `homes`.
fn lives_only_in(word: &str, homes: &[&str]) {
    let strays: Vec<String> = sources()
        .iter()
        .filter(|source| has_word(&source.production.code, word) && !source.is_below(homes))
        .map(|source| source.path.clone())
        .collect();
    assert!(
        strays.is_empty(),
        "{word} belongs in {homes:?} only, and is in {strays:?}"
    );
}

#[test]
fn only_the_nats_edge_and_the_demos_outside_client_speak_nats() {
    lives_only_in("async_nats", &["src/nats", "src/demo"]);
}

#[test]
fn only_the_store_knows_sled() {
    lives_only_in("sled", &["actors/src/store"]);
}

#[test]
fn only_the_agents_platform_knows_an_operating_system() {
    let words = [
        "rustix",
        "libc",
        "os::unix",
        "os::linux",
        "os::fd",
        "signal::unix",
    ];
    let (mut strays, mut at_home) = (Vec::new(), 0);
    for source in sources().iter().filter(|source| source.is_below(&["agent/src"])) {
        let production = &source.production;
        let code = words
            .iter()
            .filter(|word| has_word(&production.code, word))
            .copied();
        let texts = production.texts.iter().map(|(_, text)| &**text);
        let found: Vec<&str> = code
            .chain(texts.filter(|text| text.starts_with("/proc")))
            .collect();
        match source.is_below(&["agent/src/platform"]) {
            true => at_home += found.len(),
            false => strays.extend(found.iter().map(|word| format!("{}: {word}", source.path))),
        }
    }
    assert!(
        strays.is_empty(),
        "these belong in agent/src/platform: {strays:#?}"
    );
    assert!(at_home > 20, "the words are found where they belong");
}

/// `tripline.events.…` or `{prefix}.events.…`, at the beginning of a text. Within one, it is prose for people.
fn is_subject(text: &str) -> bool {
    let after = match text.strip_prefix('{') {
        Some(rest) => rest.split_once('}').map(|(_, after)| after),
        None => text.strip_prefix("tripline"),
    };
    let kinds = ["events", "results", "dead", "jobs", "approvals", "fanouts", "api"];
    let Some(after) = after.and_then(|after| after.strip_prefix('.')) else {
        return kinds.iter().any(|kind| text.starts_with(&format!(".{kind}.")));
    };
    kinds
        .iter()
        .any(|kind| after.strip_prefix(kind).is_some_and(|rest| rest.starts_with('.')))
}

#[test]
fn a_subject_is_known_by_its_beginning() {
    for text in ["tripline.events.>", "{}.api.>", "{prefix}.jobs.{org}", ".events."] {
        assert!(is_subject(text), "{text}");
    }
    for text in [
        "tripline.toml",
        "tripline.job.{outcome}",
        "events.max_age",
        "sub 'tripline.results.>'",
        "{}",
    ] {
        assert!(!is_subject(text), "{text}");
    }
}

#[test]
fn subjects_are_written_in_one_file_only() {
    // The demo's outside client is somebody else's program: it knows subjects from the documentation.
    let homes = ["protocol/src/subject.rs", "src/demo"];
    let mut strays = Vec::new();
    for source in sources().iter().filter(|source| !source.is_below(&homes)) {
        let subjects = source
            .production
            .texts
            .iter()
            .filter(|(_, text)| is_subject(text));
        strays.extend(subjects.map(|(line, text)| format!("{}:{line}: {text:?}", source.path)));
    }
    assert!(strays.is_empty(), "subjects belong in {homes:?}: {strays:#?}");
}

#[test]
fn what_actix_offers_and_does_not_keep_is_not_used() {
    // STYLE: singletons hide arrows, SyncArbiter's threads are never replaced, a mailbox's capacity is no
    // bound, and Supervisor does not restart after a panic. The last is a word that others may use.
    for word in [
        "from_registry",
        "SyncArbiter",
        "set_mailbox_capacity",
        "Supervised",
    ] {
        lives_only_in(word, &[]);
    }
    let supervised = |code: &str| has_word(code, "actix") && has_word(code, "Supervisor");
    for source in sources() {
        assert!(
            !supervised(&source.production.code),
            "{} uses actix's Supervisor",
            source.path
        );
    }
}

#[test]
fn every_file_begins_with_what_it_is_for() {
    let bare: Vec<String> = sources()
        .iter()
        .filter(|source| !source.text.starts_with("//! "))
        .map(|source| source.path.clone())
        .collect();
    assert!(bare.is_empty(), "files without //! at their beginning: {bare:#?}");
}

#[test]
fn no_test_is_ignored_without_a_reason() {
    let ignored: Vec<String> = sources()
        .iter()
        .filter(|source| {
            [&source.production, &source.tests]
                .iter()
                .any(|part| part.code.contains("#[ignore]"))
        })
        .map(|source| source.path.clone())
        .collect();
    assert!(ignored.is_empty(), "write #[ignore = \"why\"]: {ignored:?}");
}

#[test]
fn a_test_that_sleeps_says_why() {
    let mut silent = Vec::new();
    // A bench paces its load; that is no wait for something to have happened.
    for source in sources()
        .iter()
        .filter(|source| !source.path.contains("benches/"))
    {
        for (index, line) in source.tests.code.lines().enumerate() {
            let line_number = index + 1;
            let explained = source
                .tests
                .comments
                .iter()
                .any(|comment| (comment..=&(comment + 2)).contains(&&line_number));
            if has_word(line, "sleep") && line.contains("sleep(") && !explained {
                silent.push(format!("{}:{}", source.path, source.tests_from + line_number));
            }
        }
    }
    assert!(
        silent.is_empty(),
        "wait for a condition, or say why not beside it: {silent:#?}"
    );
}
