//! Names: keys of both configurations are those of the code, all of them.

use crate::pages::page;
use std::collections::BTreeSet;
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
