//! `docs/limits.md`, held to the code: every constant and key that looks like a bound is on it or is known to be none,
//! with the value it has; every metric and every test it names is there.
//!
//! With `TRIPLINE_WRITE_LIMITS` set, values that differ are written into the page (`make limits`).

use crate::constants::{Constant, Constants, thousands};
use crate::no_limits::NO_LIMITS;
use crate::pages::{page, root};
use std::collections::BTreeSet;
use std::path::Path;
use tripline::config::Config;

const PAGE: &str = "docs/limits.md";

/// Words of names by which a constant looks like a bound.
const WORDS: [&str; 35] = [
    "MAX", "MIN", "MOST", "LEAST", "LONGEST", "LIMIT", "LIMITS", "BOUND", "BOUNDS", "CAPACITY", "KEPT",
    "RETAIN", "ROOM", "QUEUE", "PENDING", "BYTES", "CHARS", "ROWS", "ITEMS", "BATCH", "CREDIT", "WINDOW",
    "TIMEOUT", "FUEL", "THREADS", "BURST", "BACKLOG", "WAIT", "WAITS", "ALIVE", "AFTER", "PATIENCE",
    "WITHIN", "GRACE", "HOLD",
];

/// A row of the page's tables.
struct Row {
    /// What, value, set by, at it, counted by, tested by.
    cells: [String; 6],
    line: String,
}

/// What sets a bound.
enum Setter {
    /// A key of the server's configuration, or of the agent's.
    Key(String),
    /// A constant, by file and name.
    Constant(String, String),
}

fn rows() -> Vec<Row> {
    let text = page(PAGE).text;
    let rows: Vec<Row> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---") && !line.starts_with("| bound |"))
        .map(|line| {
            let cells: Vec<String> = line
                .trim_matches('|')
                .split(" | ")
                .map(|cell| cell.trim().to_owned())
                .collect();
            let cells = cells.try_into().unwrap_or_else(|_| panic!("six cells: {line}"));
            let line = line.to_owned();
            Row { cells, line }
        })
        .collect();
    assert!(rows.len() > 150, "the page has {} rows", rows.len());
    rows
}

/// What stands between backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

impl Row {
    fn setters(&self) -> Vec<Setter> {
        let one = |part: &str| {
            let name = quoted(part).next()?.to_owned();
            let place = part
                .split_once("](../")
                .and_then(|(_, rest)| rest.strip_suffix(')'));
            Some(match place {
                Some(path) => Setter::Constant(path.to_owned(), name),
                None => Setter::Key(name),
            })
        };
        self.cells[2].split(", ").filter_map(one).collect()
    }

    /// What its second cell should be; `None` where something else than Tripline sets the bound.
    fn value(&self, constants: &Constants) -> Option<String> {
        let values: Vec<String> = self
            .setters()
            .iter()
            .map(|setter| match setter {
                Setter::Key(key) => default_of(key),
                Setter::Constant(path, name) => match constants.get(path, name) {
                    Some(constant) => constants.shown(constant),
                    None => panic!("{path} has no {name}: {}", self.line),
                },
            })
            .collect();
        (!values.is_empty()).then(|| values.join(", "))
    }
}

/// Cells of a row of a table of keys, without backticks.
fn cells(row: &str) -> Vec<String> {
    row.trim_matches('|')
        .split('|')
        .map(|cell| cell.trim().replace(['`', '"'], ""))
        .collect()
}

/// Keys of the server with their defaults.
fn server_keys() -> Vec<(String, String)> {
    Config::markdown_table()
        .lines()
        .skip(2)
        .map(cells)
        .map(|cells| (cells[0].clone(), cells[1].clone()))
        .collect()
}

/// Keys of the agent with their defaults; another test holds that table to the code.
fn agent_keys() -> Vec<(String, String)> {
    page("docs/agent.md")
        .table("### Keys")
        .iter()
        .skip(2)
        .map(|row| cells(row))
        .map(|cells| (cells[2].clone(), cells[3].clone()))
        .collect()
}

fn default_of(key: &str) -> String {
    let keys = match key.contains('.') {
        true => server_keys(),
        false => agent_keys(),
    };
    let default = keys
        .iter()
        .find(|(name, _)| name == key)
        .map(|(_, default)| default);
    let default = default.unwrap_or_else(|| panic!("there is no key {key}"));
    default.parse().map_or_else(|_| default.clone(), thousands)
}

#[test]
fn values_of_limits_are_the_codes() {
    let constants = Constants::read();
    let (mut text, mut wrong) = (page(PAGE).text, Vec::new());
    for row in rows() {
        let Some(value) = row.value(&constants) else {
            continue;
        };
        if row.cells[1] != value {
            let cell = |value: &str| format!("| {} | {value} | {} |", row.cells[0], row.cells[2]);
            text = text.replace(&cell(&row.cells[1]), &cell(&value));
            wrong.push(format!("{}: {} is {value}", row.cells[0], row.cells[1]));
        }
    }
    if std::env::var_os("TRIPLINE_WRITE_LIMITS").is_some() {
        std::fs::write(root().join(PAGE), text).unwrap();
    } else {
        assert!(wrong.is_empty(), "`make limits` writes them: {wrong:#?}");
    }
}

#[test]
fn every_constant_that_looks_like_a_bound_is_listed_or_known_to_be_none() {
    let constants = Constants::read();
    let listed: BTreeSet<(String, String)> = rows()
        .iter()
        .flat_map(Row::setters)
        .filter_map(|setter| match setter {
            Setter::Constant(path, name) => Some((path, name)),
            Setter::Key(_) => None,
        })
        .collect();
    let mut excused = BTreeSet::new();
    for (reason, names) in NO_LIMITS {
        for text in *names {
            let (path, name) = text.rsplit_once(' ').unwrap();
            let place = (path.to_owned(), name.to_owned());
            assert!(
                constants.get(path, name).is_some(),
                "{path} has no {name}, which is no limit: {reason}"
            );
            assert!(
                !listed.contains(&place),
                "{path} {name} is listed, and known to be no limit"
            );
            assert!(excused.insert(place), "{path} {name} is named twice");
        }
    }
    let place = |constant: &Constant| (constant.path.clone(), constant.name.clone());
    let missing: Vec<String> = constants
        .iter()
        .filter(|constant| constant.has_word(&WORDS))
        .filter(|constant| !listed.contains(&place(constant)) && !excused.contains(&place(constant)))
        .map(|constant| format!("{} {}", constant.path, constant.name))
        .collect();
    assert!(
        missing.is_empty(),
        "these belong into {PAGE}, or into tests/docs/no_limits.rs with a reason: {missing:#?}"
    );
}

/// Keys with a number, a size or a time that bound nothing.
const KEYS_WITHOUT_BOUND: [&str; 4] = [
    // How often something is done.
    "store.export_every",
    "littlebrother.check_interval",
    // What clients are told.
    "littlebrother.kill_process_delay",
    "littlebrother.maximum_time_without_send",
];

#[test]
fn every_key_that_bounds_something_is_listed() {
    let is_measure = |default: &str| {
        let unit = default.trim_start_matches(|letter: char| letter.is_ascii_digit());
        default != unit && ["", "s", "m", "h", "d", "ms", "B", "KiB", "MiB", "GiB"].contains(&unit)
    };
    let listed: BTreeSet<String> = rows()
        .iter()
        .flat_map(Row::setters)
        .filter_map(|setter| match setter {
            Setter::Key(key) => Some(key),
            Setter::Constant(..) => None,
        })
        .collect();
    let missing: Vec<String> = server_keys()
        .into_iter()
        .filter(|(key, default)| is_measure(default) || key.ends_with("_max"))
        .map(|(key, _)| key)
        .chain(
            agent_keys()
                .into_iter()
                .map(|(key, _)| key)
                .filter(|key| key.ends_with("_max")),
        )
        .filter(|key| !listed.contains(key) && !KEYS_WITHOUT_BOUND.contains(&&**key))
        .collect();
    assert!(missing.is_empty(), "these belong into {PAGE}: {missing:?}");
}

#[test]
fn every_metric_that_counts_at_a_limit_exists() {
    for row in rows() {
        let named: Vec<&str> = quoted(&row.cells[4])
            .filter(|name| name.starts_with("tripline_"))
            .collect();
        assert!(
            !named.is_empty() || !row.cells[4].contains('`'),
            "no metric: {}",
            row.line
        );
        for name in named {
            assert!(
                tripline::metric::of(name).is_some(),
                "nothing emits {name}: {}",
                row.line
            );
        }
    }
}

/// Names of all tests of the workspace.
fn tests() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for folder in ["protocol", "actors", "src", "agent", "client", "service", "tests"] {
        tests_in(&root().join(folder), &mut names);
    }
    assert!(names.len() > 1_000, "only {} tests were found", names.len());
    names
}

fn tests_in(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            tests_in(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut is_test = false;
            for line in text.lines().map(str::trim_start) {
                let name = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
                if line.starts_with("#[") {
                    is_test |= line.contains("test]") || line.contains("test(");
                } else if let Some(name) = name {
                    let name = name.split(['(', '<']).next().unwrap_or_default();
                    names.extend(is_test.then(|| name.to_owned()));
                    is_test = false;
                }
            }
        }
    }
}

#[test]
fn every_test_that_shows_a_limit_exists() {
    let tests = tests();
    for row in rows() {
        let cell = &row.cells[5];
        assert!(cell.contains('`') || cell == "–", "a test or –: {}", row.line);
        for name in quoted(cell) {
            assert!(tests.contains(name), "there is no test {name}: {}", row.line);
        }
    }
}

/// Everything but the code's numbers: `mpsc::channel(16)` and the like.
#[test]
fn every_queue_has_a_bound_with_a_name() {
    let mut unnamed = Vec::new();
    let makers = [
        "mpsc::channel(",
        "broadcast::channel(",
        "sync_channel(",
        "Semaphore::new(",
        "Semaphore::const_new(",
        "Door::new(",
    ];
    for (path, code) in Constants::sources() {
        for maker in makers {
            for (at, _) in code.match_indices(maker) {
                let line = code[..at].matches('\n').count() + 1;
                let arguments = code[at + maker.len()..].split_once(')').unwrap().0;
                let bound = arguments.rsplit(',').next().unwrap().trim();
                // One place is no queue; the standard library's channel without a bound is looked at below.
                if bound.starts_with(|first: char| first.is_ascii_digit()) && bound != "1" {
                    unnamed.push(format!("{path}:{line}: {maker}{arguments})"));
                }
            }
        }
    }
    assert!(
        unnamed.is_empty(),
        "give these bounds a name and list it: {unnamed:#?}"
    );
}

/// Files with a channel that has no bound, and what bounds it instead.
const UNBOUNDED: [(&str, &str); 7] = [
    (
        "actors/src/core/generation.rs",
        "a panic of an actor is told once, and there is a fixed number of them",
    ),
    (
        "agent/src/journal/mod.rs",
        "commands wait for what they write, and at most `COMMANDS_MAX` run",
    ),
    (
        "agent/src/link.rs",
        "the reader of the connection waits for room, and commands for their credit",
    ),
    (
        "client/src/jobs/mod.rs",
        "one answer for each job, and jobs are bounded",
    ),
    ("src/cli/session/console/listings.rs", "a person types"),
    ("src/cli/session/console/prompt.rs", "a person types"),
    (
        "src/http/agent_channel/transfers.rs",
        "one message for each transfer under way",
    ),
];

#[test]
fn every_queue_without_a_bound_is_known() {
    let mut unknown = Vec::new();
    for (path, code) in Constants::sources() {
        let made = code.contains("unbounded_channel()") || code.contains("mpsc::channel()");
        if made && !UNBOUNDED.iter().any(|(known, _)| *known == path) {
            unknown.push(path);
        }
    }
    assert!(unknown.is_empty(), "what bounds these? {unknown:?}");
}
