//! Patterns mean what Python's own `re` makes of them: asked of `python3`, which every machine that tests has.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};
use tripline_protocol::littlebrother::{InvalidPattern, ProcessPattern, ProhibitedPattern};

/// What `re` says.
const ORACLE: &str = include_str!("oracle.py");

#[derive(Debug, Clone)]
struct Case {
    text: String,
    prohibited: bool,
    names: Vec<String>,
}

/// Asks Python about all cases at once.
fn ask(cases: &[Case]) -> Vec<Value> {
    let case = |case: &Case| json!({"text": case.text, "anywhere": case.prohibited, "names": case.names});
    let input = Value::from_iter(cases.iter().map(case)).to_string();
    let mut python = Command::new("python3")
        .args(["-c", ORACLE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed: it is the oracle of patterns");
    python.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The same of ours; `None` for what is refused on purpose.
fn ours(case: &Case) -> Option<Value> {
    let matches: Result<Option<Vec<bool>>, InvalidPattern> = if case.prohibited {
        ProhibitedPattern::parse(&case.text).map(|pattern| {
            pattern.map(|pattern| case.names.iter().map(|name| pattern.matches(name)).collect())
        })
    } else {
        ProcessPattern::parse(&case.text)
            .map(|pattern| Some(case.names.iter().map(|name| pattern.matches(name)).collect()))
    };
    match matches {
        Ok(Some(matches)) => Some(json!(matches)),
        Ok(None) | Err(InvalidPattern::Empty) => Some(json!("empty")),
        Err(InvalidPattern::Syntax(_)) => Some(json!("refused")),
        Err(InvalidPattern::Unsupported(_)) => None,
    }
}

/// Compares them, and gives the number of cases that were matched.
fn compare(cases: &[Case]) -> usize {
    let theirs = ask(cases);
    assert_eq!(theirs.len(), cases.len());
    let mut matched = 0;
    for (case, theirs) in cases.iter().zip(theirs) {
        if let Some(ours) = ours(case) {
            assert_eq!(ours, theirs, "{case:?}");
            matched += usize::from(theirs.is_array());
        }
    }
    matched
}

fn table(texts: &[&str], names: &[&str]) -> usize {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let case = |text: &&str| {
        [false, true].map(|prohibited| Case {
            text: (*text).to_owned(),
            prohibited,
            names: names.clone(),
        })
    };
    compare(&texts.iter().flat_map(case).collect::<Vec<_>>())
}

/// Texts of real configurations, and texts about how lines are told apart.
#[test]
fn lines_are_told_apart_as_in_python() {
    let texts = [
        "systemd|bash|sh|csh|tsh",
        "bash\nzsh",
        "bash\r\nzsh\r\n",
        "bash\rzsh",
        "b\ra\rs\rh",
        "bash\u{c}zsh",
        "bash\u{b}zsh",
        "bash\u{85}zsh",
        "bash\u{2028}zsh",
        "bash\u{2029}zsh",
        "bash\u{1c}zsh",
        "  bash  \n\t zsh \u{1f}",
        "\u{a0}bash\u{3000}",
        "a\nb\nbash",
        "ä\n é \n😀",
        "😀😀\n",
        "x\n\n\ny",
        "",
        "\n",
        "\r",
        "/",
        "/\nbash",
        "bash\n/",
        "/usr/bin/bash\nzsh",
        "https?://",
        " .*/steam \n .*/wine ",
        "java.*minecraft",
        "Minecraft|minecraft",
        "(bash",
        "bash)\n(zsh",
        "(ba\nsh)",
        "/(ba\nsh)",
        "ba.sh\nb?sh",
        "a|b",
        "ab|",
        "|ab",
        "/||",
    ];
    let names = [
        "bash",
        "zsh",
        "sh",
        "tsh",
        "tcsh",
        "bash zsh",
        "-bash",
        "BASH",
        "bash\nzsh",
        "x\nbash",
        "bash\n",
        "bash\r",
        "bash\u{c}zsh",
        "bash\u{2028}zsh",
        "bash\u{85}zsh",
        "bashzsh",
        "/usr/bin/bash",
        "sh /usr/bin/bash",
        "/opt/steam",
        "java -jar minecraft.jar",
        "https://x",
        "😀😀",
        "ä",
        "a",
        "b",
        "",
        " ",
        "\n",
        "\u{0}",
    ];
    assert!(table(&texts, &names) > 40);
}

/// What both engines take, and take differently unless one is rewritten as the other.
#[test]
fn expressions_mean_what_they_mean_in_python() {
    let texts = [
        r"\d+x",
        r"\w\w",
        r"\W\W",
        r"\s\s",
        r"/\s",
        r"/|\s",
        r"/|\S",
        r"/|\w",
        r"/|\W",
        r"/|\d",
        r"/|\D",
        r"/|[\w-]",
        r"/|[^\w-]",
        r"/|[\s\S]",
        r"/|[^\s]",
        r"/|[^\S]",
        r"/|[\d_]",
        "/|[^a]",
        "/|[a-c]+$",
        "/|[]a]",
        "/|[^]a]",
        "/|[a-]",
        "/|[-a]",
        "/|[a\\-c]",
        "/|[[a]",
        "/|[[:alpha:]]",
        "/|[a&&b]",
        "/|[a||b]",
        "/|[a~~b]",
        "/|[+--]",
        r"/|[\b]",
        r"/|[\]]",
        "/|a{2}",
        "/|a{,2}b",
        "/|a{1,}b",
        "/|a{,}b",
        "/|a{}",
        "/|a{x}",
        "/|a{ 2}",
        "/|{",
        "/|a{2",
        "/|a}",
        "/|a{2}?b",
        "/|a{2}{3}",
        "/|a{2}*",
        "/|a*?b",
        "/|a??b",
        "/|(a)*",
        "/|()*",
        "/|(?:)*a",
        "/|(^)*a",
        "/|(?:a|b)+c",
        "/|(?P<n>a)b",
        "/|(?i:BASH)",
        "(?i)/|BASH",
        "(?i)(?s)/|BASH.x",
        "(?si)/|BASH.x",
        "(?i)BASH",
        "/|(?s:bash.x)",
        "/|bash.x",
        "bash$",
        "/|bash$",
        "/|^bash$",
        "/|$",
        "/|^",
        "^bash",
        "$bash",
        r"/|\Abash\Z",
        r"\Abash",
        r"bash\Z",
        r"\.\*\-\/\ \#\<\>\&\~\'",
        r"a\",
        r"/a\",
        r"\x41\u0042\U00000043",
        r"\t\n\r\f\v\a",
        r"/|\ä",
        r"\q\q",
        r"\_\_",
        r"\ud83d",
        "#x",
        "a b",
        "/|k",
        "/|(?i:k)",
        "/|(?i:s)",
        "/|(?i:ß)",
        "/|(?i:σ)",
        "/|(?i:µ)",
        "/|(?i:é)",
        "/|(?i:[a-c])$",
        "/|(?i:[^a-c])$",
        "a{1000}",
        "/|a{99999999999999999999}",
    ];
    let names = [
        "a",
        "b",
        "c",
        "aa",
        "ab",
        "aab",
        "abc",
        "aaab",
        "aaaaaa",
        "A",
        "B",
        "ABC",
        "bash",
        "BASH",
        "bAsH",
        "bash\n",
        "bash\nx",
        "bash\n\n",
        "\nbash",
        "x bash y",
        "rbash",
        "sh",
        "_",
        "-",
        "]",
        "[",
        "{",
        "}",
        "{}",
        "a{}",
        "a{x}",
        "a{ 2}",
        "a{2",
        "^",
        "$",
        "+",
        ",",
        "&",
        "~",
        "|",
        "\u{8}",
        "#x",
        "a b",
        "1x",
        "٣x",
        "²x",
        "½",
        "Ⅷ",
        "é",
        "e\u{301}",
        "ä",
        "‿",
        "\u{200d}",
        "电脑",
        "ß",
        "ẞ",
        "SS",
        "K",
        "\u{212a}",
        "ſ",
        "Σ",
        "ς",
        "μ",
        "É",
        " ",
        "\u{1c}",
        "\u{1f}",
        "\u{85}",
        "\u{a0}",
        "\u{200b}",
        "\u{2028}",
        "\t\n\r\u{c}\u{b}\u{7}",
        ".*-/ #<>&~'",
        "__",
        "\n",
        "",
    ];
    assert!(table(&texts, &names) > 100);
}

/// Beside combining marks and fractions the two differ, which the documentation says.
#[test]
fn words_begin_and_end_as_in_python() {
    let texts = [r"\bbash\b", r"/|\bsh", r"/|\Bsh", r"a\Bb", r"\b\Bx", r"/|\b*"];
    let names = [
        "bash",
        "rbash",
        "x bash y",
        "-bash-",
        "/bin/bash",
        "bash2",
        "bash_",
        "ébash",
        "bashé",
        "电bash",
        "sh",
        "zsh",
        "ab",
        "a b",
    ];
    assert!(table(&texts, &names) > 8);
}

/// Pieces of expressions, sensible and not.
fn text() -> impl Strategy<Value = String> {
    let pieces = [
        "a", "b", "sh", "Sh", "é", "ß", " ", "-", "/", "\n", "\n", "\r\n", "\r", "\u{c}", "\u{2028}", ".",
        ".*", "*", "+", "?", "*?", "+?", "??", "{2}", "{,2}", "{1,}", "{1,2}", "{", "}", "{x", "^", "|", "|",
        "(", ")", "(", ")", "(?:", "(?i:", "(?s:", "(?i)", "(?P<n>", "(?=", "(?<", "[ab]", "[^a]", "[a-c]",
        "[]a]", "[a", "]", "[\\w-]", "[^\\s/]", "[a&&b]", "[a[b]", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S",
        "\\A", "\\Z", "\\.", "\\-", "\\<", "\\q", "\\1", "\\x61", "\\", "_", "1",
    ];
    vec(prop::sample::select(pieces.to_vec()), 0..9).prop_map(|pieces| pieces.concat())
}

fn name() -> impl Strategy<Value = String> {
    let pieces = [
        "a", "b", "c", "sh", "SH", "é", "É", "ß", " ", "-", "/", "\n", "_", "1", "²", ".", "x", "\u{1c}",
        "\u{85}", "[", "]", "{", "}", "q",
    ];
    vec(prop::sample::select(pieces.to_vec()), 0..5).prop_map(|pieces| pieces.concat())
}

#[test]
fn expressions_nobody_thought_of_mean_what_they_mean_in_python() {
    let case = (text(), any::<bool>(), vec(name(), 8)).prop_map(|(text, prohibited, names)| Case {
        text,
        prohibited,
        names,
    });
    let mut runner = TestRunner::deterministic();
    let cases: Vec<Case> = (0..20_000)
        .map(|_| case.new_tree(&mut runner).unwrap().current())
        .collect();
    assert!(compare(&cases) > 5_000);
}
