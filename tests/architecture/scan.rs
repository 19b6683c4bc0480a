//! Just enough of Rust's lexical rules to tell code from texts and comments.

/// A file, taken apart. Lines keep their numbers.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Scanned {
    /// The code, with texts emptied and comments gone.
    pub(crate) code: String,
    /// Texts in the code, as written between their quotes, with their line.
    pub(crate) texts: Vec<(usize, String)>,
    /// Lines on which a comment is, doc comments included.
    pub(crate) comments: Vec<usize>,
}

struct Scanner<'a> {
    rest: &'a str,
    line: usize,
    found: Scanned,
}

/// Takes a source apart.
pub(crate) fn scan(source: &str) -> Scanned {
    let mut scanner = Scanner {
        rest: source,
        line: 1,
        found: Scanned::default(),
    };
    while !scanner.rest.is_empty() {
        scanner.step();
    }
    scanner.found
}

impl<'a> Scanner<'a> {
    fn step(&mut self) {
        if self.rest.starts_with("//") {
            self.comment(self.rest.find('\n').unwrap_or(self.rest.len()));
        } else if self.rest.starts_with("/*") {
            self.comment(self.rest.find("*/").map_or(self.rest.len(), |end| end + 2));
        } else if let Some(hashes) = self.raw_text() {
            let end = format!("\"{}", "#".repeat(hashes));
            self.text(hashes + 2, |rest| rest.find(&end), end.len());
        } else if self.rest.starts_with('"') {
            self.text(1, closing_quote, 1);
        } else if let Some(length) = character(self.rest) {
            self.take(length);
        } else {
            let length = self.rest.chars().next().map_or(1, char::len_utf8);
            let taken = self.take(length);
            self.found.code.push_str(taken);
        }
    }

    fn take(&mut self, length: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(length);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    fn comment(&mut self, length: usize) {
        let first = self.line;
        let lines = self.take(length).matches('\n').count();
        self.found.comments.extend(first..=first + lines);
        self.found.code.push_str(&"\n".repeat(lines));
    }

    /// How many hashes, when a raw text begins here and no identifier ends here.
    fn raw_text(&self) -> Option<usize> {
        let after = self.rest.strip_prefix('r')?;
        let hashes = after.len() - after.trim_start_matches('#').len();
        let apart = !self
            .found
            .code
            .ends_with(|c: char| c.is_alphanumeric() && c != 'b' || c == '_');
        (after[hashes..].starts_with('"') && apart).then_some(hashes)
    }

    fn text(&mut self, opening: usize, end: impl Fn(&str) -> Option<usize>, closing: usize) {
        self.take(opening);
        let line = self.line;
        let length = end(self.rest).unwrap_or(self.rest.len());
        let text = self.take(length);
        self.take(closing.min(self.rest.len()));
        self.found.texts.push((line, text.to_owned()));
        self.found.code.push_str("\"\"");
        self.found.code.push_str(&"\n".repeat(text.matches('\n').count()));
    }
}

fn closing_quote(rest: &str) -> Option<usize> {
    let mut escaped = false;
    rest.char_indices().find_map(|(index, c)| {
        let end = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        end.then_some(index)
    })
}

/// Length of a character literal; a lifetime is none.
fn character(rest: &str) -> Option<usize> {
    let inner = rest.strip_prefix('\'')?;
    if inner.starts_with('\\') {
        return inner.get(2..)?.find('\'').map(|end| end + 4);
    }
    let length = inner.chars().next()?.len_utf8();
    inner[length..].starts_with('\'').then_some(length + 2)
}

#[test]
fn texts_comments_and_characters_are_told_from_code() {
    let scanned = scan(
        "let a = \"x // \\\" y\"; // one \"two\n/* three\n */ let b = r#\"q \"z\" \"#; '\"' '\\'' 'é' &'a str\nb\"w\" br\"v\"",
    );
    assert_eq!(
        scanned.code,
        "let a = \"\"; \n\n let b = \"\";    &'a str\nb\"\" b\"\""
    );
    let texts: Vec<(usize, &str)> = scanned
        .texts
        .iter()
        .map(|(line, text)| (*line, text.as_str()))
        .collect();
    assert_eq!(texts, [(1, "x // \\\" y"), (3, "q \"z\" "), (4, "w"), (4, "v")]);
    assert_eq!(scanned.comments, [1, 2, 3]);
}
