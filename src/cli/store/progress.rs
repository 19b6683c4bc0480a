//! A bar on stderr, for people: none when stderr is no terminal.

use indicatif::{ProgressBar, ProgressStyle};

const BYTES: &str = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
const UNKNOWN: &str = "{spinner} {msg} {bytes}";

/// How far something is, in bytes; it goes when it is dropped.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// A bar that is told its end with each step.
    pub(super) fn new(what: &'static str) -> Self {
        let bar = ProgressBar::no_length().with_message(what);
        bar.set_style(style(UNKNOWN));
        Self(bar)
    }

    /// So many bytes of so many.
    pub(super) fn at(&self, bytes: u64, of: u64) {
        if self.0.length() != Some(of) {
            self.0.set_style(style(BYTES));
            self.0.set_length(of);
        }
        self.0.set_position(bytes);
    }

    /// So many bytes more, of nobody knows how many.
    pub(super) fn more(&self, bytes: u64) {
        self.0.inc(bytes);
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    // The templates are constants that are right; a wrong one would only look different.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
