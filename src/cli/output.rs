//! What goes to stdout: data and nothing else, as a table for people or JSON for programs.

use super::failure::Failure;
use clap::ValueEnum;
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;
use std::io::{ErrorKind, Write};

/// How data is printed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    #[default]
    Table,
    /// For programs.
    Json,
}

/// Prints one line or block. A reader that has gone ends the command quietly.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    match text.ends_with('\n') {
        true => print_bytes(text.as_bytes()),
        false => print_bytes(format!("{text}\n").as_bytes()),
    }
}

/// Prints bytes as they are, for a stdout that is no terminal.
pub(super) fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut stdout = std::io::stdout().lock();
    let outcome = stdout.write_all(bytes).and_then(|()| stdout.flush());
    outcome.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::OutputClosed,
        _ => Failure::Failed(format!("cannot write the output: {error}")),
    })
}

/// Prints a value as indented JSON.
pub(super) fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Failure::Failed(format!("cannot write the output as JSON: {error}")))?;
    print(&text)
}

/// Prints a value as one line of JSON.
pub(super) fn print_json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value)
        .map_err(|error| Failure::Failed(format!("cannot write the output as JSON: {error}")))?;
    print(&text)
}

/// A table with a line of headers.
pub(super) fn table<const N: usize>(
    headers: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> String {
    let mut table = bare();
    table.set_header(headers);
    for row in rows {
        table.add_row(row.map(|cell| clean(&cell)));
    }
    table.trim_fmt()
}

/// A table of names and values.
pub(super) fn fields(rows: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut table = bare();
    for (name, value) in rows {
        table.add_row([name.to_owned(), clean(&value)]);
    }
    table.trim_fmt()
}

fn bare() -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// Control characters come from hosts and publishers and must not reach a terminal as they are.
pub(super) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| {
            if is_hazardous(c) {
                char::REPLACEMENT_CHARACTER
            } else {
                c
            }
        })
        .collect()
}

/// Whether a terminal acts on it instead of showing it, or shows what is around it in another order.
pub(super) fn is_hazardous(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
        || matches!(c, '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// `–` for what is not there.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_its_headers_and_rows_in_columns() {
        let text = table(
            ["HOST", "N"],
            [
                ["alpha".to_owned(), "1".to_owned()],
                ["b".to_owned(), "22".to_owned()],
            ],
        );
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        assert_eq!(lines, [" HOST   N", " alpha  1", " b      22"]);
    }

    #[test]
    fn control_characters_of_a_host_do_not_reach_the_terminal() {
        assert!(!table(["HOST"], [["\u{1b}[2Jx".to_owned()]]).contains('\u{1b}'));
        assert_eq!(
            clean("a\u{9b}b\u{202e}c\u{200f}é"),
            "a\u{fffd}b\u{fffd}c\u{fffd}é"
        );
    }
}
