//! Files that mean harm, or were written by half: each is refused with its place, and nothing comes into force.

use super::events::{file, parse};
use crate::pipeline::{FileProblem, RuleSet};

const JOB: &str = "job: { steps: [ list_processes: {} ] }\n";

fn problems(text: &str) -> Vec<FileProblem> {
    parse(text, "").map_or_else(|error| error.problems, |_| Vec::new())
}

/// The one problem of a file: its place and what is wrong.
fn only_problem(text: &str) -> (u64, u64, String) {
    let shown: String = text.chars().take(200).collect();
    match problems(text).as_slice() {
        [problem] => (problem.line, problem.column, problem.message.clone()),
        several => panic!("{} problems of {shown}: {several:#?}", several.len()),
    }
}

/// The expressions of the dependency study at their full size, and as large as the limit on a condition lets through.
fn hostile_conditions() -> Vec<(String, &'static str)> {
    let too_long = "at most 2048 are taken";
    let nested = |name: &str, size: usize| {
        let list = format!("[{}]", vec!["1"; size].join(","));
        format!("{list}.{name}(a,{list}.{name}(b,{list}.{name}(c,{list}.{name}(d,true))))")
    };
    vec![
        (
            format!("{}true{}", "(".repeat(100), ")".repeat(100)),
            "is not CEL",
        ),
        (format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000)), too_long),
        (
            format!("{}1{}", "[".repeat(1_000), "]".repeat(1_000)),
            "is not CEL",
        ),
        (format!("{}true", "true ? true : ".repeat(5_000)), too_long),
        (format!("{}true", "true ? true : ".repeat(145)), "is not CEL"),
        (format!("{}true", "!".repeat(50_000)), too_long),
        (format!("{}1 > 0", "-".repeat(100_000)), too_long),
        (format!("true{}", " && true".repeat(20_000)), too_long),
        (format!("false{}", "||false".repeat(200_000)), too_long),
        (format!("1{} > 0", "+1".repeat(2_000)), too_long),
        (format!("1{} > 0", "+1".repeat(8_000)), too_long),
        (format!("1{} > 0", "+1".repeat(1_000)), "nests deeper than 64"),
        (format!("event.data{}", ".a".repeat(2_000)), too_long),
        (
            format!("event.data{}", ".a".repeat(1_000)),
            "nests deeper than 64",
        ),
        (
            nested("all", 20),
            "a comprehension inside another is not supported",
        ),
        (
            nested("all", 40),
            "a comprehension inside another is not supported",
        ),
        (
            nested("map", 20),
            "a comprehension inside another is not supported",
        ),
        (
            format!("event.data.a{}", ".map(x, [x, x])".repeat(20)),
            "in a comprehension a list may hold only literals",
        ),
        (
            vec!["re(event.id, \"\\\\w{20}\")"; 80].join("||"),
            "larger than 2097152 bytes together, compiled",
        ),
    ]
}

#[test]
fn hostile_conditions_are_refused_at_full_size_with_their_place() {
    for (condition, reason) in hostile_conditions() {
        let quoted = serde_json::to_string(&condition).unwrap();
        let (line, column, message) = only_problem(&format!("name: p\non: [a]\nwhen: {quoted}\n{JOB}"));
        let shown: String = condition.chars().take(60).collect();
        assert_eq!((line, column), (3, 7), "{shown}: {message}");
        assert!(message.contains(reason), "{shown}: {message}");
        assert!(message.chars().count() < 500, "{shown}: {message}");
    }
}

#[test]
fn templates_that_loop_or_grow_are_refused_with_their_place() {
    for (template, reason) in [
        (
            "{% for x in event.data.l %}{{ x }}{% endfor %}",
            "statements are not supported",
        ),
        (
            "{% macro m() %}{{ m() }}{% endmacro %}",
            "statements are not supported",
        ),
        ("{% set x = event.data.a %}", "statements are not supported"),
        ("{% include '/etc/passwd' %}", "statements are not supported"),
        ("{{ 'a' * 100000000 }}", "multiplication is not supported"),
        ("{{ 10 ** 10 ** 10 }}", "multiplication is not supported"),
        ("{{ range(1000000000) }}", "unknown name \"range\""),
        ("{{ lipsum(100000) }}", "unknown name \"lipsum\""),
        ("{{ self.body() }}", "unknown name \"self\""),
        (
            "{{ event.data.a | indent(100000000) }}",
            "unknown filter \"indent\"",
        ),
        (
            "{{ event.data.a | center(100000000) }}",
            "unknown filter \"center\"",
        ),
        ("{{ event.data.a | map('upper') }}", "unknown filter \"map\""),
    ] {
        let quoted = serde_json::to_string(template).unwrap();
        let text = format!("name: p\non: [a]\njob:\n  steps:\n    - get_file: {{ path: {quoted} }}\n");
        let (line, column, message) = only_problem(&text);
        assert_eq!((line, column), (5, 25), "{template}: {message}");
        assert!(message.contains(reason), "{template}: {message}");
    }
    let long = format!("{{{{ event.data.a{} }}}}", "~'a'".repeat(100_000));
    let text = format!("name: p\non: [a]\njob:\n  steps:\n    - get_file: {{ path: \"{long}\" }}\n");
    let (line, column, message) = only_problem(&text);
    assert_eq!((line, column), (5, 25));
    assert!(message.contains("at most 1024 are taken"), "{message}");
}

/// A list of ten, ten of those, and so on: `levels` lines, 10^`levels` values.
fn bomb(levels: usize) -> String {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..levels {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    text
}

#[test]
fn yaml_that_expands_nests_or_runs_on_is_refused_with_its_line() {
    let good = format!("name: p\non: [a]\n{JOB}");
    let many = "- &a x\n".repeat(60_000);
    for (what, text, line) in [
        ("a bomb of aliases", bomb(9), 5),
        ("a list in itself", "on: &a [*a]\n".to_owned(), 1),
        ("an alias of nothing", "name: p\non: *nothing\n".to_owned(), 2),
        ("a merge key", "a: &a { b: 1 }\nc:\n  <<: *a\n".to_owned(), 3),
        (
            "deep lists",
            format!("name: p\non: {}a{}\n", "[".repeat(10_000), "]".repeat(10_000)),
            2,
        ),
        ("more values than are taken", many, 50_000),
        (
            "a type of another language",
            "name: !!python/object/apply:os.system [ls]\n".to_owned(),
            1,
        ),
        ("a key twice", format!("{good}on: [b]\n"), 4),
        (
            "a key of a step twice",
            "name: p\non: a\njob:\n  steps:\n    - id: x\n      id: y\n".to_owned(),
            6,
        ),
        ("a tab that indents", "name: p\njob:\n\tsteps: []\n".to_owned(), 3),
        (
            "a character that is none",
            "name: p\non: \"\u{0}\"\n".to_owned(),
            2,
        ),
        ("a text without its end", "name: p\non: \"a\n".to_owned(), 3),
        (
            "a bad document after good ones",
            format!("{good}---\n{}---\nname: [\n", good.replace("name: p", "name: q")),
            9,
        ),
    ] {
        let found = problems(&text);
        let lines: Vec<u64> = found.iter().map(|problem| problem.line).collect();
        assert_eq!(lines, [line], "{what}: {found:#?}");
        assert!(
            found
                .iter()
                .all(|problem| problem.column > 0 && !problem.message.is_empty()),
            "{what}: {found:#?}"
        );
    }
}

#[test]
fn an_anchor_may_be_used_and_its_problems_are_told_where_it_stands() {
    let text = format!("name: p\non: &etypes [a, b]\n{JOB}---\nname: q\non: *etypes\n{JOB}");
    assert_eq!(problems(&text).len(), 1, "anchors end with their document");
    let text =
        "name: p\non: [a]\njob:\n  steps:\n    - get_file: &what { paht: /x }\n    - get_file: *what\n";
    let places: Vec<_> = problems(text)
        .iter()
        .map(|problem| (problem.line, problem.message.contains("paht")))
        .collect();
    assert_eq!(places, [(5, true), (6, true)]);
}

#[test]
fn a_name_is_taken_once_in_a_file_and_across_files() {
    let one = format!("name: p\non: a\n{JOB}");
    let (line, column, message) = only_problem(&format!("{one}---\n{one}"));
    assert_eq!((line, column), (5, 7));
    assert!(
        message.contains("the pipeline name \"p\" is taken already at p.yaml:1"),
        "{message}"
    );
    let job = "name: j\nsteps:\n  - list_processes: {}\n";
    let found = RuleSet::parse(&[], &[file("a.yaml", job), file("b.yaml", job)])
        .map(drop)
        .unwrap_err()
        .problems;
    let shown: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        shown,
        ["b.yaml:1:7: the job name \"j\" is taken already at a.yaml:1"]
    );
}

#[test]
fn a_file_written_by_half_is_refused_with_a_place_or_is_one_by_itself() {
    let text = "# Ends a miner.\nname: p\non: [acme.alert.*]\nwhen: event.data.a == \"é\" && host.platform == 'linux'\njob:\n  expires: 7d\n  steps:\n    - id: processes\n      list_processes: {}\n    - kill_process: { pid: \"{{ event.data.pid }}\" }\n      on_error: continue\n";
    let mut refused = 0;
    for (end, _) in text.char_indices() {
        let Err(error) = parse(&text[..end], "") else {
            continue;
        };
        refused += 1;
        for problem in &error.problems {
            assert!(problem.line > 0 && problem.column > 0, "{end}: {problem}");
        }
    }
    assert!(refused > text.find("list_processes").unwrap() / 2, "{refused}");
    assert_eq!(problems(text), Vec::new());
}
