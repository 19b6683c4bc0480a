//! Metrics: the table of the code, the places that count, and the page about them say the same.

use crate::pages::{page, sources};
use std::collections::{BTreeMap, BTreeSet};
use tripline::metric::{self, Values};

/// A use of a macro of the crate `metrics`.
#[derive(Debug)]
struct Use {
    path: String,
    kind: &'static str,
    name: String,
    /// Labels, with their value where it is written there.
    labels: BTreeMap<String, Option<String>>,
}

/// Up to the parenthesis that closes the one before `text`.
fn arguments(text: &str) -> &str {
    let mut open = 1;
    for (index, letter) in text.char_indices() {
        match letter {
            '(' => open += 1,
            ')' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return &text[..index];
        }
    }
    panic!("not closed: {}", text.lines().next().unwrap_or_default());
}

/// The text between quotes that `text` begins with.
fn literal(text: &str) -> Option<&str> {
    text.trim_start().strip_prefix('"')?.split('"').next()
}

fn read(path: &str, kind: &'static str, arguments: &str) -> Use {
    let name = literal(arguments).unwrap_or_else(|| panic!("{path}: a metric without a literal name"));
    let labels = arguments.split("=>").collect::<Vec<_>>();
    let labels = labels.windows(2).map(|pair| {
        let label = pair[0].trim_end().trim_end_matches('"').rsplit('"').next();
        let value = literal(pair[1]).map(str::to_owned);
        (label.unwrap().to_owned(), value)
    });
    Use {
        path: path.to_owned(),
        kind,
        name: name.to_owned(),
        labels: labels.collect(),
    }
}

/// Every place that counts.
fn uses() -> Vec<Use> {
    let mut uses = Vec::new();
    for (path, text) in ["src", "actors/src"].into_iter().flat_map(sources) {
        // That one is the table.
        if path.starts_with("src/metric/") {
            continue;
        }
        for kind in ["counter", "gauge", "histogram"] {
            let start = format!("metrics::{kind}!(");
            let parts = text.split(&start).skip(1);
            uses.extend(parts.map(|rest| read(&path, kind, arguments(rest))));
        }
    }
    assert!(uses.len() > 80, "only {} uses were found", uses.len());
    uses
}

#[test]
fn what_is_counted_is_in_the_table_of_metrics_and_the_other_way_round() {
    let mut counted = BTreeSet::new();
    for used in uses() {
        let metric = metric::of(&used.name)
            .unwrap_or_else(|| panic!("{}: {} is not in src/metric", used.path, used.name));
        assert_eq!(metric.kind.as_str(), used.kind, "{}: {}", used.path, used.name);
        let labels: BTreeSet<&str> = metric.labels.iter().map(|label| label.name).collect();
        let written: BTreeSet<&str> = used.labels.keys().map(String::as_str).collect();
        assert_eq!(written, labels, "{}: {}", used.path, used.name);
        for (label, value) in &used.labels {
            let values = metric.label(label).map(|label| label.values);
            if let (Some(value), Some(Values::Listed(values))) = (value, values) {
                assert!(
                    values.contains(&&**value),
                    "{}: {}: {value}",
                    used.path,
                    used.name
                );
            }
        }
        counted.insert(used.name);
    }
    let table: BTreeSet<String> = metric::all().map(|metric| metric.name.to_owned()).collect();
    assert_eq!(table, counted);
}

#[test]
fn every_use_of_the_macros_is_seen() {
    for (path, text) in ["src", "actors/src"].into_iter().flat_map(sources) {
        for kind in ["counter!(", "gauge!(", "histogram!("] {
            let full = format!("metrics::{kind}");
            let bare = text.matches(kind).count() - text.matches(&format!("describe_{kind}")).count();
            assert_eq!(bare, text.matches(&full).count(), "{path}: write {full}");
        }
    }
}

/// Texts in quotes right behind `before`, from `from` to the end of that item.
fn words(path: &str, from: &str, before: &str) -> BTreeSet<String> {
    let text = page(path).text;
    let text = match text.split_once(from) {
        Some((_, rest)) if !from.is_empty() => rest.split("\n}\n").next().unwrap().to_owned(),
        Some(_) => text.split("#[cfg(test)]\nmod tests {").next().unwrap().to_owned(),
        None => panic!("{path} has no {from}"),
    };
    let words = text.split(before).skip(1).filter_map(literal);
    let words: BTreeSet<String> = words.map(str::to_owned).collect();
    assert!(!words.is_empty(), "{path}: nothing behind {before}");
    words
}

/// Where the values of a label come from: a file, an item in it, and what stands before a value.
type Source = (&'static str, &'static str, &'static str);

/// Labels whose values are not written where they are counted. What is left out is no value of theirs.
const SOURCES: [(&str, &str, &[Source], &[&str]); 11] = [
    (
        "tripline_router_withheld_total",
        "reason",
        &[("actors/src/router/withheld/mod.rs", "reasons! {", "= ")],
        &[],
    ),
    (
        "tripline_scheduler_queue_full_total",
        "limit",
        &[("actors/src/scheduler/state.rs", "impl Full {", "=> ")],
        &[
            "too many jobs of this host wait",
            "too many jobs of this pipeline wait",
            "too many jobs wait",
        ],
    ),
    (
        "tripline_admission_refused_total",
        "reason",
        &[
            ("actors/src/ground.rs", "", "full("),
            ("actors/src/directory/count.rs", "", "\"reason\" => "),
        ],
        &[],
    ),
    (
        "tripline_scheduler_jobs_ended_total",
        "outcome",
        &[("protocol/src/job.rs", "impl Outcome {", "=> ")],
        &[],
    ),
    (
        "tripline_slot_commands_total",
        "state",
        &[("protocol/src/session.rs", "impl CommandState {", "=> ")],
        &["pending", "running"],
    ),
    (
        "tripline_littlebrother_events_ignored_total",
        "reason",
        &[
            ("protocol/src/littlebrother/message.rs", "impl Ignored {", "=> "),
            ("actors/src/host/littlebrother/changes.rs", "impl Oddity {", "=> "),
        ],
        &[],
    ),
    (
        "tripline_ingest_dead_total",
        "reason",
        &[
            ("actors/src/ingest/intake.rs", "", "reason: "),
            ("actors/src/router/decide.rs", "", "STALE: &str = "),
            ("actors/src/service/route.rs", "", "NOT_TAKEN: &str = "),
            ("actors/src/service/calls.rs", "fn letter(", "=> "),
            ("actors/src/router/decide.rs", "", "reason: "),
            ("actors/src/pipeline/render_error.rs", "pub fn code", "=> "),
            ("protocol/src/event.rs", "pub const fn reason", "=> "),
        ],
        &[],
    ),
    (
        "tripline_door_refused_total",
        "door",
        &[("actors/src/core/doors.rs", "", "Door::new(")],
        &[],
    ),
    (
        "tripline_actor_panics_total",
        "actor",
        &[
            ("actors/src/core/generation.rs", "", "guard("),
            ("actors/src/directory/mod.rs", "", "\"actor\" => "),
        ],
        &[],
    ),
    (
        "tripline_artifact_partials_dropped_total",
        "reason",
        &[
            ("actors/src/artifact/partial.rs", "", "drop_partial(&kept, "),
            ("actors/src/artifact/partial.rs", "", "drop_oldest_partial("),
            ("actors/src/artifact/mod.rs", "", "drop_oldest_partial("),
        ],
        &[],
    ),
    (
        "tripline_agent_channel_ends_total",
        "reason",
        &[
            ("src/http/agent_channel/closing.rs", "pub(super) fn word", "=> "),
            ("src/http/agent_channel/mod.rs", "", "End::Told("),
            ("src/http/agent_channel/connection.rs", "", "End::Told("),
            ("actors/src/host/mod.rs", "", "close_link("),
            ("actors/src/host/watcher.rs", "", "close_link("),
            ("actors/src/directory/forget.rs", "", "Leave("),
            ("actors/src/core/generation.rs", "", "retire("),
        ],
        &[],
    ),
];

#[test]
fn the_listed_values_of_labels_are_those_of_the_code() {
    for (name, label, sources, left_out) in SOURCES {
        let words: BTreeSet<String> = sources
            .iter()
            .flat_map(|(path, from, before)| words(path, from, before))
            .filter(|word| !left_out.contains(&word.as_str()))
            .collect();
        let found = metric::of(name).and_then(|metric| metric.label(label));
        let Some(Values::Listed(values)) = found.map(|label| label.values) else {
            panic!("{name} has no listed values of {label}");
        };
        let values: BTreeSet<String> = values.iter().map(|value| (*value).to_owned()).collect();
        assert_eq!(words, values, "{name}: {label}");
    }
}

#[test]
fn the_tables_of_the_page_about_metrics_are_the_codes() {
    let page = page("docs/metrics.md");
    let mut wrong = String::new();
    for group in metric::GROUPS {
        let (heading, table) = (format!("### {}\n", group.title), group.to_markdown());
        // Nothing else between a heading and the next one.
        if !page.text.contains(&format!("\n{heading}\n{table}")) {
            wrong.push_str(&format!("{heading}\n{table}\n"));
        }
    }
    assert!(wrong.is_empty(), "put this into docs/metrics.md:\n{wrong}");
    let tables = page.text.lines().filter(|line| line.starts_with("| metric |"));
    assert_eq!(tables.count(), metric::GROUPS.len());
}
