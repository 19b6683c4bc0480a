//! Constants of the code that ships, read from its sources, and their values.
//!
//! Most are private to their modules, where they belong; a page about them should not make them public.
//! Deliberately not here: constants whose value is no number and no time.

use crate::pages::root;
use std::path::Path;
use tripline_protocol::Span;

/// Where what ships is.
const FOLDERS: [&str; 6] = [
    "protocol/src",
    "actors/src",
    "src",
    "agent/src",
    "client/src",
    "service/src",
];

/// A constant as it is written.
#[derive(Debug, Clone)]
pub(crate) struct Constant {
    /// Its file, from the root.
    pub(crate) path: String,
    pub(crate) name: String,
    value: String,
}

/// All constants that ship.
pub(crate) struct Constants(Vec<Constant>);

/// What a constant comes to.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Value {
    Number(u128),
    Millis(u128),
}

impl Constants {
    pub(crate) fn read() -> Self {
        let found: Vec<Constant> = Self::sources()
            .iter()
            .flat_map(|(path, code)| in_source(path, code))
            .collect();
        assert!(found.len() > 300, "the constants were not found");
        Self(found)
    }

    /// Every source that ships with its path, up to its tests.
    pub(crate) fn sources() -> Vec<(String, String)> {
        let mut found = Vec::new();
        for folder in FOLDERS {
            in_folder(&root().join(folder), &mut found);
        }
        found
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Constant> {
        self.0.iter()
    }

    pub(crate) fn get(&self, path: &str, name: &str) -> Option<&Constant> {
        self.0
            .iter()
            .find(|constant| constant.path == path && constant.name == name)
    }

    /// Its value for readers.
    pub(crate) fn shown(&self, constant: &Constant) -> String {
        let value = |text: &str| {
            Reader::new(text, &constant.path, self)
                .sum()
                .unwrap_or_else(|| panic!("{}: {} is not understood", constant.path, constant.value))
        };
        match constant.value.split_once("..=") {
            Some((least, most)) => {
                let most = constant.in_its_unit(value(most));
                format!(
                    "{} to {most}",
                    constant
                        .in_its_unit(value(least))
                        .trim_end_matches(char::is_alphabetic)
                        .trim()
                )
            }
            None => constant.in_its_unit(value(&constant.value)),
        }
    }

    /// The one of the same file, or else the only one of that name.
    fn named(&self, name: &str, path: &str) -> Option<&Constant> {
        let mut all = self.0.iter().filter(|constant| constant.name == name);
        self.get(path, name)
            .or_else(|| all.next().filter(|_| all.next().is_none()))
    }
}

impl Constant {
    pub(crate) fn has_word(&self, words: &[&str]) -> bool {
        self.name.split('_').any(|word| words.contains(&word))
    }

    fn in_its_unit(&self, value: Value) -> String {
        match value {
            Value::Millis(millis) => span(millis),
            Value::Number(number) if self.has_word(&["BYTES", "CREDIT"]) => bytes(number),
            Value::Number(number) if self.has_word(&["SECONDS", "S"]) => span(1_000 * number),
            Value::Number(number) if self.has_word(&["CHARS"]) => format!("{} characters", thousands(number)),
            Value::Number(number) => thousands(number),
        }
    }
}

fn span(millis: u128) -> String {
    Span::from_millis(u64::try_from(millis).unwrap()).to_string()
}

fn bytes(number: u128) -> String {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units
        .iter()
        .find(|(_, unit)| number > 0 && number.is_multiple_of(*unit))
    {
        Some((name, unit)) => format!("{} {name}", number / unit),
        None => format!("{} bytes", thousands(number)),
    }
}

/// With a comma between thousands.
pub(crate) fn thousands(number: u128) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

fn in_folder(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        // Files of tests, as they are called everywhere here.
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            in_folder(&path, found);
        } else if is_rust {
            let mut text = std::fs::read_to_string(&path).unwrap();
            text.truncate(text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len()));
            let path = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((path, text));
        }
    }
}

/// The constants of a source.
fn in_source(path: &str, code: &str) -> Vec<Constant> {
    let lines = code.match_indices('\n').map(|(at, _)| at + 1);
    std::iter::once(0)
        .chain(lines)
        .filter_map(|at| constant(path, code[at..].trim_start()))
        .collect()
}

/// The constant that `text` begins with.
fn constant(path: &str, text: &str) -> Option<Constant> {
    let text = match text.strip_prefix("pub") {
        Some(rest) => match rest.strip_prefix('(') {
            Some(within) => within.split_once(')')?.1,
            None => rest,
        }
        .trim_start(),
        None => text,
    };
    let text = text
        .strip_prefix("const ")
        .or_else(|| text.strip_prefix("static "))?;
    let (name, rest) = text.split_once(':')?;
    let is_name = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    if !name.chars().all(is_name) {
        return None;
    }
    let (_, rest) = rest.split_once('=')?;
    let (value, _) = rest.split_once(';')?;
    Some(Constant {
        path: path.to_owned(),
        name: name.to_owned(),
        value: value.trim().to_owned(),
    })
}

/// Reads as much of Rust's expressions as constants need.
struct Reader<'a> {
    words: Vec<String>,
    at: usize,
    path: &'a str,
    constants: &'a Constants,
}

impl<'a> Reader<'a> {
    fn new(text: &str, path: &'a str, constants: &'a Constants) -> Self {
        Self {
            words: words(text),
            at: 0,
            path,
            constants,
        }
    }

    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", String::as_str)
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.peek() == word;
        self.at += usize::from(found);
        found
    }

    fn sum(&mut self) -> Option<Value> {
        let mut value = self.product()?;
        loop {
            let shifts = match self.peek() {
                "+" => false,
                "<<" => true,
                _ => return Some(value),
            };
            self.at += 1;
            let (Value::Number(left), Value::Number(right)) = (value, self.product()?) else {
                return None;
            };
            value = Value::Number(if shifts { left << right } else { left + right });
        }
    }

    fn product(&mut self) -> Option<Value> {
        let mut value = self.one()?;
        while self.takes("*") {
            let (Value::Number(left), Value::Number(right)) = (value, self.one()?) else {
                return None;
            };
            value = Value::Number(left * right);
        }
        Some(value)
    }

    fn one(&mut self) -> Option<Value> {
        let word = self.peek().to_owned();
        self.at += 1;
        let value = if word == "(" {
            let value = self.sum()?;
            self.takes(")").then_some(value)?
        } else if let Some(number) = number(&word) {
            Value::Number(number)
        } else if let Some(unit) = unit(&word) {
            let Value::Number(number) = self.one()? else {
                return None;
            };
            Value::Millis(number * unit)
        } else {
            let constant = self.constants.named(&word, self.path)?;
            Reader::new(&constant.value, &constant.path, self.constants).sum()?
        };
        while self.takes("as") {
            self.at += 1;
        }
        Some(value)
    }
}

fn number(word: &str) -> Option<u128> {
    let plain = word.replace('_', "");
    match plain.strip_prefix("0x") {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None => plain.parse().ok(),
    }
}

/// Milliseconds of what a function that makes a time is given.
fn unit(word: &str) -> Option<u128> {
    match word.rsplit("::").next()? {
        "from_secs" => Some(1_000),
        "from_millis" => Some(1),
        _ => None,
    }
}

fn words(text: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut joins = false;
    for letter in text.chars() {
        let is_word = letter.is_alphanumeric() || matches!(letter, '_' | ':');
        let is_second = letter == '<' && words.last().is_some_and(|word| word == "<");
        match words.last_mut() {
            Some(word) if (joins && is_word) || is_second => word.push(letter),
            _ if !letter.is_whitespace() => words.push(letter.to_string()),
            _ => {}
        }
        joins = is_word;
    }
    words
}

#[test]
fn constants_are_read_with_their_values() {
    let text = "/// A.\npub(crate) const A_BYTES_MAX: usize = 4 * 1024;\nconst B: Span = tripline::Span::from_secs(2 * 60);\n    \
                const C_SECONDS: u64 = (1 << 3) + 2;\nstatic D_CHARS: R = 16..=1_512;\nconst E: &[u8] = b\"x\";\nfn x() {}\n\
                const F: u64 = 2 * A_BYTES_MAX as u64;\n";
    let constants = Constants(in_source("x.rs", text));
    let shown = |name: &str| constants.shown(constants.get("x.rs", name).unwrap());
    assert_eq!(shown("A_BYTES_MAX"), "4 KiB");
    assert_eq!(shown("B"), "2m");
    assert_eq!(shown("C_SECONDS"), "10s");
    assert_eq!(shown("D_CHARS"), "16 to 1,512 characters");
    assert_eq!(shown("F"), "8,192");
    assert!(constants.get("x.rs", "E").is_some());
}
