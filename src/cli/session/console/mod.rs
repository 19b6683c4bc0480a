//! `tripline session open`: a console on one host.
//!
//! At a terminal it has a prompt (`interactive`); with `--command`, or without a terminal, it carries out the commands
//! it is given (`batch`). Both hold one session, which is closed when the console ends, however it ends.

mod act;
mod batch;
mod complete;
mod grammar;
mod history;
mod interactive;
mod interrupts;
mod listings;
mod live;
mod path;
mod prompt;
mod show;
mod transfer;
mod words;

use self::act::{Done, Scene};
use self::complete::Surroundings;
use self::grammar::Command;
use self::interrupts::Interrupts;
use self::listings::Known;
use self::path::{Place, Style};
use crate::cli::connection::Connection;
use crate::cli::output::{Format, print_bytes, print_json_line};
use crate::cli::{Failure, Global, refusal};
use clap::Args;
use std::io::{IsTerminal, Write};
use std::time::Duration;
use tripline_client::{Host, Session};
use tripline_protocol::Span;

pub(super) const EXAMPLES: &str = "Examples:
  tripline session open web01
  tripline session open web01 --command 'get /var/log/syslog evidence/' --command ps
  tripline session open web01 --output json < commands.txt

Ctrl-C ends the command that runs, Ctrl-D the session. help shows the commands. Without a terminal, or with --command,
it stops at the first command that fails, and its exit code says why.";

/// `tripline session open`.
#[derive(Debug, Args)]
pub(in crate::cli) struct Open {
    /// The host: its host id, sensor id or hostname
    host: String,
    /// Carry out this command and leave; may be given several times
    #[arg(short, long = "command", value_name = "COMMAND")]
    commands: Vec<String>,
    /// The tenant the host is in
    #[arg(long)]
    org: Option<String>,
    /// How soon the server closes the session when this program has died [default: the server's slots.idle_timeout]
    #[arg(long, value_name = "SPAN")]
    idle_timeout: Option<Span>,
}

/// Opens a session and holds it until the end of the console.
pub(in crate::cli) async fn run(global: &Global, open: Open) -> Result<(), Failure> {
    let connection = Connection::find(global)?;
    let client = connection
        .client(open.org.as_deref())
        .await
        .map_err(refusal::of_connecting)?;
    let host = client.host(&open.host).await.map_err(refusal::failure)?;
    let mut interrupts = Interrupts::listen()?;
    let idle_timeout = open.idle_timeout.map(Span::to_duration);
    let session = live::open(&host, idle_timeout, &mut interrupts).await?;
    let place = Place::root(Style::of(&host.view().platform));
    let (known, asked) = Known::new(Surroundings {
        place: place.clone(),
        verbs: session.verbs().to_vec(),
    });
    let console = Console {
        session,
        host,
        idle_timeout,
        place,
        known,
        interrupts,
        output: Output::new(global.output),
    };
    if !open.commands.is_empty() {
        return batch::run(console, batch::Lines::given(open.commands)).await;
    }
    if std::io::stdin().is_terminal() {
        return interactive::run(console, asked).await;
    }
    batch::run(console, batch::Lines::of_stdin()?).await
}

/// A session with all that the console knows of it.
struct Console {
    session: Session,
    host: Host,
    idle_timeout: Option<Duration>,
    place: Place,
    known: Known,
    interrupts: Interrupts,
    output: Output,
}

/// How a command went.
enum Went {
    Well(Done),
    /// Ctrl-C: it is cancelled.
    Cancelled,
    /// The program has to end.
    Leave,
}

impl Console {
    /// Carries out one command, until it is done or somebody wants it to end.
    async fn act(&mut self, command: &Command) -> Result<Went, Failure> {
        self.interrupts.forget();
        let mut scene = Scene {
            session: &self.session,
            host: &self.host,
            known: &self.known,
            place: &mut self.place,
            show_progress: self.output.shows_progress,
        };
        // Dropped in the middle, it is cancelled at the host as well.
        tokio::select! {
            done = scene.act(command) => done.map(Went::Well),
            leave = self.interrupts.stop() => Ok(if leave { Went::Leave } else { Went::Cancelled }),
        }
    }

    /// Ends the session and frees its slot.
    async fn close(self) -> Result<u32, Failure> {
        let number = self.session.number();
        self.session.close().await.map_err(refusal::failure)?;
        Ok(number)
    }
}

/// Where results go, and how.
#[derive(Debug, Clone, Copy)]
struct Output {
    format: Format,
    /// What comes from a host must not act on it.
    is_terminal: bool,
    shows_progress: bool,
}

impl Output {
    fn new(format: Format) -> Self {
        Self {
            format,
            is_terminal: std::io::stdout().is_terminal(),
            shows_progress: std::io::stderr().is_terminal() && format == Format::Table,
        }
    }

    /// Shows what a command brought.
    fn show(self, done: &Done) -> Result<(), Failure> {
        if self.format == Format::Json {
            return print_json_line(&done.json);
        }
        if !done.out.is_empty() {
            if self.is_terminal {
                crate::cli::print(&show::harmless(&done.out))?;
            } else {
                print_bytes(&done.out)?;
            }
        }
        if !done.notes.is_empty() {
            say(show::harmless(&done.notes).trim_end());
        }
        Ok(())
    }
}

/// To stderr; a stderr that has gone is nobody's concern.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
