//! Every metric of the server: its kind, labels, unit and meaning, and what to do about it.
//!
//! This is the one table. `# HELP` of `/metrics` and the tables of `docs/metrics.md` are made from it, and a test holds
//! it to the places that count. Deliberately not here: counting, which the parts do where it happens, and the text
//! format (`crate::http::metrics`).

mod edges;
mod events;
mod health;
mod hosts;
mod jobs;
mod keeping;
mod limacharlie;
mod littlebrother;
mod services;
mod tracing;

use std::fmt::Write;

/// How a metric's numbers are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows, from 0 at the start of the process.
    Counter,
    /// It is what it is now.
    Gauge,
    /// It counts how often a value lay below each of some bounds.
    Histogram,
}

impl Kind {
    /// The word of Prometheus' text format.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// Which values a label can have. There is no label without a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Values {
    /// These and no others.
    Listed(&'static [&'static str]),
    /// What they are, and how many at most.
    AtMost(&'static str, usize),
}

/// A label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Label {
    /// Its name.
    pub name: &'static str,
    /// Its values.
    pub values: Values,
}

/// A metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// `tripline_<component>_<noun>_<unit>[_total]`
    pub name: &'static str,
    /// How it is to be read.
    pub kind: Kind,
    /// What it counts or measures in.
    pub unit: &'static str,
    /// What tells its series apart.
    pub labels: &'static [Label],
    /// What it says.
    pub help: &'static str,
    /// What to do about it.
    pub act: &'static str,
    /// Whether it is shown only once its value is known: 0 would be a lie.
    pub when_known: bool,
}

impl Metric {
    const fn new(kind: Kind, (name, unit): (&'static str, &'static str), help: &'static str) -> Self {
        Self {
            name,
            kind,
            unit,
            labels: &[],
            help,
            act: "",
            when_known: false,
        }
    }

    const fn act(self, act: &'static str) -> Self {
        Self { act, ..self }
    }

    const fn by(self, labels: &'static [Label]) -> Self {
        Self { labels, ..self }
    }

    const fn when_known(self) -> Self {
        Self {
            when_known: true,
            ..self
        }
    }

    /// The label of this name.
    pub fn label(&self, name: &str) -> Option<&'static Label> {
        self.labels.iter().find(|label| label.name == name)
    }
}

const fn counter(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric::new(Kind::Counter, (name, unit), help)
}

const fn gauge(name: &'static str, unit: &'static str, help: &'static str) -> Metric {
    Metric::new(Kind::Gauge, (name, unit), help)
}

const fn seconds(name: &'static str, help: &'static str) -> Metric {
    Metric::new(Kind::Histogram, (name, "seconds"), help)
}

const fn label(name: &'static str, values: &'static [&'static str]) -> Label {
    Label {
        name,
        values: Values::Listed(values),
    }
}

const fn label_at_most(name: &'static str, what: &'static str, max: usize) -> Label {
    Label {
        name,
        values: Values::AtMost(what, max),
    }
}

/// Metrics that an operator looks at together.
#[derive(Debug, Clone, Copy)]
pub struct Group {
    /// The heading in `docs/metrics.md`.
    pub title: &'static str,
    /// In the order of the page.
    pub metrics: &'static [Metric],
}

/// All of them, in the order of the page.
pub const GROUPS: &[Group] = &[
    health::HEALTH,
    events::EVENTS,
    jobs::JOBS,
    jobs::FANOUTS,
    jobs::SESSIONS,
    hosts::HOSTS,
    hosts::TRANSFERS,
    littlebrother::LITTLEBROTHER,
    limacharlie::LIMACHARLIE,
    services::SERVICES,
    keeping::OUTBOX,
    keeping::STORE,
    keeping::AUDIT,
    edges::HTTP,
    tracing::TRACES,
];

/// Every metric.
pub fn all() -> impl Iterator<Item = &'static Metric> {
    GROUPS.iter().flat_map(|group| group.metrics)
}

/// The metric of this name.
pub fn of(name: &str) -> Option<&'static Metric> {
    all().find(|metric| metric.name == name)
}

impl Group {
    /// Its table in `docs/metrics.md`.
    pub fn to_markdown(self) -> String {
        let mut text =
            "| metric | kind | labels | unit | what it says | what to do |\n| --- | --- | --- | --- | --- | --- |\n"
                .to_owned();
        for metric in self.metrics {
            let labels: Vec<String> = metric.labels.iter().copied().map(Label::to_markdown).collect();
            // Writing to a text cannot fail.
            let _ = writeln!(
                text,
                "| `{}` | {} | {} | {} | {} | {} |",
                metric.name,
                metric.kind.as_str(),
                labels.join("; "),
                metric.unit,
                metric.help,
                metric.act
            );
        }
        text
    }
}

impl Label {
    fn to_markdown(self) -> String {
        match self.values {
            Values::Listed(values) => {
                let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
                format!("`{}`: {}", self.name, values.join(", "))
            }
            Values::AtMost(what, max) => format!("`{}`: {what}, at most {max}", self.name),
        }
    }
}

/// Every combination of the values of `labels`; none when they are not listed.
fn combinations(labels: &'static [Label]) -> Vec<Vec<metrics::Label>> {
    let mut all = vec![Vec::new()];
    for label in labels {
        let Values::Listed(values) = label.values else {
            return Vec::new();
        };
        all = all
            .iter()
            .flat_map(|before: &Vec<metrics::Label>| {
                values.iter().map(|value| {
                    let mut one = before.clone();
                    one.push(metrics::Label::from_static_parts(label.name, value));
                    one
                })
            })
            .collect();
    }
    all
}

/// Tells the installed recorder what each metric means, and shows every series that is known beforehand as 0: a rule
/// such as `increase(…[5m]) > 0` does not see the step from no series at all to 1.
pub(crate) fn describe() {
    for metric in all() {
        let series = match metric.when_known {
            true => Vec::new(),
            false => combinations(metric.labels),
        };
        match metric.kind {
            Kind::Counter => {
                metrics::describe_counter!(metric.name, metric.help);
                for labels in series {
                    metrics::counter!(metric.name, labels).increment(0);
                }
            }
            Kind::Gauge => {
                metrics::describe_gauge!(metric.name, metric.help);
                for labels in series {
                    metrics::gauge!(metric.name, labels).increment(0.0);
                }
            }
            Kind::Histogram => {
                metrics::describe_histogram!(metric.name, metric.help);
                for labels in series {
                    drop(metrics::histogram!(metric.name, labels));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_metric_is_named_once_by_the_rules_of_names_and_says_everything() {
        let mut names = BTreeSet::new();
        for metric in all() {
            let name = metric.name;
            assert!(names.insert(name), "{name} twice");
            assert!(name.starts_with("tripline_"), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert_eq!(
                metric.kind == Kind::Histogram,
                name.ends_with("_seconds") && metric.unit == "seconds" && metric.kind == Kind::Histogram,
                "{name}"
            );
            for text in [metric.unit, metric.help, metric.act] {
                assert!(
                    !text.is_empty() && !text.contains(['|', '\n']),
                    "{name}: {text:?}"
                );
            }
        }
        assert!(names.len() > 70, "{}", names.len());
    }

    #[test]
    fn every_label_has_a_bound() {
        for metric in all() {
            for label in metric.labels {
                match label.values {
                    Values::Listed(values) => {
                        let distinct: BTreeSet<_> = values.iter().collect();
                        assert_eq!(distinct.len(), values.len(), "{}", metric.name);
                        assert!(!values.is_empty(), "{}", metric.name);
                    }
                    Values::AtMost(what, max) => {
                        assert!(!what.is_empty() && (1..=1000).contains(&max), "{}", metric.name);
                    }
                }
            }
        }
    }

    #[test]
    fn series_are_all_combinations_and_none_of_labels_that_are_not_listed() {
        const TWO: &[Label] = &[label("a", &["1", "2"]), label("b", &["x", "y", "z"])];
        const OPEN: &[Label] = &[label("a", &["1", "2"]), label_at_most("b", "names", 9)];
        assert_eq!(combinations(TWO).len(), 6);
        assert_eq!(combinations(&[]), [Vec::new()]);
        assert!(combinations(OPEN).is_empty());
    }
}
