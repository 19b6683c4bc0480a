//! The command line of `tripline-agent`: options, logging, signals and exit codes, nothing else.
//!
//! Exit codes: 0 done, or stopped by SIGTERM or SIGINT (elsewhere than on Unix: by Ctrl-C), 1 failed, 2 bad input or configuration, 3 refused by the server.

use clap::{Parser, Subcommand};
use std::process::ExitCode;
use tokio::runtime::Runtime;
use tripline_agent::config::{Config, Log, LogFormat, Options};
use tripline_agent::enrol::chain;
use tripline_agent::platform::own::EndRequests;
use tripline_agent::{agent, executor};

/// Blocking threads beyond those that commands may occupy: files, name look-ups, the watcher's scans and ends.
const OTHER_THREADS: usize = 20;

/// Tripline's host agent
#[derive(Parser)]
#[command(name = "tripline-agent", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Enrol if needed, connect to the server and run its commands until stopped; watch processes for it, or
    /// for a LittleBrother server
    Run(Box<Options>),
    /// Look after the isolation of this host while no agent runs
    #[command(subcommand)]
    Isolation(Isolation),
}

#[derive(Subcommand)]
enum Isolation {
    /// Isolate this host again if it is to be: after a boot, before the network is up and the agent starts. Reads the
    /// agent's configuration, and does nothing where an agent runs
    Reinstate(Box<Options>),
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(options) => configured(*options, serve),
        Command::Isolation(Isolation::Reinstate(options)) => configured(*options, reinstate),
    }
}

fn configured(options: Options, act: fn(Config) -> ExitCode) -> ExitCode {
    match Config::load(options) {
        Ok(config) => {
            start_logging(&config.log);
            act(config)
        }
        Err(error) => complain(&error, 2),
    }
}

fn reinstate(config: Config) -> ExitCode {
    match agent::reinstate_isolation(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, error.exit_code()),
    }
}

fn serve(config: Config) -> ExitCode {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => return complain(&error, 1),
    };
    let ended = runtime.block_on(run(config));
    // A verb that hangs in the kernel must not keep the agent from ending.
    runtime.shutdown_background();
    ended
}

/// Two threads for everything, and those that may block.
fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(executor::COMMANDS_MAX + OTHER_THREADS)
        .enable_all()
        .build()
}

async fn run(config: Config) -> ExitCode {
    let mut end_requests = match EndRequests::listen() {
        Ok(end_requests) => end_requests,
        Err(error) => return complain(&error, 1),
    };
    match agent::run(config, end_requests.next()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&error, error.exit_code()),
    }
}

/// Says on stderr why the agent ends, with causes.
fn complain(error: &dyn std::error::Error, code: u8) -> ExitCode {
    eprintln!("tripline-agent: {}", chain(error));
    ExitCode::from(code)
}

fn start_logging(log: &Log) {
    let filter = tracing_subscriber::EnvFilter::new(directives(&log.level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// A plain `info` is about the agent; a certificate that is not trusted is told with the attempt it ended.
fn directives(level: &str) -> &str {
    match level {
        "info" => "info,rustls_platform_verifier=off",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// How long something that must not happen is given.
    const SILENCE: Duration = Duration::from_millis(100);

    #[test]
    fn commands_and_so_many_others_block_at_once_and_the_next_waits_for_one_of_them() {
        let runtime = runtime().unwrap();
        let most = executor::COMMANDS_MAX + OTHER_THREADS;
        let (tell, begun) = mpsc::channel();
        let mut releases: Vec<mpsc::Sender<()>> = Vec::new();
        for _ in 0..=most {
            let (release, released) = mpsc::channel();
            releases.push(release);
            let tell = tell.clone();
            runtime.spawn_blocking(move || {
                tell.send(()).unwrap();
                // The end of the test is a release, too.
                let _ = released.recv();
            });
        }
        for _ in 0..most {
            begun.recv().unwrap();
        }
        assert!(begun.recv_timeout(SILENCE).is_err(), "one more than {most} began");
        drop(releases);
        begun.recv().unwrap();
    }
}
