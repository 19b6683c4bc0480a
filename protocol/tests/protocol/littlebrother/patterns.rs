//! Patterns: cases that people get wrong, what is refused and how it says so, which line matched.

use tripline_protocol::littlebrother::{InvalidPattern, ProcessPattern, ProhibitedPattern};

fn process(text: &str) -> ProcessPattern {
    ProcessPattern::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn prohibited(text: &str) -> ProhibitedPattern {
    ProhibitedPattern::parse(text).unwrap().unwrap()
}

#[test]
fn a_bar_within_a_line_is_not_bracketed() {
    let pattern = process("systemd|bash|sh|csh|tsh");
    for name in ["systemd", "(systemd)", "bash", "sh", "csh", "tsh-1", "shotwell"] {
        assert!(pattern.matches(name), "{name}");
    }
    for name in ["zsh", "tcsh", "Bash", "rbash", ""] {
        assert!(!pattern.matches(name), "{name}");
    }
    assert_eq!(pattern.expression(), "(.*systemd|bash|sh|csh|tsh.*)");
}

#[test]
fn a_slash_anywhere_takes_all_lines_as_they_are() {
    let pattern = process("/usr/bin/bash\nsteam");
    assert!(pattern.matches("/usr/bin/bash -l") && pattern.matches("steamwebhelper"));
    assert!(!pattern.matches("x steam"));
    assert_eq!(pattern.expression(), "/usr/bin/bash|steam");
    let dropped = process("/\nsteam");
    assert!(
        !dropped.matches("x steam"),
        "the line with the slash is too short, and counts all the same"
    );
    assert!(
        prohibited("/opt/game").matches("sh -c /opt/game"),
        "prohibited patterns look anywhere"
    );
}

#[test]
fn nothing_is_prohibited_by_nothing_and_an_empty_login_pattern_is_refused() {
    for text in ["", "\n", "x", "x\ny\n z \r\n", "\u{1f}a\u{2003}"] {
        assert_eq!(
            ProcessPattern::parse(text).unwrap_err(),
            InvalidPattern::Empty,
            "{text:?}"
        );
        assert!(ProhibitedPattern::parse(text).unwrap().is_none(), "{text:?}");
    }
}

#[test]
fn what_pythons_expressions_have_and_ours_have_not_is_refused_by_name() {
    for (text, what) in [
        ("(?=bash)", "look-ahead"),
        ("(?!bash)", "look-ahead"),
        ("(?<=ba)sh", "look-behind"),
        ("(?<!ba)sh", "look-behind"),
        (r"(ba)\1", "back-reference"),
        (r"(?P<x>ba)(?P=x)", "back-reference"),
        (r"a\0", "octal"),
        (r"\N{BULLET}", "by its name"),
        (r"\ud83d", "surrogate"),
        ("(?#bash)ba", "comment"),
        ("(ba)?(?(1)sh|x)", "condition"),
        ("(?>ba)sh", "atomic"),
        ("ba*+", "possessive"),
        ("(?x:ba)", "flag"),
        ("(?-i:ba)", "flag"),
    ] {
        let error = ProcessPattern::parse(text).unwrap_err();
        assert!(matches!(error, InvalidPattern::Unsupported(_)), "{text}: {error}");
        let text = error.to_string();
        assert!(
            text.contains(what) && text.ends_with("is not supported in patterns"),
            "{text}"
        );
    }
}

#[test]
fn what_python_refuses_is_refused_and_says_why() {
    for (text, what) in [
        ("*.exe", "repeats a repetition"),
        ("/x|*", "nothing to repeat"),
        ("a**", "repeats a repetition"),
        ("^*ab", "nothing to repeat"),
        ("ab(", "not closed"),
        ("/a)|(b", "closes nothing"),
        ("[ab", "not closed"),
        ("[b-a]", "range"),
        (r"[a-\d]", "range"),
        (r"\pL", r"\p has no meaning"),
        (r"\x4", "digits"),
        (r"/ab\", "single backslash"),
        ("a(?i)b", "first of the whole pattern"),
        ("(?<name>a)", "no group"),
        ("(?P<1>a)", "name"),
        ("(?P<n>a)(?P<n>b)", "duplicate"),
        ("a{3,1}b", "repetition"),
    ] {
        let error = ProcessPattern::parse(text).unwrap_err();
        assert!(matches!(error, InvalidPattern::Syntax(_)), "{text}: {error}");
        assert!(error.to_string().contains(what), "{text}: {error}");
    }
}

#[test]
fn an_expression_that_would_take_too_much_memory_is_refused() {
    let error = ProcessPattern::parse(r"(\w{1000}){1000}").unwrap_err();
    assert!(error.to_string().contains("size limit"), "{error}");
}

#[test]
fn a_hostile_expression_takes_no_longer_than_its_text() {
    let pattern = process("(a*)*(a*)*(a*)*(a*)*b");
    assert!(!pattern.matches(&"a".repeat(10_000)));
}

#[test]
fn the_first_line_that_matches_explains_it() {
    let pattern = process("  firefox \r\nx\nsteam|wine\n[st]eam");
    assert_eq!(pattern.explain("my-firefox"), Some("firefox"));
    assert_eq!(pattern.explain("steam"), Some("steam|wine"));
    assert_eq!(pattern.explain("eam"), None);
    assert_eq!(pattern.explain("xteam"), Some("[st]eam"));
    assert_eq!(process("/usr/a\nbash").explain("bash"), Some("bash"));
    assert_eq!(process("/usr/a\nbash").explain("a bash"), None);
    assert_eq!(prohibited("one\n/two").explain("sh /two"), Some("/two"));
    assert_eq!(prohibited("one\n/two").explain("three"), None);
}

#[test]
fn lines_that_match_only_together_explain_it_together() {
    let pattern = process("/usr/bin/(python\nruby)3");
    assert!(pattern.matches("/usr/bin/ruby3"));
    assert_eq!(
        pattern.explain("/usr/bin/ruby3"),
        Some("/usr/bin/(python\nruby)3")
    );
}
