//! Command lines: each one that the documentation shows is one that the program understands.

use crate::pages::pages;
use clap::Parser;
use tripline::cli::Cli;

/// Words of the shell that end a command.
const ENDS: [&str; 9] = ["|", "<", ">", ">>", "2>", "&", "&&", "||", ";"];

/// The command lines of `tripline` in a shell's text, where `\` at the end goes on: those behind `prompt`.
fn commands(text: &str, prompt: &str) -> Vec<Vec<String>> {
    text.replace("\\\n", " ")
        .lines()
        .filter_map(|line| line.strip_prefix(prompt))
        .map(|line| shell_words::split(line).unwrap_or_else(|error| panic!("{line}: {error}")))
        .filter_map(command)
        .collect()
}

/// A word that is one variable of the shell stands for an id.
fn filled(word: String) -> String {
    match word.starts_with('$') {
        true => "0d2f8c1e-0000-7000-8000-000000000000".to_owned(),
        false => word,
    }
}

/// Variables set in front are left out, and everything from a pipe or a redirection on.
fn command(words: Vec<String>) -> Option<Vec<String>> {
    let words = words
        .into_iter()
        .skip_while(|word| word.contains('=') && word.starts_with(|first: char| first.is_ascii_uppercase()))
        .take_while(|word| !ENDS.contains(&&**word));
    let words: Vec<String> = words.map(filled).collect();
    words
        .first()
        .is_some_and(|program| program == "tripline")
        .then_some(words)
}

/// `…` in prose, such as `tripline host list`; the bare name and names of things are no commands.
fn inline(prose: &str) -> Vec<Vec<String>> {
    prose
        .split('`')
        .skip(1)
        .step_by(2)
        .filter(|span| span.starts_with("tripline ") && !span.contains('<'))
        .flat_map(|span| commands(span, ""))
        .collect()
}

#[test]
fn every_command_line_is_understood() {
    let mut seen = 0;
    for page in pages() {
        let mut lines = inline(&page.prose());
        for block in page.blocks() {
            match &*block.language {
                "sh" => lines.extend(commands(&block.text, "")),
                "console" => lines.extend(commands(&block.text, "$ ")),
                _ => {}
            }
        }
        for words in lines {
            seen += 1;
            if let Err(error) = Cli::try_parse_from(&words) {
                let asked = matches!(
                    error.kind(),
                    clap::error::ErrorKind::DisplayHelp | clap::error::ErrorKind::DisplayVersion
                );
                assert!(asked, "{}: {}\n{error}", page.path.display(), words.join(" "));
            }
        }
    }
    assert!(seen > 15, "only {seen} command lines were found");
}

#[test]
fn a_command_line_is_found_without_what_is_the_shells() {
    let text = "$ A=b tripline host list | grep x\ntripline is ready\n$ tripline job \\\n  list > y\n$ ls tripline\n";
    let found = commands(text, "$ ");
    assert_eq!(
        found,
        [vec!["tripline", "host", "list"], vec!["tripline", "job", "list"]]
    );
    assert!(Cli::try_parse_from(["tripline", "hots", "list"]).is_err());
}
