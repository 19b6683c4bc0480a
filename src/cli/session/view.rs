//! Sessions and what was done in them, as tables for people.

use crate::cli::output::{clean, fields, or_dash, table};
use crate::cli::watch::output_detail;
use serde_json::Value;
use tripline_protocol::api::{HostView, Waiting};
use tripline_protocol::session::{CommandView, SessionState, SessionView};

/// Longest arguments and details in a table, in characters.
const CELL_CHARS_MAX: usize = 120;

/// Many sessions.
pub(super) fn list(sessions: &[SessionView]) -> String {
    let rows = sessions.iter().map(|session| {
        [
            session.number.to_string(),
            session.session_id.to_string(),
            session.host.hostname.clone(),
            session.owner.name.clone(),
            session.state.to_string(),
            session.opened_at.to_string(),
            why(session),
        ]
    });
    table(
        ["SESSION", "SESSION ID", "HOST", "OWNER", "STATE", "OPENED", "WHY"],
        rows,
    )
}

/// One session.
pub(super) fn show(session: &SessionView) -> String {
    fields(rows(session))
}

/// One session, with more of its host than its name.
pub(super) fn show_with_host(session: &SessionView, host: &HostView) -> String {
    let attached = if host.attachments.is_empty() { "no" } else { "yes" };
    let of_host = [
        (
            "platform",
            format!("{} {} {}", host.platform, host.arch, host.os_version),
        ),
        ("addresses", host.addresses.join(" ")),
        ("agent", host.agent_version.clone()),
        ("online", attached.to_owned()),
        ("last seen", host.last_seen_at.to_string()),
    ];
    fields(rows(session).into_iter().chain(of_host))
}

fn rows(session: &SessionView) -> Vec<(&'static str, String)> {
    let verbs: Vec<&str> = session.verbs.iter().map(|verb| verb.as_str()).collect();
    vec![
        ("session", format!("{} ({})", session.number, session.session_id)),
        ("org", session.org.to_string()),
        (
            "host",
            format!("{} ({})", session.host.hostname, session.host.host_id),
        ),
        ("owner", session.owner.name.clone()),
        ("state", session.state.to_string()),
        ("why", why(session)),
        ("opened", session.opened_at.to_string()),
        ("active", or_dash(session.active_since)),
        ("closed", or_dash(session.closed_at)),
        ("last request", session.last_request_at.to_string()),
        ("idle timeout", session.idle_timeout.to_string()),
        ("verbs", verbs.join(" ")),
    ]
}

/// Why it waits, or why it ended.
fn why(session: &SessionView) -> String {
    match (session.state, &session.waiting, &session.reason) {
        (SessionState::Pending, Some(waiting), _) => waits(waiting),
        (_, _, Some(reason)) => reason.text.clone(),
        _ => "–".to_owned(),
    }
}

/// For what a session waits, and its place in the queue.
pub(super) fn waits(waiting: &Waiting) -> String {
    format!("position {}: {}", waiting.position, waiting.reason.text)
}

/// Everything that was done in a session.
pub(super) fn transcript(commands: &[CommandView]) -> String {
    let rows = commands.iter().map(|command| {
        [
            command.number.to_string(),
            command.queued_at.to_string(),
            command.caller.clone(),
            command.verb.to_string(),
            arguments(&command.arguments),
            command.state.to_string(),
            result(command),
        ]
    });
    table(["N", "AT", "BY", "VERB", "ARGUMENTS", "STATE", "RESULT"], rows)
}

fn arguments(arguments: &Value) -> String {
    match arguments.as_object() {
        None => shortened(String::new()),
        Some(fields) => {
            let fields = fields.iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                value => format!("{name}={value}"),
            });
            shortened(fields.collect::<Vec<_>>().join(" "))
        }
    }
}

fn result(command: &CommandView) -> String {
    let text = match (&command.error, &command.artifact, &command.output) {
        (Some(error), _, _) => error.to_string(),
        (None, Some(file), _) => format!("{}, {} bytes, sha256 {}", file.name, file.bytes, file.sha256),
        (None, None, Some(output)) => output_detail(output),
        (None, None, None) => String::new(),
    };
    shortened(text)
}

fn shortened(text: String) -> String {
    let text = clean(&text);
    if text.chars().count() <= CELL_CHARS_MAX {
        return text;
    }
    text.chars().take(CELL_CHARS_MAX).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn session(state: &str) -> SessionView {
        serde_json::from_value(json!({
            "session_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "number": 7, "org": "default",
            "host": {"host_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b12", "hostname": "web\u{1b}01"}, "sensor_id": 1,
            "owner": {"token_id": "t", "name": "ada"}, "state": state,
            "waiting": {"position": 3, "reason": {"code": "no_free_slot", "text": "no free slot"}},
            "reason": {"code": "idle", "text": "nobody used it for 5m"},
            "opened_at": "2026-11-20T14:00:00Z", "last_request_at": "2026-11-20T14:00:00Z", "idle_timeout": "5m",
        }))
        .unwrap()
    }

    #[test]
    fn a_session_that_waits_says_for_what_and_one_that_ended_why() {
        let text = list(&[session("pending"), session("closed")]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[1].contains("position 3: no free slot"), "{text}");
        assert!(lines[2].contains("nobody used it for 5m"), "{text}");
        assert!(show(&session("pending")).contains("7 (7a1d51c6-"));
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_transcript_has_arguments_and_results_in_few_words() {
        let command = |extra: Value| {
            let mut command = json!({
                "session_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "number": 1,
                "command_id": "7a1d51c6-0b9e-4f0e-9c55-6e6d31f02b11", "verb": "walk",
                "arguments": {"path": "/tmp/\u{1b}[2J", "depth_max": 2}, "state": "succeeded", "timeout": "2m",
                "caller": "ada", "queued_at": "2026-11-20T14:00:00Z",
            });
            command
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            serde_json::from_value::<CommandView>(command).unwrap()
        };
        let text = transcript(&[
            command(json!({"output": {"files": [1, 2, 3]}})),
            command(json!({"error": {"class": "timeout", "code": "deadline", "text": "x".repeat(500)}})),
        ]);
        assert!(text.contains("depth_max=2 path=/tmp/\u{fffd}[2J"), "{text}");
        assert!(text.contains("3 entries"), "{text}");
        assert!(
            text.contains("xxx…") && !text.contains(&"x".repeat(130)),
            "{text}"
        );
    }

    #[test]
    fn arguments_and_results_are_shown_up_to_their_bound() {
        let text = "é".repeat(CELL_CHARS_MAX);
        assert_eq!(shortened(text.clone()), text);
        assert_eq!(shortened(format!("{text}x")), format!("{text}…"));
        let shown = arguments(&json!({"path": text}));
        assert_eq!(
            (shown.chars().count(), shown.ends_with('…')),
            (CELL_CHARS_MAX + 1, true)
        );
    }
}
