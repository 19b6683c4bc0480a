//! Dashboard and alerts: what they ask for exists, and every panel can be read.

use crate::pages::root;
use serde_json::Value;
use std::collections::BTreeSet;
use tripline::metric::{self, Kind, Metric, Values};

/// Labels that Prometheus adds to every series.
const ADDED: [&str; 2] = ["instance", "job"];

/// Words of PromQL that are used; another one is added here after a look at its manual.
const WORDS: [&str; 19] = [
    "and",
    "by",
    "deriv",
    "histogram_quantile",
    "increase",
    "max",
    "max_over_time",
    "min",
    "min_over_time",
    "offset",
    "on",
    "or",
    "predict_linear",
    "rate",
    "sum",
    "time",
    "topk",
    "unless",
    "up",
];

/// A piece of an expression.
#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(char),
}

fn tokens(expression: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = expression.chars().peekable();
    while let Some(letter) = rest.next() {
        if letter == '"' {
            let text: String = rest.by_ref().take_while(|next| *next != '"').collect();
            tokens.push(Token::Text(text));
        } else if letter.is_ascii_alphabetic() || matches!(letter, '_' | '$') {
            let mut word = letter.to_string();
            while let Some(next) = rest.next_if(|next| next.is_ascii_alphanumeric() || *next == '_') {
                word.push(next);
            }
            tokens.push(Token::Word(word));
        } else if letter.is_ascii_digit() {
            // A number or a span: nothing to check.
            while rest
                .next_if(|next| next.is_ascii_alphanumeric() || *next == '.')
                .is_some()
            {}
        } else if !letter.is_whitespace() {
            tokens.push(Token::Sign(letter));
        }
    }
    tokens
}

/// The metric of a series by this name; a histogram has three, and none by its own name.
fn metric_of(series: &str) -> Option<&'static Metric> {
    let part = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|suffix| series.strip_suffix(suffix));
    match part.and_then(metric::of) {
        Some(metric) if metric.kind == Kind::Histogram => Some(metric),
        _ => metric::of(series).filter(|metric| metric.kind != Kind::Histogram),
    }
}

/// Checks an expression; the labels that its series have.
fn check(expression: &str) -> Result<BTreeSet<&'static str>, String> {
    let tokens = tokens(expression);
    let mut labels = BTreeSet::from(ADDED);
    let mut metrics = 0;
    for (index, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        if !word.starts_with("tripline_") {
            continue;
        }
        metrics += 1;
        let metric = metric_of(word).ok_or_else(|| format!("there is no {word}"))?;
        labels.extend(metric.labels.iter().map(|label| label.name));
        if word.ends_with("_bucket") {
            labels.insert("le");
        }
        let before = index.checked_sub(2).map(|at| &tokens[at]);
        let counts = matches!(before, Some(Token::Word(word)) if matches!(&**word, "rate" | "increase"));
        // One that is there at once with what it counted has no increase: it is asked for as what was not there before.
        let appears = expression.contains(" unless ") && expression.contains(" offset ");
        if counts != (metric.kind != Kind::Gauge) && !(appears && metric.kind == Kind::Counter) {
            return Err(format!("{word} is a {}", metric.kind.as_str()));
        }
    }
    let mut open = Vec::new();
    for (index, token) in tokens.iter().enumerate() {
        match token {
            Token::Sign(sign @ ('(' | '{' | '[')) => open.push(*sign),
            Token::Sign(')') if open.pop() != Some('(') => return Err("parentheses".to_owned()),
            Token::Sign('}') if open.pop() != Some('{') => return Err("braces".to_owned()),
            Token::Sign(']') if open.pop() != Some('[') => return Err("brackets".to_owned()),
            Token::Word(word) if open.last() == Some(&'{') => selects(&tokens, index, word, &labels)?,
            Token::Word(word) if !word.starts_with("tripline_") && !word.starts_with('$') => {
                let known = WORDS.contains(&&**word) || labels.contains(&**word);
                if !known {
                    return Err(format!("{word} is neither a label of it nor a word of PromQL"));
                }
            }
            _ => {}
        }
    }
    match (open.is_empty(), metrics > 0 || expression.contains("up{")) {
        (true, true) => Ok(labels),
        (false, _) => Err("something is not closed".to_owned()),
        (true, false) => Err("it asks for no metric".to_owned()),
    }
}

/// A label in braces, and its value where that is compared as it is.
fn selects(tokens: &[Token], index: usize, label: &str, labels: &BTreeSet<&str>) -> Result<(), String> {
    if !labels.contains(label) {
        return Err(format!("no metric of it has the label {label}"));
    }
    let (value, by_pattern) = match tokens.get(index + 1..) {
        Some([Token::Sign('='), Token::Text(value), ..]) => (value, false),
        Some([Token::Sign('!'), Token::Sign('='), Token::Text(value), ..]) => (value, false),
        Some([Token::Sign(_), Token::Sign('~'), Token::Text(value), ..]) => (value, true),
        other => return Err(format!("{label} is compared with {other:?}")),
    };
    let listed = metric::all().filter_map(|metric| metric.label(label));
    let unknown = |values: &Values| matches!(values, Values::Listed(values) if !values.contains(&&**value));
    let mut listed = listed.map(|label| label.values).peekable();
    if !by_pattern && listed.peek().is_some() && listed.all(|values| unknown(&values)) {
        return Err(format!("{label} is never {value}"));
    }
    Ok(())
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&read("docs/grafana/tripline.json")).unwrap()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

#[test]
fn every_panel_asks_for_metrics_and_labels_that_exist_and_says_what_it_shows() {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut ids = BTreeSet::new();
    let mut places = BTreeSet::new();
    for panel in panels {
        let title = text(panel, "title");
        assert!(!title.is_empty(), "a panel without a title: {panel}");
        assert!(
            ids.insert(panel["id"].as_u64().unwrap()),
            "{title}: its id is taken"
        );
        let place = &panel["gridPos"];
        let place = (place["y"].as_u64().unwrap(), place["x"].as_u64().unwrap());
        assert!(places.insert(place), "{title}: its place is taken");
        if panel["type"] == "row" {
            continue;
        }
        assert!(!text(panel, "description").is_empty(), "{title} says nothing");
        let unit = panel["fieldConfig"]["defaults"]["unit"].as_str();
        assert!(unit.is_some_and(|unit| !unit.is_empty()), "{title} has no unit");
        let targets = panel["targets"].as_array().unwrap();
        assert!(!targets.is_empty(), "{title} asks for nothing");
        for target in targets {
            assert_eq!(text(&target["datasource"], "uid"), "${datasource}", "{title}");
            let labels =
                check(text(target, "expr")).unwrap_or_else(|error| panic!("{title}: {error}\n{target}"));
            for shown in text(target, "legendFormat").split("{{").skip(1) {
                let shown = shown.split("}}").next().unwrap();
                assert!(
                    labels.contains(shown),
                    "{title}: its legend shows {shown}, which is no label"
                );
            }
        }
    }
    assert!(panels.len() > 40, "only {} panels", panels.len());
}

#[test]
fn the_dashboard_has_a_row_for_every_part_and_a_variable_for_its_data_source() {
    let dashboard = dashboard();
    let rows: Vec<&str> = dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|panel| panel["type"] == "row")
        .map(|row| text(row, "title"))
        .collect();
    for part in [
        "Health",
        "Ingest",
        "Jobs",
        "Slots",
        "Outbox",
        "Hosts and agents",
        "Store and disk",
        "HTTP",
        "LittleBrother",
        "Carbon Black",
        "Transfers",
    ] {
        assert!(
            rows.iter().any(|row| row.starts_with(part)),
            "no row {part}: {rows:?}"
        );
    }
    let variables = dashboard["templating"]["list"].as_array().unwrap();
    let is_datasource =
        |variable: &&Value| variable["name"] == "datasource" && variable["type"] == "datasource";
    assert!(variables.iter().any(|variable| is_datasource(&variable)));
    // Provisioned as it is: nothing of it is asked for when it is imported.
    assert!(dashboard.get("__inputs").is_none() && dashboard.get("id").is_none());
    assert!(dashboard["schemaVersion"].as_u64() >= Some(39));
    for variable in variables.iter().filter(|variable| variable["type"] == "query") {
        let query = text(variable, "definition");
        let inner = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.split(',').next());
        assert!(inner.is_some_and(|name| metric_of(name).is_some()), "{query}");
    }
}

#[test]
fn every_alert_asks_for_metrics_and_labels_that_exist_and_says_what_to_do() {
    let rules: Value = serde_saphyr::from_str(&read("docs/grafana/alerts.yaml")).unwrap();
    let mut names = BTreeSet::new();
    for group in rules["groups"].as_array().unwrap() {
        for rule in group["rules"].as_array().unwrap() {
            let name = text(rule, "alert");
            assert!(
                name.starts_with("Tripline") && names.insert(name.to_owned()),
                "{rule}"
            );
            let labels = check(text(rule, "expr")).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert!(
                ["critical", "warning"].contains(&text(&rule["labels"], "severity")),
                "{name}"
            );
            for key in ["summary", "description"] {
                let said = text(&rule["annotations"], key);
                assert!(!said.is_empty(), "{name} has no {key}");
                for shown in said.split("$labels.").skip(1) {
                    let shown: String = shown
                        .chars()
                        .take_while(|letter| letter.is_alphanumeric() || *letter == '_')
                        .collect();
                    assert!(
                        labels.contains(&*shown),
                        "{name}: {shown} is no label of its expression"
                    );
                }
            }
        }
    }
    assert!(names.len() > 10, "only {} alerts", names.len());
}

#[test]
fn an_expression_that_asks_for_what_is_not_there_is_found() {
    for wrong in [
        "sum(tripline_no_such_metric)",
        "sum by (colour) (tripline_outbox_waiting)",
        "tripline_outbox_waiting{reason=\"x\"}",
        "rate(tripline_scheduler_jobs_ended_total{outcome=\"suceeded\"}[5m])",
        "tripline_scheduler_jobs_ended_total",
        "rate(tripline_outbox_waiting[5m])",
        "rate(tripline_store_commit_seconds[5m])",
        "summ(tripline_outbox_waiting)",
        "sum(tripline_outbox_waiting",
        "1 + 1",
    ] {
        assert!(check(wrong).is_err(), "{wrong}");
    }
    assert!(check("sum by (le) (rate(tripline_store_commit_seconds_bucket[5m]))").is_ok());
}
