//! `list_processes`, sorted by pid. A command line longer than 4 KiB is cut, and the cut bytes are counted.

use super::listing::fit;
use super::{Context, Done};
use tripline_protocol::Fault;

const COMMAND_LINE_BYTES_MAX: usize = 4096;

pub(super) fn run(context: &Context<'_>) -> Result<Done, Fault> {
    let mut listed = context.platform.list_processes(context.stop)?;
    let cut = listed
        .entries
        .iter_mut()
        .map(|entry| cut(&mut entry.command_line))
        .sum();
    Ok(Done {
        output: fit("processes", &listed)?,
        truncated_bytes: cut,
    })
}

/// Cuts at a character; returns the bytes left out.
fn cut(text: &mut String) -> u64 {
    let before = text.len();
    text.truncate(text.floor_char_boundary(COMMAND_LINE_BYTES_MAX));
    (before - text.len()) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_command_line_is_cut_at_a_character_and_counted() {
        let mut text = "é".repeat(3000);
        text.insert(0, 'x');
        assert_eq!(cut(&mut text), 6001 - 4095);
        assert_eq!(text.len(), 4095);
    }
}
