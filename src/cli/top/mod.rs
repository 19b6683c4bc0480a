//! `tripline top`: the server at a glance, again and again.
//!
//! What is shown is decided in `screen.rs` and drawn by `draw.rs`; here are the terminal, the keys and the clock. Without
//! a terminal, or with `--once`, one snapshot is printed and that is all.

mod draw;
mod screen;
mod snapshot;

use super::output::{Format, print, print_json};
use super::{Client, Failure, Global};
use clap::Args;
use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event};
use screen::{Screen, Want};
use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tripline_protocol::Span;
use tripline_protocol::api::StatusView;

/// How long the reader of keys waits before it looks whether it is still wanted.
const KEY_WAIT: Duration = Duration::from_millis(100);
/// Keys pressed that wait to be read.
const KEYS_MAX: usize = 16;
/// Shortest time between two looks.
pub(super) const INTERVAL_MIN: Span = Span::from_millis(200);

#[derive(Debug, Args)]
#[command(
    after_help = "Keys:\n  q, Esc, Ctrl-C  leave\n  up, down        choose a slot\n  p               order the slots by number, time, host\n  \
                  f               show all slots, those in use, jobs, sessions\n\nExamples:\n  tripline top\n  \
                  tripline top --once --output json | jq .jobs.open"
)]
pub(super) struct Top {
    /// Print one snapshot and end, for scripts
    #[arg(long)]
    once: bool,
    /// Time between two looks
    #[arg(long, value_name = "SPAN", default_value = "1s")]
    interval: Span,
}

pub(super) async fn run(global: &Global, arguments: Top) -> Result<(), Failure> {
    if arguments.interval < INTERVAL_MIN {
        return Err(Failure::Input(format!("--interval is {INTERVAL_MIN} or more")));
    }
    let client = Client::find(global)?;
    let first = look(&client).await?;
    let live = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if arguments.once || !live || global.output == Format::Json {
        return match global.output {
            Format::Json => print_json(&first),
            Format::Table => print(&snapshot::text(&first)),
        };
    }
    watch(&client, first, arguments.interval).await
}

async fn look(client: &Client) -> Result<StatusView, Failure> {
    client.get(&["status"], &[]).await
}

/// The terminal in its other state; dropping it gives the terminal back, also after a panic.
struct Stage(DefaultTerminal);

impl Stage {
    fn enter() -> Result<Self, Failure> {
        // This also makes a panic give the terminal back before its message is written.
        ratatui::try_init().map(Self).map_err(broken)
    }

    fn draw(&mut self, screen: &Screen) -> Result<(), Failure> {
        self.0
            .draw(|frame| draw::draw(frame, screen))
            .map(drop)
            .map_err(broken)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

fn broken(error: std::io::Error) -> Failure {
    Failure::Failed(format!("cannot use the terminal: {error}"))
}

/// Keys as they are typed, read on a thread of their own because that blocks. It ends with this.
struct Keys {
    events: mpsc::Receiver<Event>,
    wanted: Arc<AtomicBool>,
}

impl Keys {
    fn read() -> Self {
        Self::from(|| match event::poll(KEY_WAIT) {
            Ok(false) => Ok(None),
            Ok(true) => event::read().map(Some),
            Err(error) => Err(error),
        })
    }

    /// From somebody who gives one at a time, or none after a while.
    fn from(mut next: impl FnMut() -> std::io::Result<Option<Event>> + Send + 'static) -> Self {
        let (sender, events) = mpsc::channel(KEYS_MAX);
        let wanted = Arc::new(AtomicBool::new(true));
        let still = Arc::clone(&wanted);
        std::thread::spawn(move || {
            while still.load(Ordering::Relaxed) {
                let key = match next() {
                    Ok(Some(key)) => key,
                    Ok(None) => continue,
                    // A terminal that cannot be read has gone, and so has who looked at it.
                    Err(_) => return,
                };
                if sender.blocking_send(key).is_err() {
                    return;
                }
            }
        });
        Self { events, wanted }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        self.wanted.store(false, Ordering::Relaxed);
    }
}

/// What asks a program to end, besides a key.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Ends {
    fn listen() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(broken)?,
            interrupt: signal(SignalKind::interrupt()).map_err(broken)?,
            hangup: signal(SignalKind::hangup()).map_err(broken)?,
        })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

async fn watch(client: &Client, first: StatusView, every: Span) -> Result<(), Failure> {
    let mut ends = Ends::listen()?;
    let mut screen = Screen::new(first);
    let mut due: Interval = interval(every.to_duration());
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stage = Stage::enter()?;
    let mut keys = Keys::read();
    loop {
        stage.draw(&screen)?;
        tokio::select! {
            key = keys.events.recv() => match key {
                Some(Event::Key(key)) if screen.key(key) == Want::Leave => return Ok(()),
                Some(_) => {}
                None => return Ok(()),
            },
            _ = due.tick() => match look(client).await {
                Ok(view) => screen.show(view),
                // A server that restarts comes back; who is not allowed any more stays so.
                Err(failure) => screen.fail(failure.lines().join(" ")),
            },
            () = ends.any() => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How long something that must not happen is given.
    const SILENCE: Duration = Duration::from_millis(100);

    #[test]
    fn so_many_keys_wait_and_no_more_are_read_before_one_was_taken() {
        let (tell, read) = std::sync::mpsc::channel();
        let mut keys = Keys::from(move || {
            tell.send(()).map_err(std::io::Error::other)?;
            Ok(Some(Event::FocusGained))
        });
        // One more than wait is in the hand of who reads them.
        for _ in 0..=KEYS_MAX {
            read.recv().unwrap();
        }
        assert!(read.recv_timeout(SILENCE).is_err(), "one more was read");
        assert_eq!(keys.events.blocking_recv(), Some(Event::FocusGained));
        read.recv().unwrap();
    }
}
