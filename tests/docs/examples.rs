//! The page about the library: its tables name what is in the folders, with parameters, etypes and jobs as they are.

use crate::pages::{page, root};
use std::collections::BTreeMap;
use tripline_actors::pipeline::RuleSet;

fn rules() -> RuleSet {
    let examples = root().join("examples");
    RuleSet::load(Some(&examples.join("pipelines")), Some(&examples.join("jobs"))).unwrap()
}

/// The words in code of each cell, of the table under this heading, by the first of its row.
fn table(heading: &str) -> BTreeMap<String, Vec<Vec<String>>> {
    let text = page("docs/examples.md").text;
    let section = text.split("\n## ").find(|section| section.starts_with(heading));
    let section = section.unwrap_or_else(|| panic!("no section {heading}"));
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    let in_code = |cell: &str| -> Vec<String> {
        let words = cell.split('`').skip(1).step_by(2);
        words.map(str::to_owned).collect()
    };
    rows.map(|row| {
        let cells: Vec<Vec<String>> = row.trim_matches('|').split(" | ").map(in_code).collect();
        (cells[0][0].clone(), cells)
    })
    .collect()
}

/// The names below `params` of a file with one named job.
fn parameters(file: &str) -> Vec<String> {
    let path = root().join("examples/jobs").join(file);
    let text = std::fs::read_to_string(path).unwrap();
    let below = text.lines().skip_while(|line| *line != "params:").skip(1);
    let below = below.take_while(|line| line.starts_with(' '));
    let names = below.filter_map(|line| line.strip_prefix("  ")?.split_once(':'));
    names
        .map(|(name, _)| name.to_owned())
        .filter(|name| !name.starts_with(' '))
        .collect()
}

#[test]
fn every_named_job_of_the_library_is_listed_with_its_parameters() {
    let rules = rules();
    let mut listed = table("Named jobs");
    for job in rules.named_jobs() {
        let name = job.name().to_string();
        let cells = listed
            .remove(&name)
            .unwrap_or_else(|| panic!("{name} is not listed"));
        let mut parameters = parameters(job.file());
        let mut named = cells[1].clone();
        parameters.sort();
        named.sort();
        assert_eq!(named, parameters, "{name}");
    }
    assert!(listed.is_empty(), "there are none of these: {:?}", listed.keys());
}

#[test]
fn every_pipeline_of_the_library_is_listed_with_its_etypes_and_its_job() {
    let rules = rules();
    let mut listed = table("Pipelines");
    for pipeline in rules.pipelines() {
        let (name, view) = (pipeline.name().to_string(), pipeline.view());
        let cells = listed
            .remove(&name)
            .unwrap_or_else(|| panic!("{name} is not listed"));
        assert_eq!(cells[1], view.on, "{name}");
        let job = view.job.to_string();
        let own = job == name;
        assert_eq!(cells[2], if own { Vec::new() } else { vec![job] }, "{name}");
    }
    assert!(listed.is_empty(), "there are none of these: {:?}", listed.keys());
}
