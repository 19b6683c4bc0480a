//! Commands that are given beforehand: from `--command`, or from stdin line by line. The first one that fails is the
//! last.

use super::grammar::{self, Asked, Command};
use super::{Console, Went};
use crate::cli::Failure;
use std::io::BufRead;
use tokio::sync::mpsc::{Receiver, channel};

/// Lines of stdin that are read ahead.
const AHEAD: usize = 16;

/// Where commands come from.
pub(super) enum Lines {
    Given(std::vec::IntoIter<String>),
    Stdin(Receiver<std::io::Result<String>>),
}

impl Lines {
    pub(super) fn given(lines: Vec<String>) -> Self {
        Self::Given(lines.into_iter())
    }

    /// Read by a thread of its own: the session is kept alive while stdin has nothing.
    pub(super) fn of_stdin() -> Result<Self, Failure> {
        let (say, lines) = channel(AHEAD);
        let read = move || {
            for line in std::io::stdin().lock().lines() {
                let is_error = line.is_err();
                if say.blocking_send(line).is_err() || is_error {
                    return;
                }
            }
        };
        let thread = std::thread::Builder::new().name("stdin".to_owned());
        thread
            .spawn(read)
            .map_err(|error| Failure::Failed(format!("cannot start a thread: {error}")))?;
        Ok(Self::Stdin(lines))
    }

    async fn next(&mut self) -> Result<Option<String>, Failure> {
        match self {
            Self::Given(lines) => Ok(lines.next()),
            Self::Stdin(lines) => lines
                .recv()
                .await
                .transpose()
                .map_err(|error| Failure::Input(format!("cannot read commands from stdin: {error}"))),
        }
    }
}

/// Carries them out, closes the session, and fails as the first command did that failed.
pub(super) async fn run(mut console: Console, lines: Lines) -> Result<(), Failure> {
    let outcome = each(&mut console, lines).await;
    let closed = console.close().await;
    outcome.and(closed.map(drop))
}

async fn each(console: &mut Console, mut lines: Lines) -> Result<(), Failure> {
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            () = console.interrupts.any() => return Err(interrupted()),
        };
        let Some(line) = line else {
            return Ok(());
        };
        match grammar::read(&line).map_err(Failure::Input)? {
            Asked::Nothing => {}
            Asked::Help(text) => crate::cli::print(&text)?,
            Asked::Command(command) if *command == Command::Exit => return Ok(()),
            Asked::Command(command) => one(console, &command).await?,
        }
    }
}

async fn one(console: &mut Console, command: &Command) -> Result<(), Failure> {
    let Went::Well(done) = console.act(command).await? else {
        return Err(interrupted());
    };
    console.output.show(&done)?;
    match done.failed {
        true => Err(Failure::NotSucceeded),
        false => Ok(()),
    }
}

fn interrupted() -> Failure {
    Failure::Failed("interrupted; what ran is cancelled, and the session is closed".to_owned())
}
