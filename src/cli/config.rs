//! `tripline config`: look at the server's configuration without starting it.

use super::output::{Format, print, print_json};
use super::{Failure, Global, chain};
use crate::config::{Config, Error, Problem, Source};
use clap::{Args, Subcommand};
use std::path::{Path, PathBuf};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// Check the configuration and print what is in force, secrets masked
    #[command(after_help = "Examples:\n  tripline config check --config tripline.toml\n  \
                            TRIPLINE__SLOTS__TOTAL=20 tripline config check")]
    Check(Check),
}

#[derive(Debug, Args)]
pub(super) struct Check {
    /// The file [default: none, so that only defaults and the environment count]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print the table of all keys for the documentation instead
    #[arg(long, hide = true)]
    markdown: bool,
}

pub(super) fn run(global: &Global, verb: &Verb) -> Result<(), Failure> {
    let Verb::Check(arguments) = verb;
    if arguments.markdown {
        return print(&Config::markdown_table());
    }
    let config = load(&source(global, arguments.config.as_deref()))?;
    warn(&config);
    match global.output {
        Format::Json => print_json(&config.to_json()),
        Format::Table => print(&config.to_toml()),
    }
}

/// Where a server started with these options has its configuration.
pub(super) fn source(global: &Global, file: Option<&Path>) -> Source {
    Source {
        file: file.map(Path::to_owned),
        environment: environment().collect(),
        data_dir: global.data_dir.clone(),
    }
}

/// The configuration of a server started with these options.
pub(super) fn load(source: &Source) -> Result<Config, Failure> {
    source.load().map_err(|error| match error {
        Error::Invalid(problems) => Failure::Problems(problems.iter().map(ToString::to_string).collect()),
        error @ Error::Unreadable { .. } => Failure::Input(format!("cannot {}", chain(&error))),
    })
}

/// What is legal and probably not meant, on stderr.
fn warn(config: &Config) {
    let warning = |warning: &Problem| format!("warning: {warning}");
    super::report(&config.warnings.iter().map(warning).collect::<Vec<_>>());
}

/// Variables that are no UTF-8 get replacement characters, so that one of ours is refused, not ignored.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| {
        (
            name.to_string_lossy().into_owned(),
            value.to_string_lossy().into_owned(),
        )
    })
}
