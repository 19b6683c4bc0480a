//! `tripline user`: whose processes are watched, and what a pattern matches.

mod matching;

use super::output::{Format, fields, or_dash, print, print_json, table};
use super::{Client, Failure, Global, config};
use clap::{Args, Subcommand};
use matching::Match;
use std::path::PathBuf;
use tripline_protocol::api::{GroupUid, LittlebrotherSettings, LittlebrotherUser};

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List users
    #[command(after_help = "Example:\n  tripline user list")]
    List(From),
    /// Say whether a process counts or is prohibited, and by which line of which pattern
    #[command(
        after_help = "Patterns are those of LittleBrother: each line is a regular expression; without a / anywhere it\n\
                      may match anywhere in the name; a | within a line is not bracketed.\n\n\
                      Examples:\n  tripline user match amelie --name bash\n  \
                      tripline user match amelie --name java --command-line \"java -jar minecraft.jar\" \
                      --config tripline.toml"
    )]
    Match(Arguments),
}

#[derive(Debug, Args)]
pub(super) struct From {
    /// Take the users from this configuration file [default: ask the server for those in force]
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The user's login
    login: String,
    /// Name of the process
    #[arg(long, value_name = "PROCESS")]
    name: String,
    /// Its whole command line [default: its name]
    #[arg(long, value_name = "TEXT")]
    command_line: Option<String>,
    #[command(flatten)]
    from: From,
}

pub(super) async fn run(global: &Global, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::List(from) => list(global, &from).await,
        Verb::Match(arguments) => explain(global, &arguments).await,
    }
}

/// The users in force, or those of a file.
async fn users(global: &Global, from: &From) -> Result<Vec<LittlebrotherUser>, Failure> {
    if let Some(file) = &from.config {
        let config = config::load(&config::source(global, Some(file)))?;
        return Ok(configured(&config.littlebrother));
    }
    let view: LittlebrotherSettings = Client::find(global)?.get(&["littlebrother"], &[]).await?;
    if let Some(refused) = &view.refused {
        let intro = "tripline: the configuration was changed, refused, and is not in force:".to_owned();
        super::report(&[intro, refused.clone()]);
    }
    Ok(view.users)
}

fn configured(config: &crate::config::Littlebrother) -> Vec<LittlebrotherUser> {
    let mappings = crate::littlebrother::mappings(config);
    let users = crate::littlebrother::users(config).into_iter();
    users
        .map(|config| LittlebrotherUser {
            uids: GroupUid::of(&config.login, &mappings),
            config,
            logged_in: false,
            hosts: 0,
        })
        .collect()
}

async fn list(global: &Global, from: &From) -> Result<(), Failure> {
    let users = users(global, from).await?;
    match global.output {
        Format::Json => print_json(&users),
        Format::Table => print(&rows(&users)),
    }
}

fn rows(users: &[LittlebrotherUser]) -> String {
    let rows = users.iter().map(|user| {
        let uid = |uid: &GroupUid| format!("{}:{}", uid.server_group, uid.uid);
        let prohibited = user.config.prohibited_process_name_pattern.as_deref();
        [
            user.config.login.clone(),
            yes_no(user.config.active),
            user.uids.iter().map(uid).collect::<Vec<_>>().join(" "),
            user.hosts.to_string(),
            one_line(&user.config.process_name_pattern),
            or_dash(prohibited.map(one_line)),
        ]
    });
    table(["LOGIN", "ACTIVE", "UIDS", "HOSTS", "COUNTS", "PROHIBITED"], rows)
}

fn yes_no(is: bool) -> String {
    if is { "yes" } else { "no" }.to_owned()
}

/// The lines of a pattern, separated by commas.
fn one_line(pattern: &str) -> String {
    let lines = pattern.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(", ")
}

async fn explain(global: &Global, arguments: &Arguments) -> Result<(), Failure> {
    let users = users(global, &arguments.from).await?;
    let login = &arguments.login;
    let Some(user) = users.into_iter().find(|user| user.config.login == *login) else {
        return Err(Failure::Input(format!(
            "no user {login:?} is configured; see `tripline user list`"
        )));
    };
    let command_line = arguments.command_line.as_deref();
    let found = Match::find(&user.config, &arguments.name, command_line)
        .map_err(|invalid| Failure::Failed(format!("the user's {invalid}")))?;
    match global.output {
        Format::Json => print_json(&found),
        Format::Table => print(&fields(found.rows())),
    }
}
