//! Names: keys of both configurations and metrics are those of the code, all of them.

use crate::pages::{first_cell, page, root};
use std::collections::BTreeSet;
use std::path::Path;
use tripline::config::Config;

#[test]
fn the_table_of_the_servers_keys_is_the_codes() {
    let rows = page("README.md").table("### Keys");
    let expected: Vec<String> = Config::markdown_table().lines().map(str::to_owned).collect();
    assert_eq!(
        rows, expected,
        "put the output of `tripline config check --markdown` there"
    );
}

/// Words in quotes that begin with `prefix`.
fn quoted(text: &str, prefix: &str) -> BTreeSet<String> {
    text.split('"')
        .filter(|word| word.starts_with(prefix))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_table_of_the_agents_variables_is_the_codes() {
    let sources = ["agent/src/config.rs", "agent/src/config/watch.rs"].map(|path| page(path).text);
    // The code before its tests.
    let code: String = sources
        .iter()
        .map(|source| source.split("#[cfg(test)]").next().unwrap())
        .collect();
    let documented: BTreeSet<String> = page("docs/agent.md")
        .table("### Keys")
        .iter()
        .flat_map(|row| row.split('`'))
        .filter(|word| word.starts_with("TRIPLINE_AGENT_"))
        .map(str::to_owned)
        .collect();
    assert_eq!(documented, quoted(&code, "TRIPLINE_AGENT_"));
}

fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

/// The first text of every use of a macro of the crate `metrics`.
pub(crate) fn emitted() -> BTreeSet<String> {
    let mut texts = Vec::new();
    for folder in ["src", "actors/src"] {
        sources(&root().join(folder), &mut texts);
    }
    let mut names = BTreeSet::new();
    for text in texts {
        for macro_name in ["counter!(", "gauge!(", "histogram!("] {
            for rest in text.split(macro_name).skip(1) {
                let name = rest.split('"').nth(1).unwrap_or_default();
                assert!(name.starts_with("tripline_"), "{macro_name}{name:?}");
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn the_table_of_metrics_is_the_codes() {
    let rows = page("docs/operations.md").table("## Metrics");
    let documented: BTreeSet<String> = rows
        .iter()
        .skip(2)
        .map(|row| first_cell(row).to_owned())
        .collect();
    assert_eq!(documented, emitted());
}
