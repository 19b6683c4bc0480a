//! The line editor, on a thread of its own: reading a line blocks, and the session must be kept alive meanwhile.

use super::history::{self, History};
use super::listings::Known;
use crate::cli::Failure;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::{History as _, MemHistory};
use rustyline::validate::Validator;
use rustyline::{CompletionType, Config, Context, Editor, ExternalPrinter, Helper};
use std::io::Write;
use std::sync::mpsc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What the editor undoes itself when a line ends: pasted text comes as it is again. And a line of its own.
const PASTE_BRACKETS_OFF: &[u8] = b"\x1b[?2004l\r\n";

/// What a person did at the prompt.
#[derive(Debug)]
pub(super) enum Typed {
    Line(String),
    /// Ctrl-C; the line is gone.
    Interrupted,
    /// Ctrl-D on an empty line, or the terminal has gone.
    End,
    /// The terminal does not work.
    Broken(String),
}

/// The prompt; its terminal is as it was before when it is dropped.
pub(super) struct Prompt {
    ask: mpsc::Sender<String>,
    typed: UnboundedReceiver<Typed>,
    printer: Option<Box<dyn ExternalPrinter + Send>>,
    before: Option<Termios>,
    /// A prompt is shown.
    open: bool,
}

impl Prompt {
    /// Starts the thread. Without a place for a history there is none.
    pub(super) fn start(known: Known, history: Option<History>) -> Result<Self, Failure> {
        let before = tcgetattr(std::io::stdin()).ok();
        let mut editor = editor(known).map_err(|error| broken(&error))?;
        let earlier = history.as_ref().map(History::load).transpose();
        for line in earlier.unwrap_or_default().unwrap_or_default() {
            editor.add_history_entry(line).map_err(|error| broken(&error))?;
        }
        // A terminal that cannot do it shows such words only after the next line.
        let printer = editor.create_external_printer().ok();
        let printer = printer.map(|printer| Box::new(printer) as Box<dyn ExternalPrinter + Send>);
        let (ask, asked) = mpsc::channel();
        let (say, typed) = unbounded_channel();
        std::thread::Builder::new()
            .name("prompt".to_owned())
            .spawn(move || serve(editor, history, &asked, &say))
            .map_err(|error| Failure::Failed(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            ask,
            typed,
            printer,
            before,
            open: false,
        })
    }

    /// Shows a prompt; what is typed there comes from [`Prompt::typed`].
    pub(super) fn ask(&mut self, prompt: String) {
        self.open = true;
        // Without the thread, `typed` says so.
        let _ = self.ask.send(prompt);
    }

    /// Waits for what is typed.
    pub(super) async fn typed(&mut self) -> Typed {
        let typed = self.typed.recv().await;
        self.open = false;
        typed.unwrap_or(Typed::End)
    }

    /// Shows lines above the prompt that is shown now.
    pub(super) fn print(&mut self, text: &str) {
        match &mut self.printer {
            // A terminal that has gone is noticed by reading from it.
            Some(printer) => drop(printer.print(format!("{text}\n"))),
            None => eprintln!("{text}"),
        }
    }
}

impl Drop for Prompt {
    fn drop(&mut self) {
        if !self.open {
            return;
        }
        // The thread is at the prompt still, and does not come to undo what it did to the terminal. A terminal that
        // has gone needs nothing.
        if let Some(before) = &self.before {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, before);
        }
        let _ = std::io::stdout().write_all(PASTE_BRACKETS_OFF);
        let _ = std::io::stdout().flush();
    }
}

fn broken(error: &ReadlineError) -> Failure {
    Failure::Failed(format!("cannot use the terminal: {error}"))
}

type ConsoleEditor = Editor<Assistant, MemHistory>;

fn editor(known: Known) -> rustyline::Result<ConsoleEditor> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(history::LINES_MAX)?
        .history_ignore_dups(true)?
        .auto_add_history(false)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    editor.set_helper(Some(Assistant(known)));
    Ok(editor)
}

/// Reads a line for each prompt, until nobody asks any more.
fn serve(
    mut editor: ConsoleEditor,
    history: Option<History>,
    asked: &mpsc::Receiver<String>,
    say: &UnboundedSender<Typed>,
) {
    while let Ok(prompt) = asked.recv() {
        let typed = match editor.readline(&prompt) {
            Ok(line) => {
                remember(&mut editor, history.as_ref(), &line);
                Typed::Line(line)
            }
            Err(ReadlineError::Interrupted) => Typed::Interrupted,
            Err(ReadlineError::Eof) => Typed::End,
            // The size of the window changed, and the like.
            Err(ReadlineError::Signal(_)) => Typed::Interrupted,
            Err(error) => Typed::Broken(error.to_string()),
        };
        if say.send(typed).is_err() {
            return;
        }
    }
}

/// For this console, and in the file. A history that cannot be written is no reason to disturb.
fn remember(editor: &mut ConsoleEditor, history: Option<&History>, line: &str) {
    let is_again = editor.history().len().checked_sub(1).is_some_and(|last| {
        let last = editor
            .history()
            .get(last, rustyline::history::SearchDirection::Reverse);
        last.ok().flatten().is_some_and(|last| last.entry == line)
    });
    if is_again || !history::may_keep(line) {
        return;
    }
    let _ = editor.add_history_entry(line);
    let _ = history.map(|history| history.add(line));
}

/// What the editor asks for while a line is typed.
struct Assistant(Known);

impl Completer for Assistant {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        position: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..position).unwrap_or(line);
        let (start, found) = self.0.complete(before);
        let pairs = found.into_iter().map(|found| Pair {
            display: found.display,
            replacement: found.replacement,
        });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Assistant {
    type Hint = String;
}

impl Highlighter for Assistant {}

impl Validator for Assistant {}

impl Helper for Assistant {}
