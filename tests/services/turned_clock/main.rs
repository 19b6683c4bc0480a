//! `tripline` whose server goes by a clock that tests turn: as many seconds ahead of the machine's as the file says that
//! `TURNED_CLOCK` names.
//!
//! Ticks have periods of an hour and more, and a process that is to die by `kill -9` cannot share a clock with the test. The
//! alternatives are worse: a setting of `tripline` itself would be a switch that lets whoever sets it expire every token, a
//! store whose rows are set back by hand makes the same ticks again under their old ids, which proves nothing, and a library
//! loaded before the program would turn the clocks of everything in it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use tripline::config::Source;
use tripline_actors::clock::{Clock, SystemClock};
use tripline_protocol::{Span, Timestamp};

struct TurnedClock {
    machine: SystemClock,
    file: PathBuf,
}

impl Clock for TurnedClock {
    /// The file is read each time: from the moment it is written everything is later.
    fn now(&self) -> Timestamp {
        let text = std::fs::read_to_string(&self.file);
        let seconds = text.ok().and_then(|text| text.trim().parse().ok());
        // It would go back, which a clock must not.
        let seconds = seconds.unwrap_or_else(|| std::process::abort());
        self.machine.now().after(Span::from_secs(seconds))
    }
}

fn main() -> ExitCode {
    let mut words = std::env::args_os().skip(1);
    if words.next().is_none_or(|word| word != "serve") {
        // The server starts itself anew to look after its broker.
        return tripline::cli::main();
    }
    // Fails only when somebody installed one before; then that one is used.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let source = Source {
        // Behind `--config`.
        file: words.nth(1).map(PathBuf::from),
        environment: std::env::vars().collect(),
        data_dir: None,
    };
    let clock = TurnedClock {
        machine: SystemClock::default(),
        file: std::env::var_os("TURNED_CLOCK").unwrap_or_default().into(),
    };
    let served = source
        .load()
        .map_err(|error| error.to_string())
        .and_then(|config| {
            tripline::serve::run_by(config, source, Arc::new(clock)).map_err(|failure| format!("{failure:?}"))
        });
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("turned-clock: {error}");
            ExitCode::FAILURE
        }
    }
}
