//! What Tab offers: commands, their options, and paths on the host or on this machine.
//!
//! Deliberately not here: how a directory is listed ([`Listings`]), and the terminal.

use super::grammar::{self, LOCAL, REMOTE, REMOTE_DIRECTORY};
use super::path::{Place, Style};
use super::words::{self, Word};
use clap::ValueHint;
use tripline_protocol::verb::Verb;

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Vec<u8>,
    pub(super) kind: EntryKind,
}

/// What an entry is, as far as completion cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    Directory,
    /// May lead to a directory.
    Link,
    Other,
}

/// Lists directories; `None` when that takes too long or cannot be done.
pub(super) trait Listings {
    /// A directory of the host, by its absolute path.
    fn remote(&self, directory: Vec<u8>) -> Option<Vec<Entry>>;
    /// A directory of this machine.
    fn local(&self, directory: &[u8]) -> Option<Vec<Entry>>;
}

/// What is known of the session when Tab is pressed.
#[derive(Debug, Clone)]
pub(super) struct Surroundings {
    pub(super) place: Place,
    /// What the host offers.
    pub(super) verbs: Vec<Verb>,
}

/// Something to put in place of the last word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    /// As it is shown in a list.
    pub(super) display: String,
    /// As it is written into the line.
    pub(super) replacement: String,
}

/// Candidates for the end of `line`, and where the word begins that they replace.
pub(super) fn complete(
    line: &str,
    known: &Surroundings,
    listings: &impl Listings,
) -> (usize, Vec<Candidate>) {
    let nothing = (line.len(), Vec::new());
    let Ok(mut lexed) = words::lex(line) else {
        return nothing;
    };
    let current = match lexed.words.pop() {
        Some(word) if lexed.open_word => word,
        last => {
            lexed.words.extend(last);
            Word {
                bytes: Vec::new(),
                start: line.len(),
            }
        }
    };
    let found = match wanted(&lexed.words, &current.bytes) {
        Wanted::Command => commands(&current.bytes, &known.verbs),
        Wanted::Options(options) => options
            .into_iter()
            .filter(|option| option.as_bytes().starts_with(&current.bytes))
            .map(finished)
            .collect(),
        Wanted::Path(hint) => paths(&current.bytes, &hint, known, listings),
        Wanted::Nothing => return nothing,
    };
    (current.start, found)
}

enum Wanted {
    Command,
    Options(Vec<String>),
    Path(ValueHint),
    Nothing,
}

/// What belongs behind these words.
fn wanted(before: &[Word], current: &[u8]) -> Wanted {
    let Some((first, rest)) = before.split_first() else {
        return Wanted::Command;
    };
    if first.bytes == b"help" {
        return if rest.is_empty() {
            Wanted::Command
        } else {
            Wanted::Nothing
        };
    }
    let definition = grammar::definition();
    let name = String::from_utf8_lossy(&first.bytes);
    let Some(command) = definition.find_subcommand(&*name) else {
        return Wanted::Nothing;
    };
    let mut position = 0;
    let mut options_end = false;
    let mut value_of_option = false;
    for word in rest {
        if std::mem::take(&mut value_of_option) {
            continue;
        }
        let is_option = !options_end && word.bytes.starts_with(b"-");
        match &*word.bytes {
            b"--" if is_option => options_end = true,
            option if is_option => value_of_option = takes_value(command, option),
            _ => {
                position += 1;
                // Behind the program everything is the program's.
                options_end |= command.get_positionals().any(clap::Arg::is_trailing_var_arg_set);
            }
        }
    }
    if value_of_option {
        return Wanted::Nothing;
    }
    if !options_end && current.starts_with(b"-") {
        return Wanted::Options(options(command));
    }
    let positionals: Vec<_> = command.get_positionals().collect();
    let argument = positionals.get(position).copied();
    let last = positionals
        .last()
        .copied()
        .filter(|last| last.is_trailing_var_arg_set());
    match argument.or(last).map(clap::Arg::get_value_hint) {
        Some(hint) if [REMOTE, REMOTE_DIRECTORY, LOCAL].contains(&hint) => Wanted::Path(hint),
        _ => Wanted::Nothing,
    }
}

fn takes_value(command: &clap::Command, option: &[u8]) -> bool {
    let option = String::from_utf8_lossy(option);
    command.get_arguments().any(|argument| {
        let named = argument
            .get_long()
            .is_some_and(|long| option == format!("--{long}"))
            || argument
                .get_short()
                .is_some_and(|short| option == format!("-{short}"));
        named && argument.get_action().takes_values()
    })
}

fn options(command: &clap::Command) -> Vec<String> {
    let long = command.get_arguments().filter_map(clap::Arg::get_long);
    long.map(|long| format!("--{long}")).collect()
}

/// Commands that the host offers, and those that need nothing of it.
fn commands(prefix: &[u8], offered: &[Verb]) -> Vec<Candidate> {
    let definition = grammar::definition();
    let names = definition.get_subcommands().map(clap::Command::get_name);
    let offers = |name: &str| grammar::verb_of(name).is_none_or(|verb| offered.contains(&verb));
    names
        .chain(["help"])
        .filter(|name| name.as_bytes().starts_with(prefix) && offers(name))
        .map(|name| finished(name.to_owned()))
        .collect()
}

/// A word after which the next one comes.
fn finished(word: String) -> Candidate {
    Candidate {
        replacement: format!("{word} "),
        display: word,
    }
}

fn paths(given: &[u8], hint: &ValueHint, known: &Surroundings, listings: &impl Listings) -> Vec<Candidate> {
    let remote = *hint != LOCAL;
    let style = if remote { known.place.style() } else { Style::Unix };
    let split = given
        .iter()
        .rposition(|byte| style.separates(*byte))
        .map_or(0, |at| at + 1);
    let (above, prefix) = given.split_at(split);
    let entries = if remote {
        listings.remote(known.place.path(above).as_bytes().to_vec())
    } else {
        listings.local(if above.is_empty() { b"." } else { above })
    };
    let wanted = |entry: &Entry| {
        let hidden = entry.name.starts_with(b".") && !prefix.starts_with(b".");
        let right_kind = *hint != REMOTE_DIRECTORY || entry.kind != EntryKind::Other;
        entry.name.starts_with(prefix) && !hidden && right_kind
    };
    let entries = entries.unwrap_or_default();
    entries
        .iter()
        .filter(|entry| wanted(entry))
        .map(|entry| path_candidate(above, entry, style))
        .collect()
}

fn path_candidate(above: &[u8], entry: &Entry, style: Style) -> Candidate {
    // A name that looks like an option is one only without a folder in front.
    let dash = above.is_empty() && entry.name.starts_with(b"-");
    let mut whole = if dash { b"./".to_vec() } else { above.to_vec() };
    whole.extend_from_slice(&entry.name);
    let mut display = words::quote(&entry.name);
    let end = match entry.kind {
        EntryKind::Directory => {
            whole.push(style.separator());
            display.push('/');
            ""
        }
        EntryKind::Link => "",
        EntryKind::Other => " ",
    };
    Candidate {
        display,
        replacement: words::quote(&whole) + end,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    /// Knows one directory, and what it was asked for.
    #[derive(Default)]
    struct Fixed {
        entries: Vec<Entry>,
        asked: RefCell<Vec<String>>,
    }

    impl Fixed {
        fn with(entries: &[(&[u8], EntryKind)]) -> Self {
            let entries = entries.iter().map(|(name, kind)| Entry {
                name: name.to_vec(),
                kind: *kind,
            });
            Self {
                entries: entries.collect(),
                asked: RefCell::default(),
            }
        }

        fn asked(&self, what: &str, directory: &[u8]) -> Option<Vec<Entry>> {
            let directory = String::from_utf8_lossy(directory);
            self.asked.borrow_mut().push(format!("{what} {directory}"));
            Some(self.entries.clone())
        }
    }

    impl Listings for Fixed {
        fn remote(&self, directory: Vec<u8>) -> Option<Vec<Entry>> {
            self.asked("remote", &directory)
        }
        fn local(&self, directory: &[u8]) -> Option<Vec<Entry>> {
            self.asked("local", directory)
        }
    }

    fn at(directory: &str, verbs: &[Verb]) -> Surroundings {
        Surroundings {
            place: Place::root(Style::Unix).entered(directory.as_bytes()),
            verbs: verbs.to_vec(),
        }
    }

    fn replacements(line: &str, listings: &Fixed) -> (usize, Vec<String>) {
        let (start, found) = complete(line, &at("/var", Verb::ALL), listings);
        (start, found.into_iter().map(|found| found.replacement).collect())
    }

    #[test]
    fn commands_are_completed_if_the_host_offers_them() {
        let none = Fixed::default();
        assert_eq!(replacements("ki", &none), (0, vec!["kill ".to_owned()]));
        assert_eq!(replacements("help wa", &none), (5, vec!["walk ".to_owned()]));
        let known = at("/", &[Verb::ListProcesses]);
        let names: Vec<String> = complete("", &known, &none)
            .1
            .into_iter()
            .map(|found| found.display)
            .collect();
        assert_eq!(
            names,
            ["pwd", "ps", "info", "transcript", "reopen", "exit", "help"]
        );
        assert!(none.asked.borrow().is_empty());
    }

    #[test]
    fn options_are_completed_until_the_program_of_exec() {
        let none = Fixed::default();
        assert_eq!(
            replacements("exec --n", &none),
            (5, vec!["--no-wait ".to_owned()])
        );
        assert_eq!(replacements("exec ls --n", &none), (8, vec![]));
        assert_eq!(replacements("walk --depth ", &none), (13, vec![]));
        assert_eq!(*none.asked.borrow(), ["remote /var"]);
    }

    #[test]
    fn remote_paths_start_where_the_console_is() {
        let some = Fixed::with(&[
            (b"log", EntryKind::Directory),
            (b"lock", EntryKind::Link),
            (b"list", EntryKind::Other),
            (b".local", EntryKind::Other),
            (b"mail", EntryKind::Directory),
        ]);
        assert_eq!(
            replacements("get l", &some),
            (4, vec!["log/".to_owned(), "lock".to_owned(), "list ".to_owned()])
        );
        assert_eq!(
            replacements("cd l", &some),
            (3, vec!["log/".to_owned(), "lock".to_owned()])
        );
        assert_eq!(replacements("rm .", &some), (3, vec![".local ".to_owned()]));
        assert_eq!(
            replacements("exec -- x ../a/m", &some),
            (10, vec!["../a/mail/".to_owned()])
        );
        assert_eq!(replacements("cat /etc/l", &some).1.len(), 3);
        let asked = some.asked.borrow();
        assert_eq!(
            *asked,
            [
                "remote /var",
                "remote /var",
                "remote /var",
                "remote /var/../a/",
                "remote /etc/"
            ]
        );
    }

    #[test]
    fn the_second_path_of_get_and_the_first_of_put_are_of_this_machine() {
        let some = Fixed::with(&[(b"x", EntryKind::Other)]);
        replacements("get /a ", &some);
        replacements("put sub/", &some);
        replacements("put --mode 755 a /tmp/", &some);
        replacements("put a b c", &some);
        assert_eq!(*some.asked.borrow(), ["local .", "local sub/", "remote /tmp/"]);
    }

    #[test]
    fn names_that_are_odd_are_quoted_and_found_again() {
        let hostile: &[u8] = b"a\x1b[2Jb c\xff";
        let some = Fixed::with(&[(hostile, EntryKind::Other), (b"-rf", EntryKind::Other)]);
        let (start, found) = replacements("rm a", &some);
        assert_eq!((start, found.len()), (3, 1));
        assert_eq!(words::split(&found[0]), Ok(vec![hostile.to_vec()]));
        assert!(!found[0].contains('\u{1b}'));
        // Half of what was completed is still the beginning of the name.
        assert_eq!(replacements(r"rm $'a\e[2", &some).1, found);
        assert_eq!(replacements("rm './", &some).1.len(), 2);
        assert_eq!(replacements("rm ", &some).1[1], "./-rf ");
    }

    #[test]
    fn nothing_is_offered_where_nothing_fits() {
        let some = Fixed::with(&[(b"x", EntryKind::Other)]);
        for line in ["nonsense ", "kill ", "ps ", r"ls $'\q", "help ls "] {
            assert_eq!(replacements(line, &some), (line.len(), vec![]), "{line}");
        }
    }
}
