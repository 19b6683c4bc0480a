//! Parts of inputs, and files of them.

use std::io::Write;
use tempfile::NamedTempFile;

/// Lines up to the first empty one, and the bytes behind it.
pub(crate) fn head_and_body(data: &[u8]) -> (Vec<String>, &[u8]) {
    let end = data.windows(2).position(|two| two == b"\n\n");
    let (head, body) = match end {
        Some(end) => (data.get(..end), data.get(end + 2..)),
        None => (Some(data), None),
    };
    let head = String::from_utf8_lossy(head.unwrap_or_default());
    (
        head.lines().map(str::to_owned).collect(),
        body.unwrap_or_default(),
    )
}

/// A file with this in it, removed when it is dropped.
pub(crate) fn file_with(data: &[u8], extension: &str) -> NamedTempFile {
    let suffix = format!(".{extension}");
    let mut file = tempfile::Builder::new()
        .suffix(&suffix)
        .tempfile()
        .expect("a temporary file");
    file.write_all(data).expect("written");
    file
}

/// A line that is a header, and none that says how long the request is or that asks for a stream without end.
pub(crate) fn is_header(line: &str) -> bool {
    let Some((name, value)) = line.split_once(':') else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    let framing = [
        "content-length",
        "transfer-encoding",
        "connection",
        "host",
        "expect",
        "upgrade",
    ];
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        && !framing.contains(&name.as_str())
        && !value.contains("event-stream")
        && value.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

/// The next bytes; `None` if there are fewer.
pub(crate) fn take<'a>(from: &mut &'a [u8], bytes: usize) -> Option<&'a [u8]> {
    let (taken, rest) = from.split_at_checked(bytes)?;
    *from = rest;
    Some(taken)
}

/// The next bytes, or all that there are.
pub(crate) fn take_up_to<'a>(from: &mut &'a [u8], bytes: usize) -> &'a [u8] {
    let (taken, rest) = from.split_at(bytes.min(from.len()));
    *from = rest;
    taken
}

/// The first line, and the bytes behind it.
pub(crate) fn order_and_rest(data: &[u8]) -> (&[u8], &[u8]) {
    let end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (order, rest) = data.split_at(end);
    (order, rest.get(1..).unwrap_or_default())
}
