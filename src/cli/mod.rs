//! The command line: `tripline <noun> <verb>`.
//!
//! Every noun has its file with its arguments, its help and what it does. Data goes to stdout and nothing
//! else does; why something failed is one line on stderr and an exit code ([`Failure`]).

mod audit;
mod client;
mod config;
mod connection;
mod control;
mod dead;
mod event;
mod explain;
mod failure;
mod fanout;
mod follow;
mod health;
mod host;
mod job;
mod key;
mod nats;
mod openapi;
mod outbox;
mod output;
mod patience;
mod pipeline;
mod refusal;
mod serve;
#[cfg(test)]
mod server_tests;
#[cfg(test)]
use server_tests::asking;
mod service;
mod session;
mod store;
#[cfg(test)]
mod tests;
mod token;
mod top;
mod user;
mod watch;

use client::Client;
pub use failure::{Failure, chain};
pub use output::Format;
pub(crate) use output::print;
pub(crate) use watch::step_detail;

use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// Turns events into live response on hosts, over NATS.
#[derive(Debug, Parser)]
#[command(
    name = "tripline",
    version,
    after_help = "Exit codes: 0 done, 1 it failed, 2 bad input or usage, 3 not reachable or not allowed.\n\n\
                  Examples:\n  tripline serve\n  tripline token create --name web01 --role enrol\n  \
                  tripline host list\n  tripline job submit web01 --verb list_processes --watch\n  tripline session open web01"
)]
pub struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Options of every command.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The server's URL [default: the server of a local data directory, else https://127.0.0.1:7443]
    #[arg(long, global = true, env = "TRIPLINE_SERVER", value_name = "URL")]
    pub(crate) server: Option<String>,
    /// File with the token [default: TRIPLINE_TOKEN, which holds the token itself, else admin.token in a
    /// local data directory]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// CA to trust, in PEM form [default: that of a local data directory, else the system's]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// The server's data directory on this machine [default: ./tripline-data]
    #[arg(long, global = true, env = "TRIPLINE__DATA_DIR", value_name = "DIR")]
    pub(crate) data_dir: Option<PathBuf>,
    /// How data is printed
    #[arg(
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "table|json",
        hide_possible_values = true
    )]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(serve::Arguments),
    /// Show it working: server, broker, agent and an outside NATS client on this machine
    Demo(crate::demo::Arguments),
    /// Hosts
    #[command(subcommand)]
    Host(host::Verb),
    /// Keys of agents
    #[command(subcommand)]
    Key(key::Verb),
    /// Jobs
    #[command(subcommand)]
    Job(job::Verb),
    /// Fan-outs: one job on many hosts
    #[command(subcommand)]
    Fanout(fanout::Verb),
    /// Sessions: conversations with one host
    #[command(subcommand)]
    Session(session::Verb),
    /// Services of the LimaCharlie protocol
    #[command(subcommand)]
    Service(service::Verb),
    /// Events
    #[command(subcommand)]
    Event(event::Verb),
    /// Explain an event, or a job: what each pipeline made of it and why, and what it led to
    Explain(explain::Explain),
    /// Pipelines
    #[command(subcommand)]
    Pipeline(pipeline::Verb),
    /// Users whose processes LittleBrother clients and agents watch
    #[command(subcommand)]
    User(user::Verb),
    /// Tokens
    #[command(subcommand)]
    Token(token::Verb),
    /// Whether the server can do its work: exit code 0 when every part works, 1 when one does not
    Health(health::Arguments),
    /// Dead letters: messages that could not be handled
    #[command(subcommand)]
    Dead(dead::Verb),
    /// Messages on their way to the broker
    #[command(subcommand)]
    Outbox(outbox::Verb),
    /// Watch the server: slots, queues, hosts, rates
    Top(top::Top),
    /// Let no new jobs start, over restarts, until `tripline resume`
    ///
    /// Running jobs finish. Events are taken and jobs queue, and expire, as ever; interactive sessions go on and new
    /// ones are opened.
    Pause(control::PauseArguments),
    /// Let jobs start again after `tripline pause`
    Resume,
    /// End the server in order, as SIGTERM does, from afar
    ///
    /// No new work is taken; what runs gets `drain.timeout` to end, and goes on at the next start if it does not.
    Drain(control::DrainArguments),
    /// The store: check, export, import, recover
    #[command(subcommand)]
    Store(store::Verb),
    /// The audit: who did what, and whether the records of it are as they were written
    #[command(subcommand)]
    Audit(audit::Verb),
    /// The broker
    #[command(subcommand)]
    Nats(nats::Verb),
    /// The server's configuration
    #[command(subcommand)]
    Config(config::Verb),
    /// Print the document of the HTTP API: OpenAPI 3.1, in JSON
    #[command(after_help = "Example:\n  tripline openapi > openapi.json")]
    Openapi,
    /// Print a completion script for a shell
    #[command(after_help = "Example:\n  tripline completion bash > /etc/bash_completion.d/tripline")]
    Completion {
        /// The shell
        shell: clap_complete::Shell,
    },
}

/// Runs the command that the process was started with.
pub fn main() -> ExitCode {
    if let Some(code) = crate::nats::embedded::guard::run_if_asked() {
        return code;
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            refuse(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report(&failure.lines());
            failure.into()
        }
    }
}

/// Longest line of what is said about arguments, which repeats them.
const USAGE_CHARS_MAX: usize = 400;

/// Help goes to stdout, usage to stderr.
fn refuse(error: &clap::Error) {
    let text = error.to_string();
    let is_long = |line: &str| line.chars().count() > USAGE_CHARS_MAX;
    if error.use_stderr() && text.lines().any(is_long) {
        let cut = |line: &str| match is_long(line) {
            true => line.chars().take(USAGE_CHARS_MAX).chain(['…']).collect(),
            false => line.to_owned(),
        };
        return report(&text.lines().map(cut).collect::<Vec<String>>());
    }
    // Nobody is left to tell if even that fails.
    let _ = error.print();
}

/// Writes to stderr; a closed stderr is nobody's concern.
fn report(lines: &[String]) {
    use std::io::Write;
    let mut stderr = std::io::stderr().lock();
    for line in lines {
        let _ = writeln!(stderr, "{line}");
    }
}

/// Says on stderr that a list was cut.
fn say_more(more: bool) {
    if more {
        report(&["tripline: there are more; --limit shows them".to_owned()]);
    }
}

/// Says on stderr that there is more than anybody can ask for at once, and what about the rest.
fn say_cut(more: bool, most: usize, rest: &str) {
    if more {
        report(&[format!("tripline: there are more than {most}; {rest}")]);
    }
}

fn run(cli: Cli) -> Result<(), Failure> {
    // Fails only when somebody installed one before; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let global = &cli.global;
    match cli.command {
        Command::Serve(arguments) => serve::run(global, &arguments),
        Command::Config(verb) => config::run(global, &verb),
        Command::Openapi => openapi::print(),
        Command::Completion { shell } => completion(shell),
        Command::Pipeline(pipeline::Verb::Check(arguments)) => pipeline::check(global, &arguments),
        Command::Pipeline(pipeline::Verb::Try(arguments)) => pipeline::try_out(global, &arguments),
        Command::Pipeline(pipeline::Verb::Schema(arguments)) => pipeline::schema(&arguments),
        Command::Nats(verb) => nats::run(global, &verb),
        Command::Demo(arguments) => block_on(crate::demo::run(&arguments)),
        Command::Health(health::Arguments {}) => block_on(health::run(global)),
        Command::Host(verb) => block_on(host::run(global, verb)),
        Command::Key(verb) => block_on(key::run(global, verb)),
        Command::Job(verb) => block_on(job::run(global, verb)),
        Command::Fanout(verb) => block_on(fanout::run(global, verb)),
        Command::Session(verb) => block_on(session::run(global, verb)),
        Command::Service(verb) => block_on(service::run(global, verb)),
        Command::Event(verb) => block_on(event::run(global, verb)),
        Command::Explain(arguments) => block_on(explain::run(global, &arguments)),
        Command::Pipeline(pipeline::Verb::List) => block_on(pipeline::list(global)),
        Command::Pipeline(pipeline::Verb::Pause(arguments)) => block_on(pipeline::pause(global, &arguments)),
        Command::Pipeline(pipeline::Verb::Resume(arguments)) => {
            block_on(pipeline::resume(global, &arguments))
        }
        Command::User(verb) => block_on(user::run(global, verb)),
        Command::Token(verb) => block_on(token::run(global, verb)),
        Command::Dead(verb) => block_on(dead::run(global, verb)),
        Command::Outbox(verb) => block_on(outbox::run(global, verb)),
        Command::Top(arguments) => block_on(top::run(global, arguments)),
        Command::Pause(arguments) => block_on(control::pause(global, arguments)),
        Command::Drain(arguments) => block_on(control::drain(global, &arguments)),
        Command::Resume => block_on(control::resume(global)),
        Command::Store(verb) => block_on(store::run(global, verb)),
        Command::Audit(verb) => block_on(audit::run(global, verb)),
    }
}

fn block_on(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    actix_rt::System::new().block_on(work)
}

fn completion(shell: clap_complete::Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "tripline", &mut script);
    output::print(&String::from_utf8_lossy(&script))
}
