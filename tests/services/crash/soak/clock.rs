//! The clock by which the server goes, and the program that has it.

use crate::harness::{Server, Site};
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use tripline_protocol::{Span, Timestamp};

/// Seconds from when a call of the cloud is made to its deadline.
const DEADLINE: i64 = 590;

/// As many seconds ahead of the machine's as its file says.
pub(super) struct Clock {
    file: PathBuf,
    ahead: u64,
}

impl Clock {
    pub(super) fn new(site: &Site) -> Self {
        let file = site.path("ahead");
        let clock = Self { file, ahead: 0 };
        clock.write();
        clock
    }

    /// The server goes by it from its next start on.
    pub(super) fn wind(&self, server: &mut Server) {
        let program = Path::new(env!("CARGO_BIN_EXE_tripline")).with_file_name("examples/turned-clock");
        assert!(
            program.is_file(),
            "{} is missing; build it first: cargo build --example turned-clock (or test the whole --workspace)",
            program.display()
        );
        server.program = program;
        server.set_variable("TURNED_CLOCK", &self.file);
    }

    pub(super) fn turn(&mut self, by: Span) {
        self.ahead += by.as_millis() / 1000;
        self.write();
    }

    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from(SystemTime::now()).after(Span::from_secs(self.ahead))
    }

    /// Of a call that is made now, in Unix seconds.
    pub(super) fn deadline(&self) -> i64 {
        self.now().as_micros() / 1_000_000 + DEADLINE
    }

    /// Whoever reads it finds it whole.
    fn write(&self) {
        let new = self.file.with_extension("new");
        std::fs::write(&new, self.ahead.to_string()).expect("written");
        std::fs::rename(new, &self.file).expect("moved");
    }
}
