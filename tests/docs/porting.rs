//! `docs/porting.md`: every method of the platform's traits has its promise there, and no other is named.

use crate::pages::page;
use std::collections::BTreeSet;

/// Where the traits are.
const SOURCES: [&str; 2] = ["agent/src/platform/mod.rs", "agent/src/platform/isolation.rs"];

/// The methods of each trait in a source, as the page names them: those of `Platform` alone, others behind their trait.
fn methods(source: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut within = None;
    for line in source.lines() {
        if let Some(rest) = line.strip_prefix("pub trait ") {
            within = rest.split([':', ' ']).next();
        } else if line == "}" {
            within = None;
        }
        let name = line
            .strip_prefix("    fn ")
            .and_then(|rest| rest.split('(').next());
        match (within, name) {
            (Some("Platform"), Some(name)) => found.insert(name.to_owned()),
            (Some(of), Some(name)) => found.insert(format!("{of}::{name}")),
            _ => false,
        };
    }
    found
}

#[test]
fn every_method_of_the_platforms_traits_has_its_promise() {
    let code: BTreeSet<String> = SOURCES
        .iter()
        .flat_map(|path| methods(&page(path).text))
        .collect();
    assert!(code.len() > 40, "only {} methods were found", code.len());
    let rows = page("docs/porting.md").table("### What each method promises");
    let first_cells = rows.iter().filter_map(|row| row.split('|').nth(1));
    let promised: BTreeSet<String> = first_cells
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(promised, code);
}

#[test]
fn methods_are_found_in_traits_and_nowhere_else() {
    let source = "pub trait Platform: Send {\n    fn a(&self);\n}\nimpl Platform for X {\n    fn b(&self) {}\n}\npub trait T {\n    fn c();\n}\n";
    assert_eq!(
        methods(source),
        BTreeSet::from(["a".to_owned(), "T::c".to_owned()])
    );
}
