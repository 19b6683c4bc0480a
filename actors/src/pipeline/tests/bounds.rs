//! Bounds of rules: as much is taken, and what is one more is refused.

use super::events::file;
use crate::pipeline::{RuleSet, SourceFile};
use std::fs;

/// Problems of one pipeline with this text.
fn problems_of(text: &str) -> Vec<String> {
    match RuleSet::parse(&[file("p.yaml", text)], &[]) {
        Ok(_) => Vec::new(),
        Err(invalid) => invalid
            .problems
            .into_iter()
            .map(|problem| problem.message)
            .collect(),
    }
}

#[test]
fn etypes_steps_and_expressions_are_taken_up_to_their_bounds() {
    let on = |count: usize| {
        format!(
            "on: [{}]\n",
            (0..count).map(|n| format!("a{n}, ")).collect::<String>()
        )
    };
    let orgs = |count: usize| on(count).replacen("on", "orgs", 1);
    let steps = |count: usize| format!("job: {{ steps: [{}] }}\n", "list_processes: {}, ".repeat(count));
    let path = |expression: String| {
        format!("job: {{ steps: [ delete_file: {{ path: \"{{{{{expression}}}}}\" }} ] }}\n")
    };
    let padded = |bytes: usize| path(format!("event.data.{:a>1$}", "", bytes - "event.data.".len()));
    let joined = |joins: usize| path(format!("event.data.a{}", "~'x'".repeat(joins)));
    let plain = || on(1);
    let cases = [
        (on(256) + &steps(1), on(257) + &steps(1), "expected 1 to 256"),
        (
            plain() + "events: { max_age: 7d }\n" + &steps(1),
            plain() + "events: { max_age: 168h 1s }\n" + &steps(1),
            "expected at most 7d",
        ),
        (
            plain() + &orgs(256) + &steps(1),
            plain() + &orgs(257) + &steps(1),
            "257 orgs, expected 1 to 256",
        ),
        (plain() + &steps(64), plain() + &steps(65), "64"),
        (
            plain() + &padded(1024),
            plain() + &padded(1025),
            "1025 bytes, at most 1024",
        ),
        (
            plain() + &joined(16),
            plain() + &joined(17),
            "more than 16 of ~ and +",
        ),
    ];
    for (most, more, says) in cases {
        assert_eq!(problems_of(&format!("name: p\n{most}")), Vec::<String>::new());
        let problems = problems_of(&format!("name: p\n{more}"));
        assert!(
            problems.iter().any(|problem| problem.contains(says)),
            "{says}: {problems:?}"
        );
    }
}

#[test]
fn so_many_problems_are_told_and_the_others_counted() {
    let bad = |count: usize| {
        let files: Vec<SourceFile> = (0..count)
            .map(|n| file(&format!("{n}.yaml"), "nam: p\n"))
            .collect();
        let one = RuleSet::parse(&files[..1], &[])
            .map(drop)
            .unwrap_err()
            .problems
            .len();
        let invalid = RuleSet::parse(&files, &[]).map(drop).unwrap_err();
        (one * count, invalid.problems.len(), invalid.omitted)
    };
    let (all, told, omitted) = bad(1_001);
    assert_eq!((told, omitted), (1_000, all - 1_000));
}

#[test]
fn a_folder_has_so_many_files() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..10_000 {
        fs::write(folder.path().join(format!("{number}.yaml")), "").unwrap();
    }
    let says_too_many = || {
        let invalid = RuleSet::load(Some(folder.path()), None).map(drop).err();
        invalid.is_some_and(|invalid| invalid.problems[0].message.contains("at most 10000 are taken"))
    };
    assert!(!says_too_many());
    fs::write(folder.path().join("one-more.yaml"), "").unwrap();
    assert!(says_too_many());
}
