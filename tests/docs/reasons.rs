//! Reasons of fan-outs and of their hosts: the tables of the page are those of the code.

use crate::constants::Constants;
use crate::pages::{page, sources};
use std::collections::BTreeSet;

const PAGE: &str = "docs/fanouts.md";

/// What is called with a reason's code, and which argument that is.
const CALLS: [(&str, usize); 3] = [("Reason::new(", 0), ("over(", 1), ("ends(", 1)];

/// Up to the parenthesis that closes the one before `text`.
fn arguments(text: &str) -> &str {
    let mut open = 1;
    let end = text.find(|letter: char| {
        open += i32::from(letter == '(') - i32::from(letter == ')');
        open == 0
    });
    &text[..end.expect("not closed")]
}

/// The code that an argument is: a word in quotes, or a constant of `code`. One that is computed is none.
fn reason(code: &str, argument: &str) -> Option<String> {
    if let Some(word) = argument.strip_prefix('"') {
        return word.strip_suffix('"').map(str::to_owned);
    }
    let (_, rest) = code.split_once(&format!("const {argument}: &str = \""))?;
    Some(rest.split('"').next()?.to_owned())
}

/// The codes that the fan-outs give, and those of jobs that cannot be made.
fn of_the_code() -> BTreeSet<String> {
    let own: Vec<(String, String)> = Constants::sources()
        .into_iter()
        .filter(|(path, _)| path.starts_with("actors/src/fanout/"))
        .collect();
    let all: String = own.iter().map(|(_, code)| code.as_str()).collect();
    let mut codes = BTreeSet::new();
    for (_, code) in &own {
        for (call, index) in CALLS {
            let given = code
                .split(call)
                .skip(1)
                .filter_map(|rest| arguments(rest).split(',').nth(index));
            codes.extend(given.filter_map(|argument| reason(&all, argument.trim())));
        }
    }
    let errors = sources("actors/src/pipeline");
    let (_, errors) = errors
        .iter()
        .find(|(path, _)| path.ends_with("/render_error.rs"))
        .unwrap();
    let (_, of_errors) = errors.split_once("pub fn code(&self)").unwrap();
    let (of_errors, _) = of_errors.split_once("\n    }\n").unwrap();
    codes.extend(of_errors.split('"').skip(1).step_by(2).map(str::to_owned));
    codes
}

/// The words in back quotes of one column of a table of the page.
fn words(heading: &str, column: usize) -> BTreeSet<String> {
    let rows = page(PAGE).table(heading);
    let cells = rows.iter().skip(2).filter_map(|row| row.split('|').nth(column));
    cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_reason_of_a_fan_out_and_its_hosts_is_in_one_of_the_tables_and_no_other() {
    let code = of_the_code();
    assert!(code.len() > 20, "only {code:?} were found");
    let hosts = words("### Why", 1);
    let mut fanouts = words("## Where it is", 2);
    // The field that has them.
    fanouts.remove("reason");
    let documented: BTreeSet<String> = hosts.union(&fanouts).cloned().collect();
    assert_eq!(documented, code);
}

#[test]
fn the_states_in_the_table_of_reasons_are_states_of_hosts() {
    let states = words("## The outcome of each host", 1);
    let used = words("### Why", 2);
    assert!(
        used.len() > 4 && used.is_subset(&states),
        "{used:?} of {states:?}"
    );
}
