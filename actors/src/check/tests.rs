//! Every table has a rule.

use super::rules::RULES;

#[test]
fn every_table_has_a_rule_at_its_place() {
    // The tables as their file declares them: `Name = 0x12,`.
    let declared: Vec<(String, u8)> = include_str!("../store/table.rs")
        .lines()
        .filter_map(|line| line.trim().strip_suffix(',')?.split_once(" = 0x"))
        .map(|(name, number)| (name.to_owned(), u8::from_str_radix(number, 16).unwrap()))
        // The store's own, which `Store::chunk_problems` looks at.
        .filter(|(name, _)| name != "Chunk")
        .collect();
    assert!(declared.len() > 30, "{declared:?}");
    let ruled: Vec<(String, u8)> = RULES
        .iter()
        .map(|(table, _)| (format!("{table:?}"), *table as u8))
        .collect();
    assert_eq!(
        ruled, declared,
        "a table without a rule in check/rules.rs, or out of order"
    );
}
