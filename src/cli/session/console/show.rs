//! What verbs return, as text for people. Names from hosts are quoted, other texts of theirs cleaned.

use super::words::quote;
use crate::cli::output::{clean, is_hazardous, or_dash, table};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tripline_protocol::Timestamp;
use tripline_protocol::verb::{
    Captured, DirectoryEntry, DirectoryListing, MemoryDumped, ProcessEntry, ProcessListing, ProcessOutcome,
    RegistryListing, RegistryValue,
};

/// Longest command line in a table, in characters.
const COMMAND_LINE_CHARS_MAX: usize = 160;

/// The entries of a directory or a tree.
pub(super) fn listing(listing: &DirectoryListing) -> String {
    let rows = listing.files.iter().map(|entry| {
        [
            mode(entry),
            or_dash(entry.owner.as_ref()),
            entry.size.to_string(),
            time(entry.last_write_time),
            name(entry),
        ]
    });
    let text = table(["MODE", "OWNER", "BYTES", "CHANGED", "NAME"], rows);
    with_omitted(text, listing.omitted, "entries")
}

fn with_omitted(text: String, omitted: u64, what: &str) -> String {
    match omitted {
        0 => text,
        omitted => format!("{text}\n{omitted} more {what} were left out"),
    }
}

fn is(entry: &DirectoryEntry, attribute: &str) -> bool {
    entry.attributes.iter().any(|known| known == attribute)
}

/// `-rw-r--r--`, or the attributes where there are no permission bits.
fn mode(entry: &DirectoryEntry) -> String {
    let Some(mode) = entry.mode else {
        return entry.attributes.join(" ");
    };
    let kind = match entry {
        entry if is(entry, "REPARSE_POINT") => 'l',
        entry if is(entry, "DIRECTORY") => 'd',
        entry if is(entry, "DEVICE") => '?',
        _ => '-',
    };
    let letters = "rwxrwxrwx".chars().enumerate();
    let bits = letters.map(|(at, letter)| if mode >> (8 - at) & 1 == 1 { letter } else { '-' });
    std::iter::once(kind).chain(bits).collect()
}

fn name(entry: &DirectoryEntry) -> String {
    let name = quote(entry.filename.as_bytes());
    match &entry.link_target {
        Some(target) => format!("{name} -> {}", quote(target.as_bytes())),
        None if is(entry, "DIRECTORY") => format!("{name}/"),
        None => name,
    }
}

/// Unix seconds, as `2026-11-20 14:00:05`.
fn time(seconds: i64) -> String {
    let text = Timestamp::from_micros(seconds.saturating_mul(1_000_000)).to_string();
    text.chars()
        .take(19)
        .map(|c| if c == 'T' { ' ' } else { c })
        .collect()
}

/// Processes.
pub(super) fn processes(listing: &ProcessListing) -> String {
    let rows = listing.processes.iter().map(|process| {
        [
            process.pid.to_string(),
            process.parent.to_string(),
            process.username.clone(),
            time(process.create_time),
            shortened(&process.command_line),
        ]
    });
    let shown = table(["PID", "PARENT", "USER", "STARTED", "COMMAND"], rows);
    with_omitted(shown, listing.omitted, "processes")
}

/// Whether a process has a text in its path, its command line or its user.
pub(super) fn has(process: &ProcessEntry, text: Option<&str>) -> bool {
    text.is_none_or(|text| {
        [&process.path, &process.command_line, &process.username]
            .iter()
            .any(|field| field.contains(text))
    })
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(COMMAND_LINE_CHARS_MAX) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or(text)),
        None => text.to_owned(),
    }
}

/// A registry key.
pub(super) fn registry(listing: &RegistryListing) -> String {
    let keys = listing
        .sub_keys
        .iter()
        .map(|key| [clean(key), "KEY".to_owned(), String::new()]);
    let values = listing.values.iter().map(|value| {
        [
            clean(&value.value_name),
            clean(&value.value_type),
            clean(&data(value)),
        ]
    });
    table(["NAME", "TYPE", "DATA"], keys.chain(values))
}

/// The data of a registry value: texts as they are, everything else as JSON.
pub(super) fn data(value: &RegistryValue) -> String {
    match value.value_data.as_str() {
        Some(text) => text.to_owned(),
        None => value.value_data.to_string(),
    }
}

/// Where an image of memory is, how large it is, and what is missing in it.
pub(super) fn memory(dumped: &MemoryDumped, target: &str) -> String {
    let size = format!(
        "{}: {} bytes of memory ({})",
        clean(target),
        dumped.bytes,
        clean(&dumped.format)
    );
    match dumped.gaps {
        0 => size,
        gaps => format!(
            "{size}, {} of them in {gaps} places could not be read",
            dumped.gap_bytes
        ),
    }
}

/// What a program printed, as its bytes.
pub(super) fn captured(captured: Option<&Captured>) -> Vec<u8> {
    match captured {
        Some(Captured { text: Some(text), .. }) => text.clone().into_bytes(),
        Some(Captured { b64: Some(b64), .. }) => STANDARD.decode(b64).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// How a program ended, and what of its output is missing.
pub(super) fn ending(outcome: &ProcessOutcome) -> String {
    let mut text = match (outcome.exit_code, outcome.signal) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("ended by signal {signal}"),
        (None, None) => format!("runs as process {}", outcome.pid),
    };
    for (stream, captured) in [("stdout", &outcome.stdout), ("stderr", &outcome.stderr)] {
        let dropped = captured.as_ref().map_or(0, |captured| captured.truncated_bytes);
        if dropped > 0 {
            text.push_str(&format!("; {dropped} more bytes of {stream} were dropped"));
        }
    }
    text
}

/// Text of several lines that is fit for a terminal: nothing in it but lines and tabs is acted on.
pub(super) fn harmless(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).replace("\r\n", "\n");
    let harmless = |c: char| matches!(c, '\n' | '\t') || !is_hazardous(c);
    text.chars()
        .map(|c| {
            if harmless(c) {
                c
            } else {
                char::REPLACEMENT_CHARACTER
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_listing_shows_kinds_modes_and_hostile_names() {
        let entry = |name: serde_json::Value, attribute: &str, extra: serde_json::Value| {
            let mut entry = json!({"filename": name, "attributes": [attribute], "size": 5, "create_time": 0,
                "last_access_time": 0, "last_write_time": 1_763_640_005, "mode": 0o755, "owner": "root"});
            entry
                .as_object_mut()
                .unwrap()
                .extend(extra.as_object().unwrap().clone());
            entry
        };
        let shown: DirectoryListing = serde_json::from_value(json!({"omitted": 3, "files": [
            entry(json!("bin"), "DIRECTORY", json!({})),
            entry(json!("a\u{1b}]0;x\u{7}"), "ARCHIVE", json!({})),
            entry(json!({"b64": "/w=="}), "ARCHIVE", json!({"mode": null, "owner": null})),
            entry(json!("l"), "REPARSE_POINT", json!({"link_target": "/e\u{1b}"})),
        ]}))
        .unwrap();
        let text = listing(&shown);
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        assert!(
            lines[1].starts_with("drwxr-xr-x") && lines[1].ends_with("2025-11-20 12:00:05  bin/"),
            "{text}"
        );
        assert!(lines[2].ends_with(r"$'a\e]0;x\x07'"), "{text}");
        assert!(
            lines[3].starts_with("ARCHIVE") && lines[3].ends_with(r"$'\xff'"),
            "{text}"
        );
        assert!(
            lines[4].starts_with('l') && lines[4].ends_with(r"l -> $'/e\e'"),
            "{text}"
        );
        assert_eq!(lines[5], "3 more entries were left out");
    }

    #[test]
    fn processes_are_chosen_by_text() {
        let process = |pid: u32, line: &str| {
            json!({"pid": pid, "parent": 1, "path": "/bin/x", "command_line": line, "username": "ada", "sid": "1",
                "create_time": 0, "proc_guid": "", "parent_guid": ""})
        };
        let listing: ProcessListing = serde_json::from_value(
            json!({"processes": [process(1, "sleep 60"), process(2, &"y\u{1b}".repeat(300))]}),
        )
        .unwrap();
        let chosen = |text| {
            listing
                .processes
                .iter()
                .filter(|process| has(process, text))
                .count()
        };
        assert_eq!(
            [Some("sleep"), Some("ada"), Some("nobody"), None].map(chosen),
            [1, 2, 0, 2]
        );
        let all = processes(&listing);
        assert!(!all.contains('\u{1b}') && all.contains('…'), "{all}");
    }

    #[test]
    fn how_a_program_ended_is_one_line() {
        let outcome = |value| ending(&serde_json::from_value(value).unwrap());
        assert_eq!(outcome(json!({"pid": 1, "exit_code": 3})), "exit code 3");
        assert_eq!(outcome(json!({"pid": 1, "signal": 9})), "ended by signal 9");
        assert_eq!(outcome(json!({"pid": 7})), "runs as process 7");
        assert_eq!(
            outcome(json!({"pid": 1, "exit_code": 0, "stderr": {"truncated_bytes": 5}})),
            "exit code 0; 5 more bytes of stderr were dropped"
        );
    }

    #[test]
    fn output_of_programs_is_lines_and_nothing_else() {
        assert_eq!(
            harmless(b"a\r\nb\tc\x1b[2J\x07\xff\rd\n"),
            "a\nb\tc\u{fffd}[2J\u{fffd}\u{fffd}\u{fffd}d\n"
        );
        let bytes: Captured = serde_json::from_value(json!({"b64": "/w=="})).unwrap();
        assert_eq!(captured(Some(&bytes)), [0xff]);
        assert_eq!(captured(None), b"");
    }

    #[test]
    fn a_registry_key_shows_keys_and_values() {
        let listing: RegistryListing = serde_json::from_value(json!({"sub_keys": ["Run\u{1b}"], "values": [
            {"value_name": "N", "value_type": "REG_DWORD", "value_data": 7},
            {"value_name": "S", "value_type": "REG_SZ", "value_data": "x"}]}))
        .unwrap();
        let text = registry(&listing);
        assert!(
            text.contains("Run\u{fffd}") && text.contains("REG_DWORD  7"),
            "{text}"
        );
    }

    #[test]
    fn a_command_line_is_shown_up_to_its_bound() {
        let line = "é".repeat(COMMAND_LINE_CHARS_MAX);
        assert_eq!(shortened(&line), line);
        assert_eq!(shortened(&format!("{line}x")), format!("{line}…"));
    }
}
