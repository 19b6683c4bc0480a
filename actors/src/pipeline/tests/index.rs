//! The index over etypes against a look at every pipeline.

use super::events::parse;
use proptest::prelude::*;
use std::fmt::Write;
use tripline_protocol::Etype;

fn word() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a", "b", "c"])
}

fn pattern() -> impl Strategy<Value = String> {
    let token = prop_oneof![3 => word(), 1 => Just("*")];
    (prop::collection::vec(token, 0..4), any::<bool>()).prop_map(|(mut tokens, rest)| {
        if rest || tokens.is_empty() {
            tokens.push(">");
        }
        tokens.join(".")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_index_finds_what_trying_every_pattern_finds(
        pipelines in prop::collection::vec(prop::collection::vec(pattern(), 1..4), 0..8),
        etypes in prop::collection::vec(prop::collection::vec(word(), 1..5), 1..8),
    ) {
        let mut text = String::new();
        for (index, patterns) in pipelines.iter().enumerate() {
            let on = patterns.join("\", \"");
            writeln!(text, "---\nname: p{index}\non: [\"{on}\"]\njob: {{ steps: [ list_processes: {{}} ] }}").unwrap();
        }
        let rules = parse(&text, "").unwrap();
        for etype in etypes {
            let etype: Etype = etype.join(".").parse().unwrap();
            let mut found: Vec<_> = rules.candidates(&etype).map(|pipeline| pipeline.name().clone()).collect();
            found.sort();
            let naive: Vec<_> = rules
                .pipelines()
                .filter(|pipeline| pipeline.patterns().iter().any(|pattern| pattern.matches(&etype)))
                .map(|pipeline| pipeline.name().clone())
                .collect();
            prop_assert_eq!(found, naive, "{}", etype);
        }
    }
}
