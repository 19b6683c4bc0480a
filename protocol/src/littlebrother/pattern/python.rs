//! Python's regular expressions, rewritten so that Rust's engine matches the same texts.
//!
//! The two differ in small things that both take without complaint: brackets within a class, `a**`, `{,3}`, what
//! `\s`, `\w` and `$` mean. So each part is read as Python reads it and written out in a form that has one
//! meaning. What remains: `\b` and `\B` go by Rust's words, which differ from Python's in combining marks and
//! fractions, and `\B` in an empty name; nothing can match the line feed that a `$` left of it stands before;
//! letters newer than a Python count as letters.
//!
//! Deliberately refused although Python takes it: look-around, back-references, octal escapes, named characters,
//! comments, conditions, atomic groups, possessive repetitions, and flags other than `i` and `s`.

use super::InvalidPattern;

/// `$` without flags: the end, or before a line feed that is the last character.
const END: &str = r"(?:\n?\z)";
const WORD: &str = r"[\p{L}\p{N}_]";
const NO_WORD: &str = r"[^\p{L}\p{N}_]";
const SPACE: &str = r"[\s\x1c-\x1f]";
const NO_SPACE: &str = r"[^\s\x1c-\x1f]";

/// White space of Python's `str.strip` and `\s`.
pub(super) fn is_space(char: char) -> bool {
    char.is_whitespace() || ('\x1c'..='\x1f').contains(&char)
}

/// Rewrites `expression`.
pub(super) fn translate(expression: &str) -> Result<String, InvalidPattern> {
    let mut translator = Translator {
        rest: expression,
        out: String::with_capacity(expression.len() + 16),
        before: Before::Start,
        open_groups: 0,
    };
    while let Some(char) = translator.take() {
        translator.part(char)?;
    }
    match translator.open_groups {
        0 => Ok(translator.out),
        _ => syntax("a ( is not closed"),
    }
}

/// What a repetition would repeat.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Before {
    /// Nothing but flags came so far.
    Start,
    Nothing,
    Assertion,
    Item,
    Repetition,
}

/// One part of a class.
#[derive(Clone, Copy)]
enum Member {
    Char(char),
    Set(&'static str),
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    before: Before,
    open_groups: usize,
}

fn syntax<T>(problem: impl Into<String>) -> Result<T, InvalidPattern> {
    Err(InvalidPattern::Syntax(problem.into()))
}

fn unsupported<T>(what: &'static str) -> Result<T, InvalidPattern> {
    Err(InvalidPattern::Unsupported(what))
}

fn set(letter: char) -> Option<&'static str> {
    Some(match letter {
        'd' => r"\d",
        'D' => r"\D",
        'w' => WORD,
        'W' => NO_WORD,
        's' => SPACE,
        'S' => NO_SPACE,
        _ => return None,
    })
}

impl Translator<'_> {
    fn take(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let char = chars.next()?;
        self.rest = chars.as_str();
        Some(char)
    }

    fn take_text(&mut self, text: &str) -> bool {
        let after = self.rest.strip_prefix(text);
        self.rest = after.unwrap_or(self.rest);
        after.is_some()
    }

    fn push(&mut self, text: &str, now: Before) {
        self.out.push_str(text);
        self.before = now;
    }

    /// A character that stands for itself, in a class or outside.
    fn push_char(&mut self, char: char) {
        if char.is_ascii() && !char.is_ascii_alphanumeric() {
            self.out.push_str(&format!(r"\x{:02x}", u32::from(char)));
        } else {
            self.out.push(char);
        }
    }

    fn literal(&mut self, char: char) {
        self.push_char(char);
        self.before = Before::Item;
    }

    fn part(&mut self, char: char) -> Result<(), InvalidPattern> {
        match char {
            '\\' => return self.escape(),
            '[' => return self.class(),
            '(' => return self.group(),
            ')' => return self.close(),
            '*' | '+' | '?' => return self.repetition(&char.to_string()),
            '{' => return self.braces(),
            '|' => self.push("|", Before::Nothing),
            '^' => self.push("^", Before::Assertion),
            '$' => self.push(END, Before::Assertion),
            '.' => self.push(".", Before::Item),
            other => self.literal(other),
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), InvalidPattern> {
        match self.take() {
            None => return syntax("it ends with a single backslash"),
            Some('A') => self.push(r"\A", Before::Assertion),
            Some('Z') => self.push(r"\z", Before::Assertion),
            Some('b') => self.push(r"\b", Before::Assertion),
            Some('B') => self.push(r"\B", Before::Assertion),
            Some(char) => match self.escaped(char)? {
                Member::Char(char) => self.literal(char),
                Member::Set(set) => self.push(set, Before::Item),
            },
        }
        Ok(())
    }

    /// What a backslash and `char` mean in a class as well as outside.
    fn escaped(&mut self, char: char) -> Result<Member, InvalidPattern> {
        if let Some(set) = set(char) {
            return Ok(Member::Set(set));
        }
        let char = match char {
            'a' => '\x07',
            'f' => '\x0c',
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'v' => '\x0b',
            'x' => self.code_point(2)?,
            'u' => self.code_point(4)?,
            'U' => self.code_point(8)?,
            'N' => return unsupported(r"a character by its name, \N{…},"),
            '0'..='9' => return unsupported("a back-reference or an octal escape"),
            other if other.is_ascii_alphabetic() => return syntax(format!(r"\{other} has no meaning")),
            other => other,
        };
        Ok(Member::Char(char))
    }

    fn code_point(&mut self, digits: usize) -> Result<char, InvalidPattern> {
        let (hex, after) = self.rest.split_at_checked(digits).unwrap_or_default();
        let code = match hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            true => u32::from_str_radix(hex, 16).ok(),
            false => None,
        };
        self.rest = after;
        match (code, code.and_then(char::from_u32)) {
            (_, Some(char)) => Ok(char),
            (Some(0xd800..=0xdfff), None) => unsupported("half a character (a surrogate)"),
            _ => syntax(format!(
                r"\x, \u or \U needs {digits} digits that name a character"
            )),
        }
    }

    fn class(&mut self) -> Result<(), InvalidPattern> {
        self.push("[", Before::Item);
        if self.take_text("^") {
            self.push("^", Before::Item);
        }
        // A closing bracket that comes first stands for itself.
        let mut char = self.class_char()?;
        loop {
            let member = self.member(char)?;
            if !self.take_text("-") {
                self.push_member(member);
            } else if self.rest.starts_with(']') {
                self.push_member(member);
                self.push_char('-');
            } else {
                self.range(member)?;
            }
            if self.take_text("]") {
                self.push("]", Before::Item);
                return Ok(());
            }
            char = self.class_char()?;
        }
    }

    fn class_char(&mut self) -> Result<char, InvalidPattern> {
        match self.take() {
            Some(char) => Ok(char),
            None => syntax("a [ is not closed"),
        }
    }

    fn member(&mut self, char: char) -> Result<Member, InvalidPattern> {
        if char != '\\' {
            return Ok(Member::Char(char));
        }
        match self.class_char()? {
            'b' => Ok(Member::Char('\x08')),
            char => self.escaped(char),
        }
    }

    fn push_member(&mut self, member: Member) {
        match member {
            Member::Char(char) => self.push_char(char),
            Member::Set(set) => self.out.push_str(set),
        }
    }

    fn range(&mut self, from: Member) -> Result<(), InvalidPattern> {
        let char = self.class_char()?;
        match (from, self.member(char)?) {
            (Member::Char(from), Member::Char(to)) if from <= to => {
                self.push_char(from);
                self.out.push('-');
                self.push_char(to);
                Ok(())
            }
            _ => syntax("a range in [ ] has no beginning, no end, or ends before it begins"),
        }
    }

    fn group(&mut self) -> Result<(), InvalidPattern> {
        let starts = self.before == Before::Start;
        if !self.take_text("?") {
            self.open("(");
        } else if self.take_text(":") {
            self.open("(?:");
        } else if self.take_text("P<") {
            return self.named();
        } else {
            return self.flags(starts);
        }
        Ok(())
    }

    fn open(&mut self, text: &str) {
        self.push(text, Before::Nothing);
        self.open_groups += 1;
    }

    fn close(&mut self) -> Result<(), InvalidPattern> {
        match self.open_groups.checked_sub(1) {
            Some(open) => self.open_groups = open,
            None => return syntax("a ) closes nothing"),
        }
        self.push(")", Before::Item);
        Ok(())
    }

    fn named(&mut self) -> Result<(), InvalidPattern> {
        let (name, after) = self.rest.split_once('>').unwrap_or_default();
        let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
        if !name.chars().all(is_name) || !name.starts_with(|char: char| !char.is_ascii_digit()) {
            return syntax("a group's name must be ASCII letters, digits and _");
        }
        self.rest = after;
        self.open(&format!("(?P<{name}>"));
        Ok(())
    }

    /// `(?i)` before everything else, `(?i:…)` anywhere.
    fn flags(&mut self, starts: bool) -> Result<(), InvalidPattern> {
        let letters = self.rest.find(|char| !matches!(char, 'i' | 's')).unwrap_or(0);
        let (flags, after) = self.rest.split_at_checked(letters).unwrap_or_default();
        match (flags, after.chars().next()) {
            ("", _) => return refused_group(after),
            (_, Some(':')) => self.open(&format!("(?{flags}:")),
            (_, Some(')')) if starts => self.push(&format!("(?{flags})"), Before::Start),
            (_, Some(')')) => return syntax("flags such as (?i) must be the first of the whole pattern"),
            _ => return unsupported("a flag other than i and s"),
        }
        self.rest = after.get(1..).unwrap_or_default();
        Ok(())
    }

    /// `text` is the repetition as Rust writes it.
    fn repetition(&mut self, text: &str) -> Result<(), InvalidPattern> {
        match self.before {
            Before::Item => {}
            Before::Repetition => return syntax(format!("{text} repeats a repetition")),
            _ => return syntax(format!("{text} has nothing to repeat")),
        }
        self.push(text, Before::Repetition);
        if self.take_text("?") {
            self.out.push('?');
        } else if self.rest.starts_with('+') {
            return unsupported("a possessive repetition");
        }
        Ok(())
    }

    /// A brace that begins no repetition stands for itself.
    fn braces(&mut self) -> Result<(), InvalidPattern> {
        let (inner, after) = self.rest.split_once('}').unwrap_or_default();
        let (from, to) = inner.split_once(',').unwrap_or((inner, inner));
        if inner.is_empty() || !(from.bytes().chain(to.bytes())).all(|byte| byte.is_ascii_digit()) {
            self.literal('{');
            return Ok(());
        }
        self.rest = after;
        let from = if from.is_empty() { "0" } else { from };
        match inner.contains(',') {
            true => self.repetition(&format!("{{{from},{to}}}")),
            false => self.repetition(&format!("{{{from}}}")),
        }
    }
}

/// Names what begins with `(?` and is not taken.
fn refused_group(after: &str) -> Result<(), InvalidPattern> {
    match after.chars().next() {
        Some('=' | '!') => unsupported("look-ahead"),
        Some('<') if after.starts_with("<=") || after.starts_with("<!") => unsupported("look-behind"),
        Some('P') => unsupported("a back-reference by name"),
        Some('>') => unsupported("an atomic group"),
        Some('#') => unsupported("a comment"),
        Some('(') => unsupported("a condition"),
        Some('a' | 'L' | 'm' | 'u' | 'x' | '-') => unsupported("a flag other than i and s"),
        _ => syntax("(? begins no group that Python knows"),
    }
}
