//! The text of a condition's parts, as its author wrote them. What the interpreter keeps of a condition has no text.

/// Characters of a part that are told.
const PART_CHARS_MAX: usize = 300;

/// The text of part `index` of `of`, on one line; that of the whole condition where the text cannot be divided so.
pub(super) fn text(source: &str, index: usize, of: usize) -> String {
    let parts = split(source);
    let part = parts.get(index).filter(|_| parts.len() == of);
    let line: Vec<&str> = part.copied().unwrap_or(source).split_whitespace().collect();
    let line = line.join(" ");
    match line.chars().count() > PART_CHARS_MAX {
        true => line.chars().take(PART_CHARS_MAX).chain(['…']).collect(),
        false => line,
    }
}

/// What `&&` joins at the top, in order. Parentheses around a part are left out.
fn split(source: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let mut open = vec![source];
    while let Some(text) = open.pop() {
        let text = bare(text);
        let outline = Outline::of(text);
        if outline.is_one {
            found.push(text);
            continue;
        }
        let pieces = outline.pieces(text);
        match pieces.len() {
            0 | 1 => found.push(text),
            _ => open.extend(pieces.into_iter().rev()),
        }
    }
    found
}

/// Without the parentheses that go around all of it.
fn bare(text: &str) -> &str {
    let mut text = text.trim();
    while let Some(inner) = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        if Outline::of(text).closes_at != Some(text.len() - 1) {
            break;
        }
        text = inner.trim();
    }
    text
}

/// What stands in a text outside of all brackets and quotes.
#[derive(Default)]
struct Outline {
    /// Where `&&` is.
    ands: Vec<usize>,
    /// Something that binds less than `&&` is there, so that it joins no parts.
    is_one: bool,
    /// Where the first bracket closes that opens.
    closes_at: Option<usize>,
}

impl Outline {
    fn of(text: &str) -> Self {
        let mut outline = Self::default();
        let (bytes, mut at, mut depth) = (text.as_bytes(), 0, 0_usize);
        while let Some(&byte) = bytes.get(at) {
            let rest = bytes.get(at..).unwrap_or_default();
            match byte {
                b'\'' | b'"' => {
                    at += quoted(bytes, at);
                    continue;
                }
                b'/' if rest.starts_with(b"//") => {
                    at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                    continue;
                }
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 && outline.closes_at.is_none() {
                        outline.closes_at = Some(at);
                    }
                }
                b'&' if depth == 0 && rest.starts_with(b"&&") => {
                    outline.ands.push(at);
                    at += 1;
                }
                b'|' | b'?' if depth == 0 => outline.is_one = true,
                _ => {}
            }
            at += 1;
        }
        outline
    }

    fn pieces<'t>(&self, text: &'t str) -> Vec<&'t str> {
        let starts = std::iter::once(0).chain(self.ands.iter().map(|at| at + 2));
        let ends = self.ands.iter().copied().chain([text.len()]);
        starts
            .zip(ends)
            .filter_map(|(start, end)| text.get(start..end))
            .collect()
    }
}

/// How long the text is whose quote is at `at`, its quotes included.
fn quoted(bytes: &[u8], at: usize) -> usize {
    let text = bytes.get(at..).unwrap_or_default();
    let quote = text.first().copied().unwrap_or_default();
    let long = text.starts_with(&[quote; 3]);
    let end: &[u8] = if long { &[quote; 3] } else { &[quote] };
    let is_raw = is_raw(bytes.get(..at).unwrap_or_default());
    let mut length = end.len();
    while let Some(&byte) = text.get(length) {
        if !is_raw && byte == b'\\' {
            length += 2;
        } else if text.get(length..).is_some_and(|rest| rest.starts_with(end)) {
            return length + end.len();
        } else {
            length += 1;
        }
    }
    text.len()
}

/// Whether a text in which nothing is escaped follows: `r"…"`, `br"…"`.
fn is_raw(before: &[u8]) -> bool {
    let letters = before
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
    let prefix: Vec<u8> = letters.map(u8::to_ascii_lowercase).collect();
    matches!(prefix.as_slice(), b"r" | b"br" | b"rb")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_condition_is_divided_where_its_author_wrote_and() {
        for (source, parts) in [
            ("a", vec!["a"]),
            ("a && b", vec!["a", "b"]),
            ("(a && b) && ((c))", vec!["a", "b", "c"]),
            ("(a) && (b)", vec!["a", "b"]),
            ("a || b && c", vec!["a || b && c"]),
            ("(a || b) && c", vec!["a || b", "c"]),
            ("a && b ? c : d", vec!["a && b ? c : d"]),
            (
                "x == '&&' && y == \"a'b && c\"",
                vec!["x == '&&'", "y == \"a'b && c\""],
            ),
            ("x == 'it\\'s && so' && y", vec!["x == 'it\\'s && so'", "y"]),
            (r"x == r'\' && y", vec![r"x == r'\'", "y"]),
            ("x == '''it's && so''' && y", vec!["x == '''it's && so'''", "y"]),
            (
                "l.exists(i, i && j) && k[0] == m",
                vec!["l.exists(i, i && j)", "k[0] == m"],
            ),
            ("a // && it's\n && b", vec!["a // && it's", "b"]),
            ("ä == 'ö' && ü", vec!["ä == 'ö'", "ü"]),
        ] {
            assert_eq!(split(source), parts, "{source}");
        }
    }

    #[test]
    fn a_part_is_told_on_one_line_and_cut() {
        assert_eq!(text("a\n  == b && c", 0, 2), "a == b");
        assert_eq!(
            text("a && b", 0, 3),
            "a && b",
            "the whole, when it was counted otherwise"
        );
        let long = text(&"x".repeat(PART_CHARS_MAX + 1), 0, 1);
        assert_eq!(long, format!("{}…", "x".repeat(PART_CHARS_MAX)));
    }
}
