//! What is printed: a line for each call, what is not as it should be below, and how it was in all.

use super::caller::{Answered, Outcome};
use super::play::Sent;
use super::verdict::{Judged, Verdict};
use crate::cli::Failure;
use crate::cli::output::{Format, clean, or_dash, print, print_json, table};
use serde::Serialize;
use std::time::Duration;
use tripline_protocol::limacharlie::{Answer, RetryAdvice};

/// Longest text of an answer that a table shows.
const ANSWER_CHARS_MAX: usize = 60;
/// Longest text of an answer in JSON, and of what is wrong with it.
const TEXT_CHARS_MAX: usize = 2_000;

/// One call.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    sent: String,
    status: Option<u16>,
    milliseconds: f64,
    answer: String,
    verdict: Verdict,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<&'static str>,
}

impl Row {
    pub(super) fn new(sent: &Sent, outcome: &Outcome, took: Duration, judged: Judged) -> Self {
        Self {
            sent: sent.name.clone(),
            status: outcome.status(),
            // Microseconds are what such a measurement is good for.
            milliseconds: took.as_micros() as f64 / 1e3,
            answer: cut(&said(outcome), TEXT_CHARS_MAX),
            verdict: judged.verdict,
            why: judged.why.map(|why| cut(&why, TEXT_CHARS_MAX)),
            todo: judged.todo,
        }
    }
}

/// In a few words.
fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Answered(answered) => said_by(answered),
        Outcome::Unreachable(_) => "no connection".to_owned(),
        Outcome::Late => "no answer".to_owned(),
        Outcome::Cut(_) => "cut off".to_owned(),
        Outcome::TooLong => "too long".to_owned(),
    }
}

fn said_by(answered: &Answered) -> String {
    let Ok(answer) = Answer::read(&answered.body) else {
        return match answered.body.len() {
            0 => "nothing".to_owned(),
            bytes => format!("{bytes} bytes that are no answer"),
        };
    };
    let word = match answer.advice() {
        RetryAdvice::Done => "done",
        RetryAdvice::GiveUp => "refused",
        RetryAdvice::Again => "again",
    };
    // Of a traceback, the last line is the exception itself.
    let problem = answer
        .problem()
        .and_then(|text| text.trim_end().lines().next_back());
    let jobs = match answer.jobs.len() {
        0 => String::new(),
        count => format!(", {count} jobs"),
    };
    match problem {
        Some(problem) => format!("{word}: {problem}{jobs}"),
        None => format!("{word}{jobs}"),
    }
}

fn cut(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// All calls.
#[derive(Debug, Default)]
pub(super) struct Report(Vec<Row>);

/// How it was in all.
#[derive(Debug, Serialize)]
struct Summary<'r> {
    ok: usize,
    differs: usize,
    wrong: usize,
    median_milliseconds: f64,
    longest_milliseconds: f64,
    calls: &'r [Row],
}

impl Report {
    pub(super) fn add(&mut self, row: Row) {
        self.0.push(row);
    }

    pub(super) fn wrong(&self) -> usize {
        self.count(Verdict::Wrong)
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|row| row.verdict == verdict).count()
    }

    fn summary(&self) -> Summary<'_> {
        let mut times: Vec<f64> = self.0.iter().map(|row| row.milliseconds).collect();
        times.sort_by(f64::total_cmp);
        Summary {
            ok: self.count(Verdict::Ok),
            differs: self.count(Verdict::Differs),
            wrong: self.wrong(),
            median_milliseconds: times.get(times.len() / 2).copied().unwrap_or_default(),
            longest_milliseconds: times.last().copied().unwrap_or_default(),
            calls: &self.0,
        }
    }

    pub(super) fn print(&self, format: Format) -> Result<(), Failure> {
        match format {
            Format::Json => print_json(&self.summary()),
            Format::Table => print(&self.text()),
        }
    }

    fn text(&self) -> String {
        let rows = self.0.iter().map(|row| {
            [
                row.sent.clone(),
                or_dash(row.status),
                format!("{:.1}", row.milliseconds),
                cut(&row.answer, ANSWER_CHARS_MAX),
                row.verdict.as_str().to_owned(),
            ]
        });
        let mut text = table(["SENT", "STATUS", "MS", "ANSWER", "VERDICT"], rows);
        for row in &self.0 {
            if let Some(why) = &row.why {
                let todo = row.todo.unwrap_or_default();
                let (sent, verdict) = (clean(&row.sent), row.verdict.as_str());
                text.push_str(&format!("\n\n{sent}: {verdict}\n  {}\n  → {todo}", clean(why)));
            }
        }
        let Summary {
            ok,
            differs,
            wrong,
            median_milliseconds,
            longest_milliseconds,
            ..
        } = self.summary();
        let calls = self.0.len();
        text.push_str(&format!(
            "\n\n{calls} calls: {ok} ok, {differs} differ from the reference implementations, {wrong} wrong; \
             median {median_milliseconds:.1} ms, longest {longest_milliseconds:.1} ms"
        ));
        text
    }
}

impl Verdict {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Differs => "differs",
            Self::Wrong => "wrong",
        }
    }
}
