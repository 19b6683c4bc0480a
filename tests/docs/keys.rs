//! `docs/pipelines.md`: the keys of every map of the language, all of them and no others.

use crate::pages::{Page, page};
use std::collections::BTreeSet;
use tripline_actors::pipeline::map_keys;

/// Where the page has the keys of a map, by what the map is in messages.
const HEADINGS: [(&str, &str); 16] = [
    ("a pipeline", "## Pipeline"),
    ("the events of a pipeline", "### Events"),
    ("suppress", "## Suppression"),
    ("max_hosts", "### Most hosts"),
    ("auto_pause", "### Pausing itself"),
    ("a job", "## Job"),
    ("a step", "## Step"),
    ("for_each", "### Steps over a list"),
    ("a retry", "### Trying again"),
    ("a step of finally", "### Steps for the end"),
    ("a named job", "## Named job"),
    ("a parameter", "### Parameters"),
    ("a test", "## Tests"),
    ("an event of a test", "### Events of a test"),
    ("the host of a test", "### Hosts of a test"),
    ("an expectation", "### Expectations"),
];

fn reference() -> Page {
    page("docs/pipelines.md")
}

/// What stands between backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The keys in the first cells of the table under a heading.
fn keys_under(heading: &str) -> Vec<String> {
    let rows = reference().table(heading);
    // Header and rule.
    let rows = rows.iter().skip(2);
    rows.filter_map(|row| quoted(row).next().map(str::to_owned))
        .collect()
}

/// The keys that are said to come later, under a heading.
fn later_under(heading: &str) -> BTreeSet<String> {
    let text = reference().text;
    let (_, section) = text.split_once(&format!("\n{heading}\n")).unwrap();
    let section = section.split("\n#").next().unwrap();
    let Some((_, rest)) = section.split_once("Not supported yet:") else {
        return BTreeSet::new();
    };
    let sentence = rest.split_once('.').unwrap().0;
    quoted(sentence).map(str::to_owned).collect()
}

#[test]
fn the_reference_has_every_key_of_every_map_and_no_others() {
    let maps = map_keys();
    for map in &maps {
        let heading = HEADINGS.iter().find(|(what, _)| *what == map.what);
        let (_, heading) =
            heading.unwrap_or_else(|| panic!("say here where the page has the keys of {}", map.what));
        let keys = keys_under(heading);
        let said: BTreeSet<&str> = keys.iter().map(String::as_str).collect();
        assert_eq!(said.len(), keys.len(), "{heading} names a key twice");
        let known: BTreeSet<&str> = map.keys.iter().copied().collect();
        assert_eq!(said, known, "{heading}, left, against {}", map.what);
        let later: BTreeSet<String> = map.later.iter().map(|key| (*key).to_owned()).collect();
        assert_eq!(
            later_under(heading),
            later,
            "not supported yet, {heading}, left, against {}",
            map.what
        );
    }
    assert_eq!(maps.len(), HEADINGS.len(), "a heading is of no map");
}
