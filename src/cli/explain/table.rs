//! The event, and what each pipeline made of it.

use crate::cli::output::{clean, fields, or_dash, table};
use tripline_protocol::api::{ExplainedEvent, Explanation, PipelineVerdict, WithheldView};

pub(super) fn show(explained: &Explanation) -> String {
    let mut parts = Vec::new();
    if let Some(event) = &explained.event {
        parts.push(head(explained, event));
        if !explained.pipelines.is_empty() {
            let headers = ["PIPELINE", "VERDICT", "WHY"];
            parts.push(table(headers, explained.pipelines.iter().map(row)));
        }
        parts.push(others(explained, event));
    }
    if !explained.dead_letters.is_empty() {
        let letters: Vec<String> = explained.dead_letters.iter().map(letter).collect();
        parts.push(letters.join("\n"));
    }
    let notes: Vec<String> = explained
        .notes
        .iter()
        .map(|note| format!(" note: {}", clean(note)))
        .collect();
    if !notes.is_empty() {
        parts.push(notes.join("\n"));
    }
    let mut text = parts.join("\n\n");
    if !text.is_empty() {
        text.push('\n');
    }
    text
}

fn head(explained: &Explanation, event: &ExplainedEvent) -> String {
    let host = event
        .host
        .as_ref()
        .map(|host| format!("{} ({})", host.hostname, host.host_id));
    fields([
        ("event", event.id.clone()),
        ("source", event.source.clone()),
        ("etype", event.etype.to_string()),
        ("org", event.org.to_string()),
        ("key", or_dash(explained.key)),
        ("time", or_dash(event.time)),
        ("stored", or_dash(event.stored_at)),
        ("sequence", or_dash(event.sequence)),
        ("handled", or_dash(event.handled_at)),
        ("host", or_dash(host)),
        ("traceparent", or_dash(event.traceparent.as_ref())),
        (
            "rules",
            explained.rules.version.as_str().chars().take(12).collect(),
        ),
    ])
}

fn row(verdict: &PipelineVerdict) -> [String; 3] {
    [
        verdict.pipeline.to_string(),
        verdict.verdict.as_str().to_owned(),
        why(verdict),
    ]
}

fn why(verdict: &PipelineVerdict) -> String {
    let mut why = match &verdict.reason {
        Some(reason) if *reason != verdict.verdict.as_str() => format!("{reason}: {}", verdict.text),
        _ => verdict.text.clone(),
    };
    if let Some(key) = &verdict.key {
        why.push_str(&format!(" (key {key})"));
    }
    if verdict.is_of_another_version() {
        why.push_str(match verdict.version {
            Some(_) => "; another version of it is in force now",
            None => "; it is not in force now",
        });
    }
    why
}

fn others(explained: &Explanation, event: &ExplainedEvent) -> String {
    let mut text = match explained.not_listening {
        0 => format!(" every pipeline listens to {}", event.etype),
        1 => format!(" 1 pipeline does not listen to {}", event.etype),
        count => format!(" {count} pipelines do not listen to {}", event.etype),
    };
    match explained.pipelines_more {
        0 => {}
        more => text.push_str(&format!("; {more} more listen and did not act")),
    }
    text
}

fn letter(letter: &WithheldView) -> String {
    clean(&format!(
        " dead letter {} at {}: {}",
        letter.reason, letter.at, letter.text
    ))
}
