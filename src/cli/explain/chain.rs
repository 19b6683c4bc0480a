//! What an event led to, as a tree: its jobs, their steps, artifacts and results, each with its time and how long after
//! the event it was.

use crate::cli::fanout::counts;
use crate::cli::output::clean;
use crate::cli::watch::step_detail;
use tripline_protocol::Timestamp;
use tripline_protocol::api::{ExplainedJob, ExplainedResult, Explanation, JobView};
use tripline_protocol::fanout::FanoutView;
use tripline_protocol::step::StepReport;

/// Characters of what a step says of itself.
const DETAIL_CHARS_MAX: usize = 200;

/// A line of the tree, with what is below it.
#[derive(Debug, Default)]
struct Node {
    text: String,
    below: Vec<Node>,
}

impl Node {
    fn new(text: impl Into<String>) -> Self {
        Self {
            text: clean(&text.into()),
            below: Vec::new(),
        }
    }

    fn with(mut self, below: impl IntoIterator<Item = Node>) -> Self {
        self.below.extend(below);
        self
    }

    fn write(&self, before: &str, lines: &mut Vec<String>) {
        let last = self.below.len().saturating_sub(1);
        for (index, node) in self.below.iter().enumerate() {
            let (branch, space) = if index == last {
                ("└─ ", "   ")
            } else {
                ("├─ ", "│  ")
            };
            lines.push(format!(" {before}{branch}{}", node.text));
            node.write(&format!("{before}{space}"), lines);
        }
    }
}

/// When all began: later times are told with how long after that they were.
#[derive(Debug, Clone, Copy)]
struct Since(Option<Timestamp>);

impl Since {
    fn at(self, time: Timestamp) -> String {
        match self.0 {
            Some(began) if time >= began => format!("{time} (+{})", time.since(began)),
            _ => time.to_string(),
        }
    }
}

pub(super) fn show(explained: &Explanation) -> String {
    let event = explained.event.as_ref();
    let first_job = explained.jobs.first().map(|job| job.job.queued_at);
    let since = Since(event.and_then(|event| event.stored_at).or(first_job));
    let root = match event {
        Some(event) => Node::new(format!("event {} of {}", event.id, event.source)),
        None => Node::new("submitted"),
    };
    let handled = event.and_then(|event| event.handled_at);
    let handled = handled.map(|at| Node::new(format!("handled {}", since.at(at))));
    let fanouts = explained.fanouts.iter().map(|fanout| of_fanout(fanout, since));
    let jobs = explained.jobs.iter().map(|job| of_job(job, since));
    let more = (explained.jobs_more > 0).then(|| Node::new(format!("{} more jobs", explained.jobs_more)));
    let forgotten = explained.forgotten.iter();
    let forgotten = forgotten.map(|id| {
        Node::new(format!(
            "{id}: a job or fan-out that ended so long ago that it is forgotten"
        ))
    });
    let fanouts_more = explained.fanouts_more;
    let fanouts_more = (fanouts_more > 0).then(|| Node::new(format!("{fanouts_more} more fan-outs")));
    let root = root
        .with(handled)
        .with(fanouts)
        .with(fanouts_more)
        .with(jobs)
        .with(more)
        .with(forgotten);
    let mut lines = vec![format!(" {}", root.text)];
    root.write("", &mut lines);
    lines.join("\n")
}

fn of_fanout(fanout: &FanoutView, since: Since) -> Node {
    let text = format!(
        "fan-out {} {} on {}: {}",
        fanout.fanout_id, fanout.name, fanout.target, fanout.state
    );
    let finished = fanout
        .finished_at
        .map(|at| Node::new(format!("ended {}", since.at(at))));
    Node::new(text)
        .with([Node::new(format!("began {}", since.at(fanout.created_at)))])
        .with([Node::new(counts(&fanout.counts))])
        .with(finished)
}

fn of_job(explained: &ExplainedJob, since: Since) -> Node {
    let job = &explained.job;
    let run = match job.run {
        0 => String::new(),
        run => format!(", run {run}"),
    };
    let by = explained
        .submitted_by
        .as_ref()
        .map(|who| format!(", submitted by {who}"));
    let text = format!(
        "job {} {} on {}: {}{run}{}",
        job.job_id,
        job.name,
        job.host.hostname,
        job.state,
        by.unwrap_or_default()
    );
    let steps = job.steps.iter().map(|step| of_step(step, since));
    Node::new(text)
        .with([Node::new(format!("queued {}", since.at(job.queued_at)))])
        .with(waiting(job))
        .with(started(explained, since))
        .with(steps)
        .with(ended(job, since))
        .with(explained.result.as_ref().map(|result| of_result(result, since)))
}

fn waiting(job: &JobView) -> Option<Node> {
    let waiting = job.waiting.as_ref()?;
    Some(Node::new(format!(
        "waits, position {}: {}",
        waiting.position, waiting.reason.text
    )))
}

fn started(explained: &ExplainedJob, since: Since) -> Option<Node> {
    let job = &explained.job;
    let at = since.at(job.started_at?);
    let mut text = match job.attempt {
        1 => format!("started {at}"),
        sessions => format!("started {at}, {sessions} sessions"),
    };
    for (count, what) in [
        (explained.resumed, "went on after a wait or a cut"),
        (explained.retries, "began anew"),
    ] {
        match count {
            0 => {}
            1 => text.push_str(&format!(", {what} once")),
            count => text.push_str(&format!(", {what} {count} times")),
        }
    }
    let last = explained.last_session_at.filter(|_| job.attempt > 1);
    if let Some(last) = last {
        text.push_str(&format!(", the last at {}", since.at(last)));
    }
    Some(Node::new(text))
}

fn of_step(step: &StepReport, since: Since) -> Node {
    let status = serde_json::to_value(step.status).ok();
    let status = status
        .as_ref()
        .and_then(|status| status.as_str())
        .unwrap_or_default();
    let mut text = format!("step {} {} {status}", step.id, step.verb);
    if let Some(tries) = step.tries {
        text.push_str(&format!(" at try {tries}"));
    }
    match (step.started_at, step.finished_at) {
        (Some(began), Some(ended)) => {
            text.push_str(&format!(", {} for {}", since.at(began), ended.since(began)));
        }
        (Some(began), None) => text.push_str(&format!(", {}", since.at(began))),
        (None, _) => {}
    }
    let artifact = step.artifact.as_ref().map(|artifact| {
        Node::new(format!(
            "artifact {} {} bytes, SHA-256 {}",
            artifact.name, artifact.bytes, artifact.sha256
        ))
    });
    let detail: String = step_detail(step).chars().take(DETAIL_CHARS_MAX).collect();
    let detail = (artifact.is_none() && !detail.is_empty()).then(|| Node::new(detail));
    Node::new(text).with(detail).with(artifact)
}

fn ended(job: &JobView, since: Since) -> Option<Node> {
    let at = since.at(job.finished_at?);
    let why = job.reason.as_ref().map(|reason| format!(": {}", reason.text));
    Some(Node::new(format!(
        "{} {at}{}",
        job.state,
        why.unwrap_or_default()
    )))
}

fn of_result(result: &ExplainedResult, since: Since) -> Node {
    let subject = &result.subject;
    Node::new(match (result.published_at, result.sequence) {
        (Some(at), Some(sequence)) => {
            format!("result published {} as {sequence} on {subject}", since.at(at))
        }
        _ => format!(
            "result staged {} for {subject}; no acknowledgement is recorded",
            since.at(result.staged_at)
        ),
    })
}
