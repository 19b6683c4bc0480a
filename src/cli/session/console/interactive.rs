//! The prompt's side of the console: a line is typed, carried out, shown; meanwhile the session is watched.

use super::grammar::{self, Asked, Command};
use super::history::History;
use super::listings::{self, Ask, Known};
use super::live::{self, Watch};
use super::prompt::{Prompt, Typed};
use super::words::quote;
use super::{Console, Went, say};
use crate::cli::Failure;
use crate::cli::output::clean;
use std::ops::ControlFlow;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;
use tripline_client::Session;

/// How long the host may take for a listing that completion asks for.
const LISTING: Duration = Duration::from_secs(10);
const HOW_TO_LEAVE: &str = "Ctrl-D or exit leaves";

/// Until somebody leaves.
pub(super) async fn run(mut console: Console, mut asked: UnboundedReceiver<Ask>) -> Result<(), Failure> {
    let mut prompt = Prompt::start(console.known.clone(), History::of_user())?;
    say(&format!(
        "session {} on {} ({}); help shows the commands",
        console.session.number(),
        clean(&console.session.host().hostname),
        clean(&console.host.view().platform)
    ));
    let outcome = lines(&mut console, &mut prompt, &mut asked).await;
    drop(prompt);
    match console.close().await {
        Ok(number) => say(&format!("session {number} closed")),
        Err(failure) => return outcome.and(Err(failure)),
    }
    outcome
}

async fn lines(
    console: &mut Console,
    prompt: &mut Prompt,
    asked: &mut UnboundedReceiver<Ask>,
) -> Result<(), Failure> {
    let mut watch = Watch::new();
    let mut interrupted = false;
    loop {
        let host = clean(&console.session.host().hostname);
        prompt.ask(format!("{host}:{}> ", quote(console.place.directory())));
        match typed(console, prompt, asked, &mut watch).await {
            Typed::Line(line) => {
                let ControlFlow::Continue(cancelled) = line_typed(console, &mut watch, &line).await? else {
                    return Ok(());
                };
                interrupted = cancelled;
            }
            // The line is gone. Whoever presses it again wants something else.
            Typed::Interrupted if interrupted => say(HOW_TO_LEAVE),
            Typed::Interrupted => interrupted = true,
            Typed::End => return Ok(()),
            Typed::Broken(why) => {
                return Err(Failure::Failed(format!("cannot read from the terminal: {why}")));
            }
        }
    }
}

/// Waits for a line; meanwhile completion gets its listings, and news of the session are shown.
async fn typed(
    console: &mut Console,
    prompt: &mut Prompt,
    asked: &mut UnboundedReceiver<Ask>,
    watch: &mut Watch,
) -> Typed {
    let mut listing = std::pin::pin!(answer(&console.session, &console.known, asked));
    loop {
        tokio::select! {
            typed = prompt.typed() => return typed,
            () = console.interrupts.leave() => return Typed::End,
            () = &mut listing => return Typed::End,
            news = watch.news(&console.session, &console.host) => prompt.print(&news),
        }
    }
}

/// Asks the host for what completion wants to know, as long as somebody may want to know something.
async fn answer(session: &Session, known: &Known, asked: &mut UnboundedReceiver<Ask>) {
    while let Some(ask) = asked.recv().await {
        let ask = listings::newest(ask, asked);
        let listing = session.list_directory(ask.directory.clone()).timeout(LISTING);
        if let Ok(listing) = listing.await {
            known.keep(&ask.directory, &listing);
        }
        ask.answered();
    }
}

/// Whether to go on; if so, whether a command was cancelled.
async fn line_typed(
    console: &mut Console,
    watch: &mut Watch,
    line: &str,
) -> Result<ControlFlow<(), bool>, Failure> {
    let command = match grammar::read(line) {
        Ok(Asked::Nothing) => return Ok(ControlFlow::Continue(false)),
        Ok(Asked::Help(text)) => {
            crate::cli::print(&text)?;
            return Ok(ControlFlow::Continue(false));
        }
        Ok(Asked::Command(command)) => command,
        Err(text) => {
            say(&clean_lines(&text));
            return Ok(ControlFlow::Continue(false));
        }
    };
    match *command {
        Command::Exit => return Ok(ControlFlow::Break(())),
        Command::Reopen => reopen(console, watch).await,
        command => match console.act(&command).await {
            Ok(Went::Well(done)) => console.output.show(&done)?,
            Ok(Went::Cancelled) => {
                say("cancelled; the session goes on");
                return Ok(ControlFlow::Continue(true));
            }
            Ok(Went::Leave) => return Ok(ControlFlow::Break(())),
            Err(failure) => {
                tell(&failure);
                // It may have failed because the session has ended.
                watch.hurry();
            }
        },
    }
    Ok(ControlFlow::Continue(false))
}

/// Another session in place of one that has ended.
async fn reopen(console: &mut Console, watch: &mut Watch) {
    let open = match console.session.refreshed().await {
        Ok(view) => view.state.is_open(),
        Err(_) => !watch.over,
    };
    if open {
        return say("the session is open still");
    }
    match live::open(&console.host, console.idle_timeout, &mut console.interrupts).await {
        Ok(session) => {
            say(&format!("session {}", session.number()));
            console.known.forget();
            let verbs = session.verbs().to_vec();
            console.known.change(|known| known.verbs = verbs);
            console.session = session;
            *watch = Watch::new();
        }
        Err(failure) => tell(&failure),
    }
}

/// Failures of commands are told without the program's name: it is clear who speaks.
fn tell(failure: &Failure) {
    for line in failure.lines() {
        say(line.strip_prefix("tripline: ").unwrap_or(&line));
    }
}

fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}
