//! The commands of the console: their arguments and their help. What they do is in `act`.
//!
//! Which arguments are paths on the host, and which on this machine, is said by value hints; completion reads them.

use super::words;
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueHint};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;
use tripline_protocol::verb::Verb;
use tripline_protocol::{Network, Span};

/// A path on the host.
pub(super) const REMOTE: ValueHint = ValueHint::AnyPath;
/// A directory on the host.
pub(super) const REMOTE_DIRECTORY: ValueHint = ValueHint::DirPath;
/// A path on this machine.
pub(super) const LOCAL: ValueHint = ValueHint::FilePath;

const AFTER_HELP: &str = "\
A word with blanks is quoted: 'a b', \"a b\" or a\\ b. $'\\x1b' writes any byte; names are shown that way where they
need it. Tab completes commands and paths. Ctrl-C ends the command that runs, Ctrl-D or exit the session.
help COMMAND says more.";

/// A line of the console.
#[derive(Debug, Parser)]
#[command(
    name = "console",
    no_binary_name = true,
    disable_help_flag = true,
    subcommand_required = true,
    subcommand_help_heading = "Commands",
    help_template = "{subcommands}\n\n{after-help}",
    after_help = AFTER_HELP
)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What can be asked of a session.
#[derive(Debug, Clone, PartialEq, Subcommand)]
pub(super) enum Command {
    /// List a directory
    Ls {
        /// The directory [default: where you are]
        #[arg(value_hint = REMOTE_DIRECTORY)]
        path: Option<OsString>,
    },
    /// Go to a directory
    Cd {
        /// The directory [default: the root]
        #[arg(value_hint = REMOTE_DIRECTORY)]
        path: Option<OsString>,
    },
    /// Say where you are
    Pwd,
    /// Show a file, at most its first 256 KiB
    Cat {
        /// The file
        #[arg(value_hint = REMOTE)]
        path: OsString,
    },
    /// Fetch a file from the host
    #[command(after_help = "Example:\n  get /var/log/syslog evidence/")]
    Get(Get),
    /// Put a file on the host
    #[command(after_help = "Example:\n  put collector /tmp/ --mode 755")]
    Put(Put),
    /// Remove a file, or a directory that is empty
    Rm {
        /// What to remove
        #[arg(value_hint = REMOTE)]
        path: OsString,
    },
    /// Make a directory
    Mkdir {
        /// Make those above it, too, and accept one that is there
        #[arg(short, long)]
        parents: bool,
        /// The directory
        #[arg(value_hint = REMOTE_DIRECTORY)]
        path: OsString,
    },
    /// List a directory and everything below it
    Walk {
        /// The directory [default: where you are]
        #[arg(value_hint = REMOTE_DIRECTORY)]
        path: Option<OsString>,
        /// How many levels below it
        #[arg(long, value_name = "N")]
        depth: Option<u32>,
    },
    /// List processes
    Ps {
        /// Only those with this text in path, command line or user
        text: Option<String>,
    },
    /// End a process
    Kill {
        /// Its process id
        #[arg(value_parser = clap::value_parser!(u32).range(1..))]
        pid: u32,
    },
    /// Run a program and show its output and exit code
    #[command(
        after_help = "No shell is involved: exec sh -c '…' asks for one. Options go before the program.\n\n\
                            Examples:\n  exec id -un\n  exec --timeout 10m -- /opt/collect --all\n  exec --no-wait sleep 60"
    )]
    Exec(Exec),
    /// Cut the host off from the network, but for its server, for a time
    #[command(after_help = "Example:\n  isolate --for 8h --allow 10.1.2.0/24")]
    Isolate {
        /// When it ends by itself, from 1m to 30d
        #[arg(long = "for", value_name = "SPAN", default_value = "4h")]
        lasts: Span,
        /// Go on with it after the host booted again
        #[arg(long)]
        persist: bool,
        /// An address or range that stays reachable; may be given several times
        #[arg(long, value_name = "CIDR")]
        allow: Vec<Network>,
    },
    /// End the host's isolation
    Unisolate,
    /// List a registry key
    #[command(name = "reg-ls", after_help = REGISTRY_HELP)]
    RegLs {
        /// The key
        key: String,
    },
    /// Show a registry value
    #[command(name = "reg-get", after_help = REGISTRY_HELP)]
    RegGet {
        /// The value, with its key before it
        value: String,
    },
    /// Set a registry value
    #[command(name = "reg-set", after_help = REGISTRY_HELP)]
    RegSet(RegSet),
    /// Remove a registry value
    #[command(name = "reg-rm", after_help = REGISTRY_HELP)]
    RegRm {
        /// The value, with its key before it
        value: String,
    },
    /// Make a registry key
    #[command(name = "reg-mkkey", after_help = REGISTRY_HELP)]
    RegMkkey {
        /// The key
        key: String,
    },
    /// Remove a registry key
    #[command(name = "reg-rmkey", after_help = REGISTRY_HELP)]
    RegRmkey {
        /// The key
        key: String,
    },
    /// Write memory to a file on the host
    Memdump {
        /// The file to write
        #[arg(value_hint = REMOTE)]
        path: OsString,
        /// Only of this process
        #[arg(long)]
        pid: Option<u32>,
        /// Compress it
        #[arg(long)]
        compress: bool,
    },
    /// Show the session and its host
    Info,
    /// Show what was done in this session
    Transcript,
    /// Open another session on the same host, when this one has ended
    Reopen,
    /// Close the session and leave
    #[command(visible_alias = "quit")]
    Exit,
}

const REGISTRY_HELP: &str = r"Only on hosts with a registry. Quote paths: 'HKLM\SOFTWARE\Example\Name'";

#[derive(Debug, Clone, PartialEq, Args)]
pub(super) struct Get {
    /// Replace a file that is there
    #[arg(short, long)]
    pub(super) force: bool,
    /// The file on the host
    #[arg(value_hint = REMOTE)]
    pub(super) remote: OsString,
    /// File or folder on this machine [default: the same name, here]
    #[arg(value_hint = LOCAL)]
    pub(super) local: Option<PathBuf>,
}

#[derive(Debug, Clone, PartialEq, Args)]
pub(super) struct Put {
    /// Replace a file that is there
    #[arg(short, long)]
    pub(super) force: bool,
    /// Permission bits on the host, such as 755 [default: 600, or those of the file replaced]
    #[arg(long, value_parser = mode)]
    pub(super) mode: Option<u32>,
    /// The file on this machine
    #[arg(value_hint = LOCAL)]
    pub(super) local: PathBuf,
    /// The file on the host, or a folder with / behind it [default: the same name, where you are]
    #[arg(value_hint = REMOTE)]
    pub(super) remote: Option<OsString>,
}

#[derive(Debug, Clone, PartialEq, Args)]
pub(super) struct Exec {
    /// Let it go on by itself, and show only its process id
    #[arg(long, conflicts_with = "timeout")]
    pub(super) no_wait: bool,
    /// How long it may run
    #[arg(long, value_name = "SPAN", default_value = "1h")]
    pub(super) timeout: Span,
    /// The program and its arguments
    #[arg(value_hint = REMOTE, trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "PROGRAM")]
    pub(super) argv: Vec<OsString>,
}

#[derive(Debug, Clone, PartialEq, Args)]
pub(super) struct RegSet {
    /// Its type, such as REG_DWORD [default: by the data: a number, several texts, a text]
    #[arg(long = "type", value_name = "TYPE")]
    pub(super) value_type: Option<String>,
    /// Do not replace a value that is there
    #[arg(long)]
    pub(super) keep: bool,
    /// The value, with its key before it
    pub(super) value: String,
    /// What to write, as JSON if it can be read as such, else text
    #[arg(allow_hyphen_values = true)]
    pub(super) data: String,
}

fn mode(text: &str) -> Result<u32, String> {
    match u32::from_str_radix(text, 8) {
        Ok(mode) if mode <= 0o7777 => Ok(mode),
        _ => Err("expected permission bits in octal, such as 644".to_owned()),
    }
}

/// The verb that the host must offer for a command.
pub(super) fn verb_of(command: &str) -> Option<Verb> {
    Some(match command {
        "ls" | "cd" => Verb::ListDirectory,
        "cat" | "get" => Verb::GetFile,
        "put" => Verb::PutFile,
        "rm" => Verb::DeleteFile,
        "mkdir" => Verb::CreateDirectory,
        "walk" => Verb::Walk,
        "ps" => Verb::ListProcesses,
        "kill" => Verb::KillProcess,
        "exec" => Verb::CreateProcess,
        "reg-ls" => Verb::ListRegistryKeysAndValues,
        "reg-get" => Verb::GetRegistryValue,
        "reg-set" => Verb::SetRegistryValue,
        "reg-rm" => Verb::DeleteRegistryValue,
        "reg-mkkey" => Verb::CreateRegistryKey,
        "reg-rmkey" => Verb::DeleteRegistryKey,
        "memdump" => Verb::Memdump,
        "isolate" => Verb::Isolate,
        "unisolate" => Verb::Unisolate,
        _ => return None,
    })
}

impl Command {
    /// Whether listings that were kept may be wrong after it.
    pub(super) fn changes_files(&self) -> bool {
        use Command::{Exec, Memdump, Mkdir, Put, Rm};
        matches!(self, Put(_) | Rm { .. } | Mkdir { .. } | Exec(_) | Memdump { .. })
    }
}

/// What a line asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Asked {
    /// Nothing: it is empty, or a comment.
    Nothing,
    Command(Box<Command>),
    /// This text.
    Help(String),
}

/// Reads a line; what is wrong with it is one or a few lines for people.
pub(super) fn read(line: &str) -> Result<Asked, String> {
    if line.trim_start().starts_with('#') {
        return Ok(Asked::Nothing);
    }
    let words = words::split(line).map_err(|error| error.to_string())?;
    if words.is_empty() {
        return Ok(Asked::Nothing);
    }
    let words = words.into_iter().map(OsString::from_vec);
    let read = definition()
        .try_get_matches_from(words)
        .and_then(|matches| Line::from_arg_matches(&matches));
    match read {
        Ok(line) => Ok(Asked::Command(Box::new(line.command))),
        Err(error) if error.kind() == ErrorKind::DisplayHelp => Ok(Asked::Help(error.to_string())),
        Err(error) => Err(shortened(&error)),
    }
}

/// The first paragraph and the usage; the rest speaks of programs, which these commands are not.
fn shortened(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let kept: Vec<&str> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty() && !line.starts_with("For more information"))
        .collect();
    kept.join("\n")
}

/// The commands, as `clap` knows them.
pub(super) fn definition() -> clap::Command {
    // Usages name the command alone, and there is no width to wrap at but that of the terminal.
    let definition = Line::command();
    let names: Vec<String> = definition
        .get_subcommands()
        .map(|sub| sub.get_name().to_owned())
        .collect();
    names.into_iter().fold(definition, |definition, name| {
        let bin_name = name.clone();
        definition.mut_subcommand(name, |sub| sub.bin_name(bin_name))
    })
}

/// A path that was typed, as its bytes.
pub(super) fn bytes(path: &OsStr) -> &[u8] {
    path.as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        match read(line) {
            Ok(Asked::Command(command)) => *command,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn lines_are_commands() {
        assert_eq!(
            command("ls 'a b'"),
            Command::Ls {
                path: Some("a b".into())
            }
        );
        assert_eq!(command("kill 42"), Command::Kill { pid: 42 });
        assert_eq!(command("quit"), Command::Exit);
        let Command::Put(put) = command("put -f --mode 755 tool /tmp/") else {
            panic!("not put");
        };
        assert_eq!((put.force, put.mode), (true, Some(0o755)));
        let Command::Rm { path } = command(r"rm $'\xff'") else {
            panic!("not rm");
        };
        assert_eq!(bytes(&path), [0xff]);
    }

    #[test]
    fn options_of_a_program_are_the_programs() {
        let Command::Exec(exec) = command("exec --timeout 5s ls --help -l --no-wait") else {
            panic!("not exec");
        };
        assert_eq!(exec.argv, ["ls", "--help", "-l", "--no-wait"]);
        assert_eq!((exec.no_wait, exec.timeout), (false, Span::from_secs(5)));
        let Command::Exec(exec) = command("exec --no-wait -- sleep 60") else {
            panic!("not exec");
        };
        assert!(exec.no_wait);
        assert_eq!(exec.argv, ["sleep", "60"]);
    }

    #[test]
    fn empty_lines_and_comments_ask_for_nothing() {
        for line in ["", "   ", "# ls", "  # 'x"] {
            assert_eq!(read(line), Ok(Asked::Nothing), "{line}");
        }
    }

    #[test]
    fn a_wrong_line_is_told_what_was_expected() {
        for (line, expected) in [
            ("frobnicate", "unrecognized subcommand 'frobnicate'"),
            ("get", "<REMOTE>"),
            ("kill 0", "0 is not in 1.."),
            ("kill x", "invalid digit"),
            ("put a b --mode 999", "octal"),
            ("ls a b", "unexpected argument 'b'"),
            ("exec", "<PROGRAM>"),
            ("exec --no-wait --timeout 5s true", "cannot be used with"),
            ("ls 'a", "no partner"),
        ] {
            let text = read(line).unwrap_err();
            assert!(text.contains(expected), "{line}: {text}");
            assert!(!text.contains("For more information"), "{text}");
        }
    }

    #[test]
    fn help_names_every_command_and_each_has_its_own() {
        let Ok(Asked::Help(all)) = read("help") else {
            panic!("no help");
        };
        for sub in definition().get_subcommands() {
            assert!(all.contains(sub.get_name()), "{} in {all}", sub.get_name());
            let Ok(Asked::Help(one)) = read(&format!("help {}", sub.get_name())) else {
                panic!("no help for {}", sub.get_name());
            };
            assert!(one.contains(&format!("Usage: {}", sub.get_name())), "{one}");
        }
        assert!(read("help nonsense").is_err());
    }

    #[test]
    fn every_command_and_argument_has_help() {
        for sub in definition().get_subcommands() {
            assert!(sub.get_about().is_some(), "{}", sub.get_name());
            for argument in sub.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "{} {}",
                    sub.get_name(),
                    argument.get_id()
                );
            }
        }
        definition().debug_assert();
    }
}
