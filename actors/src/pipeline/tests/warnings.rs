//! What is legal and most likely a mistake.

use super::events::{file, parse};
use crate::pipeline::{FileProblem, RuleSet};

fn warnings(keys: &str) -> Vec<String> {
    let text = format!("name: p\n{keys}\njob: {{ steps: [ list_processes: {{}} ] }}\n");
    let rules = parse(&text, "").unwrap();
    assert_eq!(rules.warnings().omitted, 0);
    rules
        .warnings()
        .found
        .iter()
        .map(FileProblem::to_string)
        .collect()
}

#[test]
fn a_pipeline_as_it_should_be_has_no_warnings() {
    assert_eq!(
        warnings("enabled: true\non: [a, b.*, \"c.*.d\"]\norgs: [x, y]"),
        [""; 0]
    );
}

#[test]
fn a_disabled_pipeline_is_warned_of_where_it_says_so() {
    assert_eq!(
        warnings("on: a\nenabled: false"),
        ["p.yaml:3:10: the pipeline is disabled: it never acts"]
    );
}

#[test]
fn etypes_and_orgs_that_add_nothing_are_warned_of_once_each() {
    assert_eq!(
        warnings("on: [a.b, c, a.*, c, a.b, \"d.>\", \"d.*.e\"]\norgs: [x, y, x, x]"),
        [
            "p.yaml:2:6: the etype \"a.b\" adds nothing: \"a.*\" covers it",
            "p.yaml:2:19: the etype \"c\" is given twice",
            "p.yaml:2:22: the etype \"a.b\" is given twice",
            "p.yaml:2:34: the etype \"d.*.e\" adds nothing: \"d.>\" covers it",
            "p.yaml:3:14: the org \"x\" is given twice",
            "p.yaml:3:17: the org \"x\" is given twice",
        ]
    );
}

#[test]
fn so_many_warnings_are_told_and_the_others_counted() {
    let files: Vec<_> = (0..1_001)
        .map(|n| {
            let text =
                format!("name: p{n}\non: a\nenabled: false\njob: {{ steps: [ list_processes: {{}} ] }}\n");
            file(&format!("{n}.yaml"), &text)
        })
        .collect();
    let rules = RuleSet::parse(&files, &[]).unwrap();
    assert_eq!(
        (rules.warnings().found.len(), rules.warnings().omitted),
        (1_000, 1)
    );
}
