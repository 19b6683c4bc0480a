//! `retry` of a step or a job in a file.

use super::fields::{self, Field, Fields, Form, Shape, Takes};
use super::problem::Problems;
use super::yaml::Node;
use tripline_protocol::step::Retry;

/// How often something is tried, and how long is waited in between.
pub(super) const SHAPE: Shape = Shape::new(
    "a retry",
    &[
        Field::new(
            "attempts",
            Takes::Count(ATTEMPTS_MIN, Retry::ATTEMPTS_MAX),
            "How often at most, the first time counted.",
        )
        .needed(),
        Field::new(
            "backoff",
            Takes::Text(Form::Span),
            "About how long after the first failure; twice as long after each further one.",
        )
        .or("10s"),
        Field::new(
            "backoff_max",
            Takes::Text(Form::Span),
            "The longest, at most 1d; absent: 5m, or `backoff` where that is longer.",
        ),
        Field::new(
            "on",
            Takes::OneOrMany(&Takes::Text(Form::RetryOn), ON_MAX),
            "Of a job only: the outcomes after which it begins anew; absent: both.",
        ),
    ],
    &[],
);

/// Least attempts: with one nothing is tried again.
const ATTEMPTS_MIN: u32 = 2;
/// Most outcomes in `on`: there are no more.
const ON_MAX: usize = 2;

/// Reads it; `of_job`: it may say `on`.
pub(super) fn read(node: &Node, of_job: bool, problems: &mut Problems<'_>) -> Option<Retry> {
    let before = problems.count();
    let fields = Fields::of(node, &SHAPE, problems)?;
    let attempts = fields
        .need("attempts", "how often it is tried", problems)
        .and_then(|node| fields::count(node, ATTEMPTS_MIN..=Retry::ATTEMPTS_MAX, problems));
    let backoff = fields
        .get("backoff")
        .and_then(|node| fields::span(node, problems));
    let backoff_max = fields
        .get("backoff_max")
        .and_then(|node| fields::span(node, problems));
    let on = fields.get("on").and_then(|node| {
        let items = fields::one_or_many(node, "outcomes", ON_MAX, problems)?;
        fields::all_parsed(items, "failed or timed_out", problems)
    });
    if problems.count() > before {
        return None;
    }
    let retry = Retry {
        attempts: attempts?,
        backoff: backoff.unwrap_or(Retry::BACKOFF_DEFAULT),
        backoff_max,
        on: on.unwrap_or_default(),
    };
    match retry.check(of_job) {
        Ok(()) => Some(retry),
        Err(error) => problems.add(node.at, error.to_string()),
    }
}
