//! Lines of the console, split into words as a shell splits them, and bytes written as such words.
//!
//! Words are bytes, because names on a host are: `$'…'` writes any byte as `\xHH`. What [`quote`] writes, [`split`]
//! reads as the same bytes, and nothing in it acts on a terminal. Deliberately not here: variables, patterns, pipes.

use crate::cli::output::is_hazardous;

/// A line that is not made of words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// A quotation that does not end.
    #[error("a quotation mark has no partner")]
    Unfinished,
    /// Something else than `\n`, `\xHH` … within `$'…'`.
    #[error("\\{0} within $'…' means nothing; known are \\\\ \\' \\\" \\n \\t \\r \\e and \\xHH")]
    Escape(String),
}

/// A word of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    /// What it means.
    pub(super) bytes: Vec<u8>,
    /// Where it begins in the line.
    pub(super) start: usize,
}

/// A line as far as it is written.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Lexed {
    pub(super) words: Vec<Word>,
    /// Whether the last word may go on: no blank is behind it.
    pub(super) open_word: bool,
    /// Whether a quotation has no end.
    pub(super) open_quote: bool,
}

/// The words of a line.
pub(super) fn split(line: &str) -> Result<Vec<Vec<u8>>, Error> {
    let lexed = lex(line)?;
    if lexed.open_quote {
        return Err(Error::Unfinished);
    }
    Ok(lexed.words.into_iter().map(|word| word.bytes).collect())
}

/// The words of a line that may not be finished.
pub(super) fn lex(line: &str) -> Result<Lexed, Error> {
    let mut lexer = Lexer {
        rest: line.char_indices().peekable(),
        words: Vec::new(),
        word: None,
        open_quote: false,
    };
    while let Some((at, c)) = lexer.rest.next() {
        lexer.step(at, c)?;
    }
    let open_word = lexer.word.is_some();
    lexer.words.extend(lexer.word);
    Ok(Lexed {
        words: lexer.words,
        open_word,
        open_quote: lexer.open_quote,
    })
}

struct Lexer<'a> {
    rest: std::iter::Peekable<std::str::CharIndices<'a>>,
    words: Vec<Word>,
    word: Option<Word>,
    open_quote: bool,
}

impl Lexer<'_> {
    fn step(&mut self, at: usize, c: char) -> Result<(), Error> {
        if c.is_whitespace() {
            self.words.extend(self.word.take());
            return Ok(());
        }
        self.word.get_or_insert(Word {
            bytes: Vec::new(),
            start: at,
        });
        match c {
            '\'' => self.quoted(c, |_, c| Ok(Some(c))),
            '"' => self.quoted(c, Self::in_double),
            '$' if self.rest.next_if(|(_, next)| *next == '\'').is_some() => {
                self.quoted('\'', Self::in_dollar)
            }
            '\\' => {
                match self.rest.next() {
                    Some((_, escaped)) => self.push(escaped),
                    None => self.open_quote = true,
                }
                Ok(())
            }
            c => {
                self.push(c);
                Ok(())
            }
        }
    }

    fn push(&mut self, c: char) {
        if let Some(word) = &mut self.word {
            word.bytes
                .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }

    /// Up to the closing quotation mark; `inside` says what a character stands for, or has written it already.
    fn quoted(
        &mut self,
        end: char,
        inside: impl Fn(&mut Self, char) -> Result<Option<char>, Error>,
    ) -> Result<(), Error> {
        while let Some((_, c)) = self.rest.next() {
            if c == end {
                return Ok(());
            }
            if let Some(c) = inside(self, c)? {
                self.push(c);
            }
        }
        self.open_quote = true;
        Ok(())
    }

    fn in_double(&mut self, c: char) -> Result<Option<char>, Error> {
        if c != '\\' {
            return Ok(Some(c));
        }
        let escaped = self
            .rest
            .next_if(|(_, next)| matches!(next, '"' | '\\' | '$' | '`'));
        Ok(Some(escaped.map_or(c, |(_, escaped)| escaped)))
    }

    fn in_dollar(&mut self, c: char) -> Result<Option<char>, Error> {
        if c != '\\' {
            return Ok(Some(c));
        }
        let Some((_, escaped)) = self.rest.next() else {
            return Ok(None);
        };
        Ok(Some(match escaped {
            '\\' | '\'' | '"' => escaped,
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'e' => '\u{1b}',
            'x' => return self.hexadecimal().map(|()| None),
            other => return Err(Error::Escape(other.to_string())),
        }))
    }

    /// Two digits, one byte.
    fn hexadecimal(&mut self) -> Result<(), Error> {
        let mut digits = String::new();
        for _ in 0..2 {
            let next = self.rest.next_if(|(_, next)| next.is_ascii_hexdigit());
            digits.extend(next.map(|(_, digit)| digit));
        }
        // Only at the end of what is written so far may digits be missing.
        match u8::from_str_radix(&digits, 16) {
            Ok(byte) if digits.len() == 2 => {
                if let Some(word) = &mut self.word {
                    word.bytes.push(byte);
                }
                Ok(())
            }
            _ if self.rest.peek().is_none() => Ok(()),
            _ => Err(Error::Escape(format!("x{digits}"))),
        }
    }
}

/// The bytes as one word: as they are where that is possible, else quoted. Also how names from hosts are shown.
pub(super) fn quote(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.chars().any(is_hazardous) => escaped(bytes),
        Ok(text) if is_plain(text) => text.to_owned(),
        Ok(text) if !text.contains('\'') => format!("'{text}'"),
        _ => escaped(bytes),
    }
}

fn is_plain(text: &str) -> bool {
    let plain = |c: char| {
        c.is_ascii_alphanumeric() || "_-./:@%+=,^~".contains(c) || (!c.is_ascii() && !c.is_whitespace())
    };
    !text.is_empty() && text.chars().all(plain)
}

/// `$'…'`: every byte that is not a harmless character as `\xHH`.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::from("$'");
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' | '\'' => text.extend(['\\', c]),
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '\u{1b}' => text.push_str("\\e"),
                c if is_hazardous(c) => hexadecimal(&mut text, c.encode_utf8(&mut [0; 4]).as_bytes()),
                c => text.push(c),
            }
        }
        hexadecimal(&mut text, chunk.invalid());
    }
    text.push('\'');
    text
}

fn hexadecimal(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\x{byte:02x}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn words(line: &str) -> Vec<String> {
        let words = split(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        words
            .into_iter()
            .map(|word| String::from_utf8(word).unwrap())
            .collect()
    }

    #[test]
    fn a_line_is_split_as_a_shell_splits_it() {
        for (line, expected) in [
            ("", vec![]),
            ("  \t ", vec![]),
            ("ls /tmp", vec!["ls", "/tmp"]),
            (r"get a\ b  'c d'", vec!["get", "a b", "c d"]),
            (r#"exec "a\"b" "c\d" '$x'"#, vec!["exec", "a\"b", r"c\d", "$x"]),
            (r"rm $'a\tb\'c' ''", vec!["rm", "a\tb'c", ""]),
            (r"a'b'c", vec!["abc"]),
            ("$ $x", vec!["$", "$x"]),
            (r"'HKLM\Software'", vec![r"HKLM\Software"]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
        assert_eq!(
            split(r"rm $'\xff\xfe'").unwrap(),
            [b"rm".to_vec(), vec![0xff, 0xfe]]
        );
    }

    #[test]
    fn a_line_that_is_no_words_is_refused() {
        for line in ["ls 'a", "ls \"a", "ls $'a", "ls a\\", r"ls $'\x4"] {
            assert_eq!(split(line), Err(Error::Unfinished), "{line}");
        }
        for line in [r"ls $'\q'", r"ls $'\x4'", r"ls $'\xzz'"] {
            assert!(matches!(split(line), Err(Error::Escape(_))), "{line}");
        }
    }

    #[test]
    fn the_last_word_of_a_line_may_be_open() {
        let lexed = lex("ls 'a b").unwrap();
        assert!(lexed.open_quote && lexed.open_word);
        assert_eq!((lexed.words[1].start, &*lexed.words[1].bytes), (3, &b"a b"[..]));
        assert!(!lex("ls ").unwrap().open_word);
        assert!(!lex("").unwrap().open_word);
    }

    #[test]
    fn only_what_needs_it_is_quoted() {
        for (bytes, expected) in [
            (&b"/etc/hosts"[..], "/etc/hosts"),
            ("größe".as_bytes(), "größe"),
            (b"", "''"),
            (b"a b", "'a b'"),
            (b"$HOME", "'$HOME'"),
            (b"it's", r"$'it\'s'"),
            (b"\x1b[2J", r"$'\e[2J'"),
            (b"a\nb\xff", r"$'a\nb\xff'"),
            ("\u{202e}txt".as_bytes(), r"$'\xe2\x80\xaetxt'"),
            ("\u{9b}2J".as_bytes(), r"$'\xc2\x9b2J'"),
        ] {
            assert_eq!(quote(bytes), expected);
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_is_read_as_the_same_bytes_and_is_harmless(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let quoted = quote(&bytes);
            prop_assert!(!quoted.chars().any(is_hazardous), "{:?}", quoted);
            prop_assert_eq!(split(&quoted), Ok(vec![bytes]));
        }

        #[test]
        fn any_line_is_split_or_refused(line in ".*") {
            // Whatever comes from a keyboard or a file.
            let _ = split(&line);
            let _ = lex(&line);
        }
    }
}
